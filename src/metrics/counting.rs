//! Counters and histograms as the code uses them. With the feature `uncounted` they do nothing, so that what
//! counting costs can be measured.

use super::label::Label;
use super::{Family, Registry};
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{Histogram, IntCounter, IntCounterVec};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Whether anything is counted.
pub const COUNTED: bool = cfg!(not(feature = "uncounted"));

/// A total.
#[derive(Debug, Clone)]
pub struct Counter(IntCounter);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, more: u64) {
        if COUNTED {
            self.0.inc_by(more);
        }
    }
}

/// Totals by the values of one label or two. All of them are there from the start: a rate must not miss the
/// first event.
pub struct Tally<L> {
    counters: Arc<[IntCounter]>,
    by: PhantomData<fn(L)>,
}

impl<L: Label> Tally<L> {
    /// Of the series of `family` whose first labels are `fixed`.
    pub(super) fn of(family: &IntCounterVec, fixed: &[&str]) -> Self {
        let counter = |index| family.with_label_values(&[fixed, &L::values(index)].concat());
        Self { counters: (0..L::COUNT).map(counter).collect(), by: PhantomData }
    }

    pub fn inc(&self, of: L) {
        if COUNTED {
            self.counters[of.index()].inc();
        }
    }

    /// One thread's count of it.
    pub(super) fn local(&self, of: L) -> LocalIntCounter {
        self.counters[of.index()].local()
    }
}

impl<L> Clone for Tally<L> {
    fn clone(&self) -> Self {
        Self { counters: Arc::clone(&self.counters), by: PhantomData }
    }
}

impl<L> fmt::Debug for Tally<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counters.iter().map(IntCounter::get)).finish()
    }
}

/// A distribution.
#[derive(Debug, Clone)]
pub struct Observed(pub(super) Histogram);

impl Observed {
    pub fn took(&self, time: Duration) {
        if COUNTED {
            self.0.observe(time.as_secs_f64());
        }
    }

    pub fn size(&self, size: usize) {
        if COUNTED {
            self.0.observe(size as f64);
        }
    }

    /// One thread's part of it.
    pub(super) fn of_this_thread(&self) -> ThreadsObserved {
        ThreadsObserved(self.0.local())
    }
}

/// What one thread has observed, where no other looks, until it is handed in.
pub struct ThreadsObserved(LocalHistogram);

impl ThreadsObserved {
    pub fn took(&self, time: Duration) {
        if COUNTED {
            self.0.observe(time.as_secs_f64());
        }
    }

    pub(super) fn flush(&self) {
        self.0.flush();
    }
}

impl Registry {
    pub(super) fn counter(&self, family: &'static Family) -> Counter {
        Counter(self.counters(family).with_label_values::<&str>(&[]))
    }

    pub(super) fn tally<L: Label>(&self, family: &'static Family) -> Tally<L> {
        Tally::of(&self.counters(family), &[])
    }

    pub(super) fn observed(&self, family: &'static Family) -> Observed {
        Observed(self.histograms(family).with_label_values::<&str>(&[]))
    }
}
