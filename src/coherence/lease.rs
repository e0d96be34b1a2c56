//! The frontend's side of a lease.
//!
//! While a lease is valid the master commits nothing that touches a key without this frontend having
//! raised the key's floor first. A [`Lease`] is *one object*: id, epoch, deadline and floors belong
//! together and are never mixed with those of another; a request loads one and judges by it alone.
//!
//! A [`Session`] is the state machine that gets, keeps and loses leases:
//!
//! ```text
//!            ask(join)            granted
//!   Without ───────────▶ Joining ─────────▶ Held ──┐ ask(renew), renewed
//!      ▲                    │ refused        │ ▲    │
//!      └────────────────────┴── lost ◀───────┘ └────┘
//! ```
//!
//! Invariants: a lease is published only when its floors are complete; fences that arrive while the
//! answer to a join is on its way are merged into it; whatever lease a fence names, *every* object that
//! this process may serve from, now or once granted, is raised before the fence is acknowledged.

use super::rule::{Rule, kept};
use super::{FloorTable, Floors, HolderId, Key, LeaseId, Moment};
use crate::domain::{Epoch, Version};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How much shorter the holder's term is than the master's, in percent: clocks may drift by 1 % each,
/// and a third is kept in hand.
const DRIFT_PERCENT: u32 = 3;

/// Permission to serve from the cache, with the floors that say what.
#[derive(Debug)]
pub struct Lease {
    id: LeaseId,
    epoch: Epoch,
    /// The [`Moment`] at which the permission ends; only ever moved further by a gapless renewal.
    deadline: AtomicU64,
    floors: Floors,
}

impl Lease {
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn id(&self) -> LeaseId {
        self.id
    }

    pub fn floors(&self) -> &Floors {
        &self.floors
    }

    pub fn valid_at(&self, moment: Moment) -> bool {
        moment < self.deadline() || !kept(Rule::LeaseValidSinceTheRequest)
    }

    /// The [`Moment`] at which it ends unless it is renewed.
    pub fn deadline(&self) -> Moment {
        Moment(self.deadline.load(Ordering::Acquire))
    }

    /// The version that a state must reach to show everything announced for `slot`.
    pub fn minimum(&self, slot: super::Slot) -> Version {
        Version::new(self.epoch, self.floors.floor(slot))
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        let deadline = AtomicU64::new(self.deadline().0);
        Self { id: self.id, epoch: self.epoch, deadline, floors: self.floors.clone() }
    }
}

impl PartialEq for Lease {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.epoch, self.deadline()) == (other.id, other.epoch, other.deadline())
            && self.floors == other.floors
    }
}

impl Eq for Lease {}

impl Hash for Lease {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id, self.epoch, self.deadline()).hash(state);
        self.floors.hash(state);
    }
}

/// What the master announces before it commits: nothing below `version` may be served for `keys`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    pub holder: HolderId,
    pub lease: LeaseId,
    pub version: Version,
    pub keys: Announced,
}

/// The keys of a fence, or all of them where a batch touches too many to name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announced {
    Keys(Vec<Key>),
    All,
}

impl fmt::Display for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Announced::Keys(keys) => {
                let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
                f.write_str(&keys.join(" "))
            }
            Announced::All => f.write_str("everything"),
        }
    }
}

impl Announced {
    /// Raises the floors of what is announced to `seq`.
    pub fn raise(&self, floors: &Floors, seq: u64) {
        match self {
            Announced::Keys(keys) => keys.iter().for_each(|key| floors.raise(key.slot(), seq)),
            Announced::All => floors.raise_all(seq),
        }
        floors.complete(seq);
    }
}

/// What a frontend asks the master for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Join(LeaseId),
    Renew(LeaseId),
}

/// The master's yes. `floors` comes with a join and not with a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    pub lease: LeaseId,
    pub epoch: Epoch,
    pub term_ms: u64,
    pub floors: Option<FloorTable>,
}

/// What a fence was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceAnswer {
    /// Every floor is raised: the master may go on.
    Raised,
    /// Meant for another process. Says nothing about that one.
    NotThisHolder,
}

/// What became of the master's answer to an [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// There is a new lease object to publish.
    New,
    /// The lease that is held was extended.
    Renewed,
    /// The answer belongs to nothing that is still wanted, or came too late to be of use.
    Useless,
}

/// A frontend's standing with the master.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Session {
    holder: HolderId,
    held: Option<Arc<Lease>>,
    joining: Option<Joining>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Joining {
    lease: LeaseId,
    /// The epoch of the fences that came before the answer, if any did.
    epoch: Option<Epoch>,
    floors: Floors,
}

/// A clone shares nothing with its original: it has a lease object of its own.
impl Clone for Session {
    fn clone(&self) -> Self {
        let held = self.held.as_ref().map(|lease| Arc::new(Lease::clone(lease)));
        Self { holder: self.holder, held, joining: self.joining.clone() }
    }
}

impl Session {
    pub fn new(holder: HolderId) -> Self {
        Self { holder, held: None, joining: None }
    }

    pub fn holder(&self) -> HolderId {
        self.holder
    }

    /// The lease to serve from. It may have run out: [`Lease::valid_at`] says.
    pub fn held(&self) -> Option<&Arc<Lease>> {
        self.held.as_ref()
    }

    /// What to send now. A lease that is still valid is renewed; otherwise a new one, named `fresh`, is
    /// asked for, and the old object is given up for good.
    pub fn ask(&mut self, now: Moment, fresh: LeaseId) -> Ask {
        match &self.held {
            Some(lease) if lease.valid_at(now) => Ask::Renew(lease.id),
            _ => {
                self.held = None;
                self.joining = Some(Joining { lease: fresh, epoch: None, floors: Floors::new(0) });
                Ask::Join(fresh)
            }
        }
    }

    /// The master said yes to what was sent at `sent`.
    pub fn granted(&mut self, grant: &Grant, sent: Moment, now: Moment) -> Granted {
        let drift = if kept(Rule::TermIsShorterByTheDrift) { DRIFT_PERCENT } else { 0 };
        let term = Duration::from_millis(grant.term_ms).saturating_mul(100 - drift) / 100;
        let deadline = if kept(Rule::TermCountsFromSending) { sent } else { now }.after(term);
        if now >= deadline {
            return Granted::Useless;
        }
        if let Some(held) = &self.held {
            // Gapless on this side too: an object that ran out is never brought back.
            if held.id != grant.lease || held.epoch != grant.epoch || !held.valid_at(now) {
                return Granted::Useless;
            }
            held.deadline.fetch_max(deadline.0, Ordering::AcqRel);
            return Granted::Renewed;
        }
        let Some(floors) = &grant.floors else { return Granted::Useless };
        let Some(joining) = self.joining.take_if(|joining| joining.lease == grant.lease) else {
            return Granted::Useless;
        };
        if joining.epoch.is_some_and(|epoch| epoch != grant.epoch) {
            return Granted::Useless;
        }
        if kept(Rule::FloorsCopiedOnJoin) {
            joining.floors.merge(floors);
        }
        self.held = Some(Arc::new(Lease {
            id: grant.lease,
            epoch: grant.epoch,
            deadline: AtomicU64::new(deadline.0),
            floors: joining.floors,
        }));
        Granted::New
    }

    /// Gives up the lease: the master refused to renew it, or a higher epoch showed itself.
    pub fn lose(&mut self) {
        self.held = None;
        self.joining = None;
    }

    /// Raises the floors that `fence` names, on every object that may ever be served from.
    pub fn fenced(&mut self, fence: &Fence) -> FenceAnswer {
        if fence.holder != self.holder && kept(Rule::AcknowledgedByHolder) {
            return FenceAnswer::NotThisHolder;
        }
        let Version { epoch, seq } = fence.version;
        match &self.held {
            Some(held) if held.epoch == epoch => fence.keys.raise(&held.floors, seq),
            // A new master's fence: what the old one promised ends here.
            Some(held) if epoch.deposes(held.epoch) => self.held = None,
            _ => {}
        }
        if let Some(joining) = &mut self.joining {
            match joining.epoch {
                Some(known) if known != epoch => self.joining = None,
                _ => {
                    joining.epoch = Some(epoch);
                    if kept(Rule::FencesMergedIntoAJoin) {
                        fence.keys.raise(&joining.floors, seq);
                    }
                }
            }
        }
        FenceAnswer::Raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::Slot;
    use crate::domain::BookId;

    const ME: HolderId = HolderId(1);
    const FIRST: Epoch = Epoch { number: 1, identity: 1 };
    const SECOND: Epoch = Epoch { number: 2, identity: 2 };
    const TERM_MS: u64 = 1000;

    fn at(ms: u64) -> Moment {
        Moment(ms * 1_000_000)
    }

    fn book() -> Key {
        Key::Book(BookId::new(9).unwrap())
    }

    fn fence(lease: LeaseId, epoch: Epoch, seq: u64) -> Fence {
        Fence { holder: ME, lease, version: Version::new(epoch, seq), keys: Announced::Keys(vec![book()]) }
    }

    fn join(id: u64, epoch: Epoch, floor: u64) -> Grant {
        let slots = vec![(book().slot(), floor)];
        Grant { lease: LeaseId(id), epoch, term_ms: TERM_MS, floors: Some(FloorTable { global: 1, slots }) }
    }

    fn held(epoch: Epoch) -> Session {
        let mut session = Session::new(ME);
        assert_eq!(session.ask(at(0), LeaseId(7)), Ask::Join(LeaseId(7)));
        assert_eq!(session.granted(&join(7, epoch, 3), at(0), at(1)), Granted::New);
        session
    }

    fn floor(session: &Session, slot: Slot) -> u64 {
        session.held().unwrap().floors().floor(slot)
    }

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for_and_is_three_percent_shorter() {
        let session = held(FIRST);
        let lease = session.held().unwrap();
        assert!(lease.valid_at(at(969)) && !lease.valid_at(at(970)));
    }

    #[test]
    fn a_fence_that_overtakes_the_answer_to_a_join_is_merged_into_it() {
        let mut session = Session::new(ME);
        session.ask(at(0), LeaseId(7));
        assert_eq!(session.fenced(&fence(LeaseId(7), FIRST, 5)), FenceAnswer::Raised);
        session.granted(&join(7, FIRST, 3), at(0), at(1));
        assert_eq!(floor(&session, book().slot()), 5);
    }

    #[test]
    fn a_fence_that_names_another_lease_of_this_holder_raises_the_held_one_all_the_same() {
        let mut session = held(FIRST);
        assert_eq!(session.fenced(&fence(LeaseId(6), FIRST, 8)), FenceAnswer::Raised);
        assert_eq!(floor(&session, book().slot()), 8);
    }

    #[test]
    fn a_fence_for_another_holder_is_not_acknowledged() {
        let mut session = held(FIRST);
        let other = Fence { holder: HolderId(2), ..fence(LeaseId(7), FIRST, 8) };
        assert_eq!(session.fenced(&other), FenceAnswer::NotThisHolder);
        assert_eq!(floor(&session, book().slot()), 3);
    }

    #[test]
    fn a_renewal_extends_a_valid_lease_and_never_brings_back_one_that_ran_out() {
        let renewal = Grant { floors: None, ..join(7, FIRST, 0) };
        let mut session = held(FIRST);
        assert_eq!(session.ask(at(250), LeaseId(8)), Ask::Renew(LeaseId(7)));
        assert_eq!(session.granted(&renewal, at(250), at(251)), Granted::Renewed);
        assert!(session.held().unwrap().valid_at(at(1219)));
        assert_eq!(session.granted(&renewal, at(1000), at(1221)), Granted::Useless);
        assert_eq!(session.ask(at(1221), LeaseId(8)), Ask::Join(LeaseId(8)));
        assert!(session.held().is_none());
    }

    #[test]
    fn an_answer_to_a_join_that_was_given_up_is_useless() {
        let mut session = Session::new(ME);
        session.ask(at(0), LeaseId(7));
        session.ask(at(300), LeaseId(8));
        assert_eq!(session.granted(&join(7, FIRST, 3), at(0), at(301)), Granted::Useless);
        assert_eq!(session.granted(&join(8, FIRST, 3), at(300), at(301)), Granted::New);
        assert_eq!(session.granted(&join(8, FIRST, 3), at(300), at(2000)), Granted::Useless);
    }

    #[test]
    fn a_fence_of_a_later_epoch_ends_the_lease_and_one_of_an_earlier_epoch_does_not() {
        let mut session = held(SECOND);
        session.fenced(&fence(LeaseId(7), FIRST, 99));
        assert_eq!(floor(&session, book().slot()), 3);
        let mut session = held(FIRST);
        session.fenced(&fence(LeaseId(7), SECOND, 9));
        assert!(session.held().is_none());
    }

    #[test]
    fn a_grant_is_never_mixed_with_fences_of_another_epoch() {
        let mut session = Session::new(ME);
        session.ask(at(0), LeaseId(7));
        session.fenced(&fence(LeaseId(7), SECOND, 5));
        assert_eq!(session.granted(&join(7, FIRST, 3), at(0), at(1)), Granted::Useless);
        assert!(session.held().is_none());
    }
}
