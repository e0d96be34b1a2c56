//! The sqlite3 shell's own `.import`, into the store's own schema.

use crate::bench::Bench;
use crate::process::run_tool;
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A million rows take seconds.
const IMPORTED_WITHIN: Duration = Duration::from_secs(300);

/// Makes a database with every migration in it, imports the rows of `csv` (id, title, topic, stock, price_cents) in
/// the shell's one transaction with its default settings, and returns how long the import alone took.
pub fn import(bench: &Bench, csv: &Path, rows: u64) -> Result<Duration> {
    bench.setting(
        "sqlite3",
        "the shell's default settings (rollback journal, synchronous=FULL); the schema of migrations/, made before \
         the clock starts; the prices are in cents already, so that no conversion is counted",
    );
    let database = bench.path("import.db");
    let _ = fs::remove_file(&database);
    let migrations = include_str!(concat!(env!("OUT_DIR"), "/migrations.sql"));
    let schema = bench.path("schema.sql");
    fs::write(&schema, format!("{migrations}\nDELETE FROM books;\n"))?;
    shell(bench, &database, &[&format!(".read {}", schema.display())])?;
    let began = Instant::now();
    shell(bench, &database, &[&format!(".import --csv --skip 1 {} books", csv.display())])?;
    let took = began.elapsed();
    let count = shell(bench, &database, &["SELECT count(*) FROM books"])?;
    ensure!(count.trim() == rows.to_string(), "sqlite3 imported {} of {rows} rows", count.trim());
    fs::remove_file(&database)?;
    Ok(took)
}

fn shell(bench: &Bench, database: &Path, commands: &[&str]) -> Result<String> {
    let mut command = Command::new("sqlite3");
    command.arg("-bail").arg(database).args(commands);
    run_tool(command, bench.dir(), IMPORTED_WITHIN)
}
