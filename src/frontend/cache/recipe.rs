//! Reads by one of the well-known recipes, instead of the serving rule: whatever is cached is served, and
//! what is not is filled from whichever node is next, a replica that lags included.
//!
//! Nothing here is coherent, on purpose; see [`Recipe`].

use super::entry::{Content, Entry, Want};
use super::flights::{Fetched, Landing, Origin, Route};
use super::redis::Redis;
use super::{ATTEMPT, Ask, By, Cache, Served, Ttl, by, served, source};
use crate::clock;
use crate::coherence::Key;
use crate::coherence::lease::{Announced, Fence, FenceAnswer};
use crate::recipe::Recipe;
use crate::wire::{ErrorCode, Problem};
use deadpool_redis::redis::cmd;
use std::sync::Arc;
use std::time::Duration;

/// As good as for ever, and a number that Redis takes.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Nodes that are asked for one answer.
const MAX_ASKED: usize = 2;

/// Names that Redis looks at in one step, and the most steps of one deletion.
const SCAN_COUNT: u32 = 1000;
const MAX_SCANS: usize = 1000;

/// How long entries are kept by `recipe`.
pub fn ttl(recipe: Option<Recipe>, configured: Ttl) -> Ttl {
    match recipe {
        Some(Recipe::Nothing) => Ttl { search: FOR_EVER, info: FOR_EVER },
        _ => configured,
    }
}

/// What is cached; else what the next node says, which is cached then.
pub(super) async fn get(cache: &Arc<Cache>, ask: &Ask<'_>) -> Result<Served, Problem> {
    if let Some(entry) = cache.local.get(ask.want, ask.came_in) {
        return Ok(served(entry, By::Memory));
    }
    let start = || fill(Arc::clone(cache), ask.want.clone(), ask.request_id.to_owned());
    let fetched = cache.flights.join(Route::Nearest, ask.want, None, start).await?;
    Ok(served(Arc::clone(&fetched.entry), by(&fetched.origin)))
}

async fn fill(cache: Arc<Cache>, want: Want, request_id: String) -> Landing {
    let keep = |content: Content, origin| {
        let entry = Arc::new(Entry::new(&want, content, clock::now(), cache.ttl.of(&want)));
        cache.local.insert(want.clone(), Arc::clone(&entry));
        Arc::new(Fetched { entry, origin })
    };
    if let Some(redis) = &cache.redis
        && let Some(content) = redis.get(&want).await
    {
        return Ok(keep(content, Origin::Redis));
    }
    let mut tried = Vec::new();
    while let Some(node) = cache.nodes.pick(&tried).filter(|_| tried.len() < MAX_ASKED) {
        match source::fetch(&node, &want, None, &request_id, ATTEMPT).await {
            Ok(answer) => {
                if let Some(redis) = &cache.redis {
                    redis.put(&want, &answer.content, cache.ttl.of(&want));
                }
                return Ok(keep(answer.content, Origin::Replica(node.peer.name())));
            }
            Err(error) => node.failed(&error),
        }
        tried.push(node);
    }
    Err(ErrorCode::Unavailable.into())
}

/// The master has announced a change, and waits: what it touches is deleted, in memory and in Redis.
pub(super) async fn announced(cache: &Cache, fence: &Fence) -> FenceAnswer {
    if fence.holder != cache.leases.holder() {
        return FenceAnswer::NotThisHolder;
    }
    match &fence.keys {
        Announced::Keys(keys) => {
            let slots: Vec<_> = keys.iter().map(Key::slot).collect();
            cache.local.forget(|entry| slots.iter().any(|&slot| entry.depends_on(slot)));
        }
        Announced::All => cache.local.clear(),
    }
    if let Some(redis) = &cache.redis {
        // Without Redis the entries stay in it, as they do in the shops that do this.
        let _ = delete_from(redis, &fence.keys).await;
    }
    FenceAnswer::Raised
}

/// `None` when Redis is not to be had.
async fn delete_from(redis: &Redis, keys: &Announced) -> Option<()> {
    let connection = redis.connection()?;
    let mut doomed = Vec::new();
    for pattern in ["info:*", "search:*", "q:*", "topics"] {
        let mut cursor = 0u64;
        for _ in 0..MAX_SCANS {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
            let (next, names): (u64, Vec<String>) = redis.ask(&connection, scan).await?;
            for name in names {
                if touches(redis, keys, &name).await {
                    doomed.push(name);
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    if doomed.is_empty() {
        return Some(());
    }
    let mut delete = cmd("DEL");
    delete.arg(doomed);
    redis.ask::<u64>(&connection, delete).await.map(|_| ())
}

/// Whether what lies under `name` is filed under one of `keys`, or contains one of these books.
async fn touches(redis: &Redis, keys: &Announced, name: &str) -> bool {
    let Announced::Keys(keys) = keys else { return true };
    let filed = keys.iter().any(|key| match key {
        Key::Book(id) => *name == Want::Book(*id).redis_name(),
        // Behind a line break there is the page.
        Key::Topic(topic) => name.split('\n').next() == Some(&format!("search:{topic}")),
        Key::Topics => *name == Want::Topics.redis_name(),
        Key::Query => name.starts_with("q:"),
    });
    if filed || !(name.starts_with("search:") || name.starts_with("q:")) {
        return filed;
    }
    let content = redis.named(name).await;
    content.is_some_and(|content| content.books.iter().any(|&id| keys.contains(&Key::Book(id))))
}
