//! What a range of rows adds up to: how a replica finds out that its rows are not the master's.
//!
//! Invariant: equal rows give equal sums, whatever file they lie in and however they came there: rows are
//! taken in order of their keys, each as the JSON array of its columns. The ranges of one walk leave no key
//! out, and what is in a table beyond its last row belongs to its last range.

use super::StoreError;
use crate::domain::{RangeDigest, Sha256Sum, Table};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

/// Rows in one range: some 10 ms of the writer's time.
const RANGE_ROWS: u64 = 5_000;

/// Where the next range of a walk begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    table: Table,
    after: Option<String>,
}

impl Cursor {
    pub const FIRST: Cursor = Cursor { table: Table::ALL[0], after: None };
}

/// The digest of the range at `cursor`, and where the one behind it begins.
pub(super) async fn of_range(
    connection: &mut SqliteConnection,
    cursor: Cursor,
) -> Result<(RangeDigest, Option<Cursor>), StoreError> {
    let Cursor { table, after } = cursor;
    let mut sum = Sum::default();
    sum.rows(connection, table, after.as_deref(), None, RANGE_ROWS).await?;
    let (last, next) = match sum.rows < RANGE_ROWS {
        true => {
            sum.end(connection, table).await?;
            let next = Table::ALL.iter().skip_while(|&&known| known != table).nth(1);
            (None, next.map(|&table| Cursor { table, after: None }))
        }
        false => (sum.last.clone(), Some(Cursor { table, after: sum.last.clone() })),
    };
    let digest = RangeDigest { table, after, last, rows: sum.rows, sha256: sum.finish() };
    Ok((digest, next))
}

/// [`StoreError::Diverged`] unless the rows here are those of `digest`.
pub(super) async fn compare(
    connection: &mut SqliteConnection,
    digest: &RangeDigest,
) -> Result<(), StoreError> {
    let RangeDigest { table, after, last, rows, sha256 } = digest;
    let mut sum = Sum::default();
    // One row too many is enough to differ.
    sum.rows(connection, *table, after.as_deref(), last.as_deref(), rows.saturating_add(1)).await?;
    if last.is_none() {
        sum.end(connection, *table).await?;
    }
    match sum.rows == *rows && sum.finish() == *sha256 {
        true => Ok(()),
        false => Err(StoreError::Diverged(Box::new(digest.clone()))),
    }
}

#[derive(Default)]
struct Sum {
    sha256: Sha256,
    rows: u64,
    last: Option<String>,
}

impl Sum {
    /// Adds the rows behind `after` up to `last`, at most `limit`.
    async fn rows(
        &mut self,
        connection: &mut SqliteConnection,
        table: Table,
        after: Option<&str>,
        last: Option<&str>,
        limit: u64,
    ) -> Result<(), StoreError> {
        // As bytes: what is not even text at a damaged node must give another sum, not an error.
        let sql = |key: &str, columns: &str| {
            format!(
                "SELECT CAST({key} AS TEXT), CAST(json_array({columns}) AS BLOB) FROM {}
                 WHERE {key} > ? AND {key} <= ? ORDER BY {key} LIMIT ?",
                table.name()
            )
        };
        let sql = match table {
            Table::Books => sql("id", "id, title, topic, stock, price_cents"),
            Table::Orders => sql(
                "order_id",
                "order_id, book_id, quantity, total_cents, epoch_number, epoch_identity, seq, created_at_ms",
            ),
            Table::Answers => {
                sql("key", "key, book_id, quantity, offer_cents, order_id, outcome, stored_at_ms")
            }
            Table::Imports => sql("key", "key, created, changed, unchanged, stored_at_ms"),
            Table::EditAnswers => sql("key", "key, asked, outcome, stored_at_ms"),
        };
        // Put together from constants only.
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = match table {
            Table::Books => {
                let number = |key: Option<&str>, end: i64| key.map_or(Ok(end), str::parse::<i64>);
                let bounds = number(after, 0).and_then(|after| Ok((after, number(last, i64::MAX)?)));
                let (after, last) = bounds.map_err(|_| StoreError::Corrupt("a book has no number".into()))?;
                query.bind(after).bind(last)
            }
            Table::Orders | Table::Answers | Table::Imports | Table::EditAnswers => {
                let query = query.bind(after.unwrap_or_default().to_owned());
                match last {
                    Some(last) => query.bind(last.to_owned()),
                    // Every text comes before every blob.
                    None => query.bind(Vec::<u8>::new()),
                }
            }
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = query.bind(limit).fetch(connection);
        let mut last = None;
        while let Some(row) = found.try_next().await? {
            self.sha256.update(row.try_get::<&[u8], _>(1)?);
            self.sha256.update(b"\n");
            self.rows += 1;
            last = Some(row);
        }
        self.last = last.map(|row| row.try_get(0)).transpose()?;
        Ok(())
    }

    /// Adds what belongs to a table and is in no row.
    async fn end(&mut self, connection: &mut SqliteConnection, table: Table) -> Result<(), StoreError> {
        if table == Table::Books {
            let highest: Option<i64> =
                sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'books'")
                    .fetch_optional(connection)
                    .await?;
            self.sha256.update(format!("highest {}\n", highest.unwrap_or(0)));
        }
        Ok(())
    }

    fn finish(self) -> Sha256Sum {
        Sha256Sum(self.sha256.finalize().into())
    }
}
