//! `GET /status`: what a catalog node says of itself to those who watch.

use super::feed::Ack;
use super::master::Master;
use super::mastership::Standing;
use super::replica::Replica;
use crate::recipe::Recipe;
use crate::server::ApiError;
use crate::wire::status::{MasterStatus, ReplicaStatus, Role, StandingIs};
use actix_web::{HttpResponse, web};

pub async fn master(
    master: web::Data<Master>,
    recipe: web::Data<Option<Recipe>>,
) -> Result<HttpResponse, ApiError> {
    let store = master.reads.at(None).await?;
    let position = store.position().await.map_err(|error| master.reads.unavailable(&error))?;
    let standing = match master.mastership.standing() {
        Standing::Leads => StandingIs::Leads,
        Standing::Sealed(_) => StandingIs::Sealed,
        Standing::Deposed(_) => StandingIs::Deposed,
    };
    let of = MasterStatus {
        node: master.node,
        position,
        standing,
        acknowledges_in_sync: master.feed.ack() == Ack::Sync,
        lease_ms: u64::try_from(master.leases.term().as_millis()).unwrap_or(u64::MAX),
        holders: master.leases.holders(),
        replicas: master.feed.replicas(),
        queued: master.queue.waiting(),
        fences: master.account.fences(),
        sales: master.account.sales(),
    };
    Ok(HttpResponse::Ok()
        .json(master.counts.registry.status(Role::Master(of), recipe.map(|recipe| recipe.to_string()))))
}

pub async fn replica(replica: web::Data<Replica>, recipe: web::Data<Option<Recipe>>) -> HttpResponse {
    let of = ReplicaStatus {
        node: replica.node,
        position: replica.position(),
        follows: replica.follows(),
        wrong: replica.reads.are_wrong(),
    };
    HttpResponse::Ok()
        .json(replica.counts.registry.status(Role::Replica(of), recipe.map(|recipe| recipe.to_string())))
}
