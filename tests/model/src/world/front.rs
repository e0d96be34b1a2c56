//! A frontend: the glue of `frontend/cache/{mod,session,flights,redis}.rs`, event by event.

use super::net::{Granted as Answered, Life, Msg, Read as NodeRead, Route};
use super::rows::{Content, Want};
use super::{Action, Seen, World, recipe};
use crate::coherence::lease::{Announced, Ask, Fence, FenceAnswer, Granted};
use crate::coherence::rule::{Rule, kept};
use crate::coherence::{HolderId, Lease, LeaseId, Met, Moment, Session, Verdict, serving};
use crate::domain::{Epoch, Version};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Front {
    pub up: bool,
    pub life: Life,
    pub met: Met,
    pub session: Session,
    asking: Option<Asking>,
    /// The epoch of the last grant: another one empties the cache.
    epoch: Option<Epoch>,
    /// The candidate that is asked first.
    master: usize,
    local: BTreeMap<Want, Arc<Content>>,
    flights: BTreeMap<(Route, Want), Flight>,
    pub reads: Vec<Read>,
    /// Only where a rule was taken out: the floors that readers still see after a new lease's deadline was
    /// published.
    old_floors: Option<Arc<Lease>>,
    /// Only where a rule was taken out: told the master to forget a lease that it still serves from.
    released: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asking {
    ask: Ask,
    sent: Moment,
    node: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Flight {
    started: Moment,
    lease: Option<Arc<Lease>>,
    minimum: Option<Version>,
    stage: Stage,
    tried: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Redis,
    Pick,
    Nearest { sent: Moment },
    Master { node: usize, sent: Moment },
}

/// A request of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    want: Want,
    came_in: Moment,
    need: usize,
    /// The highest epoch that the frontend had met when the request came in.
    met: Epoch,
    waits: Waits,
}

impl std::fmt::Display for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whom = match self.waits {
            Waits::Fresh => "to look",
            Waits::Nearest(_) => "for the nearest",
            Waits::Master(_) => "for the master",
        };
        write!(f, "{} {whom}", self.want)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Waits {
    /// Has not looked yet.
    Fresh,
    /// For the flight to the nearest, judging by this lease.
    Nearest(Arc<Lease>),
    /// For the flight to the master.
    Master(Option<Arc<Lease>>),
}

#[derive(Debug, Clone)]
enum Origin {
    Redis,
    Replica,
    Master(Moment),
}

/// A clone shares no lease object with its original, and has the same sharing inside.
impl Clone for Front {
    fn clone(&self) -> Self {
        let session = self.session.clone();
        let mut copies: Vec<(*const Lease, Arc<Lease>)> = Vec::new();
        if let (Some(old), Some(new)) = (self.session.held(), session.held()) {
            copies.push((Arc::as_ptr(old), Arc::clone(new)));
        }
        let mut copy = |lease: &Arc<Lease>| {
            let known =
                copies.iter().find(|(old, _)| *old == Arc::as_ptr(lease)).map(|(_, new)| Arc::clone(new));
            known.unwrap_or_else(|| {
                let new = Arc::new(Lease::clone(lease));
                copies.push((Arc::as_ptr(lease), Arc::clone(&new)));
                new
            })
        };
        let flights = self.flights.iter().map(|(key, flight)| {
            (key.clone(), Flight { lease: flight.lease.as_ref().map(&mut copy), ..flight.clone() })
        });
        let flights = flights.collect();
        let reads = self.reads.iter().map(|read| {
            let waits = match &read.waits {
                Waits::Fresh => Waits::Fresh,
                Waits::Nearest(lease) => Waits::Nearest(copy(lease)),
                Waits::Master(lease) => Waits::Master(lease.as_ref().map(&mut copy)),
            };
            Read { waits, ..read.clone() }
        });
        let reads = reads.collect();
        let old_floors = self.old_floors.as_ref().map(&mut copy);
        Self {
            up: self.up,
            life: self.life,
            met: self.met,
            session,
            asking: self.asking.clone(),
            epoch: self.epoch,
            master: self.master,
            local: self.local.clone(),
            flights,
            reads,
            old_floors,
            released: self.released,
        }
    }
}

impl Front {
    pub fn new(holder: HolderId) -> Self {
        Self {
            up: true,
            life: 0,
            met: Met::default(),
            session: Session::new(holder),
            asking: None,
            epoch: None,
            master: 0,
            local: BTreeMap::new(),
            flights: BTreeMap::new(),
            reads: Vec::new(),
            old_floors: None,
            released: false,
        }
    }

    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    pub fn deadlines(&self) -> impl Iterator<Item = Moment> {
        self.session.held().map(|lease| lease.deadline()).into_iter()
    }

    fn publish(&mut self) {
        if self.session.held().is_none() {
            self.old_floors = None;
        }
    }

    fn lose(&mut self) {
        self.session.lose();
        self.publish();
    }

    /// Whether an entry may be served: the serving rule, or a recipe's idea of it.
    fn passes(&self, want: &Want, content: &Content, lease: &Lease, came_in: Moment) -> bool {
        if recipe() {
            return true;
        }
        match &self.old_floors {
            // The deadline of one object and the floors of another.
            Some(old) => {
                lease.valid_at(came_in) && content.stamp(want).judge(old, Moment(0)) == Verdict::Serve
            }
            None => content.stamp(want).judge(lease, came_in) == Verdict::Serve,
        }
    }
}

impl World {
    fn front(&mut self, front: usize) -> &mut Front {
        Arc::make_mut(&mut self.fronts[front])
    }

    fn front_send(&mut self, front: usize, msg: Msg) {
        let met = self.fronts[front].met.highest();
        self.send(met, msg);
    }

    fn want_index(&self, want: &Want) -> usize {
        self.setup.wants.iter().position(|other| other == want).unwrap_or_default()
    }

    pub fn enabled_front(&self, front: usize, actions: &mut Vec<Action>) {
        let it = &*self.fronts[front];
        if !it.up {
            actions.push(Action::StartFront { front });
            return;
        }
        if self.left.reads > 0 {
            actions.extend((0..self.setup.wants.len()).map(|want| Action::Come { front, want }));
        }
        for (read, state) in it.reads.iter().enumerate() {
            if state.waits == Waits::Fresh {
                actions.push(Action::Look { front, read });
            }
        }
        let life = it.life;
        match &it.asking {
            None if self.left.asks > 0 => actions.push(Action::Ask { front }),
            Some(_) => {
                let under_way = |msg: &Msg| match msg {
                    Msg::LeaseAsk { front: f, life: l, .. } | Msg::LeaseAnswer { front: f, life: l, .. } => {
                        (*f, *l) == (front, life)
                    }
                    Msg::Probe { front: f, front_life: l, .. }
                    | Msg::ProbeAnswer { front: f, front_life: l, .. } => (*f, *l) == (front, life),
                    _ => false,
                };
                if self.left.impatience > 0 || !self.under_way(under_way) {
                    actions.push(Action::AskFails { front });
                }
            }
            None => {}
        }
        if it.old_floors.is_some() {
            actions.push(Action::PublishFloors { front });
        }
        for ((route, want), flight) in &it.flights {
            let index = self.want_index(want);
            match flight.stage {
                Stage::Redis => actions.push(Action::AskRedis { front, want: index }),
                Stage::Pick => {
                    actions.extend((0..self.nodes.len()).map(|node| Action::Pick {
                        front,
                        want: index,
                        node,
                    }));
                }
                Stage::Nearest { .. } | Stage::Master { .. } => {
                    let under_way = |msg: &Msg| match msg {
                        Msg::Read { front: f, life: l, route: r, want: w, .. }
                        | Msg::ReadAnswer { front: f, life: l, route: r, want: w, .. } => {
                            (*f, *l, r, w) == (front, life, route, want)
                        }
                        Msg::HalfRead { .. } => true,
                        _ => false,
                    };
                    if !self.under_way(under_way) {
                        actions.push(Action::FlightFails { front, route: *route, want: index });
                    }
                }
            }
        }
        if self.left.front_stops > 0 {
            actions.push(Action::StopFront { front });
        }
        if self.left.releases > 0 && it.session.held().is_some() && !it.released {
            actions.push(Action::GiveBack { front });
        }
    }

    /// `false`: it is no frontend's action.
    pub fn step_front(&mut self, action: &Action) -> bool {
        if let Some(front) = action.front() {
            // This world's own copy, before anything in it is looked at: lease objects are never shared.
            self.front(front);
        }
        match *action {
            Action::Come { front, want } => {
                self.left.reads = self.left.reads.saturating_sub(1);
                // Two requests, or a request and a flight, never start at the same moment.
                self.now += 2;
                let want = self.want(want).clone();
                let (came_in, need) = (self.front_now(front), self.oracle.need());
                self.say(&World::front_name(front), || format!("a customer wants {want}"));
                let it = self.front(front);
                let met = it.met.highest();
                it.reads.push(Read { want, came_in, need, met, waits: Waits::Fresh });
                let read = it.reads.len() - 1;
                if !self.setup.slow_looks {
                    self.look(front, read);
                }
            }
            Action::Look { front, read } => self.look(front, read),
            Action::Ask { front } => self.ask(front),
            Action::AskFails { front } => {
                let nodes = self.nodes.len();
                let it = self.front(front);
                it.asking = None;
                it.master = (it.master + 1) % nodes;
            }
            Action::GiveBack { front } => self.give_back(front),
            Action::PublishFloors { front } => self.front(front).old_floors = None,
            Action::AskRedis { front, want } => self.ask_redis(front, want),
            Action::Pick { front, want, node } => self.pick(front, want, node),
            Action::FlightFails { front, route, want } => self.flight_fails(front, route, want),
            Action::StopFront { front } => {
                self.left.front_stops -= 1;
                self.say(&World::front_name(front), || "is killed".into());
                let life = self.fronts[front].life;
                self.hang_up(|msg| match msg {
                    Msg::LeaseAnswer { front: f, life: l, .. }
                    | Msg::ReadAnswer { front: f, life: l, .. } => (*f, *l) == (front, life),
                    _ => false,
                });
                let it = self.front(front);
                it.up = false;
                it.reads.clear();
            }
            Action::StartFront { front } => {
                let holder = HolderId(self.draw());
                let life = self.fronts[front].life + 1;
                *self.front(front) = Front { life, ..Front::new(holder) };
                self.say(&World::front_name(front), || "starts".into());
            }
            _ => return false,
        }
        true
    }

    pub fn at_front(&mut self, front: usize, met: Epoch, msg: &Msg) {
        if !self.fronts[front].up {
            return;
        }
        self.front_met(front, met);
        match msg {
            Msg::Probe { node, life, front: asked, front_life, holder, lease, captured } => {
                let answered = self.fronts[front].session.holder();
                self.front_send(
                    front,
                    Msg::ProbeAnswer {
                        node: *node,
                        life: *life,
                        front: *asked,
                        front_life: *front_life,
                        holder: *holder,
                        answered,
                        lease: *lease,
                        captured: captured.clone(),
                    },
                );
            }
            Msg::Fence { node, life, fence, .. } => self.fenced(front, *node, *life, fence),
            Msg::LeaseAnswer { life, ask, renewal, granted, .. } if *life == self.fronts[front].life => {
                self.granted(front, *ask, *renewal, granted)
            }
            Msg::ReadAnswer { life, route, want, started, answer, .. }
                if *life == self.fronts[front].life =>
            {
                self.landed(front, *route, want, *started, answer);
            }
            _ => {}
        }
    }

    // The lease.

    fn ask(&mut self, front: usize) {
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

    fn granted(&mut self, front: usize, ask: Ask, renewal: Option<Moment>, answer: &Answered) {
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

    fn give_back(&mut self, front: usize) {
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

    fn fenced(&mut self, front: usize, node: usize, life: Life, fence: &Fence) {
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
    fn delete(&mut self, front: usize, keys: &Announced) {
        let Announced::Keys(keys) = keys else { return };
        let touched = |want: &Want, content: &Content| {
            keys.contains(&want.key())
                || matches!(&content.value, super::rows::Value::Page(books)
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
    fn front_met(&mut self, front: usize, epoch: Epoch) {
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

    // Reading.

    fn look(&mut self, front: usize, read: usize) {
        let it = &self.fronts[front];
        let Read { want, came_in, .. } = it.reads[read].clone();
        let lease = it.session.held().filter(|lease| lease.valid_at(came_in)).cloned();
        if recipe() {
            if let Some(content) = it.local.get(&want).cloned() {
                return self.serve(front, read, &content, Seen::MEMORY, "from memory");
            }
            if let Some(lease) = it.session.held().cloned() {
                return self.board_nearest(front, read, lease, None);
            }
        }
        let Some(lease) = lease else { return self.board_master(front, read, None) };
        let mut minimum = lease.minimum(want.key().slot());
        if let Some(content) = it.local.get(&want).cloned() {
            if it.passes(&want, &content, &lease, came_in) {
                return self.serve(front, read, &content, Seen::MEMORY, "from memory");
            }
            if let Verdict::BelowFloor(floor) = content.stamp(&want).judge(&lease, came_in) {
                minimum = floor;
            }
        }
        self.board_nearest(front, read, lease, Some(minimum));
    }

    fn board_nearest(&mut self, front: usize, read: usize, lease: Arc<Lease>, minimum: Option<Version>) {
        let started = self.front_now(front);
        let stage = if self.setup.redis { Stage::Redis } else { Stage::Pick };
        let it = self.front(front);
        // The copy on write may have made another object of it.
        let lease = it.session.held().filter(|held| held.id() == lease.id()).cloned().unwrap_or(lease);
        let want = it.reads[read].want.clone();
        it.reads[read].waits = Waits::Nearest(Arc::clone(&lease));
        it.flights.entry((Route::Nearest, want)).or_insert(Flight {
            started,
            lease: Some(lease),
            minimum,
            stage,
            tried: 0,
        });
    }

    fn board_master(&mut self, front: usize, read: usize, lease: Option<Arc<Lease>>) {
        let it = self.front(front);
        let lease = lease
            .map(|lease| it.session.held().filter(|held| held.id() == lease.id()).cloned().unwrap_or(lease));
        let want = it.reads[read].want.clone();
        it.reads[read].waits = Waits::Master(lease.clone());
        // One that is in the air is shared, or waited for: its landing sorts that out.
        if !it.flights.contains_key(&(Route::Master, want.clone())) {
            self.fly_to_master(front, Route::Master, want, lease, 0);
        }
    }

    fn fly_to_master(
        &mut self,
        front: usize,
        route: Route,
        want: Want,
        lease: Option<Arc<Lease>>,
        tried: u8,
    ) {
        let sent = self.front_now(front);
        let it = self.front(front);
        let (life, to) = (it.life, it.master);
        let started = it.flights.get(&(route, want.clone())).map_or(sent, |flight| flight.started);
        let stage = Stage::Master { node: to, sent };
        let flight = Flight { started, lease, minimum: None, stage, tried };
        it.flights.insert((route, want.clone()), flight);
        // Only a master may answer this one.
        self.say(&World::front_name(front), || format!("asks node {to} as the master for {want}"));
        self.front_send(
            front,
            Msg::Read { front, life, route: Route::Master, want, started: sent, to, minimum: None },
        );
    }

    fn ask_redis(&mut self, front: usize, want: usize) {
        let want = self.want(want).clone();
        let key = (Route::Nearest, want.clone());
        let asked = self.front_now(front);
        let found = self.redis.get(&want).and_then(|slot| slot.now.clone());
        let it = self.front(front);
        let Some(flight) = it.flights.get(&key) else { return };
        let Some(lease) = flight.lease.clone() else { return };
        if let Some(content) = found
            && (it.passes(&want, &content, &lease, asked) || !kept(Rule::SecondLevelIsJudged))
        {
            it.local.insert(want.clone(), Arc::clone(&content));
            it.flights.remove(&key);
            return self.land_nearest(front, &want, Some((content, Origin::Redis)));
        }
        if let Some(flight) = it.flights.get_mut(&key) {
            flight.stage = Stage::Pick;
        }
    }

    fn pick(&mut self, front: usize, want: usize, to: usize) {
        let want = self.want(want).clone();
        let sent = self.front_now(front);
        let it = self.front(front);
        let life = it.life;
        let Some(flight) = it.flights.get_mut(&(Route::Nearest, want.clone())) else { return };
        flight.stage = Stage::Nearest { sent };
        flight.tried += 1;
        let minimum = flight.minimum;
        let name = self.node_name(to);
        self.say(&World::front_name(front), || format!("asks {name} for {want}"));
        self.front_send(
            front,
            Msg::Read { front, life, route: Route::Nearest, want, started: sent, to, minimum },
        );
    }

    fn flight_fails(&mut self, front: usize, route: Route, want: usize) {
        let want = self.want(want).clone();
        self.try_elsewhere(front, route, want, true);
    }

    /// The node did not answer, or cannot: another, the master, or nobody.
    fn try_elsewhere(&mut self, front: usize, route: Route, want: Want, may_pick: bool) {
        let nodes = self.nodes.len();
        let it = self.front(front);
        let key = (route, want.clone());
        let Some(flight) = it.flights.get_mut(&key) else { return };
        let lease = flight.lease.clone();
        match flight.stage {
            Stage::Nearest { .. } if may_pick && flight.tried < 2 => flight.stage = Stage::Pick,
            Stage::Master { node, .. } => {
                it.master = (node + 1) % nodes;
                let tried = flight.tried + 1;
                if usize::from(tried) < nodes {
                    self.fly_to_master(front, route, want, lease, tried);
                } else {
                    it.flights.remove(&key);
                    match route {
                        Route::Nearest => self.land_nearest(front, &want, None),
                        Route::Master => self.land_master(front, &want, None),
                    }
                }
            }
            _ => self.fly_to_master(front, route, want, lease, 0),
        }
    }

    fn landed(&mut self, front: usize, asked: Route, want: &Want, sent: Moment, answer: &NodeRead) {
        // Which flight this answers: the nearest one's last leg asks the master too.
        let fits = |stage: Stage| match stage {
            Stage::Nearest { sent: at } => asked == Route::Nearest && at == sent,
            Stage::Master { sent: at, .. } => asked == Route::Master && at == sent,
            _ => false,
        };
        let routes = [Route::Nearest, Route::Master];
        let found = routes.into_iter().find(|route| {
            self.fronts[front].flights.get(&(*route, want.clone())).is_some_and(|flight| fits(flight.stage))
        });
        let Some(route) = found else { return };
        match answer {
            NodeRead::Behind => self.try_elsewhere(front, route, want.clone(), false),
            NodeRead::NotMaster => self.try_elsewhere(front, route, want.clone(), true),
            NodeRead::Content { content, master } => {
                let origin = if *master { Origin::Master(sent) } else { Origin::Replica };
                self.front_met(front, content.asof.epoch);
                let it = self.front(front);
                let Some(flight) = it.flights.remove(&(route, want.clone())) else { return };
                let keeps = flight.lease.as_ref().is_some_and(|lease| it.passes(want, content, lease, sent));
                if keeps {
                    it.local.insert(want.clone(), Arc::clone(content));
                    if self.setup.redis {
                        self.front_send(
                            front,
                            Msg::RedisPut { want: want.clone(), content: Arc::clone(content) },
                        );
                    }
                }
                let landing = Some((Arc::clone(content), origin));
                match route {
                    Route::Nearest => self.land_nearest(front, want, landing),
                    Route::Master => {
                        self.land_master(front, want, landing.map(|(content, _)| (content, flight.started)))
                    }
                }
            }
        }
    }

    fn land_nearest(&mut self, front: usize, want: &Want, landing: Option<(Arc<Content>, Origin)>) {
        let waiting = |it: &Front| {
            it.reads.iter().position(|read| read.want == *want && matches!(read.waits, Waits::Nearest(_)))
        };
        while let Some(read) = waiting(&self.fronts[front]) {
            let it = &self.fronts[front];
            let Waits::Nearest(lease) = it.reads[read].waits.clone() else { return };
            let came_in = it.reads[read].came_in;
            let accepted = landing.as_ref().filter(|(content, origin)| {
                let fresh = match origin {
                    Origin::Master(sent) => {
                        serving::fresh_from_master(content.asof.epoch, &lease, *sent, came_in)
                    }
                    Origin::Redis | Origin::Replica => false,
                };
                let judged = it.passes(want, content, &lease, came_in);
                let trusted = matches!(origin, Origin::Redis) && !kept(Rule::SecondLevelIsJudged);
                fresh || judged || trusted || !kept(Rule::WaiterJudgesForItself)
            });
            match accepted {
                Some((content, Origin::Redis)) => {
                    self.serve(front, read, content, Seen::REDIS, "from the second level")
                }
                Some((content, Origin::Replica)) => {
                    self.serve(front, read, content, Seen::REPLICA, "from a replica")
                }
                Some((content, Origin::Master(_))) => self.serve(front, read, content, 0, "from the master"),
                None => self.board_master(front, read, Some(lease)),
            }
        }
    }

    fn land_master(&mut self, front: usize, want: &Want, landing: Option<(Arc<Content>, Moment)>) {
        let mut read = 0;
        let mut again = None;
        while read < self.fronts[front].reads.len() {
            let it = &self.fronts[front];
            let state = &it.reads[read];
            let Waits::Master(lease) = &state.waits else {
                read += 1;
                continue;
            };
            if state.want != *want {
                read += 1;
                continue;
            }
            match &landing {
                // It took off before this reader came: the next one is theirs.
                Some((_, started)) if *started < state.came_in && kept(Rule::AskedAfterTheWaiterCame) => {
                    again = Some(lease.clone());
                    read += 1;
                }
                Some((content, _)) => {
                    let content = Arc::clone(content);
                    self.serve(front, read, &content, 0, "from the master");
                }
                None => self.warn(front, read),
            }
        }
        if let Some(lease) = again {
            self.fly_to_master(front, Route::Master, want.clone(), lease, 0);
        }
    }

    /// Without the master: an answer that says that it may be stale.
    fn warn(&mut self, front: usize, read: usize) {
        self.seen.0 |= Seen::WARNING;
        let state = self.front(front).reads.remove(read);
        self.say(&World::front_name(front), || {
            format!("answers for {} with a warning, or not at all", state.want)
        });
    }

    fn serve(&mut self, front: usize, read: usize, content: &Arc<Content>, seen: u32, from: &str) {
        self.seen.0 |= seen;
        let state = self.front(front).reads.remove(read);
        self.say(&World::front_name(front), || {
            format!("answers for {} {from}: {} as of {}", state.want, content.value, content.asof.public())
        });
        let met = state.met;
        let verdict = Arc::make_mut(&mut self.oracle).answered(&state.want, content, state.need, met);
        self.judge(verdict);
    }
}
