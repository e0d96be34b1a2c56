//! More frontends and more replicas: row 13. Fences and records must go out in parallel.

use super::Ended;
use super::purchases::of_ours as throughput;
use crate::bench::Bench;
use crate::load::open::{self, Plan};
use crate::record::{Figure, Plot};
use crate::rounds::{Side, WarmUp, interleave};
use crate::store::{self, Flags, Store};
use anyhow::{Result, ensure};

const BOOKS: u64 = 11;

/// To find the peak rate with.
const CLIENTS: u32 = 32;

/// At a quarter of the peak rate a request seldom waits for a free connection.
const CONNECTIONS: usize = 32;

pub fn run(bench: &Bench) -> Result<Ended> {
    let store = |name: &str, frontends: &str, replicas: &str| {
        let flags = &["--ack", "sync", "--frontends", frontends, "--replicas", replicas];
        Store::stocked(bench, name, Flags { flags, ..Flags::default() })
    };
    let one = store("scale", "1", "1")?;
    let eight = store("frontends-8", "8", "1")?;
    let four = store("replicas-4", "1", "4")?;
    let rate = throughput(bench, &one, BOOKS, CLIENTS)? / 4.0;
    let p50 = |store: &Store, round: u32| at_rate(bench, store, rate, round);
    let [of_one, of_eight, of_four] = interleave(
        bench,
        "13",
        "ms",
        WarmUp::Yes,
        [
            Side::new("1 frontend, 1 replica, p50", |round| p50(&one, round)),
            Side::new("8 frontends, p50", |round| p50(&eight, round)),
            Side::new("4 replicas, p50", |round| p50(&four, round)),
        ],
    )?;
    let note = format!("{rate:.0}/s");
    bench.figure(Figure::ratio("13a", &of_eight, &of_one).noting(&note));
    bench.figure(Figure::ratio("13b", &of_four, &of_one).noting(&note));
    if !bench.options.quick {
        let point = |plot, at, p50| bench.point(plot, "purchase, p50", at, p50, "ms");
        point(Plot::CostByFrontends, 1.0, of_one.median())?;
        point(Plot::CostByFrontends, 2.0, p50(&store("frontends-2", "2", "1")?, 1)?)?;
        point(Plot::CostByFrontends, 4.0, p50(&store("frontends-4", "4", "1")?, 1)?)?;
        point(Plot::CostByFrontends, 8.0, of_eight.median())?;
        point(Plot::CostByReplicas, 1.0, of_one.median())?;
        point(Plot::CostByReplicas, 2.0, p50(&store("replicas-2", "1", "2")?, 1)?)?;
        point(Plot::CostByReplicas, 4.0, of_four.median())?;
    }
    Ok(Ended::Measured)
}

fn at_rate(bench: &Bench, store: &Store, rate: f64, round: u32) -> Result<f64> {
    let address = store.address;
    let before = store.stock(bench, BOOKS)?;
    let time = bench.options.measurement();
    let plan = Plan { address, rate, time, connections: CONNECTIONS, seed: round.into() };
    let outcome = open::run(&plan, |number| store::purchase(address, number % BOOKS + 1))?;
    let sold = before - store.stock(bench, BOOKS)?;
    ensure!(sold == outcome.done, "{sold} copies were sold, and {} purchases answered", outcome.done);
    Ok(outcome.latencies.quantile_ms(0.5))
}
