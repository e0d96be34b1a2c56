//! From a look into the cache to an answer: `frontend/cache`.

use crate::coherence::rule::{Rule, kept};
use crate::coherence::{Lease, Moment, Verdict, serving};
use crate::domain::Version;
use crate::world::front::{Flight, Front, Origin, Read, Stage, Waits};
use crate::world::net::{Msg, Read as NodeRead, Route};
use crate::world::rows::{Content, Want};
use crate::world::{Seen, World, recipe};
use std::sync::Arc;

impl World {
    pub(super) fn look(&mut self, front: usize, read: usize) {
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

    pub(super) fn board_nearest(
        &mut self,
        front: usize,
        read: usize,
        lease: Arc<Lease>,
        minimum: Option<Version>,
    ) {
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

    pub(super) fn board_master(&mut self, front: usize, read: usize, lease: Option<Arc<Lease>>) {
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

    pub(super) fn fly_to_master(
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

    pub(super) fn ask_redis(&mut self, front: usize, want: usize) {
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

    pub(super) fn pick(&mut self, front: usize, want: usize, to: usize) {
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

    pub(super) fn flight_fails(&mut self, front: usize, route: Route, want: usize) {
        let want = self.want(want).clone();
        self.try_elsewhere(front, route, want, true);
    }

    /// The node did not answer, or cannot: another, the master, or nobody.
    pub(super) fn try_elsewhere(&mut self, front: usize, route: Route, want: Want, may_pick: bool) {
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

    pub(super) fn landed(
        &mut self,
        front: usize,
        asked: Route,
        want: &Want,
        sent: Moment,
        answer: &NodeRead,
    ) {
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

    pub(super) fn land_nearest(
        &mut self,
        front: usize,
        want: &Want,
        landing: Option<(Arc<Content>, Origin)>,
    ) {
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

    pub(super) fn land_master(&mut self, front: usize, want: &Want, landing: Option<(Arc<Content>, Moment)>) {
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
    pub(super) fn warn(&mut self, front: usize, read: usize) {
        self.seen.0 |= Seen::WARNING;
        let state = self.front(front).reads.remove(read);
        self.say(&World::front_name(front), || {
            format!("answers for {} with a warning, or not at all", state.want)
        });
    }

    pub(super) fn serve(&mut self, front: usize, read: usize, content: &Arc<Content>, seen: u32, from: &str) {
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
