//! A relay before a node that counts the requests which pass: what the nodes would say of themselves need
//! not be believed.
//!
//! Invariant: bytes pass as they came. HTTP/1.1 without pipelining takes turns, so a request begins with the
//! first bytes that come from the client's side after an answer.

use crate::client::BaseUrl;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is passed on at once.
const CHUNK_BYTES: usize = 16 << 10;

/// Requests by method and first segment of the path: `GET /books`.
type Counts = Rc<RefCell<BTreeMap<String, u64>>>;

pub struct Relay {
    url: BaseUrl,
    counts: Counts,
    accepting: actix_web::rt::task::JoinHandle<()>,
}

impl Relay {
    pub async fn before(node: &BaseUrl) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = BaseUrl::from_addr(listener.local_addr()?);
        let counts = Counts::default();
        let (counted, node) = (counts.clone(), node.authority());
        let accepting = actix_web::rt::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counts, node) = (counted.clone(), node.clone());
                // It ends when either side hangs up.
                actix_web::rt::spawn(async move { drop(pass(client, &node, counts).await) });
            }
        });
        Ok(Self { url, counts, accepting })
    }

    pub fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// Requests whose first line begins with `method` and `segment`.
    pub fn count(&self, method: &str, segment: &str) -> u64 {
        self.counts.borrow().get(&format!("{method} {segment}")).copied().unwrap_or_default()
    }

    /// Forgets what passed so far.
    pub fn reset(&self) {
        self.counts.borrow_mut().clear();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, node: &str, counts: Counts) -> io::Result<()> {
    let server = TcpStream::connect(node).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Whose turn it is to speak: a request is not counted twice for coming in two pieces.
    let asked = Cell::new(false);
    let requests = copy(from_client, to_server, |bytes| {
        if !asked.replace(true) {
            *counts.borrow_mut().entry(kind(bytes)).or_default() += 1;
        }
    });
    let answers = copy(from_server, to_client, |_| asked.set(false));
    tokio::select! { done = requests => done, done = answers => done }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    seen: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        seen(&chunk[..read]);
        to.write_all(&chunk[..read]).await?;
    }
}

/// Method and first segment of the path of a request that begins with `bytes`.
fn kind(bytes: &[u8]) -> String {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let segment = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    format!("{method} /{segment}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_request_is_told_by_its_method_and_the_beginning_of_its_path() {
        assert_eq!(kind(b"GET /books?ids=1,2 HTTP/1.1\r\nhost: x\r\n"), "GET /books");
        assert_eq!(kind(b"GET /books/7 HTTP/1.1\r\n"), "GET /books");
        assert_eq!(kind(b"\xff\xfe"), "\u{fffd}\u{fffd} /");
    }

    #[actix_web::test]
    async fn each_request_is_passed_on_and_counted_once_though_it_comes_in_pieces() {
        let node = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::before(&BaseUrl::from_addr(node.local_addr().unwrap())).await.unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = node.accept().unwrap();
            for length in [20, 21] {
                stream.read_exact(&mut vec![0; length]).unwrap();
                stream.write_all(b"ok").unwrap();
            }
        });
        let at = relay.url().authority();
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(at).unwrap();
            let mut answer = [0; 2];
            // Two pieces: the second would look like a request of its own.
            stream.write_all(b"GET /a HT").unwrap();
            stream.flush().unwrap();
            stream.write_all(b"TP/1.1\r\n\r\n\r").unwrap();
            stream.read_exact(&mut answer).unwrap();
            stream.write_all(b"POST /b HTTP/1.1\r\n\r\n\r").unwrap();
            stream.read_exact(&mut answer).unwrap();
            answer
        });
        let answer = tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap();
        server.join().unwrap();
        assert_eq!(&answer, b"ok");
        assert_eq!((relay.count("GET", "/a"), relay.count("POST", "/b")), (1, 1));
        assert_eq!(relay.counts.borrow().len(), 2);
        relay.reset();
        assert_eq!(relay.count("GET", "/a"), 0);
    }
}
