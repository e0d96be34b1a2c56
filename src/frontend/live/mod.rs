//! Stock on open pages: whoever has a page open is told when a book on it has changed.
//!
//! ```text
//!  catalog node ──▶ follower ──▶ Cache::get ──▶ watchers ──▶ events ──▶ open pages
//!  (which books)    (what of them now)          (who looks at which)
//! ```
//!
//! Invariants: what is told was read through the one door of the cache after the change, and is never what may be
//! stale; nobody is told an older state behind a newer one. What it costs does not grow with the purchases, and
//! is nothing while nobody looks.
//!
//! | file | what it does |
//! |---|---|
//! | `events` | HTTP: `GET /events?books=9,10` |
//! | `watchers` | who looks at which books, and what each is still to be told |
//! | `follower` | the one task that follows what changes, and reads it |
//! | `nearest` | which catalog node it follows |
//! | `shown` | what a page shows of a book |
//! | `live.js` | the other end, in the browser |

mod events;
mod follower;
mod nearest;
mod shown;
mod watchers;

use super::cache::Cache;
use super::demand::{Demand, Level};
use crate::clock;
use crate::domain::BookId;
use crate::frontend::cache::Want;
use crate::metrics::{Sheet, families};
use crate::pages::Asset;
use crate::shutdown::Shutdown;
use crate::wire::Problem;
use actix_web::web::ServiceConfig;
pub use events::{__path_events, MAX_BOOKS, events};
use follower::Follower;
use nearest::Nearest;
use shown::Shown;
use std::sync::Arc;
use watchers::{MAX_WATCHERS, Watchers};

/// Updates the books of an open page; every page with such books wants it.
pub static SCRIPT: Asset = Asset::js("live", include_str!("live.js"));

pub fn configure(config: &mut ServiceConfig) {
    SCRIPT.configure(config);
}

/// What the routes see.
pub struct Live {
    cache: Arc<Cache>,
    watchers: Arc<Watchers>,
    /// A stop does not wait for open pages.
    stop: Shutdown,
}

impl Live {
    pub fn new(cache: Arc<Cache>, stop: Shutdown) -> Self {
        Self { cache, watchers: Arc::default(), stop }
    }

    /// What a scraper is told.
    pub fn read(&self, sheet: &mut Sheet) {
        sheet.gauge(&families::EVENT_STREAMS, self.watchers.count() as f64);
        sheet.gauge(&families::EVENT_STREAMS_MAX, MAX_WATCHERS as f64);
    }

    /// Follows what changes, while somebody looks, until the stop.
    pub async fn follow(&self) {
        let nearest = Nearest::new(Arc::clone(&self.cache));
        let following = Follower::new(nearest, Arc::clone(&self.watchers)).run();
        self.stop.run_until_cancelled(following).await;
    }
}

/// What a page shows of a book at a moment since this was called; never what may be stale.
async fn read(cache: &Arc<Cache>, id: BookId, request_id: &str) -> Result<Arc<Shown>, Problem> {
    let demand = Demand { level: Level::Linearizable, minimum: None };
    let served = cache.get(&Want::Book(id), demand, clock::now(), request_id).await?;
    Shown::of(id, &served.entry).map(Arc::new)
}
