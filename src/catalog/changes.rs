//! Which books changed lately: fed behind each commit, asked by frontends on whose pages somebody looks at a
//! book.
//!
//! Invariants: what is told names every book that a record behind the version asked for has touched, or says that
//! it may have been any. Nothing is told before reads here show it. Feeding it never waits, and costs a lock
//! that nobody holds for long; while nobody asks, nothing is kept.

use crate::clock;
use crate::coherence::Moment;
use crate::domain::{Body, BookId, Record, Version};
use crate::wire::catalog::{Changed, Changes as Told};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Notify;

/// Records that are remembered: at some thousand a second, more than lie between two requests of one follower.
const MAX_RECORDS: usize = 1024;

/// Books in all of them: 128 KiB, and an answer of about as much at most.
const MAX_BOOKS: usize = 16_384;

/// Somebody who follows asks again within this time.
const LISTENED: Duration = Duration::from_secs(10);

/// The changes of one catalog node.
pub struct Changes {
    ring: Mutex<Ring>,
    more: Notify,
}

/// The node is not as far as the version that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Behind;

impl Changes {
    /// `end`: the version that the node's file has.
    pub fn new(end: Version) -> Self {
        Self { ring: Mutex::new(Ring::new(end)), more: Notify::new() }
    }

    /// `record` is committed here, and reads show it.
    pub fn committed(&self, record: &Record) {
        self.ring.lock().push(record, clock::now());
        self.more.notify_waiters();
    }

    /// The file was exchanged for one that ends at `end`.
    pub fn replaced(&self, end: Version) {
        self.ring.lock().forget(end);
        self.more.notify_waiters();
    }

    /// What changed behind `after`: at once if something has, else when something does. After `hold`, nothing
    /// has.
    pub async fn after(&self, after: Option<Version>, hold: Duration) -> Result<Told, Behind> {
        let held = tokio::time::sleep(hold);
        tokio::pin!(held);
        loop {
            // Before the look: what comes behind it wakes us.
            let more = self.more.notified();
            let seen = self.ring.lock().look(after, clock::now());
            let last = match seen {
                Seen::Told(told) => return Ok(told),
                Seen::Nothing(at) => Ok(Told { upto: at, books: Changed::Books([].into()) }),
                Seen::Behind => Err(Behind),
            };
            tokio::select! {
                () = more => {}
                () = &mut held => return last,
            }
        }
    }
}

/// The last records, without a gap.
struct Ring {
    /// What is remembered begins behind this version.
    begin: Version,
    records: VecDeque<Touched>,
    /// Books in all `records`.
    books: usize,
    asked: Option<Moment>,
}

/// What one record touched.
struct Touched {
    version: Version,
    books: Box<[BookId]>,
}

enum Seen {
    Told(Told),
    /// Nothing has happened since.
    Nothing(Version),
    Behind,
}

impl Ring {
    fn new(end: Version) -> Self {
        Self { begin: end, records: VecDeque::new(), books: 0, asked: None }
    }

    fn end(&self) -> Version {
        self.records.back().map_or(self.begin, |record| record.version)
    }

    fn push(&mut self, record: &Record, now: Moment) {
        let listened = self.asked.is_some_and(|asked| asked.until(now) < LISTENED);
        if !listened || record.predecessor != self.end() {
            self.forget(record.version);
            return;
        }
        let books = touched(&record.body);
        self.books += books.len();
        self.records.push_back(Touched { version: record.version, books });
        while self.records.len() > MAX_RECORDS || self.books > MAX_BOOKS {
            let Some(oldest) = self.records.pop_front() else { break };
            self.books -= oldest.books.len();
            self.begin = oldest.version;
        }
    }

    fn forget(&mut self, end: Version) {
        self.records.clear();
        self.books = 0;
        self.begin = end;
    }

    fn look(&mut self, after: Option<Version>, now: Moment) -> Seen {
        self.asked = Some(now);
        let end = self.end();
        let any = Seen::Told(Told { upto: end, books: Changed::Any });
        let Some(after) = after else { return any };
        if after == end {
            return Seen::Nothing(end);
        }
        if let Some(index) = self.index_behind(after) {
            let books = self.records.range(index..).flat_map(|record| record.books.iter().copied());
            return Seen::Told(Told { upto: end, books: Changed::Books(books.collect()) });
        }
        let epoch_is_over = end.epoch.deposes(after.epoch);
        match (after.epoch == end.epoch && after.seq > end.seq)
            || (after.epoch.deposes(end.epoch) && !epoch_is_over)
        {
            true => Seen::Behind,
            false => any,
        }
    }

    /// Where the records behind `version` begin, if it is remembered. Numbers go on without a gap, across
    /// epochs too; the epoch says whether it is the same history.
    fn index_behind(&self, version: Version) -> Option<usize> {
        let index = usize::try_from(version.seq.checked_sub(self.begin.seq)?).ok()?;
        let at = match index.checked_sub(1) {
            None => self.begin,
            Some(before) => self.records.get(before)?.version,
        };
        (at == version).then_some(index)
    }
}

/// The books that applying `body` changes: at most the 4,096 of a part of an import.
fn touched(body: &Body) -> Box<[BookId]> {
    let Body::Batch(batch) = body else { return [].into() };
    let changed = batch.books.iter().map(|book| book.id);
    let sold = batch.stocks.iter().map(|level| level.book_id);
    changed.chain(batch.deleted.iter().copied()).chain(sold).collect()
}
