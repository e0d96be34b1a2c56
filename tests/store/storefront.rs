//! The shop's pages, as a browser without scripts gets them: what shops get wrong is right here.

use crate::harness::{
    Client, Cluster, Fields, Looked, NOBODY, Nginx, Process, Shape, Visitor, in_company, start_nodes,
    wait_until,
};
use serde_json::json;
use std::collections::BTreeSet;

const BOOK: i64 = 9;
const STOCK: i64 = 15;

fn small() -> Cluster {
    Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() })
}

fn visitor(cluster: &Cluster) -> Visitor {
    Visitor::new(cluster.frontends[0].url())
}

fn with(fields: &Fields, name: &str, value: &str) -> Fields {
    let mut fields = fields.clone();
    fields.insert(name.into(), value.into());
    fields
}

fn book(visitor: &Visitor, id: i64) -> Looked {
    visitor.get(&format!("/books/{id}")).page(200)
}

fn stock(cluster: &Cluster) -> i64 {
    cluster.client(0).info(BOOK).ok().stock(BOOK)
}

#[test]
fn every_address_of_the_shop_is_a_page_that_needs_nothing_from_elsewhere() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    for path in ["/", "/?topics=all", "/topics/science", "/books/9", "/find?q=lost", "/find", "/my-orders"] {
        let page = visitor.get(path).page(200);
        let policy = page.answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.answer.header("cache-control"), "no-store");
        assert_eq!(page.answer.header("referrer-policy"), "same-origin", "a receipt's address is a secret");
        for inline in ["<style", " style=", "<script>", "onclick", "http://", "https://"] {
            assert!(!page.html.contains(inline), "{inline} in {path}");
        }
    }
}

#[test]
fn the_first_page_weighs_less_than_50_kilobytes_with_all_that_it_loads() {
    let _company = in_company();
    let cluster = small();
    // As many topics as are shown, and titles of some length.
    for number in 0..30 {
        let title = format!("Another treatise on the properties of things, part {number}");
        let topic = format!("topic {}", number % 10);
        cluster.edit(&json!({ "create": { "title": title, "topic": topic, "stock": 5, "price": 100 } }));
    }
    let visitor = visitor(&cluster);
    let page = visitor.get("/").page(200);
    let mut loaded: Vec<String> = page.addresses("src", "/");
    loaded.extend(page.addresses("href", "/assets/"));
    let loaded: BTreeSet<String> = loaded.into_iter().collect();
    assert!(loaded.iter().filter(|path| path.starts_with("/cover/")).count() >= 11, "{loaded:?}");
    let sizes = loaded.iter().map(|path| {
        let answer = visitor.get(path).answer.ok();
        assert!(answer.header("cache-control").contains("immutable"), "{path}");
        answer.body.len()
    });
    let sum = page.html.len() + sizes.sum::<usize>();
    assert!(sum < 50_000, "{sum}");
}

#[test]
fn a_form_that_is_sent_again_and_again_buys_once_and_leads_to_one_receipt() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 1, ..Shape::default() });
    let visitor = visitor(&cluster);
    let form = with(&book(&visitor, BOOK).form(), "quantity", "2");
    let others = [visitor.at(cluster.frontends[0].url()), visitor.at(cluster.frontends[1].url())];
    let receipts: Vec<String> = std::thread::scope(|scope| {
        let clicks: Vec<_> = others
            .into_iter()
            .map(|other| {
                scope.spawn(|| {
                    let other = other;
                    other.post("/buy", &form).goes_to().to_owned()
                })
            })
            .collect();
        clicks.into_iter().map(|click| click.join().unwrap()).collect()
    });
    let again = visitor.post("/buy", &form);
    assert_eq!([again.goes_to(), again.goes_to()], [receipts[0].as_str(), receipts[1].as_str()]);
    assert_eq!(stock(&cluster), STOCK - 2);

    let receipt = visitor.get(&receipts[0]).page(200).says("2 copies").says("$56").says("13 in stock");
    assert!(receipt.html.contains("How to finish Project 3 on time"));
    visitor.get("/my-orders").page(200).says(&receipts[0]);
    // Whoever has the address finds it, and nobody else sees it.
    let stranger = Visitor::new(cluster.frontends[1].url());
    stranger.get(&receipts[0]).page(200).says("$56");
    stranger.get("/my-orders").page(200).says("Nothing was bought in this browser yet");
    // The API knows it too.
    let id = receipts[0].strip_prefix("/receipts/").unwrap();
    assert_eq!(cluster.client(0).order(id).ok().json()["quantity"], 2);
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 1);
}

#[test]
fn a_form_that_has_bought_buys_no_more_with_another_quantity() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    let form = book(&visitor, BOOK).form();
    let receipt = visitor.post("/buy", &form).goes_to().to_owned();
    let page = visitor
        .post("/buy", &with(&form, "quantity", "3"))
        .page(409)
        .says("You have this order already")
        .says(&receipt);
    assert_eq!(stock(&cluster), STOCK - 1);
    // The form of that page is another one.
    visitor.post("/buy", &page.form()).goes_to();
    assert_eq!(stock(&cluster), STOCK - 4);
}

#[test]
fn a_form_that_this_browser_was_not_given_buys_nothing() {
    let _company = in_company();
    let cluster = small();
    let (visitor, attacker) = (visitor(&cluster), Visitor::new(cluster.frontends[0].url()));
    let form = book(&visitor, BOOK).form();
    let refused = |page: Looked| {
        let page = page.page(403).says("nothing was bought with it");
        assert_eq!(stock(&cluster), STOCK);
        page.form()
    };
    // That of another browser, in this one; of none; and with what was made up.
    refused(visitor.post("/buy", &book(&attacker, BOOK).form()));
    refused(Visitor::new(cluster.frontends[0].url()).post("/buy", &form));
    refused(visitor.post("/buy", &with(&form, "seal", "")));
    refused(visitor.post("/buy", &with(&form, "order", "0123456789abcdef0123456789abcdef")));
    // From another site, as browsers tell.
    for headers in [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("origin", "https://evil.example")],
        [("origin", "null")],
    ] {
        refused(visitor.post_with("/buy", &form, &headers));
    }
    // The page that says so has a form that works.
    let fresh = refused(visitor.post("/buy", &with(&form, "seal", "0")));
    let origin = cluster.frontends[0].url();
    let receipt = visitor.post_with("/buy", &fresh, &[("sec-fetch-site", "same-origin"), ("origin", origin)]);
    assert!(receipt.goes_to().starts_with("/receipts/"));
    assert_eq!(stock(&cluster), STOCK - 1);
}

#[test]
fn a_price_that_changed_since_the_page_was_loaded_is_shown_before_anything_is_bought() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    for (cents, before, price) in [(3150, "$28", "$31.50"), (900, "$31.50", "$9")] {
        let loaded = book(&visitor, BOOK).form();
        cluster.edit(&json!({ "update": { "book_id": BOOK, "price": cents } }));
        let left = stock(&cluster);
        let page = visitor
            .post("/buy", &loaded)
            .page(409)
            .says("The price has changed")
            .says(&format!("Buy at {price}"));
        assert!(page.main().contains(&format!("<del>{before}</del>")), "{}", page.main());
        assert_eq!(stock(&cluster), left, "nothing was bought");
        // Whoever confirms buys at the new one.
        let receipt = visitor.post("/buy", &page.form()).goes_to().to_owned();
        visitor.get(&receipt).page(200).says(&format!("<dd class=\"total\">{price}</dd>"));
        assert_eq!(stock(&cluster), left - 1);
    }
}

#[test]
fn a_form_that_has_bought_leads_to_its_receipt_whatever_the_price_is_now() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    let form = book(&visitor, BOOK).form();
    let receipt = visitor.post("/buy", &form).goes_to().to_owned();
    for cents in [100, 9900] {
        cluster.edit(&json!({ "update": { "book_id": BOOK, "price": cents } }));
        assert_eq!(visitor.post("/buy", &form).goes_to(), receipt);
    }
    visitor.get(&receipt).page(200).says("<dd class=\"total\">$28</dd>");
    cluster.edit(&json!({ "delete": { "book_id": BOOK } }));
    assert_eq!(visitor.post("/buy", &form).goes_to(), receipt);
    visitor.get(&receipt).page(200).says("book 9").says("$28");
    visitor.get("/my-orders").page(200).says("book 9");
}

#[test]
fn what_was_sold_while_somebody_looked_is_said_kindly_with_what_is_left() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    let form = with(&book(&visitor, BOOK).form(), "quantity", "5");
    cluster.set_stock(BOOK, 3);
    let page =
        visitor.post("/buy", &form).page(409).says("There were not 5 copies any more").says("Only 3 left");
    assert_eq!(page.form()["quantity"], "3", "what is left is offered");
    // Each refusal has used up its key: the form of this page is another one, and buys.
    visitor.post("/buy", &page.form()).goes_to();
    let form = with(&form, "quantity", "1");
    let page = visitor.post("/buy", &form).page(409).says("That form was used before");
    let page = visitor.post("/buy", &page.form()).page(409).says("Somebody was faster").says("Sold out");
    assert!(page.main().contains("data-buys=\"9\" disabled"), "{}", page.main());
    book(&visitor, BOOK).says("data-buys=\"9\" disabled");
    assert_eq!(stock(&cluster), 0);
}

#[test]
fn a_quantity_that_is_none_is_explained_at_its_field() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    let form = book(&visitor, BOOK).form();
    for typed in ["0", "101", "-1", "2.5", "many", "", "\"><script>"] {
        let page = visitor.post("/buy", &with(&form, "quantity", typed)).page(422);
        let page = page
            .says("whole number from 1 to 100")
            .says("aria-invalid=\"true\"")
            .says("aria-describedby=\"wrong\"");
        assert!(!page.html.contains("<script>"));
        assert_eq!(page.form()["order"], form["order"], "the same form, corrected");
    }
    visitor.post("/buy", &with(&form, "quantity", " 2 ")).goes_to();
    assert_eq!(stock(&cluster), STOCK - 2);
}

#[test]
fn after_buying_every_page_of_this_visitor_shows_it_even_without_the_master() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape::default());
    let visitor = visitor(&cluster);
    let elsewhere = |visitor: &Visitor| visitor.at(cluster.frontends[1].url());
    visitor.get("/topics/education").page(200);
    visitor.post("/buy", &book(&visitor, BOOK).form()).goes_to();
    assert!(visitor.cookie("bazar-seen").unwrap().starts_with("1:"));
    for path in ["/books/9", "/topics/education", "/find?q=project", "/"] {
        elsewhere(&visitor).get(path).page(200).says("14 in stock");
    }
    let other = elsewhere(&visitor);
    cluster.master.kill();
    // Old answers could pass for a while now. They say so, and this visitor's shows what he bought.
    wait_until("the master is missed", || {
        let page = other.get("/books/9");
        assert!(page.answer.status == 503 || page.html.contains("14 in stock"), "{}", page.html);
        page.answer.says_stale() && page.html.contains("This may be out of date")
    });
}

#[test]
fn who_has_bought_is_shown_nothing_rather_than_the_state_before_it() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape::default());
    let (visitor, stranger) = (visitor(&cluster), Visitor::new(cluster.frontends[1].url()));
    book(&stranger, BOOK).says("15 in stock");
    // The replica misses the purchase, and is all that is left.
    cluster.replicas[0].kill();
    visitor.post("/buy", &book(&visitor, BOOK).form()).goes_to();
    cluster.master.kill();
    cluster.replicas[0].restart();
    wait_until("strangers are shown what there is, with a warning", || {
        let page = stranger.get("/books/9");
        page.answer.says_stale() && page.html.contains("15 in stock")
    });
    visitor.at(cluster.frontends[1].url()).get("/books/9").page(503).says("The shop is out of reach");
}

#[test]
fn a_version_that_the_store_cannot_know_is_dropped_and_the_page_is_served() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    visitor.post("/buy", &book(&visitor, BOOK).form()).goes_to();
    let seen = visitor.cookie("bazar-seen").unwrap();
    let (epoch, _) = seen.rsplit_once('.').unwrap();
    // Of a later epoch, of a later moment, of another life with the same number.
    for other in [
        "99:00000000000000aa.5".to_owned(),
        format!("{epoch}.99999"),
        "1:00000000000000aa.99999".into(),
        "1:00000000000000aa.1".into(),
    ] {
        visitor.set_cookie("bazar-seen", &other);
        let page = book(&visitor, BOOK).says("14 in stock");
        assert!(!page.answer.says_stale());
        assert!(visitor.cookie("bazar-seen").is_none_or(|seen| seen.starts_with(epoch)), "{other}");
    }
}

#[test]
fn a_purchase_without_an_answer_says_so_and_is_safely_repeated() {
    let _company = in_company();
    let mut cluster = small();
    let visitor = visitor(&cluster);
    let form = with(&book(&visitor, BOOK).form(), "quantity", "2");
    cluster.master.kill();
    let page = visitor
        .post("/buy", &form)
        .page(503)
        .says("We do not know yet whether you bought it")
        .says("2 copies");
    assert_eq!(page.answer.header("retry-after"), "1");
    let again = page.form();
    assert_eq!((&again["order"], &again["quantity"]), (&form["order"], &form["quantity"]), "the same order");
    cluster.master.restart();
    cluster.settled();
    let receipt = visitor.post("/buy", &again).goes_to().to_owned();
    assert_eq!(visitor.post("/buy", &form).goes_to(), receipt);
    visitor.get("/my-orders").page(200).says(&receipt);
    assert_eq!(stock(&cluster), STOCK - 2);
}

#[test]
fn a_purchase_that_happened_although_its_answer_got_lost_does_not_happen_again() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    let form = book(&visitor, BOOK).form();
    cluster.master.pause();
    visitor.post("/buy", &form).page(503);
    cluster.master.resume();
    // What lay in the master's queue may be carried out now.
    cluster.settled();
    let receipt = visitor.post("/buy", &form).goes_to().to_owned();
    visitor.get(&receipt).page(200);
    assert_eq!(stock(&cluster), STOCK - 1);
}

#[test]
fn a_hostile_title_is_only_text_wherever_it_is_shown() {
    let _company = in_company();
    let cluster = small();
    let hostile = "<script>alert(1)</script> & \"Lost\" '><img src=x>";
    let topic = "<b>&\"/?#";
    cluster.edit(&json!({ "update": { "book_id": BOOK, "title": hostile, "topic": topic } }));
    let visitor = visitor(&cluster);
    let home = visitor.get("/").page(200);
    let [topic] = &home.addresses("href", "/topics/%3Cb")[..] else { panic!("{}", home.html) };
    let form = book(&visitor, BOOK).form();
    let receipt = visitor.post("/buy", &form).goes_to().to_owned();
    for path in
        ["/", topic, "/books/9", "/find?q=script+lost", "/find?q=%3Cscript%3E", &receipt, "/my-orders"]
    {
        let page = visitor.get(path).page(200);
        for markup in ["<script>", "<img src=x", "<b>"] {
            assert!(!page.html.contains(markup), "{markup} in {path}");
        }
    }
    let found = visitor.get("/find?q=script+lost").page(200);
    assert!(found.html.contains("&lt;<mark>script</mark>&gt;alert(1)"), "{}", found.main());
    let cover = visitor.get("/cover/9.svg");
    assert!(!cover.html.contains("<script") && cover.html.contains("&lt;script&gt;"), "{}", cover.html);
}

#[test]
fn a_cover_is_kept_for_good_under_the_hash_of_what_it_shows_and_under_no_other() {
    let _company = in_company();
    let cluster = small();
    let visitor = visitor(&cluster);
    let address = |page: &Looked| page.addresses("src", "/cover/9.svg")[0].clone();
    let before = address(&book(&visitor, BOOK));
    let cover = visitor.get(&before).answer.ok();
    assert_eq!(cover.header("content-type"), "image/svg+xml");
    assert!(cover.header("cache-control").contains("immutable"));
    cluster.client(0).buy(BOOK).ok();
    assert_eq!(address(&book(&visitor, BOOK)), before, "what is sold is drawn the same");
    cluster.edit(&json!({ "update": { "book_id": BOOK, "title": "Another" } }));
    let after = address(&book(&visitor, BOOK));
    assert_ne!(after, before);
    // The old address does not bring back the old title, and is not to be kept.
    let old = visitor.get(&before).answer.ok();
    assert_eq!(old.header("cache-control"), "no-store");
    assert_eq!(old.body, visitor.get(&after).answer.ok().body);
    assert_eq!(visitor.get("/cover/999.svg").answer.status, 404);
}

#[test]
fn a_long_topic_and_a_long_search_are_read_page_by_page() {
    let _company = in_company();
    let cluster = small();
    for number in 0..60 {
        let title = format!("Volume {number} of Everything");
        cluster.edit(&json!({ "create": { "title": title, "topic": "many", "stock": 5, "price": 100 } }));
    }
    let visitor = visitor(&cluster);
    for first in ["/topics/many", "/find?q=everything"] {
        let (mut path, mut books, mut pages) = (Some(first.to_owned()), Vec::new(), 0);
        while let Some(at) = path {
            let page = visitor.get(&at).page(200);
            books.extend(page.addresses("href", "/books/"));
            pages += 1;
            assert_eq!(page.html.contains("First page"), pages > 1);
            let next = page.html.split("rel=\"next\"").next().filter(|head| head.len() < page.html.len());
            path = next.map(|head| {
                let (_, address) = head.rsplit_once("href=\"").unwrap();
                address.split('"').next().unwrap().replace("&amp;", "&")
            });
        }
        let unique: BTreeSet<&String> = books.iter().collect();
        assert_eq!((books.len(), unique.len(), pages), (60, 60, 3), "{first}");
    }
}

#[test]
fn a_search_forgives_what_people_type() {
    let _company = in_company();
    let cluster = small();
    cluster.edit(&json!({ "create": { "title": "Crème Brûlée at Home", "topic": "cooking", "stock": 5, "price": 100 } }));
    let visitor = visitor(&cluster);
    visitor.get("/find?q=creme+bru").page(200).says("<mark>Crème</mark> <mark>Brûlée</mark> at Home");
    visitor.get("/find?q=").page(200).says("What are you looking for?");
    visitor.get("/find?q=%2A%22(").page(200).says("What are you looking for?");
    visitor.get("/find?q=nothingatall").page(200).says("Nothing found").says("value=\"nothingatall\"");
    visitor.get(&format!("/find?q={}", "a+".repeat(40))).page(400).says("more than a search can hold");
    visitor.get("/find?q=NEAR+OR+%22").page(200).says("Nothing found");
}

#[test]
fn what_goes_wrong_is_a_page_for_people_and_an_envelope_for_programs() {
    let _company = in_company();
    let cluster = small();
    let (visitor, program) = (visitor(&cluster), cluster.client(0));
    visitor.get("/nowhere").page(404).says("There is no such page");
    program.get("/nowhere").problem(404, "not_found");
    visitor.get("/books/999").page(404).says("We do not have that book");
    program.info(999).problem(404, "book_not_found");
    visitor.get("/topics/nothing").page(404).says("We have no books on “Nothing”");
    for address in ["/receipts/7", "/receipts/0123456789abcdef0123456789abcdef"] {
        visitor.get(address).page(404).says("There is no order under this address");
    }
    for address in ["/books/x", "/books/0", "/topics/%ff", "/topics/science?after=x", "/find?q=lost&after=x"]
    {
        visitor.get(address).page(400).says("That does not read right");
    }
    let refused = visitor.get("/buy").page(405);
    assert_eq!(refused.answer.header("allow"), "POST");
    visitor.post("/buy", &Fields::new()).page(400);
    visitor.post("/books/9", &Fields::new()).page(405);
    let large = Fields::from([("order".to_owned(), "x".repeat(10_000))]);
    visitor.post("/buy", &large).page(413);
}

#[test]
fn a_shop_that_cannot_read_says_so_with_a_page_and_when_to_come_back() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
    let frontend =
        start_nodes(dir.path(), "frontend", &[&args[..], &["--master", NOBODY, "--order", NOBODY]].concat());
    let visitor = Visitor::new(frontend.url());
    for path in
        ["/", "/books/9", "/topics/science", "/find?q=lost", "/receipts/0123456789abcdef0123456789abcdef"]
    {
        let page = visitor.get(path).page(503).says("The shop is out of reach");
        assert_eq!(page.answer.header("retry-after"), "1");
    }
}

#[test]
fn a_store_that_runs_an_unsafe_recipe_says_so_on_every_page() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args =
        ["up", "--listen", "127.0.0.1:0", "--unsafe-coherence", "ttl", "--data", data.to_str().unwrap()];
    let up = Process::start(dir.path(), "up", &args, &[]);
    let visitor = Visitor::new(up.url());
    for path in ["/", "/books/9", "/my-orders"] {
        let page = visitor.get(path).page(200).says("This store runs without its protection").says("ttl");
        assert_eq!(page.answer.header("bazar-unsafe-coherence"), "ttl");
    }
}

#[test]
fn the_shop_works_behind_nginx_and_people_get_its_refusals_as_pages() {
    let _company = in_company();
    let mut cluster = small();
    let nginx = Nginx::start(cluster.dir(), &[cluster.frontends[0].url()]);
    let visitor = Visitor::new(&nginx.url());
    let form = book(&visitor, BOOK).form();
    let host = nginx.url();
    let receipt = visitor.post_with("/buy", &form, &[("origin", &host)]).goes_to().to_owned();
    visitor.get(&receipt).page(200).says("$28");
    assert_eq!(visitor.post("/buy", &form).goes_to(), receipt);
    visitor.get("/internal/x").page(404).says("There is no such page");

    cluster.frontends[0].kill();
    let page = visitor.post("/buy", &form).page(503).says("Load this page again");
    assert_eq!(page.answer.header("retry-after"), "1");
    assert!(page.answer.header("content-security-policy").contains("default-src 'none'"));
    Client::new(&nginx.url()).info(BOOK).problem(503, "unavailable");
}
