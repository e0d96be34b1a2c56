//! From a queue of purchases and edits to their answers: `catalog/writer.rs`.

use super::{Committed, Job, Phase, Prepared, Process, Replies, SYNC_DEADLINE};
use crate::coherence::lease::Announced;
use crate::coherence::rule::{Rule, kept};
use crate::coherence::touched_keys;
use crate::domain::{Book, Epoch, Ledger, Outcome, Request};
use crate::world::World;
use crate::world::net::Msg;
use crate::world::oracle::{DEPOSED, LOST, Violation};
use crate::world::rows::{Body, digest_of};
use std::collections::BTreeSet;
use std::sync::Arc;

impl World {
    pub(super) fn queue(&mut self, node: usize, op: usize, request: &Request) {
        if !self.nodes[node].writes() {
            let version = self.nodes[node].disk.seen.version;
            self.node_send(node, Msg::Bought { op, outcome: None, version, by: version.epoch });
            return;
        }
        let digest = digest_of(&(op, format!("{request:?}")));
        if let Some(master) = self.node(node).master_mut() {
            master.queue.push(Job { op, request: request.clone(), digest });
        }
    }

    pub(super) fn batch(&mut self, node: usize) {
        let head = Arc::clone(&self.nodes[node].disk.seen);
        let Some(master) = self.node(node).master_mut() else { return };
        let jobs = std::mem::take(&mut master.queue);
        let version = head.version.next();
        let rows = match (kept(Rule::DecidedOnTheLatestRows), &head.previous) {
            (false, Some(previous)) => &previous.rows,
            _ => &head.rows,
        };
        let books: BTreeSet<_> = jobs.iter().filter_map(|job| job.request.book_id()).collect();
        let books: Vec<Book> = books.iter().filter_map(|id| rows.books.get(id).cloned()).collect();
        let keys: BTreeSet<_> = jobs.iter().filter_map(|job| job.request.key()).collect();
        let answers = keys.iter().filter_map(|key| head.rows.answers.get(*key).cloned()).collect();
        let next_id = head.rows.books.keys().last().map_or(1, |id| id.get() + 1);
        let mut ledger = Ledger::new(version, 0, next_id, books, answers);
        let replies: Vec<(usize, Outcome)> =
            jobs.iter().map(|job| (job.op, ledger.decide(&job.request))).collect();
        let replies = Replies::new(replies);
        let (mut batch, touched) = ledger.finish();
        if !kept(Rule::AnswersAreStored) {
            batch.answers.clear();
        }
        if !kept(Rule::RefusalsAreStored) {
            batch.answers.retain(|answer| answer.outcome.is_ok());
        }
        if batch.is_empty() {
            let version = head.version;
            self.acknowledge_later(node, Committed { version, replies, deadline: None });
            return;
        }
        let mut keys = BTreeSet::new();
        for touched in &touched {
            touched_keys(touched.before.as_ref(), touched.after.as_ref(), &mut keys);
        }
        let Some(state) = head.then(version, Body::Batch(batch)) else {
            self.judge(Err(Violation {
                promise: LOST,
                words: "the rows of a record do not fit the file".into(),
            }));
            return;
        };
        let no_keys = keys.is_empty();
        let keys = Announced::Keys(keys.into_iter().collect());
        let batch = Prepared { state, keys, replies, committed: false };
        let words = format!("prepares {}", version.public());
        self.say(&self.node_name(node), || words);
        let late_fence = !kept(Rule::FenceBeforeCommit) || !kept(Rule::NotWriteThenDelete);
        let Some(master) = self.node(node).master_mut() else { return };
        if no_keys || late_fence || !kept(Rule::NotTtlOnly) {
            master.phase = Phase::Ready { batch };
        } else {
            let targets = master.holders.held().map(|(holder, ..)| holder).collect();
            master.phase = Phase::Listed { batch, targets };
            if kept(Rule::HolderListAtTheFence) {
                self.send_fence(node);
            }
        }
    }

    pub(super) fn commit(&mut self, node: usize) {
        if !self.nodes[node].writes() {
            // Harsher than the store, which rolls back and answers reads as a replica would.
            let who = self.node_name(node);
            self.kill(node, false);
            self.say(&who, || "is deposed, and ends instead of committing".into());
            return;
        }
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let Phase::Ready { batch } = std::mem::replace(&mut master.phase, Phase::Idle) else { return };
        master.wrote = true;
        it.disk.write(Arc::clone(&batch.state), kept(Rule::CommitIsDurable));
        for link in master.links.values_mut() {
            link.queue.push(Arc::clone(&batch.state));
        }
        let version = batch.state.version;
        self.say(&self.node_name(node), || format!("commits {}", version.public()));
        let verdict = Arc::make_mut(&mut self.oracle).committed(&batch.state);
        self.judge(verdict);
        let late_fence = !kept(Rule::FenceBeforeCommit) || !kept(Rule::NotWriteThenDelete);
        if late_fence {
            let Some(master) = self.node(node).master_mut() else { return };
            let targets = master.holders.held().map(|(holder, ..)| holder).collect();
            master.phase = Phase::Listed { batch: Prepared { committed: true, ..batch }, targets };
            self.send_fence(node);
        } else {
            let Prepared { replies, .. } = batch;
            self.acknowledge_later(node, Committed { version, replies, deadline: None });
        }
    }

    /// Whoever is in the batch is told that the outcome is unknown, which tells nobody anything.
    pub(super) fn refuse(&mut self, node: usize) {
        self.left.refusals -= 1;
        let Some(master) = self.node(node).master_mut() else { return };
        let Phase::Ready { batch } = std::mem::replace(&mut master.phase, Phase::Idle) else { return };
        let words = format!("cannot write {}, and rolls it back", batch.state.version.public());
        self.say(&self.node_name(node), || words);
    }

    pub(super) fn acknowledge_later(&mut self, node: usize, batch: Committed) {
        let deadline = self.node_now(node).after(SYNC_DEADLINE);
        let Some(master) = self.node(node).master_mut() else { return };
        master.unacknowledged.push_back(batch);
        if let Some(first) = master.unacknowledged.front_mut() {
            first.deadline.get_or_insert(deadline);
        }
    }

    pub(super) fn acknowledge(&mut self, node: usize) {
        let deposed = self.nodes[node].met.deposed_by().is_some() && kept(Rule::DeposedStopsAcknowledging);
        let next_deadline = self.node_now(node).after(SYNC_DEADLINE);
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let Some(batch) = master.unacknowledged.front() else { return };
        let seq = batch.version.seq;
        if kept(Rule::ReplicatedBeforeAcknowledging) {
            for replica in master.in_sync.missing(seq) {
                master.drop_replica(replica, next_deadline);
            }
        }
        if kept(Rule::ReplicatedBeforeAcknowledging) {
            master.in_sync.acknowledged(seq);
        }
        // Before the first acknowledgement that does not wait for who has left.
        let members = master.in_sync.members();
        if members.is_superset(&it.disk.in_sync) || kept(Rule::LeavingTheSetIsDurable) {
            it.disk.in_sync = members;
        }
        let Some(batch) = master.unacknowledged.pop_front() else { return };
        if let Some(next) = master.unacknowledged.front_mut() {
            next.deadline = Some(next_deadline);
        }
        let by = self.nodes[node].master().map(|master| master.start.epoch).unwrap_or(Epoch::GENESIS);
        for (op, outcome) in batch.replies.replies {
            if !deposed && let Outcome::Purchase { answer, .. } = &outcome {
                let verdict = Arc::make_mut(&mut self.oracle).acknowledged(op, *answer, by);
                self.judge(verdict);
            }
            if !deposed && self.nodes[node].met.deposed_by().is_some() {
                let words = "a master that has met its successor acknowledges a batch".into();
                self.judge(Err(Violation { promise: DEPOSED, words }));
            }
            let outcome = (!deposed).then(|| Box::new(outcome));
            self.node_send(node, Msg::Bought { op, outcome, version: batch.version, by });
        }
        if !deposed {
            self.say(&self.node_name(node), || format!("acknowledges {}", batch.version.public()));
        }
    }
}
