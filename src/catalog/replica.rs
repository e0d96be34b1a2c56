//! A read replica: follows the master, applies records in order and durably before it says so, fills a
//! gap from the master's log, and starts over from a snapshot where its history is another.
//!
//! Invariants: the position that is reported or answered with is on disk. A replica tells everybody of the
//! epoch that its file is of: so a master that lost its data, or an old one, ends when it hears of it,
//! instead of giving its state to those who have more.

use super::CatalogError;
use super::changes::Changes;
use super::copy::Copies;
use super::housekeeping::keep_from;
use super::reads::Reads;
use crate::client::{BaseUrl, CallError, Masters};
use crate::coherence::{Follow, ReplicaId, follow};
use crate::domain::{Body, NodeId, Record, Version};
use crate::member::Member;
use crate::metrics::{Applies, Counts, QueueName, Sheet, SnapshotReason, StoreFaults, Timed, families};
use crate::shutdown::Shutdown;
use crate::store::{DataDir, Incoming, Store, StoreError, Writer};
use crate::wire::catalog::{
    BOOKS, Checked, LOG, LogQuery, REPLICAS, Reachable, Records, ReplicaReport, ReplicaStanding, SNAPSHOT,
    SNAPSHOT_DEADLINE, Stated,
};
use crate::wire::{ErrorCode, Problem};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How often a replica that has nothing to catch up reports itself.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Before another attempt when the master cannot be reached.
const RETRY: Duration = Duration::from_millis(200);

/// Before another snapshot when one could not be taken: it is a whole copy of the master's file, and a disk
/// that is full is full a moment later too.
const SNAPSHOT_AGAIN: Duration = Duration::from_secs(1);

/// For a report or a page of the log.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How long a replica may take for what the master has and it has not, before it says that it is behind: a
/// record is on its way for a millisecond, and one that catches up from the log takes pages of it.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Pages that wait to be applied: the push of the master and our own catching up, and one to spare.
const QUEUE: usize = 4;

/// What the routes see.
pub struct Replica {
    pub node: NodeId,
    pub id: ReplicaId,
    pub reads: Reads,
    pub changes: Changes,
    position: watch::Receiver<Version>,
    work: mpsc::Sender<Work>,
    /// Pages that found no room there.
    rejected: AtomicU64,
    masters: Masters,
    /// The digests that this process has found equal since it opened its file, all of them in a row.
    checked: Mutex<Option<Checked>>,
    /// A push found a gap, or rows that are wrong: catch up at once.
    behind: Notify,
    pub counts: Counts,
    pub copies: Copies,
    applies: Applies,
    faults: StoreFaults,
    /// Whether the last attempt to follow the master succeeded.
    following: AtomicBool,
    /// When it last took a report.
    reported: Mutex<Option<SystemTime>>,
}

enum Work {
    Apply(Vec<Record>, oneshot::Sender<Result<Version, Problem>>),
    Install(Incoming, oneshot::Sender<Result<Version, CatalogError>>),
}

/// The tasks behind the routes.
pub struct Tasks {
    applier: Applier,
    follower: Follower,
}

pub async fn new(
    (dir, store, mut writer): (DataDir, Store, Writer),
    masters: Masters,
    advertise: Option<BaseUrl>,
    addr: SocketAddr,
    member: Member,
    counts: Counts,
) -> Result<(Arc<Replica>, Tasks), CatalogError> {
    let position = writer.position().await?;
    member.meet(position.epoch);
    let changes = Changes::new(position);
    let (at, position) = watch::channel(position);
    let (work, queue) = mpsc::channel(QUEUE);
    let (applies, faults) = (Applies::new(&counts.registry), StoreFaults::new(&counts.registry));
    let reads = Reads::of_replica(store, position.clone(), applies.behind(), faults.clone());
    let (node, id) = (dir.node(), ReplicaId(rand::random()));
    let dir = Arc::new(dir);
    let replica = Arc::new(Replica {
        node,
        id,
        reads,
        changes,
        position,
        work,
        rejected: AtomicU64::new(0),
        masters: masters.clone(),
        checked: Mutex::new(None),
        behind: Notify::new(),
        counts,
        copies: Copies::new(dir.path()),
        applies,
        faults,
        following: AtomicBool::new(false),
        reported: Mutex::new(None),
    });
    let address = advertise.map_or(Reachable::Port(addr.port()), |url| Reachable::Url(url.to_string()));
    let applier = Applier { dir: Arc::clone(&dir), writer: Some(writer), at, queue, member };
    Ok((replica, Tasks { applier, follower: Follower { dir, masters, address, reachable: true } }))
}

impl Tasks {
    /// Runs until `stop`, and closes the file.
    pub async fn run(self, replica: Arc<Replica>, stop: Shutdown) -> Result<(), CatalogError> {
        let mut applying = actix_web::rt::spawn(self.applier.run(Arc::clone(&replica), stop.clone()));
        let applied = tokio::select! {
            () = self.follower.run(&replica, stop) => applying.await,
            applied = &mut applying => applied,
        };
        applied.map_err(|error| CatalogError::Serve(std::io::Error::other(error)))?
    }
}

impl Replica {
    pub fn position(&self) -> Version {
        *self.position.borrow()
    }

    /// The candidate for the master that answered last.
    pub fn follows(&self) -> String {
        self.masters.preferred().url().to_string()
    }

    /// Returns when everything is here that the master had committed when this was called.
    pub async fn catch_up_with_master(&self, request_id: &str) -> Result<(), Problem> {
        let behind = |sentence: String| Problem::new(ErrorCode::Behind, sentence);
        // Any read would do: it is the version that is wanted.
        let path = format!("{BOOKS}?ids=1");
        let stated: Result<Stated<IgnoredAny>, _> =
            self.masters.stated(&path, request_id, CALL_DEADLINE).await;
        let committed = stated
            .map_err(|error| behind(format!("this replica cannot ask the master how far it is: {error}")))?
            .asof;
        let mut position = self.position.clone();
        let reached = position.wait_for(|position| position.reaches(committed));
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(behind(format!(
                "this replica is at {}, and the master at {}",
                self.position().public(),
                committed.public()
            ))),
        }
    }

    /// What a scraper is told: what waits to be applied, and whether it follows.
    pub fn read(&self, sheet: &mut Sheet) {
        let waits = self.work.max_capacity() - self.work.capacity();
        sheet.queue(QueueName::Apply, waits, self.work.max_capacity(), self.rejected.load(Ordering::Relaxed));
        sheet.flag(&families::FOLLOWING, self.following.load(Ordering::Relaxed));
        sheet.moment(&families::LAST_REPORT, *self.reported.lock());
    }

    /// Applies what of `records` comes next, and returns the position after that.
    pub async fn apply(&self, records: Vec<Record>) -> Result<Version, Problem> {
        let (reply, answer) = oneshot::channel();
        let stopping = |_| Problem::from(ErrorCode::Unavailable);
        if self.work.try_send(Work::Apply(records, reply)).is_err() {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(ErrorCode::Unavailable.into());
        }
        answer.await.map_err(stopping)?
    }

    /// Takes note of the digests among `applied`: the rows here were equal to each.
    fn note_checked(&self, applied: &[Record]) {
        let mut checked = self.checked.lock();
        for record in applied.iter().filter(|record| matches!(record.body, Body::Digest(_))) {
            let from = checked.map_or(record.version, |checked| checked.from);
            *checked = Some(Checked { from, to: record.version });
        }
    }

    async fn install(&self, incoming: Incoming) -> Result<Version, CatalogError> {
        let gone = || CatalogError::Serve(std::io::Error::other("the applier has stopped"));
        let (reply, answer) = oneshot::channel();
        self.work.send(Work::Install(incoming, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Owns the writer connection.
struct Applier {
    dir: Arc<DataDir>,
    /// `None` only while one file is exchanged for another.
    writer: Option<Writer>,
    at: watch::Sender<Version>,
    queue: mpsc::Receiver<Work>,
    member: Member,
}

impl Applier {
    async fn run(mut self, replica: Arc<Replica>, stop: Shutdown) -> Result<(), CatalogError> {
        loop {
            let work = tokio::select! {
                biased;
                work = self.queue.recv() => work,
                () = stop.cancelled() => None,
            };
            match work {
                Some(Work::Apply(_, reply)) if replica.reads.are_wrong() => {
                    let _ = reply.send(Err(ErrorCode::UnknownHistory.into()));
                }
                Some(Work::Apply(records, reply)) => {
                    let applied = self.apply(records, &replica).await;
                    match applied {
                        // The state of the file is unknown: the next start reads what is there.
                        Err(error) if error.ends_writer() => {
                            replica.faults.failed(error.fault());
                            return Err(error.into());
                        }
                        Err(StoreError::Diverged(range)) => {
                            log::error!("the rows here are not the master's: {range}");
                            replica.applies.diverged();
                            replica.reads.set_wrong(true);
                            replica.behind.notify_one();
                            let _ = reply.send(Err(ErrorCode::UnknownHistory.into()));
                        }
                        applied => {
                            let _ = reply.send(applied.map_err(|error| replica.reads.unavailable(&error)));
                        }
                    }
                    self.trim_log().await?;
                }
                Some(Work::Install(incoming, reply)) => {
                    let installed = incoming.install().await;
                    if installed.is_ok() {
                        // Without a file there is nothing left to serve: then the process ends.
                        self.reopen(&replica).await?;
                    }
                    let _ = reply.send(installed.map_err(CatalogError::from));
                }
                None => break,
            }
        }
        if let Some(writer) = self.writer.take() {
            writer.checkpoint_and_close().await?;
        }
        Ok(())
    }

    async fn apply(&mut self, records: Vec<Record>, replica: &Replica) -> Result<Version, StoreError> {
        let mut position = *self.at.borrow();
        let mut next = Vec::with_capacity(records.len());
        for record in records {
            match follow(position, record.predecessor, record.version) {
                Follow::Apply => {
                    position = record.version;
                    next.push(record);
                }
                Follow::Already => {}
                Follow::Gap => {
                    replica.behind.notify_one();
                    break;
                }
            }
        }
        if let Some(writer) = self.writer.as_mut().filter(|_| !next.is_empty()) {
            let Timed { value: applied, took } = Timed::of(writer.apply(&next)).await;
            let applied = applied?;
            replica.applies.applied(next.len(), took);
            // Before the position shows it: who reports the one reports the other.
            replica.note_checked(&next);
            self.member.meet(applied.epoch);
            self.at.send_replace(applied);
            for record in &next {
                replica.changes.committed(record);
            }
        }
        Ok(*self.at.borrow())
    }

    /// Keeps the log as short as a replica may, who has nobody to serve it to: as long as a master keeps it
    /// at least, because it may become one.
    async fn trim_log(&mut self) -> Result<(), CatalogError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let keep_from = keep_from(self.at.borrow().seq, [], None);
        match writer.trim_log(keep_from).await {
            Err(error) if error.ends_writer() => Err(error.into()),
            Err(error) => {
                log::warn!("the log cannot be trimmed: {error}");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Exchanges the file for the one that has become current.
    async fn reopen(&mut self, replica: &Replica) -> Result<(), CatalogError> {
        if let Some(writer) = self.writer.take() {
            writer.checkpoint_and_close().await?;
        }
        let (store, mut writer) = self.dir.open(super::READERS).await?;
        let position = writer.position().await?;
        self.writer = Some(writer);
        self.member.meet(position.epoch);
        let old = replica.reads.swap(store);
        *replica.checked.lock() = None;
        replica.reads.set_wrong(false);
        self.at.send_replace(position);
        replica.changes.replaced(position);
        Store::clone(&old).close().await;
        Ok(())
    }
}

/// Keeps the replica at the end of the master's log.
struct Follower {
    dir: Arc<DataDir>,
    masters: Masters,
    address: Reachable,
    /// Whether the last attempt succeeded: a change is logged, a state is not.
    reachable: bool,
}

impl Follower {
    async fn run(mut self, replica: &Replica, stop: Shutdown) {
        loop {
            let followed = tokio::select! {
                followed = self.follow(replica) => followed,
                () = stop.cancelled() => return,
            };
            replica.following.store(followed.is_ok(), Ordering::Relaxed);
            let pause = match followed {
                Ok(()) => HEARTBEAT,
                Err(error) => {
                    if std::mem::replace(&mut self.reachable, false) {
                        log::warn!("cannot follow the master: {error}");
                    }
                    if matches!(error, FollowError::Snapshot(_)) { SNAPSHOT_AGAIN } else { RETRY }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = replica.behind.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reports; catches up and reports again, until there is nothing to catch up.
    async fn follow(&mut self, replica: &Replica) -> Result<(), FollowError> {
        loop {
            if replica.reads.are_wrong() {
                self.snapshot(replica, SnapshotReason::Rows).await?;
            }
            let standing = match self.report(replica).await {
                Err(error) if error.code() == Some(ErrorCode::LogTrimmed) => {
                    self.snapshot(replica, SnapshotReason::Trimmed).await?;
                    continue;
                }
                Err(error) if error.code() == Some(ErrorCode::UnknownHistory) => {
                    // Nobody but this file may have what the master lacks.
                    self.dir.keep_current().map_err(CatalogError::from)?;
                    self.snapshot(replica, SnapshotReason::History).await?;
                    continue;
                }
                other => other?,
            };
            *replica.reported.lock() = Some(SystemTime::now());
            if !std::mem::replace(&mut self.reachable, true) {
                log::info!("following the master again");
            }
            if standing.position == replica.position() || !self.catch_up(replica).await? {
                return Ok(());
            }
        }
    }

    async fn report(&self, replica: &Replica) -> Result<ReplicaStanding, CallError> {
        let report = ReplicaReport {
            node: replica.node,
            replica: replica.id,
            address: self.address.clone(),
            position: replica.position(),
            checked: *replica.checked.lock(),
        };
        self.masters.post(REPLICAS, &report, &replica.id.to_string(), CALL_DEADLINE).await
    }

    /// Applies one page of the log. Returns whether that brought it any further.
    async fn catch_up(&self, replica: &Replica) -> Result<bool, FollowError> {
        let before = replica.position();
        let query = LogQuery { after: before };
        let path = format!("{LOG}?after={}", query.after);
        let page: Records = self.masters.get(&path, &replica.id.to_string(), CALL_DEADLINE).await?;
        let count = page.records.len();
        let position = replica.apply(page.records).await.map_err(FollowError::Apply)?;
        log::debug!("caught up {count} records to {}", position.public());
        Ok(position != before)
    }

    /// Replaces the file by a snapshot of the master's. Reads go on from the old one meanwhile, unless its rows
    /// are wrong.
    async fn snapshot(&self, replica: &Replica, reason: SnapshotReason) -> Result<(), FollowError> {
        let why = match reason {
            SnapshotReason::Rows => "its rows are not the master's",
            SnapshotReason::Trimmed => "the master's log does not go back to it",
            SnapshotReason::History => "the master's history is another one",
        };
        log::warn!("this file ends at {}, and {why}: taking a snapshot", replica.position());
        let version =
            self.take_snapshot(replica).await.map_err(|error| FollowError::Snapshot(error.into()))?;
        replica.applies.snapshot_taken(reason);
        log::info!("the snapshot is in place at {}", version.public());
        Ok(())
    }

    async fn take_snapshot(&self, replica: &Replica) -> Result<Version, FollowError> {
        let incoming = self.dir.receive().map_err(CatalogError::from)?;
        let mut file = tokio::fs::File::from_std(incoming.create()?);
        let master = self.masters.preferred();
        let sink = async |chunk: &[u8]| file.write_all(chunk).await;
        let path = format!("{SNAPSHOT}?node={}", replica.node);
        let sum = master.download(&path, &replica.id.to_string(), SNAPSHOT_DEADLINE, |_| {}, sink).await?;
        file.flush().await?;
        drop(file);
        incoming.check(sum).await.map_err(CatalogError::from)?;
        Ok(replica.install(incoming).await?)
    }
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("applying failed: {}", .0.error)]
    Apply(Problem),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("a snapshot could not be taken: {0}")]
    Snapshot(Box<FollowError>),
    #[error("writing a snapshot failed: {0}")]
    Write(#[from] std::io::Error),
}
