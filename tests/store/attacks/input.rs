//! A customer, a stranger or a keeper with a pen in the wrong place: what is typed is only ever a value, a number stays
//! within its bounds, two spellings are two things, and no question is dear enough to be a weapon.

use crate::admin::ADMIN;
use crate::harness::{Answer, Client, Cluster, Finished, Shape, TOKEN, in_company, raw, run};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

const SHOP: Shape = Shape {
    replicas: 0,
    orders: 1,
    frontends: 1,
    redis: false,
    candidates: false,
    faulty_disks: false,
    admin: Some(ADMIN),
    frontend_flags: &[],
    traces: None,
    log: "info",
    log_format: "text",
};

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A request of a keeper's.
fn keeper(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let body = body.map(Value::to_string);
    client.send(method, &format!("/admin/api{path}"), &headers, body.as_deref()).unwrap()
}

const INJECTIONS: [&str; 26] = [
    "'",
    "''",
    "\"",
    "' OR 1=1 --",
    "' OR '1'='1",
    "'; DROP TABLE books; --",
    "1; DROP TABLE orders",
    "1 UNION SELECT * FROM orders",
    "fiction' UNION SELECT order_id, 1, 1, 1, 1 FROM orders --",
    "x'; ATTACH DATABASE '/tmp/pwned.db' AS pwned; --",
    "x'; PRAGMA writable_schema = 1; --",
    "%' OR title LIKE '%",
    "\\'; --",
    "?1",
    ":topic",
    "$(touch /tmp/pwned.db)",
    "`touch /tmp/pwned.db`",
    // The language of full-text search.
    "title:physics",
    "physics OR adventure",
    "NOT adventure",
    "NEAR(great adventure, 2)",
    "\"great",
    "great AND (",
    "^great",
    "{title} : great",
    "titles",
];

#[test]
fn nothing_that_is_typed_is_taken_for_sql_or_for_the_language_of_full_text_search() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    let bought = client.buy(9).ok().json()["orderId"].as_str().unwrap().to_owned();
    let catalog = || -> Vec<Value> { (1..=11).map(|book| client.info(book).ok().json()).collect() };
    let known = |answers: Vec<Value>| -> Vec<Value> {
        let parts =
            |book: &Value| json!([book["id"], book["bookTitle"], book["numberOfItems"], book["bookCost"]]);
        answers.iter().map(parts).collect()
    };
    let before = known(catalog());
    for typed in INJECTIONS {
        let q = encoded(typed);
        // A topic is the topic of that name, and there is none.
        assert_eq!(client.search(&q).ok().json()["items"], json!([]), "{typed}");
        // Words are words: each must be in the title.
        let found = client.get(&format!("/search?q={q}"));
        assert!(matches!(found.status, 200 | 400), "{typed}: {}", found.text());
        if found.status == 200 {
            let items = found.json()["items"].as_array().unwrap().clone();
            let words: Vec<String> = typed
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect();
            for item in items {
                let title = item["bookTitle"].as_str().unwrap().to_lowercase();
                assert!(words.iter().all(|word| title.contains(word)), "{typed} found {title}");
            }
        }
        for path in [
            format!("/info/{q}"),
            format!("/search/fiction?limit={q}"),
            format!("/search/fiction?after={q}"),
            format!("/search?q=great&after={q}"),
        ] {
            client.get(&path).problem(400, "invalid_request");
        }
        client.order(&q).problem(404, "order_not_found");
        let headers = [("bazar-min-version", typed), ("bazar-consistency", typed)];
        for header in headers {
            client.send("GET", "/info/9", &[header], None).unwrap().problem(400, "invalid_request");
        }
        client
            .post("/order-service/purchase", &[], &json!({"book_id": typed}))
            .problem(400, "invalid_request");

        // A keeper's lists.
        for path in [
            format!("/books?after={q}"),
            format!("/books?limit={q}"),
            format!("/books/{q}"),
            format!("/orders?book={q}"),
            format!("/orders?from={q}"),
            format!("/orders?to={q}"),
            format!("/orders?after={q}"),
            format!("/orders?limit={q}"),
        ] {
            let answer = keeper(&client, "GET", &path, None);
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        }
        let listed = keeper(&client, "GET", &format!("/books?q={q}"), None);
        assert!(matches!(listed.status, 200 | 400), "{typed}: {}", listed.text());
    }
    assert_eq!(known(catalog()), before);

    // As titles and topics they are kept and shown as they are; through the API and in an import.
    let mut csv = "title,topic,stock,price\n".to_owned();
    for (number, typed) in INJECTIONS.iter().enumerate() {
        let book = json!({"title": typed, "topic": typed, "stock": 1, "price": 1});
        let made = keeper(&client, "POST", "/books", Some(&book));
        assert_eq!(made.status, 201, "{}", made.text());
        let id = made.json()["id"].as_i64().unwrap();
        assert_eq!(client.info(id).ok().json()["bookTitle"], *typed);
        let of_topic = client.search(&encoded(typed)).ok().json();
        assert_eq!(of_topic["items"].as_array().unwrap().len(), 1, "{typed}: {of_topic}");
        writeln!(csv, "\"{}\",import-{number},1,1", typed.replace('"', "\"\"")).unwrap();
    }
    let file = cluster.dir().join("injections.csv");
    fs::write(&file, csv).unwrap();
    let args = ["import", file.to_str().unwrap(), "--master", cluster.master.url()];
    let Finished { code, stderr, .. } = run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    assert_eq!(code, Some(0), "{stderr}");
    for (number, typed) in INJECTIONS.iter().enumerate() {
        let found = client.search(&format!("import-{number}")).ok().json();
        assert_eq!(found["items"][0]["bookTitle"], *typed);
    }
    assert!(!std::path::Path::new("/tmp/pwned.db").exists());
    let rows = cluster.stop_and_compare();
    assert_eq!(rows["orders"].len(), 1);
    assert!(rows["orders"][0].contains(&bought));
}

#[test]
fn a_price_or_a_quantity_that_was_tampered_with_buys_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    let json = ("content-type", "application/json");
    let buy = |body: &str| client.send("POST", "/order-service/purchase", &[json], Some(body)).unwrap();
    for body in [
        r#"{"id":9,"orderCost":0}"#,
        r#"{"id":9,"orderCost":0.01}"#,
        r#"{"id":9,"orderCost":27.99}"#,
        r#"{"id":9,"orderCost":28,"quantity":2}"#,
        r#"{"id":9,"orderCost":28,"quantity":15}"#,
    ] {
        buy(body).problem(422, "underpaid");
    }
    for body in [
        r#"{"id":9,"orderCost":-28}"#,
        r#"{"id":9,"orderCost":28.001}"#,
        r#"{"id":9,"orderCost":1e400}"#,
        r#"{"id":9,"orderCost":1e300}"#,
        r#"{"id":9,"orderCost":"28"}"#,
        r#"{"id":9,"orderCost":[28]}"#,
        r#"{"id":9,"quantity":0}"#,
        r#"{"id":9,"quantity":-1}"#,
        r#"{"id":9,"quantity":-4294967295}"#,
        r#"{"id":9,"quantity":4294967297}"#,
        r#"{"id":9,"quantity":18446744073709551617}"#,
        r#"{"id":9,"quantity":0.5}"#,
        r#"{"id":9,"quantity":101}"#,
        r#"{"id":9,"quantity":"1"}"#,
        r#"{"id":9,"quantity":1,"quantity":100}"#,
        r#"{"id":9,"book_id":1}"#,
    ] {
        buy(body).problem(400, "invalid_request");
    }
    // What the answer says cannot be said by who asks.
    let bought =
        buy(r#"{"id":9,"total":0.01,"remaining":99,"price":0,"bookCost":0,"orderId":"x","version":"9.9"}"#);
    let bought = match bought.status {
        200 => bought.json(),
        _ => {
            bought.problem(400, "invalid_request");
            buy(r#"{"id":9}"#).ok().json()
        }
    };
    assert_eq!((&bought["total"], &bought["remaining"]), (&json!(28), &json!(14)));
    let rows = cluster.stop_and_compare();
    assert_eq!(rows["orders"].len(), 1);
}

#[test]
fn the_dearest_purchase_that_there_can_be_is_added_up_exactly() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    for (price, status) in
        [(1_000_000_000.0, 201), (999_999_999.99, 201), (1_000_000_000.01, 400), (1e18, 400)]
    {
        let book = json!({"title": "Dear", "topic": "dear", "stock": 1_000_000_000, "price": price});
        let made = keeper(&client, "POST", "/books", Some(&book));
        assert_eq!(made.status, status, "{price}: {}", made.text());
        if status != 201 {
            continue;
        }
        let id = made.json()["id"].clone();
        let bought = client.post("/order-service/purchase", &[], &json!({"book_id": id, "quantity": 100}));
        let bought = bought.ok().json();
        let cents = (bought["total"].as_f64().unwrap() * 100.0).round();
        assert_eq!(cents, f64::round(price * 100.0) * 100.0, "{bought}");
        assert_eq!(bought["remaining"], 999_999_900);
        // Nobody can bring more than the shelf holds.
        let edit = json!({"copies": 4_294_967_295_u32});
        let more = keeper(&client, "POST", &format!("/books/{id}/restock"), Some(&edit));
        assert!(matches!(more.status, 400 | 404 | 409 | 422), "{}", more.text());
    }
}

/// Pairs that people, or another layer of software, might take for one.
const SPELLINGS: [&str; 16] = [
    "café",
    "cafe\u{301}",
    "cafe",
    "CAFÉ",
    "caf\u{e9}\u{200d}",
    "caf\u{e9}\u{200b}",
    "\u{202e}éfac",
    "с\u{430}fé",
    "ｃａｆé",
    "café ",
    " café",
    "café/",
    "../café",
    "caf%C3%A9",
    "café?limit=1",
    "café:1",
];

#[test]
fn two_spellings_of_a_topic_are_two_topics_in_every_cache() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, frontends: 2, ..SHOP });
    let clients = cluster.clients();
    for (number, topic) in SPELLINGS.iter().enumerate() {
        let book = json!({"title": format!("Spelling {number}"), "topic": topic, "stock": 1, "price": 1});
        let made = keeper(&clients[0], "POST", "/books", Some(&book));
        assert_eq!(made.status, 201, "{topic:?}: {}", made.text());
    }
    // Twice at each: from the catalog, from Redis, from memory.
    for client in [&clients[0], &clients[0], &clients[1], &clients[1]] {
        for (number, topic) in SPELLINGS.iter().enumerate() {
            let found = client.search(&encoded(topic)).ok().json();
            let titles: Vec<&Value> =
                found["items"].as_array().unwrap().iter().map(|item| &item["bookTitle"]).collect();
            assert_eq!(titles, [&json!(format!("Spelling {number}"))], "{topic:?}");
        }
    }
    let topics = clients[0].get("/topics").ok().json();
    let named: BTreeSet<&str> =
        topics["items"].as_array().unwrap().iter().map(|item| item["topic"].as_str().unwrap()).collect();
    assert!(SPELLINGS.iter().all(|topic| named.contains(topic)), "{named:?}");
    // Decoded once: what is encoded twice is another text, and what is no text is refused.
    assert_eq!(clients[0].search("caf%25C3%25A9").ok().json()["items"][0]["bookTitle"], "Spelling 13");
    for wrong in ["%C0%AF", "%ED%A0%80", "%F8%88%80%80%80", "%00", "a%00b", "%0a", "%e9"] {
        clients[0].search(wrong).problem(400, "invalid_request");
    }
}

#[test]
fn the_dearest_questions_are_answered_and_keep_nobody_waiting() {
    const BOOKS: usize = 20_000;
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    let mut csv = "title,topic,stock,price\n".to_owned();
    for n in 0..BOOKS {
        writeln!(csv, "abacus abate abbey abbot abcess abdomen abduct abet abhor abide {n},many,1,1")
            .unwrap();
    }
    let file = cluster.dir().join("many.csv");
    fs::write(&file, csv).unwrap();
    let args = ["import", file.to_str().unwrap(), "--master", cluster.master.url()];
    let Finished { code, stderr, .. } = run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    assert_eq!(code, Some(0), "{stderr}");

    let beginnings = "aba* abb* abc* abd* abe* abh* abi* aba* abb* abc* abd* abe* abh* abi* aba* abb*";
    let dear = [
        format!("/search?q={}&limit=1000", encoded(beginnings)),
        format!("/search?q={}&limit=1000", encoded("a b c d e f g h i j k l m n o p*")),
        format!("/search?q={}", encoded(&"ab ".repeat(16))),
        format!("/search?q={}", encoded(&"\u{300}".repeat(299))),
        format!("/search?q={}", encoded(&format!("a{}", "\u{300}".repeat(298)))),
        "/search/many?limit=1000".to_owned(),
        "/search/many?limit=1000&after=10000".to_owned(),
    ];
    std::thread::scope(|scope| {
        for path in &dear {
            let client = cluster.client(0);
            scope.spawn(move || {
                for round in 0..5 {
                    // Each time another one to the cache.
                    let path = format!(
                        "{path}{}",
                        if path.contains("many") { String::new() } else { format!("+x{round}") }
                    );
                    let answer = client.get(&path);
                    assert!(matches!(answer.status, 200 | 400), "{path}: {}", answer.text());
                    assert!(answer.took < Duration::from_secs(5), "{path}: {:?}", answer.took);
                }
            });
        }
        for _ in 0..50 {
            let read = client.info(9).ok();
            assert!(read.took < Duration::from_secs(2), "{:?}", read.took);
        }
        client.buy(9).ok();
    });
    client.get(&format!("/search?q={}", encoded(&"a ".repeat(17)))).problem(400, "invalid_request");
    client.get("/search/many?limit=1001").problem(400, "invalid_request");
}

#[test]
fn a_flood_of_names_that_are_not_there_takes_bounded_memory() {
    const NAMES: usize = 6_000;
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let url = cluster.frontends[0].url();
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let client = Client::new(url);
            scope.spawn(move || {
                let long = "x".repeat(90);
                for n in 0..NAMES {
                    let id = 1_000_000 + 4 * n + sender;
                    match n % 3 {
                        0 => drop(client.get(&format!("/info/{id}")).problem(404, "book_not_found")),
                        1 => drop(client.search(&format!("{long}{id}")).ok()),
                        _ => drop(client.get(&format!("/search?q={long}{id}")).ok()),
                    }
                }
            });
        }
    });
    let peak = cluster.frontends[0].peak_memory();
    assert!(peak < 300 << 20, "{} MiB", peak >> 20);
    assert_eq!(cluster.client(0).info(9).ok().stock(9), 15);
}

/// The library that speaks HTTP/2 is linked, and has a known weakness (deny.toml): no listener may ever reach it.
#[test]
fn a_listener_does_not_speak_http_2() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 1, ..SHOP });
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let frontend = &cluster.frontends[0];
    for url in [
        &frontend.urls()[0],
        &frontend.urls()[1],
        cluster.master.url(),
        cluster.replicas[0].url(),
        cluster.orders[0].url(),
    ] {
        let answer = raw(url, preface);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{url}: {answer:?}");
        let answer = raw(url, upgrade);
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && !answer.contains("101 Switching"),
            "{url}: {answer:?}"
        );
    }
}
