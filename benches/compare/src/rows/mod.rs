//! The rows of the table, in groups that share servers. A group that cannot be measured with this executable says so
//! and the run goes on; anything else that goes wrong ends the run.

mod experiments;
mod footprint;
mod latency;
mod misses;
mod purchases;
mod reads;
mod scale;
mod size;

use crate::bench::Bench;
use anyhow::{Context, Result};

/// How a group ended.
pub enum Ended {
    Measured,
    /// These rows were not, and this is why.
    Missing(&'static [u8], String),
}

type Group = fn(&Bench) -> Result<Ended>;

/// The rows of each group.
const GROUPS: &[(&[u8], Group)] = &[
    (&[1, 10], reads::cached),
    (&[2], reads::under_purchases),
    (&[3], reads::through_redis),
    (&[5], reads::behind_nginx),
    (&[6, 7, 8], purchases::throughput),
    (&[9], latency::purchases),
    (&[13], scale::run),
    (&[16], experiments::run),
    (&[12], size::import),
    (&[4], misses::run),
    (&[11], size::latency),
    (&[14, 15], footprint::run),
];

pub fn run_all(bench: &Bench) -> Result<()> {
    for (rows, group) in GROUPS {
        if !rows.iter().any(|row| bench.wants(*row)) {
            continue;
        }
        let name = rows.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        match group(bench).with_context(|| format!("row {name}"))? {
            Ended::Measured => {}
            Ended::Missing(rows, why) => {
                bench.say(&format!("row {name} is not measured: {why}"));
                for row in rows.iter().filter(|row| bench.wants(**row)) {
                    bench.missing(*row, &why);
                }
            }
        }
    }
    Ok(())
}
