//! Answers that may be stale: for a reader who asked for no more, and for all when the master is gone.
//!
//! Invariant: an answer from here says that it may be stale, unless the serving rule lets it pass or it is
//! the master's own, asked for after the reader came in.

use super::fetch::Flight;
use super::flights::{Fetched, Origin, Route};
use super::minimum::Reach;
use super::{Ask, By, Cache, Served, by, served};
use crate::coherence::{Lease, Verdict};
use crate::frontend::demand::Level;
use crate::wire::{ErrorCode, Problem};
use std::sync::Arc;

/// Nodes that are asked in search of a version.
const MAX_ASKED: usize = 3;

/// A lease that was valid when the reader came in, if there is one.
type MaybeLease<'a> = Option<&'a Arc<Lease>>;

impl Cache {
    /// The nearest answer that is as new as demanded: from memory, from Redis, from any node. The master
    /// is waited for only when none of them has one.
    pub(super) async fn nearest(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        lease: MaybeLease<'_>,
    ) -> Result<Served, Problem> {
        if let Some(answer) = self.in_memory(ask, lease).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.in_redis(ask, lease).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.at_nodes(ask, lease).await? {
            return Ok(answer);
        }
        self.at_master(ask, lease).await
    }

    /// The newest that there is without the master; nothing for a reader who wants the truth.
    pub(super) async fn without_master(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        lease: MaybeLease<'_>,
    ) -> Result<Served, Problem> {
        // Who asked for the nearest has been everywhere.
        if ask.demand.level == Level::Usual {
            if let Some(answer) = self.at_nodes(ask, lease).await? {
                return Ok(answer);
            }
            if let Some(answer) = self.in_memory(ask, lease).await? {
                return Ok(answer);
            }
            if let Some(answer) = self.in_redis(ask, lease).await? {
                return Ok(answer);
            }
        }
        Err(ErrorCode::Unavailable.into())
    }

    async fn in_memory(&self, ask: &Ask<'_>, lease: MaybeLease<'_>) -> Result<Option<Served>, Problem> {
        let Some(entry) = self.local.get(ask.want, ask.came_in) else { return Ok(None) };
        self.judged(ask, lease, served(entry, By::Memory), false).await
    }

    async fn in_redis(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        lease: MaybeLease<'_>,
    ) -> Result<Option<Served>, Problem> {
        if self.redis.is_none() {
            return Ok(None);
        }
        let start = || Flight::new(self, ask).redis(lease.cloned());
        match self.flights.join(Route::Redis, ask.want, None, start).await {
            Ok(fetched) => self.landed(ask, lease, &fetched).await,
            Err(_) => Ok(None),
        }
    }

    async fn at_nodes(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        lease: MaybeLease<'_>,
    ) -> Result<Option<Served>, Problem> {
        if ask.demand.minimum.is_none() {
            let start = || Flight::new(self, ask).any_node(lease.cloned());
            return match self.flights.join(Route::AnyNode, ask.want, None, start).await {
                Ok(fetched) => self.landed(ask, lease, &fetched).await,
                Err(_) => Ok(None),
            };
        }
        // They differ in how far they are, so another one may have what this one lacks.
        let flight = Flight::new(self, ask);
        let mut tried = Vec::new();
        self.nodes.first_attempt();
        while let Some(node) = self.nodes.pick_but_master(&tried) {
            match flight.node(&node, lease.map(|lease| &**lease)).await {
                Some(fetched) => {
                    if let Some(answer) = self.landed(ask, lease, &fetched).await? {
                        return Ok(Some(answer));
                    }
                }
                None if !self.nodes.may_retry() => break,
                None => {}
            }
            tried.push(node);
            if tried.len() == MAX_ASKED {
                break;
            }
        }
        Ok(None)
    }

    async fn landed(
        &self,
        ask: &Ask<'_>,
        lease: MaybeLease<'_>,
        fetched: &Fetched,
    ) -> Result<Option<Served>, Problem> {
        let fresh = matches!(fetched.origin, Origin::Master(sent) if sent >= ask.came_in);
        let answer = served(Arc::clone(&fetched.entry), by(&fetched.origin));
        let bypass = lease.is_none() && !answer.cached();
        self.judged(ask, lease, Served { bypass, ..answer }, fresh).await
    }

    /// The answer with its warning, if it needs one, and if it is as new as demanded.
    async fn judged(
        &self,
        ask: &Ask<'_>,
        lease: MaybeLease<'_>,
        answer: Served,
        fresh: bool,
    ) -> Result<Option<Served>, Problem> {
        // Before the judgement: see `Floors::announced`.
        let announced = lease.map(|lease| lease.floors().announced());
        let strict = lease.is_some_and(|lease| answer.entry.judge(lease, ask.came_in) == Verdict::Serve);
        let answer = Served { stale: !strict && !fresh, ..answer };
        match self.reach(ask, answer, announced.filter(|_| strict)).await? {
            Reach::Yes(answer) => Ok(Some(answer)),
            Reach::Older | Reach::Unsaid => Ok(None),
        }
    }
}
