//! Watches over the nodes of a pool: looks names up, probes, and decides who is ejected and who returns.
//!
//! Invariant: ejections are decided here, in one task, one after the other, so that never more than half of those
//! that live are out for what their traffic looks like.

use super::health::{Health, IN_A_ROW, Standing, room_for_one, too_many};
use super::pace::too_slow;
use super::{Node, Pool, Way};
use crate::metrics::Fault;
use crate::shutdown::Shutdown;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Between two rounds of looking names up and probing, more or less.
const ROUND: Duration = Duration::from_secs(1);

/// By how much of it a round is shorter or longer, so that frontends that were started together do not probe in
/// step for ever (HAProxy's `spread-checks`).
const JITTER: f64 = 0.25;

/// Between two looks at who owes answers, and whose ejection is over. A look takes a microsecond.
const LOOK: Duration = Duration::from_millis(50);

/// A node that takes longer to say that it lives is ill.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

impl<W: Way> Pool<W> {
    /// Looks up, probes and decides until `stop`.
    pub async fn keep(self: Arc<Self>, stop: Shutdown) {
        tokio::select! {
            () = self.rounds() => {}
            () = self.looks() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn rounds(&self) {
        loop {
            tokio::time::sleep(jittered(rand::random())).await;
            self.resolve(|| Health::newcomer(Instant::now())).await;
            let nodes = self.nodes.load_full();
            join_all(nodes.iter().map(|node| probe(node))).await;
            eject_slow(&nodes);
        }
    }

    async fn looks(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.look.notified() => {}
            }
            let nodes = self.nodes.load_full();
            decide(&nodes, Instant::now());
            let now = Instant::now();
            join_all(nodes.iter().filter(|node| node.is_suspect(now)).map(|node| probe(node))).await;
        }
    }
}

/// How long a round lasts, given a number from 0 to 1.
fn jittered(random: f64) -> Duration {
    ROUND.mul_f64(1.0 - JITTER + 2.0 * JITTER * random)
}

async fn probe<W: Way>(node: &Node<W>) {
    match node.peer.probe(PROBE_DEADLINE).await {
        Ok(()) => node.lives(),
        Err(error) => node.died(&error),
    }
}

/// Lets in whose time is over, and whoever is one too many since others died; ejects who fails.
fn decide<W: Way>(nodes: &[Arc<Node<W>>], now: Instant) {
    for node in nodes {
        if node.ejected_until().is_some_and(|until| until <= now) {
            node.readmit("its time is over");
        }
    }
    for _ in 0..too_many(&standings(nodes)) {
        // Who would return first. The dead would not answer anyway.
        let ejected = nodes.iter().filter(|node| node.standing() == Standing::Ejected);
        if let Some(node) = ejected.min_by_key(|node| node.ejected_until()) {
            node.readmit("too few others are left");
        }
    }
    for node in nodes.iter().filter(|node| node.fails()) {
        if room_for_one(&standings(nodes)) {
            node.eject(Fault::Fails, &format!("it failed {IN_A_ROW} calls in a row"));
        }
    }
}

/// Ejects the slowest, if it is too slow beside its peers.
fn eject_slow<W: Way>(nodes: &[Arc<Node<W>>]) {
    let paces: Vec<Option<Duration>> = nodes.iter().map(|node| node.take_pace()).collect();
    let Some(slowest) = too_slow(&paces) else { return };
    if room_for_one(&standings(nodes)) {
        let took = paces[slowest].unwrap_or_default();
        nodes[slowest].eject(Fault::Slow, &format!("it takes {took:.1?}, far longer than its peers"));
    }
}

fn standings<W: Way>(nodes: &[Arc<Node<W>>]) -> Vec<Standing> {
    nodes.iter().map(|node| node.standing()).collect()
}
