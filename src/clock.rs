//! The clocks: one for deadlines of the protocol, one for people's eyes.

use crate::coherence::Moment;
use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// Now on CLOCK_BOOTTIME, which, unlike `Instant` on Linux, runs on while the machine is suspended: a
/// lease must not outlive a closed lid.
pub fn now() -> Moment {
    let now = clock_gettime(ClockId::Boottime);
    // Neither field is ever negative on this clock.
    Moment(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Milliseconds since 1970. Nothing is ordered by it.
pub fn wall_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
