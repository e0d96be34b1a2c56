//! The way from a connection to the routes, which all requests of a listener take.
//!
//! It lies below actix-web's router, so that an answer that needs no route can be given here
//! ([`Shortcut`]); everything else goes to the routes as if there were none.

use super::ApiError;
use super::connection::{Link, UnderWayHere};
use super::drain::{Entered, Entrance};
use super::guard::{AtTheDoor, Guard};
use super::traced::{Traced, Visitors};
use crate::clock;
use crate::coherence::Moment;
use crate::metrics::{COUNTED, Requests};
use crate::wire::{ErrorCode, Problem};
use actix_http::{Payload, Request};
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{AppConfig, RequestHead, Response, Service, ServiceFactory, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A header that every answer carries.
pub type Label = (HeaderName, HeaderValue);

/// Answers some requests at once, before they are routed. What it answers must be what the routes would
/// have answered, and it counts that itself. It is not asked while a listener drains.
pub trait Shortcut {
    /// `None`: it does not know this one; the routes answer it.
    fn answer(&self, request: &RequestHead) -> Option<Response<Bytes>>;
}

/// Around the routes of one thread.
pub struct Doorway<A> {
    pub routes: A,
    pub entrance: Entrance,
    pub label: Option<Label>,
    pub shortcut: Option<Rc<dyn Shortcut>>,
    pub guard: Option<Rc<dyn Guard>>,
    pub requests: Rc<Requests>,
    pub visitors: Visitors,
}

/// The same, ready to serve.
pub struct Door<S> {
    routes: S,
    entrance: Entrance,
    label: Option<Label>,
    shortcut: Option<Rc<dyn Shortcut>>,
    guard: Option<Rc<dyn Guard>>,
    requests: Rc<Requests>,
    visitors: Visitors,
}

/// What an answer gets on its way out.
pub struct Dress {
    label: Option<Label>,
    guard: Option<Rc<dyn Guard>>,
    /// The origin whose pages may read it.
    origin: Option<HeaderValue>,
}

impl Dress {
    fn put_on(self, answer: &mut HeaderMap) {
        if let Some((name, value)) = self.label {
            answer.insert(name, value);
        }
        if let Some(guard) = self.guard {
            guard.dress(answer, self.origin);
        }
    }
}

/// The bytes of a shortcut, the body of a refusal, or what the routes send.
type Body<B> = Counted<EitherBody<Bytes, EitherBody<BoxBody, B>>>;

impl<A, B> ServiceFactory<Request> for Doorway<A>
where
    A: ServiceFactory<Request, Response = ServiceResponse<B>, Config = AppConfig>,
    A::Future: 'static,
    B: MessageBody,
{
    type Response = Response<Body<B>>;
    type Error = A::Error;
    type Config = AppConfig;
    type Service = Door<A::Service>;
    type InitError = A::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let routes = self.routes.new_service(config);
        let (entrance, label, shortcut) = (self.entrance.clone(), self.label.clone(), self.shortcut.clone());
        let (guard, requests, visitors) = (self.guard.clone(), Rc::clone(&self.requests), self.visitors);
        Box::pin(async move {
            let routes = routes.await?;
            Ok(Door { routes, entrance, label, shortcut, guard, requests, visitors })
        })
    }
}

impl<S, B> Service<Request> for Door<S>
where
    S: Service<Request, Response = ServiceResponse<B>>,
    B: MessageBody,
{
    type Response = Response<Body<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.routes.poll_ready(context)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        // The connection has noted that it is to send no body.
        if request.head().method == Method::HEAD {
            request.head_mut().method = Method::GET;
        }
        let has_body = !matches!(request.payload(), Payload::None);
        let link = request.conn_data::<Rc<Link>>();
        let entered = self.entrance.enter();
        if entered.draining() && entered.too_late() {
            link.inspect(|link| link.head_is_complete(has_body));
            let refusal = ApiError(Problem::from(ErrorCode::Unavailable)).error_response();
            return self.at_once(entered, refused(refusal), None);
        }
        let origin = match self.guard.as_ref().map(|guard| guard.judge(&request)).transpose() {
            Ok(origin) => origin.flatten(),
            Err(refusal) => {
                link.inspect(|link| link.head_is_complete(has_body));
                let AtTheDoor { answer, origin } = *refusal;
                let method = request.head().method.as_str();
                self.requests.answered(method, None, answer.status().as_u16(), Duration::ZERO);
                return self.at_once(entered, refused(answer), origin);
            }
        };
        let mut traced = Traced::drawn(self.visitors, request.head());
        if !entered.draining()
            && let Some(response) = self.short_way(&request, &mut traced)
        {
            link.inspect(|link| link.head_is_complete(has_body));
            return self.at_once(entered, response.map_body(|_, body| EitherBody::left(body)), origin);
        }
        let traced = traced.or_else(|| Traced::followed(self.visitors, &request));
        let under_way = link.map(|link| link.has_begun(has_body));
        Answering::Routed {
            came_in: clock::now(),
            answer: self.routes.call(request),
            traced,
            entered: Some((entered, under_way, self.dress(origin))),
            requests: Rc::clone(&self.requests),
        }
    }
}

impl<S> Door<S> {
    fn dress(&self, origin: Option<HeaderValue>) -> Dress {
        Dress { label: self.label.clone(), guard: self.guard.clone(), origin }
    }

    /// What the shortcut answers, in the span of the request if it has one.
    fn short_way(&self, request: &Request, traced: &mut Option<Traced>) -> Option<Response<Bytes>> {
        let way = self.shortcut.as_ref()?;
        let response = {
            let _entered = traced.as_ref().map(Traced::enter);
            way.answer(request.head())?
        };
        if let Some(traced) = traced.take() {
            traced.answered(None, response.status().as_u16());
        }
        Some(response)
    }

    fn at_once<F, B>(
        &self,
        entered: Entered,
        response: Response<EitherBody<Bytes, EitherBody<BoxBody, B>>>,
        origin: Option<HeaderValue>,
    ) -> Answering<F, B> {
        Answering::AtOnce { response: Some(leaving(response, (entered, None, self.dress(origin)))) }
    }
}

fn refused<B>(refusal: HttpResponse) -> Response<EitherBody<Bytes, EitherBody<BoxBody, B>>> {
    let response = Response::from(refusal).map_body(|_, body| EitherBody::left(body));
    response.map_body(|_, body| EitherBody::right(body))
}

/// What goes with a request to the end of its answer.
type Goes = (Entered, Option<UnderWayHere>, Dress);

pin_project! {
    /// An answer on its way.
    #[project = OnItsWay]
    pub enum Answering<F, B> {
        AtOnce { response: Option<Response<Body<B>>> },
        Routed {
            #[pin]
            answer: F,
            entered: Option<Goes>,
            came_in: Moment,
            requests: Rc<Requests>,
            traced: Option<Traced>,
        },
    }
}

impl<F, B, E> Future for Answering<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, E>>,
{
    type Output = Result<Response<Body<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (response, entered) = match self.project() {
            OnItsWay::AtOnce { response } => {
                return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
            }
            OnItsWay::Routed { answer, entered, came_in, requests, traced } => {
                let answer = {
                    let _entered = traced.as_ref().map(Traced::enter);
                    ready!(answer.poll(context))?
                };
                count(requests, &answer, *came_in);
                if let Some(traced) = traced.take() {
                    let pattern = answer.request().match_pattern();
                    traced.answered(pattern.as_deref(), answer.status().as_u16());
                }
                let Some(entered) = entered.take() else { return Poll::Pending };
                (Response::from(answer), entered)
            }
        };
        let response = response.map_body(|_, body| EitherBody::right(EitherBody::right(body)));
        Poll::Ready(Ok(leaving(response, entered)))
    }
}

fn count<B>(requests: &Requests, answer: &ServiceResponse<B>, came_in: Moment) {
    if COUNTED {
        let (request, took) = (answer.request(), came_in.until(clock::now()));
        let pattern = request.match_pattern();
        requests.answered(request.method().as_str(), pattern.as_deref(), answer.status().as_u16(), took);
    }
}

/// What every answer gets on its way out.
fn leaving<B>(mut response: Response<B>, (entered, under_way, dress): Goes) -> Response<Counted<B>> {
    dress.put_on(response.headers_mut());
    if entered.draining() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response.map_body(|_, body| Counted { body, _entered: entered, _under_way: under_way })
}

pin_project! {
    /// A body that counts as under way until its last byte was handed to the connection.
    pub struct Counted<B> {
        #[pin]
        body: B,
        _entered: Entered,
        _under_way: Option<UnderWayHere>,
    }
}

impl<B: MessageBody> MessageBody for Counted<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(context)
    }
}
