//! The nginx configuration that we ship, in front of real frontends and of none.

use crate::harness::{Client, Cluster, NOBODY, Nginx, Shape, in_company, raw};
use serde_json::json;

#[test]
fn nginx_passes_requests_and_answers_through() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { log: "info,bazar=debug", ..Shape::default() });
    let urls: Vec<&str> = cluster.frontends.iter().map(|frontend| frontend.url()).collect();
    let nginx = Nginx::start(cluster.dir(), &urls);
    let client = Client::new(&nginx.url());
    let answer = client.info(9).ok();
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert!(!answer.header("bazar-version").is_empty() && !answer.header("x-request-id").is_empty());
    client.info(999).problem(404, "book_not_found");
    client.get("/catalog-service/search/%ff").problem(400, "invalid_request");
    client.get("/healthz").ok();

    // A key where none was sent; the client's own where it sent one.
    let made = client.buy(9).ok();
    let key = made.header("idempotency-key").to_owned();
    assert_eq!(key.len(), 32, "{key}");
    assert_eq!(client.buy_with_key(9, &key).ok().header("idempotency-replayed"), "true");
    assert_eq!(client.buy_with_key(9, "my-own-key").ok().header("idempotency-key"), "my-own-key");
    assert_eq!(client.info(9).ok().stock(9), 13);

    // The client's request id is the frontend's too.
    let headers = [("x-request-id", "the-clients-own-id")];
    let answer = client.send("GET", "/info/9", &headers, None).unwrap().ok();
    assert_eq!(answer.header("x-request-id"), "the-clients-own-id");
    assert!(cluster.frontends.iter().any(|frontend| frontend.log().contains("the-clients-own-id")));
}

#[test]
fn nginx_closes_internal_routes_and_large_bodies_in_our_envelope() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    let client = Client::new(&nginx.url());
    for prefix in ["", "/catalog-service", "/order-service"] {
        for path in ["/cache/invalidate", "/sync-write", "/metrics", "/internal/x"] {
            client.get(&format!("{prefix}{path}")).problem(404, "not_found");
            client.post(&format!("{prefix}{path}"), &[], &json!({})).problem(404, "not_found");
        }
    }
    let body = "x".repeat(1 << 20);
    let head = "POST /order-service/purchase HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let answer = raw(&nginx.url(), format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("payload_too_large"), "{answer}");
    assert_eq!(client.info(9).ok().stock(9), 15);
}

#[test]
fn without_a_frontend_nginx_answers_503_with_a_key_to_repeat_the_purchase_with() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path(), &[NOBODY]);
    let client = Client::new(&nginx.url());
    client.info(9).problem(503, "unavailable");
    let refused = client.buy(9);
    refused.problem(503, "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("idempotency-key").len(), 32);
    let refused = client.buy_with_key(9, "my-own-key");
    refused.problem(503, "unavailable");
    assert_eq!(refused.header("idempotency-key"), "my-own-key");
}

#[test]
fn nginx_goes_to_another_frontend_when_one_is_gone() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, ..Shape::default() });
    let urls: Vec<&str> = cluster.frontends.iter().map(|frontend| frontend.url()).collect();
    let nginx = Nginx::start(cluster.dir(), &urls);
    let client = Client::new(&nginx.url());
    (0..4).for_each(|_| drop(client.info(9).ok()));
    cluster.frontends[0].stop();
    (0..4).for_each(|_| drop(client.info(9).ok()));
    for left in [14, 13] {
        assert_eq!(client.buy(9).ok().json()["remaining"], left);
    }
}
