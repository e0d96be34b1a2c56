//! The description of the API, held against the store that serves it.

use crate::admin::ADMIN;
use crate::harness::{Client, Finished, Process, in_company, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Methods that a client may come up with.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

const PREFIXES: [&str; 2] = ["/catalog-service", "/order-service"];

#[test]
fn what_is_described_is_served_and_no_other_method() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let store = kept(&dir);
    let client = Client::new(store.url());
    let document = client.get("/openapi.json").ok().json();
    let bearer = format!("Bearer {ADMIN}");
    let keeper = [("authorization", &*bearer)];
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut described: BTreeSet<&str> =
            METHODS.into_iter().filter(|method| item[lower(method)].is_object()).collect();
        operations += described.len();
        if described.contains("GET") {
            described.insert("HEAD");
        }
        // What has a service prefix answers without it as well.
        let filled = filled(path, item);
        let short = PREFIXES.iter().find_map(|prefix| filled.strip_prefix(prefix));
        for path in short.into_iter().chain([filled.as_str()]) {
            for method in METHODS {
                let answer = client.send(method, path, &keeper, None).unwrap();
                if described.contains(method) {
                    let known =
                        item[lower(method)]["responses"].as_object().or(item["get"]["responses"].as_object());
                    let known = known.unwrap().contains_key(&answer.status.to_string());
                    assert!(known && answer.status != 405, "{method} {path}: {}", answer.text());
                    assert!(!answer.text().contains("\"not_found\""), "{method} {path}: {}", answer.text());
                    continue;
                }
                let allowed: BTreeSet<&str> = answer.header("allow").split(", ").collect();
                assert_eq!(
                    (answer.status, &allowed),
                    (405, &described),
                    "{method} {path}: {}",
                    answer.text()
                );
            }
        }
    }
    assert_eq!(operations, 18);
}

#[test]
fn the_command_prints_what_the_store_serves() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let store = kept(&dir);
    let client = Client::new(store.url());
    let served = client.get("/openapi.json").ok();
    assert_eq!(served.header("content-type"), "application/json");
    let Finished { code, stdout, .. } = run(&["openapi"], &[]);
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), served.json());
    assert_eq!(served.json()["openapi"], "3.1.0");

    let etag = served.header("etag").to_owned();
    for (tag, status) in [(etag.as_str(), 304), ("*", 304), ("\"another\"", 200)] {
        let answer = client.send("GET", "/openapi.json", &[("if-none-match", tag)], None).unwrap();
        assert_eq!((answer.status, answer.header("etag")), (status, etag.as_str()), "{tag}");
        assert_eq!(answer.body.is_empty(), status == 304, "{tag}");
    }
}

#[test]
fn a_store_without_an_admin_token_describes_all_but_the_administration() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let store = up(&dir);
    let client = Client::new(store.url());
    let Finished { stdout, .. } = run(&["openapi"], &[]);
    let mut all: Value = serde_json::from_str(&stdout).unwrap();
    let (administration, shop) = paths(&all).partition::<BTreeSet<_>, _>(|path| path.starts_with("/admin/"));
    let served = client.get("/openapi.json").ok().json();
    assert_eq!(paths(&served).collect::<BTreeSet<_>>(), shop);
    assert!(shop.contains("/events") && !served.to_string().contains("/admin/api/"));
    for path in &administration {
        let filled = filled(path, &all["paths"][path]);
        client.get(&filled).problem(404, "not_found");
        all["paths"].as_object_mut().unwrap().remove(path);
    }
    assert_eq!(administration.len(), 5);
    assert_eq!(served["paths"], all["paths"], "otherwise the same");
    assert!(!client.get("/docs").ok().text().contains("/admin/api/books"));
}

#[test]
fn the_page_shows_a_keeper_how_to_ask() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let page = Client::new(kept(&dir).url()).get("/docs").ok().text();
    for said in [
        "Needs the admin token.",
        "curl -i -X PATCH 'http://127.0.0.1:8083/admin/api/books/9'",
        "-H 'Authorization: Bearer …'",
        "-H 'If-Match: &quot;077244a9bcab0790f38e753f1db7bf9d&quot;'",
        "curl -iN 'http://127.0.0.1:8083/events?books=9'",
    ] {
        assert!(page.contains(said), "{said}");
    }
    // What does not end is not waited for.
    assert!(!page.contains("data-path=\"/events\"") && page.contains("data-path=\"/admin/api/orders\""));
}

#[test]
fn a_head_is_answered_like_a_get_without_the_body() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let store = up(&dir);
    let client = Client::new(store.url());
    // The first is answered by the routes, the second by the short way below them.
    for _ in 0..2 {
        let head = client.send("HEAD", "/info/9", &[], None).unwrap().ok();
        let get = client.info(9).ok();
        assert!(head.body.is_empty());
        for name in ["content-type", "bazar-version", "etag", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
        assert!(head.header("content-length").parse::<usize>().unwrap() > 100);
    }
    assert_eq!(client.send("HEAD", "/info/9", &[], None).unwrap().header("x-cache"), "HIT");
    assert_eq!(client.send("HEAD", "/info/999", &[], None).unwrap().status, 404);
}

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let store = up(&dir);
    let body: Value = serde_json::from_str(r#"{"book_id":9.0,"quantity":2.0}"#).unwrap();
    let bought = Client::new(store.url()).post("/purchase", &[], &body).ok().json();
    assert_eq!((&bought["bookId"], &bought["quantity"]), (&json!(9), &json!(2)));
}

fn up(dir: &tempfile::TempDir) -> Process {
    start(dir, &[])
}

/// One that has an admin token.
fn kept(dir: &tempfile::TempDir) -> Process {
    start(dir, &[("BAZAR_ADMIN_TOKEN", ADMIN)])
}

fn start(dir: &tempfile::TempDir, env: &[(&str, &str)]) -> Process {
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    Process::start(dir.path(), "up", &args, env)
}

fn paths(document: &Value) -> impl Iterator<Item = String> {
    document["paths"].as_object().unwrap().keys().cloned()
}

fn lower(method: &str) -> String {
    method.to_ascii_lowercase()
}

/// A path with the examples of its parameters.
fn filled(path: &str, item: &Value) -> String {
    let operations = item.as_object().unwrap().values();
    let parameters = operations.filter_map(|operation| operation["parameters"].as_array()).flatten();
    parameters.filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let example = &parameter["schema"]["examples"][0];
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example)
    })
}
