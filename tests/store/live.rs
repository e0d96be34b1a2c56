//! Open pages: they are told what there is now, then every change, through whichever frontend and node; and they
//! are in nobody's way.

use crate::harness::{
    Client, Cluster, Event, Events, Nginx, Process, Shape, Unread, alone, in_company, wait_until,
};
use serde_json::json;
use std::time::{Duration, Instant};

const BOOK: i64 = 9;
const STOCK: i64 = 15;

/// What each frontend logs when it asks what has changed.
const ASKS: &str = "what has changed";

fn open(frontend: &Process, books: &str) -> Events {
    Events::open(frontend.url(), &format!("/events?books={books}"))
}

#[test]
fn a_purchase_through_one_frontend_shows_on_pages_of_every_other_one() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let pages: Vec<Events> =
        cluster.frontends.iter().flat_map(|frontend| [open(frontend, "9,10"), open(frontend, "9")]).collect();
    for page in &pages {
        page.shows(BOOK, STOCK);
    }
    let receipt = cluster.client(0).buy(BOOK).ok();
    for page in &pages {
        page.shows(BOOK, STOCK - 1);
        let event = page.last(BOOK).unwrap();
        assert_eq!(event.data, json!({ "id": BOOK, "numberOfItems": STOCK - 1, "bookCost": 28 }));
        assert_eq!(event.id, receipt.header("bazar-version"));
    }
    // What did not change was told once.
    assert_eq!(pages[0].received().iter().filter(|event| event.data["id"] == 10).count(), 1);
    for header in ["200 ok", "text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(pages[0].head().contains(header), "{}", pages[0].head());
    }
}

#[test]
fn a_price_and_the_end_of_a_book_show_too() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let page = open(&cluster.frontends[0], "9,999");
    wait_until("what never was is gone", || page.last(999).is_some_and(|event| event.data["gone"] == true));
    page.shows(BOOK, STOCK);
    cluster.edit(&json!({ "update": { "book_id": BOOK, "price": 1999 } }));
    wait_until("the new price shows", || page.last(BOOK).unwrap().data["bookCost"] == 19.99);
    cluster.edit(&json!({ "delete": { "book_id": BOOK } }));
    wait_until("the book is gone", || page.last(BOOK).unwrap().data == json!({ "id": BOOK, "gone": true }));
}

#[test]
fn events_go_on_when_the_node_that_is_followed_is_killed_or_hangs() {
    let _company = in_company();
    let mut cluster =
        Cluster::start(Shape { replicas: 2, frontends: 1, log: "info,bazar=debug", ..Shape::default() });
    let client = cluster.client(0);
    let page = open(&cluster.frontends[0], "9");
    page.shows(BOOK, STOCK);
    client.buy(BOOK).ok();
    page.shows(BOOK, STOCK - 1);
    let followed = |cluster: &Cluster| {
        let log = cluster.frontends[0].log();
        let last = log.lines().rfind(|line| line.contains(ASKS)).unwrap();
        cluster.replicas.iter().position(|replica| last.contains(replica.url()))
    };
    let first = followed(&cluster).expect("a replica is followed, and not the master");
    cluster.replicas[first].kill();
    client.buy(BOOK).ok();
    page.shows(BOOK, STOCK - 2);
    wait_until("the other replica is followed", || followed(&cluster) == Some(1 - first));
    cluster.replicas[1 - first].pause();
    // The purchase waits until the replica has left the in-sync set.
    client.buy(BOOK).ok();
    page.shows(BOOK, STOCK - 3);
    cluster.replicas[1 - first].resume();
}

#[test]
fn what_changed_while_the_master_was_away_shows_when_it_is_back() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, frontends: 2, ..Shape::default() });
    let page = open(&cluster.frontends[0], "9");
    page.shows(BOOK, STOCK);
    cluster.master.kill();
    cluster.master.restart();
    // Another epoch has begun, and what was remembered went with the one before.
    cluster.settled();
    cluster.client(1).buy(BOOK).ok();
    page.shows(BOOK, STOCK - 1);
}

#[test]
fn a_page_that_reads_late_is_told_the_latest_and_keeps_nobody_waiting() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let unread = Unread::open(cluster.frontends[0].url(), "/events?books=9");
    let page = open(&cluster.frontends[0], "9");
    for sold in 1..=STOCK {
        cluster.client(0).buy(BOOK).ok();
        page.shows(BOOK, STOCK - sold);
    }
    let late = unread.read();
    late.shows(BOOK, 0);
    let stock = |event: &Event| event.data["numberOfItems"].as_i64().unwrap();
    let received = late.received();
    assert!(received.is_sorted_by(|earlier, later| stock(earlier) > stock(later)), "{received:?}");
}

#[test]
fn many_pages_are_told_at_the_cost_of_one() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, log: "info,bazar=debug", ..Shape::default() });
    let pages: Vec<Events> = (0..200).map(|_| open(&cluster.frontends[0], "1,9")).collect();
    pages.iter().for_each(|page| page.shows(BOOK, STOCK));
    let reads = || {
        let log = cluster.frontends[0].log();
        log.lines().filter(|line| line.contains(ASKS)).count()
    };
    let before = reads();
    cluster.client(0).buy(BOOK).ok();
    pages.iter().for_each(|page| page.shows(BOOK, STOCK - 1));
    // The one that was under way, the next, and what the time took.
    assert!(reads() - before < 50, "{before} {}", reads());
}

#[test]
fn a_stop_does_not_wait_for_open_pages_nor_for_who_follows() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape { log: "info,bazar=debug", ..Shape::default() });
    let pages: Vec<Events> = (0..20).map(|_| open(&cluster.frontends[0], "9")).collect();
    pages.iter().for_each(|page| page.shows(BOOK, STOCK));
    stops_at_once(&mut cluster.frontends[0]);
    wait_until("the pages are told so", || pages.iter().all(Events::ended));
    let page = open(&cluster.frontends[1], "9");
    page.shows(BOOK, STOCK);
    // The first request is answered, the next one is held.
    let held = |frontend: &Process, node: &Process| {
        let asked = format!("asking {} {ASKS}", node.url());
        let log = frontend.log();
        log.matches(ASKS).count() > 1
            && log.lines().rfind(|line| line.contains(ASKS)).unwrap().contains(&asked)
    };
    wait_until("the replica is followed", || held(&cluster.frontends[1], &cluster.replicas[0]));
    stops_at_once(&mut cluster.replicas[0]);
    wait_until("the master is followed", || held(&cluster.frontends[1], &cluster.master));
    stops_at_once(&mut cluster.master);
}

/// Less than the two seconds that a request for changes is held, and than what requests under way are waited for.
#[track_caller]
fn stops_at_once(process: &mut Process) {
    let begun = Instant::now();
    process.stop();
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert!(!process.log().contains("before every request was answered"));
}

#[test]
fn nobody_asks_what_changed_while_nobody_looks() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { log: "info,bazar=debug", ..Shape::default() });
    cluster.set_stock(BOOK, 1_000_000);
    let asks = |frontend: usize| cluster.frontends[frontend].log().matches(ASKS).count();
    let page = open(&cluster.frontends[0], "9");
    page.shows(BOOK, 1_000_000);
    drop(page);
    // A connection that was left is found out by what is written to it.
    wait_until("the page is known to be left", || {
        cluster.client(1).buy(BOOK).ok();
        cluster.frontends[0].log().contains("0 pages are open")
    });
    let (before, never) = (asks(0), asks(1));
    assert!(before > 0 && never == 0, "{before} {never}");
    let page = open(&cluster.frontends[1], "9");
    let left = cluster.client(0).buy(BOOK).ok().json()["remaining"].as_i64().unwrap();
    page.shows(BOOK, left);
    assert_eq!(asks(0), before);
}

#[test]
fn what_names_no_books_or_too_many_is_refused() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let hundred: Vec<String> = (1..=100).map(|id| id.to_string()).collect();
    let hundred = hundred.join(",");
    for query in
        ["", "?books=", "?books=x", "?books=9,,10", "?books=0", "?book=9", &format!("?books={hundred},101")]
    {
        client.get(&format!("/events{query}")).problem(400, "invalid_request");
    }
    client.post("/events?books=9", &[], &json!({})).problem(405, "method_not_allowed");
    let page = open(&cluster.frontends[0], &hundred);
    wait_until("a hundred books are told", || page.received().len() == 100);
}

#[test]
fn without_the_master_no_page_is_told_what_may_be_stale() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    cluster.master.kill();
    let client = cluster.client(0);
    wait_until("reads say that they may be stale", || client.info(BOOK).says_stale());
    let refused = client.get("/events?books=9");
    refused.problem(503, "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
}

#[test]
fn nginx_passes_events_on_as_they_happen() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let urls: Vec<&str> = cluster.frontends.iter().map(|frontend| frontend.url()).collect();
    let nginx = Nginx::start(cluster.dir(), &urls);
    let page = Events::open(&nginx.url(), "/events?books=9");
    page.shows(BOOK, STOCK);
    Client::new(&nginx.url()).buy(BOOK).ok();
    page.shows(BOOK, STOCK - 1);
}
