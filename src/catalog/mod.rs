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
//! | `routes` | the internal HTTP of both kinds of node |
//! | `reads` | answers with their version; a replica waits for one it lacks |
//! | `writer` | the single writer: queue → batch → fence → commit |
//! | `holders` | grants leases, sends fences |
//! | `feed` | pushes records to replicas, and says when an acknowledgement may go out |
//! | `replica` | applies records, fills gaps, takes snapshots |

mod feed;
mod holders;
mod reads;
mod replica;
mod routes;
mod writer;

use crate::client::{BaseUrl, Masters};
use crate::clock;
use crate::member::Member;
use crate::server;
use crate::shutdown::Shutdown;
use crate::store::{DataDir, OpenError, StoreError};
use crate::token::InternalToken;
use actix_web::rt::task::JoinHandle;
use actix_web::web;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use feed::Ack;

/// Read-only connections: more readers than cores only take turns.
const READERS: u32 = 2;

/// HTTP workers of a catalog node. A read is a few dozen microseconds; one worker outruns the disk.
const WORKERS: usize = 1;

/// What a catalog node was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub kind: Kind,
    pub listen: SocketAddr,
    pub data: PathBuf,
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
    #[error("the write master stopped, because it could not commit: {0}")]
    Commit(StoreError),
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
    node: Node,
}

enum Node {
    Master { master: Arc<routes::Master>, tasks: writer::Tasks },
    Replica { replica: Arc<replica::Replica>, tasks: replica::Tasks },
}

impl Config {
    /// Binds, locks the data directory, opens the file; a master begins its epoch.
    pub async fn build(self, token: InternalToken) -> Result<App, CatalogError> {
        let (listener, addr) = server::bind(self.listen).map_err(CatalogError::Listen)?;
        let member = Member::new(token);
        let node = match self.kind {
            Kind::Master(config) => {
                let dir = DataDir::lock(&self.data, "catalog master")?;
                let (store, mut store_writer) = dir.open(READERS).await?;
                let recorded = if config.leases_outlive_process { config.lease } else { Duration::ZERO };
                let recorded_ms = u64::try_from(recorded.as_millis()).unwrap_or(u64::MAX);
                let started = store_writer.start_epoch(rand::random(), 0, recorded_ms).await?;
                let start = started.record.version;
                log::info!("epoch {} begins at {start}", start.epoch.number);
                let leases = Arc::new(holders::Leases::new(start, config.lease, member.clone()));
                let feed = Arc::new(feed::Feed::new(start, config.ack, member.clone()));
                let wait = Duration::from_millis(started.wait_ms);
                if !wait.is_zero() {
                    log::info!("purchases wait {wait:?} for the leases of the epoch before");
                }
                let not_before = clock::now().after(wait);
                let (queue, tasks) =
                    writer::new(dir, store_writer, Arc::clone(&leases), Arc::clone(&feed), not_before);
                let reads = reads::Reads::of_master(store);
                let exporting = tokio::sync::Semaphore::new(1);
                let master = routes::Master { reads, queue, leases, feed, data: self.data, exporting };
                Node::Master { master: Arc::new(master), tasks }
            }
            Kind::Replica(config) => {
                let dir = DataDir::lock(&self.data, "catalog replica")?;
                let (store, store_writer) = dir.open(READERS).await?;
                let masters = Masters::new(&config.masters, &member);
                let (replica, tasks) =
                    replica::new(dir, store, store_writer, masters, config.advertise, addr).await?;
                Node::Replica { replica, tasks }
            }
        };
        Ok(App { listener, addr, member, node })
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
    /// back.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), CatalogError> {
        let Self { listener, member, node, .. } = self;
        // The tasks behind the routes end after the last request, not with the first signal.
        let behind = Shutdown::new();
        match node {
            Node::Master { master, tasks } => {
                let work = actix_web::rt::spawn(tasks.run(behind.clone()));
                let data = web::Data::from(Arc::clone(&master));
                let routes = move |config: &mut web::ServiceConfig| {
                    routes::master(config, data.clone(), member.clone());
                };
                serve(listener, shutdown, routes, &master.reads, work, behind).await
            }
            Node::Replica { replica, tasks } => {
                let work = actix_web::rt::spawn(tasks.run(Arc::clone(&replica), behind.clone()));
                let data = web::Data::from(Arc::clone(&replica));
                let routes = move |config: &mut web::ServiceConfig| {
                    routes::replica(config, data.clone(), member.clone());
                };
                serve(listener, shutdown, routes, &replica.reads, work, behind).await
            }
        }
    }
}

/// Serves until `shutdown`, then ends the `work` behind the routes. That ends by itself only when its file
/// is in doubt: a node that cannot write any more must not look as if it were well.
async fn serve(
    listener: TcpListener,
    shutdown: Shutdown,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    reads: &reads::Reads,
    mut work: JoinHandle<Result<(), CatalogError>>,
    behind: Shutdown,
) -> Result<(), CatalogError> {
    let stop_serving = shutdown.child_token();
    let serving = server::serve(listener, WORKERS, stop_serving.clone(), routes);
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
            ended
        }
    };
    ended.map_err(|error| CatalogError::Serve(std::io::Error::other(error)))?
}
