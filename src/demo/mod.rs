//! `bazar up --demo`: the store to break. The roles run as processes of their own, so that they can be killed
//! and paused for real; everything they say to each other passes through us, so that they can be cut off; and
//! a load checks every answer meanwhile.
//!
//! | file | what it does |
//! |---|---|
//! | `place` | the names of the processes |
//! | `wiring` | which processes there are, how each is started, the links between them |
//! | `process` | one process through all its lives |
//! | `links` | carries what they say, unless somebody is cut off |
//! | `faults` | kills, pauses, cuts off, and heals |
//! | `redis` | the second level of the cache, flushed and poisoned |
//! | `loading` | the load and its verdict |
//! | `journal` | what was done, and what customers noticed |
//! | `frontends`, `entrance` | the public address: passes requests on to the frontends |
//! | `guard`, `buttons` | who may do all that, and how |
//! | `view`, `panel` | what people see |
//!
//! Invariants: everything is on the loopback; whatever is broken heals by itself; without `--demo` nothing of
//! this is there.

mod buttons;
mod entrance;
mod faults;
mod frontends;
mod guard;
mod journal;
mod links;
mod loading;
mod panel;
mod place;
mod process;
mod redis;
mod view;
mod wiring;

use crate::access::Access;
use crate::client::{BaseUrl, Peer};
use crate::dashboard::{Controls, Dashboard, Kind, Surroundings, Whom};
use crate::member::Member;
use crate::metrics::{Registry, Requests, RoleName};
use crate::server::{self, ApiError, Site, Visitors};
use crate::shutdown::Shutdown;
use crate::telemetry::{LogFormat, Tracing};
use crate::token::InternalToken;
use crate::wire::ErrorCode;
use crate::{pages, up};
use actix_web::guard::fn_guard;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};
use faults::Faults;
use frontends::Frontends;
use guard::FormToken;
use journal::Journal;
use links::{Cuts, Link};
use loading::Loading;
use place::Place;
use process::{Keeper, Process};
use redis::{Memory, Redis, RedisTrouble};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wiring::Wiring;

/// How long each kind of process may take to stop, one kind behind the other: 5 s in all. Who takes longer is
/// killed, which loses nothing that was acknowledged.
const STOP_FRONTENDS: Duration = Duration::from_millis(1800);
const STOP_ORDERS: Duration = Duration::from_millis(800);
const STOP_REPLICAS: Duration = Duration::from_millis(800);
const STOP_MASTER: Duration = Duration::from_millis(1000);
const STOP_REDIS: Duration = Duration::from_millis(200);

/// For what is under way at the public address, beside the stop of the frontends.
const STOP_ENTRANCE: Duration = Duration::from_millis(1800);

/// How long to wait until every frontend is well.
const FRONTENDS_PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks at Redis for entries that will be old one day.
const REMEMBER: Duration = Duration::from_secs(5);

/// What `bazar up --demo` was told, checked: `listen` is on the loopback.
#[derive(Debug, Clone)]
pub struct Config {
    pub store: up::Config,
    pub log_format: LogFormat,
    pub tracing: Option<Tracing>,
}

/// Why the store did not start, or stopped other than by request.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("cannot listen on {0}")]
    Listen(std::io::Error),
    #[error("the processes cannot be linked: {0}")]
    Wiring(std::io::Error),
    #[error("{place} did not start: {}", how(.ended))]
    NotStarted { place: String, ended: Option<ExitStatus> },
    #[error("how to reach the store cannot be written to its data directory: {0}")]
    Access(std::io::Error),
    #[error("a listener failed: {0}")]
    Serve(std::io::Error),
}

impl DemoError {
    /// Whether a process refused to start as it was told to: a mistake of the caller.
    pub fn is_refusal(&self) -> bool {
        matches!(self, DemoError::NotStarted { ended: Some(status), .. } if status.code() == Some(2))
    }
}

fn how(ended: &Option<ExitStatus>) -> String {
    ended.map_or_else(|| "it could not be run".into(), |status| format!("it ended with {status}"))
}

/// What the buttons act on, and the view shows.
pub struct Demo {
    processes: Vec<Process>,
    faults: Faults,
    redis: Redis,
    /// Entries of Redis that are old by now, or will be.
    memory: Memory,
    loading: Arc<Loading>,
    journal: Arc<Journal>,
    token: FormToken,
    /// How we reach the roles: never cut.
    ours: BTreeMap<Place, BaseUrl>,
}

/// The whole of it, bound and wired, with nothing started.
pub struct App {
    listener: (std::net::TcpListener, SocketAddr),
    config: Config,
    member: Member,
    keepers: BTreeMap<Place, Keeper>,
    links: Vec<Link>,
    demo: Arc<Demo>,
}

impl Config {
    pub async fn build(self, token: InternalToken) -> Result<App, DemoError> {
        let listener = server::bind(self.store.listen).map_err(DemoError::Listen)?;
        let first = SocketAddr::new(
            listener.1.ip(),
            match self.store.listen.port() {
                0 => 0,
                port => port + 1,
            },
        );
        let (cuts, cut) = watch::channel(Cuts::new());
        let wiring = Wiring::plan(&self.store, (self.log_format, self.tracing.as_ref()), &token, first, cut)
            .map_err(DemoError::Wiring)?;
        let Wiring { processes, keepers, links, redis, ours } = wiring;
        let journal = Arc::new(Journal::default());
        let member = Member::new(token);
        let master = Peer::new(ours[&Place::Master].clone(), &member);
        let loading = Loading::new(BaseUrl::from_addr(listener.1), master, Arc::clone(&journal));
        let mut can_be_cut: Vec<Place> = processes.keys().copied().collect();
        if matches!(redis, Redis::Given { authority: Some(_), .. }) {
            can_be_cut.push(Place::Redis);
        }
        let in_order = processes.values().cloned().collect();
        let demo = Arc::new(Demo {
            processes: in_order,
            faults: Faults::new(processes, can_be_cut, cuts, Arc::clone(&journal)),
            redis,
            memory: Memory::default(),
            loading,
            journal,
            token: FormToken::random(),
            ours,
        });
        Ok(App { listener, config: self, member, keepers, links, demo })
    }
}

impl App {
    /// Starts everything and serves until `shutdown`, then stops role after role. `ready` is told the public
    /// address and those of the frontends.
    pub async fn run(self, shutdown: Shutdown, ready: impl FnOnce(&[SocketAddr])) -> Result<(), DemoError> {
        let Self { listener, config, member, keepers, links, demo } = self;
        // Whatever happens, they end with this function.
        let mut carried = JoinSet::new();
        for link in links {
            carried.spawn(link.run());
        }
        let mut crew = Crew::default();
        let started = tokio::select! {
            started = crew.start(&demo, keepers) => started.map(Some),
            () = shutdown.cancelled() => Ok(None),
        };
        let served = match started {
            Ok(Some(frontends)) => {
                let (master, token) = (demo.ours[&Place::Master].clone(), member.token().clone());
                let access = Access { master: master.clone(), keeper: token.keeper() };
                match access.publish(&config.store.data) {
                    Ok(published) => {
                        let workers = config.store.workers;
                        let demo = Arc::clone(&demo);
                        let entrance = Entrance { listener, workers, member, demo, frontends };
                        let serving = entrance.run(&shutdown, ready, async || crew.stop_frontends().await);
                        tokio::select! {
                            served = serving => served,
                            () = published.keep(master, token) => Ok(()),
                        }
                    }
                    Err(error) => Err(DemoError::Access(error)),
                }
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        crew.stop().await;
        served
    }
}

/// The public address.
struct Entrance {
    listener: (std::net::TcpListener, SocketAddr),
    workers: usize,
    member: Member,
    demo: Arc<Demo>,
    /// Where each frontend listens.
    frontends: Vec<SocketAddr>,
}

impl Entrance {
    /// Serves until `shutdown`; `meanwhile` is done while what is under way is answered.
    async fn run(
        self,
        shutdown: &Shutdown,
        ready: impl FnOnce(&[SocketAddr]),
        meanwhile: impl AsyncFnOnce(),
    ) -> Result<(), DemoError> {
        let Self { listener: (listener, addr), workers, member, demo, frontends: addrs } = self;
        let is_frontend = |process: &&Process| matches!(process.place, Place::Frontend(_));
        let frontends = Frontends::new(demo.processes.iter().filter(is_frontend).cloned());
        let frontends = Arc::new(frontends);
        let (stop, ended) = (Shutdown::new(), Shutdown::new());
        let surroundings: Arc<dyn Surroundings> = Arc::<Demo>::clone(&demo);
        let dashboard = Dashboard::new(surroundings, &member, shutdown.clone());
        // Customers are counted by the frontends: these counts are nobody's.
        let requests = Requests::new(&Registry::new(RoleName::Frontend)).public();
        let site = {
            let (demo, frontends, dashboard) = (Arc::clone(&demo), Arc::clone(&frontends), dashboard.clone());
            move |requests| {
                let (demo, frontends) = (Arc::clone(&demo), Arc::clone(&frontends));
                let dashboard = dashboard.clone();
                let configure = move |config: &mut ServiceConfig| routes(config, demo, frontends, &dashboard);
                let visitors = Visitors::members("demo");
                Site { configure, label: None, shortcut: None, guard: None, requests, visitors }
            }
        };
        let serving = server::serve(listener, workers, stop.clone(), requests, site);
        let guard = ended.clone().drop_guard();
        let mut serving = actix_web::rt::spawn(async move {
            let _guard = guard;
            serving.await
        });
        let mut tasks = JoinSet::new();
        {
            let (demo, frontends) = (Arc::clone(&demo), Arc::clone(&frontends));
            let (shutdown, also) = (shutdown.clone(), shutdown.clone());
            tasks.spawn_local(async move { frontends.keep(shutdown).await });
            tasks.spawn_local(async move { demo.keep(also).await });
            tasks.spawn_local(async move { dashboard.keep().await });
        }
        frontends.all_well(FRONTENDS_PATIENCE).await;
        let addrs: Vec<SocketAddr> = std::iter::once(addr).chain(addrs).collect();
        ready(&addrs);
        tokio::select! { () = shutdown.cancelled() => {}, () = ended.cancelled() => {} }
        demo.faults.heal();
        demo.loading.close();
        stop.cancel();
        let served = async { tokio::time::timeout(STOP_ENTRANCE, &mut serving).await };
        let (served, ()) = tokio::join!(served, meanwhile());
        match served {
            Ok(Ok(served)) => served.map_err(DemoError::Serve),
            Ok(Err(panicked)) => Err(DemoError::Serve(std::io::Error::other(panicked))),
            // Who still waits for an answer gets none.
            Err(_) => Ok(()),
        }
    }
}

fn routes(config: &mut ServiceConfig, demo: Arc<Demo>, frontends: Arc<Frontends>, dashboard: &Dashboard) {
    pages::configure(config);
    // Its forms have the token: not for who comes from elsewhere.
    config.service(
        web::scope("/dashboard").guard(fn_guard(guard::is_foreign)).default_service(web::to(turned_away)),
    );
    dashboard.configure(config);
    config
        .app_data(Data::from(demo))
        .app_data(Data::from(frontends))
        .app_data(Data::new(entrance::client()))
        .configure(buttons::configure)
        .service(web::resource("/{everything_else:.*}").to(entrance::pass_on));
}

async fn turned_away() -> HttpResponse {
    ApiError::from(ErrorCode::Forbidden).error_response()
}

impl Surroundings for Demo {
    fn nodes(&self) -> Vec<Whom> {
        let kind = |place| match place {
            Place::Frontend(_) => Kind::Frontend,
            Place::Order(_) => Kind::Order,
            Place::Master | Place::Replica(_) | Place::Redis => Kind::Catalog,
        };
        let whom = |(&place, url): (&Place, &BaseUrl)| Whom {
            kind: kind(place),
            url: url.clone(),
            name: Some(place.to_string()),
        };
        self.ours.iter().map(whom).collect()
    }

    fn are_all(&self) -> bool {
        true
    }

    fn controls(&self) -> Option<Controls> {
        Some(Controls { markup: self.panel(), styles: vec![&panel::STYLE], scripts: vec![&panel::SCRIPT] })
    }

    fn demo(&self) -> Option<serde_json::Value> {
        // A view is strings and numbers: it always serializes.
        serde_json::to_value(self.view()).ok()
    }
}

impl Demo {
    /// What goes on beside everything else, until `stop`.
    async fn keep(&self, stop: Shutdown) {
        let remember = async {
            loop {
                tokio::time::sleep(REMEMBER).await;
                // Without Redis there is nothing to remember.
                let _ = self.redis.look(&self.memory).await;
            }
        };
        tokio::select! {
            () = self.faults.keep(stop.clone()) => {}
            () = remember => {}
        }
    }

    /// Does that to Redis.
    async fn meddle(&self, errand: Errand) -> Result<(), RedisTrouble> {
        let what = match errand {
            Errand::Flush => format!("redis flushed: {} entries are gone", self.redis.flush().await?),
            Errand::Poison => {
                format!("redis poisoned: {} entries are wrong now", self.redis.poison(&self.memory).await?)
            }
        };
        let entry = self.journal.begin(what);
        self.journal.over(entry);
        Ok(())
    }
}

/// What can be done to what Redis holds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Errand {
    Flush,
    Poison,
}

/// The keepers of all processes, kind by kind in the order in which they stop: each still has whom it needs.
struct Crew([Kindred; 5]);

/// Processes of one kind.
struct Kindred {
    stop: Shutdown,
    /// How long one may take to stop.
    patience: Duration,
    kept: JoinSet<()>,
}

impl Default for Crew {
    fn default() -> Self {
        let patience = [STOP_FRONTENDS, STOP_ORDERS, STOP_REPLICAS, STOP_MASTER, STOP_REDIS];
        Self(patience.map(|patience| Kindred { stop: Shutdown::new(), patience, kept: JoinSet::new() }))
    }
}

impl Crew {
    /// Starts process after process and waits until all are ready. Returns where the frontends listen.
    async fn start(
        &mut self,
        demo: &Demo,
        mut keepers: BTreeMap<Place, Keeper>,
    ) -> Result<Vec<SocketAddr>, DemoError> {
        let mut frontends = Vec::new();
        for kind in START {
            let mut started = Vec::new();
            for process in demo.processes.iter().filter(|process| kind_of(process.place) == kind) {
                let Some(keeper) = keepers.remove(&process.place) else { continue };
                let Kindred { stop, patience, kept } = &mut self.0[kind];
                // On this thread, which is the main one: the processes follow it when it dies.
                kept.spawn_local(keeper.run(stop.clone(), *patience));
                started.push(process.clone());
            }
            for mut process in started {
                let addrs = process
                    .first_start()
                    .await
                    .map_err(|ended| DemoError::NotStarted { place: process.place.to_string(), ended })?;
                if let Place::Frontend(_) = process.place {
                    frontends.extend(addrs.first());
                }
            }
        }
        Ok(frontends)
    }

    async fn stop_frontends(&mut self) {
        self.0[FRONTENDS].stop().await;
    }

    async fn stop(&mut self) {
        for kindred in &mut self.0 {
            kindred.stop().await;
        }
    }
}

/// Places in a [`Crew`].
const FRONTENDS: usize = 0;
const ORDERS: usize = 1;
const REPLICAS: usize = 2;
const MASTER: usize = 3;
const REDIS: usize = 4;

/// Who is needed is there first.
const START: [usize; 5] = [REDIS, MASTER, REPLICAS, ORDERS, FRONTENDS];

const fn kind_of(place: Place) -> usize {
    match place {
        Place::Frontend(_) => FRONTENDS,
        Place::Order(_) => ORDERS,
        Place::Replica(_) => REPLICAS,
        Place::Master => MASTER,
        Place::Redis => REDIS,
    }
}

impl Kindred {
    async fn stop(&mut self) {
        self.stop.cancel();
        while self.kept.join_next().await.is_some() {}
    }
}
