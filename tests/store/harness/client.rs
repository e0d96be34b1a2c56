//! HTTP as a customer's program speaks it: connections kept, a deadline on everything, no second attempt. A client of
//! the internal routes signs its requests, and believes no answer without its proof.

use super::TOKEN;
use bazar::signing::{
    self, Extent, PROVED_HEADERS, Proof, Request as Signed, SEAL_BYTES, SIGNED_HEADERS, Sender, SessionId,
    Signature, SigningKey, Sum, Told, seal,
};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Request};

/// Longer than any deadline of the store itself.
const DEADLINE: Duration = Duration::from_secs(20);

pub struct Client {
    agent: ureq::Agent,
    base: String,
    member: Option<Member>,
}

/// Who signs.
struct Member {
    key: SigningKey,
    sender: Mutex<Sender>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub took: Duration,
}

impl Client {
    pub fn new(base: &str) -> Self {
        Self::within(base, DEADLINE)
    }

    /// Somebody who waits for an answer for as long as `deadline`.
    pub fn within(base: &str, deadline: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(deadline))
            .build();
        Self { agent: config.into(), base: base.into(), member: None }
    }

    /// A member of the store of tests.
    pub fn internal(base: &str) -> Self {
        Self::signing(base, TOKEN)
    }

    /// Somebody who signs with the secret `token`.
    pub fn signing(base: &str, token: &str) -> Self {
        let sender = Mutex::new(Sender::new(SessionId(rand::random())));
        Self { member: Some(Member { key: SigningKey::of(token.as_bytes()), sender }), ..Self::new(base) }
    }

    /// An error is one of the connection: whatever the store answered is an [`Answer`].
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Answer, ureq::Error> {
        let Some(member) = &self.member else {
            return self.send_bytes(method, path, headers, body.map(str::as_bytes));
        };
        let mut again = true;
        loop {
            let signature = member.sign(method, path, headers, body);
            let header = signature.to_string();
            let headers = [headers, &[(signing::SIGNATURE, header.as_str())]].concat();
            let mut answer = self.send_bytes(method, path, &headers, body.map(str::as_bytes))?;
            if member.is_told(&answer, &signature) && std::mem::take(&mut again) {
                continue;
            }
            if answer.status != 401 {
                member.believe(&mut answer, &signature);
            }
            return Ok(answer);
        }
    }

    /// The bytes of a signed request, as they are captured on their way: on a connection that closes behind it.
    pub fn capture(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
        let member = self.member.as_ref().expect("a client that signs");
        // For the challenge.
        let answer = self.send("GET", "/healthz", &[], None).unwrap().ok();
        assert!(!answer.header(signing::PROOF).is_empty());
        let signature = member.sign(method, path, headers, body);
        let host = self.base.trim_start_matches("http://");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            head += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        format!("{head}{}: {signature}\r\n\r\n{}", signing::SIGNATURE, body.unwrap_or("")).into_bytes()
    }

    /// Without a signature; the body need not be text.
    pub fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let begun = Instant::now();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body.to_owned())?)?,
            None => self.agent.run(request.body(())?)?,
        };
        let body = response.body_mut().read_to_vec()?;
        let (head, _) = response.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, took: begun.elapsed() })
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).unwrap()
    }

    #[track_caller]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send("POST", path, &headers, Some(&body.to_string())).unwrap()
    }

    #[track_caller]
    pub fn info(&self, book: i64) -> Answer {
        self.get(&format!("/catalog-service/info/{book}"))
    }

    #[track_caller]
    pub fn search(&self, topic: &str) -> Answer {
        self.get(&format!("/catalog-service/search/{topic}"))
    }

    #[track_caller]
    pub fn buy(&self, book: i64) -> Answer {
        self.post("/order-service/purchase", &[], &json!({ "book_id": book }))
    }

    /// What a client does that wants to know: the outcome, or nothing because the connection broke.
    pub fn try_buy(&self, book: i64, key: &str) -> Option<Answer> {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = json!({ "book_id": book }).to_string();
        self.send("POST", "/order-service/purchase", &headers, Some(&body)).ok()
    }

    #[track_caller]
    pub fn buy_with_key(&self, book: i64, key: &str) -> Answer {
        self.post("/order-service/purchase", &[("idempotency-key", key)], &json!({ "book_id": book }))
    }

    #[track_caller]
    pub fn order(&self, id: &str) -> Answer {
        self.get(&format!("/order-service/orders/{id}"))
    }
}

impl Member {
    fn sign(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Signature {
        let value =
            |name: &str| headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_bytes());
        let request = Signed { method, target: path, headers: SIGNED_HEADERS.map(value) };
        self.sender.lock().unwrap().sign(&self.key, &request, Sum::of(body.unwrap_or("").as_bytes()))
    }

    /// Whether the store has said what to sign for instead.
    fn is_told(&self, answer: &Answer, signature: &Signature) -> bool {
        let told = Told::parse(answer.header(signing::CHALLENGE).as_bytes());
        let Some(told) = told.filter(|told| told.invites(signature, [self.key.id()])) else { return false };
        // It has one key, which never changes.
        self.sender.lock().unwrap().learn(told, 0);
        true
    }

    /// Asserts that a member of the store gave this answer; takes the seal off its end.
    #[track_caller]
    fn believe(&self, answer: &mut Answer, signature: &Signature) {
        let proof = Proof::parse(answer.header(signing::PROOF).as_bytes());
        let proof = proof.unwrap_or_else(|| panic!("no proof: {} {:?}", answer.text(), answer.headers));
        let value = |name| answer.headers.get(name).map(|value| value.as_bytes());
        let head = signing::Answer { status: answer.status, headers: PROVED_HEADERS.map(value) };
        assert!(proof.proves(&self.key, &signature.mac, &head), "a wrong proof: {}", answer.text());
        match proof.body {
            Extent::Whole(sum) => assert_eq!(sum, Sum::of(&answer.body)),
            Extent::InHead => assert_eq!(answer.header("bazar-sha256"), Sum::of(&answer.body).to_string()),
            Extent::AtEnd => {
                let given = answer.body.split_off(answer.body.len() - SEAL_BYTES);
                assert_eq!(given, seal(&self.key, &signature.mac, Sum::of(&answer.body)));
            }
        }
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        self
    }

    /// The count in the answer of `info`, or of `book` in the answer of a search.
    #[track_caller]
    pub fn stock(&self, book: i64) -> i64 {
        let body = self.json();
        let items = body["items"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
        let item = items.iter().find(|item| item["id"] == book).unwrap_or_else(|| panic!("{}", self.text()));
        item["numberOfItems"].as_i64().unwrap()
    }

    /// Whether a cache answered; asserts that the body and the headers agree on that.
    #[track_caller]
    pub fn cached(&self) -> bool {
        let cached = self.json()["cached"].as_bool().unwrap();
        assert_eq!(cached, self.header("x-cache") == "HIT", "{:?}", self.headers);
        cached
    }

    /// `Bazar-Version`, as numbers that compare.
    #[track_caller]
    pub fn version(&self) -> (u64, u64) {
        let (epoch, seq) = self.header("bazar-version").split_once('.').unwrap();
        (epoch.parse().unwrap(), seq.parse().unwrap())
    }

    pub fn says_stale(&self) -> bool {
        self.header("warning").starts_with("110")
    }

    /// Asserts that it is the error envelope with this status and code. Returns its sentence.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let body = self.json();
        assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)), "{}", self.text());
        assert!(body["title"].is_string() && body["type"].is_string(), "{}", self.text());
        body["error"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes as they are on a connection of their own, and returns all that comes back until the other
/// end closes or says nothing more for a while. Reads while it writes.
pub fn raw(url: &str, bytes: &[u8]) -> String {
    talk(TcpStream::connect(url.trim_start_matches("http://")).unwrap(), bytes)
}

/// The same from `source`, an address of the loopback.
pub fn raw_from(source: &str, url: &str, bytes: &[u8]) -> String {
    talk(connect_from(source, url), bytes)
}

/// A connection from `source`, an address of the loopback.
pub fn connect_from(source: &str, url: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        socket.connect(url.trim_start_matches("http://").parse().unwrap()).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

fn talk(mut stream: TcpStream, bytes: &[u8]) -> String {
    const SILENCE: Duration = Duration::from_secs(10);
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.set_write_timeout(Some(SILENCE)).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let bytes = bytes.to_owned();
    // Who has refused a body already need not take the rest of it.
    let sending = std::thread::spawn(move || drop(sender.write_all(&bytes)));
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..read]);
    }
    sending.join().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
