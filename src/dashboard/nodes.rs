//! Which nodes there are: those that are configured, and those that answers name.
//!
//! One node may be met under several addresses (a frontend asks itself on the loopback, the master reaches it by
//! another one), and one address may be taken over by another node. What tells is who answers: a catalog node by
//! the identity of its data, which outlives its process, every other by that of its process.
//!
//! Invariant: no two entries have answered as the same node; there are at most [`MAX_NODES`].

use super::{Kind, Whom};
use crate::client::{BaseUrl, CallError};
use crate::domain::NodeId;
use crate::wire::status::{Role, Status};
use std::time::Duration;
use tokio::time::Instant;

/// Nodes of one store; those of the largest that one master serves, twice over.
const MAX_NODES: usize = 256;

/// A node that nobody names and that does not answer is forgotten after this.
const FORGET: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Nodes {
    known: Vec<Known>,
}

pub struct Known {
    pub kind: Kind,
    /// The first of its kind is 1; it keeps its number.
    pub number: usize,
    pub name: Option<String>,
    /// It is asked at the first.
    pub urls: Vec<BaseUrl>,
    pub state: State,
    identity: Option<Identity>,
    configured: bool,
    /// When it answered, or was named, last.
    seen: Instant,
    last: Option<Sample>,
    before: Option<Sample>,
}

/// What came of asking a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Up,
    /// It takes connections, and does not answer.
    Silent,
    /// Nobody listens there.
    Unreachable,
    /// It answered that it cannot say.
    Ill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Data(NodeId),
    Process(u64),
}

/// What a node said of itself, and when.
pub struct Sample {
    pub at: Instant,
    pub status: Status,
}

impl Known {
    /// What it said last, if that was just now.
    pub fn now(&self) -> Option<&Sample> {
        self.last.as_ref().filter(|_| self.state == State::Up)
    }

    /// What it said last, whenever that was.
    pub fn last(&self) -> Option<&Status> {
        self.last.as_ref().map(|sample| &sample.status)
    }

    /// What it said just now and the time before, if both are of the same process.
    pub fn interval(&self) -> Option<(&Sample, &Sample)> {
        let now = self.now()?;
        let before = self.before.as_ref()?;
        (before.status.instance == now.status.instance && before.at < now.at).then_some((before, now))
    }

    pub fn is_at(&self, url: &str) -> bool {
        self.urls.iter().any(|known| known.to_string() == url)
    }

    pub fn catalog_node(&self) -> Option<NodeId> {
        match self.identity {
            Some(Identity::Data(node)) => Some(node),
            _ => None,
        }
    }
}

impl Nodes {
    /// Those that are shown, in order of kind and number.
    pub fn shown(&self, are_all: bool) -> Vec<&Known> {
        let mut shown: Vec<&Known> = self
            .known
            .iter()
            .filter(|known| known.configured || known.identity.is_some() || !are_all)
            .collect();
        shown.sort_by_key(|known| (known.kind, known.number));
        shown
    }

    /// Where to ask.
    pub fn urls(&self) -> Vec<BaseUrl> {
        self.known.iter().filter_map(|known| known.urls.first().cloned()).collect()
    }

    /// These are configured now.
    pub fn configure(&mut self, whom: Vec<Whom>, now: Instant) {
        self.known.iter_mut().for_each(|known| known.configured = false);
        for Whom { kind, url, name } in whom {
            if let Some(known) = self.meet(kind, url.clone(), now) {
                known.configured = true;
                known.name = name.or(known.name.take());
                known.urls.retain(|known| *known != url);
                known.urls.insert(0, url);
            }
        }
    }

    /// Takes note of all that a node's word names. Returns where nobody was asked yet.
    pub fn named(&mut self, status: &Status, now: Instant) -> Vec<BaseUrl> {
        let before: Vec<BaseUrl> = self.known.iter().flat_map(|known| known.urls.clone()).collect();
        for (kind, url) in names(&status.role) {
            if let Ok(url) = BaseUrl::parse(url) {
                self.meet(kind, url, now);
            }
        }
        self.urls().into_iter().filter(|url| !before.contains(url)).collect()
    }

    /// What came of asking at `url`.
    pub fn asked(&mut self, url: &BaseUrl, answer: Result<Status, CallError>, now: Instant) {
        let Some(index) = self.known.iter().position(|known| known.urls.first() == Some(url)) else { return };
        let known = &mut self.known[index];
        match answer {
            Ok(status) => {
                known.identity = Some(identity(&status));
                known.state = State::Up;
                known.seen = now;
                known.before = known.last.replace(Sample { at: now, status });
                self.unite(index);
            }
            Err(error) => {
                known.state = match error {
                    CallError::Unreachable { .. } => State::Unreachable,
                    CallError::NoAnswer { .. } => State::Silent,
                    CallError::Refused { .. } | CallError::Unproven { .. } => State::Ill,
                };
                if !known.configured {
                    // It may be at another of its addresses now.
                    known.urls.rotate_left(1);
                }
            }
        }
    }

    /// Leaves out who is gone for good.
    pub fn forget(&mut self, now: Instant) {
        self.known.retain(|known| known.configured || now < known.seen + FORGET);
    }

    fn meet(&mut self, kind: Kind, url: BaseUrl, now: Instant) -> Option<&mut Known> {
        let found = self.known.iter().position(|known| known.kind == kind && known.urls.contains(&url));
        let index = match found {
            Some(index) => index,
            None if self.known.len() >= MAX_NODES => return None,
            None => {
                let number = self.free_number(kind);
                self.known.push(Known {
                    kind,
                    number,
                    name: None,
                    urls: vec![url],
                    state: State::Unreachable,
                    identity: None,
                    configured: false,
                    seen: now,
                    last: None,
                    before: None,
                });
                self.known.len() - 1
            }
        };
        let known = &mut self.known[index];
        known.seen = now;
        Some(known)
    }

    /// The entry at `index` has said who it is: if another one is the same node, the two become one.
    fn unite(&mut self, index: usize) {
        let is = self.known[index].identity;
        let same = |&(other, known): &(usize, &Known)| other != index && known.identity == is;
        let Some((other, _)) = self.known.iter().enumerate().find(same) else { return };
        let stays = if self.known[index].configured { index } else { other };
        let goes = if stays == index { other } else { index };
        let gone = std::mem::take(&mut self.known[goes].urls);
        let answer = self.known[goes].last.take();
        let known = &mut self.known[stays];
        if known.state == State::Up {
            known.urls.extend(gone);
        } else {
            // It has moved.
            known.urls.splice(..0, gone);
            known.state = State::Up;
            known.before = std::mem::replace(&mut known.last, answer);
        }
        let mut unique: Vec<BaseUrl> = Vec::new();
        known.urls.retain(|url| {
            let new = !unique.contains(url);
            if new {
                unique.push(url.clone());
            }
            new
        });
        self.known.remove(goes);
    }

    fn free_number(&self, kind: Kind) -> usize {
        let taken =
            |number: &usize| self.known.iter().any(|known| known.kind == kind && known.number == *number);
        (1..).find(|number| !taken(number)).unwrap_or_default()
    }
}

fn identity(status: &Status) -> Identity {
    match &status.role {
        Role::Master(master) => Identity::Data(master.node),
        Role::Replica(replica) => Identity::Data(replica.node),
        Role::Frontend(_) | Role::Order(_) => Identity::Process(status.instance),
    }
}

/// Whom a node's word names.
fn names(role: &Role) -> Vec<(Kind, &str)> {
    match role {
        Role::Frontend(frontend) => {
            let catalog = frontend.catalog.iter().map(|node| (Kind::Catalog, node.url.as_str()));
            catalog.chain(frontend.orders.iter().map(|node| (Kind::Order, node.url.as_str()))).collect()
        }
        Role::Master(master) => {
            let holders = master.holders.iter().map(|holder| (Kind::Frontend, holder.url.as_str()));
            holders.chain(master.replicas.iter().map(|node| (Kind::Catalog, node.url.as_str()))).collect()
        }
        Role::Order(order) => vec![(Kind::Catalog, order.master.as_str())],
        Role::Replica(replica) => vec![(Kind::Catalog, replica.follows.as_str())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Version;
    use crate::wire::status::{Figures, OrderStatus, ReplicaStatus};

    fn url(port: u16) -> BaseUrl {
        BaseUrl::from_addr(([127, 0, 0, 1], port).into())
    }

    fn status(instance: u64, role: Role) -> Status {
        let figures = Figures::default();
        Status { instance, release: "1".into(), uptime_ms: 1, unsafe_coherence: None, role, figures }
    }

    fn order(instance: u64) -> Status {
        status(instance, Role::Order(OrderStatus { master: url(1).to_string() }))
    }

    fn replica(instance: u64, node: u64) -> Status {
        let follows = url(1).to_string();
        let of = ReplicaStatus { node: NodeId(node), position: Version::GENESIS, follows, wrong: false };
        status(instance, Role::Replica(of))
    }

    fn whom(kind: Kind, port: u16) -> Whom {
        Whom { kind, url: url(port), name: None }
    }

    fn unreachable() -> Result<Status, CallError> {
        Err(CallError::Unreachable { peer: "it".into(), cause: "refused".into() })
    }

    fn states(nodes: &Nodes) -> Vec<(usize, State)> {
        nodes.shown(false).iter().map(|known| (known.number, known.state)).collect()
    }

    #[test]
    fn a_process_that_is_met_under_two_addresses_is_one_node() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        nodes.configure(vec![whom(Kind::Order, 10)], now);
        nodes.meet(Kind::Order, url(11), now);
        nodes.asked(&url(11), Ok(order(7)), now);
        nodes.asked(&url(10), Ok(order(7)), now);
        assert_eq!(states(&nodes), [(1, State::Up)]);
        assert_eq!(nodes.shown(false)[0].urls, [url(10), url(11)]);
    }

    #[test]
    fn a_replica_that_comes_back_at_another_address_is_the_same_node() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        nodes.meet(Kind::Catalog, url(10), now);
        nodes.asked(&url(10), Ok(replica(1, 5)), now);
        nodes.meet(Kind::Catalog, url(11), now);
        for _ in 0..2 {
            // In whatever order the two are asked.
            nodes.asked(&url(11), Ok(replica(2, 5)), now);
            nodes.asked(&url(10), unreachable(), now);
        }
        assert_eq!(states(&nodes), [(1, State::Up)]);
        assert!(nodes.shown(false)[0].is_at("http://127.0.0.1:10"));
    }

    #[test]
    fn an_address_that_somebody_names_is_no_node_of_its_own_where_all_are_known() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        nodes.configure(vec![whom(Kind::Order, 10)], now);
        nodes.asked(&url(10), Ok(order(7)), now);
        assert_eq!(nodes.named(&order(7), now), [url(1)]);
        nodes.asked(&url(1), unreachable(), now);
        assert_eq!(nodes.shown(true).len(), 1);
        assert_eq!(nodes.shown(false).len(), 2);
    }

    #[test]
    fn who_is_not_configured_and_gone_is_forgotten_in_the_end() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        nodes.configure(vec![whom(Kind::Order, 10)], now);
        nodes.meet(Kind::Order, url(11), now);
        nodes.forget(now + FORGET);
        assert_eq!(states(&nodes), [(1, State::Unreachable)]);
    }
}
