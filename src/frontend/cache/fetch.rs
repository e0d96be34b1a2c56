//! One fetch on its way: from Redis, a catalog node, the master. It belongs to all who wait for it.
//!
//! Invariant: what is kept has passed the serving rule under the lease that it was fetched with.

use super::entry::{Content, Entry, Want};
use super::flights::{Fetched, Landing, Origin};
use super::source::{self, Answer};
use super::together::Together;
use super::{ATTEMPT, Ask, Cache};
use crate::clock;
use crate::coherence::{Lease, Moment, Verdict};
use crate::domain::Version;
use crate::frontend::balance::Node;
use crate::metrics::RedisLookup;
use crate::wire::ErrorCode;
use std::sync::Arc;

/// Nodes that are asked before the master has the last word.
const MAX_ASKED: usize = 2;

/// One fetch on its way.
pub(super) struct Flight {
    cache: Arc<Cache>,
    want: Want,
    request_id: String,
}

impl Flight {
    pub fn new(cache: &Arc<Cache>, ask: &Ask<'_>) -> Self {
        Self { cache: Arc::clone(cache), want: ask.want.clone(), request_id: ask.request_id.into() }
    }

    /// Redis, then one node, another if that one fails, and the master when a replica is behind.
    pub async fn nearest(self, lease: Arc<Lease>, minimum: Version) -> Landing {
        let cache = &self.cache;
        if let Some((entry, true)) = self.in_redis(Some(&lease)).await {
            return Ok(Arc::new(Fetched { entry, origin: Origin::Redis }));
        }
        let mut tried = Vec::new();
        cache.nodes.first_attempt();
        while let Some(node) = cache.nodes.pick(&tried) {
            let asked = source::fetch(&node, &self.want, Some(minimum), &self.request_id, ATTEMPT);
            match node.call(asked).await {
                Ok(answer) => return Ok(self.landed(answer, &node, Some(&lease))),
                Err(error) if error.code() == Some(ErrorCode::Behind) => break,
                Err(error) => {
                    log::debug!(request_id = self.request_id.as_str(); "{} failed: {error}", self.want);
                }
            }
            tried.push(node);
            if tried.len() == MAX_ASKED || !cache.nodes.may_retry() {
                break;
            }
        }
        self.master(Some(lease)).await
    }

    pub async fn master(self, lease: Option<Arc<Lease>>) -> Landing {
        let sent = clock::now();
        match source::fetch_from_master(&self.cache.masters, &self.want, &self.request_id, ATTEMPT).await {
            Ok(content) => Ok(self.keep(content, Origin::Master(sent), sent, lease.as_deref())),
            Err(error) => {
                log::debug!(request_id = self.request_id.as_str(); "{} at the master: {error}", self.want);
                Err(ErrorCode::Unavailable.into())
            }
        }
    }

    /// Redis's own answer, whatever it shows.
    pub async fn redis(self, lease: Option<Arc<Lease>>) -> Landing {
        let (entry, _) = self.in_redis(lease.as_deref()).await.ok_or(ErrorCode::Unavailable)?;
        Ok(Arc::new(Fetched { entry, origin: Origin::Redis }))
    }

    /// Some node's answer, whatever it shows; the master's only if no other node is well.
    pub async fn any_node(self, lease: Option<Arc<Lease>>) -> Landing {
        let nodes = &self.cache.nodes;
        let mut tried = Vec::new();
        nodes.first_attempt();
        while let Some(node) = nodes.pick_but_master(&tried) {
            if let Some(fetched) = self.node(&node, lease.as_deref()).await {
                return Ok(fetched);
            }
            tried.push(node);
            if tried.len() == MAX_ASKED || !nodes.may_retry() {
                break;
            }
        }
        Err(ErrorCode::Unavailable.into())
    }

    /// This node's answer, whatever it shows.
    pub async fn node(&self, node: &Node<Together>, lease: Option<&Lease>) -> Option<Arc<Fetched>> {
        match node.call(source::fetch(node, &self.want, None, &self.request_id, ATTEMPT)).await {
            Ok(answer) => Some(self.landed(answer, node, lease)),
            Err(error) => {
                log::debug!(request_id = self.request_id.as_str(); "{} failed: {error}", self.want);
                None
            }
        }
    }

    /// What Redis holds, and whether the serving rule lets it pass; then it is kept in memory, too.
    async fn in_redis(&self, lease: Option<&Lease>) -> Option<(Arc<Entry>, bool)> {
        let asked = clock::now();
        let redis = self.cache.redis.as_ref()?;
        let entry = match redis.get(&self.want).await {
            Ok(content) => self.entry(content),
            Err(why) => {
                self.cache.counts.looked_up_in_redis(why);
                return None;
            }
        };
        let verdict = lease.map_or(Verdict::NoLease, |lease| entry.judge(lease, asked));
        self.cache.counts.looked_up_in_redis(match verdict {
            Verdict::Serve => RedisLookup::Hit,
            Verdict::BelowFloor(_) => RedisLookup::BelowFloor,
            Verdict::OtherEpoch => RedisLookup::OtherEpoch,
            Verdict::NoLease => RedisLookup::NoLease,
        });
        let strict = verdict == Verdict::Serve;
        if strict {
            self.cache.local.insert(self.want.clone(), Arc::clone(&entry));
        }
        Some((entry, strict))
    }

    fn landed(&self, answer: Answer, node: &Node<Together>, lease: Option<&Lease>) -> Arc<Fetched> {
        node.answered(answer.master);
        let origin = match answer.master {
            true => Origin::Master(answer.sent),
            false => Origin::Replica(node.peer.name()),
        };
        self.keep(answer.content, origin, answer.sent, lease)
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
