//! Redis is shared by the frontends and never trusted: whatever it does costs speed and nothing else.

use crate::harness::{Client, Cluster, Process, RedisServer, Shape, TOKEN, alone, wait_until};
use std::time::{Duration, Instant};

/// No read may take longer, whatever Redis does. (A request waits 50 ms for it.)
const DEADLINE: Duration = Duration::from_secs(2);

/// Enough to buy until something else happens.
const STOCK: i64 = 1_000_000;

const WITH_REDIS: Shape = Shape {
    replicas: 1,
    orders: 1,
    frontends: 2,
    redis: true,
    candidates: false,
    faulty_disks: false,
    admin: None,
    frontend_flags: &[],
    traces: None,
    log: "info,bazar=debug",
    log_format: "text",
};

#[test]
fn a_second_frontend_finds_in_redis_what_the_first_one_read() {
    let _alone = alone();
    let cluster = Cluster::start(WITH_REDIS);
    let redis = cluster.redis.as_ref().unwrap();
    let clients = cluster.clients();
    assert!(!clients[0].info(9).ok().cached());
    assert!(!clients[0].search("education").ok().cached());
    redis.has("info:9");
    redis.has("search:education");
    for (key, ttl) in [("info:9", 1800), ("search:education", 3600)] {
        let left: u64 =
            String::from_utf8(redis.ask(&[b"TTL", key.as_bytes()]).unwrap()).unwrap().parse().unwrap();
        assert!((ttl - 60..=ttl).contains(&left), "{key} lives {left} s");
    }
    assert!(clients[1].info(9).ok().cached());
    assert!(clients[1].search("education").ok().cached());
    let log = cluster.frontends[1].log();
    for key in ["info:9", "search:education"] {
        let line = log.lines().find(|line| line.contains(&format!("cache HIT {key} ")));
        assert!(line.is_some_and(|line| line.contains("from redis")), "{line:?}");
    }
}

#[test]
fn what_no_frontend_wrote_and_what_is_old_is_not_served() {
    let _alone = alone();
    let cluster = Cluster::start(WITH_REDIS);
    let redis = cluster.redis.as_ref().unwrap();
    let clients = cluster.clients();
    let keys = ["info:9", "search:education"];
    read(&clients[0], 15);
    keys.iter().for_each(|key| redis.has(key));
    let old = keys.map(|key| redis.get(key).unwrap());

    // Old entries of this very store, put back after a purchase, before anybody has read the new state.
    clients[0].buy(9).ok();
    for (key, old) in keys.iter().zip(&old) {
        redis.set(key, old);
    }
    clients.iter().for_each(|client| read(client, 14));

    // Old ones of one key under the other, and each of them cut or changed.
    clients[0].buy(9).ok();
    redis.set(keys[0], &old[1]);
    redis.set(keys[1], &old[0]);
    clients.iter().for_each(|client| read(client, 13));
    clients[0].buy(9).ok();
    for (key, old) in keys.iter().zip(&old) {
        redis.set(key, &old[..old.len() / 2]);
    }
    clients.iter().for_each(|client| read(client, 12));

    // What others put there.
    let forged = br#"{"id":9,"bookTitle":"x","bookTopic":"education","numberOfItems":99,"bookCost":1}"#;
    clients[0].buy(9).ok();
    keys.iter().for_each(|key| redis.set(key, forged));
    clients.iter().for_each(|client| read(client, 11));
    clients[0].buy(9).ok();
    keys.iter().for_each(|key| redis.set(key, &[0xff; 4096]));
    clients.iter().for_each(|client| read(client, 10));
    clients[0].buy(9).ok();
    for key in keys {
        redis.ask(&[b"DEL", key.as_bytes()]);
        redis.ask(&[b"RPUSH", key.as_bytes(), b"a", b"list"]);
    }
    clients.iter().for_each(|client| read(client, 9));
    clients[0].buy(9).ok();
    redis.ask(&[b"FLUSHALL"]);
    clients.iter().for_each(|client| read(client, 8));

    // After all that it is still of use.
    cluster.set_stock(9, STOCK);
    wait_until("a frontend finds something in Redis again", || {
        clients[0].buy(9).ok();
        clients[0].info(9).ok();
        redis.has("info:9");
        clients[1].info(9).ok().cached()
    });
    for frontend in &cluster.frontends {
        complains_at_most_once(frontend);
    }
}

#[test]
fn a_redis_that_comes_and_goes_costs_speed_and_one_line_in_the_log() {
    let _alone = alone();
    let mut cluster = Cluster::start(WITH_REDIS);
    let clients = cluster.clients();
    let mut left = STOCK;
    cluster.set_stock(9, STOCK);
    let mut sell = || {
        clients[0].buy(9).ok();
        left -= 1;
        clients.iter().for_each(|client| read(client, left));
    };
    sell();
    for _ in 0..2 {
        cluster.redis.as_mut().unwrap().pause();
        sell();
        sell();
        cluster.redis.as_mut().unwrap().resume();
        cluster.settled();
        sell();
        cluster.redis.as_mut().unwrap().kill();
        sell();
        sell();
        cluster.redis.as_mut().unwrap().restart();
        cluster.settled();
        sell();
    }
    // One that takes nothing more.
    cluster.redis.as_ref().unwrap().ask(&[b"CONFIG", b"SET", b"maxmemory", b"1"]);
    sell();
    sell();
    for frontend in &cluster.frontends {
        complains_at_most_once(frontend);
    }
    // One that hangs when a frontend starts.
    cluster.redis.as_ref().unwrap().pause();
    cluster.frontends[0].stop();
    cluster.frontends[0].restart();
    sell();
}

#[test]
fn a_redis_that_was_never_there_is_used_as_soon_as_it_comes() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 0, ..WITH_REDIS });
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::absent(dir.path());
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
    let url = redis.url();
    let args =
        [&args[..], &["--master", cluster.master.url(), "--order", cluster.orders[0].url(), "--redis", &url]];
    let frontend = Process::start(dir.path(), "frontend", &args.concat(), &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    let client = Client::new(frontend.url());
    cluster.set_stock(10, STOCK);
    read(&client, 15);
    client.buy(9).ok();
    read(&client, 14);
    wait_until("it is said that Redis is not there", || frontend.log().contains("Redis"));
    redis.restart();
    wait_until("Redis is used", || {
        client.buy(10).ok();
        client.info(10).ok();
        redis.get("info:10").is_some()
    });
    complains_at_most_once(&frontend);
}

/// Everything that shows book 9 shows this count, in time.
#[track_caller]
fn read(client: &Client, stock: i64) {
    for _ in 0..2 {
        let begun = Instant::now();
        let counts = (client.info(9).ok().stock(9), client.search("education").ok().stock(9));
        assert_eq!(counts, (stock, stock));
        assert!(begun.elapsed() < DEADLINE, "took {:?}", begun.elapsed());
    }
}

/// The tests here take less than a minute.
#[track_caller]
fn complains_at_most_once(frontend: &Process) {
    let log = frontend.log();
    let complaints: Vec<_> =
        log.lines().filter(|line| line.contains(" WARN ") && line.contains("Redis")).collect();
    assert!(complaints.len() <= 1, "{complaints:#?}");
}
