//! One flight for each thing that is being fetched, however many wait for it.
//!
//! A flight goes on when the request that started it is gone: others wait, and the cache does. Each
//! waiter judges the answer for itself.

use super::entry::{Entry, Want};
use crate::clock;
use crate::coherence::Moment;
use crate::telemetry::trace::{self, SpanContext};
use crate::wire::{ErrorCode, Problem};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A fetch asks at most three nodes, each with a deadline of its own; this is the end in any case.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where an answer came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Redis,
    /// The URL of the node.
    Replica(Arc<str>),
    /// The master's own answer, to a request sent at this moment.
    Master(Moment),
}

/// What a flight brought.
#[derive(Debug)]
pub struct Fetched {
    pub entry: Arc<Entry>,
    pub origin: Origin,
}

pub type Landing = Result<Arc<Fetched>, Problem>;

/// Whom a flight asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// Redis, then whichever node is next in turn.
    Nearest,
    /// The master and nobody else.
    Master,
    /// Redis and nobody else, whatever it holds.
    Redis,
    /// Any node, the master last, whatever it has.
    AnyNode,
}

#[derive(Clone, Default)]
pub struct Flights(Arc<Mutex<HashMap<(Route, Want), Flight>>>);

struct Flight {
    started: Moment,
    /// Whoever started it: who joins has a link to it, if both are traced.
    trace: SpanContext,
    landed: watch::Receiver<Option<Landing>>,
}

impl Flights {
    /// Joins the flight for `want` on `route`, or starts one with `fetch`. With `not_before`, only a
    /// flight that started at that moment or later will do; one that is in the air is waited for first,
    /// so that at most one is in the air and all who wait share the next.
    pub async fn join<F>(
        &self,
        route: Route,
        want: &Want,
        not_before: Option<Moment>,
        fetch: impl FnOnce() -> F,
    ) -> Landing
    where
        F: Future<Output = Landing> + 'static,
    {
        let mut fetch = Some(fetch);
        loop {
            let (mut landed, will_do) = self.board(route, want, not_before, &mut fetch);
            let landing = tokio::time::timeout(DEADLINE, landed.wait_for(Option::is_some)).await;
            if will_do {
                let Ok(Ok(landing)) = landing else { return Err(ErrorCode::Unavailable.into()) };
                return landing.clone().unwrap_or_else(|| Err(ErrorCode::Unavailable.into()));
            }
        }
    }

    /// How many are in the air.
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    fn board<F>(
        &self,
        route: Route,
        want: &Want,
        not_before: Option<Moment>,
        fetch: &mut Option<impl FnOnce() -> F>,
    ) -> (watch::Receiver<Option<Landing>>, bool)
    where
        F: Future<Output = Landing> + 'static,
    {
        let mut flights = self.0.lock();
        let key = (route, want.clone());
        if let Some(flight) = flights.get(&key) {
            // One whose sender is gone crashed with its thread.
            if flight.landed.has_changed().is_ok() || flight.landed.borrow().is_some() {
                trace::link(&flight.trace);
                return (flight.landed.clone(), not_before.is_none_or(|moment| flight.started >= moment));
            }
        }
        let (land, landed) = watch::channel(None);
        let Some(fetch) = fetch.take() else { return (landed, true) };
        flights.insert(
            key.clone(),
            Flight { started: clock::now(), trace: trace::own(), landed: landed.clone() },
        );
        drop(flights);
        let flights = Arc::clone(&self.0);
        let flight = fetch();
        actix_web::rt::spawn(trace::here(async move {
            let landing = flight.await;
            // Off the board first: who comes now starts anew.
            flights.lock().remove(&key);
            land.send_replace(Some(landing));
        }));
        (landed, true)
    }
}
