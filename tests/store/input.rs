//! Whatever a client sends, it gets the right status and a problem with a stable code, and nothing
//! changes.

use crate::harness::{Answer, Client, Cluster, Shape, in_company, raw};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_purchase_that_is_not_right_is_refused_with_its_code() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let before = catalog(&client);

    let underpaid = purchase(&client, r#"{"id":9,"orderCost":10}"#);
    assert_eq!(underpaid.problem(422, "underpaid"), "you should pay 28$ but you paid 10$");
    purchase(&client, r#"{"id":9,"orderCost":55.99,"quantity":2}"#).problem(422, "underpaid");
    assert_eq!(purchase(&client, r#"{"book_id":999}"#).problem(404, "book_not_found"), "Book not found");
    purchase(&client, r#"{"book_id":9,"quantity":16}"#).problem(409, "out_of_stock");
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"book_id":9,"quantity":0}"#,
        r#"{"book_id":9,"quantity":101}"#,
        r#"{"book_id":9,"quantity":-1}"#,
        r#"{"book_id":9,"quantity":1.5}"#,
        r#"{"book_id":9,"quantity":"x"}"#,
        r#"{"book_id":9,"orderCost":-1}"#,
        r#"{"book_id":"9"}"#,
        r#"{"book_id":1180591620717411303424}"#,
        r#"{"book_id":9,"id":10}"#,
        &format!("{{\"book_id\":9,\"quantity\":{}1{}}}", "[".repeat(1500), "]".repeat(1500)),
    ] {
        purchase(&client, body).problem(400, "invalid_request");
    }
    client.send("POST", "/purchase", &[], None).unwrap().problem(400, "invalid_request");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let answer =
            client.send("POST", "/purchase", &[("content-type", content_type)], Some(r#"{"book_id":9}"#));
        answer.unwrap().problem(415, "unsupported_media_type");
    }
    assert_eq!(catalog(&client), before);
    let rows = cluster.stop_and_compare();
    assert!(rows["orders"].is_empty());
}

#[test]
fn a_body_of_a_megabyte_is_refused_however_it_is_sent() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let url = cluster.frontends[0].url();
    let body = "x".repeat(1 << 20);
    let head = "POST /order-service/purchase HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let whole = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for request in [whole, chunked] {
        let answer = raw(url, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("payload_too_large"),
            "{answer}"
        );
    }
    cluster.client(0).info(9).ok();
}

#[test]
fn a_read_that_is_not_right_is_refused_with_its_code() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let before = catalog(&client);
    for path in [
        "/info/1180591620717411303424",
        "/info/0",
        "/info/-1",
        "/info/1.5",
        "/info/x",
        "/info/%ff",
        "/order-service/orders/%ff",
        "/catalog-service/search/%ff%fe",
        "/catalog-service/search/%00",
        &format!("/search/{}", "x".repeat(5_000)),
        "/search/education?limit=0",
        "/search/education?limit=1001",
        "/search/education?limit=x",
        "/search/education?limit=",
        "/search/education?after=0",
        "/search/education?after=-1",
        "/search/education?after=1180591620717411303424",
    ] {
        client.get(path).problem(400, "invalid_request");
    }
    assert_eq!(client.get("/info/999").problem(404, "book_not_found"), "Book not found");
    // The same again, from the cache.
    client.get("/info/999").problem(404, "book_not_found");
    for id in ["x", "0123456789abcdef0123456789abcdef", "%C3%A9", &"x".repeat(5_000)] {
        client.order(id).problem(404, "order_not_found");
    }
    for path in
        ["/nothing", "/catalog-service", "/catalog-service/info", "/catalog-service/purchase", "/info/9/x"]
    {
        client.get(path).problem(404, "not_found");
    }
    client.get(&format!("/search/{}", "x".repeat(10_000))).problem(414, "uri_too_long");
    for (method, path, allowed) in [
        ("POST", "/info/9", "GET"),
        ("DELETE", "/catalog-service/search/education", "GET"),
        ("PUT", "/topics", "GET"),
        ("GET", "/order-service/purchase", "POST"),
        ("BREW", "/info/9", "GET"),
        ("DELETE", "/order-service/orders/x", "GET"),
    ] {
        let answer = client.send(method, path, &[], None).unwrap();
        answer.problem(405, "method_not_allowed");
        assert!(answer.header("allow").contains(allowed), "{:?}", answer.headers);
    }
    assert_eq!(catalog(&client), before);
}

#[test]
fn large_topics_are_read_page_by_page() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let first = client.get("/search/fiction?limit=1").ok().json();
    assert_eq!((&first["items"][0]["id"], first["items"].as_array().unwrap().len()), (&json!(1), 1));
    let second = client.get(first["next"].as_str().unwrap()).ok().json();
    assert_eq!(second["items"][0]["id"], 2);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(client.search("fiction").ok().json()["next"], Value::Null);
    assert_eq!(client.get("/search/fiction?after=2").ok().json()["items"], json!([]));
}

#[test]
fn internal_routes_are_not_found_at_the_public_address() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let signature = Client::internal(cluster.master.url()).capture("GET", "/log", &[], None);
    let signature = String::from_utf8(signature).unwrap();
    let signature = signature.lines().find_map(|line| line.strip_prefix("bazar-signature: ")).unwrap();
    let headers = [JSON, ("bazar-signature", signature)];
    for prefix in ["", "/catalog-service", "/order-service"] {
        for path in [
            "/cache/invalidate",
            "/sync-write",
            "/leases",
            "/log",
            "/snapshot",
            "/versions/1.1",
            "/edits",
            "/purchases",
            "/holder",
        ] {
            for (method, body) in [("GET", None), ("POST", Some("{}"))] {
                let answer = client.send(method, &format!("{prefix}{path}"), &headers, body).unwrap();
                answer.problem(404, "not_found");
            }
        }
    }
}

#[test]
fn rubbish_on_the_socket_gets_a_4xx_and_disturbs_nobody() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let url = cluster.frontends[0].url();
    let before = catalog(&cluster.client(0));
    let requests: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rubbish\r\n\r\n",
        b"GET /info/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /info/9 HTTP/9.9\r\n\r\n",
        b"POST /purchase HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\nConnection: close\r\n\r\n",
        b"POST /purchase HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzzz\r\n\r\n",
    ];
    for request in requests {
        let answer = raw(url, request);
        assert!(answer.starts_with("HTTP/1.1 4"), "{:?} got {answer:?}", String::from_utf8_lossy(request));
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert_eq!(catalog(&cluster.client(0)), before);
}

#[test]
fn invalid_utf8_in_the_path_is_a_problem_in_our_envelope() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let request = b"GET /catalog-service/search/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = raw(cluster.frontends[0].url(), request);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("invalid_request"), "{answer}");
}

fn purchase(client: &Client, body: &str) -> Answer {
    client.send("POST", "/order-service/purchase", &[JSON], Some(body)).unwrap()
}

/// All counts and prices.
fn catalog(client: &Client) -> Vec<Value> {
    (1..=11)
        .map(|book| {
            let book = client.info(book).ok().json();
            json!([book["id"], book["bookTitle"], book["numberOfItems"], book["bookCost"]])
        })
        .collect()
}
