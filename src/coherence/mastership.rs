//! Who is the write master: the highest epoch met, deposition, the seal, and who may start.
//!
//! Every internal message carries the highest epoch that its sender has met. So a master that was
//! replaced learns it from whoever has met both, and ends by itself; nobody has to reach it in time.
//!
//! Invariants: the highest epoch met never falls; a master that has met one that deposes its own never
//! writes, grants or acknowledges again; data that another master may have gone on from starts as a
//! master only by force.

use super::Moment;
use super::rule::{Rule, kept};
use crate::domain::{Epoch, NodeId};
use std::time::Duration;

/// The longest lease that a master may grant (`--lease`). One that starts by force does not know the last
/// one's term, and waits for this.
pub const LONGEST_LEASE: Duration = Duration::from_secs(5);

/// How far above every number met a start by force draws its own. The master that it replaces may be
/// restarted again and again, by people or by a supervisor, and counts up by one each time: it must not
/// overtake before it has met the new one.
pub const FORCE_LEAD: u64 = 1000;

/// What a process has met, and what follows for the epoch that it leads, if it leads one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Met {
    highest: Epoch,
    leads: Option<Epoch>,
    deposed_by: Option<Epoch>,
}

impl Default for Met {
    fn default() -> Self {
        Self { highest: Epoch::GENESIS, leads: None, deposed_by: None }
    }
}

impl Met {
    /// The highest epoch met: of two with the same number, the one with the higher identity, so that all
    /// carry the same one.
    pub fn highest(&self) -> Epoch {
        self.highest
    }

    /// Enters what a message carried. Returns whether it was news.
    pub fn meet(&mut self, epoch: Epoch) -> bool {
        if let Some(own) = self.leads.filter(|own| epoch.deposes(*own)) {
            let known = self.deposed_by.unwrap_or(own);
            if known == own || rank(epoch) > rank(known) {
                self.deposed_by = Some(epoch);
            }
        }
        let news = rank(epoch) > rank(self.highest);
        if news {
            self.highest = epoch;
        }
        news
    }

    /// This process leads `epoch` from now on.
    pub fn lead(&mut self, epoch: Epoch) {
        let before = self.highest;
        self.leads = Some(epoch);
        self.deposed_by = None;
        self.meet(epoch);
        self.meet(before);
    }

    /// The epoch that ended the one that this process leads. Once there is one, it never goes away.
    pub fn deposed_by(&self) -> Option<Epoch> {
        self.deposed_by
    }
}

fn rank(epoch: Epoch) -> (u64, u64) {
    (epoch.number, epoch.identity)
}

/// What a data directory says about who was master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Past {
    /// The epoch of its last record.
    pub epoch: Epoch,
    /// Whose start the last start record is; `None` where there is none, or one that does not say.
    pub last_master: Option<NodeId>,
    /// Whom its last record seals it for, if that is a seal.
    pub sealed_for: Option<NodeId>,
    /// The later epoch that its master was told of.
    pub deposed_by: Option<Epoch>,
    /// Whether a master ever wrote to it.
    pub fresh: bool,
}

/// How a master may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Its epoch's number must be above this one.
    pub above: u64,
    /// How long it must wait before its first batch besides what the records say about leases.
    pub at_least: Duration,
}

/// Why data may not start as a master without force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "there is no store in this directory, and one that starts by force replaces all others: give \
         --force only for data that another master may have gone on from"
    )]
    Empty,
    #[error(
        "this data was handed over: its last record seals it for node {heir}, which is to be started with \
         --master; start this one with --replica (or with --force, if that node never got the seal)"
    )]
    Sealed { heir: NodeId },
    #[error(
        "this master was replaced by epoch {}: start it with --replica, and it takes over what the new \
         master has (or with --force, if that one is gone for good)", by.number
    )]
    Deposed { by: Epoch },
    #[error(
        "this is a replica's data, or a backup's: node {master} is the master. Hand over with bazar handover, \
         or start with --force if that node is gone for good"
    )]
    OfReplica { master: NodeId },
}

/// Whether the data of `me` may start as a master, `met` being the highest epoch that this process knows
/// of otherwise.
pub fn may_start(past: &Past, me: NodeId, force: bool, met: Epoch) -> Result<Permission, Refused> {
    if force && past.fresh {
        return Err(Refused::Empty);
    }
    if force {
        let highest = past.deposed_by.map_or(0, |by| by.number).max(past.epoch.number).max(met.number);
        let lead = if kept(Rule::ForcedEpochIsFarAbove) { FORCE_LEAD } else { 1 };
        let above = highest.saturating_add(lead - 1);
        return Ok(Permission { above, at_least: LONGEST_LEASE });
    }
    match (past.sealed_for, past.deposed_by, past.last_master) {
        (Some(heir), ..) if heir == me || !kept(Rule::SealNamesAnHeir) => {}
        (Some(heir), ..) => return Err(Refused::Sealed { heir }),
        (None, Some(by), _) => return Err(Refused::Deposed { by }),
        (None, None, Some(master)) if master != me => return Err(Refused::OfReplica { master }),
        (None, None, _) => {}
    }
    Ok(Permission { above: past.epoch.number, at_least: Duration::ZERO })
}

/// Until when a master that started at `started` must not commit a batch: the leases of earlier epochs,
/// of which the longest may run `recorded`, are served from until then.
pub fn not_before(started: Moment, recorded: Duration, permission: Permission) -> Moment {
    let recorded = if kept(Rule::StartWaitsForLeases) { recorded } else { Duration::ZERO };
    let forced = if kept(Rule::ForceWaitsForTheLongestLease) { permission.at_least } else { Duration::ZERO };
    started.after(recorded.max(forced))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn epoch(number: u64, identity: u64) -> Epoch {
        Epoch { number, identity }
    }

    fn past() -> Past {
        Past { epoch: epoch(3, 3), last_master: Some(ME), sealed_for: None, deposed_by: None, fresh: false }
    }

    fn start(past: Past, force: bool) -> Result<Permission, Refused> {
        may_start(&past, ME, force, Epoch::GENESIS)
    }

    #[test]
    fn a_master_is_deposed_by_a_higher_epoch_and_by_a_twin_of_its_own_and_by_nothing_less() {
        let mut met = Met::default();
        met.lead(epoch(3, 5));
        for harmless in [epoch(3, 5), epoch(2, 9)] {
            met.meet(harmless);
            assert_eq!(met.deposed_by(), None);
        }
        let mut twin = met;
        twin.meet(epoch(3, 1));
        assert_eq!((twin.deposed_by(), twin.highest()), (Some(epoch(3, 1)), epoch(3, 5)));
        assert!(met.meet(epoch(4, 1)) && !met.meet(epoch(4, 1)));
        assert_eq!((met.deposed_by(), met.highest()), (Some(epoch(4, 1)), epoch(4, 1)));
    }

    #[test]
    fn one_that_starts_below_what_it_has_met_is_deposed_from_the_start() {
        let mut met = Met::default();
        met.meet(epoch(4, 4));
        met.lead(epoch(3, 3));
        assert_eq!(met.deposed_by(), Some(epoch(4, 4)));
        met.lead(epoch(5, 5));
        assert_eq!(met.deposed_by(), None);
    }

    #[test]
    fn fresh_data_and_that_of_the_same_master_start_without_force() {
        let fresh = Past { epoch: Epoch::GENESIS, last_master: None, fresh: true, ..past() };
        assert_eq!(start(fresh, false), Ok(Permission { above: 0, at_least: Duration::ZERO }));
        assert_eq!(start(past(), false), Ok(Permission { above: 3, at_least: Duration::ZERO }));
    }

    #[test]
    fn an_empty_directory_never_starts_by_force() {
        let fresh = Past { epoch: Epoch::GENESIS, last_master: None, fresh: true, ..past() };
        assert_eq!(start(fresh, true), Err(Refused::Empty));
    }

    #[test]
    fn only_the_heir_starts_from_sealed_data() {
        assert!(start(Past { sealed_for: Some(ME), last_master: Some(OTHER), ..past() }, false).is_ok());
        let sealed = Past { sealed_for: Some(OTHER), ..past() };
        assert_eq!(start(sealed, false), Err(Refused::Sealed { heir: OTHER }));
        assert!(start(sealed, true).is_ok());
    }

    #[test]
    fn data_that_another_master_may_have_gone_on_from_starts_by_force_only() {
        let replica = Past { last_master: Some(OTHER), ..past() };
        let deposed = Past { deposed_by: Some(epoch(9, 9)), ..past() };
        assert_eq!(start(replica, false), Err(Refused::OfReplica { master: OTHER }));
        assert_eq!(start(deposed, false), Err(Refused::Deposed { by: epoch(9, 9) }));
        let forced = start(deposed, true).unwrap();
        assert_eq!(forced, Permission { above: 9 + FORCE_LEAD - 1, at_least: LONGEST_LEASE });
        let met = may_start(&replica, ME, true, epoch(20, 1)).unwrap();
        assert_eq!(met.above, 20 + FORCE_LEAD - 1);
    }

    #[test]
    fn a_start_waits_for_the_longest_lease_that_may_run() {
        let permission = Permission { above: 0, at_least: Duration::from_secs(5) };
        assert_eq!(not_before(Moment(7), Duration::from_secs(1), permission), Moment(5_000_000_007));
        let none = Permission { at_least: Duration::ZERO, ..permission };
        assert_eq!(not_before(Moment(7), Duration::ZERO, none), Moment(7));
    }
}
