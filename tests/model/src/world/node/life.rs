//! Starts, ends and handovers of a catalog node, and what happens to its data in between.

use super::{Master, Node, Phase, Process, Replica};
use crate::coherence::mastership::{Past, Permission, Refused, may_start, not_before};
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{Holders, InSync, Met};
use crate::domain::{Epoch, NodeId, Version};
use crate::world::net::Msg;
use crate::world::rows::Body;
use crate::world::{Seen, World};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

impl World {
    pub(super) fn rewound(&mut self, node: usize, words: &str) {
        self.fault(Seen::AFTER_REWIND);
        // Only a master's data is the truth.
        Arc::make_mut(&mut self.oracle).excuse();
        self.node(node).disk.rewound = true;
        let words = words.to_string();
        self.say(&self.node_name(node), || words);
    }

    pub fn start_as_master(&self, node: usize, force: bool) -> Result<Permission, Refused> {
        let disk = &self.nodes[node].disk;
        let past = Past {
            epoch: disk.synced.version.epoch,
            last_master: disk.synced.last_master(),
            sealed_for: disk.synced.sealed_for(),
            deposed_by: disk.deposed_by,
            fresh: disk.synced.last_master().is_none(),
        };
        // Fresh data could start as a master beside another one, but nobody would ask for that.
        let led = |other: &Arc<Node>| {
            let (id, head) = (other.disk.node, &other.disk.seen);
            head.last_master() == Some(id) || head.sealed_for() == Some(id)
        };
        let another = self.nodes.iter().enumerate().any(|(n, other)| n != node && led(other));
        let fresh = node != 0 && past.last_master.is_none();
        if !force && (fresh || (disk.rewound && another)) {
            return Err(Refused::OfReplica { master: NodeId(1) });
        }
        may_start(&past, disk.node, force, self.nodes[node].met.highest())
    }

    pub fn start_master(&mut self, node: usize, force: bool) {
        let again = force && self.nodes[node].met.deposed_by().is_some();
        let Ok(permission) = self.start_as_master(node, force) else { return };
        let now = self.node_now(node);
        let terms = &self.setup.terms_ms;
        let term_ms = *terms.get(self.starts as usize).or(terms.last()).unwrap_or(&1000);
        self.starts += 1;
        let identity = if kept(Rule::EpochHasAnIdentity) { self.draw() } else { 7 };
        let in_set = self.forced_member(node);
        let it = self.node(node);
        let head = Arc::clone(&it.disk.synced);
        let number = permission.above.max(head.version.epoch.number) + 1;
        let epoch = Epoch { number, identity };
        let version = Version::new(epoch, head.version.seq + 1);
        let recorded = head.longest_open_lease_ms(!kept(Rule::StartWaitsForTheLongestLease));
        // What this file does not know of: the life before it was wiped or restored.
        let own = if kept(Rule::StartWaitsForItsOwnTerm) { term_ms } else { 0 };
        let recorded = Duration::from_millis(recorded.max(own));
        // Whoever starts after this one waits for what this one waits for.
        let waits_ms = u64::try_from(permission.at_least.as_millis()).unwrap_or(u64::MAX);
        let term_recorded = term_ms.max(waits_ms);
        let Some(state) = head.then(version, Body::Start { term_ms: term_recorded, node: it.disk.node })
        else {
            return;
        };
        it.disk.write(Arc::clone(&state), true);
        it.disk.deposed_by = None;
        it.met.lead(epoch);
        it.life += 1;
        it.process = Process::Master(Box::new(Master {
            start: version,
            by_force: force,
            wrote: false,
            sealed: false,
            holders: Holders::new(version, Duration::from_millis(term_ms)),
            not_before: not_before(now, recorded, permission),
            queue: Vec::new(),
            phase: Phase::Idle,
            unacknowledged: VecDeque::new(),
            links: BTreeMap::new(),
            drawn_links: 0,
            back_offs: BTreeMap::new(),
            in_sync: InSync::new(version.seq - 1, &it.disk.in_sync.clone()),
        }));
        if self.starts > 1 {
            self.fault(if force { Seen::AFTER_FORCE } else { Seen::AFTER_RESTART });
        }
        let how = if force { " by force" } else { "" };
        self.say(&self.node_name(node), || format!("starts{how}: epoch {number}"));
        let oracle = Arc::make_mut(&mut self.oracle);
        if force {
            oracle.forced(epoch);
        }
        // An operator was told what may be lost; one that draws again by itself was not.
        if force && !in_set && !again {
            oracle.excuse();
        }
        let verdict = oracle.begins(&state).and_then(|()| oracle.committed(&state));
        self.judge(verdict);
        self.deposed(node);
    }

    /// Whether some master's own record says that this node has everything acknowledged.
    fn forced_member(&self, node: usize) -> bool {
        let id = self.nodes[node].disk.node;
        self.nodes.iter().any(|other| other.disk.in_sync.contains(&id))
    }

    pub fn start_replica(&mut self, node: usize) {
        let it = self.node(node);
        it.life += 1;
        it.process = Process::Replica(Replica { following: false, behind: false, master: 0 });
        self.say(&self.node_name(node), || "starts".into());
    }

    pub(super) fn stop_node(&mut self, node: usize, power: bool) {
        let who = self.node_name(node);
        if power {
            self.left.power_cuts -= 1;
        } else if self.nodes[node].master().is_some() {
            self.left.master_stops -= 1;
        } else {
            self.left.replica_stops -= 1;
        }
        self.kill(node, power);
        self.say(&who, || if power { "loses its power" } else { "is killed" }.into());
    }

    pub fn kill(&mut self, node: usize, power: bool) {
        let life = self.nodes[node].life;
        let it = self.node(node);
        it.process = Process::Down;
        it.met = Met::default();
        if power {
            it.disk.seen = Arc::clone(&it.disk.synced);
        } else {
            // The kernel writes what a killed process wrote.
            it.disk.synced = Arc::clone(&it.disk.seen);
        }
        self.hang_up(|msg| match msg {
            Msg::ProbeAnswer { node: n, life: l, .. }
            | Msg::Probe { node: n, life: l, .. }
            | Msg::FenceAnswer { node: n, life: l, .. }
            | Msg::Standing { to: n, life: l, .. }
            | Msg::LogPage { to: n, life: l, .. }
            | Msg::Snapshot { to: n, life: l, .. }
            | Msg::Pushed { to: n, life: l, .. } => (*n, *l) == (node, life),
            Msg::HalfRead { node: n, .. } => *n == node,
            _ => false,
        });
    }

    /// The process learned that it is deposed: it writes that down, and goes on as a node that is no
    /// master.
    pub(super) fn deposed(&mut self, node: usize) {
        let it = &self.nodes[node];
        let Some(by) = it.met.deposed_by() else { return };
        if let Some(master) = it.master()
            && master.by_force
            && !master.wrote
        {
            return self.start_master(node, true);
        }
        if it.master().is_none() || it.disk.deposed_by == Some(by) {
            return;
        }
        let first = it.disk.deposed_by.is_none();
        self.node(node).disk.deposed_by = Some(by);
        if kept(Rule::DeposedStopsAcknowledging) {
            let version = self.nodes[node].disk.seen.version;
            let queue = self.node(node).master_mut().map(|master| std::mem::take(&mut master.queue));
            for job in queue.into_iter().flatten() {
                self.node_send(node, Msg::Bought { op: job.op, outcome: None, version, by: version.epoch });
            }
        }
        self.seen.0 |= Seen::DEPOSED;
        if first {
            self.say(&self.node_name(node), || format!("learns that epoch {} has replaced it", by.number));
        }
    }

    pub(super) fn hand_over(&mut self, node: usize, to: usize) {
        self.left.handovers -= 1;
        self.fault(Seen::AFTER_HANDOVER);
        let heir = self.nodes[to].disk.node;
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let head = Arc::clone(&it.disk.seen);
        let Some(state) = head.then(head.version.next(), Body::Seal { heir }) else { return };
        master.sealed = true;
        master.wrote |= kept(Rule::SealEndsDrawingAgain);
        it.disk.write(Arc::clone(&state), true);
        for link in master.links.values_mut() {
            link.queue.push(Arc::clone(&state));
        }
        self.say(&self.node_name(node), || {
            format!("seals its log at {} for replica {to}", state.version.public())
        });
        let verdict = Arc::make_mut(&mut self.oracle).committed(&state);
        self.judge(verdict);
    }
}
