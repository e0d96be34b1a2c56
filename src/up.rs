//! The whole store in one process: the same roles that run alone elsewhere, each on a loopback listener of
//! its own, each catalog node with its own file. They talk over HTTP here as there.

use crate::access::{Access, Published};
use crate::catalog::{self, Ack, CatalogError, Keep, Kind, MasterConfig, ReplicaConfig};
use crate::client::BaseUrl;
use crate::frontend::{self, Admission, FrontendError, Policy, Warm};
use crate::order;
use crate::published::PublishedFile;
use crate::recipe::Recipe;
use crate::shutdown::Shutdown;
use crate::targets::{Service, Targets};
use crate::token::{AdminToken, InternalToken, MetricsTokens};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long to wait for the frontends' leases before being ready without: the first reads are then not
/// cached.
const LEASE_PATIENCE: Duration = Duration::from_secs(2);

/// What `bazar up` was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Of the first frontend; the others get the next ports, or any if it is 0.
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub replicas: usize,
    pub orders: usize,
    pub frontends: usize,
    pub redis: Option<String>,
    pub balance: Policy,
    pub warm: Option<Warm>,
    /// `None`: there is no `/admin`.
    pub admin: Option<AdminToken>,
    /// Who may scrape the metrics of its roles; nobody without.
    pub metrics: Option<MetricsTokens>,
    pub admission: Admission,
    pub ack: Ack,
    pub keep: Keep,
    /// Whether anybody else may know the token. Otherwise every holder of a lease is a thread of this
    /// process, and the next start need not wait for any.
    pub token_is_shared: bool,
    pub lease: Duration,
    pub search_ttl: Duration,
    pub info_ttl: Duration,
    /// Of each frontend.
    pub cache_bytes: u64,
    /// A recipe instead of the protocol; `listen` is on the loopback then.
    pub unsafe_coherence: Option<Recipe>,
    pub workers: usize,
}

/// A store of which every listener is bound.
pub struct App {
    master: catalog::App,
    replicas: Vec<catalog::App>,
    orders: Vec<order::App>,
    frontends: Vec<frontend::App>,
    /// How `bazar import` finds it, and what it is made of.
    access: Published,
    /// How Prometheus does, if anybody may scrape it.
    targets: Option<PublishedFile>,
    token: InternalToken,
}

/// Why the store did not start, or stopped other than by request.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("an order node failed: {0}")]
    Order(#[from] std::io::Error),
    /// For the commands of its keeper, or for Prometheus.
    #[error("how to reach the store cannot be written to its data directory: {0}")]
    Access(std::io::Error),
    #[error(transparent)]
    Frontend(#[from] FrontendError),
}

impl Config {
    pub async fn build(self, token: InternalToken) -> Result<App, UpError> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let kind = Kind::Master(MasterConfig {
            ack: self.ack,
            lease: self.lease,
            leases_outlive_process: self.token_is_shared,
            force: false,
            keep: self.keep,
        });
        // The public address first: it is the one that somebody else may have.
        let mut public = Vec::new();
        for index in 0..self.frontends {
            public.push(reserve(self.listen, index).map_err(FrontendError::Listen)?);
        }
        let unsafe_coherence = self.unsafe_coherence;
        let data = self.data.join("master");
        let metrics = self.metrics.clone();
        let master = catalog::Config { kind, listen: loopback, data, unsafe_coherence, metrics };
        let master = master.build(token.clone()).await?;
        let master_url = BaseUrl::from_addr(master.addr());
        let mut replicas = Vec::new();
        for number in 1..=self.replicas {
            let kind = Kind::Replica(ReplicaConfig { masters: vec![master_url.clone()], advertise: None });
            let data = self.data.join(format!("replica-{number}"));
            let metrics = self.metrics.clone();
            let replica = catalog::Config { kind, listen: loopback, data, unsafe_coherence, metrics };
            replicas.push(replica.build(token.clone()).await?);
        }
        let mut orders = Vec::new();
        for _ in 0..self.orders {
            let (masters, metrics) = (vec![master_url.clone()], self.metrics.clone());
            let config = order::Config { listen: loopback, masters, metrics };
            orders.push(config.build(token.clone()).await?);
        }
        let mut frontends = Vec::new();
        for listen in public {
            let config = frontend::Config {
                listen,
                internal_listen: loopback,
                advertise: None,
                masters: vec![master_url.clone()],
                replicas: replicas.iter().map(|replica| BaseUrl::from_addr(replica.addr())).collect(),
                orders: orders.iter().map(|order| BaseUrl::from_addr(order.addr())).collect(),
                redis: self.redis.clone(),
                balance: self.balance,
                warm: self.warm.clone(),
                admin: self.admin.clone(),
                metrics: self.metrics.clone(),
                admission: self.admission.clone(),
                search_ttl: self.search_ttl,
                info_ttl: self.info_ttl,
                cache_bytes: self.cache_bytes,
                unsafe_coherence,
                workers: self.workers,
            };
            frontends.push(config.build(token.clone()).await?);
        }
        let access = Access { master: master_url, keeper: token.keeper() };
        let access = access.publish(&self.data).map_err(UpError::Access)?;
        let mut app = App { master, replicas, orders, frontends, access, targets: None, token };
        if self.metrics.is_some() {
            app.targets = Some(app.listeners().publish(&self.data).map_err(UpError::Access)?);
        }
        Ok(app)
    }
}

impl App {
    /// The public address of each frontend.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.frontends.iter().map(frontend::App::addr).collect()
    }

    /// Where each role serves its metrics.
    fn listeners(&self) -> Targets {
        let mut targets = Targets::default();
        targets.add(Service::CatalogMaster, self.master.addr());
        self.replicas.iter().for_each(|node| targets.add(Service::CatalogReplica, node.addr()));
        self.orders.iter().for_each(|node| targets.add(Service::Order, node.addr()));
        self.frontends.iter().for_each(|node| targets.add(Service::Frontend, node.internal_addr()));
        targets
    }

    /// Serves until `shutdown`, then stops role after role, the frontends first, so that each still has
    /// whom it needs to answer what is under way. `ready` is called when reads come from the cache, and what was to be there before
    /// is.
    pub async fn run(self, shutdown: Shutdown, ready: impl FnOnce()) -> Result<(), UpError> {
        let (stop_master, stop_replicas, stop_orders, stop_frontends) =
            (Shutdown::new(), Shutdown::new(), Shutdown::new(), Shutdown::new());
        // Any role that ends by itself ends the store.
        let failed = Shutdown::new();
        let watch = |name: &str, addr: SocketAddr| {
            log::info!("{name} is ready at {}", BaseUrl::from_addr(addr));
            failed.clone().drop_guard()
        };
        let master_url = BaseUrl::from_addr(self.master.addr());
        let (mut leased, mut warmed) = (Vec::new(), Vec::new());
        let (mut catalogs, mut orders, mut frontends) = (Vec::new(), Vec::new(), Vec::new());
        for node in std::iter::once(self.master).chain(self.replicas) {
            let guard = watch(node.name(), node.addr());
            let stop = if catalogs.is_empty() { stop_master.clone() } else { stop_replicas.clone() };
            catalogs.push(actix_web::rt::spawn(async move {
                let _guard = guard;
                node.run(stop).await
            }));
        }
        for node in self.orders {
            let (guard, stop) = (watch("order", node.addr()), stop_orders.clone());
            orders.push(actix_web::rt::spawn(async move {
                let _guard = guard;
                node.run(stop).await
            }));
        }
        for node in self.frontends {
            let (guard, stop) = (watch("frontend", node.addr()), stop_frontends.clone());
            log::info!("its internal listener is ready at {}", BaseUrl::from_addr(node.internal_addr()));
            leased.push(node.leased());
            warmed.push(node.warmed());
            frontends.push(actix_web::rt::spawn(async move {
                let _guard = guard;
                node.run(stop).await
            }));
        }
        let _until_the_end = self.targets;
        let published = actix_web::rt::spawn(self.access.keep(master_url, self.token));
        let all_leased =
            futures_util::future::join_all(leased.iter_mut().map(|leased| leased.wait_for(|leased| *leased)));
        let _ = tokio::time::timeout(LEASE_PATIENCE, all_leased).await;
        // Each has a deadline of its own.
        let all_warmed = warmed.iter_mut().map(|warmed| warmed.wait_for(|warmed| *warmed));
        let all_warmed = futures_util::future::join_all(all_warmed);
        let end = async {
            tokio::select! { () = shutdown.cancelled() => {}, () = failed.cancelled() => {} }
        };
        tokio::select! { _ = all_warmed => ready(), () = end => {} }
        tokio::select! { () = shutdown.cancelled() => {}, () = failed.cancelled() => {} }

        let mut outcome = Ok(());
        stop_frontends.cancel();
        for task in frontends {
            outcome = outcome.and(joined(task.await));
        }
        stop_orders.cancel();
        for task in orders {
            outcome = outcome.and(joined(task.await));
        }
        // The master last: it may still have records for its replicas.
        stop_replicas.cancel();
        let mut catalogs = catalogs.into_iter();
        let master = catalogs.next();
        for task in catalogs {
            outcome = outcome.and(joined(task.await));
        }
        stop_master.cancel();
        if let Some(task) = master {
            outcome = outcome.and(joined(task.await));
        }
        published.abort();
        let _ = published.await;
        outcome
    }
}

fn joined<E: Into<UpError>>(
    ended: Result<Result<(), E>, actix_web::rt::task::JoinError>,
) -> Result<(), UpError> {
    ended.map_err(std::io::Error::other)?.map_err(Into::into)
}

/// The address of frontend `index`.
fn reserve(first: SocketAddr, index: usize) -> std::io::Result<SocketAddr> {
    if first.port() == 0 {
        return Ok(first);
    }
    let offset = u16::try_from(index).map_err(std::io::Error::other)?;
    let addr = SocketAddr::new(first.ip(), first.port() + offset);
    // Says now that it is taken, before any data is touched.
    crate::server::bind(addr).map(|_| addr)
}
