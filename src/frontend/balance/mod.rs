//! Pools of nodes that can stand in for one another.
//!
//! A configured URL is a candidate: its host name stands for all its addresses, looked up again every
//! second, so that scaling a service needs no restart.
//!
//! | file | what it does |
//! |---|---|
//! | `select` | who is next: the policies |
//! | `health` | who is in the balance: dead, ejected, starting slowly |
//! | `pace` | who is too slow beside its peers |
//! | `node` | one node and the calls to it |
//! | `watch` | probes, and decides who is ejected |
//! | `budget` | how many calls may be made a second time |
//!
//! docs/balance.md has the rules, where they come from, and what they are worth.

mod budget;
mod health;
mod node;
mod pace;
mod select;
mod watch;

use crate::client::{BaseUrl, Peer};
use crate::member::Member;
use crate::metrics::{NodeState, PeerRole, PoolCounts, PoolName, QueueName, Retry, Sheet};
use crate::wire::status::PoolNode;
use arc_swap::ArcSwap;
use budget::Budget;
use health::{Health, Standing};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use node::{Node, Way};
pub use select::Policy;

/// For a look-up in the name service.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);

/// Addresses of one pool; more than that is a misconfigured name service.
const MAX_NODES: usize = 64;

pub struct Pool<W = ()> {
    name: PoolName,
    policy: Policy,
    candidates: Vec<BaseUrl>,
    /// So many of the candidates, the first ones, are candidates for the write master.
    masters: usize,
    member: Member,
    nodes: ArcSwap<Vec<Arc<Node<W>>>>,
    turn: AtomicUsize,
    retries: Budget,
    /// A node has failed so often that somebody should look at it.
    look: Arc<Notify>,
    counts: Arc<PoolCounts>,
}

impl<W: Way> Pool<W> {
    /// Looks the candidates up once, so that a pool of addresses is complete from the start. The first
    /// `masters` of them are candidates for the write master.
    pub async fn new(
        name: PoolName,
        policy: Policy,
        candidates: Vec<BaseUrl>,
        masters: usize,
        member: &Member,
    ) -> Self {
        let pool = Self {
            name,
            policy,
            candidates,
            masters,
            member: member.clone(),
            nodes: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            retries: Budget::new(),
            look: Arc::default(),
            counts: Arc::default(),
        };
        pool.resolve(Health::settled).await;
        pool
    }

    /// The next node that is none of `tried`.
    pub fn pick(&self, tried: &[Arc<Node<W>>]) -> Option<Arc<Node<W>>> {
        self.pick_where(|node| !is_in(tried, node))
    }

    /// The same, but the write master only when no other node is well and answers: for who can do without it and
    /// must not wait for it.
    pub fn pick_but_master(&self, tried: &[Arc<Node<W>>]) -> Option<Arc<Node<W>>> {
        let now = Instant::now();
        let others = |node: &Arc<Node<W>>| !node.is_master() && node.is_prompt(now) && !is_in(tried, node);
        self.pick_where(others).or_else(|| self.pick(tried))
    }

    fn pick_where(&self, may_be: impl Fn(&Arc<Node<W>>) -> bool) -> Option<Arc<Node<W>>> {
        let nodes = self.nodes.load();
        let now = Instant::now();
        let open: Vec<&Arc<Node<W>>> = nodes.iter().filter(|node| may_be(node)).collect();
        let candidates: Vec<_> = open.iter().map(|node| node.candidate(now)).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = select::choose(self.policy, &candidates, turn, rand::random())?;
        Some(Arc::clone(open[chosen]))
    }

    /// A request is made for the first time: a fifth of them may be made once more.
    pub fn first_attempt(&self) {
        self.retries.deposit();
    }

    /// Whether a request may be made once more, at another node.
    pub fn may_retry(&self) -> bool {
        let allowed = self.retries.withdraw();
        self.counts.retried(if allowed { Retry::Allowed } else { Retry::Denied });
        allowed
    }

    /// What a scraper is told: how the nodes stand, what is under way and what may be repeated.
    pub fn read(&self, sheet: &mut Sheet) {
        let nodes = self.nodes.load();
        let now = Instant::now();
        let state = |node: &Arc<Node<W>>| match node.standing() {
            Standing::Well => NodeState::Well,
            Standing::Ejected => NodeState::Ejected,
            Standing::Dead => NodeState::Dead,
        };
        let states: Vec<NodeState> = nodes.iter().map(state).collect();
        let calls = nodes.iter().map(|node| node.candidate(now).under_way).sum();
        self.counts.read(sheet, self.name, &states, calls, self.retries.left());
        if let Some((waits, room)) = nodes.iter().filter_map(|node| node.way.waiting()).max() {
            sheet.room(QueueName::Books, waits, room);
        }
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

    /// Replaces the nodes by what the candidates stand for now; who stays keeps its state, and who is new
    /// begins as `health` says. A name that cannot be looked up keeps the addresses that it had; the others
    /// are not its hostages.
    async fn resolve(&self, health: impl Fn() -> Health) {
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
                    let role = match self.name {
                        PoolName::Catalog => PeerRole::Catalog,
                        PoolName::Order => PeerRole::Order,
                    };
                    let peer = Peer::of(role, url, &self.member);
                    let of = (candidate, candidate < self.masters);
                    let (look, counts) = (Arc::clone(&self.look), Arc::clone(&self.counts));
                    Arc::new(Node::new(peer, of, health(), look, counts))
                }
            })
            .collect();
        let same = nodes.len() == known.len()
            && nodes.iter().zip(known.iter()).all(|(new, old)| Arc::ptr_eq(new, old));
        if !same {
            let urls: Vec<String> = nodes.iter().map(|node| node.peer.url().to_string()).collect();
            log::debug!("{} nodes: {}", self.name.label(), urls.join(", "));
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

    async fn pool(candidates: &[&str], masters: usize) -> Pool {
        let candidates = candidates.iter().map(|url| BaseUrl::parse(url).unwrap()).collect();
        Pool::new(PoolName::Catalog, Policy::RoundRobin, candidates, masters, &Member::of_nothing()).await
    }

    #[actix_web::test]
    async fn a_name_that_cannot_be_looked_up_does_not_take_the_others_with_it() {
        let pool = pool(&["http://no-such-host.invalid:1", "http://127.0.0.1:3006"], 0).await;
        assert_eq!(pool.count(), (1, 1));
    }

    #[actix_web::test]
    async fn who_owes_answers_for_long_is_asked_after_the_others_until_it_gives_one() {
        tokio::time::pause();
        let pool = pool(&["http://127.0.0.1:3000", "http://127.0.0.1:3001"], 1).await;
        let (master, replica) = {
            let nodes = pool.nodes.load();
            (Arc::clone(&nodes[0]), Arc::clone(&nodes[1]))
        };
        let picked = |count| -> Vec<bool> {
            (0..count).map(|_| Arc::ptr_eq(&pool.pick(&[]).unwrap(), &replica)).collect()
        };
        let owed = replica.call(std::future::pending::<Result<(), _>>());
        let mut owed = std::pin::pin!(owed);
        assert!(futures_util::poll!(&mut owed).is_pending());
        assert_eq!(picked(4), [false, true, false, true], "nearly every call takes a while");
        tokio::time::advance(Duration::from_millis(101)).await;
        assert_eq!(picked(4), [false; 4]);
        assert!(Arc::ptr_eq(&pool.pick_but_master(&[]).unwrap(), &master));
        assert!(Arc::ptr_eq(&pool.pick(&[master]).unwrap(), &replica), "for lack of a better one");
        assert_eq!(pool.count(), (2, 2), "it is no less well for it");
        replica.lives();
        assert_eq!(picked(4).into_iter().filter(|&is_it| is_it).count(), 2, "it answered a probe");
    }

    #[actix_web::test]
    async fn who_can_do_without_the_master_asks_it_last() {
        let pool = pool(&["http://127.0.0.1:3000", "http://127.0.0.1:3001"], 1).await;
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
