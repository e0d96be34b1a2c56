//! For tests: a peer that answers as it is told and keeps what it was asked, and what it is asked for.

use super::BaseUrl;
use crate::domain::{BookId, IdempotencyKey, OrderId, Purchase, Quantity};
use crate::member::Member;
use crate::server::require_token;
use crate::wire::catalog::PurchaseCall;
use crate::wire::{ErrorCode, Problem};
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

pub struct FakePeer {
    pub url: BaseUrl,
    asked: Arc<Mutex<Vec<Value>>>,
}

/// A status and a body.
pub type FakeAnswer = (u16, Value);

impl FakePeer {
    /// `answers` is given the body of each request, `null` if it has none.
    pub fn start(answers: impl Fn(&Value) -> FakeAnswer + Clone + Send + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let server = HttpServer::new({
            let asked = Arc::clone(&asked);
            move || {
                let (asked, answers) = (Arc::clone(&asked), answers.clone());
                let member = web::Data::new(Member::of_nothing());
                let app = App::new().app_data(member).wrap(from_fn(require_token));
                app.default_service(web::to(move |body: web::Bytes| {
                    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    let (status, answer) = answers(&body);
                    asked.lock().push(body);
                    async move { HttpResponse::build(StatusCode::from_u16(status).unwrap()).json(answer) }
                }))
            }
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let url = BaseUrl::from_addr(server.addrs()[0]);
        actix_web::rt::spawn(server.run());
        Self { url, asked }
    }

    /// The bodies of the requests since it was asked for them last.
    pub fn asked<T: DeserializeOwned>(&self) -> Vec<T> {
        let asked = std::mem::take(&mut *self.asked.lock());
        asked.into_iter().map(|body| serde_json::from_value(body).unwrap()).collect()
    }
}

pub fn answers(body: impl Serialize) -> FakeAnswer {
    (200, serde_json::to_value(body).unwrap())
}

pub fn refuses(code: ErrorCode) -> FakeAnswer {
    (code.status(), serde_json::to_value(Problem::from(code)).unwrap())
}

/// Of one copy, under a key of its own for each book.
pub fn purchase_of(book: i64) -> PurchaseCall {
    let purchase = Purchase {
        order_id: OrderId::draw(7, u128::from(book.unsigned_abs())),
        key: IdempotencyKey::parse(format!("key-{book}")).unwrap(),
        book_id: BookId::new(book).unwrap(),
        quantity: Quantity::ONE,
        offer: None,
    };
    PurchaseCall { request_id: "test".into(), purchase, trace: None }
}
