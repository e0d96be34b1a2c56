//! What can go wrong. [`OpenError`]: a data directory cannot be used, said in one sentence for the
//! operator, and nothing in it was changed. [`StoreError`]: a statement on an open store failed.

use crate::domain::{Invalid, RangeDigest, Version};
use crate::metrics::StoreFault;
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row breaks a constraint of the schema: one request of the batch is impossible.
    #[error("a constraint of the schema refused the change")]
    Constraint(#[source] sqlx::Error),
    /// A record does not follow what is there. Nothing was applied.
    #[error("the record does not follow {position}")]
    NotNext { position: Version },
    /// The disk is full, read-only or broken. Nothing was written.
    #[error("the disk refused the write")]
    Full(#[source] sqlx::Error),
    /// A commit failed in such a way that only the next open can tell whether it happened.
    #[error("whether a commit happened is not known")]
    InDoubt(#[source] sqlx::Error),
    /// The rows here are not those that the record was made from. Nothing was applied.
    #[error("the rows differ from the master's: {0}")]
    Diverged(Box<RangeDigest>),
    /// This writer has written its last record, the seal.
    #[error("the log is sealed for its heir")]
    Sealed,
    /// No connection, or no lock, within the time limit.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// What is stored, or the record to be applied, contradicts itself.
    #[error("the data is damaged: {0}")]
    Corrupt(String),
    /// The caller broke the order of calls that [`Writer`](super::Writer) asks for.
    #[error("{0}")]
    Misuse(&'static str),
    #[error("a file could not be read or written")]
    Io(#[from] io::Error),
    #[error("the database failed")]
    Other(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the writer that gave this does nothing any more: the file must be opened anew.
    pub fn ends_writer(&self) -> bool {
        matches!(self, Self::InDoubt(_) | Self::Misuse(_))
    }

    /// As it is counted.
    pub fn fault(&self) -> StoreFault {
        match self {
            Self::Full(error) if primary_code(error) == Some(libsqlite3_sys::SQLITE_FULL) => StoreFault::Full,
            Self::Full(_) | Self::Io(_) => StoreFault::Io,
            Self::Busy(_) => StoreFault::Busy,
            Self::Constraint(_) => StoreFault::Constraint,
            Self::Corrupt(_) | Self::Diverged(_) => StoreFault::Corrupt,
            Self::InDoubt(_) => StoreFault::InDoubt,
            Self::NotNext { .. } | Self::Sealed | Self::Misuse(_) | Self::Other(_) => StoreFault::Other,
        }
    }

    /// What a COMMIT that failed with `error` has left behind, in WAL mode.
    ///
    /// COMMIT appends the changed pages to the WAL, the last one with the mark of the commit, syncs the
    /// WAL, and moves the end of the log in the shared index. Only a `write` that fails before the sync
    /// gives these two codes (a sync has codes of its own, the index too, and a checkpoint's failure is not
    /// reported by COMMIT). SQLite has then rolled back: the end in the index has not moved, so no reader
    /// of this process or another sees the pages, and the next commit writes over them from the same place.
    /// Only after a crash before that could a page be taken for whole of which just the bytes are missing
    /// that the file had there before. So what fails here is not durable while this process lives, and
    /// cannot come back behind anything that was committed later.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        match extended_code(&error) {
            Some(libsqlite3_sys::SQLITE_FULL | libsqlite3_sys::SQLITE_IOERR_WRITE) => Self::Full(error),
            _ => Self::InDoubt(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy(error);
        }
        match primary_code(&error) {
            Some(libsqlite3_sys::SQLITE_CONSTRAINT) => Self::Constraint(error),
            Some(
                libsqlite3_sys::SQLITE_FULL
                | libsqlite3_sys::SQLITE_IOERR
                | libsqlite3_sys::SQLITE_READONLY
                | libsqlite3_sys::SQLITE_CANTOPEN,
            ) => Self::Full(error),
            Some(
                libsqlite3_sys::SQLITE_BUSY
                | libsqlite3_sys::SQLITE_LOCKED
                | libsqlite3_sys::SQLITE_INTERRUPT,
            ) => Self::Busy(error),
            Some(libsqlite3_sys::SQLITE_CORRUPT | libsqlite3_sys::SQLITE_NOTADB) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Other(error),
        }
    }
}

impl From<Invalid> for StoreError {
    fn from(invalid: Invalid) -> Self {
        Self::Corrupt(invalid.0)
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// SQLite's result code without its extension. sqlx's `kind()` knows some constraints only (not the wrong
/// type in a STRICT column), and its `constraint()` none.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    Some(extended_code(error)? & 0xff)
}

fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by {holder}", .path.display())]
    Locked { path: PathBuf, holder: String },
    #[error("{} cannot be written: {source}", .path.display())]
    NotWritable { path: PathBuf, source: io::Error },
    #[error("{} cannot be read: {source}", .path.display())]
    NotReadable { path: PathBuf, source: io::Error },
    #[error("{} holds no store yet", .path.display())]
    Empty { path: PathBuf },
    #[error("{} is not a SQLite database", .path.display())]
    NotADatabase { path: PathBuf },
    #[error("{} has schema {found}, but this program knows schemas up to {known} only", .path.display())]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error("SQLite {found} is too old: before 3.51.3 it can lose committed data")]
    OldSqlite { found: String },
    #[error("{} cannot be used: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("a snapshot is being received into {} already", .path.display())]
    Receiving { path: PathBuf },
    #[error(
        "a restore into {} was broken off: nothing starts on it until the restore was run again", .path.display()
    )]
    HalfRestored { path: PathBuf },
    #[error("{} is not empty, \"{found}\" is in it: a backup is restored into a new directory", .path.display())]
    NotEmpty { path: PathBuf, found: String },
    #[error("{} cannot be opened: {source}", .path.display())]
    Other { path: PathBuf, source: StoreError },
}
