//! The master's side of leases: who may be serving from a cache, and so must be asked before a commit.
//!
//! Invariants:
//! - a commit that touches keys K at version v happens only after every holder whose lease has not run
//!   out on the master's clock has acknowledged a fence for (v, K), or its lease has run out since;
//! - a join copies the floors and adds the holder in one step, so no fence falls between the two;
//! - an acknowledgement counts for the holder that gave it, never for an address.

use super::lease::{Announced, Grant};
use super::rule::{Rule, kept};
use super::{Floors, HolderId, LeaseId, Moment};
use crate::domain::{Epoch, Version};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest back-off of a holder that misses its fences.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(60);

/// The most leases at a time: a fence costs a message for each, so this bounds a fence.
pub const MAX_HOLDERS: usize = 256;

/// Why there is no lease. Nobody needs one to be correct: a frontend without reads at the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLease {
    #[error("this lease is not held, or has run out")]
    Unknown,
    #[error("this frontend missed a fence's deadline")]
    BackingOff,
    #[error("there are too many leases already")]
    Full,
}

/// Someone to announce to: the holder, its lease, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub holder: HolderId,
    pub lease: LeaseId,
    pub address: String,
}

/// All leases of one epoch, and the floors announced in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holders {
    epoch: Epoch,
    term: Duration,
    floors: Floors,
    held: BTreeMap<HolderId, Held>,
    back_offs: BTreeMap<String, BackOff>,
    fence: Option<Fencing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held {
    lease: LeaseId,
    address: String,
    expires: Moment,
    /// Set when a fence's deadline passed without its acknowledgement: no renewal from then on.
    late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BackOff {
    until: Moment,
    delay: Duration,
}

/// The fence that is out: there is one writer, so there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fencing {
    late_at: Moment,
    waiting: BTreeMap<HolderId, Moment>,
}

impl Holders {
    /// `start` is the version of this master's start record: the global floor of every grant, so that
    /// nothing from before it is served under a lease of this epoch.
    pub fn new(start: Version, term: Duration) -> Self {
        Self {
            epoch: start.epoch,
            term,
            floors: Floors::new(start.seq),
            held: BTreeMap::new(),
            back_offs: BTreeMap::new(),
            fence: None,
        }
    }

    /// How long a fence's acknowledgement may take before the holder counts as ill.
    pub fn fence_deadline(&self) -> Duration {
        self.term / 4
    }

    /// A new lease. The caller has made sure that `address` answers as `holder`.
    pub fn join(
        &mut self,
        now: Moment,
        holder: HolderId,
        lease: LeaseId,
        address: String,
    ) -> Result<Grant, NoLease> {
        self.forget(now);
        if self.back_offs.get(&address).is_some_and(|back_off| now < back_off.until) {
            return Err(NoLease::BackingOff);
        }
        if self.held.len() >= MAX_HOLDERS && !self.held.contains_key(&holder) {
            return Err(NoLease::Full);
        }
        let mut expires = now.after(self.term);
        if let Some(old) = self.held.get(&holder) {
            // A delayed or doubled join must never shorten what the holder may rely on.
            expires = expires.max(old.expires);
        }
        self.held.insert(holder, Held { lease, address, expires, late: false });
        Ok(self.grant(lease, true))
    }

    pub fn renew(&mut self, now: Moment, holder: HolderId, lease: LeaseId) -> Result<Grant, NoLease> {
        self.forget(now);
        let expires = now.after(self.term);
        match self.held.get_mut(&holder) {
            Some(held) if held.late && kept(Rule::LateHolderIsNotRenewed) => Err(NoLease::BackingOff),
            Some(held) if held.lease == lease => {
                held.expires = held.expires.max(expires);
                // A fence that is out must wait for as long as the holder may now rely on its lease.
                if let Some(waiting) = self.fence.as_mut().and_then(|fence| fence.waiting.get_mut(&holder))
                    && kept(Rule::RenewalExtendsTheFence)
                {
                    *waiting = held.expires;
                }
                let address = held.address.clone();
                self.forgive(now, &address);
                Ok(self.grant(lease, false))
            }
            _ => Err(NoLease::Unknown),
        }
    }

    /// The holder serves nothing any more: it stops.
    pub fn release(&mut self, holder: HolderId, lease: LeaseId) {
        if self.held.get(&holder).is_some_and(|held| held.lease == lease) {
            self.held.remove(&holder);
            if let Some(fence) = &mut self.fence {
                fence.waiting.remove(&holder);
            }
        }
    }

    /// Raises the master's own floors and starts a fence. Everyone in the answer must be told, and
    /// [`Holders::fenced`] says when the commit may follow.
    pub fn fence(&mut self, now: Moment, version: Version, keys: &Announced) -> Vec<Target> {
        self.forget(now);
        if kept(Rule::MasterRemembersItsFences) {
            keys.raise(&self.floors, version.seq);
        }
        let waiting = self.held.iter().map(|(&holder, held)| (holder, held.expires)).collect();
        self.fence = Some(Fencing { late_at: now.after(self.fence_deadline()), waiting });
        self.held
            .iter()
            .map(|(&holder, held)| Target { holder, lease: held.lease, address: held.address.clone() })
            .collect()
    }

    /// `holder` has raised its floors for the fence that is out.
    pub fn acknowledged(&mut self, holder: HolderId) {
        if let Some(fence) = &mut self.fence {
            fence.waiting.remove(&holder);
        }
    }

    /// `None` when the commit may follow; else the next moment at which it is worth asking again if no
    /// acknowledgement comes.
    pub fn fenced(&mut self, now: Moment) -> Option<Moment> {
        let Some(fence) = &mut self.fence else { return None };
        if !kept(Rule::ExpiryIsWaitedFor) && now >= fence.late_at {
            fence.waiting.clear();
        }
        fence.waiting.retain(|_, expires| now < *expires);
        let Some(&next) = fence.waiting.values().min() else {
            self.fence = None;
            self.forget(now);
            return None;
        };
        if now < fence.late_at {
            return Some(next.min(fence.late_at));
        }
        let late: Vec<HolderId> = fence.waiting.keys().copied().collect();
        for holder in late {
            self.mark_late(now, holder);
        }
        Some(next)
    }

    /// How many addresses get no lease at the moment.
    pub fn backing_off(&self, now: Moment) -> usize {
        self.back_offs.values().filter(|back_off| now < back_off.until).count()
    }

    /// Holders of a lease, and when it runs out.
    pub fn held(&self) -> impl Iterator<Item = (HolderId, &str, Moment)> {
        self.held.iter().map(|(&holder, held)| (holder, held.address.as_str(), held.expires))
    }

    fn grant(&self, lease: LeaseId, with_floors: bool) -> Grant {
        Grant {
            lease,
            epoch: self.epoch,
            term_ms: u64::try_from(self.term.as_millis()).unwrap_or(u64::MAX),
            floors: with_floors.then(|| self.floors.table()),
        }
    }

    /// Drops the leases that have run out, and gives how many. Everything else here does so before it looks; to do it
    /// at any other time changes nothing.
    pub fn forget(&mut self, now: Moment) -> usize {
        let before = self.held.len();
        self.held.retain(|_, held| now < held.expires);
        before - self.held.len()
    }

    /// No renewal, and the next lease only after a back-off that doubles each time.
    fn mark_late(&mut self, now: Moment, holder: HolderId) {
        let Some(held) = self.held.get_mut(&holder) else { return };
        if std::mem::replace(&mut held.late, true) {
            return;
        }
        let doubled = self.back_offs.get(&held.address).map_or(self.term, |back_off| back_off.delay * 2);
        let delay = doubled.min(MAX_BACK_OFF);
        self.back_offs.insert(held.address.clone(), BackOff { until: now.after(delay), delay });
    }

    /// Forgets the back-off of an address that has kept a lease for as long as the longest back-off,
    /// and with it those of addresses that never came back.
    fn forgive(&mut self, now: Moment, address: &str) {
        let good_since = |back_off: &BackOff| back_off.until.after(MAX_BACK_OFF);
        if self.back_offs.get(address).is_some_and(|back_off| now >= good_since(back_off)) {
            self.back_offs.remove(address);
        }
        if self.back_offs.len() > MAX_HOLDERS {
            self.back_offs.retain(|_, back_off| now < good_since(back_off));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::Key;
    use crate::domain::BookId;

    const START: Version = Version { epoch: Epoch { number: 1, identity: 1 }, seq: 3 };
    const A: HolderId = HolderId(1);
    const B: HolderId = HolderId(2);

    fn at(ms: u64) -> Moment {
        Moment(ms * 1_000_000)
    }

    fn keys() -> Announced {
        Announced::Keys(vec![Key::Book(BookId::new(9).unwrap())])
    }

    fn holders() -> Holders {
        let mut holders = Holders::new(START, Duration::from_millis(1000));
        holders.join(at(0), A, LeaseId(1), "a".into()).unwrap();
        holders.join(at(0), B, LeaseId(2), "b".into()).unwrap();
        holders
    }

    #[test]
    fn a_commit_waits_for_every_holder() {
        let mut holders = holders();
        assert_eq!(holders.fence(at(10), START.next(), &keys()).len(), 2);
        assert!(holders.fenced(at(11)).is_some());
        holders.acknowledged(A);
        assert!(holders.fenced(at(12)).is_some());
        holders.acknowledged(B);
        assert_eq!(holders.fenced(at(13)), None);
    }

    #[test]
    fn a_commit_goes_on_when_a_silent_holders_lease_has_run_out() {
        let mut holders = holders();
        holders.fence(at(10), START.next(), &keys());
        holders.acknowledged(A);
        assert_eq!(holders.fenced(at(11)), Some(at(260)));
        assert_eq!(holders.fenced(at(260)), Some(at(1000)));
        assert_eq!(holders.fenced(at(999)), Some(at(1000)));
        assert_eq!(holders.fenced(at(1000)), None);
    }

    #[test]
    fn a_lease_renewed_while_a_fence_is_out_is_waited_for_to_its_new_end() {
        let mut holders = holders();
        holders.fence(at(10), START.next(), &keys());
        holders.acknowledged(B);
        holders.renew(at(200), A, LeaseId(1)).unwrap();
        assert_eq!(holders.fenced(at(1000)), Some(at(1200)));
        assert_eq!(holders.renew(at(1001), A, LeaseId(1)), Err(NoLease::BackingOff));
        assert_eq!(holders.fenced(at(1200)), None);
    }

    #[test]
    fn an_acknowledgement_of_a_stranger_counts_for_nobody() {
        let mut holders = holders();
        holders.fence(at(10), START.next(), &keys());
        holders.acknowledged(HolderId(99));
        holders.acknowledged(A);
        assert!(holders.fenced(at(11)).is_some());
    }

    #[test]
    fn a_join_carries_every_floor_announced_so_far() {
        let mut holders = holders();
        holders.fence(at(10), START.next(), &keys());
        let grant = holders.join(at(11), HolderId(3), LeaseId(3), "c".into()).unwrap();
        let floors = grant.floors.unwrap();
        assert_eq!(floors.global, START.seq);
        assert_eq!(floors.slots, [(Key::Book(BookId::new(9).unwrap()).slot(), 4)]);
    }

    #[test]
    fn a_join_during_a_fence_does_not_answer_it() {
        let mut holders = holders();
        holders.fence(at(10), START.next(), &keys());
        holders.acknowledged(B);
        holders.join(at(11), A, LeaseId(9), "a".into()).unwrap();
        assert!(holders.fenced(at(12)).is_some());
    }

    #[test]
    fn a_delayed_join_never_shortens_a_lease() {
        let mut holders = Holders::new(START, Duration::from_millis(1000));
        holders.join(at(500), A, LeaseId(2), "a".into()).unwrap();
        holders.join(at(400), A, LeaseId(1), "a".into()).unwrap();
        holders.fence(at(600), START.next(), &keys());
        assert!(holders.fenced(at(1499)).is_some());
    }

    #[test]
    fn a_lease_that_ran_out_or_is_another_is_not_renewed() {
        let mut holders = holders();
        assert_eq!(holders.renew(at(10), A, LeaseId(9)), Err(NoLease::Unknown));
        assert!(holders.renew(at(500), A, LeaseId(1)).is_ok());
        assert!(holders.renew(at(1400), A, LeaseId(1)).is_ok());
        assert_eq!(holders.renew(at(1400), B, LeaseId(2)), Err(NoLease::Unknown));
    }

    #[test]
    fn a_holder_that_misses_a_fence_waits_twice_as_long_each_time_and_at_most_a_minute() {
        let mut holders = Holders::new(START, Duration::from_millis(1000));
        let mut now = 0;
        for delay in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            holders.join(at(now), A, LeaseId(1), "a".into()).unwrap();
            holders.fence(at(now), START.next(), &keys());
            holders.fenced(at(now + 250));
            assert_eq!(holders.renew(at(now + 251), A, LeaseId(1)), Err(NoLease::BackingOff));
            holders.fenced(at(now + 1000));
            let joins = |holders: &mut Holders, at| holders.join(at, A, LeaseId(1), "a".into());
            assert_eq!(joins(&mut holders, at(now + 250 + delay - 1)), Err(NoLease::BackingOff));
            now += 250 + delay;
        }
    }

    #[test]
    fn a_lease_given_back_is_not_waited_for() {
        let mut holders = holders();
        holders.fence(at(10), START.next(), &keys());
        holders.acknowledged(A);
        holders.release(B, LeaseId(9));
        assert!(holders.fenced(at(11)).is_some());
        holders.release(B, LeaseId(2));
        assert_eq!(holders.fenced(at(12)), None);
    }
}
