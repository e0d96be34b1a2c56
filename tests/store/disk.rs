//! Disks that are full: purchases are refused while they are, reads go on, and nothing is lost.

use crate::harness::{Client, Cluster, Shape, alone, in_company, wait_until};
use std::fs;

#[test]
fn a_master_without_room_refuses_purchases_goes_on_reading_and_sells_again_when_there_is_room() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.buy(9).ok();
    // Whatever a commit would write is beyond it.
    let file = bazar::store::current_file(&cluster.data("master")).unwrap();
    let size = fs::metadata(file.with_file_name("bazar.db-wal")).unwrap().len();
    cluster.master.limit_files(Some(size));
    let refused = client.buy_with_key(9, "no-room");
    assert_eq!(refused.status, 503, "{}", refused.text());
    let read = client.info(9).ok();
    assert_eq!(read.stock(9), 14);
    assert!(!read.says_stale());
    assert!(cluster.master.log().contains("could not be committed"), "{}", cluster.master.log());

    cluster.master.limit_files(None);
    let bought = client.buy_with_key(9, "no-room").ok();
    assert_eq!(bought.json()["remaining"], 13);
    client.buy(9).ok();
    cluster.in_sync(1);
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}

#[test]
fn a_replica_without_room_is_not_waited_for_and_catches_up_when_there_is_room() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.buy(9).ok();
    let file = bazar::store::current_file(&cluster.data("replica-1")).unwrap();
    let size = fs::metadata(file.with_file_name("bazar.db-wal")).unwrap().len();
    cluster.replicas[0].limit_files(Some(size));
    client.buy(9).ok();
    wait_until("the replica is out of the set", || cluster.state()["in_sync"] == 0);
    client.buy(9).ok();
    assert_eq!(client.info(9).ok().stock(9), 12);
    assert_eq!(Client::new(cluster.replicas[0].url()).get("/healthz").status, 200);

    cluster.replicas[0].limit_files(None);
    cluster.in_sync(1);
    assert!(!cluster.replicas[0].log().contains("snapshot"));
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}
