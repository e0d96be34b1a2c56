//! What every listener of ours shares: binding, limits, the error envelope, draining; and who is let in to internal routes.
//!
//! Invariants: a request that was accepted is answered before the listener is gone, unless it takes
//! longer than [`DRAIN`]; whatever goes wrong leaves as a [`Problem`].

mod connection;
mod door;
mod drain;
mod events;
mod exposed;
mod guard;
mod here;
mod lag;
mod members;
mod traced;

use crate::metrics::Requests;
use crate::shutdown::Shutdown;
use crate::telemetry::trace;
use crate::wire::{ErrorCode, Problem, headers};
use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, Resource, ResponseError, Route};
use connection::Connection;
use door::Doorway;
use drain::{Entrance, UnderWay};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};
use tokio::net::TcpStream;

pub use door::{Label, Shortcut};
pub use events::{event, stream_events};
pub use exposed::Exposed;
pub use guard::{AtTheDoor, Guard, Place};
pub use here::serve_here;
pub use members::{prove_to_members, require_keeper, require_token};
pub use traced::Visitors;

/// How long requests under way may take once a stop was asked for.
pub const DRAIN: Duration = Duration::from_secs(3);

/// How long the workers may take to write the answers that are ready: on a crowded machine one is not scheduled at once.
const FLUSH: Duration = Duration::from_secs(1);

/// Longer than any client of ours keeps an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// For the head of a request; slower is a slow-loris.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// For a peer to read an answer that it gets before it has sent all of its body, and to hang up.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// For the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of one worker; beyond, the kernel's queue is the limit.
const MAX_CONNECTIONS: usize = 8192;

/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "1";

/// Binds `addr`; port 0 picks a free one.
pub fn bind(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(addr).map_err(|error| io::Error::new(error.kind(), format!("{addr}: {error}")))?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// What one thread serves.
pub struct Site<C> {
    pub configure: C,
    pub label: Option<Label>,
    pub shortcut: Option<Rc<dyn Shortcut>>,
    /// Of a listener that anybody may reach.
    pub guard: Option<Rc<dyn Guard>>,
    /// Where its requests are counted.
    pub requests: Requests,
    /// Who comes here, and so whose word counts on what is traced.
    pub visitors: Visitors,
}

/// Serves the connections of one thread to the listener at `addr`.
fn service<C: FnOnce(&mut ServiceConfig) + 'static>(
    site: Site<C>,
    entrance: Entrance,
    addr: SocketAddr,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> {
    let Site { configure, label, shortcut, guard, requests, visitors } = site;
    let routes = App::new().default_service(web::to(not_found)).configure(configure).into_factory();
    let admits = guard.clone();
    let (requests, connections) = (Rc::new(requests.clone()), requests);
    lag::measure(Rc::downgrade(&requests));
    let doorway = Doorway { routes, entrance, label, shortcut, guard, requests, visitors };
    let http = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .local_addr(addr)
        .on_connect_ext(move |connection: &Connection<Option<Place>>, data| {
            data.insert(connection.link());
            data.insert(connections.connected());
        })
        .h1(map_config(doorway, |()| AppConfig::default()));
    let admit = move |stream: TcpStream| {
        let peer = stream.peer_addr().ok();
        let place = admits.as_ref().zip(peer).map(|(guard, peer)| guard.admit(peer.ip()));
        std::future::ready(match place {
            Some(None) => Err(turn_away(stream)),
            place => Ok((Connection::new(stream, place.flatten()), peer)),
        })
    };
    fn_service(admit).and_then(http)
}

/// Tells a client that has too many connections to come back with fewer, as far as that can be said at once.
fn turn_away(stream: TcpStream) -> DispatchError {
    let sentence = "too many connections from your address";
    let words = connection::in_words(&Problem::too_many(sentence, Duration::from_secs(1)));
    // Who does not take these few bytes does not want to know.
    let _ = stream.into_std().and_then(|mut stream| stream.write_all(&words));
    DispatchError::Io(io::ErrorKind::ConnectionRefused.into())
}

/// Serves on threads of its own, each of which makes its own site, until `shutdown`; then finishes what is
/// under way. `requests`: where they are counted.
pub async fn serve<C: FnOnce(&mut ServiceConfig) + 'static>(
    listener: TcpListener,
    workers: usize,
    shutdown: Shutdown,
    requests: Requests,
    site: impl Fn(Requests) -> Site<C> + Clone + Send + 'static,
) -> io::Result<()> {
    let addr = listener.local_addr()?;
    let under_way = UnderWay::default();
    let (threads, counted) = (under_way.clone(), under_way.clone());
    requests.listens(workers * MAX_CONNECTIONS, move || counted.count());
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(MAX_CONNECTIONS)
        .disable_signals()
        .listen(format!("{addr}"), listener, move || {
            service(site(requests.clone()), threads.entrance_of_this_thread(), addr)
        })?
        .run();
    let handle = server.handle();
    let mut running = actix_web::rt::spawn(server);
    tokio::select! {
        ended = &mut running => return ended.map_err(io::Error::other)?,
        () = shutdown.cancelled() => {}
    }
    handle.pause().await;
    under_way.drain(DRAIN).await;
    // Idle connections are all that is left: nothing to be graceful about.
    handle.stop(false).await;
    running.await.map_err(io::Error::other)?
}

/// A [`Problem`] on its way out.
#[derive(Debug)]
pub struct ApiError(pub Problem);

impl<P: Into<Problem>> From<P> for ApiError {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.error)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((header::CONTENT_TYPE, Problem::CONTENT_TYPE));
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        match self.0.code {
            ErrorCode::Unavailable | ErrorCode::RateLimited => {
                answer.insert_header((header::RETRY_AFTER, retry_after(&self.0)));
            }
            ErrorCode::Unauthorized => {
                answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            _ => {}
        }
        // A Problem is strings and numbers: it always serializes.
        answer.body(serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

/// In how many seconds it is worth another try: rounded up, so that who obeys is not refused again.
pub fn retry_after(problem: &Problem) -> HeaderValue {
    match problem.retry_after {
        None => HeaderValue::from_static(RETRY_AFTER),
        Some(wait) => HeaderValue::from(wait.as_millis().div_ceil(1000).clamp(1, 3600) as u32),
    }
}

/// A resource with one method; every other one is a 405 that names it.
pub fn resource(path: &str, method: &'static str, route: Route) -> Resource {
    // No name of a method of ours is refused.
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    resource_of(path, [(method, route)])
}

/// A resource with these methods; every other one is a 405 that names them. Where there is `GET`, `HEAD` asks
/// for the same without its body: the door below the router sees to that.
pub fn resource_of(path: &str, routes: impl IntoIterator<Item = (Method, Route)>) -> Resource {
    let mut allowed = Vec::new();
    let mut resource = web::resource(path);
    for (method, route) in routes {
        allowed.push(method.to_string());
        if method == Method::GET {
            allowed.push(Method::HEAD.to_string());
        }
        resource = resource.route(route.method(method));
    }
    let allow = HeaderValue::from_str(&allowed.join(", ")).ok();
    resource.default_service(web::to(move || {
        let mut answer = ApiError::from(ErrorCode::MethodNotAllowed).error_response();
        if let Some(allow) = allow.clone() {
            answer.headers_mut().insert(header::ALLOW, allow);
        }
        std::future::ready(answer)
    }))
}

async fn not_found() -> HttpResponse {
    ApiError::from(ErrorCode::NotFound).error_response()
}

/// Lets this process have as many connections as the system allows: the usual soft limit of 1,024 files is
/// from a time when programs could not take more.
pub fn raise_connection_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}

/// Reads a body of at most `limit` bytes, within 5 seconds.
pub async fn read_body(payload: web::Payload, limit: usize) -> Result<web::Bytes, Problem> {
    let body = tokio::time::timeout(BODY_TIMEOUT, payload.to_bytes_limited(limit)).await;
    match body {
        Err(_) => Err(ErrorCode::RequestTimeout.into()),
        Ok(Err(_)) => Err(ErrorCode::PayloadTooLarge.into()),
        Ok(Ok(Err(_))) => Err(Problem::new(ErrorCode::InvalidRequest, "the body broke off")),
        Ok(Ok(Ok(body))) => Ok(body),
    }
}

/// Reads a JSON body of a peer.
pub async fn read_json<T: DeserializeOwned>(payload: web::Payload, limit: usize) -> Result<T, Problem> {
    let body = read_body(payload, limit).await?;
    serde_json::from_slice(&body).map_err(|error| Problem::new(ErrorCode::InvalidRequest, error.to_string()))
}

/// Reads a query string of a peer.
pub fn read_query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|error| Problem::new(ErrorCode::InvalidRequest, error.to_string()))
}

/// The id that follows this request through all roles: the one that it came with if that is harmless in
/// a log, else a new one.
pub fn request_id(request: &HttpRequest) -> String {
    let given = request.headers().get(headers::X_REQUEST_ID).and_then(|id| id.to_str().ok());
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let id = given.filter(harmless).map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned);
    if trace::is_traced() {
        trace::note("bazar.request_id", id.clone());
    }
    id
}

/// Does it live?
#[utoipa::path(
    get, path = "/healthz",
    responses((status = 200, body = String, content_type = "text/plain", description = "It does", example = "ok\n"))
)]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_request_id_that_could_forge_a_log_line_is_replaced() {
        let id = |given: &str| {
            request_id(
                &TestRequest::default().insert_header((headers::X_REQUEST_ID, given)).to_http_request(),
            )
        };
        assert_eq!(id("abc-1.2_3"), "abc-1.2_3");
        for given in ["", "a b", "a=b", &"x".repeat(65)] {
            assert_ne!(id(given), given);
        }
    }
}
