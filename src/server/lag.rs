//! How late the timers of a thread fire: whatever keeps a thread from turning to its next task (a long computation, a
//! machine that is too busy) makes every request on it wait for just as long.

use crate::metrics::Requests;
use std::rc::Weak;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks. Ten timers a second cost nothing, and see whatever lasts long enough to be felt.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks from now on, on this thread, as long as it serves.
pub fn measure(requests: Weak<Requests>) {
    actix_web::rt::spawn(async move {
        loop {
            let due = Instant::now() + PAUSE;
            tokio::time::sleep_until(due).await;
            let Some(requests) = requests.upgrade() else { return };
            requests.lagged(Instant::now().saturating_duration_since(due));
        }
    });
}
