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

/// How much of a purchase's id may be repeated: books of the large catalog that are bought in turns.
const BOUGHT: u64 = 500;

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

/// Row 11. The answers of both catalogs are equally long, byte for byte, so only the size of the catalog differs.
pub fn latency(bench: &Bench) -> Result<Ended> {
    if let Err(why) = dataset::possible(bench) {
        return Ok(Ended::Missing(&[11], why));
    }
    let large = Dataset::of(bench)?;
    let large = Catalog::large(bench, "size-large", bench.path(&large.data), large.first_id, large.books)?;
    let small = Catalog::like(bench, &large)?;
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
    fn large(bench: &Bench, name: &str, data: PathBuf, first_id: u64, books: u64) -> Result<Self> {
        let roles = Roles::start(bench, name, &data, [Frontend::Usual, Frontend::NoCache])?;
        // Books all over the file, the stock of each raised, so that none is sold out.
        let step = (books / BOUGHT).max(1);
        let infos: Vec<u64> = (0..BOUGHT.min(books)).map(|n| first_id + n * step).collect();
        roles.edit(
            bench,
            infos.iter().map(|id| json!({"update": {"book_id": id, "stock": STOCK}})).collect(),
        )?;
        // A page from the middle of its topic.
        let middle = first_id + books / 2;
        let page = format!("/catalog-service/search/{TOPIC}?limit={PAGE}&after={middle}");
        Ok(Self { roles, page, infos })
    }

    /// 11 books whose page and whose single answers are as long as those of `model`: the titles are filled up by as
    /// much as the ids are shorter.
    fn like(bench: &Bench, model: &Catalog) -> Result<Self> {
        let roles =
            Roles::start(bench, "size-small", &bench.path("small"), [Frontend::Usual, Frontend::NoCache])?;
        let theirs = Connection::open(model.roles.frontends[0])?.get(&model.page)?;
        let items = theirs.json()?["items"].as_array().cloned().context("a page without items")?;
        ensure!(items.len() == PAGE, "the page of the large catalog has {} books", items.len());
        let edits =
            (1..=SMALL).map(|id| copy(id, &items[usize::try_from(id)? % PAGE])).collect::<Result<_>>()?;
        roles.edit(bench, edits)?;
        let page = format!("/catalog-service/search/{TOPIC}?limit={PAGE}");
        let small = Self { roles, page, infos: (1..=SMALL).collect() };
        let ours = Connection::open(small.roles.frontends[0])?.get(&small.page)?;
        let (here, there) = (items_length(&ours)?, items_length(&theirs)?);
        ensure!(here == there, "the pages' books have {here} and {there} bytes");
        Ok(small)
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

/// Book `id` of the small catalog, whose answer is as long as `item`.
fn copy(id: u64, item: &Value) -> Result<Value> {
    let number = |name: &str| item[name].as_f64().context("an item without its numbers");
    let title = item["bookTitle"].as_str().context("an item without title")?;
    let digits = |n: u64| n.to_string().len();
    let fill = ".".repeat(digits(item["id"].as_u64().context("an item without id")?) - digits(id));
    // Exact: a price has at most two decimals.
    let cents = (number("bookCost")? * 100.0).round() as u64;
    let stock = number("numberOfItems")? as u64;
    let book =
        json!({"id": id, "title": format!("{title}{fill}"), "topic": TOPIC, "stock": stock, "price": cents});
    Ok(json!({ "put": book }))
}

fn items_length(answer: &Answer) -> Result<usize> {
    Ok(answer.json()?["items"].to_string().len())
}
