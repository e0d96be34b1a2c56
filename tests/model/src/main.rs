//! Runs the proofs: `check`, `mutants`, `simulate`.

use bazar_model::{checker, configs, simulate};
mod report;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "bazar-model",
    about = "The coherence protocol of Bazar under a model checker and a seeded simulator"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every order of events in small worlds
    Check {
        /// States in each configuration, at most
        #[arg(long, default_value_t = 20_000)]
        states: usize,
        /// One configuration, or all
        #[arg(long, default_value = "all")]
        config: String,
        /// Takes one rule out, by its name
        #[arg(long)]
        without: Option<String>,
    },
    /// Takes out one rule after the other, and shows what that breaks
    Mutants {
        /// States in each configuration, at most
        #[arg(long, default_value_t = 400_000)]
        states: usize,
        /// Seeds for each mutant that the model does not find at once
        #[arg(long, default_value_t = 20_000)]
        seeds: u64,
        /// Only this rule
        #[arg(long)]
        only: Option<String>,
        /// Where to write the table and the traces
        #[arg(long)]
        markdown: Option<std::path::PathBuf>,
    },
    /// Long random schedules by seed
    Simulate {
        /// How many seeds
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first of them
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// This seed alone, again
        #[arg(long)]
        seed: Option<u64>,
        /// Prints what happens
        #[arg(long, requires = "seed")]
        trace: bool,
        /// Takes one rule out, by its name
        #[arg(long)]
        without: Option<String>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check { states, config, without } => {
            if !take_out(without) {
                return ExitCode::from(2);
            }
            check(states, &config)
        }
        Command::Mutants { states, seeds, only, markdown } => {
            report::mutants(states, seeds, only.as_deref(), markdown.as_deref())
        }
        Command::Simulate { seeds, first, seed, trace, without } => {
            if !take_out(without) {
                return ExitCode::from(2);
            }
            match seed {
                Some(seed) => replay(seed, trace),
                None => run_seeds(first, seeds),
            }
        }
    }
}

fn check(states: usize, name: &str) -> ExitCode {
    let (mut total, mut failed, mut seen) = (0, false, 0);
    println!("{:<10} {:>10} {:>10} {:>6} {:>8}", "config", "states", "unique", "depth", "seconds");
    for config in configs::all().iter().filter(|config| name == "all" || name == config.name) {
        let report = checker::check(config, states, 2, 64);
        let whole = if report.complete { "  (all)" } else { "" };
        println!(
            "{:<10} {:>10} {:>10} {:>6} {:>8.1}{whole}",
            config.name, report.states, report.unique, report.depth, report.seconds
        );
        total += report.unique;
        seen |= report.seen;
        if let Some((promise, trace)) = report.broken {
            println!(
                "\n\"{promise}\" is broken in {}: {}\n\n{}\n",
                config.name,
                config.about,
                trace.join("\n")
            );
            failed = true;
        }
    }
    println!("{total} unique states; seen: {}", checker::names_of(seen).join(", "));
    ExitCode::from(u8::from(failed))
}

fn take_out(rule: Option<String>) -> bool {
    let Some(name) = rule else { return true };
    let Some(rule) = bazar_model::mutants::by_name(&name) else {
        eprintln!("there is no rule {name}");
        return false;
    };
    bazar_model::coherence::rule::remove(Some(rule));
    true
}

fn run_seeds(first: u64, seeds: u64) -> ExitCode {
    let began = std::time::Instant::now();
    let summary = simulate::many(first, seeds, 2);
    println!("{} seeds, {} steps, {:.1} s", summary.seeds, summary.steps, began.elapsed().as_secs_f64());
    println!("seen: {}", checker::names_of(summary.seen).join(", "));
    match summary.failed {
        Some(seed) => replay(seed, true),
        None => ExitCode::SUCCESS,
    }
}

fn replay(seed: u64, trace: bool) -> ExitCode {
    let outcome = simulate::run(seed, trace);
    if trace {
        println!("{}", outcome.trace.join("\n"));
    }
    match outcome.violation {
        Some(violation) => {
            println!("seed {seed}: \"{}\" is broken: {}", violation.promise, violation.words);
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed}: every promise was kept over {} steps", outcome.steps);
            ExitCode::SUCCESS
        }
    }
}
