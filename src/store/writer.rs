//! The one connection that writes.
//!
//! Invariant: at most one transaction is open, and it holds exactly one batch; whatever was committed
//! continues the log. The master prepares a batch, fences it, and only then commits; a batch is written
//! only in the epoch that this writer itself started.
//!
//! The writer belongs to one task, which awaits every call to its end: a statement whose future is
//! dropped is executed all the same. After that, or after a commit that failed, the state of the
//! transaction is unknown, and the writer refuses everything until it is opened anew.

use super::{StoreError, apply::apply, directory::Held, error::primary_code, log, rows};
use crate::domain::{Answer, Body, Book, Epoch, Ledger, Outcome, Record, Request, Touched, Version};
use serde::Serialize;
use sqlx::{Connection, Row, SqliteConnection};
use std::{collections::BTreeSet, sync::Arc};

#[derive(Debug)]
pub struct Writer {
    connection: SqliteConnection,
    transaction: Transaction,
    /// The epoch that [`Writer::start_epoch`] began.
    epoch: Option<Epoch>,
    /// The directory stays locked for as long as somebody can write to it.
    _held: Arc<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    Closed,
    Open,
    Unknown,
}

/// A new epoch. `record` is committed; the first batch may be committed `wait_ms` milliseconds after the
/// start, when the leases of earlier epochs have run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub record: Record,
    pub wait_ms: u64,
}

/// A decided batch. With a `record`, its transaction is open: all statements have run, and
/// [`Writer::commit`] is all that is left. Without one there was nothing to write, and none is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Of the record, or the current position where there is none.
    pub version: Version,
    pub record: Option<Record>,
    /// One for each request, in their order.
    pub outcomes: Vec<Outcome>,
    pub touched: Vec<Touched>,
}

/// What a batch is decided on.
struct Basis {
    position: Version,
    next_id: i64,
    books: Vec<Book>,
    answers: Vec<Answer>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, held: Arc<Held>) -> Self {
        Self { connection, transaction: Transaction::Closed, epoch: None, _held: held }
    }

    /// The version of the last record, that of an open transaction included.
    pub async fn position(&mut self) -> Result<Version, StoreError> {
        rows::position(&mut self.connection).await
    }

    /// Commits the start of a new epoch. Its number exceeds `at_least` and every one in the log;
    /// `epoch_identity` must be drawn at random for this start. No lease that the caller grants may run
    /// longer than `lease_term_ms`.
    pub async fn start_epoch(
        &mut self,
        epoch_identity: u64,
        at_least: u64,
        lease_term_ms: u64,
    ) -> Result<Started, StoreError> {
        self.begin().await?;
        match self.write_start(epoch_identity, at_least, lease_term_ms).await {
            Ok(started) => {
                self.commit().await?;
                self.epoch = Some(started.record.version.epoch);
                Ok(started)
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Decides `requests` in order and runs all statements of the batch. Nothing is durable or visible
    /// before [`commit`](Writer::commit). On an error nothing is left of it, and no transaction is open;
    /// [`StoreError::Constraint`] means that one of the requests is impossible.
    pub async fn prepare(&mut self, requests: &[Request], now_ms: i64) -> Result<Prepared, StoreError> {
        self.begin().await?;
        match self.write_batch(requests, now_ms).await {
            Ok(prepared) if prepared.record.is_some() => Ok(prepared),
            Ok(prepared) => {
                self.rollback().await?;
                Ok(prepared)
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Makes the prepared batch durable. If this fails the batch may or may not be there after the next
    /// open, and this writer does nothing any more.
    pub async fn commit(&mut self) -> Result<(), StoreError> {
        if self.transaction != Transaction::Open {
            return Err(StoreError::Misuse("there is no open transaction to commit"));
        }
        self.transaction = Transaction::Unknown;
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        self.transaction = Transaction::Closed;
        Ok(())
    }

    /// Drops the prepared batch, if there is one.
    pub async fn rollback(&mut self) -> Result<(), StoreError> {
        if self.transaction != Transaction::Open {
            return Ok(());
        }
        self.transaction = Transaction::Unknown;
        match sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            Ok(_) => {}
            // A full disk makes SQLite roll back by itself; this code then says that nothing is open.
            Err(error) if primary_code(&error) == Some(libsqlite3_sys::SQLITE_ERROR) => {}
            Err(error) => return Err(error.into()),
        }
        self.transaction = Transaction::Closed;
        Ok(())
    }

    /// Applies records that another master wrote, all of them in one durable transaction or none; gives
    /// the new position. [`StoreError::NotNext`] where one does not follow the one before.
    pub async fn apply(&mut self, records: &[Record]) -> Result<Version, StoreError> {
        self.begin().await?;
        match self.write_records(records).await {
            Ok(position) => {
                self.commit().await?;
                Ok(position)
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Moves what the WAL holds into the file, as far as readers allow, and closes. Close the
    /// [`Store`](super::Store) first. An open transaction is rolled back.
    pub async fn checkpoint_and_close(mut self) -> Result<(), StoreError> {
        self.rollback().await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        match self.transaction {
            Transaction::Closed => {}
            Transaction::Open => return Err(StoreError::Misuse("the batch before this one is still open")),
            Transaction::Unknown => return Err(StoreError::Misuse("a commit failed; open the store again")),
        }
        // Immediate: a deferred transaction that turns to writing is refused, however long it would wait.
        self.transaction = Transaction::Unknown;
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await;
        self.transaction = if begun.is_ok() { Transaction::Open } else { Transaction::Closed };
        begun?;
        Ok(())
    }

    /// Rolls back and hands `error` on; should the roll-back fail as well, the next call says so.
    async fn give_up(&mut self, error: StoreError) -> StoreError {
        self.rollback().await.ok();
        error
    }

    async fn write_start(
        &mut self,
        identity: u64,
        at_least: u64,
        lease_term_ms: u64,
    ) -> Result<Started, StoreError> {
        let predecessor = rows::position(&mut self.connection).await?;
        let wait_ms = log::longest_open_lease_ms(&mut self.connection).await?;
        let number = at_least
            .max(predecessor.epoch.number)
            .checked_add(1)
            .ok_or(StoreError::Misuse("there is no epoch behind the last one"))?;
        let version = Version::new(Epoch { number, identity }, predecessor.next().seq);
        let record = Record { version, predecessor, body: Body::Start { lease_term_ms } };
        apply(&mut self.connection, predecessor, &record).await?;
        Ok(Started { record, wait_ms })
    }

    async fn write_batch(&mut self, requests: &[Request], now_ms: i64) -> Result<Prepared, StoreError> {
        let Basis { position, next_id, books, answers } = self.read_basis(requests).await?;
        if self.epoch != Some(position.epoch) {
            return Err(StoreError::Misuse("a batch needs an epoch that this writer has started"));
        }
        let version = position.next();
        let mut ledger = Ledger::new(version, now_ms, next_id, books, answers);
        let mut outcomes: Vec<Outcome> = requests.iter().map(|request| ledger.decide(request)).collect();
        let (batch, touched) = ledger.finish();
        if batch.is_empty() {
            // An edit that changes nothing succeeds, but the version that it was promised never comes.
            for outcome in &mut outcomes {
                if let Outcome::Edit(Ok(edited)) = outcome {
                    edited.version = position;
                }
            }
            return Ok(Prepared { version: position, record: None, outcomes, touched });
        }
        let record = Record { version, predecessor: position, body: Body::Batch(batch) };
        apply(&mut self.connection, position, &record).await?;
        Ok(Prepared { version, record: Some(record), outcomes, touched })
    }

    async fn write_records(&mut self, records: &[Record]) -> Result<Version, StoreError> {
        let mut position = rows::position(&mut self.connection).await?;
        for record in records {
            position = apply(&mut self.connection, position, record).await?;
        }
        Ok(position)
    }

    async fn read_basis(&mut self, requests: &[Request]) -> Result<Basis, StoreError> {
        let row = sqlx::query(
            "SELECT epoch_number, epoch_identity, seq,
                    (SELECT seq FROM sqlite_sequence WHERE name = 'books')
             FROM log ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(&mut self.connection)
        .await?
        .ok_or_else(rows::empty_log)?;
        let highest_id: Option<i64> = row.try_get(3)?;
        Ok(Basis {
            position: rows::version(&row, 0)?,
            next_id: highest_id.unwrap_or(0).saturating_add(1),
            books: self.read_books(requests).await?,
            answers: self.read_answers(requests).await?,
        })
    }

    async fn read_books(&mut self, requests: &[Request]) -> Result<Vec<Book>, StoreError> {
        let Some(ids) = distinct(requests.iter().filter_map(Request::book_id))? else {
            return Ok(Vec::new());
        };
        let found = sqlx::query(
            "SELECT id, title, topic, stock, price_cents FROM books
             WHERE id IN (SELECT value FROM json_each(?1))",
        )
        .bind(ids)
        .fetch_all(&mut self.connection)
        .await?;
        found.iter().filter_map(|row| rows::book(row, 0).transpose()).collect()
    }

    async fn read_answers(&mut self, requests: &[Request]) -> Result<Vec<Answer>, StoreError> {
        let Some(keys) = distinct(requests.iter().filter_map(Request::key))? else {
            return Ok(Vec::new());
        };
        let found = sqlx::query(
            "SELECT key, book_id, quantity, offer_cents, outcome, stored_at_ms FROM answers
             WHERE key IN (SELECT value FROM json_each(?1))",
        )
        .bind(keys)
        .fetch_all(&mut self.connection)
        .await?;
        found.iter().map(rows::answer).collect()
    }
}

/// A JSON array of the values without repetition, `None` where there are none.
fn distinct<T: Ord + Serialize>(values: impl Iterator<Item = T>) -> Result<Option<String>, StoreError> {
    let values: BTreeSet<T> = values.collect();
    if values.is_empty() { Ok(None) } else { Ok(Some(serde_json::to_string(&values)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{BookId, IdempotencyKey, OrderId, Purchase, Quantity},
        store::DataDir,
    };

    fn purchases(numbers: std::ops::Range<u128>) -> Vec<Request> {
        numbers
            .map(|n| {
                Request::Purchase(Purchase {
                    order_id: OrderId::from_random(n),
                    key: IdempotencyKey::parse(format!("{n:0200}")).unwrap(),
                    book_id: BookId::new(9).unwrap(),
                    quantity: Quantity::ONE,
                    offer: None,
                })
            })
            .collect()
    }

    async fn limit_pages(writer: &mut Writer, sql: &'static str) {
        sqlx::query(sql).execute(&mut writer.connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_refuses_a_batch_and_the_next_one_may_fit_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let (store, mut writer) = DataDir::lock(dir.path(), "test").unwrap().open(1).await.unwrap();
        let position = writer.start_epoch(1, 0, 0).await.unwrap().record.version;
        limit_pages(&mut writer, "PRAGMA max_page_count = 1").await;
        let refused = writer.prepare(&purchases(0..500), 0).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        assert_eq!(writer.position().await.unwrap(), position);

        limit_pages(&mut writer, "PRAGMA max_page_count = 100000").await;
        let prepared = writer.prepare(&purchases(0..500), 0).await.unwrap();
        writer.commit().await.unwrap();
        assert_eq!(store.position().await.unwrap(), prepared.version);
    }

    #[tokio::test]
    async fn a_statement_that_was_abandoned_half_way_leaves_a_writer_that_refuses_everything() {
        let dir = tempfile::TempDir::new().unwrap();
        let data = DataDir::lock(dir.path(), "test").unwrap();
        let (_store, mut writer) = data.open(1).await.unwrap();
        writer.start_epoch(1, 0, 0).await.unwrap();
        writer.prepare(&purchases(0..1), 0).await.unwrap();
        {
            // Polled once, as a time-out that fires would leave it.
            let mut commit = std::pin::pin!(writer.commit());
            assert!(futures_util::poll!(&mut commit).is_pending());
        }
        assert!(matches!(writer.commit().await, Err(StoreError::Misuse(_))));
        assert!(matches!(writer.prepare(&[], 0).await, Err(StoreError::Misuse(_))));
        assert!(matches!(writer.apply(&[]).await, Err(StoreError::Misuse(_))));
    }
}
