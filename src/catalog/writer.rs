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
use super::housekeeping::{Forgetting, Keep, Pins, keep_from};
use super::mastership::Mastership;
use super::recipe;
use crate::clock;
use crate::coherence::{Moment, touched_keys};
use crate::domain::{Body, Epoch, NodeId, Outcome, Request, Version};
use crate::recipe::Recipe;
use crate::shutdown::Shutdown;
use crate::store::{Cursor, DataDir, Prepared, StoreError, Writer};
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

/// The log is trimmed by one step after so many batches, which is more than they add to it, and whenever
/// nobody buys.
const BATCHES_PER_TRIM: u32 = 64;

/// How often the house is kept when nobody buys.
const IDLE: Duration = Duration::from_secs(1);

/// The longest a job may wait for its answer. Longer than a lease, which is the longest stall there is.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// Before another attempt to write down that this master was deposed.
const TELL_AGAIN: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<Vec<Outcome>, Problem>>;
/// Requests that are answered together, and where to.
type Write = (Vec<Request>, Reply);
type SealReply = oneshot::Sender<Result<Version, Problem>>;
type DigestReply = oneshot::Sender<Result<Digested, Problem>>;

enum Job {
    /// What an order node or an editor asks for.
    Write(Write),
    /// A handover: the last record of this master.
    Seal { heir: NodeId, reply: SealReply },
    /// A verification: the digest of one range.
    Digest { cursor: Cursor, reply: DigestReply },
}

/// What is done on its own, behind the requests that came before it.
enum Last {
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

    /// Commits what the rows at `cursor` add up to.
    pub async fn digest(&self, cursor: Cursor) -> Result<Digested, Problem> {
        self.submitted(|reply| Job::Digest { cursor, reply }).await
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
    pub pins: Arc<Pins>,
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
    keep: Keep,
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
        forgetting: Forgetting::new(keep),
        batches: 0,
        complained: false,
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
    forgetting: Forgetting,
    /// Since the log was trimmed last.
    batches: u32,
    /// Whether the last attempt to keep the house failed: a change is logged, a state is not.
    complained: bool,
    end: Shutdown,
    committed: mpsc::Sender<Committed>,
}

enum Event {
    Job(Job),
    Deposed(Epoch),
    /// Nobody wanted anything for a while.
    Idle,
    Stop,
}

impl WriterTask {
    async fn run(mut self, stop: Shutdown) -> Result<(), CatalogError> {
        let mut idle = IDLE;
        loop {
            match self.next(&stop, idle).await {
                Event::Job(job) => {
                    self.work(job).await?;
                    self.batches += 1;
                    let trim = self.batches >= BATCHES_PER_TRIM;
                    self.keep_house(true, trim).await?;
                    idle = IDLE;
                }
                Event::Deposed(by) => self.deposed(by).await?,
                Event::Idle => {
                    let more = self.keep_house(false, true).await?;
                    idle = if more { Duration::ZERO } else { IDLE };
                }
                Event::Stop => break,
            }
        }
        self.store.checkpoint_and_close().await?;
        drop(self.dir);
        Ok(())
    }

    /// What to do next; `idle` is how long to wait for a job.
    async fn next(&mut self, stop: &Shutdown, idle: Duration) -> Event {
        tokio::select! {
            biased;
            by = self.behind.mastership.deposed(), if !self.told => Event::Deposed(by),
            job = self.jobs.recv() => job.map_or(Event::Stop, Event::Job),
            () = stop.cancelled() => Event::Stop,
            () = self.end.cancelled() => Event::Stop,
            () = tokio::time::sleep(idle) => Event::Idle,
        }
    }

    /// Forgets old answers in a batch of its own unless the shop is busy, where the next batch does, and
    /// trims the log if asked to. Returns whether there is more to trim.
    async fn keep_house(&mut self, busy: bool, trim: bool) -> Result<bool, CatalogError> {
        let waiting = !clock::now().until(self.not_before).is_zero();
        if waiting || !self.behind.mastership.leads() {
            return Ok(false);
        }
        match self.try_to_keep_house(busy, trim).await {
            Ok(more) => {
                self.complained = false;
                Ok(more)
            }
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(error)),
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    log::warn!("the log and the stored answers cannot be trimmed: {}", cause(&error));
                }
                Ok(false)
            }
        }
    }

    async fn try_to_keep_house(&mut self, busy: bool, trim: bool) -> Result<bool, StoreError> {
        let (now, wall_ms) = (clock::now(), clock::wall_ms());
        if self.forgetting.wants_to_look(now, wall_ms) {
            let oldest = self.store.oldest_answers().await?;
            self.forgetting.looked(now, wall_ms, oldest);
        }
        if let Some(forget) = self.forgetting.due().filter(|_| !busy) {
            let prepared = self.store.prepare(&[], wall_ms, Some(forget)).await?;
            if self.commit(prepared).await? {
                self.forgetting.forgot(false);
            }
        }
        if !trim {
            return Ok(false);
        }
        self.batches = 0;
        let end = self.store.position().await?.seq;
        let pinned = self.behind.pins.lowest(now);
        self.store.trim_log(keep_from(end, self.behind.feed.positions(), pinned)).await
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
        match self.store.set_deposed(by).await {
            Ok(()) => {
                self.told = true;
                Ok(())
            }
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(error)),
            Err(error) => {
                log::error!("that could not be written down, and is tried again: {}", cause(&error));
                tokio::time::sleep(TELL_AGAIN).await;
                Ok(())
            }
        }
    }

    async fn work(&mut self, first: Job) -> Result<(), CatalogError> {
        let (batch, last) = self.batch(first);
        self.wait_for_leases().await;
        if !batch.is_empty() {
            self.write(batch).await?;
        }
        match last {
            Some(Last::Seal { heir, reply }) => self.seal(heir, reply).await,
            Some(Last::Digest { cursor, reply }) => {
                let _ = reply.send(self.digest(cursor).await?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn digest(&mut self, cursor: Cursor) -> Result<Result<Digested, Problem>, CatalogError> {
        if let Err(not_master) = self.behind.mastership.require() {
            return Ok(Err(not_master));
        }
        self.may_draw_again = false;
        match self.store.digest_range(cursor).await {
            Ok((record, next)) => {
                let version = record.version;
                let rows = match &record.body {
                    Body::Digest(range) => range.rows,
                    Body::Start { .. } | Body::Batch(_) | Body::Seal { .. } => 0,
                };
                self.behind.feed.publish(&Arc::new(record));
                Ok(Ok(Digested { version, rows, next }))
            }
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(error)),
            Err(error) => {
                log::error!("a digest could not be written: {}", cause(&error));
                Ok(Err(ErrorCode::Unavailable.into()))
            }
        }
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

    async fn seal(&mut self, heir: NodeId, reply: SealReply) -> Result<(), CatalogError> {
        let mastership = &self.behind.mastership;
        // Who asked delivers the seal. Without him nobody would, and nobody could write any more.
        if reply.is_closed() {
            return Ok(());
        }
        if let Err(not_master) = mastership.require() {
            let _ = reply.send(Err(not_master));
            return Ok(());
        }
        // Before it is written: a reader must not be told anything in the master's name that the heir
        // may have changed by then. And the heir rests on this epoch from now on.
        mastership.seal(heir);
        self.may_draw_again = false;
        match self.store.seal(heir).await {
            Ok(record) => {
                let version = record.version;
                self.behind.feed.publish(&Arc::new(record));
                let _ = reply.send(Ok(version));
                Ok(())
            }
            // Whether it is sealed is not known: the next start reads it.
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(error)),
            Err(error) => {
                log::error!("the log could not be sealed: {}", cause(&error));
                mastership.unseal();
                let _ = reply.send(Err(ErrorCode::Unavailable.into()));
                Ok(())
            }
        }
    }

    /// Everything that has queued up since the last batch, up to a bound. No timer: a lonely buyer waits
    /// for nobody.
    fn batch(&mut self, first: Job) -> (Vec<Write>, Option<Last>) {
        let mut size = 0;
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(write) => {
                    size += write.0.len();
                    batch.push(write);
                }
                Job::Seal { heir, reply } => return (batch, Some(Last::Seal { heir, reply })),
                Job::Digest { cursor, reply } => return (batch, Some(Last::Digest { cursor, reply })),
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
        let mut forget = self.forgetting.due();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        ranges.push(0..requests.len());
        while let Some(range) = ranges.pop() {
            if !self.behind.mastership.leads() {
                break;
            }
            match self.store.prepare(&requests[range.clone()], clock::wall_ms(), forget).await {
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
                    if forget.take().is_some() {
                        self.forgetting.forgot(true);
                    }
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
        if self.behind.mastership.deposed_by().is_some() {
            self.store.rollback().await?;
            return Ok(false);
        }
        self.may_draw_again = false;
        self.store.commit().await?;
        self.behind.feed.publish(&Arc::new(record));
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
            for (reply, outcomes) in batch.replies {
                // Deposed: whether the new master has it is not known here, but there, under its key.
                let outcomes = acknowledged.clone().and(outcomes);
                // Who asked may have gone; that cancels nothing.
                let _ = reply.send(outcomes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ack, MasterConfig, master};
    use super::*;
    use crate::domain::{BookId, IdempotencyKey, OrderId, Purchase, Quantity};
    use crate::member::Member;
    use crate::store::{NewEpoch, current_file};

    const DAY: Duration = Duration::from_secs(86_400);
    const KEEP: Keep = Keep { answers: DAY, refusals: DAY };

    fn purchase(n: u128) -> Request {
        Request::Purchase(Purchase {
            order_id: OrderId::draw(0, n),
            key: IdempotencyKey::parse(format!("key-{n}")).unwrap(),
            book_id: BookId::new(1 + i64::try_from(n % 11).unwrap()).unwrap(),
            quantity: Quantity::ONE,
            offer: None,
        })
    }

    async fn answers(data: &std::path::Path) -> i64 {
        use sqlx::Connection;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(current_file(data).unwrap());
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM answers").fetch_one(&mut connection).await.unwrap()
    }

    /// A master whose file has `old` answers of two days ago.
    async fn master_with_old_answers(data: &std::path::Path, old: u128) -> (Arc<master::Master>, Tasks) {
        let dir = DataDir::lock(data, "test").unwrap();
        let (store, mut writer) = dir.open(1).await.unwrap();
        let epoch = NewEpoch { identity: 1, at_least: 0, lease_term_ms: 0, node: dir.node() };
        writer.start_epoch(epoch).await.unwrap();
        let requests: Vec<Request> = (0..old).map(purchase).collect();
        let then = clock::wall_ms() - 2 * i64::try_from(DAY.as_millis()).unwrap();
        writer.prepare(&requests, then, None).await.unwrap();
        writer.commit().await.unwrap();
        store.close().await;
        writer.checkpoint_and_close().await.unwrap();
        drop(dir);
        let config = MasterConfig {
            ack: Ack::Sync,
            lease: Duration::from_secs(1),
            leases_outlive_process: false,
            force: false,
            keep: KEEP,
        };
        let member = Member::of_nothing();
        let opened = master::open(data, config, &member).await.unwrap();
        let (master, mut tasks) = master::start(opened, data.into(), config, None, &member).await.unwrap();
        tasks.writer.forgetting = Forgetting::after_the_first_minute(KEEP, clock::now(), clock::wall_ms());
        (master, tasks)
    }

    #[actix_web::test]
    async fn old_answers_are_forgotten_when_nobody_buys() {
        let dir = tempfile::tempdir().unwrap();
        let (_master, tasks) = master_with_old_answers(dir.path(), 300).await;
        let stop = Shutdown::new();
        let running = actix_web::rt::spawn(tasks.run(stop.clone()));
        let forgotten = async {
            while answers(dir.path()).await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), forgotten).await.unwrap();
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    #[actix_web::test]
    async fn each_batch_of_a_busy_shop_forgets_more_than_it_adds() {
        let dir = tempfile::tempdir().unwrap();
        let (master, tasks) = master_with_old_answers(dir.path(), 511).await;
        let stop = Shutdown::new();
        let running = actix_web::rt::spawn(tasks.run(stop.clone()));
        // The first look is behind the first batch.
        for n in 1_000..1_004 {
            master.queue.submit(vec![purchase(n)]).await.unwrap();
        }
        stop.cancel();
        running.await.unwrap().unwrap();
        // 130 copies of the first 511 were sold, and as many answers of each kind fit one batch.
        assert!(answers(dir.path()).await <= 4 + 512 - 256, "{}", answers(dir.path()).await);
    }
}
