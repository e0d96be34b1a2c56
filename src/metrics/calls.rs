//! Calls from one role to another: how many, to whom, for what, how they ended and how long they took.

use super::families::{INTERNAL_REFUSED, PEER_DURATION, PEER_IN_FLIGHT};
use super::label::label;
use super::{COUNTED, Registry, Sheet, Tally};
use crate::wire::{ErrorCode, catalog, frontend, status};
use prometheus::HistogramVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

label! {
    /// Whom a call is to. By what it is, not by its address: addresses come and go.
    pub enum PeerRole {
        /// A candidate for the write master.
        Master = "master",
        /// A catalog node, whichever it is.
        Catalog = "catalog",
        Replica = "replica",
        Order = "order",
        Frontend = "frontend",
        /// Whoever it is: the dashboard asks them all.
        Node = "node",
    }
}

label! {
    /// Why a request at an internal listener was not let in. (One that was signed for another challenge is not
    /// refused: it is told what to sign for.)
    pub enum Stranger {
        /// It has no signature.
        Unsigned = "unsigned",
        /// It is signed with a token that this node does not have.
        OtherKey = "other_key",
        /// Its signature is not one of a member of this store over this request.
        Forged = "forged",
        /// It came before, or too late to know.
        Replayed = "replayed",
    }
}

const BOOK: &str = "/books/{id}";
const ORDER: &str = "/orders/{id}";
const VERSION: &str = "/versions/{version}";
const HEALTH: &str = "/healthz";
const OTHER: &str = "other";

/// What may be asked of another role, as patterns.
pub const ROUTES: &[&str] = &[
    BOOK,
    catalog::BACKUP,
    catalog::BOOKS,
    catalog::CHANGES,
    catalog::EDITS,
    catalog::EXPORT,
    catalog::GUARDED_EDITS,
    catalog::HANDOVER,
    catalog::IMPORTS,
    catalog::LEASES,
    catalog::LOG,
    catalog::NODE,
    catalog::ORDERS,
    ORDER,
    catalog::PURCHASES,
    catalog::QUERY,
    catalog::RELEASE,
    catalog::REPLICAS,
    catalog::SEARCH,
    catalog::SHELF,
    catalog::SNAPSHOT,
    catalog::SYNC_WRITE,
    catalog::TOPICS,
    catalog::VERIFY,
    VERSION,
    frontend::HOLDER,
    frontend::INVALIDATE,
    status::STATUS,
    HEALTH,
    OTHER,
];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// The peer said no, with this code.
    Refused(ErrorCode),
    /// The request never left.
    Unreachable,
    /// There was none in time, or none that could be understood.
    NoAnswer,
    /// There was one, without a proof that a member of the store gave it.
    Unproven,
    /// Who asked has gone, or went elsewhere.
    Abandoned,
}

impl Outcome {
    pub const TOLD: &'static str = "`ok`; the code of a refusal, such as `behind` or `unavailable`; `unreachable`: it never \
                                    left; `no_answer`: none in time; `unproven`: not from a member of \
                                    the store; `abandoned`: nobody waits for it any more";

    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused(code) => code.as_str(),
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no_answer",
            Self::Unproven => "unproven",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Counts for one role. Clones share them.
#[derive(Debug, Clone)]
pub struct Calls(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    durations: HistogramVec,
    in_flight: [AtomicUsize; PeerRole::VALUES.len()],
    refused: Tally<Stranger>,
}

impl Calls {
    pub fn new(registry: &Registry) -> Self {
        let durations = registry.histograms(&PEER_DURATION);
        let refused = registry.tally(&INTERNAL_REFUSED);
        Self(Arc::new(Counts { durations, in_flight: Default::default(), refused }))
    }

    /// A call begins, to this path and query.
    pub fn begin(&self, peer: PeerRole, path: &str) -> Option<Call> {
        if !COUNTED {
            return None;
        }
        self.0.in_flight[peer as usize].fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(&self.0);
        Some(Call { counts, peer, route: route(path), begun: Instant::now(), outcome: Outcome::Abandoned })
    }

    /// Somebody who is no member came to an internal listener.
    pub fn refused(&self, stranger: Stranger) {
        self.0.refused.inc(stranger);
    }

    pub fn read(&self, sheet: &mut Sheet) {
        for &peer in PeerRole::ALL {
            let calls = self.0.in_flight[peer as usize].load(Ordering::Relaxed);
            sheet.gauge_of(&PEER_IN_FLIGHT, &[peer.label()], calls as f64);
        }
    }
}

/// A call under way: abandoned, unless it is said how it ended.
pub struct Call {
    counts: Arc<Counts>,
    peer: PeerRole,
    route: &'static str,
    begun: Instant,
    outcome: Outcome,
}

impl Call {
    pub fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.counts.in_flight[self.peer as usize].fetch_sub(1, Ordering::Relaxed);
        let labels = [self.peer.label(), self.route, self.outcome.label()];
        let took = self.begun.elapsed().as_secs_f64();
        self.counts.durations.with_label_values(&labels).observe(took);
    }
}

fn route(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or(path);
    if let Some(known) = ROUTES.iter().find(|&&route| route == path) {
        return known;
    }
    let below = |parent: &str| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'));
    match () {
        () if below(catalog::BOOKS) => BOOK,
        () if below(catalog::ORDERS) => ORDER,
        () if below(catalog::VERSIONS) => VERSION,
        () => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Counts, Exposition, RoleName};
    use super::*;

    #[test]
    fn a_thousand_ids_are_one_route_and_what_is_unknown_another() {
        for id in 0..1000 {
            assert_eq!(route(&format!("/books/{id}?min=1.7.2")), BOOK);
            assert_eq!(route(&format!("/path/{id}")), OTHER);
        }
        assert_eq!(route("/books?ids=1,2"), catalog::BOOKS);
        assert_eq!(route(catalog::GUARDED_EDITS), catalog::GUARDED_EDITS);
        assert_eq!(route("/versions/1.7"), VERSION);
    }

    #[test]
    fn a_call_that_nobody_waits_for_any_more_is_abandoned_and_no_longer_in_flight() {
        let counts = Counts::new(RoleName::Order);
        let exposition = Exposition::new(&counts, |_| {});
        let calls = &counts.calls;
        let (well, dropped) =
            (calls.begin(PeerRole::Master, "/purchases"), calls.begin(PeerRole::Master, "/log"));
        assert!(exposition.text().contains("bazar_peer_requests_in_flight{peer=\"master\"} 2\n"));
        well.unwrap().ended(Outcome::Ok);
        drop(dropped);
        let text = exposition.text();
        assert!(text.contains("bazar_peer_requests_in_flight{peer=\"master\"} 0\n"), "{text}");
        for (route, outcome) in [("/purchases", "ok"), ("/log", "abandoned")] {
            let count = format!(
                "bazar_peer_request_duration_seconds_count{{outcome=\"{outcome}\",peer=\"master\",route=\"{route}\"}} 1"
            );
            assert!(text.contains(&count), "{text}");
        }
    }
}
