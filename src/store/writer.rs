//! The one connection that writes.
//!
//! Invariant: at most one transaction is open, and it holds exactly one batch; whatever was committed
//! continues the log. The master decides a batch, writes and fences it, and only then commits; a batch is written
//! only in the epoch that this writer itself started.
//!
//! The writer belongs to one task, which awaits every call to its end: a statement whose future is
//! dropped may be executed all the same. After that, or after a commit whose outcome is in doubt, the state
//! of the transaction is unknown, and the writer refuses everything until it is opened anew.
//!
//! A call to the connection's thread and back costs more than what SQLite does for a small batch.
//! Therefore a batch is one call that begins and reads, one that writes, and the commit; and the writer,
//! which nobody else writes beside, remembers where the log stands.

mod import;

use super::{
    Standing, StoreError,
    apply::{append, apply},
    digest::{self, Cursor},
    directory::Held,
    epochs,
    error::primary_code,
    rows,
};
use crate::domain::{
    Answer, Body, Book, EditAnswer, Epoch, Forget, Ledger, NodeId, Outcome, Record, Request, Touched, Version,
};
use serde::Serialize;
use sqlx::{Connection, Row, SqliteConnection};
use std::{collections::BTreeSet, sync::Arc};

pub use import::PreparedImport;

/// Begins, and reads what a batch is decided on. Immediate: a deferred transaction that turns to writing
/// is refused, however long it would wait. The first column says what a row is. Parameters: the keys, the
/// numbers of the books, whether the highest number is needed.
const BEGIN_AND_READ: &str = "BEGIN IMMEDIATE;
    SELECT 'answer', key, book_id, quantity, offer_cents, outcome, stored_at_ms FROM answers
    WHERE key IN (SELECT value FROM json_each(?));
    SELECT 'book', id, title, topic, stock, price_cents FROM books
    WHERE id IN (SELECT value FROM json_each(?));
    SELECT 'highest', seq FROM sqlite_sequence WHERE name = 'books' AND ?";

/// Records that are removed from the log in one transaction: a few milliseconds.
const TRIM_STEP: u64 = 512;

#[derive(Debug)]
pub struct Writer {
    connection: SqliteConnection,
    transaction: Transaction,
    /// The epoch that [`Writer::start_epoch`] began.
    epoch: Option<Epoch>,
    /// Whether this writer has written its seal.
    sealed: bool,
    /// The first record that the log still has; `None` until it was asked for.
    oldest: Option<u64>,
    /// The directory stays locked for as long as somebody can write to it.
    _held: Arc<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    /// None is open. Where the log stands; `None` where that has to be read, as after an error.
    Closed(Option<Version>),
    /// One is open, for a batch that was decided behind this version and is not written.
    Decided(Version),
    /// All statements have run, and the log stands here with them.
    Open(Version),
    /// Statements are under way, or failed and could not be rolled back, or were abandoned.
    Unknown,
}

/// What a master says of itself when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEpoch {
    /// Drawn at random for this start.
    pub identity: u64,
    /// The new number exceeds this and every one in the log.
    pub at_least: u64,
    /// No lease that the master grants runs longer.
    pub lease_term_ms: u64,
    pub node: NodeId,
}

/// A new epoch. `record` is committed; the first batch may be committed `wait_ms` milliseconds after the
/// start, when the leases of earlier epochs have run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub record: Record,
    pub wait_ms: u64,
}

/// When the oldest stored answers were stored, in milliseconds since 1970; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldestAnswers {
    /// An answer to an edit is kept as long as a receipt.
    pub receipt_ms: Option<i64>,
    pub refusal_ms: Option<i64>,
}

/// A decided batch. With a `record`, its transaction is open, and [`Writer::write`] and [`Writer::commit`] are
/// what is left. Without one there was nothing to write, and none is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Of the record, or the current position where there is none.
    pub version: Version,
    pub record: Option<Record>,
    /// One for each request, in their order.
    pub outcomes: Vec<Outcome>,
    pub touched: Vec<Touched>,
}

/// What a batch is decided on.
#[derive(Default)]
struct Basis {
    /// 0 unless a request creates a book.
    highest_id: i64,
    books: Vec<Book>,
    answers: Vec<Answer>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, held: Arc<Held>) -> Self {
        Self {
            connection,
            transaction: Transaction::Closed(None),
            epoch: None,
            sealed: false,
            oldest: None,
            _held: held,
        }
    }

    /// The version of the last record, that of an open transaction included.
    pub async fn position(&mut self) -> Result<Version, StoreError> {
        if let Transaction::Closed(Some(position))
        | Transaction::Decided(position)
        | Transaction::Open(position) = self.transaction
        {
            return Ok(position);
        }
        let position = rows::position(&mut self.connection).await?;
        if self.transaction == Transaction::Closed(None) {
            self.transaction = Transaction::Closed(Some(position));
        }
        Ok(position)
    }

    /// What the file says about who may be master of it.
    pub async fn standing(&mut self) -> Result<Standing, StoreError> {
        epochs::standing(&mut self.connection).await
    }

    /// Remembers durably that the epoch `by` has deposed the last master of this history. It counts until
    /// the log has that epoch or a later one.
    pub async fn set_deposed(&mut self, by: Epoch) -> Result<(), StoreError> {
        let position = self.closed_position().await?;
        self.transaction = Transaction::Unknown;
        match epochs::set_deposed(&mut self.connection, by).await {
            Ok(()) => {
                self.transaction = Transaction::Open(position);
                self.commit().await
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// When the oldest stored answers were stored.
    pub async fn oldest_answers(&mut self) -> Result<OldestAnswers, StoreError> {
        let row = sqlx::query(
            "SELECT min(stored_at_ms), (SELECT min(stored_at_ms) FROM answers WHERE order_id IS NULL)
             FROM (SELECT min(stored_at_ms) AS stored_at_ms FROM answers WHERE order_id IS NOT NULL
                   UNION ALL SELECT min(stored_at_ms) FROM edit_answers)",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(OldestAnswers { receipt_ms: row.try_get(0)?, refusal_ms: row.try_get(1)? })
    }

    /// Removes the oldest records of the log, a step of them in a transaction of its own, if so many lie
    /// before the record `keep_from`. The last record always stays. Returns whether it did, and may so find
    /// more.
    pub async fn trim_log(&mut self, keep_from: u64) -> Result<bool, StoreError> {
        let position = self.closed_position().await?;
        let oldest = match self.oldest {
            Some(oldest) => oldest,
            None => self.read_oldest().await?,
        };
        if keep_from.min(position.seq).saturating_sub(oldest) < TRIM_STEP {
            return Ok(false);
        }
        self.transaction = Transaction::Unknown;
        let delete = sqlx::query("BEGIN IMMEDIATE; DELETE FROM log WHERE seq < ?")
            .bind(rows::to_column(oldest + TRIM_STEP))
            .execute(&mut self.connection)
            .await;
        if let Err(error) = delete {
            return Err(self.give_up(error.into()).await);
        }
        self.transaction = Transaction::Open(position);
        self.commit().await?;
        self.oldest = Some(oldest + TRIM_STEP);
        Ok(true)
    }

    async fn read_oldest(&mut self) -> Result<u64, StoreError> {
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT min(seq) FROM log").fetch_one(&mut self.connection).await?;
        let oldest = oldest.map(i64::cast_unsigned).ok_or_else(rows::empty_log)?;
        self.oldest = Some(oldest);
        Ok(oldest)
    }

    /// Commits the start of a new epoch.
    pub async fn start_epoch(&mut self, new: NewEpoch) -> Result<Started, StoreError> {
        let predecessor = self.closed_position().await?;
        let wait_ms = epochs::longest_open_lease_ms(&mut self.connection, predecessor).await?;
        let number = new
            .at_least
            .max(predecessor.epoch.number)
            .checked_add(1)
            .ok_or(StoreError::Misuse("there is no epoch behind the last one"))?;
        let epoch = Epoch { number, identity: new.identity };
        let version = Version::new(epoch, predecessor.next().seq);
        let body = Body::Start { lease_term_ms: new.lease_term_ms, node: Some(new.node) };
        let record = Record { version, predecessor, body };
        self.apply(std::slice::from_ref(&record)).await?;
        self.epoch = Some(epoch);
        self.sealed = false;
        Ok(Started { record, wait_ms })
    }

    /// Commits the last record of this master, which hands over to `heir`: every later batch or seal of this
    /// writer is [`StoreError::Sealed`]. Like a batch, it may be written only when the wait of the start is
    /// over.
    pub async fn seal(&mut self, heir: NodeId) -> Result<Record, StoreError> {
        let predecessor = self.master_position().await?;
        let record = Record { version: predecessor.next(), predecessor, body: Body::Seal { heir } };
        self.apply(std::slice::from_ref(&record)).await?;
        self.sealed = true;
        Ok(record)
    }

    /// Commits a record of what the range of rows at `cursor` adds up to, so that whoever applies it compares
    /// its own. Returns it, and where the next range begins. Like a batch, it may be written only when the
    /// wait of the start is over.
    pub async fn digest_range(&mut self, cursor: Cursor) -> Result<(Record, Option<Cursor>), StoreError> {
        let position = self.master_position().await?;
        self.transaction = Transaction::Unknown;
        match self.write_digest(position, cursor).await {
            Ok((record, next)) => {
                self.transaction = Transaction::Open(record.version);
                self.commit().await?;
                Ok((record, next))
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    async fn write_digest(
        &mut self,
        predecessor: Version,
        cursor: Cursor,
    ) -> Result<(Record, Option<Cursor>), StoreError> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let (range, next) = digest::of_range(&mut self.connection, cursor).await?;
        let record = Record { version: predecessor.next(), predecessor, body: Body::Digest(range) };
        append(&mut self.connection, &record).await?;
        Ok((record, next))
    }

    /// Decides `requests` in order, on the state in which the batch will be written. On an error no transaction
    /// is open.
    pub async fn decide(
        &mut self,
        requests: &[Request],
        now_ms: i64,
        forget: Option<Forget>,
    ) -> Result<Decided, StoreError> {
        let position = self.master_position().await?;
        self.transaction = Transaction::Unknown;
        match self.begin_and_decide(position, requests, now_ms, forget).await {
            Ok(decided) if decided.record.is_some() => {
                self.transaction = Transaction::Decided(position);
                Ok(decided)
            }
            Ok(decided) => {
                self.end_without_changes().await?;
                // Nothing was written, so nothing is in doubt.
                self.transaction = Transaction::Closed(Some(position));
                Ok(decided)
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// Runs all statements of the batch that was decided; `record` is its record. Nothing is durable or visible
    /// before [`commit`](Writer::commit). On an error nothing is left of it, and no transaction is open;
    /// [`StoreError::Constraint`] means that one of the requests is impossible.
    pub async fn write(&mut self, record: &Record) -> Result<(), StoreError> {
        let Transaction::Decided(position) = self.transaction else {
            return Err(StoreError::Misuse("there is no decided batch to write"));
        };
        self.transaction = Transaction::Unknown;
        match apply(&mut self.connection, false, position, record).await {
            Ok(position) => {
                self.transaction = Transaction::Open(position);
                Ok(())
            }
            Err(error) => Err(self.give_up(error).await),
        }
    }

    /// [Decides](Writer::decide) and [writes](Writer::write), for what need not be fenced meanwhile.
    pub async fn prepare(
        &mut self,
        requests: &[Request],
        now_ms: i64,
        forget: Option<Forget>,
    ) -> Result<Decided, StoreError> {
        let decided = self.decide(requests, now_ms, forget).await?;
        if let Some(record) = &decided.record {
            self.write(record).await?;
        }
        Ok(decided)
    }

    /// Makes the written batch durable. [`StoreError::Full`]: nothing is left of it, no transaction is open,
    /// and the next batch gets the version that this one would have had. (Nobody has seen that version:
    /// records are sent only when they are committed. All that a fence has done is to raise floors, and
    /// whatever has the version later shows everything before it.) After any other error the batch may or
    /// may not be there at the next open, and this writer does nothing any more.
    pub async fn commit(&mut self) -> Result<(), StoreError> {
        let Transaction::Open(position) = self.transaction else {
            return Err(StoreError::Misuse("there is no open transaction to commit"));
        };
        self.transaction = Transaction::Unknown;
        match sqlx::query("COMMIT").execute(&mut self.connection).await.map_err(StoreError::of_commit) {
            Ok(_) => {
                self.transaction = Transaction::Closed(Some(position));
                Ok(())
            }
            // SQLite has rolled back by itself; that is made sure of, and the position read anew.
            Err(error @ StoreError::Full(_)) => Err(self.give_up(error).await),
            Err(error) => Err(error),
        }
    }

    /// Drops the batch that is decided or written, if there is one.
    pub async fn rollback(&mut self) -> Result<(), StoreError> {
        if !matches!(self.transaction, Transaction::Decided(_) | Transaction::Open(_)) {
            return Ok(());
        }
        self.end_without_changes().await
    }

    /// Applies records that another master wrote, all of them in one durable transaction or none; gives
    /// the new position. [`StoreError::NotNext`] where one does not follow the one before.
    pub async fn apply(&mut self, records: &[Record]) -> Result<Version, StoreError> {
        let position = self.closed_position().await?;
        if records.is_empty() {
            return Ok(position);
        }
        self.transaction = Transaction::Unknown;
        match self.write_records(position, records).await {
            Ok(position) => {
                self.transaction = Transaction::Open(position);
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

    /// Where the next transaction begins; refused unless one may.
    async fn closed_position(&mut self) -> Result<Version, StoreError> {
        match self.transaction {
            Transaction::Closed(_) => self.position().await,
            Transaction::Decided(_) | Transaction::Open(_) => {
                Err(StoreError::Misuse("the batch before this one is still open"))
            }
            Transaction::Unknown => Err(StoreError::Misuse("a commit failed; open the store again")),
        }
    }

    /// Where the next record of this writer's own epoch begins.
    async fn master_position(&mut self) -> Result<Version, StoreError> {
        let position = self.closed_position().await?;
        if self.sealed {
            return Err(StoreError::Sealed);
        }
        if self.epoch != Some(position.epoch) {
            return Err(StoreError::Misuse("a record needs an epoch that this writer has started"));
        }
        Ok(position)
    }

    /// Rolls back and hands `error` on; should the roll-back fail as well, the next call says so.
    async fn give_up(&mut self, error: StoreError) -> StoreError {
        self.end_without_changes().await.ok();
        error
    }

    /// Rolls back whatever is open, if anything is.
    async fn end_without_changes(&mut self) -> Result<(), StoreError> {
        self.transaction = Transaction::Unknown;
        match sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            Ok(_) => {}
            // This code then says that nothing is open: the beginning failed, or a full disk made SQLite
            // roll back by itself.
            Err(error) if primary_code(&error) == Some(libsqlite3_sys::SQLITE_ERROR) => {}
            Err(error) => return Err(error.into()),
        }
        self.transaction = Transaction::Closed(None);
        Ok(())
    }

    async fn begin_and_decide(
        &mut self,
        position: Version,
        requests: &[Request],
        now_ms: i64,
        forget: Option<Forget>,
    ) -> Result<Decided, StoreError> {
        let Basis { highest_id, books, answers } = self.begin_and_read(requests).await?;
        let edit_answers = self.read_edit_answers(requests).await?;
        let version = position.next();
        let mut ledger = Ledger::new(version, now_ms, highest_id.saturating_add(1), books, answers)
            .with_edit_answers(edit_answers);
        let mut outcomes: Vec<Outcome> = requests.iter().map(|request| ledger.decide(request)).collect();
        let (mut batch, touched) = ledger.finish();
        batch.forget = forget;
        if batch.is_empty() {
            // An edit that changes nothing succeeds, but the version that it was promised never comes.
            for outcome in &mut outcomes {
                if let Outcome::Edit(Ok(edited)) = outcome {
                    edited.version = position;
                }
            }
            return Ok(Decided { version: position, record: None, outcomes, touched });
        }
        let record = Record { version, predecessor: position, body: Body::Batch(batch) };
        Ok(Decided { version, record: Some(record), outcomes, touched })
    }

    /// Begins with the first record.
    async fn write_records(
        &mut self,
        mut position: Version,
        records: &[Record],
    ) -> Result<Version, StoreError> {
        for (n, record) in records.iter().enumerate() {
            position = apply(&mut self.connection, n == 0, position, record).await?;
        }
        Ok(position)
    }

    async fn begin_and_read(&mut self, requests: &[Request]) -> Result<Basis, StoreError> {
        let found = sqlx::query(BEGIN_AND_READ)
            .bind(distinct(requests.iter().filter_map(Request::key))?)
            .bind(distinct(requests.iter().filter_map(Request::book_id))?)
            .bind(requests.iter().any(Request::creates))
            .fetch_all(&mut self.connection)
            .await?;
        let mut basis = Basis::default();
        for row in &found {
            match row.try_get(0)? {
                "answer" => basis.answers.push(rows::answer(row, 1)?),
                "book" => basis.books.extend(rows::book(row, 1)?),
                _ => basis.highest_id = row.try_get(1)?,
            }
        }
        Ok(basis)
    }

    /// A call of its own, and only where somebody edits: nearly every batch is of purchases alone.
    async fn read_edit_answers(&mut self, requests: &[Request]) -> Result<Vec<EditAnswer>, StoreError> {
        if requests.iter().all(|request| request.edit_key().is_none()) {
            return Ok(Vec::new());
        }
        let sql = "SELECT asked, outcome, stored_at_ms FROM edit_answers
                   WHERE key IN (SELECT value FROM json_each(?))";
        let keys = distinct(requests.iter().filter_map(Request::edit_key))?;
        let found = sqlx::query(sql).bind(keys).fetch_all(&mut self.connection).await?;
        found.iter().map(|row| rows::edit_answer(row, 0)).collect()
    }
}

/// A JSON array of the values without repetition.
fn distinct<T: Ord + Serialize>(values: impl Iterator<Item = T>) -> Result<String, StoreError> {
    Ok(serde_json::to_string(&values.collect::<BTreeSet<T>>())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{BookId, IdempotencyKey, OrderId, Purchase, Quantity},
        store::DataDir,
    };

    const EPOCH: NewEpoch = NewEpoch { identity: 1, at_least: 0, lease_term_ms: 0, node: NodeId(1) };

    fn purchases(numbers: std::ops::Range<u128>) -> Vec<Request> {
        numbers
            .map(|n| {
                Request::Purchase(Purchase {
                    order_id: OrderId::draw(0, n),
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
        let position = writer.start_epoch(EPOCH).await.unwrap().record.version;
        limit_pages(&mut writer, "PRAGMA max_page_count = 1").await;
        let refused = writer.prepare(&purchases(0..500), 0, None).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        assert_eq!(writer.position().await.unwrap(), position);

        limit_pages(&mut writer, "PRAGMA max_page_count = 100000").await;
        let prepared = writer.prepare(&purchases(0..500), 0, None).await.unwrap();
        writer.commit().await.unwrap();
        assert_eq!(store.position().await.unwrap(), prepared.version);
    }

    /// The limit of a file's size is one of the whole process, so this test runs in one of its own.
    #[test]
    fn a_commit_that_the_disk_refuses_at_any_byte_leaves_a_writer_that_goes_on() {
        const ALONE: &str = "BAZAR_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            return runtime.block_on(refuse_commits());
        }
        // Who ignores the signal gets an error for a write beyond the limit.
        let alone = std::process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" --exact \"$1\" --test-threads 1"])
            .arg(std::env::current_exe().unwrap())
            .arg(std::thread::current().name().unwrap())
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && said.contains("1 passed"), "{said}");
    }

    async fn refuse_commits() {
        const FRAME: u64 = 4096 + 24;
        let dir = tempfile::TempDir::new().unwrap();
        let data = DataDir::lock(dir.path(), "test").unwrap();
        let (store, mut writer) = data.open(1).await.unwrap();
        writer.start_epoch(EPOCH).await.unwrap();
        let wal = crate::store::current_file(dir.path()).unwrap().with_file_name("bazar.db-wal");
        let size = || std::fs::metadata(&wal).unwrap().len();
        let before = size();
        writer.prepare(&purchases(0..1), 0, None).await.unwrap();
        writer.commit().await.unwrap();
        let frames = (size() - before) / FRAME;
        let position = writer.position().await.unwrap();

        // From nothing to all but the last byte of the commit's own frame.
        let fits = (0..frames).flat_map(|n| [n * FRAME, n * FRAME + 24, n * FRAME + 2000]);
        for fits in fits.chain([frames * FRAME - 1]) {
            limit_files(Some(size().min(before + frames * FRAME) + fits));
            let prepared = writer.prepare(&purchases(1..2), 0, None).await.unwrap();
            assert_eq!(prepared.version, position.next());
            let refused = writer.commit().await;
            assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
            assert_eq!(writer.position().await.unwrap(), position);
            assert_eq!(store.position().await.unwrap(), position);
        }
        limit_files(None);
        let prepared = writer.prepare(&purchases(2..4), 0, None).await.unwrap();
        assert_eq!(prepared.version, position.next());
        writer.commit().await.unwrap();
        // As after a crash: what the WAL holds is what is there.
        let copy = tempfile::TempDir::new().unwrap();
        for name in ["bazar.db", "bazar.db-wal"] {
            std::fs::copy(wal.with_file_name(name), copy.path().join(name)).unwrap();
        }
        let mut reader = super::super::connection::writer(&copy.path().join("bazar.db")).await.unwrap();
        assert_eq!(rows::position(&mut reader).await.unwrap(), prepared.version);
        let orders: Vec<String> =
            sqlx::query_scalar("SELECT order_id FROM orders").fetch_all(&mut reader).await.unwrap();
        assert_eq!(orders, [0, 2, 3].map(|n| OrderId::draw(0, n).to_string()));
    }

    fn limit_files(bytes: Option<u64>) {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_cannot_begin_leaves_a_writer_that_can_try_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let (store, mut writer) = DataDir::lock(dir.path(), "test").unwrap().open(1).await.unwrap();
        let start = writer.start_epoch(EPOCH).await.unwrap().record;
        let path = crate::store::current_file(dir.path()).unwrap();
        let mut other = super::super::connection::writer(&path).await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut writer.connection).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let epoch = Epoch { number: 2, identity: 2 };
        let version = Version::new(epoch, start.version.next().seq);
        let body = Body::Start { lease_term_ms: 0, node: None };
        let next = Record { version, predecessor: start.version, body };
        assert!(matches!(writer.prepare(&purchases(0..1), 0, None).await, Err(StoreError::Busy(_))));
        assert!(matches!(writer.apply(std::slice::from_ref(&next)).await, Err(StoreError::Busy(_))));

        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let prepared = writer.prepare(&purchases(0..1), 0, None).await.unwrap();
        writer.commit().await.unwrap();
        assert_eq!(store.position().await.unwrap(), prepared.version);
    }

    /// Until the gate that this returns is dropped, the connection's thread is within a statement, so that
    /// it answers nothing.
    async fn keep_busy(writer: &mut Writer) -> std::sync::mpsc::Sender<()> {
        let (gate, opened) = std::sync::mpsc::channel::<()>();
        let (within, is_within) = tokio::sync::oneshot::channel();
        let mut within = Some(within);
        let wait = move || {
            if let Some(within) = within.take() {
                within.send(()).unwrap();
            }
            // Nothing is ever sent: an error is the gate that opens.
            opened.recv().is_err()
        };
        writer.connection.lock_handle().await.unwrap().set_progress_handler(1, wait);
        let long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                    SELECT count(*) FROM n";
        tokio::select! {
            _ = sqlx::query(long).execute(&mut writer.connection) => panic!("the gate is closed"),
            within = is_within => within.unwrap(),
        }
        gate
    }

    #[tokio::test]
    async fn a_statement_that_was_abandoned_half_way_leaves_a_writer_that_refuses_everything() {
        let dir = tempfile::TempDir::new().unwrap();
        let data = DataDir::lock(dir.path(), "test").unwrap();
        let (_store, mut writer) = data.open(1).await.unwrap();
        writer.start_epoch(EPOCH).await.unwrap();
        writer.prepare(&purchases(0..1), 0, None).await.unwrap();
        let gate = keep_busy(&mut writer).await;
        {
            // Polled once, as a time-out that fires would leave it.
            let mut commit = std::pin::pin!(writer.commit());
            assert!(futures_util::poll!(&mut commit).is_pending());
        }
        drop(gate);
        assert!(matches!(writer.commit().await, Err(StoreError::Misuse(_))));
        assert!(matches!(writer.prepare(&[], 0, None).await, Err(StoreError::Misuse(_))));
        assert!(matches!(writer.apply(&[]).await, Err(StoreError::Misuse(_))));
    }

    #[tokio::test]
    async fn a_batch_that_was_abandoned_half_way_cannot_be_committed() {
        let dir = tempfile::TempDir::new().unwrap();
        let data = DataDir::lock(dir.path(), "test").unwrap();
        let (_store, mut writer) = data.open(1).await.unwrap();
        writer.start_epoch(EPOCH).await.unwrap();
        let requests = purchases(0..1);
        let gate = keep_busy(&mut writer).await;
        {
            let mut prepare = std::pin::pin!(writer.prepare(&requests, 0, None));
            assert!(futures_util::poll!(&mut prepare).is_pending());
        }
        drop(gate);
        assert!(matches!(writer.commit().await, Err(StoreError::Misuse(_))));
        assert!(matches!(writer.prepare(&requests, 0, None).await, Err(StoreError::Misuse(_))));
    }
}
