//! The store under test, started as a user would start it: `bazar up`, or its roles one by one. Fences, leases, fsync
//! and authentication are always on, unless a row compares with what they cost.

use crate::bench::Bench;
use crate::http::{Answer, Connection, post};
use crate::process::{Child, READY_WITHIN, run_tool, wait_until};
use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// More than anybody buys; the largest stock that a book may have.
pub const STOCK: u64 = 1_000_000_000;

/// The master's own bound on a batch.
const EDITS_AT_ONCE: usize = 256;

/// The search that the reads ask for: a page of two books, some 350 bytes with its head.
pub const SEARCH: &str = "/catalog-service/search/education";

/// The books on that page.
pub const SEARCHED_BOOKS: [u64; 2] = [9, 10];

/// Takes the fences out, to see what they cost.
pub const UNFENCED: [&str; 2] = ["--unsafe-coherence", "none"];

/// What a store is asked to be.
#[derive(Default, Clone, Copy)]
pub struct Flags<'a> {
    pub flags: &'a [&'a str],
    pub env: &'a [(&'a str, &'a str)],
}

/// `bazar up` with one replica in sync and two order nodes.
pub struct Store {
    process: Child,
    /// The first frontend's.
    pub address: SocketAddr,
    pub master: SocketAddr,
    pub ready_after: Duration,
    /// Runs without fences: what it shows may be stale.
    unfenced: bool,
}

impl Store {
    /// On the data in the directory `name`, which need not exist.
    pub fn up(bench: &Bench, name: &str, flags: Flags) -> Result<Self> {
        let mut command = bazar(bench);
        command.args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(bench.path(name)).args(flags.flags);
        command.envs(flags.env.iter().copied());
        let mut process = Child::start(name, command, bench.dir(), Signal::TERM)?;
        let (addresses, ready_after) = process.ready_line()?;
        let address = parse_url(addresses.split(' ').next().unwrap_or_default())?;
        let log = process.log();
        let master = log
            .lines()
            .find_map(|line| line.split_once("catalog master is ready at "))
            .context("the log of `bazar up` does not name the master's address")?;
        let master = parse_url(master.1)?;
        let unfenced = flags.flags.contains(&UNFENCED[0]);
        Ok(Self { process, address, master, ready_after, unfenced })
    }

    /// The same with stock for the 11 books.
    pub fn stocked(bench: &Bench, name: &str, flags: Flags) -> Result<Self> {
        let store = Self::up(bench, name, flags)?;
        let edits = (1..=11).map(|book| json!({"update": {"book_id": book, "stock": STOCK}})).collect();
        edit(bench, store.master, edits)?;
        Ok(store)
    }

    /// The same with `books` books.
    pub fn of_books(bench: &Bench, name: &str, books: u64, flags: Flags) -> Result<Self> {
        let store = Self::stocked(bench, name, flags)?;
        let book = |id: u64| json!({"put": {"id": id, "title": format!("Book {id}"), "topic": "bench", "stock": STOCK, "price": 2800}});
        edit(bench, store.master, (12..=books).map(book).collect())?;
        Ok(store)
    }

    /// The copies of the books from 1 to `books` together, as a reader sees them: so that a cache that showed a stale
    /// count would fail the run. Without fences that is what it shows; then the master is asked.
    pub fn stock(&self, bench: &Bench, books: u64) -> Result<u64> {
        let (address, field) =
            if self.unfenced { (self.master, "stock") } else { (self.address, "numberOfItems") };
        let mut connection = Connection::open(address)?;
        let count = |id: u64| {
            let json: Value = match self.unfenced {
                true => serde_json::from_str(&call(bench, "GET", address, &format!("/books/{id}"), None)?)?,
                false => connection.get(&format!("/catalog-service/info/{id}"))?.json()?,
            };
            let book = json.get("value").unwrap_or(&json);
            book[field].as_u64().with_context(|| format!("no {field} in {json}"))
        };
        (1..=books).map(count).sum()
    }

    pub fn stop(self) -> Result<()> {
        self.process.stop()
    }

    /// The highest resident memory since the start, and that of now, in MB.
    pub fn memory_mb(&self) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("/proc/PID/status")?;
            let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
            Ok(kib * 1024.0 / 1e6)
        };
        Ok(Memory { now: field("VmRSS:")?, highest: field("VmHWM:")? })
    }
}

pub struct Memory {
    pub now: f64,
    pub highest: f64,
}

/// The test switch of a frontend.
pub const NO_LOCAL_CACHE: (&str, &str) = ("BAZAR_TEST_NO_LOCAL_CACHE", "1");

/// As small as it may be: what is read only once needs no room.
const SMALLEST_CACHE: &str = "64KiB";

/// What a frontend remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frontend {
    Usual,
    SmallCache,
    /// Its in-process level is switched off: each of its reads is a miss.
    NoCache,
}

/// The roles as processes of their own: a master, a replica, an order node, and N frontends.
pub struct Roles<const N: usize> {
    /// Their addresses, in the order in which they were asked for.
    pub frontends: [SocketAddr; N],
    master: SocketAddr,
    _processes: Vec<Child>,
}

impl<const N: usize> Roles<N> {
    /// On the data that a `bazar up` with one replica left in `data`, or on fresh data. `name` is for the logs.
    pub fn start(bench: &Bench, name: &str, data: &Path, frontends: [Frontend; N]) -> Result<Self> {
        let mut processes = Vec::new();
        let mut role = |part: &str, arguments: &[&str], env: &[(&str, &str)]| -> Result<SocketAddr> {
            let mut command = bazar(bench);
            command.args(arguments).args(["--listen", "127.0.0.1:0"]).envs(env.iter().copied());
            let mut process = Child::start(&format!("{name}-{part}"), command, bench.dir(), Signal::TERM)?;
            let (url, _) = process.ready_line()?;
            processes.push(process);
            parse_url(url.split(' ').next().unwrap_or_default())
        };
        let under = |part: &str| data.join(part).display().to_string();
        let url = |address: SocketAddr| format!("http://{address}");
        let master = role("master", &["catalog", "--master", "--data", &under("master")], &[])?;
        let at_master = url(master);
        let follow = ["--data", &under("replica-1"), "--master-url", &at_master];
        let replica = role("replica", &[&["catalog", "--replica"][..], &follow].concat(), &[])?;
        let order = role("order", &["order", "--master", &at_master], &[])?;
        let (at_replica, at_order) = (url(replica), url(order));
        let mut addresses = Vec::new();
        for (number, frontend) in frontends.iter().enumerate() {
            let (more, env): (&[&str], &[(&str, &str)]) = match frontend {
                Frontend::Usual => (&[], &[]),
                Frontend::SmallCache => (&["--cache-bytes", SMALLEST_CACHE], &[]),
                Frontend::NoCache => (&[], &[NO_LOCAL_CACHE]),
            };
            let peers = ["--master", &at_master, "--replica", &at_replica, "--order", &at_order];
            let internal = ["frontend", "--internal-listen", "127.0.0.1:0"];
            addresses.push(role(
                &format!("frontend-{number}"),
                &[&internal[..], &peers, more].concat(),
                env,
            )?);
        }
        let frontends = addresses.try_into().map_err(|_| anyhow!("another number of frontends"))?;
        let roles = Self { frontends, master, _processes: processes };
        roles.wait_for_leases()?;
        Ok(roles)
    }

    pub fn edit(&self, bench: &Bench, edits: Vec<Value>) -> Result<()> {
        edit(bench, self.master, edits)
    }

    /// A role says that it is ready before it has its lease; until then it caches nothing.
    fn wait_for_leases(&self) -> Result<()> {
        for address in self.frontends {
            let mut connection = Connection::open(address)?;
            wait_until("a lease", READY_WITHIN, || {
                Ok(connection.get(SEARCH)?.header("x-cache") != Some("BYPASS"))
            })?;
        }
        Ok(())
    }
}

fn bazar(bench: &Bench) -> Command {
    let mut command = Command::new(&bench.options.bazar);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BAZAR_") {
            command.env_remove(name);
        }
    }
    // The addresses of the roles of `up` are logged at this level.
    command.env("RUST_LOG", "info").env("BAZAR_INTERNAL_TOKEN", &bench.token);
    command
}

/// Runs `bazar ARGUMENTS…` to its end and returns what it printed.
pub fn tool(bench: &Bench, arguments: &[&str], patience: Duration) -> Result<String> {
    let mut command = bazar(bench);
    command.args(arguments);
    run_tool(command, bench.dir(), patience)
}

/// Whether the executable has this subcommand.
pub fn knows(bench: &Bench, subcommand: &str) -> bool {
    tool(bench, &[subcommand, "--help"], READY_WITHIN).is_ok()
}

fn parse_url(url: &str) -> Result<SocketAddr> {
    let address = url.trim().trim_start_matches("http://").trim_end_matches('/');
    address.parse().map_err(|_| anyhow!("{url} is no address"))
}

/// What a role answers to a signed request.
fn call(bench: &Bench, method: &str, to: SocketAddr, path: &str, body: Option<&Value>) -> Result<String> {
    let url = format!("http://{to}{path}");
    let mut arguments = vec!["call", method, &url];
    let file = bench.dir().join("call.json");
    let name = file.to_string_lossy().into_owned();
    if let Some(body) = body {
        std::fs::write(&file, body.to_string())?;
        arguments.extend(["--data", &name]);
    }
    tool(bench, &arguments, READY_WITHIN)
}

/// The master's own route: the catalog as the comparison needs it.
fn edit(bench: &Bench, master: SocketAddr, edits: Vec<Value>) -> Result<()> {
    for some in edits.chunks(EDITS_AT_ONCE) {
        let told = call(bench, "POST", master, "/edits", Some(&json!({ "edits": some })))?;
        ensure!(!told.contains("Err"), "the master refused an edit: {told}");
    }
    Ok(())
}

/// Asks twice, since the first answer may fill the cache, and refuses anything but a hit.
pub fn check_hit(frontend: SocketAddr, path: &str) -> Result<Answer> {
    let mut connection = Connection::open(frontend)?;
    connection.get(path)?;
    let answer = connection.get(path)?;
    ensure!(
        answer.header("x-cache") == Some("HIT"),
        "{path} is not answered from the cache:\n{}",
        answer.head()
    );
    Ok(answer)
}

/// The bytes of a purchase of one copy.
pub fn purchase(frontend: SocketAddr, book: u64) -> Vec<u8> {
    post(frontend, "/order-service/purchase", "", &format!("{{\"book_id\":{book}}}"))
}
