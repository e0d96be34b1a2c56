//! A batch of requests: decided, fenced, committed, and handed to the acknowledger.
//!
//! Invariant: nothing is committed before everybody has acknowledged its fence. A batch is fenced while its
//! statements run, as soon as it is decided which books it touches; should they fail, it was announced for
//! nothing. That raises floors, which is always safe, and whatever has its version later is fenced for itself.

use super::acknowledger::Committed;
use super::queue::Write;
use super::{Behind, WriterTask, cause};
use crate::abort;
use crate::catalog::account::Announced;
use crate::catalog::holders::MAX_FENCE_KEYS;
use crate::catalog::{CatalogError, recipe};
use crate::clock;
use crate::coherence::{Key, touched_keys};
use crate::domain::{Outcome, Request, Version};
use crate::metrics::{StoreFault, Timed};
use crate::recipe::Recipe;
use crate::store::{Decided, StoreError};
use crate::telemetry::trace::Context;
use crate::telemetry::{self, trace};
use crate::wire::{ErrorCode, Problem};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

impl WriterTask {
    pub(super) async fn write(&mut self, batch: Vec<Write>) -> Result<(), CatalogError> {
        let context = telemetry::span_of("batch", batch.iter().flat_map(|write| &write.carried));
        match context {
            None => self.write_batch(batch).await,
            Some(context) => trace::part_of(context, self.write_batch(batch)).await,
        }
    }

    async fn write_batch(&mut self, batch: Vec<Write>) -> Result<(), CatalogError> {
        let mut requests = Vec::new();
        let mut jobs = Vec::with_capacity(batch.len());
        for Write { requests: asked, reply, .. } in batch {
            jobs.push((reply, asked.len()));
            requests.extend(asked);
        }
        let (outcomes, version) = self.decide(&requests).await?;
        if trace::is_traced() {
            trace::note("bazar.batch.size", i64::try_from(requests.len()).unwrap_or(i64::MAX));
            trace::note("bazar.version", version.public().to_string());
        }
        let mut outcomes = outcomes.into_iter();
        let replies = jobs
            .into_iter()
            .map(|(reply, count)| {
                let outcomes: Option<Vec<Outcome>> = outcomes.by_ref().take(count).collect();
                (reply, outcomes.ok_or_else(|| self.why_not()))
            })
            .collect();
        // The acknowledger outlives this task, which holds its only sender.
        let context = Context::current();
        let _ = self.committed.send(Committed { version, replies, import: None, context }).await;
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
            let begun = Instant::now();
            let deciding = self.store.decide(&requests[range.clone()], clock::wall_ms(), forget);
            let written = match trace::within("decide", trace::sqlite, deciding).await {
                Ok(decided) => self.write_and_fence(decided).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(fenced) => {
                    let (decided, at) = (fenced.batch.outcomes.clone(), fenced.batch.version);
                    match self.commit(fenced).await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error @ StoreError::Full(_)) => {
                            log::error!("a batch could not be committed: {}", cause(&error));
                            break;
                        }
                        Err(error) => return Err(CatalogError::Commit(error)),
                    }
                    self.behind.account.writes.committed(range.len(), begun);
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
                    self.behind.account.writes.faults.failed(StoreFault::Constraint);
                    log::error!("a request broke a constraint of the store: {cause}");
                    outcomes[range.start] = Some(Outcome::Rejected);
                }
                // The state of the file is unknown: the next start reads what is there.
                Err(error) if error.ends_writer() => return Err(self.failed(error).into()),
                Err(error) => {
                    log::error!("a batch could not be written: {}", cause(&self.failed(error)));
                    break;
                }
            }
        }
        Ok((outcomes, version))
    }

    /// Runs the statements of a decided batch, and fences it meanwhile.
    async fn write_and_fence(&mut self, batch: Decided) -> Result<Fenced, StoreError> {
        abort::point(abort::PREPARED);
        let Some(record) = &batch.record else { return Ok(Fenced { batch, after: Vec::new() }) };
        let (before, after) = announcements(self.behind.recipe, &batch);
        let fence = announce(&self.behind, record.version, before);
        let writing = trace::within("write", trace::sqlite, self.store.write(record));
        let (written, fenced) = tokio::join!(Timed::of(writing), fence);
        if let Some(took) = fenced {
            self.behind.account.writes.waited_for_fence(took.saturating_sub(written.took));
        }
        written.value?;
        Ok(Fenced { batch, after })
    }

    /// Fences a batch whose statements have run.
    pub(super) async fn fence(&self, batch: Decided) -> Fenced {
        abort::point(abort::PREPARED);
        let (before, after) = announcements(self.behind.recipe, &batch);
        if let Some(record) = &batch.record
            && let Some(took) = announce(&self.behind, record.version, before).await
        {
            self.behind.account.writes.waited_for_fence(took);
        }
        Fenced { batch, after }
    }

    /// Commits. Returns false where another epoch has begun meanwhile: then nothing is left of the batch. (It
    /// was announced, so nobody serves what is older from a cache; that costs misses.)
    pub(super) async fn commit(&mut self, Fenced { batch, after }: Fenced) -> Result<bool, StoreError> {
        let Some(record) = batch.record else { return Ok(true) };
        abort::point(abort::FENCED);
        if self.behind.mastership.deposed_by().is_some() {
            self.store.rollback().await?;
            return Ok(false);
        }
        self.may_draw_again = false;
        let committed = Timed::of(trace::within("commit", trace::sqlite, self.store.commit())).await;
        self.behind.account.writes.commit_took(committed.took);
        committed.value.map_err(|error| self.failed(error))?;
        self.behind.account.committed(&batch.touched);
        abort::point(abort::COMMITTED);
        let version = record.version;
        self.behind.publish(record);
        abort::point(abort::PUBLISHED);
        announce(&self.behind, version, after).await;
        Ok(true)
    }
}

/// Announces `keys`, if there are any, and says how long that took.
async fn announce(behind: &Behind, version: Version, keys: Vec<Key>) -> Option<Duration> {
    if keys.is_empty() {
        return None;
    }
    let announced = Announced::of(&keys);
    let fence = async {
        let fenced = behind.leases.fence(version, keys).await;
        trace::note("bazar.fence.holders", i64::try_from(fenced.holders).unwrap_or(i64::MAX));
        fenced
    };
    let Timed { value: fenced, took } = Timed::of(trace::within("fence", Vec::new, fence)).await;
    behind.account.fenced(version, announced, fenced, took);
    Some(took)
}

/// A batch whose statements have run, and which is announced to everybody.
pub(super) struct Fenced {
    pub(super) batch: Decided,
    /// What a recipe announces behind the commit.
    after: Vec<Key>,
}

/// What is announced before the commit of `batch`, and what after it.
fn announcements(recipe: Option<Recipe>, batch: &Decided) -> (Vec<Key>, Vec<Key>) {
    let mut keys = BTreeSet::new();
    for touched in &batch.touched {
        touched_keys(touched.before.as_ref(), touched.after.as_ref(), &mut keys);
        if keys.len() > MAX_FENCE_KEYS {
            // Too many to name: everything is announced, and the rest need not be found out.
            break;
        }
    }
    recipe::announcements(recipe, keys.into_iter().collect())
}
