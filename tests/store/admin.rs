//! The administration's API: what a keeper changes is seen at once, by everybody; editors do not undo each other; what
//! is sent again does not happen again; and who has no token finds nothing.

use crate::harness::{Answer, Client, Cluster, Shape, in_company};
use serde_json::{Value, json};
use std::sync::Barrier;

pub const ADMIN: &str = "the-keeper-of-this-shop";

fn shop() -> Cluster {
    Cluster::start(Shape { redis: true, admin: Some(ADMIN), ..Shape::default() })
}

/// A keeper's program.
struct Keeper(Client);

impl Keeper {
    fn at(cluster: &Cluster, frontend: usize) -> Self {
        Self(cluster.client(frontend))
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {ADMIN}");
        let mut headers = [&[("authorization", &*bearer)], headers].concat();
        // Unless the test says what the body is: two types of one body are no type.
        if headers.iter().all(|(name, _)| *name != "content-type") {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map(Value::to_string);
        self.0.send(method, &format!("/admin/api{path}"), &headers, body.as_deref()).unwrap()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], Some(body))
    }

    #[track_caller]
    fn patch(&self, book: i64, tag: &str, body: &Value) -> Answer {
        self.send("PATCH", &format!("/books/{book}"), &[("if-match", tag)], Some(body))
    }

    /// The tag of a book as it is now.
    #[track_caller]
    fn tag(&self, book: i64) -> String {
        let answer = self.get(&format!("/books/{book}")).ok();
        assert_eq!(answer.header("etag"), answer.json()["etag"].as_str().unwrap());
        answer.header("etag").to_owned()
    }

    #[track_caller]
    fn import(&self, query: &str, content_type: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("authorization", &*bearer), ("content-type", content_type)];
        self.0.send("POST", &format!("/admin/api/imports{query}"), &headers, Some(body)).unwrap()
    }
}

#[track_caller]
fn ids(answer: &Answer) -> Vec<i64> {
    answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

#[test]
fn without_a_token_configured_there_is_nothing_and_with_one_only_it_opens_the_door() {
    let _company = in_company();
    let closed = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let bearer = format!("Bearer {ADMIN}");
    for path in
        ["/admin", "/admin/", "/admin/api/books", "/admin/api/books/9", "/admin/orders", "/admin/sign-in"]
    {
        for method in ["GET", "POST", "DELETE"] {
            let answer = closed.client(0).send(method, path, &[("authorization", &bearer)], None).unwrap();
            answer.problem(404, "not_found");
        }
    }
    drop(closed);

    let frontend_flags = &["--trusted-proxy", "127.0.0.1"];
    let shape = Shape { replicas: 0, frontends: 1, admin: Some(ADMIN), frontend_flags, ..Shape::default() };
    let open = Cluster::start(shape);
    let client = open.client(0);
    let internal = format!("Bearer {}", crate::harness::TOKEN);
    for authorization in
        [None, Some("Bearer wrong-wrong-wrong-wrong"), Some(ADMIN), Some(&*internal), Some("Basic eA==")]
    {
        for (number, (method, path)) in [
            ("GET", "/books"),
            ("POST", "/books"),
            ("DELETE", "/books/9"),
            ("POST", "/imports"),
            ("GET", "/nothing"),
        ]
        .into_iter()
        .enumerate()
        {
            // Each is somebody else's mistake: who makes many is locked out.
            let from = format!("203.0.113.{number}");
            let authorization = authorization.map(|value| ("authorization", value));
            let headers: Vec<_> = authorization.into_iter().chain([("x-forwarded-for", &*from)]).collect();
            let answer = client.send(method, &format!("/admin/api{path}"), &headers, None).unwrap();
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    let keeper = Keeper::at(&open, 0);
    keeper.get("/books").ok();
    keeper.get("/nothing").problem(404, "not_found");
    let wrong = keeper.send("PUT", "/books", &[], None);
    wrong.problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "GET, HEAD, POST");
    let log = open.frontends[0].log();
    let refused = log.lines().filter(|line| line.contains("audit: sign-in: refused")).count();
    assert!((5..=20).contains(&refused), "told, but not for ever: {log}");
    assert!(!log.contains(ADMIN) && !log.contains("wrong-wrong"), "no token is ever in a log");
}

#[test]
fn what_a_keeper_changes_is_seen_at_once_through_every_frontend_and_put_into_the_audit() {
    let _company = in_company();
    let cluster = shop();
    let keeper = Keeper::at(&cluster, 0);
    let customers = cluster.clients();
    let warm = || {
        for customer in &customers {
            for path in ["/info/9", "/info/12", "/search/education", "/topics"] {
                customer.get(path);
                customer.get(path);
            }
        }
    };
    warm();
    let new = json!({"title": "Twelve <b>", "topic": "education", "stock": 3, "price": 10.5});
    let created = keeper.post("/books", &new);
    assert_eq!(
        (created.status, created.header("location")),
        (201, "/admin/api/books/12"),
        "{}",
        created.text()
    );
    assert_eq!(created.json()["price"], 10.5);
    for customer in &customers {
        assert_eq!(customer.info(12).ok().json()["bookTitle"], "Twelve <b>");
        assert_eq!(ids(&customer.search("education")), [9, 10, 12]);
    }
    warm();
    let changed = keeper.patch(12, created.header("etag"), &json!({"price": 11, "topic": "nature"})).ok();
    assert_ne!(changed.header("etag"), created.header("etag"));
    for customer in &customers {
        assert_eq!(customer.info(12).ok().json()["bookCost"], 11);
        assert_eq!(ids(&customer.search("education")), [9, 10]);
        assert_eq!(ids(&customer.search("nature")), [11, 12]);
        assert!(customer.info(12).version() >= changed.version());
    }
    warm();
    let restocked = keeper.post("/books/12/restock", &json!({"copies": 5})).ok();
    assert_eq!(
        (restocked.json()["stock"].as_i64(), restocked.header("etag")),
        (Some(8), changed.header("etag"))
    );
    keeper.post("/books/12/restock", &json!({"copies": -2})).ok();
    for customer in &customers {
        assert_eq!(customer.info(12).ok().stock(12), 6);
    }
    let sentence = keeper.post("/books/12/restock", &json!({"copies": -7})).problem(409, "out_of_stock");
    assert!(sentence.contains("the 6 that are in stock"), "{sentence}");
    warm();
    let deleted = keeper.send("DELETE", "/books/12", &[("if-match", changed.header("etag"))], None);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for customer in &customers {
        customer.info(12).problem(404, "book_not_found");
        assert_eq!(ids(&customer.search("nature")), [11]);
    }
    for (method, path, body) in [
        ("GET", "/books/12", None),
        ("PATCH", "/books/12", Some(json!({"price": 1}))),
        ("POST", "/books/12/restock", Some(json!({"copies": 1}))),
        ("DELETE", "/books/12", None),
    ] {
        keeper.send(method, path, &[("if-match", "*")], body.as_ref()).problem(404, "book_not_found");
    }
    let log = cluster.frontends[0].log();
    let audit: Vec<&str> = log.lines().filter(|line| line.contains(" audit: ")).collect();
    let told = |what: &str, members: &[&str]| {
        let has = |line: &&&str| members.iter().all(|member| line.contains(member));
        let said = format!("audit: {what}:");
        assert!(
            audit.iter().filter(|line| line.contains(&said)).any(|line| has(&line)),
            "{what}: {audit:#?}"
        );
    };
    told(
        "create",
        &["book=12", "who=admin", "from=127.0.0.1", "outcome=done", r#"after={"id":12,"title":"Twelve <b>""#],
    );
    told(
        "update",
        &[r#""topic":"education","stock":3,"price":1050}"#, r#""topic":"nature","stock":3,"price":1100}"#],
    );
    told("restock", &["outcome=done", "version=1."]);
    told("withdraw", &["outcome=out_of_stock"]);
    told("delete", &["outcome=done", "before={"]);
    cluster.stop_and_compare();
}

#[test]
fn of_editors_who_saw_the_same_book_exactly_one_wins_and_a_sale_makes_no_conflict() {
    let _company = in_company();
    let cluster = shop();
    let keeper = Keeper::at(&cluster, 0);
    let tag = keeper.tag(9);
    const EDITORS: usize = 8;
    let begin = Barrier::new(EDITORS);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let editors: Vec<_> = (0..EDITORS)
            .map(|n| {
                let (keeper, tag, begin) = (Keeper::at(&cluster, n % 2), &tag, &begin);
                scope.spawn(move || {
                    begin.wait();
                    let answer = keeper.patch(9, tag, &json!({ "price": 100 + n }));
                    if answer.status != 200 {
                        answer.problem(412, "precondition_failed");
                    }
                    answer.status
                })
            })
            .collect();
        editors.into_iter().map(|editor| editor.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let won = statuses.iter().position(|status| *status == 200).unwrap();
    assert_eq!(cluster.client(1).info(9).ok().json()["bookCost"], 100 + won as i64);

    let tag = keeper.tag(9);
    cluster.client(1).buy(9).ok();
    assert_eq!(keeper.tag(9), tag, "the stock is no part of it");
    let old = keeper.patch(9, &tag, &json!({"title": "New"})).ok();
    assert_eq!(old.json()["stock"], 14);
    keeper.send("DELETE", "/books/9", &[("if-match", &tag)], None).problem(412, "precondition_failed");
    keeper.send("PATCH", "/books/9", &[], Some(&json!({"price": 1}))).problem(428, "precondition_required");
    keeper.send("DELETE", "/books/9", &[], None).problem(428, "precondition_required");
    for tag in ["\"nobody's\"", &format!("W/{}", old.header("etag")), "\"two words\""] {
        let answer = keeper.patch(9, tag, &json!({"price": 1}));
        assert!(matches!(answer.status, 400 | 412), "{tag}: {}", answer.text());
    }
    keeper.patch(9, "*", &json!({"price": 1})).ok();
    // Another book of the same content has another tag.
    keeper.patch(10, &keeper.tag(9), &json!({"price": 1})).problem(412, "precondition_failed");
}

#[test]
fn a_change_that_is_sent_again_happens_once() {
    let _company = in_company();
    let cluster = shop();
    let new = json!({"title": "Twelve", "topic": "education", "stock": 3, "price": 10});
    let twice = |method: &str, path: &str, headers: &[(&str, &str)], key: &str, body: Option<&Value>| {
        let headers = [headers, &[("idempotency-key", key)]].concat();
        let first = Keeper::at(&cluster, 0).send(method, path, &headers, body);
        // Through the other frontend, as after a time-out.
        let again = Keeper::at(&cluster, 1).send(method, path, &headers, body);
        assert_eq!((first.status, &first.body), (again.status, &again.body), "{}", again.text());
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
            ("", "true")
        );
        assert_eq!((again.header("idempotency-key"), again.header("etag")), (key, first.header("etag")));
        first
    };
    assert_eq!(twice("POST", "/books", &[], "a", Some(&new)).status, 201);
    let keeper = Keeper::at(&cluster, 0);
    assert_eq!(ids(&keeper.get("/books?after=11")), [12]);
    assert_eq!(
        twice("POST", "/books/12/restock", &[], "b", Some(&json!({"copies": 4}))).ok().json()["stock"],
        7
    );
    twice("POST", "/books/12/restock", &[], "c", Some(&json!({"copies": -9}))).problem(409, "out_of_stock");
    let tag = keeper.tag(12);
    twice("PATCH", "/books/12", &[("if-match", &tag)], "d", Some(&json!({"price": 1}))).ok();
    let tag = keeper.tag(12);
    assert_eq!(twice("DELETE", "/books/12", &[("if-match", &tag)], "e", None).status, 204);
    let other = json!({"title": "Other", "topic": "education", "stock": 3, "price": 10});
    keeper
        .send("POST", "/books", &[("idempotency-key", "a")], Some(&other))
        .problem(422, "idempotency_mismatch");
    keeper.send("POST", "/books", &[("idempotency-key", "")], Some(&other)).problem(400, "invalid_request");
    // A customer's key is another key.
    cluster.client(0).buy_with_key(9, "a").ok();
    cluster.stop_and_compare();
}

#[test]
fn what_is_no_book_is_refused_with_a_reason_and_changes_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, admin: Some(ADMIN), ..Shape::default() });
    let keeper = Keeper::at(&cluster, 0);
    let book = |title: &str| json!({"title": title, "topic": "x", "stock": 1, "price": 1});
    for body in [
        json!(null),
        json!({"title": "a", "topic": "x", "stock": 1}),
        json!({"title": "a", "topic": "x", "stock": 1.5, "price": 1}),
        json!({"title": "a", "topic": "x", "stock": 1, "price": -1}),
        book(""),
        book("a\u{0}b"),
        book(&"x".repeat(301)),
    ] {
        keeper.post("/books", &body).problem(400, "invalid_request");
    }
    keeper.post("/books", &book(&"x".repeat(20_000))).problem(413, "payload_too_large");
    let plain = keeper.send("POST", "/books", &[("content-type", "text/plain")], Some(&book("a")));
    plain.problem(415, "unsupported_media_type");
    keeper.patch(9, "*", &json!({"stock": 3})).problem(400, "invalid_request");
    keeper.patch(9, "*", &json!({})).problem(400, "invalid_request");
    for path in [
        "/books?limit=0",
        "/books?limit=1001",
        "/books?after=x",
        "/books?after=",
        "/orders?from=1970-01-01&book=%20",
        "/orders?from=now",
        "/orders?after=1",
        "/books/x",
    ] {
        keeper.get(path).problem(400, "invalid_request");
    }
    assert_eq!(ids(&keeper.get("/books").ok()), (1..=11).collect::<Vec<_>>());
    // Hostile, but a title: it comes back as it was.
    let hostile = "</script><script>alert(1)</script> \" ' & outcome=done \u{202e}";
    let created = keeper.post("/books", &book(hostile));
    assert_eq!((created.status, created.json()["title"].as_str()), (201, Some(hostile)));
    assert_eq!(ids(&keeper.get("/books?q=alert").ok()), [12]);
}

#[test]
fn books_and_orders_are_listed_page_by_page() {
    let _company = in_company();
    let cluster = shop();
    let keeper = Keeper::at(&cluster, 0);
    let pages = |first: &str, member: &str| {
        let (mut seen, mut path) = (Vec::new(), first.to_owned());
        loop {
            let page = keeper.get(&path).ok().json();
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item[member].clone()));
            let Some(next) = page["next"].as_str() else { return seen };
            path = next.strip_prefix("/admin/api").unwrap().to_owned();
        }
    };
    assert_eq!(pages("/books?limit=4", "id"), (1..=11).map(Value::from).collect::<Vec<_>>());
    assert_eq!(pages("/books?q=the&limit=1", "id").len(), 4);
    let customer = cluster.client(1);
    let orders: Vec<Value> =
        [9, 10, 9, 3, 9].iter().map(|book| customer.buy(*book).ok().json()["orderId"].clone()).collect();
    // In order of their numbers, which begin with the millisecond.
    let mut newest_first = orders.clone();
    newest_first.sort_by(|a, b| b.as_str().cmp(&a.as_str()));
    assert_eq!(pages("/orders?limit=2", "orderId"), newest_first);
    let of_nine = pages("/orders?book=9&limit=1", "orderId");
    assert_eq!(of_nine.len(), 3);
    assert!(of_nine.iter().all(|id| [0, 2, 4].iter().any(|n| orders[*n] == *id)));
    assert_eq!(pages("/orders?from=2020-01-01&to=2120-01-01", "orderId").len(), 5);
    assert_eq!(pages("/orders?to=2020-01-01", "orderId").len(), 0);
    assert_eq!(pages("/orders?book=77", "orderId").len(), 0);
}

#[test]
fn an_import_says_what_it_did_and_which_lines_are_no_books() {
    let _company = in_company();
    let cluster = shop();
    let keeper = Keeper::at(&cluster, 0);
    // As a client does that cannot read its file.
    keeper.import("", "text/csv", "").problem(400, "invalid_request");
    let csv = "id,title,topic,stock,price\n9,Nine,education,1,2.50\n,New,education,1,3\n,Bad,education,-1,3\n,,education,1,3\n";
    let checked = keeper.import("?dryRun=true", "text/csv", csv).ok().json();
    assert_eq!(
        (&checked["dryRun"], &checked["lines"], &checked["rejected"]),
        (&json!(true), &json!(4), &json!(2))
    );
    assert_eq!(cluster.client(1).info(9).ok().json()["bookTitle"], "How to finish Project 3 on time");

    let strict = keeper.import("?strict=true", "text/csv", csv).problem(400, "invalid_request");
    assert!(strict.contains("line 4") && strict.contains("a stock must be"), "{strict}");
    cluster.client(1).info(12).problem(404, "book_not_found");

    let done = keeper.import("", "text/csv", csv).ok().json();
    let expected = json!({
        "lines": 4, "created": 1, "changed": 1, "unchanged": 0, "before": 0, "rejected": 2, "dryRun": false,
        "rejects": [
            {"line": 4, "reason": "a stock must be a whole number between 0 and 1000000000"},
            {"line": 5, "reason": "a title must not be empty"},
        ],
    });
    assert_eq!(done, expected);
    for customer in cluster.clients() {
        assert_eq!(customer.info(9).ok().json()["bookTitle"], "Nine");
        assert_eq!(customer.info(12).ok().json()["bookTitle"], "New");
    }
    let again = keeper.import("", "text/csv", csv).ok().json();
    assert_eq!((&again["before"], &again["created"]), (&json!(4), &json!(0)), "nothing is doubled");
    let lines = r#"{"title":"Thirteen","topic":"x","stock":1,"price":1}"#;
    assert_eq!(keeper.import("", "application/jsonl", lines).ok().json()["created"], 1);
    keeper.import("", "text/csv", "what,is,this\n1,2,3\n").problem(400, "invalid_request");
    keeper.import("", "application/json", "[]").problem(415, "unsupported_media_type");
    keeper.import("?format=xml", "text/csv", csv).problem(400, "invalid_request");
    let log = cluster.frontends[0].log();
    assert!(log.contains("audit: import: done") && log.contains("rejected=2"), "{log}");
    cluster.stop_and_compare();
}

#[test]
fn an_edit_while_the_master_is_away_has_no_outcome_and_is_safe_to_repeat() {
    let _company = in_company();
    let mut cluster =
        Cluster::start(Shape { replicas: 0, frontends: 1, admin: Some(ADMIN), ..Shape::default() });
    cluster.master.kill();
    let keeper = Keeper::at(&cluster, 0);
    let new = json!({"title": "Twelve", "topic": "education", "stock": 3, "price": 10});
    let lost = keeper.post("/books", &new);
    lost.problem(503, "unavailable");
    assert_ne!(lost.header("retry-after"), "");
    let key = lost.header("idempotency-key").to_owned();
    keeper.get("/books/9").problem(503, "unavailable");
    cluster.master.restart();
    for status in [201, 201] {
        let answer = keeper.send("POST", "/books", &[("idempotency-key", &key)], Some(&new));
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(ids(&keeper.get("/books?after=11").ok()), [12]);
    assert!(cluster.frontends[0].log().contains("outcome=unknown"));
}
