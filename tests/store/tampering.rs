//! What somebody sends who wants more than he is given: another's order, a book for a cent, a file, a header, a script
//! in somebody else's page, the keeper's token.

use crate::admin::ADMIN;
use crate::harness::{Answer, Client, Cluster, Nginx, Shape, Visitor, in_company, raw, wait_until};
use serde_json::json;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn shop() -> Cluster {
    Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() })
}

/// Whom the proxy at 127.0.0.1 names is a client of its own.
fn kept_shop() -> Cluster {
    let frontend_flags = &["--trusted-proxy", "127.0.0.1"];
    Cluster::start(Shape {
        replicas: 0,
        frontends: 1,
        admin: Some(ADMIN),
        frontend_flags,
        ..Shape::default()
    })
}

#[test]
fn an_order_is_not_found_by_guessing_from_another_one() {
    let _company = in_company();
    let cluster = shop();
    let client = cluster.client(0);
    let order = || client.buy(9).ok().json()["orderId"].as_str().unwrap().to_owned();
    let (one, next) = (order(), order());
    // 128 bits, of which the time is a part; what is left differs in more than anybody tries.
    let number = |order: &str| u128::from_str_radix(order, 16).unwrap();
    let different = (number(&one) ^ number(&next)) & ((1 << 76) - 1);
    assert!(different.count_ones() > 15, "{one} {next}");
    let page = Visitor::new(cluster.frontends[0].url());
    for at in 0..one.len() {
        let digit = u8::from_str_radix(&one[at..=at], 16).unwrap();
        let other = (digit + 1 + u8::try_from(at % 14).unwrap()) % 16;
        let guess = format!("{}{other:x}{}", &one[..at], &one[at + 1..]);
        client.order(&guess).problem(404, "order_not_found");
        page.get(&format!("/receipts/{guess}")).page(404);
    }
    // Neither is a beginning, a pattern or a list of any use.
    for guess in ["", &one[..31], "%25", "*", "..", "0", &format!("{one},{next}"), &format!("{one}%00")] {
        assert_eq!(client.order(guess).status, 404, "{guess}");
    }
    client.order(&one).ok();
    // What a stranger's browser is shown as its own.
    assert!(!page.get("/my-orders").page(200).html.contains(&one));
}

#[test]
fn a_form_that_was_tampered_with_buys_at_the_stores_price_or_not_at_all() {
    let _company = in_company();
    let cluster = shop();
    let client = cluster.client(0);
    let visitor = Visitor::new(cluster.frontends[0].url());
    let form = visitor.get("/books/9").page(200).form();
    for (name, value) in [
        ("price", "1"),
        ("price", "0"),
        ("price", "-2800"),
        ("price", "2799"),
        ("price", "2800.0"),
        ("price", "99999999999999999999"),
        ("quantity", "0"),
        ("quantity", "-1"),
        ("quantity", "101"),
        ("quantity", "1e2"),
        ("quantity", "0x10"),
        ("quantity", "18446744073709551617"),
        ("quantity", "1;DROP TABLE books"),
        ("seal", ""),
        ("order", "00000000000000000000000000000000"),
    ] {
        let mut sent = form.clone();
        sent.insert(name.into(), value.into());
        let answer = visitor.post("/buy", &sent).answer;
        assert_ne!(answer.status, 303, "{name}={value}");
    }
    // The price of a cheap book for another one: what the other costs is shown.
    let mut sent = form.clone();
    sent.insert("book".into(), "5".into());
    let answer = visitor.post("/buy", &sent).answer;
    assert!(answer.status != 303 || client.info(5).ok().json()["bookCost"] == 28);
    // Members that a purchase does not have change nothing about it.
    let body =
        json!({ "book_id": 9, "total": 0, "bookCost": 0.01, "price": 1, "stock": 1000, "remaining": 99 });
    let bought = client.post("/purchase", &[], &body);
    assert!(bought.status == 400 || bought.json()["total"] == 28, "{}", bought.text());
    let sold = u8::from(bought.status == 200);
    assert_eq!(client.info(9).ok().stock(9), 15 - i64::from(sold));
}

#[test]
fn no_path_leads_to_a_file() {
    let _company = in_company();
    let cluster = kept_shop();
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    for url in [cluster.frontends[0].url().to_owned(), nginx.url()] {
        for path in [
            "/../../../../etc/passwd",
            "/assets/../../../../etc/passwd",
            "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/assets/..%252f..%252fetc%252fpasswd",
            "/assets/..\\..\\..\\etc\\passwd",
            "/assets/..%5c..%5cetc%5cpasswd",
            "/assets/....//....//etc/passwd",
            "/assets/%c0%ae%c0%ae/etc/passwd",
            "/assets//etc/passwd",
            "/assets/shop.css%00.png",
            "/cover/../../../etc/passwd",
            "/cover/..%2f9.svg",
            "/cover/9.svg/../../../etc/passwd",
            "/docs/../../etc/passwd",
            "//etc/passwd",
            "/.git/config",
            "/nginx.conf",
            "/upstreams.conf",
            "/admin/../cache/invalidate",
            "/catalog-service/../leases",
        ] {
            let answer =
                raw(&url, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 40"), "{url}{path}: {answer}");
            for content in ["root:", "upstream ", "worker_processes", "[core]"] {
                assert!(!answer.contains(content), "{url}{path}: {answer}");
            }
        }
    }
}

#[test]
fn no_line_break_gets_into_a_header() {
    let _company = in_company();
    let cluster = kept_shop();
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    let end = "Connection: close\r\n\r\n";
    for url in [cluster.frontends[0].url().to_owned(), nginx.url()] {
        for request in [
            // What is echoed: the request's id, the key, a path, a cookie, a field.
            format!("GET /info/9 HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rInjected: 1\r\n{end}"),
            format!("GET /info/9 HTTP/1.1\r\nHost: x\r\nX-Request-Id: a%0d%0aInjected:%201\r\n{end}"),
            format!(
                "POST /purchase HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\rInjected: 1\r\nContent-Length: 0\r\n{end}"
            ),
            format!(
                "POST /purchase HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a%0d%0aInjected: 1\r\nContent-Length: 0\r\n{end}"
            ),
            format!(
                "POST /purchase HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\u{85}Injected: 1\r\nContent-Length: 0\r\n{end}"
            ),
            format!(
                "POST /purchase HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\u{10a}Injected: 1\r\nContent-Length: 0\r\n{end}"
            ),
            format!("GET /receipts/a%0d%0aInjected:%201 HTTP/1.1\r\nHost: x\r\n{end}"),
            format!("GET /search/a%0d%0aInjected:%201?limit=1 HTTP/1.1\r\nHost: x\r\n{end}"),
            format!("GET /search?q=a%0d%0aInjected:%201 HTTP/1.1\r\nHost: x\r\n{end}"),
            format!("GET /find?q=a%0d%0aInjected:%201 HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n{end}"),
            format!("GET / HTTP/1.1\r\nHost: x%0d%0aInjected: 1\r\nAccept: text/html\r\n{end}"),
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\nCookie: bazar-visitor=a%0d%0aInjected: 1; bazar-seen=\"a\\r\\nInjected: 1\"\r\n{end}"
            ),
            format!("GET /info/9 HTTP/1.1\r\nHost: x\r\nOrigin: https://a%0d%0aInjected: 1\r\n{end}"),
            format!("GET /info/9 HTTP/1.1\r\nHost: x\r\nBazar-Min-Version: 1.1%0d%0aInjected: 1\r\n{end}"),
            format!(
                "POST /admin/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n{end}token=a%0d%0aInjected:%201%0d"
            ),
            format!(
                "POST /buy HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 54\r\n{end}\
                 order=a%0d%0aInjected:%201&book=9&price=2800&quantity=1"
            ),
        ] {
            let answer = raw(&url, request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 "), "{request:?}: {answer:?}");
            let head = answer.split("\r\n\r\n").next().unwrap();
            let begins = |line: &str| line.to_ascii_lowercase().starts_with("injected");
            assert!(!head.split(['\r', '\n']).any(begins), "{request:?}: {head:?}");
        }
    }
    let log = cluster.frontends[0].log();
    assert!(!log.lines().any(|line| line.starts_with("Injected")), "{log}");
}

/// A title and a topic that would be markup, a script, an end of a script, and the end of an attribute.
const HOSTILE: &str = "</script><script>alert(1)</script>'\"><img src=x onerror=alert(2)>{{7*7}}";
const TOPIC: &str = "<svg onload=alert(3)>&\"'";

#[test]
fn markup_in_a_title_or_a_topic_is_text_on_every_page_and_in_every_answer() {
    let _company = in_company();
    let cluster = kept_shop();
    let client = cluster.client(0);
    let bearer = format!("Bearer {ADMIN}");
    // A line of an import, as a keeper would be given it.
    let line = json!({ "id": 77, "title": HOSTILE, "topic": TOPIC, "stock": 5, "price": 1.5 }).to_string();
    let headers = [("authorization", &*bearer), ("content-type", "application/jsonl")];
    let imported =
        client.send("POST", "/admin/api/imports", &headers, Some(&format!("{line}\n{line}x\n"))).unwrap();
    assert_eq!(imported.ok().json()["created"], 1);

    let visitor = Visitor::new(cluster.frontends[0].url());
    let form = visitor.get("/books/77").page(200).form();
    let receipt = visitor.post("/buy", &form).goes_to().to_owned();
    let signed_in = client.send("POST", "/admin/sign-in", &[FORM], Some(&format!("token={ADMIN}"))).unwrap();
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let topic: String =
        url::form_urlencoded::byte_serialize(TOPIC.as_bytes()).collect::<String>().replace('+', "%20");
    let found = "/find?q=script+alert";
    let mut pages: Vec<(String, Answer)> = [
        "/",
        "/books/77",
        found,
        "/my-orders",
        &receipt,
        "/docs",
        "/dashboard",
        &format!("/topics/{topic}"),
        "/find?q=%3C/script%3E%3Cscript%3Ealert(1)",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        "/topics/%3Cscript%3E",
    ]
    .into_iter()
    .map(|path| (path.to_owned(), visitor.get(path).answer))
    .collect();
    for path in [
        "/admin",
        "/admin/books/77",
        "/admin/books/77/delete",
        "/admin/orders",
        "/admin?q=script",
        "/admin/orders?book=%3Cscript%3E",
    ] {
        let headers = [("cookie", &*cookie), ("accept", "text/html")];
        pages.push((path.into(), client.send("GET", path, &headers, None).unwrap()));
    }
    for (path, answer) in &pages {
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.header("content-type").starts_with("text/html"), "{path}: {}", answer.text());
        for markup in ["<script>", "alert(1)</script>", "<img src=x", "<svg onload", "onerror=alert(2)>'"] {
            assert!(!text.contains(markup), "{markup} in {path}: {text}");
        }
        // And if something slipped through: no script of a page runs that is not a file of ours.
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
    // A drawing is a document when it is opened by itself.
    let cover = visitor.get("/cover/77.svg").answer;
    assert!(!cover.text().contains("<script") && !cover.text().contains("<img"), "{}", cover.text());
    assert!(cover.header("content-security-policy").contains("default-src 'none'"));
    // JSON is no page, whoever opens it.
    for path in ["/info/77", "/search?q=script", &format!("/search/{topic}"), "/topics"] {
        let answer = client.get(path).ok();
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(
            answer.text().contains("script") || answer.text().contains("svg"),
            "{path}: {}",
            answer.text()
        );
    }
    // Nor is what an error repeats.
    for path in ["/info/%3Cscript%3E", "/search/x?limit=%3Cscript%3E", "/admin/api/books?limit=%3Cscript%3E"]
    {
        let answer = client.send("GET", path, &[("authorization", &*bearer)], None).unwrap();
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
}

/// Shows a token in the name of a client that the proxy names.
#[track_caller]
fn show(client: &Client, from: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    client
        .send("GET", "/admin/api/books", &[("authorization", &bearer), ("x-forwarded-for", from)], None)
        .unwrap()
}

#[track_caller]
fn sign_in(client: &Client, from: &str, token: &str) -> Answer {
    let body = format!("token={token}");
    client.send("POST", "/admin/sign-in", &[FORM, ("x-forwarded-for", from)], Some(&body)).unwrap()
}

#[test]
fn who_guesses_the_keepers_token_is_locked_out_and_the_keeper_is_not() {
    let _company = in_company();
    let cluster = kept_shop();
    let client = cluster.client(0);
    let (attacker, keeper) = ("203.0.113.7", "203.0.113.8");
    let session =
        sign_in(&client, attacker, ADMIN).header("set-cookie").split(';').next().unwrap().to_owned();
    // By the API and by the form, which are one door.
    for wrong in ["password", "letmein"] {
        show(&client, attacker, wrong).problem(401, "unauthorized");
        assert_eq!(sign_in(&client, attacker, wrong).status, 401);
    }
    show(&client, attacker, "the-keeper-of-this-sho").problem(401, "unauthorized");
    let refused = show(&client, attacker, ADMIN);
    refused.problem(429, "rate_limited");
    assert!((1..=30).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    let page = sign_in(&client, attacker, ADMIN);
    assert!(page.status == 429 && page.text().contains("seconds until you can try again"), "{}", page.text());
    assert!((1..=30).contains(&page.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(page.header("set-cookie"), "");
    // Who is signed in stays so.
    let headers = [("cookie", &*session), ("x-forwarded-for", attacker)];
    client.send("GET", "/admin", &headers, None).unwrap().ok();
    // Everybody else's right token is right.
    show(&client, keeper, ADMIN).ok();
    assert_eq!(sign_in(&client, keeper, ADMIN).status, 303);
    let log = cluster.frontends[0].log();
    let refusals: Vec<&str> = log.lines().filter(|line| line.contains("sign-in: refused")).collect();
    assert_eq!(refusals.len(), 5, "{log}");
    assert!(refusals.iter().all(|line| line.contains("client=203.0.113.7")), "{log}");
    assert!(refusals[4].contains("locked_out_seconds=30"), "{log}");
    assert!(!log.contains("letmein") && !log.contains(ADMIN), "no token is ever written down");
}

#[test]
fn many_who_guess_together_have_a_guess_each_and_the_keeper_gets_in() {
    let _company = in_company();
    let cluster = kept_shop();
    let client = cluster.client(0);
    let answers: Vec<u16> =
        (0..200).map(|number| show(&client, &format!("198.51.100.{number}"), "guess").status).collect();
    let wrong = answers.iter().filter(|&&status| status == 401).count();
    assert_eq!(wrong, answers.len(), "{answers:?}");
    // From the hundred and first on one mistake is enough.
    assert_eq!(show(&client, "198.51.100.99", "guess").status, 401);
    show(&client, "198.51.100.101", ADMIN).problem(429, "rate_limited");
    show(&client, "203.0.113.8", ADMIN).ok();
    // The audit has the first of them and the count of the others.
    let refused = || cluster.frontends[0].log().matches("sign-in: refused").count();
    wait_until("the first refusals are told", || refused() >= 20);
    assert!(refused() <= 40, "{}", refused());
}

#[test]
fn the_next_admin_token_is_taken_beside_the_old_one_until_that_is_removed() {
    let _company = in_company();
    let cluster = Cluster::start(Shape {
        replicas: 0,
        frontends: 1,
        admin: Some("the-next-token-of-this-shop\nthe-keeper-of-this-shop"),
        ..Shape::default()
    });
    let client = cluster.client(0);
    for token in ["the-next-token-of-this-shop", ADMIN] {
        show(&client, "203.0.113.7", token).ok();
        assert_eq!(sign_in(&client, "203.0.113.7", token).status, 303);
    }
    show(&client, "203.0.113.7", "the-next-token-of-this-shop\tthe-keeper-of-this-shop")
        .problem(401, "unauthorized");
}
