//! The coherence protocol without I/O: which answers may be served, whom a writer must ask first, when
//! an acknowledgement may go out.
//!
//! Nothing here reads a clock, opens a socket or waits: time comes in as a [`Moment`], random numbers as
//! arguments, and what is to be done comes back as a value. The same code runs in production, in the
//! model checker and in the simulator, and the folder can be taken away and used elsewhere.
//!
//! | file | rule |
//! |---|---|
//! | `keys` | what a change touches, and which floor slot a key has |
//! | `floors` | the highest version announced for each slot |
//! | `lease` | the frontend's side of a lease: join, renew, fence, lose |
//! | `holders` | the master's side: whom a fence must reach, and until when |
//! | `serving` | **the serving rule**: may this entry answer this request? |
//! | `position` | what a replica does with a record |
//! | `in_sync` | which replicas an acknowledgement waits for |
//! | `rule` | the rules by name, for the proof that takes them out |
//! | `mastership` | who is the master, who was, and who may start as one |

pub mod floors;
pub mod holders;
pub mod in_sync;
pub mod keys;
pub mod lease;
pub mod mastership;
pub mod position;
pub mod rule;
pub mod serving;

pub use floors::{FloorTable, Floors, Slot};
pub use holders::Holders;
pub use in_sync::InSync;
pub use keys::{Key, touched_keys};
pub use lease::{Lease, Session};
pub use mastership::Met;
pub use position::{Follow, follow};
pub use serving::{Stamp, Verdict};

use crate::domain::random_id;
use std::time::Duration;

/// A point in time in nanoseconds on a clock that never goes back and runs on during suspend
/// (CLOCK_BOOTTIME in production). Moments of two machines do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `wait` later. Saturates, so that "for ever" needs no special case.
    pub fn after(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long from `self` until `later`; zero when that is past.
    pub fn until(self, later: Moment) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

random_id!(
    /// One life of a frontend process, drawn at its start. An acknowledgement counts only from the holder
    /// that was fenced, whoever answers at its address.
    HolderId,
    "a holder id"
);
random_id!(
    /// One unbroken lease, drawn by the holder when it asks.
    LeaseId,
    "a lease id"
);
random_id!(
    /// One life of a replica process.
    ReplicaId,
    "a replica id"
);
