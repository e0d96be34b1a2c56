//! One store with everything that can happen to it: the system under test of checker and simulator alike.
//!
//! Nodes are event-driven machines around the production types of `coherence` and the production ledger;
//! what lies between (queues, flights, links, retries) follows the I/O code of the store step by step.
//! [`World::enabled`] lists what can happen next, [`World::step`] makes one of it happen. Nothing here is
//! random: whoever drives chooses.

pub mod front;
pub mod net;
pub mod node;
pub mod oracle;
pub mod rows;

use crate::coherence::rule::{Rule, kept};
use crate::coherence::{HolderId, Met, Moment};
use crate::domain::{
    Book, BookId, Edit, Epoch, GuardedEdit, IdempotencyKey, NodeId, OrderId, Outcome, Purchase, Quantity,
    Request,
};
use front::Front;
use net::{Life, Msg, Route, Sealed};
use node::{Node, Process};
use oracle::{Oracle, Violation};
use rows::{Content, Disk, Entry, Want};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

const MS: u64 = 1_000_000;

/// Longer than any first start waits for leases, by any clock.
const FIRST_WAIT: u64 = 6_000 * MS;

/// Steps within which everybody has an answer once nothing goes wrong any more.
const SETTLED_BY: usize = 4000;

/// Each process has a clock of its own: another start, and up to one percent of drift.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub permille: u64,
    pub offset: u64,
}

impl Clock {
    pub fn at(self, now: u64) -> Moment {
        Moment(self.offset + now * self.permille / 1000)
    }

    /// When this clock shows `moment`.
    fn when(self, moment: Moment) -> u64 {
        (moment.0.saturating_sub(self.offset) * 1000).div_ceil(self.permille)
    }
}

/// What one customer or keeper does.
#[derive(Debug, Clone)]
pub enum Deed {
    Buy(BookId),
    Edit(Edit),
}

/// What stays the same in a run.
#[derive(Debug, Clone)]
pub struct Setup {
    pub nodes: usize,
    pub fronts: usize,
    /// Where each frontend says it listens; two that share one are behind one name.
    pub addresses: Vec<usize>,
    /// Whether a shared name always stands for the first of them.
    pub name_is_fixed: bool,
    pub clocks: Vec<Clock>,
    pub books: Vec<Book>,
    pub wants: Vec<Want>,
    pub deeds: Vec<Deed>,
    pub redis: bool,
    /// `--lease` of each start, the last one for all that follow.
    pub terms_ms: Vec<u64>,
    /// Whether the replicas follow and are in the set when the run begins, and frontends hold leases.
    pub warm: bool,
    /// What has happened already when the run begins.
    pub prelude: Vec<Prelude>,
    /// Whether a request's arrival and its look into the cache are two steps.
    pub slow_looks: bool,
    pub budget: Left,
}

/// Before a run begins: so that short runs begin at interesting places.
#[derive(Debug, Clone, Copy)]
pub enum Prelude {
    Act(Action),
    /// Everything that is under way arrives and is answered; no time passes.
    Rest,
    /// Every frontend reads everything, and keeps it.
    ReadAll,
}

/// What may still go wrong, or just happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Left {
    pub reads: u16,
    pub asks: u16,
    pub ticks: u16,
    pub reports: u16,
    pub losses: u16,
    pub doubles: u16,
    pub retries: u16,
    /// Retries while an earlier attempt is still under way.
    pub impatience: u16,
    pub master_stops: u16,
    pub replica_stops: u16,
    pub front_stops: u16,
    pub power_cuts: u16,
    pub releases: u16,
    /// Batches that fail when they have been fenced: a statement, or the disk.
    pub refusals: u16,
    pub backups: u16,
    pub wipes: u16,
    pub redis_restores: u16,
    pub handovers: u16,
    pub forces: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Tick,
    /// A message arrives; `front`: at which of those behind its address.
    Deliver {
        index: usize,
        front: usize,
    },
    Lose {
        index: usize,
    },
    Double {
        index: usize,
    },
    // Clients.
    Come {
        front: usize,
        want: usize,
    },
    Begin {
        op: usize,
    },
    Retry {
        op: usize,
        node: usize,
    },
    // Frontends.
    Look {
        front: usize,
        read: usize,
    },
    Ask {
        front: usize,
    },
    AskFails {
        front: usize,
    },
    GiveBack {
        front: usize,
    },
    PublishFloors {
        front: usize,
    },
    AskRedis {
        front: usize,
        want: usize,
    },
    Pick {
        front: usize,
        want: usize,
        node: usize,
    },
    FlightFails {
        front: usize,
        route: Route,
        want: usize,
    },
    // Catalog nodes.
    Batch {
        node: usize,
    },
    SendFence {
        node: usize,
    },
    Announce {
        node: usize,
        holder: HolderId,
    },
    Commit {
        node: usize,
    },
    /// The batch that is fenced cannot be written: nothing is left of it, and the next one has its version.
    Refuse {
        node: usize,
    },
    Acknowledge {
        node: usize,
    },
    Push {
        node: usize,
        to: usize,
    },
    PushFails {
        node: usize,
        to: usize,
    },
    Report {
        node: usize,
    },
    FollowFails {
        node: usize,
    },
    Sync {
        node: usize,
    },
    Handover {
        node: usize,
        to: usize,
    },
    // Faults.
    StopNode {
        node: usize,
        power: bool,
    },
    StartMaster {
        node: usize,
        force: bool,
    },
    StartReplica {
        node: usize,
    },
    StopFront {
        front: usize,
    },
    StartFront {
        front: usize,
    },
    Backup {
        node: usize,
    },
    Restore {
        node: usize,
    },
    Wipe {
        node: usize,
    },
    RestoreRedis {
        want: usize,
    },
    /// Only before a run: time passes.
    GoOn {
        ms: u64,
    },
    /// Only before a run: a report of long ago, of the backup's version, is still on its way.
    Stray {
        node: usize,
    },
}

impl Action {
    /// What nobody does by himself while the others rest.
    fn is_a_new_attempt(&self) -> bool {
        matches!(self, Action::Retry { .. } | Action::StartReplica { .. } | Action::StartFront { .. })
    }

    /// The frontend that acts.
    fn front(&self) -> Option<usize> {
        match *self {
            Action::Look { front, .. }
            | Action::Ask { front }
            | Action::AskFails { front }
            | Action::GiveBack { front }
            | Action::PublishFloors { front }
            | Action::AskRedis { front, .. }
            | Action::Pick { front, .. }
            | Action::FlightFails { front, .. }
            | Action::Come { front, .. }
            | Action::StopFront { front }
            | Action::StartFront { front } => Some(front),
            _ => None,
        }
    }
}

/// A request of a client on its way, as the order node that carries it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Op {
    pub begun: bool,
    pub attempts: u16,
    pub done: bool,
    /// The candidate that is asked next.
    pub master: usize,
}

/// What lies in the second level for one want, and what lay there before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Slot {
    pub now: Option<Arc<Content>>,
    pub before: Option<Arc<Content>>,
}

/// What has happened at least once, for the properties that say that things are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen(pub u32);

pub const SEEN: [(&str, u32); 14] = [
    ("a hit from memory", 1 << 0),
    ("a hit from the second level", 1 << 1),
    ("an answer of a replica", 1 << 2),
    ("an answer with a warning", 1 << 3),
    ("a purchase acknowledged", 1 << 4),
    ("a purchase acknowledged after a loss", 1 << 5),
    ("a purchase acknowledged after a restart of the master", 1 << 6),
    ("a purchase acknowledged after a lease ran out in a fence", 1 << 7),
    ("a purchase acknowledged after a handover", 1 << 8),
    ("a purchase acknowledged after a promotion by force", 1 << 9),
    ("a purchase acknowledged after the data was wiped or restored", 1 << 10),
    ("a replica took a snapshot", 1 << 11),
    ("a fence overtook the answer to a join", 1 << 12),
    ("a master was deposed", 1 << 13),
];

impl Seen {
    pub const MEMORY: u32 = 1 << 0;
    pub const REDIS: u32 = 1 << 1;
    pub const REPLICA: u32 = 1 << 2;
    pub const WARNING: u32 = 1 << 3;
    pub const BOUGHT: u32 = 1 << 4;
    pub const AFTER_LOSS: u32 = 1 << 5;
    pub const AFTER_RESTART: u32 = 1 << 6;
    pub const AFTER_EXPIRY: u32 = 1 << 7;
    pub const AFTER_HANDOVER: u32 = 1 << 8;
    pub const AFTER_FORCE: u32 = 1 << 9;
    pub const AFTER_REWIND: u32 = 1 << 10;
    pub const SNAPSHOT: u32 = 1 << 11;
    pub const OVERTOOK: u32 = 1 << 12;
    pub const DEPOSED: u32 = 1 << 13;
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

    fn enabled_clients(&self, actions: &mut Vec<Action>) {
        for (op, state) in self.ops.iter().enumerate() {
            if !state.begun {
                // In their order: which customer is which makes no difference.
                actions.push(Action::Begin { op });
                break;
            }
        }
        for (op, state) in self.ops.iter().enumerate().filter(|(_, state)| state.begun && !state.done) {
            let repeatable = matches!(self.setup.deeds[op], Deed::Buy(_));
            let under_way = self.net.iter().any(|sealed| {
                matches!(&sealed.envelope.msg, Msg::Buy { op: other, .. } | Msg::Bought { op: other, .. } if *other == op)
            }) || self.nodes.iter().any(|node| node.has_job(op));
            if repeatable && if under_way { self.left.impatience > 0 } else { self.left.retries > 0 } {
                actions.push(Action::Retry { op, node: state.master });
            }
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

    fn send_op(&mut self, op: usize, to: usize) {
        let ops = Arc::make_mut(&mut self.ops);
        ops[op].attempts += 1;
        let attempt = ops[op].attempts;
        let request = match &self.setup.deeds[op] {
            Deed::Edit(edit) => Request::Edit(edit.clone()),
            Deed::Buy(book) => {
                let key = match kept(Rule::RetriesKeepTheirKey) {
                    true => format!("key-{op}"),
                    false => format!("key-{op}-{attempt}"),
                };
                Request::Purchase(Purchase {
                    // Each attempt of a client may come through another frontend, which drew another id.
                    order_id: OrderId::draw(0, op as u128 * oracle::ATTEMPTS + u128::from(attempt)),
                    key: IdempotencyKey::parse(key).expect("a short key of visible characters"),
                    book_id: *book,
                    quantity: Quantity::ONE,
                    offer: None,
                })
            }
        };
        self.say(&format!("customer {op}"), || match &request {
            Request::Purchase(purchase) => format!("buys book {} (attempt {attempt})", purchase.book_id),
            Request::Edit(edit) | Request::Guarded(GuardedEdit { edit, .. }) => {
                format!("the keeper's edit: {}", edit_words(edit))
            }
        });
        let met = self.orders_met.highest();
        self.send(met, Msg::Buy { op, request: Box::new(request), to });
    }

    pub fn bought(
        &mut self,
        op: usize,
        outcome: Option<Box<Outcome>>,
        version: crate::domain::Version,
        by: Epoch,
    ) {
        if self.ops[op].done {
            // A late answer to an earlier attempt: the customer has one already, and reads this one too.
            if let Some(outcome) = outcome {
                self.told(op, &outcome, version, by);
            }
            return;
        }
        let Some(outcome) = outcome else {
            let next = (self.ops[op].master + 1) % self.nodes.len();
            Arc::make_mut(&mut self.ops)[op].master = next;
            return;
        };
        Arc::make_mut(&mut self.ops)[op].done = true;
        self.told(op, &outcome, version, by);
    }

    fn told(&mut self, op: usize, outcome: &Outcome, version: crate::domain::Version, by: Epoch) {
        match outcome {
            Outcome::Purchase { answer, replayed } => {
                let words = match answer {
                    Ok(receipt) => {
                        self.seen.0 |= Seen::BOUGHT | self.faults;
                        format!(
                            "is told: bought at {}, {} left",
                            receipt.version.public(),
                            receipt.remaining.get()
                        )
                    }
                    Err(refusal) => format!("is told: {refusal}"),
                };
                let again = if *replayed { " (replayed)" } else { "" };
                self.say(&format!("customer {op}"), || format!("{words}{again}"));
                if let Ok(receipt) = answer {
                    Arc::make_mut(&mut self.oracle).told(receipt.version, by);
                }
            }
            Outcome::Edit(_) | Outcome::Guarded { .. } | Outcome::Rejected => {
                self.say(&format!("customer {op}"), || format!("is told: done at {}", version.public()));
                Arc::make_mut(&mut self.oracle).told(version, by);
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

    /// The fair continuation: no more faults, every message arrives, everybody does the next thing. Returns
    /// what is wrong if somebody is still waiting after a while, or a promise is broken on the way.
    pub fn settle(&mut self) -> Result<(), Violation> {
        let plenty = u16::MAX;
        self.left = Left { asks: plenty, reports: plenty, ticks: plenty, retries: plenty, ..Left::default() };
        self.settling = Some(self.now);
        let mut rounds = 0;
        while !(self.is_calm() && self.net.is_empty()) {
            rounds += 1;
            if let Some(violation) = &self.violation {
                return Err(violation.clone());
            }
            if rounds > SETTLED_BY {
                return Err(Violation { promise: oracle::STUCK, words: self.who_waits() });
            }
            self.operate(rounds > SETTLED_BY / 8);
            match self.fair_action() {
                Some(action) => {
                    // Who tries again has waited a little.
                    if matches!(action, Action::Retry { .. } | Action::Announce { .. }) {
                        self.advance(self.now + 25 * MS);
                    }
                    self.step(&action);
                }
                None => self.advance(self.now + 50 * MS),
            }
            if rounds % 50 == 0 {
                self.look_around();
            }
        }
        self.violation.clone().map_or(Ok(()), Err)
    }

    fn who_waits(&self) -> String {
        let mut who: Vec<String> = Vec::new();
        who.extend(
            self.ops
                .iter()
                .enumerate()
                .filter(|(_, op)| op.begun && !op.done)
                .map(|(n, _)| format!("customer {n}")),
        );
        for (n, front) in self.fronts.iter().enumerate() {
            who.extend(
                front.reads.iter().map(|read| format!("a reader at {}: {read}", World::front_name(n))),
            );
        }
        who.extend(self.net.iter().map(|sealed| format!("the message \"{}\"", sealed.envelope.msg.words())));
        format!("still waiting: {}", who.join(", "))
    }

    /// Now and then replicas report, and frontends ask for what they lack.
    fn look_around(&mut self) {
        let mut actions = Vec::new();
        self.enabled(&mut actions);
        let leased = |front: usize| {
            self.fronts[front].session.held().is_some_and(|lease| lease.valid_at(self.front_now(front)))
        };
        actions.retain(|action| match action {
            Action::Report { .. } => true,
            Action::Ask { front } => !leased(*front),
            _ => false,
        });
        actions.iter().for_each(|action| self.step(action));
    }

    /// What a careful operator does: starts the master, or its heir; by force only when nothing else helps.
    fn operate(&mut self, at_a_loss: bool) {
        if self.nodes.iter().any(|node| node.reigns()) {
            return;
        }
        let mine = |node: &Node| node.disk.seen.sealed_for() == Some(node.disk.node);
        let down = |node: &Node| matches!(node.process, Process::Down);
        let may_start = |node: usize| self.start_as_master(node, false).is_ok();
        let heir = (0..self.nodes.len()).find(|&node| mine(&self.nodes[node]) && may_start(node));
        let next =
            heir.or_else(|| (0..self.nodes.len()).find(|&node| down(&self.nodes[node]) && may_start(node)));
        if let Some(node) = next {
            self.kill(node, false);
            self.start_master(node, false);
        } else if at_a_loss {
            self.kill(0, false);
            self.start_master(0, true);
        }
    }

    /// What happens next where nothing goes wrong: what is under way first, then time.
    fn fair_action(&self) -> Option<Action> {
        let mut actions = Vec::new();
        self.enabled(&mut actions);
        let master_up = self.nodes.iter().any(|node| node.master().is_some());
        let rank = |action: &Action| match action {
            Action::Deliver { .. } => 0,
            Action::Look { .. }
            | Action::AskRedis { .. }
            | Action::Pick { .. }
            | Action::SendFence { .. }
            | Action::Commit { .. }
            | Action::Acknowledge { .. }
            | Action::Push { .. }
            | Action::PublishFloors { .. }
            | Action::Sync { .. }
            | Action::Batch { .. } => 1,
            Action::AskFails { .. }
            | Action::FlightFails { .. }
            | Action::PushFails { .. }
            | Action::FollowFails { .. }
            | Action::Retry { .. }
            | Action::Announce { .. } => 2,
            Action::StartReplica { .. } if master_up => 3,
            Action::StartFront { .. } => 3,
            _ => 9,
        };
        let rotated = |action: &Action| match action {
            // Not the same of several again and again.
            Action::Deliver { index, .. } => *index,
            _ => 0,
        };
        actions.retain(|action| rank(action) < 9);
        actions.into_iter().min_by_key(|action| (rank(action), rotated(action)))
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

    /// Whether everybody who asked for something has an answer.
    pub fn is_calm(&self) -> bool {
        let repeats = |op: usize| matches!(self.setup.deeds[op], Deed::Buy(_));
        self.ops.iter().enumerate().all(|(n, op)| !op.begun || op.done || !repeats(n))
            && self.fronts.iter().all(|front| front.reads.is_empty())
    }

    pub fn life_of(&self, node: usize) -> Life {
        self.nodes[node].life
    }
}

pub fn edit_words(edit: &Edit) -> String {
    match edit {
        Edit::Create(book) => format!("create a book of topic {}", book.topic),
        Edit::Put(book) => format!("put book {} into topic {}", book.id, book.topic),
        Edit::Update { book_id, topic: Some(topic), .. } => format!("move book {book_id} to topic {topic}"),
        Edit::Update { book_id, .. } => format!("change book {book_id}"),
        Edit::Restock { book_id, copies } => format!("{copies} more of book {book_id}"),
        Edit::Withdraw { book_id, copies } => format!("{copies} less of book {book_id}"),
        Edit::Delete { book_id } => format!("delete book {book_id}"),
    }
}
