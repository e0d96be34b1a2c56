//! What the catalog's keeper changes is seen at once, in every cached answer that it concerns.

use crate::harness::{Answer, Client, Cluster, Shape, in_company, wait_until};
use serde_json::{Value, json};

#[test]
fn every_kind_of_edit_is_seen_at_once_on_every_frontend() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let clients = cluster.clients();
    let edit = |edit: Value| {
        clients.iter().for_each(warm);
        cluster.edit(&edit);
    };

    edit(json!({"update": {"book_id": 9, "price": 1999}}));
    for client in &clients {
        assert_eq!(client.info(9).ok().json()["bookCost"], 19.99);
        assert_eq!(book(&client.search("education"), 9)["bookCost"], 19.99);
    }
    edit(json!({"restock": {"book_id": 9, "copies": 5}}));
    for client in &clients {
        assert_eq!((client.info(9).stock(9), client.search("education").stock(9)), (20, 20));
    }
    edit(json!({"update": {"book_id": 9, "title": "A new title"}}));
    for client in &clients {
        assert_eq!(client.info(9).ok().json()["bookTitle"], "A new title");
        assert_eq!(book(&client.search("education"), 9)["bookTitle"], "A new title");
    }
    edit(json!({"create": {"title": "Twelve", "topic": "education", "stock": 2, "price": 100}}));
    for client in &clients {
        assert_eq!(client.info(12).ok().json()["bookTitle"], "Twelve");
        assert_eq!(ids(&client.search("education")), [9, 10, 12]);
        assert_eq!(count(client, "education"), Some(3));
    }
    edit(json!({"update": {"book_id": 12, "topic": "nature"}}));
    for client in &clients {
        assert_eq!(client.info(12).ok().json()["bookTopic"], "nature");
        assert_eq!(ids(&client.search("education")), [9, 10]);
        assert_eq!(ids(&client.search("nature")), [11, 12]);
        assert_eq!((count(client, "education"), count(client, "nature")), (Some(2), Some(2)));
    }
    edit(json!({"update": {"book_id": 12, "topic": "a topic of its own"}}));
    for client in &clients {
        assert_eq!(ids(&client.search("nature")), [11]);
        assert_eq!(ids(&client.search("a%20topic%20of%20its%20own")), [12]);
        assert_eq!(count(client, "a topic of its own"), Some(1));
    }
    edit(json!({"delete": {"book_id": 12}}));
    for client in &clients {
        client.info(12).problem(404, "book_not_found");
        assert!(ids(&client.search("a%20topic%20of%20its%20own")).is_empty());
        assert_eq!(count(client, "a topic of its own"), None);
        client.buy(12).problem(404, "book_not_found");
    }
    edit(json!({"put": {"id": 40, "title": "Forty", "topic": "education", "stock": 1, "price": 4000}}));
    for client in &clients {
        assert_eq!(client.info(40).ok().stock(40), 1);
        assert_eq!(ids(&client.search("education")), [9, 10, 40]);
    }
    // A number is never given to another book.
    edit(json!({"delete": {"book_id": 40}}));
    edit(json!({"create": {"title": "Next", "topic": "education", "stock": 1, "price": 0}}));
    for client in &clients {
        client.info(40).problem(404, "book_not_found");
        assert_eq!(client.info(41).ok().json()["bookCost"], 0);
    }
    cluster.stop_and_compare();
}

#[test]
fn a_topic_may_have_any_printable_characters() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    for (id, topic, path) in [
        (12, "C/C++ & ünïcode?", "C%2FC%2B%2B%20%26%20%C3%BCn%C3%AFcode%3F"),
        (13, "100%", "100%25"),
        (14, "..", "%2e%2e"),
        (15, "a+b", "a+b"),
        (16, "topics", "topics"),
    ] {
        cluster.edit(&json!({"create": {"title": "A title", "topic": topic, "stock": 1, "price": 100}}));
        for client in cluster.clients() {
            for prefix in ["", "/catalog-service"] {
                let found = client.get(&format!("{prefix}/search/{path}")).ok();
                assert_eq!(ids(&found), [id], "{topic}");
            }
            assert_eq!(count(&client, topic), Some(1));
        }
    }
}

/// Reads, until all of it comes from the cache, what the edits will change.
fn warm(client: &Client) {
    for path in [
        "/info/9",
        "/info/12",
        "/info/40",
        "/info/41",
        "/search/education",
        "/search/nature",
        "/topics",
        "/search/a%20topic%20of%20its%20own",
    ] {
        wait_until("the answer is cached", || client.get(path).header("x-cache") == "HIT");
    }
}

#[track_caller]
fn book(answer: &Answer, id: i64) -> Value {
    let items = answer.json()["items"].take();
    items.as_array().unwrap().iter().find(|item| item["id"] == id).unwrap().clone()
}

#[track_caller]
fn ids(answer: &Answer) -> Vec<i64> {
    answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

#[track_caller]
fn count(client: &Client, topic: &str) -> Option<u64> {
    let topics = client.get("/topics").ok().json();
    topics["items"].as_array().unwrap().iter().find(|item| item["topic"] == topic)?["books"].as_u64()
}
