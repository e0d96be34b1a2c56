//! Which schema a file has, judged without touching the file, and bringing it up to date.
//!
//! Invariant: a file is migrated only after [`inspect`] has accepted it through a read-only connection.

use super::{
    OpenError,
    connection::{self, classify},
    rows,
};
use crate::domain::Version;
use sqlx::{Connection, SqliteConnection, migrate::Migrator};
use std::path::Path;

static MIGRATOR: Migrator = sqlx::migrate!();

/// How thorough [`inspect`] is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inspection {
    /// The schema and the position: for a file that this program wrote and SQLite kept.
    Quick,
    /// Every page and row as well: for a file that came from somewhere else.
    Thorough,
}

/// Where the file at `path` stands; an error unless this program can open it.
pub(super) async fn inspect(path: &Path, inspection: Inspection) -> Result<Version, OpenError> {
    let mut reader = connection::reader(path).await.map_err(|error| classify(path, error))?;
    let found = judge(path, &mut reader, inspection).await;
    reader.close().await.map_err(|error| classify(path, error))?;
    found
}

async fn judge(
    path: &Path,
    reader: &mut SqliteConnection,
    inspection: Inspection,
) -> Result<Version, OpenError> {
    let damaged = |why: String| OpenError::Damaged { path: path.into(), why };
    connection::refuse_old_sqlite(path, reader).await?;
    judge_schema(path, reader).await?;
    if inspection == Inspection::Thorough {
        let verdict: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(&mut *reader)
            .await
            .map_err(|error| classify(path, error))?;
        if verdict != "ok" {
            return Err(damaged(verdict));
        }
        let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut *reader).await;
        if dangling.map_err(|error| classify(path, error))?.is_some() {
            return Err(damaged("an answer names an order that is not there".into()));
        }
    }
    rows::position(reader).await.map_err(|source| OpenError::Other { path: path.into(), source })
}

async fn judge_schema(path: &Path, reader: &mut SqliteConnection) -> Result<(), OpenError> {
    let damaged = |why: String| OpenError::Damaged { path: path.into(), why };
    let ours: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *reader)
        .await
        .map_err(|error| classify(path, error))?;
    if ours == 0 {
        return Err(damaged("it is a database, but not one of this program".into()));
    }
    let applied: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *reader)
            .await
            .map_err(|error| classify(path, error))?;
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = applied.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    if found > known {
        return Err(OpenError::NewerSchema { path: path.into(), found, known });
    }
    for (version, checksum, success) in &applied {
        let migration = MIGRATOR.iter().find(|migration| migration.version == *version);
        if !success || migration.is_none_or(|migration| *migration.checksum != **checksum) {
            return Err(damaged(format!("its migration {version} is not the one of this program")));
        }
    }
    Ok(())
}

/// Runs the migrations that are missing, each in a transaction of its own.
pub(super) async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    MIGRATOR
        .run_direct(None, connection, false)
        .await
        .map_err(|error| OpenError::Other { path: path.into(), source: sqlx::Error::from(error).into() })
}
