//! The way to the writer, and what waits there: what callers see of it.
//!
//! Invariant: a job has one answer, which its caller waits for no longer than a deadline, but for a seal, which
//! somebody must deliver. The queue is bounded: when it is full, the answer is a quick 503.

use super::acknowledger::{Committed, UNACKNOWLEDGED};
use crate::catalog::mastership::Mastership;
use crate::domain::{Import, ImportOutcome, NodeId, Outcome, Request, Version};
use crate::metrics::{QueueName, Sheet};
use crate::store::Cursor;
use crate::telemetry::Carried;
use crate::wire::{ErrorCode, Problem};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Jobs that wait for the writer. A job is one request of an order node, which carries up to 256
/// purchases; with more than this the answer is a quick 503.
const QUEUE: usize = 256;

/// Parts of imports that wait for the writer: one to go on with, and one to spare for who imports as well.
const PARTS: usize = 4;

/// Requests in one transaction: enough to make an fsync cheap, few enough to keep a batch at some
/// milliseconds.
const MAX_BATCH: usize = 512;

/// The longest a job may wait for its answer. Longer than a lease, which is the longest stall there is.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

pub(super) type Reply = oneshot::Sender<Result<Vec<Outcome>, Problem>>;
/// Requests that are answered together, and where to.
pub(super) struct Write {
    pub(super) requests: Vec<Request>,
    /// Which traces they belong to.
    pub(super) carried: Vec<Carried>,
    pub(super) reply: Reply,
}
pub(super) type SealReply = oneshot::Sender<Result<Version, Problem>>;
/// What became of a part, and the version that this rests on.
pub(super) type PartAnswer = Result<(ImportOutcome, Version), Problem>;
pub(super) type ImportReply = oneshot::Sender<PartAnswer>;
pub(super) type DigestReply = oneshot::Sender<Result<Digested, Problem>>;

pub(super) enum Job {
    /// What an order node or an editor asks for.
    Write(Write),
    /// A part of an import.
    Import { import: Import, reply: ImportReply },
    /// A handover: the last record of this master.
    Seal { heir: NodeId, reply: SealReply },
    /// A verification: the digest of one range.
    Digest { cursor: Cursor, reply: DigestReply },
}

/// What is done on its own, behind the requests that came before it.
pub(super) enum Last {
    Import { import: Import, reply: ImportReply },
    Seal { heir: NodeId, reply: SealReply },
    Digest { cursor: Cursor, reply: DigestReply },
}

/// One range of a verification: its record is committed, and on its way to the replicas.
#[derive(Debug)]
pub struct Digested {
    pub version: Version,
    pub rows: u64,
    pub next: Option<Cursor>,
}

/// The way to the writer.
#[derive(Clone)]
pub struct Queue {
    jobs: mpsc::Sender<Job>,
    /// A way of their own: no purchase stands behind more than the part that is being written.
    parts: mpsc::Sender<(Import, ImportReply)>,
    mastership: Arc<Mastership>,
    /// What waits behind the writer: it ends with its only sender, so this is none.
    committed: mpsc::WeakSender<Committed>,
    rejected: Arc<Rejected>,
}

/// What was turned away because a queue was full.
#[derive(Default)]
struct Rejected {
    jobs: AtomicU64,
    parts: AtomicU64,
}

impl Queue {
    /// What waits here, as a scraper is told.
    pub fn read(&self, sheet: &mut Sheet) {
        fn full<T>(sender: &mpsc::Sender<T>) -> (usize, usize) {
            (sender.max_capacity() - sender.capacity(), sender.max_capacity())
        }
        let total = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (waits, room) = full(&self.jobs);
        sheet.queue(QueueName::Writer, waits, room, total(&self.rejected.jobs));
        let (waits, room) = full(&self.parts);
        sheet.queue(QueueName::Imports, waits, room, total(&self.rejected.parts));
        // The writer waits for room there: nothing is turned away.
        let (waits, room) = self.committed.upgrade().map_or((0, UNACKNOWLEDGED), |sender| full(&sender));
        sheet.queue(QueueName::Acknowledger, waits, room, 0);
    }

    /// Jobs that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Waits until `requests` are decided, committed and replicated as `--ack` says; the outcomes are in
    /// their order. An error says nothing about what happened: repeat with the same keys.
    ///
    /// `carried`: the traces that the requests belong to.
    pub async fn submit(
        &self,
        requests: Vec<Request>,
        carried: Vec<Carried>,
    ) -> Result<Vec<Outcome>, Problem> {
        self.submitted(|reply| Job::Write(Write { requests, carried, reply })).await
    }

    /// Waits until a part of an import is decided, committed and replicated as `--ack` says; also gives the
    /// version that this rests on. An error says nothing about what happened: repeat it, it is done once.
    pub async fn import(&self, import: Import) -> Result<(ImportOutcome, Version), Problem> {
        self.answered(&self.rejected.parts, |reply| self.parts.try_send((import, reply)).is_ok()).await
    }

    /// Finishes what is queued and then seals the log for `heir`; gives the seal's version. It is
    /// committed then, and on its way to the replicas.
    ///
    /// Waits for as long as that takes. Whoever gave up would leave a master that is sealed for good, and that nobody
    /// ends.
    pub async fn seal(&self, heir: NodeId) -> Result<Version, Problem> {
        let seal = |reply| self.jobs.try_send(Job::Seal { heir, reply }).is_ok();
        self.queued(&self.rejected.jobs, seal)?.await.unwrap_or_else(|_| Err(ErrorCode::Unavailable.into()))
    }

    /// Commits what the rows at `cursor` add up to.
    pub async fn digest(&self, cursor: Cursor) -> Result<Digested, Problem> {
        self.submitted(|reply| Job::Digest { cursor, reply }).await
    }

    async fn submitted<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> Job,
    ) -> Result<T, Problem> {
        self.answered(&self.rejected.jobs, |reply| self.jobs.try_send(job(reply)).is_ok()).await
    }

    /// The answer to what `queue` has put into a queue, unless that is full.
    async fn answered<T>(
        &self,
        rejected: &AtomicU64,
        queue: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> bool,
    ) -> Result<T, Problem> {
        let answer = self.queued(rejected, queue)?;
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(Ok(answer)) => answer,
            _ => Err(ErrorCode::Unavailable.into()),
        }
    }

    /// Where the answer will be.
    fn queued<T>(
        &self,
        rejected: &AtomicU64,
        queue: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> bool,
    ) -> Result<oneshot::Receiver<Result<T, Problem>>, Problem> {
        self.mastership.require()?;
        let (reply, answer) = oneshot::channel();
        if !queue(reply) {
            rejected.fetch_add(1, Ordering::Relaxed);
            return Err(ErrorCode::Unavailable.into());
        }
        Ok(answer)
    }
}

/// A queue, and where its jobs come out.
pub(super) fn new(mastership: Arc<Mastership>, committed: mpsc::WeakSender<Committed>) -> (Queue, Jobs) {
    let (jobs, queued) = mpsc::channel(QUEUE);
    let (parts, queued_parts) = mpsc::channel(PARTS);
    let rejected = Arc::default();
    (Queue { jobs, parts, mastership, committed, rejected }, Jobs { jobs: queued, parts: queued_parts })
}

/// The writer's end of the queue.
pub(super) struct Jobs {
    jobs: mpsc::Receiver<Job>,
    parts: mpsc::Receiver<(Import, ImportReply)>,
}

impl Jobs {
    /// The next job; `None` when nobody can send one any more. Nothing is lost where this is dropped.
    pub(super) async fn next(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            job = self.jobs.recv() => job,
            Some((import, reply)) = self.parts.recv() => Some(Job::Import { import, reply }),
        }
    }

    /// Everything that has queued up since the last batch, up to a bound. No timer: a lonely buyer waits
    /// for nobody. One part of an import comes behind each batch, so that neither waits for ever.
    pub(super) fn batch(&mut self, first: Job) -> (Vec<Write>, Option<Last>) {
        let mut size = 0;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(write) => {
                    size += write.requests.len();
                    batch.push(write);
                }
                Job::Import { import, reply } => return (batch, Some(Last::Import { import, reply })),
                Job::Seal { heir, reply } => return (batch, Some(Last::Seal { heir, reply })),
                Job::Digest { cursor, reply } => return (batch, Some(Last::Digest { cursor, reply })),
            }
            next = if size < MAX_BATCH { self.jobs.try_recv().ok() } else { None };
        }
        let part = self.parts.try_recv().ok();
        (batch, part.map(|(import, reply)| Last::Import { import, reply }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;
    use crate::member::Member;

    #[tokio::test(start_paused = true)]
    async fn a_seal_is_waited_for_as_long_as_the_disk_takes() {
        let start = Version::new(Epoch { number: 1, identity: 7 }, 1);
        let mastership = Arc::new(Mastership::new(Member::of_nothing()));
        let (committed, _acknowledger) = mpsc::channel(1);
        let (queue, mut jobs) = new(mastership, committed.downgrade());
        let sealing = queue.seal(NodeId(7));
        let disk = async {
            let Some(Job::Seal { reply, .. }) = jobs.next().await else { panic!("no seal was queued") };
            tokio::time::sleep(20 * ANSWER_DEADLINE).await;
            let _ = reply.send(Ok(start));
        };
        assert_eq!(tokio::join!(sealing, disk).0.unwrap(), start);
    }
}
