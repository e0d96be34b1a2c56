//! Named points at which a test can end a process, as suddenly as `kill -9` and at exactly that step.
//!
//! Only with the feature `abort-points`, which no release has: `BAZAR_ABORT_AT=<point>[:<n>]` aborts the
//! process the n-th time (the first, unless said) that it reaches the point. Without the feature
//! [`point`] is nothing, and the variable means nothing.

// The master, on the way of a batch.
pub const BEFORE_PREPARE: &str = "before-prepare";
pub const PREPARED: &str = "prepared";
/// One frontend has acknowledged the fence, and the next one not yet.
pub const FENCE_SENT: &str = "fence-sent";
pub const FENCED: &str = "fenced";
pub const COMMITTED: &str = "committed";
/// The record is with the links to the replicas.
pub const PUBLISHED: &str = "published";
pub const REPLICATED: &str = "replicated";
/// One order node has been answered, and the next one not yet.
pub const ACKNOWLEDGING: &str = "acknowledging";

// A replica.
pub const SYNC_WRITE_RECEIVED: &str = "sync-write-received";
/// Durably, and not yet said.
pub const APPLIED: &str = "applied";

// A frontend.
pub const FENCE_RECEIVED: &str = "fence-received";
/// The floors are raised, and that is not yet said.
pub const FENCE_RAISED: &str = "fence-raised";

// An order node.
pub const GATHERED: &str = "gathered";
/// The master has answered, and no frontend knows yet.
pub const ANSWERED: &str = "answered";

#[cfg(not(feature = "abort-points"))]
#[inline(always)]
pub const fn point(_name: &'static str) {}

/// Ends the process if `BAZAR_ABORT_AT` names this point and this is the time it says.
#[cfg(feature = "abort-points")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Chosen {
        name: String,
        left: AtomicU64,
    }
    static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("BAZAR_ABORT_AT").ok()?;
        let (name, times) = match text.split_once(':') {
            Some((name, times)) => (name, times.parse().ok()?),
            None => (text.as_str(), 1),
        };
        Some(Chosen { name: name.into(), left: AtomicU64::new(times) })
    });
    if let Some(chosen) = chosen.as_ref().filter(|chosen| chosen.name == name)
        && chosen.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
