//! Reads what many will read into the cache before the shop opens, so that the first customers after a start
//! do not all ask the catalog nodes at once.
//!
//! Invariant: the shop opens, warm or not, at the latest when [`DEADLINE`] is over. What is read goes through the
//! same door as a customer's read; nothing is kept that could not be kept otherwise.

use super::cache::Want;
use super::demand::Demand;
use super::shop::Shop;
use super::storefront;
use crate::clock;
use crate::domain::Topic;
use crate::wire::Problem;
use crate::wire::public::DEFAULT_LIMIT;
use futures_util::StreamExt;
use futures_util::stream;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// For all of it, with the wait for the lease: an orchestrator waits about so long before it takes a start for
/// failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// Topics that are read. A page may take a hundred kilobytes, so more would push each other out of a cache of the
/// usual size; and the largest come first in no list.
const MAX_TOPICS: usize = 500;

/// Reads under way: enough to keep two nodes busy, few enough to leave them room for customers of other frontends.
const AT_ONCE: usize = 8;

/// The id that these reads have in the logs.
const REQUEST_ID: &str = "warming";

/// What is to be read. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warm {
    /// The first page of each of these topics.
    Topics(Vec<Topic>),
    /// The list of topics, and the first page of each.
    All,
}

impl Warm {
    /// `TOPIC[,TOPIC...]` or `all`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let topics: Result<Vec<_>, _> = text.split(',').map(|topic| Topic::parse(topic.trim())).collect();
        let topics = topics.map_err(|invalid| invalid.to_string())?;
        match topics.len() <= MAX_TOPICS {
            true => Ok(Self::Topics(topics)),
            false => Err(format!("at most {MAX_TOPICS} topics can be named")),
        }
    }
}

/// As [`parse`](Warm::parse) reads it.
impl fmt::Display for Warm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Topics(topics) => {
                let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// How far it is.
pub struct Warming {
    warm: Option<Warm>,
    read: AtomicUsize,
    done: watch::Sender<bool>,
}

impl Warming {
    pub fn new(warm: Option<Warm>) -> Self {
        let done = watch::channel(warm.is_none()).0;
        Self { warm, read: AtomicUsize::new(0), done }
    }

    /// Whether the shop may open, as it changes.
    pub fn done(&self) -> watch::Receiver<bool> {
        self.done.subscribe()
    }

    /// For `/readyz`, as long as the shop is not open.
    pub fn line(&self) -> Option<String> {
        let read = self.read.load(Ordering::Relaxed);
        (!*self.done.borrow()).then(|| format!("cache: warming, {read} pages were read\n"))
    }
}

/// Warms the cache of `shop` once its lease is held, and opens it.
pub async fn warm(shop: &Shop) {
    let Some(warm) = &shop.warming.warm else { return };
    let begun = Instant::now();
    let outcome = tokio::time::timeout(DEADLINE, async {
        // Without a lease nothing is kept. The sender lives in the shop.
        let _ = shop.cache.leases.leased().wait_for(|leased| *leased).await;
        match warm {
            Warm::Topics(topics) => pages(shop, topics.clone()).await,
            Warm::All => pages(shop, topics(shop).await?).await,
        }
    });
    let outcome = outcome.await;
    let read = shop.warming.read.load(Ordering::Relaxed);
    match outcome {
        Ok(Ok(())) => log::info!("the cache is warm: {read} pages were read in {:.1?}", begun.elapsed()),
        Ok(Err(problem)) => log::warn!("the shop opens with a cold cache: {}", problem.error),
        Err(_) => log::warn!("the shop opens with a cache half warm: {read} pages were read in {DEADLINE:?}"),
    }
    shop.warming.done.send_replace(true);
}

/// The topics that there are, at most [`MAX_TOPICS`].
async fn topics(shop: &Shop) -> Result<Vec<Topic>, Problem> {
    let served = shop.read(&Want::Topics, Demand::default(), clock::now(), REQUEST_ID).await?;
    let topics = storefront::topics(&served)?;
    if topics.len() > MAX_TOPICS {
        log::warn!("of {} topics, the first {MAX_TOPICS} are read into the cache", topics.len());
    }
    topics.into_iter().take(MAX_TOPICS).map(|one| Ok(Topic::parse(one.topic)?)).collect()
}

/// The first page of each. One that cannot be read does not keep the others from it.
async fn pages(shop: &Shop, topics: Vec<Topic>) -> Result<(), Problem> {
    let pages = topics.into_iter().map(|topic| async move {
        let want = Want::Page { topic, after: None, limit: DEFAULT_LIMIT };
        match shop.read(&want, Demand::default(), clock::now(), REQUEST_ID).await {
            Ok(_) => drop(shop.warming.read.fetch_add(1, Ordering::Relaxed)),
            Err(problem) => log::warn!("{want} is not read into the cache: {}", problem.error),
        }
    });
    stream::iter(pages).buffer_unordered(AT_ONCE).collect::<()>().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_named_one_after_the_other_or_all_at_once() {
        let topic = |text: &str| Topic::parse(text).unwrap();
        assert_eq!(Warm::parse("all"), Ok(Warm::All));
        let named = Warm::Topics(vec![topic("education"), topic("science fiction")]);
        assert_eq!(Warm::parse("education, science fiction"), Ok(named.clone()));
        for warm in [Warm::All, named] {
            assert_eq!(Warm::parse(&warm.to_string()), Ok(warm));
        }
        for wrong in ["", "education,,fiction", &"x".repeat(10_000), &vec!["x"; MAX_TOPICS + 1].join(",")] {
            assert!(Warm::parse(wrong).is_err(), "{wrong}");
        }
    }
}
