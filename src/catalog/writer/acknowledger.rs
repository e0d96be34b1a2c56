//! Lets answers out, in the order of their versions, while the writer is at the next batch.
//!
//! Invariant: no answer goes out before all that it rests on is replicated as `--ack` says.

use super::queue::{ImportReply, PartAnswer, Reply};
use crate::abort;
use crate::catalog::account::Account;
use crate::catalog::feed::Feed;
use crate::domain::{Outcome, Version};
use crate::metrics::Timed;
use crate::telemetry::trace::{self, Context};
use crate::wire::Problem;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches that are committed and not yet acknowledged.
pub(super) const UNACKNOWLEDGED: usize = 16;

/// A batch on its way to its buyers.
pub(super) struct Committed {
    pub(super) version: Version,
    pub(super) replies: Vec<(Reply, Result<Vec<Outcome>, Problem>)>,
    pub(super) import: Option<(ImportReply, PartAnswer)>,
    /// Of the batch, whose span ends when all have their answers.
    pub(super) context: Context,
}

/// The task that lets answers out.
pub(super) struct Acknowledger {
    committed: mpsc::Receiver<Committed>,
    feed: Arc<Feed>,
    account: Arc<Account>,
}

/// The way to the acknowledger, and its task.
pub(super) fn new(feed: Arc<Feed>, account: Arc<Account>) -> (mpsc::Sender<Committed>, Acknowledger) {
    let (committed, to_acknowledge) = mpsc::channel(UNACKNOWLEDGED);
    (committed, Acknowledger { committed: to_acknowledge, feed, account })
}

impl Acknowledger {
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.committed.recv().await {
            let replicated = trace::within("replicate", Vec::new, self.feed.replicated(batch.version));
            let replicated = trace::part_of(batch.context.clone(), replicated);
            let Timed { value: acknowledged, took } = Timed::of(replicated).await;
            self.account.writes.replication_took(took);
            abort::point(abort::REPLICATED);
            if let Some((reply, outcome)) = batch.import {
                let _ = reply.send(acknowledged.clone().and(outcome));
            }
            for (reply, outcomes) in batch.replies {
                // Deposed: whether the new master has it is not known here, but there, under its key.
                let outcomes = acknowledged.clone().and(outcomes);
                if let Ok(outcomes) = &outcomes {
                    self.account.acknowledged(outcomes);
                }
                // Who asked may have gone; that cancels nothing.
                let _ = reply.send(outcomes);
                abort::point(abort::ACKNOWLEDGING);
            }
            trace::end(&batch.context);
        }
    }
}
