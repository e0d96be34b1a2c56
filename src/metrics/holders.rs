//! How fast each holder of a lease acknowledges, by its name.
//!
//! Invariant: at most [`MAX_NAMED`] holders have a name of their own, whoever asks for a lease, and one that has not
//! been seen for [`FORGET`] has none any more: so frontends may come and go on any addresses.

use super::families::{HOLDER_FENCE, HOLDER_MISSES};
use super::{COUNTED, Registry};
use parking_lot::Mutex;
use prometheus::{HistogramVec, IntCounterVec};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) const TOLD: &str = "host and port of its internal listener, of 64 at most (`other` beyond); gone ten minutes \
                               after its last lease";

/// Holders with series of their own: a dozen series each.
const MAX_NAMED: usize = 64;

/// How long a holder that is gone is told of: longer than any scraper's pause, so that its last fences are seen.
const FORGET: Duration = Duration::from_secs(600);

/// All others.
const OTHER: &str = "other";

/// Counts for one write master.
#[derive(Debug)]
pub struct HolderFences {
    durations: HistogramVec,
    misses: IntCounterVec,
    /// When each was seen last.
    named: Mutex<BTreeMap<String, Instant>>,
}

impl HolderFences {
    pub fn new(registry: &Registry) -> Self {
        Self {
            durations: registry.histograms(&HOLDER_FENCE),
            misses: registry.counters(&HOLDER_MISSES),
            named: Mutex::default(),
        }
    }

    /// The holder at this URL has acknowledged a fence.
    pub fn acknowledged(&self, url: &str, took: Duration) {
        if COUNTED {
            let name = self.name(url, Instant::now());
            self.durations.with_label_values(&[name]).observe(took.as_secs_f64());
        }
    }

    /// It has not, while the fence was out.
    pub fn missed(&self, url: &str) {
        if COUNTED {
            self.misses.with_label_values(&[self.name(url, Instant::now())]).inc();
        }
    }

    /// These hold leases now: of others only those are kept that held one lately. Gives each one's name.
    pub fn seen<'a>(&self, urls: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let now = Instant::now();
        let names = urls.map(|url| self.name(url, now)).collect();
        self.forget(now);
        names
    }

    fn name<'a>(&self, url: &'a str, now: Instant) -> &'a str {
        let authority = url.strip_prefix("http://").unwrap_or(url);
        let mut named = self.named.lock();
        if let Some(seen) = named.get_mut(authority) {
            *seen = now;
        } else if named.len() < MAX_NAMED {
            named.insert(authority.into(), now);
            // Its misses from the first one on.
            self.misses.with_label_values(&[authority]);
        } else {
            return OTHER;
        }
        authority
    }

    fn forget(&self, now: Instant) {
        self.named.lock().retain(|name, seen| {
            let stays = now.saturating_duration_since(*seen) < FORGET;
            if !stays {
                // What was never observed has no series.
                let _ = self.durations.remove_label_values(&[name]);
                let _ = self.misses.remove_label_values(&[name]);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counts, Exposition, RoleName};
    use super::*;

    #[test]
    fn a_thousand_holders_have_a_bounded_number_of_names_and_one_that_is_gone_has_none() {
        let counts = Counts::new(RoleName::Master);
        let registry = &counts.registry;
        let fences = HolderFences::new(registry);
        let names = || {
            let text = Exposition::new(&counts, |_| {}).text();
            text.lines().filter(|line| line.starts_with("bazar_holder_fence_duration_seconds_count")).count()
        };
        for port in 0..1000 {
            fences.acknowledged(&format!("http://10.0.0.1:{port}"), Duration::from_millis(1));
        }
        assert_eq!(names(), MAX_NAMED + 1, "the named ones, and the others together");
        fences.forget(Instant::now() + FORGET);
        assert_eq!(names(), 1);
        fences.missed("http://10.0.0.2:1");
        assert_eq!(registry.figures().total(HOLDER_MISSES.name, &[("holder", "10.0.0.2:1")]), 1.0);
    }
}
