//! `--unsafe-coherence`: each well-known recipe shows an old count where the store's own protocol, in the
//! same scenario, does not; and a store that runs one says so everywhere.

use crate::harness::{
    Client, Gate, NOBODY, Process, RedisServer, TOKEN, alone, in_company, run, start_nodes, wait_until,
};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RECIPES: [&str; 4] = ["ttl", "delete-then-write", "write-then-delete", "none"];

const STOCK: i64 = 15;

/// A master with an order node. Its lease is long, so that a fence can be held back for a while.
struct Shop {
    recipe: Option<&'static str>,
    master: Process,
    order: Process,
    /// Last, so that what the others wrote is there when they say why they failed.
    dir: TempDir,
}

impl Shop {
    fn start(recipe: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("master-data");
        let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let args = [&args[..], &["--lease", "5s"], &flag(recipe)].concat();
        let master = start_nodes(dir.path(), "master", &args);
        let args = ["order", "--listen", "127.0.0.1:0", "--master", master.url()];
        let order = start_nodes(dir.path(), "order", &args);
        Self { dir, recipe, master, order }
    }

    fn frontend(&self, name: &str, more: &[&str]) -> Process {
        let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
        let nodes = ["--master", self.master.url(), "--order", self.order.url()];
        let args = [&args[..], &nodes, &flag(self.recipe), more].concat();
        let frontend = start_nodes(self.dir.path(), name, &args);
        let client = Client::new(frontend.url());
        wait_until("a frontend has its lease", || client.get("/readyz").text().contains("lease: held"));
        frontend
    }

    /// One that the master reaches only through the gate that comes with it.
    fn gated_frontend(&self, name: &str) -> (Process, Gate) {
        // The gate wants to know its frontend's address, and the frontend its gate's.
        let internal = format!("127.0.0.1:{}", crate::harness::free_port());
        let gate = Gate::before(&format!("http://{internal}"));
        let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", internal.as_str()];
        let nodes = ["--master", self.master.url(), "--order", self.order.url(), "--advertise", gate.url()];
        let args = [&args[..], &nodes, &flag(self.recipe)].concat();
        let frontend = start_nodes(self.dir.path(), name, &args);
        let client = Client::new(frontend.url());
        wait_until("a frontend has its lease", || client.get("/readyz").text().contains("lease: held"));
        (frontend, gate)
    }
}

fn flag(recipe: Option<&'static str>) -> Vec<&'static str> {
    recipe.map_or_else(Vec::new, |recipe| vec!["--unsafe-coherence", recipe])
}

#[test]
fn a_recipe_is_refused_where_others_could_reach_it() {
    let token = [("BAZAR_INTERNAL_TOKEN", TOKEN)];
    let nodes = ["--master", NOBODY, "--order", NOBODY];
    let loopback = "127.0.0.1:0";
    let cases: [(&[&str], &str); 4] = [
        (&["up", "--listen", "0.0.0.0:0"], "--listen"),
        (&["catalog", "--master", "--data", "/nowhere"], "--listen"),
        (&["frontend", "--listen", "0.0.0.0:0", "--internal-listen", loopback], "--listen"),
        (&["frontend", "--listen", loopback, "--internal-listen", "[::]:0"], "--internal-listen"),
    ];
    for (args, named) in cases {
        for recipe in RECIPES {
            let more: &[&str] = if args[0] == "frontend" { &nodes } else { &[] };
            let finished = run(&[args, more, &["--unsafe-coherence", recipe]].concat(), &token);
            assert_eq!(finished.code, Some(2), "{args:?}: {}", finished.stderr);
            let said = format!("error: {named}: with --unsafe-coherence");
            assert!(finished.stderr.contains(&said), "{args:?}: {}", finished.stderr);
        }
    }
    let finished = run(&["up", "--listen", loopback, "--unsafe-coherence", "maybe"], &[]);
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("delete-then-write"), "{}", finished.stderr);
}

#[test]
fn a_store_that_runs_a_recipe_says_so_in_every_answer_in_its_log_and_when_asked_how_it_is() {
    let _company = in_company();
    for recipe in RECIPES {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let up = start_nodes(dir.path(), "up", &[&args[..], &["--unsafe-coherence", recipe]].concat());
        let client = Client::new(up.url());
        for path in
            ["/info/9", "/search/education", "/info/999", "/nothing", "/purchase", "/healthz", "/readyz"]
        {
            assert_eq!(client.get(path).header("bazar-unsafe-coherence"), recipe, "{path}");
        }
        assert_eq!(client.buy(9).ok().header("bazar-unsafe-coherence"), recipe);
        assert!(client.get("/readyz").text().contains(&format!("UNSAFE coherence: {recipe}")));
        let log = up.log();
        assert!(log.contains(&format!("UNSAFE: --unsafe-coherence {recipe}")), "{log}");
        for role in ["catalog master", "catalog replica"] {
            let node = Client::new(&up.url_of(role));
            for path in ["/readyz", "/books/9", "/nothing", "/healthz"] {
                assert_eq!(node.get(path).header("bazar-unsafe-coherence"), recipe, "{role} {path}");
            }
            assert_eq!(node.get("/readyz").json()["unsafe_coherence"], recipe);
        }
    }
}

#[test]
fn a_safe_store_says_nothing_of_recipes() {
    let _company = in_company();
    let shop = Shop::start(None);
    let frontend = shop.frontend("frontend", &[]);
    let client = Client::new(frontend.url());
    assert_eq!(client.info(9).ok().header("bazar-unsafe-coherence"), "");
    assert!(!client.get("/readyz").text().contains("UNSAFE"));
    assert_eq!(Client::new(shop.master.url()).get("/readyz").header("bazar-unsafe-coherence"), "");
    assert!(!frontend.log().contains("UNSAFE") && !shop.master.log().contains("UNSAFE"));
}

#[test]
fn a_safe_frontend_takes_no_lease_from_a_master_that_does_not_fence() {
    let _company = in_company();
    let shop = Shop::start(Some("ttl"));
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
    let nodes = ["--master", shop.master.url(), "--order", shop.order.url()];
    let frontend = start_nodes(shop.dir.path(), "frontend", &[&args[..], &nodes].concat());
    wait_until("it is told why", || frontend.log().contains("speaks coherence protocol"));
    let client = Client::new(frontend.url());
    for left in [14, 13] {
        client.buy(9).ok();
        let answer = client.info(9).ok();
        assert_eq!((answer.stock(9), answer.header("x-cache")), (left, "BYPASS"));
    }
}

#[test]
fn entries_with_a_time_to_live_show_an_old_count_until_it_is_over() {
    let _company = in_company();
    // How many there seem to be after one was sold.
    let seen = |recipe, ttl| {
        let shop = Shop::start(recipe);
        let frontend = shop.frontend("frontend", &["--info-ttl", ttl]);
        let client = Client::new(frontend.url());
        assert_eq!(client.info(9).ok().stock(9), STOCK);
        assert_eq!(client.buy(9).ok().json()["remaining"], STOCK - 1);
        let bought = Instant::now();
        // Longer than the short one of the two.
        wait_until("time passes", || bought.elapsed() > Duration::from_millis(50));
        client.info(9).ok().stock(9)
    };
    assert_eq!(seen(Some("ttl"), "1h"), STOCK);
    assert_eq!(seen(Some("ttl"), "10ms"), STOCK - 1);
    assert_eq!(seen(Some("none"), "10ms"), STOCK);
    assert_eq!(seen(None, "1h"), STOCK - 1);
}

#[test]
fn delete_then_write_lets_a_reader_put_the_old_count_back() {
    let _company = in_company();
    // What is shown after the purchase was acknowledged.
    let seen = |recipe| {
        let shop = Shop::start(recipe);
        let frontend = shop.frontend("frontend", &[]);
        let (_slow, gate) = shop.gated_frontend("slow-frontend");
        let (client, buyer) = (Client::new(frontend.url()), Client::new(frontend.url()));
        wait_until("the answer is cached", || client.info(9).ok().cached());
        std::thread::scope(|scope| {
            let purchase = scope.spawn(move || buyer.buy(9).ok());
            // The announcement has come here, and is on its way to the other one: nothing is committed.
            gate.holds_one();
            wait_until("the entry is given up", || {
                let answer = client.info(9).ok();
                assert_eq!(answer.stock(9), STOCK);
                !answer.cached()
            });
            gate.open();
            assert_eq!(purchase.join().unwrap().json()["remaining"], STOCK - 1);
        });
        client.info(9).ok().stock(9)
    };
    assert_eq!(seen(Some("delete-then-write")), STOCK);
    assert_eq!(seen(None), STOCK - 1);
}

#[test]
fn what_a_change_touches_is_deleted_in_memory_and_in_redis_and_nothing_else_is() {
    // Redis has 50 ms for each answer.
    let _alone = alone();
    for recipe in ["delete-then-write", "write-then-delete"] {
        let shop = Shop::start(Some(recipe));
        let redis = RedisServer::start(shop.dir.path());
        let url = redis.url();
        let frontend = shop.frontend("frontend", &["--redis", &url]);
        let client = Client::new(frontend.url());
        wait_until("Redis is used", || client.get("/readyz").text().contains("redis: connected"));
        let touched = [("/info/9", "info:9"), ("/search/education", "search:education")];
        let page = ("/search/education?limit=1", "search:education\nlimit=1&after=0");
        let others = [("/info/10", "info:10"), ("/search/fiction", "search:fiction"), ("/topics", "topics")];
        let all = || touched.iter().chain([&page]).chain(&others);
        for (path, name) in all() {
            assert!(!client.get(path).ok().cached());
            assert!(client.get(path).ok().cached());
            redis.has(name);
        }
        client.buy(9).ok();
        for (_, name) in touched.iter().chain([&page]) {
            assert!(redis.get(name).is_none(), "{recipe}: {name}");
        }
        for (path, name) in touched.iter().chain([&page]) {
            assert_eq!(client.get(path).ok().stock(9), STOCK - 1, "{recipe}: {name}");
        }
        for (path, name) in &others {
            assert!(redis.get(name).is_some() && client.get(path).ok().cached(), "{recipe}: {name}");
        }
    }
}

#[test]
fn write_then_delete_shows_the_new_count_and_then_the_old_one() {
    let _company = in_company();
    // What one frontend shows after another has shown the new count.
    let seen = |recipe| {
        let shop = Shop::start(recipe);
        let frontend = shop.frontend("frontend", &[]);
        let (slow, gate) = shop.gated_frontend("slow-frontend");
        let (client, buyer, slow) =
            (Client::new(frontend.url()), Client::new(frontend.url()), Client::new(slow.url()));
        for client in [&client, &slow] {
            wait_until("the answer is cached", || client.info(9).ok().cached());
        }
        std::thread::scope(|scope| {
            let purchase = scope.spawn(move || buyer.buy(9).ok());
            gate.holds_one();
            wait_until("the new count is shown", || client.info(9).ok().stock(9) == STOCK - 1);
            let seen = slow.info(9).ok().stock(9);
            gate.open();
            purchase.join().unwrap();
            seen
        })
    };
    assert_eq!(seen(Some("write-then-delete")), STOCK);
    assert_eq!(seen(None), STOCK - 1);
}
