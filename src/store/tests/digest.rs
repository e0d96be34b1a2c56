//! Digests: equal rows pass, and any row that differs is found.

use super::*;
use crate::{
    domain::{Body, GuardedEdit, RangeDigest, Table},
    store::{Cursor, StoreError},
};

/// A master with rows in every table, and a replica that has them too.
async fn pair() -> (Node, Node) {
    let mut master = Node::master().await;
    master.write(&[buy(1, 9), buy(2, 99), create("New", "science")]).await;
    master.write(&[delete(12), buy(3, 9), buy(4, 99)]).await;
    let key = IdempotencyKey::parse("edit").unwrap();
    let edit = Edit::Restock { book_id: id(3), copies: 1 };
    master.write(&[Request::Guarded(GuardedEdit { key, expect: None, edit })]).await;
    let mut replica = Node::fresh().await;
    replica.writer.apply(&log_behind(&master.store, Version::GENESIS).await).await.unwrap();
    (master, replica)
}

async fn walk(master: &mut Node) -> Vec<Record> {
    let mut records = Vec::new();
    let mut cursor = Some(Cursor::FIRST);
    while let Some(at) = cursor {
        let (record, next) = master.writer.digest_range(at).await.unwrap();
        records.push(record);
        cursor = next;
    }
    records
}

fn range(record: &Record) -> RangeDigest {
    match &record.body {
        Body::Digest(range) => range.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_replica_with_equal_rows_passes_every_range_in_whatever_pages_they_come() {
    let (mut master, mut replica) = pair().await;
    let first = walk(&mut master).await;
    let walked: Vec<(Table, u64)> = first.iter().map(range).map(|range| (range.table, range.rows)).collect();
    let rows = [
        (Table::Books, 11),
        (Table::Orders, 2),
        (Table::Answers, 4),
        (Table::Imports, 0),
        (Table::EditAnswers, 1),
    ];
    assert_eq!(walked, rows);
    replica.writer.apply(&first).await.unwrap();

    // With changes between the ranges, in one transaction with them.
    let from = master.store.position().await.unwrap();
    let (_, next) = master.writer.digest_range(Cursor::FIRST).await.unwrap();
    master.write(&[buy(5, 9), restock(3, 2)]).await;
    master.writer.digest_range(next.unwrap()).await.unwrap();
    replica.writer.apply(&log_behind(&master.store, from).await).await.unwrap();
    assert_eq!(replica.dump().await, master.dump().await);
}

#[tokio::test]
async fn a_row_that_differs_in_any_table_is_found_and_nothing_is_applied() {
    for (table, altered) in [
        (Table::Books, "UPDATE books SET stock = stock + 1 WHERE id = 4"),
        (Table::Books, "UPDATE books SET title = CAST(x'ff00fe' AS TEXT) WHERE id = 4"),
        (Table::Books, "DELETE FROM books WHERE id = 11"),
        (Table::Books, "INSERT INTO books VALUES (900, 't', 't', 1, 1)"),
        (Table::Books, "UPDATE sqlite_sequence SET seq = 99"),
        (Table::Orders, "UPDATE orders SET total_cents = 1"),
        (Table::Orders, "INSERT INTO orders VALUES ('zzz', 1, 1, 1, 1, 1, 1, 1)"),
        (Table::Answers, "UPDATE answers SET stored_at_ms = 0 WHERE key = 'key-3'"),
        (Table::Answers, "UPDATE answers SET outcome = '{}' WHERE key = 'key-2'"),
        (Table::Answers, "DELETE FROM answers WHERE key = 'key-4'"),
        (Table::EditAnswers, "UPDATE edit_answers SET outcome = '{}'"),
    ] {
        let (mut master, mut replica) = pair().await;
        alter(&replica, altered).await;
        let before = replica.dump().await;
        let records = walk(&mut master).await;
        let position = replica.writer.position().await.unwrap();
        let Err(StoreError::Diverged(found)) = replica.writer.apply(&records).await else {
            panic!("not found: {altered}");
        };
        assert_eq!(found.table, table, "{altered}");
        assert_eq!(replica.writer.position().await.unwrap(), position);
        assert_eq!(replica.dump().await, before);
    }
}

#[tokio::test]
async fn the_ranges_of_a_large_table_leave_no_row_out() {
    let mut master = Node::master().await;
    alter(
        &master,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
         INSERT INTO orders SELECT printf('%032x', i * 7), 1, 1, 1, 1, 1, 1, i FROM n",
    )
    .await;
    let records = walk(&mut master).await;
    let orders: Vec<RangeDigest> =
        records.iter().map(range).filter(|range| range.table == Table::Orders).collect();
    assert_eq!(orders.iter().map(|range| range.rows).collect::<Vec<_>>(), [5000, 5000, 2000]);
    for (before, range) in orders.iter().zip(&orders[1..]) {
        assert_eq!(before.last, range.after);
    }
    assert_eq!((orders[0].after.clone(), orders[2].last.clone()), (None, None));
    assert_eq!(orders[0].last.as_deref(), Some(format!("{:032x}", 5000 * 7).as_str()));
}

#[tokio::test]
async fn far_more_rows_than_the_master_has_are_a_difference_too() {
    let (mut master, mut replica) = pair().await;
    let records = walk(&mut master).await;
    alter(
        &replica,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
         INSERT INTO orders SELECT 'x' || i, 1, 1, 1, 1, 1, 1, 1 FROM n",
    )
    .await;
    assert!(matches!(replica.writer.apply(&records).await, Err(StoreError::Diverged(_))));
}
