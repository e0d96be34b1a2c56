//! Pools of nodes that can stand in for one another.
//!
//! A configured URL is a candidate: its host name stands for all its addresses, looked up again every
//! few seconds, so that scaling a service needs no restart. A node that fails in traffic or does not
//! answer a probe is taken out; it returns after the first probe that succeeds.

mod select;

use crate::client::{BaseUrl, CallError, Peer};
use crate::member::Member;
use crate::shutdown::Shutdown;
use crate::wire::status::PoolNode;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Between two rounds of looking names up and probing.
const ROUND: Duration = Duration::from_secs(1);

/// A node that takes longer to say that it lives is ill.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

/// For a look-up in the name service.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);

/// Addresses of one pool; more than that is a misconfigured name service.
const MAX_NODES: usize = 64;

/// How a pool's nodes are talked to, besides by single calls: made for each node when it is first met, and
/// kept as long as it.
pub trait Way: Send + Sync + 'static {
    fn to(peer: &Peer) -> Self;
}

/// By single calls only.
impl Way for () {
    fn to(_peer: &Peer) -> Self {}
}

/// One node behind a pool.
#[derive(Debug)]
pub struct Node<W = ()> {
    pub peer: Peer,
    pub way: W,
    /// Which candidate it belongs to.
    candidate: usize,
    well: AtomicBool,
    /// It was taken out.
    fell_ill: Notify,
    /// Whether it answered as the write master last, or is configured as a candidate for it.
    master: AtomicBool,
}

impl<W> Node<W> {
    /// Takes the node out until a probe succeeds, if `error` says that it is the node that failed.
    pub fn failed(&self, error: &CallError) {
        let out = !matches!(error, CallError::Refused { .. });
        if out && self.well.swap(false, Ordering::Relaxed) {
            log::warn!("{} is out of the balance: {error}", self.peer.url());
            self.fell_ill.notify_waiters();
        }
    }

    /// Returns when it is out of the balance.
    pub async fn ill(&self) {
        loop {
            let fell_ill = self.fell_ill.notified();
            if !self.is_well() {
                return;
            }
            fell_ill.await;
        }
    }

    /// What it answered as.
    pub fn answered(&self, as_master: bool) {
        self.master.store(as_master, Ordering::Relaxed);
    }

    pub fn is_master(&self) -> bool {
        self.master.load(Ordering::Relaxed)
    }

    pub fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }
}

pub struct Pool<W = ()> {
    name: &'static str,
    candidates: Vec<BaseUrl>,
    /// So many of the candidates, the first ones, are candidates for the write master.
    masters: usize,
    member: Member,
    nodes: ArcSwap<Vec<Arc<Node<W>>>>,
    turn: AtomicUsize,
}

impl<W: Way> Pool<W> {
    /// Looks the candidates up once, so that a pool of addresses is complete from the start. The first
    /// `masters` of them are candidates for the write master.
    pub async fn new(name: &'static str, candidates: Vec<BaseUrl>, masters: usize, member: &Member) -> Self {
        let pool = Self {
            name,
            candidates,
            masters,
            member: member.clone(),
            nodes: ArcSwap::default(),
            turn: AtomicUsize::new(0),
        };
        pool.resolve().await;
        pool
    }

    /// The next node in turn that is none of `tried`.
    pub fn pick(&self, tried: &[Arc<Node<W>>]) -> Option<Arc<Node<W>>> {
        self.pick_where(|node| !is_in(tried, node))
    }

    /// The same, but the write master only when no other node is well: for who can do without it and must
    /// not wait for it.
    pub fn pick_but_master(&self, tried: &[Arc<Node<W>>]) -> Option<Arc<Node<W>>> {
        let others = |node: &Arc<Node<W>>| !node.is_master() && node.is_well() && !is_in(tried, node);
        self.pick_where(others).or_else(|| self.pick(tried))
    }

    fn pick_where(&self, may_be: impl Fn(&Arc<Node<W>>) -> bool) -> Option<Arc<Node<W>>> {
        let nodes = self.nodes.load();
        let open: Vec<&Arc<Node<W>>> = nodes.iter().filter(|node| may_be(node)).collect();
        let well: Vec<bool> = open.iter().map(|node| node.is_well()).collect();
        let chosen = select::round_robin(self.turn.fetch_add(1, Ordering::Relaxed), &well)?;
        Some(Arc::clone(open[chosen]))
    }

    /// How many nodes there are and how many of them are well.
    pub fn count(&self) -> (usize, usize) {
        let nodes = self.nodes.load();
        (nodes.len(), nodes.iter().filter(|node| node.is_well()).count())
    }

    /// The nodes, and who is in the balance.
    pub fn standing(&self) -> Vec<PoolNode> {
        let nodes = self.nodes.load();
        nodes.iter().map(|node| PoolNode { url: node.peer.url().to_string(), well: node.is_well() }).collect()
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

    async fn probe(&self, node: &Node<W>) {
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
        let nodes: Vec<Arc<Node<W>>> = addresses
            .into_iter()
            .take(MAX_NODES)
            .map(|(url, candidate)| match known.iter().find(|node| *node.peer.url() == url) {
                Some(node) => Arc::clone(node),
                None => {
                    let peer = Peer::new(url, &self.member);
                    let master = AtomicBool::new(candidate < self.masters);
                    Arc::new(Node {
                        way: W::to(&peer),
                        peer,
                        candidate,
                        well: AtomicBool::new(true),
                        fell_ill: Notify::new(),
                        master,
                    })
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

fn is_in<W>(nodes: &[Arc<Node<W>>], node: &Arc<Node<W>>) -> bool {
    nodes.iter().any(|other| Arc::ptr_eq(other, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_name_that_cannot_be_looked_up_does_not_take_the_others_with_it() {
        let candidates = ["http://no-such-host.invalid:1", "http://127.0.0.1:3006"];
        let candidates = candidates.map(|url| BaseUrl::parse(url).unwrap()).to_vec();
        let pool: Pool = Pool::new("order", candidates, 0, &Member::of_nothing()).await;
        assert_eq!(pool.count(), (1, 1));
    }

    #[actix_web::test]
    async fn who_can_do_without_the_master_asks_it_last() {
        let candidates = ["http://127.0.0.1:3000", "http://127.0.0.1:3001"];
        let candidates = candidates.map(|url| BaseUrl::parse(url).unwrap()).to_vec();
        let pool: Pool = Pool::new("catalog", candidates, 1, &Member::of_nothing()).await;
        let (master, replica) = {
            let nodes = pool.nodes.load();
            (Arc::clone(&nodes[0]), Arc::clone(&nodes[1]))
        };
        for _ in 0..3 {
            assert!(Arc::ptr_eq(&pool.pick_but_master(&[]).unwrap(), &replica));
        }
        assert!(Arc::ptr_eq(&pool.pick_but_master(&[Arc::clone(&replica)]).unwrap(), &master));
        // They have changed places.
        master.answered(false);
        replica.answered(true);
        assert!(Arc::ptr_eq(&pool.pick_but_master(&[]).unwrap(), &master));
    }
}
