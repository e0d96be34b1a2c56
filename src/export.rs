//! `bazar export`: all books of one moment, written as a file that `bazar import` takes.

use crate::client::{BaseUrl, CallError, Peer};
use crate::domain::{Book, Version};
use crate::intake::Format;
use crate::member::Member;
use crate::token::InternalToken;
use crate::wire::catalog::{EXPORT, ExportEnd};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// For a whole export, at the pace of whoever takes it.
const DEADLINE: Duration = Duration::from_secs(600);

/// A line that is longer is none of ours.
const MAX_LINE: usize = 16 << 10;

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// A catalog node: the master or a replica.
    pub node: BaseUrl,
    pub format: Format,
    /// `None`: standard output.
    pub output: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0} broke off: the file is not whole")]
    BrokeOff(BaseUrl),
    #[error("{0} sent what is no book: {1}")]
    Nonsense(BaseUrl, String),
    #[error("the output cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl ExportError {
    /// Whether whoever reads our output has had enough, as `head` does: nothing to complain about.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, ExportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl Config {
    /// Returns what to tell the operator. A file appears under its name only when it is whole.
    pub async fn run(self, token: InternalToken) -> Result<String, ExportError> {
        let peer = Peer::new(self.node.clone(), &Member::new(token));
        let Some(path) = &self.output else {
            let end = self.write(&peer, io::stdout().lock()).await?;
            return Ok(end);
        };
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = std::fs::File::create(&partial)?;
        let written = self.write(&peer, &file).await;
        let synced = written.and_then(|end| {
            file.sync_all()?;
            std::fs::rename(&partial, path)?;
            Ok(end)
        });
        if synced.is_err() {
            let _ = std::fs::remove_file(&partial);
        }
        synced
    }

    async fn write(&self, peer: &Peer, out: impl Write) -> Result<String, ExportError> {
        let mut lines = Lines {
            node: &self.node,
            format: self.format,
            out: io::BufWriter::new(out),
            rest: Vec::new(),
            end: None,
        };
        if self.format == Format::Csv {
            lines.out.write_all(b"id,title,topic,stock,price\n")?;
        }
        let mut failed = None;
        let taken = async |chunk: &[u8]| {
            lines.take(chunk).map_err(|error| {
                failed = Some(error);
                io::Error::other("what came was not taken")
            })
        };
        let streamed = peer.stream(EXPORT, "export", DEADLINE, taken).await;
        // It was not the peer's fault.
        if let Some(error) = failed {
            return Err(error);
        }
        streamed?;
        lines.out.flush()?;
        let (version, books) = lines.end.ok_or_else(|| ExportError::BrokeOff(self.node.clone()))?;
        Ok(format!("{books} books as of {}", version.public()))
    }
}

/// What came, made into lines of the file.
struct Lines<'a, W: Write> {
    /// From whom.
    node: &'a BaseUrl,
    format: Format,
    out: io::BufWriter<W>,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
    end: Option<(Version, u64)>,
}

impl<W: Write> Lines<'_, W> {
    fn take(&mut self, chunk: &[u8]) -> Result<(), ExportError> {
        self.rest.extend_from_slice(chunk);
        let rest = std::mem::take(&mut self.rest);
        let mut lines = rest.split(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                if line.len() > MAX_LINE {
                    return Err(self.nonsense("a line is too long"));
                }
                self.rest = line.to_vec();
                break;
            }
            self.line(line)?;
        }
        Ok(())
    }

    fn nonsense(&self, why: impl ToString) -> ExportError {
        ExportError::Nonsense(self.node.clone(), why.to_string())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), ExportError> {
        if let Ok(ExportEnd { end, books }) = serde_json::from_slice(line) {
            self.end = Some((end, books));
            return Ok(());
        }
        let book: Book = serde_json::from_slice(line).map_err(|error| self.nonsense(error))?;
        Ok(self.book(book)?)
    }

    fn book(&mut self, book: Book) -> io::Result<()> {
        let Book { id, title, topic, stock, price } = book;
        let (stock, cents) = (stock.get(), price.get());
        let price = match cents % 100 {
            0 => (cents / 100).to_string(),
            part => format!("{}.{part:02}", cents / 100),
        };
        match self.format {
            Format::Csv => {
                writeln!(self.out, "{id},{},{},{stock},{price}", field(title.as_str()), field(topic.as_str()))
            }
            Format::JsonLines => {
                let (title, topic) = (serde_json::to_string(&title)?, serde_json::to_string(&topic)?);
                writeln!(
                    self.out,
                    "{{\"id\":{id},\"title\":{title},\"topic\":{topic},\"stock\":{stock},\"price\":{price}}}"
                )
            }
        }
    }
}

/// A field of CSV, in quotes where it needs them.
fn field(text: &str) -> std::borrow::Cow<'_, str> {
    let plain = !text.contains([',', '"']) && !text.starts_with(' ') && !text.ends_with(' ');
    if plain { text.into() } else { format!("\"{}\"", text.replace('"', "\"\"")).into() }
}
