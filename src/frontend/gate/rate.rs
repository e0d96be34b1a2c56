//! How much a client may ask for.
//!
//! Each client has a bucket (GCRA, by `governor`): so many requests at once, and then as many as flow in. Buckets lie
//! in a table of a fixed size, in which a client's place is a hash of its address by a key that nobody knows. Nothing
//! is ever evicted, so a million addresses take no more memory than one, and push nobody's bucket out. Instead two
//! clients may share a bucket; therefore each has two, in different rows, and is refused only if both are empty (as in
//! a count-min sketch). To have somebody else refused one would have to keep empty two buckets that one cannot find: a
//! share of s of each row costs s × 32,768 clients' full rate, and hits s² of all others.
//!
//! Invariants: a client that shares with nobody gets exactly its rate; memory is fixed; no lock.

use super::client::Client;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

/// Buckets of a row: 256 KiB.
const SLOTS: usize = 32_768;

/// `N/s`, `N/m` or `N/h`: so many at once, and as many flow in evenly within that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    unit: char,
}

impl Rate {
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.trim().split_once('/')?;
        let unit = match unit {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return None,
        };
        Some(Self { count: count.parse().ok()?, unit })
    }

    fn quota(self) -> Quota {
        match self.unit {
            's' => Quota::per_second(self.count),
            'm' => Quota::per_minute(self.count),
            _ => Quota::per_hour(self.count),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

/// Both rows, one behind the other.
struct Slots(Vec<InMemoryState>);

impl StateStore for Slots {
    type Key = usize;

    fn measure_and_replace<T, F, E>(&self, slot: &usize, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0[*slot].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// The buckets of all clients.
pub struct Buckets<C: Clock> {
    limiter: RateLimiter<usize, Slots, C, NoOpMiddleware<C::Instant>>,
    hash: RandomState,
}

impl<C: Clock> Buckets<C> {
    pub fn new(rate: Rate, clock: C) -> Self {
        let slots = std::iter::repeat_with(InMemoryState::default).take(2 * SLOTS).collect();
        Self { limiter: RateLimiter::new(rate.quota(), Slots(slots), clock), hash: RandomState::new() }
    }

    /// Takes one from the client's buckets; or says how long it takes until there is one.
    pub fn take(&self, client: Client) -> Result<(), Duration> {
        let (first, second) = self.slots(client);
        match (self.limiter.check_key(&first), self.limiter.check_key(&second)) {
            (Err(one), Err(other)) => {
                let now = self.limiter.clock().now();
                Err(one.wait_time_from(now).min(other.wait_time_from(now)))
            }
            _ => Ok(()),
        }
    }

    fn slots(&self, client: Client) -> (usize, usize) {
        let hash = self.hash.hash_one(client);
        let row = SLOTS as u64;
        ((hash % row) as usize, (row + (hash >> 32) % row) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn buckets(rate: &str) -> (Buckets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Buckets::new(Rate::parse(rate).unwrap(), clock.clone()), clock)
    }

    fn client(number: u32) -> Client {
        Client::of(IpAddr::V4(Ipv4Addr::from(number)))
    }

    #[test]
    fn a_client_gets_its_rate_and_is_told_exactly_when_there_is_more() {
        let (buckets, clock) = buckets("60/m");
        let served = (0..100).filter(|_| buckets.take(client(1)).is_ok()).count();
        assert_eq!(served, 60);
        let wait = buckets.take(client(1)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        clock.advance(wait - Duration::from_nanos(1));
        assert!(buckets.take(client(1)).is_err(), "a moment too early");
        clock.advance(Duration::from_nanos(1));
        assert!(buckets.take(client(1)).is_ok());
        assert!(buckets.take(client(1)).is_err());
        // Somebody else's are full.
        assert!(buckets.take(client(2)).is_ok());
    }

    #[test]
    fn who_is_refused_pays_nothing_for_it() {
        let (buckets, clock) = buckets("1/s");
        assert!(buckets.take(client(1)).is_ok());
        assert!((0..1000).all(|_| buckets.take(client(1)).is_err()));
        clock.advance(Duration::from_secs(1));
        assert!(buckets.take(client(1)).is_ok());
    }

    #[test]
    fn a_million_addresses_neither_reset_a_bucket_nor_get_others_refused() {
        let (buckets, _) = buckets("10/m");
        while buckets.take(client(0)).is_ok() {}
        for number in 0..1_000_000_u128 {
            let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) | (number << 64));
            let _ = buckets.take(Client::of(IpAddr::V6(address)));
            // What a thousand addresses can empty is a small part of the table.
            if number == 1000 {
                let well = (1..=1000).filter(|&number| buckets.take(client(number)).is_ok()).count();
                assert_eq!(well, 1000);
            }
        }
        assert!(buckets.take(client(0)).is_err());
    }

    #[test]
    fn who_empties_buckets_by_the_hundred_hits_hardly_anybody() {
        let (buckets, _) = buckets("20/m");
        for number in 0..500 {
            let attacker = client(0x0a00_0000 + number);
            while buckets.take(attacker).is_ok() {}
        }
        let refused = (0..10_000).filter(|&number| buckets.take(client(number)).is_err()).count();
        // 1.5 % of each row, so some 2 of 10,000.
        assert!(refused < 20, "{refused}");
    }

    #[test]
    fn a_rate_is_a_count_and_a_unit() {
        assert_eq!(Rate::parse("6000/m").unwrap().to_string(), "6000/m");
        for wrong in ["", "10", "0/s", "-1/s", "10/d", "10/ s", "x/s", "10/s/s", "4294967296/s"] {
            assert!(Rate::parse(wrong).is_none(), "{wrong}");
        }
    }
}
