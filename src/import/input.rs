//! Where the lines come from: a file or standard input, packed by gzip or not.
//!
//! Invariant: a line that is longer than [`MAX_LINE`] is read past and never held.

use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Twice the longest title and topic, every character escaped, and room for columns that are not ours.
pub const MAX_LINE: usize = 16 << 10;

/// Read at a time.
const BUFFER: usize = 256 << 10;

/// The first two bytes of what gzip has packed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{} cannot be read: {source}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the input cannot be read behind line {line}: {source}")]
    Read { line: u64, source: io::Error },
    #[error("the first line must name the columns title, topic, stock and price: {0}")]
    Header(String),
    #[error("{} cannot be written: {source}", .path.display())]
    Rejects { path: PathBuf, source: io::Error },
}

/// An input, not read yet.
pub struct Source {
    pub lines: Lines,
    /// How many bytes there are, where that is known, and how many of them were read.
    pub bytes: Option<u64>,
    pub read: Arc<AtomicU64>,
}

/// `None`: standard input.
pub fn open(path: Option<&Path>) -> Result<Source, InputError> {
    let Some(path) = path else {
        return unpack(io::stdin(), None).map_err(|source| InputError::Read { line: 0, source });
    };
    let failed = |source| InputError::Open { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let bytes = metadata.is_file().then_some(metadata.len());
    unpack(file, bytes).map_err(failed)
}

fn unpack(input: impl Read + Send + 'static, bytes: Option<u64>) -> io::Result<Source> {
    let read = Arc::new(AtomicU64::new(0));
    let mut input = BufReader::with_capacity(BUFFER, Counting { input, read: Arc::clone(&read) });
    let packed = input.fill_buf()?.starts_with(&GZIP);
    let input: Box<dyn BufRead + Send> = match packed {
        true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(input))),
        false => Box::new(input),
    };
    Ok(Source { lines: Lines { input, number: 0, line: Vec::new() }, bytes, read })
}

struct Counting<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

pub struct Lines {
    input: Box<dyn BufRead + Send>,
    number: u64,
    line: Vec<u8>,
}

/// One line with its end. `whole` is false for the beginning of one that is too long.
pub struct Line<'a> {
    pub number: u64,
    pub bytes: &'a [u8],
    pub whole: bool,
}

impl Lines {
    /// The next line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, InputError> {
        let failed = |line| move |source| InputError::Read { line, source };
        self.line.clear();
        let mut input = (&mut self.input).take(MAX_LINE as u64);
        if input.read_until(b'\n', &mut self.line).map_err(failed(self.number))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut whole = true;
        if self.line.len() == MAX_LINE && self.line.last() != Some(&b'\n') {
            // A last line that fits exactly is whole.
            whole = !self.skip_line().map_err(failed(self.number))?;
        }
        Ok(Some(Line { number: self.number, bytes: &self.line, whole }))
    }

    /// Reads to the end of the line, and says whether there was any more of it.
    fn skip_line(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(bytes: &[u8]) -> Vec<(u64, usize, bool)> {
        let mut lines = unpack(io::Cursor::new(bytes.to_vec()), None).unwrap().lines;
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.bytes.len(), line.whole));
        }
        found
    }

    #[test]
    fn lines_have_their_numbers_and_one_that_is_too_long_is_passed_over() {
        assert_eq!(lines(b"ab\n\nc"), [(1, 3, true), (2, 1, true), (3, 1, true)]);
        let long = vec![b'x'; 10 * BUFFER];
        let text = [b"a\n", &long[..], b"\nb\n"].concat();
        assert_eq!(lines(&text), [(1, 2, true), (2, MAX_LINE, false), (3, 2, true)]);
        assert_eq!(lines(&long[..MAX_LINE]), [(1, MAX_LINE, true)]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn what_gzip_packed_in_several_pieces_is_unpacked() {
        let pack = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text).unwrap();
            packer.finish().unwrap()
        };
        assert_eq!(lines(&[pack(b"a\nb"), pack(b"c\n")].concat()), [(1, 2, true), (2, 3, true)]);
    }

    #[test]
    fn a_packed_file_that_breaks_off_is_an_error_and_not_an_end() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"a\nb\nc\n").unwrap();
        let packed = packer.finish().unwrap();
        let mut lines = unpack(io::Cursor::new(packed[..packed.len() - 9].to_vec()), None).unwrap().lines;
        let broken = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken);
    }
}
