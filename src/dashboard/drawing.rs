//! The store as a picture: who there is, who talks to whom, and how they are.
//!
//! It is drawn twice, from left to right and from top to bottom; the style sheet shows the one that the window
//! has room for. The table of nodes says the same in words.

use super::page::{count, seconds};
use super::view::{Link, LinkKind, Node, NodeKind, NodeState, View};
use maud::{Markup, html};

/// Nodes of one rank that are drawn; the table has all.
const DRAWN: usize = 8;

/// Which way the ranks follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Across,
    Down,
}

/// Sizes in units of the picture.
struct Measures {
    card: (f64, f64),
    /// Between ranks, and between the nodes of one.
    gaps: (f64, f64),
    /// Nodes of a rank beside each other; more go on behind them.
    abreast: usize,
}

const MARGIN: f64 = 6.0;

/// A node in its place.
struct Placed<'a> {
    node: &'a Node,
    x: f64,
    y: f64,
}

struct Picture<'a> {
    way: Way,
    placed: Vec<Placed<'a>>,
    size: (f64, f64),
}

impl Way {
    fn measures(self) -> Measures {
        match self {
            Way::Across => Measures { card: (212.0, 84.0), gaps: (104.0, 22.0), abreast: DRAWN },
            // Two beside each other, in a window of 360 pixels.
            Way::Down => Measures { card: (156.0, 84.0), gaps: (44.0, 12.0), abreast: 2 },
        }
    }
}

/// Both pictures.
pub fn drawing(view: &View) -> Markup {
    html! {
        div.drawing { (picture(view, Way::Across)) (picture(view, Way::Down)) }
    }
}

fn picture(view: &View, way: Way) -> Markup {
    let picture = Picture::of(view, way);
    let (width, height) = picture.size;
    let class = if way == Way::Across { "across" } else { "down" };
    html! {
        svg class=(class) viewBox={ "0 0 " (width) " " (height) } role="img"
            aria-label="A picture of the store; the table of nodes below says the same in words." {
            g.links {
                @for link in &view.links {
                    @if let Some(path) = picture.path(link) {
                        path class=(link_class(link, view)) d=(path) {}
                    }
                }
            }
            @for placed in &picture.placed { (card(placed, view, way.measures().card)) }
        }
    }
}

impl<'a> Picture<'a> {
    fn of(view: &'a View, way: Way) -> Self {
        let Measures { card, gaps, abreast } = way.measures();
        let ranks = [0, 1, 2, 3].map(|rank| {
            let of_rank = view.nodes.iter().filter(|node| rank_of(node.kind) == rank);
            of_rank.take(DRAWN).collect::<Vec<&Node>>()
        });
        let ranks: Vec<Vec<&Node>> = ranks.into_iter().filter(|rank| !rank.is_empty()).collect();
        // Along: the way in which ranks follow; beside: across it.
        let (card_along, card_beside) = if way == Way::Across { card } else { (card.1, card.0) };
        let widest = ranks.iter().map(|rank| rank.len().min(abreast)).max().unwrap_or(1);
        let breadth = |nodes: usize| nodes as f64 * (card_beside + gaps.1) - gaps.1;
        let mut along = MARGIN;
        let mut placed = Vec::new();
        for rank in ranks {
            for row in rank.chunks(abreast) {
                let begin = MARGIN + (breadth(widest) - breadth(row.len())) / 2.0;
                for (index, &node) in row.iter().enumerate() {
                    let beside = begin + index as f64 * (card_beside + gaps.1);
                    let (x, y) = if way == Way::Across { (along, beside) } else { (beside, along) };
                    placed.push(Placed { node, x, y });
                }
                along += card_along + gaps.1;
            }
            along += gaps.0 - gaps.1;
        }
        let (length, breadth) = (along - gaps.0 + MARGIN, breadth(widest) + 2.0 * MARGIN);
        let size = if way == Way::Across { (length, breadth) } else { (breadth, length) };
        Self { way, placed, size }
    }

    /// A curve from the one to the other; none where one of them is not drawn, or the link is none to draw.
    fn path(&self, link: &Link) -> Option<String> {
        // That somebody holds a lease stands in the card.
        if link.kind == LinkKind::Lease {
            return None;
        }
        let (width, height) = self.way.measures().card;
        let place = |id: &str| self.placed.iter().find(|placed| placed.node.id == id);
        let (from, to) = (place(&link.from)?, place(&link.to)?);
        Some(match self.way {
            Way::Across => {
                let (x1, y1, x2, y2) = (from.x + width, from.y + height / 2.0, to.x, to.y + height / 2.0);
                let bend = (x2 - x1) / 2.0;
                format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend)
            }
            Way::Down => {
                let (x1, y1, x2, y2) = (from.x + width / 2.0, from.y + height, to.x + width / 2.0, to.y);
                let bend = (y2 - y1) / 2.0;
                format!("M{x1} {y1}C{x1} {} {x2} {} {x2} {y2}", y1 + bend, y2 - bend)
            }
        })
    }
}

fn rank_of(kind: NodeKind) -> usize {
    match kind {
        NodeKind::Frontend => 0,
        NodeKind::Order | NodeKind::Redis => 1,
        NodeKind::Master => 2,
        NodeKind::Replica => 3,
    }
}

fn link_class(link: &Link, view: &View) -> String {
    let kind = match link.kind {
        LinkKind::Reads => "reads",
        LinkKind::Purchases => "purchases",
        LinkKind::Cache => "cache",
        LinkKind::Orders => "orders",
        LinkKind::Log => "log",
        LinkKind::Lease => "lease",
    };
    let travels = match link.kind {
        LinkKind::Reads => view.figures.by_node.is_some_and(|share| share > 0.0),
        LinkKind::Cache => view.figures.by_redis.is_some_and(|share| share > 0.0),
        LinkKind::Purchases | LinkKind::Orders | LinkKind::Log => view.figures.batches_per_s > 0.0,
        LinkKind::Lease => false,
    };
    match (link.well, travels) {
        (false, _) => format!("link {kind} broken"),
        (true, true) => format!("link {kind} busy"),
        (true, false) => format!("link {kind}"),
    }
}

fn card(placed: &Placed<'_>, view: &View, (width, height): (f64, f64)) -> Markup {
    let Placed { node, x, y } = placed;
    let (tone, says) = condition(node, view);
    let kind = kind(node.kind);
    html! {
        g class={ "node " (kind) " " (tone) } data-id=(node.id) transform={ "translate(" (x) " " (y) ")" } {
            rect.card width=(width) height=(height) rx="10" {}
            rect.side width="5" height=(height - 20.0) x="0" y="10" rx="2.5" {}
            text.name x="18" y="27" { (node.name) }
            text.figure x="18" y="49" { (figure(node)) }
            text.says x="18" y="69" { (says) }
            @if let Some(share) = lease_share(node, view) {
                rect.lease-ground x="18" y=(height - 8.0) width=(width - 36.0) height="3" rx="1.5" {}
                rect.lease x="18" y=(height - 8.0) width=(format!("{:.0}", share * (width - 36.0))) height="3" rx="1.5" {}
            }
        }
    }
}

pub fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Frontend => "frontend",
        NodeKind::Order => "order",
        NodeKind::Redis => "redis",
        NodeKind::Master => "master",
        NodeKind::Replica => "replica",
    }
}

/// How a node is: a tone, and a few words.
pub fn condition(node: &Node, view: &View) -> (&'static str, String) {
    match (node.state, node.kind) {
        (NodeState::Silent, _) => ("bad", "does not answer".into()),
        (NodeState::Unreachable, NodeKind::Redis) => ("warn", "not to be had".into()),
        (NodeState::Unreachable, _) => ("bad", "cannot be reached".into()),
        (NodeState::Ill, NodeKind::Master) => ("bad", "leads no more".into()),
        (NodeState::Ill, _) => ("bad", "is ill".into()),
        (NodeState::Up, NodeKind::Frontend) => match node.lease_ms {
            Some(left) => ("good", format!("lease: {} left", seconds(left as f64 / 1e3))),
            None => ("warn", "no lease".into()),
        },
        (NodeState::Up, NodeKind::Order) => ("good", "takes purchases".into()),
        (NodeState::Up, NodeKind::Redis) => ("good", "connected".into()),
        (NodeState::Up, NodeKind::Master) => {
            let epoch = view.store.epoch.map_or_else(String::new, |epoch| format!("epoch {epoch}"));
            ("good", format!("leads, {epoch}"))
        }
        (NodeState::Up, NodeKind::Replica) => match (node.in_sync, node.lag) {
            (Some(true), None | Some(0)) => ("good", "in sync".into()),
            (Some(true), Some(lag)) => ("good", format!("in sync, {} on the way", count(lag as f64))),
            (Some(false), Some(lag @ 1..)) => ("warn", format!("{} behind", count(lag as f64))),
            (Some(false), _) => ("warn", "not in sync".into()),
            (None, _) => ("warn", "without a master".into()),
        },
    }
}

/// The one figure of a node that says most.
fn figure(node: &Node) -> String {
    match (node.requests_per_s, &node.version) {
        (Some(per_s), _) => format!("{} requests/s", count(per_s)),
        (None, Some(version)) => format!("version {version}"),
        (None, None) => node.address.clone(),
    }
}

/// How much of a lease is left.
fn lease_share(node: &Node, view: &View) -> Option<f64> {
    let (left, whole) = (node.lease_ms? as f64, view.store.lease_ms? as f64);
    (whole > 0.0).then(|| (left / whole).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::problems::tests::node;
    use super::*;

    fn store(replicas: usize) -> View {
        let mut nodes = vec![
            node("frontend-1", NodeKind::Frontend, NodeState::Up),
            node("order-1", NodeKind::Order, NodeState::Up),
            node("catalog-1", NodeKind::Master, NodeState::Up),
        ];
        nodes.extend(
            (2..2 + replicas).map(|n| node(&format!("catalog-{n}"), NodeKind::Replica, NodeState::Up)),
        );
        View { nodes, ..View::default() }
    }

    #[test]
    fn every_node_lies_within_the_picture_and_on_no_other() {
        for way in [Way::Across, Way::Down] {
            let view = store(5);
            let picture = Picture::of(&view, way);
            let (width, height) = way.measures().card;
            assert_eq!(picture.placed.len(), 8);
            for (index, a) in picture.placed.iter().enumerate() {
                assert!(a.x >= 0.0 && a.x + width <= picture.size.0, "{way:?} {}", a.node.id);
                assert!(a.y >= 0.0 && a.y + height <= picture.size.1, "{way:?} {}", a.node.id);
                for b in &picture.placed[..index] {
                    let apart = (a.x - b.x).abs() >= width || (a.y - b.y).abs() >= height;
                    assert!(apart, "{way:?}: {} lies on {}", a.node.id, b.node.id);
                }
            }
        }
    }

    #[test]
    fn a_crowd_is_drawn_in_part() {
        assert_eq!(Picture::of(&store(40), Way::Across).placed.len(), 3 + DRAWN);
    }

    #[test]
    fn a_link_to_who_is_not_drawn_is_not_drawn() {
        let view = store(1);
        let picture = Picture::of(&view, Way::Across);
        let link = |to: &str, kind| Link { from: "frontend-1".into(), to: to.into(), kind, well: true };
        assert!(picture.path(&link("catalog-2", LinkKind::Reads)).is_some());
        assert!(picture.path(&link("catalog-9", LinkKind::Reads)).is_none());
        assert!(picture.path(&link("catalog-1", LinkKind::Lease)).is_none());
    }
}
