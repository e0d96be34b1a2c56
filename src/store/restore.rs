//! A data directory that begins with a copy of another node's file, and what a copy holds.
//!
//! Invariants: a directory that holds anything is never restored into. What is restored is a node of its own:
//! its identity is drawn anew, so that nobody takes it for the node that the copy was made of. Until the copy
//! is in place, intact and checked, the directory has the mark RESTORING, and starts as nothing.

use super::{
    DataDir, Incoming, OpenError, StoreError, connection,
    directory::{
        CURRENT, GENERATION, INCOMING, LOCK, NODE, current_file, draw_node, remove_dir, replace, sync_dir,
        take_lock,
    },
    rows,
    schema::{self, Inspection},
};
use crate::domain::{NodeId, Version};
use sqlx::Connection;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// While a copy is on its way into the directory.
const RESTORING: &str = "RESTORING";

/// From the restore until the first start: the store may go on from here, so that start as a master is one by
/// force.
const RESTORED: &str = "RESTORED";

/// What file systems put into an empty directory.
const LOST_AND_FOUND: &str = "lost+found";

/// What a whole copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub version: Version,
    pub books: u64,
    pub orders: u64,
}

impl Contents {
    /// For an operator: `11 books and 1 order as of 1.2 (epoch 1:2f0c9a6e41b7d508)`.
    pub fn told(&self) -> String {
        let Self { version, books, orders } = self;
        let books = if *books == 1 { "1 book".to_owned() } else { format!("{books} books") };
        let orders = if *orders == 1 { "1 order".to_owned() } else { format!("{orders} orders") };
        format!("{books} and {orders} as of {} (epoch {})", version.public(), version.epoch)
    }

    /// Of the copy at `path`, after every page and row of it was checked.
    pub async fn check(path: &Path) -> Result<Self, OpenError> {
        schema::inspect(path, Inspection::Thorough).await?;
        Self::count(path).await
    }

    async fn count(path: &Path) -> Result<Self, OpenError> {
        let mut reader = connection::reader(path).await.map_err(|error| connection::classify(path, error))?;
        let counted = async {
            let version = rows::position(&mut reader).await?;
            let (books, orders): (i64, i64) =
                sqlx::query_as("SELECT (SELECT count(*) FROM books), (SELECT count(*) FROM orders)")
                    .fetch_one(&mut reader)
                    .await?;
            Ok::<_, StoreError>(Self {
                version,
                books: books.cast_unsigned(),
                orders: orders.cast_unsigned(),
            })
        };
        let counted = counted.await;
        reader.close().await.map_err(|error| connection::classify(path, error))?;
        counted.map_err(|source| OpenError::Other { path: path.into(), source })
    }
}

/// A directory that a copy is being restored into. Dropped before it is finished, it is as empty as it was.
#[derive(Debug)]
pub struct Restoring {
    /// First: it ends while the lock is held.
    undo: Undo,
    data: DataDir,
}

#[derive(Debug)]
struct Undo {
    dir: PathBuf,
    /// Whether the directory was made for this.
    made: bool,
    finished: bool,
}

impl Restoring {
    /// Takes `dir`, which is empty or not there, or where an earlier restore was broken off; else
    /// [`OpenError::NotEmpty`].
    pub fn begin(dir: &Path) -> Result<Self, OpenError> {
        // Before anything is written: it may be anybody's.
        refuse_content(dir)?;
        let made = !dir.exists();
        let lock = take_lock(dir, "bazar restore").inspect_err(|error| {
            // The lock could not be written: nothing else is in what was made for it.
            if made && matches!(error, OpenError::NotWritable { .. }) {
                let _ = remove_file(&dir.join(LOCK)).and_then(|()| fs::remove_dir(dir));
            }
        })?;
        // Again, now that it is nobody else's.
        refuse_content(dir)?;
        let undo = Undo { dir: dir.into(), made, finished: false };
        let not_writable = |source| OpenError::NotWritable { path: dir.into(), source };
        replace(dir, RESTORING, "").and_then(|()| clear(dir)).map_err(not_writable)?;
        let data = DataDir::holding(dir, draw_node(dir)?, lock);
        Ok(Self { undo, data })
    }

    pub fn node(&self) -> NodeId {
        self.data.node()
    }

    /// Where the copy is to be written, checked and installed.
    pub fn receive(&self) -> Result<Incoming, OpenError> {
        self.data.receive()
    }

    /// What was installed is the store of this directory from now on. `as_master`: its first start as a master
    /// needs no other permission.
    pub async fn finish(mut self, as_master: bool) -> Result<Contents, OpenError> {
        let dir = self.data.path();
        let contents = Contents::count(&current_file(dir)?).await?;
        let marked = || {
            if as_master {
                replace(dir, RESTORED, &format!("{}\n", contents.version))?;
            }
            remove_file(&dir.join(RESTORING))?;
            sync_dir(dir)
        };
        marked().map_err(|source| OpenError::NotWritable { path: dir.into(), source })?;
        self.undo.finished = true;
        Ok(contents)
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // What cannot be removed now keeps the mark, and is removed by the next restore.
        let emptied = match self.made {
            true => remove_dir(&self.dir),
            false => clear(&self.dir).and_then(|()| remove_file(&self.dir.join(RESTORING))),
        };
        if let Err(error) = emptied {
            log::warn!("{} cannot be emptied again: {error}", self.dir.display());
        }
    }
}

impl DataDir {
    /// Whether the store may go on from here, because it was restored to be the master and was not started
    /// since.
    pub fn may_go_on(&self) -> bool {
        self.path().join(RESTORED).exists()
    }

    /// From now on this is data like any other.
    pub fn forget_restored(&self) -> Result<(), OpenError> {
        let path = self.path().join(RESTORED);
        if !path.exists() {
            return Ok(());
        }
        remove_file(&path)
            .and_then(|()| sync_dir(self.path()))
            .map_err(|source| OpenError::NotWritable { path, source })
    }
}

/// An error if a restore into `dir` was broken off.
pub(super) fn refuse_half_restored(dir: &Path) -> Result<(), OpenError> {
    match dir.join(RESTORING).exists() {
        true => Err(OpenError::HalfRestored { path: dir.into() }),
        false => Ok(()),
    }
}

/// An error if there is anything in `dir` but what a start or a restore leaves that did not get far.
fn refuse_content(dir: &Path) -> Result<(), OpenError> {
    let not_readable = |source| OpenError::NotReadable { path: dir.into(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(not_readable)?,
    };
    let broken_off = dir.join(RESTORING).exists();
    for entry in entries {
        let name = entry.map_err(not_readable)?.file_name();
        let name = name.to_string_lossy();
        let plain = name.strip_suffix(".new").unwrap_or(&name);
        let harmless = [LOCK, NODE, INCOMING, LOST_AND_FOUND, RESTORING].contains(&plain);
        let half = broken_off && ([CURRENT, RESTORED].contains(&plain) || name.starts_with(GENERATION));
        if !harmless && !half {
            return Err(OpenError::NotEmpty { path: dir.into(), found: name.into() });
        }
    }
    Ok(())
}

/// Removes what a restore has made, but for its mark and the lock.
fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(GENERATION) || name == INCOMING {
            remove_dir(&entry.path())?;
        } else if [CURRENT, RESTORED, NODE].contains(&name.strip_suffix(".new").unwrap_or(&name)) {
            remove_file(&entry.path())?;
        }
    }
    sync_dir(dir)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
