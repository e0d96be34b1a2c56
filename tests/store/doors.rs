//! The gate of the public listener: limits for each client, who a client is, host names, other origins, and what every
//! answer carries.

use crate::harness::connect_from;
use crate::harness::{
    Answer, Client, Cluster, Nginx, Process, Shape, Visitor, in_company, raw, raw_from, wait_until,
};
use serde_json::json;
use std::io::{Read, Write};

/// Of a proxy of ours: whom it names is a client. Who comes from 127.0.0.1 itself is one without limits.
const LIMITED: &[&str] = &[
    "--trusted-proxy",
    "127.0.0.1",
    "--unlimited-client",
    "127.0.0.1",
    "--rate-limit",
    "10/m",
    "--purchase-rate-limit",
    "3/m",
    "--client-connections",
    "3",
];

fn shop(frontend_flags: &'static [&'static str]) -> Cluster {
    Cluster::start(Shape { replicas: 0, frontends: 1, frontend_flags, ..Shape::default() })
}

/// What a client gets whom the proxy names by `forwarded`.
#[track_caller]
fn as_client(client: &Client, forwarded: &str, path: &str) -> Answer {
    client.send("GET", path, &[("x-forwarded-for", forwarded)], None).unwrap()
}

/// How many of 30 requests are served.
#[track_caller]
fn served(client: &Client, forwarded: impl Fn(usize) -> String) -> usize {
    (0..30).filter(|&number| as_client(client, &forwarded(number), "/info/9").status == 200).count()
}

#[test]
fn a_client_has_its_rate_and_is_told_when_to_come_back_and_others_are_served() {
    let _company = in_company();
    let cluster = shop(LIMITED);
    let client = cluster.client(0);
    let (one, other) = ("203.0.113.7", "203.0.113.8");
    for number in 0..10 {
        let answer = as_client(&client, one, "/info/9").ok();
        // The short way of a cached read is counted too.
        assert!(number == 0 || answer.cached());
    }
    let refused = as_client(&client, one, "/info/9");
    refused.problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=6).contains(&wait), "one in six seconds, so {wait}");
    let for_a_person =
        client.send("GET", "/", &[("x-forwarded-for", one), ("accept", "text/html")], None).unwrap();
    assert_eq!((for_a_person.status, for_a_person.header("content-type")), (429, "text/html; charset=utf-8"));
    assert!(for_a_person.text().contains("a little fast"));
    assert_eq!(as_client(&client, other, "/info/9").ok().stock(9), 15);
    // The addresses of one customer of IPv6 are one client.
    assert_eq!(served(&client, |number| format!("2001:db8:1:2::{number:x}")), 10);
    assert_eq!(served(&client, |number| format!("2001:db8:1:{:x}::1", 0x100 + number)), 30);
    // The programs of this machine.
    (0..30).for_each(|_| drop(client.info(9).ok()));
    assert!(cluster.frontends[0].log().contains("too many requests from 203.0.113.7"));
}

#[test]
fn a_forged_header_makes_nobody_somebody_else() {
    let _company = in_company();
    let cluster = shop(LIMITED);
    let client = cluster.client(0);
    // What stands left of what our proxy has seen.
    assert_eq!(served(&client, |number| format!("198.51.100.{number}, 203.0.113.7")), 10);
    // Neither has it emptied what is theirs.
    assert_eq!(as_client(&client, "198.51.100.1", "/info/9").status, 200);
    // Who is no proxy of ours.
    let url = cluster.frontends[0].url();
    let served = (0..30)
        .filter(|number| {
            let request = format!(
                "GET /info/9 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.{number}\r\nForwarded: for=1.2.3.4\r\n\
                 X-Real-IP: 1.2.3.{number}\r\nConnection: close\r\n\r\n"
            );
            raw_from("127.0.0.2", url, request.as_bytes()).starts_with("HTTP/1.1 200 ")
        })
        .count();
    assert_eq!(served, 10);
}

#[test]
fn purchases_have_a_limit_of_their_own_by_whichever_way_they_come() {
    let _company = in_company();
    let cluster = shop(LIMITED);
    let client = cluster.client(0);
    let from = ("x-forwarded-for", "203.0.113.7");
    let buy = || client.post("/purchase", &[from, ("idempotency-key", "k1")], &json!({ "book_id": 9 }));
    // The same purchase three times, which counts as three.
    (0..3).for_each(|_| drop(buy().ok()));
    let refused = buy();
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("idempotency-key"), "k1");
    assert!((1..=20).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    // The shop's form.
    let visitor = Visitor::new(cluster.frontends[0].url());
    let form = visitor.get("/books/9").page(200).form();
    let page = visitor.post_with("/buy", &form, &[from]).page(429).says("a little fast");
    assert!((1..=20).contains(&page.answer.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(client.info(9).ok().stock(9), 14);
    // Reading goes on, and so does buying for others.
    as_client(&client, from.1, "/info/9").ok();
    visitor.post_with("/buy", &form, &[("x-forwarded-for", "203.0.113.8")]).goes_to();
    assert_eq!(client.info(9).ok().stock(9), 13);
}

#[test]
fn a_client_has_so_many_connections_and_others_have_theirs() {
    let _company = in_company();
    let cluster = shop(LIMITED);
    let url = cluster.frontends[0].url();
    let request = b"GET /info/9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let idle: Vec<_> = (0..3)
        .map(|_| {
            // It has its place when it was answered.
            let mut stream = connect_from("127.0.0.2", url);
            stream.write_all(b"GET /info/9 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream
        })
        .collect();
    let refused = raw_from("127.0.0.2", url, request);
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("application/problem+json") && refused.contains("rate_limited"), "{refused}");
    assert!(raw_from("127.0.0.3", url, request).starts_with("HTTP/1.1 200 "));
    drop(idle);
    wait_until("a place is free", || raw_from("127.0.0.2", url, request).starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_limits_know_a_client_behind_our_nginx_whatever_it_claims_to_be() {
    let _company = in_company();
    let flags = &["--trusted-proxy", "127.0.0.1", "--unlimited-client", "none", "--rate-limit", "100000/s"];
    let cluster = Cluster::start(Shape {
        replicas: 0,
        frontends: 1,
        frontend_flags: flags,
        admin: Some(crate::admin::ADMIN),
        ..Shape::default()
    });
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    let forged = "GET /admin/api/books HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nX-Forwarded-For: 198.51.100.1\r\n\
                  Forwarded: for=198.51.100.2\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n";
    let refused = raw_from("127.0.0.7", &nginx.url(), forged.as_bytes());
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let log = cluster.frontends[0].log();
    assert!(log.contains("client=127.0.0.7") && !log.contains("198.51.100"), "{log}");
}

#[test]
fn nginx_stops_what_no_client_does_before_it_reaches_a_frontend() {
    let _company = in_company();
    let cluster = shop(&[]);
    // Here some of this machine's addresses are clients.
    let changes =
        [("127.0.0.0/8 0;", "127.0.0.1/32 0;"), ("rate=1000r/s", "rate=1r/m"), ("burst=4000", "burst=4")];
    let nginx = Nginx::start_with(cluster.dir(), &[cluster.frontends[0].url()], &changes);
    let request = b"GET /info/9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers: Vec<String> = (0..8).map(|_| raw_from("127.0.0.7", &nginx.url(), request)).collect();
    let served = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200 ")).count();
    assert_eq!(served, 5);
    let refused = answers.last().unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After: 1\r\n"), "{refused}");
    assert!(refused.contains("application/problem+json") && refused.contains("rate_limited"), "{refused}");
    assert!(raw_from("127.0.0.8", &nginx.url(), request).starts_with("HTTP/1.1 200 "));
    assert!(raw(&nginx.url(), request).starts_with("HTTP/1.1 200 "));
}

#[track_caller]
fn by_name(url: &str, host: &str) -> String {
    raw(url, format!("GET /info/9 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn a_store_of_this_machine_does_not_answer_to_a_name_that_somebody_else_points_at_it() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--replicas",
        "0",
        "--orders",
        "1",
        "--data",
        data.to_str().unwrap(),
    ];
    let store = Process::start(dir.path(), "store", &args, &[]);
    for host in ["rebound.evil.example", "rebound.evil.example:8083", "127.0.0.1.evil.example"] {
        let answer = by_name(store.url(), host);
        assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("unknown_host"), "{host}: {answer}");
    }
    for host in ["localhost", "127.0.0.1:8083", "[::1]:8083", "shop.localhost"] {
        assert!(by_name(store.url(), host).starts_with("HTTP/1.1 200 "), "{host}");
    }
    let absolute = b"GET http://evil.example/info/9 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(store.url(), absolute).starts_with("HTTP/1.1 421 "));
}

#[test]
fn a_frontend_answers_to_the_names_that_it_was_given() {
    let _company = in_company();
    let cluster = shop(&["--allowed-host", "shop.example,www.shop.example"]);
    let url = cluster.frontends[0].url();
    for (host, status) in [("shop.example", 200), ("WWW.Shop.Example:443", 200), ("other.example", 421)] {
        assert!(by_name(url, host).starts_with(&format!("HTTP/1.1 {status} ")), "{host}");
    }
    let any = shop(&[]);
    assert!(by_name(any.frontends[0].url(), "other.example").starts_with("HTTP/1.1 200 "));
}

#[test]
fn pages_of_other_origins_read_nothing_unless_theirs_is_named() {
    let _company = in_company();
    const THEIRS: &str = "https://shop.example";
    let preflight = |client: &Client, origin: &str, path: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        client.send("OPTIONS", path, &headers, None).unwrap()
    };
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    let closed = shop(&[]);
    let client = closed.client(0);
    assert_eq!(allowed(&client.send("GET", "/info/9", &[("origin", THEIRS)], None).unwrap().ok()), "");
    preflight(&client, THEIRS, "/purchase").problem(405, "method_not_allowed");
    let open = shop(&["--cors-origin", "https://shop.example,http://localhost:3000"]);
    let client = open.client(0);
    // Of the ordinary way, of the short way, of a refusal.
    for path in ["/info/9", "/info/9", "/info/9", "/catalog-service/info/999"] {
        let answer = client.send("GET", path, &[("origin", THEIRS)], None).unwrap();
        assert_eq!((&*allowed(&answer), answer.header("vary")), (THEIRS, "origin"), "{path}");
        assert!(answer.header("access-control-expose-headers").contains("bazar-version"));
        assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let leave = preflight(&client, THEIRS, "/order-service/purchase");
    assert_eq!((leave.status, &*allowed(&leave)), (204, THEIRS));
    assert!(leave.header("access-control-allow-methods").contains("POST"));
    assert!(leave.header("access-control-allow-headers").contains("idempotency-key"));
    for origin in ["https://shop.example.evil.example", "https://evil.example", "http://shop.example", "null"]
    {
        let answer = client.send("GET", "/info/9", &[("origin", origin)], None).unwrap().ok();
        assert_eq!((&*allowed(&answer), answer.header("vary")), ("", "origin"), "{origin}");
        assert_eq!(preflight(&client, origin, "/purchase").status, 405, "{origin}");
    }
    // Pages and the administration are for nobody else.
    for path in ["/", "/admin/api/books", "/buy", "/docs", "/dashboard"] {
        assert_eq!(allowed(&client.send("GET", path, &[("origin", THEIRS)], None).unwrap()), "", "{path}");
        assert_ne!(preflight(&client, THEIRS, path).status, 204, "{path}");
    }
}

#[test]
fn every_answer_tells_browsers_what_not_to_do_and_none_says_who_made_it() {
    let _company = in_company();
    let cluster = shop(&[]);
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    for url in [cluster.frontends[0].url().to_owned(), nginx.url()] {
        let client = Client::new(&url);
        let _ = client.info(9);
        for (method, path) in [
            ("GET", "/info/9"),
            ("GET", "/info/999"),
            ("GET", "/nothing"),
            ("POST", "/purchase"),
            ("DELETE", "/info/9"),
            ("GET", "/healthz"),
            ("GET", "/openapi.json"),
            ("GET", "/"),
            ("GET", "/books/9"),
            ("GET", "/docs"),
            ("GET", "/dashboard"),
            ("GET", "/cover/9.svg"),
            ("GET", "/my-orders"),
            ("GET", "/cache/invalidate"),
            ("GET", &format!("/{}", "x".repeat(9000))),
        ] {
            let answer = client.send(method, path, &[], None).unwrap();
            let what = format!("{method} {url}{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
            let policy = answer.header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{what}"
            );
            assert!(matches!(answer.header("server"), "" | "nginx"), "{what}: {}", answer.header("server"));
            assert_eq!(answer.header("x-powered-by"), "", "{what}");
            if answer.header("content-type").starts_with("text/html") {
                for (name, value) in [
                    ("x-frame-options", "DENY"),
                    ("referrer-policy", "same-origin"),
                    ("cross-origin-opener-policy", "same-origin"),
                    ("cross-origin-resource-policy", "same-origin"),
                ] {
                    assert_eq!(answer.header(name), value, "{what}");
                }
                assert!(answer.header("permissions-policy").contains("camera=()"), "{what}");
            }
        }
    }
}
