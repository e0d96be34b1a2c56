//! Guarded edits on disk: one effect under a key, across restarts and at a replica, and a condition that holds.

use super::*;
use crate::domain::{BookTag, EditRefusal, Edited, Forget, GuardedEdit};

fn guarded(key: &str, expect: Option<BookTag>, edit: Edit) -> Request {
    Request::Guarded(GuardedEdit { key: IdempotencyKey::parse(key).unwrap(), expect, edit })
}

fn price(cents: i64) -> Edit {
    let price = Some(Cents::new(cents).unwrap());
    Edit::Update { book_id: id(9), title: None, topic: None, stock: None, price }
}

/// The answer, the book before, and whether it is an old answer.
fn told(outcome: &Outcome) -> (Result<Edited, EditRefusal>, Option<Book>, bool) {
    match outcome {
        Outcome::Guarded { answer, before, replayed } => (answer.clone(), before.clone(), *replayed),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_create_that_is_repeated_after_a_restart_makes_no_second_book() {
    let mut node = Node::master().await;
    let create = guarded("a", None, Edit::Create(new_book("Twelve", "x")));
    let first = told(&node.write(std::slice::from_ref(&create)).await.outcomes[0]);
    assert_eq!((first.0.as_ref().unwrap().book.as_ref().unwrap().id, first.2), (id(12), false));
    let mut node = node.restart().await;
    node.writer.start_epoch(new_epoch(2, 0, 0)).await.unwrap();
    let before = node.dump().await;
    let again = node.write(std::slice::from_ref(&create)).await;
    assert!(again.record.is_none() && again.touched.is_empty());
    assert_eq!(told(&again.outcomes[0]), (first.0, None, true));
    assert_eq!(node.dump().await, before);
    let other = guarded("a", None, Edit::Create(new_book("Thirteen", "x")));
    assert_eq!(told(&node.write(&[other]).await.outcomes[0]).0, Err(EditRefusal::IdempotencyMismatch));
    // A customer's key is another key.
    let purchase =
        Request::Purchase(Purchase { key: IdempotencyKey::parse("a").unwrap(), ..purchase(1, 12) });
    assert!(sold(&node.write(&[purchase]).await.outcomes[0]).is_ok());
}

#[tokio::test]
async fn an_edit_happens_only_on_the_book_that_its_editor_saw() {
    let mut node = Node::master().await;
    let seen = node.store.book(id(9)).await.unwrap().value.unwrap();
    let tag = Some(BookTag::of(&seen));
    node.write(&[buy(1, 9)]).await;
    let decided =
        node.write(&[guarded("a", tag.clone(), price(1)), guarded("b", tag.clone(), price(2))]).await;
    let (answer, before, _) = told(&decided.outcomes[0]);
    assert_eq!(before.unwrap().stock.get(), seen.stock.get() - 1);
    assert_eq!(answer.unwrap().version, decided.version);
    assert_eq!(told(&decided.outcomes[1]).0, Err(EditRefusal::Changed));
    let delete = guarded("c", tag, Edit::Delete { book_id: id(9) });
    assert_eq!(told(&node.write(&[delete]).await.outcomes[0]).0, Err(EditRefusal::Changed));
    let now = node.store.book(id(9)).await.unwrap().value.unwrap();
    assert_eq!((now.price.get(), now.stock.get()), (1, seen.stock.get() - 1));
    let delete = guarded("d", Some(BookTag::of(&now)), Edit::Delete { book_id: id(9) });
    assert_eq!(told(&node.write(&[delete]).await.outcomes[0]).0.unwrap().book, None);
    let gone = guarded("e", Some(BookTag::of(&now)), price(3));
    assert_eq!(told(&node.write(&[gone]).await.outcomes[0]).0, Err(EditRefusal::BookNotFound));
}

#[tokio::test]
async fn a_replica_has_the_answers_and_forgets_them_with_the_master() {
    let mut node = Node::master().await;
    let restock = |key: &str| guarded(key, None, Edit::Restock { book_id: id(9), copies: 1 });
    node.write(&[restock("a"), restock("b"), buy(1, 9)]).await;
    assert_eq!(node.writer.oldest_answers().await.unwrap().receipt_ms, Some(NOW_MS));
    let limit = 1;
    let forget = Forget { answers_before_ms: NOW_MS + 1, refusals_before_ms: 0, limit };
    node.writer.prepare(&[], NOW_MS, Some(forget)).await.unwrap();
    node.writer.commit().await.unwrap();
    let mut replica = Node::fresh().await;
    replica.writer.apply(&log_behind(&node.store, Version::GENESIS).await).await.unwrap();
    assert_eq!(replica.dump().await, node.dump().await);
    // The first of them was forgotten, and happens again.
    let outcomes = node.write(&[restock("a"), restock("b")]).await.outcomes;
    assert_eq!(outcomes.iter().map(|outcome| told(outcome).2).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn the_age_of_an_edit_counts_when_it_is_looked_for_what_may_be_forgotten() {
    let mut node = Node::master().await;
    assert_eq!(node.writer.oldest_answers().await.unwrap().receipt_ms, None);
    node.write(&[guarded("a", None, price(1))]).await;
    assert_eq!(node.writer.oldest_answers().await.unwrap().receipt_ms, Some(NOW_MS));
}
