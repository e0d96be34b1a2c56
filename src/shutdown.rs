//! From a signal to a clean stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled when the process is asked to stop. Every task that lives long holds a clone.
pub type Shutdown = CancellationToken;

/// Cancels on SIGINT or SIGTERM. A second signal does not wait: exit code 1.
pub fn on_signals() -> std::io::Result<Shutdown> {
    let shutdown = Shutdown::new();
    let cancelled = shutdown.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    actix_web::rt::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        log::info!("stopping: finishing what is under way");
        cancelled.cancel();
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        log::warn!("stopped at once by a second signal");
        std::process::exit(1);
    });
    Ok(shutdown)
}
