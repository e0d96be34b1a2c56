//! The dashboard: what it shows is what was done and what is the case, names no secret, and holds nothing up.

use crate::harness::{Browser, Client, Cluster, Look, Process, Shape, TOKEN, alone, in_company, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Streams that one frontend sends at a time.
const MAX_VIEWERS: usize = 64;

/// A stop without anybody to wait for: far below the three seconds that requests under way are given.
const QUICK: Duration = Duration::from_secs(2);

/// Somebody who looks at the dashboard of a frontend.
struct Viewer {
    status: u16,
    lines: BufReader<TcpStream>,
}

impl Viewer {
    fn of(frontend: &Process) -> Self {
        let address = frontend.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /dashboard/events HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
        let mut viewer = Self { status: 0, lines: BufReader::new(stream) };
        let first = viewer.line().unwrap();
        viewer.status = first.split(' ').nth(1).unwrap().parse().unwrap();
        viewer
    }

    /// The next line; nothing at the end of the stream.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.lines.read_line(&mut line).unwrap() > 0).then_some(line)
    }

    /// The next view, and all that was sent with it.
    fn next(&mut self) -> (Value, String) {
        let mut sent = String::new();
        loop {
            let line = self.line().expect("the stream goes on");
            sent.push_str(&line);
            if let Some(view) = line.strip_prefix("data: {") {
                return (serde_json::from_str(&format!("{{{view}")).unwrap(), sent);
            }
        }
    }

    /// The first view of which `holds`.
    #[track_caller]
    fn wait_for(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        wait_until(&format!("the dashboard shows that {what}"), || {
            last = self.next().0;
            holds(&last)
        });
        last
    }
}

/// The node of that name.
fn node<'a>(view: &'a Value, name: &str) -> &'a Value {
    view["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap_or(&Value::Null)
}

fn texts(view: &Value, list: &str) -> String {
    view[list].to_string()
}

#[test]
fn what_was_done_adds_up_whichever_frontend_did_it_and_whoever_answered() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let clients = cluster.clients();
    let mut viewer = Viewer::of(&cluster.frontends[0]);
    for client in &clients {
        (0..25).for_each(|_| drop(client.info(9).ok()));
        (0..5).for_each(|_| drop(client.search("education").ok()));
    }
    let mut versions = Vec::new();
    for client in [&clients[0], &clients[1], &clients[1]] {
        versions.push(client.buy(9).ok().json()["version"].clone());
    }
    clients[0].buy_with_key(9, "again").ok();
    clients[1].buy_with_key(9, "again").ok();
    clients[0].buy(4711).problem(404, "book_not_found");
    let told = json!({ "bought": 4, "replayed": 1, "book_not_found": 1 });
    // The other frontend's part may come a round later.
    let view = viewer.wait_for("everything is counted, and nothing twice", |view| {
        let totals = &view["totals"];
        let reads = totals["reads"].as_object().unwrap();
        let reads: u64 = reads.values().map(|count| count.as_u64().unwrap()).sum();
        let sales = view["sales"].as_array().unwrap();
        (reads, sales.len()) == (60, 4) && totals["requests"] == 66 && totals["purchases"] == told
    });
    let totals = &view["totals"];
    assert!(totals["reads"]["memory"].as_u64().unwrap() >= 56, "{totals}");
    assert_eq!(totals["stale"], 0);
    // The latest first.
    let sales = view["sales"].as_array().unwrap();
    for (sale, left) in sales.iter().zip([11, 12, 13, 14]) {
        assert_eq!((&sale["book"], &sale["quantity"], &sale["left"]), (&json!(9), &json!(1), &json!(left)));
    }
    let sold: Vec<&Value> = sales.iter().skip(1).rev().map(|sale| &sale["version"]).collect();
    assert_eq!(sold, versions.iter().collect::<Vec<_>>());
    let fence = &view["fences"][0];
    assert_eq!((&fence["keys"], &fence["holders"]), (&json!(["book:9"]), &json!(2)));
    assert_eq!(node(&view, "Redis")["state"], "up");
}

#[test]
fn a_replica_that_is_killed_is_shown_as_gone_and_comes_back_in_sync() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape::default());
    let mut viewer = Viewer::of(&cluster.frontends[0]);
    viewer.wait_for("all is well", |view| view["well"] == true && node(view, "replica 1")["inSync"] == true);
    cluster.replicas[0].kill();
    let view =
        viewer.wait_for("the replica is gone", |view| node(view, "replica 1")["state"] == "unreachable");
    assert!(texts(&view, "summary").contains("Replica 1 cannot be reached."), "{view}");
    let view = viewer.wait_for("it is out of the balance", |view| {
        let reads = |link: &&Value| link["kind"] == "reads" && link["to"] == node(view, "replica 1")["id"];
        let mut links = view["links"].as_array().unwrap().iter().filter(reads).peekable();
        links.peek().is_some() && links.all(|link| link["well"] == false)
    });
    assert_eq!(view["store"]["master"], node(&view, "master")["id"]);
    // The master learns it by the first purchase, which waits for it.
    cluster.client(0).buy(9).ok();
    viewer.wait_for("it is not in sync", |view| node(view, "replica 1")["inSync"] == false);
    cluster.replicas[0].restart();
    let view = viewer.wait_for("it is back, with what was sold meanwhile", |view| {
        let replica = node(view, "replica 1");
        replica["inSync"] == true && replica["version"] == view["store"]["version"] && view["well"] == true
    });
    let happened = texts(&view, "happenings");
    assert!(
        happened.contains("Replica 1 cannot be reached.") && happened.contains("Replica 1 is back."),
        "{view}"
    );
}

#[test]
fn a_frontend_that_hangs_is_shown_to_lose_its_lease() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let mut viewer = Viewer::of(&cluster.frontends[0]);
    let other = |view: &Value| {
        let address = cluster.frontends[1].url().trim_start_matches("http://");
        let nodes = view["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["address"] == address).cloned().unwrap_or_default()
    };
    viewer.wait_for("both have a lease", |view| view["well"] == true && other(view)["leaseMs"].is_u64());
    cluster.frontends[1].pause();
    viewer.wait_for("its lease has run out", |view| {
        other(view)["state"] == "silent" && other(view)["leaseMs"].is_null()
    });
    cluster.frontends[1].resume();
    viewer.wait_for("it has a lease again", |view| view["well"] == true && other(view)["leaseMs"].is_u64());
}

#[test]
fn without_its_master_the_store_is_shown_as_it_was_known_last() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape::default());
    cluster.client(0).buy(9).ok();
    let mut viewer = Viewer::of(&cluster.frontends[1]);
    viewer.wait_for("a copy was sold", |view| view["sales"][0]["book"] == 9);
    cluster.master.kill();
    let view = viewer.wait_for("no master answers", |view| view["store"]["master"].is_null());
    assert!(texts(&view, "summary").contains("No write master answers"), "{view}");
    assert_eq!(node(&view, "master")["state"], "unreachable");
    assert_eq!(view["sales"][0]["book"], 9);
}

#[test]
fn no_secret_is_shown_and_the_word_of_a_role_is_for_members() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let client = cluster.client(0);
    let order = client.buy_with_key(9, "a-key-of-mine").ok().json()["orderId"].as_str().unwrap().to_owned();
    let mut viewer = Viewer::of(&cluster.frontends[0]);
    viewer.wait_for("it was sold", |view| view["sales"][0]["book"] == 9);
    let mut shown = viewer.next().1 + &viewer.next().1;
    shown.push_str(&client.get("/dashboard").ok().text());
    for secret in [order.as_str(), "a-key-of-mine", TOKEN] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
    client.get("/status").problem(404, "not_found");
    for role in [&cluster.master, &cluster.replicas[0], &cluster.orders[0]] {
        Client::new(role.url()).get("/status").problem(401, "unauthorized");
        let status = Client::internal(role.url()).get("/status").ok();
        assert!(!status.text().contains(&order), "{}", status.text());
    }
}

#[test]
fn the_page_is_whole_without_a_script() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let client = cluster.client(0);
    client.buy(9).ok();
    let mut page = client.get("/dashboard").ok();
    wait_until("all is well", || {
        page = client.get("/dashboard").ok();
        page.text().contains("All 5 nodes are well.")
    });
    let text = page.text();
    for shown in ["frontend 2", "replica 1", "in sync", "book 9", "Load it again"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains(" style="), "the policy forbids it");
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
}

#[test]
fn no_more_can_look_than_there_is_room_for() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let frontend = &cluster.frontends[0];
    let mut viewers: Vec<Viewer> = (0..MAX_VIEWERS).map(|_| Viewer::of(frontend)).collect();
    assert!(viewers.iter().all(|viewer| viewer.status == 200));
    viewers.iter_mut().for_each(|viewer| drop(viewer.next()));
    assert_eq!(Viewer::of(frontend).status, 503);
    cluster.client(0).get("/dashboard").ok();
    viewers.pop();
    wait_until("there is room again", || Viewer::of(frontend).status == 200);
}

#[test]
fn a_stop_does_not_wait_for_who_looks() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape::default());
    let mut viewer = Viewer::of(&cluster.frontends[0]);
    viewer.next();
    let begun = Instant::now();
    cluster.frontends[0].stop();
    assert!(begun.elapsed() < QUICK, "took {:?}", begun.elapsed());
    while viewer.line().is_some() {}
}

#[test]
fn a_replica_leaves_the_page_and_returns_to_it_in_a_browser() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let browser = Browser::start(Look::default());
    browser.goto(&format!("{}/dashboard", cluster.frontends[0].url()));
    browser.wait_for_text("#connection", "Live");
    browser.wait_for_text("#live .state", "All 6 nodes are well.");
    cluster.replicas[0].kill();
    browser.wait_for_text("#live .state", "Replica 1 cannot be reached.");
    browser.wait_for_text(".nodes tr.replica .badge", "cannot be reached");
    wait_until("it is drawn so", || {
        browser.has(".across .node.replica.bad") && browser.has(".across .link.broken")
    });
    cluster.client(1).buy(9).ok();
    browser.wait_for_text(".sales li", "14 left");
    browser.wait_for_text(".fences li", "book:9");
    cluster.replicas[0].restart();
    browser.wait_for_text("#live .state", "All 6 nodes are well.");
    browser.wait_for_text(".happenings", "Replica 1 is back.");
    assert!(browser.has(".across .node.replica.good"));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_page_fits_into_windows_from_a_phone_to_a_wall() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { replicas: 2, redis: true, ..Shape::default() });
    for (width, dark) in [(360, true), (1440, false), (3840, true)] {
        let browser = Browser::start(Look { width, dark, ..Look::default() });
        browser.goto(&format!("{}/dashboard", cluster.frontends[0].url()));
        browser.wait_for_text("#connection", "Live");
        assert!(!browser.scrolls_sideways(), "at {width}");
        let drawn = if width < 700 { ".down" } else { ".across" };
        let shown =
            format!("return document.querySelector('.drawing {drawn}').getBoundingClientRect().width > 0");
        assert_eq!(browser.script(&shown), true, "at {width}");
        assert_eq!(browser.complaints(), [""; 0], "at {width}");
    }
}
