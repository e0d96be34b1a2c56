//! A client's connection: HTTP/1.1 with keep-alive, one request at a time. Keeps the bytes of an answer as they came,
//! because they are compared.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For one answer; nothing that is measured may take as long.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// A page of a thousand books fits.
const LARGEST_ANSWER: usize = 1 << 20;

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    bytes: Vec<u8>,
    body_at: usize,
}

impl Answer {
    /// The status line and the headers, without the empty line.
    pub fn head(&self) -> &str {
        // Checked when it was read.
        str::from_utf8(&self.bytes[..self.body_at - 4]).unwrap_or_default()
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }

    /// Head and body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn status(&self) -> u16 {
        self.head().get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        headers(self.head()).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(self.body()).context("an answer is not JSON")
    }
}

/// Names and values.
pub fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
}

/// Where the body begins and how long the whole answer is, if the head is complete.
pub fn extent(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&bytes[..end])?;
    let length = headers(head).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let Some((_, length)) = length else { bail!("an answer without Content-Length:\n{head}") };
    let length: usize = length.parse().context("Content-Length")?;
    ensure!(length <= LARGEST_ANSWER, "an answer of {length} bytes");
    Ok(Some((end + 4, end + 4 + length)))
}

/// The bytes of a request without a body.
pub fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes()
}

/// The bytes of a request with a JSON body; `headers` is whole lines, each with its end.
pub fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWERED_WITHIN)
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
        stream.set_write_timeout(Some(ANSWERED_WITHIN))?;
        Ok(Self { address, stream })
    }

    pub fn get(&mut self, path: &str) -> Result<Answer> {
        let request = get(self.address, path);
        let (answer, _) = self.ask(&request).with_context(|| format!("GET {path} at {}", self.address))?;
        ensure!(answer.status() == 200, "GET {path} at {}: {}", self.address, answer.head());
        Ok(answer)
    }

    /// The answer, and how long it took from the first byte sent to the last byte received.
    pub fn ask(&mut self, request: &[u8]) -> Result<(Answer, Duration)> {
        let mut bytes = Vec::with_capacity(4096);
        let mut chunk = [0; 16 << 10];
        let mut extent = None;
        let sent = Instant::now();
        self.stream.write_all(request)?;
        loop {
            let count = self.stream.read(&mut chunk)?;
            ensure!(count > 0, "the server closed the connection");
            bytes.extend_from_slice(&chunk[..count]);
            if extent.is_none() {
                extent = self::extent(&bytes)?;
            }
            match extent {
                Some((body_at, end)) if bytes.len() == end => {
                    return Ok((Answer { bytes, body_at }, sent.elapsed()));
                }
                Some((_, end)) => ensure!(bytes.len() < end, "more than was asked for"),
                None => ensure!(bytes.len() < LARGEST_ANSWER, "a head without an end"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_content_length_says() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(extent(answer).unwrap(), Some((38, 40)));
        assert_eq!(extent(&answer[..30]).unwrap(), None);
        assert!(extent(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
