//! Full-text search, and that every page of a large catalog is a seek.

use super::*;
use crate::domain::{Rank, Words};
use crate::store::StoreError;

async fn found(store: &Store, text: &str) -> Vec<i64> {
    let words = Words::parse(text).unwrap();
    let page = store.books_with_words(&words, None, 100).await.unwrap().value;
    assert_eq!(page.next, None);
    page.books.iter().map(|book| book.id.get()).collect()
}

/// Whether the index has the words of the books that there are, and no others.
async fn assert_in_step(node: &Node) {
    let mut connection = connect(&current_file(node.dir.path()).unwrap()).await;
    let fresh =
        "CREATE VIRTUAL TABLE temp.fresh USING fts5 (title, tokenize = 'unicode61 remove_diacritics 2');
                 INSERT INTO temp.fresh (rowid, title) SELECT length(title) << 53 | id, title FROM books;
                 CREATE VIRTUAL TABLE temp.expected USING fts5vocab('temp', 'fresh', 'instance');
                 CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'titles', 'instance')";
    sqlx::raw_sql(fresh).execute(&mut connection).await.unwrap();
    let differ: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM (SELECT * FROM words EXCEPT SELECT * FROM expected))
              + (SELECT count(*) FROM (SELECT * FROM expected EXCEPT SELECT * FROM words))",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(differ, 0);
    let differ: i64 = sqlx::query_scalar(
        "WITH counted AS (SELECT topic, count(*) AS books FROM books GROUP BY topic)
         SELECT (SELECT count(*) FROM (SELECT * FROM counted EXCEPT SELECT * FROM topics))
              + (SELECT count(*) FROM (SELECT * FROM topics EXCEPT SELECT * FROM counted))",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(differ, 0);
    sqlx::raw_sql("INSERT INTO titles (titles) VALUES ('integrity-check')")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_given_up_and_the_next_one_is_not() {
    let mut node = Node::master().await;
    let many: Vec<Request> = (0..1000).map(|n| create(&format!("Physics {n}"), "science")).collect();
    node.write(&many).await;
    let words = Words::parse("physics").unwrap();
    let given_up = node.store.search(&words, None, 1000, std::time::Duration::ZERO).await;
    assert!(matches!(given_up, Err(StoreError::Busy(_))), "{given_up:?}");
    assert_eq!(node.store.books_with_words(&words, None, 1000).await.unwrap().value.books.len(), 1000);
    // And the others read on meanwhile and after.
    assert!(node.store.book(id(3)).await.unwrap().value.is_some());
}

#[tokio::test]
async fn words_find_titles_in_any_order_case_and_accent_the_shortest_title_first() {
    let mut node = Node::master().await;
    node.write(&[
        create("Crème Brûlée for Beginners", "cooking"),
        create("The Art of the Creme", "cooking"),
        create("Creme", "cooking"),
        create("Élégant Physics", "science"),
    ])
    .await;
    for (text, books) in [
        ("physics", &[15, 3][..]),
        ("PHYSICS introduction", &[3]),
        ("introduction physics", &[3]),
        ("creme", &[14, 13, 12]),
        ("crème", &[14, 13, 12]),
        ("brulee creme", &[12]),
        ("elegant", &[15]),
        ("nobody", &[]),
        // The last word may go on, and one with a star.
        ("javascr", &[7]),
        ("java", &[7]),
        ("intro* physics", &[3]),
        ("intro physics", &[]),
        // Two letters stand for themselves.
        ("ja", &[]),
        ("project 3", &[9]),
        ("node.js", &[8]),
        ("the of", &[13, 2]),
    ] {
        assert_eq!(found(&node.store, text).await, books, "{text}");
    }
    assert_in_step(&node).await;
}

#[tokio::test]
async fn what_fts5_would_call_a_syntax_error_is_just_words() {
    let node = Node::master().await;
    for text in [
        "\"physics",
        "physics\"",
        "(physics",
        "physics)",
        "physics AND",
        "AND",
        "NOT physics",
        "NEAR(physics",
        "title:physics",
        "^physics",
        "physics*",
        "*physics",
        "-physics",
        "+physics",
        "{title}: physics",
        "physics \\",
        "physics; DROP TABLE books",
        "phy'sics",
        "हिन्दी",
        "ﬁn",
        "x\u{301}y\u{301}",
        "a\u{20dd}b",
        "½",
        "①②",
        "İstanbul",
    ] {
        let words = Words::parse(text).unwrap();
        node.store
            .books_with_words(&words, None, 100)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }
    assert_eq!(found(&node.store, "(\"physics\")*").await, [3]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_typed_is_answered(texts in proptest::collection::vec(".{1,40}", 50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = Node::fresh().await;
            for text in texts {
                if let Ok(words) = Words::parse(text.clone()) {
                    node.store.books_with_words(&words, None, 5).await.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
                }
            }
        });
    }
}

#[tokio::test]
async fn the_pages_of_a_search_are_its_books_in_order_without_gap_or_repetition() {
    let mut node = Node::master().await;
    let titles = ["Lost", "Lost x", "Found and Lost", "Lost y", "Lostness", "Lost again and again"];
    node.write(&titles.map(|title| create(title, "x"))).await;
    let words = Words::parse("lost").unwrap();
    for limit in 1..=8 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = node.store.books_with_words(&words, after, limit).await.unwrap().value;
            seen.extend(page.books.iter().map(|book| book.id.get()));
            let Some(next) = page.next else { break };
            assert_eq!(page.books.len(), limit as usize);
            assert_eq!(next.id, page.books.last().unwrap().id);
            after = Some(next);
        }
        assert_eq!(seen, [12, 13, 15, 16, 14, 17, 2], "limit {limit}");
    }
    let end = Rank { chars: 300, id: BookId::MAX };
    assert!(node.store.books_with_words(&words, Some(end), 5).await.unwrap().value.books.is_empty());
}

#[tokio::test]
async fn the_index_and_the_counts_follow_every_kind_of_change_here_and_at_a_replica() {
    let mut node = Node::master().await;
    let update = |book: i64, title: Option<&str>, about: Option<&str>| {
        Request::Edit(Edit::Update {
            book_id: id(book),
            title: title.map(|title| Title::parse(title).unwrap()),
            topic: about.map(topic),
            stock: None,
            price: None,
        })
    };
    let put = |book: i64, title: &str| Request::Edit(Edit::Put(new_book(title, "put").with_id(id(book))));
    for batch in [
        vec![create("A new one", "x"), create("Another new one", "x")],
        vec![update(12, Some("A newer one"), None), buy(1, 12)],
        vec![update(13, None, Some("y")), update(9, Some("Late"), Some("y"))],
        vec![delete(12), put(13, "Put"), put(40, "Put too"), delete(11)],
        vec![restock(9, 3), delete(40), create("The last", "nature")],
    ] {
        node.write(&batch).await;
        assert_in_step(&node).await;
    }
    assert_eq!(found(&node.store, "new").await, Vec::<i64>::new());
    assert_eq!(found(&node.store, "put").await, [13]);
    let mut replica = Node::fresh().await;
    replica.writer.apply(&log_behind(&node.store, Version::GENESIS).await).await.unwrap();
    assert_in_step(&replica).await;
    assert_eq!(replica.dump().await, node.dump().await);
    let topics = node.store.topics().await.unwrap().value;
    let topics: Vec<_> = topics.iter().map(|count| (count.topic.as_str(), count.books)).collect();
    let seeded =
        [("education", 1), ("fiction", 2), ("history", 2), ("nature", 1), ("programming", 2), ("put", 1)];
    assert_eq!(topics, [&seeded[..], &[("science", 2), ("y", 1)]].concat());
}

#[tokio::test]
async fn every_read_of_a_large_catalog_is_a_seek() {
    let node = Node::master().await;
    let mut connection = connect(&current_file(node.dir.path()).unwrap()).await;
    let statements = crate::store::read::STATEMENTS.into_iter().chain(crate::store::log::STATEMENTS);
    for (name, sql) in statements.chain(crate::store::listing::STATEMENTS) {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
        let sorts = steps.iter().filter(|step| step.contains("USE TEMP B-TREE")).count();
        for step in &steps {
            let made = |of: &str| {
                steps.contains(&&*format!("MATERIALIZE {of}"))
                    || steps.contains(&&*format!("CO-ROUTINE {of}"))
            };
            let scanned = step.strip_prefix("SCAN ").map(|rest| rest.split(' ').next().unwrap());
            let bounded = match scanned {
                None => true,
                // The last row only, from the end.
                Some("log") => steps.contains(&"CO-ROUTINE l"),
                // What a subquery with a limit has found.
                Some(of) if made(of) => true,
                // From one row on, in the order wanted: what is sorted is the page that was found.
                Some("titles") => step.contains("VIRTUAL TABLE INDEX") && sorts <= 1,
                // As many rows as the answer has.
                Some("t") => name == "topics",
                Some(_) => false,
            };
            assert!(bounded && !step.contains("AUTOMATIC"), "{name} reads more than it shows: {steps:#?}");
        }
    }
    connection.close().await.unwrap();
}
