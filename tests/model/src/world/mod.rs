//! One store with everything that can happen to it: the system under test of checker and simulator alike.
//!
//! Nodes are event-driven machines around the production types of `coherence` and the production ledger;
//! what lies between (queues, flights, links, retries) follows the I/O code of the store step by step.
//! [`World::enabled`] lists what can happen next, [`World::step`] makes one of it happen. Nothing here is
//! random: whoever drives chooses.

mod action;
mod clients;
pub mod front;
pub mod net;
pub mod node;
pub mod oracle;
pub mod rows;
mod seen;
mod settling;
mod setup;

use crate::coherence::rule::{Rule, kept};
use crate::coherence::{HolderId, Met, Moment};
use crate::domain::{BookId, Edit, Epoch, NodeId};
use crate::world::front::Front;
use crate::world::net::{Life, Msg, Sealed};
use crate::world::node::{Node, Process};
use crate::world::oracle::{Oracle, Violation};
use crate::world::rows::{Content, Disk, Entry, Want};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use action::Action;
pub use clients::{Op, edit_words};
pub use seen::{SEEN, Seen};
pub use setup::{Clock, Deed, Left, Prelude, Setup};

const MS: u64 = 1_000_000;

/// Longer than any first start waits for leases, by any clock.
const FIRST_WAIT: u64 = 6_000 * MS;

/// Steps within which everybody has an answer once nothing goes wrong any more.
const SETTLED_BY: usize = 4000;

/// What lies in the second level for one want, and what lay there before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Slot {
    pub now: Option<Arc<Content>>,
    pub before: Option<Arc<Content>>,
}

/// A trace under way; no part of a state.
#[derive(Debug, Clone, Default)]
pub struct Trace(pub Option<Vec<String>>);

#[derive(Clone)]
pub struct World {
    pub setup: Arc<Setup>,
    pub now: u64,
    pub nodes: Vec<Arc<Node>>,
    pub fronts: Vec<Arc<Front>>,
    pub redis: Arc<BTreeMap<Want, Slot>>,
    pub net: Vec<Sealed>,
    pub ops: Arc<Vec<Op>>,
    /// What the order nodes have met.
    pub orders_met: Met,
    pub oracle: Arc<Oracle>,
    pub left: Left,
    pub starts: u32,
    /// The next number that nobody has drawn.
    drawn: u64,
    /// Faults so far, as bits of [`Seen`] that an acknowledgement from now on is worth.
    faults: u32,
    pub seen: Seen,
    pub violation: Option<Violation>,
    /// Since when nothing goes wrong any more.
    pub settling: Option<u64>,
    pub trace: Trace,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t={}ms", self.now as f64 / 1e6)
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.now.hash(state);
        self.nodes.hash(state);
        self.fronts.hash(state);
        self.redis.hash(state);
        self.net.hash(state);
        self.ops.hash(state);
        self.orders_met.hash(state);
        self.oracle.hash(state);
        self.left.hash(state);
        self.starts.hash(state);
        (self.faults, self.seen).hash(state);
        self.violation.hash(state);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        rows::digest_of(self) == rows::digest_of(other)
    }
}

/// Whether entries are looked after by one of the well-known recipes instead of fences.
pub fn recipe() -> bool {
    !(kept(Rule::NotDeleteThenWrite) && kept(Rule::NotWriteThenDelete) && kept(Rule::NotTtlOnly))
}

impl World {
    pub fn new(setup: Arc<Setup>, traced: bool) -> Self {
        let genesis = Entry::genesis(&setup.books);
        let node = |n: usize| Arc::new(Node::new(Disk::new(NodeId(n as u64 + 1), Arc::clone(&genesis))));
        let mut supply: BTreeMap<BookId, u32> =
            setup.books.iter().map(|book| (book.id, book.stock.get())).collect();
        for deed in &setup.deeds {
            match deed {
                Deed::Edit(Edit::Restock { book_id, copies }) => {
                    *supply.entry(*book_id).or_default() += copies;
                }
                Deed::Edit(Edit::Update { book_id, stock: Some(_), .. } | Edit::Delete { book_id }) => {
                    supply.remove(book_id);
                }
                Deed::Edit(Edit::Put(book)) => {
                    supply.remove(&book.id);
                }
                _ => {}
            }
        }
        let mut world = Self {
            now: MS,
            nodes: (0..setup.nodes).map(node).collect(),
            fronts: Vec::new(),
            redis: Arc::new(BTreeMap::new()),
            net: Vec::new(),
            ops: Arc::new(vec![Op::default(); setup.deeds.len()]),
            orders_met: Met::default(),
            oracle: Arc::new(Oracle::new(genesis, supply)),
            left: Left { asks: u16::MAX, reports: u16::MAX, ..Left::default() },
            starts: 0,
            drawn: 0,
            faults: 0,
            seen: Seen::default(),
            violation: None,
            settling: None,
            trace: Trace(None),
            setup: Arc::clone(&setup),
        };
        for _ in 0..setup.fronts {
            let holder = HolderId(world.draw());
            world.fronts.push(Arc::new(Front::new(holder)));
        }
        world.start_master(0, false);
        for node in 1..setup.nodes {
            world.start_replica(node);
        }
        if setup.warm {
            world.warm_up();
        }
        for step in &setup.prelude {
            world.begin_with(*step);
        }
        world.left = setup.budget;
        world.faults = 0;
        world.seen = Seen::default();
        world.trace = Trace(traced.then(Vec::new));
        world
    }

    fn begin_with(&mut self, step: Prelude) {
        match step {
            Prelude::Act(action) => {
                let plenty = u16::MAX;
                self.left = Left {
                    doubles: plenty,
                    losses: plenty,
                    master_stops: plenty,
                    replica_stops: plenty,
                    wipes: plenty,
                    backups: plenty,
                    forces: plenty,
                    handovers: plenty,
                    front_stops: plenty,
                    reads: plenty,
                    ..self.left
                };
                self.step(&action);
            }
            Prelude::Rest => {
                while let Some(action) = self.fair_action().filter(|action| !action.is_a_new_attempt()) {
                    self.step(&action);
                }
            }
            Prelude::ReadAll => {
                for front in 0..self.fronts.len() {
                    for want in 0..self.setup.wants.len() {
                        self.begin_with(Prelude::Act(Action::Come { front, want }));
                        self.begin_with(Prelude::Rest);
                    }
                }
            }
        }
    }

    /// Everybody gets what is calm weather: leases, a place in the set.
    fn warm_up(&mut self) {
        // Nobody's lease can be running any more: the first batch need not wait.
        self.now += FIRST_WAIT;
        for front in 0..self.fronts.len() {
            self.step(&Action::Ask { front });
            self.deliver_all();
        }
        for node in 1..self.nodes.len() {
            for _ in 0..2 {
                self.step(&Action::Report { node });
                self.deliver_all();
                self.step(&Action::Push { node: 0, to: node });
                self.deliver_all();
            }
        }
    }

    fn deliver_all(&mut self) {
        while !self.net.is_empty() {
            let front = self.receivers(0).first().copied().unwrap_or_default();
            self.step(&Action::Deliver { index: 0, front });
        }
    }

    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    pub fn node_now(&self, node: usize) -> Moment {
        self.setup.clocks[node].at(self.now)
    }

    pub fn front_now(&self, front: usize) -> Moment {
        self.setup.clocks[self.setup.nodes + front].at(self.now)
    }

    pub fn say(&mut self, who: &str, words: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(lines) = &mut self.trace.0 {
            let (ms, rest) = (now / MS, now % MS);
            let time = if rest < 1000 { format!("t={ms}ms") } else { format!("t={ms}.{:03}ms", rest / 1000) };
            lines.push(format!("{time:<12} {who:<11} {}", words()));
        }
    }

    pub fn front_name(front: usize) -> String {
        format!("frontend {}", char::from(b'A' + front as u8))
    }

    pub fn node_name(&self, node: usize) -> String {
        match (&self.nodes[node].process, node) {
            (Process::Master(_), 0) => "master".into(),
            (Process::Master(_), n) => format!("master {n}"),
            (_, 0) => "old master".into(),
            (_, n) => format!("replica {n}"),
        }
    }

    pub fn send(&mut self, met: Epoch, msg: Msg) {
        let sealed = Sealed::new(met, msg);
        let at = self.net.partition_point(|other| *other <= sealed);
        self.net.insert(at, sealed);
    }

    pub fn judge(&mut self, verdict: Result<(), Violation>) {
        if let Err(violation) = verdict
            && self.violation.is_none()
        {
            let words = format!("VIOLATION of \"{}\": {}", violation.promise, violation.words);
            self.say("", || words);
            self.violation = Some(violation);
        }
    }

    /// The frontends that message `index` may reach; the message names one, or its address may stand for
    /// several.
    fn receivers(&self, index: usize) -> Vec<usize> {
        let address = match &self.net[index].envelope.msg {
            Msg::Fence { address, .. } => *address,
            Msg::Probe { front, .. } => self.setup.addresses[*front],
            _ => return vec![0],
        };
        let mut behind = (0..self.fronts.len())
            .filter(|&front| self.setup.addresses[front] == address)
            .collect::<Vec<_>>();
        if self.setup.name_is_fixed {
            behind.truncate(1);
        }
        behind
    }

    /// The frontend at which message `index` arrives, `at` being chosen where its address stands for several.
    pub fn receives(&self, index: usize, at: usize) -> Option<usize> {
        match &self.net[index].envelope.msg {
            Msg::Probe { .. } | Msg::Fence { .. } => Some(at),
            Msg::LeaseAnswer { front, .. } | Msg::ReadAnswer { front, .. } => Some(*front),
            _ => None,
        }
    }

    pub fn want(&self, want: usize) -> &Want {
        &self.setup.wants[want]
    }

    /// Everything that can happen now.
    pub fn enabled(&self, actions: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        for index in 0..self.net.len() {
            if index > 0 && self.net[index] == self.net[index - 1] {
                continue;
            }
            actions.extend(self.receivers(index).into_iter().map(|front| Action::Deliver { index, front }));
            if self.left.losses > 0 {
                actions.push(Action::Lose { index });
            }
            // An edit has no key, so nobody repeats it.
            if self.left.doubles > 0 && !self.net[index].envelope.msg.is_edit() {
                actions.push(Action::Double { index });
            }
        }
        self.enabled_clients(actions);
        for front in 0..self.fronts.len() {
            self.enabled_front(front, actions);
        }
        for node in 0..self.nodes.len() {
            self.enabled_node(node, actions);
        }
        if self.left.redis_restores > 0 {
            for (want, name) in self.setup.wants.iter().enumerate() {
                if self.redis.get(name).is_some_and(|slot| slot.before.is_some()) {
                    actions.push(Action::RestoreRedis { want });
                }
            }
        }
        if self.left.ticks > 0 && self.next_deadline().is_some() {
            actions.push(Action::Tick);
        }
    }

    /// When next something happens by time alone.
    pub fn next_deadline(&self) -> Option<u64> {
        let nodes = (0..self.nodes.len()).flat_map(|node| {
            self.nodes[node].deadlines().map(move |moment| self.setup.clocks[node].when(moment))
        });
        let fronts = (0..self.fronts.len()).flat_map(|front| {
            let clock = self.setup.clocks[self.setup.nodes + front];
            self.fronts[front].deadlines().map(move |moment| clock.when(moment))
        });
        nodes.chain(fronts).filter(|when| *when > self.now).min()
    }

    pub fn step(&mut self, action: &Action) {
        match *action {
            Action::Tick => {
                self.left.ticks = self.left.ticks.saturating_sub(1);
                if let Some(when) = self.next_deadline() {
                    self.advance(when);
                }
            }
            Action::GoOn { ms } => self.advance(self.now + ms * MS),
            Action::Deliver { index, front } => self.deliver(index, front),
            Action::Lose { index } => {
                self.left.losses -= 1;
                self.faults |= Seen::AFTER_LOSS;
                let lost = self.net.remove(index);
                self.say("network", || format!("loses: {}", lost.envelope.msg.words()));
            }
            Action::Double { index } => {
                self.left.doubles -= 1;
                let double = self.net[index].clone();
                self.say("network", || format!("doubles: {}", double.envelope.msg.words()));
                self.net.insert(index, double);
            }
            Action::Begin { op } => {
                Arc::make_mut(&mut self.ops)[op].begun = true;
                self.send_op(op, self.ops[op].master);
            }
            Action::Retry { op, node } => {
                let under_way = self.nodes.iter().any(|node| node.has_job(op))
                    || self.net.iter().any(|sealed| matches!(&sealed.envelope.msg, Msg::Buy { op: other, .. } | Msg::Bought { op: other, .. } if *other == op));
                let spent = if under_way { &mut self.left.impatience } else { &mut self.left.retries };
                *spent = spent.saturating_sub(1);
                self.send_op(op, node);
            }
            Action::RestoreRedis { want } => {
                self.left.redis_restores -= 1;
                let want = self.want(want).clone();
                if let Some(slot) = Arc::make_mut(&mut self.redis).get_mut(&want) {
                    std::mem::swap(&mut slot.now, &mut slot.before);
                    self.say("redis", || format!("an old dump is restored: {want}"));
                }
            }
            _ => {
                if !self.step_front(action) {
                    self.step_node(action);
                }
            }
        }
    }

    /// Time passes for everybody, and who waited for it goes on.
    pub fn advance(&mut self, to: u64) {
        self.now = to.max(self.now);
        for node in 0..self.nodes.len() {
            if self.nodes[node].waits_for_time() {
                self.poll_fence(node);
            }
        }
    }

    fn deliver(&mut self, index: usize, front: usize) {
        let envelope = self.net.remove(index).envelope;
        let met = envelope.met;
        match &envelope.msg {
            Msg::Bought { op, outcome, version, by } => {
                self.orders_met.meet(met);
                self.bought(*op, outcome.clone(), *version, *by);
            }
            Msg::RedisPut { want, content } => {
                let slot = Arc::make_mut(&mut self.redis).entry(want.clone()).or_default();
                if slot.now.as_ref() != Some(content) {
                    slot.before = slot.now.replace(Arc::clone(content));
                }
                let words = envelope.msg.words();
                self.say("redis", || words);
            }
            Msg::Probe { .. } | Msg::Fence { .. } => self.at_front(front, met, &envelope.msg),
            Msg::LeaseAnswer { front, .. } | Msg::ReadAnswer { front, .. } => {
                self.at_front(*front, met, &envelope.msg);
            }
            _ => self.at_node(met, &envelope.msg),
        }
    }

    /// Drops the answers that nobody waits for any more.
    pub fn hang_up(&mut self, gone: impl Fn(&Msg) -> bool) {
        self.net.retain(|sealed| !gone(&sealed.envelope.msg));
    }

    pub fn under_way(&self, which: impl Fn(&Msg) -> bool) -> bool {
        self.net.iter().any(|sealed| which(&sealed.envelope.msg))
    }

    pub fn fault(&mut self, bits: u32) {
        self.faults |= bits;
    }

    pub fn life_of(&self, node: usize) -> Life {
        self.nodes[node].life
    }
}
