//! The seed recipe's own experiments: one client, a hit, a miss, and what a purchase pays for invalidation, beside the
//! figures that the original claims. The original's machine is not ours: these stand beside each other, and no more.

use super::Ended;
use super::latency::of_ours as purchases;
use crate::bench::Bench;
use crate::http::{Answer, get};
use crate::load::serial;
use crate::record::{Figure, Kind};
use crate::rounds::{Series, Side, WarmUp, interleave};
use crate::stats::Latencies;
use crate::store::{self, Flags, Frontend, NO_LOCAL_CACHE, Roles, SEARCH, Store, UNFENCED};
use anyhow::{Result, ensure};
use std::cell::RefCell;
use std::net::SocketAddr;

/// The original's claims, in milliseconds.
const CLAIMED_HIT: f64 = 0.5;
const CLAIMED_MISS: f64 = 2.65;
const CLAIMED_INVALIDATION: f64 = 0.4;

const BOOKS: u64 = 11;

pub fn run(bench: &Bench) -> Result<Ended> {
    let roles =
        Roles::start(bench, "experiments", &bench.path("experiments"), [Frontend::Usual, Frontend::NoCache])?;
    let [usual, uncached] = roles.frontends;
    let safe = Store::stocked(bench, "experiments-safe", Flags::default())?;
    let unfenced = Flags { flags: &UNFENCED, ..Flags::default() };
    let unfenced = Store::stocked(bench, "experiments-unfenced", unfenced)?;
    store::check_hit(usual, SEARCH)?;
    let all = RefCell::new([const { None::<Latencies> }; 4]);
    let mean = |which: usize, round: u32, latencies: Latencies| {
        if round > 0 {
            all.borrow_mut()[which].get_or_insert_with(Latencies::new).add(&latencies);
        }
        latencies.mean_ms()
    };
    let [hit] = interleave(
        bench,
        "16, hit",
        "ms",
        WarmUp::Yes,
        [Side::new("a hit, mean", |round| Ok(mean(0, round, searches(bench, usual, "HIT")?)))],
    )?;
    bench.figure(beside_claim("16a", &hit, CLAIMED_HIT));
    let can_miss = misses(uncached)?;
    if can_miss {
        let [miss] = interleave(
            bench,
            "16, miss",
            "ms",
            WarmUp::Yes,
            [Side::new("a miss, mean", |round| Ok(mean(1, round, searches(bench, uncached, "MISS")?)))],
        )?;
        bench.figure(beside_claim("16b", &miss, CLAIMED_MISS));
    }
    let [with, without] = interleave(
        bench,
        "16, purchase",
        "ms",
        WarmUp::Yes,
        [
            Side::new("purchase, mean", |round| Ok(mean(2, round, purchases(bench, &safe, BOOKS)?))),
            Side::new("purchase without invalidation, mean", |round| {
                Ok(mean(3, round, purchases(bench, &unfenced, BOOKS)?))
            }),
        ],
    )?;
    bench.figure(beside_claim("16c", &with.minus(&without), CLAIMED_INVALIDATION));
    let names = ["hit", "miss", "purchase", "purchase without invalidation"];
    for (name, latencies) in names.into_iter().zip(all.into_inner()) {
        if let Some(latencies) = latencies {
            bench.distribution(name, latencies, Kind::OneClient);
        }
    }
    Ok(if can_miss {
        Ended::Measured
    } else {
        Ended::Missing(&[16], format!("a miss: this bazar does not know {}", NO_LOCAL_CACHE.0))
    })
}

fn beside_claim(id: &'static str, ours: &Series, claim: f64) -> Figure {
    Figure::ratio(id, ours, &Series { values: vec![claim; ours.values.len()] })
}

fn misses(frontend: SocketAddr) -> Result<bool> {
    let mut connection = crate::http::Connection::open(frontend)?;
    connection.get(SEARCH)?;
    Ok(connection.get(SEARCH)?.header("x-cache") == Some("MISS"))
}

fn searches(bench: &Bench, frontend: SocketAddr, cache: &str) -> Result<Latencies> {
    let request = get(frontend, SEARCH);
    let check = |answer: &Answer| {
        ensure!(answer.status() == 200 && answer.header("x-cache") == Some(cache), "not a {cache}");
        Ok(())
    };
    serial::run(frontend, bench.options.measurement(), |_| request.clone(), check)
}
