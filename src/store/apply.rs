//! The one way in which rows change: a record is applied behind its predecessor.
//!
//! Invariant: master, replica and recovery run the same statements, so equal logs make equal tables. A
//! batch costs a handful of statements whatever its size; each takes its group as one JSON array of
//! rows. (`jsonb_each`, because picking the fields of a row of text would parse it once per field.)

use super::{StoreError, rows};
use crate::domain::{Answer, Batch, Body, Book, BookId, Order, Record, StockLevel, Version};
use serde::Serialize;
use sqlx::SqliteConnection;

/// Applies `record` to a store that stands at `position`, inside the caller's transaction, which must be
/// rolled back on an error. Gives the new position.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    position: Version,
    record: &Record,
) -> Result<Version, StoreError> {
    if record.predecessor != position {
        return Err(StoreError::NotNext { position });
    }
    let lease_term_ms = match &record.body {
        Body::Start { lease_term_ms } => {
            let epoch = record.version.epoch;
            if epoch.number <= position.epoch.number || record.version.seq != position.next().seq {
                return Err(contradiction(record));
            }
            Some(i64::try_from(*lease_term_ms).map_err(|_| contradiction(record))?)
        }
        Body::Batch(batch) => {
            if record.version != position.next() {
                return Err(contradiction(record));
            }
            apply_batch(connection, batch).await?;
            None
        }
    };
    sqlx::query(
        "INSERT INTO log (seq, epoch_number, epoch_identity, lease_term_ms, record)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(rows::to_column(record.version.seq))
    .bind(rows::to_column(record.version.epoch.number))
    .bind(rows::to_column(record.version.epoch.identity))
    .bind(lease_term_ms)
    .bind(serde_json::to_string(record)?)
    .execute(connection)
    .await?;
    Ok(record.version)
}

async fn apply_batch(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), StoreError> {
    delete_books(connection, &batch.deleted).await?;
    put_books(connection, &batch.books).await?;
    set_stocks(connection, &batch.stocks).await?;
    insert_orders(connection, &batch.orders).await?;
    // Behind the orders, which they refer to.
    insert_answers(connection, &batch.answers).await
}

async fn delete_books(connection: &mut SqliteConnection, deleted: &[BookId]) -> Result<(), StoreError> {
    let sql = "DELETE FROM books WHERE id IN (SELECT value ->> 0 FROM jsonb_each(?1))";
    run(connection, sql, deleted, |id| (id,)).await
}

async fn put_books(connection: &mut SqliteConnection, books: &[Book]) -> Result<(), StoreError> {
    // "WHERE true" tells the upsert's ON from a join's.
    let sql = "INSERT INTO books (id, title, topic, stock, price_cents)
               SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
               FROM jsonb_each(?1) WHERE true
               ON CONFLICT (id) DO UPDATE SET title = excluded.title, topic = excluded.topic,
                   stock = excluded.stock, price_cents = excluded.price_cents";
    run(connection, sql, books, |book| (book.id, &book.title, &book.topic, book.stock, book.price)).await
}

async fn set_stocks(connection: &mut SqliteConnection, stocks: &[StockLevel]) -> Result<(), StoreError> {
    let sql = "UPDATE books SET stock = level.value ->> 1
               FROM jsonb_each(?1) AS level WHERE books.id = level.value ->> 0";
    run(connection, sql, stocks, |level| (level.book_id, level.stock)).await
}

async fn insert_orders(connection: &mut SqliteConnection, orders: &[Order]) -> Result<(), StoreError> {
    let sql = "INSERT INTO orders (order_id, book_id, quantity, total_cents,
                                   epoch_number, epoch_identity, seq, created_at_ms)
               SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
                      value ->> 4, value ->> 5, value ->> 6, value ->> 7
               FROM jsonb_each(?1)";
    run(connection, sql, orders, |order| {
        let Version { epoch, seq } = order.version;
        let [number, identity, seq] = [epoch.number, epoch.identity, seq].map(rows::to_column);
        (
            order.order_id,
            order.book_id,
            order.quantity,
            order.total,
            number,
            identity,
            seq,
            order.created_at_ms,
        )
    })
    .await
}

async fn insert_answers(connection: &mut SqliteConnection, answers: &[Answer]) -> Result<(), StoreError> {
    let mut outcomes = Vec::with_capacity(answers.len());
    for answer in answers {
        outcomes.push((answer, serde_json::to_string(&answer.outcome)?));
    }
    let sql = "INSERT INTO answers (key, book_id, quantity, offer_cents, order_id, outcome, stored_at_ms)
               SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
                      value ->> 4, value ->> 5, value ->> 6
               FROM jsonb_each(?1)";
    run(connection, sql, &outcomes, |(answer, outcome)| {
        let order_id = answer.outcome.as_ref().ok().map(|receipt| receipt.order_id);
        (&answer.key, answer.book_id, answer.quantity, answer.offer, order_id, outcome, answer.stored_at_ms)
    })
    .await
}

/// One statement for a group of rows. Each must change exactly one row: anything else means that this
/// file is not what the record was made from.
async fn run<'a, T, R: Serialize>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    group: &'a [T],
    row: impl Fn(&'a T) -> R,
) -> Result<(), StoreError> {
    if group.is_empty() {
        return Ok(());
    }
    let json = serde_json::to_string(&group.iter().map(row).collect::<Vec<R>>())?;
    let changed = sqlx::query(sql).bind(json).execute(connection).await?.rows_affected();
    if changed != group.len() as u64 {
        let all = group.len();
        return Err(StoreError::Corrupt(format!("{changed} of {all} rows of a record could be changed")));
    }
    Ok(())
}

fn contradiction(record: &Record) -> StoreError {
    StoreError::Corrupt(format!("the record {} cannot follow {}", record.version, record.predecessor))
}
