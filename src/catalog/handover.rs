//! Handover: the master seals its log for one heir, and ends when the heir has the seal.
//!
//! Invariant: behind a seal this master writes nothing; it ends only when everything up to the seal is
//! on the heir's disk. If it is killed in between, its data starts as a master by force only, and then it
//! has everything, too.

use super::feed::Feed;
use super::mastership::Mastership;
use super::writer::Queue;
use crate::client::{BaseUrl, Peer};
use crate::domain::{NodeId, Version};
use crate::member::Member;
use crate::metrics::PeerRole;
use crate::shutdown::Shutdown;
use crate::wire::catalog::{HandedOver, NODE, NodeIs};
use crate::wire::{ErrorCode, Problem};
use std::sync::Arc;
use std::time::Duration;

/// For asking the heir who it is.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// How long the caller is kept waiting for the heir to have the seal. The master goes on after that.
const HEIR_DEADLINE: Duration = Duration::from_secs(10);

/// What a handover works with.
pub struct Handover {
    /// This master's own.
    pub node: NodeId,
    pub member: Member,
    pub mastership: Arc<Mastership>,
    pub queue: Queue,
    pub feed: Arc<Feed>,
    /// Ends this process, cleanly.
    pub end: Shutdown,
}

impl Handover {
    /// Seals for the replica that listens at `heir`.
    pub async fn to(self: Arc<Self>, heir: BaseUrl, request_id: String) -> Result<HandedOver, Problem> {
        self.mastership.require()?;
        let peer = Peer::of(PeerRole::Replica, heir.clone(), &self.member);
        let answer: Result<NodeIs, _> = peer.get(NODE, &request_id, PROBE_DEADLINE).await;
        let node = answer.map_err(|error| not_an_heir(format!("the heir does not answer: {error}")))?.node;
        if node == self.node || !self.feed.may_inherit(node) {
            return Err(not_an_heir(format!("the node at {heir} is not a replica in sync with this master")));
        }
        let seal = self.queue.seal(node).await?;
        log::warn!(
            "sealed at {} for node {node} at {heir}: this master writes nothing any more",
            seal.public()
        );
        // On its own, so that it ends also when nobody waits for the answer any more.
        let delivering = actix_web::rt::spawn(Arc::clone(&self).deliver(node, seal));
        match tokio::time::timeout(HEIR_DEADLINE, delivering).await {
            Ok(Ok(())) => Ok(HandedOver { version: seal, heir: node, delivered: true }),
            _ => Ok(HandedOver { version: seal, heir: node, delivered: false }),
        }
    }

    async fn deliver(self: Arc<Self>, heir: NodeId, seal: Version) {
        tokio::select! {
            () = self.feed.reached(heir, seal) => log::info!("node {heir} has the seal: this master ends"),
            // Then it got the seal some other way, and leads.
            by = self.mastership.deposed() => {
                log::info!("epoch {} has begun from the seal: this master ends", by.number);
            }
        }
        self.end.cancel();
    }
}

fn not_an_heir(sentence: String) -> Problem {
    Problem::new(ErrorCode::NotAnHeir, sentence)
}
