//! The store under test: one master, two replicas, two order nodes, three frontends, Redis, and a link for
//! every pair that talks.
//!
//! Every run has a loopback address of its own, so that a role that is down keeps its port: the kernel
//! takes ports for outgoing connections from 127.0.0.1.

use crate::http::Client;
use crate::process::{Look, Process, aborted, ended_as_asked, tail};
use crate::proxy::{Link, Proxy};
use crate::redis::Redis;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const CATALOGS: usize = 3;
pub const ORDERS: usize = 2;
pub const FRONTENDS: usize = 3;

pub const TOKEN: &str = "chaos-test-token-0123456789";

/// For a question to a role that is well.
pub const ASK: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The master or a replica.
    Catalog(usize),
    Order(usize),
    Frontend(usize),
}

impl Role {
    pub fn all() -> impl Iterator<Item = Role> {
        (0..CATALOGS)
            .map(Role::Catalog)
            .chain((0..ORDERS).map(Role::Order))
            .chain((0..FRONTENDS).map(Role::Frontend))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Catalog(number) => write!(f, "catalog-{}", number + 1),
            Role::Order(number) => write!(f, "order-{}", number + 1),
            Role::Frontend(number) => write!(f, "frontend-{}", number + 1),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    pub bazar: PathBuf,
    pub lease: String,
    pub unsafe_coherence: Option<String>,
    /// All catalog nodes are candidates everywhere.
    pub handovers: bool,
    pub log: String,
}

pub struct Node {
    pub role: Role,
    process: Option<Process>,
    /// The point of a batch at which it is going to abort, if it was told to.
    pub abort_at: Option<String>,
    pub paused: bool,
    pub up: bool,
    /// It may end by itself: it hands over.
    pub leaving: bool,
}

impl Node {
    /// Whether there is a process, ready or not.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }
}

/// What the scheduler must know of.
#[derive(Debug)]
pub enum Event {
    /// It has answered for the first time in this life, after so long.
    Up(Role, Duration),
    /// It reached its abort point.
    Aborted(Role, String),
    /// It ended cleanly, as it was to be expected.
    Ended,
    /// It ended or failed to start, and nobody had asked for it; with its exit code.
    Died(Role, Option<i32>, String),
}

pub struct Store {
    options: Options,
    ip: IpAddr,
    dir: PathBuf,
    pub nodes: Vec<Node>,
    /// Which catalog node is the master.
    pub master: usize,
    pub redis: Redis,
    proxy: Proxy,
}

/// Ports are fixed: the address is the run's own.
fn port(role: Role) -> u16 {
    match role {
        Role::Catalog(number) => 3000 + number as u16,
        Role::Order(number) => 3010 + number as u16,
        Role::Frontend(number) => 3020 + number as u16,
    }
}

fn internal_port(frontend: usize) -> u16 {
    3030 + frontend as u16
}

const REDIS_PORT: u16 = 6379;

impl Store {
    /// Opens the links and starts Redis; roles are started by [`Store::start`].
    pub fn new(options: Options, dir: &Path, seed: u64) -> io::Result<Self> {
        let ip = own_address()?;
        let proxy = Proxy::start(seed)?;
        let at = |port| SocketAddr::new(ip, port);
        let mut near = 10_000;
        let mut link = |name: String, target: u16| {
            near += 1;
            proxy.link(&name, at(near), at(target))
        };
        for catalog in 0..CATALOGS {
            let to = Role::Catalog(catalog);
            for from in Role::all().filter(|&from| from != to) {
                link(format!("{from} to {to}"), port(to))?;
            }
            link(format!("master to {to}"), port(to))?;
        }
        for frontend in 0..FRONTENDS {
            let from = Role::Frontend(frontend);
            for order in 0..ORDERS {
                let to = Role::Order(order);
                link(format!("{from} to {to}"), port(to))?;
            }
            link(format!("master to {from}"), internal_port(frontend))?;
            link(format!("client to {from}"), port(from))?;
            link(format!("{from} to redis"), REDIS_PORT)?;
        }
        let redis = Redis::start(at(REDIS_PORT), dir)?;
        let nodes = Role::all()
            .map(|role| Node {
                role,
                process: None,
                abort_at: None,
                paused: false,
                up: false,
                leaving: false,
            })
            .collect();
        Ok(Self { options, ip, dir: dir.into(), nodes, master: 0, redis, proxy })
    }

    pub fn links(&self) -> Vec<Link> {
        self.proxy.links()
    }

    fn url_of(&self, name: &str) -> String {
        let links = self.proxy.links();
        let link = links.iter().find(|link| &*link.name == name);
        link.map_or_else(String::new, |link| format!("http://{}", link.addr))
    }

    /// Where a role itself listens.
    pub fn addr(&self, role: Role) -> SocketAddr {
        SocketAddr::new(self.ip, port(role))
    }

    /// Where clients reach a frontend over a link that can be cut.
    pub fn linked_addr(&self, frontend: usize) -> SocketAddr {
        let name = format!("client to {}", Role::Frontend(frontend));
        self.proxy
            .links()
            .iter()
            .find(|link| *link.name == *name)
            .map_or_else(|| self.addr(Role::Frontend(frontend)), |link| link.addr)
    }

    pub fn data(&self, catalog: usize) -> PathBuf {
        self.dir.join(format!("{}-data", Role::Catalog(catalog)))
    }

    pub fn log(&self, role: Role) -> PathBuf {
        self.dir.join(format!("{role}.log"))
    }

    pub fn node(&mut self, role: Role) -> &mut Node {
        let index = Role::all().position(|candidate| candidate == role).unwrap_or(0);
        &mut self.nodes[index]
    }

    fn args(&self, role: Role) -> Vec<String> {
        let listen = self.addr(role).to_string();
        let masters = |from: Role| -> String {
            let candidates: Vec<usize> = match self.options.handovers {
                true => (0..CATALOGS).collect(),
                false => vec![self.master],
            };
            let urls: Vec<String> = candidates
                .into_iter()
                .filter(|&to| Role::Catalog(to) != from)
                .map(|to| self.url_of(&format!("{from} to {}", Role::Catalog(to))))
                .collect();
            urls.join(",")
        };
        let mut args: Vec<String> = match role {
            Role::Catalog(number) => {
                let kind = if number == self.master { "--master" } else { "--replica" };
                let data = self.data(number).display().to_string();
                let mut args: Vec<String> =
                    ["catalog", kind, "--listen", &listen, "--data", &data].map(str::to_owned).into();
                if number == self.master {
                    args.extend(["--lease".into(), self.options.lease.clone()]);
                } else {
                    let advertise = self.url_of(&format!("master to {role}"));
                    args.extend(["--master-url".into(), masters(role), "--advertise".into(), advertise]);
                }
                args
            }
            Role::Order(_) => {
                ["order", "--listen", &listen, "--master", &masters(role)].map(str::to_owned).into()
            }
            Role::Frontend(number) => {
                let internal = SocketAddr::new(self.ip, internal_port(number)).to_string();
                let advertise = self.url_of(&format!("master to {role}"));
                let replicas: Vec<String> = (0..CATALOGS)
                    .filter(|&to| self.options.handovers || to != self.master)
                    .map(|to| self.url_of(&format!("{role} to {}", Role::Catalog(to))))
                    .collect();
                let orders: Vec<String> =
                    (0..ORDERS).map(|to| self.url_of(&format!("{role} to {}", Role::Order(to)))).collect();
                let redis = self.url_of(&format!("{role} to redis")).replace("http:", "redis:");
                [
                    "frontend",
                    "--listen",
                    &listen,
                    "--internal-listen",
                    &internal,
                    "--advertise",
                    &advertise,
                    "--master",
                    &masters(role),
                    "--replica",
                    &replicas.join(","),
                    "--order",
                    &orders.join(","),
                    "--redis",
                    &redis,
                ]
                .map(str::to_owned)
                .into()
            }
        };
        if let Some(recipe) = &self.options.unsafe_coherence
            && !matches!(role, Role::Order(_))
        {
            args.extend(["--unsafe-coherence".into(), recipe.clone()]);
        }
        args
    }

    /// Starts a role that is down; `abort_at`: where it shall end itself.
    pub fn start(&mut self, role: Role, abort_at: Option<String>) -> io::Result<()> {
        self.start_with(role, abort_at, &[])
    }

    pub fn start_with(&mut self, role: Role, abort_at: Option<String>, more: &[&str]) -> io::Result<()> {
        let mut env =
            vec![("BAZAR_INTERNAL_TOKEN", TOKEN.to_owned()), ("RUST_LOG", self.options.log.clone())];
        if let Some(point) = &abort_at {
            env.push(("BAZAR_ABORT_AT", point.clone()));
        }
        let mut args = self.args(role);
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        let process = Process::start(&self.options.bazar, &args, &env, &self.log(role))?;
        let node = self.node(role);
        node.process = Some(process);
        node.abort_at = abort_at;
        (node.paused, node.up, node.leaving) = (false, false, false);
        Ok(())
    }

    /// `bazar handover`: the master, asked over no link, is told to hand over to `heir`, over its own.
    pub fn hand_over(&self, heir: usize) -> io::Result<Process> {
        let heir = Role::Catalog(heir);
        let to = self.url_of(&format!("master to {heir}"));
        let master = format!("http://{}", self.addr(Role::Catalog(self.master)));
        let args = ["handover", "--to", &to, "--master", &master].map(str::to_owned);
        let env = [("BAZAR_INTERNAL_TOKEN", TOKEN.to_owned())];
        Process::start(&self.options.bazar, &args, &env, &self.dir.join("handover.log"))
    }

    pub fn terminate(&mut self, role: Role) {
        let node = self.node(role);
        node.leaving = true;
        if let Some(process) = &node.process {
            process.terminate();
        }
    }

    pub fn kill(&mut self, role: Role) -> io::Result<()> {
        let node = self.node(role);
        (node.paused, node.up, node.leaving) = (false, false, false);
        node.abort_at = None;
        match node.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    pub fn pause(&mut self, role: Role) {
        let node = self.node(role);
        node.paused = true;
        if let Some(process) = &mut node.process {
            process.pause();
        }
    }

    pub fn resume(&mut self, role: Role) {
        let node = self.node(role);
        node.paused = false;
        if let Some(process) = &mut node.process {
            process.resume();
        }
    }

    /// What has become of everybody since the last look.
    pub fn look(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        for index in 0..self.nodes.len() {
            let role = self.nodes[index].role;
            let log = self.log(role);
            let node = &mut self.nodes[index];
            let Some(process) = &mut node.process else { continue };
            match process.look()? {
                Look::Starting => {}
                Look::Ready if node.up => {}
                Look::Ready => {
                    node.up = true;
                    events.push(Event::Up(role, process.age()));
                }
                Look::Late => {
                    node.process = None;
                    events.push(Event::Died(
                        role,
                        None,
                        format!("{role} does not get ready:\n{}", tail(&log)),
                    ));
                }
                Look::Ended(status) => {
                    node.process = None;
                    let was_up = node.up;
                    (node.paused, node.up) = (false, false);
                    let left = std::mem::take(&mut node.leaving) && ended_as_asked(status, was_up);
                    events.push(match node.abort_at.take() {
                        Some(point) if aborted(status) => Event::Aborted(role, point),
                        _ if left => Event::Ended,
                        _ => {
                            let words = format!("{role} ended with {status}:\n{}", tail(&log));
                            Event::Died(role, status.code(), words)
                        }
                    });
                }
            }
        }
        Ok(events)
    }

    /// Starts everybody and waits until everybody is ready.
    pub fn start_all(&mut self, patience: Duration) -> Result<(), String> {
        let down: Vec<Role> =
            self.nodes.iter().filter(|node| node.process.is_none()).map(|node| node.role).collect();
        for role in down {
            self.start(role, None).map_err(|error| format!("{role} cannot be started: {error}"))?;
        }
        let until = Instant::now() + patience;
        while self.nodes.iter().any(|node| !node.up) {
            for event in self.look().map_err(|error| error.to_string())? {
                if let Event::Died(_, _, words) = event {
                    return Err(words);
                }
            }
            if Instant::now() > until {
                return Err("not everybody got ready".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Everybody is asked to stop, frontends first, so that each still has whom it needs. Returns what
    /// did not end well.
    pub fn stop_all(&mut self, patience: Duration) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut roles: Vec<Role> = Role::all().collect();
        let master = Role::Catalog(self.master);
        roles.sort_by_key(|&role| match role {
            Role::Frontend(_) => 0,
            Role::Order(_) => 1,
            role if role != master => 2,
            _ => 3,
        });
        for kind in
            roles.chunk_by(|a, b| std::mem::discriminant(a) == std::mem::discriminant(b) && *b != master)
        {
            for &role in kind {
                if let Some(process) = &self.node(role).process {
                    process.terminate();
                }
            }
            for &role in kind {
                let log = self.log(role);
                let Some(mut process) = self.node(role).process.take() else { continue };
                match process.ended_within(patience) {
                    Ok(Some(status)) if status.success() => {}
                    Ok(Some(status)) => wrong.push(format!("{role} ended with {status}:\n{}", tail(&log))),
                    Ok(None) => wrong.push(format!("{role} did not stop:\n{}", tail(&log))),
                    Err(error) => wrong.push(format!("{role}: {error}")),
                }
            }
        }
        wrong
    }

    /// A client of the master's internal routes, not over a link.
    pub fn master_client(&self) -> Client {
        Client::internal(self.addr(Role::Catalog(self.master)), TOKEN)
    }

    /// What a catalog node says of its position.
    pub fn position(&self, catalog: usize) -> Option<String> {
        let answer = Client::new(self.addr(Role::Catalog(catalog))).get("/readyz", ASK).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        state["position"].as_str().map(str::to_owned)
    }

    /// What a catalog node says that it is.
    pub fn standing(&self, catalog: usize) -> Option<String> {
        let answer = Client::new(self.addr(Role::Catalog(catalog))).get("/readyz", ASK).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        state["role"].as_str().map(str::to_owned)
    }
}

/// An address of the loopback network that nobody uses.
fn own_address() -> io::Result<IpAddr> {
    let mut rng = rand::rng();
    for _ in 0..100 {
        use rand::RngExt;
        let ip = IpAddr::V4(Ipv4Addr::new(127, rng.random_range(1..255), rng.random_range(1..255), 1));
        if std::net::TcpListener::bind((ip, port(Role::Catalog(0)))).is_ok() {
            return Ok(ip);
        }
    }
    Err(io::Error::other("there is no free loopback address"))
}
