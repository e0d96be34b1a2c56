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
