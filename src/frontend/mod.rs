//! The frontend role: the public entry. It answers reads from its cache, spreads what the cache lacks
//! over the catalog nodes, and purchases over the order nodes.
//!
//! | file | what it does |
//! |---|---|
//! | `gate/` | who is let in, and how much of each: below the router |
//! | `routes` | HTTP in and out, on a public and an internal listener |
//! | `hits` | the short way of a cached read, below the router |
//! | `answer` | what the answer to a read looks like |
//! | `demand` | what a reader demands of one answer: its level, its least version |
//! | `openapi/` | the public API's description, from which its routes are registered |
//! | `shop` | what a customer can do |
//! | `admin/` | what a keeper can do, with the admin token |
//! | `orders` | the way to the order nodes |
//! | `storefront/` | the shop for people |
//! | `path` | what the path of a request names |
//! | `live/` | stock on open pages, as it changes |
//! | `status` | what it says of itself to those who watch |
//! | `surroundings` | where its dashboard finds the store |
//! | `cache/` | reads: memory, Redis, a catalog node; the lease |
//! | `balance/` | which node is next, and who is ill |
//! | `warm` | reads what many will read, before the shop opens |

mod admin;
mod answer;
mod balance;
mod cache;
mod demand;
mod gate;
mod hits;
mod live;
mod openapi;
mod orders;
mod path;
mod routes;
mod shop;
mod status;
mod storefront;
mod surroundings;
mod warm;

use crate::client::{BaseUrl, Masters};
use crate::dashboard::Dashboard;
use crate::member::Member;
use crate::metrics::{Counts, Doors, Exposition, PoolName, Reads, RedisCounts, Requests, RoleName};
use crate::recipe::{self, Recipe};
use crate::server::{self, Exposed, Guard, Shortcut, Site, Visitors};
use crate::shutdown::Shutdown;
use crate::token::{AdminToken, InternalToken, MetricsTokens};
use crate::wire::catalog::Reachable;
use actix_web::web;
use admin::Admin;
use balance::Pool;
use cache::{Cache, LeaseKeeper, Levels, Local, Redis, RedisKeeper, Ttl};
use gate::{AtTheGate, Gate};
use hits::Hits;
use live::Live;
use shop::Shop;
use status::Own;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use storefront::Storefront;
use surroundings::Around;
use tokio::sync::watch;
use warm::Warming;

pub use balance::Policy;
pub use gate::{Admission, Hosts, Networks, Origins, Rate};
pub use warm::Warm;

/// Of the internal listener, in traces.
const FRONTEND: Visitors = Visitors::members("frontend");

/// With 1, the in-process level of the cache is off, so that what lies behind it can be measured.
const NO_LOCAL_CACHE: &str = "BAZAR_TEST_NO_LOCAL_CACHE";

/// How long purchases under way may take after a stop was asked for; then they are answered with their
/// key, while there still is a connection. Less than [`server::DRAIN`].
const PURCHASES_FINISH: Duration = Duration::from_millis(2500);

/// What a frontend was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub internal_listen: SocketAddr,
    /// How the master reaches the internal listener; unless given, at the address that it sees.
    pub advertise: Option<BaseUrl>,
    /// Candidates, not empty.
    pub masters: Vec<BaseUrl>,
    pub replicas: Vec<BaseUrl>,
    /// Not empty.
    pub orders: Vec<BaseUrl>,
    pub redis: Option<String>,
    pub balance: Policy,
    /// What is read into the cache before the shop opens.
    pub warm: Option<Warm>,
    /// `None`: there is no `/admin`.
    pub admin: Option<AdminToken>,
    /// Who may scrape its metrics; nobody without.
    pub metrics: Option<MetricsTokens>,
    pub admission: Admission,
    pub search_ttl: Duration,
    pub info_ttl: Duration,
    pub cache_bytes: u64,
    /// A recipe instead of the protocol; all listeners are on the loopback then.
    pub unsafe_coherence: Option<Recipe>,
    pub workers: usize,
}

/// Why a frontend did not start, or stopped other than by request.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    #[error("cannot listen on {0}")]
    Listen(std::io::Error),
    #[error("--redis: {0}")]
    Redis(String),
    #[error("a listener failed: {0}")]
    Serve(#[from] std::io::Error),
}

/// The description of the API, that of the administration included.
pub fn description() -> utoipa::openapi::OpenApi {
    openapi::of_all(routes::endpoints(), admin::endpoints())
}

/// A frontend that is bound.
pub struct App {
    public: (TcpListener, SocketAddr),
    internal: (TcpListener, SocketAddr),
    member: Member,
    workers: usize,
    shop: Arc<Shop>,
    admin: Option<Arc<Admin>>,
    gate: Arc<Gate>,
    redis: Option<RedisKeeper>,
    own: Arc<Own>,
    metrics: Option<MetricsTokens>,
}

impl Config {
    pub async fn build(self, token: InternalToken) -> Result<App, FrontendError> {
        let public = server::bind(self.listen).map_err(FrontendError::Listen)?;
        let internal = server::bind(self.internal_listen).map_err(FrontendError::Listen)?;
        let counts = Counts::new(RoleName::Frontend);
        let (reads, doors) = (Reads::new(&counts.registry), Doors::new(&counts.registry));
        let member = Member::counted(token, counts.calls.clone());
        let masters = Masters::new(&self.masters, &member);
        let (redis, redis_keeper) = match &self.redis {
            Some(url) => Redis::new(url, member.token(), RedisCounts::new(&counts.registry))
                .map(|(r, k)| (Some(r), Some(k)))
                .map_err(FrontendError::Redis)?,
            None => (None, None),
        };
        let address = match self.advertise {
            Some(url) => Reachable::Url(url.to_string()),
            None => Reachable::Port(internal.1.port()),
        };
        let leases = Arc::new(LeaseKeeper::new(
            masters.clone(),
            member.clone(),
            address,
            recipe::protocol(self.unsafe_coherence),
            reads.clone(),
        ));
        let nodes = self.masters.iter().chain(&self.replicas).cloned().collect();
        let nodes =
            Arc::new(Pool::new(PoolName::Catalog, self.balance, nodes, self.masters.len(), &member).await);
        let orders = Arc::new(Pool::new(PoolName::Order, self.balance, self.orders, 0, &member).await);
        let ttl = Ttl { search: self.search_ttl, info: self.info_ttl };
        let local = match std::env::var_os(NO_LOCAL_CACHE).is_some_and(|value| value == "1") {
            true => {
                log::warn!("{NO_LOCAL_CACHE} is set: nothing is kept in this process, for a measurement");
                Local::off()
            }
            false => Local::new(self.cache_bytes),
        };
        let levels = Levels { local, redis, nodes, masters };
        let cache = Arc::new(Cache::new(levels, leases, ttl, self.unsafe_coherence, reads));
        let shop = Arc::new(Shop::new(cache, orders, Warming::new(self.warm)));
        let redis = self.redis.as_deref().map(status::redis_address);
        let own = Arc::new(Own { counts, listen: public.1, redis });
        let admin = self.admin.map(|token| Arc::new(Admin::new(token, &shop, doors.clone())));
        let paths = routes::endpoints();
        let paths = paths.iter().flat_map(|endpoint| endpoint.paths()).map(str::to_owned);
        let gate = Arc::new(Gate::new(self.admission, paths, doors.clone()));
        let (workers, redis) = (self.workers, redis_keeper);
        Ok(App { public, internal, member, workers, shop, admin, gate, redis, own, metrics: self.metrics })
    }
}

impl App {
    pub fn addr(&self) -> SocketAddr {
        self.public.1
    }

    /// Of the listener for the master's fences, and probes.
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal.1
    }

    /// Whether a lease is held, as it changes: before, nothing is cached.
    pub fn leased(&self) -> watch::Receiver<bool> {
        self.shop.cache.leases.leased()
    }

    /// Whether the cache is as warm as it was to be before the shop opens.
    pub fn warmed(&self) -> watch::Receiver<bool> {
        self.shop.warming.done()
    }

    /// Serves until `shutdown`, then answers what is under way and gives the lease back.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), FrontendError> {
        // Fences are acknowledged and the lease is kept until the last request is answered.
        let behind = Shutdown::new();
        let keeping = Shutdown::new();
        let cache = Arc::clone(&self.shop.cache);
        let mut tasks = vec![
            actix_web::rt::spawn(Arc::clone(&cache.nodes).keep(behind.clone())),
            actix_web::rt::spawn(Arc::clone(&self.shop.orders.pool).keep(behind.clone())),
        ];
        tasks.push(actix_web::rt::spawn({
            let (cache, member, behind) = (Arc::clone(&cache), self.member.clone(), behind.clone());
            async move { cache.leases.watch(&member, behind).await }
        }));
        tasks.push(actix_web::rt::spawn({
            let (shop, behind) = (Arc::clone(&self.shop), behind.clone());
            async move {
                tokio::select! { () = warm::warm(&shop) => {}, () = behind.cancelled() => {} }
            }
        }));
        let keeper = actix_web::rt::spawn({
            let (cache, keeping) = (Arc::clone(&cache), keeping.clone());
            async move { cache.leases.keep(keeping, || cache.new_epoch()).await }
        });
        let closing = actix_web::rt::spawn({
            let (shutdown, closing) = (shutdown.clone(), self.shop.closing.clone());
            async move {
                shutdown.cancelled().await;
                tokio::time::sleep(PURCHASES_FINISH).await;
                closing.cancel();
            }
        });
        if let Some(recipe) = cache.recipe {
            tasks.push(actix_web::rt::spawn(recipe.warn(behind.clone())));
        }
        if let Some(redis) = self.redis {
            tasks.push(actix_web::rt::spawn(redis.run(behind.clone())));
        }
        let live = Arc::new(Live::new(Arc::clone(&cache), shutdown.clone()));
        tasks.push(actix_web::rt::spawn({
            let live = Arc::clone(&live);
            async move { live.follow().await }
        }));
        let around = Arc::new(Around::new(Arc::clone(&self.shop), self.internal.1));
        let dashboard = Dashboard::new(around, &self.member, shutdown.clone());
        tasks.push(actix_web::rt::spawn({
            let dashboard = dashboard.clone();
            async move { dashboard.keep().await }
        }));
        let requests = self.own.counts.requests.clone();
        let exposition = Exposition::new(&self.own.counts, {
            let (shop, live) = (Arc::clone(&self.shop), Arc::clone(&live));
            move |sheet| {
                shop.read_gauges(sheet);
                live.read(sheet);
            }
        });
        let exposed = Exposed::new(exposition, self.metrics);
        let internal = {
            let (own, shop, member) = (Arc::clone(&self.own), Arc::clone(&self.shop), self.member.clone());
            move |config: &mut web::ServiceConfig| routes::internal(config, own, shop, member, exposed)
        };
        let internal = Site {
            configure: internal,
            label: None,
            shortcut: None,
            guard: None,
            requests,
            visitors: FRONTEND,
        };
        let internal = server::serve_here(self.internal.0, behind.clone(), internal);
        let internal = actix_web::rt::spawn(internal);
        let (shop, admin, gate) = (Arc::clone(&self.shop), self.admin, self.gate);
        let storefront = Arc::new(Storefront::new(Arc::clone(&shop), self.member.token()));
        let label = cache.recipe.map(Recipe::header);
        let requests = self.own.counts.requests.public();
        let public = move |requests: Requests| {
            let hits = Hits::new(Arc::clone(&shop.cache), requests.clone(), &shop.cache.counts);
            let admin = admin.clone();
            let (shop, live, dashboard) = (Arc::clone(&shop), Arc::clone(&live), dashboard.clone());
            let storefront = Arc::clone(&storefront);
            let shortcut: Rc<dyn Shortcut> = Rc::new(hits.clone());
            let guard: Rc<dyn Guard> = Rc::new(AtTheGate(Arc::clone(&gate)));
            let gate = Arc::clone(&gate);
            Site {
                configure: move |config: &mut web::ServiceConfig| {
                    config.app_data(web::Data::from(gate));
                    routes::public(config, shop, live, hits);
                    dashboard.configure(config);
                    if let Some(admin) = admin {
                        admin::configure(config, admin);
                    }
                    storefront::configure(config, storefront);
                },
                label: label.clone(),
                shortcut: Some(shortcut),
                guard: Some(guard),
                requests,
                visitors: Visitors::CUSTOMERS,
            }
        };
        let served = server::serve(self.public.0, self.workers, shutdown, requests, public).await;
        // The keeper first: it would ask for a new lease.
        keeping.cancel();
        let _ = keeper.await;
        cache.leases.give_back().await;
        behind.cancel();
        closing.abort();
        for task in tasks {
            let _ = task.await;
        }
        internal.await.map_err(std::io::Error::other)??;
        Ok(served?)
    }
}
