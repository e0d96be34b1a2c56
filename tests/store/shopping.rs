//! `bazar search`, `info`, `buy`, `orders` against a real store: what they print, and their exit codes.

use crate::harness::{Client, Finished, NOBODY, Process, in_company, run, start_nodes};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use tempfile::TempDir;

/// As `--help` documents them.
const DONE: Option<i32> = Some(0);
const FAILED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);
const NOT_FOUND: Option<i32> = Some(3);
const REFUSED: Option<i32> = Some(4);

struct Shop {
    up: Process,
    _dir: TempDir,
}

impl Shop {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        Self { up: start_nodes(dir.path(), "up", &args), _dir: dir }
    }

    /// Runs a command on this store.
    fn bazar(&self, args: &[&str]) -> Finished {
        run(args, &[("BAZAR_URL", self.up.url())])
    }
}

/// What stands behind `name` in a table.
#[track_caller]
fn row<'a>(finished: &'a Finished, name: &str) -> &'a str {
    let value = finished.stdout.lines().find_map(|line| line.trim_start().strip_prefix(name));
    value.unwrap_or_else(|| panic!("{name}: {finished:?}")).trim()
}

/// Nothing on standard output, one sentence on standard error.
#[track_caller]
fn says(finished: &Finished, code: Option<i32>, sentence: &str) {
    assert_eq!(finished.code, code, "{finished:?}");
    assert!(finished.stdout.is_empty(), "{finished:?}");
    assert!(finished.stderr.starts_with("error: ") && finished.stderr.contains(sentence), "{finished:?}");
}

#[test]
fn a_topic_is_a_table_for_people_and_the_answer_itself_for_scripts() {
    let _company = in_company();
    let shop = Shop::open();
    let found = shop.bazar(&["search", "education"]);
    assert_eq!((found.code, found.stderr.as_str()), (DONE, ""));
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            " Id  Title                            Topic      In stock   Price",
            "  9  How to finish Project 3 on time  education        15  $28.00",
            " 10  Why theory classes are so hard   education        12  $32.00",
        ]
    );
    let json = shop.bazar(&["search", "education", "--json"]);
    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (json.code, &answer["items"][0]["bookTitle"]),
        (DONE, &"How to finish Project 3 on time".into())
    );
    says(&shop.bazar(&["search", "alchemy"]), NOT_FOUND, "no book under the topic \"alchemy\"");
}

#[test]
fn pages_are_followed_when_asked_for_and_the_next_is_named_otherwise() {
    let _company = in_company();
    let shop = Shop::open();
    let first = shop.bazar(&["search", "fiction", "--limit", "1"]);
    assert_eq!((first.code, first.stdout.lines().count()), (DONE, 2));
    let next = format!("bazar search fiction --limit 1 --after 1 --url {}", shop.up.url());
    assert!(first.stderr.contains(&next), "{first:?}");
    let second = shop.bazar(&["search", "fiction", "--limit", "1", "--after", "1"]);
    assert!(second.code == DONE && second.stdout.contains("Mystery of the Lost City"), "{second:?}");
    assert!(second.stderr.is_empty(), "{second:?}");
    let all = shop.bazar(&["search", "fiction", "--limit", "1", "--all"]);
    assert_eq!((all.code, all.stdout.lines().count(), all.stderr.as_str()), (DONE, 3, ""));
    let all = shop.bazar(&["search", "fiction", "--limit", "1", "--all", "--json"]);
    let pages: Vec<Value> = all.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(pages.iter().map(|page| page["items"][0]["id"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_purchase_is_made_once_for_each_key_and_its_order_can_be_looked_up() {
    let _company = in_company();
    let shop = Shop::open();
    let bought = shop.bazar(&["buy", "9", "--quantity", "2", "--offer", "56", "--key", "monday"]);
    assert_eq!(bought.code, DONE, "{bought:?}");
    assert_eq!(
        (row(&bought, "Bought "), row(&bought, "Total"), row(&bought, "Left")),
        ("book 9", "$56.00", "13")
    );
    let again = shop.bazar(&["buy", "9", "--quantity", "2", "--offer", "56", "--key", "monday"]);
    assert_eq!((again.code, row(&again, "Bought before")), (DONE, "book 9"));
    let id = row(&bought, "Order");
    assert_eq!(row(&again, "Order"), id);
    let info = shop.bazar(&["info", "9"]);
    assert_eq!((info.code, row(&info, "In stock")), (DONE, "13"));
    let order = shop.bazar(&["orders", id]);
    assert_eq!((order.code, row(&order, "Copies"), row(&order, "Total")), (DONE, "2", "$56.00"));
    let order = shop.bazar(&["orders", id, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&order.stdout).unwrap()["orderId"], id);
    // Without a key each command is a purchase of its own.
    for left in ["12", "11"] {
        assert_eq!(row(&shop.bazar(&["buy", "9"]), "Left"), left);
    }
    let json = shop.bazar(&["buy", "9", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap()["remaining"], 10);
}

#[test]
fn what_is_not_there_and_what_is_refused_have_exit_codes_of_their_own() {
    let _company = in_company();
    let shop = Shop::open();
    says(&shop.bazar(&["info", "999"]), NOT_FOUND, "there is no book 999");
    says(&shop.bazar(&["buy", "999"]), NOT_FOUND, "there is no book 999");
    says(&shop.bazar(&["orders", &"0".repeat(32)]), NOT_FOUND, "there is no order 0000");
    says(&shop.bazar(&["buy", "9", "--offer", "10"]), REFUSED, "you should pay 28$ but you paid 10$");
    says(
        &shop.bazar(&["buy", "9", "--quantity", "100"]),
        REFUSED,
        "out of stock: 15 copies are left, and 100 were",
    );
    assert_eq!(shop.bazar(&["buy", "9", "--key", "k"]).code, DONE);
    says(&shop.bazar(&["buy", "10", "--key", "k"]), REFUSED, "was used for another purchase");
    assert_eq!(Client::new(shop.up.url()).info(9).ok().stock(9), 14);
    for args in [&["info", "9"][..], &["search", "fiction"], &["buy", "9"], &["orders", &"0".repeat(32)]] {
        let finished = run(&[args, &["--url", NOBODY]].concat(), &[]);
        says(&finished, FAILED, "cannot be reached");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let args = ["buy", "0", "--quantity", "101", "--offer", "0.001", "--key", "a b", "--url", "ftp://x"];
    let finished = run(&args, &[]);
    assert_eq!(finished.code, USAGE);
    for flag in ["ID", "--quantity", "--offer", "--key", "--url"] {
        let named = |line: &str| line.starts_with(&format!("error: {flag}: "));
        assert!(finished.stderr.lines().any(named), "{flag}: {}", finished.stderr);
    }
    for (args, said) in [
        (&["search"][..], "either a topic or --query"),
        (&["search", "fiction", "--query", "words"], "either a topic or --query"),
        (&["search", "--query", " "], "--query: a search must have at least one word"),
        (&["search", "--query", "***"], "--query: a search must have at least one word"),
        (&["search", "fiction", "--limit", "1001"], "--limit"),
        (&["info", "nine"], "a book id must be"),
        (&["orders", "7"], "an order id has 32"),
    ] {
        says(&run(args, &[]), USAGE, said);
    }
}

/// A store that gives each request this answer, on a connection of its own.
fn answering(head: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut request = Vec::new();
            // A GET ends with an empty line, the JSON of a purchase with its brace.
            while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    break;
                }
                request.push(byte[0]);
                if request.starts_with(b"POST") && request.ends_with(b"\r\n\r\n") {
                    request.push(b' ');
                }
            }
            let length = body.len();
            write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                .unwrap();
        }
    });
    url
}

#[test]
fn an_unknown_outcome_names_the_key_and_how_to_repeat_it_safely() {
    let store = answering("503 Service Unavailable\r\nretry-after: 1", "{}");
    let finished = run(&["buy", "9", "--key", "monday", "--url", &store], &[]);
    assert_eq!((finished.code, finished.stdout.as_str()), (FAILED, ""), "{finished:?}");
    assert_eq!(finished.stderr.matches("repeating it with its key monday").count(), 5, "{finished:?}");
    let again = format!("bazar buy 9 --quantity 1 --key monday --url {store}");
    assert!(
        finished.stderr.contains("not known whether") && finished.stderr.contains(&again),
        "{finished:?}"
    );
}

#[test]
fn nothing_that_a_store_sends_is_obeyed_by_the_terminal() {
    let book =
        r#"{"id":9,"bookTitle":"a\u001b[2J\u009bb","bookTopic":"c\r\nd","numberOfItems":1,"bookCost":1}"#;
    let finished = run(&["info", "9", "--url", &answering("200 OK", book)], &[]);
    assert_eq!(finished.code, DONE, "{finished:?}");
    assert_eq!(row(&finished, "Title"), "a\u{fffd}[2J\u{fffd}b");
    let problem =
        r#"{"type":"about:blank","title":"x","status":400,"code":"invalid_request","error":"a\u001b[2Jb"}"#;
    let finished = run(&["info", "9", "--url", &answering("400 Bad Request", problem)], &[]);
    says(&finished, FAILED, "a\u{fffd}[2Jb");
    let finished = run(&["info", "9", "--url", &answering("200 OK", "<html>")], &[]);
    says(&finished, FAILED, "not one of a bookstore");
}
