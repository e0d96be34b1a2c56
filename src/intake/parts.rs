//! Lines into parts, on a thread of its own: reading and checking a million lines takes a second of a core that
//! the store need not wait for.
//!
//! Invariant: where a part ends depends on the input alone, so the same input has the same parts.

use super::line::LineParser;
use super::lines::{InputError, Line, Lines};
use super::{Format, IntakeError};
use crate::domain::{Import, ImportKey, ImportLine, Sha256Sum};
use crate::wire::catalog::IMPORT_BYTES;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Parts that wait to be sent.
const READ_AHEAD: usize = 2;

/// How an input is to be read.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// `None`: as the first line shows.
    pub format: Option<Format>,
    /// The first line that is no book ends the import.
    pub strict: bool,
    /// Does anew what was done before.
    pub again: bool,
    /// Where lines go that are no books.
    pub rejects: Option<PathBuf>,
    /// Lines that are no books and are told one by one; a file of another kind has millions.
    pub told: u64,
}

/// What the thread has found.
pub enum Event {
    Part(Part),
    Bad { number: u64, reason: String },
    End(Found),
    Failed(IntakeError),
    Stopped,
}

pub struct Part {
    pub import: Import,
    /// Lines read for it, those that are no books included.
    pub lines: u64,
}

/// What there was in all of the input.
#[derive(Debug, Default)]
pub struct Found {
    pub bad: u64,
}

/// The thread's end that others see.
pub struct Reader(mpsc::Receiver<Event>);

impl Reader {
    pub fn start(lines: Lines, rules: Rules) -> Self {
        let (events, found) = mpsc::channel(READ_AHEAD);
        let mut sum = Sha256::new();
        if rules.again {
            // Parts of another name.
            sum.update(rand::random::<u128>().to_le_bytes());
        }
        let thread = Thread {
            format: rules.format,
            strict: rules.strict,
            told: rules.told,
            events,
            sum,
            last: None,
            part: Vec::new(),
            bytes: 0,
            lines: 0,
            first: 0,
            rejects: Rejects { path: rules.rejects, file: None, header: Vec::new(), bytes: 0 },
            found: Found::default(),
        };
        // It ends by itself when nobody wants to hear of it any more, and is not waited for: it may be waiting for
        // somebody who types.
        std::thread::spawn(move || thread.run(lines));
        Self(found)
    }

    pub async fn next(&mut self) -> Event {
        // The thread says how it ends, unless it panicked.
        self.0.recv().await.unwrap_or(Event::Stopped)
    }
}

struct Thread {
    format: Option<Format>,
    strict: bool,
    told: u64,
    events: mpsc::Sender<Event>,
    /// Of all that was read.
    sum: Sha256,
    last: Option<ImportKey>,
    part: Vec<ImportLine>,
    /// What `part` takes on the wire, at most.
    bytes: usize,
    /// Lines read since the last part, and the number of the first of them.
    lines: u64,
    first: u64,
    rejects: Rejects,
    found: Found,
}

/// Nobody listens any more.
struct Gone;

enum Trouble {
    Gone,
    Failed(IntakeError),
}

impl From<Gone> for Trouble {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl<E: Into<IntakeError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Thread {
    fn run(mut self, lines: Lines) {
        let end = match self.read(lines) {
            Ok(()) => Event::End(std::mem::take(&mut self.found)),
            Err(Trouble::Failed(error)) => Event::Failed(error),
            Err(Trouble::Gone) => return,
        };
        let _ = self.events.blocking_send(end);
    }

    fn read(&mut self, mut lines: Lines) -> Result<(), Trouble> {
        let mut parser: Option<LineParser> = None;
        while let Some(line) = lines.next_line()? {
            self.sum.update(line.bytes);
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            let Some(parser) = &mut parser else {
                let new = LineParser::new(self.format, line.bytes);
                let mut new = new.map_err(|invalid| InputError::Header(invalid.0))?;
                match &new {
                    LineParser::Csv(_) => self.rejects.header = line.bytes.to_vec(),
                    LineParser::JsonLines => self.line(&mut new, &line)?,
                }
                parser = Some(new);
                continue;
            };
            self.line(parser, &line)?;
        }
        self.end_part()?;
        self.rejects.flush()?;
        Ok(())
    }

    fn line(&mut self, parser: &mut LineParser, line: &Line<'_>) -> Result<(), Trouble> {
        if self.lines == 0 {
            self.first = line.number;
        }
        self.lines += 1;
        let parsed = match line.whole {
            true => parser.parse(line.bytes).map_err(|invalid| invalid.0),
            false => Err("it is too long".into()),
        };
        match parsed {
            Ok(book) => {
                // Escaped, a character takes at most twice its bytes; the rest are numbers.
                self.bytes += 2 * (book.book.title.as_str().len() + book.book.topic.as_str().len()) + 64;
                self.part.push(book);
            }
            Err(reason) => self.bad(line, reason)?,
        }
        if self.part.len() >= Import::MAX_LINES || self.bytes >= IMPORT_BYTES - LARGEST_LINE {
            self.end_part()?;
        }
        Ok(())
    }

    fn bad(&mut self, line: &Line<'_>, reason: String) -> Result<(), Trouble> {
        let number = line.number;
        if self.strict {
            // The part so far is not handed in: it would end where no part of the mended input does, which would
            // then bring its books once more.
            return Err(IntakeError::Strict { number, reason, from: self.first }.into());
        }
        self.found.bad += 1;
        self.rejects.write(line.bytes)?;
        if self.found.bad <= self.told {
            self.send(Event::Bad { number, reason })?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), Gone> {
        if self.lines == 0 {
            return Ok(());
        }
        let key = ImportKey(Sha256Sum(self.sum.clone().finalize().into()));
        let lines = std::mem::replace(&mut self.part, Vec::with_capacity(Import::MAX_LINES));
        // A part without books is not sent, so none comes behind it.
        let empty = lines.is_empty();
        let import = Import { key, after: self.last, lines };
        self.bytes = 0;
        if !empty {
            self.last = Some(key);
        }
        let lines = std::mem::take(&mut self.lines);
        self.send(Event::Part(Part { import, lines }))
    }

    fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.blocking_send(event).map_err(|_| Gone)
    }
}

/// The longest title and topic.
const LARGEST_LINE: usize = 4 << 10;

/// In the file of lines that are no books: more than a million of them, which nobody mends.
const MAX_REJECTS: u64 = 256 << 20;

/// The file of lines that are no books, as they were, so that they can be mended and imported. It is made when there
/// is one.
struct Rejects {
    /// `None`: none is to be made.
    path: Option<PathBuf>,
    file: Option<BufWriter<File>>,
    header: Vec<u8>,
    bytes: u64,
}

impl Rejects {
    fn write(&mut self, line: &[u8]) -> Result<(), InputError> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |source| InputError::Rejects { path: path.clone(), source };
        self.bytes += line.len() as u64;
        if self.bytes > MAX_REJECTS {
            return Err(InputError::NoCatalog { at_most: MAX_REJECTS >> 20 });
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = BufWriter::new(File::create(path).map_err(failed)?);
                file.write_all(&self.header).map_err(failed)?;
                self.file.insert(file)
            }
        };
        file.write_all(line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), InputError> {
        let Some((path, file)) = self.path.as_ref().zip(self.file.as_mut()) else { return Ok(()) };
        file.flush().map_err(|source| InputError::Rejects { path: path.clone(), source })
    }
}
