//! `catalog/reads.rs`.

use super::Process;
use crate::coherence::rule::{Rule, kept};
use crate::world::World;
use crate::world::net::{Msg, Read, Route};
use std::sync::Arc;

impl World {
    pub(super) fn read(&mut self, node: usize, msg: &Msg) {
        let Msg::Read { front, life, route, want, started, minimum, .. } = msg else { return };
        let it = &self.nodes[node];
        let state = Arc::clone(&it.disk.seen);
        let master = it.reigns();
        let is_replica = matches!(it.process, Process::Replica(_));
        let answer = if is_replica && minimum.is_some_and(|minimum| !state.version.reaches(minimum)) {
            Read::Behind
        } else if !master && *route == Route::Master {
            Read::NotMaster
        } else {
            Read::Content { content: state.content(want), master }
        };
        let words = match &answer {
            Read::Content { content, .. } => format!(
                "reads {want} for {}: {} as of {}",
                World::front_name(*front),
                content.value,
                content.asof.public()
            ),
            Read::Behind => format!("is behind for {want}"),
            Read::NotMaster => format!("is no master for {want}"),
        };
        self.say(&self.node_name(node), || words);
        let half = match &answer {
            Read::Content { content, .. } if !kept(Rule::AsofOfTheSameSnapshot) => Some(Arc::clone(content)),
            _ => None,
        };
        let answer = Msg::ReadAnswer {
            front: *front,
            life: *life,
            route: *route,
            want: want.clone(),
            started: *started,
            answer,
        };
        match half {
            Some(content) => self.node_send(node, Msg::HalfRead { node, content, answer: Box::new(answer) }),
            None => self.node_send(node, answer),
        }
    }
}
