//! A small HTTP/1.1 client on one connection, with one deadline for a whole call.
//!
//! Invariant: it never repeats a request by itself, so what the history says was sent once was sent once. (An internal
//! request that was not let in is signed again, as the store says: nothing was carried out of it.)

use crate::signing::{self, Extent, Proof, Request, Sender, SessionId, Signature, SigningKey, Sum, Told};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The largest answer: a page of some hundred books is far below.
const MAX_ANSWER: usize = 16 << 20;

/// On this machine a connection takes a millisecond, or does not happen.
const CONNECT: Duration = Duration::from_millis(500);

/// A deadline of nothing at all is none for a socket.
const MOMENT: Duration = Duration::from_millis(1);

pub struct Client {
    addr: SocketAddr,
    member: Option<Member>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// Who signs.
struct Member {
    key: SigningKey,
    sender: Sender,
}

/// What the head of an answer says to who signed.
#[derive(Default)]
struct ToMembers {
    challenge: Option<String>,
    proof: Option<String>,
    met: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request never left.
    Unreachable,
    /// It may or may not have been carried out.
    Lost,
}

/// What the history wants to know of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub version: Option<String>,
    pub cache: Option<String>,
    pub warning: bool,
    pub replayed: bool,
    /// Which recipe a store that is unsafe on purpose works by.
    pub unsafe_coherence: bool,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, member: None, stream: None, buffer: Vec::new() }
    }

    /// One that may use the internal routes.
    pub fn internal(addr: SocketAddr, token: &str) -> Self {
        let sender = Sender::new(SessionId(rand::random()));
        Self { member: Some(Member { key: SigningKey::of(token.as_bytes()), sender }), ..Self::new(addr) }
    }

    pub fn get(&mut self, path: &str, deadline: Duration) -> Result<Answer, Failure> {
        self.get_with(path, "", deadline)
    }

    /// `headers`: whole lines, each with its line break.
    pub fn get_with(&mut self, path: &str, headers: &str, deadline: Duration) -> Result<Answer, Failure> {
        self.call("GET", path, headers, b"", deadline)
    }

    /// `headers`: whole lines, each with its line break.
    pub fn post(
        &mut self,
        path: &str,
        headers: &str,
        body: &[u8],
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        self.call("POST", path, headers, body, deadline)
    }

    fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        let until = Instant::now() + deadline;
        let Some(mut member) = self.member.take() else {
            return self.send(method, path, headers, body, until).map(|(answer, _)| answer);
        };
        let answer = self.signed(&mut member, method, path, headers, body, until);
        self.member = Some(member);
        answer
    }

    fn signed(
        &mut self,
        member: &mut Member,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
        until: Instant,
    ) -> Result<Answer, Failure> {
        // Twice: the first time it may not know for which challenge.
        for again in [true, false] {
            let request = Request { method, target: path, headers: [None; 4] };
            let signature = member.sender.sign(&member.key, &request, Sum::of(body));
            let headers = format!("{headers}{}: {signature}\r\n", signing::SIGNATURE);
            let (answer, said) = self.send(method, path, &headers, body, until)?;
            let told = said.challenge.as_deref().and_then(|told| Told::parse(told.as_bytes()));
            match told.filter(|told| told.invites(&signature, [member.key.id()])) {
                // It has one key, which never changes.
                Some(told) if again => member.sender.learn(told, 0),
                _ if member.believes(&answer, &said, &signature) => return Ok(answer),
                _ => return Err(Failure::Lost),
            }
        }
        Err(Failure::Lost)
    }

    fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
        until: Instant,
    ) -> Result<(Answer, ToMembers), Failure> {
        let deadline = until.saturating_duration_since(Instant::now()).max(MOMENT);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.addr, deadline).map_err(|_| Failure::Unreachable)?,
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: bazar\r\n{headers}");
        if method == "POST" {
            request
                .push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).map_err(|_| Failure::Lost)?;
        let (answer, said, keep) = self.read(&mut stream, until).ok_or(Failure::Lost)?;
        if keep {
            self.stream = Some(stream);
        }
        Ok((answer, said))
    }

    fn read(&mut self, stream: &mut TcpStream, until: Instant) -> Option<(Answer, ToMembers, bool)> {
        self.buffer.clear();
        let (answer, said, begin, length, keep) = loop {
            self.more(stream, until)?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let (answer, said, length, keep) = head(&self.buffer[..end])?;
                break (answer, said, end + 4, length, keep);
            }
        };
        while self.buffer.len() < begin + length {
            self.more(stream, until)?;
        }
        let body = self.buffer[begin..begin + length].to_vec();
        Some((Answer { body, ..answer }, said, keep && self.buffer.len() == begin + length))
    }

    fn more(&mut self, stream: &mut TcpStream, until: Instant) -> Option<()> {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        let mut chunk = [0; 16 << 10];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    return (self.buffer.len() <= MAX_ANSWER).then_some(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

impl Member {
    /// Whether a member of the store gave this answer.
    fn believes(&self, answer: &Answer, said: &ToMembers, signature: &Signature) -> bool {
        let Some(proof) = said.proof.as_deref().and_then(|proof| Proof::parse(proof.as_bytes())) else {
            return false;
        };
        let head = signing::Answer {
            status: answer.status,
            headers: [said.met.as_deref().map(str::as_bytes), None],
        };
        proof.body == Extent::Whole(Sum::of(&answer.body)) && proof.proves(&self.key, &signature.mac, &head)
    }
}

fn connect(addr: SocketAddr, deadline: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, CONNECT.min(deadline))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(deadline))?;
    Ok(stream)
}

/// Status and headers, the length of the body, and whether the connection stays.
fn head(bytes: &[u8]) -> Option<(Answer, ToMembers, usize, bool)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.get(9..12)?.parse().ok()?;
    let (mut answer, mut said) = (Answer { status, ..Answer::default() }, ToMembers::default());
    let (mut length, mut keep) = (0, true);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok().filter(|&length| length <= MAX_ANSWER)?,
            "connection" => keep = !value.eq_ignore_ascii_case("close"),
            "transfer-encoding" => return None,
            "bazar-version" => answer.version = Some(value.into()),
            "x-cache" => answer.cache = Some(value.into()),
            "warning" => answer.warning = value.starts_with("110"),
            "idempotency-replayed" => answer.replayed = value == "true",
            signing::CHALLENGE => said.challenge = Some(value.into()),
            signing::PROOF => said.proof = Some(value.into()),
            "bazar-met" => said.met = Some(value.into()),
            "bazar-unsafe-coherence" => answer.unsafe_coherence = true,
            _ => {}
        }
    }
    Some((answer, said, length, keep))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(answer: &'static str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut chunk = [0; 4096];
            let _ = stream.read(&mut chunk).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            // What follows an answer is the client's business.
            let _ = stream.read(&mut chunk);
        });
        Client::new(addr)
    }

    #[test]
    fn an_answer_is_read_with_what_the_history_wants_of_it() {
        let mut client = answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nBazar-Version: 3.17\r\nX-Cache: HIT\r\nwarning: 110 bazar\r\n\r\n{}",
        );
        let answer = client.get("/info/1", Duration::from_secs(5)).unwrap();
        assert_eq!((answer.status, answer.body.as_slice(), answer.warning), (200, &b"{}"[..], true));
        assert_eq!((answer.version.as_deref(), answer.cache.as_deref()), (Some("3.17"), Some("HIT")));
    }

    #[test]
    fn half_an_answer_is_none_and_nobody_there_is_known() {
        let mut client = answering("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}");
        assert_eq!(client.get("/", Duration::from_millis(100)), Err(Failure::Lost));
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(Client::new(nobody).get("/", Duration::from_secs(5)), Err(Failure::Unreachable));
    }
}
