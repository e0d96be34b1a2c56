//! `bazar import`: a catalog from a file, through the write master, into the running store. What it does with the
//! lines is [`intake`]'s.
//!
//! `source` opens a file or standard input.

mod source;

use crate::client::{BaseUrl, Masters};
use crate::intake::{self, Format, IntakeError, Reader, Rules, Sum, Told};
use crate::member::Member;
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::token::InternalToken;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Lines that are no books and are told one by one.
const MAX_TOLD: u64 = 20;

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `None`: standard input.
    pub file: Option<PathBuf>,
    /// `None`: as the first line shows.
    pub format: Option<Format>,
    /// Where lines go that are no books.
    pub rejects: PathBuf,
    /// The first line that is no book ends the import.
    pub strict: bool,
    /// Reads and checks everything, and sends nothing.
    pub dry_run: bool,
    /// Does anew what was done before.
    pub again: bool,
    /// Candidates for the master; empty for a dry run.
    pub masters: Vec<BaseUrl>,
}

/// Why an import ended early. What was done before that stays, and is not done again.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{} cannot be read: {source}", .path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl Config {
    /// Returns what to tell the operator.
    pub async fn run(self, token: InternalToken, stop: Shutdown) -> Result<String, ImportError> {
        let begun = Instant::now();
        let masters = Masters::new(&self.masters, &Member::new(token));
        let source = source::open(self.file.as_deref())?;
        let (read, mut progress) = (source.read, Progress::new(source.bytes));
        let rules = Rules {
            format: self.format,
            strict: self.strict,
            again: self.again,
            rejects: (!self.dry_run).then(|| self.rejects.clone()),
            told: MAX_TOLD,
        };
        let reader = Reader::start(source.lines, rules);
        let masters = (!self.dry_run).then_some(&masters);
        let mut bad = 0;
        let taken_in = intake::take_in(masters, reader, stop, |told| match told {
            Told::At(lines) => progress.at(read.load(Ordering::Relaxed), |seconds| {
                format!("{lines} lines, {:.0}/s", lines as f64 / seconds)
            }),
            Told::Bad { number, reason } => {
                bad += 1;
                let more = if bad == MAX_TOLD { ". More such lines are counted, but not told" } else { "" };
                progress.say(format!("line {number}: {reason}{more}"));
            }
        });
        let taken_in = taken_in.await;
        progress.end();
        Ok(self.summary(&taken_in?, begun.elapsed()))
    }

    fn summary(&self, sum: &Sum, took: Duration) -> String {
        let books = sum.lines - sum.bad;
        let rate = (sum.lines as f64 / took.as_secs_f64().max(0.001)) as u64;
        let mut text = if self.dry_run {
            format!("{books} lines are books ({rate} lines/s); nothing was imported")
        } else {
            let Sum { created, changed, unchanged, .. } = sum;
            let seconds = took.as_secs_f64();
            format!(
                "{books} lines in {seconds:.1} s ({rate}/s): {created} books are new, {changed} changed, {unchanged} \
                 were there just so"
            )
        };
        if sum.before > 0 {
            let before = sum.before;
            text +=
                &format!("\n{before} lines were imported before, and not again: --again imports them anew");
        }
        if sum.bad > 0 {
            text += &format!("\n{} lines are no books", sum.bad);
            if !self.dry_run {
                text += &format!(" and are in {}", self.rejects.display());
            }
        }
        text
    }
}
