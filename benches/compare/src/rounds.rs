//! Both sides in turns. A machine has slow minutes; they must hit both sides, and nobody may always run behind the
//! same one.

use crate::bench::Bench;
use crate::process::check_interrupted;
use crate::record::Measurement;
use crate::stats::median;
use anyhow::{Context, Result, ensure};

/// One side of a comparison: what one turn of it measures.
pub struct Side<'a> {
    name: String,
    measure: Box<dyn FnMut(u32) -> Result<f64> + 'a>,
}

impl<'a> Side<'a> {
    /// `measure` gets the number of the round, from 1, or 0 for a turn that warms up and is not counted.
    pub fn new(name: impl Into<String>, measure: impl FnMut(u32) -> Result<f64> + 'a) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// What the turns of one side measured, one value for each round.
#[derive(Debug, Clone)]
pub struct Series {
    pub values: Vec<f64>,
}

impl Series {
    pub fn median(&self) -> f64 {
        median(&self.values)
    }

    /// The rounds' difference: what `self` has more than `other`.
    pub fn minus(&self, other: &Series) -> Series {
        Series { values: self.values.iter().zip(&other.values).map(|(a, b)| a - b).collect() }
    }
}

/// Whether a turn of each side that is not counted goes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmUp {
    Yes,
    No,
}

/// Runs all sides in turns, forwards in one round and backwards in the next, and returns their series in the order of
/// `sides`.
pub fn interleave<const N: usize>(
    bench: &Bench,
    row: &str,
    unit: &str,
    warm_up: WarmUp,
    mut sides: [Side; N],
) -> Result<[Series; N]> {
    if warm_up == WarmUp::Yes && !bench.options.quick {
        for side in &mut sides {
            (side.measure)(0).with_context(|| side.name.clone())?;
        }
    }
    let mut series = [const { Series { values: Vec::new() } }; N];
    for round in 1..=bench.options.rounds {
        let forwards = round % 2 == 1;
        for turn in 0..N {
            check_interrupted()?;
            let at = if forwards { turn } else { N - 1 - turn };
            let side = &mut sides[at];
            let value = (side.measure)(round).with_context(|| side.name.clone())?;
            ensure!(value.is_finite() && value > 0.0, "{}: {value} {unit} is no measurement", side.name);
            bench.say(&format!("row {row}, round {round}: {}: {value:.3} {unit}", side.name));
            bench.write(&Measurement { row, side: &side.name, round, at: None, value, unit })?;
            series[at].values.push(value);
        }
    }
    Ok(series)
}
