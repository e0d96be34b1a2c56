//! How a node stands: what probes and calls have shown of it. Pure: time comes in as an argument.
//!
//! ```text
//!          no probe answered, not to be reached        failures in a row, or too slow
//!   Dead ◀────────────────────────────────────── Well ─────────────────────────────────▶ Ejected
//!     └──────────── a probe answered ──────────▶ Well ◀────── its time is over ────────────┘
//! ```
//!
//! Dead is a fact: it lasts until a probe shows otherwise, for however many nodes. Ejected is an inference from
//! traffic, and may be wrong: it has an end, and [`room_for_one`] bounds for how many at a time, because nodes that
//! suffer together (a slow master, a full network) would otherwise all be sent away, and the load of each to
//! the rest. The two are kept apart: a dead node does not use up that room.
//!
//! Whoever returns starts slowly: caches and connections are cold, and it may fail again at once.

use crate::metrics::Fault;
use std::time::Duration;
use tokio::time::Instant;

/// Failures without an answer in between. One may be a connection that broke; Envoy and Finagle take 5 by
/// default, linkerd 7, of far more calls per second than one node here has.
pub const IN_A_ROW: u32 = 3;

/// The first time in a row that a node is ejected; doubles with each further one.
const FIRST_EJECTION: Duration = Duration::from_secs(5);

/// Longer than that only delays what a few calls of a slow start would find out.
const LONGEST_EJECTION: Duration = Duration::from_secs(60);

/// So long after an ejection the next one counts as a first one.
const FORGIVEN: Duration = Duration::from_secs(60);

/// From the return of a node to its full share.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// The share that it starts with.
const FIRST_SHARE: f64 = 0.1;

/// The better, the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Well,
    /// Taken out for what its traffic looks like.
    Ejected,
    /// Known not to answer.
    Dead,
}

#[derive(Debug)]
pub struct Health {
    dead: bool,
    /// Failures since its last answer.
    failures: u32,
    ejection: Option<Ejection>,
    /// Ejections that followed one another, and when the last one ended.
    ejections: u32,
    ended: Option<Instant>,
    /// When it came back last, or was found. `None`: it was there from the start.
    back: Option<Instant>,
}

#[derive(Debug)]
struct Ejection {
    fault: Fault,
    until: Instant,
}

impl Health {
    /// Of a node that was there from the start.
    pub fn settled() -> Self {
        Self { dead: false, failures: 0, ejection: None, ejections: 0, ended: None, back: None }
    }

    /// Of one that was found later.
    pub fn newcomer(now: Instant) -> Self {
        Self { back: Some(now), ..Self::settled() }
    }

    pub fn standing(&self) -> Standing {
        match self {
            Self { dead: true, .. } => Standing::Dead,
            Self { ejection: Some(_), .. } => Standing::Ejected,
            _ => Standing::Well,
        }
    }

    /// Whether nobody need wait any longer for an answer of it.
    pub fn is_failing(&self) -> bool {
        self.dead || self.ejection.as_ref().is_some_and(|ejection| ejection.fault == Fault::Fails)
    }

    /// Of how many choices it takes part in one, above 0 and up to 1.
    pub fn share(&self, now: Instant) -> f64 {
        let Some(back) = self.back else { return 1.0 };
        let passed = now.saturating_duration_since(back).as_secs_f64() / SLOW_START.as_secs_f64();
        passed.clamp(FIRST_SHARE, 1.0)
    }

    /// It answered a call, whatever it said.
    pub fn answered(&mut self) {
        self.failures = 0;
    }

    /// It failed a call.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether its calls speak for taking it out.
    pub fn fails(&self) -> bool {
        self.failures >= IN_A_ROW && self.standing() == Standing::Well
    }

    /// It is known not to answer. Returns whether that is new.
    pub fn died(&mut self) -> bool {
        !std::mem::replace(&mut self.dead, true)
    }

    /// It answered a probe. Returns whether it was dead before; then it starts anew, and what failed while it was
    /// dying is no longer held against it (Envoy's `successful_active_health_check_uneject_host`).
    pub fn lives(&mut self, now: Instant) -> bool {
        let back = std::mem::replace(&mut self.dead, false);
        if back {
            if self.is_failing() {
                self.readmit(now);
            }
            (self.failures, self.back) = (0, Some(now));
        }
        back
    }

    /// Takes it out for its traffic. Returns for how long.
    pub fn eject(&mut self, fault: Fault, now: Instant) -> Duration {
        if self.ended.is_none_or(|ended| now.saturating_duration_since(ended) >= FORGIVEN) {
            self.ejections = 0;
        }
        let time = FIRST_EJECTION * 2_u32.pow(self.ejections.min(8));
        let time = time.min(LONGEST_EJECTION);
        self.ejections += 1;
        self.failures = 0;
        self.ejection = Some(Ejection { fault, until: now + time });
        time
    }

    /// Until when it is ejected.
    pub fn until(&self) -> Option<Instant> {
        self.ejection.as_ref().map(|ejection| ejection.until)
    }

    /// Ends an ejection, over or not.
    pub fn readmit(&mut self, now: Instant) {
        if self.ejection.take().is_some() {
            (self.ended, self.back) = (Some(now), Some(now));
        }
    }
}

/// Whether one more may be ejected: at most half of those that live.
pub fn room_for_one(nodes: &[Standing]) -> bool {
    let (living, ejected) = count(nodes);
    2 * (ejected + 1) <= living
}

/// How many of the ejected have to be let in again, because others have died since.
pub fn too_many(nodes: &[Standing]) -> usize {
    let (living, ejected) = count(nodes);
    ejected.saturating_sub(living / 2)
}

fn count(nodes: &[Standing]) -> (usize, usize) {
    let living = nodes.iter().filter(|&&standing| standing != Standing::Dead).count();
    let ejected = nodes.iter().filter(|&&standing| standing == Standing::Ejected).count();
    (living, ejected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Dead, Ejected, Well};
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_failures_in_a_row_speak_against_a_node_and_an_answer_in_between_for_it() {
        let mut health = Health::settled();
        for answers in [true, false] {
            for _ in 1..IN_A_ROW {
                health.failed();
            }
            assert!(!health.fails());
            if answers {
                health.answered();
            }
        }
        health.failed();
        assert!(health.fails());
        assert_eq!(health.standing(), Well, "that is not for it to decide");
    }

    #[test]
    fn each_ejection_in_a_row_lasts_twice_as_long_up_to_a_minute_and_a_quiet_minute_forgives() {
        let mut health = Health::settled();
        let mut now = Instant::now();
        let mut times = Vec::new();
        for _ in 0..6 {
            times.push(health.eject(Fault::Fails, now).as_secs());
            assert_eq!(
                (health.standing(), health.until()),
                (Ejected, Some(now + SECOND * *times.last().unwrap() as u32))
            );
            now = health.until().unwrap();
            health.readmit(now);
            assert_eq!(health.standing(), Well);
            now += FORGIVEN - SECOND;
        }
        assert_eq!(times, [5, 10, 20, 40, 60, 60]);
        now += SECOND;
        assert_eq!(health.eject(Fault::Fails, now).as_secs(), 5);
    }

    #[test]
    fn who_returns_has_a_tenth_of_its_share_and_all_of_it_after_ten_seconds() {
        let start = Instant::now();
        let mut returned = Health::settled();
        assert_eq!(returned.share(start), 1.0);
        returned.eject(Fault::Slow, start);
        returned.readmit(start);
        let mut revived = Health::settled();
        assert!(revived.died() && !revived.died());
        assert!(revived.lives(start) && !revived.lives(start + SECOND));
        for health in [returned, revived, Health::newcomer(start)] {
            assert_eq!(health.standing(), Well);
            let shares = [0, 1, 5, 10, 99].map(|seconds| health.share(start + SECOND * seconds));
            assert_eq!(shares, [0.1, 0.1, 0.5, 1.0, 1.0]);
        }
    }

    #[test]
    fn who_is_dead_and_ejected_is_well_when_both_are_over() {
        let now = Instant::now();
        let mut health = Health::settled();
        health.eject(Fault::Slow, now);
        assert!(!health.is_failing(), "it answers, if slowly");
        health.died();
        assert!(health.is_failing());
        assert_eq!(health.standing(), Dead);
        health.lives(now);
        assert_eq!(health.standing(), Ejected);
        health.readmit(now);
        assert_eq!(health.standing(), Well);
        health.eject(Fault::Fails, now);
        health.died();
        health.lives(now);
        assert_eq!(health.standing(), Well, "it failed because it was dying");
    }

    #[test]
    fn at_most_half_of_the_living_are_ejected() {
        for (nodes, room) in [
            (&[Well][..], false),
            (&[Well, Well], true),
            (&[Well, Dead], false),
            (&[Well, Ejected], false),
            (&[Well, Well, Ejected], false),
            (&[Well, Well, Well, Ejected], true),
            (&[Well, Ejected, Dead, Dead], false),
        ] {
            assert_eq!(room_for_one(nodes), room, "{nodes:?}");
            assert_eq!(too_many(nodes), 0, "{nodes:?}");
        }
        assert_eq!(too_many(&[Ejected, Ejected, Dead, Dead]), 1);
        assert_eq!(too_many(&[Ejected, Dead]), 1);
    }

    /// What may happen to one of four nodes.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Wanted(Fault),
        Died,
        Lives,
        Over,
    }

    prop_compose! {
        fn event()(
            node in 0_usize..4,
            event in prop_oneof![
                Just(Event::Wanted(Fault::Fails)), Just(Event::Wanted(Fault::Slow)),
                Just(Event::Died), Just(Event::Lives), Just(Event::Over),
            ],
        ) -> (usize, Event) {
            (node, event)
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_at_most_half_of_the_living_are_out_for_their_traffic(
            events in proptest::collection::vec(event(), 0..60),
        ) {
            let now = Instant::now();
            let mut nodes: [Health; 4] = std::array::from_fn(|_| Health::settled());
            for (node, event) in events {
                let standings = nodes.each_ref().map(Health::standing);
                match event {
                    Event::Wanted(fault) => {
                        if standings[node] == Well && room_for_one(&standings) {
                            nodes[node].eject(fault, now);
                        }
                    }
                    Event::Died => drop(nodes[node].died()),
                    Event::Lives => drop(nodes[node].lives(now)),
                    Event::Over => nodes[node].readmit(now),
                }
                for _ in 0..too_many(&nodes.each_ref().map(Health::standing)) {
                    let first = nodes.iter_mut().find(|node| node.standing() == Ejected).unwrap();
                    first.readmit(now);
                }
                let standings = nodes.each_ref().map(Health::standing);
                let of = |wanted| standings.iter().filter(|&&standing| standing == wanted).count();
                prop_assert!(of(Ejected) <= of(Well), "{standings:?}");
            }
        }
    }
}
