//! What a customer can do: look at books, buy one, find an order again.

use super::answer;
use super::balance::Pool;
use super::cache::{Cache, Reach, Served, Want};
use super::demand::{Demand, Level};
use super::orders::{MAX_PURCHASES, Orders};
use super::warm::Warming;
use crate::clock;
use crate::coherence::Moment;
use crate::domain::{IdempotencyKey, Order, OrderId, Outcome, PublicVersion, Purchase, Receipt, Refusal};
use crate::metrics::{Asked, Bought, Sheet, families};
use crate::shutdown::Shutdown;
use crate::telemetry::trace;
use crate::wire::catalog::{ORDERS, Stated};
use crate::wire::public::PurchaseBody;
use crate::wire::{ErrorCode, Problem};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// For one look-up of an order.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(1);

pub struct Shop {
    pub cache: Arc<Cache>,
    pub orders: Arc<Orders>,
    purchases: Arc<Semaphore>,
    /// Cancelled when the listener is about to go: who still waits for a purchase is told its key.
    pub closing: Shutdown,
    /// How far it is with what is read before it opens.
    pub warming: Warming,
}

/// What became of a purchase, now or under the same key before.
pub struct Decided {
    pub answer: Result<Receipt, Refusal>,
    pub replayed: bool,
}

impl Shop {
    pub fn new(cache: Arc<Cache>, orders: Arc<Pool>, warming: Warming) -> Self {
        let purchases = Arc::new(Semaphore::new(MAX_PURCHASES));
        let orders = Arc::new(Orders::new(orders));
        Self { cache, orders, purchases, closing: Shutdown::new(), warming }
    }

    pub async fn read(
        &self,
        want: &Want,
        demand: Demand,
        came_in: Moment,
        request_id: &str,
    ) -> Result<Served, Problem> {
        let served = self.cache.get(want, demand, came_in, request_id).await?;
        self.cache.counts.answered(served.by.level());
        if served.stale {
            self.cache.counts.stale(if demand.level == Level::Stale { Asked::Yes } else { Asked::No });
        }
        if trace::is_traced() {
            answer::note(served.x_cache(), served.by.level().label());
        }
        Ok(served)
    }

    /// What a scraper is told.
    pub fn read_gauges(&self, sheet: &mut Sheet) {
        self.cache.read(sheet);
        self.orders.read(sheet);
        let in_flight = MAX_PURCHASES.saturating_sub(self.purchases.available_permits());
        sheet.gauge(&families::PURCHASES_IN_FLIGHT, in_flight as f64);
        sheet.gauge(&families::PURCHASES_IN_FLIGHT_MAX, MAX_PURCHASES as f64);
    }

    /// Buys, under `key`, or under one of its own, which `key` then holds. [`ErrorCode::Unavailable`]: the
    /// outcome is unknown, and it is safe to repeat with the same key.
    pub async fn purchase(
        &self,
        body: &PurchaseBody,
        key: &mut Option<IdempotencyKey>,
        request_id: String,
    ) -> Result<Decided, Problem> {
        let order_id = OrderId::draw(clock::wall_ms(), rand::random());
        let key = match key {
            Some(given) => given.clone(),
            // As unguessable as the order's number, and as well placed in an index.
            None => key.insert(IdempotencyKey::parse(order_id.to_string())?).clone(),
        };
        let purchase =
            Purchase { order_id, key, book_id: body.book_id, quantity: body.quantity, offer: body.offer };
        // With the key in hand: also who is turned away is told it.
        self.submit(purchase, request_id).await
    }

    /// Buys, as [`purchase`](Self::purchase), under the number and the key that it has already.
    pub async fn submit(&self, purchase: Purchase, request_id: String) -> Result<Decided, Problem> {
        let decided = self.decided(purchase, request_id).await;
        self.cache.counts.bought(told(&decided));
        decided
    }

    async fn decided(&self, purchase: Purchase, request_id: String) -> Result<Decided, Problem> {
        let unavailable = || Problem::from(ErrorCode::Unavailable);
        let permit = Arc::clone(&self.purchases).try_acquire_owned().map_err(|_| unavailable())?;
        let orders = Arc::clone(&self.orders);
        // A task of its own: a customer who hangs up does not stop a purchase half-way.
        let task = actix_web::rt::spawn(trace::here(async move {
            let _permit = permit;
            orders.buy(purchase, request_id).await
        }));
        let outcome = tokio::select! {
            outcome = task => outcome.map_err(|_| unavailable())??,
            () = self.closing.cancelled() => return Err(unavailable()),
        };
        match outcome {
            Outcome::Purchase { answer, replayed } => Ok(Decided { answer, replayed }),
            Outcome::Edit(_) | Outcome::Guarded { .. } | Outcome::Rejected => Err(ErrorCode::Internal.into()),
        }
    }

    /// An order, and the state that the answer shows. `None` is the master's word: an order that a replica
    /// lacks may exist. An order never changes, so whoever has it is right.
    pub async fn order(
        &self,
        id: OrderId,
        demand: Demand,
        request_id: &str,
    ) -> Result<(Option<Order>, PublicVersion), Problem> {
        if demand.level == Level::Stale
            && let Some(found) = self.order_at_a_node(id, demand, request_id).await?
        {
            return Ok(found);
        }
        let path = format!("{ORDERS}/{id}");
        let answer: Result<Stated<Option<Order>>, _> =
            self.cache.masters.get(&path, request_id, LOOKUP_DEADLINE).await;
        match answer {
            Ok(Stated { master, asof, value }) if master || value.is_some() => {
                match self.cache.at_least(demand, asof, request_id).await? {
                    Reach::Yes(shows) => return Ok((value, shows)),
                    Reach::Older if master => return Err(ErrorCode::VersionUnavailable.into()),
                    Reach::Older | Reach::Unsaid => {}
                }
            }
            Ok(_) => {}
            Err(error) => log::debug!(request_id; "order {id} at the master: {error}"),
        }
        if demand.level != Level::Stale
            && let Some(found) = self.order_at_a_node(id, demand, request_id).await?
        {
            return Ok(found);
        }
        Err(ErrorCode::Unavailable.into())
    }

    /// The order, if a catalog node that is far enough has it.
    async fn order_at_a_node(
        &self,
        id: OrderId,
        demand: Demand,
        request_id: &str,
    ) -> Result<Option<(Option<Order>, PublicVersion)>, Problem> {
        let Some(node) = self.cache.nodes.pick_but_master(&[]) else { return Ok(None) };
        let path = format!("{ORDERS}/{id}");
        let answer: Result<Stated<Option<Order>>, _> =
            node.call(node.peer.get(&path, request_id, LOOKUP_DEADLINE)).await;
        let Ok(Stated { asof, value: Some(order), .. }) = answer else { return Ok(None) };
        match self.cache.at_least(demand, asof, request_id).await? {
            Reach::Yes(shows) => Ok(Some((Some(order), shows))),
            Reach::Older | Reach::Unsaid => Ok(None),
        }
    }
}

/// What a customer is told, as it is counted.
fn told(decided: &Result<Decided, Problem>) -> Bought {
    match decided {
        Ok(Decided { replayed: true, .. }) => Bought::Replayed,
        Ok(Decided { answer: Ok(_), .. }) => Bought::Bought,
        Ok(Decided { answer: Err(refusal), .. }) => match refusal {
            Refusal::BookNotFound => Bought::BookNotFound,
            Refusal::OutOfStock => Bought::OutOfStock,
            Refusal::Underpaid { .. } => Bought::Underpaid,
            Refusal::IdempotencyMismatch => Bought::Mismatch,
        },
        Err(problem) if problem.code == ErrorCode::Unavailable => Bought::Unavailable,
        Err(_) => Bought::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{BaseUrl, Masters};
    use crate::frontend::balance::Policy;
    use crate::frontend::cache::{LeaseKeeper, Levels, Local, Ttl};
    use crate::member::Member;
    use crate::metrics::{PoolName, Reads, Registry, RoleName};
    use crate::wire::catalog::{PROTOCOL, Reachable};
    use std::net::TcpListener;

    /// A shop whose only order node takes connections and says nothing.
    async fn shop(silent: &TcpListener) -> Shop {
        let member = Member::of_nothing();
        let url = BaseUrl::from_addr(silent.local_addr().unwrap());
        let masters = Masters::new(std::slice::from_ref(&url), &member);
        let counts = Reads::new(&Registry::new(RoleName::Frontend));
        let address = Reachable::Port(1);
        let leases = LeaseKeeper::new(masters.clone(), member.clone(), address, PROTOCOL, counts.clone());
        let leases = Arc::new(leases);
        let (urls, policy) = (vec![url.clone()], Policy::RoundRobin);
        let nodes = Arc::new(Pool::new(PoolName::Catalog, policy, urls, 1, &member).await);
        let orders = Arc::new(Pool::new(PoolName::Order, policy, vec![url], 0, &member).await);
        let ttl = Ttl { search: Duration::from_secs(1), info: Duration::from_secs(1) };
        let levels = Levels { local: Local::new(1 << 16), redis: None, nodes, masters };
        let cache = Cache::new(levels, leases, ttl, None, counts);
        Shop::new(Arc::new(cache), orders, Warming::new(None))
    }

    /// What becomes of a purchase, and the key that its client is told.
    async fn buy(shop: &Shop, key: Option<&str>) -> (ErrorCode, Option<String>) {
        let mut key = key.map(|key| IdempotencyKey::parse(key).unwrap());
        let body = PurchaseBody::parse(br#"{"book_id":9}"#).unwrap();
        let outcome = shop.purchase(&body, &mut key, "test".into()).await;
        (outcome.err().unwrap().code, key.map(|key| key.to_string()))
    }

    #[actix_web::test]
    async fn who_is_turned_away_from_a_full_shop_is_told_the_key() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let shop = shop(&silent).await;
        let _all = Arc::clone(&shop.purchases).try_acquire_many_owned(MAX_PURCHASES as u32).unwrap();
        assert_eq!(buy(&shop, Some("mine")).await, (ErrorCode::Unavailable, Some("mine".into())));
        let (code, made) = buy(&shop, None).await;
        assert_eq!(code, ErrorCode::Unavailable);
        assert!(made.is_some_and(|key| !key.is_empty()));
    }

    #[actix_web::test]
    async fn who_waits_in_a_shop_that_closes_is_told_the_key() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let shop = shop(&silent).await;
        shop.closing.cancel();
        let (code, made) = buy(&shop, None).await;
        assert_eq!(code, ErrorCode::Unavailable);
        assert!(made.is_some_and(|key| !key.is_empty()));
    }
}
