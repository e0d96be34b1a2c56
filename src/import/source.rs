//! Where the lines come from: a file or standard input.

use super::ImportError;
use crate::intake::Lines;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An input, not read yet.
pub struct Source {
    pub lines: Lines,
    /// How many bytes there are, where that is known, and how many of them were read.
    pub bytes: Option<u64>,
    pub read: Arc<AtomicU64>,
}

/// `None`: standard input.
pub fn open(path: Option<&Path>) -> Result<Source, ImportError> {
    let Some(path) = path else { return Ok(counted(io::stdin(), None)) };
    let failed = |source| ImportError::Open { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(counted(file, bytes))
}

fn counted(input: impl Read + Send + 'static, bytes: Option<u64>) -> Source {
    let read = Arc::new(AtomicU64::new(0));
    Source { lines: Lines::new(Counting { input, read: Arc::clone(&read) }), bytes, read }
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
