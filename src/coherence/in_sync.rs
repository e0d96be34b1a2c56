//! Which replicas an acknowledgement waits for.
//!
//! Invariants: an acknowledgement for version v goes out only when every member of the in-sync set has v
//! durably; a replica enters the set in the same step in which it is seen to have everything that was
//! acknowledged so far, so nothing acknowledged is ever missing in a member; a replica that misses its
//! deadline leaves before the acknowledgement that it would have delayed, and what is recorded of the set
//! says so by then.

use super::rule::{Rule, kept};
use crate::domain::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// The replicas known to the master in this epoch. Positions are `seq`s of the master's own history: a
/// replica of another history is not entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct InSync {
    replicas: BTreeMap<NodeId, Standing>,
    acknowledged: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Standing {
    durable: u64,
    member: bool,
}

impl InSync {
    /// `acknowledged`: the seq up to which the log may be taken as acknowledged at a master's start, which
    /// is its end before the record of that start. `former`: the set as it was recorded last. Its members have what was acknowledged
    /// then, so they are members still, and waited for until they say how far they are or miss a
    /// deadline: a restart of the master alone takes nobody out.
    pub fn new(acknowledged: u64, former: &BTreeSet<NodeId>) -> Self {
        let member = Standing { durable: 0, member: true };
        Self { replicas: former.iter().map(|&replica| (replica, member)).collect(), acknowledged }
    }

    /// The members, as they are to be recorded.
    pub fn members(&self) -> BTreeSet<NodeId> {
        self.replicas.iter().filter(|(_, standing)| standing.member).map(|(&replica, _)| replica).collect()
    }

    /// A replica says how far it is, durably. Returns whether it entered the set by that.
    pub fn reported(&mut self, replica: NodeId, durable: u64) -> bool {
        let standing = self.replicas.entry(replica).or_insert(Standing { durable: 0, member: false });
        standing.durable = standing.durable.max(durable);
        let has_all = standing.durable >= self.acknowledged || !kept(Rule::EntersInSyncWithEverything);
        let enters = !standing.member && has_all;
        // Only one of the recorded set can lack something here, by being an old copy of itself.
        standing.member = has_all;
        enters
    }

    /// The members that hold up the acknowledgement of `seq`; none: it may go out.
    pub fn missing(&self, seq: u64) -> Vec<NodeId> {
        self.replicas
            .iter()
            .filter(|(_, standing)| standing.member && standing.durable < seq)
            .map(|(&replica, _)| replica)
            .collect()
    }

    /// Everything up to `seq` is acknowledged now. Call only when nothing is [missing](Self::missing),
    /// or when acknowledgements wait for nobody.
    pub fn acknowledged(&mut self, seq: u64) {
        if seq <= self.acknowledged {
            return;
        }
        self.acknowledged = seq;
        let acknowledged = seq;
        for standing in self.replicas.values_mut() {
            // Only happens where nobody is waited for: who is behind is no member then.
            standing.member &= standing.durable >= acknowledged;
        }
    }

    /// The replica missed its deadline, or is gone: nothing waits for it until it has caught up.
    pub fn left(&mut self, replica: NodeId) {
        if let Some(standing) = self.replicas.get_mut(&replica) {
            standing.member = false;
        }
    }

    /// The replica is another process now, or another history.
    pub fn forget(&mut self, replica: NodeId) {
        self.replicas.remove(&replica);
    }

    pub fn is_member(&self, replica: NodeId) -> bool {
        self.replicas.get(&replica).is_some_and(|standing| standing.member)
    }

    /// How far a known replica is.
    pub fn durable(&self, replica: NodeId) -> Option<u64> {
        self.replicas.get(&replica).map(|standing| standing.durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn an_acknowledgement_waits_for_every_member() {
        let mut set = InSync::new(5, &BTreeSet::new());
        assert!(set.reported(A, 5) && set.reported(B, 5));
        assert_eq!(set.missing(6), [A, B]);
        set.reported(A, 6);
        assert_eq!(set.missing(6), [B]);
        set.reported(B, 7);
        assert!(set.missing(6).is_empty());
    }

    #[test]
    fn a_replica_that_lacks_something_acknowledged_is_no_member() {
        let mut set = InSync::new(5, &BTreeSet::new());
        assert!(!set.reported(A, 4));
        assert!(set.missing(6).is_empty());
        set.acknowledged(6);
        assert!(!set.reported(A, 5));
        assert!(set.reported(A, 6));
        assert_eq!(set.missing(7), [A]);
    }

    #[test]
    fn a_member_that_left_is_waited_for_again_only_after_catching_up() {
        let mut set = InSync::new(5, &BTreeSet::new());
        set.reported(A, 5);
        set.left(A);
        assert!(set.missing(6).is_empty());
        set.acknowledged(6);
        assert!(!set.reported(A, 5) && set.reported(A, 6));
    }

    #[test]
    fn a_member_of_the_recorded_set_is_waited_for_after_a_restart_until_it_says_how_far_it_is() {
        let mut set = InSync::new(5, &BTreeSet::from([A, B]));
        assert_eq!(set.missing(6), [A, B]);
        assert!(!set.reported(A, 6));
        assert!(!set.reported(B, 4));
        assert!(set.missing(6).is_empty());
        assert_eq!(set.members(), BTreeSet::from([A]));
    }

    #[test]
    fn what_was_acknowledged_before_takes_nobody_out() {
        let mut set = InSync::new(5, &BTreeSet::from([A]));
        set.acknowledged(0);
        set.acknowledged(5);
        assert!(set.is_member(A));
    }

    #[test]
    fn where_nobody_is_waited_for_who_is_behind_is_no_member() {
        let mut set = InSync::new(5, &BTreeSet::new());
        set.reported(A, 5);
        set.acknowledged(9);
        assert!(!set.is_member(A));
    }
}
