//! The one task that follows what changes: asks which books have changed, reads those that somebody looks at,
//! and tells who looks.
//!
//! Invariants: a book is owed from the moment that it is known to have changed until it was read after that; so
//! nothing is lost with a node, a read or a gap. It asks at most once in [`PACE`]: however many purchases there
//! are between two requests, they cost one read of each book that somebody looks at.

use super::shown::Shown;
use super::watchers::Watchers;
use crate::domain::{BookId, Version};
use crate::wire::catalog::{Changed, Changes};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// From one request to the next: at once to the eye, and next to nothing to a node.
const PACE: Duration = Duration::from_millis(100);

/// The longest wait behind failures, each of which doubles it.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Books that are read at once: as many as travel to a node in one request.
const READS: usize = 64;

/// Whom the follower asks.
pub trait Store {
    /// What changed behind a version, when something has; nothing, after a while. `None`: who was asked did not
    /// answer, and another one is asked next.
    async fn changes(&mut self, after: Option<Version>) -> Option<Changes>;

    /// What a page shows of a book at a moment since this was called, if that is to be had.
    async fn read(&self, id: BookId) -> Option<Arc<Shown>>;
}

pub struct Follower<S> {
    store: S,
    watchers: Arc<Watchers>,
    /// Everything up to here is told or owed.
    upto: Option<Version>,
    /// Changed, and not read since.
    owed: BTreeSet<BookId>,
    /// In a row.
    failures: u32,
}

impl<S: Store> Follower<S> {
    pub fn new(store: S, watchers: Arc<Watchers>) -> Self {
        Self { store, watchers, upto: None, owed: BTreeSet::new(), failures: 0 }
    }

    pub async fn run(mut self) {
        loop {
            self.watchers.somebody().await;
            let began = Instant::now();
            let well = self.ask().await & self.read().await;
            self.failures = if well { 0 } else { self.failures.saturating_add(1) };
            tokio::time::sleep_until(began + self.pause()).await;
        }
    }

    fn pause(&self) -> Duration {
        PACE.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(MAX_PAUSE)
    }

    /// Owes what has changed. Returns whether that is known.
    async fn ask(&mut self) -> bool {
        let asked = self.store.changes(self.upto);
        let told = match self.owed.is_empty() {
            true => asked.await,
            // What is owed need not wait for more.
            false => tokio::time::timeout(PACE, asked).await.unwrap_or_default(),
        };
        let Some(Changes { upto, books }) = told else { return false };
        self.upto = Some(upto);
        // Whoever looks at a book from now on reads it first.
        match books {
            Changed::Books(books) => self.owed.append(&mut self.watchers.among(&books)),
            Changed::Any => self.owed = self.watchers.books(),
        }
        true
    }

    /// Reads what is owed, and tells it. Returns whether nothing is owed any more.
    async fn read(&mut self) -> bool {
        let owed = self.watchers.among(&std::mem::take(&mut self.owed));
        let store = &self.store;
        let read = futures_util::stream::iter(owed).map(async |id| (id, store.read(id).await));
        let mut read = std::pin::pin!(read.buffer_unordered(READS));
        while let Some((id, shown)) = read.next().await {
            match shown {
                Some(shown) => self.watchers.tell(id, &shown),
                None => drop(self.owed.insert(id)),
            }
        }
        self.owed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shown::tests::shown;
    use super::super::watchers::Watcher;
    use super::*;
    use crate::domain::Epoch;
    use parking_lot::Mutex;
    use std::collections::VecDeque;
    use tokio::task::LocalSet;

    const EPOCH: Epoch = Epoch { number: 1, identity: 7 };
    const BOOK: i64 = 9;

    /// A store in which each millisecond has a version and sells a copy.
    #[derive(Clone, Default)]
    struct Busy(Arc<Mutex<Script>>);

    #[derive(Default)]
    struct Script {
        asked: Vec<Option<Version>>,
        read: usize,
        /// What becomes of the next requests and reads; those behind them succeed.
        answers: VecDeque<bool>,
        reads: VecDeque<bool>,
        began: Option<Instant>,
    }

    impl Busy {
        fn version(&self) -> Version {
            let mut script = self.0.lock();
            let began = *script.began.get_or_insert_with(Instant::now);
            Version::new(EPOCH, u64::try_from(began.elapsed().as_millis()).unwrap())
        }

        fn watched() -> (Arc<Watchers>, Watcher) {
            let watchers = Arc::new(Watchers::default());
            let watcher = watchers.watch(&[BookId::new(BOOK).unwrap()].into()).unwrap();
            (watchers, watcher)
        }
    }

    impl Store for Busy {
        async fn changes(&mut self, after: Option<Version>) -> Option<Changes> {
            let upto = self.version();
            let mut script = self.0.lock();
            script.asked.push(after);
            let book = BookId::new(BOOK).unwrap();
            let books = after.map_or(Changed::Any, |_| Changed::Books([book].into()));
            script.answers.pop_front().unwrap_or(true).then_some(Changes { upto, books })
        }

        async fn read(&self, id: BookId) -> Option<Arc<Shown>> {
            let seq = self.version().seq;
            let mut script = self.0.lock();
            script.read += 1;
            let well = script.reads.pop_front().unwrap_or(true);
            well.then(|| shown(id.get(), seq, u32::try_from(1_000_000 - seq).unwrap()))
        }
    }

    /// Lets a follower run for so long.
    async fn follow(store: &Busy, watchers: &Arc<Watchers>, time: Duration) {
        let following = Follower::new(store.clone(), Arc::clone(watchers)).run();
        let _ = LocalSet::new().run_until(tokio::time::timeout(time, following)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_is_sold_it_costs_ten_requests_and_reads_a_second() {
        let (store, (watchers, watcher)) = (Busy::default(), Busy::watched());
        follow(&store, &watchers, Duration::from_secs(10)).await;
        {
            let script = store.0.lock();
            assert!((99..=101).contains(&script.asked.len()), "{}", script.asked.len());
            assert_eq!(script.asked.len(), script.read);
            // Each asks for what is behind the last one.
            assert!(script.asked.windows(2).all(|two| two[1].map(|at| at.seq) > two[0].map(|at| at.seq)));
        }
        assert!(String::from_utf8(watcher.news().await.to_vec()).unwrap().contains("\"numberOfItems\":990"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_while_nobody_looks() {
        let store = Busy::default();
        follow(&store, &Arc::default(), Duration::from_secs(10)).await;
        assert!(store.0.lock().asked.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_book_that_could_not_be_read_is_owed_until_it_was() {
        let (store, (watchers, watcher)) = (Busy::default(), Busy::watched());
        // The second round fails, and so do the requests from then on: no change is told any more.
        store.0.lock().reads = [true, false, false].into();
        store.0.lock().answers = [true, true].into_iter().chain([false; 100]).collect();
        follow(&store, &watchers, Duration::from_secs(2)).await;
        let told = String::from_utf8(watcher.news().await.to_vec()).unwrap();
        let script = store.0.lock();
        assert_eq!(script.read, 4);
        // Read when the fourth round came: nothing older.
        assert!(told.contains("id: 1.400\n"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_are_waited_for_longer_and_longer() {
        let (store, (watchers, _watcher)) = (Busy::default(), Busy::watched());
        store.0.lock().answers = [false; 1000].into();
        follow(&store, &watchers, Duration::from_secs(20)).await;
        let asked = store.0.lock().asked.len();
        // After 100, 200, 400, 800 and 1600 milliseconds, and every 2 seconds from then on.
        assert!((13..=15).contains(&asked), "{asked}");
    }
}
