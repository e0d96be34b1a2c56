//! `bazar-compare`: Bazar and its peers side by side.
//!
//! What a comparison must do to be believed, and where this one does it:
//!
//! - both sides run in one run, in turns, each as often first as the other (`rounds.rs`);
//! - both sides do the same work: the peers' answers are compared with ours byte by byte, and what was bought must be
//!   missing from the stock afterwards, on both sides (`same_bytes.rs`, `rows/purchases.rs`);
//! - a hit is a hit, and a miss a miss (`rows/reads.rs`);
//! - latency under a given rate counts from the moment at which a request was *due* (`load/open.rs`);
//! - peers get the settings that favour them (`peers/`), and the report shows those settings;
//! - what cannot be stood behind is an error or "not measured", never a number.
//!
//! One module for each peer, one for the store, one for each kind of load, one for each group of rows; the table of
//! the goals is data (`goals.rs`), and so is what was measured (`record.rs`), which `report.rs` and `plots.rs` write
//! down.

mod bench;
mod cli;
mod dataset;
mod goals;
mod http;
mod load;
mod machine;
mod peers;
mod plots;
mod process;
mod record;
mod report;
mod rounds;
mod rows;
mod same_bytes;
mod stats;
mod store;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bazar-compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = cli::Args::parse().check()?;
    process::watch_for_interrupts()?;
    let bench = bench::Bench::new(options)?;
    let machine = machine::describe(&bench);
    let sound = rows::run_all(&bench)?;
    report::write(&bench, &machine)?;
    anyhow::ensure!(sound, "some rows failed: the report says which, and why");
    Ok(())
}
