//! A batch of requests: decided, fenced, committed, and handed to the acknowledger.
//!
//! Invariant: after a fence only COMMIT can follow, unless another epoch has begun.

use super::acknowledger::Committed;
use super::queue::Write;
use super::{WriterTask, cause};
use crate::abort;
use crate::catalog::holders::MAX_FENCE_KEYS;
use crate::catalog::{CatalogError, recipe};
use crate::clock;
use crate::coherence::touched_keys;
use crate::domain::{Outcome, Request, Version};
use crate::store::{Prepared, StoreError};
use crate::wire::{ErrorCode, Problem};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

impl WriterTask {
    pub(super) async fn write(&mut self, batch: Vec<Write>) -> Result<(), CatalogError> {
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
        let _ = self.committed.send(Committed { version, replies, import: None }).await;
        Ok(())
    }

    /// Why requests have no outcome. They were not written, or it is not known: safe to repeat, and where
    /// this is no master any more, somewhere else.
    pub(super) fn why_not(&self) -> Problem {
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
            abort::point(abort::BEFORE_PREPARE);
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
    pub(super) async fn commit(&mut self, prepared: Prepared) -> Result<bool, StoreError> {
        abort::point(abort::PREPARED);
        let Some(record) = prepared.record else { return Ok(true) };
        let mut keys = BTreeSet::new();
        for touched in &prepared.touched {
            touched_keys(touched.before.as_ref(), touched.after.as_ref(), &mut keys);
            if keys.len() > MAX_FENCE_KEYS {
                // Too many to name: everything is announced, and the rest need not be found out.
                break;
            }
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
