//! How far a long command is: a bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub struct Progress {
    /// Of the input, in bytes, where that is known.
    length: Option<u64>,
    read: Arc<AtomicU64>,
    begun: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { next: Instant },
}

impl Progress {
    pub fn new(length: Option<u64>, read: Arc<AtomicU64>) -> Self {
        let begun = Instant::now();
        let shown = match std::io::stderr().is_terminal() {
            true => Shown::Bar(bar(length)),
            false => Shown::Lines { next: begun + LINE_EVERY },
        };
        Self { length, read, begun, shown }
    }

    /// So many lines are done.
    pub fn at(&mut self, lines: u64) {
        let rate = lines as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let text = format!("{lines} lines, {rate:.0}/s");
        let read = self.read.load(Ordering::Relaxed);
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(read);
                bar.set_message(text);
            }
            Shown::Lines { next } => {
                let now = Instant::now();
                if now < *next {
                    return;
                }
                *next = now + LINE_EVERY;
                match self.length.filter(|_| read > 0) {
                    Some(length) => {
                        let took = self.begun.elapsed().as_secs_f64();
                        let left = took * (length.saturating_sub(read) as f64 / read as f64);
                        eprintln!("{text}, {left:.0} s left");
                    }
                    None => eprintln!("{text}"),
                }
            }
        }
    }

    /// A line of its own, above the bar.
    pub fn say(&self, line: String) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Shown::Lines { .. } => eprintln!("{line}"),
        }
    }

    pub fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{wide_bar} {percent}% {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    // A constant that is well-formed; the default is as good.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}
