//! Large catalogs: what a request costs in them (row 11), and how fast one is imported (row 12).

use super::Ended;
use super::latency::sold;
use crate::bench::Bench;
use crate::dataset::{self, Dataset};
use crate::http::{Answer, Connection, get};
use crate::load::serial;
use crate::peers::sqlite;
use crate::record::{Figure, Plot};
use crate::rounds::{Series, Side, WarmUp, interleave};
use crate::store::{self, Frontend, Roles, STOCK};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Of the small catalog: those that every store begins with.
const SMALL: u64 = 11;

/// Books on the page that is searched for, in both catalogs. One fewer than the small one has, so that both answers
/// name a following page.
const PAGE: usize = 10;

/// The topic of all books of the small catalog, and the largest of the large one.
const TOPIC: &str = "fiction";

/// Sizes between the smallest and the largest, for the picture.
const BETWEEN: [u64; 2] = [10_000, 100_000];

/// Books of the large catalog that are read and bought in turns.
const ASKED_FOR: u64 = 500;

/// Bytes of a title and the digits of its book's number, together.
const TITLE_AND_ID: usize = 48;

/// Row 12. The last store is kept as the run's large catalog.
pub fn import(bench: &Bench) -> Result<Ended> {
    if let Err(why) = dataset::possible(bench) {
        return Ok(Ended::Missing(&[12], why));
    }
    let books = bench.options.books;
    let (csv, first_id) = dataset::generate(bench, books)?;
    let cents = dataset::in_cents(bench, &csv)?;
    let kept = RefCell::new(None::<String>);
    let ours = |round: u32| -> Result<f64> {
        if let Some(last) = kept.take() {
            fs::remove_dir_all(bench.path(&last))?;
        }
        let name = format!("import-{round}");
        let took = dataset::import(bench, &name, &csv, first_id, books)?;
        kept.replace(Some(name));
        Ok(took.as_secs_f64())
    };
    let theirs = |_| -> Result<f64> { Ok(sqlite::import(bench, &cents, books)?.as_secs_f64()) };
    let sides = [Side::new("bazar import", ours), Side::new("sqlite3 .import", theirs)];
    let [ours, theirs] = interleave(bench, "12", "s", WarmUp::No, sides)?;
    bench.figure(Figure::ratio("12", &ours, &theirs).noting(format!("{books} books")));
    let data = kept.into_inner().context("no import was kept")?;
    let _ = bench.dataset.set(Dataset { data, first_id, books });
    Ok(Ended::Measured)
}

/// A store of some size, and what to ask it for.
struct Catalog {
    roles: Roles<2>,
    page: String,
    infos: Vec<u64>,
}

/// Row 11. The books in the answers of both catalogs are equally long, so that only the size of the catalog differs.
pub fn latency(bench: &Bench) -> Result<Ended> {
    if let Err(why) = dataset::possible(bench) {
        return Ok(Ended::Missing(&[11], why));
    }
    let large = Dataset::of(bench)?;
    let large = Catalog::large(bench, "size-large", bench.path(&large.data), large.first_id, large.books)?;
    let small = Catalog::small(bench)?;
    let (here, there) = (large.lengths()?, small.lengths()?);
    ensure!(here == there, "pages and answers have {here:?} and {there:?} bytes");
    if !large.misses()? || !small.misses()? {
        let why = format!("this bazar does not know {}: nothing is missed twice", store::NO_LOCAL_CACHE.0);
        return Ok(Ended::Missing(&[11], why));
    }
    let mut of_small = Vec::new();
    let works: [(&'static str, &str, Work); 4] = [
        ("11a", "cached search", Catalog::cached_search),
        ("11b", "missed search", Catalog::missed_search),
        ("11c", "missed info", Catalog::missed_info),
        ("11d", "purchase", Catalog::purchase),
    ];
    for (id, name, work) in works {
        let sides = [
            Side::new(format!("{name}, large catalog, p50"), |_| work(&large, bench)),
            Side::new(format!("{name}, 11 books, p50"), |_| work(&small, bench)),
        ];
        let [ours, peer] = interleave(bench, id, "ms", WarmUp::Yes, sides)?;
        bench.figure(Figure::ratio(id, &ours, &peer).noting(format!("{} books", bench.options.books)));
        of_small.push((name, work, ours, peer));
    }
    if !bench.options.quick {
        by_size(bench, &of_small)?;
    }
    Ok(Ended::Measured)
}

type Work = fn(&Catalog, &Bench) -> Result<f64>;

fn by_size(bench: &Bench, ends: &[(&str, Work, Series, Series)]) -> Result<()> {
    let plot = Plot::CostByBooks;
    for (name, _, _, small) in ends {
        bench.point(plot, name, SMALL as f64, small.median(), "ms")?;
    }
    for books in BETWEEN {
        let (csv, first_id) = dataset::generate(bench, books)?;
        let data = format!("catalog-{books}");
        dataset::import(bench, &data, &csv, first_id, books)?;
        let catalog = Catalog::large(bench, &format!("size-{books}"), bench.path(&data), first_id, books)?;
        for (name, work, _, _) in ends {
            bench.point(plot, name, books as f64, work(&catalog, bench)?, "ms")?;
        }
    }
    for (name, _, large, _) in ends {
        bench.point(plot, name, bench.options.books as f64, large.median(), "ms")?;
    }
    Ok(())
}

impl Catalog {
    /// On the data of a store that a catalog was imported into. The books that will be asked for get the looks of
    /// [`alike`]; they and the page lie in the middle of all others.
    fn large(bench: &Bench, name: &str, data: PathBuf, first_id: u64, books: u64) -> Result<Self> {
        let roles = Roles::start(bench, name, &data, [Frontend::Usual, Frontend::NoCache])?;
        let step = (books / ASKED_FOR).max(1);
        let infos: Vec<u64> = (0..ASKED_FOR.min(books)).map(|n| first_id + n * step).collect();
        roles.edit(bench, infos.iter().copied().map(alike).collect())?;
        let page = format!("/catalog-service/search/{TOPIC}?limit={PAGE}&after={}", first_id + books / 2);
        let on_page = Connection::open(roles.frontends[0])?.get(&page)?.json()?;
        let on_page = on_page["items"].as_array().context("a page without items")?;
        roles.edit(bench, on_page.iter().filter_map(|item| item["id"].as_u64()).map(alike).collect())?;
        Ok(Self { roles, page, infos })
    }

    fn small(bench: &Bench) -> Result<Self> {
        let roles =
            Roles::start(bench, "size-small", &bench.path("small"), [Frontend::Usual, Frontend::NoCache])?;
        roles.edit(bench, (1..=SMALL).map(alike).collect())?;
        let page = format!("/catalog-service/search/{TOPIC}?limit={PAGE}");
        Ok(Self { roles, page, infos: (1..=SMALL).collect() })
    }

    /// Bytes of the page's books, and of one book's answer.
    fn lengths(&self) -> Result<(usize, usize)> {
        let mut connection = Connection::open(self.roles.frontends[0])?;
        let page = connection.get(&self.page)?.json()?["items"].to_string().len();
        let mut info = connection.get(&format!("/catalog-service/info/{}", self.infos[0]))?.json()?;
        // The digits of a measurement.
        info["responseTime"] = Value::Null;
        Ok((page, info.to_string().len()))
    }

    /// Whether the second frontend misses what it has been asked for before.
    fn misses(&self) -> Result<bool> {
        let mut connection = Connection::open(self.roles.frontends[1])?;
        connection.get(&self.page)?;
        Ok(connection.get(&self.page)?.header("x-cache") == Some("MISS"))
    }

    fn cached_search(&self, bench: &Bench) -> Result<f64> {
        let frontend = self.roles.frontends[0];
        store::check_hit(frontend, &self.page)?;
        reads(bench, frontend, "HIT", |_| self.page.clone())
    }

    fn missed_search(&self, bench: &Bench) -> Result<f64> {
        reads(bench, self.roles.frontends[1], "MISS", |_| self.page.clone())
    }

    fn missed_info(&self, bench: &Bench) -> Result<f64> {
        reads(bench, self.roles.frontends[1], "MISS", |number| {
            format!("/catalog-service/info/{}", self.book(number))
        })
    }

    fn purchase(&self, bench: &Bench) -> Result<f64> {
        let frontend = self.roles.frontends[0];
        let request = |number| store::purchase(frontend, self.book(number));
        let latencies = serial::run(frontend, bench.options.measurement(), request, sold)?;
        Ok(latencies.quantile_ms(0.5))
    }

    fn book(&self, number: u64) -> u64 {
        let count = self.infos.len() as u64;
        usize::try_from(number % count).map_or(0, |at| self.infos[at])
    }
}

/// The median latency of one client's reads, each of which must be what `cache` says.
fn reads(bench: &Bench, frontend: SocketAddr, cache: &str, path: impl Fn(u64) -> String) -> Result<f64> {
    let check = |answer: &Answer| {
        ensure!(answer.status() == 200 && answer.header("x-cache") == Some(cache), "not a {cache}");
        Ok(())
    };
    let request = |number| get(frontend, &path(number));
    Ok(serial::run(frontend, bench.options.measurement(), request, check)?.quantile_ms(0.5))
}

/// Makes `id` a book whose answer is as long as that of any other: what its number lacks in digits its title has in
/// dots.
fn alike(id: u64) -> Value {
    let title = format!("{:.<1$}", "A book like any other ", TITLE_AND_ID - id.to_string().len());
    json!({"put": {"id": id, "title": title, "topic": TOPIC, "stock": STOCK, "price": 2800}})
}
