//! The first thing that anybody does with the store: look, look again, buy, look again.

use crate::harness::{Client, Cluster, Nginx, Process, Rows, Shape, alone, in_company, rows, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The members of a book.
const BOOK: [&str; 5] = ["id", "bookTitle", "bookTopic", "numberOfItems", "bookCost"];

/// The members of the answer to a purchase.
const RECEIPT: [&str; 8] =
    ["message", "orderId", "bookId", "quantity", "total", "remaining", "version", "responseTime"];

const PREFIXES: [&str; 2] = ["/catalog-service", ""];

#[test]
fn the_walkthrough_through_one_process() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--frontends", "2", "--data", data.to_str().unwrap()];
    let mut up = Process::start(dir.path(), "up", &args, &[]);
    assert_eq!(up.urls().len(), 2, "{:?}", up.urls());
    let clients: Vec<Client> = up.urls().iter().map(|url| Client::new(url)).collect();
    up.in_sync(1);
    walk(&clients[0], &clients);
    up.in_sync(1);
    up.stop();
    assert_one_sale(&rows(&data.join("master")));
    assert_eq!(rows(&data.join("master")), rows(&data.join("replica-1")));
}

#[test]
fn the_walkthrough_through_nginx_and_every_role_as_a_process() {
    let _alone = alone();
    let shape = Shape { frontends: 1, orders: 2, redis: true, ..Shape::default() };
    let cluster = Cluster::start(shape);
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    let client = Client::new(&nginx.url());
    walk(&client, std::slice::from_ref(&client));
    drop(nginx);
    assert_one_sale(&cluster.stop_and_compare());
}

#[test]
fn what_was_sold_through_one_frontend_is_gone_on_every_other() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { orders: 2, redis: true, ..Shape::default() });
    let clients = cluster.clients();
    walk(&clients[0], &clients);
    for client in clients.iter().cycle().take(6) {
        let receipt = client.buy(9).ok().json();
        let remaining = receipt["remaining"].as_i64().unwrap();
        for reader in &clients {
            assert_eq!(reader.info(9).stock(9), remaining);
            assert_eq!(reader.search("education").stock(9), remaining);
        }
    }
    let rows = cluster.stop_and_compare();
    assert_eq!(rows["orders"].len(), 7);
}

#[test]
fn a_store_that_is_started_again_has_what_it_had() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut up = Process::start(dir.path(), "up", &args, &[]);
    let order = Client::new(up.url()).buy(9).ok().json();
    up.stop();
    up.restart();
    let client = Client::new(up.url());
    assert_eq!(client.info(9).stock(9), 14);
    let found = client.order(order["orderId"].as_str().unwrap()).ok().json();
    assert_eq!(found["total"], 28);
    up.stop();
}

/// Reads through every one of `readers`, buys through `buyer`.
fn walk(buyer: &Client, readers: &[Client]) {
    for prefix in PREFIXES {
        let nature = buyer.get(&format!("{prefix}/search/nature")).ok();
        assert_members(&nature.json()["items"][0], &BOOK);
        assert_eq!(nature.json()["items"][0]["bookTitle"], "Spring in the Pioneer Valley");
        // The second prefix finds what the first put there: both are the same thing.
        assert_eq!(nature.cached(), prefix.is_empty());
    }
    for reader in readers {
        let ids = |answer: &Value| {
            answer["items"].as_array().unwrap().iter().map(|b| b["id"].clone()).collect::<Vec<_>>()
        };
        let first = reader.search("education").ok();
        assert_members(&first.json(), &["items", "next", "cached", "responseTime"]);
        assert_eq!(ids(&first.json()), [9, 10]);
        assert!(first.json()["responseTime"].as_f64().unwrap() > 0.0);
        let second = reader.search("education").ok();
        assert!(second.cached());
        assert_eq!(second.header("x-cache"), "HIT");
        reader.info(9).ok();
        let info = reader.get("/info/9").ok();
        assert!(info.cached());
        assert_members(&info.json(), &[&BOOK[..], &["cached", "responseTime"]].concat());
        let mut book = info.json();
        book["cached"].take();
        book["responseTime"].take();
        let expected = json!({"id": 9, "bookTitle": "How to finish Project 3 on time", "bookTopic": "education",
            "numberOfItems": 15, "bookCost": 28, "cached": null, "responseTime": null});
        assert_eq!(book, expected);
        assert_eq!(info.header("cache-control"), "no-cache");
        assert!(!info.says_stale());
    }
    // The very first reader of a fresh store had to ask a node.
    let topics = buyer.get("/catalog-service/topics").ok();
    assert!(topics.json()["items"].as_array().unwrap().contains(&json!({"topic": "education", "books": 2})));
    assert_eq!(topics.header("x-cache"), "MISS");
    assert_eq!(buyer.get("/topics").ok().header("x-cache"), "HIT");

    let receipt = buyer.post("/order-service/purchase", &[], &json!({"id": 9, "orderCost": 28})).ok();
    let bought = receipt.json();
    assert_members(&bought, &RECEIPT);
    let told =
        [&bought["message"], &bought["bookId"], &bought["quantity"], &bought["total"], &bought["remaining"]];
    assert_eq!(told, [&json!("Book has been purchased"), &json!(9), &json!(1), &json!(28), &json!(14)]);
    assert_eq!(receipt.header("bazar-version"), bought["version"].as_str().unwrap());

    for reader in readers {
        // At once: the reads right behind the answer.
        let (search, info) = (reader.search("education").ok(), reader.info(9).ok());
        assert_eq!((search.stock(9), info.stock(9)), (14, 14));
        assert!(info.version() >= receipt.version());
        wait_until("the new state is cached", || {
            let (search, info) = (reader.search("education").ok(), reader.info(9).ok());
            assert_eq!((search.stock(9), info.stock(9)), (14, 14));
            search.cached() && info.cached()
        });
    }
    for prefix in ["/order-service", ""] {
        let order =
            buyer.get(&format!("{prefix}/orders/{}", bought["orderId"].as_str().unwrap())).ok().json();
        assert_members(&order, &["orderId", "bookId", "quantity", "total", "version", "createdAt"]);
        assert_eq!((&order["orderId"], &order["version"]), (&bought["orderId"], &bought["version"]));
        assert!(humantime::parse_rfc3339(order["createdAt"].as_str().unwrap()).is_ok());
    }
    assert_eq!(buyer.search("no such topic".replace(' ', "%20").as_str()).ok().json()["items"], json!([]));
}

fn assert_one_sale(rows: &Rows) {
    assert_eq!((rows["books"].len(), rows["orders"].len(), rows["answers"].len()), (11, 1, 1));
    assert!(
        rows["books"].iter().any(|book| book.starts_with("[9,") && book.contains(",14,2800]")),
        "{rows:?}"
    );
}

/// These and no others.
#[track_caller]
fn assert_members(object: &Value, names: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, names.iter().copied().collect(), "{object}");
}
