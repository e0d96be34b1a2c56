//! The catalog role: the write master and its read replicas.
//!
//! ```text
//!  order nodes ──▶ routes ──▶ writer ──▶ holders (fence) ──▶ store (commit) ──▶ feed (replicate, acknowledge)
//!  frontends ────▶ routes ──▶ store (read)                                        │
//!  replicas ─────▶ routes ──▶ feed (log, snapshot)            replica ◀───────────┘ /sync-write
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `master` | the master's start |
//! | `mastership` | whether this process still is the master |
//! | `handover` | seals the log for an heir, and ends |
//! | `writer` | the single writer: queue → batch → fence → commit, then lets answers out |
//! | `holders` | grants leases, sends fences |
//! | `feed` | pushes records to replicas, keeps the in-sync set, and says when an acknowledgement may go out |
//! | `changes` | which books changed lately, for whoever follows |
//! | `copy` | whole copies of the file, for replicas and for safekeeping |
//! | `recipe` | what a master that runs a well-known recipe announces, and when |
//! | `housekeeping` | which answers are forgotten, and how far the log is trimmed |
//! | `verify` | compares the replicas' rows with the master's |
//! | `replica` | applies records, fills gaps, takes snapshots |
//! | `account` | what a master counts, and what it did last |
//! | `status`, `exposed` | what a node says of itself to those who watch, and to those who scrape |
//! | `reads` | answers with their version; a replica waits for one it lacks |
//! | `routes` | the internal HTTP of both kinds of node |

mod account;
mod changes;
mod copy;
mod exposed;
mod feed;
mod handover;
mod holders;
mod housekeeping;
mod master;
mod mastership;
mod reads;
mod recipe;
mod replica;
mod routes;
mod status;
mod verify;
mod writer;

use crate::client::{BaseUrl, Masters};
use crate::coherence::mastership::Refused;
use crate::domain::Epoch;
use crate::member::Member;
use crate::metrics::{Counts, RoleName};
use crate::recipe::Recipe;
use crate::server::{self, Site, Visitors};
use crate::shutdown::Shutdown;
use crate::store::{DataDir, OpenError, StoreError};
use crate::token::{InternalToken, MetricsTokens};
use account::Account;
use actix_web::rt::task::JoinHandle;
use actix_web::web;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use feed::Ack;
pub use housekeeping::Keep;

/// Read-only connections: more readers than cores only take turns.
const READERS: u32 = 2;

/// Epochs that one start by force draws. Two that hear of each other before either has sold anything draw
/// above each other; whoever has drawn this often gives way.
const MAX_DRAWS: u32 = 3;

/// Between two looks at a lock that is about to be released.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What a catalog node was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub kind: Kind,
    pub listen: SocketAddr,
    pub data: PathBuf,
    /// A recipe instead of the protocol; the listener is on the loopback then.
    pub unsafe_coherence: Option<Recipe>,
    /// Who may scrape its metrics; nobody without.
    pub metrics: Option<MetricsTokens>,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Master(MasterConfig),
    Replica(ReplicaConfig),
}

#[derive(Debug, Clone, Copy)]
pub struct MasterConfig {
    pub ack: Ack,
    /// How long a lease runs.
    pub lease: Duration,
    /// Whether a lease can outlive this process. It cannot where all holders are threads of it (`bazar
    /// up`): then the next start has nobody to wait for.
    pub leases_outlive_process: bool,
    /// The old master is gone for good: start whatever the data says about who is master.
    pub force: bool,
    /// How long answers are kept under their keys.
    pub keep: Keep,
}

#[derive(Debug, Clone)]
pub struct ReplicaConfig {
    pub masters: Vec<BaseUrl>,
    /// How the master reaches this node; unless given, at the address that it sees and our port.
    pub advertise: Option<BaseUrl>,
}

/// Why a catalog node did not start, or stopped other than by request.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("cannot listen on {0}")]
    Listen(std::io::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the in-sync set cannot be read or written: {0}")]
    InSync(std::io::Error),
    #[error("the write master stopped, because it could not commit: {0}")]
    Commit(StoreError),
    #[error("epoch {} has begun somewhere else", met.number)]
    DrawAgain { met: Epoch },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the listener failed: {0}")]
    Serve(#[from] std::io::Error),
}

/// A catalog node that is bound and has its data open.
pub struct App {
    listener: TcpListener,
    addr: SocketAddr,
    member: Member,
    recipe: Option<Recipe>,
    metrics: Option<MetricsTokens>,
    node: Node,
    again: Option<Again>,
}

/// What a master that started by force needs to begin another epoch.
struct Again {
    data: PathBuf,
    config: MasterConfig,
    counts: (Counts, Arc<Account>),
}

enum Node {
    Master { master: Arc<master::Master>, tasks: writer::Tasks },
    Replica { replica: Arc<replica::Replica>, tasks: replica::Tasks },
}

impl Config {
    /// Binds, locks the data directory, opens the file; a master begins its epoch.
    pub async fn build(self, token: InternalToken) -> Result<App, CatalogError> {
        let Self { kind, listen, data, unsafe_coherence: recipe, metrics } = self;
        let counts = Counts::new(match kind {
            Kind::Master(_) => RoleName::Master,
            Kind::Replica(_) => RoleName::Replica,
        });
        let member = Member::counted(token, counts.calls.clone());
        // First: an address that is taken is no reason to touch any data.
        let (listener, addr) = server::bind(listen).map_err(CatalogError::Listen)?;
        match kind {
            Kind::Master(config) => {
                let opened = master::open(&data, config, &member).await?;
                let config = MasterConfig { force: opened.forced(), ..config };
                let account = Arc::new(Account::new(&counts.registry));
                let counts = (counts, account);
                let (master, tasks) = master::start(opened, config, recipe, &member, counts.clone()).await?;
                let again = config.force.then_some(Again { data, config, counts });
                let node = Node::Master { master, tasks };
                Ok(App { listener, addr, member, recipe, metrics, node, again })
            }
            Kind::Replica(config) => {
                let dir = DataDir::lock(&data, "catalog replica")?;
                let (store, store_writer) = dir.open(READERS).await?;
                // It follows a master now, and is not one for having been restored.
                dir.forget_restored()?;
                let masters = Masters::new(&config.masters, &member);
                let stored = (dir, store, store_writer);
                let (replica, tasks) =
                    replica::new(stored, masters, config.advertise, addr, member.clone(), counts).await?;
                let node = Node::Replica { replica, tasks };
                Ok(App { listener, addr, member, recipe, metrics, node, again: None })
            }
        }
    }
}

impl App {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `catalog master` or `catalog replica`.
    pub fn name(&self) -> &'static str {
        match self.node {
            Node::Master { .. } => "catalog master",
            Node::Replica { .. } => "catalog replica",
        }
    }

    /// Serves until `shutdown`, then answers what is under way, and closes the file with its log written
    /// back. A master that handed over ends by itself.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), CatalogError> {
        let Self { listener, member, recipe, metrics, mut node, again, .. } = self;
        let warning = Shutdown::new();
        let _until_the_end = warning.clone().drop_guard();
        if let Some(recipe) = recipe {
            actix_web::rt::spawn(recipe.warn(warning));
        }
        let mut drawn = 1;
        loop {
            let ended = node
                .run(listener.try_clone()?, member.clone(), recipe, metrics.clone(), shutdown.clone())
                .await;
            match (ended, &again) {
                (Err(CatalogError::DrawAgain { met }), Some(Again { data, config, counts }))
                    if drawn < MAX_DRAWS =>
                {
                    log::warn!("epoch {} has begun somewhere else: drawing a higher one", met.number);
                    drawn += 1;
                    let opened = open_again(data, *config, &member).await?;
                    let (master, tasks) =
                        master::start(opened, *config, recipe, &member, counts.clone()).await?;
                    node = Node::Master { master, tasks };
                }
                (ended, _) => return ended,
            }
        }
    }
}

/// The workers of the life before may hold on to the data for a moment longer than their listener.
async fn open_again(
    data: &Path,
    config: MasterConfig,
    member: &Member,
) -> Result<master::Opened, CatalogError> {
    let until = tokio::time::Instant::now() + server::DRAIN;
    loop {
        match master::open(data, config, member).await {
            Err(CatalogError::Open(OpenError::Locked { .. })) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

impl Node {
    async fn run(
        self,
        listener: TcpListener,
        member: Member,
        recipe: Option<Recipe>,
        metrics: Option<MetricsTokens>,
        shutdown: Shutdown,
    ) -> Result<(), CatalogError> {
        // The tasks behind the routes end after the last request, not with the first signal.
        let behind = Shutdown::new();
        match self {
            Node::Master { master, tasks } => {
                let work = actix_web::rt::spawn(tasks.run(behind.clone()));
                let data = web::Data::from(Arc::clone(&master));
                let exposed = exposed::master(&master, metrics);
                let routes = move |config: &mut web::ServiceConfig| {
                    routes::master(config, data, recipe, member, exposed);
                };
                let site = site(routes, recipe, &master.counts, "master");
                serve(listener, shutdown, site, &master.reads, work, behind).await
            }
            Node::Replica { replica, tasks } => {
                let work = actix_web::rt::spawn(tasks.run(Arc::clone(&replica), behind.clone()));
                let data = web::Data::from(Arc::clone(&replica));
                let exposed = exposed::replica(&replica, metrics);
                let routes = move |config: &mut web::ServiceConfig| {
                    routes::replica(config, data, recipe, member, exposed);
                };
                let site = site(routes, recipe, &replica.counts, "replica");
                serve(listener, shutdown, site, &replica.reads, work, behind).await
            }
        }
    }
}

fn site<C>(configure: C, recipe: Option<Recipe>, counts: &Counts, role: &'static str) -> Site<C> {
    let (requests, visitors) = (counts.requests.clone(), Visitors::members(role));
    Site { configure, label: recipe.map(Recipe::header), shortcut: None, guard: None, requests, visitors }
}

/// Serves until `shutdown`, then ends the `work` behind the routes. That ends by itself only when the node
/// has handed over, or its file is in doubt: one that cannot write any more must not look as if it were
/// well.
async fn serve(
    listener: TcpListener,
    shutdown: Shutdown,
    site: Site<impl FnOnce(&mut web::ServiceConfig) + 'static>,
    reads: &reads::Reads,
    mut work: JoinHandle<Result<(), CatalogError>>,
    behind: Shutdown,
) -> Result<(), CatalogError> {
    let stop_serving = shutdown.child_token();
    let Site { configure, label, shortcut, guard, requests, visitors } = site;
    let stop = web::Data::new(stop_serving.clone());
    let configure = move |config: &mut web::ServiceConfig| {
        config.app_data(stop);
        configure(config);
    };
    let site = Site { configure, label, shortcut, guard, requests, visitors };
    let serving = server::serve_here(listener, stop_serving.clone(), site);
    tokio::pin!(serving);
    let ended = tokio::select! {
        served = &mut serving => {
            served?;
            // Readers first: the last connection to close tidies the file.
            reads.close().await;
            behind.cancel();
            work.await
        }
        ended = &mut work => {
            stop_serving.cancel();
            let _ = serving.await;
            reads.close().await;
            ended
        }
    };
    ended.map_err(|error| CatalogError::Serve(std::io::Error::other(error)))?
}
