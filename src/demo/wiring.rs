//! The plan of the store: which processes there are, how each is started, and the links between them.
//!
//! Invariant: no role knows the address of another, only that of the link to it; so each of them can be cut
//! off from everybody, and none notices when another listens elsewhere after its next start.

use super::links::{Cuts, Link, Target};
use super::place::Place;
use super::process::{Keeper, Plan, Process, Ready};
use super::redis::{self, Redis};
use crate::catalog::Ack;
use crate::client::BaseUrl;
use crate::telemetry::{LogFormat, Tracing};
use crate::token::InternalToken;
use crate::up;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::sync::watch;

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Which address of a frontend's ready line is which.
const PUBLIC: usize = 0;
const INTERNAL: usize = 1;

/// Everything, before anything is started.
pub struct Wiring {
    pub processes: BTreeMap<Place, Process>,
    /// Those who are there to be kept, by place.
    pub keepers: BTreeMap<Place, Keeper>,
    pub links: Vec<Link>,
    pub redis: Redis,
    /// How we reach the roles ourselves: never cut. Of a frontend its internal listener.
    pub ours: BTreeMap<Place, BaseUrl>,
}

/// Makes the plan.
struct Planner<'a> {
    config: &'a up::Config,
    log_format: LogFormat,
    tracing: Option<&'a Tracing>,
    token: &'a InternalToken,
    executable: PathBuf,
    processes: BTreeMap<Place, Process>,
    cuts: watch::Receiver<Cuts>,
    links: Vec<Link>,
}

impl Wiring {
    /// `public`: of the first frontend.
    pub fn plan(
        config: &up::Config,
        (log_format, tracing): (LogFormat, Option<&Tracing>),
        token: &InternalToken,
        public: SocketAddr,
        cuts: watch::Receiver<Cuts>,
    ) -> io::Result<Self> {
        let redis = Redis::choose(config.redis.as_deref())?;
        let mut places = vec![Place::Master];
        places.extend((1..=config.replicas).map(Place::Replica));
        places.extend((1..=config.orders).map(Place::Order));
        places.extend((1..=config.frontends).map(Place::Frontend));
        if redis.is_ours() {
            places.push(Place::Redis);
        }
        let mut posts = BTreeMap::new();
        let mut processes = BTreeMap::new();
        for place in places {
            let (process, post) = Process::new(place);
            posts.insert(place, post);
            processes.insert(place, process);
        }
        let executable = std::env::current_exe()?;
        let links = Vec::new();
        let mut planner = Planner { config, log_format, tracing, token, executable, processes, cuts, links };
        let mut keepers = BTreeMap::new();
        for (place, post) in posts {
            let plan = planner.of(place, public, &redis)?;
            keepers.insert(place, Keeper::new(plan, post));
        }
        let mut ours = BTreeMap::new();
        for place in keepers.keys().copied().filter(|place| *place != Place::Redis) {
            let number = if matches!(place, Place::Frontend(_)) { INTERNAL } else { PUBLIC };
            ours.insert(place, planner.link(None, place, number)?);
        }
        let Planner { processes, links, .. } = planner;
        Ok(Self { processes, keepers, links, redis, ours })
    }
}

impl Planner<'_> {
    fn of(&mut self, place: Place, public: SocketAddr, redis: &Redis) -> io::Result<Plan> {
        let mut args: Vec<OsString> = Vec::new();
        // Each reads the file again when it changes.
        let mut env = vec![match self.token.file() {
            Some(file) => ("BAZAR_INTERNAL_TOKEN_FILE", std::path::absolute(file)?.display().to_string()),
            None => ("BAZAR_INTERNAL_TOKEN", self.token.text()),
        }];
        if let Some(metrics) = &self.config.metrics {
            env.push(metrics.variable());
        }
        let mut listen = Some(ANY);
        match place {
            Place::Redis => return self.redis(redis),
            Place::Master => {
                let keep = self.config.keep;
                let ack = match self.config.ack {
                    Ack::Sync => "sync",
                    Ack::Async => "async",
                };
                args.extend(["catalog", "--master", "--ack", ack].map(OsString::from));
                args.extend(flag("--lease", humantime::format_duration(self.config.lease)));
                args.extend(flag("--keep-answers", humantime::format_duration(keep.answers)));
                args.extend(flag("--keep-refusals", humantime::format_duration(keep.refusals)));
                args.extend(["--data".into(), self.config.data.join("master").into()]);
            }
            Place::Replica(_) => {
                args.extend(["catalog", "--replica"].map(OsString::from));
                args.extend(flag("--master-url", self.link(Some(place), Place::Master, PUBLIC)?));
                args.extend(flag("--advertise", self.link(Some(Place::Master), place, PUBLIC)?));
                args.extend(["--data".into(), self.config.data.join(place.to_string()).into()]);
            }
            Place::Order(_) => {
                args.push("order".into());
                args.extend(flag("--master", self.link(Some(place), Place::Master, PUBLIC)?));
            }
            Place::Frontend(number) => {
                listen = Some(SocketAddr::new(public.ip(), nth_port(public.port(), number)?));
                args.push("frontend".into());
                args.extend(flag("--internal-listen", ANY));
                args.extend(flag("--master", self.link(Some(place), Place::Master, PUBLIC)?));
                let (replicas, orders) = (self.config.replicas, self.config.orders);
                if replicas > 0 {
                    args.extend(flag("--replica", self.all(place, (1..=replicas).map(Place::Replica))?));
                }
                args.extend(flag("--order", self.all(place, (1..=orders).map(Place::Order))?));
                args.extend(flag("--advertise", self.link(Some(Place::Master), place, INTERNAL)?));
                args.extend(flag("--balance", self.config.balance.as_str()));
                if let Some(warm) = &self.config.warm {
                    args.extend(flag("--warm", warm));
                }
                args.extend(flag("--search-ttl", humantime::format_duration(self.config.search_ttl)));
                args.extend(flag("--info-ttl", humantime::format_duration(self.config.info_ttl)));
                args.extend(flag("--cache-bytes", self.config.cache_bytes));
                for (name, value) in self.config.admission.flags() {
                    args.extend(flag(name, value));
                }
                // What is secret is nobody's who lists processes.
                if let Some(admin) = &self.config.admin {
                    env.push(("BAZAR_ADMIN_TOKEN", admin.to_text()));
                }
                if let Some(url) = self.redis_url(place, redis)? {
                    env.push(("BAZAR_REDIS", url));
                }
            }
        }
        if let (Some(recipe), false) = (self.config.unsafe_coherence, matches!(place, Place::Order(_))) {
            args.extend(flag("--unsafe-coherence", recipe));
        }
        let log_format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        args.extend(flag("--log-format", log_format));
        if let Some(Tracing { endpoint, ratio, trusts_clients, .. }) = self.tracing {
            args.extend(flag("--otlp-endpoint", endpoint));
            args.extend(flag("--trace-sampling", ratio));
            if *trusts_clients && matches!(place, Place::Frontend(_)) {
                args.push("--trust-traceparent".into());
            }
        }
        let ours = self.executable.clone();
        Ok(Plan { place, program: ours.clone(), ours, args, listen, env, ready: Ready::Line })
    }

    fn redis(&self, redis: &Redis) -> io::Result<Plan> {
        let (program, addr) = redis.ours().ok_or_else(|| io::Error::other("there is no Redis of ours"))?;
        Ok(Plan {
            place: Place::Redis,
            ours: self.executable.clone(),
            program: program.into(),
            args: redis::arguments(addr),
            listen: None,
            env: Vec::new(),
            ready: Ready::Redis(addr),
        })
    }

    /// What the frontend `from` is to use.
    fn redis_url(&mut self, from: Place, redis: &Redis) -> io::Result<Option<String>> {
        let target = match redis {
            Redis::None { .. } => return Ok(None),
            Redis::Ours { .. } => Target::Process(self.processes[&Place::Redis].status.clone(), PUBLIC),
            Redis::Given { url, authority: None } => return Ok(Some(url.clone())),
            Redis::Given { authority: Some(authority), .. } => Target::Fixed(authority.clone()),
        };
        let link = Link::bind(Some(from), Place::Redis, target, self.cuts.clone())?;
        let url = redis.url_through(link.addr());
        self.links.push(link);
        Ok(url)
    }

    fn all(&mut self, from: Place, to: impl Iterator<Item = Place>) -> io::Result<String> {
        let mut urls = Vec::new();
        for to in to {
            urls.push(self.link(Some(from), to, PUBLIC)?.to_string());
        }
        Ok(urls.join(","))
    }

    fn link(&mut self, from: Option<Place>, to: Place, number: usize) -> io::Result<BaseUrl> {
        let target = Target::Process(self.processes[&to].status.clone(), number);
        let link = Link::bind(from, to, target, self.cuts.clone())?;
        let url = link.url();
        self.links.push(link);
        Ok(url)
    }
}

fn flag(name: &str, value: impl std::fmt::Display) -> [OsString; 2] {
    [OsStr::new(name).into(), value.to_string().into()]
}

/// The port of frontend `number`, or any if the first one is any.
fn nth_port(first: u16, number: usize) -> io::Result<u16> {
    match first {
        0 => Ok(0),
        first => {
            let offset = u16::try_from(number - 1).map_err(io::Error::other)?;
            first.checked_add(offset).ok_or_else(|| io::Error::other("there are not enough ports"))
        }
    }
}
