//! Bodies of the catalog nodes' listeners: reads, purchases and edits, leases, the log.

use crate::coherence::lease::Ask;
use crate::coherence::{HolderId, LeaseId, ReplicaId};
use crate::domain::{Edit, NodeId, Outcome, Purchase, Record, Version};
use serde::{Deserialize, Serialize};

pub const BOOKS: &str = "/books";
pub const TOPICS: &str = "/topics";
pub const SEARCH: &str = "/search";
pub const ORDERS: &str = "/orders";
pub const PURCHASES: &str = "/purchases";
pub const EDITS: &str = "/edits";
pub const LEASES: &str = "/leases";
pub const RELEASE: &str = "/leases/release";
pub const REPLICAS: &str = "/replicas";
pub const LOG: &str = "/log";
pub const SNAPSHOT: &str = "/snapshot";
pub const SYNC_WRITE: &str = "/sync-write";

/// The most purchases or edits in one request to the master: some 100 KB, a few milliseconds of work.
pub const MAX_BATCH: usize = 256;

/// A value, and the version of the state that it was read from. `master`: whether the write master says
/// so, and it is therefore the latest that is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated<T> {
    pub asof: Version,
    pub master: bool,
    pub value: T,
}

/// `?min=` of every read: a replica that is behind it says so instead of answering.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Minimum {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Version>,
}

/// Query of [`SEARCH`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TopicQuery {
    pub topic: String,
    pub limit: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Version>,
}

/// One purchase on its way, with the id of the request that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseCall {
    pub request_id: String,
    pub purchase: Purchase,
}

/// Body of [`PURCHASES`]; the answer's outcomes are in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchases {
    pub purchases: Vec<PurchaseCall>,
}

/// Body of [`EDITS`]; the answer's outcomes are in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits {
    pub edits: Vec<Edit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    pub outcomes: Vec<Outcome>,
}

/// The version of the coherence protocol that this build speaks. A frontend of another version gets no
/// lease, and works uncached.
pub const PROTOCOL: u32 = 1;

/// Body of [`LEASES`]; the answer is a [`Grant`](crate::coherence::lease::Grant).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    pub protocol: u32,
    pub holder: HolderId,
    pub ask: Ask,
    pub address: Reachable,
}

/// How the sender of a request can be reached: under a URL that it names, or at the address that the
/// request came from, on a port that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reachable {
    Url(String),
    Port(u16),
}

/// Body of [`RELEASE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    pub holder: HolderId,
    pub lease: LeaseId,
}

/// Body of [`REPLICAS`]: a replica says where it is and how far, durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    pub node: NodeId,
    pub replica: ReplicaId,
    pub address: Reachable,
    pub position: Version,
}

/// The master's answer to a [`ReplicaReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStanding {
    /// Whether acknowledgements wait for this replica.
    pub in_sync: bool,
    /// The end of the master's log.
    pub position: Version,
}

/// Query of [`LOG`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogQuery {
    pub after: Version,
}

/// Answer of [`LOG`] and body of [`SYNC_WRITE`]: records in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    pub records: Vec<Record>,
}

/// Answer of [`SYNC_WRITE`]: how far the replica is, durably. Behind the last record that was sent, it
/// has a gap to fill first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    pub replica: ReplicaId,
    pub position: Version,
}

/// Body of `/readyz` of a catalog node, for people and probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    pub role: String,
    pub position: Version,
    /// Leases that run now; of a master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<usize>,
    /// Replicas that records are pushed to; of a master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<usize>,
    /// Replicas that acknowledgements wait for; of a master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_sync: Option<usize>,
}
