//! Pools of nodes that can stand in for one another.
//!
//! A configured URL is a candidate: its host name stands for all its addresses, looked up again every
//! few seconds, so that scaling a service needs no restart. A node that fails in traffic or does not
//! answer a probe is taken out; it returns after the first probe that succeeds.

mod select;

use crate::client::{BaseUrl, CallError, Peer};
use crate::member::Member;
use crate::shutdown::Shutdown;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Between two rounds of looking names up and probing.
const ROUND: Duration = Duration::from_secs(1);

/// A node that takes longer to say that it lives is ill.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

/// For a look-up in the name service.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);

/// Addresses of one pool; more than that is a misconfigured name service.
const MAX_NODES: usize = 64;

/// One node behind a pool.
#[derive(Debug)]
pub struct Node {
    pub peer: Peer,
    /// Which candidate it belongs to.
    candidate: usize,
    well: AtomicBool,
}

impl Node {
    /// Takes the node out until a probe succeeds, if `error` says that it is the node that failed.
    pub fn failed(&self, error: &CallError) {
        let out = !matches!(error, CallError::Refused { .. });
        if out && self.well.swap(false, Ordering::Relaxed) {
            log::warn!("{} is out of the balance: {error}", self.peer.url());
        }
    }

    pub fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }
}

pub struct Pool {
    name: &'static str,
    candidates: Vec<BaseUrl>,
    member: Member,
    nodes: ArcSwap<Vec<Arc<Node>>>,
    turn: AtomicUsize,
}

impl Pool {
    /// Looks the candidates up once, so that a pool of addresses is complete from the start.
    pub async fn new(name: &'static str, candidates: Vec<BaseUrl>, member: &Member) -> Self {
        let pool = Self {
            name,
            candidates,
            member: member.clone(),
            nodes: ArcSwap::default(),
            turn: AtomicUsize::new(0),
        };
        pool.resolve().await;
        pool
    }

    /// The next node in turn that is none of `tried`.
    pub fn pick(&self, tried: &[Arc<Node>]) -> Option<Arc<Node>> {
        let nodes = self.nodes.load();
        let open: Vec<&Arc<Node>> =
            nodes.iter().filter(|node| !tried.iter().any(|other| Arc::ptr_eq(other, node))).collect();
        let well: Vec<bool> = open.iter().map(|node| node.is_well()).collect();
        let chosen = select::round_robin(self.turn.fetch_add(1, Ordering::Relaxed), &well)?;
        Some(Arc::clone(open[chosen]))
    }

    /// How many nodes there are and how many of them are well.
    pub fn count(&self) -> (usize, usize) {
        let nodes = self.nodes.load();
        (nodes.len(), nodes.iter().filter(|node| node.is_well()).count())
    }

    /// Looks up and probes until `stop`.
    pub async fn keep(self: Arc<Self>, stop: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                () = stop.cancelled() => return,
            }
            self.resolve().await;
            let nodes = self.nodes.load_full();
            futures_util::future::join_all(nodes.iter().map(|node| self.probe(node))).await;
        }
    }

    async fn probe(&self, node: &Node) {
        match node.peer.probe(PROBE_DEADLINE).await {
            Ok(()) => {
                if !node.well.swap(true, Ordering::Relaxed) {
                    log::info!("{} {} is back in the balance", self.name, node.peer.url());
                }
            }
            Err(error) => node.failed(&error),
        }
    }

    /// Replaces the nodes by what the candidates stand for now; who stays keeps its state. A name that
    /// cannot be looked up keeps the addresses that it had; the others are not its hostages.
    async fn resolve(&self) {
        let known = self.nodes.load();
        let mut addresses = BTreeMap::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            let lookup = tokio::net::lookup_host(candidate.authority());
            let found = tokio::time::timeout(LOOKUP_DEADLINE, lookup).await;
            match found.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(found) => addresses.extend(found.map(|addr| (BaseUrl::from_addr(addr), index))),
                Err(error) => {
                    log::debug!("{candidate} cannot be looked up: {error}");
                    let kept = known.iter().filter(|node| node.candidate == index);
                    addresses.extend(kept.map(|node| (node.peer.url().clone(), index)));
                }
            }
        }
        let nodes: Vec<Arc<Node>> = addresses
            .into_iter()
            .take(MAX_NODES)
            .map(|(url, candidate)| match known.iter().find(|node| *node.peer.url() == url) {
                Some(node) => Arc::clone(node),
                None => {
                    let peer = Peer::new(url, &self.member);
                    Arc::new(Node { peer, candidate, well: AtomicBool::new(true) })
                }
            })
            .collect();
        let same = nodes.len() == known.len()
            && nodes.iter().zip(known.iter()).all(|(new, old)| Arc::ptr_eq(new, old));
        if !same {
            let urls: Vec<String> = nodes.iter().map(|node| node.peer.url().to_string()).collect();
            log::debug!("{} nodes: {}", self.name, urls.join(", "));
            self.nodes.store(Arc::new(nodes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_name_that_cannot_be_looked_up_does_not_take_the_others_with_it() {
        let candidates = ["http://no-such-host.invalid:1", "http://127.0.0.1:3006"];
        let candidates = candidates.map(|url| BaseUrl::parse(url).unwrap()).to_vec();
        let pool = Pool::new("order", candidates, &Member::of_nothing()).await;
        assert_eq!(pool.count(), (1, 1));
    }
}
