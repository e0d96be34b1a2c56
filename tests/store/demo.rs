//! `bazar up --demo`: whatever is killed, paused, cut off or put into Redis, the promises hold, and it heals.

use crate::harness::{
    Answer, Browser, Client, Look, Process, alone, in_company, run, start_nodes, wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Demo {
    up: Process,
    /// Last: it is removed when nobody writes to it any more.
    dir: TempDir,
}

impl Demo {
    fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let up = up(&dir, more);
        Self { up, dir }
    }

    fn client(&self) -> Client {
        Client::new(self.up.url())
    }

    fn data(&self) -> String {
        data(&self.dir)
    }

    #[track_caller]
    fn press(&self, button: &str, what: Value) -> Answer {
        self.client().post(&format!("/demo/{button}"), &[], &what)
    }

    fn view(&self) -> Value {
        self.client().get("/demo").ok().json()
    }

    fn process(&self, role: &str) -> Value {
        let view = self.view();
        let processes = view["processes"].as_array().unwrap();
        processes.iter().find(|process| process["role"] == role).unwrap().clone()
    }

    fn state(&self, role: &str) -> String {
        self.process(role)["state"].as_str().unwrap().into()
    }

    fn pids(&self) -> Vec<u64> {
        let view = self.view();
        view["processes"].as_array().unwrap().iter().map(|process| process["pid"].as_u64().unwrap()).collect()
    }

    fn load(&self, count: &str) -> u64 {
        self.view()["load"][count].as_u64().unwrap()
    }

    /// Does that to `role`, for long enough to be seen, and waits until it is over and customers buy again.
    #[track_caller]
    fn breaks(&self, role: &str, kind: &str) {
        let restarts = self.process(role)["restarts"].as_u64().unwrap();
        self.press("faults", json!({ "role": role, "kind": kind, "seconds": 3 })).ok();
        match kind {
            "kill" => wait_until("it is back", || {
                let process = self.process(role);
                process["state"] == "running" && process["restarts"] == restarts + 1
            }),
            kind => {
                let shown = if kind == "cut" { "cut off" } else { "paused" };
                wait_until("it is shown", || self.state(role) == shown);
                wait_until("it heals", || self.state(role) == "running");
            }
        }
        let bought = self.load("bought");
        wait_until("customers buy", || self.load("bought") > bought + 2);
    }
}

fn data(dir: &TempDir) -> String {
    dir.path().join("data").to_str().unwrap().into()
}

fn up(dir: &TempDir, more: &[&str]) -> Process {
    let data = data(dir);
    let frontends: &[&str] = if more.contains(&"--frontends") { &[] } else { &["--frontends", "2"] };
    let args = ["up", "--demo", "--listen", "127.0.0.1:0", "--data", &data];
    start_nodes(dir.path(), "up", &[&args[..], frontends, more].concat())
}

/// Whether there is no such process any more, but for what nobody has asked after.
fn is_gone(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn the_promises_hold_whatever_is_done() {
    let _alone = alone();
    let demo = Demo::start(&[]);
    let client = demo.client();
    let first = client.buy_with_key(9, "before-everything").ok().json();
    demo.press("load", json!({ "action": "start", "rate": 60, "purchases": 10 })).ok();
    wait_until("customers buy", || demo.load("bought") > 2);
    for role in ["replica-1", "order-1", "frontend-1", "master"] {
        for kind in ["kill", "pause", "cut"] {
            demo.breaks(role, kind);
        }
    }
    for kind in ["pause", "cut", "kill"] {
        demo.breaks("redis", kind);
    }
    for errand in ["poison", "flush", "poison"] {
        let reads = demo.load("reads");
        demo.press("redis", json!({ "errand": errand })).ok();
        wait_until("customers read", || demo.load("reads") > reads + 60);
    }
    demo.press("load", json!({ "action": "stop" })).ok();
    wait_until("the load ends", || demo.view()["load"]["running"] == false);

    let view = demo.view();
    let load = &view["load"];
    assert_eq!((&load["violations"], &load["trouble"]), (&json!(0), &Value::Null), "{view:#}");
    assert!(load["checkedBooks"].as_u64() > Some(500), "{load}");
    assert!(load["ordersLookedUp"].as_u64() >= load["bought"].as_u64(), "{load}");
    assert_eq!(view["journal"].as_array().unwrap().len(), 18, "{view:#}");
    let again = client.buy_with_key(9, "before-everything").ok();
    assert_eq!((again.header("idempotency-replayed"), &again.json()["orderId"]), ("true", &first["orderId"]));
}

#[test]
fn the_load_is_not_blind_to_a_broken_promise() {
    let _alone = alone();
    let demo = Demo::start(&["--unsafe-coherence", "ttl"]);
    demo.press("load", json!({ "action": "start", "rate": 100, "purchases": 20 })).ok();
    wait_until("it has seen one", || demo.load("violations") > 0);
    assert!(demo.view()["load"]["firstViolation"].as_str().unwrap().starts_with("book "));
}

#[test]
fn a_frontend_that_dies_or_hangs_is_not_noticed_while_there_is_another() {
    let _alone = alone();
    let demo = Demo::start(&[]);
    let client = demo.client();
    let (first, second) = (Client::new(&demo.up.urls()[1]), Client::new(&demo.up.urls()[2]));
    first.info(9).ok();
    for kind in ["kill", "pause"] {
        demo.press("faults", json!({ "role": "frontend-1", "kind": kind, "seconds": 2 })).ok();
        for number in 0..20 {
            client.info(9).ok();
            client.buy_with_key(9, &format!("{kind}-{}", number % 3)).ok();
        }
        wait_until("it is back", || demo.state("frontend-1") == "running");
        // At the address that it had.
        first.info(9).ok();
        second.info(9).ok();
    }
    assert_eq!(first.info(9).ok().stock(9), 15 - 6);
}

#[test]
fn without_any_frontend_purchases_get_their_key_and_people_a_page() {
    let _alone = alone();
    let demo = Demo::start(&["--frontends", "1"]);
    demo.press("faults", json!({ "role": "frontend-1", "kind": "kill" })).ok();
    let client = demo.client();
    wait_until("it is gone", || demo.state("frontend-1") == "down");
    client.info(9).problem(503, "unavailable");
    let purchase = client.buy(9);
    purchase.problem(503, "unavailable");
    assert!(purchase.header("idempotency-key").starts_with("bazar-demo-"), "{:?}", purchase.headers);
    let page = client.send("GET", "/", &[("accept", "text/html")], None).unwrap();
    assert_eq!((page.status, page.header("retry-after")), (503, "1"));
    assert!(page.text().contains("No frontend answers"), "{}", page.text());
    // The dashboard needs none.
    assert_eq!(client.get("/dashboard").status, 200);
}

#[test]
fn keepers_commands_find_the_store_whatever_became_of_its_master() {
    let _company = in_company();
    let demo = Demo::start(&[]);
    let export = || run(&["export", "--data", &demo.data()], &[]);
    let before = export();
    assert_eq!((before.code, before.stdout.lines().count()), (Some(0), 12), "{before:?}");
    demo.press("faults", json!({ "role": "master", "kind": "kill" })).ok();
    wait_until("it is back", || demo.process("master")["restarts"] == 1 && demo.state("master") == "running");
    assert_eq!(export().stdout, before.stdout);
}

#[test]
fn without_the_flag_there_is_nothing_to_press() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let up = start_nodes(dir.path(), "up", &["up", "--listen", "127.0.0.1:0", "--data", &data(&dir)]);
    let client = Client::new(up.url());
    client.get("/demo").problem(404, "not_found");
    for button in ["faults", "heal", "redis", "load"] {
        client.post(&format!("/demo/{button}"), &[], &json!({})).problem(404, "not_found");
    }
}

#[test]
fn only_pages_of_ours_press_buttons() {
    let _company = in_company();
    let demo = Demo::start(&[]);
    let client = demo.client();
    let heal = |headers: &[(&str, &str)], body: &str| {
        client.send("POST", "/demo/heal", headers, Some(body)).unwrap()
    };
    const JSON: (&str, &str) = ("content-type", "application/json");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    heal(&[JSON], "{}").ok();
    heal(&[JSON, ("origin", demo.up.url()), ("sec-fetch-site", "same-origin")], "{}").ok();
    for forged in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
    ] {
        heal(&[JSON, forged], "{}").problem(403, "forbidden");
    }
    let read = client.send("GET", "/demo", &[("host", "evil.example")], None).unwrap();
    read.problem(403, "forbidden");
    let page = client.send("GET", "/dashboard", &[("host", "evil.example")], None).unwrap();
    assert_eq!(page.status, 403, "its forms have the token");
    heal(&[("content-type", "text/plain")], "{}").problem(415, "unsupported_media_type");
    for forged in ["", "token=", "token=0123456789abcdef0123456789abcdef"] {
        heal(&[FORM], forged).problem(403, "forbidden");
    }
    // What curl -d sends.
    heal(&[FORM], "{}").problem(415, "unsupported_media_type");
    let page = client.get("/dashboard").ok().text();
    let (_, token) = page.split_once(r#"name="token" value=""#).unwrap();
    let token = token.split('"').next().unwrap();
    let healed = heal(&[FORM], &format!("token={token}"));
    assert_eq!((healed.status, healed.header("location")), (303, "/dashboard#faults"));
}

#[test]
fn an_empty_redis_has_nothing_to_be_poisoned_or_flushed() {
    let _company = in_company();
    let demo = Demo::start(&[]);
    for errand in ["poison", "flush"] {
        demo.press("redis", json!({ "errand": errand })).ok();
    }
}

#[test]
fn a_button_that_makes_no_sense_says_why() {
    let _company = in_company();
    let demo = Demo::start(&[]);
    let refused = |button: &str, what: Value| demo.press(button, what).problem(400, "invalid_request");
    assert!(refused("faults", json!({ "role": "replica-2", "kind": "kill" })).contains("replica-2"));
    assert!(refused("faults", json!({ "role": "nobody", "kind": "kill" })).contains("no process"));
    assert!(refused("faults", json!({ "role": "master", "kind": "melt" })).contains("melt"));
    for seconds in [0, 31] {
        let what = json!({ "role": "master", "kind": "pause", "seconds": seconds });
        assert!(refused("faults", what).contains("between 1 and 30"));
    }
    let what = json!({ "role": "master", "kind": "pause", "seconds": { "many": 1 } });
    assert_eq!(refused("faults", what), "seconds must be a whole number between 1 and 30");
    refused("redis", json!({ "errand": "praise" }));
    refused("load", json!({ "action": "start", "rate": 1_000_000 }));
    demo.press("load", json!({ "action": "start", "rate": 1, "purchases": 0 })).ok();
    assert!(refused("load", json!({ "action": "start" })).contains("already"));
    demo.client().get("/demo/faults").problem(405, "method_not_allowed");
}

#[test]
fn no_process_outlives_the_one_that_started_it() {
    let _company = in_company();
    let mut demo = Demo::start(&[]);
    demo.press("faults", json!({ "role": "replica-1", "kind": "pause", "seconds": 30 })).ok();
    wait_until("it hangs", || demo.state("replica-1") == "paused");
    let pids = demo.pids();
    assert_eq!(pids.len(), 7, "master, replica, 2 orders, 2 frontends, Redis");
    demo.up.kill();
    for pid in pids {
        wait_until("it has ended too", || is_gone(pid));
    }
}

#[test]
fn a_stop_is_in_time_and_clean_whoever_is_paused() {
    let _alone = alone();
    let mut demo = Demo::start(&[]);
    demo.press("load", json!({ "action": "start" })).ok();
    for role in ["master", "frontend-1"] {
        demo.press("faults", json!({ "role": role, "kind": "pause", "seconds": 30 })).ok();
        wait_until("it hangs", || demo.state(role) == "paused");
    }
    let pids = demo.pids();
    demo.up.signal(Signal::TERM);
    demo.up.ends_in_time();
    assert!(pids.into_iter().all(is_gone));
    assert!(!demo.up.log().contains("and is killed"), "{}", demo.up.log());
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let finished = run(&["up", "--demo", "--listen", "0.0.0.0:0", "--data", &data(&dir)], &[]);
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("--listen: with --demo the address must be a loopback one"),
        "{finished:?}"
    );
    // A process that may not start as what it is to be.
    up(&dir, &[]).stop();
    let at = |name: &str| dir.path().join("data").join(name);
    std::fs::remove_dir_all(at("master")).unwrap();
    std::fs::rename(at("replica-1"), at("master")).unwrap();
    let finished = run(&["up", "--demo", "--listen", "127.0.0.1:0", "--data", &data(&dir)], &[]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(
        finished.stderr.contains("error: master did not start: it ended with exit status: 2"),
        "{finished:?}"
    );
}

#[test]
fn in_a_browser_a_killed_replica_leaves_and_returns_and_no_promise_is_broken() {
    let _alone = alone();
    let demo = Demo::start(&[]);
    let browser = Browser::start(Look { width: 360, height: 800, ..Look::default() });
    browser.goto(&format!("{}/dashboard", demo.up.url()));
    assert!(!browser.scrolls_sideways());
    browser.click("[value=start]");
    let shown = |css: &str| browser.text(css).unwrap_or_default();
    wait_until("the load is seen", || {
        shown("[data-demo='load.bought']").parse::<u64>().is_ok_and(|count| count > 2)
    });
    let state = "[data-role=replica-1] [data-demo-state]";
    assert_eq!(shown(state), "running");
    browser.click("[data-role=replica-1] [value=kill]");
    browser.wait_for_text(state, "down");
    browser.wait_for_text(state, "running");
    // Exactly: 10 has a 1 and a 0 in it as well.
    wait_until("one restart is counted", || shown("[data-role=replica-1] [data-demo-restarts]") == "1");
    let bought = demo.load("bought");
    wait_until("customers buy", || demo.load("bought") > bought + 2);
    wait_until("no promise is broken", || shown("[data-demo='load.violations']") == "0");
    assert!(shown(".demo-journal li").contains("replica-1 killed"), "{}", shown(".demo-journal"));
    assert_eq!(browser.complaints(), [""; 0]);
    browser.click("[value=stop]");
    wait_until("every order is found", || demo.load("ordersLookedUp") >= demo.load("bought"));
}

#[test]
fn without_script_the_buttons_work_too() {
    let _company = in_company();
    let demo = Demo::start(&[]);
    let browser = Browser::start(Look { scripts: false, ..Look::default() });
    browser.goto(&format!("{}/dashboard", demo.up.url()));
    browser.click("[data-role=order-1] [value=kill]");
    assert!(browser.url().ends_with("/dashboard#faults"), "{}", browser.url());
    assert!(browser.text(".demo-journal").unwrap().contains("order-1 killed"));
    wait_until("it is back", || demo.process("order-1")["restarts"] == 1);
}
