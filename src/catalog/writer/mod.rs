//! The master's single writer: queue → decide → write and fence at once → commit, then over to the feed for
//! replicate → acknowledge, which overlaps with the next batch.
//!
//! Invariants: one task owns the one writer connection. Nothing is acknowledged before all that it rests
//! on is committed, and replicated as `--ack` says. Nothing is committed before everybody has
//! acknowledged its fence. If the disk refuses COMMIT, the batch is rolled back and answered with 503, and the
//! next one may fit again; if it fails in any other way, the process ends, and the next start reads what is
//! there.
//!
//! | file | what it does |
//! |---|---|
//! | `queue` | what callers see: requests, a seal, a digest, and their answers |
//! | `batch` | decides, writes, fences and commits requests |
//! | `import` | the same for a part of an import, on its own |
//! | `last` | seals the log; writes digests |
//! | `house` | forgets old answers and trims the log in between |
//! | `acknowledger` | lets answers out when they are replicated |

mod acknowledger;
mod batch;
mod house;
mod import;
mod last;
mod queue;

use super::CatalogError;
use super::account::Account;
use super::changes::Changes;
use super::feed::Feed;
use super::holders::Leases;
use super::housekeeping::{Forgetting, Keep, Pins};
use super::mastership::Mastership;
use crate::clock;
use crate::coherence::Moment;
use crate::domain::{Epoch, Record};
use crate::recipe::Recipe;
use crate::shutdown::Shutdown;
use crate::store::{DataDir, StoreError, Writer};
use acknowledger::{Acknowledger, Committed};
use queue::{Job, Jobs, Last};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub use queue::Queue;

/// The log is trimmed by one step after so many batches, which is more than they add to it, and whenever
/// nobody buys.
const BATCHES_PER_TRIM: u32 = 64;

/// How often the house is kept when nobody buys.
const IDLE: Duration = Duration::from_secs(1);

/// Before another attempt to write down that this master was deposed.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// What comes after the writer's own work.
pub struct Behind {
    pub leases: Arc<Leases>,
    pub feed: Arc<Feed>,
    pub changes: Arc<Changes>,
    pub mastership: Arc<Mastership>,
    pub pins: Arc<Pins>,
    pub account: Arc<Account>,
    /// Instead of the store's own protocol.
    pub recipe: Option<Recipe>,
}

impl Behind {
    /// `record` is committed: it goes to the replicas, and to whoever follows what changes.
    fn publish(&self, record: Record) {
        let record = Arc::new(record);
        self.feed.publish(&record);
        self.changes.committed(&record);
    }
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
    let (committed, acknowledger) = acknowledger::new(Arc::clone(&behind.feed), Arc::clone(&behind.account));
    let (queue, jobs) = queue::new(Arc::clone(&behind.mastership), committed.downgrade());
    let writer = WriterTask {
        dir,
        store,
        jobs,
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
    (queue, Tasks { writer, acknowledger })
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

struct WriterTask {
    /// Locked as long as the writer lives.
    dir: DataDir,
    store: Writer,
    jobs: Jobs,
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
            job = self.jobs.next() => job.map_or(Event::Stop, Event::Job),
            () = stop.cancelled() => Event::Stop,
            () = self.end.cancelled() => Event::Stop,
            () = tokio::time::sleep(idle) => Event::Idle,
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
        match self.store.set_deposed(by).await {
            Ok(()) => {
                self.told = true;
                Ok(())
            }
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(self.failed(error))),
            Err(error) => {
                let error = self.failed(error);
                log::error!("that could not be written down, and is tried again: {}", cause(&error));
                tokio::time::sleep(TELL_AGAIN).await;
                Ok(())
            }
        }
    }

    async fn work(&mut self, first: Job) -> Result<(), CatalogError> {
        let (batch, last) = self.jobs.batch(first);
        self.wait_for_leases().await;
        if !batch.is_empty() {
            self.write(batch).await?;
        }
        match last {
            Some(Last::Import { import, reply }) => self.import(import, reply).await,
            Some(Last::Seal { heir, reply }) => self.seal(heir, reply).await,
            Some(Last::Digest { cursor, reply }) => {
                let _ = reply.send(self.digest(cursor).await?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts what went wrong with the file.
    fn failed(&self, error: StoreError) -> StoreError {
        self.behind.account.writes.faults.failed(error.fault());
        error
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
}

/// An error with what lies beneath it, for the log.
fn cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
