//! A catalog node: the glue of `catalog/{writer,holders,feed,replica,reads}.rs` and `store/`, event by event.
//!
//! Invariant: what is on its [`Disk`] survives; everything else is its process's and dies with it.

use super::net::Route;
use super::net::{Granted, Life, Msg, Read, Standing};
use super::oracle::{DEPOSED, STALLED, Violation};
use super::rows::{Body, Disk, Entry};
use super::{Action, Seen, World};
use crate::coherence::holders::Target;
use crate::coherence::lease::{Announced, Ask, Fence};
use crate::coherence::mastership::{Past, may_start, not_before};
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{Follow, HolderId, Holders, InSync, Met, Moment, follow, touched_keys};
use crate::domain::{Book, Epoch, Ledger, NodeId, Outcome, Request, Version};
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
        let digest = super::rows::digest_of(&format!("{replies:?}"));
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
}

impl World {
    pub fn node(&mut self, node: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[node])
    }

    fn node_send(&mut self, node: usize, msg: Msg) {
        let met = self.nodes[node].met.highest();
        self.send(met, msg);
    }

    pub fn enabled_node(&self, node: usize, actions: &mut Vec<Action>) {
        let it = &*self.nodes[node];
        match &it.process {
            Process::Down => self.enabled_down(node, actions),
            Process::Master(master) => {
                let now = self.node_now(node);
                if it.writes()
                    && !master.queue.is_empty()
                    && master.phase == Phase::Idle
                    && now >= master.not_before
                {
                    actions.push(Action::Batch { node });
                }
                match &master.phase {
                    Phase::Ready { .. } => {
                        actions.push(Action::Commit { node });
                        if self.left.refusals > 0 {
                            actions.push(Action::Refuse { node });
                        }
                    }
                    Phase::Listed { .. } => actions.push(Action::SendFence { node }),
                    Phase::Fencing { batch, targets, .. } => {
                        self.enabled_announce(node, batch, targets, actions)
                    }
                    Phase::Idle => {}
                }
                if let Some(batch) = master.unacknowledged.front() {
                    let missing = !master.in_sync.missing(batch.version.seq).is_empty()
                        && kept(Rule::ReplicatedBeforeAcknowledging);
                    let late = batch.deadline.is_some_and(|deadline| now >= deadline);
                    if !missing || late {
                        actions.push(Action::Acknowledge { node });
                    }
                }
                for (&to, link) in &master.links {
                    let life = it.life;
                    let under_way = |msg: &Msg| {
                        matches!(msg,
                        Msg::Push { from, life: l, link: n, .. } if (*from, *l, *n) == (node, life, link.number))
                            || matches!(msg,
                        Msg::Pushed { to, life: l, link: n, .. } if (*to, *l, *n) == (node, life, link.number))
                    };
                    if link.in_flight && !self.under_way(under_way) {
                        actions.push(Action::PushFails { node, to });
                    }
                    if !link.in_flight && (!link.greeted || !link.queue.is_empty()) {
                        actions.push(Action::Push { node, to });
                    }
                }
                let idle = master.phase == Phase::Idle && master.queue.is_empty() && now >= master.not_before;
                if self.left.handovers > 0 && it.writes() && idle {
                    for to in 0..self.nodes.len() {
                        let member = master.in_sync.is_member(self.nodes[to].disk.node);
                        if to != node && member {
                            actions.push(Action::Handover { node, to });
                        }
                    }
                }
                if self.left.master_stops > 0 {
                    actions.push(Action::StopNode { node, power: false });
                }
            }
            Process::Replica(replica) => {
                if !replica.following && (self.left.reports > 0 || replica.behind) {
                    actions.push(Action::Report { node });
                }
                let life = it.life;
                let under_way = |msg: &Msg| match msg {
                    Msg::Report { from, life: l, .. }
                    | Msg::LogAsk { from, life: l, .. }
                    | Msg::SnapshotAsk { from, life: l, .. } => (*from, *l) == (node, life),
                    Msg::Standing { to, life: l, .. }
                    | Msg::LogPage { to, life: l, .. }
                    | Msg::Snapshot { to, life: l, .. } => (*to, *l) == (node, life),
                    _ => false,
                };
                if replica.following && !self.under_way(under_way) {
                    actions.push(Action::FollowFails { node });
                }
                if self.left.replica_stops > 0 {
                    actions.push(Action::StopNode { node, power: false });
                }
            }
        }
        if !matches!(it.process, Process::Down) {
            if it.disk.seen != it.disk.synced {
                actions.push(Action::Sync { node });
            }
            if self.left.power_cuts > 0 {
                actions.push(Action::StopNode { node, power: true });
            }
            if self.left.backups > 0 && it.disk.backup.is_none() {
                actions.push(Action::Backup { node });
            }
        }
    }

    fn enabled_down(&self, node: usize, actions: &mut Vec<Action>) {
        if self.start_as_master(node, false).is_ok() {
            actions.push(Action::StartMaster { node, force: false });
        } else {
            actions.push(Action::StartReplica { node });
        }
        let nobody_else =
            (0..self.nodes.len()).all(|other| other == node || self.nodes[other].master().is_none());
        if self.left.forces > 0 && nobody_else {
            actions.push(Action::StartMaster { node, force: true });
        }
        let disk = &self.nodes[node].disk;
        if self.left.wipes > 0 {
            actions.push(Action::Wipe { node });
            if disk.backup.as_ref().is_some_and(|backup| *backup != disk.synced) {
                actions.push(Action::Restore { node });
            }
        }
    }

    fn enabled_announce(&self, node: usize, batch: &Prepared, targets: &[Target], actions: &mut Vec<Action>) {
        let it = &*self.nodes[node];
        for holder in targets.iter().map(|target| target.holder) {
            let under_way = |msg: &Msg| match msg {
                Msg::Fence { node: n, life, fence, .. } => {
                    (*n, *life, fence.version, fence.holder) == (node, it.life, batch.state.version, holder)
                }
                Msg::FenceAnswer { node: n, life, version, holder: h, .. } => {
                    (*n, *life, *version, *h) == (node, it.life, batch.state.version, holder)
                }
                _ => false,
            };
            if !self.under_way(under_way) {
                actions.push(Action::Announce { node, holder });
            }
        }
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

    fn rewound(&mut self, node: usize, words: &str) {
        self.fault(Seen::AFTER_REWIND);
        // Only a master's data is the truth.
        Arc::make_mut(&mut self.oracle).excuse();
        self.node(node).disk.rewound = true;
        let words = words.to_string();
        self.say(&self.node_name(node), || words);
    }

    pub fn start_as_master(
        &self,
        node: usize,
        force: bool,
    ) -> Result<crate::coherence::mastership::Permission, crate::coherence::mastership::Refused> {
        let disk = &self.nodes[node].disk;
        let past = Past {
            epoch: disk.synced.version.epoch,
            last_master: disk.synced.last_master(),
            sealed_for: disk.synced.sealed_for(),
            deposed_by: disk.deposed_by,
            fresh: disk.synced.last_master().is_none(),
        };
        // Fresh data could start as a master beside another one, but nobody would ask for that.
        let led = |other: &Arc<Node>| {
            let (id, head) = (other.disk.node, &other.disk.seen);
            head.last_master() == Some(id) || head.sealed_for() == Some(id)
        };
        let another = self.nodes.iter().enumerate().any(|(n, other)| n != node && led(other));
        let fresh = node != 0 && past.last_master.is_none();
        if !force && (fresh || (disk.rewound && another)) {
            return Err(crate::coherence::mastership::Refused::OfReplica { master: NodeId(1) });
        }
        may_start(&past, disk.node, force, self.nodes[node].met.highest())
    }

    pub fn start_master(&mut self, node: usize, force: bool) {
        let again = force && self.nodes[node].met.deposed_by().is_some();
        let Ok(permission) = self.start_as_master(node, force) else { return };
        let now = self.node_now(node);
        let terms = &self.setup.terms_ms;
        let term_ms = *terms.get(self.starts as usize).or(terms.last()).unwrap_or(&1000);
        self.starts += 1;
        let identity = if kept(Rule::EpochHasAnIdentity) { self.draw() } else { 7 };
        let in_set = self.forced_member(node);
        let it = self.node(node);
        let head = Arc::clone(&it.disk.synced);
        let number = permission.above.max(head.version.epoch.number) + 1;
        let epoch = Epoch { number, identity };
        let version = Version::new(epoch, head.version.seq + 1);
        let recorded = head.longest_open_lease_ms(!kept(Rule::StartWaitsForTheLongestLease));
        // What this file does not know of: the life before it was wiped or restored.
        let own = if kept(Rule::StartWaitsForItsOwnTerm) { term_ms } else { 0 };
        let recorded = Duration::from_millis(recorded.max(own));
        // Whoever starts after this one waits for what this one waits for.
        let waits_ms = u64::try_from(permission.at_least.as_millis()).unwrap_or(u64::MAX);
        let term_recorded = term_ms.max(waits_ms);
        let Some(state) = head.then(version, Body::Start { term_ms: term_recorded, node: it.disk.node })
        else {
            return;
        };
        it.disk.write(Arc::clone(&state), true);
        it.disk.deposed_by = None;
        it.met.lead(epoch);
        it.life += 1;
        it.process = Process::Master(Box::new(Master {
            start: version,
            by_force: force,
            wrote: false,
            sealed: false,
            holders: Holders::new(version, Duration::from_millis(term_ms)),
            not_before: not_before(now, recorded, permission),
            queue: Vec::new(),
            phase: Phase::Idle,
            unacknowledged: VecDeque::new(),
            links: BTreeMap::new(),
            drawn_links: 0,
            back_offs: BTreeMap::new(),
            in_sync: InSync::new(version.seq - 1, &it.disk.in_sync.clone()),
        }));
        if self.starts > 1 {
            self.fault(if force { Seen::AFTER_FORCE } else { Seen::AFTER_RESTART });
        }
        let how = if force { " by force" } else { "" };
        self.say(&self.node_name(node), || format!("starts{how}: epoch {number}"));
        let oracle = Arc::make_mut(&mut self.oracle);
        if force {
            oracle.forced(epoch);
        }
        // An operator was told what may be lost; one that draws again by itself was not.
        if force && !in_set && !again {
            oracle.excuse();
        }
        let verdict = oracle.begins(&state).and_then(|()| oracle.committed(&state));
        self.judge(verdict);
        self.deposed(node);
    }

    /// Whether some master's own record says that this node has everything acknowledged.
    fn forced_member(&self, node: usize) -> bool {
        let id = self.nodes[node].disk.node;
        self.nodes.iter().any(|other| other.disk.in_sync.contains(&id))
    }

    pub fn start_replica(&mut self, node: usize) {
        let it = self.node(node);
        it.life += 1;
        it.process = Process::Replica(Replica { following: false, behind: false, master: 0 });
        self.say(&self.node_name(node), || "starts".into());
    }

    fn stop_node(&mut self, node: usize, power: bool) {
        let who = self.node_name(node);
        if power {
            self.left.power_cuts -= 1;
        } else if self.nodes[node].master().is_some() {
            self.left.master_stops -= 1;
        } else {
            self.left.replica_stops -= 1;
        }
        self.kill(node, power);
        self.say(&who, || if power { "loses its power" } else { "is killed" }.into());
    }

    pub fn kill(&mut self, node: usize, power: bool) {
        let life = self.nodes[node].life;
        let it = self.node(node);
        it.process = Process::Down;
        it.met = Met::default();
        if power {
            it.disk.seen = Arc::clone(&it.disk.synced);
        } else {
            // The kernel writes what a killed process wrote.
            it.disk.synced = Arc::clone(&it.disk.seen);
        }
        self.hang_up(|msg| match msg {
            Msg::ProbeAnswer { node: n, life: l, .. }
            | Msg::Probe { node: n, life: l, .. }
            | Msg::FenceAnswer { node: n, life: l, .. }
            | Msg::Standing { to: n, life: l, .. }
            | Msg::LogPage { to: n, life: l, .. }
            | Msg::Snapshot { to: n, life: l, .. }
            | Msg::Pushed { to: n, life: l, .. } => (*n, *l) == (node, life),
            Msg::HalfRead { node: n, .. } => *n == node,
            _ => false,
        });
    }

    /// The process learned that it is deposed: it writes that down, and goes on as a node that is no
    /// master.
    fn deposed(&mut self, node: usize) {
        let it = &self.nodes[node];
        let Some(by) = it.met.deposed_by() else { return };
        if let Some(master) = it.master()
            && master.by_force
            && !master.wrote
        {
            return self.start_master(node, true);
        }
        if it.master().is_none() || it.disk.deposed_by == Some(by) {
            return;
        }
        let first = it.disk.deposed_by.is_none();
        self.node(node).disk.deposed_by = Some(by);
        if kept(Rule::DeposedStopsAcknowledging) {
            let version = self.nodes[node].disk.seen.version;
            let queue = self.node(node).master_mut().map(|master| std::mem::take(&mut master.queue));
            for job in queue.into_iter().flatten() {
                self.node_send(node, Msg::Bought { op: job.op, outcome: None, version, by: version.epoch });
            }
        }
        self.seen.0 |= Seen::DEPOSED;
        if first {
            self.say(&self.node_name(node), || format!("learns that epoch {} has replaced it", by.number));
        }
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

    // Leases.

    fn lease_asked(&mut self, node: usize, msg: &Msg) {
        let &Msg::LeaseAsk { front, sent, life, holder, ask, .. } = msg else { return };
        let now = self.node_now(node);
        let granted = match ask {
            _ if !self.nodes[node].reigns() => Some(Granted::NotMaster),
            Ask::Renew(lease) => {
                let renewed =
                    self.node(node).master_mut().map(|master| master.holders.renew(now, holder, lease));
                self.poll_fence(node);
                Some(renewed.and_then(Result::ok).map_or(Granted::No, Granted::Yes))
            }
            Ask::Join(lease) => {
                let early = !kept(Rule::HolderAddedWithItsFloors);
                let captured = self.nodes[node].master().filter(|_| early).and_then(|master| {
                    let mut holders = master.holders.clone();
                    holders.join(now, holder, lease, String::new()).ok().and_then(|grant| grant.floors)
                });
                let (node_life, front_life) = (self.nodes[node].life, life);
                if kept(Rule::AddressIsProbed) {
                    let probe =
                        Msg::Probe { node, life: node_life, front, front_life, holder, lease, captured };
                    self.node_send(node, probe);
                    None
                } else {
                    let address = self.setup.addresses[front].to_string();
                    let joined = self
                        .node(node)
                        .master_mut()
                        .map(|master| master.holders.join(now, holder, lease, address));
                    Some(joined.and_then(Result::ok).map_or(Granted::No, Granted::Yes))
                }
            }
        };
        if let Some(granted) = granted {
            let renewal = matches!(ask, Ask::Renew(_)).then_some(sent);
            self.node_send(node, Msg::LeaseAnswer { front, life, ask, renewal, granted });
        }
    }

    fn probed(&mut self, node: usize, msg: &Msg) {
        let Msg::ProbeAnswer { life, front, front_life, holder, answered, lease, captured, .. } = msg else {
            return;
        };
        if self.nodes[node].life != *life {
            return;
        }
        let now = self.node_now(node);
        let ask = Ask::Join(*lease);
        let granted = if !self.nodes[node].reigns() {
            Granted::NotMaster
        } else if answered == holder {
            let address = self.setup.addresses[*front].to_string();
            let joined =
                self.node(node).master_mut().map(|master| master.holders.join(now, *holder, *lease, address));
            joined.and_then(Result::ok).map_or(Granted::No, |mut grant| {
                if captured.is_some() {
                    grant.floors.clone_from(captured);
                }
                Granted::Yes(grant)
            })
        } else {
            Granted::No
        };
        let answer = Msg::LeaseAnswer { front: *front, life: *front_life, ask, renewal: None, granted };
        self.node_send(node, answer);
    }

    // Reads.

    fn read(&mut self, node: usize, msg: &Msg) {
        let Msg::Read { front, life, route, want, started, minimum, .. } = msg else { return };
        let it = &self.nodes[node];
        let state = Arc::clone(&it.disk.seen);
        let master = it.reigns();
        let is_replica = matches!(it.process, Process::Replica(_));
        let answer = if is_replica && minimum.is_some_and(|minimum| !state.version.reaches(minimum)) {
            Read::Behind
        } else if !master && *route == Route::Master {
            Read::NotMaster
        } else {
            Read::Content { content: state.content(want), master }
        };
        let words = match &answer {
            Read::Content { content, .. } => format!(
                "reads {want} for {}: {} as of {}",
                World::front_name(*front),
                content.value,
                content.asof.public()
            ),
            Read::Behind => format!("is behind for {want}"),
            Read::NotMaster => format!("is no master for {want}"),
        };
        self.say(&self.node_name(node), || words);
        let half = match &answer {
            Read::Content { content, .. } if !kept(Rule::AsofOfTheSameSnapshot) => Some(Arc::clone(content)),
            _ => None,
        };
        let answer = Msg::ReadAnswer {
            front: *front,
            life: *life,
            route: *route,
            want: want.clone(),
            started: *started,
            answer,
        };
        match half {
            Some(content) => self.node_send(node, Msg::HalfRead { node, content, answer: Box::new(answer) }),
            None => self.node_send(node, answer),
        }
    }

    // The writer.

    fn queue(&mut self, node: usize, op: usize, request: &Request) {
        if !self.nodes[node].writes() {
            let version = self.nodes[node].disk.seen.version;
            self.node_send(node, Msg::Bought { op, outcome: None, version, by: version.epoch });
            return;
        }
        let digest = super::rows::digest_of(&(op, format!("{request:?}")));
        if let Some(master) = self.node(node).master_mut() {
            master.queue.push(Job { op, request: request.clone(), digest });
        }
    }

    fn batch(&mut self, node: usize) {
        let head = Arc::clone(&self.nodes[node].disk.seen);
        let Some(master) = self.node(node).master_mut() else { return };
        let jobs = std::mem::take(&mut master.queue);
        let version = head.version.next();
        let rows = match (kept(Rule::DecidedOnTheLatestRows), &head.previous) {
            (false, Some(previous)) => &previous.rows,
            _ => &head.rows,
        };
        let books: BTreeSet<_> = jobs.iter().filter_map(|job| job.request.book_id()).collect();
        let books: Vec<Book> = books.iter().filter_map(|id| rows.books.get(id).cloned()).collect();
        let keys: BTreeSet<_> = jobs.iter().filter_map(|job| job.request.key()).collect();
        let answers = keys.iter().filter_map(|key| head.rows.answers.get(*key).cloned()).collect();
        let next_id = head.rows.books.keys().last().map_or(1, |id| id.get() + 1);
        let mut ledger = Ledger::new(version, 0, next_id, books, answers);
        let replies: Vec<(usize, Outcome)> =
            jobs.iter().map(|job| (job.op, ledger.decide(&job.request))).collect();
        let replies = Replies::new(replies);
        let (mut batch, touched) = ledger.finish();
        if !kept(Rule::AnswersAreStored) {
            batch.answers.clear();
        }
        if !kept(Rule::RefusalsAreStored) {
            batch.answers.retain(|answer| answer.outcome.is_ok());
        }
        if batch.is_empty() {
            let version = head.version;
            self.acknowledge_later(node, Committed { version, replies, deadline: None });
            return;
        }
        let mut keys = BTreeSet::new();
        for touched in &touched {
            touched_keys(touched.before.as_ref(), touched.after.as_ref(), &mut keys);
        }
        let Some(state) = head.then(version, Body::Batch(batch)) else {
            self.judge(Err(Violation {
                promise: super::oracle::LOST,
                words: "the rows of a record do not fit the file".into(),
            }));
            return;
        };
        let no_keys = keys.is_empty();
        let keys = Announced::Keys(keys.into_iter().collect());
        let batch = Prepared { state, keys, replies, committed: false };
        let words = format!("prepares {}", version.public());
        self.say(&self.node_name(node), || words);
        let late_fence = !kept(Rule::FenceBeforeCommit) || !kept(Rule::NotWriteThenDelete);
        let Some(master) = self.node(node).master_mut() else { return };
        if no_keys || late_fence || !kept(Rule::NotTtlOnly) {
            master.phase = Phase::Ready { batch };
        } else {
            let targets = master.holders.held().map(|(holder, ..)| holder).collect();
            master.phase = Phase::Listed { batch, targets };
            if kept(Rule::HolderListAtTheFence) {
                self.send_fence(node);
            }
        }
    }

    fn send_fence(&mut self, node: usize) {
        let now = self.node_now(node);
        let Some(master) = self.node(node).master_mut() else { return };
        let Phase::Listed { batch, targets: listed } = master.phase.clone() else { return };
        let targets = master.holders.fence(now, batch.state.version, &batch.keys);
        for target in &targets {
            if !kept(Rule::HolderListAtTheFence) && !listed.contains(&target.holder) {
                master.holders.acknowledged(target.holder);
            }
        }
        let missed = |target: &Target| !kept(Rule::HolderListAtTheFence) && !listed.contains(&target.holder);
        let targets: Vec<Target> = targets.into_iter().filter(|target| !missed(target)).collect();
        let holders: Vec<HolderId> = targets.iter().map(|target| target.holder).collect();
        master.phase = Phase::Fencing { batch, since: now, until: None, targets };
        for holder in holders {
            self.announce(node, holder);
        }
        self.poll_fence(node);
    }

    fn announce(&mut self, node: usize, holder: HolderId) {
        let it = &self.nodes[node];
        let Some(master) = it.master() else { return };
        let Phase::Fencing { batch, targets, .. } = &master.phase else { return };
        let Some(target) = targets.iter().find(|target| target.holder == holder) else { return };
        let (version, keys) = (batch.state.version, batch.keys.clone());
        let fence = Fence { holder, lease: target.lease, version, keys };
        let Ok(address) = target.address.parse() else { return };
        let life = it.life;
        let to = (0..self.fronts.len()).find(|&front| self.fronts[front].session.holder() == holder);
        let to = to.map_or("a frontend that is gone".into(), World::front_name);
        let words = format!("sends fence {} {{{}}} to {to}", version.public(), fence.keys);
        self.say(&self.node_name(node), || words);
        self.node_send(node, Msg::Fence { node, life, address, fence });
    }

    fn fence_answered(&mut self, node: usize, life: Life, version: Version, holder: HolderId, raised: bool) {
        if self.nodes[node].life != life || !raised {
            return;
        }
        let Some(master) = self.node(node).master_mut() else { return };
        // An answer belongs to its request: the fence it was asked for is over, or is the one that is out.
        let Phase::Fencing { batch, targets, .. } = &mut master.phase else { return };
        if batch.state.version == version {
            targets.retain(|target| target.holder != holder);
            master.holders.acknowledged(holder);
            self.poll_fence(node);
        }
    }

    /// Asks whether the commit may follow, as the fence's task does whenever it is woken.
    pub fn poll_fence(&mut self, node: usize) {
        let now = self.node_now(node);
        let Some(master) = self.nodes[node].master() else { return };
        let Phase::Fencing { since, targets, .. } = &master.phase else { return };
        let since = *since;
        let unheard: Vec<HolderId> = targets.iter().map(|target| target.holder).collect();
        let term = Duration::from_millis(self.setup.terms_ms.iter().copied().max().unwrap_or(1000));
        let Some(master) = self.node(node).master_mut() else { return };
        match master.holders.fenced(now) {
            Some(next) => {
                if let Phase::Fencing { until, .. } = &mut master.phase {
                    *until = Some(next);
                }
                if now > since.after(term + term / 4) {
                    self.judge(Err(Violation {
                        promise: STALLED,
                        words: "a fence has been out for longer than a lease and a quarter".into(),
                    }));
                }
            }
            None => {
                let Phase::Fencing { batch, .. } = std::mem::replace(&mut master.phase, Phase::Idle) else {
                    return;
                };
                if batch.committed {
                    let Prepared { state, replies, .. } = batch;
                    self.acknowledge_later(
                        node,
                        Committed { version: state.version, replies, deadline: None },
                    );
                } else {
                    master.phase = Phase::Ready { batch };
                }
                if !unheard.is_empty() {
                    self.fault(Seen::AFTER_EXPIRY);
                    self.judge_calm_fence(node, since, &unheard);
                }
            }
        }
    }

    /// Where nothing goes wrong, a fence waits for nobody's lease to run out: who lives and is the only one
    /// at its address was reached.
    fn judge_calm_fence(&mut self, node: usize, since: Moment, unheard: &[HolderId]) {
        let Some(settling) = self.settling else { return };
        let addresses: BTreeSet<usize> = self.setup.addresses.iter().copied().collect();
        let clear = self.setup.name_is_fixed || addresses.len() == self.setup.addresses.len();
        let alive =
            |holder: &HolderId| self.fronts.iter().any(|front| front.up && front.session.holder() == *holder);
        if clear && since > self.setup.clocks[node].at(settling) && unheard.iter().any(alive) {
            let words = "a fence waited for the lease of a frontend that nobody can reach at its address";
            self.judge(Err(Violation { promise: STALLED, words: words.into() }));
        }
    }

    fn commit(&mut self, node: usize) {
        if !self.nodes[node].writes() {
            // Harsher than the store, which rolls back and answers reads as a replica would.
            let who = self.node_name(node);
            self.kill(node, false);
            self.say(&who, || "is deposed, and ends instead of committing".into());
            return;
        }
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let Phase::Ready { batch } = std::mem::replace(&mut master.phase, Phase::Idle) else { return };
        master.wrote = true;
        it.disk.write(Arc::clone(&batch.state), kept(Rule::CommitIsDurable));
        for link in master.links.values_mut() {
            link.queue.push(Arc::clone(&batch.state));
        }
        let version = batch.state.version;
        self.say(&self.node_name(node), || format!("commits {}", version.public()));
        let verdict = Arc::make_mut(&mut self.oracle).committed(&batch.state);
        self.judge(verdict);
        let late_fence = !kept(Rule::FenceBeforeCommit) || !kept(Rule::NotWriteThenDelete);
        if late_fence {
            let Some(master) = self.node(node).master_mut() else { return };
            let targets = master.holders.held().map(|(holder, ..)| holder).collect();
            master.phase = Phase::Listed { batch: Prepared { committed: true, ..batch }, targets };
            self.send_fence(node);
        } else {
            let Prepared { replies, .. } = batch;
            self.acknowledge_later(node, Committed { version, replies, deadline: None });
        }
    }

    /// Whoever is in the batch is told that the outcome is unknown, which tells nobody anything.
    fn refuse(&mut self, node: usize) {
        self.left.refusals -= 1;
        let Some(master) = self.node(node).master_mut() else { return };
        let Phase::Ready { batch } = std::mem::replace(&mut master.phase, Phase::Idle) else { return };
        let words = format!("cannot write {}, and rolls it back", batch.state.version.public());
        self.say(&self.node_name(node), || words);
    }

    // Replication and acknowledgement.

    fn acknowledge_later(&mut self, node: usize, batch: Committed) {
        let deadline = self.node_now(node).after(SYNC_DEADLINE);
        let Some(master) = self.node(node).master_mut() else { return };
        master.unacknowledged.push_back(batch);
        if let Some(first) = master.unacknowledged.front_mut() {
            first.deadline.get_or_insert(deadline);
        }
    }

    fn acknowledge(&mut self, node: usize) {
        let deposed = self.nodes[node].met.deposed_by().is_some() && kept(Rule::DeposedStopsAcknowledging);
        let next_deadline = self.node_now(node).after(SYNC_DEADLINE);
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let Some(batch) = master.unacknowledged.front() else { return };
        let seq = batch.version.seq;
        if kept(Rule::ReplicatedBeforeAcknowledging) {
            for replica in master.in_sync.missing(seq) {
                drop_replica(master, replica, next_deadline);
            }
        }
        if kept(Rule::ReplicatedBeforeAcknowledging) {
            master.in_sync.acknowledged(seq);
        }
        // Before the first acknowledgement that does not wait for who has left.
        let members = master.in_sync.members();
        if members.is_superset(&it.disk.in_sync) || kept(Rule::LeavingTheSetIsDurable) {
            it.disk.in_sync = members;
        }
        let Some(batch) = master.unacknowledged.pop_front() else { return };
        if let Some(next) = master.unacknowledged.front_mut() {
            next.deadline = Some(next_deadline);
        }
        let by = self.nodes[node].master().map(|master| master.start.epoch).unwrap_or(Epoch::GENESIS);
        for (op, outcome) in batch.replies.replies {
            if !deposed && let Outcome::Purchase { answer, .. } = &outcome {
                let verdict = Arc::make_mut(&mut self.oracle).acknowledged(op, *answer, by);
                self.judge(verdict);
            }
            if !deposed && self.nodes[node].met.deposed_by().is_some() {
                let words = "a master that has met its successor acknowledges a batch".into();
                self.judge(Err(Violation { promise: DEPOSED, words }));
            }
            let outcome = (!deposed).then(|| Box::new(outcome));
            self.node_send(node, Msg::Bought { op, outcome, version: batch.version, by });
        }
        if !deposed {
            self.say(&self.node_name(node), || format!("acknowledges {}", batch.version.public()));
        }
    }

    fn push(&mut self, node: usize, to: usize) {
        let life = self.nodes[node].life;
        let Some(master) = self.node(node).master_mut() else { return };
        let Some(link) = master.links.get_mut(&to) else { return };
        let records = if link.greeted {
            let count = link.queue.len().min(PAGE);
            link.queue.drain(..count).collect()
        } else {
            Vec::new()
        };
        link.greeted = true;
        link.in_flight = true;
        let msg = Msg::Push { from: node, life, to, link: link.number, records };
        self.node_send(node, msg);
    }

    fn lose_replica(&mut self, node: usize, to: usize) {
        let until = self.node_now(node).after(BACK_OFF);
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let Some(link) = master.links.get(&to) else { return };
        let replica = link.replica;
        drop_replica(master, replica, until);
        if kept(Rule::LeavingTheSetIsDurable) {
            it.disk.in_sync = master.in_sync.members();
        }
        self.say(&self.node_name(node), || format!("gives the link to replica {to} up"));
    }

    fn pushed_to(&mut self, node: usize, from: usize, life: Life, link: u32, records: &[Arc<Entry>]) {
        if !matches!(self.nodes[node].process, Process::Replica(_)) {
            return;
        }
        self.apply(node, records);
        let it = &self.nodes[node];
        let msg = Msg::Pushed { to: from, life, link, replica: it.disk.node, position: it.disk.seen.version };
        self.node_send(node, msg);
    }

    /// What the replica's applier does with records.
    fn apply(&mut self, node: usize, records: &[Arc<Entry>]) {
        let mut head = Arc::clone(&self.nodes[node].disk.seen);
        let before = head.version;
        for record in records {
            match follow(head.version, record.predecessor(), record.version) {
                Follow::Apply => {
                    let Some(next) = head.then(record.version, record.body.clone()) else { break };
                    head = next;
                    let verdict = Arc::make_mut(&mut self.oracle).holds(&head);
                    self.judge(verdict);
                }
                Follow::Already => {}
                Follow::Gap => {
                    if let Some(replica) = self.node(node).replica_mut() {
                        replica.behind = true;
                    }
                    break;
                }
            }
        }
        if head.version != before {
            let words = format!("applies up to {}", head.version.public());
            self.say(&self.node_name(node), || words);
            self.node(node).disk.write(head, kept(Rule::DurableBeforeAnswering));
        }
    }

    fn pushed(&mut self, node: usize, life: Life, number: u32, replica: NodeId, position: Version) {
        if self.nodes[node].life != life {
            return;
        }
        let now = self.node_now(node);
        let Some(master) = self.node(node).master_mut() else { return };
        let Some((&to, link)) = master.links.iter_mut().find(|(_, link)| link.number == number) else {
            return;
        };
        link.in_flight = false;
        if link.replica != replica {
            self.lose_replica(node, to);
            return;
        }
        let first = !std::mem::replace(&mut link.proven, true);
        let reported = link.reported;
        let epoch = master.start.epoch;
        let resting = master.back_offs.get(&replica).is_some_and(|until| now < *until);
        if !resting {
            if first {
                master.in_sync.reported(replica, reported.seq);
            }
            // A position of an epoch before says nothing: it may be of another history.
            if position.epoch == epoch || !kept(Rule::PositionOfThisHistory) {
                master.in_sync.reported(replica, position.seq);
            }
        }
        self.record_set(node);
    }

    fn record_set(&mut self, node: usize) {
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        it.disk.in_sync = master.in_sync.members();
    }

    fn report(&mut self, node: usize) {
        self.left.reports = self.left.reports.saturating_sub(1);
        let it = self.node(node);
        let (life, replica, position) = (it.life, it.disk.node, it.disk.seen.version);
        let Some(process) = it.replica_mut() else { return };
        process.following = true;
        process.behind = false;
        let to = process.master;
        self.node_send(node, Msg::Report { from: node, life, to, replica, position });
    }

    fn reported(&mut self, node: usize, from: usize, life: Life, replica: NodeId, position: Version) {
        let now = self.node_now(node);
        let it = &self.nodes[node];
        let standing = if !it.reigns_or_sealed() {
            Standing::NotMaster
        } else if it.disk.seen.log_after(position, 1).is_none() {
            Standing::UnknownHistory
        } else {
            Standing::At(it.disk.seen.version)
        };
        if matches!(standing, Standing::At(_)) {
            let Some(master) = self.node(node).master_mut() else { return };
            let linked = master.links.get_mut(&from).filter(|link| link.replica == replica);
            match linked {
                Some(link) => link.reported = position,
                None => {
                    master.drawn_links += 1;
                    let link = Link {
                        number: master.drawn_links,
                        replica,
                        queue: Vec::new(),
                        greeted: false,
                        in_flight: false,
                        proven: false,
                        reported: position,
                    };
                    master.links.insert(from, link);
                }
            }
            let proven = master.links.get(&from).is_some_and(|link| link.proven);
            let resting = master.back_offs.get(&replica).is_some_and(|until| now < *until);
            if proven && !resting {
                master.in_sync.reported(replica, position.seq);
            }
            self.record_set(node);
        }
        self.node_send(node, Msg::Standing { to: from, life, standing });
    }

    fn standing(&mut self, node: usize, life: Life, standing: Standing) {
        if self.nodes[node].life != life {
            return;
        }
        let nodes = self.nodes.len();
        let position = self.nodes[node].disk.seen.version;
        let Some(replica) = self.node(node).replica_mut() else { return };
        if !replica.following {
            return;
        }
        let to = replica.master;
        match standing {
            Standing::At(at) if at == position => replica.following = false,
            Standing::At(_) => self.node_send(node, Msg::LogAsk { from: node, life, to, after: position }),
            Standing::UnknownHistory => self.node_send(node, Msg::SnapshotAsk { from: node, life, to }),
            Standing::NotMaster => {
                replica.following = false;
                replica.master = (to + 1) % nodes;
            }
        }
    }

    fn log_page(&mut self, node: usize, life: Life, page: Option<&[Arc<Entry>]>) {
        let it = &self.nodes[node];
        if it.life != life || !matches!(&it.process, Process::Replica(replica) if replica.following) {
            return;
        }
        let before = it.disk.seen.version;
        self.apply(node, page.unwrap_or_default());
        let further = self.nodes[node].disk.seen.version != before;
        if let Some(replica) = self.node(node).replica_mut() {
            replica.following = false;
            // Reports again at once.
            replica.behind |= further;
        }
    }

    fn snapshot(&mut self, node: usize, life: Life, state: Option<&Arc<Entry>>) {
        if self.nodes[node].life != life {
            return;
        }
        let Some(replica) = self.node(node).replica_mut() else { return };
        replica.following = false;
        let Some(state) = state else { return };
        replica.behind = true;
        self.node(node).disk.write(Arc::clone(state), true);
        self.seen.0 |= Seen::SNAPSHOT;
        let version = state.version;
        self.say(&self.node_name(node), || format!("installs a snapshot of {}", version.public()));
    }

    // Handover.

    fn hand_over(&mut self, node: usize, to: usize) {
        self.left.handovers -= 1;
        self.fault(Seen::AFTER_HANDOVER);
        let heir = self.nodes[to].disk.node;
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let head = Arc::clone(&it.disk.seen);
        let Some(state) = head.then(head.version.next(), Body::Seal { heir }) else { return };
        master.sealed = true;
        master.wrote |= kept(Rule::SealEndsDrawingAgain);
        it.disk.write(Arc::clone(&state), true);
        for link in master.links.values_mut() {
            link.queue.push(Arc::clone(&state));
        }
        self.say(&self.node_name(node), || {
            format!("seals its log at {} for replica {to}", state.version.public())
        });
        let verdict = Arc::make_mut(&mut self.oracle).committed(&state);
        self.judge(verdict);
    }
}

impl Node {
    /// Whether its log may be taken from: a master's that reigns, or one that waits for its heir.
    fn reigns_or_sealed(&self) -> bool {
        self.reigns() || self.master().is_some_and(|master| master.sealed && self.met.deposed_by().is_none())
    }
}

fn drop_replica(master: &mut Master, replica: NodeId, back_off: Moment) {
    master.in_sync.forget(replica);
    master.links.retain(|_, link| link.replica != replica);
    master.back_offs.insert(replica, back_off);
}
