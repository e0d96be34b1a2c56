//! Rows as domain values.
//!
//! Invariant: a row that is no valid domain value is reported as damage, never repaired.

use super::StoreError;
use crate::domain::{
    Answer, Book, BookId, Cents, EditAnswer, Epoch, Order, Quantity, Stock, Title, Topic, Version,
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

/// SQLite's integers are signed: the same 64 bits.
pub(super) const fn to_column(bits: u64) -> i64 {
    bits.cast_signed()
}

/// The version of the last log row.
pub(super) async fn position(connection: &mut SqliteConnection) -> Result<Version, StoreError> {
    let row = sqlx::query("SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1")
        .fetch_optional(connection)
        .await?
        .ok_or_else(empty_log)?;
    version(&row, 0)
}

/// A log without its genesis row: every statement that reads rows beside the position finds no row then.
pub(super) fn empty_log() -> StoreError {
    StoreError::Corrupt("the log is empty".into())
}

/// From the columns epoch_number, epoch_identity, seq.
pub(super) fn version(row: &SqliteRow, from: usize) -> Result<Version, StoreError> {
    let number: i64 = row.try_get(from)?;
    let identity: i64 = row.try_get(from + 1)?;
    let seq: i64 = row.try_get(from + 2)?;
    let epoch = Epoch { number: number.cast_unsigned(), identity: identity.cast_unsigned() };
    Ok(Version::new(epoch, seq.cast_unsigned()))
}

/// From the columns id, title, topic, stock, price_cents; `None` where a left join found no book.
pub(super) fn book(row: &SqliteRow, from: usize) -> Result<Option<Book>, StoreError> {
    let Some(id) = row.try_get::<Option<i64>, _>(from)? else {
        return Ok(None);
    };
    Ok(Some(Book {
        id: BookId::new(id)?,
        title: Title::parse(row.try_get::<String, _>(from + 1)?)?,
        topic: Topic::parse(row.try_get::<String, _>(from + 2)?)?,
        stock: Stock::new(row.try_get(from + 3)?)?,
        price: Cents::new(row.try_get(from + 4)?)?,
    }))
}

/// From a JSON array of arrays of id, title, topic, stock, price_cents.
pub(super) fn books(json: &str) -> Result<Vec<Book>, StoreError> {
    let found: Vec<(i64, String, String, i64, i64)> = serde_json::from_str(json)?;
    let book = |(id, title, topic, stock, price): (i64, String, String, i64, i64)| {
        Ok::<_, StoreError>(Book {
            id: BookId::new(id)?,
            title: Title::parse(title)?,
            topic: Topic::parse(topic)?,
            stock: Stock::new(stock)?,
            price: Cents::new(price)?,
        })
    };
    found.into_iter().map(book).collect()
}

/// From the columns order_id, book_id, quantity, total_cents, created_at_ms, epoch_number,
/// epoch_identity, seq; `None` where a left join found no order.
pub(super) fn order(row: &SqliteRow, from: usize) -> Result<Option<Order>, StoreError> {
    let Some(order_id) = row.try_get::<Option<String>, _>(from)? else {
        return Ok(None);
    };
    Ok(Some(Order {
        order_id: order_id.parse()?,
        book_id: BookId::new(row.try_get(from + 1)?)?,
        quantity: Quantity::new(row.try_get(from + 2)?)?,
        total: row.try_get(from + 3)?,
        created_at_ms: row.try_get(from + 4)?,
        version: version(row, from + 5)?,
    }))
}

/// From the columns key, book_id, quantity, offer_cents, outcome, stored_at_ms.
pub(super) fn answer(row: &SqliteRow, from: usize) -> Result<Answer, StoreError> {
    Ok(Answer {
        key: row.try_get::<String, _>(from)?.try_into()?,
        book_id: BookId::new(row.try_get(from + 1)?)?,
        quantity: Quantity::new(row.try_get(from + 2)?)?,
        offer: row.try_get::<Option<i64>, _>(from + 3)?.map(Cents::new).transpose()?,
        outcome: serde_json::from_str(row.try_get(from + 4)?)?,
        stored_at_ms: row.try_get(from + 5)?,
    })
}

/// From the columns asked, outcome, stored_at_ms.
pub(super) fn edit_answer(row: &SqliteRow, from: usize) -> Result<EditAnswer, StoreError> {
    Ok(EditAnswer {
        asked: serde_json::from_str(row.try_get(from)?)?,
        outcome: serde_json::from_str(row.try_get(from + 1)?)?,
        stored_at_ms: row.try_get(from + 2)?,
    })
}
