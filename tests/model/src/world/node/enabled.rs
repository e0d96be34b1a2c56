//! What can happen next at a catalog node.

use super::{Phase, Prepared, Process};
use crate::coherence::holders::Target;
use crate::coherence::rule::{Rule, kept};
use crate::world::net::Msg;
use crate::world::{Action, World};

impl World {
    pub fn enabled_node(&self, node: usize, actions: &mut Vec<Action>) {
        let it = &*self.nodes[node];
        match &it.process {
            Process::Down => self.enabled_down(node, actions),
            Process::Master(master) => {
                let now = self.node_now(node);
                if it.writes()
                    && !master.queue.is_empty()
                    && master.phase == Phase::Idle
                    && now >= master.not_before
                {
                    actions.push(Action::Batch { node });
                }
                match &master.phase {
                    Phase::Ready { .. } => {
                        actions.push(Action::Commit { node });
                        if self.left.refusals > 0 {
                            actions.push(Action::Refuse { node });
                        }
                    }
                    Phase::Listed { .. } => actions.push(Action::SendFence { node }),
                    Phase::Fencing { batch, targets, .. } => {
                        self.enabled_announce(node, batch, targets, actions)
                    }
                    Phase::Idle => {}
                }
                if let Some(batch) = master.unacknowledged.front() {
                    let missing = !master.in_sync.missing(batch.version.seq).is_empty()
                        && kept(Rule::ReplicatedBeforeAcknowledging);
                    let late = batch.deadline.is_some_and(|deadline| now >= deadline);
                    if !missing || late {
                        actions.push(Action::Acknowledge { node });
                    }
                }
                for (&to, link) in &master.links {
                    let life = it.life;
                    let under_way = |msg: &Msg| {
                        matches!(msg,
                        Msg::Push { from, life: l, link: n, .. } if (*from, *l, *n) == (node, life, link.number))
                            || matches!(msg,
                        Msg::Pushed { to, life: l, link: n, .. } if (*to, *l, *n) == (node, life, link.number))
                    };
                    if link.in_flight && !self.under_way(under_way) {
                        actions.push(Action::PushFails { node, to });
                    }
                    if !link.in_flight && (!link.greeted || !link.queue.is_empty()) {
                        actions.push(Action::Push { node, to });
                    }
                }
                let idle = master.phase == Phase::Idle && master.queue.is_empty() && now >= master.not_before;
                if self.left.handovers > 0 && it.writes() && idle {
                    for to in 0..self.nodes.len() {
                        let member = master.in_sync.is_member(self.nodes[to].disk.node);
                        if to != node && member {
                            actions.push(Action::Handover { node, to });
                        }
                    }
                }
                if self.left.master_stops > 0 {
                    actions.push(Action::StopNode { node, power: false });
                }
            }
            Process::Replica(replica) => {
                if !replica.following && (self.left.reports > 0 || replica.behind) {
                    actions.push(Action::Report { node });
                }
                let life = it.life;
                let under_way = |msg: &Msg| match msg {
                    Msg::Report { from, life: l, .. }
                    | Msg::LogAsk { from, life: l, .. }
                    | Msg::SnapshotAsk { from, life: l, .. } => (*from, *l) == (node, life),
                    Msg::Standing { to, life: l, .. }
                    | Msg::LogPage { to, life: l, .. }
                    | Msg::Snapshot { to, life: l, .. } => (*to, *l) == (node, life),
                    _ => false,
                };
                if replica.following && !self.under_way(under_way) {
                    actions.push(Action::FollowFails { node });
                }
                if self.left.replica_stops > 0 {
                    actions.push(Action::StopNode { node, power: false });
                }
            }
        }
        if !matches!(it.process, Process::Down) {
            if it.disk.seen != it.disk.synced {
                actions.push(Action::Sync { node });
            }
            if self.left.power_cuts > 0 {
                actions.push(Action::StopNode { node, power: true });
            }
            if self.left.backups > 0 && it.disk.backup.is_none() {
                actions.push(Action::Backup { node });
            }
        }
    }

    fn enabled_down(&self, node: usize, actions: &mut Vec<Action>) {
        if self.start_as_master(node, false).is_ok() {
            actions.push(Action::StartMaster { node, force: false });
        } else {
            actions.push(Action::StartReplica { node });
        }
        let nobody_else =
            (0..self.nodes.len()).all(|other| other == node || self.nodes[other].master().is_none());
        if self.left.forces > 0 && nobody_else {
            actions.push(Action::StartMaster { node, force: true });
        }
        let disk = &self.nodes[node].disk;
        if self.left.wipes > 0 {
            actions.push(Action::Wipe { node });
            if disk.backup.as_ref().is_some_and(|backup| *backup != disk.synced) {
                actions.push(Action::Restore { node });
            }
        }
    }

    fn enabled_announce(&self, node: usize, batch: &Prepared, targets: &[Target], actions: &mut Vec<Action>) {
        let it = &*self.nodes[node];
        for holder in targets.iter().map(|target| target.holder) {
            let under_way = |msg: &Msg| match msg {
                Msg::Fence { node: n, life, fence, .. } => {
                    (*n, *life, fence.version, fence.holder) == (node, it.life, batch.state.version, holder)
                }
                Msg::FenceAnswer { node: n, life, version, holder: h, .. } => {
                    (*n, *life, *version, *h) == (node, it.life, batch.state.version, holder)
                }
                _ => false,
            };
            if !self.under_way(under_way) {
                actions.push(Action::Announce { node, holder });
            }
        }
    }
}
