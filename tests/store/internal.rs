//! What nodes say to each other, nobody else can say.

use crate::harness::{Client, Cluster, Shape, TOKEN, in_company};
use serde_json::{Value, json};

/// The version of a file that no master has written to.
const GENESIS: &str = "0:0000000000000000.0";

const ROUTES_OF_CATALOG: [(&str, &str); 13] = [
    ("GET", "/books/9"),
    ("GET", "/search?topic=education&limit=10"),
    ("GET", "/topics"),
    ("GET", "/orders/0123456789abcdef0123456789abcdef"),
    ("POST", "/purchases"),
    ("POST", "/edits"),
    ("POST", "/leases"),
    ("POST", "/leases/release"),
    ("POST", "/replicas"),
    ("GET", "/log"),
    ("GET", "/snapshot"),
    ("POST", "/verify"),
    ("GET", "/versions/1.1"),
];

#[test]
fn without_the_token_every_internal_route_is_401() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let with_sync_write = [&ROUTES_OF_CATALOG[..], &[("POST", "/sync-write")]].concat();
    let nodes: [(&str, &[(&str, &str)]); 4] = [
        (cluster.master.url(), &ROUTES_OF_CATALOG),
        (cluster.replicas[0].url(), &with_sync_write),
        (cluster.orders[0].url(), &[("POST", "/purchase")]),
        (&cluster.frontends[0].urls()[1], &[("POST", "/cache/invalidate"), ("GET", "/holder")]),
    ];
    for (url, routes) in nodes {
        let client = Client::new(url);
        for &(method, path) in routes {
            let body = (method == "POST").then_some("{}");
            let almost = format!("Bearer {}", &TOKEN[1..]);
            let lower = format!("bearer {}x", TOKEN);
            for header in [None, Some("Bearer "), Some(TOKEN), Some(almost.as_str()), Some(lower.as_str())] {
                let mut headers = vec![("content-type", "application/json")];
                headers.extend(header.map(|header| ("authorization", header)));
                let answer = client.send(method, path, &headers, body).unwrap();
                answer.problem(401, "unauthorized");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
        }
        client.get("/healthz").ok();
        client.get("/readyz").ok();
    }
    assert_eq!(cluster.client(0).info(9).stock(9), 15);
    let rows = cluster.stop_and_compare();
    assert!(rows["orders"].is_empty());
}

#[test]
fn a_forged_invalidation_or_sync_write_changes_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.info(9).ok();
    assert!(client.info(9).ok().cached());

    let internal = Client::new(&cluster.frontends[0].urls()[1]);
    let bearer = [("authorization", format!("Bearer {TOKEN}"))];
    let bearer = bearer.each_ref().map(|(name, value)| (*name, value.as_str()));
    let holder = internal.send("GET", "/holder", &bearer, None).unwrap().ok().json()["holder"].clone();
    let position = cluster.state()["position"].clone();
    let forged = json!({"holder": holder, "lease": holder, "version": position, "keys": "all"});
    internal
        .post("/cache/invalidate", &[("authorization", "Bearer wrong-wrong-wrong-")], &forged)
        .problem(401, "unauthorized");
    assert!(client.info(9).ok().cached(), "a forged fence emptied the cache");
    // With the token, but meant for another process.
    let strange = json!({"holder": forge(&holder), "lease": holder, "version": position, "keys": "all"});
    internal.post("/cache/invalidate", &bearer, &strange).problem(409, "not_this_holder");
    assert!(client.info(9).ok().cached());

    client.buy(9).ok();
    let replica = Client::new(cluster.replicas[0].url());
    let position = || replica.get("/readyz").ok().json()["position"].clone();
    let before = position();
    let log = Client::new(cluster.master.url()).send("GET", &format!("/log?after={GENESIS}"), &bearer, None);
    let mut record = log.unwrap().ok().json()["records"].as_array().unwrap().last().unwrap().clone();
    record["body"] = json!({"batch": {"stocks": [{"book_id": 9, "stock": 999}]}});
    let here_already = json!({"records": [record]});
    // The record that would be applied, by somebody who does not know the token; two that are not, by one who does.
    record["predecessor"] = before.clone();
    record["version"] = json!(version_after(&before, 1));
    let next = json!({"records": [record]});
    record["predecessor"] = json!(version_after(&before, 1));
    record["version"] = json!(version_after(&before, 2));
    let behind_a_gap = json!({"records": [record]});
    let strangers = [("authorization", "Bearer wrong-wrong-wrong-")];
    replica.post("/sync-write", &strangers, &next).problem(401, "unauthorized");
    for forged in [here_already, behind_a_gap] {
        assert_eq!(replica.post("/sync-write", &bearer, &forged).ok().json()["position"], before);
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
