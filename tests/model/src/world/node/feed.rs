//! A master's side of replication: `catalog/feed.rs`.

use super::{BACK_OFF, Link, Master, PAGE, Process};
use crate::coherence::Moment;
use crate::coherence::rule::{Rule, kept};
use crate::domain::{NodeId, Version};
use crate::world::World;
use crate::world::net::{Life, Msg, Standing};

impl World {
    pub(super) fn push(&mut self, node: usize, to: usize) {
        let life = self.nodes[node].life;
        let Some(master) = self.node(node).master_mut() else { return };
        let Some(link) = master.links.get_mut(&to) else { return };
        let records = if link.greeted {
            let count = link.queue.len().min(PAGE);
            link.queue.drain(..count).collect()
        } else {
            Vec::new()
        };
        link.greeted = true;
        link.in_flight = true;
        let msg = Msg::Push { from: node, life, to, link: link.number, records };
        self.node_send(node, msg);
    }

    pub(super) fn lose_replica(&mut self, node: usize, to: usize) {
        let until = self.node_now(node).after(BACK_OFF);
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        let Some(link) = master.links.get(&to) else { return };
        let replica = link.replica;
        master.drop_replica(replica, until);
        if kept(Rule::LeavingTheSetIsDurable) {
            it.disk.in_sync = master.in_sync.members();
        }
        self.say(&self.node_name(node), || format!("gives the link to replica {to} up"));
    }

    pub(super) fn pushed(
        &mut self,
        node: usize,
        life: Life,
        number: u32,
        replica: NodeId,
        position: Version,
    ) {
        if self.nodes[node].life != life {
            return;
        }
        let now = self.node_now(node);
        let Some(master) = self.node(node).master_mut() else { return };
        let Some((&to, link)) = master.links.iter_mut().find(|(_, link)| link.number == number) else {
            return;
        };
        link.in_flight = false;
        if link.replica != replica {
            self.lose_replica(node, to);
            return;
        }
        let first = !std::mem::replace(&mut link.proven, true);
        let reported = link.reported;
        let epoch = master.start.epoch;
        let resting = master.back_offs.get(&replica).is_some_and(|until| now < *until);
        if !resting {
            if first {
                master.in_sync.reported(replica, reported.seq);
            }
            // A position of an epoch before says nothing: it may be of another history.
            if position.epoch == epoch || !kept(Rule::PositionOfThisHistory) {
                master.in_sync.reported(replica, position.seq);
            }
        }
        self.record_set(node);
    }

    fn record_set(&mut self, node: usize) {
        let it = self.node(node);
        let Process::Master(master) = &mut it.process else { return };
        it.disk.in_sync = master.in_sync.members();
    }

    pub(super) fn reported(
        &mut self,
        node: usize,
        from: usize,
        life: Life,
        replica: NodeId,
        position: Version,
    ) {
        let now = self.node_now(node);
        let it = &self.nodes[node];
        let standing = if !it.reigns_or_sealed() {
            Standing::NotMaster
        } else if it.disk.seen.log_after(position, 1).is_none() {
            Standing::UnknownHistory
        } else {
            Standing::At(it.disk.seen.version)
        };
        if matches!(standing, Standing::At(_)) {
            let Some(master) = self.node(node).master_mut() else { return };
            let linked = master.links.get_mut(&from).filter(|link| link.replica == replica);
            match linked {
                Some(link) => link.reported = position,
                None => {
                    master.drawn_links += 1;
                    let link = Link {
                        number: master.drawn_links,
                        replica,
                        queue: Vec::new(),
                        greeted: false,
                        in_flight: false,
                        proven: false,
                        reported: position,
                    };
                    master.links.insert(from, link);
                }
            }
            let proven = master.links.get(&from).is_some_and(|link| link.proven);
            let resting = master.back_offs.get(&replica).is_some_and(|until| now < *until);
            if proven && !resting {
                master.in_sync.reported(replica, position.seq);
            }
            self.record_set(node);
        }
        self.node_send(node, Msg::Standing { to: from, life, standing });
    }
}

impl Master {
    pub(super) fn drop_replica(&mut self, replica: NodeId, back_off: Moment) {
        self.in_sync.forget(replica);
        self.links.retain(|_, link| link.replica != replica);
        self.back_offs.insert(replica, back_off);
    }
}
