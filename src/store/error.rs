//! What can go wrong. [`OpenError`]: a data directory cannot be used, said in one sentence for the
//! operator, and nothing in it was changed. [`StoreError`]: a statement on an open store failed.

use crate::domain::{Invalid, Version};
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row breaks a constraint of the schema: one request of the batch is impossible.
    #[error("a constraint of the schema refused the change")]
    Constraint(#[source] sqlx::Error),
    /// A record does not follow what is there. Nothing was applied.
    #[error("the record does not follow {position}")]
    NotNext { position: Version },
    /// The disk is full, read-only or broken.
    #[error("the disk refused the write")]
    Full(#[source] sqlx::Error),
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
            Some(libsqlite3_sys::SQLITE_BUSY | libsqlite3_sys::SQLITE_LOCKED) => Self::Busy(error),
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
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
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
    #[error("{} cannot be opened: {source}", .path.display())]
    Other { path: PathBuf, source: StoreError },
}
