//! A replica's side of it: `catalog/replica.rs`.

use super::Process;
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{Follow, follow};
use crate::world::net::{Life, Msg, Standing};
use crate::world::rows::Entry;
use crate::world::{Seen, World};
use std::sync::Arc;

impl World {
    pub(super) fn pushed_to(
        &mut self,
        node: usize,
        from: usize,
        life: Life,
        link: u32,
        records: &[Arc<Entry>],
    ) {
        if !matches!(self.nodes[node].process, Process::Replica(_)) {
            return;
        }
        self.apply(node, records);
        let it = &self.nodes[node];
        let msg = Msg::Pushed { to: from, life, link, replica: it.disk.node, position: it.disk.seen.version };
        self.node_send(node, msg);
    }

    /// What the replica's applier does with records.
    fn apply(&mut self, node: usize, records: &[Arc<Entry>]) {
        let mut head = Arc::clone(&self.nodes[node].disk.seen);
        let before = head.version;
        for record in records {
            match follow(head.version, record.predecessor(), record.version) {
                Follow::Apply => {
                    let Some(next) = head.then(record.version, record.body.clone()) else { break };
                    head = next;
                    let verdict = Arc::make_mut(&mut self.oracle).holds(&head);
                    self.judge(verdict);
                }
                Follow::Already => {}
                Follow::Gap => {
                    if let Some(replica) = self.node(node).replica_mut() {
                        replica.behind = true;
                    }
                    break;
                }
            }
        }
        if head.version != before {
            let words = format!("applies up to {}", head.version.public());
            self.say(&self.node_name(node), || words);
            self.node(node).disk.write(head, kept(Rule::DurableBeforeAnswering));
        }
    }

    pub(super) fn report(&mut self, node: usize) {
        self.left.reports = self.left.reports.saturating_sub(1);
        let it = self.node(node);
        let (life, replica, position) = (it.life, it.disk.node, it.disk.seen.version);
        let Some(process) = it.replica_mut() else { return };
        process.following = true;
        process.behind = false;
        let to = process.master;
        self.node_send(node, Msg::Report { from: node, life, to, replica, position });
    }

    pub(super) fn standing(&mut self, node: usize, life: Life, standing: Standing) {
        if self.nodes[node].life != life {
            return;
        }
        let nodes = self.nodes.len();
        let position = self.nodes[node].disk.seen.version;
        let Some(replica) = self.node(node).replica_mut() else { return };
        if !replica.following {
            return;
        }
        let to = replica.master;
        match standing {
            Standing::At(at) if at == position => replica.following = false,
            Standing::At(_) => self.node_send(node, Msg::LogAsk { from: node, life, to, after: position }),
            Standing::UnknownHistory => self.node_send(node, Msg::SnapshotAsk { from: node, life, to }),
            Standing::NotMaster => {
                replica.following = false;
                replica.master = (to + 1) % nodes;
            }
        }
    }

    pub(super) fn log_page(&mut self, node: usize, life: Life, page: Option<&[Arc<Entry>]>) {
        let it = &self.nodes[node];
        if it.life != life || !matches!(&it.process, Process::Replica(replica) if replica.following) {
            return;
        }
        let before = it.disk.seen.version;
        self.apply(node, page.unwrap_or_default());
        let further = self.nodes[node].disk.seen.version != before;
        if let Some(replica) = self.node(node).replica_mut() {
            replica.following = false;
            // Reports again at once.
            replica.behind |= further;
        }
    }

    pub(super) fn snapshot(&mut self, node: usize, life: Life, state: Option<&Arc<Entry>>) {
        if self.nodes[node].life != life {
            return;
        }
        let Some(replica) = self.node(node).replica_mut() else { return };
        replica.following = false;
        let Some(state) = state else { return };
        replica.behind = true;
        self.node(node).disk.write(Arc::clone(state), true);
        self.seen.0 |= Seen::SNAPSHOT;
        let version = state.version;
        self.say(&self.node_name(node), || format!("installs a snapshot of {}", version.public()));
    }
}
