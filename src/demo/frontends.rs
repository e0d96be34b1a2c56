//! Which frontend answers the next request: each in its turn, those that do not answer left out.
//!
//! A frontend is well when it runs and answers a probe. That changes while a request is under way, too: who
//! waits for one that is found to be ill need not wait any longer.

use super::process::{Process, State};
use crate::shutdown::Shutdown;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Between two probes.
const ROUND: Duration = Duration::from_millis(250);

/// For the answer to one: a frontend says that it lives within a millisecond, on a busy machine a few more.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

pub struct Frontends {
    all: Vec<Frontend>,
    turn: AtomicUsize,
}

pub struct Frontend {
    process: Process,
    well: watch::Sender<bool>,
}

impl Frontends {
    pub fn new(processes: impl Iterator<Item = Process>) -> Self {
        let frontend = |process| Frontend { process, well: watch::Sender::new(false) };
        Self { all: processes.map(frontend).collect(), turn: AtomicUsize::new(0) }
    }

    /// Those that are well, beginning with the one whose turn it is.
    pub fn in_turn(&self) -> impl Iterator<Item = &Frontend> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.all.len();
        (0..count).map(move |offset| &self.all[turn.wrapping_add(offset) % count]).filter(|one| one.is_well())
    }

    /// Waits until all of them are well, at most so long.
    pub async fn all_well(&self, at_most: Duration) {
        let well = self.all.iter().map(|one| async {
            let _ = one.well.subscribe().wait_for(|well| *well).await;
        });
        let _ = tokio::time::timeout(at_most, futures_util::future::join_all(well)).await;
    }

    /// Probes all of them until `stop`.
    pub async fn keep(&self, stop: Shutdown) {
        let probes = futures_util::future::join_all(self.all.iter().map(Frontend::keep));
        tokio::select! { _ = probes => {}, () = stop.cancelled() => {} }
    }
}

impl Frontend {
    pub fn addr(&self) -> Option<SocketAddr> {
        self.process.status.borrow().addrs.first().copied()
    }

    pub fn is_well(&self) -> bool {
        *self.well.borrow()
    }

    /// It did not answer: it is asked again when a probe has found it well.
    pub fn failed(&self) {
        self.well.send_replace(false);
    }

    /// Returns when it is found to be ill.
    pub async fn ill(&self) {
        // The sender lives as long as we do.
        let _ = self.well.subscribe().wait_for(|well| !well).await;
    }

    async fn keep(&self) {
        let client = awc::Client::builder().timeout(PROBE_DEADLINE).finish();
        let mut status = self.process.status.clone();
        loop {
            let well = self.process.state() == State::Running && self.answers(&client).await;
            self.well.send_if_modified(|known| std::mem::replace(known, well) != well);
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                changed = status.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn answers(&self, client: &awc::Client) -> bool {
        let Some(addr) = self.addr() else { return false };
        let probe =
            async { Some(client.get(format!("http://{addr}/healthz")).send().await.ok()?.body().await) };
        matches!(tokio::time::timeout(PROBE_DEADLINE, probe).await, Ok(Some(Ok(_))))
    }
}
