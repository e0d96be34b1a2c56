//! Whole copies of the store: made for a replica that is too far behind, and taken in by one.
//!
//! Invariant: a copy becomes the store only when it is on disk, intact and of a schema that this program
//! knows; until then, and if anything fails, the store is the one from before.

use super::{
    OpenError, Store, StoreError, connection,
    directory::{DATABASE, Held, remove_dir, sync_dir},
    private, rows,
    schema::{self, Inspection},
};
use crate::domain::{Sha256Sum, Version};
use sha2::{Digest, Sha256};
use sqlx::Connection;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

impl Store {
    /// Writes a compact copy to `to`, which must not exist yet, durably, beside reads and writes that go
    /// on. The version is the copy's own.
    pub async fn export(&self, to: &Path) -> Result<Version, StoreError> {
        let target = to.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
        // SQLite takes an empty file for none, and would make one that everybody can read.
        private::create_new(to)?;
        // A connection of its own: it is busy for as long as the copy takes.
        let mut source = connection::reader(self.path()).await?;
        let copied = sqlx::query("VACUUM INTO ?1").bind(target).execute(&mut source).await;
        source.close().await?;
        copied?;
        tokio::fs::File::open(to).await?.sync_all().await?;
        let mut copy = connection::reader(to).await?;
        let version = rows::position(&mut copy).await;
        copy.close().await?;
        version
    }
}

/// A snapshot on its way in. Dropped before it is installed, it leaves nothing behind.
#[derive(Debug)]
pub struct Incoming {
    held: Arc<Held>,
    dir: PathBuf,
    file: PathBuf,
}

impl Incoming {
    pub(super) fn new(held: Arc<Held>, dir: PathBuf) -> Result<Self, OpenError> {
        if held.receiving.swap(true, Ordering::AcqRel) {
            return Err(OpenError::Receiving { path: held.dir.clone() });
        }
        let incoming = Incoming { held, file: dir.join(DATABASE), dir };
        remove_dir(&incoming.dir)
            .and_then(|()| private::create_dir(&incoming.dir))
            .map_err(|source| OpenError::NotWritable { path: incoming.dir.clone(), source })?;
        Ok(incoming)
    }

    /// Where the file is, or is to be.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Makes the file to write, which does not exist yet.
    pub fn create(&self) -> io::Result<fs::File> {
        private::create_new(&self.file)
    }

    /// Whether what was written is, byte for byte, what was announced.
    pub async fn check(&self, announced: Sha256Sum) -> Result<(), OpenError> {
        let path = self.file.clone();
        let not_readable = |source| OpenError::NotReadable { path, source };
        match sha256_of(self.file.clone()).await.map_err(not_readable)? {
            written if written == announced => Ok(()),
            _ => {
                let why = "it is not what its sender announced".into();
                Err(OpenError::Damaged { path: self.file.clone(), why })
            }
        }
    }

    /// Checks what was written and makes it what the next [`open`](super::DataDir::open) opens; gives its
    /// version. The store that is open goes on with the old file, which that open removes.
    pub async fn install(self) -> Result<Version, OpenError> {
        let not_readable = |source| OpenError::NotReadable { path: self.file.clone(), source };
        let file = tokio::fs::File::open(&self.file).await.map_err(not_readable)?;
        file.sync_all().await.map_err(not_readable)?;
        let version = schema::inspect(&self.file, Inspection::Thorough).await?;
        sync_dir(&self.dir).map_err(not_readable)?;
        self.held.install(&self.dir)?;
        Ok(version)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one.
        remove_dir(&self.dir).ok();
        self.held.receiving.store(false, Ordering::Release);
    }
}

/// The sum of a whole file, read on a thread of its own.
pub async fn sha256_of(file: PathBuf) -> io::Result<Sha256Sum> {
    let read = move || {
        let mut sum = Sha256::new();
        io::copy(&mut fs::File::open(file)?, &mut IntoSum(&mut sum))?;
        Ok(Sha256Sum(sum.finalize().into()))
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

struct IntoSum<'a>(&'a mut Sha256);

impl io::Write for IntoSum<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
