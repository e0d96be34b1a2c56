//! Files by which others find a store that runs in one process.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that is there for as long as the store runs. One that a killed store has left is replaced by the next.
#[derive(Debug)]
pub struct PublishedFile(PathBuf);

impl PublishedFile {
    /// From here on it goes away with what is returned.
    pub fn of(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PublishedFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            log::warn!("{} cannot be removed: {error}", self.0.display());
        }
    }
}
