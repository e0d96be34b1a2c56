//! Full-text search through the frontends: what is found, and that it is never stale.

use crate::harness::{Answer, Client, Cluster, Shape, in_company, wait_until};
use serde_json::{Value, json};

fn ids(answer: &Answer) -> Vec<i64> {
    answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

/// `q` as it stands in a URL.
fn found(client: &Client, q: &str) -> Vec<i64> {
    ids(&client.get(&format!("/catalog-service/search?q={q}")).ok())
}

#[test]
fn words_find_books_by_their_titles_whatever_stands_around_them() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    cluster.edit(&json!({"create": {"title": "Crème brûlée", "topic": "cooking", "stock": 1, "price": 100}}));
    for client in cluster.clients() {
        for (q, books) in [
            ("physics", &[3][..]),
            ("PHYSICS+introduction", &[3]),
            ("java", &[7]),
            ("intro*+physics", &[3]),
            ("creme", &[12]),
            ("BR%C3%9BL%C3%89E", &[12]),
            // The last word may be the beginning of one: theory.
            ("the", &[1, 2, 11, 10]),
            ("node.js", &[8]),
            ("%22physics", &[3]),
            ("NOT+physics", &[]),
            ("(physics)+*", &[3]),
            ("title:physics", &[]),
            ("nothing+of+the+kind", &[]),
        ] {
            assert_eq!(found(&client, q), books, "{q}");
        }
        for q in ["", "%20", "*", "%22%22", "()", "%F0%9F%98%80"] {
            client.get(&format!("/search?q={q}")).problem(400, "invalid_request");
        }
        client.get("/search").problem(400, "invalid_request");
        client.get("/search?q=the&limit=0").problem(400, "invalid_request");
        client.get("/search?q=the&after=9").problem(400, "invalid_request");
        client.get(&format!("/search?q={}", "x".repeat(301))).problem(400, "invalid_request");
    }
}

#[test]
fn pages_go_on_behind_the_last_book_and_end() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let (mut seen, mut path) = (Vec::new(), "/search?q=the&limit=1".to_owned());
    loop {
        let page = client.get(&path).ok();
        seen.extend(ids(&page));
        let Value::String(next) = page.json()["next"].take() else { break };
        assert!(next.starts_with("/catalog-service/search?q=the&limit=1&after="), "{next}");
        // A page by itself is cached by itself.
        wait_until("the page is cached", || client.get(&path).header("x-cache") == "HIT");
        path = next;
    }
    assert_eq!(seen, [1, 2, 11, 10]);
}

#[test]
fn a_cached_search_shows_every_change_at_once_on_every_frontend() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let clients = cluster.clients();
    let warm = || {
        for client in &clients {
            for q in ["physics", "quantum", "chemistry", "physics&limit=1", "nobody"] {
                wait_until("the answer is cached", || {
                    client.get(&format!("/search?q={q}")).header("x-cache") == "HIT"
                });
            }
        }
    };
    let expect =
        |q: &str, books: &[i64]| clients.iter().for_each(|client| assert_eq!(found(client, q), books, "{q}"));

    warm();
    cluster.edit(&json!({"update": {"book_id": 3, "title": "Introduction to Quantum Physics"}}));
    expect("quantum", &[3]);
    expect("physics", &[3]);
    warm();
    cluster.edit(&json!({"create": {"title": "Physics", "topic": "science", "stock": 4, "price": 100}}));
    expect("physics", &[12, 3]);
    expect("physics&limit=1", &[12]);
    warm();
    // A sale is no change of what is found, but of what is shown.
    assert_eq!(clients[0].buy(12).ok().json()["remaining"], 3);
    for client in &clients {
        assert_eq!(client.get("/search?q=physics").ok().stock(12), 3);
    }
    warm();
    cluster.edit(&json!({"update": {"book_id": 3, "topic": "elsewhere", "price": 999}}));
    for client in &clients {
        let items = client.get("/search?q=quantum").ok().json()["items"].take();
        assert_eq!((&items[0]["bookTopic"], &items[0]["bookCost"]), (&json!("elsewhere"), &json!(9.99)));
    }
    warm();
    cluster.edit(&json!({"update": {"book_id": 3, "title": "Alchemy"}}));
    expect("quantum", &[]);
    expect("physics", &[12]);
    warm();
    cluster.edit(&json!({"delete": {"book_id": 12}}));
    expect("physics", &[]);
    expect("chemistry", &[4]);
    cluster.stop_and_compare();
}
