//! What of an answer is proved, and the header that carries the proof:
//!
//! ```text
//! Bazar-Proof: v1 body=<SHA-256>,mac=<HMAC-SHA256>
//! ```
//!
//! A body that is not in memory has `body=end`: its last [`SEAL_BYTES`] bytes are no part of it but a MAC over its
//! sum, so that a body that breaks off is known as well; or, where a header has its sum already,
//! `body=bazar-sha256`.
//!
//! Invariant: a proof is one for a single request (it is over that request's MAC, which is over its number), so no
//! answer passes for one to another request.

use super::key::SigningKey;
use super::sum::Sum;
use std::fmt;

/// They begin the messages under MACs. No beginning of one begins another message of ours.
const LABEL: &[u8] = b"bazar answer 1\n";
const SEAL_LABEL: &[u8] = b"bazar end 1\n";

const VERSION: &str = "v1 ";

/// Longer headers are none of ours.
const MAX_HEADER: usize = 256;

/// The headers of an answer that mean something to who asked, beside those of HTTP itself. Whoever reads another
/// one adds it here.
pub const PROVED_HEADERS: [&str; 2] = ["bazar-met", "bazar-sha256"];

/// Behind a body of unknown length: hexadecimal digits, so that it stays text.
pub const SEAL_BYTES: usize = 64;

/// What is proved of an answer, beside its body.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub status: u16,
    /// The values of [`PROVED_HEADERS`], each of which stands once or not at all.
    pub headers: [Option<&'a [u8]>; PROVED_HEADERS.len()],
}

/// How the body is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This is its sum.
    Whole(Sum),
    /// `Bazar-Sha256` has its sum, and is proved.
    InHead,
    /// It ends in its seal.
    AtEnd,
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    pub body: Extent,
    mac: [u8; 32],
}

impl Proof {
    /// Of `answer` to the request whose signature has the MAC `asked`.
    pub fn make(key: &SigningKey, asked: &[u8; 32], answer: &Answer<'_>, body: Extent) -> Self {
        Self { body, mac: message(asked, answer, body, |parts| key.mac().mac(parts)) }
    }

    /// From the value of the header.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok().filter(|text| text.len() <= MAX_HEADER)?;
        let (body, given) = text.strip_prefix(VERSION)?.strip_prefix("body=")?.split_once(",mac=")?;
        let body = match body {
            "end" => Extent::AtEnd,
            "bazar-sha256" => Extent::InHead,
            sum => Extent::Whole(Sum::parse(sum)?),
        };
        let mut mac = [0; 32];
        hex::decode_to_slice(given, &mut mac).ok()?;
        Some(Self { body, mac })
    }

    /// Whether who has `key` gave `answer` to the request whose signature has the MAC `asked`.
    pub fn proves(&self, key: &SigningKey, asked: &[u8; 32], answer: &Answer<'_>) -> bool {
        message(asked, answer, self.body, |parts| key.mac().is_mac(parts, &self.mac))
    }
}

/// What ends a body with this sum, in the answer to the request whose signature has the MAC `asked`.
pub fn seal(key: &SigningKey, asked: &[u8; 32], body: Sum) -> [u8; SEAL_BYTES] {
    let mut digits = [0; SEAL_BYTES];
    // It has the room.
    let _ = hex::encode_to_slice(key.mac().mac(&[SEAL_LABEL, asked, &body.0]), &mut digits);
    digits
}

/// Does something with the message under the MAC.
fn message<T>(asked: &[u8; 32], answer: &Answer<'_>, body: Extent, act: impl FnOnce(&[&[u8]]) -> T) -> T {
    let (kind, sum) = match body {
        Extent::Whole(sum) => (b"w", sum),
        Extent::InHead => (b"h", Sum([0; 32])),
        Extent::AtEnd => (b"e", Sum([0; 32])),
    };
    let [met, sha256] = answer.headers;
    let there = |header: Option<_>| if header.is_some() { &b"\n="[..] } else { b"\n-" };
    let value = |header: Option<_>| header.unwrap_or(&b""[..]);
    let status = answer.status.to_be_bytes();
    act(&[LABEL, asked, &status, kind, &sum.0, there(met), value(met), there(sha256), value(sha256)])
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = hex::encode(self.mac);
        match self.body {
            Extent::Whole(sum) => write!(f, "{VERSION}body={sum},mac={mac}"),
            Extent::InHead => write!(f, "{VERSION}body=bazar-sha256,mac={mac}"),
            Extent::AtEnd => write!(f, "{VERSION}body=end,mac={mac}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_header_makes_the_parser_fail_and_what_it_reads_it_writes_the_same(header: Vec<u8>, body in "[0-9a-f]{0,66}") {
            let of_ours = format!("v1 body={body},mac={}", "0".repeat(64));
            for header in [&header[..], of_ours.as_bytes()] {
                if let Some(proof) = Proof::parse(header) {
                    prop_assert_eq!(proof.to_string().into_bytes(), header);
                }
            }
        }
    }

    const ANSWER: Answer<'static> = Answer { status: 200, headers: [Some(b"3:00.1"), None] };
    const ASKED: [u8; 32] = [1; 32];

    #[test]
    fn a_proof_is_for_one_answer_to_one_request() {
        let key = SigningKey::of(b"token-of-the-tests");
        for body in [Extent::Whole(Sum::of(b"body")), Extent::InHead, Extent::AtEnd] {
            let proof = Proof::make(&key, &ASKED, &ANSWER, body);
            assert_eq!(Proof::parse(proof.to_string().as_bytes()), Some(proof));
            assert!(proof.proves(&key, &ASKED, &ANSWER));
            assert!(!proof.proves(&SigningKey::of(b"token-of-somebody-else"), &ASKED, &ANSWER));
            assert!(!proof.proves(&key, &[2; 32], &ANSWER), "another request");
            assert!(!proof.proves(&key, &ASKED, &Answer { status: 201, ..ANSWER }));
            assert!(!proof.proves(&key, &ASKED, &Answer { headers: [None, None], ..ANSWER }));
            assert!(!proof.proves(
                &key,
                &ASKED,
                &Answer { headers: [ANSWER.headers[0], Some(b"")], ..ANSWER }
            ));
            for other in [Extent::Whole(Sum::of(b"another")), Extent::Whole(Sum([0; 32]))] {
                assert!(!Proof { body: other, ..proof }.proves(&key, &ASKED, &ANSWER));
            }
        }
        let in_head = Proof::make(&key, &ASKED, &ANSWER, Extent::InHead);
        assert!(!Proof { body: Extent::AtEnd, ..in_head }.proves(&key, &ASKED, &ANSWER));
    }

    #[test]
    fn a_seal_is_for_one_body_of_one_answer() {
        let key = SigningKey::of(b"token-of-the-tests");
        let sealed = seal(&key, &ASKED, Sum::of(b"body"));
        assert_ne!(sealed, seal(&key, &ASKED, Sum::of(b"bod")));
        assert_ne!(sealed, seal(&key, &[2; 32], Sum::of(b"body")));
        assert!(sealed.iter().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn what_is_not_exactly_a_proof_is_none() {
        let whole = Proof::make(&SigningKey::of(b"k"), &ASKED, &ANSWER, Extent::AtEnd).to_string();
        for header in ["", "v1 ", &whole[1..], &whole[..whole.len() - 1], &whole.replace("end", "start")] {
            assert_eq!(Proof::parse(header.as_bytes()), None, "{header}");
        }
    }
}
