//! What a data directory holds, row by row.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;

/// Each table's rows as JSON arrays of all its columns, sorted.
pub type Rows = BTreeMap<&'static str, Vec<String>>;

const TABLES: [&str; 8] =
    ["books", "orders", "answers", "epochs", "log", "topics", "imports", "edit_answers"];

/// Of the log, what every node keeps: each trims its own.
const RECORDS: u64 = 1_000;

/// Changes the file of a directory by hand.
pub fn alter(dir: &Path, sql: &'static str) {
    let file = bazar::store::current_file(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// The first record that the log of a directory still has; a process may use it.
pub fn oldest_record(dir: &Path) -> i64 {
    let file = bazar::store::current_file(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query_scalar("SELECT min(seq) FROM log").fetch_one(&mut connection).await.unwrap()
    })
}

/// The newest migration of a directory.
pub fn schema(dir: &Path) -> i64 {
    let file = bazar::store::current_file(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let newest = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
        newest.fetch_one(&mut connection).await.unwrap()
    })
}

/// Of a directory that no process uses.
pub fn rows(dir: &Path) -> Rows {
    let file = bazar::store::current_file(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let mut rows = Rows::new();
        for table in TABLES {
            let columns: String = sqlx::query_scalar(
                "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(?) ORDER BY cid)",
            )
            .bind(table)
            .fetch_one(&mut connection)
            .await
            .unwrap();
            let kept = match table {
                "log" => format!("WHERE seq > (SELECT max(seq) FROM log) - {RECORDS}"),
                _ => String::new(),
            };
            let query = format!("SELECT json_array({columns}) AS row FROM {table} {kept} ORDER BY row");
            rows.insert(
                table,
                sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap(),
            );
        }
        connection.close().await.unwrap();
        rows
    })
}
