//! A part of an import: the same transaction as a batch of requests, on books that come by the thousand.
//!
//! Invariant: the books of a part, the mark that it is done, and the log record commit together; a part whose
//! mark is there is not done again, and none is done before the one before it.

use super::{Basis, Decided, Transaction, Writer};
use crate::domain::{Body, Import, ImportKey, ImportMark, ImportOutcome, Imported, Ledger, Record, Version};
use crate::store::{StoreError, apply::apply, rows};
use sqlx::{Row, sqlite::SqliteRow};

/// Begins, and reads the marks of the part and of the one before it, and the books that it may replace.
/// Numbers behind the highest one ever given are no book's, and are not looked for.
const BEGIN_AND_READ: &str = "BEGIN IMMEDIATE;
    SELECT 'mark', key, created, changed, unchanged FROM imports WHERE key IN (?, ?);
    SELECT 'book', id, title, topic, stock, price_cents FROM books
    WHERE id IN (SELECT value FROM json_each(?)
                 WHERE value <= (SELECT seq FROM sqlite_sequence WHERE name = 'books'));
    SELECT 'highest', seq FROM sqlite_sequence WHERE name = 'books'";

/// A decided part. Its outcome counts only when `prepared` is committed.
pub struct PreparedImport {
    pub prepared: Decided,
    pub outcome: ImportOutcome,
}

impl Writer {
    /// Decides a part of an import and runs all its statements; like [`prepare`](Writer::prepare), this leaves
    /// a transaction open if, and only if, there is a record. Marks older than `forget_before_ms` are
    /// forgotten with it.
    pub async fn prepare_import(
        &mut self,
        import: Import,
        now_ms: i64,
        forget_before_ms: Option<i64>,
    ) -> Result<PreparedImport, StoreError> {
        let position = self.master_position().await?;
        self.transaction = Transaction::Unknown;
        match self.write_import(position, import, now_ms, forget_before_ms).await {
            Ok(decided) if decided.prepared.record.is_some() => {
                self.transaction = Transaction::Open(decided.prepared.version);
                Ok(decided)
            }
            Ok(decided) => {
                self.end_without_changes().await?;
                self.transaction = Transaction::Closed(Some(position));
                Ok(decided)
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    async fn write_import(
        &mut self,
        position: Version,
        import: Import,
        now_ms: i64,
        forget_before_ms: Option<i64>,
    ) -> Result<PreparedImport, StoreError> {
        let Import { key, after, lines } = import;
        let ids: Vec<i64> = lines.iter().filter_map(|line| line.id).map(|id| id.get()).collect();
        let found = sqlx::query(BEGIN_AND_READ)
            .bind(key.0.to_string())
            .bind(after.map(|after| after.0.to_string()))
            .bind(serde_json::to_string(&ids)?)
            .fetch_all(&mut self.connection)
            .await?;
        let (basis, marks) = read(&found)?;
        let marked = |key: ImportKey| marks.iter().find(|(marked, _)| *marked == key);
        let nothing = |outcome| {
            let (outcomes, touched) = (Vec::new(), Vec::new());
            PreparedImport {
                prepared: Decided { version: position, record: None, outcomes, touched },
                outcome,
            }
        };
        if let Some(&(_, imported)) = marked(key) {
            return Ok(nothing(ImportOutcome::Before(imported)));
        }
        if after.is_some_and(|after| marked(after).is_none()) {
            return Ok(nothing(ImportOutcome::OutOfOrder));
        }

        let version = position.next();
        let next_id = basis.highest_id.saturating_add(1);
        let mut ledger = Ledger::new(version, now_ms, next_id, basis.books, Vec::new());
        let imported = ledger.import(lines)?;
        let (mut batch, touched) = ledger.finish();
        batch.import = Some(ImportMark { key, imported, stored_at_ms: now_ms, forget_before_ms });
        let record = Record { version, predecessor: position, body: Body::Batch(batch) };
        apply(&mut self.connection, false, position, &record).await?;
        let prepared = Decided { version, record: Some(record), outcomes: Vec::new(), touched };
        Ok(PreparedImport { prepared, outcome: ImportOutcome::Done(imported) })
    }
}

fn read(found: &[SqliteRow]) -> Result<(Basis, Vec<(ImportKey, Imported)>), StoreError> {
    let (mut basis, mut marks) = (Basis::default(), Vec::new());
    for row in found {
        match row.try_get(0)? {
            "mark" => {
                let key = ImportKey(row.try_get::<&str, _>(1)?.parse()?);
                let (created, changed, unchanged) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
                marks.push((key, Imported { created, changed, unchanged }));
            }
            "book" => basis.books.extend(rows::book(row, 1)?),
            _ => basis.highest_id = row.try_get(1)?,
        }
    }
    Ok((basis, marks))
}
