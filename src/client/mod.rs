//! Calls from one role to another: typed bodies, a deadline on each, errors decoded back into codes.
//!
//! Invariants: no call is made without a deadline; nothing is retried here (who calls knows what is safe
//! to repeat). Each peer has a connection pool of its own on each thread, so that one that hangs cannot
//! starve the others.

#[cfg(test)]
pub mod fake;
mod gather;
mod masters;
mod purchases;

use crate::domain::{Epoch, Sha256Sum};
use crate::member::Member;
use crate::metrics::{Outcome, PeerRole};
use crate::wire::{ErrorCode, Problem, headers};
use awc::error::{ConnectError, PayloadError, SendRequestError};
use futures_util::{Stream, StreamExt};
use serde::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use gather::{Bounds, Gatherer, Ungathered};
pub use masters::Masters;
pub use purchases::{PurchaseAnswer, PurchaseGatherer, PurchasesBody, Waiting, last_deadline};

/// The largest body that is read from a peer: a page of 1,000 books with the longest titles.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// Connections to one peer from one thread: more requests than that at once wait for one.
const CONNECTIONS_PER_PEER: usize = 64;

/// Shorter than the servers' 75 s, so that a connection is never reused just as its server closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// On a local network a connection takes a millisecond, or does not happen.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Peers whose pools one thread keeps; more only come and go as addresses change.
const MAX_POOLS: usize = 512;

/// Where a role listens: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl {
    host: String,
    port: u16,
}

impl BaseUrl {
    /// From `http://host[:port]`; the port is 80 unless given.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a URL of the form http://host:port");
        let url = url::Url::parse(text).map_err(|_| wrong())?;
        let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        match (url.scheme(), url.host_str(), bare) {
            ("http", Some(host), true) => {
                Ok(Self { host: host.into(), port: url.port_or_known_default().unwrap_or(80) })
            }
            _ => Err(wrong()),
        }
    }

    pub fn from_addr(addr: std::net::SocketAddr) -> Self {
        let host = match addr {
            std::net::SocketAddr::V4(v4) => v4.ip().to_string(),
            std::net::SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self { host, port: addr.port() }
    }

    /// `host:port`, as a resolver takes it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// Why a call has no answer. Only [`CallError::Refused`] says that the peer decided anything.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("{peer} answered {}: {}", problem.code, problem.error)]
    Refused { peer: String, problem: Problem },
    /// The request never left: nothing happened at the peer.
    #[error("{peer} cannot be reached: {cause}")]
    Unreachable { peer: String, cause: String },
    /// It may or may not have been carried out.
    #[error("{peer} did not answer: {cause}")]
    NoAnswer { peer: String, cause: String },
}

impl CallError {
    /// The code that the peer refused with, if it answered at all.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            CallError::Refused { problem, .. } => Some(problem.code),
            _ => None,
        }
    }
}

/// Another role's address, and who calls it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: BaseUrl,
    base: Arc<str>,
    bearer: String,
    member: Member,
    role: PeerRole,
}

/// A piece of a body.
type Chunk = Result<bytes::Bytes, PayloadError>;

impl Peer {
    /// Somebody, whoever it is.
    pub fn new(url: BaseUrl, member: &Member) -> Self {
        Self::of(PeerRole::Node, url, member)
    }

    /// Somebody who is known by what it is: so calls to it are counted.
    pub fn of(role: PeerRole, url: BaseUrl, member: &Member) -> Self {
        let (base, bearer) = (url.to_string().into(), member.token().bearer());
        Self(Arc::new(Inner { base, url, bearer, member: member.clone(), role }))
    }

    pub fn url(&self) -> &BaseUrl {
        &self.0.url
    }

    /// The URL as text.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.0.base)
    }

    /// An answer that is not what was asked for.
    pub fn nonsense(&self, what: impl fmt::Display) -> CallError {
        self.no_answer(what)
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        self.counted(path, async {
            let request = self.client().get(format!("{}{path}", self.0.base));
            let answer = self.prepare(request, request_id).timeout(deadline).send();
            self.decode(within(deadline, answer).await, deadline).await
        })
        .await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        self.counted(path, async {
            let request = self.client().post(format!("{}{path}", self.0.base));
            let answer = self.prepare(request, request_id).timeout(deadline).send_json(body);
            self.decode(within(deadline, answer).await, deadline).await
        })
        .await
    }

    /// Whether the peer lives: `GET /healthz` answers at all.
    pub async fn probe(&self, deadline: Duration) -> Result<(), CallError> {
        self.counted("/healthz", self.probed(deadline)).await
    }

    async fn probed(&self, deadline: Duration) -> Result<(), CallError> {
        let request = self.client().get(format!("{}/healthz", self.0.base));
        let answer = within(deadline, self.prepare(request, "probe").timeout(deadline).send()).await;
        let answer = answer.ok_or_else(|| self.no_answer(format_args!("not within {deadline:?}")))?;
        let mut answer = answer.map_err(|error| self.failed(&error))?;
        self.meet(answer.headers());
        // Read to the end, so that the connection can be used again.
        let _ = within(deadline, answer.body().limit(MAX_RESPONSE_BYTES)).await;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(self.no_answer(format_args!("status {}", answer.status()))),
        }
    }

    /// Streams a body whose length the peer announces into `sink`, chunk by chunk; `deadline` bounds the
    /// whole transfer. Returns the sum that the peer announced, which is for the caller to check.
    pub async fn download(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
        sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<Sha256Sum, CallError> {
        let transfer = async {
            let answer = self.open(path, request_id, deadline).await?;
            let sum = answer.headers().get(headers::BAZAR_SHA256).and_then(|sum| sum.to_str().ok());
            let sum: Option<Sha256Sum> = sum.and_then(|sum| sum.parse().ok());
            let sum = sum.ok_or_else(|| self.no_answer("it announced no SHA-256 sum"))?;
            let announced = answer.headers().get("content-length").and_then(|length| length.to_str().ok());
            let announced: Option<u64> = announced.and_then(|length| length.parse().ok());
            let received = self.pour(answer, sink).await?;
            // awc takes a body that breaks off for one that ends.
            match announced == Some(received) {
                true => Ok(sum),
                false => Err(self.no_answer(format_args!("broke off after {received} bytes"))),
            }
        };
        self.counted(path, self.in_time(deadline, transfer)).await
    }

    /// Streams a body of unknown length into `sink`, chunk by chunk; `deadline` bounds the whole transfer. How
    /// its end is told from a break is the caller's matter: awc takes the one for the other.
    pub async fn stream(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
        sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), CallError> {
        let transfer = async {
            let answer = self.open(path, request_id, deadline).await?;
            self.pour(answer, sink).await.map(drop)
        };
        self.counted(path, self.in_time(deadline, transfer)).await
    }

    async fn in_time<T>(
        &self,
        deadline: Duration,
        transfer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let ended = within(deadline, transfer).await;
        ended.unwrap_or_else(|| Err(self.no_answer("the transfer took too long")))
    }

    /// Counts a call to `path`, how long it takes and how it ends, whichever way.
    async fn counted<T>(
        &self,
        path: &str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let counted = self.0.member.calls().and_then(|calls| calls.begin(self.0.role, path));
        let ended = call.await;
        if let Some(counted) = counted {
            counted.ended(match &ended {
                Ok(_) => Outcome::Ok,
                Err(CallError::Refused { problem, .. }) => Outcome::Refused(problem.code),
                Err(CallError::Unreachable { .. }) => Outcome::Unreachable,
                Err(CallError::NoAnswer { .. }) => Outcome::NoAnswer,
            });
        }
        ended
    }

    /// An answer whose body is still to come, unless it is a refusal.
    async fn open(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<awc::ClientResponse<impl Stream<Item = Chunk> + use<>>, CallError> {
        let request = self.client().get(format!("{}{path}", self.0.base));
        let answer = self.prepare(request, request_id).timeout(deadline).send().await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        self.meet(answer.headers());
        if !answer.status().is_success() {
            return Err(self.refusal(answer, deadline).await);
        }
        Ok(answer)
    }

    /// How many bytes of the body came.
    async fn pour(
        &self,
        mut answer: awc::ClientResponse<impl Stream<Item = Chunk> + Unpin>,
        mut sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, CallError> {
        let mut received = 0;
        while let Some(chunk) = answer.next().await {
            let chunk = chunk.map_err(|error| self.no_answer(error))?;
            received += chunk.len() as u64;
            sink(&chunk).await.map_err(|error| self.no_answer(error))?;
        }
        Ok(received)
    }

    fn prepare(&self, request: awc::ClientRequest, request_id: &str) -> awc::ClientRequest {
        request
            .insert_header(("authorization", self.0.bearer.as_str()))
            .insert_header((headers::X_REQUEST_ID, request_id))
            .insert_header((headers::BAZAR_MET, self.0.member.met().to_string()))
            .no_decompress()
    }

    /// Takes note of the epoch that an answer carries.
    fn meet(&self, answered: &awc::http::header::HeaderMap) {
        let carried = answered.get(headers::BAZAR_MET).and_then(|value| value.to_str().ok());
        if let Some(epoch) = carried.and_then(|text| text.parse::<Epoch>().ok()) {
            self.0.member.meet(epoch);
        }
    }

    async fn decode<T, S>(
        &self,
        answer: Option<Result<awc::ClientResponse<S>, SendRequestError>>,
        deadline: Duration,
    ) -> Result<T, CallError>
    where
        T: DeserializeOwned,
        S: Stream<Item = Chunk>,
    {
        let answer = answer.ok_or_else(|| self.no_answer(format_args!("not within {deadline:?}")))?;
        let answer = answer.map_err(|error| self.failed(&error))?;
        self.meet(answer.headers());
        if !answer.status().is_success() {
            return Err(self.refusal(answer, deadline).await);
        }
        let body = self.body(answer, deadline).await?;
        // An empty answer is the unit value.
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| self.no_answer(error))
    }

    /// What an answer says that is no success.
    async fn refusal(
        &self,
        answer: awc::ClientResponse<impl Stream<Item = Chunk>>,
        deadline: Duration,
    ) -> CallError {
        let status = answer.status();
        match self.body(answer, deadline).await.map(|body| serde_json::from_slice(&body)) {
            Ok(Ok(problem)) => CallError::Refused { peer: self.0.base.to_string(), problem },
            Ok(Err(_)) => self.no_answer(format_args!("status {status} without a known code")),
            Err(error) => error,
        }
    }

    async fn body(
        &self,
        mut answer: awc::ClientResponse<impl Stream<Item = Chunk>>,
        deadline: Duration,
    ) -> Result<bytes::Bytes, CallError> {
        let body = within(deadline, answer.body().limit(MAX_RESPONSE_BYTES)).await;
        let body = body.ok_or_else(|| self.no_answer(format_args!("not within {deadline:?}")))?;
        body.map_err(|error| self.no_answer(error))
    }

    fn failed(&self, error: &SendRequestError) -> CallError {
        match error {
            SendRequestError::Connect(ConnectError::Disconnected) => self.no_answer(error),
            SendRequestError::Connect(_) | SendRequestError::Url(_) => {
                CallError::Unreachable { peer: self.0.base.to_string(), cause: error.to_string() }
            }
            _ => self.no_answer(error),
        }
    }

    fn no_answer(&self, cause: impl fmt::Display) -> CallError {
        CallError::NoAnswer { peer: self.0.base.to_string(), cause: cause.to_string() }
    }

    /// This thread's connection pool for this peer.
    fn client(&self) -> awc::Client {
        thread_local! {
            static POOLS: RefCell<HashMap<BaseUrl, awc::Client>> = RefCell::default();
        }
        POOLS.with_borrow_mut(|pools| {
            if let Some(client) = pools.get(&self.0.url) {
                return client.clone();
            }
            if pools.len() >= MAX_POOLS {
                pools.clear();
            }
            let connector = awc::Connector::new()
                .limit(CONNECTIONS_PER_PEER)
                .conn_keep_alive(KEEP_ALIVE)
                .timeout(CONNECT_TIMEOUT);
            let client = awc::Client::builder().connector(connector).disable_redirects().finish();
            pools.insert(self.0.url.clone(), client.clone());
            client
        })
    }
}

/// `bazar healthcheck`: whether `url` answers 2xx, to somebody who has no token, within two seconds.
pub async fn healthcheck(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    const DEADLINE: Duration = Duration::from_secs(2);
    let client = awc::Client::builder().disable_redirects().timeout(DEADLINE).finish();
    let mut answer = client.get(url).send().await.map_err(|error| format!("{url}: {error}"))?;
    let body = within(DEADLINE, answer.body().limit(MAX_RESPONSE_BYTES)).await;
    match (answer.status().is_success(), body) {
        (true, _) => Ok(()),
        (false, Some(Ok(body))) => {
            Err(format!("{url}: {}\n{}", answer.status(), String::from_utf8_lossy(&body)).into())
        }
        (false, _) => Err(format!("{url}: {}", answer.status()).into()),
    }
}

/// `None` when it took longer than `deadline`.
async fn within<T>(deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline, work).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    pub(super) const DEADLINE: Duration = Duration::from_secs(5);

    /// A peer that answers one request with these bytes, and closes.
    pub(super) fn answering(answer: &'static str) -> BaseUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = BaseUrl::from_addr(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            assert!(read > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn an_address_is_http_host_and_port_and_nothing_else() {
        assert_eq!(BaseUrl::parse("http://master:3000").unwrap().to_string(), "http://master:3000");
        assert_eq!(BaseUrl::parse("http://[::1]:3000/").unwrap().authority(), "[::1]:3000");
        for text in
            ["master:3000", "https://m:1", "http://", "http://m:99999", "http://m/x", "http://u@m", ""]
        {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[actix_web::test]
    async fn a_download_that_breaks_off_or_names_no_sum_is_not_taken_for_a_whole_one() {
        let sum = Sha256Sum([0xab; 32]);
        let download = async |head: &str, body: &str| {
            let peer = Peer::new(
                answering(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").leak()),
                &Member::of_nothing(),
            );
            let mut received = Vec::new();
            let sink = async |chunk: &[u8]| {
                received.extend_from_slice(chunk);
                Ok(())
            };
            peer.download("/snapshot", "test", DEADLINE, sink).await.map(|sum| (received, sum))
        };
        let with_sum = |head: &str| format!("bazar-sha256: {sum}\r\n{head}");
        let whole = download(&with_sum("content-length: 5"), "whole").await.unwrap();
        assert_eq!(whole, (b"whole".to_vec(), sum));
        for (head, body) in [
            (with_sum("content-length: 50"), "whole"),
            (with_sum("transfer-encoding: chunked"), "5\r\nwhole\r\n"),
            ("content-length: 5".into(), "whole"),
            ("bazar-sha256: abc\r\ncontent-length: 5".into(), "whole"),
        ] {
            assert!(download(&head, body).await.is_err(), "{head}");
        }
    }
}
