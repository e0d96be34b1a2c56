//! Parts of imports: done once, in order, as a whole.

use super::*;
use crate::domain::{Import, ImportKey, ImportLine, ImportOutcome, Imported, Sha256Sum};

fn key(n: u8) -> ImportKey {
    ImportKey(Sha256Sum([n; 32]))
}

fn line(id: Option<i64>, title: &str) -> ImportLine {
    ImportLine { id: id.map(|id| BookId::new(id).unwrap()), book: new_book(title, "imported") }
}

fn part(n: u8, after: Option<u8>, lines: Vec<ImportLine>) -> Import {
    Import { key: key(n), after: after.map(key), lines }
}

fn done(created: u32, changed: u32, unchanged: u32) -> ImportOutcome {
    ImportOutcome::Done(Imported { created, changed, unchanged })
}

impl Node {
    async fn import(&mut self, part: Import, forget_before_ms: Option<i64>) -> ImportOutcome {
        let decided = self.writer.prepare_import(part, NOW_MS, forget_before_ms).await.unwrap();
        if decided.prepared.record.is_some() {
            self.writer.commit().await.unwrap();
        }
        decided.outcome
    }

    async fn titles(&self) -> Vec<String> {
        let page = self.store.books_of_topic(&topic("imported"), None, 100).await.unwrap().value;
        page.books.iter().map(|book| book.title.as_str().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_part_is_done_once_and_says_the_same_again() {
    let mut node = Node::master().await;
    let lines = || {
        vec![
            line(None, "One"),
            line(Some(9), "Nine"),
            line(Some(40), "Forty"),
            line(None, "Two"),
            line(Some(40), "Forty"),
        ]
    };
    assert_eq!(node.import(part(1, None, lines()), None).await, done(3, 1, 1));
    assert_eq!(node.titles().await, ["Nine", "One", "Forty", "Two"]);
    let before = node.dump().await;
    let mut node = node.restart().await;
    node.writer.start_epoch(new_epoch(2, 0, 0)).await.unwrap();
    let again = node.import(part(1, None, lines()), None).await;
    assert_eq!(again, ImportOutcome::Before(Imported { created: 3, changed: 1, unchanged: 1 }));
    let tables =
        |dump: String| dump.split("log:").next().unwrap().split("epochs:").next().unwrap().to_owned();
    assert_eq!(tables(node.dump().await), tables(before));
    // The same lines in a part of another name.
    assert_eq!(node.import(part(2, Some(1), lines()), None).await, done(2, 0, 3));
}

#[tokio::test]
async fn a_part_is_not_done_before_the_one_before_it() {
    let mut node = Node::master().await;
    let before = node.dump().await;
    assert_eq!(node.import(part(2, Some(1), vec![line(None, "Two")]), None).await, ImportOutcome::OutOfOrder);
    assert_eq!(node.dump().await, before);
    assert_eq!(node.import(part(1, None, vec![line(None, "One")]), None).await, done(1, 0, 0));
    assert_eq!(node.import(part(2, Some(1), vec![line(None, "Two")]), None).await, done(1, 0, 0));
    assert_eq!(node.titles().await, ["One", "Two"]);
}

#[tokio::test]
async fn a_part_that_was_not_committed_has_left_nothing() {
    let mut node = Node::master().await;
    let before = node.dump().await;
    let decided =
        node.writer.prepare_import(part(1, None, vec![line(None, "One")]), NOW_MS, None).await.unwrap();
    assert!(decided.prepared.record.is_some());
    node.writer.rollback().await.unwrap();
    assert_eq!(node.dump().await, before);
    assert_eq!(node.import(part(1, None, vec![line(None, "One")]), None).await, done(1, 0, 0));
}

#[tokio::test]
async fn a_replica_has_what_was_imported_and_the_marks_of_it() {
    let mut node = Node::master().await;
    node.import(part(1, None, vec![line(None, "One"), line(Some(3), "Three"), line(Some(3), "Third")]), None)
        .await;
    node.write(&[buy(1, 3)]).await;
    node.import(part(2, Some(1), vec![line(Some(3), "Third")]), Some(NOW_MS)).await;
    node.import(part(3, Some(2), vec![line(Some(3), "Third")]), Some(NOW_MS + 1)).await;
    let mut replica = Node::fresh().await;
    replica.writer.apply(&log_behind(&node.store, Version::GENESIS).await).await.unwrap();
    assert_eq!(replica.dump().await, node.dump().await);
    // Those stored before the moment that the last one named are forgotten, and only those.
    assert_eq!(
        node.import(part(3, None, vec![line(None, "x")]), None).await,
        ImportOutcome::Before(Imported { created: 0, changed: 0, unchanged: 1 })
    );
    assert_eq!(node.import(part(2, None, vec![line(None, "x")]), None).await, done(1, 0, 0));
}

#[tokio::test]
async fn everything_that_changed_is_touched_so_that_caches_hear_of_it() {
    let mut node = Node::master().await;
    let lines = vec![line(Some(9), "Nine"), line(None, "New")];
    let decided = node.writer.prepare_import(part(1, None, lines), NOW_MS, None).await.unwrap();
    let touched: Vec<_> = decided
        .prepared
        .touched
        .iter()
        .map(|t| (t.before.is_some(), t.after.as_ref().unwrap().id.get()))
        .collect();
    assert_eq!(touched, [(true, 9), (false, 12)]);
    node.writer.commit().await.unwrap();
}

#[tokio::test]
async fn an_export_is_every_book_in_order_of_its_number() {
    let mut node = Node::master().await;
    let version = node.write(&[create("Twelve", "x"), delete(4)]).await.version;
    let mut ids = Vec::new();
    let end = node.store.each_book(async |book| {
        ids.push(book.id.get());
        Ok(())
    });
    assert_eq!(end.await.unwrap(), (version, 11));
    assert_eq!(ids, [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]);
}
