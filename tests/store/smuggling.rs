//! Requests that two programs could read differently. What comes behind one that is refused is never taken for another
//! request: the connection ends there.

use crate::harness::{Client, Cluster, Nginx, Shape, in_company, raw};
use std::time::{Duration, Instant};

/// What is to be smuggled: a purchase.
const BUY: &str = "POST /purchase HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"book_id\":9}";

/// Heads whose end, or whose body's end, is not where everybody sees it.
fn ambiguous() -> Vec<(&'static str, String)> {
    let head = "POST /purchase HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let length = BUY.len();
    vec![
        ("CL.TE", format!("{head}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG{BUY}")),
        (
            "TE.CL",
            format!(
                "{head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{length:x}\r\n{BUY}\r\n0\r\n\r\n"
            ),
        ),
        ("two lengths", format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{BUY}")),
        (
            "two equal lengths",
            format!("{head}Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{BUY}"),
        ),
        ("a list of lengths", format!("{head}Content-Length: 0, {length}\r\n\r\n{BUY}")),
        ("a length with a sign", format!("{head}Content-Length: +0\r\n\r\n{BUY}")),
        ("a negative length", format!("{head}Content-Length: -1\r\n\r\n{BUY}")),
        ("a length in hex", format!("{head}Content-Length: 0x0\r\n\r\n{BUY}")),
        ("a length of 2^64", format!("{head}Content-Length: 18446744073709551616\r\n\r\n{BUY}")),
        ("a space before the colon", format!("{head}Content-Length : 0\r\n\r\n{BUY}")),
        ("a space before the name", format!("{head} Content-Length: 0\r\n\r\n{BUY}")),
        ("a folded line", format!("{head}X-Folded: a\r\n Content-Length: {length}\r\n\r\n{BUY}")),
        ("a folded encoding", format!("{head}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{BUY}")),
        ("another encoding", format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{BUY}")),
        ("chunked not last", format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{BUY}")),
        ("a misspelled encoding", format!("{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{BUY}")),
        ("a quoted encoding", format!("{head}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n{BUY}")),
        (
            "two encodings",
            format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{BUY}"),
        ),
        (
            "an encoding in HTTP/1.0",
            format!("{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{BUY}", head.replace("1.1", "1.0")),
        ),
        (
            "a name with a control character",
            format!("{head}Transfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n{BUY}"),
        ),
        ("a zero in a value", format!("{head}X: a\0b\r\nContent-Length: 0\r\n\r\n{BUY}")),
        (
            "a bare CR in a value",
            format!("{head}X: a\rContent-Length: {length}\r\nContent-Length: 0\r\n\r\n{BUY}"),
        ),
        ("two hosts", format!("{head}Host: y\r\nContent-Length: 0\r\n\r\n{BUY}")),
        ("no host", format!("{}Content-Length: 0\r\n\r\n{BUY}", head.replace("Host: x\r\n", ""))),
        (
            "a chunk that is longer than it says",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n{BUY}"),
        ),
        ("a chunk whose size is none", format!("{head}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{BUY}")),
        (
            "a chunk size that overflows",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{BUY}"),
        ),
    ]
}

/// What is refused, and then the connection ends.
#[track_caller]
fn is_refused(url: &str, what: &str, request: &str) {
    let begun = Instant::now();
    let answer = raw(url, request.as_bytes());
    assert!(begun.elapsed() < Duration::from_secs(8), "{what}: the connection goes on");
    assert!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    assert!(answer.contains("application/problem+json"), "{what}: {answer}");
    assert!(!answer.contains("orderId"), "{what}: {answer}");
}

#[test]
fn a_frontend_refuses_every_request_whose_end_could_be_read_in_two_ways() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    for (what, request) in ambiguous() {
        is_refused(cluster.frontends[0].url(), what, &request);
    }
    assert_eq!(cluster.client(0).info(9).ok().stock(9), 15);
}

#[test]
fn a_catalog_node_refuses_them_as_well() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    for (what, request) in ambiguous() {
        is_refused(cluster.master.url(), what, &request);
    }
}

#[test]
fn behind_nginx_no_request_hides_behind_another() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    for (what, request) in ambiguous() {
        let answer = raw(&nginx.url(), request.as_bytes());
        // What nginx reads in one way only it may pass on in that way; then it is one request with one answer.
        assert!(!answer.contains("orderId"), "{what}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    }
    assert_eq!(Client::new(&nginx.url()).info(9).ok().stock(9), 15);
}

#[test]
fn lines_that_end_in_a_bare_lf_are_one_request_to_everybody() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    let request = "GET /info/9 HTTP/1.1\nHost: x\nConnection: close\n\n";
    for url in [cluster.frontends[0].url().to_owned(), nginx.url()] {
        let answer = raw(&url, request.as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    // A length behind a bare LF counts like any other, so what follows is its body and no request.
    let hidden = format!(
        "POST /purchase HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: a\nContent-Length: {}\r\n\r\n{BUY}",
        BUY.len()
    );
    for url in [cluster.frontends[0].url().to_owned(), nginx.url()] {
        let answer = raw(&url, hidden.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("orderId"), "{answer}");
    }
    assert_eq!(cluster.client(0).info(9).ok().stock(9), 15);
}

#[test]
fn what_is_not_http_is_refused_in_our_envelope() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let url = cluster.frontends[0].url();
    let host = "Host: x\r\nConnection: close\r\n\r\n";
    for (request, status, code) in [
        (format!("GET /search?q=\"a\"b HTTP/1.1\r\n{host}"), 400, "invalid_request"),
        (format!("GET /search/<a> HTTP/1.1\r\n{host}"), 400, "invalid_request"),
        (format!("GET /a b HTTP/1.1\r\n{host}"), 400, "invalid_request"),
        (format!("GET  /info/9 HTTP/1.1\r\n{host}"), 400, "invalid_request"),
        (format!("GET info/9 HTTP/1.1\r\n{host}"), 400, "invalid_request"),
        (format!("GE(T /info/9 HTTP/1.1\r\n{host}"), 400, "invalid_request"),
        (format!("GET /info/9 HTTP/1.1\r\nX\r\n{host}"), 400, "invalid_request"),
        (format!("GET /{} HTTP/1.1\r\n{host}", "x".repeat(9 << 10)), 414, "uri_too_long"),
        (format!("GET /{} HTTP/1.1\r\n{host}", "x".repeat(200 << 10)), 414, "uri_too_long"),
        (format!("GET /info/9 HTTP/1.1\r\nX: {}\r\n{host}", "x".repeat(40 << 10)), 431, "headers_too_large"),
        (format!("GET /info/9 HTTP/1.1\r\nX: {}\r\n{host}", "x".repeat(200 << 10)), 431, "headers_too_large"),
        (format!("GET /info/9 HTTP/1.1\r\n{}{host}", "X: y\r\n".repeat(100)), 431, "headers_too_large"),
        (format!("GET /info/9 HTTP/1.1\r\n{}{host}", "X: y\r\n".repeat(20_000)), 431, "headers_too_large"),
        (format!("TRACE /info/9 HTTP/1.1\r\n{host}"), 405, "method_not_allowed"),
        (format!("CONNECT 127.0.0.1:22 HTTP/1.1\r\n{host}"), 404, "not_found"),
        (format!("OPTIONS * HTTP/1.1\r\n{host}"), 404, "not_found"),
        (format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{host}"), 400, "invalid_request"),
    ] {
        let short: String = request.chars().take(60).collect();
        let answer = raw(url, request.as_bytes());
        let shown: String = answer.chars().take(600).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{short}: {shown}");
        assert!(answer.contains("application/problem+json") && answer.contains(code), "{short}: {shown}");
    }
    // The answers to what came before on the connection are all there.
    let before = "GET /info/9 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    let answer = raw(url, format!("{before}GET /a b HTTP/1.1\r\n\r\n").as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 3, "{answer}");
    assert!(
        answer.contains("HTTP/1.1 400 ") && answer.ends_with("the request is not valid HTTP\"}"),
        "{answer}"
    );
    assert!(!cluster.frontends[0].log().contains("ERROR"), "{}", cluster.frontends[0].log());
}
