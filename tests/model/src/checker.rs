//! The model checker: every order of events within a configuration's budgets.

use crate::configs::Config;
use crate::world::oracle::{DEPOSED, LOST, OVERSOLD, REUSED, STALE, STALLED, STUCK, Violation};
use crate::world::{Action, SEEN, World, rows};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::sync::Arc;
use std::time::Instant;

pub struct Checked {
    setup: Arc<crate::world::Setup>,
    /// Of how many states one is settled.
    settle_one_of: u64,
}

impl Model for Checked {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(Arc::clone(&self.setup), false)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.enabled(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.step(&action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! kept {
            ($promise:expr) => {
                Property::<Self>::always($promise, |_, world| {
                    world.violation.as_ref().is_none_or(|violation| violation.promise != $promise)
                })
            };
        }
        vec![
            kept!(STALE),
            kept!(OVERSOLD),
            kept!(LOST),
            kept!(REUSED),
            kept!(STALLED),
            kept!(DEPOSED),
            Property::<Self>::always(STUCK, |model, world| {
                if rows::digest_of(world) % model.settle_one_of != 0 {
                    return true;
                }
                // Another promise that is broken on the way is broken in a state of its own.
                let waits = |violation: &Violation| [STUCK, STALLED].contains(&violation.promise);
                !world.clone().settle().is_err_and(|violation| waits(&violation))
            }),
        ]
    }
}

/// What came of one configuration.
pub struct Report {
    pub states: usize,
    pub unique: usize,
    pub depth: usize,
    pub seconds: f64,
    pub complete: bool,
    pub seen: u32,
    /// The promise that was broken, and how it came to that.
    pub broken: Option<(&'static str, Vec<String>)>,
}

pub fn check(config: &Config, most: usize, threads: usize, settle_one_of: u64) -> Report {
    let began = Instant::now();
    let seen = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let visited = Arc::clone(&seen);
    let model = Checked { setup: Arc::clone(&config.setup), settle_one_of };
    let checker = model
        .checker()
        .threads(threads)
        .target_state_count(most)
        .finish_when(HasDiscoveries::AnyFailures)
        .visitor(move |path: stateright::Path<World, Action>| {
            visited.fetch_or(path.last_state().seen.0, std::sync::atomic::Ordering::Relaxed);
        })
        .spawn_bfs()
        .join();
    let broken = checker.discoveries().into_iter().next().map(|(promise, path)| {
        let actions = path.into_actions();
        (promise, replay(config, &actions, promise == STUCK))
    });
    Report {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: began.elapsed().as_secs_f64(),
        complete: checker.state_count() < most && broken.is_none(),
        seen: seen.load(std::sync::atomic::Ordering::Relaxed),
        broken,
    }
}

/// The same steps again, told.
fn replay(config: &Config, actions: &[Action], settled: bool) -> Vec<String> {
    let mut world = World::new(Arc::clone(&config.setup), true);
    for action in actions {
        world.step(action);
    }
    if settled && let Err(violation) = world.settle() {
        world.say("", || format!("VIOLATION of \"{}\": {}", violation.promise, violation.words));
    }
    world.trace.0.unwrap_or_default()
}

pub fn names_of(seen: u32) -> Vec<&'static str> {
    SEEN.iter().filter(|(_, bit)| seen & bit != 0).map(|(name, _)| *name).collect()
}
