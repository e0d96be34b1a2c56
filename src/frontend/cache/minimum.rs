//! `Bazar-Min-Version`: whether an answer is as new as its reader demands.
//!
//! An answer of the epoch that the minimum names compares by `seq`. One that passes the serving rule shows
//! what every version announced here shows, so it may stand for the highest of them. An answer of a later
//! epoch is newer if the minimum is a point of its history, which a catalog node knows.
//!
//! Invariant: an answer that counts as new enough contains everything that the minimum contains.

use super::{ATTEMPT, Ask, Cache, Served};
use crate::coherence::Lease;
use crate::domain::{Epoch, Known, PublicVersion, Version};
use crate::frontend::demand::Demand;
use crate::wire::catalog::{VERSIONS, VersionStanding};
use crate::wire::{ErrorCode, Problem};
use quick_cache::sync::Cache as Remembered;
use std::cmp::Ordering;

/// Versions of epochs that are over, of which a node has said whether they are history: some clients hold
/// one each across a restart of the master, and one that falls out costs a question.
const MAX_REMEMBERED: usize = 4096;

/// Nodes that are asked about a version before the master is.
const MAX_ASKED: usize = 2;

/// How an answer stands to a minimum.
pub enum Reach<T> {
    /// It is as new, and names the state that it shows.
    Yes(T),
    /// It is older, as far as this answer tells.
    Older,
    /// Nobody who knows can be asked.
    Unsaid,
}

/// What catalog nodes have said: whether a version is a point of the history of a later epoch. Either is
/// so for ever.
pub(super) struct Histories(Remembered<(PublicVersion, Epoch), bool>);

impl Histories {
    pub fn new() -> Self {
        Self(Remembered::new(MAX_REMEMBERED))
    }
}

/// Whether `minimum` names a version of the lease's epoch that was not announced to it.
pub(super) fn beyond(minimum: Option<PublicVersion>, lease: &Lease) -> bool {
    minimum.is_some_and(|minimum| {
        minimum.epoch == lease.epoch().number && minimum.seq > lease.floors().announced()
    })
}

impl Cache {
    /// Whether `answer` is as new as `ask` demands; then it names the later of the two versions.
    /// `announced`: the highest version announced before the serving rule let the answer pass. The error
    /// says that this store has no such version.
    pub(super) async fn reach(
        &self,
        ask: &Ask<'_>,
        answer: Served,
        announced: Option<u64>,
    ) -> Result<Reach<Served>, Problem> {
        let Some(minimum) = ask.demand.minimum else { return Ok(Reach::Yes(answer)) };
        let reach = self.shows(minimum, answer.entry.asof(), announced, ask.request_id).await?;
        Ok(match reach {
            Reach::Yes(shows) => Reach::Yes(Served { shows: Some(shows), ..answer }),
            Reach::Older => Reach::Older,
            Reach::Unsaid => Reach::Unsaid,
        })
    }

    /// The version that an answer of the state `asof`, which is not kept, may name, if it is as new as
    /// demanded.
    pub async fn at_least(
        &self,
        demand: Demand,
        asof: Version,
        request_id: &str,
    ) -> Result<Reach<PublicVersion>, Problem> {
        match demand.minimum {
            None => Ok(Reach::Yes(asof.public())),
            Some(minimum) => self.shows(minimum, asof, None, request_id).await,
        }
    }

    /// The version that an answer of the state `asof` may name, if it is as new as `minimum`.
    async fn shows(
        &self,
        minimum: PublicVersion,
        asof: Version,
        announced: Option<u64>,
        request_id: &str,
    ) -> Result<Reach<PublicVersion>, Problem> {
        match asof.epoch.number.cmp(&minimum.epoch) {
            Ordering::Less => Ok(Reach::Older),
            Ordering::Equal if asof.seq.max(announced.unwrap_or(0)) < minimum.seq => Ok(Reach::Older),
            Ordering::Equal => Ok(Reach::Yes(PublicVersion { seq: asof.seq.max(minimum.seq), ..minimum })),
            Ordering::Greater => match self.in_history(minimum, asof.epoch, request_id).await {
                Some(true) => Ok(Reach::Yes(asof.public())),
                Some(false) => Err(ErrorCode::VersionUnavailable.into()),
                None => Ok(Reach::Unsaid),
            },
        }
    }

    /// Whether `version`, of an earlier epoch, is a point of the history of `epoch`. `None` when nobody
    /// who is in that epoch can be asked.
    async fn in_history(&self, version: PublicVersion, epoch: Epoch, request_id: &str) -> Option<bool> {
        if let Some(known) = self.histories.0.get(&(version, epoch)) {
            return Some(known);
        }
        let path = format!("{VERSIONS}/{version}");
        let mut tried = Vec::new();
        let mut said = None;
        self.nodes.first_attempt();
        while let Some(node) = self.nodes.pick_but_master(&tried) {
            let standing = node.call(node.peer.get(&path, request_id, ATTEMPT)).await;
            let failed = standing.is_err();
            said = standing.ok().and_then(|standing| of_epoch(&standing, epoch));
            tried.push(node);
            if said.is_some() || tried.len() == MAX_ASKED || failed && !self.nodes.may_retry() {
                break;
            }
        }
        if said.is_none() {
            let standing = self.masters.get(&path, request_id, ATTEMPT).await;
            said = standing.ok().and_then(|standing| of_epoch(&standing, epoch));
        }
        if let Some(known) = said {
            self.histories.0.insert((version, epoch), known);
        }
        said
    }
}

/// What a node in `epoch` says of a version before it. A node elsewhere has another history to tell of.
fn of_epoch(standing: &VersionStanding, epoch: Epoch) -> Option<bool> {
    match standing.known {
        _ if standing.end.epoch != epoch => None,
        Known::Yes => Some(true),
        Known::Never => Some(false),
        Known::Future => None,
    }
}
