//! One HTTP/1.1 connection to the store, opened when it is first needed and again after it broke.
//!
//! hyper's connection-level client, because a load generator must cost less than what it loads: no pool,
//! no redirects, no decompression, no cookie jar stands between the caller and the socket.

use crate::client::BaseUrl;
use crate::domain::PublicVersion;
use crate::wire::{ErrorCode, Problem, headers};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// The largest answer that is read: a page of 1,000 books with the longest titles.
const MAX_BODY_BYTES: usize = 8 << 20;

/// A connection is there soon, or there is nobody.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no answer. The causes are fit for people.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The request never left: nothing happened.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(BaseUrl, String),
    /// It may or may not have been carried out.
    #[error("{0} did not answer: {1}")]
    NoAnswer(BaseUrl, String),
}

/// Who answered a read, by `X-Cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    Hit,
    Miss,
    /// Neither cached nor from a cache: also what has no such header.
    Bypass,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn cache(&self) -> Cache {
        match self.header(headers::X_CACHE) {
            Some("HIT") => Cache::Hit,
            Some("MISS") => Cache::Miss,
            _ => Cache::Bypass,
        }
    }

    /// The state that the answer shows, if it names one.
    pub fn version(&self) -> Option<PublicVersion> {
        self.header(headers::BAZAR_VERSION)?.parse().ok()
    }

    /// Whether it says of itself that it may be stale.
    pub fn says_stale(&self) -> bool {
        self.header(header::WARNING.as_str()).is_some_and(|warning| warning.starts_with("110"))
    }

    /// How long the store asks to wait before the request is repeated.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header(header::RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs)
    }

    /// The error envelope, where the body is one.
    pub fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn code(&self) -> Option<ErrorCode> {
        self.problem().map(|problem| problem.code)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A header of a request: its name in lower case, its value.
pub type Line<'a> = (&'static str, &'a str);

/// A connection to one store. One request at a time.
pub struct Connection {
    store: BaseUrl,
    host: HeaderValue,
    deadline: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects with the first request. `deadline` bounds each request, its body and answer included.
    pub fn new(store: BaseUrl, deadline: Duration) -> Self {
        // The parts of a URL that was parsed are visible ASCII.
        let host = HeaderValue::from_str(&store.authority());
        Self { host: host.unwrap_or(HeaderValue::from_static("")), store, deadline, sender: None }
    }

    pub fn store(&self) -> &BaseUrl {
        &self.store
    }

    /// `path` with its query, as it is sent.
    pub async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub async fn post_json(
        &mut self,
        path: &str,
        lines: &[Line<'_>],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        self.send(Method::POST, path, lines, body).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        lines: &[Line<'_>],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let request = self.request(method, path, lines, body);
        let request = request.map_err(|cause| self.unreachable(format!("{path}: {cause}")))?;
        let mut sender = self.connected().await?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let (head, body) = whole(answer).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((sender, head, body))
        };
        match tokio::time::timeout(self.deadline, exchange).await {
            Ok(Ok((sender, head, body))) => {
                self.sender = Some(sender);
                Ok(Answer { status: head.status, headers: head.headers, body })
            }
            // The connection is dropped with its half-read answer.
            Ok(Err(cause)) => Err(Failure::NoAnswer(self.store.clone(), cause.to_string())),
            Err(_) => Err(Failure::NoAnswer(self.store.clone(), format!("not within {:?}", self.deadline))),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        lines: &[Line<'_>],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder().method(&method).uri(path).header(header::HOST, &self.host);
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body))
    }

    /// The open connection, taken out: it comes back only after a whole answer.
    async fn connected(&mut self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        if let Some(mut sender) = self.sender.take() {
            // An idle connection that the store has closed meanwhile is replaced before anything is sent.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.store.authority()));
        let stream = match connect.await {
            Ok(connected) => connected.map_err(|error| self.unreachable(error.to_string()))?,
            Err(_) => return Err(self.unreachable(format!("not within {CONNECT_TIMEOUT:?}"))),
        };
        stream.set_nodelay(true).map_err(|error| self.unreachable(error.to_string()))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| self.unreachable(error.to_string()))?;
        // It ends when its sender is dropped or the store closes; the sender is told why.
        actix_web::rt::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn unreachable(&self, cause: String) -> Failure {
        Failure::Unreachable(self.store.clone(), cause)
    }
}

async fn whole(
    answer: Response<Incoming>,
) -> Result<(hyper::http::response::Parts, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await?.to_bytes();
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const DEADLINE: Duration = Duration::from_secs(5);

    /// A store that answers one request on each connection with the next of these, and closes.
    fn answering(answers: Vec<&'static str>) -> BaseUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = BaseUrl::from_addr(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        url
    }

    #[actix_web::test]
    async fn an_answer_is_read_whole_with_what_its_headers_say() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nx-cache: HIT\r\nbazar-version: 3.17\r\n\
                      warning: 110 bazar \"Response is Stale\"\r\nretry-after: 2\r\n\
                      transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        let mut connection = Connection::new(answering(vec![answer]), DEADLINE);
        let answer = connection.get("/topics").await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..], answer.cache()), (503, &b"{}"[..], Cache::Hit));
        assert_eq!(answer.version(), Some(PublicVersion { epoch: 3, seq: 17 }));
        assert!(answer.says_stale());
        assert_eq!((answer.retry_after(), answer.code()), (Some(Duration::from_secs(2)), None));
    }

    #[actix_web::test]
    async fn a_connection_that_was_closed_is_opened_again() {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let mut connection = Connection::new(answering(vec![answer, answer]), DEADLINE);
        for _ in 0..2 {
            assert_eq!(connection.get("/topics").await.unwrap().body, "{}");
        }
    }

    #[actix_web::test]
    async fn an_answer_that_breaks_off_is_no_answer_and_an_absent_store_is_not_reached() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}";
        let mut connection = Connection::new(answering(vec![answer]), DEADLINE);
        assert!(matches!(connection.get("/topics").await, Err(Failure::NoAnswer(..))));
        let nobody = BaseUrl::parse("http://127.0.0.1:1").unwrap();
        let unreachable = Connection::new(nobody, DEADLINE).get("/topics").await;
        assert!(matches!(unreachable, Err(Failure::Unreachable(..))));
    }

    #[actix_web::test]
    async fn a_store_that_says_nothing_is_waited_for_until_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = BaseUrl::from_addr(listener.local_addr().unwrap());
        let mut connection = Connection::new(silent, Duration::from_millis(50));
        assert!(matches!(connection.get("/topics").await, Err(Failure::NoAnswer(..))));
    }
}
