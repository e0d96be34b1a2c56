//! What is served to a scraper: by whom, to whom, all that is documented, and that it moves.

use crate::harness::{
    Client, Cluster, Finished, METRICS_TOKEN, Process, Scrape, Shape, TOKEN, alone, in_company, raw, run,
    scrape, start_nodes, wait_until,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The admin token of these stores.
const ADMIN: &str = "a-token-of-the-keeper";

/// Families that there are, by name: their types, and who serves them.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let text = std::fs::read_to_string("docs/metrics.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `bazar_") || line.starts_with("| `process_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let roles = cells[3].split(", ").map(str::to_owned).collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), roles))
    };
    rows.map(row).collect()
}

/// The families of one role.
fn of_role(role: &str) -> BTreeMap<String, String> {
    let of_it = |roles: &[String]| roles.iter().any(|of| of == role || of == "all");
    documented()
        .into_iter()
        .filter(|(_, (_, roles))| of_it(roles))
        .map(|(name, (of, _))| (name, of))
        .collect()
}

fn internal(frontend: &Process) -> &str {
    &frontend.urls()[1]
}

/// Every role's listener for a scraper.
fn roles(cluster: &Cluster) -> [(&'static str, &str); 4] {
    [
        ("frontend", internal(&cluster.frontends[0])),
        ("order", cluster.orders[0].url()),
        ("master", cluster.master.url()),
        ("replica", cluster.replicas[0].url()),
    ]
}

#[test]
fn every_documented_family_is_served_by_its_roles_and_no_other_and_promtool_finds_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, admin: Some(ADMIN), ..Shape::default() });
    let client = cluster.client(0);
    for book in 1..=11 {
        client.info(book).ok();
        client.buy(book).ok();
        client.info(book).ok();
    }
    client.search("fiction").ok();
    client.info(4711).problem(404, "book_not_found");
    for (role, url) in roles(&cluster) {
        // Of each role, so that errors have a series, too.
        Client::new(url).get("/healthz/nothing");
        let mut scraped = scrape(url);
        scraped.is_clean();
        let documented = of_role(role);
        // Timers and Redis take their time.
        wait_until("every family has a series", || {
            scraped = scrape(url);
            documented.keys().all(|name| scraped.families().contains_key(name)) || {
                let served = scraped.families();
                let missing: Vec<_> = documented.keys().filter(|name| !served.contains_key(*name)).collect();
                log_once(role, &missing);
                false
            }
        });
        assert_eq!(scraped.families(), documented, "{role}");
        scraped.is_clean();
    }
}

/// For whoever reads why the test failed.
fn log_once(role: &str, missing: &[&String]) {
    static SAID: std::sync::Mutex<BTreeSet<String>> = std::sync::Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(role.into()) {
        eprintln!("{role} does not serve {missing:?} yet");
    }
}

#[test]
fn only_the_metrics_token_opens_them_on_internal_listeners_only() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { admin: Some(ADMIN), ..Shape::default() });
    let bearer = |token: &str| format!("Bearer {token}");
    for (role, url) in roles(&cluster) {
        let client = Client::new(url);
        client.get("/metrics").problem(401, "unauthorized");
        let almost = [&METRICS_TOKEN[1..], TOKEN, ADMIN, "", &format!("{METRICS_TOKEN}x")].map(bearer);
        for wrong in almost.iter().map(String::as_str).chain([METRICS_TOKEN, "Basic x"]) {
            let answer = client.send("GET", "/metrics", &[("authorization", wrong)], None).unwrap();
            answer.problem(401, "unauthorized");
        }
        let right = [("authorization", &*bearer(METRICS_TOKEN))];
        client.send("GET", "/metrics", &right, None).unwrap().ok();
        client.send("POST", "/metrics", &right, None).unwrap().problem(405, "method_not_allowed");
        // It opens nothing else.
        client.send("GET", "/status", &right, None).unwrap().problem(401, "unauthorized");
        assert!(!scrape(url).text.contains(METRICS_TOKEN) && !scrape(url).text.contains(TOKEN), "{role}");
    }
    let public = cluster.client(0);
    for token in [METRICS_TOKEN, TOKEN, ADMIN] {
        for path in ["/metrics", "/catalog-service/metrics", "/order-service/metrics", "/admin/metrics"] {
            let answer = public.send("GET", path, &[("authorization", &bearer(token))], None).unwrap();
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        }
    }
}

#[test]
fn without_a_token_there_are_no_metrics_and_two_are_accepted_while_one_takes_the_place_of_the_other() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let args = ["order", "--listen", "127.0.0.1:0", "--master", crate::harness::NOBODY];
    let env = [("BAZAR_INTERNAL_TOKEN", TOKEN)];
    let without = Process::start(dir.path(), "without", &args, &env);
    let bearer = format!("Bearer {METRICS_TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    Client::new(without.url()).send("GET", "/metrics", &headers, None).unwrap().problem(404, "not_found");

    let file = dir.path().join("scraper");
    std::fs::write(&file, "the-token-of-before\n").unwrap();
    let args = [&args[..], &["--metrics-token-file", file.to_str().unwrap()]].concat();
    let role = Process::start(dir.path(), "with", &args, &env);
    let client = Client::new(role.url());
    let status = |token: &str| {
        client.send("GET", "/metrics", &[("authorization", &format!("Bearer {token}"))], None).unwrap().status
    };
    assert_eq!((status("the-token-of-before"), status("the-token-to-come")), (200, 401));
    std::fs::write(&file, "the-token-to-come\nthe-token-of-before\n").unwrap();
    wait_until("both are accepted", || {
        (status("the-token-of-before"), status("the-token-to-come")) == (200, 200)
    });
    std::fs::write(&file, "the-token-to-come\n").unwrap();
    wait_until("the old one opens nothing any more", || {
        (status("the-token-of-before"), status("the-token-to-come")) == (401, 200)
    });
    assert!(role.log().contains("the metrics token was read again"), "{}", role.log());
}

#[test]
fn a_metrics_token_that_opens_more_or_could_be_guessed_is_a_mistake() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let args = ["order", "--master", "http://127.0.0.1:1", "--metrics-token-file", path];
    for (text, why) in [
        (TOKEN, "must be another than the internal token"),
        ("short", "at least 16"),
        ("", "one metrics token, or two"),
        ("a-token-of-three\nb-token-of-three\nc-token-of-three", "one metrics token, or two"),
    ] {
        std::fs::write(file.path(), text).unwrap();
        let Finished { code, stderr, .. } = run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        assert!(text.len() < 16 || !stderr.contains(text), "{stderr}");
    }
    let both = [("BAZAR_INTERNAL_TOKEN", TOKEN), ("BAZAR_METRICS_TOKEN", METRICS_TOKEN)];
    let Finished { code, stderr, .. } = run(&args, &both);
    assert!(code == Some(2) && stderr.contains("not both"), "{stderr}");
}

#[test]
fn who_is_no_member_is_counted_by_what_was_wrong_and_who_is_one_is_not() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, replicas: 0, ..Shape::default() });
    let url = cluster.master.url();
    let refused =
        |reason: &str| scrape(url).value(&format!("bazar_internal_refused_total{{reason=\"{reason}\"}}"));
    Client::new(url).get("/status").problem(401, "unauthorized");
    assert_eq!(refused("unsigned"), 1.0);
    let another = Client::signing(url, "a-token-of-another-store");
    another.send("GET", "/status", &[], None).unwrap().problem(401, "unauthorized");
    assert!(refused("other_key") >= 1.0);
    let captured = Client::internal(url).capture("GET", "/status", &[], None);
    assert!(raw(url, &captured).starts_with("HTTP/1.1 200"));
    assert!(raw(url, &captured).starts_with("HTTP/1.1 401"));
    assert_eq!(refused("replayed"), 1.0);
    let altered = String::from_utf8(captured).unwrap().replace("/status", "/statuS");
    assert!(raw(url, altered.as_bytes()).starts_with("HTTP/1.1 401"));
    assert_eq!(refused("forged"), 1.0);
    Client::new(url).get("/healthz").ok();
    Client::internal(url).send("GET", "/status", &[], None).unwrap().ok();
    assert_eq!((refused("unsigned"), refused("forged"), refused("replayed")), (1.0, 1.0, 1.0));
}

#[test]
fn what_clients_make_up_makes_no_series() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let (client, url) = (cluster.client(0), internal(&cluster.frontends[0]));
    let ask = |number: usize| {
        client.get(&format!("/nothing/{number}"));
        client.get(&format!("/info/{}", 1_000_000 + number));
        client.search(&format!("topic-{number}"));
        client.order(&format!("{number:032x}"));
        client.send(&format!("METHOD{number}"), "/topics", &[], None).unwrap();
        client.send("GET", "/topics", &[("x-request-id", &format!("id-{number}"))], None).unwrap();
        client.post(
            "/purchase",
            &[("idempotency-key", &format!("key-{number}"))],
            &json!({ "book_id": number }),
        );
    };
    (0..3).for_each(ask);
    let first = scrape(url).count();
    (3..1003).for_each(ask);
    let scraped = scrape(url);
    // Another outcome of a call between roles may have its first time.
    assert!(scraped.count() <= first + 4 * 20, "{first}, then {}", scraped.count());
    assert!(scraped.sum("bazar_http_request_duration_seconds_count", &["route=\"none\""]) >= 1000.0);
    assert!(
        scraped
            .values_of("method")
            .is_subset(&BTreeSet::from(["GET", "POST", "PUT", "PATCH", "DELETE", "other"]))
    );
    assert!(
        scraped.values_of("route").iter().all(|route| !route.contains("1000")),
        "{:?}",
        scraped.values_of("route")
    );
    scraped.is_clean();
}

#[test]
fn each_reason_for_a_miss_is_counted_as_what_it_is() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, ..Shape::default() });
    let orders = cluster.orders[0].url();
    let args =
        ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--info-ttl", "1s"];
    let args = [&args[..], &["--master", cluster.master.url(), "--order", orders]].concat();
    let frontend = start_nodes(cluster.dir(), "frontend", &args);
    let (client, url) = (Client::new(frontend.url()), internal(&frontend));
    wait_until("it has its lease", || client.get("/readyz").text().contains("lease: held"));
    let lookups = |outcome: &str| {
        scrape(url).sum("bazar_cache_lookups_total", &["level=\"memory\"", &format!("outcome=\"{outcome}\"")])
    };
    let mut seen = BTreeMap::new();
    let mut moves = |outcome: &'static str| {
        let before = seen.insert(outcome, lookups(outcome)).unwrap_or_default();
        wait_until(outcome, || lookups(outcome) > before);
    };
    client.info(9).ok();
    moves("absent");
    client.info(9).ok();
    moves("hit");
    wait_until("it is too old", || {
        client.info(9).ok();
        lookups("expired") > 0.0
    });
    client.info(9).ok();
    client.buy(9).ok();
    client.info(9).ok();
    moves("floor");
    let newest = client.info(9).ok().header("bazar-version").to_owned();
    // Another book's purchase makes a version that the entry of this one does not name, but has reached.
    let later = client.buy(8).ok().json()["version"].as_str().unwrap().to_owned();
    assert_ne!(newest, later);
    let beyond = format!("{}.{}", later.split('.').next().unwrap(), 1_000_000);
    client
        .send("GET", "/info/9", &[("bazar-min-version", &beyond)], None)
        .unwrap()
        .problem(412, "version_unavailable");
    moves("version");
    cluster.master.pause();
    wait_until("the lease has run out", || {
        client.info(9);
        lookups("lease") > 0.0
    });
    cluster.master.resume();
    wait_until("the gap is counted", || scrape(url).value("bazar_lease_gaps_total") >= 1.0);
    wait_until("it has a lease again", || scrape(url).value("bazar_lease_held") == 1.0);
}

#[test]
fn a_replica_that_is_killed_leaves_the_set_and_is_missed() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape { replicas: 2, frontends: 1, ..Shape::default() });
    let master = cluster.master.url().to_owned();
    let seen = || scrape(&master);
    let scraped = seen();
    assert_eq!(scraped.value("bazar_in_sync_replicas"), 2.0);
    assert_eq!((scraped.value("bazar_known_replicas"), scraped.value("bazar_linked_replicas")), (2.0, 2.0));
    assert_eq!(scraped.value("bazar_master_state{state=\"leads\"}"), 1.0);
    let entered = scraped.value("bazar_in_sync_entered_total");
    let gone = cluster.replicas[0].url().trim_start_matches("http://").to_owned();
    assert_eq!(scraped.value(&format!("bazar_replica_in_sync{{replica=\"{gone}\"}}")), 1.0);
    cluster.replicas[0].kill();
    cluster.client(0).buy(9).ok();
    wait_until("it has left", || seen().value("bazar_in_sync_replicas") == 1.0);
    let scraped = seen();
    assert_eq!(scraped.sum("bazar_in_sync_left_total", &[]), 1.0);
    assert_eq!(scraped.value("bazar_known_replicas"), 2.0, "it should be there");
    assert!(!scraped.has(&format!("bazar_replica_in_sync{{replica=\"{gone}\"}}")), "no series outlives it");
    cluster.replicas[0].restart();
    cluster.in_sync(2);
    let scraped = seen();
    assert_eq!(scraped.value("bazar_in_sync_entered_total"), entered + 1.0);
    let lag = |unit: &str| scraped.sum(&format!("bazar_replica_lag_{unit}"), &[]);
    assert_eq!((lag("records"), lag("seconds")), (0.0, 0.0));
}

#[test]
fn a_replica_that_stands_still_falls_behind_by_records_and_seconds() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let (master, replica) = (cluster.master.url(), &cluster.replicas[0]);
    let name = replica.url().trim_start_matches("http://");
    let lag = |scraped: &Scrape, unit: &str| {
        scraped.sum(&format!("bazar_replica_lag_{unit}"), &[&format!("replica=\"{name}\"")])
    };
    replica.pause();
    let client = cluster.client(0);
    let buying = std::thread::spawn(move || drop(client.buy(9)));
    let mut seconds = 0.0;
    wait_until("it lacks a record for a while, or is taken for lost", || {
        let scraped = scrape(master);
        seconds = f64::max(seconds, lag(&scraped, "seconds"));
        (lag(&scraped, "records") >= 1.0 && seconds > 0.05) || scraped.value("bazar_linked_replicas") == 0.0
    });
    assert!(seconds > 0.0, "it was never seen to lack anything");
    replica.resume();
    buying.join().unwrap();
    cluster.in_sync(1);
    let position = |url: &str| scrape(url).value("bazar_log_seq");
    wait_until("both end at one place", || position(master) == position(replica.url()));
    assert_eq!(scrape(replica.url()).value("bazar_is_master"), 0.0);
    assert_eq!(scrape(replica.url()).value("bazar_replica_following"), 1.0);
}

#[test]
fn what_is_sold_is_counted_until_nothing_is_left() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, admin: Some(ADMIN), ..Shape::default() });
    let (client, master) = (cluster.client(0), cluster.master.url());
    assert_eq!(scrape(master).value("bazar_books_out_of_stock"), 0.0);
    // Five copies, at 30 $.
    for _ in 0..5 {
        client.buy(4).ok();
    }
    client.buy(4).problem(409, "out_of_stock");
    client.buy_with_key(9, "once").ok();
    client.buy_with_key(9, "once").ok();
    let scraped = scrape(master);
    assert_eq!(scraped.value("bazar_orders_total"), 6.0);
    assert_eq!(scraped.value("bazar_books_sold_total"), 6.0);
    assert_eq!(scraped.value("bazar_revenue_dollars_total"), 5.0 * 30.0 + 28.0);
    assert_eq!(scraped.value("bazar_stock_outs_total"), 1.0);
    assert_eq!(scraped.value("bazar_books_out_of_stock"), 1.0);
    for (outcome, count) in [("bought", 6.0), ("out_of_stock", 1.0), ("replayed", 1.0), ("underpaid", 0.0)] {
        assert_eq!(
            scraped.value(&format!("bazar_decided_total{{outcome=\"{outcome}\"}}")),
            count,
            "{outcome}"
        );
        let told = format!("bazar_purchases_total{{outcome=\"{outcome}\"}}");
        assert_eq!(scrape(internal(&cluster.frontends[0])).value(&told), count, "{outcome}");
    }
    cluster.set_stock(4, 3);
    let scraped = scrape(master);
    assert_eq!(scraped.value("bazar_books_out_of_stock"), 0.0);
    assert_eq!(scraped.value("bazar_decided_total{outcome=\"edited\"}"), 1.0);
    cluster.set_stock(4, 0);
    assert_eq!(scrape(master).value("bazar_books_out_of_stock"), 1.0);
    assert_eq!(scrape(master).value("bazar_stock_outs_total"), 2.0);
}

#[test]
fn how_many_books_are_out_of_stock_is_known_again_after_a_restart() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { frontends: 0, orders: 0, ..Shape::default() });
    cluster.set_stock(4, 0);
    cluster.set_stock(5, 0);
    cluster.master.stop();
    cluster.master.restart();
    assert_eq!(scrape(cluster.master.url()).value("bazar_books_out_of_stock"), 2.0);
    assert_eq!(scrape(cluster.master.url()).value("bazar_stock_outs_total"), 0.0);
}

#[test]
fn a_frontend_that_hangs_misses_a_fence_and_its_lease_lapses() {
    let _alone = alone();
    let cluster = Cluster::start(Shape::default());
    let master = cluster.master.url();
    let hangs = &cluster.frontends[1];
    let name = internal(hangs).trim_start_matches("http://");
    let holder = format!("holder=\"{name}\"");
    cluster.client(0).buy(9).ok();
    let scraped = scrape(master);
    assert_eq!(scraped.value("bazar_lease_holders"), 2.0);
    assert_eq!(scraped.sum("bazar_holder_fence_duration_seconds_count", &[&holder]), 1.0);
    assert_eq!(scraped.sum("bazar_holder_fence_misses_total", &[&holder]), 0.0);
    assert!(scraped.sum("bazar_holder_lease_remaining_seconds", &[&holder]) > 0.0);
    let lapsed = "bazar_fences_total{outcome=\"lapsed\"}";
    assert_eq!(
        (scraped.value("bazar_fences_total{outcome=\"acknowledged\"}"), scraped.value(lapsed)),
        (1.0, 0.0)
    );
    hangs.pause();
    let client = cluster.client(0);
    let buying = std::thread::spawn(move || client.buy(9).ok());
    wait_until("the fence is seen to be out", || scrape(master).value("bazar_fence_under_way_seconds") > 0.0);
    buying.join().unwrap();
    let scraped = scrape(master);
    assert_eq!(scraped.value("bazar_lease_lapses_total"), 1.0);
    assert_eq!((scraped.value(lapsed), scraped.value("bazar_lease_holders")), (1.0, 1.0));
    assert_eq!(scraped.sum("bazar_holder_fence_misses_total", &[&holder]), 1.0);
    assert_eq!(scraped.value("bazar_fence_under_way_seconds"), 0.0);
    assert!(scraped.value("bazar_lease_back_offs") >= 1.0);
    hangs.resume();
    wait_until("it has another lease", || scrape(master).value("bazar_lease_holders") == 2.0);
    assert!(scrape(internal(hangs)).value("bazar_lease_gaps_total") >= 1.0);
}

#[test]
fn a_frontend_that_stops_gives_its_lease_back_and_that_is_no_lapse() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape::default());
    cluster.frontends[1].stop();
    let scraped = scrape(cluster.master.url());
    assert_eq!(scraped.value("bazar_lease_holders"), 1.0);
    assert_eq!(scraped.value("bazar_lease_releases_total"), 1.0);
    assert_eq!(scraped.value("bazar_lease_lapses_total"), 0.0);
}

#[test]
fn a_verification_says_when_all_was_equal_last() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, orders: 0, ..Shape::default() });
    let master = cluster.master.url();
    let last = "bazar_verify_last_success_timestamp_seconds";
    assert_eq!(scrape(master).value(last), 0.0);
    let args = ["catalog", "verify", "--master", master];
    assert_eq!(run(&args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]).code, Some(0));
    let scraped = scrape(master);
    assert_eq!(scraped.value("bazar_verify_runs_total{outcome=\"equal\"}"), 1.0);
    let started = scraped.value("process_start_time_seconds");
    assert!(scraped.value(last) >= started, "{} {started}", scraped.value(last));
}

#[test]
fn answers_that_may_be_stale_are_told_apart_by_who_wanted_them() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let (client, url) = (cluster.client(0), internal(&cluster.frontends[0]).to_owned());
    let stale = |asked: &str| scrape(&url).value(&format!("bazar_stale_answers_total{{asked=\"{asked}\"}}"));
    assert_eq!((stale("yes"), stale("no")), (0.0, 0.0));
    cluster.master.kill();
    wait_until("the frontend does without the master", || client.info(9).says_stale());
    assert!(stale("no") >= 1.0 && stale("yes") == 0.0);
    let before = stale("no");
    let answer = client.send("GET", "/info/9", &[("bazar-consistency", "stale")], None).unwrap().ok();
    assert!(answer.says_stale());
    assert_eq!((stale("yes"), stale("no")), (1.0, before));
    wait_until("the node is known to be dead", || {
        scrape(&url).value("bazar_pool_nodes{pool=\"catalog\",state=\"dead\"}") == 1.0
    });
    assert_eq!(scrape(&url).value("bazar_pool_deaths_total{pool=\"catalog\"}"), 1.0);
}

#[test]
fn whatever_somebody_else_has_put_into_redis_is_counted_as_foreign() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { redis: true, frontends: 1, ..Shape::default() });
    let (client, url) = (cluster.client(0), internal(&cluster.frontends[0]));
    let redis = cluster.redis.as_ref().unwrap();
    redis.set("info:9", b"something else");
    client.info(9).ok();
    let lookups = |outcome: &str| {
        scrape(url).value(&format!("bazar_cache_lookups_total{{level=\"redis\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!(lookups("foreign"), 1.0);
    client.info(8).ok();
    assert!(lookups("absent") >= 1.0);
    assert_eq!(scrape(url).value("bazar_redis_connected"), 1.0);
    let asked = scrape(url)
        .sum("bazar_redis_request_duration_seconds_count", &["operation=\"get\"", "outcome=\"ok\""]);
    assert!(asked >= 2.0);
}

#[test]
fn calls_between_roles_are_counted_by_what_the_other_is() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    cluster.client(0).buy(9).ok();
    let calls = |url: &str, labels: &[&str]| {
        scrape(url).sum("bazar_peer_request_duration_seconds_count", &[&["outcome=\"ok\""], labels].concat())
    };
    let [(_, frontend), (_, order), (_, master), (_, replica)] = roles(&cluster);
    for (url, peer, route) in [
        (frontend, "order", "/purchases"),
        (frontend, "master", "/leases"),
        (frontend, "catalog", "/healthz"),
        (order, "master", "/purchases"),
        (master, "frontend", "/cache/invalidate"),
        (master, "frontend", "/holder"),
        (master, "replica", "/sync-write"),
        (replica, "master", "/replicas"),
    ] {
        let (peer_is, route_is) = (format!("peer=\"{peer}\""), format!("route=\"{route}\""));
        wait_until(route, || calls(url, &[&peer_is, &route_is]) >= 1.0);
    }
    assert_eq!(scrape(order).value("bazar_peer_requests_in_flight{peer=\"master\"}"), 0.0);
}

#[test]
fn a_store_in_one_process_serves_each_role_s_own_metrics_and_says_where() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let store = Process::start(dir.path(), "up", &args, &[("BAZAR_METRICS_TOKEN", METRICS_TOKEN)]);
    let client = Client::new(store.url());
    client.buy(9).ok();
    let log = store.log();
    let urls: Vec<&str> =
        log.lines().filter_map(|line| line.split("ready at ").nth(1)).map(str::trim).collect();
    let mut found = BTreeSet::new();
    for url in urls.iter().filter(|url| **url != store.url() && url.starts_with("http")) {
        let scraped = scrape(url);
        let roles = scraped.values_of("role");
        found.insert((*roles.first().unwrap()).to_owned());
        scraped.is_clean();
    }
    assert_eq!(found, BTreeSet::from(["frontend", "master", "order", "replica"].map(str::to_owned)), "{log}");
    assert_eq!(client.send("GET", "/metrics", &[], None).unwrap().status, 404);
}
