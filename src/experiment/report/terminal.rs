//! For who waits: a line for what is under way, the verdicts as they come, and everything at the end.

use super::{CSV, Done, JSON, PAGE, Report};
use crate::experiment::Experiment;
use crate::experiment::outcome::{Claim, Outcome};
use crate::shopper;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two looks of the line.
const TICK: Duration = Duration::from_millis(100);

/// That this experiment is under way: a line that lives on a terminal, a plain one elsewhere.
pub fn progress(number: usize, of: usize, experiment: Experiment) -> ProgressBar {
    let text = format!("[{number}/{of}] {}: {}", experiment.as_str(), experiment.title());
    if !std::io::stderr().is_terminal() {
        eprintln!("{text}");
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new_spinner().with_message(text);
    // A constant that is well-formed; the default is as good.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// How one experiment ended; what did not hold, in full.
pub fn tell(experiment: Experiment, outcome: &Outcome, took: Duration) {
    let failed = || outcome.claims.iter().filter(|claim| !claim.holds);
    let (claims, held) = (outcome.claims.len(), outcome.claims.len() - failed().count());
    let word = if outcome.holds() { "PASS" } else { "FAIL" };
    let name = experiment.as_str();
    eprintln!("{word}  {name}: {held} of {claims} claims hold ({:.1} s)", took.as_secs_f64());
    for claim in failed() {
        eprintln!("      {}", verdict(experiment, claim));
    }
}

fn verdict(experiment: Experiment, claim: &Claim) -> String {
    let word = if claim.holds { "PASS" } else { "FAIL" };
    format!("{word}  {}: {}: {}", experiment.as_str(), claim.claim, shopper::plain(&claim.seen))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Done { experiment, outcome, .. } in &self.done {
            writeln!(f, "{} ({})\n", experiment.title(), experiment.as_str())?;
            for table in &outcome.tables {
                writeln!(f, "{}\n", shopper::numbers(&table.columns, &table.rows))?;
            }
            for note in &outcome.notes {
                writeln!(f, "{note}")?;
            }
            for claim in &outcome.claims {
                writeln!(f, "{}", verdict(*experiment, claim))?;
            }
            writeln!(f)?;
        }
        for (experiment, why) in self.left_out() {
            writeln!(f, "not done with --url: {}, because {why}", experiment.as_str())?;
        }
        let (claims, failed) = self.counts();
        writeln!(f, "{} of {claims} claims hold; {:.0} s in all", claims - failed, self.took.as_secs_f64())?;
        let out = self.out.display();
        write!(f, "{out}/{PAGE}, {out}/{CSV}, {out}/{JSON}")
    }
}
