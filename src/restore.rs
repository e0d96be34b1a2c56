//! `bazar restore`: a data directory that begins with what a backup holds.
//!
//! Invariants: nothing is restored over anything. What cannot be proved to be whole is not restored, and leaves
//! the directory as empty as it was. The node is a new one; it is the master of the store only if that was
//! asked for, because whatever was acknowledged after the backup is lost then.

use crate::backup::{end_of, rate};
use crate::domain::Sha256Sum;
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::store::{Contents, Incoming, OpenError, Restoring};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The unit in which the file is copied.
const CHUNK: usize = 1 << 20;

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub file: PathBuf,
    pub data: PathBuf,
    /// The store goes on from here.
    pub as_master: bool,
    /// A file that does not end with its sum will do.
    pub no_sum: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{} cannot be read: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} does not end with a sum: it is no backup, or not a whole one. --no-sum takes it all the same, for the \
         file of a node that was stopped", .0.display()
    )]
    NoSum(PathBuf),
    #[error("{} is damaged: its content is not what its sum was made of", .0.display())]
    Altered(PathBuf),
    #[error(
        "{} has not everything, {} is beside it: start that node and stop it, or take a backup of it", 
        .path.display(), .beside.display()
    )]
    Beside { path: PathBuf, beside: PathBuf },
    #[error("{} cannot be restored: {source}", .path.display())]
    Unusable { path: PathBuf, source: OpenError },
    #[error(transparent)]
    Directory(OpenError),
    #[error("{} cannot be written: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("stopped, and nothing was restored")]
    Stopped,
}

impl Config {
    /// Returns what to tell the operator.
    pub async fn run(self, stop: Shutdown) -> Result<String, RestoreError> {
        let source = Source::open(&self.file, self.no_sum)?;
        let restoring = Restoring::begin(&self.data).map_err(RestoreError::Directory)?;
        let node = restoring.node();
        let restored = tokio::select! {
            restored = self.fill(source, restoring) => restored?,
            () = stop.cancelled() => return Err(RestoreError::Stopped),
        };
        let next = match self.as_master {
            true => format!(
                "what was acknowledged after that is lost as soon as it starts: \
                 bazar catalog --master --data {}",
                self.data.display()
            ),
            false => format!(
                "it is a replica's data: bazar catalog --replica --data {} --master-url URL",
                self.data.display()
            ),
        };
        Ok(format!("{}: node {node}, {}; {next}", self.data.display(), restored.told()))
    }

    async fn fill(&self, source: Source, restoring: Restoring) -> Result<Contents, RestoreError> {
        let incoming = restoring.receive().map_err(RestoreError::Directory)?;
        self.copy(source, &incoming).await?;
        let unusable = |source| RestoreError::Unusable { path: self.file.clone(), source };
        incoming.install().await.map_err(unusable)?;
        restoring.finish(self.as_master).await.map_err(RestoreError::Directory)
    }

    async fn copy(&self, source: Source, incoming: &Incoming) -> Result<(), RestoreError> {
        let Source { file, length, sum } = source;
        let not_readable = |source| RestoreError::Read { path: self.file.clone(), source };
        let not_writable = |source| RestoreError::Write { path: self.data.clone(), source };
        let mut from = File::from_std(file);
        from.rewind().await.map_err(not_readable)?;
        let mut to = File::from_std(incoming.create().map_err(not_writable)?);
        let (mut found, mut progress) = (Sha256::new(), Progress::new(Some(length)));
        let (mut chunk, mut done) = (bytes::BytesMut::with_capacity(CHUNK), 0);
        let mut from = from.take(length);
        while from.read_buf(&mut chunk).await.map_err(not_readable)? > 0 {
            found.update(&chunk);
            to.write_all(&chunk).await.map_err(not_writable)?;
            done += chunk.len() as u64;
            progress.at(done, |seconds| rate(done, seconds));
            chunk.clear();
        }
        to.flush().await.map_err(not_writable)?;
        progress.end();
        let found = Sha256Sum(found.finalize().into());
        // A file that became shorter meanwhile has another sum, too.
        match sum.is_none_or(|sum| sum == found) {
            true => Ok(()),
            false => Err(RestoreError::Altered(self.file.clone())),
        }
    }
}

/// The copy that is in a file.
struct Source {
    file: std::fs::File,
    length: u64,
    /// `None`: nobody says.
    sum: Option<Sha256Sum>,
}

impl Source {
    fn open(path: &Path, no_sum: bool) -> Result<Self, RestoreError> {
        let not_readable = |source| RestoreError::Read { path: path.into(), source };
        let mut file = std::fs::File::open(path).map_err(not_readable)?;
        if let Some((length, sum)) = end_of(&mut file).map_err(not_readable)? {
            return Ok(Self { file, length, sum: Some(sum) });
        }
        if !no_sum {
            return Err(RestoreError::NoSum(path.into()));
        }
        // What a node that was killed has committed last lies there, and a transaction that it did not end.
        for end in ["-wal", "-journal"] {
            let mut beside = path.as_os_str().to_owned();
            beside.push(end);
            let beside = PathBuf::from(beside);
            if beside.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                return Err(RestoreError::Beside { path: path.into(), beside });
            }
        }
        let length = file.metadata().map_err(not_readable)?.len();
        Ok(Self { file, length, sum: None })
    }
}
