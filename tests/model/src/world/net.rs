//! What travels between processes. A message is lost, doubled, late or overtaken, never changed.

use super::rows::{Content, Entry, Want, digest_of};
use crate::coherence::lease::{Ask, Fence, Grant};
use crate::coherence::{FloorTable, HolderId, LeaseId, Moment};
use crate::domain::{Epoch, NodeId, Outcome, Request, Version};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One life of a process: an answer finds nobody when who asked is gone.
pub type Life = u32;

/// Whom a flight asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    Nearest,
    Master,
}

#[derive(Debug, Clone)]
pub enum Msg {
    LeaseAsk {
        front: usize,
        sent: Moment,
        life: Life,
        holder: HolderId,
        ask: Ask,
        to: usize,
    },
    Probe {
        node: usize,
        life: Life,
        front: usize,
        front_life: Life,
        holder: HolderId,
        lease: LeaseId,
        captured: Option<FloorTable>,
    },
    ProbeAnswer {
        node: usize,
        life: Life,
        front: usize,
        front_life: Life,
        holder: HolderId,
        answered: HolderId,
        lease: LeaseId,
        captured: Option<FloorTable>,
    },
    LeaseAnswer {
        front: usize,
        life: Life,
        ask: Ask,
        /// To which of several renewals of one lease; a join has a lease of its own.
        renewal: Option<Moment>,
        granted: Granted,
    },
    Release {
        to: usize,
        holder: HolderId,
        lease: LeaseId,
    },
    Fence {
        node: usize,
        life: Life,
        address: usize,
        fence: Fence,
    },
    FenceAnswer {
        node: usize,
        life: Life,
        version: Version,
        holder: HolderId,
        raised: bool,
    },
    Read {
        front: usize,
        life: Life,
        route: Route,
        want: Want,
        started: Moment,
        to: usize,
        minimum: Option<Version>,
    },
    /// Only where a rule was taken out: rows were read, and their version is still to be.
    HalfRead {
        node: usize,
        content: Arc<Content>,
        answer: Box<Msg>,
    },
    ReadAnswer {
        front: usize,
        life: Life,
        route: Route,
        want: Want,
        started: Moment,
        answer: Read,
    },
    Buy {
        op: usize,
        request: Box<Request>,
        to: usize,
    },
    Bought {
        op: usize,
        outcome: Option<Box<Outcome>>,
        version: Version,
        by: Epoch,
    },
    Report {
        from: usize,
        life: Life,
        to: usize,
        replica: NodeId,
        position: Version,
    },
    Standing {
        to: usize,
        life: Life,
        standing: Standing,
    },
    LogAsk {
        from: usize,
        life: Life,
        to: usize,
        after: Version,
    },
    LogPage {
        to: usize,
        life: Life,
        page: Option<Vec<Arc<Entry>>>,
    },
    SnapshotAsk {
        from: usize,
        life: Life,
        to: usize,
    },
    Snapshot {
        to: usize,
        life: Life,
        state: Option<Arc<Entry>>,
    },
    Push {
        from: usize,
        life: Life,
        to: usize,
        link: u32,
        records: Vec<Arc<Entry>>,
    },
    Pushed {
        to: usize,
        life: Life,
        link: u32,
        replica: NodeId,
        position: Version,
    },
    RedisPut {
        want: Want,
        content: Arc<Content>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    Yes(Grant),
    No,
    NotMaster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    At(Version),
    UnknownHistory,
    NotMaster,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Content { content: Arc<Content>, master: bool },
    Behind,
    NotMaster,
}

/// A message with the highest epoch that its sender has met.
#[derive(Debug)]
pub struct Envelope {
    pub met: Epoch,
    pub msg: Msg,
}

/// Kept in the order of their digests, so that equal networks are equal whatever happened before.
#[derive(Debug, Clone)]
pub struct Sealed {
    digest: u64,
    pub envelope: Arc<Envelope>,
}

impl Sealed {
    pub fn new(met: Epoch, msg: Msg) -> Self {
        let digest = digest_of(&(met, format!("{msg:?}")));
        Self { digest, envelope: Arc::new(Envelope { met, msg }) }
    }
}

impl Hash for Sealed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Sealed {}

impl PartialOrd for Sealed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sealed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl Msg {
    /// In a few words, for people.
    pub fn words(&self) -> String {
        let short = |version: &Version| version.public().to_string();
        match self {
            Msg::LeaseAsk { ask: Ask::Join(_), .. } => "asks for a lease".into(),
            Msg::LeaseAsk { ask: Ask::Renew(_), .. } => "asks to renew its lease".into(),
            Msg::Probe { .. } => "is probed at its address".into(),
            Msg::ProbeAnswer { .. } => "answer to a probe".into(),
            Msg::LeaseAnswer { .. } => "answer about a lease".into(),
            Msg::Release { .. } => "gives a lease back".into(),
            Msg::Fence { fence, .. } => format!("fence {} {{{}}}", short(&fence.version), fence.keys),
            Msg::FenceAnswer { version, raised, .. } => {
                format!("answer to fence {}: {}", short(version), if *raised { "raised" } else { "not me" })
            }
            Msg::Read { want, minimum: Some(minimum), .. } => {
                format!("reads {want} at {} or later", short(minimum))
            }
            Msg::Read { want, .. } => format!("reads {want}"),
            Msg::HalfRead { content, .. } => format!("has read {} and not yet its version", content.value),
            Msg::ReadAnswer { want, answer, .. } => match answer {
                Read::Content { content, .. } => {
                    format!("answer for {want}: {} as of {}", content.value, short(&content.asof))
                }
                Read::Behind => format!("answer for {want}: behind"),
                Read::NotMaster => format!("answer for {want}: not the master"),
            },
            Msg::Buy { op, .. } => format!("request {op}"),
            Msg::Bought { op, .. } => format!("answer to request {op}"),
            Msg::Report { position, .. } => format!("reports {}", short(position)),
            Msg::Standing { .. } => "answer to a report".into(),
            Msg::LogAsk { after, .. } => format!("asks for the log after {}", short(after)),
            Msg::LogPage { .. } => "page of the log".into(),
            Msg::SnapshotAsk { .. } => "asks for a snapshot".into(),
            Msg::Snapshot { .. } => "snapshot".into(),
            Msg::Push { records, .. } => match records.last() {
                Some(last) => format!("push up to {}", short(&last.version)),
                None => "empty push".into(),
            },
            Msg::Pushed { position, .. } => format!("answer to a push: at {}", short(position)),
            Msg::RedisPut { want, content } => {
                format!("{want} as of {} for the second level", short(&content.asof))
            }
        }
    }

    pub fn is_edit(&self) -> bool {
        matches!(self, Msg::Buy { request, .. } if matches!(request.as_ref(), Request::Edit(_)))
    }
}
