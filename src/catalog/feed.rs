//! The log's way to the replicas, and what acknowledgements wait for: the I/O around
//! [`coherence::InSync`](crate::coherence::InSync).
//!
//! Records are pushed to every replica that has reported, in order, one request at a time for each; what
//! gathers meanwhile goes with the next. A replica that finds a gap fills it from the log by itself.

use crate::client::{BaseUrl, Peer};
use crate::coherence::{InSync, ReplicaId};
use crate::domain::{Record, Version};
use crate::token::InternalToken;
use crate::wire::catalog::{ReplicaReport, SYNC_WRITE, Synced};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Whom an acknowledgement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Every replica of the in-sync set.
    Sync,
    /// Nobody: an acknowledged purchase survives the loss of the master's process, not of its disk.
    Async,
}

/// How long an acknowledgement waits for a replica before it leaves the set. A replica that hangs costs
/// this once.
const SYNC_DEADLINE: Duration = Duration::from_millis(500);

/// Records that wait for one replica; with more it is behind, and fills the gap from the log.
const LINK_QUEUE: usize = 256;

/// Records in one push.
const MAX_PUSH: usize = 64;

/// Replicas at a time.
const MAX_REPLICAS: usize = 64;

pub struct Feed {
    epoch_start: Version,
    ack: Ack,
    token: InternalToken,
    state: Mutex<State>,
    /// A replica got further, or left.
    changed: Notify,
}

struct State {
    in_sync: InSync,
    links: HashMap<ReplicaId, Link>,
}

struct Link {
    address: BaseUrl,
    records: mpsc::Sender<Arc<Record>>,
}

impl Feed {
    /// `start` is the version of this master's start record, the end of its log.
    pub fn new(start: Version, ack: Ack, token: InternalToken) -> Self {
        let state = State { in_sync: InSync::new(start.seq), links: HashMap::new() };
        Self { epoch_start: start, ack, token, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Sends a committed record on its way to every replica. Never waits.
    pub fn publish(&self, record: &Arc<Record>) {
        let mut state = self.state.lock();
        let State { in_sync, links } = &mut *state;
        links.retain(|&replica, link| {
            let sent = link.records.try_send(Arc::clone(record)).is_ok();
            if !sent {
                log::warn!("replica {replica} at {} is too far behind", link.address);
                in_sync.left(replica);
            }
            sent
        });
    }

    /// Returns when `version` may be acknowledged.
    pub async fn replicated(&self, version: Version) {
        let deadline = tokio::time::Instant::now() + SYNC_DEADLINE;
        loop {
            let missing = {
                let mut state = self.state.lock();
                let missing = match self.ack {
                    Ack::Sync => state.in_sync.missing(version.seq),
                    Ack::Async => Vec::new(),
                };
                if missing.is_empty() {
                    // In one step with the check: who enters the set from here on has this version.
                    state.in_sync.acknowledged(version.seq);
                    return;
                }
                missing
            };
            if tokio::time::timeout_at(deadline, self.changed.notified()).await.is_err() {
                for replica in missing {
                    log::warn!("replica {replica} missed its deadline and is out of the in-sync set");
                    self.lost(replica);
                }
            }
        }
    }

    /// A replica says how far it is; `report.position` is in this master's log. From now on records are
    /// pushed to it. Returns whether acknowledgements wait for it.
    pub fn register(self: &Arc<Self>, report: &ReplicaReport, address: BaseUrl) -> bool {
        let mut state = self.state.lock();
        let linked = state
            .links
            .get(&report.replica)
            .is_some_and(|link| link.address == address && !link.records.is_closed());
        if !linked {
            if state.links.len() >= MAX_REPLICAS {
                return false;
            }
            let (records, queue) = mpsc::channel(LINK_QUEUE);
            let push = Push {
                feed: Arc::clone(self),
                replica: report.replica,
                peer: Peer::new(address.clone(), &self.token),
                records: queue,
            };
            actix_web::rt::spawn(push.run());
            state.links.insert(report.replica, Link { address, records });
        }
        if state.in_sync.reported(report.replica, report.position.seq) {
            log::info!("replica {} is in sync at {}", report.replica, report.position.public());
        }
        self.changed.notify_one();
        state.in_sync.is_member(report.replica)
    }

    /// How many replicas acknowledgements wait for, and how many are linked.
    pub fn count(&self) -> (usize, usize) {
        let state = self.state.lock();
        let members = state.links.keys().filter(|&&replica| state.in_sync.is_member(replica)).count();
        (members, state.links.len())
    }

    fn reported(&self, replica: ReplicaId, position: Version) {
        // A position of an epoch before says nothing: it may be of another history. The replica will
        // report it, and be judged by the log.
        if position.epoch == self.epoch_start.epoch {
            let mut state = self.state.lock();
            if state.in_sync.reported(replica, position.seq) {
                log::info!("replica {replica} is in sync at {}", position.public());
            }
            drop(state);
            self.changed.notify_one();
        }
    }

    fn lost(&self, replica: ReplicaId) {
        let mut state = self.state.lock();
        state.in_sync.forget(replica);
        state.links.remove(&replica);
        drop(state);
        self.changed.notify_one();
    }
}

/// Pushes records to one replica until it fails.
struct Push {
    feed: Arc<Feed>,
    replica: ReplicaId,
    peer: Peer,
    records: mpsc::Receiver<Arc<Record>>,
}

#[derive(Serialize)]
struct Page<'a> {
    records: Vec<&'a Record>,
}

impl Push {
    async fn run(mut self) {
        let mut page = Vec::new();
        while self.records.recv_many(&mut page, MAX_PUSH).await > 0 {
            let body = Page { records: page.iter().map(Arc::as_ref).collect() };
            let request_id = page[0].version.public().to_string();
            match self.peer.post::<Synced>(SYNC_WRITE, &body, &request_id, SYNC_DEADLINE).await {
                Ok(synced) if synced.replica == self.replica => {
                    self.feed.reported(self.replica, synced.position);
                }
                Ok(_) => {
                    log::info!("replica {} at {} is another process now", self.replica, self.peer.url());
                    return self.feed.lost(self.replica);
                }
                Err(error) => {
                    log::warn!("replica {} is out of the in-sync set: {error}", self.replica);
                    return self.feed.lost(self.replica);
                }
            }
            page.clear();
        }
    }
}
