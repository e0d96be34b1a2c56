//! A catalog node: the glue of `catalog/{writer,holders,feed,replica,reads}.rs` and `store/`, event by event.
//!
//! Invariant: what is on its [`Disk`] survives; everything else is its process's and dies with it.

mod enabled;
mod feed;
mod fences;
mod holders;
mod life;
mod reads;
mod replica;
mod writer;

use super::net::{Life, Msg, Read};
use super::rows::{Disk, Entry, digest_of};
use super::{Action, World};
use crate::coherence::holders::Target;
use crate::coherence::lease::Announced;
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{HolderId, Holders, InSync, Met, Moment};
use crate::domain::{Epoch, NodeId, Outcome, Request, Version};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// As in the store's feed.
const SYNC_DEADLINE: Duration = Duration::from_millis(500);
const BACK_OFF: Duration = Duration::from_secs(1);

/// Records in one page or push.
const PAGE: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub disk: Disk,
    pub life: Life,
    pub met: Met,
    pub process: Process,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Process {
    Down,
    Master(Box<Master>),
    Replica(Replica),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Master {
    pub start: Version,
    pub by_force: bool,
    wrote: bool,
    sealed: bool,
    holders: Holders,
    not_before: Moment,
    queue: Vec<Job>,
    phase: Phase,
    unacknowledged: VecDeque<Committed>,
    links: BTreeMap<usize, Link>,
    drawn_links: u32,
    back_offs: BTreeMap<NodeId, Moment>,
    in_sync: InSync,
}

#[derive(Debug, Clone)]
struct Job {
    op: usize,
    request: Request,
    digest: u64,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Job {}

impl std::hash::Hash for Job {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// Only where a rule was taken out: the fence's targets are known, and it is not sent yet.
    Listed {
        batch: Prepared,
        targets: BTreeSet<HolderId>,
    },
    Fencing {
        batch: Prepared,
        since: Moment,
        until: Option<Moment>,
        targets: Vec<Target>,
    },
    Ready {
        batch: Prepared,
    },
}

/// A batch that is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Prepared {
    state: Arc<Entry>,
    keys: Announced,
    replies: Replies,
    /// Whether the commit is done: only where the fence follows it.
    committed: bool,
}

/// A batch on its way to its buyers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Committed {
    version: Version,
    replies: Replies,
    deadline: Option<Moment>,
}

#[derive(Debug, Clone)]
struct Replies {
    replies: Vec<(usize, Outcome)>,
    digest: u64,
}

impl Replies {
    fn new(replies: Vec<(usize, Outcome)>) -> Self {
        let digest = digest_of(&format!("{replies:?}"));
        Self { replies, digest }
    }
}

impl PartialEq for Replies {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Replies {}

impl std::hash::Hash for Replies {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Link {
    number: u32,
    replica: NodeId,
    queue: Vec<Arc<Entry>>,
    /// The first push carries nothing.
    greeted: bool,
    in_flight: bool,
    proven: bool,
    reported: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    following: bool,
    behind: bool,
    master: usize,
}

impl Node {
    pub fn new(disk: Disk) -> Self {
        Self { disk, life: 0, met: Met::default(), process: Process::Down }
    }

    pub fn master(&self) -> Option<&Master> {
        match &self.process {
            Process::Master(master) => Some(master),
            _ => None,
        }
    }

    fn master_mut(&mut self) -> Option<&mut Master> {
        match &mut self.process {
            Process::Master(master) => Some(master),
            _ => None,
        }
    }

    fn replica_mut(&mut self) -> Option<&mut Replica> {
        match &mut self.process {
            Process::Replica(replica) => Some(replica),
            _ => None,
        }
    }

    /// Whether it answers as a master: not sealed, not deposed.
    pub fn reigns(&self) -> bool {
        self.master().is_some_and(|master| !master.sealed || !kept(Rule::SealEndsTheGranting))
            && (self.met.deposed_by().is_none() || !kept(Rule::DeposedStopsAnswering))
    }

    fn writes(&self) -> bool {
        self.master().is_some_and(|master| !master.sealed)
            && (self.met.deposed_by().is_none() || !kept(Rule::DeposedStopsAcknowledging))
    }

    pub fn has_job(&self, op: usize) -> bool {
        self.master().is_some_and(|master| {
            let in_batch = |batch: &Prepared| batch.replies.replies.iter().any(|(other, _)| *other == op);
            master.queue.iter().any(|job| job.op == op)
                || master
                    .unacknowledged
                    .iter()
                    .any(|b| b.replies.replies.iter().any(|(other, _)| *other == op))
                || match &master.phase {
                    Phase::Idle => false,
                    Phase::Listed { batch, .. } | Phase::Fencing { batch, .. } | Phase::Ready { batch } => {
                        in_batch(batch)
                    }
                }
        })
    }

    pub fn waits_for_time(&self) -> bool {
        self.master().is_some_and(|master| matches!(master.phase, Phase::Fencing { .. }))
    }

    /// The moments at which something happens by time alone, on this node's clock.
    pub fn deadlines(&self) -> impl Iterator<Item = Moment> {
        let master = self.master();
        let fence = master.and_then(|master| match &master.phase {
            Phase::Fencing { until, .. } => *until,
            _ => None,
        });
        let waits = master.filter(|master| !master.queue.is_empty()).map(|master| master.not_before);
        let acknowledging =
            master.and_then(|master| master.unacknowledged.front()).and_then(|batch| batch.deadline);
        let leases =
            master.into_iter().flat_map(|master| master.holders.held().map(|(_, _, expires)| expires));
        fence.into_iter().chain(waits).chain(acknowledging).chain(leases)
    }

    /// Whether its log may be taken from: a master's that reigns, or one that waits for its heir.
    fn reigns_or_sealed(&self) -> bool {
        self.reigns() || self.master().is_some_and(|master| master.sealed && self.met.deposed_by().is_none())
    }
}

impl World {
    pub fn node(&mut self, node: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[node])
    }

    fn node_send(&mut self, node: usize, msg: Msg) {
        let met = self.nodes[node].met.highest();
        self.send(met, msg);
    }

    /// `false`: it is an action of nobody's.
    pub fn step_node(&mut self, action: &Action) -> bool {
        match *action {
            Action::Batch { node } => self.batch(node),
            Action::SendFence { node } => self.send_fence(node),
            Action::Announce { node, holder } => self.announce(node, holder),
            Action::Commit { node } => self.commit(node),
            Action::Refuse { node } => self.refuse(node),
            Action::Acknowledge { node } => self.acknowledge(node),
            Action::Push { node, to } => self.push(node, to),
            Action::PushFails { node, to } => self.lose_replica(node, to),
            Action::Report { node } => self.report(node),
            Action::FollowFails { node } => {
                let nodes = self.nodes.len();
                if let Some(replica) = self.node(node).replica_mut() {
                    replica.following = false;
                    replica.master = (replica.master + 1) % nodes;
                }
            }
            Action::Sync { node } => {
                let disk = &mut self.node(node).disk;
                disk.synced = Arc::clone(&disk.seen);
            }
            Action::Handover { node, to } => self.hand_over(node, to),
            Action::StopNode { node, power } => self.stop_node(node, power),
            Action::StartMaster { node, force } => {
                if force {
                    self.left.forces = self.left.forces.saturating_sub(1);
                }
                self.start_master(node, force);
            }
            Action::StartReplica { node } => self.start_replica(node),
            Action::Backup { node } => {
                self.left.backups -= 1;
                let disk = &mut self.node(node).disk;
                disk.backup = Some(Arc::clone(&disk.synced));
                self.say(&self.node_name(node), || "its data is backed up".into());
            }
            Action::Restore { node } => {
                self.left.wipes -= 1;
                let disk = &mut self.node(node).disk;
                if let Some(backup) = disk.backup.clone() {
                    disk.write(backup, true);
                }
                self.rewound(node, "its data is restored from the backup");
            }
            Action::Stray { node } => {
                let it = &self.nodes[node];
                let backup = self.nodes[0].disk.backup.as_ref().map(|state| state.version);
                let (life, replica, position) = (it.life, it.disk.node, backup.unwrap_or(Version::GENESIS));
                self.send(Epoch::GENESIS, Msg::Report { from: node, life, to: 0, replica, position });
            }
            Action::Wipe { node } => {
                self.left.wipes -= 1;
                let genesis = Entry::genesis(&self.setup.books);
                let id = NodeId(0x100 + self.draw());
                let disk = &mut self.node(node).disk;
                *disk = Disk { backup: disk.backup.take(), ..Disk::new(id, genesis) };
                self.rewound(node, "its data is wiped");
            }
            _ => return false,
        }
        true
    }

    pub fn at_node(&mut self, met: Epoch, msg: &Msg) {
        let to = match msg {
            Msg::LeaseAsk { to, .. }
            | Msg::Release { to, .. }
            | Msg::Read { to, .. }
            | Msg::Buy { to, .. }
            | Msg::Report { to, .. }
            | Msg::Standing { to, .. }
            | Msg::LogAsk { to, .. }
            | Msg::LogPage { to, .. }
            | Msg::SnapshotAsk { to, .. }
            | Msg::Snapshot { to, .. }
            | Msg::Push { to, .. }
            | Msg::Pushed { to, .. } => *to,
            Msg::ProbeAnswer { node, .. } | Msg::FenceAnswer { node, .. } | Msg::HalfRead { node, .. } => {
                *node
            }
            _ => return,
        };
        // Nobody listens there: the sender finds out.
        if matches!(self.nodes[to].process, Process::Down) {
            if let Msg::Buy { op, .. } = msg {
                let version = self.nodes[to].disk.seen.version;
                self.bought(*op, None, version, version.epoch);
            }
            return;
        }
        self.node(to).met.meet(met);
        self.deposed(to);
        match msg {
            Msg::LeaseAsk { .. } => self.lease_asked(to, msg),
            Msg::ProbeAnswer { .. } => self.probed(to, msg),
            Msg::Release { holder, lease, .. } => {
                if let Some(master) = self.node(to).master_mut() {
                    master.holders.release(*holder, *lease);
                }
                self.poll_fence(to);
            }
            Msg::FenceAnswer { life, version, holder, raised, .. } => {
                self.fence_answered(to, *life, *version, *holder, *raised);
            }
            Msg::Read { .. } => self.read(to, msg),
            Msg::HalfRead { content, answer, .. } => {
                let mut content = content.as_ref().clone();
                content.asof = self.nodes[to].disk.seen.version;
                if let Msg::ReadAnswer {
                    front,
                    life,
                    route,
                    want,
                    started,
                    answer: Read::Content { master, .. },
                } = answer.as_ref()
                {
                    let answer = Read::Content { content: Arc::new(content), master: *master };
                    self.node_send(
                        to,
                        Msg::ReadAnswer {
                            front: *front,
                            life: *life,
                            route: *route,
                            want: want.clone(),
                            started: *started,
                            answer,
                        },
                    );
                }
            }
            Msg::Buy { op, request, .. } => self.queue(to, *op, request),
            Msg::Report { from, life, replica, position, .. } => {
                self.reported(to, *from, *life, *replica, *position)
            }
            Msg::Standing { life, standing, .. } => self.standing(to, *life, *standing),
            Msg::LogAsk { from, life, after, .. } => {
                let it = &self.nodes[to];
                let page = it.reigns_or_sealed().then(|| it.disk.seen.log_after(*after, PAGE)).flatten();
                self.node_send(to, Msg::LogPage { to: *from, life: *life, page });
            }
            Msg::LogPage { life, page, .. } => self.log_page(to, *life, page.as_deref()),
            Msg::SnapshotAsk { from, life, .. } => {
                let it = &self.nodes[to];
                let state = it.reigns_or_sealed().then(|| Arc::clone(&it.disk.seen));
                self.node_send(to, Msg::Snapshot { to: *from, life: *life, state });
            }
            Msg::Snapshot { life, state, .. } => self.snapshot(to, *life, state.as_ref()),
            Msg::Push { from, life, link, records, .. } => self.pushed_to(to, *from, *life, *link, records),
            Msg::Pushed { life, link, replica, position, .. } => {
                self.pushed(to, *life, *link, *replica, *position)
            }
            _ => {}
        }
    }
}
