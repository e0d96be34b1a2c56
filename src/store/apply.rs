//! The one way in which rows change: a record is applied behind its predecessor.
//!
//! Invariant: master, replica and recovery run the same statements, so equal logs make equal tables. A
//! record costs one call whatever its size: the trip to the connection's thread and back takes longer
//! than the statements. Each statement takes its group as one JSON array of rows. (`jsonb_each`, because
//! picking the fields of a row of text would parse it once per field.)

use super::{StoreError, digest, rows};
use crate::domain::{
    Answer, Batch, Body, Book, BookId, EditAnswer, Forget, ImportMark, Imported, NodeId, Order, Record,
    StockLevel, Version,
};
use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Executor, SqliteConnection};
use std::ops::RangeInclusive;

/// Applies `record` to a store that stands at `position`, and gives the new position. The transaction is
/// the caller's, who must roll back on an error; with `begin` the same call opens it before the writes.
/// [`StoreError::Diverged`] where a digest says that the rows here are not the master's.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    begin: bool,
    position: Version,
    record: &Record,
) -> Result<Version, StoreError> {
    if record.predecessor != position {
        return Err(StoreError::NotNext { position });
    }
    let follows = match record.body {
        Body::Start { .. } => {
            record.version.epoch.number > position.epoch.number && record.version.seq == position.next().seq
        }
        Body::Batch(_) | Body::Seal { .. } | Body::Digest(_) => record.version == position.next(),
    };
    if !follows {
        return Err(contradiction(record));
    }
    let mut writes = Writes::default();
    match &record.body {
        Body::Start { lease_term_ms, node } => {
            let term = i64::try_from(*lease_term_ms).map_err(|_| contradiction(record))?;
            writes.insert_epoch(record.version, term, *node)?;
        }
        Body::Batch(batch) => writes.batch(batch)?,
        Body::Seal { .. } => {}
        Body::Digest(range) => {
            if begin {
                sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
            }
            digest::compare(connection, range).await?;
            return append(connection, record).await;
        }
    }
    writes.run(connection, begin, record).await?;
    Ok(record.version)
}

/// Writes a record to the log that changes no rows, in the transaction that is open.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    record: &Record,
) -> Result<Version, StoreError> {
    Writes::default().run(connection, false, record).await?;
    Ok(record.version)
}

/// The statements for the groups of a record that have rows. There are some dozens of texts at most, and
/// the connection keeps those in use prepared.
///
/// That one call may have several statements is a peculiarity of sqlx's driver for SQLite. Every parameter
/// is a plain `?`: sqlx hands these out across the statements in their order, but numbered ones wrongly
/// where a statement does not use the lower numbers.
#[derive(Default)]
struct Writes {
    sql: String,
    /// What is bound, in order: mostly the rows of a group, one JSON array a statement.
    groups: Vec<String>,
    /// How many rows each statement must change.
    sizes: Vec<RangeInclusive<u64>>,
}

impl Writes {
    fn batch(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.forget_titles(batch)?;
        self.delete_books(&batch.deleted)?;
        self.put_books(&batch.books)?;
        self.index_titles(&batch.books)?;
        self.set_stocks(&batch.stocks)?;
        self.insert_orders(&batch.orders)?;
        if let Some(forget) = &batch.forget {
            self.forget(forget);
        }
        if let Some(mark) = &batch.import {
            self.mark_import(mark)?;
        }
        self.insert_edit_answers(&batch.edit_answers)?;
        // Behind the orders, which they refer to.
        self.insert_answers(&batch.answers)
    }

    fn insert_epoch(
        &mut self,
        start: Version,
        lease_term_ms: i64,
        node: Option<NodeId>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO epochs (start_seq, number, identity, lease_term_ms, node)
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
                   FROM jsonb_each(?);";
        let [seq, number, identity] =
            [start.seq, start.epoch.number, start.epoch.identity].map(rows::to_column);
        let node = node.map(|node| rows::to_column(node.0));
        self.add(sql, &[(seq, number, identity, lease_term_ms, node)], |row| *row)
    }

    /// The order makes the choice the same everywhere; each index has its rows in that order.
    fn forget(&mut self, forget: &Forget) {
        let receipts = "DELETE FROM answers WHERE key IN (
                            SELECT key FROM answers
                            WHERE order_id IS NOT NULL AND stored_at_ms < CAST(? AS INTEGER)
                            ORDER BY stored_at_ms, key LIMIT CAST(? AS INTEGER));";
        let refusals = "DELETE FROM answers WHERE key IN (
                            SELECT key FROM answers
                            WHERE order_id IS NULL AND stored_at_ms < CAST(? AS INTEGER)
                            ORDER BY stored_at_ms, key LIMIT CAST(? AS INTEGER));";
        let edits = "DELETE FROM edit_answers WHERE key IN (
                         SELECT key FROM edit_answers WHERE stored_at_ms < CAST(? AS INTEGER)
                         ORDER BY stored_at_ms, key LIMIT CAST(? AS INTEGER));";
        for (sql, before_ms) in [
            (receipts, forget.answers_before_ms),
            (refusals, forget.refusals_before_ms),
            (edits, forget.answers_before_ms),
        ] {
            self.sql.push_str(sql);
            self.groups.extend([before_ms.to_string(), forget.limit.to_string()]);
            self.sizes.push(0..=forget.limit.into());
        }
    }

    /// Takes the titles of books that are deleted or replaced out of the full-text index, which needs the old
    /// ones for that: so before the books change. In order of their numbers there, like all that is done to it.
    fn forget_titles(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let ids: Vec<BookId> =
            batch.deleted.iter().copied().chain(batch.books.iter().map(|book| book.id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // Most books of an import are behind the last number ever given: those cannot be there.
        let sql = "INSERT INTO titles (titles, rowid, title)
                   SELECT 'delete', length(title) << 53 | id, title FROM books
                   WHERE id IN (SELECT value FROM json_each(?)
                                WHERE value <= (SELECT seq FROM sqlite_sequence WHERE name = 'books'))
                   ORDER BY 2;";
        self.sql.push_str(sql);
        self.groups.push(serde_json::to_string(&ids)?);
        self.sizes.push(0..=ids.len() as u64);
        Ok(())
    }

    fn index_titles(&mut self, books: &[Book]) -> Result<(), StoreError> {
        let sql = "INSERT INTO titles (rowid, title)
                   SELECT length(value ->> 1) << 53 | value ->> 0, value ->> 1 FROM jsonb_each(?) ORDER BY 1;";
        self.add(sql, books, |book| (book.id, &book.title))
    }

    fn mark_import(&mut self, mark: &ImportMark) -> Result<(), StoreError> {
        if let Some(before_ms) = mark.forget_before_ms {
            self.sql.push_str("DELETE FROM imports WHERE stored_at_ms < CAST(? AS INTEGER);");
            self.groups.push(before_ms.to_string());
            self.sizes.push(0..=u64::MAX);
        }
        let sql = "INSERT INTO imports (key, created, changed, unchanged, stored_at_ms)
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
                   FROM jsonb_each(?);";
        self.add(sql, std::slice::from_ref(mark), |mark| {
            let Imported { created, changed, unchanged } = mark.imported;
            (mark.key, created, changed, unchanged, mark.stored_at_ms)
        })
    }

    fn delete_books(&mut self, deleted: &[BookId]) -> Result<(), StoreError> {
        let sql = "DELETE FROM books WHERE id IN (SELECT value ->> 0 FROM jsonb_each(?));";
        self.add(sql, deleted, |id| (id,))
    }

    fn put_books(&mut self, books: &[Book]) -> Result<(), StoreError> {
        // "WHERE true" tells the upsert's ON from a join's.
        let sql = "INSERT INTO books (id, title, topic, stock, price_cents)
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
                   FROM jsonb_each(?) WHERE true
                   ON CONFLICT (id) DO UPDATE SET title = excluded.title, topic = excluded.topic,
                       stock = excluded.stock, price_cents = excluded.price_cents;";
        self.add(sql, books, |book| (book.id, &book.title, &book.topic, book.stock, book.price))
    }

    fn set_stocks(&mut self, stocks: &[StockLevel]) -> Result<(), StoreError> {
        let sql = "UPDATE books SET stock = level.value ->> 1
                   FROM jsonb_each(?) AS level WHERE books.id = level.value ->> 0;";
        self.add(sql, stocks, |level| (level.book_id, level.stock))
    }

    fn insert_orders(&mut self, orders: &[Order]) -> Result<(), StoreError> {
        let sql = "INSERT INTO orders (order_id, book_id, quantity, total_cents,
                                       epoch_number, epoch_identity, seq, created_at_ms)
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
                          value ->> 4, value ->> 5, value ->> 6, value ->> 7
                   FROM jsonb_each(?);";
        self.add(sql, orders, |order| {
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
    }

    fn insert_answers(&mut self, answers: &[Answer]) -> Result<(), StoreError> {
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push((answer, serde_json::to_string(&answer.outcome)?));
        }
        let sql = "INSERT INTO answers (key, book_id, quantity, offer_cents, order_id, outcome, stored_at_ms)
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
                          value ->> 4, value ->> 5, value ->> 6
                   FROM jsonb_each(?);";
        self.add(sql, &outcomes, |(answer, outcome)| {
            let order_id = answer.outcome.as_ref().ok().map(|receipt| receipt.order_id);
            let Answer { key, book_id, quantity, offer, stored_at_ms, .. } = answer;
            (key, book_id, quantity, offer, order_id, outcome, stored_at_ms)
        })
    }

    fn insert_edit_answers(&mut self, answers: &[EditAnswer]) -> Result<(), StoreError> {
        let mut texts = Vec::with_capacity(answers.len());
        for answer in answers {
            texts.push((
                answer,
                serde_json::to_string(&answer.asked)?,
                serde_json::to_string(&answer.outcome)?,
            ));
        }
        let sql = "INSERT INTO edit_answers (key, asked, outcome, stored_at_ms)
                   SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?);";
        self.add(sql, &texts, |(answer, asked, outcome)| {
            (&answer.asked.key, asked, outcome, answer.stored_at_ms)
        })
    }

    /// One statement for a group of rows, none for an empty one.
    fn add<'a, T, R: Serialize>(
        &mut self,
        sql: &'static str,
        group: &'a [T],
        row: impl Fn(&'a T) -> R,
    ) -> Result<(), StoreError> {
        if !group.is_empty() {
            self.sql.push_str(sql);
            self.groups.push(serde_json::to_string(&group.iter().map(row).collect::<Vec<R>>())?);
            let size = group.len() as u64;
            self.sizes.push(size..=size);
        }
        Ok(())
    }

    /// Runs all of them and writes `record` to the log, in one call that ends at the first error. Each row
    /// of a group must change exactly one row of its table: anything else means that this file is not
    /// what the record was made from.
    async fn run(
        self,
        connection: &mut SqliteConnection,
        begin: bool,
        record: &Record,
    ) -> Result<(), StoreError> {
        let Self { sql, groups, sizes } = self;
        let begin_sql = if begin { "BEGIN IMMEDIATE;" } else { "" };
        let sql = format!(
            "{begin_sql}{sql}
             INSERT INTO log (seq, epoch_number, epoch_identity, record) VALUES (?, ?, ?, ?)"
        );
        // Put together from constants only.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for group in groups {
            query = query.bind(group);
        }
        let query = query
            .bind(rows::to_column(record.version.seq))
            .bind(rows::to_column(record.version.epoch.number))
            .bind(rows::to_column(record.version.epoch.identity))
            .bind(serde_json::to_string(record)?);

        let mut done = connection.execute_many(query);
        if begin {
            // Its count is that of the last write before it.
            done.try_next().await?;
        }
        // The last one is the row of the log.
        for size in sizes.into_iter().chain([1..=1]) {
            let changed = done.try_next().await?.map_or(0, |statement| statement.rows_affected());
            if !size.contains(&changed) {
                return Err(StoreError::Corrupt(format!(
                    "{changed} of {} rows of a record could be changed",
                    size.end()
                )));
            }
        }
        Ok(())
    }
}

fn contradiction(record: &Record) -> StoreError {
    StoreError::Corrupt(format!("the record {} cannot follow {}", record.version, record.predecessor))
}
