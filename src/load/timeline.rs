//! What happened when: counts for each slice of the time, and the longest pauses between two successes.
//!
//! Invariant: bounded: what comes behind the last of [`MAX_SLICES`] slices counts in the last one; what is
//! remembered of answers is one entry for each frontend and path of the shelf. Without a width it counts
//! nothing and costs a look.

use super::draw::Next;
use crate::shopper::Cache;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Ten minutes of tenths of a second: nobody draws more.
const MAX_SLICES: usize = 6_000;

/// Counts of one slice of the time, by when the answers came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slice {
    pub reads: u64,
    pub hits: u64,
    /// Reads of what this frontend had answered before they were sent, and those of them that were hits.
    pub familiar: u64,
    pub familiar_hits: u64,
    /// Reads that showed less than was known, and did not say so.
    pub stale: u64,
    /// Reads that said that they may be stale.
    pub flagged: u64,
    pub bought: u64,
    /// Requests without an answer that tells anything.
    pub failed: u64,
}

/// The longest time between two successes of one kind, and when it began, after the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pause {
    pub began: Duration,
    pub length: Duration,
    last: Duration,
}

/// What is known of a read's answer.
#[derive(Debug, Clone, Copy)]
pub struct ReadSeen {
    pub cache: Cache,
    pub familiar: bool,
    pub stale: bool,
    pub says_stale: bool,
}

#[derive(Debug, Default)]
pub struct Timeline {
    start: Option<Instant>,
    width: Duration,
    /// When nothing more is due.
    end: Duration,
    slices: Vec<Slice>,
    answered: HashSet<(usize, Next)>,
    /// Between two reads that promise to be fresh, and between two purchases.
    pub reads: Pause,
    pub purchases: Pause,
}

impl Timeline {
    pub fn new(start: Instant, width: Option<Duration>, end: Duration) -> Self {
        let width = width.filter(|width| !width.is_zero());
        Self { start: width.map(|_| start), width: width.unwrap_or_default(), end, ..Self::default() }
    }

    /// How wide a slice is.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// From the start on, none missing.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// The same without what came behind the end, which is a rest and no slice.
    pub fn whole(&self) -> &[Slice] {
        let whole = self.end.as_nanos() / self.width.as_nanos().max(1);
        &self.slices[..self.slices.len().min(whole as usize)]
    }

    /// When each whole slice begins, in seconds, and its value if it has one.
    pub fn points(&self, value: impl Fn(&Slice) -> Option<f64>) -> Vec<(f64, f64)> {
        let begins = |place: usize| place as f64 * self.width.as_secs_f64();
        let slices = self.whole().iter().enumerate();
        slices.filter_map(|(place, slice)| Some((begins(place), value(slice)?))).collect()
    }

    /// Whether that frontend has answered this read before.
    pub fn is_familiar(&self, store: usize, next: Next) -> bool {
        self.start.is_some() && self.answered.contains(&(store, next))
    }

    pub fn read(&mut self, store: usize, next: Next, seen: ReadSeen) {
        let Some(now) = self.now() else { return };
        self.answered.insert((store, next));
        let (hit, familiar) = (seen.cache == Cache::Hit, seen.familiar);
        let slice = self.slice(now);
        slice.reads += 1;
        slice.hits += u64::from(hit);
        slice.familiar += u64::from(familiar);
        slice.familiar_hits += u64::from(familiar && hit);
        slice.stale += u64::from(seen.stale);
        slice.flagged += u64::from(seen.says_stale);
        if !seen.says_stale {
            self.reads.success(now);
        }
    }

    pub fn bought(&mut self) {
        let Some(now) = self.now() else { return };
        self.slice(now).bought += 1;
        self.purchases.success(now);
    }

    pub fn failed(&mut self) {
        let Some(now) = self.now() else { return };
        self.slice(now).failed += 1;
    }

    fn now(&self) -> Option<Duration> {
        self.start.map(|start| start.elapsed())
    }

    fn slice(&mut self, now: Duration) -> &mut Slice {
        let place = (now.as_nanos() / self.width.as_nanos().max(1)).min(MAX_SLICES as u128 - 1) as usize;
        if self.slices.len() <= place {
            self.slices.resize(place + 1, Slice::default());
        }
        &mut self.slices[place]
    }
}

impl Pause {
    fn success(&mut self, now: Duration) {
        let length = now.saturating_sub(self.last);
        if length > self.length {
            (self.began, self.length) = (self.last, length);
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: ReadSeen = ReadSeen { cache: Cache::Hit, familiar: true, stale: false, says_stale: false };

    /// One that began so many milliseconds ago.
    fn begun(ago: u64, width: Duration) -> Timeline {
        let since = Duration::from_millis(ago);
        Timeline::new(Instant::now().checked_sub(since).unwrap(), Some(width), since)
    }

    #[test]
    fn what_comes_is_counted_where_it_comes_and_behind_the_end_in_the_last_slice() {
        let mut timeline = begun(250, Duration::from_millis(100));
        timeline.read(0, Next::Info(1), SEEN);
        timeline.bought();
        assert_eq!(timeline.slices().iter().map(|slice| slice.reads).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(timeline.slices()[2].bought, 1);
        let mut timeline = begun(1_000, Duration::from_nanos(1));
        timeline.failed();
        assert_eq!((timeline.slices().len(), timeline.slices()[MAX_SLICES - 1].failed), (MAX_SLICES, 1));
    }

    #[test]
    fn the_rest_behind_the_end_and_slices_without_a_value_are_no_points() {
        let mut timeline = begun(250, Duration::from_millis(100));
        timeline.slice(Duration::from_millis(150)).reads = 7;
        timeline.read(0, Next::Info(1), SEEN);
        assert_eq!(timeline.slices().len(), 3);
        let points = timeline.points(|slice| (slice.reads > 0).then_some(slice.reads as f64));
        assert_eq!(points, [(0.1, 7.0)]);
    }

    #[test]
    fn a_frontend_is_familiar_with_what_itself_has_answered() {
        let mut timeline = begun(0, Duration::from_secs(1));
        timeline.read(0, Next::Info(1), ReadSeen { familiar: false, cache: Cache::Miss, ..SEEN });
        let familiar = [(0, Next::Info(1)), (1, Next::Info(1)), (0, Next::Search(1))];
        assert_eq!(familiar.map(|(store, next)| timeline.is_familiar(store, next)), [true, false, false]);
        let mut off = Timeline::new(Instant::now(), None, Duration::ZERO);
        off.read(0, Next::Info(1), SEEN);
        assert!(off.slices().is_empty() && !off.is_familiar(0, Next::Info(1)));
    }

    #[test]
    fn the_longest_pause_is_told_with_its_beginning() {
        let mut pause = Pause::default();
        for millis in [10, 30, 500, 520] {
            pause.success(Duration::from_millis(millis));
        }
        assert_eq!((pause.began.as_millis(), pause.length.as_millis()), (30, 470));
    }
}
