//! The configurations of the checker: small worlds, each with the faults that belong together.

use crate::domain::{Book, BookId, Cents, Edit, Stock, Title, Topic};
use crate::world::Prelude::{Act, ReadAll, Rest};
use crate::world::rows::Want;
use crate::world::{Action, Clock, Deed, Left, Setup};
use std::sync::Arc;

pub struct Config {
    pub name: &'static str,
    pub about: &'static str,
    pub setup: Arc<Setup>,
}

pub fn id(id: i64) -> BookId {
    BookId::new(id).expect("a small positive number")
}

pub fn topic(name: &str) -> Topic {
    Topic::parse(name).expect("a short name")
}

pub fn book(number: i64, of: &str, stock: i64) -> Book {
    Book {
        id: id(number),
        title: Title::parse(format!("book {number}")).expect("a short title"),
        topic: topic(of),
        stock: Stock::new(stock).expect("a small count"),
        price: Cents::new(100).expect("a small price"),
    }
}

fn base() -> Setup {
    Setup {
        nodes: 2,
        fronts: 2,
        addresses: vec![0, 1],
        name_is_fixed: false,
        // Nobody's clock started when another's did.
        clocks: (0..8).map(|n| Clock { permille: 1000, offset: 7_000_000_000 * n }).collect(),
        books: vec![book(1, "art", 2)],
        wants: vec![Want::Book(id(1))],
        deeds: vec![Deed::Buy(id(1))],
        redis: false,
        terms_ms: vec![1000],
        warm: true,
        prelude: Vec::new(),
        slow_looks: false,
        budget: Left { reads: 3, retries: 2, ..Left::default() },
    }
}

fn config(name: &'static str, about: &'static str, change: impl FnOnce(&mut Setup)) -> Config {
    let mut setup = base();
    change(&mut setup);
    Config { name, about, setup: Arc::new(setup) }
}

fn one_front(setup: &mut Setup) {
    setup.nodes = 1;
    setup.fronts = 1;
    setup.addresses = vec![0];
}

fn no_front(setup: &mut Setup) {
    setup.fronts = 0;
    setup.addresses = vec![];
}

/// The master was backed up, `purchases` were made, and it was restored; the replica, which has them all,
/// had reported before, and that report is still on its way.
fn restored_under_a_replica(purchases: usize) -> Vec<crate::world::Prelude> {
    let mut steps = vec![Act(Action::Backup { node: 0 })];
    for op in 0..purchases {
        steps.extend([Act(Action::Begin { op }), Rest]);
    }
    steps.extend([
        Act(Action::StopNode { node: 0, power: false }),
        Act(Action::Restore { node: 0 }),
        Act(Action::Stray { node: 1 }),
        Act(Action::StartMaster { node: 0, force: false }),
    ]);
    steps
}

/// All of them, the smallest first.
pub fn all() -> Vec<Config> {
    vec![
        config("race", "a purchase races reads through two frontends, master and replica", |s| {
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget = Left { retries: 2, reads: 3, ..Left::default() };
        }),
        config("join", "a frontend joins while a batch is fenced, with an old second level", |s| {
            s.nodes = 1;
            s.fronts = 2;
            s.redis = true;
            s.warm = true;
            s.budget = Left { retries: 2, reads: 3, asks: 2, front_stops: 1, ..Left::default() };
        }),
        config("list", "a list is read while a book in it sells, moves and appears", |s| {
            s.nodes = 1;
            s.books = vec![book(1, "art", 2), book(2, "law", 1)];
            s.wants = vec![Want::Page(topic("art")), Want::Page(topic("law")), Want::Book(id(3))];
            let to_law = Edit::Update {
                book_id: id(1),
                title: None,
                topic: Some(topic("law")),
                stock: None,
                price: None,
            };
            s.deeds = vec![Deed::Buy(id(1)), Deed::Edit(to_law), Deed::Edit(Edit::Put(book(3, "art", 1)))];
            s.budget = Left { retries: 2, reads: 3, ..Left::default() };
        }),
        config("expiry", "fences and renewals are lost and late, leases run out", |s| {
            s.nodes = 1;
            s.slow_looks = true;
            s.budget = Left { retries: 2, reads: 2, asks: 2, ticks: 5, losses: 2, ..Left::default() };
        }),
        config("drift", "the master's clock is a percent fast, a frontend's a percent slow", |s| {
            s.nodes = 1;
            s.clocks[0].permille = 1010;
            s.clocks[1].permille = 990;
            s.budget = Left { retries: 2, reads: 3, asks: 1, ticks: 6, losses: 1, ..Left::default() };
        }),
        config("rejoin", "a frontend loses its lease in the middle of a check and gets another", |s| {
            s.nodes = 1;
            s.redis = true;
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget =
                Left { retries: 2, reads: 3, asks: 2, ticks: 2, losses: 1, releases: 1, ..Left::default() };
        }),
        config("address", "two frontends behind one address", |s| {
            s.nodes = 1;
            s.addresses = vec![0, 0];
            s.budget = Left { retries: 2, reads: 3, asks: 1, ticks: 2, ..Left::default() };
        }),
        config("name", "a name that always stands for the first of two frontends", |s| {
            s.nodes = 1;
            s.addresses = vec![0, 0];
            s.name_is_fixed = true;
            s.budget = Left { retries: 2, reads: 2, asks: 2, ticks: 5, ..Left::default() };
        }),
        config("restart", "the master is killed and starts again, with leases still running", |s| {
            s.nodes = 1;
            s.terms_ms = vec![1000, 200];
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget = Left { retries: 2, reads: 3, ticks: 4, master_stops: 2, ..Left::default() };
        }),
        config("rewind", "the master's data is wiped, or restored from a backup", |s| {
            s.nodes = 1;
            s.redis = true;
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget = Left {
                retries: 2,
                reads: 3,
                asks: 2,
                ticks: 3,
                master_stops: 1,
                wipes: 1,
                backups: 1,
                ..Left::default()
            };
        }),
        config("replica", "a replica lags, is killed, loses its power and catches up", |s| {
            s.fronts = 1;
            s.addresses = vec![0];
            s.budget = Left {
                retries: 2,
                reads: 2,
                reports: 2,
                losses: 1,
                ticks: 2,
                power_cuts: 1,
                replica_stops: 1,
                ..Left::default()
            };
        }),
        config("history", "a replica meets a master of another history", |s| {
            s.fronts = 1;
            s.addresses = vec![0];
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget = Left {
                retries: 2,
                reads: 1,
                asks: 1,
                reports: 3,
                ticks: 2,
                master_stops: 1,
                wipes: 1,
                backups: 1,
                ..Left::default()
            };
        }),
        config("rejoins", "a frontend starts again beside a second level with old entries", |s| {
            one_front(s);
            s.redis = true;
            s.prelude = vec![ReadAll, Act(Action::Begin { op: 0 }), Rest];
            s.budget = Left { reads: 1, asks: 1, front_stops: 1, ..Left::default() };
        }),
        config(
            "joins",
            "a frontend joins while a batch is fenced, beside a second level with entries",
            |s| {
                one_front(s);
                s.redis = true;
                s.prelude = vec![
                    ReadAll,
                    Act(Action::StopFront { front: 0 }),
                    Act(Action::GoOn { ms: 1000 }),
                    Act(Action::StartFront { front: 0 }),
                ];
                s.budget = Left { reads: 1, asks: 1, ..Left::default() };
            },
        ),
        config("lists", "a list is known, and a book in it sells", |s| {
            one_front(s);
            s.books = vec![book(1, "art", 2), book(2, "art", 1)];
            s.wants = vec![Want::Page(topic("art"))];
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 2, ..Left::default() };
        }),
        config("edits", "lists are known, books appear and move", |s| {
            one_front(s);
            s.wants = vec![Want::Page(topic("art")), Want::Page(topic("law")), Want::Book(id(3))];
            let topic = Some(topic("law"));
            let to_law = Edit::Update { book_id: id(1), title: None, topic, stock: None, price: None };
            s.deeds = vec![Deed::Edit(to_law), Deed::Edit(Edit::Put(book(3, "art", 1)))];
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 1, ..Left::default() };
        }),
        config("epochs", "the second level has entries of a life before the master was restored", |s| {
            one_front(s);
            s.redis = true;
            s.books = vec![book(1, "art", 2), book(2, "art", 2)];
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(2))];
            s.prelude = vec![
                Act(Action::Backup { node: 0 }),
                Act(Action::Begin { op: 0 }),
                Rest,
                ReadAll,
                Act(Action::StopNode { node: 0, power: false }),
                Act(Action::Restore { node: 0 }),
                Act(Action::StartMaster { node: 0, force: false }),
                Act(Action::GoOn { ms: 1000 }),
            ];
            s.budget = Left { reads: 1, asks: 1, ..Left::default() };
        }),
        config("slow", "a frontend's clock is slow and the master's is fast", |s| {
            one_front(s);
            s.clocks[0].permille = 1010;
            s.clocks[1].permille = 990;
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 1, ticks: 4, losses: 1, ..Left::default() };
        }),
        config("named", "a name stands for the first of two frontends, and both ask for leases", |s| {
            s.nodes = 1;
            s.addresses = vec![0, 0];
            s.name_is_fixed = true;
            s.warm = false;
            s.budget = Left { asks: 2, retries: 1, ..Left::default() };
        }),
        config(
            "crossed",
            "a grant of an old master is on its way while the frontend meets the new one",
            |s| {
                one_front(s);
                s.nodes = 2;
                s.warm = false;
                s.deeds = vec![];
                s.prelude = vec![
                    Act(Action::Report { node: 1 }),
                    Rest,
                    Act(Action::StopNode { node: 0, power: false }),
                    Act(Action::StopNode { node: 1, power: false }),
                    Act(Action::StartMaster { node: 1, force: true }),
                    Act(Action::StartMaster { node: 0, force: false }),
                ];
                s.budget = Left { reads: 2, asks: 1, losses: 1, ..Left::default() };
            },
        ),
        config("waiters", "two readers share a flight while a purchase is made", |s| {
            one_front(s);
            s.budget = Left { reads: 2, ..Left::default() };
        }),
        config("usurped", "a start by force hands over before it has written anything", |s| {
            no_front(s);
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.prelude = vec![
                Act(Action::StopNode { node: 0, power: false }),
                Act(Action::StartMaster { node: 0, force: true }),
                Act(Action::GoOn { ms: 5000 }),
                Act(Action::Report { node: 1 }),
                Rest,
                Act(Action::Report { node: 1 }),
                Rest,
                Act(Action::Handover { node: 0, to: 1 }),
                Rest,
                Act(Action::StopNode { node: 1, power: false }),
                Act(Action::StartMaster { node: 1, force: false }),
                Act(Action::GoOn { ms: 6000 }),
            ];
            s.budget = Left { retries: 2, ..Left::default() };
        }),
        config("heirs", "the master hands over, and is started again all the same", |s| {
            no_front(s);
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget = Left {
                ticks: 1,
                retries: 1,
                master_stops: 1,
                replica_stops: 1,
                handovers: 1,
                ..Left::default()
            };
        }),
        config("sealed", "the master hands over to a replica under a reader", |s| {
            one_front(s);
            s.nodes = 2;
            s.prelude = vec![
                ReadAll,
                Act(Action::Handover { node: 0, to: 1 }),
                Rest,
                Act(Action::StopNode { node: 1, power: false }),
                Act(Action::StartMaster { node: 1, force: false }),
            ];
            s.budget = Left { reads: 1, asks: 1, ticks: 2, retries: 2, ..Left::default() };
        }),
        config("cached", "two frontends that know everything, and a purchase", |s| {
            s.nodes = 1;
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 2, ..Left::default() };
        }),
        config("late", "the answer about a lease is late", |s| {
            one_front(s);
            s.prelude = vec![ReadAll, Act(Action::GoOn { ms: 300 })];
            s.budget = Left { reads: 1, asks: 2, ticks: 6, losses: 1, ..Left::default() };
        }),
        config("stall", "a frontend renews again and again and answers no fence", |s| {
            one_front(s);
            s.prelude = vec![Act(Action::GoOn { ms: 300 })];
            s.budget = Left { asks: 2, ticks: 5, losses: 1, ..Left::default() };
        }),
        config("shared", "two frontends behind one address, both with entries", |s| {
            s.nodes = 1;
            s.addresses = vec![0, 0];
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 1, ticks: 1, ..Left::default() };
        }),
        config("release", "a frontend gives its lease back", |s| {
            one_front(s);
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 1, ticks: 1, releases: 1, ..Left::default() };
        }),
        config("shares", "readers without a lease share flights to the master", |s| {
            one_front(s);
            s.warm = false;
            s.budget = Left { reads: 3, ..Left::default() };
        }),
        config("behind", "a replica that is behind comes back, and is promoted", |s| {
            no_front(s);
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.prelude = vec![
                Act(Action::StopNode { node: 1, power: false }),
                Act(Action::Begin { op: 0 }),
                Rest,
                Act(Action::GoOn { ms: 600 }),
                Rest,
                Act(Action::StartReplica { node: 1 }),
            ];
            s.budget = Left {
                reports: 1,
                retries: 1,
                ticks: 2,
                master_stops: 1,
                replica_stops: 1,
                forces: 1,
                ..Left::default()
            };
        }),
        config("deposed", "an old master comes back beside one that was promoted by force", |s| {
            one_front(s);
            s.nodes = 2;
            s.prelude = vec![
                Act(Action::StopNode { node: 0, power: false }),
                Act(Action::StopNode { node: 1, power: false }),
                Act(Action::StartMaster { node: 1, force: true }),
                Act(Action::StartMaster { node: 0, force: false }),
            ];
            s.budget = Left { reads: 2, asks: 1, ticks: 3, retries: 2, ..Left::default() };
        }),
        config("renewal", "a lease is renewed while a fence for it is lost", |s| {
            one_front(s);
            s.prelude = vec![ReadAll, Act(Action::GoOn { ms: 300 })];
            s.budget = Left { reads: 1, asks: 1, ticks: 5, losses: 1, ..Left::default() };
        }),
        config("wiped", "the master's data is wiped under a frontend that is cut off", |s| {
            one_front(s);
            s.prelude = vec![ReadAll];
            s.budget = Left { reads: 1, ticks: 3, retries: 1, master_stops: 1, wipes: 1, ..Left::default() };
        }),
        config(
            "loops",
            "a master that crashes before its first batch, again and again, with ever shorter leases",
            |s| {
                one_front(s);
                s.terms_ms = vec![1000, 200, 200];
                s.prelude = vec![ReadAll];
                s.budget = Left { reads: 1, ticks: 3, retries: 1, master_stops: 2, ..Left::default() };
            },
        ),
        config("power", "master and replica lose processes and power, and the replica is promoted", |s| {
            no_front(s);
            s.budget = Left {
                retries: 1,
                losses: 1,
                ticks: 2,
                master_stops: 1,
                replica_stops: 1,
                power_cuts: 1,
                forces: 1,
                ..Left::default()
            };
        }),
        config("stray", "a report of another life arrives at a master whose data was restored", |s| {
            no_front(s);
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.prelude = restored_under_a_replica(1);
            s.budget = Left { reports: 1, retries: 1, ticks: 1, ..Left::default() };
        }),
        config(
            "longer",
            "the same, and the other life was the longer one; then the replica is promoted",
            |s| {
                no_front(s);
                s.books = vec![book(1, "art", 5)];
                s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1)), Deed::Buy(id(1))];
                s.prelude = restored_under_a_replica(2);
                s.budget = Left {
                    retries: 1,
                    ticks: 1,
                    master_stops: 1,
                    replica_stops: 1,
                    forces: 1,
                    ..Left::default()
                };
            },
        ),
        config("unknown", "a replica is promoted that does not know how long the last leases run", |s| {
            one_front(s);
            s.nodes = 2;
            s.terms_ms = vec![200, 5000, 200];
            s.prelude = vec![
                Act(Action::StopNode { node: 1, power: false }),
                Act(Action::StopNode { node: 0, power: false }),
                Act(Action::StartMaster { node: 0, force: false }),
                Act(Action::Ask { front: 0 }),
                Rest,
                Act(Action::Ask { front: 0 }),
                Rest,
                ReadAll,
                Act(Action::StopNode { node: 0, power: false }),
            ];
            s.budget = Left { reads: 1, ticks: 3, retries: 2, forces: 1, ..Left::default() };
        }),
        config("restock", "a late first attempt arrives after a refusal and a delivery", |s| {
            no_front(s);
            s.nodes = 1;
            s.books = vec![book(1, "art", 0)];
            s.deeds = vec![Deed::Buy(id(1)), Deed::Edit(Edit::Restock { book_id: id(1), copies: 1 })];
            s.budget = Left { retries: 1, doubles: 1, impatience: 1, ..Left::default() };
        }),
        config("retry", "requests are lost, late and doubled, and repeated with their keys", |s| {
            s.nodes = 1;
            s.fronts = 0;
            s.addresses = vec![];
            s.books = vec![book(1, "art", 1)];
            s.deeds = vec![
                Deed::Buy(id(1)),
                Deed::Buy(id(1)),
                Deed::Edit(Edit::Restock { book_id: id(1), copies: 1 }),
            ];
            s.budget = Left {
                retries: 2,
                reads: 0,
                losses: 2,
                doubles: 2,
                impatience: 1,
                ticks: 1,
                master_stops: 1,
                power_cuts: 1,
                ..Left::default()
            };
        }),
        config(
            "refusal",
            "a batch that is fenced already cannot be written, and the next one has its version",
            |s| {
                s.nodes = 1;
                s.books = vec![book(1, "art", 2), book(2, "law", 1)];
                s.wants = vec![Want::Book(id(1)), Want::Book(id(2))];
                s.warm = true;
                s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(2))];
                s.budget = Left { retries: 2, reads: 4, asks: 1, ticks: 1, refusals: 2, ..Left::default() };
            },
        ),
        config("handover", "the master hands over to the replica, and comes back", |s| {
            s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
            s.budget = Left {
                retries: 2,
                reads: 2,
                asks: 1,
                ticks: 3,
                reports: 1,
                master_stops: 2,
                replica_stops: 1,
                handovers: 1,
                ..Left::default()
            };
        }),
        config(
            "force",
            "the master is gone, the replica is promoted by force, the old master comes back",
            |s| {
                s.fronts = 1;
                s.addresses = vec![0];
                s.deeds = vec![Deed::Buy(id(1)), Deed::Buy(id(1))];
                s.budget = Left {
                    retries: 2,
                    reads: 1,
                    asks: 1,
                    ticks: 4,
                    reports: 1,
                    losses: 1,
                    master_stops: 2,
                    replica_stops: 1,
                    forces: 1,
                    ..Left::default()
                };
            },
        ),
    ]
}
