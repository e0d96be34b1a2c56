//! What is known of the store at one moment: the JSON that is sent, and what the page is made from.

use super::nodes::{Known, Nodes, State};
use super::problems::{Happening, Problem, problems};
use super::rates::{Rates, Totals, requests_per_s};
use super::{Kind, Surroundings};
use crate::client::BaseUrl;
use crate::domain::Version;
use crate::wire::status::{FrontendStatus, HolderStatus, MasterStatus, Role, StandingIs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// RFC 3339, of the machine that looks.
    pub at: String,
    pub well: bool,
    pub summary: Vec<String>,
    pub store: Store,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    pub figures: Rates,
    pub totals: Totals,
    /// The last ones, the latest first.
    pub sales: Vec<Sale>,
    pub fences: Vec<Fence>,
    pub happenings: Vec<Happening>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demo: Option<serde_json::Value>,
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// The latest that is committed.
    pub version: Option<String>,
    pub epoch: Option<u64>,
    /// The id of the node that leads.
    pub master: Option<String>,
    pub acknowledges: Option<&'static str>,
    pub lease_ms: Option<u64>,
    pub queued: Option<usize>,
    pub unsafe_coherence: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub id: String,
    pub kind: NodeKind,
    pub name: String,
    pub address: String,
    /// All under which it was met.
    pub urls: Vec<String>,
    pub state: NodeState,
    pub version: Option<String>,
    /// Records that it lacks.
    pub lag: Option<u64>,
    pub in_sync: Option<bool>,
    pub lease_ms: Option<u64>,
    pub uptime_s: Option<u64>,
    pub requests_per_s: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    Frontend,
    Order,
    Redis,
    Master,
    Replica,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    Up,
    /// It takes connections, and does not answer.
    Silent,
    /// Nobody listens there.
    Unreachable,
    /// It answers that it cannot say, or that it is no master any more.
    Ill,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    pub from: String,
    pub to: String,
    pub kind: LinkKind,
    /// In the balance; connected; in sync.
    pub well: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// Of a frontend, at a catalog node.
    Reads,
    /// Of a frontend, at an order node.
    Purchases,
    /// Of a frontend, in Redis.
    Cache,
    /// Of an order node, at the master.
    Orders,
    /// From the master to a replica.
    Log,
    /// From the master to a frontend.
    Lease,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sale {
    pub version: String,
    pub book: i64,
    pub quantity: u32,
    pub left: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fence {
    pub version: String,
    pub keys: Vec<String>,
    pub more: usize,
    pub holders: usize,
    pub ms: f64,
}

/// The nodes, as what they say of each other makes them out.
struct Scene<'a> {
    shown: Vec<&'a Known>,
    /// The one that leads, and what it says.
    master: Option<(&'a Known, &'a MasterStatus)>,
}

impl Node {
    /// A node of which no more is known.
    pub fn new(id: String, kind: NodeKind, name: String, state: NodeState) -> Self {
        Self {
            id,
            kind,
            name,
            address: String::new(),
            urls: Vec::new(),
            state,
            version: None,
            lag: None,
            in_sync: None,
            lease_ms: None,
            uptime_s: None,
            requests_per_s: None,
        }
    }
}

impl View {
    pub fn of(nodes: &Nodes, surroundings: &dyn Surroundings, at: String) -> Self {
        let scene = Scene::of(nodes, surroundings.are_all());
        let shown = scene.shown.iter().copied();
        let mut view = Self {
            at,
            store: scene.store(),
            nodes: scene.nodes(),
            links: scene.links(),
            figures: Rates::of(shown.clone()),
            totals: Totals::of(shown),
            demo: surroundings.demo(),
            ..Self::default()
        };
        if let Some(master) = scene.last_master() {
            view.sales = master.sales.iter().map(Sale::of).collect();
            view.fences = master.fences.iter().map(Fence::of).collect();
        }
        view.problems = problems(&view);
        view.well = view.problems.is_empty();
        view.summary = match view.well {
            true => vec![format!("All {} nodes are well.", view.nodes.len())],
            false => view.problems.iter().map(|problem| problem.says.clone()).collect(),
        };
        view
    }

    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

impl Sale {
    fn of(sale: &crate::wire::status::Sale) -> Self {
        Self {
            version: sale.version.public().to_string(),
            book: sale.book.get(),
            quantity: sale.quantity.get(),
            left: sale.left.get(),
        }
    }
}

impl Fence {
    fn of(fence: &crate::wire::status::FenceSeen) -> Self {
        Self {
            version: fence.version.public().to_string(),
            keys: fence.keys.clone(),
            more: fence.more,
            holders: fence.holders,
            ms: fence.took_us as f64 / 1e3,
        }
    }
}

impl<'a> Scene<'a> {
    fn of(nodes: &'a Nodes, are_all: bool) -> Self {
        let shown = nodes.shown(are_all);
        let leads = |known: &&'a Known| {
            let Role::Master(master) = &known.now()?.status.role else { return None };
            (master.standing == StandingIs::Leads).then_some((*known, master))
        };
        let master = shown.iter().filter_map(leads).max_by_key(|(_, master)| master.position.epoch.number);
        Self { shown, master }
    }

    /// What a master said last, though it may not answer any more.
    fn last_master(&self) -> Option<&'a MasterStatus> {
        let said = |known: &&'a Known| match &known.last()?.role {
            Role::Master(master) => Some(master),
            _ => None,
        };
        let last = self.shown.iter().filter_map(said).max_by_key(|master| master.position.epoch.number);
        self.master.map(|(_, master)| master).or(last)
    }

    fn store(&self) -> Store {
        let unsafe_coherence = self.shown.iter().find_map(|known| known.last()?.unsafe_coherence.clone());
        let Some((known, master)) = self.master else {
            return Store { unsafe_coherence, ..Store::default() };
        };
        Store {
            version: Some(master.position.public().to_string()),
            epoch: Some(master.position.epoch.number),
            master: Some(id(known)),
            acknowledges: Some(if master.acknowledges_in_sync { "in sync" } else { "at once" }),
            lease_ms: Some(master.lease_ms),
            queued: Some(master.queued),
            unsafe_coherence,
        }
    }

    fn nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.shown.iter().map(|known| self.node(known)).collect();
        nodes.extend(self.redis());
        nodes.sort_by_key(|node| node.kind);
        // By their order among themselves, so that the numbers have no gap where one of them leads.
        for (index, node) in nodes.iter_mut().filter(|node| node.kind == NodeKind::Replica).enumerate() {
            if node.name.is_empty() {
                node.name = format!("replica {}", index + 1);
            }
        }
        nodes
    }

    fn node(&self, known: &Known) -> Node {
        let said = known.last();
        let role = said.map(|status| &status.role);
        let kind = match (known.kind, role) {
            (Kind::Frontend, _) => NodeKind::Frontend,
            (Kind::Order, _) => NodeKind::Order,
            (Kind::Catalog, Some(Role::Master(_))) => NodeKind::Master,
            (Kind::Catalog, _) => NodeKind::Replica,
        };
        let name = known.name.clone().unwrap_or_else(|| match kind {
            // It has never said what it is.
            NodeKind::Replica if role.is_none() => format!("catalog node {}", known.number),
            NodeKind::Frontend => format!("frontend {}", known.number),
            NodeKind::Order => format!("order node {}", known.number),
            NodeKind::Master => "master".into(),
            NodeKind::Redis | NodeKind::Replica => String::new(),
        });
        let position = role.and_then(position);
        let state = match (known.state, role) {
            (State::Up, Some(Role::Master(master))) if master.standing != StandingIs::Leads => NodeState::Ill,
            (State::Up, Some(Role::Replica(replica))) if replica.wrong => NodeState::Ill,
            (State::Up, _) => NodeState::Up,
            (State::Silent, _) => NodeState::Silent,
            (State::Unreachable, _) => NodeState::Unreachable,
            (State::Ill, _) => NodeState::Ill,
        };
        let mut node = Node {
            address: address(known, role),
            urls: known.urls.iter().map(BaseUrl::to_string).collect(),
            version: position.map(|version| version.public().to_string()),
            uptime_s: known.now().map(|sample| sample.status.uptime_ms / 1000),
            requests_per_s: requests_per_s(known).filter(|_| kind == NodeKind::Frontend),
            ..Node::new(id(known), kind, name, state)
        };
        match role {
            Some(Role::Frontend(frontend)) => node.lease_ms = self.lease(known, frontend),
            _ if kind == NodeKind::Replica => self.standing(known, position, &mut node),
            _ => {}
        }
        node
    }

    /// How long a frontend's lease runs: by the master's word, which is what writers wait for, else its own.
    fn lease(&self, known: &Known, frontend: &FrontendStatus) -> Option<u64> {
        match self.master {
            Some((_, master)) => {
                let held = |holder: &&HolderStatus| holder.holder == frontend.holder;
                master.holders.iter().find(held).map(|holder| holder.remaining_ms)
            }
            None => known.now().and(frontend.lease.as_ref()).map(|lease| lease.remaining_ms),
        }
    }

    /// What the master makes of a replica.
    fn standing(&self, known: &Known, position: Option<Version>, node: &mut Node) {
        let Some((_, master)) = self.master else { return };
        let seen = master.replicas.iter().find(|seen| Some(seen.node) == known.catalog_node());
        node.in_sync = Some(seen.is_some_and(|seen| seen.in_sync));
        let own = position.filter(|position| position.epoch == master.position.epoch);
        let has = own.map(|position| position.seq).max(seen.map(|seen| seen.durable));
        // What it was asked before the master says more than the master knew then.
        node.lag = has.map(|seq| master.position.seq.saturating_sub(seq));
    }

    /// Each Redis that a frontend uses.
    fn redis(&self) -> Vec<Node> {
        let mut connected: BTreeMap<&str, bool> = BTreeMap::new();
        for known in &self.shown {
            if let Some(Role::Frontend(FrontendStatus { redis: Some(redis), .. })) =
                known.last().map(|status| &status.role)
            {
                *connected.entry(&redis.address).or_default() |= redis.connected && known.now().is_some();
            }
        }
        let several = connected.len() > 1;
        let of = |(index, (address, connected)): (usize, (&str, bool))| {
            let name = if several { format!("Redis {}", index + 1) } else { "Redis".into() };
            let state = if connected { NodeState::Up } else { NodeState::Unreachable };
            Node { address: address.to_owned(), ..Node::new(redis_id(address), NodeKind::Redis, name, state) }
        };
        connected.into_iter().enumerate().map(of).collect()
    }

    fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        let mut link = |from: &Known, to: String, kind: LinkKind, well: bool| {
            let new = Link { from: id(from), to, kind, well };
            if !links.contains(&new) {
                links.push(new);
            }
        };
        for &known in &self.shown {
            let up = known.now().is_some();
            match known.last().map(|status| &status.role) {
                Some(Role::Frontend(frontend)) => {
                    for (pool, kind) in
                        [(&frontend.catalog, LinkKind::Reads), (&frontend.orders, LinkKind::Purchases)]
                    {
                        for node in pool {
                            if let Some(to) = self.at(&node.url) {
                                link(known, id(to), kind, up && node.well);
                            }
                        }
                    }
                    if let Some(redis) = &frontend.redis {
                        link(known, redis_id(&redis.address), LinkKind::Cache, up && redis.connected);
                    }
                    if let Some((master, _)) = self.master
                        && self.lease(known, frontend).is_some()
                    {
                        link(master, id(known), LinkKind::Lease, true);
                    }
                }
                Some(Role::Order(order)) => {
                    if let Some(to) = self.at(&order.master) {
                        link(known, id(to), LinkKind::Orders, up && to.now().is_some());
                    }
                }
                Some(Role::Master(master))
                    if self.master.is_some_and(|(leads, _)| leads.urls == known.urls) =>
                {
                    for replica in &master.replicas {
                        let to = self.shown.iter().find(|to| to.catalog_node() == Some(replica.node));
                        if let Some(to) = to {
                            link(known, id(to), LinkKind::Log, replica.in_sync);
                        }
                    }
                }
                Some(Role::Master(_) | Role::Replica(_)) | None => {}
            }
        }
        links
    }

    fn at(&self, url: &str) -> Option<&'a Known> {
        self.shown.iter().copied().find(|known| known.is_at(url))
    }
}

fn id(known: &Known) -> String {
    let kind = match known.kind {
        Kind::Frontend => "frontend",
        Kind::Order => "order",
        Kind::Catalog => "catalog",
    };
    format!("{kind}-{}", known.number)
}

fn redis_id(address: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("redis-{}", address.chars().map(safe).collect::<String>())
}

fn position(role: &Role) -> Option<Version> {
    match role {
        Role::Master(master) => Some(master.position),
        Role::Replica(replica) => Some(replica.position),
        Role::Frontend(_) | Role::Order(_) => None,
    }
}

/// Where customers find a frontend, and peers everybody else.
fn address(known: &Known, role: Option<&Role>) -> String {
    let listen = match role {
        Some(Role::Frontend(frontend)) => frontend.listen.parse().ok(),
        _ => None,
    };
    let met: Vec<String> = known.urls.iter().map(BaseUrl::authority).collect();
    shown_address(&met, listen)
}

/// `met`: host and port, under all of which it was met. `listen`: where it listens for customers.
fn shown_address(met: &[String], listen: Option<SocketAddr>) -> String {
    let first = met.first().cloned().unwrap_or_default();
    match listen {
        // It listens on all its addresses: on that by which others reach it, too.
        Some(listen) if listen.ip().is_unspecified() => {
            let others = met.iter().find(|met| !met.starts_with("127.")).unwrap_or(&first);
            let host = others.rsplit_once(':').map_or(others.as_str(), |(host, _)| host);
            format!("{host}:{}", listen.port())
        }
        Some(listen) => listen.to_string(),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Whom;
    use super::*;
    use crate::client::CallError;
    use crate::coherence::HolderId;
    use crate::domain::{Epoch, NodeId};
    use crate::wire::catalog::ReplicaState;
    use crate::wire::status::{Figures, LeaseHeld, PoolNode, RedisStatus, ReplicaStatus, Status};
    use tokio::time::Instant;

    const HOLDER: HolderId = HolderId(77);
    const MASTER: NodeId = NodeId(1);
    const REPLICA: NodeId = NodeId(2);

    struct Nowhere;

    impl Surroundings for Nowhere {
        fn nodes(&self) -> Vec<Whom> {
            Vec::new()
        }
    }

    fn url(port: u16) -> BaseUrl {
        BaseUrl::from_addr(([10, 0, 0, 1], port).into())
    }

    fn at(seq: u64) -> Version {
        Version::new(Epoch { number: 3, identity: 9 }, seq)
    }

    fn says(role: Role) -> Status {
        let figures = Figures::default();
        Status { instance: 1, release: "1".into(), uptime_ms: 5_000, unsafe_coherence: None, role, figures }
    }

    fn frontend() -> Role {
        let pool = |port: u16, well| PoolNode { url: url(port).to_string(), well };
        Role::Frontend(FrontendStatus {
            listen: "0.0.0.0:3005".into(),
            holder: HOLDER,
            lease: Some(LeaseHeld { epoch: 3, remaining_ms: 900 }),
            redis: Some(RedisStatus { address: "cache:6379".into(), connected: true }),
            catalog: vec![pool(3000, true), pool(3001, false)],
            orders: Vec::new(),
        })
    }

    fn master(in_sync: bool, holders: Vec<HolderStatus>) -> Role {
        Role::Master(MasterStatus {
            node: MASTER,
            position: at(42),
            standing: StandingIs::Leads,
            acknowledges_in_sync: true,
            lease_ms: 1000,
            holders,
            replicas: vec![ReplicaState { node: REPLICA, url: url(3001).to_string(), durable: 40, in_sync }],
            queued: 0,
            fences: Vec::new(),
            sales: Vec::new(),
        })
    }

    fn holder(remaining_ms: u64) -> Vec<HolderStatus> {
        vec![HolderStatus { holder: HOLDER, url: url(3105).to_string(), remaining_ms }]
    }

    fn replica(seq: u64) -> Role {
        let (position, follows) = (at(seq), url(3000).to_string());
        Role::Replica(ReplicaStatus { node: REPLICA, position, follows, wrong: false })
    }

    /// What is known when the nodes at these ports said this, and the others nothing.
    fn view(said: Vec<(Kind, u16, Option<Role>)>) -> View {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        let whom = |&(kind, port, _): &(Kind, u16, Option<Role>)| Whom { kind, url: url(port), name: None };
        nodes.configure(said.iter().map(whom).collect(), now);
        for (_, port, role) in said {
            let silent = || CallError::NoAnswer { peer: "it".into(), cause: "late".into() };
            nodes.asked(&url(port), role.map(says).ok_or_else(silent), now);
        }
        View::of(&nodes, &Nowhere, "now".into())
    }

    #[test]
    fn a_store_is_shown_as_its_nodes_see_each_other() {
        let view = view(vec![
            (Kind::Frontend, 3105, Some(frontend())),
            (Kind::Catalog, 3000, Some(master(true, holder(800)))),
            (Kind::Catalog, 3001, Some(replica(41))),
        ]);
        let names: Vec<&str> = view.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["frontend 1", "Redis", "master", "replica 1"]);
        let frontend = &view.nodes[0];
        // By the master's word, and at the public port of the host where it was met.
        assert_eq!((frontend.lease_ms, frontend.address.as_str()), (Some(800), "10.0.0.1:3005"));
        let replica = &view.nodes[3];
        assert_eq!((replica.in_sync, replica.lag), (Some(true), Some(1)));
        assert_eq!((view.store.version.as_deref(), view.store.epoch), (Some("3.42"), Some(3)));
        let broken: Vec<(LinkKind, &str)> =
            view.links.iter().filter(|link| !link.well).map(|link| (link.kind, link.to.as_str())).collect();
        assert_eq!(broken, [(LinkKind::Reads, "catalog-2")]);
        assert_eq!(view.summary, ["Frontend 1 has taken replica 1 out of the balance."]);
    }

    #[test]
    fn a_frontend_is_shown_where_customers_find_it() {
        let met = ["127.0.0.1:3105".to_owned(), "10.0.0.7:3105".to_owned()];
        let shown = |met: &[String], listen: &str| shown_address(met, listen.parse().ok());
        assert_eq!(shown(&met, "0.0.0.0:3005"), "10.0.0.7:3005");
        assert_eq!(shown(&met[..1], "0.0.0.0:3005"), "127.0.0.1:3005");
        assert_eq!(shown(&met, "127.0.0.1:8083"), "127.0.0.1:8083");
        assert_eq!(shown(&met, "none"), "127.0.0.1:3105");
    }

    #[test]
    fn a_lease_that_the_master_does_not_know_is_none_whatever_its_holder_says() {
        let view = view(vec![
            (Kind::Frontend, 3105, Some(frontend())),
            (Kind::Catalog, 3000, Some(master(false, Vec::new()))),
            (Kind::Catalog, 3001, Some(replica(42))),
        ]);
        assert_eq!(view.nodes[0].lease_ms, None);
        assert!(view.links.iter().all(|link| link.kind != LinkKind::Lease));
        assert_eq!(view.nodes[3].in_sync, Some(false));
    }

    #[test]
    fn without_a_master_a_frontends_own_word_counts_and_a_replica_is_in_nobodys_set() {
        let view = view(vec![
            (Kind::Frontend, 3105, Some(frontend())),
            (Kind::Catalog, 3000, None),
            (Kind::Catalog, 3001, Some(replica(42))),
        ]);
        assert_eq!((view.store.master.as_ref(), view.nodes[0].lease_ms), (None, Some(900)));
        let silent = view.nodes.iter().find(|node| node.name == "catalog node 1").unwrap();
        assert_eq!(silent.state, NodeState::Silent);
        let replica = view.nodes.iter().find(|node| node.version.is_some()).unwrap();
        assert_eq!((replica.in_sync, replica.lag), (None, None));
    }
}
