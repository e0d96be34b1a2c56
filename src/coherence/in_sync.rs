//! Which replicas an acknowledgement waits for.
//!
//! Invariants: an acknowledgement for version v goes out only when every member of the in-sync set has v
//! durably; a replica enters the set in the same step in which it is seen to have everything that was
//! acknowledged so far, so nothing acknowledged is ever missing in a member; a replica that misses its
//! deadline leaves before the acknowledgement that it would have delayed.

use super::ReplicaId;
use super::rule::{Rule, kept};
use std::collections::BTreeMap;

/// The replicas known to the master in this epoch. Positions are `seq`s of the master's own history: a
/// replica of another history is not entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct InSync {
    replicas: BTreeMap<ReplicaId, Standing>,
    acknowledged: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Standing {
    durable: u64,
    member: bool,
}

impl InSync {
    /// `acknowledged`: the seq up to which the log may be taken as acknowledged at a master's start,
    /// which is its end.
    pub fn new(acknowledged: u64) -> Self {
        Self { replicas: BTreeMap::new(), acknowledged }
    }

    /// A replica says how far it is, durably. Returns whether it entered the set by that.
    pub fn reported(&mut self, replica: ReplicaId, durable: u64) -> bool {
        let standing = self.replicas.entry(replica).or_insert(Standing { durable: 0, member: false });
        standing.durable = standing.durable.max(durable);
        let has_everything = standing.durable >= self.acknowledged || !kept(Rule::EntersInSyncWithEverything);
        let enters = !standing.member && has_everything;
        standing.member |= enters;
        enters
    }

    /// The members that hold up the acknowledgement of `seq`; none: it may go out.
    pub fn missing(&self, seq: u64) -> Vec<ReplicaId> {
        self.replicas
            .iter()
            .filter(|(_, standing)| standing.member && standing.durable < seq)
            .map(|(&replica, _)| replica)
            .collect()
    }

    /// Everything up to `seq` is acknowledged now. Call only when nothing is [missing](Self::missing),
    /// or when acknowledgements wait for nobody.
    pub fn acknowledged(&mut self, seq: u64) {
        self.acknowledged = self.acknowledged.max(seq);
        let acknowledged = self.acknowledged;
        for standing in self.replicas.values_mut() {
            // Only happens where nobody is waited for: who is behind is no member then.
            standing.member &= standing.durable >= acknowledged;
        }
    }

    /// The replica missed its deadline, or is gone: nothing waits for it until it has caught up.
    pub fn left(&mut self, replica: ReplicaId) {
        if let Some(standing) = self.replicas.get_mut(&replica) {
            standing.member = false;
        }
    }

    /// The replica is another process now, or another history.
    pub fn forget(&mut self, replica: ReplicaId) {
        self.replicas.remove(&replica);
    }

    pub fn is_member(&self, replica: ReplicaId) -> bool {
        self.replicas.get(&replica).is_some_and(|standing| standing.member)
    }

    /// How far a known replica is.
    pub fn durable(&self, replica: ReplicaId) -> Option<u64> {
        self.replicas.get(&replica).map(|standing| standing.durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId(1);
    const B: ReplicaId = ReplicaId(2);

    #[test]
    fn an_acknowledgement_waits_for_every_member() {
        let mut set = InSync::new(5);
        assert!(set.reported(A, 5) && set.reported(B, 5));
        assert_eq!(set.missing(6), [A, B]);
        set.reported(A, 6);
        assert_eq!(set.missing(6), [B]);
        set.reported(B, 7);
        assert!(set.missing(6).is_empty());
    }

    #[test]
    fn a_replica_that_lacks_something_acknowledged_is_no_member() {
        let mut set = InSync::new(5);
        assert!(!set.reported(A, 4));
        assert!(set.missing(6).is_empty());
        set.acknowledged(6);
        assert!(!set.reported(A, 5));
        assert!(set.reported(A, 6));
        assert_eq!(set.missing(7), [A]);
    }

    #[test]
    fn a_member_that_left_is_waited_for_again_only_after_catching_up() {
        let mut set = InSync::new(5);
        set.reported(A, 5);
        set.left(A);
        assert!(set.missing(6).is_empty());
        set.acknowledged(6);
        assert!(!set.reported(A, 5) && set.reported(A, 6));
    }

    #[test]
    fn where_nobody_is_waited_for_who_is_behind_is_no_member() {
        let mut set = InSync::new(5);
        set.reported(A, 5);
        set.acknowledged(9);
        assert!(!set.is_member(A));
    }
}
