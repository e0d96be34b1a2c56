//! The rows of the table, in groups that share servers. A group that cannot be measured with this executable says so,
//! and so does one in which something went wrong; the run goes on with the next.

mod experiments;
mod footprint;
mod latency;
mod misses;
mod purchases;
mod reads;
mod scale;
mod size;

use crate::bench::Bench;
use crate::process::check_interrupted;
use anyhow::Result;

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

/// Whether all that was measured can be stood behind. What cannot is missing from the report, which says why.
pub fn run_all(bench: &Bench) -> Result<bool> {
    let mut sound = true;
    for (rows, group) in GROUPS {
        if !rows.iter().any(|row| bench.wants(*row)) {
            continue;
        }
        let (rows, why) = match group(bench) {
            Ok(Ended::Measured) => continue,
            Ok(Ended::Missing(rows, why)) => (rows, why),
            Err(error) => {
                check_interrupted()?;
                sound = false;
                (*rows, format!("failed: {error:#}"))
            }
        };
        for row in rows.iter().filter(|row| bench.wants(**row)) {
            bench.say(&format!("row {row} is not measured: {why}"));
            bench.missing(*row, why.lines().next().unwrap_or_default());
        }
    }
    Ok(sound)
}
