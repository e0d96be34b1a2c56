//! The original design's three experiments: a hit, a miss, and the overhead of an invalidation.
//!
//! One client and one request at a time, so that each latency is of the request itself and not of its queue.

use super::outcome::{Outcome, Picture, count, improvement, ms};
use super::picture::{self, Tone};
use super::store::{Shelf, Up};
use super::{DEADLINE, Lab, Trouble};
use crate::client::BaseUrl;
use crate::domain::{BookId, IdempotencyKey, Quantity};
use crate::load::{self, Latencies};
use crate::recipe::Recipe;
use crate::shopper::{Attempts, Bought, Cache, Connection, NewPurchase, buy, info_path};
use crate::wire::shopper::{PurchaseRead, StockRead};
use std::time::{Duration, Instant};

/// More than one client can ask for once each in a measurement.
const SHELF: Shelf = Shelf { books: 30_000, topics: 300, copies: 1_000_000 };

/// In a store that runs, at least so many first looks must have missed to be compared with.
const ENOUGH_MISSES: u64 = 20;

/// In a store that runs, so many purchases are enough: it has more to do than to be measured.
const MOST_BOUGHT: u64 = 40;

/// Looks before a measurement, which find connections and code cold.
const WARM_UP: usize = 200;

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let own = match lab.stores.is_empty() {
        true => Some(Up::start(lab, 2, None, SHELF).await?),
        false => None,
    };
    let stores = own.as_ref().map_or(&lab.stores, |own| &own.urls);
    let books = match own {
        Some(_) => (1..=SHELF.books).filter_map(|id| BookId::new(id as i64).ok()).collect(),
        None => load::books(&stores[0], lab.seed).await?,
    };
    let mut bench = Bench::new(lab, stores);
    let hot = books.first().copied().ok_or_else(|| Trouble::Answer("the store has no books".into()))?;
    let hits = bench.hits(hot, lab.duration).await?;
    let mut misses = bench.misses(&books[1..], lab.duration).await?;
    let mut after = After::default();
    let (mut purchases, mut unfenced) = (Latencies::new(), Latencies::new());
    let plain = match own {
        Some(_) => Some(Up::start(lab, 2, Some(Recipe::Nothing), SHELF).await?),
        None => None,
    };
    let mut beside = plain.as_ref().map(|plain| Bench::new(lab, &plain.urls));
    // In turns, so that a busy moment of the machine meets both.
    let until = Instant::now() + lab.duration.saturating_mul(2);
    for &book in books.iter().cycle() {
        if Instant::now() >= until || (own.is_none() && purchases.count() >= MOST_BOUGHT) {
            break;
        }
        let Some((took, receipt)) = bench.purchase(book).await? else {
            if books.len() == 1 {
                break;
            } else {
                continue;
            };
        };
        purchases.record(took);
        bench.look_after(&receipt, &mut after).await?;
        if let Some(beside) = &mut beside
            && let Some((took, _)) = beside.purchase(book).await?
        {
            unfenced.record(took);
        }
    }
    if own.is_none() {
        // There may be few books to look at for the first time.
        misses.add(&after.misses);
    }
    let seen = Seen { hits, misses, after, purchases, unfenced };
    seen.judge(own.is_some())
}

/// Reads of what was bought a moment before.
#[derive(Default)]
struct After {
    latencies: Latencies,
    /// Those of them that were misses.
    misses: Latencies,
    fresh: u64,
    /// The first that was not.
    first_stale: Option<String>,
}

struct Bench {
    /// One looks, the other buys: through different frontends where there are two.
    reader: Connection,
    buyer: Connection,
    name: String,
    purchases: u64,
}

impl Bench {
    fn new(lab: &Lab, stores: &[BaseUrl]) -> Self {
        let connection = |number: usize| Connection::new(stores[number % stores.len()].clone(), DEADLINE);
        let name = format!("bazar-experiment-{:016x}-{}", rand::random::<u64>(), lab.seed);
        Self { reader: connection(0), buyer: connection(1), name, purchases: 0 }
    }

    async fn look(&mut self, book: BookId) -> Result<(Duration, Cache, StockRead), Trouble> {
        let path = info_path(book);
        let since = Instant::now();
        let answer = self.reader.get(&path).await?;
        let took = since.elapsed();
        let read = serde_json::from_slice(&answer.body);
        let read =
            read.map_err(|_| Trouble::Answer(format!("{path} was answered with {}", answer.status)))?;
        Ok((took, answer.cache(), read))
    }

    async fn hits(&mut self, book: BookId, duration: Duration) -> Result<Latencies, Trouble> {
        let mut hits = Latencies::new();
        for _ in 0..WARM_UP {
            self.look(book).await?;
        }
        let until = Instant::now() + duration;
        while Instant::now() < until {
            let (took, cache, _) = self.look(book).await?;
            if cache == Cache::Hit {
                hits.record(took);
            }
        }
        Ok(hits)
    }

    /// First looks, as long as there are books.
    async fn misses(&mut self, books: &[BookId], duration: Duration) -> Result<Latencies, Trouble> {
        let mut misses = Latencies::new();
        let until = Instant::now() + duration;
        for &book in books {
            if Instant::now() >= until {
                break;
            }
            let (took, cache, _) = self.look(book).await?;
            if cache == Cache::Miss {
                misses.record(took);
            }
        }
        Ok(misses)
    }

    /// `None`: it is sold out.
    async fn purchase(&mut self, book_id: BookId) -> Result<Option<(Duration, PurchaseRead)>, Trouble> {
        self.purchases += 1;
        let key = IdempotencyKey::parse(format!("{}-{}", self.name, self.purchases));
        let key = key.map_err(|invalid| Trouble::Answer(invalid.to_string()))?;
        let purchase = NewPurchase { book_id, quantity: Quantity::ONE, offer: None, key };
        let since = Instant::now();
        match buy(&mut self.buyer, &purchase, Attempts::PATIENT, || ()).await {
            Bought::Yes(receipt, _) => Ok(Some((since.elapsed(), receipt))),
            Bought::No(answer) if answer.status == 409 => Ok(None),
            Bought::No(answer) => {
                Err(Trouble::Answer(format!("a purchase was answered with {}", answer.status)))
            }
            Bought::Unknown(cause) => Err(Trouble::Answer(cause)),
            Bought::NotSent(failure) => Err(failure.into()),
        }
    }

    /// Looks at what was just bought, through the other frontend: it must show what the purchase left, or less
    /// where somebody else buys too.
    async fn look_after(&mut self, receipt: &PurchaseRead, after: &mut After) -> Result<(), Trouble> {
        let (took, cache, read) = self.look(receipt.book_id).await?;
        after.latencies.record(took);
        if cache == Cache::Miss {
            after.misses.record(took);
        }
        match read.number_of_items <= receipt.remaining {
            true => after.fresh += 1,
            false => {
                after.first_stale.get_or_insert_with(|| {
                    let (shown, left) = (read.number_of_items.get(), receipt.remaining.get());
                    format!("book {} showed {shown} when a purchase had left {left}", receipt.book_id)
                });
            }
        }
        Ok(())
    }
}

struct Seen {
    hits: Latencies,
    misses: Latencies,
    after: After,
    purchases: Latencies,
    unfenced: Latencies,
}

impl Seen {
    fn judge(&self, own: bool) -> Result<Outcome, Trouble> {
        let mut outcome = Outcome::default();
        let median = |latencies: &Latencies| latencies.percentile(50.0).as_secs_f64() * 1e3;
        let mean = |latencies: &Latencies| latencies.mean().as_secs_f64() * 1e3;
        let (hit, miss) = (median(&self.hits), median(&self.misses));
        let enough = self.hits.count() > 0 && self.misses.count() >= ENOUGH_MISSES;
        outcome.claim(
            enough && hit < miss,
            "a hit is faster than a miss, at the median",
            match enough {
                true => {
                    format!("{} ms instead of {} ms: {:.0} % less", ms(hit), ms(miss), improvement(hit, miss))
                }
                false => format!("only {} hits and {} misses", self.hits.count(), self.misses.count()),
            },
        );
        let (fresh, reads) = (self.after.fresh, self.after.latencies.count());
        let seen = format!("{} of {} did", count(fresh), count(reads));
        outcome.claim(
            reads > 0 && fresh == reads,
            "a read right after a purchase, through another frontend, shows it",
            self.after.first_stale.as_ref().map_or(seen.clone(), |first| format!("{seen}; {first}")),
        );
        let mut series = vec![
            ("hit", &self.hits),
            ("miss", &self.misses),
            ("read after a purchase", &self.after.latencies),
            ("purchase", &self.purchases),
        ];
        if own {
            let (with, without) = (median(&self.purchases), median(&self.unfenced));
            outcome.claim(
                self.purchases.count() > 0 && self.unfenced.count() > 0 && with < 2.0 * without,
                "telling every frontend before the commit does not double the time of a purchase, at the median",
                format!("{} ms, and {} ms in a store that tells nobody", ms(with), ms(without)),
            );
            series.push(("purchase, nobody told", &self.unfenced));
            let fence = with - without;
            outcome.figure("fence", "mean", "ms", mean(&self.purchases) - mean(&self.unfenced));
            outcome.figure("fence", "median", "ms", fence);
            outcome.figure("fence", "share of a purchase, median", "%", 100.0 * fence / with);
            outcome.note(match fence > 0.0 {
                true => format!(
                    "At the median a purchase takes {} ms more than in a store that tells nobody, which is {:.0} % of \
                     it: the share of the fence.",
                    ms(fence),
                    100.0 * fence / with
                ),
                false => "At the median a purchase takes no longer than in a store that tells nobody: the machine's \
                          noise is larger than the fence."
                    .into(),
            });
        } else {
            outcome.note("What the fence costs is not here: it wants a store of its own that does without.");
        }
        let overhead = mean(&self.after.latencies) - mean(&self.hits);
        outcome.figure("invalidation", "mean", "ms", overhead);
        outcome.figure("hit", "improvement over a miss, median", "%", improvement(hit, miss));
        outcome.figure(
            "hit",
            "improvement over a miss, mean",
            "%",
            improvement(mean(&self.hits), mean(&self.misses)),
        );
        outcome.note(format!(
            "A hit takes {:.0} % less than a miss, at the mean. The first read after a purchase takes {} ms more than \
             a hit, at the mean: it is fetched anew, and that is what invalidation costs a reader.",
            improvement(mean(&self.hits), mean(&self.misses)),
            ms(overhead)
        ));
        outcome.latencies("One client, one request at a time", &series);
        let pictured = [
            ("hit", &self.hits, Tone::Good),
            ("miss", &self.misses, Tone::Plain),
            ("read after a purchase", &self.after.latencies, Tone::Plain),
            ("purchase", &self.purchases, Tone::Plain),
        ];
        let title = "How long a request takes";
        outcome.pictures.push(Picture {
            title: title.into(),
            in_words: format!(
                "Lines on a logarithmic scale: latency of hits, misses, reads after a purchase, and purchases, from \
                 the fastest to the slowest thousandth. 99 % of the hits take at most {} ms.",
                ms(self.hits.percentile(99.0).as_secs_f64() * 1e3)
            ),
            svg: picture::quantiles(title, &pictured)?,
        });
        Ok(outcome)
    }
}
