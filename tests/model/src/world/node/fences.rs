//! The fence before a commit, and who has to answer it.

use super::{Committed, Phase, Prepared};
use crate::coherence::holders::Target;
use crate::coherence::lease::Fence;
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{HolderId, Moment};
use crate::domain::Version;
use crate::world::net::{Life, Msg};
use crate::world::oracle::{STALLED, Violation};
use crate::world::{Seen, World};
use std::collections::BTreeSet;
use std::time::Duration;

impl World {
    pub(super) fn send_fence(&mut self, node: usize) {
        let now = self.node_now(node);
        let Some(master) = self.node(node).master_mut() else { return };
        let Phase::Listed { batch, targets: listed } = master.phase.clone() else { return };
        let targets = master.holders.fence(now, batch.state.version, &batch.keys);
        for target in &targets {
            if !kept(Rule::HolderListAtTheFence) && !listed.contains(&target.holder) {
                master.holders.acknowledged(target.holder);
            }
        }
        let missed = |target: &Target| !kept(Rule::HolderListAtTheFence) && !listed.contains(&target.holder);
        let targets: Vec<Target> = targets.into_iter().filter(|target| !missed(target)).collect();
        let holders: Vec<HolderId> = targets.iter().map(|target| target.holder).collect();
        master.phase = Phase::Fencing { batch, since: now, until: None, targets };
        for holder in holders {
            self.announce(node, holder);
        }
        self.poll_fence(node);
    }

    pub(super) fn announce(&mut self, node: usize, holder: HolderId) {
        let it = &self.nodes[node];
        let Some(master) = it.master() else { return };
        let Phase::Fencing { batch, targets, .. } = &master.phase else { return };
        let Some(target) = targets.iter().find(|target| target.holder == holder) else { return };
        let (version, keys) = (batch.state.version, batch.keys.clone());
        let fence = Fence { holder, lease: target.lease, version, keys };
        let Ok(address) = target.address.parse() else { return };
        let life = it.life;
        let to = (0..self.fronts.len()).find(|&front| self.fronts[front].session.holder() == holder);
        let to = to.map_or("a frontend that is gone".into(), World::front_name);
        let words = format!("sends fence {} {{{}}} to {to}", version.public(), fence.keys);
        self.say(&self.node_name(node), || words);
        self.node_send(node, Msg::Fence { node, life, address, fence });
    }

    pub(super) fn fence_answered(
        &mut self,
        node: usize,
        life: Life,
        version: Version,
        holder: HolderId,
        raised: bool,
    ) {
        if self.nodes[node].life != life || !raised {
            return;
        }
        let Some(master) = self.node(node).master_mut() else { return };
        // An answer belongs to its request: the fence it was asked for is over, or is the one that is out.
        let Phase::Fencing { batch, targets, .. } = &mut master.phase else { return };
        if batch.state.version == version {
            targets.retain(|target| target.holder != holder);
            master.holders.acknowledged(holder);
            self.poll_fence(node);
        }
    }

    /// Asks whether the commit may follow, as the fence's task does whenever it is woken.
    pub fn poll_fence(&mut self, node: usize) {
        let now = self.node_now(node);
        let Some(master) = self.nodes[node].master() else { return };
        let Phase::Fencing { since, targets, .. } = &master.phase else { return };
        let since = *since;
        let unheard: Vec<HolderId> = targets.iter().map(|target| target.holder).collect();
        let term = Duration::from_millis(self.setup.terms_ms.iter().copied().max().unwrap_or(1000));
        let Some(master) = self.node(node).master_mut() else { return };
        match master.holders.fenced(now) {
            Some(next) => {
                if let Phase::Fencing { until, .. } = &mut master.phase {
                    *until = Some(next);
                }
                if now > since.after(term + term / 4) {
                    self.judge(Err(Violation {
                        promise: STALLED,
                        words: "a fence has been out for longer than a lease and a quarter".into(),
                    }));
                }
            }
            None => {
                let Phase::Fencing { batch, .. } = std::mem::replace(&mut master.phase, Phase::Idle) else {
                    return;
                };
                if batch.committed {
                    let Prepared { state, replies, .. } = batch;
                    self.acknowledge_later(
                        node,
                        Committed { version: state.version, replies, deadline: None },
                    );
                } else {
                    master.phase = Phase::Ready { batch };
                }
                if !unheard.is_empty() {
                    self.fault(Seen::AFTER_EXPIRY);
                    self.judge_calm_fence(node, since, &unheard);
                }
            }
        }
    }

    /// Where nothing goes wrong, a fence waits for nobody's lease to run out: who lives and is the only one
    /// at its address was reached.
    fn judge_calm_fence(&mut self, node: usize, since: Moment, unheard: &[HolderId]) {
        let Some(settling) = self.settling else { return };
        let addresses: BTreeSet<usize> = self.setup.addresses.iter().copied().collect();
        let clear = self.setup.name_is_fixed || addresses.len() == self.setup.addresses.len();
        let alive =
            |holder: &HolderId| self.fronts.iter().any(|front| front.up && front.session.holder() == *holder);
        if clear && since > self.setup.clocks[node].at(settling) && unheard.iter().any(alive) {
            let words = "a fence waited for the lease of a frontend that nobody can reach at its address";
            self.judge(Err(Violation { promise: STALLED, words: words.into() }));
        }
    }
}
