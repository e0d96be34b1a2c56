//! What batches and epochs leave behind, and what they refuse.

use super::*;
use crate::{
    domain::{Body, EditRefusal, Epoch},
    store::StoreError,
};

#[tokio::test]
async fn a_purchase_leaves_stock_order_answer_and_record_together() {
    let mut node = Node::master().await;
    let prepared = node.write(&[buy(1, 9)]).await;
    let receipt = sold(&prepared.outcomes[0]).unwrap();
    assert_eq!((receipt.total, receipt.remaining.get()), (2800, 14));
    assert_eq!(receipt.version, prepared.version);
    assert_eq!(prepared.touched.len(), 1);

    let order = node.store.order(receipt.order_id).await.unwrap().value.unwrap();
    assert_eq!((order.book_id, order.total, order.created_at_ms), (id(9), 2800, NOW_MS));
    assert_eq!(node.store.book(id(9)).await.unwrap().value.unwrap().stock.get(), 14);
    assert_eq!(prepared.record.unwrap().version, node.store.position().await.unwrap());
}

#[tokio::test]
async fn of_50_buyers_of_5_copies_5_get_one_and_nobody_else_in_whatever_batches_they_come() {
    for batch in [1, 7, 50] {
        let mut node = Node::master().await;
        let buyers: Vec<Request> = (0..50).map(|n| buy(n, 4)).collect();
        let mut answers = Vec::new();
        for requests in buyers.chunks(batch) {
            answers.extend(node.write(requests).await.outcomes.iter().map(sold));
        }
        assert!(answers[..5].iter().all(Result::is_ok));
        assert!(answers[5..].iter().all(|answer| *answer == Err(Refusal::OutOfStock)));
        assert_eq!(node.store.book(id(4)).await.unwrap().value.unwrap().stock.get(), 0);
        let mut orders = 0;
        for n in 0..50 {
            orders += usize::from(node.store.order(OrderId::draw(0, n)).await.unwrap().value.is_some());
        }
        assert_eq!(orders, 5);
    }
}

#[tokio::test]
async fn a_key_has_one_answer_across_batches_and_restarts() {
    let mut node = Node::master().await;
    let offer = Purchase { offer: Some(Cents::new(2000).unwrap()), ..purchase(2, 9) };
    let requests = [buy(1, 9), Request::Purchase(offer)];
    let first = node.write(&requests).await;
    assert_eq!(sold(&first.outcomes[1]), Err(Refusal::Underpaid { due: 2800, offered: 2000 }));

    let mut node = node.restart().await;
    node.writer.start_epoch(new_epoch(IDENTITY + 1, 0, LEASE_MS)).await.unwrap();
    let before = node.dump().await;
    let again = node.write(&requests).await;
    assert_eq!((again.record, again.touched.len()), (None, 0));
    assert_eq!(again.version, node.store.position().await.unwrap());
    for (old, new) in first.outcomes.iter().zip(&again.outcomes) {
        assert_eq!(sold(old), sold(new));
        assert!(matches!(new, Outcome::Purchase { replayed: true, .. }));
    }
    let other = Purchase { quantity: Quantity::new(2).unwrap(), ..purchase(1, 9) };
    let mismatch = node.write(&[Request::Purchase(other)]).await;
    assert_eq!(sold(&mismatch.outcomes[0]), Err(Refusal::IdempotencyMismatch));
    assert_eq!(node.dump().await, before);
}

#[tokio::test]
async fn a_rolled_back_batch_leaves_nothing() {
    let mut node = Node::master().await;
    let before = node.dump().await;
    node.writer.prepare(&[buy(1, 9), create("Title", "topic"), delete(3)], NOW_MS, None).await.unwrap();
    node.writer.rollback().await.unwrap();
    assert_eq!(node.dump().await, before);
    let written = node.write(&[buy(1, 9)]).await;
    assert!(sold(&written.outcomes[0]).is_ok());
}

#[tokio::test]
async fn an_order_id_of_another_key_is_a_constraint_and_rolls_back_its_whole_batch() {
    let mut node = Node::master().await;
    node.write(&[buy(1, 9)]).await;
    let before = node.dump().await;
    let thief = Purchase { key: IdempotencyKey::parse("another").unwrap(), ..purchase(1, 9) };
    let failed = node.writer.prepare(&[buy(2, 9), Request::Purchase(thief)], NOW_MS, None).await;
    assert!(matches!(failed, Err(StoreError::Constraint(_))), "{failed:?}");
    assert_eq!(node.dump().await, before);
    assert!(sold(&node.write(&[buy(2, 9)]).await.outcomes[0]).is_ok());
}

#[tokio::test]
async fn the_number_of_a_deleted_book_is_never_given_again() {
    let mut node = Node::master().await;
    let (book, _) = edited(&node.write(&[create("Twelve", "topic")]).await.outcomes[0]);
    assert_eq!(book.unwrap().id, id(12));
    node.write(&[delete(12)]).await;
    let mut node = node.restart().await;
    node.writer.start_epoch(new_epoch(1, 0, LEASE_MS)).await.unwrap();
    let (book, _) = edited(&node.write(&[create("Thirteen", "topic")]).await.outcomes[0]);
    assert_eq!(book.unwrap().id, id(13));
}

#[tokio::test]
async fn edits_of_every_kind_in_one_batch_are_what_is_read_afterwards() {
    let mut node = Node::master().await;
    let update = |topic| Edit::Update { book_id: id(2), title: None, topic, stock: None, price: None };
    let prepared = node
        .write(&[
            Request::Edit(update(Some(topic("ünïcode \"quoted\" 'topic'")))),
            restock(4, 10),
            buy(1, 4),
            delete(5),
            create("New", "science"),
            Request::Edit(Edit::Put(new_book("Replaced", "history").with_id(id(6)))),
            delete(99),
        ])
        .await;
    assert_eq!(prepared.outcomes[6], Outcome::Edit(Err(EditRefusal::BookNotFound)));
    let mut touched: Vec<i64> = prepared
        .touched
        .iter()
        .map(|change| change.before.as_ref().or(change.after.as_ref()).unwrap().id.get())
        .collect();
    touched.sort_unstable();
    assert_eq!(touched, [2, 4, 5, 6, 12]);
    for change in &prepared.touched {
        let number = change.before.as_ref().or(change.after.as_ref()).unwrap().id;
        assert_eq!(node.store.book(number).await.unwrap().value, change.after);
    }
    let page = node.store.books_of_topic(&topic("ünïcode \"quoted\" 'topic'"), None, 5).await.unwrap();
    assert_eq!(page.value.books[0].id, id(2));
}

#[tokio::test]
async fn an_edit_that_changes_nothing_names_a_version_that_exists() {
    let mut node = Node::master().await;
    let position = node.writer.position().await.unwrap();
    let prepared = node.write(&[restock(4, 0)]).await;
    assert_eq!((prepared.record, prepared.version), (None, position));
    let (book, version) = edited(&prepared.outcomes[0]);
    assert_eq!(version, position);
    assert_eq!(book, node.store.book(id(4)).await.unwrap().value);
}

#[tokio::test]
async fn an_epoch_exceeds_the_last_one_and_every_one_that_was_met() {
    let mut node = Node::fresh().await;
    let first = node.writer.start_epoch(new_epoch(IDENTITY, 0, LEASE_MS)).await.unwrap().record;
    assert_eq!(first.predecessor, Version::GENESIS);
    assert_eq!(first.version, Version::new(Epoch { number: 1, identity: IDENTITY }, 1));
    assert_eq!(first.body, Body::Start { lease_term_ms: LEASE_MS, node: Some(NODE) });
    let second = node.writer.start_epoch(new_epoch(7, 0, LEASE_MS)).await.unwrap().record;
    assert_eq!(second.version, Version::new(Epoch { number: 2, identity: 7 }, 2));
    let third = node.writer.start_epoch(new_epoch(8, 40, LEASE_MS)).await.unwrap().record;
    assert_eq!(third.version, Version::new(Epoch { number: 41, identity: 8 }, 3));
    assert_eq!(node.store.position().await.unwrap(), third.version);
}

#[tokio::test]
async fn a_start_waits_for_every_lease_that_may_still_run() {
    let mut node = Node::fresh().await;
    let start = async |node: &mut Node, term| {
        node.writer.start_epoch(new_epoch(term, 0, term)).await.unwrap().wait_ms
    };
    assert_eq!(start(&mut node, 5_000).await, 0, "nobody was there before");
    assert_eq!(start(&mut node, 1_000).await, 5_000);
    assert_eq!(start(&mut node, 2_000).await, 5_000, "two starts that crashed before a batch");
    node.write(&[buy(1, 9)]).await;
    assert_eq!(start(&mut node, 0).await, 2_000, "the batch came after the wait for 5000");
    assert_eq!(start(&mut node, 0).await, 2_000, "the start with term 0 had no batch");
    node.write(&[buy(2, 9)]).await;
    let mut node = node.restart().await;
    assert_eq!(start(&mut node, 9_000).await, 0, "that of bazar up");
}

#[tokio::test]
async fn calls_out_of_order_are_refused_and_change_nothing() {
    let mut node = Node::fresh().await;
    let without_epoch = node.writer.prepare(&[buy(1, 9)], NOW_MS, None).await;
    assert!(matches!(without_epoch, Err(StoreError::Misuse(_))));
    assert!(matches!(node.writer.commit().await, Err(StoreError::Misuse(_))));
    node.writer.rollback().await.unwrap();

    node.writer.start_epoch(new_epoch(IDENTITY, 0, LEASE_MS)).await.unwrap();
    node.writer.prepare(&[buy(1, 9)], NOW_MS, None).await.unwrap();
    assert!(matches!(node.writer.prepare(&[buy(2, 9)], NOW_MS, None).await, Err(StoreError::Misuse(_))));
    assert!(matches!(node.writer.start_epoch(new_epoch(1, 0, 0)).await, Err(StoreError::Misuse(_))));
    node.writer.commit().await.unwrap();
    assert!(node.store.order(OrderId::draw(0, 1)).await.unwrap().value.is_some());

    // After a restart the old epoch is over, even if nobody has started another.
    let mut node = node.restart().await;
    assert!(matches!(node.writer.prepare(&[buy(3, 9)], NOW_MS, None).await, Err(StoreError::Misuse(_))));
}
