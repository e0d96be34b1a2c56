//! What of a request is signed, and the header that carries the signature:
//!
//! ```text
//! Bazar-Signature: v1 key=<id>,to=<challenge>,session=<id>,n=<number>,body=<SHA-256>,mac=<HMAC-SHA256>
//! ```
//!
//! Invariant: two requests that differ in anything that is signed have different messages under the MAC: the
//! parts of fixed length come first, and what follows has no line break within.

use super::key::{KeyId, SigningKey};
use super::sum::Sum;
use std::fmt;

/// What begins the message under a MAC that signs a request. No beginning of it begins another message of ours.
const LABEL: &[u8] = b"bazar request 1\n";

const VERSION: &str = "v1 ";

/// Longer headers are none of ours.
const MAX_HEADER: usize = 512;

/// The headers of a request that mean something to its receiver, beside those of HTTP itself. Whoever reads
/// another one adds it here.
pub const SIGNED_HEADERS: [&str; 3] = ["bazar-met", "x-request-id", "traceparent"];

/// What is signed of a request, beside its body.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Path and query, as they are sent.
    pub target: &'a str,
    /// The values of [`SIGNED_HEADERS`], each of which stands once or not at all.
    pub headers: [Option<&'a [u8]>; SIGNED_HEADERS.len()],
}

/// Drawn by a receiver at its start: a signature for it is worth nothing elsewhere, and nothing later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Challenge(pub [u8; 16]);

/// Drawn by a sender for each receiver; its requests are counted within.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

/// What the header says. Nothing of it is true before [`Signature::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    pub key: KeyId,
    pub to: Challenge,
    pub session: SessionId,
    /// Which request of the session.
    pub n: u64,
    /// Of the body.
    pub body: Sum,
    pub mac: [u8; 32],
}

/// A signature whose MAC is right. Whether it is the first time that it comes is another question.
#[derive(Debug, Clone, Copy)]
pub struct Authentic(Signature);

impl Signature {
    pub fn make(
        key: &SigningKey,
        to: Challenge,
        (session, n): (SessionId, u64),
        request: &Request<'_>,
        body: Sum,
    ) -> Self {
        let unsigned = Self { key: key.id(), to, session, n, body, mac: [0; 32] };
        Self { mac: unsigned.message(request, |parts| key.mac().mac(parts)), ..unsigned }
    }

    /// From the value of the header.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok().filter(|text| text.len() <= MAX_HEADER)?;
        let mut fields = text.strip_prefix(VERSION)?.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let (key, to, session) = (field("key")?, field("to")?, field("session")?);
        let (n, body, mac) = (field("n")?, field("body")?, field("mac")?);
        if fields.next().is_some() || !n.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let mut signature = Self {
            key: KeyId::parse(key)?,
            to: Challenge::parse(to)?,
            session: SessionId([0; 16]),
            n: n.parse().ok()?,
            body: Sum::parse(body)?,
            mac: [0; 32],
        };
        hex::decode_to_slice(session, &mut signature.session.0).ok()?;
        hex::decode_to_slice(mac, &mut signature.mac).ok()?;
        Some(signature)
    }

    /// Whether who has `key` made it for `request`.
    pub fn verify(self, key: &SigningKey, request: &Request<'_>) -> Option<Authentic> {
        let right = self.key == key.id() && self.message(request, |parts| key.mac().is_mac(parts, &self.mac));
        right.then_some(Authentic(self))
    }

    /// Does something with the message under the MAC.
    fn message<T>(&self, request: &Request<'_>, act: impl FnOnce(&[&[u8]]) -> T) -> T {
        let n = self.n.to_be_bytes();
        let [met, request_id, trace] = request.headers;
        // That a header is not there is something else than that it is empty.
        let there = |header: Option<_>| if header.is_some() { &b"\n="[..] } else { b"\n-" };
        let value = |header: Option<_>| header.unwrap_or(&b""[..]);
        act(&[
            LABEL,
            &self.to.0,
            &self.session.0,
            &n,
            &self.body.0,
            request.method.as_bytes(),
            b"\n",
            request.target.as_bytes(),
            there(met),
            value(met),
            there(request_id),
            value(request_id),
            there(trace),
            value(trace),
        ])
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, to, session, n, body, mac } = self;
        let (session, mac) = (hex::encode(session.0), hex::encode(mac));
        write!(f, "{VERSION}key={key},to={to},session={session},n={n},body={body},mac={mac}")
    }
}

impl Authentic {
    pub fn signature(&self) -> &Signature {
        &self.0
    }
}

impl Challenge {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut challenge = [0; 16];
        hex::decode_to_slice(text, &mut challenge).ok()?;
        Some(Self(challenge))
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::of(b"token-of-the-tests")
    }

    const REQUEST: Request<'static> =
        Request { method: "POST", target: "/purchases?a=b", headers: [Some(b"3:00.1"), Some(b"id"), None] };

    fn signature() -> Signature {
        Signature::make(&key(), Challenge([1; 16]), (SessionId([2; 16]), 7), &REQUEST, Sum::of(b"body"))
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Signature::parse(signature().to_string().as_bytes()), Some(signature()));
    }

    #[test]
    fn only_the_request_that_was_signed_has_its_signature() {
        assert!(signature().verify(&key(), &REQUEST).is_some());
        assert!(signature().verify(&SigningKey::of(b"token-of-somebody-else"), &REQUEST).is_none());
        let [met, id, trace] = REQUEST.headers;
        for altered in [
            Request { method: "GET", ..REQUEST },
            Request { target: "/purchases?a=c", ..REQUEST },
            Request { target: "/purchases", ..REQUEST },
            Request { headers: [Some(b"4:00.1"), id, trace], ..REQUEST },
            Request { headers: [None, id, trace], ..REQUEST },
            Request { headers: [met, Some(b""), trace], ..REQUEST },
            Request { headers: [met, None, trace], ..REQUEST },
            Request { headers: [met, id, Some(b"")], ..REQUEST },
            // Moved from one part of the message to the next.
            Request { method: "POST\n/purchases?a=b", target: "", ..REQUEST },
            Request { headers: [Some(b"3:00.1\n=id"), None, trace], ..REQUEST },
        ] {
            assert!(signature().verify(&key(), &altered).is_none(), "{altered:?}");
        }
        let signed = signature();
        for altered in [
            Signature { to: Challenge([9; 16]), ..signed },
            Signature { session: SessionId([9; 16]), ..signed },
            Signature { n: 8, ..signed },
            Signature { body: Sum::of(b"another"), ..signed },
            Signature { mac: [0; 32], ..signed },
            Signature { key: KeyId([0; 8]), ..signed },
        ] {
            assert!(altered.verify(&key(), &REQUEST).is_none(), "{altered}");
        }
    }

    #[test]
    fn what_is_not_exactly_a_signature_is_none() {
        let whole = signature().to_string();
        let wrong = [
            String::new(),
            "Bearer token-of-the-tests".into(),
            whole.replace("v1 ", "v2 "),
            whole.replace("n=7", "n=+7"),
            whole.replace("n=7", "n="),
            whole.replace("n=7", "n=18446744073709551616"),
            whole.replace("to=", "to=0"),
            whole.replace(",n=7", ""),
            whole.replace("key=", "kez="),
            format!("{whole},more=1"),
            format!(" {whole}"),
            format!("{whole} "),
            whole[..whole.len() - 1].to_owned(),
            format!("{whole}{}", "0".repeat(500)),
        ];
        for header in wrong {
            assert_eq!(Signature::parse(header.as_bytes()), None, "{header}");
        }
        assert_eq!(Signature::parse(b"v1 \xff"), None);
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_signature()(
            key: [u8; 8], to: [u8; 16], session: [u8; 16], n: u64, body: [u8; 32], mac: [u8; 32],
        ) -> Signature {
            let (to, session) = (Challenge(to), SessionId(session));
            Signature { key: KeyId(key), to, session, n, body: Sum(body), mac }
        }
    }

    proptest! {
        #[test]
        fn every_signature_is_read_as_it_was_written(signature in any_signature()) {
            prop_assert_eq!(Signature::parse(signature.to_string().as_bytes()), Some(signature));
        }

        #[test]
        fn no_header_makes_the_parser_fail(header: Vec<u8>) {
            let _ = Signature::parse(&header);
        }

        #[test]
        fn a_header_with_one_byte_changed_is_none_or_says_something_else(
            signature in any_signature(), at: prop::sample::Index, byte: u8,
        ) {
            let mut header = signature.to_string().into_bytes();
            let at = at.index(header.len());
            prop_assume!(!header[at].eq_ignore_ascii_case(&byte));
            header[at] = byte;
            // A zero before the number is the same number.
            prop_assert_ne!(Signature::parse(&header), Some(signature));
        }

        #[test]
        fn two_requests_never_share_a_signature(
            method in "[A-Z]{1,4}", target in "/[a-z?=/]{0,8}", met in prop::option::of("[ -~]{0,6}"),
            id in prop::option::of("[ -~]{0,6}"), trace in prop::option::of("[ -~]{0,6}"),
            other in ("[A-Z]{1,4}", "/[a-z?=/]{0,8}", prop::option::of("[ -~]{0,6}"), prop::option::of("[ -~]{0,6}")),
        ) {
            let key = SigningKey::of(b"token-of-the-tests");
            let of = |text: &'_ Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
            let (met, id, trace) = (of(&met), of(&id), of(&trace));
            let request = Request {
                method: &method, target: &target, headers: [met.as_deref(), id.as_deref(), trace.as_deref()],
            };
            let (other_method, other_target, other_met, other_id) = other;
            let (other_met, other_id) = (of(&other_met), of(&other_id));
            let other = Request {
                method: &other_method, target: &other_target,
                headers: [other_met.as_deref(), other_id.as_deref(), trace.as_deref()],
            };
            let same = (request.method, request.target, request.headers) == (other.method, other.target, other.headers);
            let signature = Signature::make(&key, Challenge([1; 16]), (SessionId([2; 16]), 1), &request, Sum::EMPTY);
            prop_assert!(signature.verify(&key, &request).is_some());
            prop_assert_eq!(signature.verify(&key, &other).is_some(), same);
        }
    }
}
