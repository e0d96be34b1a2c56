//! The first level: in this process, bounded in bytes.

use super::entry::{Entry, Want};
use crate::coherence::Moment;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// "No such book" and "no such topic" entries, whatever the budget in bytes.
const MAX_NEGATIVE: usize = 10_000;

/// A guess to size the tables with: a book's answer takes some 200 bytes, a page some kilobytes.
const TYPICAL_ENTRY: u64 = 1024;

pub struct Local {
    /// Keeps nothing and finds nothing: for measuring what lies behind it.
    off: bool,
    entries: Cache<Want, Arc<Entry>, Size>,
    negatives: Cache<Want, Arc<Entry>>,
}

#[derive(Clone)]
struct Size;

impl Weighter<Want, Arc<Entry>> for Size {
    fn weight(&self, want: &Want, entry: &Arc<Entry>) -> u64 {
        entry.size() + want.size() as u64
    }
}

impl Local {
    pub fn new(max_bytes: u64) -> Self {
        let expected = usize::try_from(max_bytes / TYPICAL_ENTRY).unwrap_or(usize::MAX);
        Self {
            off: false,
            entries: Cache::with_weighter(expected.clamp(16, 1 << 20), max_bytes, Size),
            negatives: Cache::new(MAX_NEGATIVE),
        }
    }

    /// A level that is not there.
    pub fn off() -> Self {
        Self { off: true, ..Self::new(0) }
    }

    /// What is known about `want`; whether it may be served is another question.
    pub fn get(&self, want: &Want, now: Moment) -> Option<Arc<Entry>> {
        let entry = self.entries.get(want).or_else(|| self.negatives.get(want))?;
        (!entry.expired(now)).then_some(entry)
    }

    pub fn insert(&self, want: Want, entry: Arc<Entry>) {
        if self.off {
            return;
        }
        // What is there now must not hide what was there before, and the other way round.
        if entry.is_negative() {
            self.entries.remove(&want);
            self.negatives.insert(want, entry);
        } else {
            self.negatives.remove(&want);
            self.entries.insert(want, entry);
        }
    }

    /// Drops the entries that are meant. Looks at all of them.
    pub fn forget(&self, meant: impl Fn(&Entry) -> bool) {
        self.entries.retain(|_, entry| !meant(entry));
        self.negatives.retain(|_, entry| !meant(entry));
    }

    pub fn clear(&self) {
        self.entries.clear();
        self.negatives.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BookId, Version};
    use crate::frontend::cache::entry::Content;
    use std::time::Duration;

    fn put(local: &Local, id: i64, found: bool) -> Want {
        let want = Want::Book(BookId::new(id).unwrap());
        let books = if found { vec![BookId::new(id).unwrap()] } else { vec![] };
        let content = Content { asof: Version::GENESIS, books, found, body: vec![b'x'; 1000].into() };
        let entry = Entry::new(&want, content, Moment(0), Duration::from_secs(1));
        local.insert(want.clone(), Arc::new(entry));
        want
    }

    #[test]
    fn the_bytes_and_the_negative_entries_are_bounded() {
        let local = Local::new(100_000);
        for id in 1..=1_000 {
            put(&local, id, true);
        }
        assert!(local.entries.weight() <= 100_000 && local.entries.len() > 10);
        for id in 1..=20_000 {
            put(&local, id, false);
        }
        assert!(local.negatives.len() <= MAX_NEGATIVE);
    }

    #[test]
    fn a_level_that_is_off_finds_nothing() {
        let local = Local::off();
        for found in [true, false] {
            let want = put(&local, 9, found);
            assert!(local.get(&want, Moment(0)).is_none());
        }
    }

    #[test]
    fn an_entry_that_is_too_old_is_not_found() {
        let local = Local::new(100_000);
        let want = put(&local, 9, true);
        assert!(local.get(&want, Moment(999_999_999)).is_some());
        assert!(local.get(&want, Moment(1_000_000_000)).is_none());
    }

    #[test]
    fn what_appeared_replaces_that_there_was_nothing() {
        let local = Local::new(100_000);
        put(&local, 9, false);
        let want = put(&local, 9, true);
        assert!(local.get(&want, Moment(0)).unwrap().found());
        put(&local, 9, false);
        assert!(!local.get(&want, Moment(0)).unwrap().found());
    }
}
