//! The master's single writer: queue → batch → fence → commit, then over to the feed for replicate →
//! acknowledge, which overlaps with the next batch.
//!
//! Invariants: one task owns the one writer connection. Nothing is acknowledged before all that it rests
//! on is committed, and replicated as `--ack` says. After a fence only COMMIT can follow. If the disk
//! refuses that, the batch is rolled back and answered with 503, and the next one may fit again; if it
//! fails in any other way, the process ends, and the next start reads what is there.

use super::CatalogError;
use super::feed::Feed;
use super::holders::Leases;
use super::mastership::Mastership;
use super::recipe;
use crate::abort;
use crate::clock;
use crate::coherence::{Moment, touched_keys};
use crate::domain::{Epoch, NodeId, Outcome, Request, Version};
use crate::recipe::Recipe;
use crate::shutdown::Shutdown;
use crate::store::{DataDir, Prepared, StoreError, Writer};
use crate::wire::{ErrorCode, Problem};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Jobs that wait for the writer. A job is one request of an order node, which carries up to 256
/// purchases; with more than this the answer is a quick 503.
const QUEUE: usize = 256;

/// Requests in one transaction: enough to make an fsync cheap, few enough to keep a batch at some
/// milliseconds.
const MAX_BATCH: usize = 512;

/// Batches that are committed and not yet acknowledged.
const UNACKNOWLEDGED: usize = 16;

/// The longest a job may wait for its answer. Longer than a lease, which is the longest stall there is.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

type Reply = oneshot::Sender<Result<Vec<Outcome>, Problem>>;
/// Requests that are answered together, and where to.
type Write = (Vec<Request>, Reply);
type SealReply = oneshot::Sender<Result<Version, Problem>>;

enum Job {
    /// What an order node or an editor asks for.
    Write(Write),
    /// A handover: the last record of this master.
    Seal { heir: NodeId, reply: SealReply },
}

/// The way to the writer.
#[derive(Clone)]
pub struct Queue {
    jobs: mpsc::Sender<Job>,
    mastership: Arc<Mastership>,
}

impl Queue {
    /// Waits until `requests` are decided, committed and replicated as `--ack` says; the outcomes are in
    /// their order. An error says nothing about what happened: repeat with the same keys.
    pub async fn submit(&self, requests: Vec<Request>) -> Result<Vec<Outcome>, Problem> {
        self.submitted(|reply| Job::Write((requests, reply))).await
    }

    /// Finishes what is queued and then seals the log for `heir`; gives the seal's version. It is
    /// committed then, and on its way to the replicas.
    pub async fn seal(&self, heir: NodeId) -> Result<Version, Problem> {
        self.submitted(|reply| Job::Seal { heir, reply }).await
    }

    async fn submitted<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> Job,
    ) -> Result<T, Problem> {
        self.mastership.require()?;
        let (reply, answer) = oneshot::channel();
        let full = |_| Problem::from(ErrorCode::Unavailable);
        self.jobs.try_send(job(reply)).map_err(full)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            _ => Err(ErrorCode::Unavailable.into()),
        }
    }
}

/// What comes after the writer's own work.
pub struct Behind {
    pub leases: Arc<Leases>,
    pub feed: Arc<Feed>,
    pub mastership: Arc<Mastership>,
    /// Instead of the store's own protocol.
    pub recipe: Option<Recipe>,
}

/// The tasks behind the queue.
pub struct Tasks {
    writer: WriterTask,
    acknowledger: Acknowledger,
}

/// `not_before`: until then leases of an epoch before may be served from, so nothing is committed.
/// `may_draw_again`: a master that has written nothing gives way to a higher epoch by drawing a higher
/// one still. `end` ends the tasks when this master has handed over.
pub fn new(
    dir: DataDir,
    store: Writer,
    behind: Behind,
    not_before: Moment,
    may_draw_again: bool,
    end: Shutdown,
) -> (Queue, Tasks) {
    let (jobs, queue) = mpsc::channel(QUEUE);
    let (committed, to_acknowledge) = mpsc::channel(UNACKNOWLEDGED);
    let acknowledger = Acknowledger { committed: to_acknowledge, feed: Arc::clone(&behind.feed) };
    let mastership = Arc::clone(&behind.mastership);
    let writer = WriterTask {
        dir,
        store,
        jobs: queue,
        behind,
        not_before,
        may_draw_again,
        told: false,
        end,
        committed,
    };
    (Queue { jobs, mastership }, Tasks { writer, acknowledger })
}

impl Tasks {
    /// Runs until `stop` or the end of a handover, then finishes what is queued, and closes the file.
    pub async fn run(self, stop: Shutdown) -> Result<(), CatalogError> {
        let acknowledging = actix_web::rt::spawn(self.acknowledger.run());
        let written = self.writer.run(stop).await;
        // Ends by itself when the writer, its only sender, is gone.
        let _ = acknowledging.await;
        written
    }
}

/// A batch on its way to its buyers.
struct Committed {
    version: Version,
    replies: Vec<(Reply, Result<Vec<Outcome>, Problem>)>,
}

struct WriterTask {
    /// Locked as long as the writer lives.
    dir: DataDir,
    store: Writer,
    jobs: mpsc::Receiver<Job>,
    behind: Behind,
    not_before: Moment,
    /// Until the first commit.
    may_draw_again: bool,
    /// That this master was deposed is on disk and in the log.
    told: bool,
    end: Shutdown,
    committed: mpsc::Sender<Committed>,
}

enum Event {
    Job(Job),
    Deposed(Epoch),
    Stop,
}

impl WriterTask {
    async fn run(mut self, stop: Shutdown) -> Result<(), CatalogError> {
        loop {
            match self.next(&stop).await {
                Event::Job(job) => self.work(job).await?,
                Event::Deposed(by) => self.deposed(by).await?,
                Event::Stop => break,
            }
        }
        self.store.checkpoint_and_close().await?;
        drop(self.dir);
        Ok(())
    }

    async fn next(&mut self, stop: &Shutdown) -> Event {
        tokio::select! {
            biased;
            by = self.behind.mastership.deposed(), if !self.told => Event::Deposed(by),
            job = self.jobs.recv() => job.map_or(Event::Stop, Event::Job),
            () = stop.cancelled() => Event::Stop,
            () = self.end.cancelled() => Event::Stop,
        }
    }

    /// Another epoch has begun. A start by force that has written nothing begins another one; everybody
    /// else remembers it for good, so that no restart of theirs draws a higher number.
    async fn deposed(&mut self, by: Epoch) -> Result<(), CatalogError> {
        if self.may_draw_again {
            return Err(CatalogError::DrawAgain { met: by });
        }
        log::error!(
            "epoch {} has begun somewhere else: this master writes, grants and acknowledges nothing any \
             more. Start it with --replica, and it takes over what the new master has",
            by.number
        );
        self.told = true;
        if let Err(error) = self.store.set_deposed(by).await {
            log::error!("that could not be written down: {error}");
        }
        Ok(())
    }

    async fn work(&mut self, first: Job) -> Result<(), CatalogError> {
        let (batch, last) = self.batch(first);
        self.wait_for_leases().await;
        if !batch.is_empty() {
            self.write(batch).await?;
        }
        if let Some((heir, reply)) = last {
            let _ = reply.send(self.seal(heir).await);
        }
        Ok(())
    }

    /// Until leases of earlier epochs have run out, or this one is over.
    async fn wait_for_leases(&self) {
        let wait = clock::now().until(self.not_before);
        // A sleep of nothing would still last until the timer's next millisecond.
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.behind.mastership.deposed() => {}
            }
        }
    }

    async fn seal(&mut self, heir: NodeId) -> Result<Version, Problem> {
        let mastership = &self.behind.mastership;
        mastership.require()?;
        // Before it is written: a reader must not be told anything in the master's name that the heir
        // may have changed by then.
        mastership.seal(heir);
        match self.store.seal(heir).await {
            Ok(record) => {
                let version = record.version;
                self.behind.feed.publish(&Arc::new(record));
                Ok(version)
            }
            Err(error) => {
                log::error!("the log could not be sealed: {error}");
                mastership.unseal();
                Err(ErrorCode::Unavailable.into())
            }
        }
    }

    /// Everything that has queued up since the last batch, up to a bound. No timer: a lonely buyer waits
    /// for nobody.
    fn batch(&mut self, first: Job) -> (Vec<Write>, Option<(NodeId, SealReply)>) {
        let mut size = 0;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(write) => {
                    size += write.0.len();
                    batch.push(write);
                }
                Job::Seal { heir, reply } => return (batch, Some((heir, reply))),
            }
            next = if size < MAX_BATCH { self.jobs.try_recv().ok() } else { None };
        }
        (batch, None)
    }

    async fn write(&mut self, batch: Vec<Write>) -> Result<(), CatalogError> {
        let mut requests = Vec::new();
        let mut jobs = Vec::with_capacity(batch.len());
        for (asked, reply) in batch {
            jobs.push((reply, asked.len()));
            requests.extend(asked);
        }
        let (outcomes, version) = self.decide(&requests).await?;
        let mut outcomes = outcomes.into_iter();
        let replies = jobs
            .into_iter()
            .map(|(reply, count)| {
                let outcomes: Option<Vec<Outcome>> = outcomes.by_ref().take(count).collect();
                (reply, outcomes.ok_or_else(|| self.why_not()))
            })
            .collect();
        // The acknowledger outlives this task, which holds its only sender.
        let _ = self.committed.send(Committed { version, replies }).await;
        Ok(())
    }

    /// Why requests have no outcome. They were not written, or it is not known: safe to repeat, and where
    /// this is no master any more, somewhere else.
    fn why_not(&self) -> Problem {
        match self.behind.mastership.require() {
            Ok(()) => ErrorCode::Unavailable.into(),
            Err(not_master) => not_master,
        }
    }

    /// Decides and commits `requests`, in one transaction unless one of them breaks a constraint: then
    /// halves are tried, so that it fails alone. `None` where the store could not say. Returns also the
    /// version that everything decided rests on.
    async fn decide(
        &mut self,
        requests: &[Request],
    ) -> Result<(Vec<Option<Outcome>>, Version), CatalogError> {
        let mut outcomes = vec![None; requests.len()];
        let mut version = Version::GENESIS;
        let mut ranges: Vec<Range<usize>> = Vec::new();
        ranges.push(0..requests.len());
        while let Some(range) = ranges.pop() {
            abort::point(abort::BEFORE_PREPARE);
            if !self.behind.mastership.leads() {
                break;
            }
            match self.store.prepare(&requests[range.clone()], clock::wall_ms()).await {
                Ok(prepared) => {
                    let (decided, at) = (prepared.outcomes.clone(), prepared.version);
                    match self.commit(prepared).await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error @ StoreError::Full(_)) => {
                            log::error!("a batch could not be committed: {}", cause(&error));
                            break;
                        }
                        Err(error) => return Err(CatalogError::Commit(error)),
                    }
                    version = at;
                    for (outcome, decided) in outcomes[range].iter_mut().zip(decided) {
                        *outcome = Some(decided);
                    }
                }
                Err(StoreError::Constraint(_)) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
                Err(StoreError::Constraint(cause)) => {
                    log::error!("a request broke a constraint of the store: {cause}");
                    outcomes[range.start] = Some(Outcome::Rejected);
                }
                // The state of the file is unknown: the next start reads what is there.
                Err(error) if error.ends_writer() => return Err(error.into()),
                Err(error) => {
                    log::error!("a batch could not be written: {}", cause(&error));
                    break;
                }
            }
        }
        Ok((outcomes, version))
    }

    /// Fences and commits. Returns false where another epoch has begun meanwhile: then nothing is left of
    /// the batch. (It was announced, so nobody serves what is older from a cache; that costs misses.)
    async fn commit(&mut self, prepared: Prepared) -> Result<bool, StoreError> {
        abort::point(abort::PREPARED);
        let Some(record) = prepared.record else { return Ok(true) };
        let mut keys = BTreeSet::new();
        for touched in &prepared.touched {
            touched_keys(touched.before.as_ref(), touched.after.as_ref(), &mut keys);
        }
        let (version, keys) = (record.version, keys.into_iter().collect());
        let (before, after) = recipe::announcements(self.behind.recipe, keys);
        if !before.is_empty() {
            self.behind.leases.fence(version, before).await;
        }
        abort::point(abort::FENCED);
        if self.behind.mastership.deposed_by().is_some() {
            self.store.rollback().await?;
            return Ok(false);
        }
        self.may_draw_again = false;
        self.store.commit().await?;
        abort::point(abort::COMMITTED);
        self.behind.feed.publish(&Arc::new(record));
        abort::point(abort::PUBLISHED);
        if !after.is_empty() {
            self.behind.leases.fence(version, after).await;
        }
        Ok(true)
    }
}

/// An error with what lies beneath it, for the log.
fn cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Lets answers out, in the order of their versions.
struct Acknowledger {
    committed: mpsc::Receiver<Committed>,
    feed: Arc<Feed>,
}

impl Acknowledger {
    async fn run(mut self) {
        while let Some(batch) = self.committed.recv().await {
            let acknowledged = self.feed.replicated(batch.version).await;
            abort::point(abort::REPLICATED);
            for (reply, outcomes) in batch.replies {
                // Deposed: whether the new master has it is not known here, but there, under its key.
                let outcomes = if acknowledged { outcomes } else { Err(ErrorCode::NotMaster.into()) };
                // Who asked may have gone; that cancels nothing.
                let _ = reply.send(outcomes);
                abort::point(abort::ACKNOWLEDGING);
            }
        }
    }
}
