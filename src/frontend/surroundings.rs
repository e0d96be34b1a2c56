//! Where a frontend's dashboard finds the store: its own pools, and itself.

use super::shop::Shop;
use crate::client::BaseUrl;
use crate::dashboard::{Kind, Surroundings, Whom};
use crate::wire::status::PoolNode;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub struct Around {
    shop: Arc<Shop>,
    /// The internal listener, as this process reaches it.
    own: BaseUrl,
}

impl Around {
    /// `internal`: as it is bound.
    pub fn new(shop: Arc<Shop>, mut internal: SocketAddr) -> Self {
        if internal.ip().is_unspecified() {
            internal.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        Self { shop, own: BaseUrl::from_addr(internal) }
    }
}

impl Surroundings for Around {
    fn nodes(&self) -> Vec<Whom> {
        let whom = |kind| {
            move |node: PoolNode| BaseUrl::parse(&node.url).ok().map(|url| Whom { kind, url, name: None })
        };
        let catalog = self.shop.cache.nodes.standing().into_iter().filter_map(whom(Kind::Catalog));
        let orders = self.shop.orders.pool.standing().into_iter().filter_map(whom(Kind::Order));
        let own = Whom { kind: Kind::Frontend, url: self.own.clone(), name: None };
        std::iter::once(own).chain(catalog).chain(orders).collect()
    }
}
