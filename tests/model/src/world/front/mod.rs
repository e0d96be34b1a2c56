//! A frontend: the glue of `frontend/cache/{mod,session,flights,redis}.rs`, event by event.

mod lease;
mod reading;

use crate::coherence::lease::Ask;
use crate::coherence::{HolderId, Lease, Met, Moment, Session, Verdict};
use crate::domain::{Epoch, Version};
use crate::world::net::{Life, Msg, Route};
use crate::world::rows::{Content, Want};
use crate::world::{Action, World, recipe};
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
}
