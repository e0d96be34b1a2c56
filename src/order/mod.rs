//! The order role: stateless purchase processing.
//!
//! It takes purchases that already have their order id and their key, gathers what arrives while a
//! request to the master is under way into the next one, and repeats with the same keys until it has an
//! answer or the deadline is over. What it loses when it is killed, the frontend sends again.

mod purchase;

use crate::client::{BaseUrl, Masters};
use crate::member::Member;
use crate::server::{self, ApiError, healthz, read_json, request_id, require_token, resource};
use crate::shutdown::Shutdown;
use crate::token::InternalToken;
use crate::wire::catalog::PurchaseCall;
use crate::wire::order::PURCHASE;
use actix_web::middleware::from_fn;
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse};
use purchase::{Gatherer, Queue};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// HTTP workers. A purchase costs this role some microseconds.
const WORKERS: usize = 1;

/// A purchase with the longest key.
const MAX_BODY: usize = 4 << 10;

/// What an order node was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// Candidates for the write master; not empty.
    pub masters: Vec<BaseUrl>,
}

/// An order node that is bound.
pub struct App {
    listener: TcpListener,
    addr: SocketAddr,
    member: Member,
    masters: Masters,
}

impl Config {
    pub async fn build(self, token: InternalToken) -> io::Result<App> {
        let (listener, addr) = server::bind(self.listen)?;
        let member = Member::new(token);
        let masters = Masters::new(&self.masters, &member);
        Ok(App { listener, addr, member, masters })
    }
}

impl App {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown`, then answers what is under way.
    pub async fn run(self, shutdown: Shutdown) -> io::Result<()> {
        let (queue, gatherer) = Gatherer::new(self.masters);
        // Ends when the last sender, which the routes hold, is gone.
        let gathering = actix_web::rt::spawn(gatherer.run());
        let (queue, member) = (web::Data::new(queue), web::Data::new(self.member));
        let routes = move |config: &mut web::ServiceConfig| {
            config
                .app_data(member.clone())
                .app_data(queue.clone())
                .service(resource("/healthz", "GET", web::get().to(healthz)))
                .service(resource("/readyz", "GET", web::get().to(healthz)))
                .service(web::scope("").wrap(from_fn(require_token)).service(resource(
                    PURCHASE,
                    "POST",
                    web::post().to(purchase),
                )));
        };
        server::serve(self.listener, WORKERS, shutdown, routes).await?;
        gathering.abort();
        Ok(())
    }
}

async fn purchase(
    queue: web::Data<Queue>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let purchase = read_json(payload, MAX_BODY).await?;
    let call = PurchaseCall { request_id: request_id(&request), purchase };
    Ok(HttpResponse::Ok().json(queue.submit(call).await?))
}
