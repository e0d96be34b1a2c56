//! Requests: how many, of which route, how they ended and how long they took; connections.

use super::counting::ThreadsObserved;
use super::families::{
    EVENT_LOOP_LAG, HTTP_CONNECTIONS, HTTP_CONNECTIONS_MAX, HTTP_DURATION, HTTP_ERRORS, HTTP_IN_FLIGHT,
};
use super::label::label;
use super::{COUNTED, Observed, Registry, Sheet};
use parking_lot::Mutex;
use prometheus::{HistogramVec, IntCounterVec};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

label! {
    /// Which listener of a role.
    pub enum Listener {
        Public = "public",
        Internal = "internal",
    }
}

/// Methods of ours, and one for all others: a client may make up as many as it likes. HEAD counts as GET.
pub const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", OTHER];
const OTHER: &str = "other";

/// Classes of statuses.
pub const STATUSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The route of a request that none matches.
const NONE: &str = "none";

/// What every public route answers to as well.
const SERVICES: [&str; 2] = ["/catalog-service", "/order-service"];

/// Counts the requests of a role's listeners.
#[derive(Debug, Clone)]
pub struct Requests {
    durations: HistogramVec,
    errors: IntCounterVec,
    lag: Observed,
    listener: Listener,
    public: Arc<Door>,
    internal: Arc<Door>,
    lags: HistogramVec,
}

/// What is open at one listener.
#[derive(Default)]
struct Door {
    connections: AtomicUsize,
    most: AtomicUsize,
    /// Says how many requests are under way.
    in_flight: Mutex<Option<Box<dyn Fn() -> usize + Send + Sync>>>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Requests {
    /// Of an internal listener.
    pub fn new(registry: &Registry) -> Self {
        let lags = registry.histograms(&EVENT_LOOP_LAG);
        let listener = Listener::Internal;
        Self {
            durations: registry.histograms(&HTTP_DURATION),
            errors: registry.counters(&HTTP_ERRORS),
            lag: Observed(lags.with_label_values(&[listener.label()])),
            listener,
            public: Arc::default(),
            internal: Arc::default(),
            lags,
        }
    }

    /// The same role's public listener.
    pub fn public(&self) -> Self {
        let listener = Listener::Public;
        Self { listener, lag: Observed(self.lags.with_label_values(&[listener.label()])), ..self.clone() }
    }

    /// A request to the route with this pattern was answered.
    pub fn answered(&self, method: &str, pattern: Option<&str>, status: u16, took: Duration) {
        if !COUNTED {
            return;
        }
        let listener = self.listener.label();
        let labels = [listener, known(method), route(pattern), class(status)];
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
        self.refused(status);
    }

    /// Counts an answer with a 4xx or 5xx.
    fn refused(&self, status: u16) {
        if (400..600).contains(&status) {
            let mut text = [0; 3];
            self.errors.with_label_values(&[self.listener.label(), three_digits(status, &mut text)]).inc();
        }
    }

    /// A timer of a thread that serves came so late.
    pub fn lagged(&self, late: Duration) {
        self.lag.took(late);
    }

    /// A connection is open until this is dropped.
    pub fn connected(&self) -> Connected {
        let door = Arc::clone(self.door());
        door.connections.fetch_add(1, Ordering::Relaxed);
        Connected(door)
    }

    /// The listener takes so many connections at most, and `in_flight` says how many requests are under way.
    pub fn listens(&self, most: usize, in_flight: impl Fn() -> usize + Send + Sync + 'static) {
        self.door().most.store(most, Ordering::Relaxed);
        *self.door().in_flight.lock() = Some(Box::new(in_flight));
    }

    pub fn read(&self, sheet: &mut Sheet) {
        for (listener, door) in [(Listener::Public, &self.public), (Listener::Internal, &self.internal)] {
            let Some(in_flight) = &*door.in_flight.lock() else { continue };
            let labels = [listener.label()];
            sheet.gauge_of(&HTTP_IN_FLIGHT, &labels, in_flight() as f64);
            sheet.gauge_of(&HTTP_CONNECTIONS, &labels, door.connections.load(Ordering::Relaxed) as f64);
            sheet.gauge_of(&HTTP_CONNECTIONS_MAX, &labels, door.most.load(Ordering::Relaxed) as f64);
        }
    }

    fn door(&self) -> &Arc<Door> {
        match self.listener {
            Listener::Public => &self.public,
            Listener::Internal => &self.internal,
        }
    }
}

/// An open connection.
pub struct Connected(Arc<Door>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One thread's count of the requests that it answers without a route.
pub struct ThreadsRequests {
    requests: Requests,
    routes: RefCell<HashMap<Box<str>, Rc<ThreadsObserved>>>,
}

impl ThreadsRequests {
    pub fn new(requests: Requests) -> Self {
        Self { requests, routes: RefCell::default() }
    }

    /// Where successes are counted that a GET of the route with this pattern would have given.
    pub fn successes(&self, pattern: Option<&str>) -> Rc<ThreadsObserved> {
        let route = route(pattern);
        let mut routes = self.routes.borrow_mut();
        if let Some(known) = routes.get(route) {
            return Rc::clone(known);
        }
        let labels = [self.requests.listener.label(), METHODS[0], route, class(200)];
        let all = Observed(self.requests.durations.with_label_values(&labels));
        let new = Rc::new(all.of_this_thread());
        routes.insert(route.into(), Rc::clone(&new));
        new
    }

    /// Lets all see what was counted.
    pub fn flush(&self) {
        if COUNTED {
            self.routes.borrow().values().for_each(|route| route.flush());
        }
    }
}

fn known(method: &str) -> &'static str {
    METHODS.iter().find(|&&known| known == method).unwrap_or(&OTHER)
}

fn route(pattern: Option<&str>) -> &str {
    let pattern = pattern.unwrap_or(NONE);
    SERVICES.iter().find_map(|service| pattern.strip_prefix(service)).unwrap_or(pattern)
}

fn class(status: u16) -> &'static str {
    STATUSES[usize::from(status / 100).clamp(1, STATUSES.len()) - 1]
}

/// A status as text, without an allocation for each.
fn three_digits(status: u16, text: &mut [u8; 3]) -> &str {
    let digit = |power: u16| b'0' + (status / power % 10) as u8;
    *text = [digit(100), digit(10), digit(1)];
    std::str::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::RoleName;
    use super::*;

    fn count(registry: &Registry, labels: &[(&str, &str)]) -> u64 {
        registry.figures().distribution(HTTP_DURATION.name, labels).count
    }

    #[test]
    fn a_route_is_the_same_with_and_without_its_prefix_and_what_matches_none_makes_no_series() {
        let registry = Registry::new(RoleName::Frontend);
        let public = Requests::new(&registry).public();
        for pattern in [Some("/info/{id}"), Some("/catalog-service/info/{id}"), None, None] {
            public.answered("GET", pattern, 200, Duration::from_micros(3));
        }
        public.answered("GET", Some("/info/{id}"), 404, Duration::from_micros(3));
        let count = |labels: &[(&str, &str)]| count(&registry, labels);
        assert_eq!(count(&[("route", "/info/{id}"), ("status", "2xx")]), 2);
        assert_eq!(count(&[("route", "/info/{id}")]), 3);
        assert_eq!(count(&[("route", "none"), ("listener", "public")]), 2);
        assert_eq!(registry.figures().total(HTTP_ERRORS.name, &[("code", "404")]), 1.0);
    }

    #[test]
    fn a_thousand_methods_that_nobody_knows_are_one() {
        let registry = Registry::new(RoleName::Frontend);
        let public = Requests::new(&registry).public();
        for number in 0..1000 {
            public.answered(&format!("M{number}"), None, 405, Duration::from_micros(3));
        }
        assert_eq!(count(&registry, &[("method", "other")]), 1000);
    }

    #[test]
    fn a_status_out_of_bounds_belongs_to_the_nearest_class() {
        assert_eq!(
            [0, 99, 100, 204, 304, 429, 503, 999].map(class),
            ["1xx", "1xx", "1xx", "2xx", "3xx", "4xx", "5xx", "5xx"]
        );
        assert_eq!(three_digits(429, &mut [0; 3]), "429");
    }

    #[test]
    fn what_threads_count_for_themselves_is_added_up() {
        let registry = Registry::new(RoleName::Frontend);
        let requests = Requests::new(&registry).public();
        let threads = [ThreadsRequests::new(requests.clone()), ThreadsRequests::new(requests)];
        for thread in &threads {
            thread.successes(Some("/info/{id}")).took(Duration::from_micros(2));
            thread.successes(Some("/catalog-service/info/{id}")).took(Duration::from_micros(2));
            thread.flush();
        }
        assert_eq!(count(&registry, &[("route", "/info/{id}")]), 4);
    }
}
