//! The first level: in this process, bounded in bytes.

use super::entry::{Entry, Want};
use crate::coherence::Moment;
use crate::metrics::{EntryKind, Sheet, families};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter, Weighter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// "No such book" and "no such topic" entries, whatever the budget in bytes.
const MAX_NEGATIVE: usize = 10_000;

/// A guess to size the tables with: a book's answer takes some 200 bytes, a page some kilobytes.
const TYPICAL_ENTRY: u64 = 1024;

pub struct Local {
    /// Keeps nothing and finds nothing: for measuring what lies behind it.
    off: bool,
    entries: Cache<Want, Arc<Entry>, Size, DefaultHashBuilder, Counting>,
    negatives: Cache<Want, Arc<Entry>, UnitWeighter, DefaultHashBuilder, Counting>,
    evicted: Counting,
    evicted_negatives: Counting,
}

/// What is known about something.
pub enum Known {
    Entry(Arc<Entry>),
    /// It was, and is too old.
    Expired,
    Nothing,
}

/// Counts the entries that have to go because others come.
#[derive(Clone, Default)]
struct Counting {
    evicted: Arc<AtomicU64>,
    keeps: DefaultLifecycle<Want, Arc<Entry>>,
}

impl Lifecycle<Want, Arc<Entry>> for Counting {
    type RequestState = <DefaultLifecycle<Want, Arc<Entry>> as Lifecycle<Want, Arc<Entry>>>::RequestState;

    fn on_evict(&self, state: &mut Self::RequestState, want: Want, entry: Arc<Entry>) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
        self.keeps.on_evict(state, want, entry);
    }
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
        let (evicted, evicted_negatives) = (Counting::default(), Counting::default());
        let (hash, counting) = (DefaultHashBuilder::default(), evicted.clone());
        let entries = Cache::with(expected.clamp(16, 1 << 20), max_bytes, Size, hash, counting);
        let (hash, counting) = (DefaultHashBuilder::default(), evicted_negatives.clone());
        let negatives = Cache::with(MAX_NEGATIVE, MAX_NEGATIVE as u64, UnitWeighter, hash, counting);
        Self { off: false, entries, negatives, evicted, evicted_negatives }
    }

    /// A level that is not there.
    pub fn off() -> Self {
        Self { off: true, ..Self::new(0) }
    }

    /// What is known about `want`; whether it may be served is another question.
    pub fn look(&self, want: &Want, now: Moment) -> Known {
        match self.entries.get(want).or_else(|| self.negatives.get(want)) {
            Some(entry) if entry.expired(now) => Known::Expired,
            Some(entry) => Known::Entry(entry),
            None => Known::Nothing,
        }
    }

    /// The same, if there is anything.
    pub fn get(&self, want: &Want, now: Moment) -> Option<Arc<Entry>> {
        match self.look(want, now) {
            Known::Entry(entry) => Some(entry),
            Known::Expired | Known::Nothing => None,
        }
    }

    /// What a scraper is told: how much is kept, and how much had to go.
    pub fn read(&self, sheet: &mut Sheet) {
        sheet.gauge(&families::CACHE_BYTES, self.entries.weight() as f64);
        sheet.gauge(&families::CACHE_MAX_BYTES, self.entries.capacity() as f64);
        for (kind, entries, evicted) in [
            (EntryKind::Found, self.entries.len(), &self.evicted),
            (EntryKind::NotFound, self.negatives.len(), &self.evicted_negatives),
        ] {
            let labels = [kind.label()];
            sheet.gauge_of(&families::CACHE_ENTRIES, &labels, entries as f64);
            let evicted = evicted.evicted.load(Ordering::Relaxed);
            sheet.counter_of(&families::CACHE_EVICTIONS, &labels, evicted as f64);
        }
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
        // An entry that came is either there or had to go.
        let gone = |counting: &Counting| counting.evicted.load(Ordering::Relaxed);
        assert_eq!(gone(&local.evicted) + local.entries.len() as u64, 1_000);
        for id in 1..=20_000 {
            put(&local, id, false);
        }
        assert!(local.negatives.len() <= MAX_NEGATIVE);
        assert_eq!(gone(&local.evicted_negatives) + local.negatives.len() as u64, 20_000);
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
