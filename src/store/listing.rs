//! What a keeper lists: all books in order of their numbers, and orders, the newest first.
//!
//! Invariant: like every read, a page is a single statement that begins with a seek and looks at a bounded number of
//! rows, however many there are. Orders have no index by book: it would be written to by each purchase. Those of one
//! book are picked from a bounded stretch of all, and the page says how far that went.

use super::read::{Snapshot, Store};
use super::{StoreError, rows};
use crate::domain::{BookId, BookPage, OrderId, OrderPage, OrdersWanted};
use sqlx::Row;

/// Orders that are looked at for one page of a book's: some ten milliseconds.
const STRETCH: u32 = 20_000;

const SHELF: &str = "SELECT l.epoch_number, l.epoch_identity, l.seq, b.id, b.title, b.topic, b.stock, b.price_cents
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN (SELECT id, title, topic, stock, price_cents FROM books WHERE id > ?1 ORDER BY id LIMIT ?2) AS b
     ORDER BY b.id";

const ORDERS: &str = "SELECT l.epoch_number, l.epoch_identity, l.seq, o.order_id, o.book_id, o.quantity,
            o.total_cents, o.created_at_ms, o.epoch_number, o.epoch_identity, o.seq, NULL
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN (SELECT * FROM orders WHERE order_id >= ?1 AND order_id < ?2 ORDER BY order_id DESC LIMIT ?3) AS o
     ORDER BY o.order_id DESC";

/// The last column is where the stretch ends, if there are more orders behind it.
const ORDERS_OF_BOOK: &str = "SELECT l.epoch_number, l.epoch_identity, l.seq, o.order_id, o.book_id, o.quantity,
            o.total_cents, o.created_at_ms, o.epoch_number, o.epoch_identity, o.seq,
            (SELECT order_id FROM orders WHERE order_id >= ?1 AND order_id < ?2
             ORDER BY order_id DESC LIMIT 1 OFFSET ?5 - 1) AS stretch
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN (SELECT * FROM
                  (SELECT * FROM orders WHERE order_id >= ?1 AND order_id < ?2 ORDER BY order_id DESC LIMIT ?5) AS s
                WHERE s.book_id = ?4 ORDER BY s.order_id DESC LIMIT ?3) AS o
     ORDER BY o.order_id DESC";

/// For the test that each of them is a seek.
#[cfg(test)]
pub(super) const STATEMENTS: [(&str, &str); 3] =
    [("shelf", SHELF), ("orders", ORDERS), ("orders of a book", ORDERS_OF_BOOK)];

/// Behind every order's number, which begins with a hexadecimal digit.
const BEYOND: &str = "g";

impl Store {
    /// At most `limit` books, those behind the number `after`.
    pub async fn shelf(&self, after: Option<BookId>, limit: u32) -> Result<Snapshot<BookPage>, StoreError> {
        let limit = limit.max(1) as usize;
        let found = sqlx::query(SHELF)
            .bind(after.map_or(0, BookId::get))
            .bind(limit as i64 + 1)
            .fetch_all(&self.pool)
            .await?;
        let (asof, books, next) = super::read::page(&found, limit, |last| last.id)?;
        Ok(Snapshot { asof, value: BookPage { books, next } })
    }

    /// At most `limit` of the wanted orders, the highest numbers first.
    pub async fn orders(&self, wanted: OrdersWanted, limit: u32) -> Result<Snapshot<OrderPage>, StoreError> {
        self.orders_within(wanted, limit, STRETCH).await
    }

    /// The same, with a look at so many orders at most for those of one book.
    pub(super) async fn orders_within(
        &self,
        wanted: OrdersWanted,
        limit: u32,
        stretch: u32,
    ) -> Result<Snapshot<OrderPage>, StoreError> {
        let limit = limit.max(1) as usize;
        let query = match wanted.book {
            None => sqlx::query(ORDERS),
            Some(_) => sqlx::query(ORDERS_OF_BOOK),
        };
        let query = query
            .bind(wanted.from.map_or_else(String::new, |from| from.to_string()))
            .bind(wanted.below.map_or_else(|| BEYOND.to_owned(), |below| below.to_string()))
            .bind(limit as i64 + 1);
        let query = match wanted.book {
            None => query,
            Some(book) => query.bind(book.get()).bind(i64::from(stretch.max(1))),
        };
        let found = query.fetch_all(&self.pool).await?;
        let first = found.first().ok_or_else(rows::empty_log)?;
        let asof = rows::version(first, 0)?;
        let end: Option<String> = first.try_get(11)?;
        let mut orders = Vec::with_capacity(found.len());
        for row in &found {
            orders.extend(rows::order(row, 3)?);
        }
        let more = orders.len() > limit;
        orders.truncate(limit);
        let next = match (more, orders.last()) {
            (true, Some(last)) => Some(last.order_id),
            _ => end.map(|end| end.parse::<OrderId>()).transpose()?,
        };
        Ok(Snapshot { asof, value: OrderPage { orders, next } })
    }
}
