//! What can happen next.

use crate::coherence::HolderId;
use crate::world::net::Route;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Tick,
    /// A message arrives; `front`: at which of those behind its address.
    Deliver {
        index: usize,
        front: usize,
    },
    Lose {
        index: usize,
    },
    Double {
        index: usize,
    },
    // Clients.
    Come {
        front: usize,
        want: usize,
    },
    Begin {
        op: usize,
    },
    Retry {
        op: usize,
        node: usize,
    },
    // Frontends.
    Look {
        front: usize,
        read: usize,
    },
    Ask {
        front: usize,
    },
    AskFails {
        front: usize,
    },
    GiveBack {
        front: usize,
    },
    PublishFloors {
        front: usize,
    },
    AskRedis {
        front: usize,
        want: usize,
    },
    Pick {
        front: usize,
        want: usize,
        node: usize,
    },
    FlightFails {
        front: usize,
        route: Route,
        want: usize,
    },
    // Catalog nodes.
    Batch {
        node: usize,
    },
    SendFence {
        node: usize,
    },
    Announce {
        node: usize,
        holder: HolderId,
    },
    Commit {
        node: usize,
    },
    /// The batch that is fenced cannot be written: nothing is left of it, and the next one has its version.
    Refuse {
        node: usize,
    },
    Acknowledge {
        node: usize,
    },
    Push {
        node: usize,
        to: usize,
    },
    PushFails {
        node: usize,
        to: usize,
    },
    Report {
        node: usize,
    },
    FollowFails {
        node: usize,
    },
    Sync {
        node: usize,
    },
    Handover {
        node: usize,
        to: usize,
    },
    // Faults.
    StopNode {
        node: usize,
        power: bool,
    },
    StartMaster {
        node: usize,
        force: bool,
    },
    StartReplica {
        node: usize,
    },
    StopFront {
        front: usize,
    },
    StartFront {
        front: usize,
    },
    Backup {
        node: usize,
    },
    Restore {
        node: usize,
    },
    Wipe {
        node: usize,
    },
    RestoreRedis {
        want: usize,
    },
    /// Only before a run: time passes.
    GoOn {
        ms: u64,
    },
    /// Only before a run: a report of long ago, of the backup's version, is still on its way.
    Stray {
        node: usize,
    },
}

impl Action {
    /// What nobody does by himself while the others rest.
    pub(super) fn is_a_new_attempt(&self) -> bool {
        matches!(self, Action::Retry { .. } | Action::StartReplica { .. } | Action::StartFront { .. })
    }

    /// The frontend that acts.
    pub(super) fn front(&self) -> Option<usize> {
        match *self {
            Action::Look { front, .. }
            | Action::Ask { front }
            | Action::AskFails { front }
            | Action::GiveBack { front }
            | Action::PublishFloors { front }
            | Action::AskRedis { front, .. }
            | Action::Pick { front, .. }
            | Action::FlightFails { front, .. }
            | Action::Come { front, .. }
            | Action::StopFront { front }
            | Action::StartFront { front } => Some(front),
            _ => None,
        }
    }
}
