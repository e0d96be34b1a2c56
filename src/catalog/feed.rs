//! The log's way to the replicas, and what acknowledgements wait for: the I/O around
//! [`coherence::InSync`](crate::coherence::InSync).
//!
//! Records are pushed to every replica that has reported, in order, one request at a time for each; what
//! gathers meanwhile goes with the next. A replica that finds a gap fills it from the log by itself.

use super::account::Account;
use crate::client::{BaseUrl, CallError, Peer};
use crate::coherence::{InSync, ReplicaId};
use crate::domain::{Body, NodeId, Record, Version};
use crate::member::Member;
use crate::metrics::{Left, PeerRole, Sheet, families};
use crate::store::InSyncFile;
use crate::telemetry::{self, Carried, trace};
use crate::wire::catalog::{Checked, ReplicaReport, ReplicaState, SYNC_WRITE, Synced};
use crate::wire::{ErrorCode, Problem};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

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

/// Books in one push, but for the first record: a page of imports must be applied within the deadline.
const MAX_PUSH_BOOKS: usize = 8192;

/// Replicas at a time.
const MAX_REPLICAS: usize = 64;

/// How long a replica that reports no more counts as one that there should be: long enough to be woken up for it, and
/// short enough that nobody is again who took it away on purpose.
const KNOWN: Duration = Duration::from_secs(3600);

/// Records whose moment is remembered: at a thousand batches a second, of the last four seconds.
const RECENT: usize = 4096;

/// How long a replica that missed a deadline is not waited for; doubles each time, so that one that can
/// report but not be reached does not stall the shop every second.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// What an acknowledgement needs next.
enum Next {
    Acknowledge,
    WaitFor(Vec<NodeId>),
    Record(BTreeSet<NodeId>),
}

pub struct Feed {
    epoch_start: Version,
    ack: Ack,
    member: Member,
    file: InSyncFile,
    state: Mutex<State>,
    /// A replica got further, or left.
    changed: Notify,
}

struct State {
    ack: Ack,
    account: Arc<Account>,
    in_sync: InSync,
    /// The set as it is on disk.
    recorded: BTreeSet<NodeId>,
    links: HashMap<NodeId, Link>,
    back_offs: HashMap<NodeId, BackOff>,
    /// What has happened to the set, for those who watch it.
    watched: Watched,
    /// Names links, so that a task of an old one does nothing to the new one.
    generation: u64,
}

struct Link {
    generation: u64,
    /// Which process of the node: what another one has is to be reported anew.
    process: ReplicaId,
    address: BaseUrl,
    records: mpsc::Sender<Sent>,
    /// What the replica said last; it is in this master's log.
    reported: Version,
    /// Its last report, and which digests it has found equal by then.
    heard: (Version, Option<Checked>),
    /// Whether a push has got through: who cannot be pushed to is not waited for.
    proven: bool,
}

/// What a scraper is told of the set and of those who should be in it.
struct Watched {
    /// Who reported when, lately.
    heard: HashMap<NodeId, Instant>,
    /// Until when those count as known who were in the set before this start.
    former: (BTreeSet<NodeId>, Instant),
    /// The last record that was committed, and when those were that a replica may lack: the oldest first.
    committed: Version,
    recent: VecDeque<(u64, Instant)>,
    /// When somebody entered the set or left it last.
    changed: SystemTime,
}

impl Watched {
    fn new(start: Version, former: BTreeSet<NodeId>) -> Self {
        Self {
            heard: HashMap::new(),
            former: (former, Instant::now() + KNOWN),
            committed: start,
            recent: VecDeque::from([(start.seq, Instant::now())]),
            changed: SystemTime::now(),
        }
    }

    fn committed(&mut self, version: Version) {
        self.committed = version;
        self.recent.push_back((version.seq, Instant::now()));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// For how long somebody who has everything up to `seq` has lacked something. Of one that is far behind the time
    /// is not known: it is at least this.
    fn lag(&self, seq: u64, now: Instant) -> Duration {
        let lacked = self.recent.iter().find(|(committed, _)| *committed > seq);
        lacked.map(|&(_, at)| now.saturating_duration_since(at)).unwrap_or_default()
    }

    /// How many replicas there should be.
    fn known(&mut self, now: Instant) -> usize {
        self.heard.retain(|_, at| now.saturating_duration_since(*at) < KNOWN);
        let (former, until) = &self.former;
        let unheard = former.iter().filter(|node| now < *until && !self.heard.contains_key(node));
        self.heard.len() + unheard.count()
    }
}

#[derive(Clone, Copy)]
struct BackOff {
    until: Instant,
    delay: Duration,
}

impl State {
    /// Enters what a replica says of itself, if it is one that may be waited for.
    fn reported(&mut self, replica: NodeId, position: Version) {
        let proven = self.links.get(&replica).is_some_and(|link| link.proven);
        let resting = self.back_offs.get(&replica).is_some_and(|back_off| Instant::now() < back_off.until);
        if !proven || resting {
            return;
        }
        let member = self.in_sync.is_member(replica);
        if self.in_sync.reported(replica, position.seq) {
            log::info!("replica {replica} is in sync at {}", position.public());
            self.entered();
        } else if member && !self.in_sync.is_member(replica) {
            self.left(Left::Behind);
        }
    }

    fn entered(&mut self) {
        self.watched.changed = SystemTime::now();
        if self.ack == Ack::Sync {
            self.account.writes.entered_in_sync();
        }
    }

    /// Where nobody is waited for, somebody leaves with each acknowledgement: that is no event.
    fn left(&mut self, reason: Left) {
        self.watched.changed = SystemTime::now();
        if self.ack == Ack::Sync {
            self.account.writes.left_in_sync(reason);
        }
    }

    /// Whether the node is known to have `version` on disk: by a push, or by its own word.
    fn has(&self, node: NodeId, version: Version) -> bool {
        let pushed = self.in_sync.durable(node).is_some_and(|durable| durable >= version.seq);
        pushed || self.links.get(&node).is_some_and(|link| link.reported.seq >= version.seq)
    }

    fn lost(&mut self, replica: NodeId, reason: Left) {
        if self.in_sync.is_member(replica) {
            log::warn!("replica {replica} is out of the in-sync set");
            self.left(reason);
        }
        self.in_sync.forget(replica);
        self.links.remove(&replica);
        let now = Instant::now();
        // Who was well for as long as the longest back-off starts anew.
        self.back_offs.retain(|_, back_off| now < back_off.until + LONGEST_BACK_OFF);
        let delay = self.back_offs.get(&replica).map_or(FIRST_BACK_OFF, |back_off| back_off.delay * 2);
        let delay = delay.min(LONGEST_BACK_OFF);
        self.back_offs.insert(replica, BackOff { until: now + delay, delay });
    }
}

impl Feed {
    /// `start` is the version of this master's start record, the end of its log; `recorded` is what `file`
    /// says: the set that the same master had before.
    pub fn new(
        start: Version,
        ack: Ack,
        member: Member,
        file: InSyncFile,
        recorded: BTreeSet<NodeId>,
        account: Arc<Account>,
    ) -> Self {
        let state = State {
            ack,
            account,
            watched: Watched::new(start, recorded.clone()),
            // The start itself, which no replica can have yet, was acknowledged to nobody.
            in_sync: InSync::new(start.seq.saturating_sub(1), &recorded),
            recorded,
            links: HashMap::new(),
            back_offs: HashMap::new(),
            generation: 0,
        };
        let changed = Notify::new();
        Self { epoch_start: start, ack, member, file, state: Mutex::new(state), changed }
    }

    /// Sends a committed record on its way to every replica. Never waits.
    pub fn publish(&self, record: &Arc<Record>) {
        let mut state = self.state.lock();
        state.watched.committed(record.version);
        let State { in_sync, links, .. } = &mut *state;
        let mut left = 0;
        links.retain(|&replica, link| {
            let sent = link.records.try_send((Arc::clone(record), Carried::here())).is_ok();
            if !sent {
                log::warn!("replica {replica} at {} is too far behind", link.address);
                left += usize::from(in_sync.is_member(replica));
                in_sync.left(replica);
            }
            sent
        });
        (0..left).for_each(|_| state.left(Left::QueueFull));
    }

    /// Returns when `version` may be acknowledged. An error says nothing about what became of it: it is
    /// not known whether it will stay, or nobody could be told from here who has it.
    pub async fn replicated(&self, version: Version) -> Result<(), Problem> {
        let deadline = Instant::now() + SYNC_DEADLINE;
        loop {
            // Before the look, so that no change falls between the two.
            let changed = self.changed.notified();
            if self.member.deposed_by().is_some() {
                return Err(ErrorCode::NotMaster.into());
            }
            match self.next(version) {
                Next::Acknowledge => return Ok(()),
                Next::Record(members) => self.record(members).await?,
                Next::WaitFor(missing) => {
                    if tokio::time::timeout_at(deadline, changed).await.is_err() {
                        let mut state = self.state.lock();
                        missing.into_iter().for_each(|replica| state.lost(replica, Left::Deadline));
                    }
                }
            }
        }
    }

    fn next(&self, version: Version) -> Next {
        let mut state = self.state.lock();
        if self.ack == Ack::Sync {
            let missing = state.in_sync.missing(version.seq);
            if !missing.is_empty() {
                return Next::WaitFor(missing);
            }
            let members = state.in_sync.members();
            if members != state.recorded {
                return Next::Record(members);
            }
        }
        // In one step with the check: who enters the set from here on has this version.
        state.in_sync.acknowledged(version.seq);
        Next::Acknowledge
    }

    /// Writes down who is in the set: before an acknowledgement that does not wait for who left.
    async fn record(&self, members: BTreeSet<NodeId>) -> Result<(), Problem> {
        let (file, record) = (self.file.clone(), members.clone());
        let saved = tokio::task::spawn_blocking(move || file.save(&record)).await;
        if let Err(error) = saved.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            log::error!("the in-sync set cannot be written down, so nothing is acknowledged: {error}");
            return Err(ErrorCode::Unavailable.into());
        }
        self.state.lock().recorded = members;
        Ok(())
    }

    /// Whether the node may take over: it has everything that was acknowledged.
    pub fn may_inherit(&self, node: NodeId) -> bool {
        let state = self.state.lock();
        match self.ack {
            Ack::Sync => state.in_sync.is_member(node) && state.links.contains_key(&node),
            // It is sealed first, and waited for then.
            Ack::Async => state.links.contains_key(&node),
        }
    }

    /// Returns when `node` has everything up to `version` on disk, whether it is waited for or not.
    pub async fn reached(&self, node: NodeId, version: Version) {
        loop {
            let changed = self.changed.notified();
            if self.state.lock().has(node, version) {
                return;
            }
            changed.await;
        }
    }

    /// A replica says how far it is; `report.position` is in this master's log. From now on records are
    /// pushed to it. Returns whether acknowledgements wait for it.
    pub fn register(self: &Arc<Self>, report: &ReplicaReport, address: BaseUrl) -> bool {
        let mut state = self.state.lock();
        if state.watched.heard.len() < MAX_REPLICAS || state.watched.heard.contains_key(&report.node) {
            state.watched.heard.insert(report.node, Instant::now());
        }
        let linked = state
            .links
            .get(&report.node)
            .filter(|link| link.process == report.replica)
            .is_some_and(|link| link.address == address && !link.records.is_closed());
        if !linked {
            if state.links.len() >= MAX_REPLICAS {
                return false;
            }
            if state.links.contains_key(&report.node) {
                // What the process before had on disk says nothing about this one's file.
                if state.in_sync.is_member(report.node) {
                    state.left(Left::Restarted);
                }
                state.in_sync.forget(report.node);
            }
            state.generation += 1;
            let generation = state.generation;
            let (records, queue) = mpsc::channel(LINK_QUEUE);
            let push = Push {
                feed: Arc::clone(self),
                node: report.node,
                process: report.replica,
                generation,
                peer: Peer::of(PeerRole::Replica, address.clone(), &self.member),
                records: queue,
            };
            actix_web::rt::spawn(push.run());
            let process = report.replica;
            let (reported, heard) = (report.position, (report.position, report.checked));
            let link = Link { generation, process, address, records, reported, heard, proven: false };
            state.links.insert(report.node, link);
        } else if let Some(link) = state.links.get_mut(&report.node) {
            link.reported = report.position;
            link.heard = (report.position, report.checked);
        }
        state.reported(report.node, report.position);
        self.changed.notify_waiters();
        state.in_sync.is_member(report.node)
    }

    /// How far the replicas are that records are pushed to, as far as they have said.
    pub fn positions(&self) -> Vec<u64> {
        self.state.lock().links.values().map(|link| link.reported.seq).collect()
    }

    /// Returns when no replica that records are pushed to lacks `version`.
    pub async fn delivered(&self, version: Version) {
        loop {
            let changed = self.changed.notified();
            if self.positions().iter().all(|&position| position >= version.seq) {
                return;
            }
            changed.await;
        }
    }

    /// Which digests `node` has found equal, by a report of its own that has `version`.
    pub async fn checked(&self, node: NodeId, version: Version) -> Option<Checked> {
        loop {
            let changed = self.changed.notified();
            let heard = self.state.lock().links.get(&node).map(|link| link.heard);
            if let Some((position, checked)) = heard.filter(|(position, _)| position.seq >= version.seq) {
                log::debug!("replica {node} at {} has checked {checked:?}", position.public());
                return checked;
            }
            changed.await;
        }
    }

    pub fn ack(&self) -> Ack {
        self.ack
    }

    /// The replicas that records are pushed to, in order of their identity.
    pub fn replicas(&self) -> Vec<ReplicaState> {
        let state = self.state.lock();
        let mut replicas: Vec<ReplicaState> = state
            .links
            .iter()
            .map(|(&node, link)| ReplicaState {
                node,
                url: link.address.to_string(),
                durable: state.in_sync.durable(node).unwrap_or(0),
                in_sync: state.in_sync.is_member(node),
            })
            .collect();
        replicas.sort_by_key(|replica| replica.node);
        replicas
    }

    /// What a scraper is told: who is linked, how far each is, who is in sync and who should be.
    pub fn read(&self, sheet: &mut Sheet) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let known = state.watched.known(now);
        let State { in_sync, links, watched, .. } = &*state;
        sheet.gauge(&families::EPOCH, watched.committed.epoch.number as f64);
        sheet.gauge(&families::LOG_SEQ, watched.committed.seq as f64);
        sheet.gauge(&families::IN_SYNC, in_sync.members().len() as f64);
        sheet.gauge(&families::LINKED, links.len() as f64);
        sheet.gauge(&families::KNOWN_REPLICAS, known as f64);
        sheet.moment(&families::IN_SYNC_CHANGED, Some(watched.changed));
        sheet.flag(&families::ACK_SYNC, self.ack == Ack::Sync);
        // A node that was copied reports with one identity from two addresses; two with one address cannot be.
        let addresses: BTreeMap<String, (NodeId, &Link)> =
            links.iter().map(|(&node, link)| (link.address.authority(), (node, link))).collect();
        for (address, (node, link)) in addresses {
            let labels = [address.as_str()];
            let has = in_sync.durable(node).unwrap_or(0).max(link.reported.seq);
            sheet.gauge_of(&families::REPLICA_LAG, &labels, watched.committed.seq.saturating_sub(has) as f64);
            let lag = watched.lag(has, now);
            sheet.gauge_of(&families::REPLICA_LAG_SECONDS, &labels, lag.as_secs_f64());
            let member = f64::from(u8::from(in_sync.is_member(node)));
            sheet.gauge_of(&families::REPLICA_IN_SYNC, &labels, member);
        }
    }

    /// A push on the link `generation` was answered. Returns whether that link is still in use.
    fn pushed(&self, replica: NodeId, generation: u64, position: Version) -> bool {
        let mut state = self.state.lock();
        let Some(link) = state.links.get_mut(&replica).filter(|link| link.generation == generation) else {
            return false;
        };
        let first = !std::mem::replace(&mut link.proven, true);
        let reported = link.reported;
        // A position of an epoch before says nothing: it may be of another history. The replica will
        // report it, and be judged by the log.
        let ours = position.epoch == self.epoch_start.epoch;
        if ours {
            link.reported = position;
        }
        if first {
            state.reported(replica, reported);
        }
        if ours {
            state.reported(replica, position);
        }
        drop(state);
        self.changed.notify_waiters();
        true
    }

    fn lost(&self, replica: NodeId, generation: u64, reason: Left) {
        let mut state = self.state.lock();
        if state.links.get(&replica).is_some_and(|link| link.generation == generation) {
            state.lost(replica, reason);
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Pushes records to one replica until it fails.
struct Push {
    feed: Arc<Feed>,
    node: NodeId,
    process: ReplicaId,
    generation: u64,
    peer: Peer,
    records: mpsc::Receiver<Sent>,
}

/// A record on its way, with the trace of the batch that made it.
type Sent = (Arc<Record>, Carried);

#[derive(Serialize)]
struct Page<'a> {
    records: Vec<&'a Record>,
}

impl Push {
    async fn run(mut self) {
        // The first push carries nothing: it only shows that the replica can be reached.
        let mut page: Vec<Sent> = Vec::new();
        loop {
            let context = telemetry::shared("records", page.iter().map(|(_, carried)| carried));
            match trace::part_of(context, self.push(&page)).await {
                Ok(synced) if synced.replica == self.process => {
                    if !self.feed.pushed(self.node, self.generation, synced.position) {
                        return;
                    }
                }
                Ok(_) => {
                    log::info!("replica {} at {} is another process now", self.node, self.peer.url());
                    return self.feed.lost(self.node, self.generation, Left::Restarted);
                }
                Err(error) => {
                    log::debug!("replica {} at {} cannot be pushed to: {error}", self.node, self.peer.url());
                    return self.feed.lost(self.node, self.generation, Left::Unreachable);
                }
            }
            page.clear();
            let Some(first) = self.records.recv().await else { return };
            let mut books = books_in(&first.0);
            page.push(first);
            while page.len() < MAX_PUSH && books < MAX_PUSH_BOOKS {
                let Ok(record) = self.records.try_recv() else { break };
                books += books_in(&record.0);
                page.push(record);
            }
        }
    }

    async fn push(&self, page: &[Sent]) -> Result<Synced, CallError> {
        let body = Page { records: page.iter().map(|(record, _)| record.as_ref()).collect() };
        let request_id =
            page.first().map_or_else(String::new, |(record, _)| record.version.public().to_string());
        self.peer.post(SYNC_WRITE, &body, &request_id, SYNC_DEADLINE).await
    }
}

fn books_in(record: &Record) -> usize {
    match &record.body {
        Body::Batch(batch) => batch.books.len(),
        Body::Start { .. } | Body::Seal { .. } | Body::Digest(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;
    use crate::metrics::{Registry, RoleName};
    use crate::wire::catalog::Reachable;

    #[actix_web::test]
    async fn a_replica_that_reports_but_cannot_be_pushed_to_is_never_waited_for() {
        let start = Version::new(Epoch { number: 1, identity: 1 }, 1);
        let dir = tempfile::tempdir().unwrap();
        let file = crate::store::DataDir::lock(dir.path(), "test").unwrap().in_sync_file();
        let account = Arc::new(Account::new(&Registry::new(RoleName::Master)));
        let feed = Feed::new(start, Ack::Sync, Member::of_nothing(), file, BTreeSet::new(), account);
        let feed = Arc::new(feed);
        let report = ReplicaReport {
            node: NodeId(1),
            replica: ReplicaId(1),
            address: Reachable::Port(1),
            position: start,
            checked: None,
        };
        let nowhere = BaseUrl::parse("http://127.0.0.1:1").unwrap();
        assert!(!feed.register(&report, nowhere));
        // Waits for nobody, so it returns at once; the test's own deadline is far away.
        feed.replicated(start.next()).await.unwrap();
        assert!(feed.replicas().iter().all(|replica| !replica.in_sync));
    }
}
