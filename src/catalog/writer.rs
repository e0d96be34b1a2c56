//! The master's single writer: queue → batch → fence → commit, then over to the feed for replicate →
//! acknowledge, which overlaps with the next batch.
//!
//! Invariants: one task owns the one writer connection. Nothing is acknowledged before all that it rests
//! on is committed, and replicated as `--ack` says. After a fence only COMMIT can follow: if that fails,
//! the process ends, and the next start reads what is there.

use super::CatalogError;
use super::feed::Feed;
use super::holders::Leases;
use crate::abort;
use crate::clock;
use crate::coherence::{Moment, touched_keys};
use crate::domain::{Outcome, Request, Version};
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

/// What an order node or an editor asks for: requests that are answered together.
struct Job {
    requests: Vec<Request>,
    reply: Reply,
}

/// The way to the writer.
#[derive(Clone)]
pub struct Queue(mpsc::Sender<Job>);

impl Queue {
    /// Waits until `requests` are decided, committed and replicated as `--ack` says; the outcomes are in
    /// their order. An error says nothing about what happened: repeat with the same keys.
    pub async fn submit(&self, requests: Vec<Request>) -> Result<Vec<Outcome>, Problem> {
        let (reply, answer) = oneshot::channel();
        let full = |_| Problem::from(ErrorCode::Unavailable);
        self.0.try_send(Job { requests, reply }).map_err(full)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(outcomes)) => outcomes,
            _ => Err(ErrorCode::Unavailable.into()),
        }
    }
}

/// The tasks behind the queue.
pub struct Tasks {
    writer: WriterTask,
    acknowledger: Acknowledger,
}

/// `not_before`: until then leases of an epoch before may be served from, so nothing is committed.
pub fn new(
    dir: DataDir,
    store: Writer,
    leases: Arc<Leases>,
    feed: Arc<Feed>,
    not_before: Moment,
) -> (Queue, Tasks) {
    let (queue, jobs) = mpsc::channel(QUEUE);
    let (committed, to_acknowledge) = mpsc::channel(UNACKNOWLEDGED);
    let acknowledger = Acknowledger { committed: to_acknowledge, feed: Arc::clone(&feed) };
    let writer = WriterTask { dir, store, jobs, leases, feed, not_before, committed };
    (Queue(queue), Tasks { writer, acknowledger })
}

impl Tasks {
    /// Runs until `stop`, then finishes what is queued, and closes the file.
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
    leases: Arc<Leases>,
    feed: Arc<Feed>,
    not_before: Moment,
    committed: mpsc::Sender<Committed>,
}

impl WriterTask {
    async fn run(mut self, stop: Shutdown) -> Result<(), CatalogError> {
        while let Some(first) = self.next(&stop).await {
            let batch = self.batch(first);
            let wait = clock::now().until(self.not_before);
            // A sleep of nothing would still last until the timer's next millisecond.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            self.write(batch).await?;
        }
        self.store.checkpoint_and_close().await?;
        drop(self.dir);
        Ok(())
    }

    async fn next(&mut self, stop: &Shutdown) -> Option<Job> {
        tokio::select! {
            biased;
            job = self.jobs.recv() => job,
            () = stop.cancelled() => None,
        }
    }

    /// Everything that has queued up since the last batch, up to a bound. No timer: a lonely buyer waits
    /// for nobody.
    fn batch(&mut self, first: Job) -> Vec<Job> {
        let mut size = first.requests.len();
        let mut batch = vec![first];
        while size < MAX_BATCH {
            let Ok(job) = self.jobs.try_recv() else { break };
            size += job.requests.len();
            batch.push(job);
        }
        batch
    }

    async fn write(&mut self, batch: Vec<Job>) -> Result<(), CatalogError> {
        let mut requests = Vec::new();
        let mut jobs = Vec::with_capacity(batch.len());
        for job in batch {
            jobs.push((job.reply, job.requests.len()));
            requests.extend(job.requests);
        }
        let (outcomes, version) = self.decide(&requests).await?;
        let mut outcomes = outcomes.into_iter();
        let replies = jobs
            .into_iter()
            .map(|(reply, count)| {
                let outcomes: Option<Vec<Outcome>> = outcomes.by_ref().take(count).collect();
                (reply, outcomes.ok_or_else(|| ErrorCode::Unavailable.into()))
            })
            .collect();
        // The acknowledger outlives this task, which holds its only sender.
        let _ = self.committed.send(Committed { version, replies }).await;
        Ok(())
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
            match self.store.prepare(&requests[range.clone()], clock::wall_ms()).await {
                Ok(prepared) => {
                    version = prepared.version;
                    for (outcome, decided) in outcomes[range].iter_mut().zip(&prepared.outcomes) {
                        *outcome = Some(decided.clone());
                    }
                    self.commit(prepared).await?;
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
                Err(error @ StoreError::Misuse(_)) => return Err(error.into()),
                Err(error) => {
                    log::error!("a batch of {} could not be written: {error}", requests.len());
                    break;
                }
            }
        }
        Ok((outcomes, version))
    }

    async fn commit(&mut self, prepared: Prepared) -> Result<(), CatalogError> {
        abort::point(abort::PREPARED);
        let Some(record) = prepared.record else { return Ok(()) };
        let mut keys = BTreeSet::new();
        for touched in &prepared.touched {
            touched_keys(touched.before.as_ref(), touched.after.as_ref(), &mut keys);
        }
        if !keys.is_empty() {
            self.leases.fence(record.version, keys.into_iter().collect()).await;
        }
        abort::point(abort::FENCED);
        self.store.commit().await.map_err(CatalogError::Commit)?;
        abort::point(abort::COMMITTED);
        self.feed.publish(&Arc::new(record));
        abort::point(abort::PUBLISHED);
        Ok(())
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
            self.feed.replicated(batch.version).await;
            abort::point(abort::REPLICATED);
            for (reply, outcomes) in batch.replies {
                // Who asked may have gone; that cancels nothing.
                let _ = reply.send(outcomes);
                abort::point(abort::ACKNOWLEDGING);
            }
        }
    }
}
