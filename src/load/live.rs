//! What people see while it loads, on standard error: one line that is renewed on a terminal, now and then
//! a line elsewhere.

use super::Bench;
use super::report::millis;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::time::Duration;

/// Between two views.
const ON_A_TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Erases the line (ECMA-48: EL).
const ERASE: &str = "\r\x1b[2K";

/// Shows how it goes, until it is aborted.
pub async fn show(bench: Rc<Bench>) {
    let terminal = std::io::stderr().is_terminal();
    let every = if terminal { ON_A_TERMINAL } else { ELSEWHERE };
    loop {
        tokio::time::sleep(every).await;
        let line = line(&bench, every);
        // Who closed standard error does not want to see it.
        let _ = match terminal {
            true => write!(std::io::stderr(), "{ERASE}{line}"),
            false => writeln!(std::io::stderr(), "{line}"),
        };
        bench.tally.borrow_mut().lately.clear();
    }
}

/// Takes the line off the terminal again.
pub fn clear() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "{ERASE}");
    }
}

fn line(bench: &Bench, every: Duration) -> String {
    let (tally, judged) = (bench.tally.borrow(), bench.checker.borrow().judged());
    let lately = &tally.lately;
    let seconds = every.as_secs_f64();
    let hits = if lately.reads == 0 { 0.0 } else { 100.0 * lately.hits as f64 / lately.reads as f64 };
    format!(
        "{:>4} s{}  {:.0} reads/s ({hits:.1} % hits)  {:.0} purchases/s  p99 {} ms  {} errors  {} violations",
        bench.pace.start().elapsed().as_secs(),
        if bench.pace.is_warming_up() { " warming up" } else { "" },
        lately.reads as f64 / seconds,
        lately.bought as f64 / seconds,
        millis(lately.latencies.percentile(99.0)),
        lately.errors,
        judged.violations,
    )
}
