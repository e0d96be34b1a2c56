//! The cache: memory, then Redis, then a catalog node, and never a stale answer.
//!
//! [`Cache::get`] is the only door ([`Cache::still_serves`] is its first step). Nothing passes it but
//! 1. an entry that the serving rule ([`Stamp::judge`](crate::coherence::Stamp::judge)) lets pass,
//! 2. the master's own answer to a request sent after the reader came in,
//! 3. where neither is to be had, or the reader asked for less, an answer that says of itself that it may
//!    be stale.

mod entry;
mod fetch;
mod flights;
mod link;
mod local;
mod minimum;
mod nearest;
mod recipe;
mod redis;
mod session;
mod source;
mod together;

use super::balance::Pool;
use super::demand::{Demand, Level};
use crate::client::Masters;
use crate::coherence::lease::{Fence, FenceAnswer};
use crate::coherence::{Lease, Moment, Verdict, serving};
use crate::domain::{PublicVersion, Version};
use crate::metrics::{AnsweredBy, Miss, Reads, Sheet, families};
use crate::recipe::Recipe;
use crate::telemetry::trace;
use crate::wire::{ErrorCode, Problem, headers};
use actix_web::http::header::HeaderValue;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
pub use entry::Content;
pub use entry::{Entry, Want};
use fetch::Flight;
use flights::{Fetched, Flights, Origin, Route};
use local::Known;
pub use local::Local;
pub use minimum::Reach;
use minimum::{Histories, beyond};
pub use redis::{Keeper as RedisKeeper, Redis};
pub use session::LeaseKeeper;
pub use together::Together;

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
            Want::Page { .. } | Want::Query { .. } | Want::Topics => self.search,
        }
    }
}

/// How an answer was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    Memory,
    Redis,
    /// The URL of the replica that was asked.
    Node(Arc<str>),
    Master,
}

/// An answer that may be given.
pub struct Served {
    pub entry: Arc<Entry>,
    pub by: By,
    /// No lease was held: nothing could be looked up or kept.
    pub bypass: bool,
    /// It may be stale, and must say so.
    pub stale: bool,
    /// The state that it shows, where that is known to be a later one than the entry's own.
    shows: Option<PublicVersion>,
}

impl Served {
    /// Whether a cache answered.
    pub fn cached(&self) -> bool {
        matches!(self.by, By::Memory | By::Redis)
    }

    /// The value of `Bazar-Version`.
    pub fn version(&self) -> HeaderValue {
        self.shows.map_or_else(|| self.entry.version().clone(), |shows| entry::in_header(&shows))
    }

    /// The value of `X-Cache`.
    pub fn x_cache(&self) -> &'static str {
        match (self.cached(), self.bypass) {
            (true, _) => headers::HIT,
            (false, true) => "BYPASS",
            (false, false) => "MISS",
        }
    }
}

impl By {
    /// As it is counted.
    pub fn level(&self) -> AnsweredBy {
        match self {
            By::Memory => AnsweredBy::Memory,
            By::Redis => AnsweredBy::Redis,
            By::Node(_) => AnsweredBy::Replica,
            By::Master => AnsweredBy::Master,
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Memory => f.write_str("memory"),
            By::Redis => f.write_str("redis"),
            By::Master => f.write_str("master"),
            By::Node(url) => f.write_str(url),
        }
    }
}

/// Where answers come from.
pub struct Levels {
    pub local: Local,
    pub redis: Option<Arc<Redis>>,
    pub nodes: Arc<Pool<Together>>,
    pub masters: Masters,
}

pub struct Cache {
    pub local: Local,
    pub redis: Option<Arc<Redis>>,
    pub leases: Arc<LeaseKeeper>,
    /// Master and replicas alike: who answers reads.
    pub nodes: Arc<Pool<Together>>,
    pub masters: Masters,
    pub ttl: Ttl,
    /// Instead of the serving rule.
    pub recipe: Option<Recipe>,
    pub counts: Reads,
    flights: Flights,
    histories: Histories,
}

impl Cache {
    pub fn new(
        Levels { local, redis, nodes, masters }: Levels,
        leases: Arc<LeaseKeeper>,
        ttl: Ttl,
        recipe: Option<Recipe>,
        counts: Reads,
    ) -> Self {
        Self {
            local,
            redis,
            leases,
            nodes,
            masters,
            ttl: recipe::ttl(recipe, ttl),
            recipe,
            counts,
            flights: Flights::default(),
            histories: Histories::new(),
        }
    }

    /// The answer to a request that came in at `came_in`, as `demand` wants it.
    pub async fn get(
        self: &Arc<Self>,
        want: &Want,
        demand: Demand,
        came_in: Moment,
        request_id: &str,
    ) -> Result<Served, Problem> {
        let ask = Ask { want, demand, came_in, request_id };
        if self.recipe.is_some() {
            return Box::pin(recipe::get(self, &ask)).await;
        }
        let lease = self.leases.lease().as_ref().filter(|lease| lease.valid_at(came_in)).cloned();
        let Some(lease) = lease else {
            self.missed(Miss::NoLease);
            return Box::pin(self.without_lease(&ask)).await;
        };
        // Before the judgement: see `Floors::announced`.
        let announced = lease.floors().announced();
        let (missed, floor) = match self.local.look(want, came_in) {
            Known::Entry(entry) => match entry.judge(&lease, came_in) {
                Verdict::Serve => {
                    let hit = served(entry, By::Memory);
                    if demand.minimum.is_none() {
                        self.counts.looked_up(Miss::Hit);
                        return Ok(hit);
                    }
                    if let Reach::Yes(hit) = Box::pin(self.reach(&ask, hit, Some(announced))).await? {
                        self.counts.looked_up(Miss::Hit);
                        return Ok(hit);
                    }
                    (Miss::TooOld, lease.minimum(want.key().slot()))
                }
                Verdict::BelowFloor(floor) => (Miss::BelowFloor, floor),
                Verdict::OtherEpoch => (Miss::OtherEpoch, lease.minimum(want.key().slot())),
                Verdict::NoLease => (Miss::NoLease, lease.minimum(want.key().slot())),
            },
            Known::Expired => (Miss::Expired, lease.minimum(want.key().slot())),
            Known::Nothing => (Miss::Absent, lease.minimum(want.key().slot())),
        };
        self.missed(missed);
        // On the heap, so that a hit, which is most requests, does not carry its size.
        match demand.level {
            Level::Stale => Box::pin(self.nearest(&ask, Some(&lease))).await,
            Level::Usual | Level::Linearizable => Box::pin(self.fetch(&ask, &lease, floor)).await,
        }
    }

    fn missed(&self, why: Miss) {
        self.counts.looked_up(why);
        trace::note("bazar.cache.miss", why.label());
    }

    /// What a scraper is told: what is kept, what is on its way, the lease, the nodes.
    pub fn read(&self, sheet: &mut Sheet) {
        self.local.read(sheet);
        sheet.gauge(&families::CACHE_FLIGHTS, self.flights.count() as f64);
        self.leases.read(sheet);
        self.nodes.read(sheet);
        sheet.flag(&families::REDIS_CONFIGURED, self.redis.is_some());
        sheet.flag(&families::REDIS_CONNECTED, self.redis.as_ref().is_some_and(|redis| redis.is_connected()));
        if let Some(redis) = &self.redis {
            redis.read(sheet);
        }
    }

    /// Whether an entry that passed this door before would pass it again now, for a request that came in at
    /// `came_in` and demands no more than usual: the first step of [`get`](Self::get), for who has the entry
    /// still at hand.
    pub fn still_serves(&self, entry: &Entry, came_in: Moment) -> bool {
        if self.recipe.is_some() || entry.expired(came_in) {
            return false;
        }
        self.leases.lease().as_ref().is_some_and(|lease| entry.judge(lease, came_in) == Verdict::Serve)
    }

    /// The master is about to change something. When this returns, nothing older is served any more.
    pub async fn announced(&self, fence: &Fence) -> FenceAnswer {
        match self.recipe {
            None => self.leases.fenced(fence),
            Some(_) => recipe::announced(self, fence).await,
        }
    }

    /// Another life of the master has begun: what is kept of the one before is of no use.
    pub fn new_epoch(&self) {
        if self.recipe.is_none() {
            self.local.clear();
        }
    }

    async fn without_lease(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Served, Problem> {
        match ask.demand.level {
            Level::Stale => self.nearest(ask, None).await,
            Level::Usual | Level::Linearizable => self.at_master(ask, None).await,
        }
    }

    /// Under a lease: what passes the serving rule, from wherever it comes; else the master's word.
    async fn fetch(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        lease: &Arc<Lease>,
        floor: Version,
    ) -> Result<Served, Problem> {
        // What nobody has announced here yet, only the master can have.
        if !beyond(ask.demand.minimum, lease) {
            let start = || Flight::new(self, ask).nearest(Arc::clone(lease), floor);
            let landing = self.flights.join(Route::Nearest, ask.want, None, start).await;
            let announced = lease.floors().announced();
            if let Some((answer, strict)) =
                landing.ok().and_then(|fetched| accept(&fetched, lease, ask.came_in))
                && let Reach::Yes(answer) = self.reach(ask, answer, strict.then_some(announced)).await?
            {
                return Ok(answer);
            }
        }
        self.at_master(ask, Some(lease)).await
    }

    /// The master's answer to a request that is sent after the reader came in: what it has committed is
    /// the truth of a moment since then, whatever lease is held. Without a lease nothing is kept.
    async fn at_master(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        lease: Option<&Arc<Lease>>,
    ) -> Result<Served, Problem> {
        let start = || Flight::new(self, ask).master(lease.cloned());
        let landing = self.flights.join(Route::Master, ask.want, Some(ask.came_in), start).await;
        let Ok(fetched) = landing else { return self.without_master(ask, lease).await };
        let kept = lease.is_some_and(|lease| accept(&fetched, lease, ask.came_in).is_some());
        let answer = Served { bypass: !kept, ..served(Arc::clone(&fetched.entry), by(&fetched.origin)) };
        match self.reach(ask, answer, None).await? {
            Reach::Yes(answer) => Ok(answer),
            // The master has committed nothing of it: nobody has ever seen it.
            Reach::Older => Err(ErrorCode::VersionUnavailable.into()),
            Reach::Unsaid => Err(ErrorCode::Unavailable.into()),
        }
    }
}

/// One request for an answer.
struct Ask<'a> {
    want: &'a Want,
    demand: Demand,
    came_in: Moment,
    request_id: &'a str,
}

fn served(entry: Arc<Entry>, by: By) -> Served {
    Served { entry, by, bypass: false, stale: false, shows: None }
}

fn by(origin: &Origin) -> By {
    match origin {
        Origin::Redis => By::Redis,
        Origin::Replica(url) => By::Node(Arc::clone(url)),
        Origin::Master(_) => By::Master,
    }
}

/// What one waiter makes of what a flight brought. The flag says whether the serving rule lets it pass;
/// else it is the master's own answer, which may be given all the same.
fn accept(fetched: &Fetched, lease: &Lease, came_in: Moment) -> Option<(Served, bool)> {
    let strict = fetched.entry.judge(lease, came_in) == Verdict::Serve;
    let fresh = match fetched.origin {
        Origin::Master(sent) => serving::fresh_from_master(fetched.entry.asof().epoch, lease, sent, came_in),
        Origin::Redis | Origin::Replica(_) => false,
    };
    (strict || fresh).then(|| (served(Arc::clone(&fetched.entry), by(&fetched.origin)), strict))
}
