//! Disks that are full or broken: nothing acknowledged is lost, reads go on, and what can go on by itself
//! does.

use crate::harness::{Client, Cluster, Shape, in_company, wait_until};
use rustix::io::Errno;

const BOOK: i64 = 9;

fn store() -> Cluster {
    Cluster::start(Shape { faulty_disks: true, ..Shape::default() })
}

fn sells(client: &Client, key: &str) -> bool {
    client.try_buy(BOOK, key).is_some_and(|answer| answer.status == 200)
}

#[test]
fn a_disk_that_takes_no_writes_refuses_purchases_lets_reads_go_on_and_needs_no_restart_afterwards() {
    let _company = in_company();
    let cluster = store();
    let client = cluster.client(0);
    let mut left = 15;
    for error in [Errno::NOSPC, Errno::ROFS, Errno::IO] {
        let key = format!("while-{error}").replace(' ', "-");
        cluster.disk("master").fail("write", error);
        client.buy_with_key(BOOK, &key).problem(503, "unavailable");
        for reader in cluster.clients() {
            let read = reader.info(BOOK).ok();
            assert_eq!((read.stock(BOOK), read.says_stale()), (left, false));
        }
        cluster.disk("master").heal();
        left -= 1;
        assert_eq!(client.buy_with_key(BOOK, &key).ok().json()["remaining"], left);
        assert_eq!(client.info(BOOK).ok().stock(BOOK), left);
    }
    assert!(cluster.master.log().contains("could not be"), "the log says nothing of it");
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}

#[test]
fn a_disk_that_breaks_while_it_syncs_ends_the_master_with_a_word_and_loses_nothing_acknowledged() {
    let _company = in_company();
    let mut cluster = store();
    let client = cluster.client(0);
    client.buy(BOOK).ok();
    assert_eq!(client.info(BOOK).ok().stock(BOOK), 14);
    cluster.disk("master").fail("sync", Errno::IO);
    let unknown = client.try_buy(BOOK, "while-broken");
    assert!(unknown.is_none_or(|answer| answer.status == 503));
    assert!(!cluster.master.wait().success());
    let log = cluster.master.log();
    assert!(log.contains("could not commit"), "{log}");
    // Whatever is nearest, and it says that it may be stale.
    wait_until("reads go on", || client.info(BOOK).says_stale());
    cluster.disk("master").heal();
    cluster.master.restart();
    wait_until("it sells again", || sells(&client, "while-broken"));
    cluster.settled();
    assert_eq!(client.info(BOOK).ok().stock(BOOK), 13);
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 2);
}

#[test]
fn a_replica_whose_disk_is_full_holds_up_nobody_and_follows_again_when_there_is_room() {
    let _company = in_company();
    let cluster = store();
    let client = cluster.client(0);
    client.buy(BOOK).ok();
    cluster.disk("replica-1").fail("write", Errno::NOSPC);
    client.buy(BOOK).ok();
    for reader in cluster.clients() {
        assert_eq!(reader.info(BOOK).ok().stock(BOOK), 13);
    }
    assert_eq!(cluster.state()["in_sync"], 0);
    cluster.disk("replica-1").heal();
    cluster.in_sync(1);
    client.buy(BOOK).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}
