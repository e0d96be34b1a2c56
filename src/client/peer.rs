//! Another role as who calls it knows it: what is asked is signed, what is answered is proved.

use super::proven::{self, Proven};
use super::traced::traced;
use super::{BaseUrl, CallError, Chunk, within};
use crate::domain::Sha256Sum;
use crate::member::{Member, Signer};
use crate::metrics::{Outcome, PeerRole};
use crate::signing::{self, Request, SIGNED_HEADERS, Sum, Told};
use crate::telemetry::trace;
use crate::wire::headers;
use awc::error::{ConnectError, SendRequestError};
use awc::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::Stream;
use serde::{Serialize, de::DeserializeOwned};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The largest body of somebody who does not let us in.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// Connections to one peer from one thread: more requests than that at once wait for one.
const CONNECTIONS_PER_PEER: usize = 64;

/// Shorter than the servers' 75 s, so that a connection is never reused just as its server closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// On a local network a connection takes a millisecond, or does not happen.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How often a request is signed: for a peer that is met for the first time or has started again; for another
/// process behind the same name; and once more, because it may be both.
const MAX_SIGNATURES: usize = 3;

/// Peers whose pools one thread keeps; more only come and go as addresses change.
const MAX_POOLS: usize = 512;

/// Another role's address, and who calls it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: BaseUrl,
    base: Arc<str>,
    signer: Signer,
    member: Member,
    role: PeerRole,
}

impl Peer {
    /// Somebody, whoever it is.
    pub fn new(url: BaseUrl, member: &Member) -> Self {
        Self::of(PeerRole::Node, url, member)
    }

    /// Somebody who is known by what it is: so calls to it are counted.
    pub fn of(role: PeerRole, url: BaseUrl, member: &Member) -> Self {
        let base = url.to_string().into();
        let signer = member.signer(&base);
        Self(Arc::new(Inner { url, base, signer, member: member.clone(), role }))
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

    // Calls are on the heap: each future around one would hold it twice, as what it was given and as what it waits for,
    // and what waits for a missed read grew to 75 KB, which was copied for each.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let call = Box::pin(self.decode(Method::GET, path, None, request_id, deadline));
        self.counted(path, traced("GET", path, &self.0.url, call)).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        // Types of ours, which serialize.
        let body = serde_json::to_vec(body).map_err(|error| self.nonsense(error))?;
        let call = Box::pin(self.decode(Method::POST, path, Some(body.into()), request_id, deadline));
        self.counted(path, traced("POST", path, &self.0.url, call)).await
    }

    /// Whether the peer lives, and is one of ours: `GET /healthz` answers at all.
    pub async fn probe(&self, deadline: Duration) -> Result<(), CallError> {
        self.counted("/healthz", self.probed(deadline)).await
    }

    async fn probed(&self, deadline: Duration) -> Result<(), CallError> {
        let asked = self.ask(Method::GET, "/healthz", None, "probe", deadline);
        let answer = within(deadline, asked).await.unwrap_or_else(|| Err(self.too_late(deadline)))?;
        let status = answer.status();
        // Read to the end, so that the connection can be used again.
        let _ = within(deadline, answer.body(self)).await;
        match status.is_success() {
            true => Ok(()),
            false => Err(self.no_answer(format_args!("status {status}"))),
        }
    }

    /// Streams a body whose length the peer announces into `sink`, chunk by chunk; `deadline` bounds the
    /// whole transfer. `begun` is told the length when the first bytes are there. Returns the sum that the peer
    /// announced, which is for the caller to check.
    pub async fn download(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
        begun: impl FnOnce(u64),
        sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<Sha256Sum, CallError> {
        let transfer = async {
            let answer = self.open(path, request_id, deadline).await?;
            let sum: Option<Sha256Sum> =
                answer.header(headers::BAZAR_SHA256).and_then(|sum| sum.parse().ok());
            let sum = sum.ok_or_else(|| self.no_answer("it announced no SHA-256 sum"))?;
            let announced: Option<u64> =
                answer.header("content-length").and_then(|length| length.parse().ok());
            begun(announced.unwrap_or_default());
            let received = answer.pour(self, sink).await?;
            // awc takes a body that breaks off for one that ends.
            match announced == Some(received) {
                true => Ok(sum),
                false => Err(self.no_answer(format_args!("broke off after {received} bytes"))),
            }
        };
        self.counted(path, self.in_time(deadline, transfer)).await
    }

    /// Streams a body of unknown length into `sink`, chunk by chunk; `deadline` bounds the whole transfer. Whether
    /// it is whole, and the peer's, is known when this returns, and not before.
    pub async fn stream(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
        sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), CallError> {
        let transfer = async {
            let answer = self.open(path, request_id, deadline).await?;
            answer.pour(self, sink).await.map(drop)
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
                Err(CallError::Unproven { .. }) => Outcome::Unproven,
            });
        }
        ended
    }

    /// Sends what somebody typed, and streams whatever comes back, refusals too, into `sink`. Returns the status.
    pub async fn call(
        &self,
        (method, path, body): (Method, &str, Option<Bytes>),
        request_id: &str,
        deadline: Duration,
        sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<StatusCode, CallError> {
        let transfer = async {
            let answer = self.ask(method, path, body, request_id, deadline).await?;
            let status = answer.status();
            answer.pour(self, sink).await?;
            Ok(status)
        };
        within(deadline, transfer).await.unwrap_or_else(|| Err(self.too_late(deadline)))
    }

    /// An answer whose body is still to come, unless it is a refusal.
    async fn open(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<Proven<impl Stream<Item = Chunk> + Unpin + use<>>, CallError> {
        let answer = self.ask(Method::GET, path, None, request_id, deadline).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer, deadline).await);
        }
        Ok(answer)
    }

    async fn decode<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let asked = self.ask(method, path, body, request_id, deadline);
        let answer = within(deadline, asked).await.unwrap_or_else(|| Err(self.too_late(deadline)))?;
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
        answer: Proven<impl Stream<Item = Chunk> + Unpin>,
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
        answer: Proven<impl Stream<Item = Chunk> + Unpin>,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        within(deadline, answer.body(self)).await.unwrap_or_else(|| Err(self.too_late(deadline)))
    }

    /// Sends a request, signed for this peer, and takes note of the epoch that the answer carries. The head of the
    /// answer is proved; of one that says that it was not let in, the request is signed again.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        request_id: &str,
        deadline: Duration,
    ) -> Result<Proven<impl Stream<Item = Chunk> + Unpin + use<>>, CallError> {
        let url = format!("{}{path}", self.0.base);
        let sum = body.as_deref().map_or(Sum::EMPTY, Sum::of);
        let mut signed = 0;
        loop {
            signed += 1;
            let met = self.0.member.met().to_string();
            let request = self.client().request(method.clone(), url.as_str());
            let mut request = trace::headers()
                .fold(request, awc::ClientRequest::insert_header)
                .insert_header((headers::X_REQUEST_ID, request_id))
                .insert_header((headers::BAZAR_MET, met))
                .no_decompress()
                .timeout(deadline);
            let (signature, key) = {
                let values =
                    SIGNED_HEADERS.map(|name| request.headers().get(name).map(|value| value.as_bytes()));
                // As it is sent, whatever was typed.
                let target = request.get_uri().path_and_query().map_or("/", |target| target.as_str());
                let of = Request { method: method.as_str(), target, headers: values };
                self.0.signer.sign(&of, sum)
            };
            request = request.insert_header((signing::SIGNATURE, signature.to_string()));
            let sent = match &body {
                Some(body) => request.content_type("application/json").send_body(body.clone()),
                None => request.send(),
            };
            let mut answer = sent.await.map_err(|error| self.failed(&error))?;
            let proof = proven::proof(&answer, &key, &signature);
            if let Some(extent) = proof {
                let proven = Proven::new(answer, extent, key, &signature);
                if let Some(epoch) = proven.header(headers::BAZAR_MET).and_then(|text| text.parse().ok()) {
                    self.0.member.meet(epoch);
                }
                return Ok(proven);
            }
            let told = answer.headers().get(signing::CHALLENGE).and_then(|told| Told::parse(told.as_bytes()));
            let invited = told.is_some_and(|told| self.0.signer.learn(told, &signature));
            if !invited || signed == MAX_SIGNATURES {
                return Err(self.unproven(answer.status()));
            }
            // Read to the end, so that the connection can be used again.
            let _ = answer.body().limit(MAX_REFUSAL_BYTES).await;
        }
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

    fn too_late(&self, deadline: Duration) -> CallError {
        self.no_answer(format_args!("not within {deadline:?}"))
    }

    /// What comes from somebody who has not proved to be a member.
    fn unproven(&self, status: StatusCode) -> CallError {
        let cause = match status {
            StatusCode::UNAUTHORIZED => {
                "it did not take our signature (its internal token is another one, or the request came twice)"
                    .into()
            }
            status => format!("its answer, {status}, has no proof that it comes from a member of this store"),
        };
        CallError::Unproven { peer: self.0.base.to_string(), cause }
    }

    /// What was altered on its way to us.
    pub(super) fn altered(&self) -> CallError {
        let cause = "the body of its answer is not the one that was proved, or broke off".into();
        CallError::Unproven { peer: self.0.base.to_string(), cause }
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::signing::{Answer, Extent, Proof, Signature, SigningKey, seal};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    pub const DEADLINE: Duration = Duration::from_secs(5);

    /// A member that answers one request with these bytes and their proof, and closes.
    pub fn answering(answer: &'static str) -> BaseUrl {
        serving(move |asked| {
            let Some((head, body)) = answer.split_once("\r\n\r\n") else { return answer.into() };
            let sum = head.lines().find_map(|line| line.strip_prefix("bazar-sha256: "));
            let met = head.lines().find_map(|line| line.strip_prefix("bazar-met: "));
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let extent = if sum.is_some() { Extent::InHead } else { Extent::Whole(Sum::of(body.as_bytes())) };
            let proved = Answer { status, headers: [met.map(str::as_bytes), sum.map(str::as_bytes)] };
            let key = Arc::clone(&Member::of_nothing().token().held().members()[0]);
            let proof = Proof::make(&key, &asked.mac, &proved, extent);
            format!("{head}\r\nbazar-proof: {proof}\r\n\r\n{body}")
        })
    }

    /// Somebody who answers one request with what `answer` makes of its signature, and closes.
    fn serving(answer: impl Fn(Signature) -> String + Send + 'static) -> BaseUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = BaseUrl::from_addr(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let head = String::from_utf8_lossy(&request[..read]).into_owned();
            let signature = head.lines().find_map(|line| line.strip_prefix("bazar-signature: ")).unwrap();
            let answer = answer(Signature::parse(signature.as_bytes()).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[actix_web::test]
    async fn a_download_that_breaks_off_or_names_no_sum_is_not_taken_for_a_whole_one() {
        let sum = Sum::of(b"whole");
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
            peer.download("/snapshot", "test", DEADLINE, |_| {}, sink).await.map(|sum| (received, sum))
        };
        let with_sum = |head: &str| format!("bazar-sha256: {sum}\r\n{head}");
        let whole = download(&with_sum("content-length: 5"), "whole").await.unwrap();
        assert_eq!(whole, (b"whole".to_vec(), Sha256Sum(sum.0)));
        for (head, body) in [
            (with_sum("content-length: 50"), "whole"),
            (with_sum("transfer-encoding: chunked"), "5\r\nwhole\r\n"),
            (with_sum("content-length: 5"), "other"),
            ("content-length: 5".into(), "whole"),
            ("bazar-sha256: abc\r\ncontent-length: 5".into(), "whole"),
        ] {
            assert!(download(&head, body).await.is_err(), "{head}");
        }
    }

    const HIGHER: &str = "9:0000000000000009";

    #[actix_web::test]
    async fn a_stranger_who_answers_is_not_believed_and_tells_of_no_epoch() {
        let member = Member::of_nothing();
        let answer = |extra: &str| {
            format!("HTTP/1.1 200 OK\r\nbazar-met: {HIGHER}\r\n{extra}content-length: 4\r\n\r\nnull")
        };
        let of_another = move |asked: Signature| {
            let key = SigningKey::of(b"token-of-somebody-else");
            let proved = Answer { status: 200, headers: [Some(HIGHER.as_bytes()), None] };
            Proof::make(&key, &asked.mac, &proved, Extent::Whole(Sum::of(b"null"))).to_string()
        };
        let strangers = [
            serving(move |_| answer("")),
            serving(move |_| answer("bazar-proof: v1 body=end\r\n")),
            serving(move |asked| answer(&format!("bazar-proof: {}\r\n", of_another(asked)))),
        ];
        for stranger in strangers {
            let answered = Peer::new(stranger, &member).get::<()>("/status", "test", DEADLINE).await;
            assert!(matches!(answered, Err(CallError::Unproven { .. })), "{answered:?}");
        }
        assert_eq!(member.met(), crate::domain::Epoch::GENESIS);
        let proven = format!("HTTP/1.1 200 OK\r\nbazar-met: {HIGHER}\r\ncontent-length: 4\r\n\r\nnull");
        Peer::new(answering(proven.leak()), &member).get::<()>("/status", "test", DEADLINE).await.unwrap();
        assert_eq!(member.met().to_string(), HIGHER);
    }

    #[actix_web::test]
    async fn a_refusal_by_somebody_who_proves_nothing_decides_nothing() {
        let refusal = "HTTP/1.1 409 Conflict\r\ncontent-length: 26\r\n\r\n{\"code\":\"not_master\"}     ";
        let peer = Peer::new(serving(move |_| refusal.into()), &Member::of_nothing());
        let answered = peer.get::<()>("/status", "test", DEADLINE).await.unwrap_err();
        assert_eq!(answered.code(), None, "{answered}");
    }

    #[actix_web::test]
    async fn a_body_that_was_altered_on_its_way_is_not_believed() {
        let altered = |asked: Signature| {
            let key = Arc::clone(&Member::of_nothing().token().held().members()[0]);
            let proved = Answer { status: 200, headers: [None, None] };
            let proof = Proof::make(&key, &asked.mac, &proved, Extent::Whole(Sum::of(b"1234")));
            format!("HTTP/1.1 200 OK\r\nbazar-proof: {proof}\r\ncontent-length: 4\r\n\r\n1235")
        };
        let peer = Peer::new(serving(altered), &Member::of_nothing());
        let answered = peer.get::<u32>("/status", "test", DEADLINE).await;
        assert!(matches!(answered, Err(CallError::Unproven { .. })), "{answered:?}");
    }

    #[actix_web::test]
    async fn a_stream_ends_in_its_seal_and_without_it_is_not_whole() {
        let chunked = |pieces: &[&str]| {
            let chunks: String =
                pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
            format!("{chunks}0\r\n\r\n")
        };
        let streaming = move |body: &'static [&'static str], sealed: &'static str, cut: usize| {
            serving(move |asked| {
                let key = Arc::clone(&Member::of_nothing().token().held().members()[0]);
                let proved = Answer { status: 200, headers: [None, None] };
                let proof = Proof::make(&key, &asked.mac, &proved, Extent::AtEnd);
                let seal = seal(&key, &asked.mac, Sum::of(sealed.as_bytes()));
                let seal = String::from_utf8_lossy(&seal[..cut]).into_owned();
                // Pieces need not end where the seal begins.
                let (first, second) = seal.split_at(cut.min(10));
                let last = format!("{}{first}", body.last().unwrap());
                let mut pieces: Vec<&str> = body[..body.len() - 1].to_vec();
                pieces.extend([last.as_str(), second].into_iter().filter(|piece| !piece.is_empty()));
                let body = chunked(&pieces);
                format!("HTTP/1.1 200 OK\r\nbazar-proof: {proof}\r\ntransfer-encoding: chunked\r\n\r\n{body}")
            })
        };
        let stream = async |url: BaseUrl| {
            let (peer, mut received) = (Peer::new(url, &Member::of_nothing()), Vec::new());
            let sink = async |chunk: &[u8]| {
                received.extend_from_slice(chunk);
                Ok(())
            };
            peer.stream("/export", "test", DEADLINE, sink).await.map(|()| received)
        };
        let whole =
            stream(streaming(&["a long line, ", "and another"], "a long line, and another", 64)).await;
        assert_eq!(whole.unwrap(), b"a long line, and another");
        assert_eq!(stream(streaming(&[""], "", 64)).await.unwrap(), b"");
        for (body, sealed, cut) in
            [(&["one", "two"][..], "onetwo", 0), (&["one", "two"], "onetwo", 63), (&["one"], "onetwo", 64)]
        {
            let answered = stream(streaming(body, sealed, cut)).await;
            assert!(matches!(answered, Err(CallError::Unproven { .. })), "{body:?} {cut} {answered:?}");
        }
    }
}
