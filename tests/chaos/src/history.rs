//! What clients did and saw: compact in memory, and as JSON lines in a file that others can read.
//!
//! In the file each operation is two lines, as Jepsen writes them: `invoke` when it began, and `ok`,
//! `fail` or `info` (outcome unknown) when it ended, with `process`, `f`, `value` and `time` in nanoseconds
//! of one monotonic clock. docs/histories.md says how Porcupine and Elle read them.

use crate::shown::{Book, Shown, Want};
use crate::truth::Public;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

/// Bytes that a client gathers before it writes them to the file.
const CHUNK: usize = 64 << 10;

/// Nanoseconds of the harness's clock.
pub type Nanos = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Cache {
    Hit,
    Miss,
    Bypass,
    /// The answer did not say, or nothing is cached of this kind.
    #[serde(other)]
    None,
}

impl Cache {
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("HIT") => Cache::Hit,
            Some("MISS") => Cache::Miss,
            Some("BYPASS") => Cache::Bypass,
            _ => Cache::None,
        }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cache::Hit => "HIT",
            Cache::Miss => "MISS",
            Cache::Bypass => "BYPASS",
            Cache::None => "none",
        })
    }
}

/// A number that stands for a [`Want`].
pub type WantId = u32;

/// An operation that ended, with an outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Op {
    /// Of its first attempt.
    pub begin: Nanos,
    /// Of the answer that counts.
    pub end: Nanos,
    pub process: u32,
    /// Which frontend answered, from 1; 0 is the master itself.
    pub frontend: u8,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    /// `stale`: it said of itself that it may be (`Warning: 110`).
    Read {
        want: WantId,
        version: Public,
        print: u64,
        cache: Cache,
        stale: bool,
    },
    /// Names of key and order as [`short`](crate::truth::short) makes them; money in cents.
    /// `again`: asked for once more long after it was answered.
    Bought {
        book: i64,
        key: u64,
        order: u64,
        version: Public,
        remaining: i64,
        quantity: i64,
        total: i64,
        again: bool,
    },
    Refused {
        book: i64,
        key: u64,
        why: Refusal,
    },
    /// The order was looked up: when it was found, what it is.
    Order {
        order: u64,
        found: Option<(Public, i64, i64)>,
    },
    /// Which of the edits, and the version that shows it.
    Edited {
        edit: u32,
        version: Public,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    BookNotFound,
    OutOfStock,
    Underpaid,
    IdempotencyMismatch,
}

/// What the catalog's keeper asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    pub number: u32,
    #[serde(flatten)]
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new book under a number that no book has.
    Put(Book),
    Update {
        book_id: i64,
        title: String,
        price: i64,
        topic: Option<String>,
    },
    Restock {
        book_id: i64,
        copies: i64,
    },
    Delete {
        book_id: i64,
    },
}

impl Change {
    pub fn book(&self) -> i64 {
        match self {
            Change::Put(book) => book.id,
            Change::Update { book_id, .. } | Change::Restock { book_id, .. } | Change::Delete { book_id } => {
                *book_id
            }
        }
    }

    /// As the master's route wants it.
    pub fn body(&self) -> serde_json::Value {
        match self {
            Change::Update { book_id, title, price, topic: None } => {
                serde_json::json!({"update": {"book_id": book_id, "title": title, "price": price}})
            }
            other => serde_json::to_value(other).unwrap_or_default(),
        }
    }
}

/// One book's count in an answer that showed several, for the check that needs no versions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    pub book: i64,
    pub count: i64,
    /// Index of the operation.
    pub op: u32,
}

/// All wants by number.
#[derive(Debug, Default)]
pub struct Wants {
    numbers: RwLock<(HashMap<Want, WantId>, Vec<Want>)>,
}

impl Wants {
    pub fn number(&self, want: &Want) -> WantId {
        if let Some(&number) = self.numbers.read().expect("no writer panics").0.get(want) {
            return number;
        }
        let (numbers, wants) = &mut *self.numbers.write().expect("no writer panics");
        *numbers.entry(want.clone()).or_insert_with(|| {
            wants.push(want.clone());
            wants.len() as WantId - 1
        })
    }

    pub fn all(&self) -> Vec<Want> {
        self.numbers.read().expect("no writer panics").1.clone()
    }
}

/// Where a client's operations go.
pub struct Recorder {
    pub ops: Vec<Op>,
    pub counts: Vec<Count>,
    /// Whose counts fall and never rise.
    falling: Arc<std::collections::HashSet<i64>>,
    wants: Arc<Wants>,
    file: Option<Arc<Sink>>,
    chunk: Vec<u8>,
}

/// The file that all clients write to.
pub struct Sink(Mutex<BufWriter<File>>);

impl Sink {
    pub fn create(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self(Mutex::new(BufWriter::new(File::create(path)?)))))
    }

    pub fn write(&self, lines: &[u8]) -> io::Result<()> {
        self.0.lock().map_err(|_| io::Error::other("another writer failed"))?.write_all(lines)
    }

    /// A line that is no client's: the first state, or a record of the log.
    pub fn note(&self, process: &str, f: &str, value: &str, time: Nanos) -> io::Result<()> {
        let line = format!(
            "{{\"process\":{process},\"type\":\"info\",\"f\":\"{f}\",\"value\":{value},\"time\":{time}}}\n"
        );
        self.write(line.as_bytes())
    }

    pub fn flush(&self) -> io::Result<()> {
        self.0.lock().map_err(|_| io::Error::other("another writer failed"))?.flush()
    }
}

/// The harness's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Nanos {
        self.0.elapsed().as_nanos() as Nanos
    }
}

/// The value of a line, as it is written and read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Read {
        want: Want,
        version: String,
        cache: Cache,
        stale: bool,
        frontend: u8,
        shown: Shown,
    },
    /// `again`: a key that has been answered long ago is asked for once more.
    Buy {
        book: i64,
        key: String,
        quantity: i64,
        frontend: u8,
        again: bool,
        outcome: Outcome,
    },
    Order {
        order: String,
        frontend: u8,
        found: Option<(String, i64, i64)>,
    },
    Edit {
        edit: Edit,
        version: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Sold { order: String, version: String, remaining: i64, total: i64 },
    Refused(Refusal),
}

impl Value {
    fn f(&self) -> &'static str {
        match self {
            Value::Read { .. } => "read",
            Value::Buy { .. } => "buy",
            Value::Order { .. } => "order",
            Value::Edit { .. } => "edit",
        }
    }

    /// What was asked, before there was an answer.
    fn asked(&self) -> serde_json::Value {
        match self {
            Value::Read { want, frontend, .. } => serde_json::json!({"want": want, "frontend": frontend}),
            Value::Buy { book, key, quantity, frontend, .. } => {
                serde_json::json!({"book": book, "key": key, "quantity": quantity, "frontend": frontend})
            }
            Value::Order { order, frontend, .. } => {
                serde_json::json!({"order": order, "frontend": frontend})
            }
            Value::Edit { edit, .. } => serde_json::json!({"edit": edit}),
        }
    }
}

impl Recorder {
    pub fn new(
        falling: Arc<std::collections::HashSet<i64>>,
        wants: Arc<Wants>,
        file: Option<Arc<Sink>>,
    ) -> Self {
        Self { ops: Vec::new(), counts: Vec::new(), falling, wants, file, chunk: Vec::new() }
    }

    /// Enters what ended. An error: the file cannot be written.
    pub fn ended(&mut self, process: u32, begin: Nanos, end: Nanos, value: &Value) -> io::Result<()> {
        if let Some((frontend, what)) = compact(value, &self.wants) {
            let op = self.ops.len() as u32;
            if let Value::Read { shown, .. } = value {
                let falling = &self.falling;
                let mut count = |book: &Book| {
                    if falling.contains(&book.id) {
                        self.counts.push(Count { book: book.id, count: book.stock, op });
                    }
                };
                match shown {
                    Shown::Book(Some(book)) => count(book),
                    Shown::Page { books, .. } => books.iter().for_each(count),
                    Shown::Book(None) | Shown::Topics(_) => {}
                }
            }
            self.ops.push(Op { begin, end, process, frontend, what });
        }
        self.lines(process, begin, end, "ok", value)
    }

    /// What was never answered: an edit whose outcome is unknown, which cannot be repeated.
    pub fn unknown(&mut self, process: u32, begin: Nanos, end: Nanos, value: &Value) -> io::Result<()> {
        self.lines(process, begin, end, "info", value)
    }

    fn lines(&mut self, process: u32, begin: Nanos, end: Nanos, kind: &str, value: &Value) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let f = value.f();
        let asked = value.asked();
        writeln!(
            self.chunk,
            "{{\"process\":{process},\"type\":\"invoke\",\"f\":\"{f}\",\"value\":{asked},\"time\":{begin}}}"
        )?;
        write!(self.chunk, "{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":")?;
        serde_json::to_writer(&mut self.chunk, value)?;
        writeln!(self.chunk, ",\"time\":{end}}}")?;
        if self.chunk.len() >= CHUNK {
            file.write(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }
}

/// `None` for a value whose version is none.
fn compact(value: &Value, wants: &Wants) -> Option<(u8, What)> {
    use crate::truth::short;
    Some(match value {
        Value::Read { want, version, cache, stale, frontend, shown } => {
            let version = Public::parse(version)?;
            let want = wants.number(want);
            (*frontend, What::Read { want, version, print: shown.print(), cache: *cache, stale: *stale })
        }
        Value::Buy { book, key, quantity, frontend, again, outcome } => {
            let (book, key, quantity) = (*book, short(key), *quantity);
            let what = match outcome {
                Outcome::Sold { order, version, remaining, total } => What::Bought {
                    book,
                    key,
                    order: short(order),
                    version: Public::parse(version)?,
                    remaining: *remaining,
                    quantity,
                    total: *total,
                    again: *again,
                },
                Outcome::Refused(why) => What::Refused { book, key, why: *why },
            };
            (*frontend, what)
        }
        Value::Order { order, frontend, found } => {
            let found = match found {
                Some((version, book, quantity)) => Some((Public::parse(version)?, *book, *quantity)),
                None => None,
            };
            (*frontend, What::Order { order: short(order), found })
        }
        Value::Edit { edit, version } => {
            (0, What::Edited { edit: edit.number, version: Public::parse(version)? })
        }
    })
}

/// What the history starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Initial {
    /// The full version, as roles see it.
    pub version: String,
    pub books: Vec<Book>,
    /// Pages that are read.
    pub pages: Vec<Want>,
    /// Books without restocks that are bought one by one, and their counts before the first purchase.
    pub falling: Vec<(i64, i64)>,
}

/// A history as it was recorded.
pub struct Recorded {
    pub initial: Initial,
    pub records: Vec<crate::truth::Record>,
    /// Of the other history.
    pub foreign: Vec<crate::truth::Record>,
    pub recorder: Recorder,
    pub edits: Vec<Edit>,
    pub wants: Arc<Wants>,
}

/// Puts the lines of a history file in the order of their times: an operation is written when it has
/// ended, by whoever did it. Needs a few bytes of memory for each line, not the lines.
pub fn sort(path: &Path) -> io::Result<()> {
    let mut lines: Vec<(Nanos, u64, usize)> = Vec::new();
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut offset) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        lines.push((
            time_of(&line).ok_or_else(|| io::Error::other("a line without a time"))?,
            offset,
            line.len(),
        ));
        offset += line.len() as u64;
        line.clear();
    }
    lines.sort();
    let from = reader.into_inner();
    let sorted = path.with_extension("sorted");
    let mut to = BufWriter::new(File::create(&sorted)?);
    for (_, offset, length) in lines {
        line.resize(length, 0);
        from.read_exact_at(&mut line, offset)?;
        to.write_all(&line)?;
    }
    to.flush()?;
    std::fs::rename(sorted, path)
}

/// The last member of a line.
fn time_of(line: &[u8]) -> Option<Nanos> {
    let text = std::str::from_utf8(line).ok()?;
    text.rsplit_once("\"time\":")?.1.trim_end().trim_end_matches('}').parse().ok()
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    process: &'a RawValue,
    #[serde(rename = "type")]
    kind: &'a str,
    f: &'a str,
    #[serde(borrow)]
    value: &'a RawValue,
    time: Nanos,
}

/// Reads a history file. An error names the line.
pub fn read(path: &Path) -> Result<Recorded, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wants = Arc::new(Wants::default());
    let (mut initial, mut records, mut edits): (Option<Initial>, Vec<_>, Vec<Edit>) =
        (None, Vec::new(), Vec::new());
    let mut foreign = Vec::new();
    let mut recorder = Recorder::new(Arc::default(), Arc::clone(&wants), None);
    // An operation's two lines stand one behind the other, unless somebody has sorted them by time.
    let mut begun: HashMap<String, Nanos> = HashMap::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let wrong = |error: &dyn fmt::Display| format!("{}:{}: {error}", path.display(), index + 1);
        let line = line.map_err(|error| wrong(&error))?;
        let line: Line = serde_json::from_str(&line).map_err(|error| wrong(&error))?;
        match (line.f, line.kind) {
            ("initial", _) => {
                let first: Initial = serde_json::from_str(line.value.get()).map_err(|error| wrong(&error))?;
                recorder.falling = Arc::new(first.falling.iter().map(|(book, _)| *book).collect());
                initial = Some(first);
            }
            ("record", _) => {
                records.push(serde_json::from_str(line.value.get()).map_err(|error| wrong(&error))?);
            }
            ("foreign", _) => {
                foreign.push(serde_json::from_str(line.value.get()).map_err(|error| wrong(&error))?);
            }
            (_, "invoke") => {
                begun.insert(line.process.get().into(), line.time);
            }
            (_, "ok" | "info") => {
                let value: Value = serde_json::from_str(line.value.get()).map_err(|error| wrong(&error))?;
                let process: u32 = line.process.get().parse().map_err(|error| wrong(&error))?;
                let begin =
                    begun.remove(line.process.get()).ok_or_else(|| wrong(&"it ends what did not begin"))?;
                if let Value::Edit { edit, .. } = &value {
                    edits.push(edit.clone());
                }
                if line.kind == "ok" {
                    recorder.ended(process, begin, line.time, &value).map_err(|error| wrong(&error))?;
                }
            }
            _ => {}
        }
    }
    let initial = initial.ok_or_else(|| format!("{}: it has no first state", path.display()))?;
    edits.sort_by_key(|edit| edit.number);
    Ok(Recorded { initial, records, foreign, recorder, edits, wants })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::tests::book;

    #[test]
    fn a_history_that_was_written_and_sorted_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let sink = Sink::create(&path).unwrap();
        let initial = Initial {
            version: "1:0000000000000001.10".into(),
            books: vec![book(1, "x", 3)],
            pages: Vec::new(),
            falling: vec![(1, 3)],
        };
        sink.note("\"harness\"", "initial", &serde_json::to_string(&initial).unwrap(), 0).unwrap();
        let falling = Arc::new([1].into());
        let mut recorder = Recorder::new(falling, Arc::default(), Some(Arc::clone(&sink)));
        let read = |seq: u64, stock| Value::Read {
            want: Want::Book(1),
            version: format!("1.{seq}"),
            cache: Cache::Miss,
            stale: false,
            frontend: 1,
            shown: Shown::Book(Some(book(1, "x", stock))),
        };
        let edit = Edit { number: 1, change: Change::Restock { book_id: 1, copies: 5 } };
        recorder.ended(2, 50, 60, &read(11, 2)).unwrap();
        recorder.ended(1, 10, 30, &read(10, 3)).unwrap();
        recorder.unknown(3, 20, 40, &Value::Edit { edit: edit.clone(), version: String::new() }).unwrap();
        recorder.flush().unwrap();
        sink.flush().unwrap();
        sort(&path).unwrap();
        let recorded = super::read(&path).unwrap();
        assert_eq!(recorded.initial, initial);
        assert_eq!(recorded.edits, [edit]);
        let times: Vec<_> = recorded.recorder.ops.iter().map(|op| (op.begin, op.end, op.process)).collect();
        assert_eq!(times, [(10, 30, 1), (50, 60, 2)]);
        let mut ops = recorder.ops.clone();
        ops.sort_by_key(|op| op.begin);
        assert_eq!(recorded.recorder.ops, ops);
        assert_eq!(recorded.recorder.counts.iter().map(|count| count.count).collect::<Vec<_>>(), [3, 2]);
    }
}
