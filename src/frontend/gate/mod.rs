//! The gate of the public listener: who is let in, and how much of each.
//!
//! | file | what it does |
//! |---|---|
//! | `networks` | networks, as they stand in a flag |
//! | `client` | who a client is, behind which proxies |
//! | `rate` | how much a client may ask for |
//! | `crowd` | how many connections a client has |
//! | `hosts` | the names under which the store may be asked |
//! | `origins` | whose pages may use the API (CORS) |
//! | `refusal` | what who is not let in is told |
//!
//! It stands below the router and before the short way of a cached read, so that a refusal costs less than whatever was
//! asked for. Invariant: all that it remembers has a fixed size, or is bounded by the connections.

mod client;
mod crowd;
mod hosts;
mod networks;
mod origins;
mod rate;
mod refusal;

use crate::metrics::{Doors, Limit};
use crate::server::{AtTheDoor, Guard, Place};
use crate::wire::{ErrorCode, Problem};
use actix_http::Request;
use actix_web::HttpRequest;
use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
pub use client::Client;
use crowd::Crowd;
use governor::clock::MonotonicClock;
pub use hosts::Hosts;
pub use networks::Networks;
pub use origins::Origins;
use rate::Buckets;
pub use rate::Rate;
use refusal::Refusals;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest path and query, in bytes: as nginx's buffer for a line. The longest of ours, a topic of 255 characters
/// of four bytes each, has half of that.
const MAX_TARGET: usize = 8 << 10;

/// For what is no document: it loads nothing, and nothing shows it in a frame.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What a frontend was told about who is let in, checked.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// Requests of one client.
    pub rate: Option<Rate>,
    /// Purchases of one client, by the API and by the form.
    pub purchases: Option<Rate>,
    /// Connections of one client.
    pub connections: Option<usize>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Networks,
    /// For whom there are no limits.
    pub unlimited: Networks,
    pub hosts: Hosts,
    pub origins: Origins,
}

impl Admission {
    /// The flags that say the same.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let off = |value: Option<String>| value.unwrap_or_else(|| "off".into());
        let mut flags = vec![
            ("--rate-limit", off(self.rate.map(|rate| rate.to_string()))),
            ("--purchase-rate-limit", off(self.purchases.map(|rate| rate.to_string()))),
            ("--client-connections", off(self.connections.map(|count| count.to_string()))),
            ("--trusted-proxy", self.proxies.to_string()),
            ("--unlimited-client", self.unlimited.to_string()),
            ("--allowed-host", self.hosts.to_string()),
        ];
        if !self.origins.is_empty() {
            flags.push(("--cors-origin", self.origins.to_string()));
        }
        flags
    }
}

pub struct Gate {
    requests: Option<Buckets<MonotonicClock>>,
    purchases: Option<Buckets<MonotonicClock>>,
    crowd: Option<Crowd>,
    proxies: Networks,
    unlimited: Networks,
    hosts: Hosts,
    origins: Origins,
    /// The first segments of the API's paths.
    api: HashSet<String>,
    refusals: Refusals,
    counts: Doors,
    strange_proxy_told: AtomicBool,
}

impl Gate {
    /// `paths` are those of the API.
    pub fn new(admission: Admission, paths: impl IntoIterator<Item = String>, counts: Doors) -> Self {
        let Admission { rate, purchases, connections, proxies, unlimited, hosts, origins } = admission;
        let buckets = |rate| Buckets::new(rate, MonotonicClock);
        let segment = |path: String| path.split('/').nth(1).map(str::to_owned);
        Self {
            requests: rate.map(buckets),
            purchases: purchases.map(buckets),
            crowd: connections.map(Crowd::new),
            proxies,
            unlimited,
            hosts,
            origins,
            api: paths.into_iter().filter_map(segment).collect(),
            refusals: Refusals::default(),
            counts,
            strange_proxy_told: AtomicBool::new(false),
        }
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let client = client::address(peer, headers, &self.proxies);
        if self.proxies.is_empty()
            && client::is_forwarded(headers)
            && !self.strange_proxy_told.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "{client} sends X-Forwarded-For and is not in --trusted-proxy: if it is a proxy of yours, name it, or \
                 all its clients are one to the limits"
            );
        }
        client
    }

    fn take(
        &self,
        buckets: Option<&Buckets<MonotonicClock>>,
        client: IpAddr,
        what: Limit,
    ) -> Result<(), Problem> {
        let Some(buckets) = buckets else { return Ok(()) };
        if self.unlimited.contains(client) {
            return Ok(());
        }
        buckets.take(Client::of(client)).map_err(|wait| {
            self.limited(client, what);
            Problem::too_many(format!("too many {} from your address", what.label()), wait)
        })
    }

    fn limited(&self, client: IpAddr, what: Limit) {
        self.counts.limited(what);
        self.refusals.tell(client, what.label());
    }

    fn judge(&self, request: &RequestHead) -> Result<(), Problem> {
        if request.uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET) {
            return Err(ErrorCode::UriTooLong.into());
        }
        if !self.hosts.welcome(request) {
            let sentence =
                "this store does not answer to that host name (--allowed-host says to which it does)";
            return Err(Problem::new(ErrorCode::UnknownHost, sentence));
        }
        if self.requests.is_some() {
            let peer = request.peer_addr.map_or(NOBODY, |peer| peer.ip());
            let client = self.client(peer, &request.headers);
            self.take(self.requests.as_ref(), client, Limit::Requests)?;
        }
        Ok(())
    }

    /// A purchase is asked for by `request`.
    pub fn may_buy(&self, request: &HttpRequest) -> Result<(), Problem> {
        let peer = request.peer_addr().map_or(NOBODY, |peer| peer.ip());
        self.take(self.purchases.as_ref(), self.client(peer, request.headers()), Limit::Purchases)
    }
}

/// Who has no address.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The address of the client that sends `request`.
pub fn address_of(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let gate = request.app_data::<Data<Gate>>();
    Some(gate.map_or(peer, |gate| gate.client(peer, request.headers())))
}

/// The gate as it stands before one thread.
pub struct AtTheGate(pub Arc<Gate>);

impl Guard for AtTheGate {
    fn admit(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        match &self.0.crowd {
            // A proxy has connections for everybody.
            Some(crowd) if !self.0.proxies.contains(peer) && !self.0.unlimited.contains(peer) => {
                let seat = crowd.take_seat(Client::of(peer));
                if seat.is_none() {
                    self.0.limited(peer, Limit::Connections);
                }
                Some(Box::new(seat?))
            }
            _ => Some(Box::new(())),
        }
    }

    fn judge(&self, request: &Request) -> Result<Option<HeaderValue>, Box<AtTheDoor>> {
        let (gate, head) = (&*self.0, request.head());
        let origin = gate.origins.of(head, &gate.api);
        match gate.judge(head) {
            Err(problem) => Err(Box::new(AtTheDoor { answer: refusal::answer(head, &problem), origin })),
            Ok(()) => match origins::leave(head).filter(|_| origin.is_some()) {
                Some(answer) => Err(Box::new(AtTheDoor { answer, origin })),
                None => Ok(origin),
            },
        }
    }

    fn dress(&self, answer: &mut HeaderMap, origin: Option<HeaderValue>) {
        answer.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        // Documents have a policy of their own.
        if !answer.contains_key(header::CONTENT_SECURITY_POLICY) {
            answer.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        }
        if !self.0.origins.is_empty() {
            answer.append(header::VARY, HeaderValue::from_static("origin"));
        }
        match origin {
            None => answer.insert(RESOURCE_POLICY, SAME_ORIGIN),
            Some(origin) => {
                origins::allow(answer, origin);
                answer.insert(RESOURCE_POLICY, CROSS_ORIGIN)
            }
        };
    }
}
