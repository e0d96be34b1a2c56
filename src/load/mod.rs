//! `bazar load`: loads a running store from outside, measures it, and checks every answer meanwhile.
//!
//! | file | what it does |
//! |---|---|
//! | `shelf` | finds out which topics and books there are |
//! | `draw` | which request comes next |
//! | `pace` | when it is due |
//! | `worker` | one connection: sends, times, judges |
//! | `checker` | the promises, as rules over what was answered |
//! | `orders` | which orders are looked up at the end |
//! | `tally` | counts and latency histograms |
//! | `live`, `report` | what people see meanwhile and at the end |
//! | `company` | instead of people: a program that watches, and keeps the shelf filled |
//!
//! Invariants: one thread, so that the order in which things are noted is the order in which they were
//! seen; memory does not grow with the duration (histograms, a bounded sample of orders, a bounded past
//! for each book); nothing is waited for without a deadline.

mod checker;
mod company;
mod draw;
mod live;
mod orders;
mod pace;
mod report;
mod shelf;
mod tally;
mod worker;

use crate::client::BaseUrl;
use crate::shopper::{Connection, Failure};
use crate::shutdown::Shutdown;
use checker::Checker;
use draw::Draw;
use orders::Sample;
use pace::Pace;
use rand::{SeedableRng, rngs::SmallRng};
use shelf::Shelf;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tally::Tally;
use worker::Worker;

pub use company::{Company, Progress, Supply};
pub use report::Report;

/// The longest that one attempt is waited for: longer than the store takes for any answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Config {
    /// The frontends; at least one.
    pub stores: Vec<BaseUrl>,
    pub connections: usize,
    /// Open loop: requests due in a second.
    pub rate: Option<f64>,
    /// Share of purchases among the requests, and of searches among the reads.
    pub buy: f64,
    pub searches: f64,
    /// Exponent of the popularity of topics and of books.
    pub zipf: f64,
    pub duration: Duration,
    pub warm_up: Duration,
    /// Somebody else may restock: stock may rise.
    pub allow_restock: bool,
    pub seed: u64,
    /// Print the report as JSON.
    pub json: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error("{0} did not say what it has: {1}")]
    NoShelf(BaseUrl, String),
    #[error("the store has no books to ask for")]
    Empty,
    #[error("no timer could be had: {0}")]
    Timer(#[from] std::io::Error),
}

/// What all connections share.
struct Bench {
    config: Config,
    shelf: Shelf,
    pace: Pace,
    draw: RefCell<Draw>,
    checker: RefCell<Checker>,
    tally: RefCell<Tally>,
    orders: RefCell<Sample>,
}

impl Config {
    /// Loads the store until the time is over or `stop`, then looks its orders up. People see how it goes.
    pub async fn run(self, stop: Shutdown) -> Result<Report, LoadError> {
        let bench = self.prepare().await?;
        let live = actix_web::rt::spawn(live::show(bench.clone()));
        bench.load(stop).await?;
        live.abort();
        live::clear();
        let proof = orders::look_up(&bench).await;
        Ok(Report::new(&bench, &proof))
    }

    /// The same in the company of a program.
    pub async fn run_in_company(self, stop: Shutdown, company: Company) -> Result<Report, LoadError> {
        let bench = self.prepare().await?;
        let accompanied = actix_web::rt::spawn(company::keep(bench.clone(), company.clone()));
        bench.load(stop).await?;
        accompanied.abort();
        let proof = orders::look_up(&bench).await;
        company.progress.send_modify(|progress| progress.end(&bench, &proof));
        Ok(Report::new(&bench, &proof))
    }

    async fn prepare(self) -> Result<Rc<Bench>, LoadError> {
        let mut first = Connection::new(self.stores[0].clone(), DEADLINE);
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let shelf = Shelf::discover(&mut first, &mut rng).await?;
        Ok(Rc::new(Bench {
            checker: RefCell::new(Checker::new(&shelf.books, self.allow_restock)),
            draw: RefCell::new(Draw::new(&shelf, &self, rng)),
            pace: Pace::new(self.rate, self.warm_up, self.duration),
            tally: RefCell::new(Tally::new()),
            orders: RefCell::new(Sample::new(self.seed)),
            shelf,
            config: self,
        }))
    }
}

impl Bench {
    /// Sends what is due until the time is over or `stop`.
    async fn load(self: &Rc<Self>, stop: Shutdown) -> Result<(), LoadError> {
        let mut workers = Vec::new();
        for number in 0..self.config.connections {
            workers.push(actix_web::rt::spawn(Worker::new(self.clone(), number)?.run()));
        }
        let on_time = async {
            for worker in workers {
                // A worker that panicked has said so on standard error.
                let _ = worker.await;
            }
        };
        let mut on_time = std::pin::pin!(on_time);
        tokio::select! {
            () = &mut on_time => {}
            () = stop.cancelled() => {
                self.pace.stop_now();
                on_time.await;
            }
        }
        worker::count_unsent(self);
        Ok(())
    }
}
