//! The large catalog: made up once in a run by `bazar generate`, imported through a master with `bazar import`, and
//! then used by every row that needs it.

use crate::bench::Bench;
use crate::http::Connection;
use crate::store::{Flags, Store, knows, tool};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The same books in every run.
const SEED: &str = "1";

/// The books that every store begins with.
pub const SEEDED: u64 = 11;

/// A million rows take seconds.
const MADE_WITHIN: Duration = Duration::from_secs(300);

pub struct Dataset {
    /// What a `bazar up` with the catalog in it has left, by name under the run's directory.
    pub data: String,
    pub first_id: u64,
    pub books: u64,
}

/// Whether the executable has what it takes.
pub fn possible(bench: &Bench) -> Result<(), String> {
    for subcommand in ["generate", "import"] {
        if !knows(bench, subcommand) {
            return Err(format!("this bazar has no `{subcommand}`"));
        }
    }
    Ok(())
}

/// A catalog of `books` books, as a file.
pub fn generate(bench: &Bench, books: u64) -> Result<(PathBuf, u64)> {
    let csv = bench.path(&format!("catalog-{books}.csv"));
    let text = tool(bench, &["generate", "--books", &books.to_string(), "--seed", SEED], MADE_WITHIN)?;
    let mut lines = text.lines();
    ensure!(lines.next() == Some("id,title,topic,stock,price"), "bazar generate writes other columns");
    let first = lines.next().context("bazar generate wrote no book")?;
    let first_id = first.split(',').next().unwrap_or_default().parse().context("the first book's id")?;
    ensure!(lines.count() as u64 + 1 == books, "bazar generate wrote another number of books");
    fs::write(&csv, text)?;
    Ok((csv, first_id))
}

/// The same rows with the price in cents, which is what the schema has.
pub fn in_cents(bench: &Bench, csv: &Path) -> Result<PathBuf> {
    let path = bench.path("catalog-cents.csv");
    let mut out = BufWriter::new(File::create(&path)?);
    for (number, line) in BufReader::new(File::open(csv)?).lines().enumerate() {
        let line = line?;
        if number == 0 {
            writeln!(out, "id,title,topic,stock,price_cents")?;
            continue;
        }
        let (rest, price) = line.rsplit_once(',').context("a line without a price")?;
        let (dollars, cents) = price.split_once('.').unwrap_or((price, "00"));
        ensure!(cents.len() == 2, "a price of {price}");
        writeln!(out, "{rest},{}", format!("{dollars}{cents}").parse::<u64>()?)?;
    }
    out.flush()?;
    Ok(path)
}

/// Starts a fresh store in the directory `name`, imports `csv` and returns how long `bazar import` took. The store is
/// then stopped, and its data stay.
pub fn import(bench: &Bench, name: &str, csv: &Path, first_id: u64, books: u64) -> Result<Duration> {
    let store = Store::up(bench, name, Flags::default())?;
    let (file, master) = (csv.display().to_string(), format!("http://{}", store.master));
    let began = Instant::now();
    tool(bench, &["import", &file, "--master", &master], MADE_WITHIN)?;
    let took = began.elapsed();
    let mut connection = Connection::open(store.address)?;
    for id in [first_id, first_id + books / 2, first_id + books - 1] {
        connection.get(&format!("/catalog-service/info/{id}")).context("an imported book is not there")?;
    }
    let topics = connection.get("/catalog-service/topics")?.json()?;
    let topics = topics["items"].as_array().context("no list of topics")?;
    let there: u64 = topics.iter().filter_map(|topic| topic["books"].as_u64()).sum();
    ensure!(there == books + SEEDED, "{there} books are there after the import of {books}");
    store.stop()?;
    Ok(took)
}

impl Dataset {
    /// Makes it if no row has yet.
    pub fn of(bench: &Bench) -> Result<&Dataset> {
        if bench.dataset.get().is_none() {
            let books = bench.options.books;
            bench.say(&format!("a catalog of {books} books"));
            let (csv, first_id) = generate(bench, books)?;
            let data = "large".to_owned();
            import(bench, &data, &csv, first_id, books)?;
            let _ = bench.dataset.set(Dataset { data, first_id, books });
        }
        bench.dataset.get().context("the catalog was made just now")
    }
}
