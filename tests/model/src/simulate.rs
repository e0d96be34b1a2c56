//! The simulator: long random schedules of larger worlds, each replayed exactly by its seed.

use crate::configs::{book, id, topic};
use crate::domain::Edit;
use crate::world::oracle::Violation;
use crate::world::rows::Want;
use crate::world::{Action, Clock, Deed, Left, Setup, World};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Steps of one seed before everything is settled.
const STEPS: u32 = 700;

/// What a seed came to.
pub struct Outcome {
    pub violation: Option<Violation>,
    pub trace: Vec<String>,
    pub seen: u32,
    pub steps: u32,
}

/// What came of many seeds.
pub struct Summary {
    pub seeds: u64,
    pub steps: u64,
    pub seen: u32,
    pub failed: Option<u64>,
}

/// The world of a seed: every seed has its own sizes, clocks, lease terms and faults.
fn setup(random: &mut SmallRng) -> Setup {
    let fronts = random.random_range(1..=3);
    let shared = random.random_bool(0.15);
    let mut addresses: Vec<usize> = (0..fronts).collect();
    if shared && fronts > 1 {
        addresses[1] = 0;
    }
    let name_is_fixed = shared && random.random_bool(0.5);
    let clocks = (0..8).map(|_| Clock {
        permille: random.random_range(990..=1010),
        offset: random.random_range(0..100_000_000_000),
    });
    let clocks = clocks.collect();
    let books = vec![
        book(1, "art", random.random_range(1..=3)),
        book(2, "art", random.random_range(1..=6)),
        book(3, "law", 4),
    ];
    let wants = vec![
        Want::Book(id(1)),
        Want::Book(id(2)),
        Want::Book(id(4)),
        Want::Page(topic("art")),
        Want::Page(topic("law")),
        Want::Topics,
    ];
    let deeds = (0..random.random_range(4..=14)).map(|_| deed(random)).collect();
    let faulty = |random: &mut SmallRng, most: u16| {
        if random.random_bool(0.4) { random.random_range(1..=most) } else { 0 }
    };
    let budget = Left {
        reads: u16::MAX,
        asks: u16::MAX,
        ticks: u16::MAX,
        reports: u16::MAX,
        retries: u16::MAX,
        losses: faulty(random, 12),
        doubles: faulty(random, 6),
        impatience: faulty(random, 4),
        master_stops: faulty(random, 3),
        replica_stops: faulty(random, 3),
        front_stops: faulty(random, 3),
        power_cuts: faulty(random, 2),
        releases: faulty(random, 3),
        backups: faulty(random, 2),
        wipes: faulty(random, 2),
        redis_restores: faulty(random, 4),
        handovers: faulty(random, 1),
        forces: faulty(random, 1),
        refusals: faulty(random, 3),
    };
    let term = |random: &mut SmallRng| [100, 200, 1000, 5000][random.random_range(0..4)];
    // Wiped data knows of no lease: it is safe only if `--lease` is not lowered at the same time.
    let terms_ms = match budget.wipes {
        0 => (0..4).map(|_| term(random)).collect(),
        _ => vec![term(random)],
    };
    Setup {
        nodes: random.random_range(1..=3),
        fronts,
        addresses,
        name_is_fixed,
        clocks,
        books,
        wants,
        deeds,
        redis: random.random_bool(0.7),
        terms_ms,
        warm: random.random_bool(0.8),
        prelude: Vec::new(),
        slow_looks: true,
        budget,
    }
}

fn deed(random: &mut SmallRng) -> Deed {
    let move_to = |book_id, to: &str| {
        Deed::Edit(Edit::Update { book_id, title: None, topic: Some(topic(to)), stock: None, price: None })
    };
    match random.random_range(0..10) {
        0..=4 => Deed::Buy(id(random.random_range(1..=3))),
        5 => Deed::Edit(Edit::Restock { book_id: id(random.random_range(1..=3)), copies: 1 }),
        6 => move_to(id(2), "law"),
        7 => move_to(id(2), "art"),
        8 => Deed::Edit(Edit::Put(book(4, "law", 2))),
        _ => Deed::Edit(Edit::Delete { book_id: id(4) }),
    }
}

/// How likely an action is, compared with the others that can happen.
fn weight(action: &Action, world: &World) -> u32 {
    match action {
        Action::Deliver { .. } => 40,
        Action::Lose { .. } | Action::Double { .. } => 1,
        Action::Come { .. } => 3,
        Action::Begin { .. } => 8,
        Action::Look { .. }
        | Action::AskRedis { .. }
        | Action::Pick { .. }
        | Action::PublishFloors { .. } => 30,
        Action::Ask { front } => match world.fronts[*front].session.held() {
            None => 20,
            Some(lease) => {
                let left = world.front_now(*front).until(lease.deadline());
                if left.as_millis() < 600 { 8 } else { 1 }
            }
        },
        Action::Batch { .. }
        | Action::Commit { .. }
        | Action::Acknowledge { .. }
        | Action::SendFence { .. } => 25,
        Action::Push { .. } | Action::Announce { .. } => 25,
        Action::AskFails { .. }
        | Action::FlightFails { .. }
        | Action::PushFails { .. }
        | Action::FollowFails { .. } => 6,
        Action::Retry { .. } => 4,
        Action::Report { .. } => 4,
        Action::Sync { .. } => 4,
        Action::Tick => 4,
        Action::StartMaster { force: false, .. }
        | Action::StartReplica { .. }
        | Action::StartFront { .. } => 8,
        Action::StartMaster { force: true, .. } => 2,
        Action::GiveBack { .. }
        | Action::Handover { .. }
        | Action::Refuse { .. }
        | Action::StopNode { .. }
        | Action::StopFront { .. }
        | Action::Backup { .. }
        | Action::Restore { .. }
        | Action::Wipe { .. }
        | Action::Stray { .. }
        | Action::GoOn { .. }
        | Action::RestoreRedis { .. } => 1,
    }
}

/// Who acts, where that is one process: a paused one does nothing, and its messages wait.
fn front_of(action: &Action) -> Option<usize> {
    match *action {
        Action::Look { front, .. }
        | Action::Ask { front }
        | Action::AskFails { front }
        | Action::AskRedis { front, .. }
        | Action::Pick { front, .. }
        | Action::FlightFails { front, .. }
        | Action::GiveBack { front } => Some(front),
        _ => None,
    }
}

pub fn run(seed: u64, traced: bool) -> Outcome {
    let mut random = SmallRng::seed_from_u64(seed);
    let setup = Arc::new(setup(&mut random));
    let mut world = World::new(Arc::clone(&setup), traced);
    let mut paused: Option<(usize, u64)> = None;
    let mut actions = Vec::new();
    let mut steps = 0;
    while steps < STEPS && world.violation.is_none() {
        steps += 1;
        // Everything takes a while: mostly some microseconds, at times much of a lease.
        let longest = if random.random_bool(0.03) { 400_000_000 } else { 2_000_000 };
        let to = world.now + random.random_range(1_000..longest);
        world.advance(to);
        if paused.is_some_and(|(_, until)| world.now >= until) {
            paused = None;
        }
        if paused.is_none() && random.random_bool(0.01) {
            let until = world.now + random.random_range(10_000_000..2_500_000_000);
            paused = Some((random.random_range(0..setup.fronts), until));
        }
        actions.clear();
        world.enabled(&mut actions);
        actions.retain(|action| {
            let reading: usize = world.fronts.iter().map(|front| front.reads.len()).sum();
            let sleeps = paused.is_some_and(|(front, _)| {
                front_of(action) == Some(front)
                    || matches!(action, Action::Deliver { index, front: at } if world.receives(*index, *at) == Some(front))
            });
            let enough = matches!(action, Action::Come { .. }) && reading >= 6;
            !sleeps && !enough
        });
        let total: u32 = actions.iter().map(|action| weight(action, &world)).sum();
        if total == 0 {
            continue;
        }
        let mut drawn = random.random_range(0..total);
        let chosen = actions.iter().copied().find(|action| {
            let weight = weight(action, &world);
            let found = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            found
        });
        if let Some(action) = chosen {
            world.step(&action);
        }
    }
    if world.violation.is_none()
        && let Err(violation) = world.settle()
    {
        world.judge(Err(violation));
    }
    let trace = world.trace.0.take().unwrap_or_default();
    Outcome { violation: world.violation, trace, seen: world.seen.0, steps }
}

/// Runs `seeds` from `first` on, on `threads` threads, until one fails.
pub fn many(first: u64, seeds: u64, threads: u64) -> Summary {
    let failed = AtomicU64::new(u64::MAX);
    let (steps, seen, done) = (AtomicU64::new(0), AtomicU32::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (failed, steps, seen, done) = (&failed, &steps, &seen, &done);
            scope.spawn(move || {
                for seed in (first..first + seeds).skip(thread as usize).step_by(threads as usize) {
                    // The lowest failing seed, whichever thread is faster.
                    if seed > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(seed, false);
                    steps.fetch_add(outcome.steps.into(), Ordering::Relaxed);
                    seen.fetch_or(outcome.seen, Ordering::Relaxed);
                    done.fetch_add(1, Ordering::Relaxed);
                    if outcome.violation.is_some() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    Summary {
        seeds: done.into_inner(),
        steps: steps.into_inner(),
        seen: seen.into_inner(),
        failed: (failed != u64::MAX).then_some(failed),
    }
}
