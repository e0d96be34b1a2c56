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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Batch, Epoch, Stock, StockLevel};
    use std::sync::Arc;

    const EPOCH: Epoch = Epoch { number: 3, identity: 1 };
    const LATER: Epoch = Epoch { number: 4, identity: 2 };
    const TWIN: Epoch = Epoch { number: 3, identity: 9 };
    const HOLD: Duration = Duration::from_secs(2);
    const NOW: Moment = Moment(7);

    fn at(seq: u64) -> Version {
        Version::new(EPOCH, seq)
    }

    fn id(book: i64) -> BookId {
        BookId::new(book).unwrap()
    }

    /// The record `version`, which sells these books.
    fn sale(version: Version, books: impl IntoIterator<Item = i64>) -> Record {
        let stocks =
            books.into_iter().map(|book| StockLevel { book_id: id(book), stock: Stock::new(1).unwrap() });
        let body = Body::Batch(Batch { stocks: stocks.collect(), ..Batch::default() });
        Record { version, predecessor: Version::new(version.epoch, version.seq - 1), body }
    }

    /// A ring behind version 10 that somebody asks.
    fn ring() -> Ring {
        let mut ring = Ring::new(at(10));
        ring.look(None, NOW);
        ring
    }

    /// What is told; `None` for nothing.
    fn told(ring: &mut Ring, after: Version) -> Option<(Version, Changed)> {
        match ring.look(Some(after), NOW) {
            Seen::Told(Told { upto, books }) => Some((upto, books)),
            Seen::Nothing(_) | Seen::Behind => None,
        }
    }

    fn books<const N: usize>(books: [i64; N]) -> Changed {
        Changed::Books(books.map(id).into())
    }

    #[test]
    fn what_changed_behind_a_version_is_told_once_for_each_book() {
        let mut ring = ring();
        ring.push(&sale(at(11), [1, 2]), NOW);
        ring.push(&sale(at(12), [2, 3]), NOW);
        assert_eq!(told(&mut ring, at(10)), Some((at(12), books([1, 2, 3]))));
        assert_eq!(told(&mut ring, at(11)), Some((at(12), books([2, 3]))));
        assert_eq!(told(&mut ring, at(12)), None);
    }

    #[test]
    fn created_changed_and_deleted_books_have_changed_and_a_record_without_books_moves_on() {
        let mut ring = ring();
        let mut deletion = sale(at(11), [1]);
        let Body::Batch(batch) = &mut deletion.body else { unreachable!() };
        batch.deleted.push(id(2));
        batch.books.push(
            serde_json::from_str(r#"{"id":3,"title":"t","topic":"x","stock":3,"price":2850}"#).unwrap(),
        );
        ring.push(&deletion, NOW);
        let start = Body::Start { lease_term_ms: 0, node: None };
        ring.push(&Record { version: at(12), predecessor: at(11), body: start }, NOW);
        assert_eq!(told(&mut ring, at(10)), Some((at(12), books([1, 2, 3]))));
        assert_eq!(told(&mut ring, at(11)), Some((at(12), books([]))));
    }

    #[test]
    fn behind_what_is_remembered_any_book_may_have_changed() {
        let mut ring = ring();
        for seq in 11..=10 + MAX_RECORDS as u64 + 2 {
            ring.push(&sale(at(seq), [1]), NOW);
        }
        assert_eq!(told(&mut ring, at(11)).unwrap().1, Changed::Any);
        assert_eq!(told(&mut ring, at(12)).unwrap().1, books([1]));
        // Some large records fill it as well.
        let end = ring.end().seq;
        for seq in end + 1..=end + 5 {
            ring.push(&sale(at(seq), 1..=4096), NOW);
        }
        assert_eq!(told(&mut ring, at(end)).unwrap().1, Changed::Any);
        assert!(
            matches!(told(&mut ring, at(end + 1)).unwrap().1, Changed::Books(books) if books.len() == 4096)
        );
        assert!(ring.books <= MAX_BOOKS && ring.records.len() == 4);
    }

    #[test]
    fn epochs_follow_each_other_and_those_of_another_history_are_told_apart() {
        let mut ring = ring();
        ring.push(&sale(at(11), [1]), NOW);
        let start = Body::Start { lease_term_ms: 0, node: None };
        let begun = Version::new(LATER, 12);
        ring.push(&Record { version: begun, predecessor: at(11), body: start }, NOW);
        let end = Version::new(LATER, 13);
        ring.push(&sale(end, [2]), NOW);
        assert_eq!(told(&mut ring, at(11)), Some((end, books([2]))));
        // These were never in this history.
        for other in [Version::new(TWIN, 11), at(12), at(900), Version::new(TWIN, 900)] {
            assert_eq!(told(&mut ring, other), Some((end, Changed::Any)), "{other}");
        }
    }

    #[test]
    fn a_node_that_is_not_so_far_says_so() {
        let mut ring = ring();
        for ahead in [at(11), Version::new(LATER, 5), Version::new(LATER, 50)] {
            assert!(matches!(ring.look(Some(ahead), NOW), Seen::Behind), "{ahead}");
        }
    }

    #[test]
    fn what_does_not_follow_is_not_taken_for_what_does() {
        let mut ring = ring();
        ring.push(&sale(at(11), [1]), NOW);
        ring.push(&sale(at(14), [2]), NOW);
        assert_eq!(told(&mut ring, at(11)), Some((at(14), Changed::Any)));
        ring.forget(at(20));
        assert_eq!(told(&mut ring, at(14)), Some((at(20), Changed::Any)));
    }

    #[test]
    fn nothing_is_kept_while_nobody_asks() {
        let mut ring = ring();
        ring.push(&sale(at(11), [1]), NOW);
        let later = NOW.after(LISTENED);
        ring.push(&sale(at(12), [1]), later);
        assert!(ring.records.is_empty() && ring.books == 0);
        ring.look(Some(at(12)), later);
        ring.push(&sale(at(13), [1]), later);
        assert_eq!(ring.records.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_held_until_there_is_something_and_not_for_ever() {
        let changes = Arc::new(Changes::new(at(10)));
        let asked = |after| {
            let changes = Arc::clone(&changes);
            tokio::spawn(async move { changes.after(Some(after), HOLD).await })
        };
        let (held, ahead) = (asked(at(10)), asked(at(11)));
        tokio::time::sleep(HOLD / 2).await;
        assert!(!held.is_finished() && !ahead.is_finished());
        changes.committed(&sale(at(11), [9]));
        assert_eq!(held.await.unwrap(), Ok(Told { upto: at(11), books: books([9]) }));
        // It is where the node is now, so there is nothing for it.
        assert_eq!(ahead.await.unwrap(), Ok(Told { upto: at(11), books: books([]) }));
        assert_eq!(asked(at(12)).await.unwrap(), Err(Behind));
        let replaced = asked(at(11));
        tokio::time::sleep(HOLD / 2).await;
        changes.replaced(at(30));
        assert_eq!(replaced.await.unwrap(), Ok(Told { upto: at(30), books: Changed::Any }));
    }
}
