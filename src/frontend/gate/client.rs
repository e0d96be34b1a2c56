//! Who a client is: the address at the other end of the connection, or the one that a proxy of ours has seen.
//!
//! Anybody can send `X-Forwarded-For`. Each proxy appends whom it got the request from, so from the right the list
//! is true as long as who wrote it is trusted: the client is the right-most address that is none of our proxies, and
//! what stands left of it is hearsay.

use super::networks::Networks;
use actix_web::http::header::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Proxies behind one another: more is nobody's network.
const MAX_PROXIES: usize = 16;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whom limits count as one: an IPv4 address, or the 2^64 addresses of IPv6 that one customer is given at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(prefix))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The address of the client whose request came from `peer` with `headers`.
pub fn address(peer: IpAddr, headers: &HeaderMap, proxies: &Networks) -> IpAddr {
    let mut nearest = peer.to_canonical();
    if !proxies.contains(nearest) {
        return nearest;
    }
    let lines: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).map(|line| line.to_str().unwrap_or_default()).collect();
    let addresses = lines.iter().rev().flat_map(|line| line.rsplit(','));
    for text in addresses.take(MAX_PROXIES) {
        // What is no address was not written by a proxy of ours.
        // And the loopback is where a proxy is, not who comes to one: it is not to be claimed by who has found a way
        // around the proxy.
        let Some(address) = parse(text.trim()).map(|address| address.to_canonical()) else { break };
        if address.is_loopback() && !nearest.is_loopback() {
            break;
        }
        nearest = address;
        if !proxies.contains(nearest) {
            break;
        }
    }
    nearest
}

/// Some proxies write the port as well.
fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Whether somebody says that it is a proxy.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn seen(peer: &str, lines: &[&str], proxies: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        address(peer.parse().unwrap(), &headers, &Networks::parse(proxies).unwrap()).to_string()
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_no_proxy_of_ours() {
        for (peer, lines, client) in [
            // Whoever is no proxy may say what he likes.
            ("203.0.113.7", &["198.51.100.1"][..], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            // Two lines are one list.
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1,10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            // Nothing but proxies: the furthest of them.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, , 10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(seen(peer, lines, "10.0.0.0/8"), client, "{peer} {lines:?}");
        }
        assert_eq!(seen("127.0.0.1", &["198.51.100.1"], "none"), "127.0.0.1");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1"], "private"), "10.0.0.1", "claimed by who is not there");
    }

    #[test]
    fn a_list_without_an_end_is_not_read_to_it() {
        let list = vec!["10.0.0.2"; 5000].join(",");
        assert_eq!(seen("10.0.0.1", &[&format!("198.51.100.1,{list}")], "10.0.0.0/8"), "10.0.0.2");
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_client() {
        let client = |text: &str| Client::of(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:203.0.113.7"), client("203.0.113.7"));
        assert_ne!(client("203.0.113.7"), client("203.0.113.8"));
    }
}
