//! The cache: memory, then Redis, then a catalog node, and never a stale answer.
//!
//! [`Cache::get`] is the only door. Nothing passes it but
//! 1. an entry that the serving rule ([`Stamp::judge`](crate::coherence::Stamp::judge)) lets pass,
//! 2. the master's own answer to a request sent after the reader came in,
//! 3. where neither is to be had, an answer that says of itself that it may be stale.

mod entry;
mod flights;
mod local;
mod redis;
mod session;
mod source;

use super::balance::Pool;
use crate::client::Masters;
use crate::clock;
use crate::coherence::{Lease, Moment, Verdict, serving};
use crate::domain::Version;
use crate::wire::{ErrorCode, Problem};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use entry::{Content, Entry, Want};
use flights::{Fetched, Flights, Landing, Origin, Route};
pub use local::Local;
pub use redis::{Keeper as RedisKeeper, Redis};
pub use session::LeaseKeeper;

/// For one attempt at one node: a read takes a millisecond, a node that needs this long is ill.
const ATTEMPT: Duration = Duration::from_millis(500);

/// How long entries are kept.
#[derive(Debug, Clone, Copy)]
pub struct Ttl {
    pub search: Duration,
    pub info: Duration,
}

impl Ttl {
    fn of(self, want: &Want) -> Duration {
        match want {
            Want::Book(_) => self.info,
            Want::Page { .. } | Want::Topics => self.search,
        }
    }
}

/// How an answer was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    Memory,
    Redis,
    /// The URL of the node that was asked.
    Node(String),
}

/// An answer that may be given.
pub struct Served {
    pub entry: Arc<Entry>,
    pub by: By,
    /// No lease was held: nothing could be looked up or kept.
    pub bypass: bool,
    /// It may be stale, and must say so.
    pub stale: bool,
}

impl Served {
    /// Whether a cache answered.
    pub fn cached(&self) -> bool {
        matches!(self.by, By::Memory | By::Redis)
    }

    /// The value of `X-Cache`.
    pub fn x_cache(&self) -> &'static str {
        match (self.cached(), self.bypass) {
            (true, _) => "HIT",
            (false, true) => "BYPASS",
            (false, false) => "MISS",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Memory => f.write_str("memory"),
            By::Redis => f.write_str("redis"),
            By::Node(url) => f.write_str(url),
        }
    }
}

pub struct Cache {
    pub local: Local,
    pub redis: Option<Arc<Redis>>,
    pub leases: Arc<LeaseKeeper>,
    /// Master and replicas alike: who answers reads.
    pub nodes: Arc<Pool>,
    pub masters: Masters,
    pub ttl: Ttl,
    flights: Flights,
}

impl Cache {
    pub fn new(
        local: Local,
        redis: Option<Arc<Redis>>,
        leases: Arc<LeaseKeeper>,
        nodes: Arc<Pool>,
        masters: Masters,
        ttl: Ttl,
    ) -> Self {
        Self { local, redis, leases, nodes, masters, ttl, flights: Flights::default() }
    }

    /// The answer to a request that came in at `came_in`.
    pub async fn get(
        self: &Arc<Self>,
        want: &Want,
        came_in: Moment,
        request_id: &str,
    ) -> Result<Served, Problem> {
        let lease = match &*self.leases.lease() {
            Some(lease) if lease.valid_at(came_in) => Arc::clone(lease),
            _ => return self.without_lease(want, came_in, request_id).await,
        };
        let minimum = match self.local.get(want, came_in) {
            Some(entry) => match entry.judge(&lease, came_in) {
                Verdict::Serve => return Ok(served(entry, By::Memory)),
                Verdict::BelowFloor(minimum) => minimum,
                Verdict::OtherEpoch | Verdict::NoLease => lease.minimum(want.key().slot()),
            },
            None => lease.minimum(want.key().slot()),
        };
        self.fetch(want, lease, minimum, came_in, request_id).await
    }

    async fn fetch(
        self: &Arc<Self>,
        want: &Want,
        lease: Arc<Lease>,
        minimum: Version,
        came_in: Moment,
        request_id: &str,
    ) -> Result<Served, Problem> {
        let landing = self
            .flights
            .join(Route::Nearest, want, None, || {
                let flight = Flight::new(self, want, request_id);
                flight.nearest(Arc::clone(&lease), minimum)
            })
            .await;
        if let Some(served) = landing.ok().and_then(|fetched| accept(&fetched, &lease, came_in)) {
            return Ok(served);
        }
        match self.at_master(want, came_in, request_id, Some(Arc::clone(&lease))).await {
            Ok(fetched) => match accept(&fetched, &lease, came_in) {
                Some(served) => Ok(served),
                // Of another epoch than the lease: the master's answer all the same, asked for after the
                // reader came in.
                None => {
                    Ok(Served { bypass: true, ..served(Arc::clone(&fetched.entry), by(&fetched.origin)) })
                }
            },
            Err(_) => self.stale(want, came_in, request_id).await,
        }
    }

    /// Reads at the master, keeps nothing, and shares a flight only with those who came before it was
    /// sent.
    async fn without_lease(
        self: &Arc<Self>,
        want: &Want,
        came_in: Moment,
        request_id: &str,
    ) -> Result<Served, Problem> {
        match self.at_master(want, came_in, request_id, None).await {
            Ok(fetched) => {
                Ok(Served { bypass: true, ..served(Arc::clone(&fetched.entry), by(&fetched.origin)) })
            }
            Err(_) => self.stale(want, came_in, request_id).await,
        }
    }

    async fn at_master(
        self: &Arc<Self>,
        want: &Want,
        came_in: Moment,
        request_id: &str,
        lease: Option<Arc<Lease>>,
    ) -> Landing {
        self.flights
            .join(Route::Master, want, Some(came_in), || Flight::new(self, want, request_id).master(lease))
            .await
    }

    /// Without the master: whatever there is, marked as what it is.
    async fn stale(&self, want: &Want, came_in: Moment, request_id: &str) -> Result<Served, Problem> {
        let mut tried = Vec::new();
        while let Some(node) = self.nodes.pick(&tried).filter(|_| tried.len() < 2) {
            match source::fetch(&node.peer, want, None, request_id, ATTEMPT).await {
                Ok(answer) => {
                    let entry = Arc::new(Entry::new(want, answer.content, came_in, Duration::ZERO));
                    let by = By::Node(node.peer.url().to_string());
                    return Ok(Served { bypass: true, stale: true, ..served(entry, by) });
                }
                Err(error) => node.failed(&error),
            }
            tried.push(node);
        }
        match self.local.get(want, came_in) {
            Some(entry) => Ok(Served { stale: true, ..served(entry, By::Memory) }),
            None => Err(ErrorCode::Unavailable.into()),
        }
    }
}

fn served(entry: Arc<Entry>, by: By) -> Served {
    Served { entry, by, bypass: false, stale: false }
}

fn by(origin: &Origin) -> By {
    match origin {
        Origin::Redis => By::Redis,
        Origin::Replica(url) => By::Node(url.clone()),
        Origin::Master(_) => By::Node("master".into()),
    }
}

/// What one waiter makes of what a flight brought.
fn accept(fetched: &Fetched, lease: &Lease, came_in: Moment) -> Option<Served> {
    let fresh = match fetched.origin {
        Origin::Master(sent) => serving::fresh_from_master(fetched.entry.asof().epoch, lease, sent, came_in),
        Origin::Redis | Origin::Replica(_) => false,
    };
    let strict = fetched.entry.judge(lease, came_in) == Verdict::Serve;
    (strict || fresh).then(|| served(Arc::clone(&fetched.entry), by(&fetched.origin)))
}

/// One fetch on its way.
struct Flight {
    cache: Arc<Cache>,
    want: Want,
    request_id: String,
}

impl Flight {
    fn new(cache: &Arc<Cache>, want: &Want, request_id: &str) -> Self {
        Self { cache: Arc::clone(cache), want: want.clone(), request_id: request_id.into() }
    }

    /// Redis, then one node, another if that one fails, and the master when a replica is behind.
    async fn nearest(self, lease: Arc<Lease>, minimum: Version) -> Landing {
        let cache = &self.cache;
        if let Some(redis) = &cache.redis {
            let asked = clock::now();
            if let Some(content) = redis.get(&self.want).await {
                let entry = self.entry(content);
                if entry.judge(&lease, asked) == Verdict::Serve {
                    cache.local.insert(self.want.clone(), Arc::clone(&entry));
                    return Ok(Arc::new(Fetched { entry, origin: Origin::Redis }));
                }
            }
        }
        let mut tried = Vec::new();
        while let Some(node) = cache.nodes.pick(&tried).filter(|_| tried.len() < 2) {
            let sent = clock::now();
            match source::fetch(&node.peer, &self.want, Some(minimum), &self.request_id, ATTEMPT).await {
                Ok(answer) => {
                    let origin = match answer.master {
                        true => Origin::Master(sent),
                        false => Origin::Replica(node.peer.url().to_string()),
                    };
                    return Ok(self.keep(answer.content, origin, sent, Some(&lease)));
                }
                Err(error) if error.code() == Some(ErrorCode::Behind) => break,
                Err(error) => {
                    log::debug!(request_id = self.request_id.as_str(); "{} failed: {error}", self.want);
                    node.failed(&error);
                }
            }
            tried.push(node);
        }
        self.master(Some(lease)).await
    }

    async fn master(self, lease: Option<Arc<Lease>>) -> Landing {
        let sent = clock::now();
        match source::fetch_from_master(&self.cache.masters, &self.want, &self.request_id, ATTEMPT).await {
            Ok(content) => Ok(self.keep(content, Origin::Master(sent), sent, lease.as_deref())),
            Err(error) => {
                log::debug!(request_id = self.request_id.as_str(); "{} at the master: {error}", self.want);
                Err(ErrorCode::Unavailable.into())
            }
        }
    }

    /// Keeps an answer if the serving rule would let it pass: an answer that is already below a floor
    /// would only be refused again.
    fn keep(&self, content: Content, origin: Origin, sent: Moment, lease: Option<&Lease>) -> Arc<Fetched> {
        let cache = &self.cache;
        cache.leases.met(content.asof.epoch);
        let entry = self.entry(content.clone());
        if lease.is_some_and(|lease| entry.judge(lease, sent) == Verdict::Serve) {
            cache.local.insert(self.want.clone(), Arc::clone(&entry));
            if let Some(redis) = &cache.redis {
                redis.put(&self.want, &content, cache.ttl.of(&self.want));
            }
        }
        Arc::new(Fetched { entry, origin })
    }

    fn entry(&self, content: Content) -> Arc<Entry> {
        Arc::new(Entry::new(&self.want, content, clock::now(), self.cache.ttl.of(&self.want)))
    }
}
