//! What is not as it should be, in sentences for people, and what has changed about that.

use super::view::{LinkKind, Node, NodeKind, NodeState, View};
use serde::Serialize;

/// Happenings that are shown.
const SHOWN: usize = 12;

/// Something that is not as it should be, for as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The same for as long as it is the same problem.
    key: (String, &'static str),
    pub says: String,
    /// When it has passed.
    over: String,
}

/// A problem that began or passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happening {
    pub at: String,
    pub text: String,
    pub good: bool,
}

/// All that is wrong, the worst first.
pub fn problems(view: &View) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |about: &str, what: &'static str, says: String, over: String| {
        problems.push(Problem { key: (about.into(), what), says, over });
    };
    if let Some(recipe) = &view.store.unsafe_coherence {
        let says = format!("UNSAFE: {recipe} runs instead of the protocol, and answers may be stale.");
        add("store", "unsafe", says, "The store runs its protocol.".into());
    }
    if view.store.master.is_none() {
        let says = "No write master answers: reads go on, and purchases wait.".into();
        add("store", "master", says, "A write master answers.".into());
    }
    for node in &view.nodes {
        let name = capital(&node.name);
        match node.state {
            NodeState::Up => {}
            NodeState::Silent => {
                add(&node.id, "state", format!("{name} does not answer."), format!("{name} answers again."));
                continue;
            }
            NodeState::Unreachable => {
                let says = match node.kind {
                    NodeKind::Redis => format!("{name} is not to be had: reads go on without it."),
                    _ => format!("{name} cannot be reached."),
                };
                add(&node.id, "state", says, format!("{name} is back."));
                continue;
            }
            NodeState::Ill => {
                add(
                    &node.id,
                    "state",
                    format!("{name} answers that it is ill."),
                    format!("{name} is well again."),
                );
                continue;
            }
        }
        if node.in_sync == Some(false) {
            let says = format!("{name} is not in sync: purchases do not wait for it.");
            add(&node.id, "sync", says, format!("{name} is in sync."));
        }
        if node.kind == NodeKind::Frontend && node.lease_ms.is_none() {
            let says = format!("{name} holds no lease: its reads go to the master.");
            add(&node.id, "lease", says, format!("{name} has a lease."));
        }
    }
    for link in view.links.iter().filter(|link| !link.well) {
        let (Some(from), Some(to)) = (up(view, &link.from), up(view, &link.to)) else { continue };
        let (name, key) = (capital(&from.name), format!("{} {}", from.id, to.id));
        match link.kind {
            LinkKind::Reads | LinkKind::Purchases => {
                let says = format!("{name} has taken {} out of the balance.", to.name);
                add(&key, "balance", says, format!("{name} asks {} again.", to.name));
            }
            LinkKind::Cache => {
                let says = format!("{name} does without {}.", to.name);
                add(&key, "cache", says, format!("{name} uses {} again.", to.name));
            }
            // Said of the node at its other end.
            LinkKind::Orders | LinkKind::Log | LinkKind::Lease => {}
        }
    }
    problems
}

/// What has changed since `before`, put before what happened earlier.
pub fn happenings(before: &View, now: &View) -> Vec<Happening> {
    let known =
        |problems: &[Problem], problem: &Problem| problems.iter().any(|other| other.key == problem.key);
    let happening = |text: &str, good| Happening { at: now.at.clone(), text: text.to_owned(), good };
    let began = now.problems.iter().filter(|problem| !known(&before.problems, problem));
    let passed = before.problems.iter().filter(|problem| !known(&now.problems, problem));
    let epoch = match (before.store.epoch, now.store.epoch) {
        (Some(before), Some(now)) if before != now => Some(format!("Epoch {now} has begun.")),
        _ => None,
    };
    began
        .map(|problem| happening(&problem.says, false))
        .chain(passed.map(|problem| happening(&problem.over, true)))
        .chain(epoch.map(|text| happening(&text, true)))
        .chain(before.happenings.iter().cloned())
        .take(SHOWN)
        .collect()
}

fn up<'a>(view: &'a View, id: &str) -> Option<&'a Node> {
    view.node(id).filter(|node| node.state == NodeState::Up)
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn node(id: &str, kind: NodeKind, state: NodeState) -> Node {
        Node::new(id.into(), kind, id.replace('-', " "), state)
    }

    fn view(nodes: Vec<Node>) -> View {
        let mut view = View { nodes, ..View::default() };
        view.store.master = Some("catalog-1".into());
        view.problems = problems(&view);
        view
    }

    fn texts(happenings: &[Happening]) -> Vec<(&str, bool)> {
        happenings.iter().map(|happening| (happening.text.as_str(), happening.good)).collect()
    }

    #[test]
    fn a_replica_that_goes_and_comes_back_is_told_once_each_time() {
        let well = view(vec![node("replica-1", NodeKind::Replica, NodeState::Up)]);
        let gone = view(vec![node("replica-1", NodeKind::Replica, NodeState::Unreachable)]);
        let mut now = gone.clone();
        now.happenings = happenings(&well, &gone);
        assert_eq!(texts(&now.happenings), [("Replica 1 cannot be reached.", false)]);
        assert_eq!(happenings(&now, &gone), now.happenings);
        let back = happenings(&now, &well);
        assert_eq!(texts(&back), [("Replica 1 is back.", true), ("Replica 1 cannot be reached.", false)]);
    }

    #[test]
    fn a_frontend_without_a_lease_and_a_replica_that_lags_are_told() {
        let mut replica = node("replica-1", NodeKind::Replica, NodeState::Up);
        replica.in_sync = Some(false);
        let view = view(vec![node("frontend-1", NodeKind::Frontend, NodeState::Up), replica]);
        let says: Vec<&str> = view.problems.iter().map(|problem| problem.says.as_str()).collect();
        assert_eq!(
            says,
            [
                "Frontend 1 holds no lease: its reads go to the master.",
                "Replica 1 is not in sync: purchases do not wait for it.",
            ]
        );
    }

    #[test]
    fn what_is_down_is_not_also_told_to_be_out_of_the_balance() {
        use super::super::view::Link;
        let mut frontend = node("frontend-1", NodeKind::Frontend, NodeState::Up);
        frontend.lease_ms = Some(500);
        let mut view = view(vec![frontend, node("order-1", NodeKind::Order, NodeState::Unreachable)]);
        view.links = vec![Link {
            from: "frontend-1".into(),
            to: "order-1".into(),
            kind: LinkKind::Purchases,
            well: false,
        }];
        assert_eq!(problems(&view).len(), 1);
        view.nodes[1].state = NodeState::Up;
        assert_eq!(problems(&view)[0].says, "Frontend 1 has taken order 1 out of the balance.");
    }
}
