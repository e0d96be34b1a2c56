//! Many books from outside into the running store: from lines to parts, and each part to the write master.
//!
//! Invariants: each part of an input is done once, also when the same input comes again, because a part is known by
//! what was read up to its end, and the master keeps that with the books. Parts are done in order, a few of them under
//! way. Memory does not grow with the input.
//!
//! | file | what it does |
//! |---|---|
//! | `lines` | unpacks, and hands out lines of bounded length |
//! | `line` | a line of CSV or JSON as a book, or why it is none |
//! | `parts` | lines into parts, on a thread of its own; lines that are no books into a file of their own |

mod line;
mod lines;
mod parts;

use crate::client::{CallError, Masters};
use crate::domain::{Import, Imported};
use crate::shutdown::Shutdown;
use crate::wire::ErrorCode;
use crate::wire::catalog::{IMPORTS, Part as Done};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use parts::{Event, Found, Part};
use std::time::{Duration, Instant};

pub use lines::{InputError, Lines};
pub use parts::{Reader, Rules};

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

/// Why an input was not taken in to its end. What was done before that stays, and is not done again.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("line {number}: {reason}. Nothing from line {from} on was imported")]
    Strict { number: u64, reason: String, from: u64 },
    #[error("{cause}. {done} lines are in; the same command goes on from there")]
    Call { cause: CallError, done: u64 },
    #[error("stopped. {done} lines are in; the same command goes on from there")]
    Stopped { done: u64 },
}

/// What an input came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Those that are no books included, blank ones and a header not.
    pub lines: u64,
    pub created: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// Lines of parts that had been done before.
    pub before: u64,
    /// Lines that are no books.
    pub bad: u64,
}

/// What happens on the way.
pub enum Told {
    /// So many lines are in.
    At(u64),
    /// This line is no book.
    Bad { number: u64, reason: String },
}

/// Why nothing more is read.
enum End {
    Found(Found),
    Failed(IntakeError),
    Stopped,
}

/// Takes in all that `reader` finds; with no `masters` it is only read and checked.
pub async fn take_in(
    masters: Option<&Masters>,
    mut reader: Reader,
    stop: Shutdown,
    mut tell: impl FnMut(Told),
) -> Result<Sum, IntakeError> {
    let mut sum = Sum::default();
    let mut end = None;
    let mut under_way = FuturesOrdered::new();
    loop {
        // What is under way goes on while the input has nothing new.
        tokio::select! {
            Some(sent) = under_way.next() => match sent {
                Ok((lines, done)) => {
                    sum.add(lines, done);
                    tell(Told::At(sum.lines));
                }
                // Those behind it are refused as out of order: nothing goes past a gap.
                Err(cause) => return Err(IntakeError::Call { cause, done: sum.lines }),
            },
            event = reader.next(), if end.is_none() && under_way.len() < PIPELINE => match (event, masters) {
                (Event::Part(part), Some(masters)) => under_way.push_back(send(masters, part)),
                (Event::Part(part), None) => {
                    sum.lines += part.lines;
                    tell(Told::At(sum.lines));
                }
                (Event::Bad { number, reason }, _) => tell(Told::Bad { number, reason }),
                (Event::End(found), _) => end = Some(End::Found(found)),
                (Event::Failed(error), _) => end = Some(End::Failed(error)),
                (Event::Stopped, _) => end = Some(End::Stopped),
            },
            () = stop.cancelled(), if end.is_none() => end = Some(End::Stopped),
            else => break,
        }
    }
    match end {
        Some(End::Found(Found { bad })) => Ok(Sum { bad, ..sum }),
        Some(End::Failed(error)) => Err(error),
        Some(End::Stopped) | None => Err(IntakeError::Stopped { done: sum.lines }),
    }
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
    match (error, error.code()) {
        // A wrong token, which stays wrong while somebody waits; the same command goes on where it ended.
        (CallError::Unproven { .. }, _) => true,
        (_, None) => false,
        (
            _,
            Some(
                ErrorCode::OutOfOrder
                | ErrorCode::Unavailable
                | ErrorCode::NotMaster
                | ErrorCode::RequestTimeout,
            ),
        ) => false,
        (_, Some(_)) => true,
    }
}
