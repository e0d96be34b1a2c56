//! What a file says about the masters that it had, and about versions of their times.

use super::*;
use crate::{
    domain::{Body, Epoch, Known, PublicVersion},
    store::{Standing, StoreError},
};

const HEIR: NodeId = NodeId(0x1e1e);

#[tokio::test]
async fn a_fresh_file_had_no_master_and_then_has_the_one_that_started() {
    let mut node = Node::fresh().await;
    let fresh = Standing {
        end: Version::GENESIS,
        end_is_seal_for: None,
        last_start_node: None,
        has_start: false,
        deposed_by: None,
    };
    assert_eq!(node.store.standing().await.unwrap(), fresh);
    node.writer.start_epoch(new_epoch(IDENTITY, 0, LEASE_MS)).await.unwrap();
    let end = node.write(&[buy(1, 9)]).await.version;
    let begun = Standing { end, last_start_node: Some(NODE), has_start: true, ..fresh };
    assert_eq!(node.store.standing().await.unwrap(), begun);
    assert_eq!(node.writer.standing().await.unwrap(), begun);
    assert_eq!(node.restart().await.writer.standing().await.unwrap(), begun);
}

#[tokio::test]
async fn a_seal_is_the_last_record_of_its_master_and_only_a_start_follows() {
    let mut node = Node::master().await;
    let batch = node.write(&[buy(1, 9)]).await.version;
    let seal = node.writer.seal(HEIR).await.unwrap();
    assert_eq!((seal.version, seal.predecessor), (batch.next(), batch));
    assert_eq!(seal.body, Body::Seal { heir: HEIR });
    let standing = node.store.standing().await.unwrap();
    assert_eq!((standing.end, standing.end_is_seal_for), (seal.version, Some(HEIR)));
    let refused = node.writer.prepare(&[buy(2, 9)], NOW_MS, None).await;
    assert!(matches!(refused, Err(StoreError::Sealed)), "{refused:?}");
    assert!(matches!(node.writer.seal(HEIR).await, Err(StoreError::Sealed)));

    let mut heir = Node::fresh().await;
    heir.writer.apply(&log_behind(&node.store, Version::GENESIS).await).await.unwrap();
    assert_eq!(heir.store.standing().await.unwrap(), standing);
    let start = heir.writer.start_epoch(new_epoch(5, 0, LEASE_MS)).await.unwrap().record;
    let sold = heir.write(&[buy(2, 9)]).await.record.unwrap();
    assert_eq!(heir.store.standing().await.unwrap().end_is_seal_for, None);
    // The old master follows as a replica, the seal at its end notwithstanding.
    node.writer.apply(&[start, sold]).await.unwrap();
    assert_eq!(node.dump().await, heir.dump().await);
}

#[tokio::test]
async fn a_deposed_master_stays_so_until_its_file_has_that_epoch_or_a_later_one() {
    let by = Epoch { number: 7, identity: 70 };
    let twin = Epoch { number: 1, identity: 1 };
    let mut node = Node::master().await;
    node.writer.set_deposed(twin).await.unwrap();
    assert_eq!(node.store.standing().await.unwrap().deposed_by, Some(twin));
    node.writer.set_deposed(by).await.unwrap();
    node.writer.set_deposed(Epoch { number: 3, identity: 3 }).await.unwrap();
    let mut node = node.restart().await;
    assert_eq!(node.writer.standing().await.unwrap().deposed_by, Some(by));

    let lower = node.writer.start_epoch(new_epoch(2, 0, LEASE_MS)).await.unwrap().record.version;
    assert_eq!(lower.epoch.number, 2);
    assert_eq!(node.writer.standing().await.unwrap().deposed_by, Some(by));
    let start = Record {
        version: Version::new(by, lower.seq + 1),
        predecessor: lower,
        body: Body::Start { lease_term_ms: 0, node: Some(HEIR) },
    };
    node.writer.apply(&[start]).await.unwrap();
    let standing = node.writer.standing().await.unwrap();
    assert_eq!((standing.deposed_by, standing.last_start_node), (None, Some(HEIR)));
    assert!(matches!(node.writer.prepare(&[buy(1, 9)], NOW_MS, None).await, Err(StoreError::Misuse(_))));
}

#[tokio::test]
async fn a_mark_cannot_be_made_while_a_batch_is_open() {
    let mut node = Node::master().await;
    node.writer.prepare(&[buy(1, 9)], NOW_MS, None).await.unwrap();
    let refused = node.writer.set_deposed(Epoch { number: 9, identity: 9 }).await;
    assert!(matches!(refused, Err(StoreError::Misuse(_))), "{refused:?}");
    node.writer.commit().await.unwrap();
}

#[tokio::test]
async fn a_version_that_a_customer_names_is_known_or_may_come_or_never_was() {
    let mut node = Node::master().await;
    node.write(&[buy(1, 9)]).await;
    node.writer.start_epoch(new_epoch(2, 4, LEASE_MS)).await.unwrap();
    node.write(&[buy(2, 9)]).await;
    // Epoch 1 is 1.1 and 1.2, epoch 5 is 5.3 and 5.4.
    for (epoch, seq, expected) in [
        (0, 0, Known::Yes),
        (0, 1, Known::Never),
        (1, 0, Known::Never),
        (1, 1, Known::Yes),
        (1, 2, Known::Yes),
        (1, 3, Known::Never),
        (1, u64::MAX, Known::Never),
        (2, 1, Known::Never),
        (5, 2, Known::Never),
        (5, 3, Known::Yes),
        (5, 4, Known::Yes),
        (5, 5, Known::Future),
        (5, u64::MAX, Known::Future),
        (6, 0, Known::Future),
        (u64::MAX, 1, Known::Future),
    ] {
        let version = PublicVersion { epoch, seq };
        assert_eq!(node.store.knows(version).await.unwrap(), expected, "{version}");
    }
}

#[tokio::test]
async fn this_history_passed_what_lies_within_its_epochs_and_nothing_of_a_twin() {
    let mut node = Node::master().await;
    node.write(&[buy(1, 9)]).await;
    node.writer.start_epoch(new_epoch(2, 4, LEASE_MS)).await.unwrap();
    node.write(&[buy(2, 9)]).await;
    // Epoch 1 is 1.1 and 1.2, epoch 5 is 5.3 and 5.4.
    for (number, identity, seq, expected) in [
        (0, 0, 0, true),
        (0, 0, 1, false),
        (1, IDENTITY, 0, false),
        (1, IDENTITY, 1, true),
        (1, IDENTITY, 2, true),
        (1, IDENTITY, 3, false),
        (1, IDENTITY + 1, 2, false),
        (2, 2, 3, false),
        (5, 2, 2, false),
        (5, 2, 3, true),
        (5, 2, 4, true),
        (5, 2, 5, false),
        (5, 2, u64::MAX, false),
        (5, IDENTITY, 4, false),
        (6, 2, 4, false),
    ] {
        let version = Version::new(Epoch { number, identity }, seq);
        assert_eq!(node.store.passed(version).await.unwrap(), expected, "{version}");
    }
}
