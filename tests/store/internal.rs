//! What nodes say to each other, nobody else can say.

use crate::harness::{Client, Cluster, Shape, TOKEN, in_company};
use serde_json::{Value, json};

const ROUTES_OF_CATALOG: [(&str, &str); 11] = [
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

    let replica = Client::new(cluster.replicas[0].url());
    let log = Client::new(cluster.master.url());
    client.buy(9).ok();
    cluster.in_sync(1);
    let genesis = "0.0.0000000000000000";
    let log = [genesis, "0-0-0"].iter().find_map(|after| {
        let answer = log.send("GET", &format!("/log?after={after}"), &bearer, None).unwrap();
        (answer.status == 200).then(|| answer.json())
    });
    let at = replica.get("/readyz").ok().json()["position"].clone();
    let last = log.and_then(|log| log["records"].as_array().and_then(|records| records.last().cloned()));
    let mut record = last.unwrap_or_else(|| json!({"version": at, "predecessor": at, "body": {"batch": {}}}));
    let stocks = json!({"batch": {"stocks": [{"book_id": 9, "stock": 999}]}});
    record["body"] = stocks;
    let forged = json!({"records": [record]});
    replica
        .post("/sync-write", &[("authorization", "Bearer wrong-wrong-wrong-")], &forged)
        .problem(401, "unauthorized");
    // With the token, but a record that is there already.
    replica.post("/sync-write", &bearer, &forged);
    assert_eq!(replica.get("/readyz").ok().json()["position"], at);
    assert_eq!(client.info(9).stock(9), 14);
    cluster.stop_and_compare();
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
