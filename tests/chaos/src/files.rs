//! What the data directories hold after a clean stop, row by row.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Tables that every catalog node holds alike.
const TABLES: [&str; 3] = ["books", "orders", "answers"];

/// What differs at most is said so often.
const MAX_SHOWN: usize = 5;

/// Rows of one table, as JSON arrays of all columns, in the order of the rows themselves.
type Rows = Vec<String>;

/// Compares every replica's rows with the master's, and looks for every order that was acknowledged.
/// Returns what is wrong, in words, and how many orders the master holds.
pub fn compare(
    master: &Path,
    replicas: &[PathBuf],
    orders: &HashSet<u64>,
) -> Result<(Vec<String>, usize), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut wrong = Vec::new();
        let mut held = 0;
        for table in TABLES {
            let rows = rows(master, table).await?;
            if table == "orders" {
                held = rows.len();
                wrong.extend(missing(&rows, orders)?);
            }
            for replica in replicas {
                let others = self::rows(replica, table).await?;
                wrong.extend(differences(table, replica, &rows, &others));
            }
        }
        Ok((wrong, held))
    })
}

fn differences(table: &str, replica: &Path, master: &Rows, others: &Rows) -> Vec<String> {
    if master == others {
        return Vec::new();
    }
    let (ours, theirs): (HashSet<&String>, HashSet<&String>) =
        (master.iter().collect(), others.iter().collect());
    let name = replica.file_name().unwrap_or_default().to_string_lossy();
    let only = |of: &HashSet<&String>, other: &HashSet<&String>, whose: &str| -> Vec<String> {
        let rows: Vec<_> = of.difference(other).take(MAX_SHOWN).collect();
        rows.into_iter().map(|row| format!("{name}: only {whose} has in {table}: {row}")).collect()
    };
    let mut wrong = only(&ours, &theirs, "the master");
    wrong.extend(only(&theirs, &ours, "the replica"));
    wrong
}

fn missing(rows: &Rows, orders: &HashSet<u64>) -> Result<Vec<String>, String> {
    let mut held = HashSet::new();
    for row in rows {
        let columns: Vec<serde_json::Value> = serde_json::from_str(row).map_err(|error| error.to_string())?;
        let id = columns.first().and_then(|id| id.as_str()).ok_or("an order has no id")?;
        held.insert(crate::truth::short(id));
    }
    let lost = orders.difference(&held).count();
    Ok(if lost == 0 {
        Vec::new()
    } else {
        vec![format!("{lost} acknowledged orders are not in the master's file")]
    })
}

async fn rows(dir: &Path, table: &str) -> Result<Rows, String> {
    let current = std::fs::read_to_string(dir.join("CURRENT"))
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let file = dir.join(current.trim()).join("bazar.db");
    let wrong = |error: sqlx::Error| format!("{}: {error}", file.display());
    let options = SqliteConnectOptions::new().filename(&file).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(wrong)?;
    let columns: String = sqlx::query_scalar(
        "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(?) ORDER BY cid)",
    )
    .bind(table)
    .fetch_one(&mut connection)
    .await
    .map_err(wrong)?;
    let query = format!("SELECT json_array({columns}) AS row FROM {table} ORDER BY 1");
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut connection).await.map_err(wrong)?;
    connection.close().await.map_err(wrong)?;
    rows.into_iter().map(|row| row.try_get::<String, _>(0).map_err(|error| error.to_string())).collect()
}
