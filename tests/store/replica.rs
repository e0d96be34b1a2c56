//! A replica reaches the master's state from wherever it begins, and holds up nobody for long.

use crate::harness::{Cluster, Shape, alone, in_company, median, rows, start_nodes};
use std::time::Duration;

#[test]
fn a_replica_catches_up_from_nothing_and_from_an_old_file() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    (0..3).for_each(|_| drop(client.buy(9).ok()));
    let replica = cluster.start_replica("replica-1");
    cluster.replicas.push(replica);
    cluster.in_sync(1);
    client.buy(9).ok();

    cluster.replicas[0].stop();
    (0..5).for_each(|_| drop(client.buy(9).ok()));
    cluster.replicas[0].restart();
    cluster.in_sync(1);
    client.buy(9).ok();

    // Not even cleanly.
    cluster.replicas[0].kill();
    client.buy(9).ok();
    cluster.replicas[0].restart();
    let log = cluster.replicas[0].log();
    assert!(!log.contains("snapshot"), "the log would have been enough:\n{log}");
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 11);
}

#[test]
fn a_replica_catches_up_with_a_master_that_was_started_again_meanwhile() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.buy(9).ok();
    cluster.replicas[0].stop();
    client.buy(9).ok();
    cluster.master.kill();
    cluster.master.restart();
    client.buy(9).ok();
    cluster.replicas[0].restart();
    cluster.settled();
    assert_eq!(client.info(9).stock(9), 12);
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}

#[test]
fn a_replica_with_another_history_takes_a_snapshot() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.buy(9).ok();
    // Another life of a lower number: of a higher one, it would be this master that gives up.
    cluster.master.stop();
    cluster.master.restart();
    let data = cluster.data("replica-1");
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut other = start_nodes(cluster.dir(), "other-master", &args);
    other.stop();
    assert!(rows(&data)["orders"].is_empty());

    let replica = cluster.start_replica("replica-1");
    cluster.replicas.push(replica);
    cluster.in_sync(1);
    assert!(cluster.replicas[0].log().contains("snapshot"));
    assert!(data.join("set-aside").is_dir(), "nobody else may have had what was in it");
    client.buy(9).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 2);
}

#[test]
fn a_replica_that_hangs_costs_buyers_one_deadline_once_and_comes_back() {
    let _alone = alone();
    /// The master waits half a second for a replica; the rest is for a busy machine.
    const ONE_DEADLINE: Duration = Duration::from_secs(3);
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.buy(9).ok();
    cluster.replicas[0].pause();
    let first = client.buy(9).ok();
    assert!(first.took < ONE_DEADLINE, "took {:?}", first.took);
    assert_eq!(cluster.state()["in_sync"], 0);
    let took = median((8..13).rev().map(|left| {
        let took = client.buy(9).ok().took;
        assert_eq!(client.info(9).ok().stock(9), left);
        took
    }));
    // Were each to wait for the replica, it would take half a second.
    assert!(took < Duration::from_millis(450), "took {took:?}");
    cluster.replicas[0].resume();
    cluster.in_sync(1);
    client.buy(9).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 8);
}
