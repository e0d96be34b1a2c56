//! Who holds a lease: `catalog/holders.rs`.

use crate::coherence::lease::Ask;
use crate::coherence::rule::{Rule, kept};
use crate::world::World;
use crate::world::net::{Granted, Msg};

impl World {
    pub(super) fn lease_asked(&mut self, node: usize, msg: &Msg) {
        let &Msg::LeaseAsk { front, sent, life, holder, ask, .. } = msg else { return };
        let now = self.node_now(node);
        let granted = match ask {
            _ if !self.nodes[node].reigns() => Some(Granted::NotMaster),
            Ask::Renew(lease) => {
                let renewed =
                    self.node(node).master_mut().map(|master| master.holders.renew(now, holder, lease));
                self.poll_fence(node);
                Some(renewed.and_then(Result::ok).map_or(Granted::No, Granted::Yes))
            }
            Ask::Join(lease) => {
                let early = !kept(Rule::HolderAddedWithItsFloors);
                let captured = self.nodes[node].master().filter(|_| early).and_then(|master| {
                    let mut holders = master.holders.clone();
                    holders.join(now, holder, lease, String::new()).ok().and_then(|grant| grant.floors)
                });
                let (node_life, front_life) = (self.nodes[node].life, life);
                if kept(Rule::AddressIsProbed) {
                    let probe =
                        Msg::Probe { node, life: node_life, front, front_life, holder, lease, captured };
                    self.node_send(node, probe);
                    None
                } else {
                    let address = self.setup.addresses[front].to_string();
                    let joined = self
                        .node(node)
                        .master_mut()
                        .map(|master| master.holders.join(now, holder, lease, address));
                    Some(joined.and_then(Result::ok).map_or(Granted::No, Granted::Yes))
                }
            }
        };
        if let Some(granted) = granted {
            let renewal = matches!(ask, Ask::Renew(_)).then_some(sent);
            self.node_send(node, Msg::LeaseAnswer { front, life, ask, renewal, granted });
        }
    }

    pub(super) fn probed(&mut self, node: usize, msg: &Msg) {
        let Msg::ProbeAnswer { life, front, front_life, holder, answered, lease, captured, .. } = msg else {
            return;
        };
        if self.nodes[node].life != *life {
            return;
        }
        let now = self.node_now(node);
        let ask = Ask::Join(*lease);
        let granted = if !self.nodes[node].reigns() {
            Granted::NotMaster
        } else if answered == holder {
            let address = self.setup.addresses[*front].to_string();
            let joined =
                self.node(node).master_mut().map(|master| master.holders.join(now, *holder, *lease, address));
            joined.and_then(Result::ok).map_or(Granted::No, |mut grant| {
                if captured.is_some() {
                    grant.floors.clone_from(captured);
                }
                Granted::Yes(grant)
            })
        } else {
            Granted::No
        };
        let answer = Msg::LeaseAnswer { front: *front, life: *front_life, ask, renewal: None, granted };
        self.node_send(node, answer);
    }
}
