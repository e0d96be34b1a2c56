//! Reads of a catalog node: each answer names the version of the state that it was read from.
//!
//! A master answers with what it has committed, whatever minimum is asked for: a version that is only
//! fenced has been seen by nobody. A replica that is behind waits a moment, then says so.

use crate::domain::Version;
use crate::store::{Store, StoreError};
use crate::wire::{ErrorCode, Problem};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a replica waits for a version that it lacks: a record is on its way for about a millisecond,
/// and asking the master instead costs about as much.
const WAIT_FOR_VERSION: Duration = Duration::from_millis(5);

pub struct Reads {
    store: ArcSwap<Store>,
    /// How far a replica is; `None` at the master.
    position: Option<watch::Receiver<Version>>,
}

impl Reads {
    pub fn of_master(store: Store) -> Self {
        Self { store: ArcSwap::from_pointee(store), position: None }
    }

    pub fn of_replica(store: Store, position: watch::Receiver<Version>) -> Self {
        Self { store: ArcSwap::from_pointee(store), position: Some(position) }
    }

    /// The store to read from, once it has `minimum`.
    pub async fn at(&self, minimum: Option<Version>) -> Result<Arc<Store>, Problem> {
        if let (Some(position), Some(minimum)) = (&self.position, minimum) {
            let mut position = position.clone();
            let reached = position.wait_for(|position| position.reaches(minimum));
            if !matches!(tokio::time::timeout(WAIT_FOR_VERSION, reached).await, Ok(Ok(_))) {
                return Err(ErrorCode::Behind.into());
            }
        }
        Ok(self.store.load_full())
    }

    /// Reads go to another file from now on.
    pub fn swap(&self, store: Store) -> Arc<Store> {
        self.store.swap(Arc::new(store))
    }

    pub async fn close(&self) {
        Store::clone(&self.store.load_full()).close().await;
    }
}

/// A store's failure as the peer may see it; the cause stands in the log.
pub fn unavailable(error: &StoreError) -> Problem {
    log::error!("the store failed: {error}");
    ErrorCode::Unavailable.into()
}
