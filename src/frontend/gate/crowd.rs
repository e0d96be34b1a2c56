//! How many connections each client has.
//!
//! Invariant: a client is remembered as long as it has a connection, so what is remembered is bounded by the
//! connections that the listener takes.

use super::client::Client;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

#[derive(Clone)]
pub struct Crowd {
    most: usize,
    here: Arc<Mutex<HashMap<Client, usize>>>,
}

/// One of a client's connections, until this is dropped.
pub struct Seat {
    client: Client,
    here: Arc<Mutex<HashMap<Client, usize>>>,
}

impl Crowd {
    pub fn new(most: usize) -> Self {
        Self { most, here: Arc::default() }
    }

    pub fn take_seat(&self, client: Client) -> Option<Seat> {
        let mut here = self.here.lock();
        let seats = here.entry(client).or_default();
        if *seats >= self.most {
            return None;
        }
        *seats += 1;
        Some(Seat { client, here: Arc::clone(&self.here) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut seats) = self.here.lock().entry(self.client) {
            *seats.get_mut() -= 1;
            if *seats.get() == 0 {
                seats.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_is_forgotten_with_the_last_one() {
        let client = |text: &str| Client::of(text.parse().unwrap());
        let (one, other) = (client("203.0.113.7"), client("203.0.113.8"));
        let crowd = Crowd::new(2);
        let seats: Vec<Seat> = (0..2).filter_map(|_| crowd.take_seat(one)).collect();
        assert_eq!(seats.len(), 2);
        assert!(crowd.take_seat(one).is_none());
        assert!(crowd.take_seat(other).is_some());
        drop(seats);
        assert!(crowd.here.lock().is_empty());
        assert!(crowd.take_seat(one).is_some());
    }
}
