//! Which schema a file has, judged without touching the file, and bringing it up to date.
//!
//! Invariant: a file is migrated only after [`inspect`] has accepted it through a read-only connection: it has the
//! tables, checks and triggers of the migrations that it names, and no others.

use super::{
    OpenError,
    connection::{self, classify},
    rows,
};
use crate::domain::Version;
use sqlx::{Connection, SqliteConnection, migrate::Migrator};
use std::{collections::BTreeSet, path::Path};

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
    let found = objects(reader).await.map_err(|error| classify(path, error))?;
    // Of a table and not of a view, which could be anything and take any time.
    let is_table = |object: &Object| object.name == MIGRATIONS && object.kind == "table";
    if !found.iter().any(is_table) {
        return Err(damaged("it is a database, but not one of this program".into()));
    }
    let applied: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version LIMIT 1000")
            .fetch_all(&mut *reader)
            .await
            .map_err(|error| classify(path, error))?;
    let known = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest = applied.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    if newest > known {
        return Err(OpenError::NewerSchema { path: path.into(), found: newest, known });
    }
    for (version, checksum, success) in &applied {
        let migration = MIGRATOR.iter().find(|migration| migration.version == *version);
        if !success || migration.is_none_or(|migration| *migration.checksum != **checksum) {
            return Err(damaged(format!("its migration {version} is not the one of this program")));
        }
    }
    let expected = made_by(newest).await?;
    match found.symmetric_difference(&expected).next() {
        Some(Object { kind, name, .. }) => {
            Err(damaged(format!("the {kind} {name} is not as this program makes it")))
        }
        None => Ok(()),
    }
}

/// The table in which sqlx notes which migrations were run.
const MIGRATIONS: &str = "_sqlx_migrations";

/// More than any schema of ours has.
const MAX_OBJECTS: i64 = 1000;

/// A table, index, trigger or view, and the statement that made it. A trigger more, and a file would do what no record
/// says; a check less, and it would take what no record can say.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
struct Object {
    kind: String,
    name: String,
    on_table: String,
    made_by: Option<String>,
}

/// All but the statistics that SQLite may have been asked to keep.
async fn objects(connection: &mut SqliteConnection) -> Result<BTreeSet<Object>, sqlx::Error> {
    let all: Vec<Object> = sqlx::query_as(
        "SELECT type AS kind, name, tbl_name AS on_table, sql AS made_by FROM sqlite_schema
         WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' LIMIT ?1",
    )
    .bind(MAX_OBJECTS)
    .fetch_all(connection)
    .await?;
    Ok(all.into_iter().collect())
}

/// What a file has after the migrations up to `version`.
async fn made_by(version: i64) -> Result<BTreeSet<Object>, OpenError> {
    let path = Path::new(":memory:");
    let some = MIGRATOR.iter().filter(|migration| migration.version <= version).cloned().collect();
    let mut memory = SqliteConnection::connect(":memory:").await.map_err(|error| classify(path, error))?;
    run(&Migrator::with_migrations(some), path, &mut memory).await?;
    let objects = objects(&mut memory).await.map_err(|error| classify(path, error))?;
    memory.close().await.map_err(|error| classify(path, error))?;
    Ok(objects)
}

/// Runs the migrations that are missing, each in a transaction of its own.
pub(super) async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    run(&MIGRATOR, path, connection).await
}

async fn run(migrator: &Migrator, path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|error| OpenError::Other { path: path.into(), source: sqlx::Error::from(error).into() })
}
