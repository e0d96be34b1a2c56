//! Missed reads: row 4.

use super::Ended;
use crate::bench::Bench;
use crate::dataset::{self, Dataset};
use crate::http::Connection;
use crate::load::wrk::{self, Work};
use crate::peers::bare::Bare;
use crate::record::Figure;
use crate::rounds::{Side, WarmUp, interleave};
use crate::same_bytes;
use crate::store::{Frontend, Roles};
use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::time::Duration;

const CLIENTS: u32 = 32;

/// Faster than any measurement here, to know how long new keys last.
const MOST_PER_SECOND: u64 = 50_000;

/// Books that wrk leaves alone, each read once to see that a read of a new key is a miss.
const KEPT_FOR_PROBES: u64 = 100;

pub fn run(bench: &Bench) -> Result<Ended> {
    if let Err(why) = dataset::possible(bench) {
        return Ok(Ended::Missing(&[4], why));
    }
    let large = Dataset::of(bench)?;
    let roles = Roles::start(bench, "misses", &bench.path(&large.data), [Frontend::SmallCache])?;
    let ids = large.books - KEPT_FOR_PROBES;
    let probe = Cell::new(large.first_id + ids);
    let [frontend] = roles.frontends;
    // A book that nobody has read before.
    let new_key = || {
        let id = probe.replace(probe.get() + 1);
        ensure!(id < large.first_id + large.books, "more probes than books");
        let answer = Connection::open(frontend)?.get(&format!("/catalog-service/info/{id}"))?;
        ensure!(answer.header("x-cache") == Some("MISS"), "a new key is no miss:\n{}", answer.head());
        Ok(answer)
    };
    let ours = new_key()?;
    let origin = Bare::constant(bench, "miss-origin", &ours)?;
    let proxy = Bare::proxy(bench, "miss-proxy", origin.address)?;
    let asked = format!("/catalog-service/info/{}", large.first_id + ids);
    same_bytes::check(&ours, &Connection::open(proxy.address)?.get(&asked)?, "bare")?;
    let used = Cell::new(0);
    // No key twice, the turn that warms up included.
    let turns = u64::from(bench.options.rounds) + 1;
    let time = Duration::from_secs((ids / turns / MOST_PER_SECOND).max(1)).min(bench.options.measurement());
    let misses = || -> Result<f64> {
        new_key()?;
        let work = Work::Infos { first_id: large.first_id, ids, from: used.get() };
        let run = wrk::run(bench, frontend, work, CLIENTS, time)?;
        used.set(used.get() + run.done + u64::from(CLIENTS));
        new_key()?;
        Ok(run.per_second)
    };
    let proxied = || -> Result<f64> {
        let work = Work::Infos { first_id: large.first_id, ids, from: 0 };
        Ok(wrk::run(bench, proxy.address, work, CLIENTS, time)?.per_second)
    };
    let [ours, bare] = interleave(
        bench,
        "4",
        "/s",
        WarmUp::Yes,
        [Side::new("bazar", |_| misses()), Side::new("bare actix-web and awc", |_| proxied())],
    )
    .context("--books may be too few for so many misses")?;
    bench.figure(Figure::ratio("4", &ours, &bare).noting(format!("{} books", large.books)));
    Ok(Ended::Measured)
}
