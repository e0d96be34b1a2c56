//! Requests: how many, of which route, how they ended and how long they took.

use super::Registry;
use prometheus::HistogramVec;
use prometheus::local::LocalHistogram;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Labels: `listener` ([`PUBLIC`] or internal), `route` (its pattern, without the prefix of a service), `status`
/// (its class). The time ends when the head of the answer is ready.
pub const HTTP_DURATION: &str = "bazar_http_request_duration_seconds";

pub const PUBLIC: &str = "public";
const INTERNAL: &str = "internal";

/// The route of a request that none matches.
const NONE: &str = "none";

/// What every public route answers to as well.
const SERVICES: [&str; 2] = ["/catalog-service", "/order-service"];

/// Counts the requests of a role's listeners.
#[derive(Debug, Clone)]
pub struct Requests {
    durations: HistogramVec,
    listener: &'static str,
}

impl Requests {
    /// Of an internal listener.
    pub fn new(registry: &Registry) -> Self {
        let help = "Time from a request's head to the head of its answer, in seconds.";
        let durations = registry.durations_by(HTTP_DURATION, help, &["listener", "route", "status"]);
        Self { durations, listener: INTERNAL }
    }

    /// The same role's public listener.
    pub fn public(&self) -> Self {
        Self { durations: self.durations.clone(), listener: PUBLIC }
    }

    /// A request to the route with this pattern was answered.
    pub fn answered(&self, pattern: Option<&str>, status: u16, took: Duration) {
        let labels = [self.listener, route(pattern), class(status)];
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
    }
}

/// One thread's count of the requests that it answers without a route.
pub struct ThreadsRequests {
    requests: Requests,
    routes: RefCell<HashMap<Box<str>, Rc<LocalHistogram>>>,
}

impl ThreadsRequests {
    pub fn new(requests: Requests) -> Self {
        Self { requests, routes: RefCell::default() }
    }

    /// Where successes are counted that the route with this pattern would have given.
    pub fn successes(&self, pattern: Option<&str>) -> Rc<LocalHistogram> {
        let route = route(pattern);
        let mut routes = self.routes.borrow_mut();
        if let Some(known) = routes.get(route) {
            return Rc::clone(known);
        }
        let labels = [self.requests.listener, route, class(200)];
        let new = Rc::new(self.requests.durations.with_label_values(&labels).local());
        routes.insert(route.into(), Rc::clone(&new));
        new
    }

    /// Lets all see what was counted.
    pub fn flush(&self) {
        self.routes.borrow().values().for_each(|route| route.flush());
    }
}

fn route(pattern: Option<&str>) -> &str {
    let pattern = pattern.unwrap_or(NONE);
    SERVICES.iter().find_map(|service| pattern.strip_prefix(service)).unwrap_or(pattern)
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_the_same_with_and_without_its_prefix_and_what_matches_none_makes_no_series() {
        let registry = Registry::default();
        let public = Requests::new(&registry).public();
        for pattern in [Some("/info/{id}"), Some("/catalog-service/info/{id}"), None, None] {
            public.answered(pattern, 200, Duration::from_micros(3));
        }
        public.answered(Some("/info/{id}"), 404, Duration::from_micros(3));
        let count = |labels: &[(&str, &str)]| registry.figures().distribution(HTTP_DURATION, labels).count;
        assert_eq!(count(&[("route", "/info/{id}"), ("status", "2xx")]), 2);
        assert_eq!(count(&[("route", "/info/{id}")]), 3);
        assert_eq!(count(&[("route", "none"), ("listener", "public")]), 2);
    }

    #[test]
    fn what_threads_count_for_themselves_is_added_up() {
        let registry = Registry::default();
        let requests = Requests::new(&registry).public();
        let threads = [ThreadsRequests::new(requests.clone()), ThreadsRequests::new(requests)];
        for thread in &threads {
            thread.successes(Some("/info/{id}")).observe(2e-6);
            thread.successes(Some("/catalog-service/info/{id}")).observe(2e-6);
            thread.flush();
        }
        assert_eq!(registry.figures().distribution(HTTP_DURATION, &[("route", "/info/{id}")]).count, 4);
    }
}
