//! Who has guessed wrongly, and may not guess for a while.
//!
//! A client may be wrong five times, then it waits, longer each time: half a minute at first, a quarter of an hour at
//! last. While it waits nothing that it sends is looked at, not even the right token, so waiting teaches it nothing. A
//! quarter of an hour without a mistake, and it is forgotten.
//!
//! Many clients together (a botnet) may be wrong a hundred times within a minute; from then on the first mistake of each
//! is its last one for a quarter of an hour. Nobody can lock the keeper out: the right token from a client that has not
//! been wrong always gets in, whatever others do. A keeper who shares an address with who guesses waits, or comes from
//! elsewhere; whoever is signed in stays so.
//!
//! Invariants: each client has a bounded number of guesses in any time, and what is remembered has a bound. When it is
//! full, the client whose time is over first is forgotten, which costs an attacker as many fresh addresses as it would
//! have guesses by them.

use crate::coherence::Moment;
use crate::frontend::gate::Client;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// A keeper who mistypes and then pastes the wrong thing.
const FREE: u32 = 5;

const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// Mistakes of all clients within [`STORM_WINDOW`] that keepers do not make.
const STORM: u32 = 100;
const STORM_WINDOW: Duration = Duration::from_secs(60);

/// Clients that are remembered: half a megabyte.
const MOST_CLIENTS: usize = 8192;

#[derive(Default)]
pub struct Lockout(Mutex<Guesses>);

/// What becomes of somebody who shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    In,
    Wrong,
    /// It was wrong, and the client may not guess again before this is over.
    LockedOut(Duration),
    /// It was not looked at.
    Waits(Duration),
}

impl Lockout {
    /// `right`: whether the token is. Clients of unknown address are one.
    pub fn judge(&self, client: Option<Client>, right: bool, now: Moment) -> Verdict {
        self.0.lock().judge(client, right, now)
    }
}

#[derive(Default)]
struct Guesses {
    clients: HashMap<Option<Client>, Mistakes>,
    window: Moment,
    in_window: u32,
}

#[derive(Default, Clone, Copy)]
struct Mistakes {
    count: u32,
    /// When it may guess again.
    free: Moment,
    /// When it is forgotten.
    forgotten: Moment,
}

impl Guesses {
    fn judge(&mut self, client: Option<Client>, right: bool, now: Moment) -> Verdict {
        let known = self.clients.get(&client).copied().filter(|known| now < known.forgotten);
        let mistakes = known.unwrap_or_default();
        if now < mistakes.free {
            return Verdict::Waits(now.until(mistakes.free));
        }
        if right {
            self.clients.remove(&client);
            return Verdict::In;
        }
        let count = mistakes.count.saturating_add(1);
        let wait = match self.is_storm(now) {
            true => LONGEST_WAIT,
            false => wait_after(count),
        };
        let free = now.after(wait);
        self.remember(client, Mistakes { count, free, forgotten: free.after(LONGEST_WAIT) });
        if wait.is_zero() { Verdict::Wrong } else { Verdict::LockedOut(wait) }
    }

    /// Counts a mistake of anybody.
    fn is_storm(&mut self, now: Moment) -> bool {
        if self.window.after(STORM_WINDOW) <= now {
            (self.window, self.in_window) = (now, 0);
        }
        self.in_window = self.in_window.saturating_add(1);
        self.in_window > STORM
    }

    fn remember(&mut self, client: Option<Client>, mistakes: Mistakes) {
        if self.clients.len() >= MOST_CLIENTS && !self.clients.contains_key(&client) {
            let first =
                self.clients.iter().min_by_key(|(_, known)| known.forgotten).map(|(&client, _)| client);
            first.map(|client| self.clients.remove(&client));
        }
        self.clients.insert(client, mistakes);
    }
}

/// How long a client waits after so many mistakes.
fn wait_after(count: u32) -> Duration {
    match count.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(10)).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn client(number: u32) -> Option<Client> {
        Some(Client::of(IpAddr::V4(Ipv4Addr::from(number))))
    }

    fn at(seconds: u64) -> Moment {
        Moment((1_000 + seconds) * 1_000_000_000)
    }

    #[test]
    fn after_five_mistakes_a_client_waits_longer_each_time_and_its_right_token_too() {
        let mut guesses = Guesses::default();
        let mut now = 0;
        for _ in 0..4 {
            assert_eq!(guesses.judge(client(1), false, at(now)), Verdict::Wrong);
        }
        for seconds in [30, 60, 120, 240, 480, 900, 900, 900] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(guesses.judge(client(1), false, at(now)), Verdict::LockedOut(wait));
            let one_second = Duration::from_secs(1);
            assert_eq!(guesses.judge(client(1), true, at(now + 1)), Verdict::Waits(wait - one_second));
            now += seconds;
        }
        // Others are not concerned.
        assert_eq!(guesses.judge(client(2), true, at(1)), Verdict::In);
        assert_eq!(guesses.judge(client(1), true, at(now)), Verdict::In);
        assert_eq!(guesses.judge(client(1), false, at(now)), Verdict::Wrong, "who got in begins anew");
    }

    #[test]
    fn a_client_that_keeps_guessing_has_a_hundred_guesses_a_day() {
        let mut guesses = Guesses::default();
        let looked_at = (0..86_400)
            .filter(|&second| !matches!(guesses.judge(client(1), false, at(second)), Verdict::Waits(_)))
            .count();
        assert!((90..=110).contains(&looked_at), "{looked_at}");
    }

    #[test]
    fn who_waits_a_quarter_of_an_hour_is_forgotten() {
        let mut guesses = Guesses::default();
        for _ in 0..4 {
            guesses.judge(client(1), false, at(0));
        }
        assert_eq!(guesses.judge(client(1), false, at(900)), Verdict::Wrong);
    }

    #[test]
    fn a_thousand_clients_that_guess_together_have_one_guess_each_and_the_keeper_gets_in() {
        let mut guesses = Guesses::default();
        let guess =
            |guesses: &mut Guesses, number| guesses.judge(client(number), false, at(u64::from(number) % 50));
        let wrong = (1..=1000).filter(|&number| guess(&mut guesses, number) == Verdict::Wrong).count();
        assert_eq!(wrong, 100);
        assert_eq!(guesses.judge(client(500), true, at(51)), Verdict::Waits(Duration::from_secs(849)));
        assert_eq!(guesses.judge(client(5000), true, at(51)), Verdict::In);
        assert_eq!(guesses.judge(client(5000), false, at(200)), Verdict::Wrong, "the storm is over");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut guesses = Guesses::default();
        for number in 0..9_000 {
            guesses.judge(client(number), false, at(0));
        }
        assert_eq!(guesses.clients.len(), MOST_CLIENTS);
    }
}
