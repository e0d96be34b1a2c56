//! Reads of a catalog node: each answer names the version of the state that it was read from.
//!
//! A master answers with what it has committed, whatever minimum is asked for: a version that is only
//! fenced has been seen by nobody. A replica that is behind waits a moment, then says so; so does a master
//! that no longer is one.

use super::mastership::Mastership;
use crate::client::{Bounds, Gatherer};
use crate::domain::{Book, BookId, Version};
use crate::metrics::{Counter, QueueName, Reader, Sheet, StoreFaults, families};
use crate::store::{Room, Snapshot, Store, StoreError};
use crate::wire::{ErrorCode, Problem};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long a replica waits for a version that it lacks: a record is on its way for about a millisecond,
/// and asking the master instead costs about as much.
const WAIT_FOR_VERSION: Duration = Duration::from_millis(5);

pub struct Reads {
    store: Arc<ArcSwap<Store>>,
    /// An export reads every book.
    exporting: Arc<Semaphore>,
    of: Of,
    books: Gatherer<Vec<BookId>, Books>,
    faults: StoreFaults,
}

/// What one reader of several books is told; others, who came at the same time, share it.
type Books = Result<Arc<Snapshot<Vec<Book>>>, Problem>;

/// Readers whose statements are made one: 1,024 books at the most. Another statement under way for each
/// connection would only make smaller ones.
const TOGETHER: Bounds = Bounds { batch: 16, calls: 1, waiting: 1024 };

enum Of {
    Master(Arc<Mastership>),
    Replica {
        /// How far it is.
        position: watch::Receiver<Version>,
        /// Its rows are known not to be the master's.
        wrong: AtomicBool,
        /// Counts who is told that it is behind.
        behind: Counter,
    },
}

impl Reads {
    pub fn of_master(store: Store, mastership: Arc<Mastership>, faults: StoreFaults) -> Self {
        Self::new(store, Of::Master(mastership), faults)
    }

    pub fn of_replica(
        store: Store,
        position: watch::Receiver<Version>,
        behind: Counter,
        faults: StoreFaults,
    ) -> Self {
        Self::new(store, Of::Replica { position, wrong: AtomicBool::new(false), behind }, faults)
    }

    fn new(store: Store, of: Of, faults: StoreFaults) -> Self {
        let store = Arc::new(ArcSwap::from_pointee(store));
        let books = Gatherer::new(TOGETHER, {
            let store = Arc::clone(&store);
            let faults = faults.clone();
            move |readers| read_together(store.load_full(), readers, faults.clone())
        });
        Self { store, exporting: Arc::new(Semaphore::new(1)), of, books, faults }
    }

    /// What a scraper is told: what waits, who reads, and how much there is on the disk.
    pub fn read(&self, sheet: &mut Sheet) {
        sheet.queue(QueueName::Books, self.books.waiting(), self.books.room(), self.books.rejected());
        let store = self.store.load_full();
        let (busy, idle) = store.readers();
        for (state, connections) in [(Reader::Busy, busy), (Reader::Idle, idle)] {
            sheet.gauge_of(&families::SQLITE_READERS, &[state.label()], connections as f64);
        }
        let Room { database, wal, free, size } = store.room();
        sheet.gauge(&families::DATABASE_BYTES, database as f64);
        sheet.gauge(&families::WAL_BYTES, wal as f64);
        sheet.gauge(&families::DISK_FREE, free as f64);
        sheet.gauge(&families::DISK_SIZE, size as f64);
    }

    /// A failure of the store as the peer may see it; the cause stands in the log, and is counted.
    pub fn unavailable(&self, error: &StoreError) -> Problem {
        unavailable(error, &self.faults)
    }

    /// At least those of `ids` that there are, of the state at a moment since this was called. What comes
    /// while another such read is under way shares the next statement.
    pub async fn books(&self, ids: Vec<BookId>) -> Books {
        if self.are_wrong() {
            return Err(self.behind());
        }
        self.books.submit(ids).await.unwrap_or_else(|_| Err(ErrorCode::Unavailable.into()))
    }

    /// Whether the rows of this replica are known not to be the master's. It answers nothing then.
    pub fn are_wrong(&self) -> bool {
        matches!(&self.of, Of::Replica { wrong, .. } if wrong.load(Ordering::SeqCst))
    }

    pub fn set_wrong(&self, are_wrong: bool) {
        if let Of::Replica { wrong, .. } = &self.of {
            wrong.store(are_wrong, Ordering::SeqCst);
        }
    }

    /// Whether what was read just now is the master's word. Ask behind the read: it then was read before
    /// this master was sealed, so before anybody else could commit.
    pub fn is_master(&self) -> bool {
        matches!(&self.of, Of::Master(mastership) if mastership.leads())
    }

    /// The store to read from, once it has `minimum`.
    pub async fn at(&self, minimum: Option<Version>) -> Result<Arc<Store>, Problem> {
        if self.are_wrong() {
            return Err(self.behind());
        }
        let store = self.store.load_full();
        let Some(minimum) = minimum else { return Ok(store) };
        let reached = match &self.of {
            Of::Master(mastership) if mastership.leads() => true,
            Of::Master(_) => {
                store.position().await.map_err(|error| self.unavailable(&error))?.reaches(minimum)
            }
            Of::Replica { position, .. } => {
                let mut position = position.clone();
                let reached = position.wait_for(|position| position.reaches(minimum));
                matches!(tokio::time::timeout(WAIT_FOR_VERSION, reached).await, Ok(Ok(_)))
            }
        };
        match reached {
            // Loaded anew: while it was waited for, a snapshot may have taken the place of the file.
            true => Ok(self.store.load_full()),
            false => Err(self.behind()),
        }
    }

    fn behind(&self) -> Problem {
        if let Of::Replica { behind, .. } = &self.of {
            behind.inc();
        }
        ErrorCode::Behind.into()
    }

    /// The permission to export, which one may have at a time.
    pub fn exporting(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.exporting).try_acquire_owned().ok()
    }

    /// Reads go to another file from now on.
    pub fn swap(&self, store: Store) -> Arc<Store> {
        self.store.swap(Arc::new(store))
    }

    pub async fn close(&self) {
        Store::clone(&self.store.load_full()).close().await;
    }
}

/// One statement for all of these readers.
async fn read_together(store: Arc<Store>, readers: Vec<Vec<BookId>>, faults: StoreFaults) -> Vec<Books> {
    let count = readers.len();
    let read =
        store.books(&readers.concat()).await.map(Arc::new).map_err(|error| unavailable(&error, &faults));
    vec![read; count]
}

fn unavailable(error: &StoreError, faults: &StoreFaults) -> Problem {
    faults.failed(error.fault());
    log::error!("the store failed: {error}");
    ErrorCode::Unavailable.into()
}
