//! `bazar import`: a catalog from a file, through the write master, into the running store.
//!
//! Invariants: each part of the input is done once, also when the import is killed and started again, because a
//! part is known by what was read up to its end, and the master keeps that with the books. Parts are done in
//! order, a few of them under way. Memory does not grow with the input.
//!
//! | file | what it does |
//! |---|---|
//! | `input` | opens a file or standard input, unpacks it, and hands out lines of bounded length |
//! | `line` | a line of CSV or JSON as a book, or why it is none |
//! | `parts` | lines into parts, on a thread of its own; lines that are no books into a file of their own |
//! | `progress` | how far it is |

mod input;
mod line;
mod parts;
mod progress;

use crate::client::{BaseUrl, CallError, Masters};
use crate::domain::{Import, Imported};
use crate::member::Member;
use crate::shutdown::Shutdown;
use crate::token::InternalToken;
use crate::wire::ErrorCode;
use crate::wire::catalog::{IMPORTS, Part as Done};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use parts::{Event, Found, Part, Reader};
use progress::Progress;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use input::InputError;

/// Parts under way: one is replicated, the next one decided, and one waits for that.
const PIPELINE: usize = 3;

/// For one part: longer than the master lets a job wait.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long a part is tried for, while there is no master, or the part before it has no answer yet.
const PATIENCE: Duration = Duration::from_secs(60);

/// Before a part is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// How the lines of the input are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    JsonLines,
}

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
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("line {number}: {reason}. Nothing from line {from} on was imported")]
    Strict { number: u64, reason: String, from: u64 },
    #[error("{cause}. {done} lines are in; the same command goes on from there")]
    Call { cause: CallError, done: u64 },
    #[error("stopped. {done} lines are in; the same command goes on from there")]
    Stopped { done: u64 },
}

/// What an import came to.
#[derive(Debug, Default)]
struct Sum {
    lines: u64,
    created: u64,
    changed: u64,
    unchanged: u64,
    /// Lines of parts that had been done before.
    before: u64,
}

impl Config {
    /// Returns what to tell the operator.
    pub async fn run(self, token: InternalToken, stop: Shutdown) -> Result<String, ImportError> {
        let begun = Instant::now();
        let masters = Masters::new(&self.masters, &Member::new(token));
        let source = input::open(self.file.as_deref())?;
        let mut progress = Progress::new(source.bytes, source.read.clone());
        let mut reader = Reader::start(source, &self);
        let mut sum = Sum::default();
        let mut end = None;
        let mut under_way = FuturesOrdered::new();
        loop {
            // What is under way goes on while the input has nothing new.
            tokio::select! {
                Some(sent) = under_way.next() => match sent {
                    Ok((lines, done)) => {
                        sum.add(lines, done);
                        progress.at(sum.lines);
                    }
                    // Those behind it are refused as out of order: nothing goes past a gap.
                    Err(cause) => {
                        progress.end();
                        return Err(ImportError::Call { cause, done: sum.lines });
                    }
                },
                event = reader.next(), if end.is_none() && under_way.len() < PIPELINE => match event {
                    Event::Part(part) if self.dry_run => {
                        sum.lines += part.lines;
                        progress.at(sum.lines);
                    }
                    Event::Part(part) => under_way.push_back(send(&masters, part)),
                    Event::Bad { number, reason } => progress.say(format!("line {number}: {reason}")),
                    Event::End(found) => end = Some(End::Found(found)),
                    Event::Failed(error) => end = Some(End::Failed(error)),
                    Event::Stopped => end = Some(End::Stopped),
                },
                () = stop.cancelled(), if end.is_none() => end = Some(End::Stopped),
                else => break,
            }
        }
        progress.end();
        match end {
            Some(End::Found(found)) => Ok(self.summary(&sum, &found, begun.elapsed())),
            Some(End::Failed(error)) => Err(error),
            Some(End::Stopped) | None => Err(ImportError::Stopped { done: sum.lines }),
        }
    }

    fn summary(&self, sum: &Sum, found: &Found, took: Duration) -> String {
        let books = sum.lines - found.bad;
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
        if found.bad > 0 {
            text += &format!("\n{} lines are no books", found.bad);
            if !self.dry_run {
                text += &format!(" and are in {}", self.rejects.display());
            }
        }
        text
    }
}

/// Why nothing more is read.
enum End {
    Found(Found),
    Failed(ImportError),
    Stopped,
}

impl Sum {
    fn add(&mut self, lines: u64, done: Done) {
        self.lines += lines;
        if done.before {
            self.before += lines;
            return;
        }
        let Imported { created, changed, unchanged } = done.imported;
        self.created += u64::from(created);
        self.changed += u64::from(changed);
        self.unchanged += u64::from(unchanged);
    }
}

/// Hands in a part until it is done. Safe to repeat: it is known by its key.
async fn send(masters: &Masters, part: Part) -> Result<(u64, Done), CallError> {
    let Part { import, lines } = part;
    if import.lines.is_empty() {
        return Ok((lines, Done { imported: Imported::default(), before: false }));
    }
    let request_id = import.key.0.to_string()[..16].to_owned();
    let until = Instant::now() + PATIENCE;
    loop {
        match masters.post::<Done>(IMPORTS, &import as &Import, &request_id, DEADLINE).await {
            Ok(done) => return Ok((lines, done)),
            Err(error) if is_final(&error) || Instant::now() + PAUSE >= until => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Whether there is no use in trying again.
fn is_final(error: &CallError) -> bool {
    match error.code() {
        None => false,
        Some(
            ErrorCode::OutOfOrder | ErrorCode::Unavailable | ErrorCode::NotMaster | ErrorCode::RequestTimeout,
        ) => false,
        Some(_) => true,
    }
}
