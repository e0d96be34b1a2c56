//! Levels per request: who asks for less gets it faster, who asks for more gets it or a refusal, and what
//! one frontend sold can be read at once through every other one.

use crate::harness::{Answer, Client, Cluster, Shape, alone, in_company, median, wait_until};
use std::time::Duration;

const STALE: (&str, &str) = ("bazar-consistency", "stale");
const LINEARIZABLE: (&str, &str) = ("bazar-consistency", "linearizable");

/// A read that waits for a master that hangs takes at least half a second.
const WITHOUT_WAITING: Duration = Duration::from_millis(400);

const READS: [&str; 4] = ["/info/9", "/search/education", "/topics", "/info/999"];

#[test]
fn a_header_that_is_not_understood_is_refused() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let order = client.buy(9).ok().json()["orderId"].as_str().unwrap().to_owned();
    let order = format!("/order-service/orders/{order}");
    for path in READS.into_iter().chain([order.as_str()]) {
        for (name, value) in [
            ("bazar-consistency", "fresh"),
            ("bazar-consistency", ""),
            ("bazar-min-version", "1"),
            ("bazar-min-version", "1.x"),
            ("bazar-min-version", "+1.2"),
            ("bazar-min-version", "01.2"),
            ("bazar-min-version", "1.99999999999999999999"),
        ] {
            let sentence = get(&client, path, &[(name, value)]).problem(400, "invalid_request");
            assert!(sentence.to_lowercase().contains(name), "{sentence}");
        }
        get(&client, path, &[STALE, LINEARIZABLE]).problem(400, "invalid_request");
        for level in
            [STALE, LINEARIZABLE, ("bazar-consistency", "STALE"), ("bazar-consistency", "Linearizable")]
        {
            let answer = get(&client, path, &[level, level]);
            assert!(answer.status == 200 || path == "/info/999", "{}", answer.text());
            assert!(!answer.says_stale());
        }
    }
}

#[test]
fn what_was_bought_through_one_frontend_is_read_through_the_other_by_its_version() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let clients = cluster.clients();
    for left in (5..15).rev() {
        let version = clients[0].buy(9).ok().header("bazar-version").to_owned();
        for level in [STALE, LINEARIZABLE] {
            let answer = get(&clients[1], "/info/9", &[level, ("bazar-min-version", &version)]).ok();
            assert_eq!(answer.stock(9), left);
            assert_eq!(answer.header("bazar-version"), version);
            assert!(!answer.says_stale());
        }
    }
}

#[test]
fn a_hit_answers_for_every_version_announced_and_names_it() {
    let _alone = alone();
    let cluster = Cluster::start(Shape::default());
    let client = cluster.client(0);
    wait_until("the answer is cached", || client.info(1).ok().cached());
    let before = client.info(1).version();
    let bought = client.buy(9).ok();
    // Book 1 has not changed since: its entry shows the new version, too, without asking anybody.
    let newest = bought.header("bazar-version");
    let answer = get(&client, "/info/1", &[("bazar-min-version", newest)]).ok();
    assert!(answer.cached());
    assert_eq!(answer.header("bazar-version"), newest);
    assert_eq!(client.info(1).version(), before);
    // An older one is reached as well, and names what it shows.
    let answer = get(&client, "/info/1", &[("bazar-min-version", "1.1")]).ok();
    assert!(answer.cached() && answer.version() == before);
}

#[test]
fn a_version_that_this_store_cannot_have_is_refused() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape::default());
    let client = cluster.client(0);
    let (epoch, end) = client.buy(9).ok().version();
    cluster.master.kill();
    cluster.master.restart();
    cluster.settled();
    let (later, now) = client.buy(9).ok().version();
    assert!(later > epoch && now > end);
    wait_until("the answer is cached", || client.info(9).ok().cached());
    let with =
        |path: &str, version: String, level| get(&client, path, &[level, ("bazar-min-version", &version)]);
    for level in [STALE, LINEARIZABLE] {
        for path in READS {
            for gone in [
                format!("{later}.{}", now + 1),
                format!("{}.1", later + 1),
                // The old epoch never came so far.
                format!("{epoch}.{now}"),
                format!("{epoch}.{}", end + 1),
                "0.1".to_owned(),
            ] {
                with(path, gone, level).problem(412, "version_unavailable");
            }
            for known in ["0.0".to_owned(), format!("{epoch}.{end}"), format!("{later}.{now}")] {
                let answer = with(path, known, level);
                assert!(answer.status == 200 || path == "/info/999", "{}", answer.text());
                assert!(!answer.says_stale());
            }
        }
        // Said once, it is remembered: a hit stays a hit.
        assert!(with("/info/9", format!("{epoch}.{end}"), level).ok().cached());
    }
}

#[test]
fn without_the_master_each_level_gets_what_it_asked_for() {
    let _alone = alone();
    let mut cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    let bought = client.buy(9).ok();
    let order = format!("/orders/{}", bought.json()["orderId"].as_str().unwrap());
    let version = bought.header("bazar-version").to_owned();
    wait_until("the answer is cached", || client.info(9).ok().cached());
    cluster.master.kill();
    wait_until("the lease is over", || client.info(9).says_stale());
    let (epoch, end) = bought.version();
    for path in READS {
        for level in [None, Some(STALE)] {
            let answer = get(&client, path, level.as_slice());
            assert!(answer.status == 200 || path == "/info/999", "{}", answer.text());
            assert!(answer.says_stale());
            for reached in ["0.0", version.as_str()] {
                let headers = [level.as_slice(), &[("bazar-min-version", reached)]].concat();
                let answer = get(&client, path, &headers);
                assert!(answer.status == 200 || path == "/info/999", "{}", answer.text());
                assert!(answer.says_stale());
            }
            // It may exist: nobody is there who could say.
            for unknown in [format!("{epoch}.{}", end + 1), format!("{}.0", epoch + 1)] {
                let headers = [level.as_slice(), &[("bazar-min-version", &unknown)]].concat();
                unavailable(&get(&client, path, &headers));
            }
        }
        unavailable(&get(&client, path, &[LINEARIZABLE]));
        unavailable(&get(&client, path, &[LINEARIZABLE, ("bazar-min-version", &version)]));
    }
    // An order never changes: whoever has it is right, at every level.
    for headers in [&[][..], &[STALE], &[LINEARIZABLE], &[("bazar-min-version", &version)]] {
        let found = get(&client, &order, headers).ok();
        assert!(found.version() >= bought.version());
    }
    unavailable(&get(&client, "/orders/0123456789abcdef0123456789abcdef", &[STALE]));

    cluster.master.restart();
    cluster.settled();
    // What the new master has sold is read by its version, and so is what the old one had.
    let newer = client.buy(9).ok().header("bazar-version").to_owned();
    for known in [&version, &newer] {
        let answer = get(&client, "/info/9", &[LINEARIZABLE, ("bazar-min-version", known)]).ok();
        assert_eq!((answer.stock(9), answer.says_stale()), (13, false));
    }
}

#[test]
fn who_asked_for_less_does_not_wait_for_a_master_that_hangs() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    client.buy(9).ok();
    cluster.master.pause();
    wait_until("the lease is over", || client.info(1).says_stale());
    // In memory or not: the replica is nearer than the master.
    let took = median([9, 2, 3, 4, 5].map(|book| {
        let answer = get(&client, &format!("/info/{book}"), &[STALE]).ok();
        assert!(answer.says_stale());
        answer.took
    }));
    assert!(took < WITHOUT_WAITING, "took {took:?}");
    cluster.master.resume();
    cluster.settled();
}

#[test]
fn a_stale_read_that_happens_to_be_fresh_says_nothing_of_staleness() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, redis: true, ..Shape::default() });
    let client = cluster.client(0);
    let first = get(&client, "/info/9", &[STALE]).ok();
    assert!(!first.cached() && !first.says_stale());
    assert_eq!(first.header("x-cache"), "MISS");
    // It is kept like any other.
    let second = get(&client, "/info/9", &[STALE]).ok();
    assert!(second.cached() && !second.says_stale());
    assert!(client.info(9).ok().cached());
}

#[test]
fn an_entry_below_its_floor_is_given_to_who_asks_for_the_nearest_and_to_nobody_else() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    wait_until("the answer is cached", || client.info(9).ok().cached());
    let bought = client.buy(9).ok();
    let nearest = get(&client, "/info/9", &[STALE]).ok();
    assert_eq!((nearest.stock(9), nearest.says_stale(), nearest.cached()), (15, true, true));
    // Its own purchase it reads all the same, if it names it.
    let own = get(&client, "/info/9", &[STALE, ("bazar-min-version", bought.header("bazar-version"))]).ok();
    assert_eq!((own.stock(9), own.says_stale()), (14, false));
    assert_eq!(client.info(9).ok().stock(9), 14);
}

fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    client.send("GET", path, headers, None).unwrap()
}

#[track_caller]
fn unavailable(answer: &Answer) {
    answer.problem(503, "unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert!(!answer.says_stale());
}
