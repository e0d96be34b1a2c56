//! Memory and start of `bazar up`: rows 14 and 15.

use super::Ended;
use super::purchases::of_ours as buy;
use crate::bench::Bench;
use crate::dataset::{self, Dataset};
use crate::load::wrk::{self, Work};
use crate::process::pause;
use crate::record::Figure;
use crate::rounds::{Side, WarmUp, interleave};
use crate::store::{Flags, SEARCH, Store};
use anyhow::{Result, anyhow};
use std::thread;
use std::time::Duration;

/// After the ready line: whatever a start still has to do is done.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

const READERS: u32 = 128;
const BUYERS: u32 = 128;

const SMALL: u64 = 11;

pub fn run(bench: &Bench) -> Result<Ended> {
    Store::stocked(bench, "footprint", Flags::default())?.stop()?;
    if bench.wants(15) {
        let [small] = interleave(
            bench,
            "15a",
            "s",
            WarmUp::Yes,
            [Side::new("11 books", |_| start(bench, "footprint"))],
        )?;
        bench.figure(Figure::alone("15a", &small));
    }
    if bench.wants(14) {
        let [idle] =
            interleave(bench, "14a", "MB", WarmUp::No, [Side::new("idle", |_| idle(bench, "footprint"))])?;
        bench.figure(Figure::alone("14a", &idle));
        let [loaded] = interleave(
            bench,
            "14b",
            "MB",
            WarmUp::No,
            [Side::new("under full load", |_| under_load(bench, "footprint"))],
        )?;
        bench.figure(Figure::alone("14b", &loaded).noting(format!("{READERS} readers and {BUYERS} buyers")));
    }
    if let Err(why) = dataset::possible(bench) {
        bench.say(&format!("no large catalog: {why}"));
        return Ok(Ended::Missing(&[14, 15], format!("with a large catalog: {why}")));
    }
    let (data, books) = {
        let large = Dataset::of(bench)?;
        (large.data.clone(), large.books)
    };
    if bench.wants(15) {
        let [large] = interleave(
            bench,
            "15b",
            "s",
            WarmUp::Yes,
            [Side::new("large catalog", |_| start(bench, &data))],
        )?;
        bench.figure(Figure::alone("15b", &large).noting(format!("{books} books")));
    }
    if bench.wants(14) {
        let [large] = interleave(
            bench,
            "14c",
            "MB",
            WarmUp::No,
            [Side::new("large catalog", |_| wide_reads(bench, &data))],
        )?;
        bench.figure(Figure::alone("14c", &large).noting(format!("{books} books")));
    }
    Ok(Ended::Measured)
}

/// From the start of the process to its ready line, on existing data.
fn start(bench: &Bench, name: &str) -> Result<f64> {
    let store = Store::up(bench, name, Flags::default())?;
    let took = store.ready_after.as_secs_f64();
    store.stop()?;
    Ok(took)
}

fn idle(bench: &Bench, name: &str) -> Result<f64> {
    let store = Store::up(bench, name, Flags::default())?;
    pause(SETTLED_AFTER)?;
    let memory = store.memory_mb()?.now;
    store.stop()?;
    Ok(memory)
}

/// The highest while many read and many buy at once.
fn under_load(bench: &Bench, name: &str) -> Result<f64> {
    let store = Store::up(bench, name, Flags::default())?;
    let address = store.address;
    let time = bench.options.measurement();
    let other = bench.path("readers");
    thread::scope(|scope| -> Result<()> {
        let readers = scope.spawn(|| wrk::run_in(&other, address, Work::Get(SEARCH), READERS, time));
        let bought = buy(bench, &store, SMALL, BUYERS);
        readers.join().map_err(|_| anyhow!("the readers' thread panicked"))??;
        bought.map(drop)
    })?;
    let memory = store.memory_mb()?.highest;
    store.stop()?;
    Ok(memory)
}

/// The highest while books all over the catalog are read, so that caches fill, and some are bought.
fn wide_reads(bench: &Bench, data: &str) -> Result<f64> {
    let large = Dataset::of(bench)?;
    let store = Store::stocked(bench, data, Flags::default())?;
    let work = Work::Infos { first_id: large.first_id, ids: large.books, from: 0 };
    wrk::run(bench, store.address, work, READERS, bench.options.measurement())?;
    buy(bench, &store, SMALL, BUYERS)?;
    let memory = store.memory_mb()?.highest;
    store.stop()?;
    Ok(memory)
}
