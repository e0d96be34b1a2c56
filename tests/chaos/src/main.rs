//! Real faults on real processes, and a checker that judges every answer.
//!
//! It knows the store from outside only: its command line, its public HTTP, and of the internal HTTP the
//! log and the edits.

mod falling;
mod faults;
mod files;
mod follower;
mod history;
mod http;
mod judge;
mod process;
mod proxy;
mod redis;
mod report;
mod run;
mod shown;
// The half of a sender.
#[allow(dead_code, unused_imports)]
#[path = "../../../src/signing/mod.rs"]
mod signing;
mod store;
mod truth;
mod workload;

use clap::{Args, Parser, Subcommand};
use faults::Minima;
use run::Plan;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Real faults on real Bazar processes, and a checker that judges every answer
#[derive(Debug, Parser)]
#[command(name = "bazar-chaos", max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a store under faults and judge it
    Run(RunArgs),
    /// Judge a history that was recorded with --history
    Check { file: PathBuf },
    /// Run a store by each of the well-known recipes; each must be caught
    Control(ControlArgs),
}

#[derive(Debug, Clone, Args)]
struct RunArgs {
    /// The binary to test, built with the feature abort-points
    #[arg(long, value_name = "PATH")]
    bazar: PathBuf,
    /// Go on at least so long
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Go on at most so long, whatever is missing yet
    #[arg(long, value_name = "N", default_value_t = 1500)]
    limit: u64,
    /// What faults and customers are drawn from [default: random, and printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Go on until so many roles were killed
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u64,
    /// Go on until so many roles were stopped for a while
    #[arg(long, value_name = "N", default_value_t = 0)]
    pauses: u64,
    /// Go on until so many links were cut
    #[arg(long, value_name = "N", default_value_t = 0)]
    cuts: u64,
    /// Go on until the master was handed over so often; 0: never
    #[arg(long, value_name = "N", default_value_t = 0)]
    handovers: u64,
    /// Go on until so many operations had an outcome
    #[arg(long, value_name = "N", default_value_t = 0)]
    operations: u64,
    /// Mean time between the beginnings of two faults, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250)]
    gap: u64,
    /// --lease of the master, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 300)]
    lease: u64,
    /// Run the store by a recipe that is known to be wrong
    #[arg(long, value_name = "RECIPE")]
    unsafe_coherence: Option<String>,
    /// Write a report
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Write every operation
    #[arg(long, value_name = "FILE.jsonl")]
    history: Option<PathBuf>,
    /// RUST_LOG of the roles
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

#[derive(Debug, Args)]
struct ControlArgs {
    /// The binary to test
    #[arg(long, value_name = "PATH")]
    bazar: PathBuf,
    /// Each recipe must be caught within so long
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Write a report
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
}

/// The recipes, as `--unsafe-coherence` names them.
const RECIPES: [&str; 4] = ["ttl", "delete-then-write", "write-then-delete", "none"];

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run_once(args),
        Command::Check { file } => check(&file),
        Command::Control(args) => control(args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn plan(args: RunArgs) -> Plan {
    let seed = args.seed.unwrap_or_else(rand::random);
    Plan {
        store: store::Options {
            bazar: args.bazar,
            lease: format!("{}ms", args.lease),
            unsafe_coherence: args.unsafe_coherence,
            handovers: args.handovers > 0,
            log: args.log,
        },
        lease: Duration::from_millis(args.lease),
        seed,
        seconds: args.seconds,
        limit: args.limit.max(args.seconds),
        minima: Minima { kills: args.kills, pauses: args.pauses, cuts: args.cuts, handovers: args.handovers },
        operations: args.operations,
        gap: Duration::from_millis(args.gap.max(1)),
        history: args.history,
        until_caught: false,
    }
}

fn run_once(args: RunArgs) -> Result<bool, String> {
    let file = args.report.clone();
    let plan = plan(args);
    eprintln!("seed {}", plan.seed);
    let report = run::run(&plan, &*stopped_by_signals()?)?;
    println!("{}", report.summary());
    print!("{}", report.violations());
    if let Some(logs) = &report.logs {
        println!("The run's logs and files are in {}.", logs.display());
    }
    if let Some(file) = file {
        std::fs::write(&file, report.markdown()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let enough = report.kills >= plan.minima.kills
        && report.pauses >= plan.minima.pauses
        && report.cuts >= plan.minima.cuts
        && report.handovers >= plan.minima.handovers
        && report.verdict.judged >= plan.operations;
    if !enough {
        println!("The run ended before it had what was asked for.");
    }
    Ok(report.clean() && enough)
}

fn check(file: &std::path::Path) -> Result<bool, String> {
    let verdict = run::check(file)?;
    println!("{} operations judged, {} violations", verdict.judged, verdict.found);
    for violation in verdict.violations.iter().take(10) {
        println!("- {:?}: {}", violation.kind, violation.words);
    }
    Ok(verdict.found == 0)
}

fn control(args: ControlArgs) -> Result<bool, String> {
    let stop = stopped_by_signals()?;
    let mut all_caught = true;
    let mut text =
        String::from("# Negative control\n\nThe same run, on a store that works by a well-known recipe.\n");
    for recipe in RECIPES {
        let plan = Plan {
            until_caught: true,
            ..plan(RunArgs {
                bazar: args.bazar.clone(),
                seconds: args.seconds,
                limit: args.seconds,
                seed: args.seed,
                kills: 0,
                pauses: 0,
                cuts: 0,
                handovers: 0,
                operations: 0,
                gap: 250,
                lease: 300,
                unsafe_coherence: Some(recipe.into()),
                report: None,
                history: None,
                log: "info".into(),
            })
        };
        let report = run::run(&plan, &stop)?;
        let caught = report.verdict.has(judge::Kind::Stale);
        all_caught &= caught;
        let first = report.verdict.violations.iter().find(|violation| violation.kind == judge::Kind::Stale);
        let words = match (caught, report.caught_after, first) {
            (true, Some(after), Some(first)) => {
                format!(
                    "caught after {:.1} s, {} violations. The first: {}",
                    after.as_secs_f64(),
                    report.verdict.found,
                    first.words
                )
            }
            (true, None, Some(first)) => format!("caught at the end: {}", first.words),
            _ => format!("NOT caught: {}", report.summary()),
        };
        println!("{recipe}: {words}");
        text.push_str(&format!("\n## `{recipe}`\n\nSeed {}: {words}\n", plan.seed));
        if let Some(logs) = &report.logs {
            let _ = std::fs::remove_dir_all(logs);
        }
        if stop.load(Ordering::Relaxed) {
            return Err("stopped".into());
        }
    }
    if let Some(file) = args.report {
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(all_caught)
}

/// Set by SIGINT and SIGTERM: the run then ends everybody that it has started.
fn stopped_by_signals() -> Result<Arc<AtomicBool>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        let listen = |kind| signal(kind).map_err(|error| error.to_string());
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                stopping.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(stop)
}
