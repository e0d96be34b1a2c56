//! `bazar experiment`: what the store claims, measured and judged in front of the reader's eyes.
//!
//! | file | what it does |
//! |---|---|
//! | `cache`, `balance`, `warming`, `freshness`, `oversell`, `switchover`, `recipes` | one experiment each |
//! | `store`, `process`, `relay` | stores of its own: started, listened to, killed |
//! | `outcome` | what an experiment found: claims with verdicts, tables, pictures, figures |
//! | `picture` | SVG |
//! | `report` | the page, the CSV, the JSON, the terminal |
//!
//! Invariants: every experiment asserts something and says whether it held; what is measured is the program as
//! it is started by anybody (processes of this executable, spoken to by their public addresses); nothing of a
//! store of its own outlives the command; nothing is waited for without a deadline.

mod balance;
mod cache;
mod freshness;
mod outcome;
mod oversell;
mod picture;
mod process;
mod recipes;
mod relay;
mod report;
mod store;
mod switchover;
mod warming;

use crate::client::BaseUrl;
use crate::load::{self, LoadError};
use crate::shopper::Failure;
use crate::shutdown::Shutdown;
use outcome::Outcome;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub use report::Report;

/// One attempt of a request: longer than the store takes for any answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// How wide a slice of a curve is.
const SLICE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Experiment {
    Recipes,
    Cache,
    Freshness,
    Oversell,
    Switchover,
    Warming,
    Balance,
}

impl Experiment {
    /// In the order in which they are run and reported.
    pub const ALL: [Experiment; 7] = [
        Experiment::Recipes,
        Experiment::Cache,
        Experiment::Freshness,
        Experiment::Oversell,
        Experiment::Switchover,
        Experiment::Warming,
        Experiment::Balance,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Experiment::Recipes => "recipes",
            Experiment::Cache => "cache",
            Experiment::Freshness => "freshness",
            Experiment::Oversell => "oversell",
            Experiment::Switchover => "switchover",
            Experiment::Warming => "warming",
            Experiment::Balance => "balance",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|experiment| experiment.as_str() == text)
    }

    pub const fn title(self) -> &'static str {
        match self {
            Experiment::Recipes => "The recipes side by side",
            Experiment::Cache => "A hit, a miss, and what invalidation costs",
            Experiment::Freshness => "Freshness under fire",
            Experiment::Oversell => "The last copies",
            Experiment::Switchover => "A master dies, another takes over",
            Experiment::Warming => "A cache fills",
            Experiment::Balance => "The work is shared evenly",
        }
    }

    /// What is done, in a sentence or two.
    pub const fn about(self) -> &'static str {
        match self {
            Experiment::Recipes => {
                "The same seeded load against five stores that differ in one flag: what is done about cached \
                 answers when a book is sold. An answer is stale if it shows a stock that an earlier answer, which \
                 had come before this one was asked for, proves wrong."
            }
            Experiment::Cache => {
                "One client, one request at a time: reads that the cache answers, reads that it does not, and reads \
                 of a book that was bought a moment before. Beside it the same purchases in a store that tells no \
                 cache anything."
            }
            Experiment::Freshness => {
                "Readers and buyers through all frontends at once, as fast as they can. Every answer is judged \
                 against all that came before it was asked for; at the end the orders are looked up."
            }
            Experiment::Oversell => {
                "For the last copies of a book more buyers come at the same moment than there are copies."
            }
            Experiment::Switchover => {
                "While clients read and buy, the write master is killed with kill -9 and started again, and later \
                 hands over to its replica."
            }
            Experiment::Warming => {
                "Readers by a Zipf law come to frontends whose caches are empty. A read is familiar if its frontend \
                 has answered it before: more than that no cache can know."
            }
            Experiment::Balance => {
                "Relays between the roles count what each node is asked while clients read books that no cache \
                 has, and buy."
            }
        }
    }

    /// Why it cannot be done with a store that runs already, if so.
    pub const fn needs_its_own(self) -> Option<&'static str> {
        match self {
            Experiment::Recipes => Some("it runs one store for each recipe"),
            Experiment::Switchover => Some("it kills the write master and replaces it"),
            Experiment::Warming => Some("it wants caches that are empty"),
            Experiment::Balance => Some("it listens between the roles"),
            Experiment::Cache | Experiment::Freshness | Experiment::Oversell => None,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Config {
    /// At least one.
    pub experiments: Vec<Experiment>,
    /// The frontends of a store that runs; none: stores of its own.
    pub stores: Vec<BaseUrl>,
    pub out: PathBuf,
    /// Of each measurement.
    pub duration: Duration,
    pub seed: u64,
    /// Print JSON instead of tables.
    pub json: bool,
    /// This executable.
    pub bazar: PathBuf,
    /// As it was typed.
    pub command: String,
}

/// What there is, for people.
pub fn list() -> String {
    let experiments = Experiment::ALL.into_iter();
    let rows = experiments.map(|experiment| {
        let own =
            experiment.needs_its_own().map_or_else(String::new, |why| format!("  (not with --url: {why})"));
        format!("{:<11} {}{own}\n", experiment.as_str(), experiment.title())
    });
    rows.collect()
}

/// Why an experiment, or all of them, could not be done. The causes are fit for people.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Process(String),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error("{0}")]
    Answer(String),
    #[error("a picture could not be drawn: {0}")]
    Picture(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("interrupted")]
    Interrupted,
}

/// What every experiment works with.
struct Lab {
    stores: Vec<BaseUrl>,
    bazar: PathBuf,
    out: PathBuf,
    duration: Duration,
    seed: u64,
    stop: Shutdown,
}

impl Lab {
    /// A directory for a store. On the disk that the reports go to: where temporary files lie in memory, a
    /// purchase would be durable for nothing.
    fn data(&self) -> Result<TempDir, Trouble> {
        Ok(tempfile::Builder::new().prefix(".store-").tempdir_in(&self.out)?)
    }

    /// A closed loop of a few connections against `stores`.
    fn load(&self, stores: &[BaseUrl]) -> load::Config {
        load::Config {
            stores: stores.to_vec(),
            connections: 16,
            rate: None,
            buy: 0.2,
            searches: 0.5,
            zipf: 1.0,
            duration: self.duration,
            warm_up: Duration::ZERO,
            allow_restock: false,
            seed: self.seed,
            json: false,
        }
    }

    async fn run(&self, experiment: Experiment) -> Result<Outcome, Trouble> {
        match experiment {
            Experiment::Recipes => recipes::run(self).await,
            Experiment::Cache => cache::run(self).await,
            Experiment::Freshness => freshness::run(self).await,
            Experiment::Oversell => oversell::run(self).await,
            Experiment::Switchover => switchover::run(self).await,
            Experiment::Warming => warming::run(self).await,
            Experiment::Balance => balance::run(self).await,
        }
    }
}

impl Config {
    /// Runs them one after the other and writes the files. What could not be done counts as failed; only an
    /// interruption, or a directory that cannot be written to, ends it early.
    pub async fn run(self, stop: Shutdown) -> Result<Report, Trouble> {
        std::fs::create_dir_all(&self.out)?;
        let begun = Instant::now();
        let lab = Lab {
            stores: self.stores.clone(),
            bazar: self.bazar.clone(),
            out: self.out.clone(),
            duration: self.duration,
            seed: self.seed,
            stop: stop.clone(),
        };
        let mut report = Report::new(&self);
        for (number, &experiment) in self.experiments.iter().enumerate() {
            let progress = report::progress(number + 1, self.experiments.len(), experiment);
            let since = Instant::now();
            // Whatever it has started ends with what is dropped here.
            let outcome = tokio::select! {
                outcome = lab.run(experiment) => outcome,
                () = stop.cancelled() => Err(Trouble::Interrupted),
            };
            progress.finish_and_clear();
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(Trouble::Interrupted) => return Err(Trouble::Interrupted),
                Err(trouble) => {
                    let mut outcome = Outcome::default();
                    outcome.claim(false, "the experiment can be done", trouble.to_string());
                    outcome
                }
            };
            report.add(experiment, outcome, since.elapsed());
        }
        report.done(begun.elapsed());
        report.write(&self.out)?;
        Ok(report)
    }
}
