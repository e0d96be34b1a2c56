//! The lines of an input, packed by gzip or not.
//!
//! Invariants: a line that is longer than [`MAX_LINE`] is read past and never held; nobody makes us unpack more than
//! was allowed, or far more than what any catalog unpacks to.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Twice the longest title and topic, every character escaped, and room for columns that are not ours.
pub const MAX_LINE: usize = 16 << 10;

/// Read at a time.
const BUFFER: usize = 256 << 10;

/// What no catalog is packed to less than a hundredth of: titles differ. Gzip can do a thousandth, for who wants to
/// fill our disk and our time with a small file.
const MAX_RATIO: u64 = 200;

/// Unpacked before the ratio counts: small files may be as regular as they like.
const ANY_RATIO: u64 = 16 << 20;

/// The first two bytes of what gzip has packed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("the input cannot be read behind line {line}: {source}")]
    Read { line: u64, source: io::Error },
    #[error("the first line must name the columns title, topic, stock and price: {0}")]
    Header(String),
    #[error("the input has more than {at_most} bytes when it is unpacked")]
    TooLarge { at_most: u64 },
    #[error(
        "the input unpacks to more than {MAX_RATIO} times its size, which no catalog does: unpack it yourself if it is one"
    )]
    Bomb,
    #[error("more than {at_most} MiB of lines that are no books: this is no catalog")]
    NoCatalog { at_most: u64 },
    #[error("{} cannot be written: {source}", .path.display())]
    Rejects { path: PathBuf, source: io::Error },
}

pub struct Lines {
    input: Box<dyn BufRead + Send>,
    /// Whether it was looked at what the first bytes say of the rest.
    begun: bool,
    /// Bytes of a packed input that were read.
    packed: Option<Arc<AtomicU64>>,
    at_most: u64,
    left: u64,
    number: u64,
    line: Vec<u8>,
}

/// Counts what is read of a packed input.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.read.fetch_add(amount as u64, Ordering::Relaxed);
        self.input.consume(amount);
    }
}

/// One line with its end. `whole` is false for the beginning of one that is too long.
pub struct Line<'a> {
    pub number: u64,
    pub bytes: &'a [u8],
    pub whole: bool,
}

impl Lines {
    /// Reads nothing yet.
    pub fn new(input: impl Read + Send + 'static) -> Self {
        let input = Box::new(BufReader::with_capacity(BUFFER, input));
        let (at_most, left) = (u64::MAX, u64::MAX);
        Self { input, begun: false, packed: None, at_most, left, number: 0, line: Vec::new() }
    }

    /// Refuses to hand out more bytes than this.
    pub fn at_most(self, bytes: u64) -> Self {
        Self { at_most: bytes, left: bytes, ..self }
    }

    /// The next line; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, InputError> {
        if !self.begun {
            self.begin().map_err(|source| InputError::Read { line: 0, source })?;
        }
        self.line.clear();
        let line = self.number;
        let mut input = (&mut self.input).take(MAX_LINE as u64);
        let read =
            input.read_until(b'\n', &mut self.line).map_err(|source| InputError::Read { line, source })?;
        if read == 0 {
            return Ok(None);
        }
        self.count(read)?;
        self.number += 1;
        let mut whole = true;
        if self.line.len() == MAX_LINE && self.line.last() != Some(&b'\n') {
            // A last line that fits exactly is whole.
            whole = !self.skip_line()?;
        }
        Ok(Some(Line { number: self.number, bytes: &self.line, whole }))
    }

    /// Whoever sends the input may send its first bytes one by one.
    fn begin(&mut self) -> io::Result<()> {
        let mut raw = std::mem::replace(&mut self.input, Box::new(io::empty()));
        let mut first = Vec::with_capacity(GZIP.len());
        (&mut raw).take(GZIP.len() as u64).read_to_end(&mut first)?;
        let packed = first == GZIP;
        let whole = Cursor::new(first).chain(raw);
        self.input = match packed {
            true => {
                let read = Arc::new(AtomicU64::new(0));
                self.packed = Some(Arc::clone(&read));
                let unpacked = MultiGzDecoder::new(Counted { input: whole, read });
                Box::new(BufReader::with_capacity(BUFFER, unpacked))
            }
            false => Box::new(whole),
        };
        self.begun = true;
        Ok(())
    }

    fn count(&mut self, read: usize) -> Result<(), InputError> {
        let too_large = InputError::TooLarge { at_most: self.at_most };
        self.left = self.left.checked_sub(read as u64).ok_or(too_large)?;
        let Some(packed) = &self.packed else { return Ok(()) };
        let unpacked = self.at_most - self.left;
        let usual = packed.load(Ordering::Relaxed).saturating_mul(MAX_RATIO).max(ANY_RATIO);
        if unpacked > usual { Err(InputError::Bomb) } else { Ok(()) }
    }

    /// Reads to the end of the line, and says whether there was any more of it.
    fn skip_line(&mut self) -> Result<bool, InputError> {
        let line = self.number;
        let mut any = false;
        loop {
            let buffer = self.input.fill_buf().map_err(|source| InputError::Read { line, source })?;
            if buffer.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(used);
            self.count(used)?;
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
        let mut lines = Lines::new(Cursor::new(bytes.to_vec()));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
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
        let mut lines = Lines::new(Cursor::new(packed[..packed.len() - 9].to_vec()));
        let broken = loop {
            match lines.next_line() {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken);
    }

    fn packed(line: &[u8], times: usize) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..times {
            packer.write_all(line).unwrap();
        }
        packer.finish().unwrap()
    }

    /// All lines, or the error at which they end.
    fn drain(packed: Vec<u8>) -> Result<u64, InputError> {
        let mut lines = Lines::new(Cursor::new(packed));
        let mut read = 0;
        while let Some(line) = lines.next_line()? {
            read = line.number;
        }
        Ok(read)
    }

    #[test]
    fn a_bomb_is_known_by_what_it_unpacks_to() {
        for line in [&b"one,more,1,1.00\n"[..], b"xxxxxxxxxxxxxxxx", &[0; 16]] {
            let bomb = packed(&line.repeat(1 << 16), 64);
            assert!(matches!(drain(bomb), Err(InputError::Bomb)), "{line:?}");
        }
        // Bombs one behind the other are no better than one.
        let several = vec![packed(&[b'x'; 1 << 20], 8); 4].concat();
        assert!(matches!(drain(several), Err(InputError::Bomb)));
        // A small file may be as regular as it likes, and a large one of lines that differ is none.
        assert_eq!(drain(packed(&b"one,more,1,1.00\n".repeat(100), 1000)).unwrap(), 100_000);
        let mut books = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for book in 0..1_000_000 {
            writeln!(books, "Book {book},bulk,{},1.00", book % 7).unwrap();
        }
        assert_eq!(drain(books.finish().unwrap()).unwrap(), 1_000_000);
    }

    /// Hands out one byte at a time.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let some = buffer.len().min(1);
            self.0.read(&mut buffer[..some])
        }
    }

    #[test]
    fn what_comes_byte_by_byte_is_known_for_what_it_is() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(b"a\nb").unwrap();
        for bytes in [packer.finish().unwrap(), b"a\nb".to_vec()] {
            let mut lines = Lines::new(Trickle(Cursor::new(bytes)));
            assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"a\n");
            assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"b");
            assert!(lines.next_line().unwrap().is_none());
        }
    }

    #[test]
    fn what_unpacks_to_more_than_is_allowed_is_refused_before_it_is_unpacked() {
        for one_line in [true, false] {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            for _ in 0..1024 {
                packer.write_all(&[b'x'; 1023]).unwrap();
                packer.write_all(if one_line { b"x" } else { b"\n" }).unwrap();
            }
            let packed = packer.finish().unwrap();
            assert!(packed.len() < 16 << 10);
            let mut lines = Lines::new(Cursor::new(packed)).at_most(100 << 10);
            let mut read = 0;
            let refused = loop {
                match lines.next_line() {
                    Ok(Some(line)) => read += line.bytes.len(),
                    Ok(None) => break false,
                    Err(error) => break matches!(error, InputError::TooLarge { .. }),
                }
            };
            assert!(refused && read <= 100 << 10, "{read}");
        }
    }
}
