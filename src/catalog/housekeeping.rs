//! What the writer does when nobody buys, and now and then when somebody does: old answers are forgotten,
//! and the log is trimmed.
//!
//! Invariants: an answer is not forgotten before its time, nor a refusal while a request that it answered
//! can still be on its way. What a linked replica or the taker of a snapshot still needs stays in the log.

use crate::coherence::Moment;
use crate::domain::{Forget, NodeId};
use crate::store::OldestAnswers;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// How long answers are kept under their keys. A key that was forgotten buys again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Receipts.
    pub answers: Duration,
    /// For longer than any request lives, so that a late first attempt cannot buy after the client was told
    /// no; not longer than receipts.
    pub refusals: Duration,
}

impl Keep {
    /// Six times the sum of all deadlines of a purchase.
    pub const AT_LEAST: Duration = Duration::from_secs(60);
}

/// Answers of each kind that one batch forgets: about a millisecond.
const FORGET_ROWS: u32 = 256;

/// How often it is looked whether there is something to forget.
const LOOK: Duration = Duration::from_secs(1);

/// A difference between the clocks that is a step of the wall clock, and no rounding.
const STEP_MS: u64 = 500;

/// When which answers are old enough.
///
/// Answers are stamped with the wall clock, which somebody may set. Nothing is forgotten for
/// [`Keep::AT_LEAST`] after a start and after each step of that clock: whatever was stamped before it is
/// then older than any request, whatever its stamp says.
pub struct Forgetting {
    keep: Keep,
    /// Wall clock minus steady clock, in milliseconds.
    offset_ms: Option<i64>,
    quiet_until: Moment,
    looked: Option<Moment>,
    due: Option<Forget>,
}

impl Forgetting {
    pub fn new(keep: Keep) -> Self {
        Self { keep, offset_ms: None, quiet_until: Moment::default(), looked: None, due: None }
    }

    /// As it is when the minute after a start is over.
    #[cfg(test)]
    pub fn after_the_first_minute(keep: Keep, now: Moment, wall_ms: i64) -> Self {
        let mut forgetting = Self::new(keep);
        forgetting.wants_to_look(now, wall_ms);
        forgetting.quiet_until = now;
        forgetting
    }

    /// Whether it is time to look what is stored; then [`looked`](Self::looked) says what was found.
    pub fn wants_to_look(&mut self, now: Moment, wall_ms: i64) -> bool {
        let offset_ms = wall_ms.saturating_sub(i64::try_from(now.0 / 1_000_000).unwrap_or(i64::MAX));
        if self.offset_ms.is_none_or(|before| before.abs_diff(offset_ms) > STEP_MS) {
            self.offset_ms = Some(offset_ms);
            self.quiet_until = now.after(Keep::AT_LEAST);
            self.due = None;
        }
        now >= self.quiet_until && self.looked.is_none_or(|looked| looked.after(LOOK) <= now)
    }

    pub fn looked(&mut self, now: Moment, wall_ms: i64, oldest: OldestAnswers) {
        let before =
            |keep: Duration| wall_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let forget = Forget {
            answers_before_ms: before(self.keep.answers),
            refusals_before_ms: before(self.keep.refusals),
            limit: FORGET_ROWS,
        };
        let due = oldest.receipt_ms.is_some_and(|oldest| oldest < forget.answers_before_ms)
            || oldest.refusal_ms.is_some_and(|oldest| oldest < forget.refusals_before_ms);
        self.looked = Some(now);
        self.due = due.then_some(forget);
    }

    /// Marks of imports stored before this moment may be forgotten; `None` while none may.
    pub fn imports_before(&self, now: Moment, wall_ms: i64) -> Option<i64> {
        let keep_ms = i64::try_from(self.keep.answers.as_millis()).unwrap_or(i64::MAX);
        let quiet = self.offset_ms.is_none() || now < self.quiet_until;
        (!quiet).then(|| wall_ms.saturating_sub(keep_ms))
    }

    /// What the next batch is to forget.
    pub fn due(&self) -> Option<Forget> {
        self.due
    }

    /// A batch that forgets was committed. If somebody buys meanwhile, there is a look at once for more:
    /// forgetting keeps up with selling.
    pub fn forgot(&mut self, busy: bool) {
        self.due = None;
        if busy {
            self.looked = None;
        }
    }
}

/// Records that always stay: minutes of a busy shop, so that a replica that was away comes back without a
/// snapshot.
pub const KEEP_RECORDS: u64 = 10_000;

/// A linked replica that is further behind than this takes a snapshot: the log must not fill the disk.
const FURTHEST_BEHIND: u64 = 1_000_000;

/// Snapshots that can be on their way or waited for.
const MAX_PINS: usize = 64;

/// The first record that the log must keep: each replica in `linked`, which are positions, and each taker
/// of a snapshot goes on from its own record.
pub fn keep_from(end: u64, linked: impl IntoIterator<Item = u64>, pinned: Option<u64>) -> u64 {
    let linked = linked.into_iter().filter(|position| end.saturating_sub(*position) <= FURTHEST_BEHIND);
    linked.chain(pinned).fold(end.saturating_sub(KEEP_RECORDS), u64::min)
}

/// The versions of snapshots whose takers have not reported since.
#[derive(Default)]
pub struct Pins(Mutex<HashMap<NodeId, Pin>>);

struct Pin {
    from: u64,
    until: Moment,
}

impl Pins {
    /// Keeps the log from the record `from` on for `taker`, until it reports or `until` is over. Returns
    /// false if there are too many already.
    pub fn pin(&self, taker: NodeId, from: u64, now: Moment, until: Moment) -> bool {
        let mut pins = self.0.lock();
        pins.retain(|_, pin| now < pin.until);
        let room = pins.len() < MAX_PINS || pins.contains_key(&taker);
        if room {
            pins.insert(taker, Pin { from, until });
        }
        room
    }

    /// The node is at `position`, which is in this log.
    pub fn reported(&self, node: NodeId, position: u64) {
        let mut pins = self.0.lock();
        if pins.get(&node).is_some_and(|pin| position >= pin.from) {
            pins.remove(&node);
        }
    }

    pub fn lowest(&self, now: Moment) -> Option<u64> {
        self.0.lock().values().filter(|pin| now < pin.until).map(|pin| pin.from).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep { answers: Duration::from_secs(86_400), refusals: Duration::from_secs(3_600) };
    const HOUR_MS: i64 = 3_600_000;
    /// The wall clock when the steady one is at nothing.
    const EPOCH_MS: i64 = 1_700_000_000_000;

    fn at(seconds: u64) -> (Moment, i64) {
        (Moment(seconds * 1_000_000_000), EPOCH_MS + seconds as i64 * 1000)
    }

    fn oldest(receipt_ms: i64, refusal_ms: i64) -> OldestAnswers {
        OldestAnswers { receipt_ms: Some(receipt_ms), refusal_ms: Some(refusal_ms) }
    }

    #[test]
    fn nothing_is_forgotten_within_a_minute_of_a_start_or_of_a_step_of_the_clock() {
        let mut forgetting = Forgetting::new(KEEP);
        let (mut looks, mut steady) = (Vec::new(), 0);
        for second in 0..200 {
            let (now, wall) = at(second);
            // Set back by an hour at 100 seconds, and forward again at 120.
            let wall = if (100..120).contains(&second) { wall - HOUR_MS } else { wall };
            if forgetting.wants_to_look(now, wall) {
                looks.push(second);
                forgetting.looked(now, wall, oldest(0, 0));
            }
            steady += u64::from(forgetting.due().is_some());
        }
        let expected: Vec<u64> = (60..100).chain(180..200).collect();
        assert_eq!(looks, expected);
        assert_eq!(steady, 60);
    }

    #[test]
    fn each_kind_of_answer_is_due_after_its_own_time() {
        let mut forgetting = Forgetting::new(KEEP);
        forgetting.wants_to_look(at(0).0, at(0).1);
        let (now, wall) = at(100);
        assert!(forgetting.wants_to_look(now, wall));
        for (receipt_age, refusal_age, due) in
            [(0, 0, false), (2 * HOUR_MS, 0, false), (0, 2 * HOUR_MS, true), (25 * HOUR_MS, 0, true)]
        {
            forgetting.looked(now, wall, oldest(wall - receipt_age, wall - refusal_age));
            assert_eq!(forgetting.due().is_some(), due, "{receipt_age} {refusal_age}");
        }
        forgetting.looked(now, wall, OldestAnswers { receipt_ms: None, refusal_ms: None });
        assert_eq!(forgetting.due(), None);
    }

    #[test]
    fn there_is_one_look_a_second_and_another_at_once_behind_a_busy_batch_that_forgot() {
        let mut forgetting = Forgetting::new(KEEP);
        forgetting.wants_to_look(at(0).0, at(0).1);
        let (now, wall) = at(100);
        for busy in [false, true] {
            assert!(forgetting.wants_to_look(now, wall));
            forgetting.looked(now, wall, oldest(0, 0));
            assert!(!forgetting.wants_to_look(now, wall));
            forgetting.forgot(busy);
            assert_eq!((forgetting.due(), forgetting.wants_to_look(now, wall)), (None, busy));
            forgetting.looked = None;
        }
    }

    #[test]
    fn the_log_keeps_what_a_linked_replica_or_a_taker_of_a_snapshot_needs() {
        assert_eq!(keep_from(9_000, [], None), 0);
        assert_eq!(keep_from(50_000, [], None), 40_000);
        assert_eq!(keep_from(50_000, [49_999, 30_000], None), 30_000);
        assert_eq!(keep_from(50_000, [30_000], Some(20_000)), 20_000);
        assert_eq!(keep_from(2_000_000, [1_000_000], None), 1_000_000);
        assert_eq!(keep_from(2_000_000, [999_999, 1_999_999], None), 1_990_000);
    }

    #[test]
    fn a_pin_lasts_until_its_taker_has_that_record_or_the_time_is_over() {
        let (a, b) = (NodeId(1), NodeId(2));
        let moment = |seconds| at(seconds).0;
        let pins = Pins::default();
        assert!(pins.pin(a, 7, moment(0), moment(600)) && pins.pin(b, 9, moment(0), moment(600)));
        assert_eq!(pins.lowest(moment(1)), Some(7));
        pins.reported(a, 6);
        pins.reported(b, 6);
        assert_eq!(pins.lowest(moment(1)), Some(7));
        pins.reported(a, 7);
        assert_eq!(pins.lowest(moment(1)), Some(9));
        assert_eq!(pins.lowest(moment(600)), None);
        for taker in 3..=66 {
            assert!(pins.pin(NodeId(taker), 1, moment(700), moment(800)));
        }
        assert!(!pins.pin(NodeId(67), 1, moment(700), moment(800)));
    }
}
