//! Snapshots that are damaged on the way, do not fit, or are needed because the log does not go back so far.

use crate::harness::{
    Client, Cluster, Damage, Meddler, Process, Shape, in_company, oldest_record, rows, start_nodes,
    wait_until,
};
use bazar::domain::{Batch, Body, Record};
use bazar::store::{DataDir, NewEpoch};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// More than the head of an answer and the first pages.
const MIDDLE: usize = 50_000;

/// A master with some 200 KB of books, and a directory with another history that it has not met.
fn store() -> (Cluster, PathBuf) {
    let mut cluster =
        Cluster::start(Shape { replicas: 0, frontends: 1, faulty_disks: true, ..Shape::default() });
    // A second life: the other history has a lower number then, so this master stays.
    cluster.master.stop();
    cluster.master.restart();
    let title = "A long title ".repeat(20);
    let new = json!({ "create": { "title": title.trim(), "topic": "long", "stock": 1, "price": 100 } });
    let edits: Vec<&Value> = std::iter::repeat_n(&new, 256).collect();
    let master = Client::internal(cluster.master.url());
    for _ in 0..4 {
        master.post("/edits", &[], &json!({ "edits": edits })).ok();
    }
    let data = cluster.data("replica-1");
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    start_nodes(cluster.dir(), "other-master", &args).stop();
    (cluster, data)
}

fn position(replica: &Process) -> Value {
    Client::new(replica.url()).get("/readyz").ok().json()["position"].clone()
}

#[test]
fn a_snapshot_that_is_cut_or_altered_anywhere_leaves_the_old_file_whole_until_a_good_one_comes() {
    let _company = in_company();
    let (mut cluster, data) = store();
    let before = rows(&data);
    let plan = [
        Damage::Cut(0),
        Damage::Cut(40),
        Damage::Cut(1_000),
        Damage::Cut(MIDDLE),
        Damage::Flip(1_000),
        Damage::Flip(MIDDLE),
        // For good: the link is bad as long as this test wants it to be.
        Damage::Cut(MIDDLE + 1),
    ];
    let meddler = Meddler::before(cluster.master.url(), plan);
    let mut replica = cluster.start_replica_of(meddler.url(), "replica-1");
    let old = position(&replica);
    wait_until("most snapshots were damaged", || meddler.left() == 1);
    assert_eq!(position(&replica), old);
    // In the middle of it.
    replica.kill();
    assert_eq!(rows(&data), before);
    replica.restart();
    wait_until("the replica has the master's state", || position(&replica) == cluster.state()["position"]);
    assert!(replica.log().contains("cannot follow the master"), "{}", replica.log());
    cluster.replicas.push(replica);
    cluster.in_sync(1);
    cluster.client(0).buy(9).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 1);
}

#[test]
fn a_snapshot_that_does_not_fit_on_the_disk_leaves_the_old_file_whole() {
    let _company = in_company();
    let (mut cluster, _) = store();
    let meddler = Meddler::before(cluster.master.url(), std::iter::repeat_n(Damage::Cut(0), 3));
    let replica = cluster.start_replica_of(meddler.url(), "replica-1");
    cluster.disk("replica-1").fail("write", Errno::NOSPC);
    let old = position(&replica);
    wait_until("the link is good", || meddler.left() == 0);
    let attempts = || replica.log().matches("taking a snapshot").count();
    let cut = attempts();
    wait_until("some did not fit", || attempts() > cut + 3);
    assert_eq!(position(&replica), old);
    cluster.disk("replica-1").heal();
    cluster.replicas.push(replica);
    cluster.in_sync(1);
    cluster.client(0).buy(9).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 1);
}

#[test]
fn a_long_log_is_trimmed_by_every_node_and_who_needs_what_is_gone_takes_a_snapshot() {
    let _company = in_company();
    const RECORDS: i64 = 12_000;
    let mut cluster = Cluster::start(Shape { replicas: 1, frontends: 1, ..Shape::default() });
    cluster.client(0).buy(9).ok();
    cluster.replicas[0].stop();
    cluster.master.stop();
    write_records(&cluster.data("master"), RECORDS);
    cluster.master.restart();
    wait_until("the master trims", || oldest_record(&cluster.data("master")) >= RECORDS - 10_512);
    // 10,000 stay.
    assert!(oldest_record(&cluster.data("master")) <= RECORDS - 10_000 + 10);
    cluster.replicas[0].restart();
    let second = cluster.start_replica("replica-2");
    cluster.replicas.push(second);
    cluster.in_sync(2);
    for replica in &cluster.replicas {
        assert!(replica.log().contains("log does not go back to it: taking a snapshot"), "{}", replica.log());
    }
    cluster.client(0).buy(9).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 2);
}

/// Lengthens the log of a store that nobody has open.
fn write_records(data: &Path, count: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = DataDir::lock(data, "test").unwrap();
        let (store, mut writer) = dir.open(1).await.unwrap();
        let epoch = NewEpoch { identity: 5, at_least: 0, lease_term_ms: 0, node: dir.node() };
        let mut predecessor = writer.start_epoch(epoch).await.unwrap().record.version;
        let mut records = Vec::new();
        for _ in 0..count {
            let version = predecessor.next();
            records.push(Record { version, predecessor, body: Body::Batch(Batch::default()) });
            predecessor = version;
        }
        writer.apply(&records).await.unwrap();
        store.close().await;
        writer.checkpoint_and_close().await.unwrap();
    });
}
