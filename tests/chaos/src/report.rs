//! What a run has shown, for people: Markdown.

use crate::history::{Cache, Op, What};
use crate::judge::Verdict;
use crate::run::Plan;
use crate::store::Role;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// So many violations are told.
const TOLD: usize = 10;

pub struct Report {
    pub plan: Plan,
    pub took: Duration,
    pub under_fire: Duration,
    /// While faults were going on.
    pub operations: u64,
    pub judging: Duration,
    pub ops: Vec<Op>,
    pub verdict: Verdict,
    /// Requests without an outcome, by kind and cause.
    pub failures: BTreeMap<String, u64>,
    pub faults: BTreeMap<String, u64>,
    pub kills: u64,
    pub pauses: u64,
    pub cuts: u64,
    pub handovers: u64,
    pub recoveries: Vec<(Role, Duration)>,
    /// Records of the master's log that were followed and recomputed.
    pub records: u64,
    /// Counts of falling books, besides purchases, that were put into their order without the log.
    pub counts: usize,
    /// Requests that arrived twice.
    pub replays: u64,
    pub caught_after: Option<Duration>,
    pub notes: Vec<String>,
    /// Where the run's directory was left.
    pub logs: Option<PathBuf>,
}

impl Report {
    pub fn clean(&self) -> bool {
        self.verdict.found == 0
    }

    /// One line.
    pub fn summary(&self) -> String {
        format!(
            "{} operations judged, {} kills, {} pauses, {} cuts, {} handovers, {} violations, {:.0} s under fire ({:.0} operations a second)",
            self.verdict.judged,
            self.kills,
            self.pauses,
            self.cuts,
            self.handovers,
            self.verdict.found,
            self.under_fire.as_secs_f64(),
            self.operations as f64 / self.under_fire.as_secs_f64().max(0.001),
        )
    }

    /// The first violations, the first one first.
    pub fn violations(&self) -> String {
        let mut text = String::new();
        for violation in self.verdict.violations.iter().take(TOLD) {
            let _ = writeln!(text, "- **{:?}**: {}", violation.kind, violation.words);
        }
        text
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        writeln!(to, "# Chaos report\n\n{}.\n", self.summary())?;
        writeln!(to, "- machine: {}", machine())?;
        let command: Vec<String> = std::env::args().skip(1).collect();
        writeln!(to, "- command: `bazar-chaos {}`", command.join(" "))?;
        writeln!(to, "- seed: {}; lease: {:?}", self.plan.seed, self.plan.lease)?;
        if let Some(recipe) = &self.plan.store.unsafe_coherence {
            writeln!(to, "- the store worked by the recipe `{recipe}`")?;
        }
        writeln!(
            to,
            "- the whole run took {:.0} s, the judgement {:.1} s of it",
            self.took.as_secs_f64(),
            self.judging.as_secs_f64()
        )?;
        writeln!(to, "\n## Operations\n\n| what | outcome | count |\n|---|---|---|")?;
        for ((what, outcome), count) in self.outcomes() {
            writeln!(to, "| {what} | {outcome} | {count} |")?;
        }
        writeln!(
            to,
            "\nRequests without an outcome (purchases are repeated with their key):\n\n| what | count |\n|---|---|"
        )?;
        for (what, count) in &self.failures {
            writeln!(to, "| {what} | {count} |")?;
        }
        writeln!(to, "\n## Checks\n")?;
        writeln!(
            to,
            "- {} operations were given a place in the order of versions, each not before what had ended before it began",
            self.verdict.judged
        )?;
        writeln!(
            to,
            "- {} counts shown by reads and all purchases of books that are never restocked were put in order once \
             more, without versions",
            self.counts
        )?;
        writeln!(
            to,
            "- {} records of the log were followed: each behind its predecessor, no key or order twice, no stock below \
             zero, no copy that no delivery explains",
            self.records
        )?;
        writeln!(to, "\n## Faults\n\n| what | count |\n|---|---|")?;
        for (what, count) in &self.faults {
            writeln!(to, "| {what} | {count} |")?;
        }
        writeln!(to, "| requests that arrived twice | {} |", self.replays)?;
        writeln!(
            to,
            "\n## Latency under faults, in milliseconds\n\n| what | count | 50 % | 90 % | 99 % | 99.9 % | longest |\n|---|---|---|---|---|---|---|"
        )?;
        for (what, mut took) in self.latencies() {
            took.sort_unstable();
            let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] as f64 / 1e6;
            writeln!(
                to,
                "| {what} | {} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} |",
                took.len(),
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                at(1.0)
            )?;
        }
        let mut ready: Vec<u128> = self.recoveries.iter().map(|(_, took)| took.as_millis()).collect();
        ready.sort_unstable();
        if let (Some(median), Some(longest)) = (ready.get(ready.len() / 2), ready.last()) {
            writeln!(
                to,
                "\nA role that was started was ready after {median} ms (median), {longest} ms at most."
            )?;
        }
        writeln!(to, "\n## At the end\n")?;
        self.notes.iter().try_for_each(|note| writeln!(to, "- {note}"))?;
        writeln!(to, "\n## Violations: {}\n", self.verdict.found)?;
        if let Some(after) = self.caught_after {
            writeln!(to, "Caught after {:.1} s.\n", after.as_secs_f64())?;
        }
        to.push_str(&self.violations());
        Ok(())
    }

    fn outcomes(&self) -> BTreeMap<(&'static str, String), u64> {
        let mut outcomes = BTreeMap::new();
        for op in &self.ops {
            let outcome = match op.what {
                What::Read { cache, stale, .. } => {
                    ("read", format!("X-Cache: {cache}{}", if stale { ", Warning: 110" } else { "" }))
                }
                What::Bought { again: false, .. } => ("buy", "sold".into()),
                What::Bought { again: true, .. } => ("buy again with the same key", "the same answer".into()),
                What::Refused { why, .. } => ("buy", format!("{why:?}")),
                What::Order { found: Some(_), .. } => ("look up an order", "found".into()),
                What::Order { found: None, .. } => ("look up an order", "not found".into()),
                What::Edited { .. } => ("edit", "done".into()),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }

    fn latencies(&self) -> BTreeMap<&'static str, Vec<u64>> {
        let mut latencies: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for op in &self.ops {
            let what = match op.what {
                What::Read { cache: Cache::Hit, .. } => "read, from a cache",
                What::Read { .. } => "read, from a catalog node",
                What::Bought { .. } | What::Refused { .. } => "buy, to its outcome",
                What::Order { .. } => "look up an order",
                What::Edited { .. } => "edit",
            };
            latencies.entry(what).or_default().push(op.end - op.begin);
        }
        latencies
    }
}

/// Cores and memory, as the kernel tells.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let memory: u64 = value(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    format!(
        "{cores} cores ({}), {} GiB, Linux {}",
        value(&info, "model name"),
        memory >> 20,
        read("/proc/sys/kernel/osrelease").trim()
    )
}
