//! The order role: stateless purchase processing.
//!
//! It takes purchases that already have their order id and their key, gathers what arrives while a
//! request to the master is under way into the next one, and repeats with the same keys until it has an
//! answer or the deadline is over. What it loses when it is killed, the frontend sends again.

mod purchase;

use crate::client::{BaseUrl, Masters};
use crate::member::Member;
use crate::metrics::{Counts, Exposition, Registry, RoleName, Sends};
use crate::server::{
    self, ApiError, Exposed, Site, Visitors, healthz, prove_to_members, read_json, require_token, resource,
};
use crate::shutdown::Shutdown;
use crate::token::{InternalToken, MetricsTokens};
use crate::wire::catalog::MAX_BATCH;
use crate::wire::order::{Answers, PURCHASES};
use crate::wire::status::{OrderStatus, Role, STATUS};
use crate::wire::{ErrorCode, Problem, catalog};
use actix_web::HttpResponse;
use actix_web::middleware::from_fn;
use actix_web::web;
use purchase::Purchases;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// A batch of purchases with the longest keys, twice over.
const MAX_BODY: usize = 512 << 10;

/// What an order node was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// Candidates for the write master; not empty.
    pub masters: Vec<BaseUrl>,
    /// Who may scrape its metrics; nobody without.
    pub metrics: Option<MetricsTokens>,
}

/// An order node that is bound.
pub struct App {
    listener: TcpListener,
    addr: SocketAddr,
    member: Member,
    masters: Masters,
    counts: Counts,
    metrics: Option<MetricsTokens>,
}

impl Config {
    pub async fn build(self, token: InternalToken) -> io::Result<App> {
        let (listener, addr) = server::bind(self.listen)?;
        let counts = Counts::new(RoleName::Order);
        let member = Member::counted(token, counts.calls.clone());
        let masters = Masters::new(&self.masters, &member);
        Ok(App { listener, addr, member, masters, counts, metrics: self.metrics })
    }
}

impl App {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown`, then answers what is under way.
    pub async fn run(self, shutdown: Shutdown) -> io::Result<()> {
        let Counts { registry, requests, .. } = self.counts.clone();
        let purchases_of = Purchases::new(self.masters.clone(), Sends::new(&registry));
        let exposition = Exposition::new(&self.counts, {
            let purchases = purchases_of.clone();
            move |sheet| purchases.read(sheet)
        });
        let exposed = Exposed::new(exposition, self.metrics);
        let (to_master, member) = (web::Data::new(purchases_of), web::Data::new(self.member));
        let own = web::Data::new(Own { registry, masters: self.masters });
        let routes = move |config: &mut web::ServiceConfig| {
            config
                .app_data(member.clone())
                .app_data(to_master.clone())
                .app_data(own.clone())
                .configure(|config| exposed.configure(config))
                .service(resource("/healthz", "GET", web::get().to(healthz)).wrap(from_fn(prove_to_members)))
                .service(resource("/readyz", "GET", web::get().to(healthz)).wrap(from_fn(prove_to_members)))
                .service(
                    web::scope("")
                        .wrap(from_fn(require_token))
                        .service(resource(PURCHASES, "POST", web::post().to(purchases)))
                        .service(resource(STATUS, "GET", web::get().to(status))),
                );
        };
        let site = Site {
            configure: routes,
            label: None,
            shortcut: None,
            guard: None,
            requests,
            visitors: Visitors::members("order"),
        };
        server::serve_here(self.listener, shutdown, site).await
    }
}

/// What an order node says of itself.
struct Own {
    registry: Registry,
    masters: Masters,
}

async fn status(own: web::Data<Own>) -> HttpResponse {
    let master = own.masters.preferred().url().to_string();
    HttpResponse::Ok().json(own.registry.status(Role::Order(OrderStatus { master }), None))
}

async fn purchases(to_master: web::Data<Purchases>, payload: web::Payload) -> Result<HttpResponse, ApiError> {
    let body: catalog::Purchases = read_json(payload, MAX_BODY).await?;
    if body.purchases.len() > MAX_BATCH {
        let sentence = format!("a request has at most {MAX_BATCH} purchases");
        return Err(Problem::new(ErrorCode::InvalidRequest, sentence).into());
    }
    Ok(HttpResponse::Ok().json(Answers { answers: to_master.submit(body.purchases).await }))
}
