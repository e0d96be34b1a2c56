//! What the user typed, and what was checked of it.

use crate::goals;
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Turns of each side: the median of five does not move for one bad turn, or two.
const ROUNDS: u32 = 5;
const QUICK_ROUNDS: u32 = 1;

/// Of one measurement. Some hundred of these make a run.
const SECONDS: u32 = 3;
const QUICK_SECONDS: u32 = 1;

const BOOKS: u64 = 1_000_000;
const QUICK_BOOKS: u64 = 100_000;

/// Compares Bazar with its peers: both sides in one run, in turns, every answer checked.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// At most three minutes: fewer, shorter rounds, a smaller catalog, no curves. Directions, not figures.
    #[arg(long)]
    quick: bool,
    /// Turns of each side [default: 5; quick: 1].
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Seconds of each measurement [default: 3; quick: 1].
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
    /// Books of the large catalog [default: 1000000; quick: 100000].
    #[arg(long, value_name = "N")]
    books: Option<u64>,
    /// These rows of the table only, by number.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<u8>,
    /// The executable under test [default: `bazar` beside this program].
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Where report.md, measurements.csv and the plots go; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    out: PathBuf,
    /// Where the databases of both sides lie: a real disk, not a tmpfs, or no commit costs anything.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    data: PathBuf,
}

#[derive(Debug)]
pub struct Options {
    pub quick: bool,
    pub rounds: u32,
    pub seconds: u32,
    pub books: u64,
    pub only: BTreeSet<u8>,
    /// The executable under test, and whether it is another than the one that lies beside this program.
    pub bazar: PathBuf,
    pub another_bazar: bool,
    /// The peers made of actix-web.
    pub bare: PathBuf,
    pub out: PathBuf,
    pub data: PathBuf,
}

impl Args {
    pub fn check(self) -> Result<Options> {
        let here = std::env::current_exe().context("where this program lies")?;
        let beside = |name: &str| here.with_file_name(name);
        let another_bazar = self.bin.is_some();
        let bazar = self.bin.unwrap_or_else(|| beside("bazar"));
        let bare = beside("bazar-bare");
        for program in [&bazar, &bare] {
            ensure!(program.is_file(), "{} is not there: benches/compare/run builds it", program.display());
        }
        let known: BTreeSet<u8> = goals::GOALS.iter().map(|goal| goal.row).collect();
        if let Some(unknown) = self.only.iter().find(|row| !known.contains(row)) {
            bail!("there is no row {unknown}");
        }
        let only = if self.only.is_empty() { known } else { self.only.into_iter().collect() };
        let or = |given: Option<u32>, quick, full| given.unwrap_or(if self.quick { quick } else { full });
        let options = Options {
            quick: self.quick,
            rounds: or(self.rounds, QUICK_ROUNDS, ROUNDS),
            seconds: or(self.seconds, QUICK_SECONDS, SECONDS),
            books: self.books.unwrap_or(if self.quick { QUICK_BOOKS } else { BOOKS }),
            only,
            bazar: std::path::absolute(bazar)?,
            another_bazar,
            bare,
            out: self.out,
            data: self.data,
        };
        ensure!((1..=100).contains(&options.rounds), "--rounds must be between 1 and 100");
        ensure!((1..=60).contains(&options.seconds), "--seconds must be between 1 and 60");
        ensure!((1000..=10_000_000).contains(&options.books), "--books must be between 1000 and 10000000");
        Ok(options)
    }
}

impl Options {
    pub fn measurement(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
