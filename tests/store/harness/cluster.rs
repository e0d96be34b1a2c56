//! A whole store of processes: a master, replicas, order nodes, frontends, and Redis if wanted.

use super::{Client, Disk, Process, RedisServer, Rows, THIS, rows, wait_until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const TOKEN: &str = "integration-test-token";

/// What a scraper has.
pub const METRICS_TOKEN: &str = "integration-test-scraper";

/// How many of each, and what they log.
#[derive(Clone, Copy)]
pub struct Shape {
    pub replicas: usize,
    pub orders: usize,
    pub frontends: usize,
    pub redis: bool,
    /// Whether frontends and order nodes look for the master among all catalog nodes.
    pub candidates: bool,
    /// Whether the master and replicas run on disks that can fail: [`Cluster::disk`].
    pub faulty_disks: bool,
    /// The admin token of the frontends, if there is to be an administration.
    pub admin: Option<&'static str>,
    /// What else frontends are told.
    pub frontend_flags: &'static [&'static str],
    /// Where all of them send traces, if they do.
    pub traces: Option<Traces>,
    /// `RUST_LOG` of all of them.
    pub log: &'static str,
    pub log_format: &'static str,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            replicas: 1,
            orders: 1,
            frontends: 2,
            redis: false,
            candidates: false,
            faulty_disks: false,
            admin: None,
            frontend_flags: &[],
            traces: None,
            log: "info",
            log_format: "text",
        }
    }
}

/// Whose requests are traced, and where that goes.
#[derive(Clone, Copy)]
pub struct Traces {
    pub endpoint: &'static str,
    pub sampling: &'static str,
    /// Whether clients may ask for it.
    pub trusting: bool,
    /// The roles that send none: words of the command line.
    pub but: &'static [&'static str],
}

pub struct Cluster {
    pub frontends: Vec<Process>,
    pub orders: Vec<Process>,
    pub replicas: Vec<Process>,
    pub master: Process,
    pub redis: Option<RedisServer>,
    shape: Shape,
    /// Last: it is removed when nobody writes to it any more.
    dir: TempDir,
}

impl Cluster {
    /// Starts all of them and waits until reads are cached and replicas are in sync.
    pub fn start(shape: Shape) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = shape.redis.then(|| RedisServer::start(dir.path()));
        let data = dir.path().join("master-data");
        let data = data.to_str().unwrap();
        let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data];
        let master = start_on_disk(dir.path(), "master", &args, shape);
        let mut cluster = Self {
            frontends: Vec::new(),
            orders: Vec::new(),
            replicas: Vec::new(),
            master,
            redis,
            shape,
            dir,
        };
        for number in 1..=shape.replicas {
            let replica = cluster.start_replica(&format!("replica-{number}"));
            cluster.replicas.push(replica);
        }
        for number in 1..=shape.orders {
            let masters = cluster.masters();
            let args = ["order", "--listen", "127.0.0.1:0", "--master", &masters];
            let order =
                Process::start(cluster.dir.path(), &format!("order-{number}"), &args, &env(shape, &args));
            cluster.orders.push(order);
        }
        for number in 1..=shape.frontends {
            let frontend = cluster.start_frontend(&format!("frontend-{number}"));
            cluster.frontends.push(frontend);
        }
        cluster.settled();
        cluster
    }

    /// A replica on the data directory of that name.
    pub fn start_replica(&self, name: &str) -> Process {
        self.start_replica_of(self.master.url(), name)
    }

    /// The same, which finds its master at another address.
    pub fn start_replica_of(&self, master: &str, name: &str) -> Process {
        let data = self.data(name);
        let args = ["catalog", "--replica", "--listen", "127.0.0.1:0", "--master-url", master, "--data"];
        let args = [&args[..], &[data.to_str().unwrap()]].concat();
        start_on_disk(self.dir.path(), name, &args, self.shape)
    }

    /// The disk of the catalog node of that name.
    pub fn disk(&self, name: &str) -> Disk {
        Disk::of(self.dir.path(), name)
    }

    /// What frontends and order nodes are told about where the master is.
    fn masters(&self) -> String {
        let replicas = self.replicas.iter().filter(|_| self.shape.candidates);
        let urls: Vec<&str> = std::iter::once(&self.master).chain(replicas).map(Process::url).collect();
        urls.join(",")
    }

    /// Starts the first replica, which has ended, as the master on its data and at its address. The old
    /// master takes its place among the replicas.
    pub fn promote(&mut self, flags: &[&str]) {
        self.promote_to(Path::new(THIS), flags);
    }

    /// The same, as a process of another build of `bazar`.
    pub fn promote_to(&mut self, program: &Path, flags: &[&str]) {
        let heir = &self.replicas[0];
        let (listen, data) = (heir.url().trim_start_matches("http://"), self.data("replica-1"));
        let args = ["catalog", "--master", "--listen", listen, "--data", data.to_str().unwrap()];
        let args = [&args, flags].concat();
        let env = env(self.shape, &args);
        let heir = Process::start_program(program, self.dir.path(), "heir", &args, &env);
        self.replicas[0] = std::mem::replace(&mut self.master, heir);
    }

    /// Starts the old master, which has ended, as a replica of the new one.
    pub fn demote(&mut self) {
        let listen = self.replicas[0].url().trim_start_matches("http://");
        let (data, master) = (self.data("master"), self.master.url());
        let args = ["catalog", "--replica", "--listen", listen, "--master-url", master, "--data"];
        let args = [&args[..], &[data.to_str().unwrap()]].concat();
        self.replicas[0] = Process::start(self.dir.path(), "demoted", &args, &env(self.shape, &args));
    }

    pub fn start_frontend(&self, name: &str) -> Process {
        let orders: Vec<&str> = self.orders.iter().map(Process::url).collect();
        self.start_frontend_with_orders(name, &orders.join(","))
    }

    pub fn start_frontend_with_orders(&self, name: &str, orders: &str) -> Process {
        let replicas: Vec<&str> = self.replicas.iter().map(Process::url).collect();
        let redis = self.redis.as_ref().map(RedisServer::url);
        self.start_frontend_with(name, orders, &replicas.join(","), redis.as_deref())
    }

    fn start_frontend_with(&self, name: &str, orders: &str, replicas: &str, redis: Option<&str>) -> Process {
        let mut args = vec!["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
        let masters = self.masters();
        args.extend(["--master", &masters, "--order", orders]);
        if !replicas.is_empty() {
            args.extend(["--replica", replicas]);
        }
        if let Some(redis) = redis {
            args.extend(["--redis", redis]);
        }
        args.extend(self.shape.frontend_flags);
        let admin = self.shape.admin.map(|token| ("BAZAR_ADMIN_TOKEN", token));
        let env: Vec<_> = env(self.shape, &args).into_iter().chain(admin).collect();
        Process::start(self.dir.path(), name, &args, &env)
    }

    /// Waits until every frontend has its lease and Redis, and every replica is in sync.
    #[track_caller]
    pub fn settled(&self) {
        self.in_sync(self.replicas.len());
        for frontend in &self.frontends {
            let client = Client::new(frontend.url());
            wait_until("a frontend has its lease, and Redis", || {
                let ready = String::from_utf8_lossy(&client.get("/readyz").body).into_owned();
                ready.contains("lease: held")
                    && (self.redis.is_none() || ready.contains("redis: connected"))
                    && ready.contains(&format!("order: {0} of {0}", self.orders.len()))
                    && ready.contains(&format!("catalog: {0} of {0}", 1 + self.replicas.len()))
            });
        }
    }

    /// Waits until so many replicas are in the in-sync set.
    #[track_caller]
    pub fn in_sync(&self, count: usize) {
        wait_until("the replicas are in sync", || self.state()["in_sync"] == count);
    }

    /// What the master says of itself.
    #[track_caller]
    pub fn state(&self) -> Value {
        Client::new(self.master.url()).get("/readyz").ok().json()
    }

    pub fn client(&self, frontend: usize) -> Client {
        Client::new(self.frontends[frontend].url())
    }

    pub fn clients(&self) -> Vec<Client> {
        self.frontends.iter().map(|frontend| Client::new(frontend.url())).collect()
    }

    /// The catalog's keeper changes something. Returns the outcome.
    #[track_caller]
    pub fn edit(&self, edit: &Value) -> Value {
        let body = json!({ "edits": [edit] });
        let answer = Client::internal(self.master.url()).post("/edits", &[], &body).ok().json();
        let edited = &answer["outcomes"][0];
        assert!(edited.to_string().contains("\"Ok\""), "{answer}");
        answer
    }

    pub fn set_stock(&self, book: i64, stock: i64) {
        self.edit(&json!({ "update": { "book_id": book, "stock": stock } }));
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}-data"))
    }

    /// Stops all roles cleanly, asserts that every replica's file holds what the master's does, and
    /// returns that.
    #[track_caller]
    pub fn stop_and_compare(mut self) -> Rows {
        self.in_sync(self.replicas.len());
        for frontend in &mut self.frontends {
            frontend.stop();
        }
        for order in &mut self.orders {
            order.stop();
        }
        for replica in &mut self.replicas {
            replica.stop();
        }
        self.master.stop();
        let master = rows(&self.data("master"));
        for number in 1..=self.replicas.len() {
            let replica = rows(&self.data(&format!("replica-{number}")));
            for (table, rows) in &master {
                assert_eq!(rows, &replica[table], "table {table} of replica {number}");
            }
        }
        master
    }
}

/// Of the role that is started by `args`.
fn env(shape: Shape, args: &[&str]) -> Vec<(&'static str, &'static str)> {
    let mut env = vec![
        ("BAZAR_INTERNAL_TOKEN", TOKEN),
        ("BAZAR_METRICS_TOKEN", METRICS_TOKEN),
        ("RUST_LOG", shape.log),
        ("BAZAR_LOG_FORMAT", shape.log_format),
    ];
    if let Some(traces) = shape.traces.filter(|traces| !traces.but.iter().any(|but| args.contains(but))) {
        env.extend([("BAZAR_OTLP_ENDPOINT", traces.endpoint), ("BAZAR_TRACE_SAMPLING", traces.sampling)]);
        env.extend(traces.trusting.then_some(("BAZAR_TRUST_TRACEPARENT", "true")));
    }
    env
}

fn start_on_disk(dir: &Path, name: &str, args: &[&str], shape: Shape) -> Process {
    let disk = if shape.faulty_disks { Disk::of(dir, name).env().to_vec() } else { Vec::new() };
    let disk = disk.iter().map(|(name, value)| (*name, value.as_str()));
    Process::start(dir, name, args, &env(shape, args).into_iter().chain(disk).collect::<Vec<_>>())
}

/// The environment that every role of a test's store has.
pub fn start_nodes(dir: &Path, name: &str, args: &[&str]) -> Process {
    Process::start(dir, name, args, &env(Shape::default(), args))
}
