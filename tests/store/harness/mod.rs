//! What every test needs: the store's processes, a client, and a bounded wait.
//!
//! | file | what it gives |
//! |---|---|
//! | `process` | one process: started, paused, killed, stopped, started again at its old address |
//! | `cluster` | a whole store of processes |
//! | `client` | HTTP with deadlines |
//! | `events` | open pages |
//! | `visitor` | a browser without scripts: cookies, forms |
//! | `rows` | what a data directory holds |
//! | `scrape` | what a role serves to a scraper |
//! | `redis`, `nginx` | the neighbours: a Redis server, nginx |
//! | `collector` | a receiver of traces |
//! | `browser` | headless Chromium |
//! | `gate`, `meddler`, `slow`, `disk` | links that can be held, damage what they carry, or delay it; a failing disk |

mod browser;
mod client;
mod cluster;
mod collector;
mod disk;
mod events;
mod gate;
mod meddler;
mod nginx;
mod process;
mod redis;
mod rows;
mod scrape;
mod slow;
mod visitor;

pub use browser::{Browser, Look};
pub use client::{Answer, Client, connect_from, raw, raw_from};
pub use cluster::{Cluster, METRICS_TOKEN, Shape, TOKEN, Traces, start_nodes};
pub use collector::{Collector, Mood, Span, tree};
pub use disk::Disk;
pub use events::{Event, Events, Unread};
pub use gate::Gate;
pub use meddler::{Damage, Meddler};
pub use nginx::Nginx;
pub use process::{Fed, Finished, Process, THIS, run, run_unread};
pub use redis::RedisServer;
pub use rows::{Rows, alter, oldest_record, rows, schema};
pub use scrape::{Scrape, scrape};
pub use slow::{SlowLink, drip};
pub use visitor::{Fields, Looked, Visitor};

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// For what takes milliseconds on an idle machine, or what `up` gives its own roles to start: half a minute.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// Returns when `holds` does; fails the test when that takes longer than [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, holds);
}

/// The same with another patience.
#[track_caller]
fn wait_at_most(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// The middle one: what holds up one or two of five on a busy machine does not move it.
pub fn median(took: impl IntoIterator<Item = Duration>) -> Duration {
    let mut took: Vec<Duration> = took.into_iter().collect();
    took.sort();
    took[took.len() / 2]
}

/// Says so when it is dropped: however a test ends, its threads must end too.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

static MACHINE: RwLock<()> = RwLock::new(());

/// For a test that loads the machine or measures time: no other runs meanwhile.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For every other test.
pub fn in_company() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Where nobody listens.
pub const NOBODY: &str = "http://127.0.0.1:1";

/// A port that nobody listens on: from below those that the system hands out, so that nobody gets it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 12_000 + std::process::id() % 16_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
