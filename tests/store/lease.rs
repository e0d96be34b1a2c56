//! Leases: a frontend that hangs stalls buyers for one lease at most and shows nothing old when it goes
//! on; without the master, answers say what they are.

use crate::harness::{Client, Cluster, Shape, alone, scrape, wait_until};
use std::time::Duration;

/// The lease is one second; the rest is for a busy machine.
const ONE_LEASE: Duration = Duration::from_secs(3);

/// From a purchase to its 503: ten seconds in the frontend.
const PURCHASE_DEADLINE: Duration = Duration::from_secs(13);

#[test]
fn a_frontend_that_hangs_stalls_a_purchase_one_lease_and_never_shows_the_old_count() {
    let _alone = alone();
    let cluster = Cluster::start(Shape::default());
    let (hanging, other) = (cluster.client(0), cluster.client(1));
    for left in [14, 13] {
        wait_until("both answers are cached", || {
            hanging.info(9).ok().cached() && hanging.search("education").ok().cached()
        });
        cluster.frontends[0].pause();
        std::thread::scope(|scope| {
            let receipt = other.buy(9).ok();
            assert_eq!(receipt.json()["remaining"], left);
            assert!(receipt.took < ONE_LEASE, "took {:?}", receipt.took);
            assert_eq!(other.info(9).ok().stock(9), left);
            // These lie in its sockets when it goes on, with everything that it knew.
            let readers: Vec<_> = (0..8)
                .map(|number| {
                    let client = cluster.client(0);
                    scope.spawn(move || match number % 2 {
                        0 => client.info(9).ok(),
                        _ => client.search("education").ok(),
                    })
                })
                .collect();
            cluster.frontends[0].resume();
            for reader in readers {
                assert_eq!(reader.join().unwrap().stock(9), left);
            }
        });
        assert_eq!(hanging.info(9).ok().stock(9), left);
    }
}

#[test]
fn frontends_that_hang_together_stall_a_purchase_no_longer_than_one() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 4, ..Shape::default() });
    cluster.frontends[..3].iter().for_each(|frontend| frontend.pause());
    let receipt = cluster.client(3).buy(9).ok();
    assert!(receipt.took < ONE_LEASE, "took {:?}", receipt.took);
    let before = stalled(&cluster);
    assert!(before >= 1.0, "who hangs was waited for");
    // Their leases are over: the next buyer waits for none of them.
    cluster.client(3).buy(9).ok();
    assert_eq!(stalled(&cluster), before);
    for (number, frontend) in cluster.frontends.iter().enumerate() {
        frontend.resume();
        assert_eq!(cluster.client(number).info(9).ok().stock(9), 13);
    }
}

#[test]
fn a_frontend_that_was_killed_stalls_a_purchase_one_lease() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape::default());
    let other = cluster.client(1);
    cluster.frontends[0].kill();
    let receipt = other.buy(9).ok();
    assert!(receipt.took < ONE_LEASE, "took {:?}", receipt.took);
    cluster.frontends[0].restart();
    assert_eq!(cluster.client(0).info(9).ok().stock(9), 14);
}

#[test]
fn a_frontend_that_stops_cleanly_stalls_nobody() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape::default());
    let other = cluster.client(1);
    // The first one after a start waits for the leases of lives before.
    other.buy(9).ok();
    cluster.frontends[0].stop();
    assert_eq!(cluster.state()["leases"], 1);
    let before = stalled(&cluster);
    other.buy(9).ok();
    assert_eq!(stalled(&cluster), before);
}

#[test]
fn without_the_master_reads_say_that_they_may_be_stale_and_a_purchase_can_be_repeated() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape::default());
    let clients = cluster.clients();
    clients[0].buy(9).ok();
    cluster.master.kill();
    for client in &clients {
        wait_until("reads say that they may be stale", || {
            let answer = client.info(9).ok();
            assert_eq!(answer.stock(9), 14);
            // Neither of the two before the lease is over: then the cache is right.
            assert!(answer.says_stale() || answer.cached() || answer.header("x-cache") == "MISS");
            answer.says_stale()
        });
        assert!(client.search("nature").ok().says_stale());
    }
    let buyers: Vec<_> = std::thread::scope(|scope| {
        let with_key = scope.spawn(|| clients[0].buy_with_key(9, "patience"));
        let without = scope.spawn(|| clients[1].buy(9));
        [with_key, without].map(|buyer| buyer.join().unwrap()).into()
    });
    for refused in &buyers {
        refused.problem(503, "unavailable");
        assert!(refused.took < PURCHASE_DEADLINE, "took {:?}", refused.took);
        assert!(!refused.header("retry-after").is_empty());
    }
    assert_eq!(buyers[0].header("idempotency-key"), "patience");
    let made = buyers[1].header("idempotency-key").to_owned();
    assert!(!made.is_empty());

    cluster.master.restart();
    for (client, key) in clients.iter().zip(["patience", &made]) {
        client.buy_with_key(9, key).ok();
    }
    cluster.settled();
    assert_eq!(clients[0].info(9).ok().stock(9), 12);
    assert!(!clients[0].info(9).says_stale());
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}

#[test]
fn a_master_that_hangs_does_not_keep_readers_waiting() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.info(9).ok();
    cluster.master.pause();
    wait_until("reads say that they may be stale", || {
        let answer = client.info(9).ok();
        assert!(answer.took < Duration::from_secs(3), "took {:?}", answer.took);
        answer.says_stale()
    });
    cluster.master.resume();
    cluster.settled();
    wait_until("reads are not stale any more", || !client.info(9).ok().says_stale());
    let receipt = Client::new(cluster.frontends[0].url()).buy(9).ok();
    assert_eq!(client.info(9).ok().stock(9), receipt.json()["remaining"].as_i64().unwrap());
}

/// Purchases that have waited for a lease to run out.
fn stalled(cluster: &Cluster) -> f64 {
    scrape(cluster.master.url()).value("bazar_fences_total{outcome=\"lapsed\"}")
}
