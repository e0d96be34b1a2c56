//! Promise 3: one key has one effect, however often and wherever it is sent.

use crate::harness::{Answer, Client, Cluster, Gate, Shape, in_company, raw};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;

#[test]
fn the_same_purchase_sent_twice_is_one_order_with_one_answer() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { orders: 2, ..Shape::default() });
    let clients = cluster.clients();
    // At the same time, through two frontends.
    for round in 0..10 {
        let key = format!("together-{round}");
        let start = std::sync::Barrier::new(2);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let both: Vec<_> = clients
                .iter()
                .map(|client| {
                    let (key, start) = (&key, &start);
                    scope.spawn(move || {
                        start.wait();
                        client.buy_with_key(9, key)
                    })
                })
                .collect();
            both.into_iter().map(|one| one.join().unwrap().ok()).collect()
        });
        assert_eq!(without_time(&answers[0]), without_time(&answers[1]));
        let replays = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
        assert_eq!(replays, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.header("idempotency-key") == key));
    }
    // One after the other.
    let first = clients[0].buy_with_key(9, "again").ok();
    assert_eq!(first.header("idempotency-replayed"), "");
    for client in &clients {
        let replay = client.buy_with_key(9, "again").ok();
        assert_eq!(replay.header("idempotency-replayed"), "true");
        assert_eq!(without_time(&first), without_time(&replay));
    }
    assert_eq!(clients[0].info(9).stock(9), 4);
    let rows = cluster.stop_and_compare();
    assert_eq!((rows["orders"].len(), rows["answers"].len()), (11, 11));
}

#[test]
fn a_key_that_was_used_for_another_purchase_is_refused_and_buys_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let client = cluster.client(0);
    client.buy_with_key(9, "mine").ok();
    let others =
        [json!({"book_id": 10}), json!({"book_id": 9, "quantity": 2}), json!({"id": 9, "orderCost": 28})];
    for other in &others {
        let refused = cluster.client(1).post("/purchase", &[("idempotency-key", "mine")], other);
        refused.problem(422, "idempotency_mismatch");
    }
    assert_eq!(client.buy_with_key(9, "mine").ok().header("idempotency-replayed"), "true");
    for key in ["", "a b", &"x".repeat(256)] {
        client
            .post("/purchase", &[("idempotency-key", key)], &json!({"book_id": 9}))
            .problem(400, "invalid_request");
    }
    assert_eq!(stocks(&client), (14, 12));
}

#[test]
fn a_refusal_is_replayed_as_well_even_after_a_restock() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let clients = cluster.clients();
    cluster.set_stock(9, 0);
    let first = clients[0].buy_with_key(9, "too late");
    first.problem(400, "invalid_request");
    let first = clients[0].buy_with_key(9, "too-late");
    assert_eq!(first.problem(409, "out_of_stock"), "Book is out of stock");
    assert_eq!(first.header("idempotency-replayed"), "");
    cluster.edit(&json!({"restock": {"book_id": 9, "copies": 3}}));
    for client in &clients {
        let replay = client.buy_with_key(9, "too-late");
        replay.problem(409, "out_of_stock");
        assert_eq!(replay.header("idempotency-replayed"), "true");
        assert_eq!(replay.header("idempotency-key"), "too-late");
    }
    clients[0].buy_with_key(9, "in-time").ok();
    assert_eq!(clients[1].info(9).stock(9), 2);
}

#[test]
fn a_client_that_sends_no_key_is_told_the_one_that_was_made_for_it() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let first = client.buy(9).ok();
    let key = first.header("idempotency-key").to_owned();
    assert!(!key.is_empty());
    let replay = client.buy_with_key(9, &key).ok();
    assert_eq!(replay.header("idempotency-replayed"), "true");
    assert_eq!(without_time(&first), without_time(&replay));
}

#[test]
fn a_client_that_hangs_up_has_bought_once_or_not_at_all() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let url = cluster.frontends[0].url();
    for round in 0..10 {
        let key = format!("gone-{round}");
        let body = r#"{"book_id":9}"#;
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /purchase HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        drop(stream);
        let client = cluster.client(round % 2);
        client.buy_with_key(9, &key).ok();
        let sold = i64::try_from(round + 1).unwrap();
        assert_eq!(client.info(9).stock(9), 15 - sold);
    }
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 10);
}

#[test]
fn a_purchase_that_a_stopping_frontend_gives_up_is_told_its_key() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, replicas: 0, ..Shape::default() });
    let gate = Gate::before(cluster.orders[0].url());
    let mut frontend = cluster.start_frontend_with_orders("frontend-held", gate.url());
    let clients = [(); 2].map(|()| Client::new(frontend.url()));
    let refused: Vec<Answer> = std::thread::scope(|scope| {
        let buyers = [scope.spawn(|| clients[0].buy(9)), scope.spawn(|| clients[1].buy_with_key(9, "mine"))];
        gate.holds_one();
        gate.holds_one();
        frontend.signal(rustix::process::Signal::TERM);
        buyers.map(|buyer| buyer.join().unwrap()).into()
    });
    for answer in &refused {
        answer.problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty());
    }
    frontend.ends_well();
    assert_eq!(refused[1].header("idempotency-key"), "mine");
    let made = refused[0].header("idempotency-key");
    assert!(!made.is_empty());
    // What was held goes on to the order node now; whether before or after the repeat, each buys once.
    gate.open();
    let frontend = cluster.start_frontend("frontend");
    let client = Client::new(frontend.url());
    client.buy_with_key(9, made).ok();
    client.buy_with_key(9, "mine").ok();
    assert_eq!(client.info(9).stock(9), 13);
    drop(frontend);
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 2);
}

#[test]
fn a_purchase_whose_body_does_not_come_is_answered_with_its_key() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, replicas: 0, ..Shape::default() });
    let request =
        "POST /purchase HTTP/1.1\r\nHost: x\r\nIdempotency-Key: late\r\nContent-Length: 13\r\n\r\n{";
    let answer = raw(cluster.frontends[0].url(), request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("idempotency-key: late"), "{answer}");
}

fn without_time(answer: &Answer) -> Value {
    let mut body = answer.json();
    body["responseTime"].take();
    body
}

fn stocks(client: &Client) -> (i64, i64) {
    (client.info(9).stock(9), client.info(10).stock(10))
}
