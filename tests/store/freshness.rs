//! Promise 1 under load: no reader ever sees a count that is older than what any buyer was already told.

use crate::harness::{Answer, Client, Cluster, Shape, alone};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
const TIME: Duration = Duration::from_secs(20);
const STOCK: i64 = 1_000_000;
const BOOK: i64 = 1;
const TOPIC: &str = "fiction";

/// A purchase makes every cache forget the book; with fewer reads between two, none could be a hit.
const READS_PER_PURCHASE: u64 = 500;

/// With fewer the test would have shown little.
const LEAST_PURCHASES: u64 = 20;

#[derive(Default)]
struct Seen {
    /// The lowest count that any buyer was told.
    acknowledged: AtomicI64,
    reads: AtomicU64,
    hits: AtomicU64,
    /// Purchases that were begun, and with how many reads the next may begin.
    purchases: AtomicU64,
}

#[test]
fn no_read_shows_a_count_older_than_one_that_was_acknowledged_before_it_began() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { orders: 2, redis: true, ..Shape::default() });
    cluster.set_stock(BOOK, STOCK);
    let seen = Seen { acknowledged: AtomicI64::new(STOCK), ..Seen::default() };
    let until = Instant::now() + TIME;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (clients, seen) = (cluster.clients(), &seen);
            scope.spawn(move || customer(number, &clients, seen, until));
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let (reads, hits, purchases) = (count(&seen.reads), count(&seen.hits), count(&seen.purchases));
    println!("{reads} reads, {hits} of them hits, {purchases} purchases in {TIME:?}");
    assert!(hits * 2 > reads, "only {hits} of {reads} reads were hits");
    assert!(purchases >= LEAST_PURCHASES, "only {purchases} purchases");
    let left = cluster.client(0).info(BOOK).stock(BOOK);
    assert_eq!(STOCK - left, i64::try_from(purchases).unwrap());
    assert_eq!(left, seen.acknowledged.load(Ordering::SeqCst));
    let rows = cluster.stop_and_compare();
    assert_eq!(rows["orders"].len() as u64, purchases);
}

/// Reads through both frontends in turn; buys through one when its time has come, and reads through the
/// other next.
fn customer(number: usize, clients: &[Client], seen: &Seen, until: Instant) {
    for turn in number.. {
        if Instant::now() >= until {
            return;
        }
        let (here, there) = (&clients[turn % 2], &clients[(turn + 1) % 2]);
        if may_buy(seen) {
            let receipt = here.buy(BOOK).ok();
            let remaining = receipt.json()["remaining"].as_i64().unwrap();
            seen.acknowledged.fetch_min(remaining, Ordering::SeqCst);
            for info in [true, false] {
                assert!(read(there, info, seen).version() >= receipt.version());
            }
        }
        read(here, turn % 4 < 2, seen);
    }
}

fn may_buy(seen: &Seen) -> bool {
    let begun = seen.purchases.load(Ordering::SeqCst);
    seen.reads.load(Ordering::SeqCst) >= begun * READS_PER_PURCHASE
        && seen.purchases.compare_exchange(begun, begun + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

fn read(client: &Client, info: bool, seen: &Seen) -> Answer {
    let newest = seen.acknowledged.load(Ordering::SeqCst);
    let answer = if info { client.info(BOOK) } else { client.search(TOPIC) }.ok();
    let stock = answer.stock(BOOK);
    assert!(
        stock <= newest,
        "{stock} copies at {} ({}), but {newest} were acknowledged before",
        answer.header("bazar-version"),
        answer.header("x-cache")
    );
    assert!(!answer.says_stale());
    seen.reads.fetch_add(1, Ordering::SeqCst);
    seen.hits.fetch_add(u64::from(answer.cached()), Ordering::SeqCst);
    answer
}
