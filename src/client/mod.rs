//! Calls from one role to another: typed bodies, a deadline on each, errors decoded back into codes.
//!
//! Invariants: no call is made without a deadline; nothing is retried here (who calls knows what is safe
//! to repeat), but that what a peer did not let in is signed again as it says. Each request is signed, and no answer
//! is believed without a proof: no epoch of it is met, no refusal of it counts. Each peer has a connection pool of
//! its own on each thread, so that one that hangs cannot starve the others.
//!
//! | file | what it is |
//! |---|---|
//! | `base_url` | where a role listens |
//! | `peer` | one that is called: signs, counts, bounds |
//! | `proven` | answers whose head is proved; checks their bodies |
//! | `traced` | calls as parts of a trace |
//! | `masters` | whichever of several nodes is the master |
//! | `gather`, `purchases` | many questions in one call |
//! | `error` | why a call has no answer |

mod base_url;
mod error;
#[cfg(test)]
pub mod fake;
mod gather;
mod healthcheck;
mod masters;
mod peer;
mod proven;
mod purchases;
mod traced;

use awc::error::PayloadError;
use bytes::Bytes;
use std::time::Duration;

pub use base_url::BaseUrl;
pub use error::CallError;
pub use gather::{Bounds, Gatherer, Ungathered};
pub use healthcheck::healthcheck;
pub use masters::Masters;
pub use peer::Peer;
pub use purchases::{PurchaseAnswer, PurchaseGatherer, PurchasesBody, Waiting, last_deadline, shared_by};

/// The largest body that is read from a peer: a page of 1,000 books with the longest titles.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// A piece of a body.
type Chunk = Result<Bytes, PayloadError>;

/// `None` when it took longer than `deadline`.
async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, work).await.ok()
}
