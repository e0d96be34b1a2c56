//! What nodes say to each other, nobody else can say.

use crate::harness::{Client, Cluster, Shape, TOKEN, alone, in_company, wait_until};
use bazar::wire::catalog::{
    BACKUP, BOOKS, CHANGES, EDITS, EXPORT, GUARDED_EDITS, HANDOVER, IMPORTS, LEASES, LOG, NODE, ORDERS,
    PURCHASES, QUERY, RELEASE, REPLICAS, SEARCH, SHELF, SNAPSHOT, SYNC_WRITE, TOPICS, VERIFY, VERSIONS,
};
use bazar::wire::frontend::{HOLDER, INVALIDATE};
use bazar::wire::order;
use bazar::wire::status::STATUS;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The version of a file that no master has written to.
const GENESIS: &str = "0:0000000000000000.0";

/// Not the secret of the store of tests.
const STRANGER: &str = "secret-of-another-store";

/// A method, a route, and what stands behind it in the path.
type Route = (&'static str, &'static str, &'static str);

const ROUTES_OF_CATALOG: [Route; 25] = [
    ("GET", BOOKS, "/9"),
    ("GET", BOOKS, "?ids=9,10"),
    ("GET", SEARCH, "?topic=education&limit=10"),
    ("GET", QUERY, "?q=the&limit=10"),
    ("GET", TOPICS, ""),
    ("GET", CHANGES, ""),
    ("GET", VERSIONS, "/1.1"),
    ("GET", SHELF, "?limit=10"),
    ("GET", ORDERS, "?limit=10"),
    ("GET", ORDERS, "/0123456789abcdef0123456789abcdef"),
    ("GET", EXPORT, ""),
    ("GET", BACKUP, ""),
    ("GET", NODE, ""),
    ("GET", STATUS, ""),
    ("POST", PURCHASES, ""),
    ("POST", EDITS, ""),
    ("POST", GUARDED_EDITS, ""),
    ("POST", IMPORTS, ""),
    ("POST", LEASES, ""),
    ("POST", RELEASE, ""),
    ("POST", REPLICAS, ""),
    ("GET", LOG, ""),
    ("GET", SNAPSHOT, ""),
    ("POST", VERIFY, ""),
    ("POST", HANDOVER, ""),
];
const ROUTES_OF_REPLICA: [Route; 1] = [("POST", SYNC_WRITE, "")];
const ROUTES_OF_ORDER: [Route; 2] = [("POST", order::PURCHASES, ""), ("GET", STATUS, "")];
const ROUTES_OF_FRONTEND: [Route; 3] = [("POST", INVALIDATE, ""), ("GET", HOLDER, ""), ("GET", STATUS, "")];

/// The routes that a file of `wire` names. Those of `status` are one for members, and one for who scrapes.
fn named_in(wire: &str) -> BTreeSet<&str> {
    let constants =
        wire.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str = \""));
    constants
        .filter_map(|(_, value)| value.strip_suffix("\";"))
        .filter(|value| value.starts_with('/'))
        .collect()
}

#[test]
fn no_internal_route_is_missing_among_those_that_are_tried() {
    for (routes, wire) in [
        ([&ROUTES_OF_CATALOG[..], &ROUTES_OF_REPLICA].concat(), include_str!("../../src/wire/catalog.rs")),
        (ROUTES_OF_ORDER.to_vec(), include_str!("../../src/wire/order.rs")),
        (ROUTES_OF_FRONTEND.to_vec(), include_str!("../../src/wire/frontend.rs")),
    ] {
        let mut named = named_in(wire);
        assert!(!named.is_empty());
        named.insert(STATUS);
        assert_eq!(routes.iter().map(|(_, route, _)| *route).collect::<BTreeSet<_>>(), named);
    }
}

#[test]
fn without_a_signature_of_the_store_every_internal_route_is_401() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let routes_of_replica = [&ROUTES_OF_CATALOG[..], &ROUTES_OF_REPLICA].concat();
    let nodes: [(&str, &[Route]); 4] = [
        (cluster.master.url(), &ROUTES_OF_CATALOG),
        (cluster.replicas[0].url(), &routes_of_replica),
        (cluster.orders[0].url(), &ROUTES_OF_ORDER),
        (&cluster.frontends[0].urls()[1], &ROUTES_OF_FRONTEND),
    ];
    for (url, routes) in nodes {
        let client = Client::new(url);
        for &(method, route, rest) in routes {
            let path = &format!("{route}{rest}");
            let body = (method == "POST").then_some("{}");
            // What is not there is a 401 to strangers as well: a member is told the difference.
            let member = Client::internal(url).send(method, path, &[], body).unwrap();
            assert!(!matches!(member.status, 401 | 404), "{method} {path}: {}", member.status);
            let bearer = format!("Bearer {TOKEN}");
            let nonsense = format!("v1 key={TOKEN}");
            for header in [
                None,
                Some(("authorization", bearer.as_str())),
                Some(("bazar-signature", "")),
                Some(("bazar-signature", TOKEN)),
                Some(("bazar-signature", nonsense.as_str())),
            ] {
                let mut headers = vec![("content-type", "application/json")];
                headers.extend(header);
                let answer = client.send(method, path, &headers, body).unwrap();
                answer.problem(401, "unauthorized");
                assert_eq!(answer.header("www-authenticate"), "Bazar-Signature");
            }
            let of_another = Client::signing(url, STRANGER);
            of_another.send(method, path, &[], body).unwrap().problem(401, "unauthorized");
        }
        client.get("/healthz").ok();
        client.get("/readyz").ok();
    }
    assert_eq!(cluster.client(0).info(9).stock(9), 15);
    let rows = cluster.stop_and_compare();
    assert!(rows["orders"].is_empty());
}

#[test]
fn several_books_are_told_in_the_order_of_the_question() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, orders: 0, ..Shape::default() });
    cluster.settled();
    for (url, master) in [(cluster.master.url(), true), (cluster.replicas[0].url(), false)] {
        let node = Client::internal(url);
        let ask = |ids: &str| node.get(&format!("/books?ids={ids}"));
        let told = ask("9,999,1,9").ok().json();
        assert_eq!(told["master"], json!(master));
        let ids: Vec<_> = told["value"].as_array().unwrap().iter().map(|book| &book["id"]).collect();
        assert_eq!(ids, [&json!(9), &Value::Null, &json!(1), &json!(9)]);
        assert_eq!(told["value"][0]["bookTitle"], "How to finish Project 3 on time");
        let many = |count: usize| vec!["9"; count].join(",");
        assert_eq!(ask(&many(64)).ok().json()["value"].as_array().unwrap().len(), 64);
        for wrong in [many(65).as_str(), "", "9,", "x", "0", "9,-1"] {
            ask(wrong).problem(400, "invalid_request");
        }
    }
}

#[test]
fn reads_that_travel_together_each_get_their_own_answer() {
    const READERS: i64 = 32;
    const READS: i64 = 40;
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let client = cluster.client(0);
            scope.spawn(move || {
                // Each id is one that nobody has asked for before, but for the books that there are.
                for id in (0..READS).map(|read| read * READERS + reader + 1) {
                    let answer = client.info(id);
                    match id {
                        1..=11 => assert_eq!(answer.ok().json()["id"], id),
                        _ => drop(answer.problem(404, "book_not_found")),
                    }
                    assert_eq!(client.info(1 + id % 11).ok().json()["id"], 1 + id % 11);
                }
            });
        }
    });
}

#[test]
fn a_forged_invalidation_or_sync_write_changes_nothing() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    wait_until("the answer is cached", || client.info(9).ok().cached());

    let fenced = &cluster.frontends[0].urls()[1];
    let (internal, stranger) = (Client::internal(fenced), Client::signing(fenced, STRANGER));
    let holder = internal.get("/holder").ok().json()["holder"].clone();
    let position = cluster.state()["position"].clone();
    let forged = json!({"holder": holder, "lease": holder, "version": position, "keys": "all"});
    stranger.post("/cache/invalidate", &[], &forged).problem(401, "unauthorized");
    Client::new(fenced).post("/cache/invalidate", &[], &forged).problem(401, "unauthorized");
    assert!(client.info(9).ok().cached(), "a forged fence emptied the cache");
    // With the token, but meant for another process.
    let strange = json!({"holder": forge(&holder), "lease": holder, "version": position, "keys": "all"});
    internal.post("/cache/invalidate", &[], &strange).problem(409, "not_this_holder");
    assert!(client.info(9).ok().cached());

    client.buy(9).ok();
    let replica = Client::internal(cluster.replicas[0].url());
    let position = || replica.get("/readyz").ok().json()["position"].clone();
    let before = position();
    let log = Client::internal(cluster.master.url()).get(&format!("/log?after={GENESIS}"));
    let mut record = log.ok().json()["records"].as_array().unwrap().last().unwrap().clone();
    record["body"] = json!({"batch": {"stocks": [{"book_id": 9, "stock": 999}]}});
    let here_already = json!({"records": [record]});
    // The record that would be applied, by somebody who does not know the token; two that are not, by one who does.
    record["predecessor"] = before.clone();
    record["version"] = json!(version_after(&before, 1));
    let next = json!({"records": [record]});
    record["predecessor"] = json!(version_after(&before, 1));
    record["version"] = json!(version_after(&before, 2));
    let behind_a_gap = json!({"records": [record]});
    for stranger in
        [Client::signing(cluster.replicas[0].url(), STRANGER), Client::new(cluster.replicas[0].url())]
    {
        stranger.post("/sync-write", &[], &next).problem(401, "unauthorized");
    }
    for forged in [here_already, behind_a_gap] {
        assert_eq!(replica.post("/sync-write", &[], &forged).ok().json()["position"], before);
    }
    assert_eq!(position(), before);
    assert_eq!(client.info(9).stock(9), 14);
    cluster.stop_and_compare();
}

/// `<epoch>.<seq>`, so many records later.
fn version_after(version: &Value, records: u64) -> String {
    let (epoch, seq) = version.as_str().unwrap().rsplit_once('.').unwrap();
    format!("{epoch}.{}", seq.parse::<u64>().unwrap() + records)
}

/// Another id of the same form.
fn forge(id: &Value) -> Value {
    match id {
        Value::String(text) => {
            let last = if text.ends_with('0') { '1' } else { '0' };
            json!(format!("{}{last}", &text[..text.len() - 1]))
        }
        other => json!(other.as_u64().unwrap() ^ 1),
    }
}
