//! `GET /status`: what a frontend says of itself to those who watch.

use super::shop::Shop;
use crate::clock;
use crate::metrics::Counts;
use crate::wire::status::{FrontendStatus, LeaseHeld, RedisStatus, Role, Status};
use actix_web::HttpResponse;
use actix_web::web::Data;
use std::net::SocketAddr;

/// What a frontend is, beside its shop.
pub struct Own {
    pub counts: Counts,
    pub listen: SocketAddr,
    /// Host and port.
    pub redis: Option<String>,
}

impl Own {
    pub fn status(&self, shop: &Shop) -> Status {
        let now = clock::now();
        let cache = &shop.cache;
        let lease =
            cache.leases.lease().as_ref().filter(|lease| lease.valid_at(now)).map(|lease| LeaseHeld {
                epoch: lease.epoch().number,
                remaining_ms: u64::try_from(now.until(lease.deadline()).as_millis()).unwrap_or(u64::MAX),
            });
        let connected = cache.redis.as_ref().is_some_and(|redis| redis.is_connected());
        let of = FrontendStatus {
            listen: self.listen.to_string(),
            holder: cache.leases.holder(),
            lease,
            redis: self.redis.clone().map(|address| RedisStatus { address, connected }),
            catalog: cache.nodes.standing(),
            orders: shop.orders.pool.standing(),
        };
        self.counts.registry.status(Role::Frontend(of), cache.recipe.map(|recipe| recipe.to_string()))
    }
}

pub async fn status(own: Data<Own>, shop: Data<Shop>) -> HttpResponse {
    HttpResponse::Ok().json(own.status(&shop))
}

/// Where a Redis is, without the user and password that its URL may hold.
pub fn redis_address(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(url) => match url.host_str() {
            Some(host) => format!("{host}:{}", url.port().unwrap_or(6379)),
            None => url.path().to_owned(),
        },
        Err(_) => "configured".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::redis_address;

    #[test]
    fn a_password_of_redis_is_not_shown() {
        assert_eq!(redis_address("redis://me:secret@cache:6380/1"), "cache:6380");
        assert_eq!(redis_address("redis://cache"), "cache:6379");
        assert_eq!(redis_address("redis+unix:///run/redis.sock?pass=secret"), "/run/redis.sock");
    }
}
