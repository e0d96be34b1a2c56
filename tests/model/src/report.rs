//! The table of the mutants, on the terminal and as Markdown.

use bazar_model::mutants::{Found, MUTANTS, Mutant, hunt};
use bazar_model::{checker, configs, simulate};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Lines of a trace from its end: a seed's has hundreds, most of them calm weather.
const LINES: usize = 60;

/// States of each configuration in which nothing may be found before the first rule is taken out.
const UNMUTATED: usize = 20_000;

pub fn mutants(states: usize, seeds: u64, only: Option<&str>, markdown: Option<&Path>) -> ExitCode {
    let configs = configs::all();
    // A finding counts only if the same seeds and worlds find nothing while every rule is kept.
    let broken = configs.iter().find(|config| checker::check(config, UNMUTATED, 2, 64).broken.is_some());
    if let Some(config) = broken {
        println!("every rule is kept, and {} is broken all the same", config.name);
        return ExitCode::FAILURE;
    }
    if let Some(seed) = simulate::many(1, seeds, 2).failed {
        println!("every rule is kept, and seed {seed} fails all the same");
        return ExitCode::FAILURE;
    }
    let mut hunted: Vec<(&Mutant, Option<Found>)> = Vec::new();
    for mutant in MUTANTS {
        let name = format!("{:?}", mutant.rule);
        if only.is_some_and(|only| !only.eq_ignore_ascii_case(&name)) {
            continue;
        }
        let began = Instant::now();
        let found = hunt(mutant, &configs, states, seeds);
        let took = began.elapsed().as_secs_f64();
        match &found {
            Some(found) => println!(
                "\n{name}: {}. Instead: {}.\n  found by the {} in {took:.1} s: \"{}\" is broken\n\n{}",
                mutant.kept,
                mutant.removed,
                found.by,
                found.promise,
                indented(&found.trace)
            ),
            None => {
                println!("\n{name} SURVIVES ({took:.1} s): {}. Instead: {}.", mutant.kept, mutant.removed)
            }
        }
        hunted.push((mutant, found));
    }
    let survivors: Vec<String> =
        hunted.iter().filter(|(_, found)| found.is_none()).map(|(m, _)| format!("{:?}", m.rule)).collect();
    println!(
        "\n{} mutants, {} found; surviving: {survivors:?}",
        hunted.len(),
        hunted.len() - survivors.len()
    );
    if let Some(path) = markdown
        && let Err(error) = std::fs::write(path, page(&hunted))
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::from(!survivors.is_empty()))
}

fn last_lines(trace: &[String]) -> &[String] {
    &trace[trace.len().saturating_sub(LINES)..]
}

fn indented(trace: &[String]) -> String {
    last_lines(trace).iter().map(|line| format!("    {line}\n")).collect()
}

fn page(hunted: &[(&Mutant, Option<Found>)]) -> String {
    let mut page = String::from(
        "# Mutants\n\nEach rule of the protocol taken out once, and what goes wrong then. Written by \
         `cargo run -p bazar-model --profile model -- mutants --markdown docs/mutants.md`.\n\n\
         | rule | instead | broken promise | found by | events |\n|---|---|---|---|---|\n",
    );
    for (mutant, found) in hunted {
        let (promise, by, events) = match found {
            Some(found) => (found.promise, found.by.as_str(), found.trace.len().to_string()),
            None => ("none", "not found", "-".into()),
        };
        // Writing to a String does not fail.
        let _ = writeln!(page, "| {} | {} | {promise} | {by} | {events} |", mutant.kept, mutant.removed);
    }
    for (mutant, found) in hunted {
        let Some(found) = found else { continue };
        let lines = last_lines(&found.trace).join("\n");
        let cut =
            if found.trace.len() > LINES { format!(" (its last {LINES} events)") } else { String::new() };
        let _ = writeln!(
            page,
            "\n## {}\n\nInstead: {}. Found by the {}{cut}.\n\n```text\n{lines}\n```",
            capital(mutant.kept),
            mutant.removed,
            found.by
        );
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
