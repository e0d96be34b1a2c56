//! What makes a process a member of the store: it knows the token, and it carries the highest epoch that
//! it has met with every internal request and answer.
//!
//! Invariant: whatever a member sends tells of every epoch that it was told of before.

use crate::coherence::Met;
use crate::domain::Epoch;
use crate::metrics::Calls;
use crate::token::InternalToken;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

/// One process's membership. Clones share what was met.
#[derive(Debug, Clone)]
pub struct Member(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    token: InternalToken,
    met: Mutex<Met>,
    /// The highest epoch met, for those who act on a change.
    highest: watch::Sender<Epoch>,
    /// Where its calls are counted: a command counts none.
    calls: Option<Calls>,
}

impl Member {
    pub fn new(token: InternalToken) -> Self {
        Self::with(token, None)
    }

    /// One whose calls to others are counted.
    pub fn counted(token: InternalToken, calls: Calls) -> Self {
        Self::with(token, Some(calls))
    }

    fn with(token: InternalToken, calls: Option<Calls>) -> Self {
        let highest = watch::channel(Epoch::GENESIS).0;
        Self(Arc::new(Inner { token, met: Mutex::default(), highest, calls }))
    }

    /// A member of a store of its own.
    #[cfg(test)]
    pub fn of_nothing() -> Self {
        Self::new(InternalToken::random())
    }

    pub fn token(&self) -> &InternalToken {
        &self.0.token
    }

    pub fn calls(&self) -> Option<&Calls> {
        self.0.calls.as_ref()
    }

    /// The highest epoch met.
    pub fn met(&self) -> Epoch {
        self.0.met.lock().highest()
    }

    /// The same, as it changes.
    pub fn watch(&self) -> watch::Receiver<Epoch> {
        self.0.highest.subscribe()
    }

    /// A message carried `epoch`.
    pub fn meet(&self, epoch: Epoch) {
        self.change(|met| {
            met.meet(epoch);
        });
    }

    /// This process leads `epoch` from now on.
    pub fn lead(&self, epoch: Epoch) {
        self.change(|met| met.lead(epoch));
    }

    /// The epoch that ended the one that this process leads.
    pub fn deposed_by(&self) -> Option<Epoch> {
        self.0.met.lock().deposed_by()
    }

    fn change(&self, change: impl FnOnce(&mut Met)) {
        let mut met = self.0.met.lock();
        let before = *met;
        change(&mut met);
        // Watchers of the highest one also learn of a twin, which changes nothing in that but deposes. With
        // the lock held, so that what they see last is the highest.
        if before != *met {
            self.0.highest.send_replace(met.highest());
        }
    }
}
