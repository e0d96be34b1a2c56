//! The administration's pages, in a real browser and out of the hands of strangers.

use crate::admin::ADMIN;
use crate::harness::{Answer, Browser, Client, Cluster, Look, Shape, alone, in_company};
use serde_json::json;

fn shop() -> Cluster {
    Cluster::start(Shape { replicas: 0, frontends: 1, admin: Some(ADMIN), ..Shape::default() })
}

fn signed_in(cluster: &Cluster, look: Look) -> Browser {
    let browser = Browser::start(look);
    browser.goto(&format!("{}/admin", cluster.frontends[0].url()));
    browser.fill("#token", ADMIN);
    browser.click(".door button");
    browser.wait_for_text("h1", "Books");
    browser
}

/// Another keeper, by the API.
#[track_caller]
fn elsewhere(client: &Client, method: &str, path: &str, body: &serde_json::Value) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("if-match", "*")];
    client.send(method, &format!("/admin/api{path}"), &headers, Some(&body.to_string())).unwrap()
}

#[test]
fn a_keeper_edits_in_a_browser_meets_a_conflict_and_sees_everything_at_once() {
    let _alone = alone();
    let cluster = shop();
    let customer = cluster.client(0);
    let browser = Browser::start(Look::default());
    browser.goto(&format!("{}/admin", cluster.frontends[0].url()));
    browser.fill("#token", "not-the-token-of-this-shop");
    browser.press_enter("#token");
    browser.wait_for_text(".notice.bad", "That is not the token");
    browser.fill("#token", ADMIN);
    browser.press_enter("#token");
    browser.wait_for_text("h1", "Books");

    browser.click("a[href='/admin/books/9']");
    browser.fill("#price", "30.50");
    browser.click("form[action='/admin/books/9'] button");
    browser.wait_for_text(".notice.good", "Saved");
    assert_eq!(customer.info(9).ok().json()["bookCost"], 30.5);

    // A sale is none of an editor's business; another edit is.
    customer.buy(9).ok();
    elsewhere(&customer, "PATCH", "/books/9", &json!({"title": "Theirs"})).ok();
    browser.fill("#price", "31");
    browser.click("form[action='/admin/books/9'] button");
    browser.wait_for_text(".notice.warn", "Somebody else has changed this book");
    browser.wait_for_text(".conflict", "Theirs");
    browser.wait_for_text(".conflict mark", "How to finish Project 3 on time");
    assert_eq!(customer.info(9).ok().json()["bookTitle"], "Theirs", "nothing is replaced unasked");
    browser.fill("#title", "Ours");
    browser.click("form[action='/admin/books/9'] button");
    browser.wait_for_text(".notice.good", "Saved");
    let now = customer.info(9).ok().json();
    assert_eq!((&now["bookTitle"], &now["bookCost"]), (&json!("Ours"), &json!(31)));

    browser.fill("#copies", "-99");
    browser.click("form[action='/admin/books/9/restock'] button");
    browser.wait_for_text(".notice.bad", "than the 14 that are in stock");
    browser.fill("#copies", "6");
    browser.double_click("form[action='/admin/books/9/restock'] button");
    browser.wait_for_text(".stock", "20 in stock");
    assert_eq!(customer.info(9).ok().stock(9), 20, "a double click delivers once");
    browser.click("a[href='/books/9']");
    browser.wait_for_text("[data-book='9']", "20 in stock");
    browser.wait_for_text("h1", "Ours");
    browser.goto(&format!("{}/admin", cluster.frontends[0].url()));

    browser.click("a[href='/admin/books/new']");
    for (field, text) in
        [("#title", "<script>alert(1)</script>"), ("#topic", "x"), ("#price", "1,5"), ("#stock", "1")]
    {
        browser.fill(field, text);
    }
    browser.click("main .card button");
    browser.wait_for_text(".notice.bad", "A price must be a number of dollars");
    browser.fill("#price", "1.50");
    browser.click("main .card button");
    browser.wait_for_text(".notice.good", "in the shop");
    browser.wait_for_text("h1", "<script>alert(1)</script>");
    browser.click("a[href='/admin/books/12/delete']");
    browser.click("button.danger");
    browser.wait_for_text(".notice.good", "gone");
    customer.info(12).problem(404, "book_not_found");
    browser.goto(&format!("{}/admin/books/12", cluster.frontends[0].url()));
    browser.wait_for_text("h1", "There is no such book");

    let file = cluster.dir().join("books.csv");
    std::fs::write(&file, "title,topic,stock,price\nFrom a file,files,1,2\nBad,files,-1,2\n").unwrap();
    browser.click("a[href='/admin/import']");
    browser.fill("#file", file.to_str().unwrap());
    browser.click("main .card button");
    browser.wait_for_text("[role=status]", "1 are new");
    browser.wait_for_text(".rejects", "line 3: a stock must be");
    assert_eq!(customer.search("files").json()["items"][0]["bookTitle"], "From a file");

    browser.click("a[href='/admin/orders']");
    browser.wait_for_text("tbody", "$30.50");
    browser.fill("#book", "3");
    browser.click(".sieve button");
    browser.wait_for_text("main", "There are none");
    let complaints = browser.complaints();
    let expected = |complaint: &String| {
        ["401", "404", "409", "422"].iter().any(|status| complaint.contains(&format!("status of {status}")))
    };
    assert!(complaints.iter().all(expected), "{complaints:#?}");

    browser.click(".desk .last button");
    browser.wait_for_text("h1", "Administration");
    browser.back();
    browser.goto(&format!("{}/admin/orders", cluster.frontends[0].url()));
    browser.wait_for_text("h1", "Administration");
}

#[test]
fn the_pages_fit_a_telephone_whatever_a_book_is_called() {
    let _alone = alone();
    let cluster = shop();
    let long =
        json!({"title": "x".repeat(300), "topic": "y".repeat(100), "stock": 0, "price": 1_000_000_000});
    assert_eq!(elsewhere(&cluster.client(0), "POST", "/books", &long).status, 201);
    cluster.client(0).buy(9).ok();
    let browser = signed_in(&cluster, Look { width: 360, height: 800, ..Look::default() });
    for path in ["", "/books/12", "/books/12/delete", "/books/new", "/orders", "/import", "?q=nobody"] {
        browser.goto(&format!("{}/admin{path}", cluster.frontends[0].url()));
        browser.wait_for_text("main", "Sign out");
        assert!(!browser.scrolls_sideways(), "{path}");
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_form_from_elsewhere_changes_nothing() {
    let _company = in_company();
    let cluster = shop();
    let client = cluster.client(0);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        client.send("POST", path, &[&[form], headers].concat(), Some(body)).unwrap()
    };
    let token = format!("token={ADMIN}");
    let cross = post("/admin/sign-in", &[("sec-fetch-site", "cross-site")], &token);
    assert_eq!((cross.status, cross.header("set-cookie")), (403, ""));
    let signed_in = post("/admin/sign-in", &[], &token);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, "/admin"));
    let set = signed_in.header("set-cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/admin"] {
        assert!(set.contains(word), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains(ADMIN));
    let behind_https = post("/admin/sign-in", &[("x-forwarded-proto", "https")], &token);
    assert!(behind_https.header("set-cookie").contains("; Secure"));

    let cookie = set.split(';').next().unwrap();
    let page = client.send("GET", "/admin/books/9", &[("cookie", cookie)], None).unwrap().ok();
    let text = page.text();
    assert!(!text.contains("<script") && !text.contains("style="));
    assert!(page.header("content-security-policy").contains("form-action 'self'"));
    let secret = text.split("name=\"secret\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let delivery = |secret: &str| format!("secret={secret}&key=k&copies=5");
    for (cookie, body, status) in [
        ("", delivery(secret), 401),
        (cookie, "key=k&copies=5".to_owned(), 400),
        (cookie, delivery(""), 403),
        (cookie, delivery(&"0".repeat(64)), 403),
    ] {
        let answer = post("/admin/books/9/restock", &[("cookie", cookie)], &body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.header("content-type").starts_with("text/html"), "errors are pages");
    }
    assert_eq!(client.info(9).ok().stock(9), 15);
    // The API takes no cookie: no form can reach it.
    client.send("GET", "/admin/api/books", &[("cookie", cookie)], None).unwrap().problem(401, "unauthorized");
    // Ours, twice: the same key delivers once.
    for _ in 0..2 {
        let answer = post("/admin/books/9/restock", &[("cookie", cookie)], &delivery(secret));
        assert_eq!((answer.status, answer.header("location")), (303, "/admin/books/9?done=stocked"));
    }
    assert_eq!(client.info(9).ok().stock(9), 20);
    let for_a_person = client.send("GET", "/admin/nothing", &[("accept", "text/html")], None).unwrap();
    assert!(for_a_person.status == 404 && for_a_person.text().contains("There is nothing here"));
}
