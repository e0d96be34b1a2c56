//! What is kept, and for how long: the log, and what keys were told.

use super::*;
use crate::domain::{Batch, Body, Epoch, Forget};

/// A master with `count` records behind its start, written in one go.
async fn master_with_log(count: u64) -> Node {
    let mut node = Node::master().await;
    let mut predecessor = node.writer.position().await.unwrap();
    let mut records = Vec::new();
    for _ in 0..count {
        let version = predecessor.next();
        records.push(Record { version, predecessor, body: Body::Batch(Batch::default()) });
        predecessor = version;
    }
    node.writer.apply(&records).await.unwrap();
    node
}

async fn is_known(node: &Node, seq: u64) -> bool {
    let version = Version::new(Epoch { number: 1, identity: IDENTITY }, seq);
    node.store.log_after(version, 1, u64::MAX).await.unwrap() != LogPage::Unknown
}

#[tokio::test]
async fn the_log_is_trimmed_in_steps_up_to_what_must_stay() {
    let mut node = master_with_log(1_999).await;
    for (keep_from, expected) in [(511, false), (1_030, true), (1_030, true), (1_030, false)] {
        assert_eq!(node.writer.trim_log(keep_from).await.unwrap(), expected, "{keep_from}");
    }
    assert!(!is_known(&node, 1_023).await && is_known(&node, 1_024).await);
    let end = node.store.position().await.unwrap();
    let kept = log_behind(&node.store, Version::new(end.epoch, 1_024)).await;
    assert_eq!((kept.len(), kept.last().unwrap().version), (976, end));

    // Across a restart, and with the last record asked for too.
    let mut node = node.restart().await;
    node.writer.start_epoch(new_epoch(3, 0, LEASE_MS)).await.unwrap();
    while node.writer.trim_log(u64::MAX).await.unwrap() {}
    let last = node.write(&[buy(1, 9)]).await.version;
    assert_eq!(node.store.position().await.unwrap(), last);
    assert_eq!(log_behind(&node.store, last).await, []);
    assert_eq!(node.store.log_after(Version::GENESIS, 1, 1).await.unwrap(), LogPage::Unknown);
}

#[tokio::test]
async fn a_trimmed_log_forgets_no_epoch_and_no_lease() {
    let mut node = master_with_log(600).await;
    assert!(node.writer.trim_log(600).await.unwrap());
    assert!(!is_known(&node, 1).await);
    let standing = node.store.standing().await.unwrap();
    assert!(standing.has_start && standing.last_start_node == Some(NODE));
    let started = node.writer.start_epoch(new_epoch(2, 0, 1)).await.unwrap();
    assert_eq!((started.record.version.epoch.number, started.wait_ms), (2, LEASE_MS));
}

#[tokio::test]
async fn a_trimmed_log_still_tells_who_is_only_behind_from_who_has_another_history() {
    let mut node = master_with_log(600).await;
    node.writer.start_epoch(new_epoch(2, 0, LEASE_MS)).await.unwrap();
    while node.writer.trim_log(u64::MAX).await.unwrap() {}
    let behind = Version::new(Epoch { number: 1, identity: IDENTITY }, 7);
    assert_eq!(node.store.log_after(behind, 1, 1).await.unwrap(), LogPage::Unknown);
    let twin = Version::new(Epoch { number: 1, identity: 8 }, 7);
    let further = Version::new(behind.epoch, 602);
    for (version, expected) in [(Version::GENESIS, true), (behind, true), (twin, false), (further, false)] {
        assert_eq!(node.store.passed(version).await.unwrap(), expected, "{version}");
    }
}

#[tokio::test]
async fn a_log_with_a_hole_is_not_served_across_it() {
    let mut node = Node::master().await;
    for n in 0..5 {
        node.write(&[buy(n, 9)]).await;
    }
    alter(&node, "DELETE FROM log WHERE seq = 4").await;
    let refused = node.store.log_after(Version::GENESIS, 10, u64::MAX).await.unwrap_err();
    assert!(refused.to_string().contains("a hole before"), "{refused}");
}

/// A sale and a refusal in each moment, under even and odd keys.
async fn answered(node: &mut Node, moments: i64) {
    for moment in 0..moments {
        let (sold, refused) = (buy(moment as u128 * 2, 1), buy(moment as u128 * 2 + 1, 99));
        node.writer.prepare(&[sold, refused], NOW_MS + moment, None).await.unwrap();
        node.writer.commit().await.unwrap();
    }
}

async fn keys(node: &Node) -> Vec<String> {
    let mut connection = connect(&current_file(node.dir.path()).unwrap()).await;
    sqlx::query_scalar("SELECT key FROM answers ORDER BY stored_at_ms, key")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_oldest_answers_of_each_kind_are_forgotten_and_a_replica_forgets_the_same() {
    let mut node = Node::master().await;
    answered(&mut node, 6).await;
    let oldest = node.writer.oldest_answers().await.unwrap();
    assert_eq!((oldest.receipt_ms, oldest.refusal_ms), (Some(NOW_MS), Some(NOW_MS)));
    // Three receipts and five refusals are old enough, and two of each fit.
    let forget = Forget { answers_before_ms: NOW_MS + 3, refusals_before_ms: NOW_MS + 5, limit: 2 };
    for left in [8, 5, 4, 4] {
        node.writer.prepare(&[], NOW_MS, Some(forget)).await.unwrap();
        node.writer.commit().await.unwrap();
        assert_eq!(keys(&node).await.len(), left);
    }
    assert_eq!(keys(&node).await, ["key-6", "key-8", "key-10", "key-11"]);
    let oldest = node.writer.oldest_answers().await.unwrap();
    assert_eq!((oldest.receipt_ms, oldest.refusal_ms), (Some(NOW_MS + 3), Some(NOW_MS + 5)));

    let mut replica = Node::fresh().await;
    replica.writer.apply(&log_behind(&node.store, Version::GENESIS).await).await.unwrap();
    assert_eq!(replica.dump().await, node.dump().await);
}

#[tokio::test]
async fn a_key_that_was_forgotten_buys_again_and_one_that_was_not_does_not() {
    let mut node = Node::master().await;
    answered(&mut node, 1).await;
    // In one batch with its repetition, the answer is still there.
    let forget = Forget { answers_before_ms: NOW_MS + 1, refusals_before_ms: NOW_MS, limit: 9 };
    let again = node.writer.prepare(&[buy(0, 1)], NOW_MS + 1, Some(forget)).await.unwrap();
    assert!(matches!(again.outcomes[0], Outcome::Purchase { answer: Ok(_), replayed: true }));
    node.writer.commit().await.unwrap();
    assert_eq!(keys(&node).await, ["key-1"]);
    let order = Purchase { order_id: OrderId::draw(0, 77), ..purchase(0, 1) };
    let bought = node.write(&[Request::Purchase(order), buy(1, 99)]).await;
    assert!(matches!(bought.outcomes[0], Outcome::Purchase { answer: Ok(_), replayed: false }));
    assert_eq!(sold(&bought.outcomes[1]), Err(Refusal::BookNotFound));
    // The order of the first time is still there.
    assert!(node.store.order(OrderId::draw(0, 0)).await.unwrap().value.is_some());
}
