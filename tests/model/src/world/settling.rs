//! The end of a run, from which on nothing goes wrong any more: everybody gets an answer.

use crate::world::node::{Node, Process};
use crate::world::oracle::{STUCK, Violation};
use crate::world::{Action, Deed, Left, MS, SETTLED_BY, World};

impl World {
    /// The fair continuation: no more faults, every message arrives, everybody does the next thing. Returns
    /// what is wrong if somebody is still waiting after a while, or a promise is broken on the way.
    pub fn settle(&mut self) -> Result<(), Violation> {
        let plenty = u16::MAX;
        self.left = Left { asks: plenty, reports: plenty, ticks: plenty, retries: plenty, ..Left::default() };
        self.settling = Some(self.now);
        let mut rounds = 0;
        while !(self.is_calm() && self.net.is_empty()) {
            rounds += 1;
            if let Some(violation) = &self.violation {
                return Err(violation.clone());
            }
            if rounds > SETTLED_BY {
                return Err(Violation { promise: STUCK, words: self.who_waits() });
            }
            self.operate(rounds > SETTLED_BY / 8);
            match self.fair_action() {
                Some(action) => {
                    // Who tries again has waited a little.
                    if matches!(action, Action::Retry { .. } | Action::Announce { .. }) {
                        self.advance(self.now + 25 * MS);
                    }
                    self.step(&action);
                }
                None => self.advance(self.now + 50 * MS),
            }
            if rounds % 50 == 0 {
                self.look_around();
            }
        }
        self.violation.clone().map_or(Ok(()), Err)
    }

    pub(super) fn who_waits(&self) -> String {
        let mut who: Vec<String> = Vec::new();
        who.extend(
            self.ops
                .iter()
                .enumerate()
                .filter(|(_, op)| op.begun && !op.done)
                .map(|(n, _)| format!("customer {n}")),
        );
        for (n, front) in self.fronts.iter().enumerate() {
            who.extend(
                front.reads.iter().map(|read| format!("a reader at {}: {read}", World::front_name(n))),
            );
        }
        who.extend(self.net.iter().map(|sealed| format!("the message \"{}\"", sealed.envelope.msg.words())));
        format!("still waiting: {}", who.join(", "))
    }

    /// Now and then replicas report, and frontends ask for what they lack.
    pub(super) fn look_around(&mut self) {
        let mut actions = Vec::new();
        self.enabled(&mut actions);
        let leased = |front: usize| {
            self.fronts[front].session.held().is_some_and(|lease| lease.valid_at(self.front_now(front)))
        };
        actions.retain(|action| match action {
            Action::Report { .. } => true,
            Action::Ask { front } => !leased(*front),
            _ => false,
        });
        actions.iter().for_each(|action| self.step(action));
    }

    /// What a careful operator does: starts the master, or its heir; by force only when nothing else helps.
    pub(super) fn operate(&mut self, at_a_loss: bool) {
        if self.nodes.iter().any(|node| node.reigns()) {
            return;
        }
        let mine = |node: &Node| node.disk.seen.sealed_for() == Some(node.disk.node);
        let down = |node: &Node| matches!(node.process, Process::Down);
        let may_start = |node: usize| self.start_as_master(node, false).is_ok();
        let heir = (0..self.nodes.len()).find(|&node| mine(&self.nodes[node]) && may_start(node));
        let next =
            heir.or_else(|| (0..self.nodes.len()).find(|&node| down(&self.nodes[node]) && may_start(node)));
        if let Some(node) = next {
            self.kill(node, false);
            self.start_master(node, false);
        } else if at_a_loss {
            self.kill(0, false);
            self.start_master(0, true);
        }
    }

    /// What happens next where nothing goes wrong: what is under way first, then time.
    pub(super) fn fair_action(&self) -> Option<Action> {
        let mut actions = Vec::new();
        self.enabled(&mut actions);
        let master_up = self.nodes.iter().any(|node| node.master().is_some());
        let rank = |action: &Action| match action {
            Action::Deliver { .. } => 0,
            Action::Look { .. }
            | Action::AskRedis { .. }
            | Action::Pick { .. }
            | Action::SendFence { .. }
            | Action::Commit { .. }
            | Action::Acknowledge { .. }
            | Action::Push { .. }
            | Action::PublishFloors { .. }
            | Action::Sync { .. }
            | Action::Batch { .. } => 1,
            Action::AskFails { .. }
            | Action::FlightFails { .. }
            | Action::PushFails { .. }
            | Action::FollowFails { .. }
            | Action::Retry { .. }
            | Action::Announce { .. } => 2,
            Action::StartReplica { .. } if master_up => 3,
            Action::StartFront { .. } => 3,
            _ => 9,
        };
        let rotated = |action: &Action| match action {
            // Not the same of several again and again.
            Action::Deliver { index, .. } => *index,
            _ => 0,
        };
        actions.retain(|action| rank(action) < 9);
        actions.into_iter().min_by_key(|action| (rank(action), rotated(action)))
    }

    /// Whether everybody who asked for something has an answer.
    pub fn is_calm(&self) -> bool {
        let repeats = |op: usize| matches!(self.setup.deeds[op], Deed::Buy(_));
        self.ops.iter().enumerate().all(|(n, op)| !op.begun || op.done || !repeats(n))
            && self.fronts.iter().all(|front| front.reads.is_empty())
    }
}
