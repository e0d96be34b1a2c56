//! How each connection to SQLite is set up.
//!
//! Invariant: no writer connection exists that is not WAL, synchronous=FULL and foreign_keys=ON; each
//! was asked for its settings after they were made.

use super::{OpenError, error::primary_code, private};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, time::Duration};

/// How long a statement waits for another connection's lock. There is one writer, so only a checkpoint
/// or a tool that looks into the file can be in the way.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a read waits for a free connection before the node says that it is busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// A statement that takes longer is worth a line in the log of the process.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// Page cache of the writer and of one reader, in KiB: the working set is the tops of a few trees, and
/// the operating system caches the file as well. The writer's holds what one part of an import changes.
const WRITER_CACHE_KIB: u32 = 8192;
const READER_CACHE_KIB: u32 = 1024;

/// Pages of the WAL after which they are moved into the file: 16 MB. An import changes the same pages in every
/// part, and each is moved once.
const CHECKPOINT_PAGES: &str = "4096";

/// What the WAL is cut back to after a large transaction, in bytes.
const WAL_LIMIT: &str = "33554432";

/// Rows that a connection's thread reads ahead. A row of the log can have 100 KB.
const ROWS_AHEAD: usize = 16;

/// The first SQLite without the WAL-reset bug.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

fn options(path: &Path, cache_kib: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_AHEAD)
        .pragma("cache_size", format!("-{cache_kib}"))
        // A file may come from somewhere else (a snapshot, a backup), with functions in its schema that reach out of it.
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
        .log_slow_statements(log::LevelFilter::Warn, SLOW_STATEMENT)
}

/// A connection that makes a new file, in the journal mode of a file that is still alone.
pub(super) async fn create(path: &Path) -> Result<SqliteConnection, OpenError> {
    // SQLite gives its other files the mode of this one.
    private::create_new(path).map_err(|source| OpenError::NotWritable { path: path.into(), source })?;
    let connection = options(path, WRITER_CACHE_KIB).connect().await;
    let mut connection = connection.map_err(|error| classify(path, error))?;
    refuse_old_sqlite(path, &mut connection).await?;
    Ok(connection)
}

/// Lets SQLite take back what a crash interrupted while the file had a rollback journal: a fresh file or a
/// snapshot has one at the moment when it is turned to WAL. A read-only connection must not, and fails for
/// ever. Without such a journal the file is not touched.
pub(super) async fn recover(path: &Path) -> Result<(), OpenError> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if !Path::new(&journal).exists() {
        return Ok(());
    }
    let connection = options(path, WRITER_CACHE_KIB).connect().await;
    let mut connection = connection.map_err(|error| classify(path, error))?;
    // The first look at the file is what rolls back.
    let looked = sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await;
    connection.close().await.map_err(|error| classify(path, error))?;
    looked.map(drop).map_err(|error| classify(path, error))
}

/// A connection of its own that can change nothing.
pub(super) async fn reader(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path, READER_CACHE_KIB).read_only(true).connect().await
}

pub(super) async fn readers(path: &Path, count: u32) -> Result<SqlitePool, OpenError> {
    SqlitePoolOptions::new()
        .max_connections(count.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A connection is a thread of this process: it does not go stale, and a ping would double the
        // cost of a read.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path, READER_CACHE_KIB).read_only(true))
        .await
        .map_err(|error| classify(path, error))
}

pub(super) async fn writer(path: &Path) -> Result<SqliteConnection, OpenError> {
    let connection = options(path, WRITER_CACHE_KIB)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("journal_size_limit", WAL_LIMIT)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .connect()
        .await;
    let mut connection = connection.map_err(|error| classify(path, error))?;
    match assert_usable(path, &mut connection).await {
        Ok(()) => Ok(connection),
        Err(error) => {
            connection.close().await.ok();
            Err(error)
        }
    }
}

async fn assert_usable(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    // SQLite opens a write-protected file for reading only, and says so at the first write.
    sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK")
        .execute(&mut *connection)
        .await
        .map_err(|error| classify(path, error))?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| classify(path, error))?;
    let mut wrong = Vec::new();
    if journal != "wal" {
        wrong.push(format!("journal_mode={journal}"));
    }
    for (pragma, query, wanted) in [
        ("synchronous", "PRAGMA synchronous", 2),
        ("foreign_keys", "PRAGMA foreign_keys", 1),
        ("busy_timeout", "PRAGMA busy_timeout", BUSY_TIMEOUT.as_millis() as i64),
    ] {
        let found: i64 = sqlx::query_scalar(query)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| classify(path, error))?;
        if found != wanted {
            wrong.push(format!("{pragma}={found}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let why = format!("SQLite insists on {} here", wrong.join(", "));
    Err(OpenError::Damaged { path: path.into(), why })
}

pub(super) async fn refuse_old_sqlite(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<(), OpenError> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(connection)
        .await
        .map_err(|error| classify(path, error))?;
    if is_safe(&found) { Ok(()) } else { Err(OpenError::OldSqlite { found }) }
}

fn is_safe(sqlite_version: &str) -> bool {
    let numbers: Vec<u32> = sqlite_version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.as_slice() >= OLDEST_SQLITE.as_slice()
}

/// What a failed first look at a file says about the file.
pub(super) fn classify(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_path_buf();
    match primary_code(&error) {
        Some(libsqlite3_sys::SQLITE_NOTADB) => OpenError::NotADatabase { path },
        Some(libsqlite3_sys::SQLITE_CANTOPEN | libsqlite3_sys::SQLITE_READONLY) => {
            OpenError::NotWritable { path, source: std::io::Error::other(error.to_string()) }
        }
        Some(libsqlite3_sys::SQLITE_CORRUPT) => OpenError::Damaged { path, why: error.to_string() },
        _ => OpenError::Other { path, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn an_sqlite_that_can_lose_commits_is_refused() {
        for version in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(is_safe(version), "{version}");
        }
        for version in ["3.51.2", "3.50.9", "3.9.0", "3", ""] {
            assert!(!is_safe(version), "{version}");
        }
    }
}
