//! Nodes that hang or are slow: customers are served by the others, under each policy, and nothing that they are
//! told is wrong; who is well again returns. And a shop that is warm before it opens.

use crate::harness::{
    Client, Cluster, Gate, Process, Shape, SlowLink, TOKEN, alone, in_company, start_nodes, wait_until,
};
use std::time::{Duration, Instant};

const POLICIES: [&str; 3] = ["round-robin", "least-connections", "p2c"];
const BOOK: i64 = 9;
const STOCK: i64 = 10_000;
const SLOW: Duration = Duration::from_millis(20);

/// What a frontend gives a node for a read. Who is sent to a node that hangs waits for so long at least.
const ATTEMPT: Duration = Duration::from_millis(500);

/// A frontend with nothing in its own memory, so that each read goes to a node.
fn frontend(cluster: &Cluster, policy: &str, replicas: &[&str], orders: &[&str]) -> Process {
    let (replicas, orders) = (replicas.join(","), orders.join(","));
    let args =
        ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--balance", policy];
    let nodes = ["--master", cluster.master.url(), "--replica", &replicas, "--order", &orders];
    let env = [("BAZAR_INTERNAL_TOKEN", TOKEN), ("RUST_LOG", "info"), ("BAZAR_TEST_NO_LOCAL_CACHE", "1")];
    let frontend = Process::start(cluster.dir(), "frontend", &[&args[..], &nodes].concat(), &env);
    let client = Client::new(frontend.url());
    wait_until("the frontend has its lease", || client.get("/readyz").text().contains("lease: held"));
    frontend
}

fn says(client: &Client, line: &str) -> bool {
    client.get("/readyz").text().contains(line)
}

/// Buys and looks in turn. Each purchase succeeds, and no read is older than the last. Returns what each call
/// took.
fn shop(url: &str, calls: usize) -> Vec<Duration> {
    let client = Client::new(url);
    let mut left = STOCK;
    let mut took = Vec::new();
    for _ in 0..calls {
        let bought = client.buy(BOOK).ok();
        let remaining = bought.json()["remaining"].as_i64().unwrap();
        assert!(remaining < left, "{remaining} after {left}");
        let read = client.info(BOOK).ok();
        left = read.json()["numberOfItems"].as_i64().unwrap();
        assert!(left <= remaining && !read.says_stale(), "{left} after {remaining}");
        took.extend([bought.took, read.took]);
    }
    took
}

/// Four customers at once. Returns how many books they bought, and what nine of ten calls took at most.
fn customers(url: &str, calls: usize) -> (usize, Duration) {
    std::thread::scope(|scope| {
        let customers: Vec<_> = (0..4).map(|_| scope.spawn(|| shop(url, calls))).collect();
        let took = customers.into_iter().flat_map(|customer| customer.join().unwrap());
        let mut took: Vec<Duration> = took.collect();
        took.sort();
        (took.len() / 2, took[took.len() * 9 / 10])
    })
}

#[test]
fn with_one_node_that_hangs_and_one_that_is_slow_customers_are_served_under_each_policy() {
    let _alone = alone();
    for policy in POLICIES {
        let cluster = Cluster::start(Shape { replicas: 2, orders: 3, frontends: 0, ..Shape::default() });
        cluster.set_stock(BOOK, STOCK);
        let slow = SlowLink::before(cluster.replicas[1].url(), SLOW);
        let slow_order = SlowLink::before(cluster.orders[2].url(), SLOW);
        let replicas = [cluster.replicas[0].url(), slow.url()];
        let orders = [cluster.orders[0].url(), cluster.orders[1].url(), slow_order.url()];
        let frontend = frontend(&cluster, policy, &replicas, &orders);
        let client = Client::new(frontend.url());
        let (mut sold, _) = customers(frontend.url(), 5);
        let (replica, order) = (&cluster.replicas[0], &cluster.orders[0]);
        replica.pause();
        order.pause();
        sold += customers(frontend.url(), 5).0;
        // Those that are slow may be out as well: at most half of those that live.
        wait_until("those that hang are out", || {
            let ready = client.get("/readyz").text();
            let well = |nodes| (1..=2).any(|well| ready.contains(&format!("{nodes}: {well} of 3")));
            well("catalog") && well("order")
        });
        let (more, took) = customers(frontend.url(), 15);
        sold += more;
        // A third of the calls would go to them.
        assert!(took < ATTEMPT, "{took:?}");
        replica.resume();
        order.resume();
        sold += customers(frontend.url(), 5).0;
        let left = client.info(BOOK).ok().json()["numberOfItems"].as_i64().unwrap();
        assert_eq!(left, STOCK - i64::try_from(sold).unwrap(), "{policy}");
        drop(frontend);
        let rows = cluster.stop_and_compare();
        assert_eq!(rows["orders"].len(), sold, "{policy}");
    }
}

#[test]
fn a_replica_that_is_slow_beside_its_peers_is_sent_away_and_returns_when_it_is_not() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { replicas: 2, frontends: 0, ..Shape::default() });
    // So slow that a busy machine does not hide it, and less than half of what a probe may take: the first request to
    // a node is signed twice.
    let slow = SlowLink::before(cluster.replicas[1].url(), SLOW * 5);
    let frontend = frontend(
        &cluster,
        "round-robin",
        &[cluster.replicas[0].url(), slow.url()],
        &[cluster.orders[0].url()],
    );
    let client = Client::new(frontend.url());
    let reads = || (1..=11).for_each(|book| drop(client.info(book).ok()));
    // It was sent away in the last of these rounds, or right before it.
    let mut begun = Instant::now();
    wait_until("the slow one is out", || {
        begun = Instant::now();
        reads();
        says(&client, "catalog: 2 of 3")
    });
    assert!(frontend.log().contains("far longer than its peers"), "{}", frontend.log());
    slow.delays(Duration::ZERO);
    wait_until("it is back", || {
        reads();
        says(&client, "catalog: 3 of 3")
    });
    assert!(begun.elapsed() > Duration::from_secs(4), "it was out for five seconds");
}

#[test]
fn a_shop_that_is_to_be_warm_says_that_it_is_not_ready_before_and_its_first_answers_are_hits() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, ..Shape::default() });
    // Without a lease nothing can be kept, and a join is a POST.
    let gate = Gate::before(cluster.master.url());
    let frontend = warm_frontend(&cluster, "warm", gate.url(), "all");
    let client = Client::new(frontend.url());
    gate.holds_one();
    let before = client.get("/readyz");
    assert_eq!(before.status, 503, "{}", before.text());
    assert!(before.text().contains("cache: warming, 0 pages"), "{}", before.text());
    gate.open();
    wait_until("it is ready", || client.get("/readyz").status == 200);
    assert!(!says(&client, "warming"));
    assert!(client.get("/catalog-service/topics").ok().cached());
    for topic in ["education", "fiction", "history", "nature", "programming", "science"] {
        assert!(client.search(topic).ok().cached(), "{topic}");
    }
    let named = warm_frontend(&cluster, "named", cluster.master.url(), "education,fiction");
    let client = Client::new(named.url());
    wait_until("it is ready", || client.get("/readyz").status == 200);
    assert!(client.search("education").ok().cached() && client.search("fiction").ok().cached());
    assert!(!client.search("history").ok().cached());
}

#[test]
fn a_shop_that_cannot_be_warmed_opens_all_the_same() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, ..Shape::default() });
    let gate = Gate::before(cluster.master.url());
    let frontend = warm_frontend(&cluster, "cold", gate.url(), "all");
    let client = Client::new(frontend.url());
    gate.holds_one();
    wait_until("it opens", || client.get("/readyz").status == 200);
    assert!(frontend.log().contains("the shop opens with a cache half warm"), "{}", frontend.log());
    client.info(BOOK).ok();
}

fn warm_frontend(cluster: &Cluster, name: &str, master: &str, warm: &str) -> Process {
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--warm", warm];
    let nodes = ["--master", master, "--replica", cluster.replicas[0].url()];
    let orders = ["--order", cluster.orders[0].url()];
    start_nodes(cluster.dir(), name, &[&args[..], &nodes, &orders].concat())
}

#[test]
fn a_whole_store_is_warm_when_it_says_that_it_is_ready() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--warm", "all"];
    let store = start_nodes(dir.path(), "up", &[&args[..], &["--balance", "p2c"]].concat());
    assert!(Client::new(store.url()).search("education").ok().cached());
}
