//! Whole copies of a node's file, made beside reads and writes, and sent: for a replica that is too far behind,
//! and for safekeeping.
//!
//! Invariants: one is made at a time, also when who wanted it has gone, and few are on their way; what is announced
//! of it is what is sent; its file is gone from the data directory when it has been sent, and when it has not.

use super::reads::Reads;
use crate::domain::Sha256Sum;
use crate::store::{Store, StoreError, sha256_of};
use crate::wire::{ErrorCode, Problem, headers};
use actix_web::HttpResponse;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// In the data directory, which has room for it if the disk has.
const FILE: &str = "export.db";

/// The unit in which a copy is sent.
const CHUNK: usize = 64 << 10;

/// Copies on their way at once: each holds as much of the disk as the file until its reader has it, and a reader may be
/// slow.
const UNDER_WAY: usize = 3;

/// A node's permission to make copies.
pub struct Copies {
    file: PathBuf,
    /// Each reads the whole file, and writes as much.
    one_at_a_time: Arc<Semaphore>,
    under_way: Arc<Semaphore>,
}

impl Copies {
    pub fn new(data: &Path) -> Self {
        let (one_at_a_time, under_way) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(UNDER_WAY)));
        Self { file: data.join(FILE), one_at_a_time, under_way }
    }

    /// Refused while another one is made, or too many are being sent.
    pub fn begin(&self) -> Result<Copying, Problem> {
        let take = |permits: &Arc<Semaphore>| {
            Arc::clone(permits).try_acquire_owned().map_err(|_| ErrorCode::Unavailable)
        };
        let (turn, room) = (take(&self.one_at_a_time)?, take(&self.under_way)?);
        Ok(Copying { file: self.file.clone(), room, turn })
    }
}

/// The turn to make a copy.
pub struct Copying {
    file: PathBuf,
    room: OwnedSemaphorePermit,
    turn: OwnedSemaphorePermit,
}

impl Copying {
    /// A copy of what `store` holds now, which is what `reads` answer from.
    pub async fn of(self, reads: &Reads, store: &Arc<Store>) -> Result<Copy, Problem> {
        // On its own: SQLite copies to the end whoever hangs up meanwhile, so the turn must last as long.
        match actix_web::rt::spawn(self.made(Arc::clone(store))).await {
            Ok(Ok(copy)) => Ok(copy),
            Ok(Err(NotMade::Store(error))) => Err(reads.unavailable(&error)),
            Ok(Err(NotMade::Unreadable(error))) => {
                log::error!("a copy cannot be read back: {error}");
                Err(ErrorCode::Unavailable.into())
            }
            Err(_) => Err(ErrorCode::Internal.into()),
        }
    }

    async fn made(self, store: Arc<Store>) -> Result<Copy, NotMade> {
        let Self { file, room, turn: _turn } = self;
        let made = Made(&file);
        // What a process that was killed has left.
        made.remove();
        store.export(made.0).await.map_err(NotMade::Store)?;
        let opened = async {
            let file = File::open(made.0).await?;
            let length = file.metadata().await?.len();
            let sum = sha256_of(made.0.into()).await?;
            Ok(Copy { file, length, sum, room })
        };
        // From here on the name is not needed: what is being sent goes away with its reader.
        opened.await.map_err(NotMade::Unreadable)
    }
}

/// Why there is no copy.
enum NotMade {
    Store(StoreError),
    Unreadable(io::Error),
}

/// A copy on this node's disk, without a name.
pub struct Copy {
    file: File,
    length: u64,
    sum: Sha256Sum,
    /// Given back when its reader has it, or has gone.
    room: OwnedSemaphorePermit,
}

impl Copy {
    /// The answer that it is the body of.
    pub fn send(self) -> HttpResponse {
        let chunks =
            futures_util::stream::try_unfold((self.file, self.room), |(mut file, room)| async move {
                let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
                let read = file.read_buf(&mut chunk).await?;
                Ok::<_, io::Error>((read > 0).then(|| (chunk.freeze(), (file, room))))
            });
        let mut answer = HttpResponse::Ok();
        answer.insert_header((headers::BAZAR_SHA256, self.sum.to_string()));
        answer.no_chunking(self.length).streaming(chunks)
    }
}

/// A file that goes away with its owner, also when that ends half way.
struct Made<'a>(&'a Path);

impl Made<'_> {
    fn remove(&self) {
        match std::fs::remove_file(self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("{} cannot be removed: {error}", self.0.display());
            }
            _ => {}
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DataDir;

    #[actix_web::test]
    async fn who_hangs_up_leaves_no_turn_to_others_before_his_copy_is_made() {
        let data = tempfile::tempdir().unwrap();
        let dir = DataDir::lock(data.path(), "test").unwrap();
        let (store, writer) = dir.open(1).await.unwrap();
        let (store, copies) = (Arc::new(store), Copies::new(data.path()));
        let making = actix_web::rt::spawn(copies.begin().unwrap().made(Arc::clone(&store)));
        assert!(copies.begin().is_err());
        // It has begun, and nobody waits for it any more.
        tokio::task::yield_now().await;
        drop(making);
        assert!(copies.begin().is_err());
        let turn = Arc::clone(&copies.one_at_a_time).acquire_owned().await.unwrap();
        assert!(!copies.file.exists(), "it is gone with who wanted it");
        assert_eq!(copies.under_way.available_permits(), UNDER_WAY);
        drop(turn);
        assert!(copies.begin().is_ok());
        drop((store, writer));
    }
}
