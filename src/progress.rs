//! How far a long command is: a bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Between two pictures of a bar, also while nothing is known to happen.
const TICK: Duration = Duration::from_millis(200);

pub struct Progress {
    /// Of all there is to do, in bytes, where that is known.
    length: Option<u64>,
    begun: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { next: Instant },
}

impl Progress {
    /// Of something that has `length` bytes, or nobody knows how many.
    pub fn new(length: Option<u64>) -> Self {
        let begun = Instant::now();
        let shown = match std::io::stderr().is_terminal() {
            true => Shown::Bar(bar(length)),
            false => Shown::Lines { next: begun + LINE_EVERY },
        };
        Self { length, begun, shown }
    }

    /// So many bytes are done, in words what `text` makes of the seconds that it took.
    pub fn at(&mut self, bytes: u64, text: impl FnOnce(f64) -> String) {
        let took = self.begun.elapsed().as_secs_f64();
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(bytes);
                bar.set_message(text(took.max(0.001)));
            }
            Shown::Lines { next } => {
                let now = Instant::now();
                if now < *next {
                    return;
                }
                *next = now + LINE_EVERY;
                let text = text(took.max(0.001));
                match self.length.filter(|_| bytes > 0) {
                    Some(length) => {
                        let left = took * (length.saturating_sub(bytes) as f64 / bytes as f64);
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
    bar.enable_steady_tick(TICK);
    bar.with_style(style)
}
