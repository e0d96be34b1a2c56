//! Who is master: handed over without loss, taken by force, given up by an old one that comes back.

use crate::harness::{Client, Cluster, Finished, Over, Process, Shape, TOKEN, in_company, run, wait_until};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const BOOK: i64 = 9;

fn hand_over(to: &Process) -> Finished {
    run(&["handover", "--to", to.url()], &[("BAZAR_INTERNAL_TOKEN", TOKEN)])
}

/// Every node that could be master, for the roles that look for one.
fn store() -> Cluster {
    Cluster::start(Shape { candidates: true, ..Shape::default() })
}

#[test]
fn a_handover_under_load_loses_nothing_and_the_old_master_follows_the_new_one() {
    let _company = in_company();
    let mut cluster = store();
    cluster.set_stock(BOOK, 100_000);
    let (bought, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let clients = cluster.clients();
    std::thread::scope(|scope| {
        for (number, client) in clients.iter().cycle().take(8).enumerate() {
            let (bought, over) = (&bought, &over);
            scope.spawn(move || {
                for turn in 0.. {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = format!("handover-{number}-{turn}");
                    // Not once refused: the switch takes less than a purchase's deadline.
                    client.buy_with_key(BOOK, &key).ok();
                    bought.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _over = Over(&over);
        wait_until("purchases flow", || bought.load(Ordering::SeqCst) > 20);
        let answer = hand_over(&cluster.replicas[0]);
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        assert!(answer.stdout.contains("is sealed at"), "{}", answer.stdout);
        cluster.master.ends_well();
        cluster.replicas[0].stop();
        cluster.promote(&[]);
        cluster.demote();
        let at_once = bought.load(Ordering::SeqCst);
        wait_until("purchases flow again", || bought.load(Ordering::SeqCst) > at_once + 20);
    });
    cluster.in_sync(1);
    assert!(!cluster.replicas[0].log().contains("snapshot"), "{}", cluster.replicas[0].log());
    let left = cluster.client(1).info(BOOK).ok().stock(BOOK);
    assert_eq!(100_000 - left, bought.load(Ordering::SeqCst) as i64);
    let rows = cluster.stop_and_compare();
    assert_eq!(rows["orders"].len() as u64, bought.load(Ordering::SeqCst));
}

#[test]
fn sealed_data_starts_as_a_master_for_its_heir_only() {
    let _company = in_company();
    let mut cluster = store();
    cluster.client(0).buy(BOOK).ok();
    assert_eq!(hand_over(&cluster.replicas[0]).code, Some(0));
    cluster.master.ends_well();
    let data = cluster.data("master");
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let refused = run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("handed over") && refused.stderr.contains("--replica"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_replicas_data_starts_as_a_master_by_force_only() {
    let _company = in_company();
    let mut cluster = store();
    cluster.client(0).buy(BOOK).ok();
    cluster.replicas[0].stop();
    let data = cluster.data("replica-1");
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let refused = run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("replica's data") && refused.stderr.contains("--force"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_old_master_that_comes_back_after_a_promotion_by_force_gives_up_and_rejoins_by_snapshot() {
    let _company = in_company();
    let mut cluster = store();
    cluster.client(0).buy(BOOK).ok();
    // The replica has the first order and lacks the second, which is why this needs force.
    cluster.replicas[0].kill();
    cluster.client(0).buy(BOOK).ok();
    cluster.master.pause();
    cluster.promote(&["--force"]);
    let client = cluster.client(1);
    wait_until("the new master sells", || {
        client.try_buy(BOOK, "after-the-promotion").is_some_and(|a| a.status == 200)
    });
    assert_eq!(client.info(BOOK).ok().stock(BOOK), 13);

    // The frontends have met the new master, and tell the old one.
    let old = &mut cluster.replicas[0];
    old.resume();
    wait_until("the old master gives up", || {
        client.info(BOOK);
        old.log().contains("has begun somewhere else")
    });
    let state = Client::new(old.url()).get("/readyz");
    assert_eq!((state.status, state.json()["role"].clone()), (503, json!("deposed master")));
    assert_eq!(client.info(BOOK).ok().stock(BOOK), 13);
    assert!(!client.info(BOOK).says_stale());

    // Not even a restart makes it master again.
    old.kill();
    let data = cluster.data("master");
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let refused = run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("was replaced by epoch"), "{}", refused.stderr);

    cluster.demote();
    cluster.in_sync(1);
    assert!(cluster.replicas[0].log().contains("taking a snapshot"));
    client.buy(BOOK).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 3);
}

#[test]
fn a_master_that_lost_its_data_does_not_give_its_emptiness_to_its_replicas() {
    let _company = in_company();
    let mut cluster = store();
    cluster.client(0).buy(BOOK).ok();
    cluster.master.kill();
    std::fs::remove_dir_all(cluster.data("master")).unwrap();
    cluster.master.restart();
    wait_until("the emptied master gives up", || cluster.master.log().contains("has begun somewhere else"));
    cluster.replicas[0].stop();
    assert_eq!(crate::harness::rows(&cluster.data("replica-1"))["orders"].len(), 1);
}

#[test]
fn a_handover_to_what_is_no_replica_of_this_master_changes_nothing() {
    let _company = in_company();
    let cluster = store();
    let master = cluster.master.url();
    for to in [cluster.orders[0].url(), master, crate::harness::NOBODY] {
        let refused = run(&["handover", "--to", to, "--master", master], &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
        assert_eq!(refused.code, Some(1), "{to}: {}", refused.stderr);
    }
    cluster.client(0).buy(BOOK).ok();
    assert_eq!(cluster.state()["role"], "master");
}
