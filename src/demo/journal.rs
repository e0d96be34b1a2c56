//! What was done to the store, and what customers noticed of it.
//!
//! What they noticed is what the load saw from the moment of a fault until [`SETTLES`] after it was over.
//! Bounded: the last [`MAX_ENTRIES`] are kept.

use crate::load::Progress;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

const MAX_ENTRIES: usize = 40;

/// What waited for the end of a fault is answered within this.
const SETTLES: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub struct Journal(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The newest last.
    all: VecDeque<Entry>,
    next: u64,
    /// How the load goes, while there is one.
    load: Option<Progress>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    at: SystemTime,
    what: String,
    over: Option<Instant>,
    /// `None`: nobody was looking.
    noticed: Option<Noticed>,
    /// The load that noticed it goes on.
    watched: bool,
}

/// What the load saw of a fault.
#[derive(Debug)]
struct Noticed {
    before: Progress,
    now: Progress,
    slowest_read: Duration,
    slowest_purchase: Duration,
}

/// One entry for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    pub id: u64,
    /// RFC 3339.
    pub at: String,
    pub what: String,
    pub effect: String,
    /// Whether it goes on.
    pub open: bool,
}

impl Journal {
    /// Returns the number of the entry.
    pub fn begin(&self, what: String) -> u64 {
        log::warn!("demonstration: {what}");
        let mut entries = self.0.lock();
        let id = entries.next;
        entries.next += 1;
        if entries.all.len() == MAX_ENTRIES {
            entries.all.pop_front();
        }
        let noticed = entries.load.clone().map(Noticed::since);
        let watched = noticed.is_some();
        entries.all.push_back(Entry { id, at: SystemTime::now(), what, over: None, noticed, watched });
        id
    }

    /// The fault of that number is over.
    pub fn over(&self, id: u64) {
        let mut entries = self.0.lock();
        let entry = entries.all.iter_mut().find(|entry| entry.id == id);
        if let Some(entry) = entry {
            entry.over.get_or_insert_with(Instant::now);
        }
    }

    /// How the load goes now; `None` when it has ended.
    pub fn observe(&self, progress: Option<&Progress>) {
        let mut entries = self.0.lock();
        entries.load = progress.cloned();
        for entry in entries.all.iter_mut().filter(|entry| entry.watched) {
            match (&mut entry.noticed, progress) {
                (Some(noticed), Some(progress)) if !entry.over.is_some_and(has_settled) => {
                    noticed.see(progress)
                }
                // The next load counts anew.
                _ => entry.watched = false,
            }
        }
    }

    /// The newest first.
    pub fn told(&self) -> Vec<Told> {
        self.0.lock().all.iter().rev().map(Entry::told).collect()
    }
}

fn has_settled(over: Instant) -> bool {
    over.elapsed() >= SETTLES
}

impl Entry {
    fn told(&self) -> Told {
        Told {
            id: self.id,
            at: humantime::format_rfc3339_seconds(self.at).to_string(),
            what: self.what.clone(),
            effect: match &self.noticed {
                Some(noticed) => noticed.in_words(),
                None => "no load was running, so nobody has noticed".into(),
            },
            open: !self.over.is_some_and(has_settled),
        }
    }
}

impl Noticed {
    fn since(before: Progress) -> Self {
        let (slowest_read, slowest_purchase) = (Duration::ZERO, Duration::ZERO);
        Self { now: before.clone(), before, slowest_read, slowest_purchase }
    }

    fn see(&mut self, progress: &Progress) {
        self.slowest_read = self.slowest_read.max(progress.slowest_read);
        self.slowest_purchase = self.slowest_purchase.max(progress.slowest_purchase);
        self.now = progress.clone();
    }

    fn in_words(&self) -> String {
        let (before, now) = (&self.before, &self.now);
        let (reads, bought) = (now.reads - before.reads, now.bought - before.bought);
        let flagged = match now.flagged_stale - before.flagged_stale {
            0 => String::new(),
            flagged => format!(", {} that said so themselves", counted(flagged, "stale answer")),
        };
        format!(
            "{} ({} at most), {} ({} at most): {}{flagged}, {}",
            counted(bought, "purchase"),
            in_words(self.slowest_purchase),
            counted(reads, "read"),
            in_words(self.slowest_read),
            counted(now.errors - before.errors, "error"),
            counted(now.violations - before.violations, "violation"),
        )
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn in_words(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(reads: u64, bought: u64, slowest_purchase_ms: u64) -> Progress {
        let slowest_purchase = Duration::from_millis(slowest_purchase_ms);
        Progress { reads, bought, slowest_purchase, ..Progress::default() }
    }

    #[test]
    fn an_entry_tells_what_was_noticed_from_its_beginning_on() {
        let journal = Journal::default();
        journal.observe(Some(&progress(100, 10, 9_999)));
        let id = journal.begin("master killed".into());
        journal.observe(Some(&progress(150, 10, 1)));
        journal.observe(Some(&Progress { errors: 1, flagged_stale: 3, ..progress(160, 11, 1_300) }));
        journal.over(id);
        journal.observe(None);
        let told = &journal.told()[0];
        assert_eq!(told.what, "master killed");
        assert_eq!(
            told.effect,
            "1 purchase (1.3 s at most), 60 reads (0 ms at most): 1 error, 3 stale answers that said so themselves, 0 \
             violations"
        );
        assert!(told.open, "what waited for its end may still be answered");
    }

    #[test]
    fn what_the_next_load_counts_is_no_part_of_it() {
        let journal = Journal::default();
        journal.observe(Some(&progress(100, 10, 0)));
        journal.begin("master killed".into());
        journal.observe(Some(&progress(110, 11, 0)));
        journal.observe(None);
        journal.observe(Some(&progress(1, 0, 0)));
        assert!(
            journal.told()[0].effect.starts_with("1 purchase (0 ms at most), 10 reads"),
            "{:?}",
            journal.told()
        );
    }

    #[test]
    fn only_the_last_entries_are_kept_and_without_a_load_they_say_so() {
        let journal = Journal::default();
        for number in 0..=MAX_ENTRIES {
            journal.begin(format!("{number}"));
        }
        let told = journal.told();
        assert_eq!((told.len(), told[0].what.as_str()), (MAX_ENTRIES, "40"));
        assert!(told[0].effect.contains("no load"));
    }
}
