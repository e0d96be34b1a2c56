//! Its lease, and the fences that come with it.

use crate::coherence::lease::{Announced, Ask, Fence, FenceAnswer, Granted};
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{LeaseId, Moment};
use crate::domain::Epoch;
use crate::world::front::Asking;
use crate::world::net::{Granted as Answered, Life, Msg};
use crate::world::rows::{Content, Value, Want};
use crate::world::{Seen, World, recipe};
use std::sync::Arc;

impl World {
    pub(super) fn ask(&mut self, front: usize) {
        self.left.asks = self.left.asks.saturating_sub(1);
        let fresh = LeaseId(self.draw());
        let sent = self.front_now(front);
        let it = self.front(front);
        let ask = it.session.ask(sent, fresh);
        it.publish();
        let to = it.master;
        it.asking = Some(Asking { ask, sent, node: to });
        let (life, holder) = (it.life, it.session.holder());
        let msg = Msg::LeaseAsk { front, sent, life, holder, ask, to };
        let words = msg.words();
        self.say(&World::front_name(front), || words);
        self.front_send(front, msg);
    }

    pub(super) fn granted(&mut self, front: usize, ask: Ask, renewal: Option<Moment>, answer: &Answered) {
        let now = self.front_now(front);
        let nodes = self.nodes.len();
        let it = self.front(front);
        // An answer belongs to its request.
        let Some(asking) =
            it.asking.take_if(|asking| asking.ask == ask && renewal.is_none_or(|sent| sent == asking.sent))
        else {
            return;
        };
        let grant = match answer {
            Answered::Yes(grant) => grant,
            Answered::NotMaster | Answered::No => {
                if matches!(answer, Answered::NotMaster) {
                    it.master = (asking.node + 1) % nodes;
                }
                if matches!(ask, Ask::Renew(_)) {
                    it.lose();
                }
                self.say(&World::front_name(front), || "gets no lease".into());
                return;
            }
        };
        if it.epoch.replace(grant.epoch).is_some_and(|before| before != grant.epoch) {
            it.local.clear();
        }
        let before = it.session.held().cloned();
        let granted = it.session.granted(grant, asking.sent, now);
        if granted == Granted::Useless && matches!(ask, Ask::Renew(_)) {
            it.session.lose();
        }
        // It may have met a later master while the grant was on its way.
        if it.met.highest().number > grant.epoch.number && kept(Rule::GrantOfADeposedMasterIsUseless) {
            it.session.lose();
        }
        it.publish();
        let words = match granted {
            Granted::New => format!("has a lease in epoch {}", grant.epoch.number),
            Granted::Renewed => "has its lease renewed".to_string(),
            Granted::Useless => "gets a grant that is of no use".into(),
        };
        self.say(&World::front_name(front), || words);
        if granted == Granted::New && !kept(Rule::FloorsAndDeadlineOfOneLease) {
            let it = self.front(front);
            it.old_floors = before.or_else(|| it.flights.values().find_map(|flight| flight.lease.clone()));
        }
    }

    pub(super) fn give_back(&mut self, front: usize) {
        self.left.releases -= 1;
        let it = self.front(front);
        let Some(lease) = it.session.held().map(|lease| lease.id()) else { return };
        let (holder, to) = (it.session.holder(), it.master);
        if kept(Rule::LeaseLostBeforeItIsReleased) {
            it.lose();
        } else {
            it.released = true;
        }
        self.say(&World::front_name(front), || "gives its lease back".into());
        self.front_send(front, Msg::Release { to, holder, lease });
    }

    pub(super) fn fenced(&mut self, front: usize, node: usize, life: Life, fence: &Fence) {
        if recipe() {
            self.delete(front, &fence.keys);
        }
        let it = self.front(front);
        let joining = it.session.held().is_none() && it.asking.is_some();
        let answer = it.session.fenced(fence);
        it.publish();
        if joining && answer == FenceAnswer::Raised {
            self.seen.0 |= Seen::OVERTOOK;
        }
        let raised = answer == FenceAnswer::Raised;
        let words = if raised { "raised" } else { "is not for this process" };
        self.say(&World::front_name(front), || {
            format!("fence {} {{{}}} {words}", fence.version.public(), fence.keys)
        });
        let (version, holder) = (fence.version, fence.holder);
        self.front_send(front, Msg::FenceAnswer { node, life, version, holder, raised });
    }

    /// What the recipes do instead of fences.
    pub(super) fn delete(&mut self, front: usize, keys: &Announced) {
        let Announced::Keys(keys) = keys else { return };
        let touched = |want: &Want, content: &Content| {
            keys.contains(&want.key())
                || matches!(&content.value, Value::Page(books)
                    if books.iter().any(|book| keys.contains(&crate::coherence::Key::Book(book.id))))
        };
        self.front(front).local.retain(|want, content| !touched(want, content));
        for (want, slot) in Arc::make_mut(&mut self.redis).iter_mut() {
            if slot.now.as_ref().is_some_and(|content| touched(want, content)) {
                slot.before = slot.now.take();
            }
        }
        self.say(&World::front_name(front), || "deletes its entries".into());
    }

    /// A message shows `epoch`: if that deposes ours, our lease is worth nothing.
    pub(super) fn front_met(&mut self, front: usize, epoch: Epoch) {
        let it = self.front(front);
        it.met.meet(epoch);
        let highest = it.met.highest();
        if it
            .session
            .held()
            .is_some_and(|held| highest.deposes(held.epoch()) && highest.number > held.epoch().number)
        {
            it.lose();
        }
    }
}
