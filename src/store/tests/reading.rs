//! What reads show: the seeded books, pages, and the version that belongs to them.

use super::super::MAX_TOPICS;
use super::*;
use crate::domain::{BookPage, TopicCount};

/// books.csv as it was handed to us.
const BOOKS_CSV: &str = "\
1,The Great Adventure,fiction,10,15
2,Mystery of the Lost City,fiction,8,20
3,Introduction to Physics,science,12,25
4,Advanced Chemistry,science,5,30
5,World War Chronicles,history,7,18
6,Ancient Civilizations,history,15,22
7,JavaScript Mastery,programming,20,35
8,Node.js Complete Guide,programming,10,40
9,How to finish Project 3 on time,education,15,28
10,Why theory classes are so hard,education,12,32
11,Spring in the Pioneer Valley,nature,18,24";

#[tokio::test]
async fn a_fresh_store_holds_the_books_of_books_csv_at_genesis() {
    let node = Node::fresh().await;
    for line in BOOKS_CSV.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let expected = Book {
            id: BookId::parse(fields[0]).unwrap(),
            title: Title::parse(fields[1]).unwrap(),
            topic: topic(fields[2]),
            stock: Stock::new(fields[3].parse().unwrap()).unwrap(),
            price: Cents::from_dollars(fields[4].parse().unwrap()).unwrap(),
        };
        let found = node.store.book(expected.id).await.unwrap();
        assert_eq!(found.value, Some(expected));
        assert_eq!(found.asof, Version::GENESIS);
    }
    assert_eq!(node.store.book(id(12)).await.unwrap().value, None);
}

#[tokio::test]
async fn topics_are_listed_in_order_with_their_number_of_books() {
    let mut node = Node::master().await;
    node.write(&[delete(11), create("Zebras", "animals")]).await;
    let listed = node.store.topics().await.unwrap();
    let expected = [("animals", 1), ("education", 2), ("fiction", 2), ("history", 2)]
        .into_iter()
        .chain([("programming", 2), ("science", 2)])
        .map(|(text, books)| TopicCount { topic: topic(text), books })
        .collect::<Vec<_>>();
    assert_eq!(listed.value, expected);
    assert_eq!(listed.asof, node.writer.position().await.unwrap());
}

#[tokio::test]
async fn a_list_of_topics_is_bounded_however_many_there_are() {
    let node = Node::fresh().await;
    let mut connection = connect(&current_file(node.dir.path()).unwrap()).await;
    let books = "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 10200)
                 INSERT INTO books (id, title, topic, stock, price_cents)
                 SELECT i, 'x', format('many-%05d', i), 1, 1 FROM n";
    sqlx::query(books).execute(&mut connection).await.unwrap();
    let topics = node.store.topics().await.unwrap().value;
    assert_eq!(topics.len(), MAX_TOPICS as usize);
    assert_eq!(topics[0].topic, topic("education"));
}

#[tokio::test]
async fn a_store_without_books_still_says_its_version() {
    let mut node = Node::master().await;
    let all: Vec<Request> = (1..=11).map(delete).collect();
    let version = node.write(&all).await.version;
    let topics = node.store.topics().await.unwrap();
    assert_eq!((topics.asof, topics.value), (version, vec![]));
    let page = node.store.books_of_topic(&topic("fiction"), None, 5).await.unwrap();
    assert_eq!((page.asof, page.value), (version, BookPage { books: vec![], next: None }));
}

#[tokio::test]
async fn the_pages_of_a_topic_are_its_books_in_order_without_gap_or_repetition() {
    let mut node = Node::master().await;
    node.write(&[create("Third", "science"), create("Fourth", "science"), create("Fifth", "science")]).await;
    for limit in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = node.store.books_of_topic(&topic("science"), after, limit).await.unwrap().value;
            assert!(page.books.len() <= limit as usize);
            assert!(page.books.iter().all(|book| book.topic == topic("science")));
            seen.extend(page.books.iter().map(|book| book.id.get()));
            let Some(next) = page.next else { break };
            assert_eq!(page.books.len(), limit as usize);
            after = Some(next);
        }
        assert_eq!(seen, [3, 4, 12, 13, 14], "limit {limit}");
    }
}

#[tokio::test]
async fn a_topic_is_compared_as_it_is_written() {
    let node = Node::fresh().await;
    let page = node.store.books_of_topic(&topic("Science"), None, 5).await.unwrap();
    assert!(page.value.books.is_empty());
}

#[tokio::test]
async fn asof_is_the_version_whose_rows_are_shown() {
    let mut node = Node::master().await;
    for n in 0..5 {
        let before = node.store.book(id(4)).await.unwrap();
        let prepared = node.writer.prepare(&[buy(n, 4)], NOW_MS, None).await.unwrap();
        assert_eq!(node.store.book(id(4)).await.unwrap(), before, "an open batch is not seen");
        node.writer.commit().await.unwrap();

        let after = node.store.book(id(4)).await.unwrap();
        assert_eq!(after.asof, prepared.version);
        assert_eq!(after.value.unwrap().stock.get(), 4 - n as u32);
        let page = node.store.books_of_topic(&topic("science"), None, 9).await.unwrap();
        assert_eq!(page.asof, prepared.version);
        assert_eq!(page.value.books[1].stock.get(), 4 - n as u32);
        let order = node.store.order(OrderId::draw(0, n)).await.unwrap();
        assert_eq!(order.asof, prepared.version);
        assert_eq!(order.value.unwrap().version, prepared.version);
        assert_eq!(node.store.position().await.unwrap(), prepared.version);
    }
}

#[tokio::test]
async fn reads_seek_in_an_index() {
    let node = Node::fresh().await;
    let mut connection = connect(&current_file(node.dir.path()).unwrap()).await;
    for (sql, wanted) in [
        ("SELECT id FROM books WHERE topic = 'x' AND id > 5 ORDER BY id LIMIT 3", "(topic=? AND rowid>?)"),
        ("SELECT topic, count(*) FROM books GROUP BY topic", "COVERING INDEX books_by_topic"),
        (
            "SELECT key FROM answers WHERE order_id IS NOT NULL AND stored_at_ms < 7
             ORDER BY stored_at_ms, key LIMIT 9",
            "receipts_by_age",
        ),
        (
            "SELECT key FROM answers WHERE order_id IS NULL AND stored_at_ms < 7
             ORDER BY stored_at_ms, key LIMIT 9",
            "refusals_by_age",
        ),
        (
            "SELECT id FROM books WHERE id IN (SELECT value FROM json_each('[1]'))",
            "SEARCH books USING INTEGER PRIMARY KEY",
        ),
        (
            "UPDATE books SET stock = level.value ->> 1
             FROM jsonb_each('[[1,1]]') AS level WHERE books.id = level.value ->> 0",
            "SEARCH books USING INTEGER PRIMARY KEY",
        ),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let steps: Vec<String> = plan.into_iter().map(|step| step.3).collect();
        assert!(steps.iter().any(|step| step.contains(wanted)), "{sql}: {steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {steps:?}");
    }
}

#[tokio::test]
async fn several_books_are_read_at_once_and_those_that_do_not_exist_are_left_out() {
    let mut node = Node::master().await;
    let version = node.write(&[delete(3), create("\"Quotes\" \\ and \u{1f4d6}", "a'b")]).await.version;
    let ids: Vec<BookId> = [9, 3, 12, 1, 999, 9].map(id).to_vec();
    let read = node.store.books(&ids).await.unwrap();
    assert_eq!(read.asof, version);
    let mut one_by_one = Vec::new();
    for &id in &ids {
        one_by_one.extend(node.store.book(id).await.unwrap().value);
    }
    assert_eq!(read.value, one_by_one);
    assert_eq!(one_by_one.iter().map(|book| book.id.get()).collect::<Vec<_>>(), [9, 12, 1, 9]);
    assert_eq!(node.store.books(&[]).await.unwrap().value, []);
}
