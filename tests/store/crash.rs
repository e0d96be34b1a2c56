//! `kill -9` of each role in turn, while customers buy: what was acknowledged stays, and nothing is sold
//! twice.

use crate::harness::{Answer, Client, Cluster, Over, Process, Shape, alone, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const BUYERS: usize = 4;
const BOOK: i64 = 1;
const STOCK: i64 = 100_000;

/// Purchases to see acknowledged before and after each blow.
const SOME: usize = 5;

#[derive(Default)]
struct Sales {
    /// What each key was told.
    receipts: Mutex<BTreeMap<String, Value>>,
    over: AtomicBool,
}

#[test]
fn every_acknowledged_order_survives_kill_9_of_every_role_in_turn() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape { orders: 2, redis: true, ..Shape::default() });
    cluster.set_stock(BOOK, STOCK);
    let sales = Sales::default();
    std::thread::scope(|scope| {
        for number in 0..BUYERS {
            let (clients, sales) = (cluster.clients(), &sales);
            scope.spawn(move || sales.buy(number, &clients));
        }
        let _over = Over(&sales.over);
        sales.go_on("before any blow");
        blow(&sales, &mut cluster.frontends[0], "frontend");
        blow(&sales, &mut cluster.orders[0], "first order node");
        blow(&sales, &mut cluster.orders[1], "second order node");
        blow(&sales, &mut cluster.replicas[0], "replica");
        if let Some(redis) = &mut cluster.redis {
            redis.kill();
            sales.go_on("without Redis");
            redis.restart();
        }
        // Nothing is sold without the master, so nothing is waited for while it is gone.
        cluster.master.kill();
        cluster.master.restart();
        sales.go_on("after the master");
    });
    cluster.settled();
    let receipts = sales.receipts.into_inner().unwrap();
    let client = cluster.client(0);
    for (key, receipt) in &receipts {
        let replay = client.buy_with_key(BOOK, key).ok();
        assert_eq!(replay.header("idempotency-replayed"), "true");
        assert_eq!(replay.json()["orderId"], receipt["orderId"]);
        let order = client.order(receipt["orderId"].as_str().unwrap()).ok().json();
        assert_eq!((&order["version"], &order["total"]), (&receipt["version"], &receipt["total"]));
    }
    let sold = i64::try_from(receipts.len()).unwrap();
    assert_eq!(STOCK - client.info(BOOK).stock(BOOK), sold);
    let rows = cluster.stop_and_compare();
    assert_eq!(rows["orders"].len(), receipts.len());
}

/// Kills a role that the others can do without for a while.
fn blow(sales: &Sales, role: &mut Process, name: &str) {
    role.kill();
    sales.go_on(&format!("without the {name}"));
    role.restart();
    sales.go_on(&format!("with the {name} again"));
}

impl Sales {
    /// Buys one copy after the other. An outcome that is not known is asked for again, with its key,
    /// through the other frontend, until it is.
    fn buy(&self, buyer: usize, clients: &[Client]) {
        let mut through = buyer;
        let mut number = 0;
        while !self.over.load(Ordering::SeqCst) {
            number += 1;
            let key = format!("buyer-{buyer}-{number}");
            let mut answer: Option<Answer> = None;
            wait_until("a purchase has an outcome", || {
                answer = clients[through % 2].try_buy(BOOK, &key).filter(|answer| answer.status != 503);
                through += usize::from(answer.is_none());
                answer.is_some()
            });
            let receipt = answer.unwrap().ok().json();
            self.receipts.lock().unwrap().insert(key, receipt);
        }
    }

    /// Waits until more is sold.
    fn go_on(&self, when: &str) {
        let count = || self.receipts.lock().unwrap().len();
        let before = count();
        wait_until(when, || count() >= before + SOME);
    }
}
