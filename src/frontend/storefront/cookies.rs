//! What a browser keeps for us: who it is (for the forms), the version that it has seen, and its last orders.
//!
//! Nothing here is trusted further than its owner may be: whoever writes an order id into the cookie knew the
//! id, which is all that the order's page asks for, and a version only ever asks for more. So they carry no
//! MAC. Everything is bounded when it is read.

use crate::domain::{OrderId, Version, random_id};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use cookie::time::Duration;
use cookie::{Cookie, SameSite};

const VISITOR: &str = "bazar-visitor";
const SEEN: &str = "bazar-seen";
const ORDERS: &str = "bazar-orders";

/// Orders that are remembered: with more, the cookie would outgrow what servers take in a header, and each
/// is looked up for the page that lists them.
pub const MAX_ORDERS: usize = 20;

/// The longest that browsers keep anything.
const ORDERS_KEPT: Duration = Duration::days(400);

/// Far longer than a version takes to be everywhere.
const SEEN_KEPT: Duration = Duration::days(1);

/// Longer ones were not made here.
const MAX_LENGTH: usize = 1024;

random_id!(
    /// A browser, to the forms that it was given.
    VisitorId,
    "a visitor"
);

/// What came with a request, as far as it is what we send.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub visitor: Option<VisitorId>,
    pub seen: Option<Version>,
    /// The newest first.
    pub orders: Vec<OrderId>,
}

impl Kept {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut kept = Self::default();
        for line in headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok()) {
            for cookie in Cookie::split_parse(line).flatten() {
                let value = cookie.value();
                match cookie.name() {
                    _ if value.len() > MAX_LENGTH => {}
                    VISITOR => kept.visitor = value.parse().ok(),
                    SEEN => kept.seen = value.parse().ok(),
                    ORDERS => kept.orders = orders(value),
                    _ => {}
                }
            }
        }
        kept
    }

    pub fn remember(&mut self, order: OrderId) {
        self.orders.retain(|&known| known != order);
        self.orders.insert(0, order);
        self.orders.truncate(MAX_ORDERS);
    }

    /// What makes a browser that keeps `before` keep this. `secure`: it came by HTTPS, so it is to be sent by
    /// nothing else.
    pub fn changes(&self, before: &Self, secure: bool) -> Vec<HeaderValue> {
        let mut changed = Vec::new();
        let mut keep = |name, value: String, age| changed.extend(in_header(name, value, age, secure));
        if let Some(visitor) = self.visitor.filter(|_| self.visitor != before.visitor) {
            keep(VISITOR, visitor.to_string(), None);
        }
        if self.seen != before.seen {
            // An age of zero: forget it.
            let age = if self.seen.is_some() { SEEN_KEPT } else { Duration::ZERO };
            keep(SEEN, self.seen.map(|seen| seen.to_string()).unwrap_or_default(), Some(age));
        }
        if self.orders != before.orders {
            let ids: Vec<_> = self.orders.iter().map(OrderId::to_string).collect();
            keep(ORDERS, ids.join("."), Some(ORDERS_KEPT));
        }
        changed
    }
}

fn orders(value: &str) -> Vec<OrderId> {
    let mut kept = Kept::default();
    let ids: Vec<OrderId> = value.split('.').filter_map(|id| id.parse().ok()).collect();
    ids.into_iter().rev().for_each(|id| kept.remember(id));
    kept.orders
}

/// No script may read it. `Lax`: it comes along when somebody follows a link to the shop, but not with a form
/// of another site.
fn in_header(name: &'static str, value: String, age: Option<Duration>, secure: bool) -> Option<HeaderValue> {
    let mut cookie = Cookie::build((name, value)).path("/").http_only(true).same_site(SameSite::Lax).build();
    cookie.set_secure(secure);
    cookie.set_max_age(age);
    HeaderValue::from_str(&cookie.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;
    use proptest::prelude::*;

    fn kept(cookies: &[&str]) -> Kept {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        Kept::of(&headers)
    }

    fn order(number: u128) -> OrderId {
        OrderId::draw(0, number)
    }

    /// What a browser sends that was sent `changes`.
    fn sent_back(changes: &[HeaderValue]) -> String {
        let pairs = changes.iter().map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned());
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn full() -> Kept {
        let seen = Version { epoch: Epoch { number: 3, identity: 7 }, seq: 17 };
        Kept { visitor: Some(VisitorId(1)), seen: Some(seen), orders: vec![order(2), order(1)] }
    }

    #[test]
    fn what_a_browser_was_given_comes_back() {
        let changes = full().changes(&Kept::default(), false);
        assert_eq!(changes.len(), 3);
        for line in &changes {
            let line = line.to_str().unwrap();
            assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax") && line.contains("Path=/"));
            assert!(!line.contains("Secure"), "{line}");
        }
        assert_eq!(kept(&[&format!("other=1; {}", sent_back(&changes))]), full());
        assert!(full().changes(&full(), false).is_empty(), "what is there is not sent again");
    }

    #[test]
    fn by_https_they_are_for_https_alone() {
        let changes = full().changes(&Kept::default(), true);
        assert!(changes.iter().all(|line| line.to_str().unwrap().contains("Secure")));
    }

    #[test]
    fn a_version_that_fits_no_more_is_taken_back() {
        let changes = Kept { seen: None, ..full() }.changes(&full(), false);
        let [line] = &changes[..] else { panic!("{changes:?}") };
        assert!(line.to_str().unwrap().contains("Max-Age=0"), "{line:?}");
    }

    #[test]
    fn the_last_orders_are_remembered_once_each_and_no_more_than_fit() {
        let mut kept_orders = Kept::default();
        (0..50).for_each(|number| kept_orders.remember(order(number)));
        kept_orders.remember(order(45));
        assert_eq!(kept_orders.orders.len(), MAX_ORDERS);
        assert_eq!(kept_orders.orders[..2], [order(45), order(49)]);
        let changes = kept_orders.changes(&Kept::default(), false);
        assert!(changes[0].len() < MAX_LENGTH, "{}", changes[0].len());
        assert_eq!(kept(&[&sent_back(&changes)]), kept_orders);
    }

    #[test]
    fn what_was_not_made_here_is_nothing() {
        let many = vec![order(1).to_string(); 200].join(".");
        for cookie in [
            "bazar-seen=3.17",
            "bazar-seen=",
            "bazar-orders=x.y",
            "bazar-visitor=me",
            "=;;=",
            &format!("bazar-orders={many}"),
        ] {
            assert_eq!(kept(&[cookie]), Kept::default(), "{cookie}");
        }
        let twice = format!("bazar-orders={0}.rubbish.{0}", order(1));
        assert_eq!(kept(&[&twice]).orders, [order(1)]);
    }

    proptest! {
        #[test]
        fn whatever_a_browser_sends_is_bounded(cookie in "(bazar-(seen|orders|visitor)=[ -~]{0,300};? ?){0,4}") {
            let kept = kept(&[&cookie]);
            prop_assert!(kept.orders.len() <= MAX_ORDERS);
        }
    }
}
