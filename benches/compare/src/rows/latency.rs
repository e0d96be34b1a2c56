//! What one buyer waits for: row 9.

use super::Ended;
use super::purchases::BOOKS;
use crate::bench::Bench;
use crate::http::Answer;
use crate::load::serial;
use crate::peers::postgres::{Form, Postgres};
use crate::record::Figure;
use crate::rounds::{Side, WarmUp, interleave};
use crate::stats::Latencies;
use crate::store::{self, Flags, Store, UNFENCED};
use anyhow::{Result, ensure};

/// One client that buys books from 1 to `books` in turns; the stock must have fallen by exactly what was answered.
pub fn of_ours(bench: &Bench, store: &Store, books: u64) -> Result<Latencies> {
    let before = store.stock(bench, books)?;
    let latencies = serial::run(
        store.address,
        bench.options.measurement(),
        |number| store::purchase(store.address, number % books + 1),
        sold,
    )?;
    let fallen = before - store.stock(bench, books)?;
    ensure!(
        fallen == latencies.count(),
        "{fallen} copies were sold, and {} purchases answered",
        latencies.count()
    );
    Ok(latencies)
}

pub fn sold(answer: &Answer) -> Result<()> {
    ensure!(answer.status() == 200, "not sold: {}", String::from_utf8_lossy(answer.body()));
    Ok(())
}

pub fn purchases(bench: &Bench) -> Result<Ended> {
    let safe = Store::of_books(bench, "latency", BOOKS, Flags::default())?;
    let unfenced = Flags { flags: &UNFENCED, ..Flags::default() };
    let unfenced = Store::of_books(bench, "latency-unfenced", BOOKS, unfenced)?;
    let postgres = Postgres::with_standby(bench, "postgres-sync", BOOKS)?;
    let time = bench.options.measurement();
    let theirs = |form| -> Result<f64> { Ok(postgres.latencies(bench, form, BOOKS, time)?.quantile_ms(0.5)) };
    let [ours, without, theirs] = interleave(
        bench,
        "9",
        "ms",
        WarmUp::Yes,
        [
            Side::new("bazar, p50", |_| Ok(of_ours(bench, &safe, BOOKS)?.quantile_ms(0.5))),
            Side::new(
                "bazar without fences, p50",
                |_| Ok(of_ours(bench, &unfenced, BOOKS)?.quantile_ms(0.5)),
            ),
            Side::new("PostgreSQL, synchronous standby, p50", |_| theirs(Form::Transaction)),
        ],
    )?;
    bench.figure(Figure::ratio("9a", &ours, &theirs));
    let fence = Figure::ratio("9b", &ours.minus(&without), &ours);
    // Two stores are compared, not two moments of one purchase.
    let noise = if fence.lowest < 0.0 { "; within the noise of the rounds" } else { "" };
    let note = format!("the difference to a store with --unsafe-coherence none{noise}");
    bench.figure(fence.noting(note));
    Ok(Ended::Measured)
}
