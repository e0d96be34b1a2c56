//! What came of it: a table for people, the same as JSON for scripts.

use super::orders::Proof;
use super::tally::Latencies;
use super::{Bench, Config};
use crate::shopper::Columns;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Times in milliseconds, rates in a second.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub stores: Vec<String>,
    /// `closed` or `open`.
    pub r#loop: &'static str,
    pub connections: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    pub buy: f64,
    pub searches: f64,
    pub zipf: f64,
    pub seed: u64,
    pub seconds: f64,
    pub topics: usize,
    pub books: usize,
    /// Whether the store has more topics or books than these.
    pub partial: bool,
    pub reads: Latency,
    pub hits: Latency,
    pub misses: Latency,
    pub bypasses: u64,
    /// Reads that showed less than was known, and did not say so; the looks at the end too.
    pub stale_reads: u64,
    /// Of the answered reads; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_ratio: Option<f64>,
    pub purchases: Latency,
    pub bought: u64,
    pub sold_out: u64,
    pub outcome_unknown: u64,
    pub repeated: u64,
    pub errors: BTreeMap<String, u64>,
    /// Open loop: due, and never sent. They count as reads or purchases that took until the end.
    pub unsent: u64,
    pub checked_books: u64,
    pub not_judged: u64,
    pub flagged_stale: u64,
    pub allow_restock: bool,
    pub orders_acknowledged: u64,
    pub orders_looked_up: u64,
    /// Those of them that were not what they had been.
    pub orders_wrong: u64,
    pub look_ups_unanswered: u64,
    pub violations: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_violation: Option<String>,
}

/// Of one kind of request.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    pub count: u64,
    pub per_second: f64,
    pub mean_ms: f64,
    pub standard_deviation_ms: f64,
    pub min_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    pub fn new(latencies: &Latencies, measured: Duration) -> Self {
        let at = |percent| in_millis(latencies.percentile(percent));
        let seconds = measured.as_secs_f64();
        Self {
            count: latencies.count(),
            per_second: if seconds > 0.0 { latencies.count() as f64 / seconds } else { 0.0 },
            mean_ms: in_millis(latencies.mean()),
            standard_deviation_ms: in_millis(latencies.standard_deviation()),
            min_ms: in_millis(latencies.min()),
            p50_ms: at(50.0),
            p90_ms: at(90.0),
            p99_ms: at(99.0),
            p999_ms: at(99.9),
            max_ms: in_millis(latencies.max()),
        }
    }

    fn row(&self, name: &str) -> [String; 8] {
        let ms = |value: f64| if self.count == 0 { "-".into() } else { format!("{value:.2}") };
        [
            name.into(),
            self.count.to_string(),
            format!("{:.0}", self.per_second),
            ms(self.p50_ms),
            ms(self.p90_ms),
            ms(self.p99_ms),
            ms(self.p999_ms),
            ms(self.max_ms),
        ]
    }
}

impl Report {
    pub(super) fn new(bench: &Bench, proof: &Proof) -> Self {
        let (tally, checker) = (bench.tally.borrow(), bench.checker.borrow());
        let (measured, judged) = (bench.pace.measured(), checker.judged());
        let Config { stores, connections, rate, buy, searches, zipf, seed, allow_restock, .. } =
            &bench.config;
        let latency = |latencies| Latency::new(latencies, measured);
        let answered = tally.hits.count() + tally.misses.count() + tally.bypasses;
        Self {
            stores: stores.iter().map(ToString::to_string).collect(),
            r#loop: if bench.pace.is_open_loop() { "open" } else { "closed" },
            connections: *connections,
            rate: *rate,
            buy: *buy,
            searches: *searches,
            zipf: *zipf,
            seed: *seed,
            seconds: measured.as_secs_f64(),
            topics: bench.shelf.topics.len(),
            books: bench.shelf.books.len(),
            partial: bench.shelf.partial,
            reads: latency(&tally.reads),
            hits: latency(&tally.hits),
            misses: latency(&tally.misses),
            bypasses: tally.bypasses,
            stale_reads: tally.stale,
            hit_ratio: (answered > 0).then(|| tally.hits.count() as f64 / answered as f64),
            purchases: latency(&tally.purchases),
            bought: tally.bought,
            sold_out: tally.sold_out,
            outcome_unknown: tally.unknown,
            repeated: tally.repeated,
            errors: tally.errors.clone(),
            unsent: tally.unsent,
            checked_books: judged.books,
            not_judged: judged.unjudged,
            flagged_stale: judged.flagged,
            allow_restock: *allow_restock,
            orders_acknowledged: proof.acknowledged,
            orders_looked_up: proof.looked_up,
            orders_wrong: judged.orders,
            look_ups_unanswered: proof.unanswered,
            violations: judged.violations,
            first_violation: checker.first().map(str::to_owned),
        }
    }

    /// Why this run proves nothing good: a broken promise, or nothing to judge by.
    pub fn complaint(&self) -> Option<String> {
        if let Some(first) = &self.first_violation {
            return Some(format!(
                "{} violations of what the store promises; the first: {first}",
                self.violations
            ));
        }
        if self.look_ups_unanswered > 0 {
            return Some(format!(
                "the store did not answer {} of the look-ups at the end",
                self.look_ups_unanswered
            ));
        }
        (self.reads.count + self.purchases.count == 0).then(|| "nothing was answered".into())
    }

    fn how(&self) -> String {
        match self.rate {
            Some(rate) => format!(
                "open loop, {rate} requests/s due over {} connections, latency from when they were due",
                self.connections
            ),
            None => format!("closed loop, {} connections, latency from the send", self.connections),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} for {:.1} s: {}", self.stores.join(" "), self.seconds, self.how())?;
        writeln!(
            f,
            "{} books of {} topics{}; {:.1} % purchases; Zipf {}; seed {}",
            self.books,
            self.topics,
            if self.partial { " (the store has more)" } else { "" },
            100.0 * self.buy,
            self.zipf,
            self.seed
        )?;
        writeln!(f)?;
        let names = ["ms", "count", "per second", "p50", "p90", "p99", "p99.9", "max"];
        let mut columns = Columns::new(names, &[1, 2, 3, 4, 5, 6, 7]);
        let rows = [
            self.reads.row("reads"),
            self.hits.row("  hits"),
            self.misses.row("  misses"),
            self.purchases.row("purchases"),
        ];
        writeln!(f, "{}\n", columns.part(rows))?;
        let hits = self.hit_ratio.map_or_else(|| "-".into(), |ratio| format!("{:.1} %", 100.0 * ratio));
        writeln!(f, "hit ratio   {hits}, {} reads bypassed the cache", self.bypasses)?;
        writeln!(
            f,
            "purchases   {} bought, {} sold out, {} without outcome, {} attempts repeated",
            self.bought, self.sold_out, self.outcome_unknown, self.repeated
        )?;
        let errors: Vec<String> = self.errors.iter().map(|(code, count)| format!("{count} {code}")).collect();
        writeln!(f, "errors      {}", if errors.is_empty() { "none".into() } else { errors.join(", ") })?;
        if self.unsent > 0 {
            writeln!(f, "not sent    {} requests that were due: this rate was not kept", self.unsent)?;
        }
        self.fmt_checks(f)
    }
}

impl Report {
    fn fmt_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checked     {} books in answers", self.checked_books)?;
        if self.allow_restock {
            write!(f, " (versions only: --allow-restock)")?;
        }
        if self.flagged_stale > 0 {
            write!(f, ", {} answers said that they may be stale", self.flagged_stale)?;
        }
        if self.not_judged > 0 {
            write!(f, ", {} took too long to be judged", self.not_judged)?;
        }
        let (all, some) = (self.orders_acknowledged, self.orders_looked_up);
        let sample = if some < all { " (a random sample)" } else { "" };
        writeln!(f, "; {some} of {all} acknowledged orders looked up{sample}")?;
        write!(f, "violations  {}", self.violations)
    }
}

/// Milliseconds for people.
pub fn millis(time: Duration) -> String {
    format!("{:.2}", in_millis(time))
}

fn in_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
