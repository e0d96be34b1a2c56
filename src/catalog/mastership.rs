//! Whether this process still is the write master: the state around
//! [`coherence::mastership`](crate::coherence::mastership).
//!
//! Invariants: from the moment at which it is sealed or deposed nothing is written, granted or renewed;
//! from the moment at which it is deposed nothing is acknowledged either, and no read is called the
//! master's. (What was written before a seal may still be acknowledged: the heir has it.)

use crate::domain::{Epoch, NodeId};
use crate::member::Member;
use crate::wire::{ErrorCode, Problem};
use parking_lot::Mutex;

pub struct Mastership {
    member: Member,
    sealed_for: Mutex<Option<NodeId>>,
}

/// What a master has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Leads,
    /// It hands over, or has handed over, to this node.
    Sealed(NodeId),
    /// This epoch has begun somewhere else.
    Deposed(Epoch),
}

impl Mastership {
    /// `member` leads an epoch by now.
    pub fn new(member: Member) -> Self {
        Self { member, sealed_for: Mutex::new(None) }
    }

    pub fn standing(&self) -> Standing {
        match (self.member.deposed_by(), *self.sealed_for.lock()) {
            (Some(by), _) => Standing::Deposed(by),
            (None, Some(heir)) => Standing::Sealed(heir),
            (None, None) => Standing::Leads,
        }
    }

    pub fn leads(&self) -> bool {
        self.standing() == Standing::Leads
    }

    /// For whatever only a master may do.
    pub fn require(&self) -> Result<(), Problem> {
        match self.standing() {
            Standing::Leads => Ok(()),
            Standing::Sealed(_) | Standing::Deposed(_) => Err(ErrorCode::NotMaster.into()),
        }
    }

    pub fn deposed_by(&self) -> Option<Epoch> {
        self.member.deposed_by()
    }

    /// Somebody's data is of `epoch`.
    pub fn meet(&self, epoch: Epoch) {
        self.member.meet(epoch);
    }

    /// Returns when this process has been deposed; at once if it was before.
    pub async fn deposed(&self) -> Epoch {
        let mut met = self.member.watch();
        loop {
            met.mark_unchanged();
            if let Some(by) = self.member.deposed_by() {
                return by;
            }
            // The sender lives in the member that is held here.
            let _ = met.changed().await;
        }
    }

    /// Before the seal is written: whatever a reader is told from here on must not be called the master's.
    pub fn seal(&self, heir: NodeId) {
        *self.sealed_for.lock() = Some(heir);
    }

    /// The seal could not be written.
    pub fn unseal(&self) {
        *self.sealed_for.lock() = None;
    }
}
