//! `bazar load` against real stores: clean where the promises hold, an exit code where they do not.

use crate::harness::{Client, Finished, NOBODY, Process, alone, run, start_nodes};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use tempfile::TempDir;

struct Store {
    up: Process,
    /// Last: it is removed when nobody writes to it any more.
    _dir: TempDir,
}

/// Two frontends on data of their own.
fn store(more: &[&str]) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--frontends", "2", "--data", data.to_str().unwrap()];
    Store { up: start_nodes(dir.path(), "up", &[&args[..], more].concat()), _dir: dir }
}

fn load(store: &Store, more: &[&str]) -> Finished {
    let stores = store.up.urls().join(",");
    let args = ["load", &stores, "--connections", "8", "--duration", "2s", "--warm-up", "0s"];
    run(&[&args[..], more].concat(), &[])
}

fn report(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

#[test]
fn a_store_that_keeps_its_promises_is_clean_under_load() {
    let _alone = alone();
    let store = store(&[]);
    let shelf = |store: &Store| {
        let client = Client::new(store.up.url());
        (1..=11).map(|book| client.info(book).ok().stock(book)).sum::<i64>()
    };
    let before = shelf(&store);
    let finished = load(&store, &["--buy", "0.2", "--json", "--seed", "7"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report = report(&finished);
    let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert_eq!((count("violations"), count("lookUpsUnanswered"), count("books")), (0, 0, 11));
    assert_eq!(report["errors"], Value::Object(Default::default()));
    let sold = u64::try_from(before - shelf(&store)).unwrap();
    assert!(sold > 0 && count("checkedBooks") > sold, "{report}");
    assert_eq!((count("bought"), count("ordersAcknowledged"), count("ordersLookedUp")), (sold, sold, sold));
    assert!(report["hitRatio"].as_f64().unwrap() > 0.0 && report["hits"]["p50Ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_open_loop_sends_what_is_due_and_says_so() {
    let _alone = alone();
    let store = store(&[]);
    let finished = load(&store, &["--rate", "50", "--buy", "0.1"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("open loop, 50 requests/s due"), "{finished:?}");
    assert!(finished.stdout.contains("violations  0"), "{finished:?}");
    let finished = load(&store, &["--rate", "50", "--buy", "0", "--json"]);
    assert_eq!(report(&finished)["reads"]["count"], 100, "{finished:?}");
}

#[test]
fn a_store_that_keeps_its_cache_by_time_to_live_is_caught() {
    let _alone = alone();
    for more in [&[][..], &["--allow-restock"]] {
        let store = store(&["--unsafe-coherence", "ttl"]);
        let finished = load(&store, &[more, &["--buy", "0.2"]].concat());
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(
            finished.stderr.contains("error: ") && finished.stderr.contains("the first: book "),
            "{finished:?}"
        );
        assert!(!finished.stdout.contains("violations  0"), "{finished:?}");
    }
}

#[test]
fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
    let _alone = alone();
    let finished = run(
        &[
            "load",
            &stalling(),
            "--connections",
            "1",
            "--rate",
            "100",
            "--buy",
            "0",
            "--searches",
            "0",
            "--duration",
            "1s",
            "--warm-up",
            "0s",
            "--json",
        ],
        &[],
    );
    let report = report(&finished);
    assert_eq!((&report["reads"]["count"], &report["unsent"]), (&100.into(), &0.into()), "{report}");
    // One request of a hundred waited for its answer; half of all were due while it did.
    let ms = |name: &str| report["reads"][name].as_f64().unwrap();
    assert!(ms("maxMs") >= 500.0 && ms("p90Ms") >= 350.0, "{report}");
}

/// A store of one book, on one connection after the other, whose tenth answer takes half a second.
fn stalling() -> String {
    const TOPICS: &str = r#"{"items":[{"topic":"t","books":1}]}"#;
    const BOOK: &str = r#"{"id":1,"bookTitle":"b","bookTopic":"t","numberOfItems":1,"bookCost":1}"#;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut looks = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut request) {
                    let page = format!(r#"{{"items":[{BOOK}],"next":null}}"#);
                    let body = match &request[..read] {
                        topics if topics.starts_with(b"GET /catalog-service/topics ") => TOPICS,
                        search if search.starts_with(b"GET /catalog-service/search/") => &page,
                        _ => BOOK,
                    };
                    if body == BOOK {
                        looks += 1;
                    }
                    if looks == 10 {
                        std::thread::sleep(std::time::Duration::from_millis(500));
                    }
                    let length = body.len();
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    url
}

#[test]
fn a_store_that_is_not_there_is_no_clean_run() {
    let finished = run(&["load", NOBODY], &[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("cannot be reached"), "{finished:?}");
}

#[test]
fn all_mistakes_are_named_at_once() {
    let args = ["--connections", "0", "--rate", "0", "--buy", "2", "--searches", "x", "--zipf", "NaN"];
    let more = ["--duration", "soon", "--warm-up", "99days", "--seed", "x"];
    let finished = run(&[&["load", "ftp://x"], &args[..], &more].concat(), &[]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let flags = [
        "URL",
        "--connections",
        "--rate",
        "--buy",
        "--searches",
        "--zipf",
        "--duration",
        "--warm-up",
        "--seed",
    ];
    for flag in flags {
        let named = |line: &str| line.starts_with(&format!("error: {flag}"));
        assert!(finished.stderr.lines().any(named), "{flag}: {}", finished.stderr);
    }
}
