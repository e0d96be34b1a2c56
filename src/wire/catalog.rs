//! Bodies of the catalog nodes' listeners: reads, purchases and edits, leases, the log.

use super::trace::TraceContext;
use crate::coherence::lease::Ask;
use crate::coherence::{HolderId, LeaseId, ReplicaId};
use crate::domain::{
    BookId, Edit, Epoch, Imported, Invalid, Known, NodeId, OrderId, OrdersWanted, Outcome, Purchase, Rank,
    Record, Version, Words,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// `/books/{id}`: the answer states a [`Book`](crate::domain::Book) or nothing.
/// `/books?ids=1,2`: it states, for each of at most [`MAX_BOOKS`] ids and in their order, the object that
/// clients see (a [`BookView`](super::public::BookView)) or nothing; all of one snapshot.
pub const BOOKS: &str = "/books";
pub const TOPICS: &str = "/topics";
pub const SEARCH: &str = "/search";
/// Query: [`ShelfQuery`]; every book in order of its number, the answer states a [`BookPage`](crate::domain::BookPage).
pub const SHELF: &str = "/shelf";
/// `/orders/{id}`: the answer states an [`Order`](crate::domain::Order) or nothing. Without a number, the query is an
/// [`OrdersQuery`], and the answer states an [`OrderPage`](crate::domain::OrderPage).
pub const ORDERS: &str = "/orders";
pub const PURCHASES: &str = "/purchases";
pub const EDITS: &str = "/edits";
/// Body: a [`GuardedEdit`](crate::domain::GuardedEdit), which is safe to send again; the answer is its [`Outcome`].
pub const GUARDED_EDITS: &str = "/edits/guarded";
/// Body: an [`Import`](crate::domain::Import); the answer is an [`Imported`] in [`Part`].
pub const IMPORTS: &str = "/imports";
/// Query: [`WordsQuery`]; the answer is a [`QueryPage`](crate::domain::QueryPage).
pub const QUERY: &str = "/query";
/// Every book in order of its number, as lines of JSON: the last is an [`ExportEnd`].
pub const EXPORT: &str = "/export";
pub const LEASES: &str = "/leases";
pub const RELEASE: &str = "/leases/release";
pub const REPLICAS: &str = "/replicas";
pub const LOG: &str = "/log";
/// `/versions/{epoch}.{seq}`; the answer is a [`VersionStanding`].
pub const VERSIONS: &str = "/versions";
pub const SNAPSHOT: &str = "/snapshot";
/// Query: [`BackupQuery`]; the answer is a whole copy of the node's file, announced as for a [`SNAPSHOT`]. A node
/// that is not sure to have everything that was acknowledged when the request came in refuses with
/// [`ErrorCode::Behind`](super::ErrorCode::Behind) or [`ErrorCode::NotMaster`](super::ErrorCode::NotMaster).
pub const BACKUP: &str = "/backup";
pub const SYNC_WRITE: &str = "/sync-write";
pub const VERIFY: &str = "/verify";
pub const HANDOVER: &str = "/handover";
/// Which data directory is served here?
pub const NODE: &str = "/node";
/// Query: [`ChangesQuery`]; the answer is a [`Changes`], at once if there are any, else when the first one comes
/// or [`CHANGES_HOLD`] is over. A node that is behind the version by then refuses with
/// [`ErrorCode::Behind`](super::ErrorCode::Behind).
pub const CHANGES: &str = "/changes";

/// The most purchases or edits in one request to the master: some 100 KB, a few milliseconds of work.
pub const MAX_BATCH: usize = 256;

/// The most books in one request for several: a fraction of a millisecond of work, 20 KB of answer.
pub const MAX_BOOKS: usize = 64;

/// Query of [`BOOKS`] for several.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BooksQuery {
    pub ids: String,
}

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

/// What a node's history says of a version, and where that history ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionStanding {
    pub known: Known,
    pub end: Version,
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

/// Query of [`SHELF`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShelfQuery {
    pub limit: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// Query of [`ORDERS`]: as [`OrdersWanted`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrdersQuery {
    pub limit: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub book: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<OrderId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<OrderId>,
}

impl OrdersQuery {
    pub fn new(wanted: OrdersWanted, limit: u32) -> Self {
        let OrdersWanted { book, from, below } = wanted;
        Self { limit, book: book.map(BookId::get), from, below }
    }

    pub fn wanted(&self) -> Result<OrdersWanted, Invalid> {
        let book = self.book.map(BookId::new).transpose()?;
        Ok(OrdersWanted { book, from: self.from, below: self.below })
    }
}

/// Query of [`QUERY`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WordsQuery {
    pub q: Words,
    pub limit: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Rank>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Version>,
}

/// Bytes of one part of an import on the wire, unless a single line has more. Titles take some 90 bytes a line.
pub const IMPORT_BYTES: usize = 1 << 20;

/// Answer of [`IMPORTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub imported: Imported,
    /// It had been done before, and was not done again.
    pub before: bool,
}

/// The last line of an [`EXPORT`]: without it, the file is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportEnd {
    pub end: Version,
    pub books: u64,
}

/// One purchase on its way, with the id of the request that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseCall {
    pub request_id: String,
    pub purchase: Purchase,
    /// The trace that it belongs to; roles of before know nothing of it, and leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
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
    /// Which digests its own rows were found equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
}

/// A process has applied every digest from the record `from` up to `to`, and its rows were equal each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub from: Version,
    pub to: Version,
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

/// How long a request for changes is held. So long a frontend may not notice that the replica which it follows
/// is cut off from the master.
pub const CHANGES_HOLD: Duration = Duration::from_secs(2);

/// Query of [`CHANGES`]; without a version, what is asked for is where the node is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ChangesQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Version>,
}

/// Answer of [`CHANGES`]: what this node has committed or applied behind the version that was asked for, up to
/// `upto`. It names books, and says nothing of what has become of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub upto: Version,
    pub books: Changed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    Books(BTreeSet<BookId>),
    /// The node cannot tell: every book may have changed.
    Any,
}

/// For a whole snapshot. So long the log is kept for its taker.
pub const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(600);

/// Query of [`SNAPSHOT`]: who takes it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SnapshotQuery {
    pub node: NodeId,
}

/// For a whole backup: nothing is kept back for its taker, who may be behind a slow line.
pub const BACKUP_DEADLINE: Duration = Duration::from_secs(3600);

/// Query of [`BACKUP`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct BackupQuery {
    /// What the node has will do, whether or not that is everything.
    #[serde(default)]
    pub stale: bool,
}

/// For a whole verification.
pub const VERIFY_DEADLINE: Duration = Duration::from_secs(600);

/// Answer of [`VERIFY`]: every row of the master was compared with those of the replicas that were linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The master's own.
    pub node: NodeId,
    /// Of the last digest.
    pub version: Version,
    pub ranges: u64,
    pub rows: u64,
    pub replicas: Vec<VerifiedReplica>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedReplica {
    pub node: NodeId,
    pub url: String,
    /// It has found all its rows equal. Otherwise it has found some that are not, or could not be asked for
    /// all of them: it was away, or started anew.
    pub verified: bool,
}

/// Answer of [`SYNC_WRITE`]: how far the replica is, durably. Behind the last record that was sent, it
/// has a gap to fill first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    pub replica: ReplicaId,
    pub position: Version,
}

/// Answer of [`NODE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIs {
    pub node: NodeId,
}

/// Body of [`HANDOVER`]: where the heir listens, as the master reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverRequest {
    pub heir: String,
}

/// Answer of [`HANDOVER`]: the log ends with a seal for `heir`. `delivered`: the heir has it, and the
/// master ends; otherwise it goes on sending until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    pub version: Version,
    pub heir: NodeId,
    pub delivered: bool,
}

/// Body of `/readyz` of a catalog node, for people and probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// `master`, `replica`, `sealed master` or `deposed master`.
    pub role: String,
    pub node: NodeId,
    pub position: Version,
    /// The recipe that runs instead of the coherence protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsafe_coherence: Option<String>,
    #[serde(flatten)]
    pub of: StateOf,
}

/// What only one kind of node has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StateOf {
    Master {
        /// Leases that run now.
        leases: usize,
        /// How many of `replicas` acknowledgements wait for.
        in_sync: usize,
        /// Those that records are pushed to.
        replicas: Vec<ReplicaState>,
        /// Of a sealed master: who takes over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed_for: Option<NodeId>,
        /// Of a deposed master: the epoch that replaced its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deposed_by: Option<Epoch>,
    },
    Replica {
        /// The candidate for the master that it follows.
        follows: String,
    },
}

/// One replica as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    pub node: NodeId,
    pub url: String,
    /// Up to which `seq` it is known to have everything on disk.
    pub durable: u64,
    pub in_sync: bool,
}
