//! How the members of a store know each other's messages: requests that are signed, answers that are proved.
//!
//! ```text
//!   sender                                        receiver
//!     ── request, Bazar-Signature ──────────────▶   right key? right challenge? right MAC? never seen?
//!     ◀── 401, Bazar-Challenge ─────────────────    no: nothing was carried out
//!     ── the same, signed for that challenge ───▶   yes; the sum of its body is checked while it is read
//!     ◀── answer, Bazar-Proof ──────────────────    by a key that only the store has, over this very request
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `key` | keys for HMAC-SHA256, and what is derived from a secret |
//! | `sum` | SHA-256 sums of bodies |
//! | `request` | what of a request is signed, and the header that carries the signature |
//! | `answer` | what of an answer is proved, and the header that carries the proof |
//! | `challenge` | what a receiver tells who signed for somebody else |
//! | `sender` | one sender's side towards one receiver: counts |
//! | `receiver` | a receiver's side: who counted how far |
//! | `window` | which numbers of one sender were seen |
//!
//! Invariants: a receiver accepts a signature at most once, and only one that was made for it in this life (its
//! challenge is drawn at its start); nothing depends on a clock; what is kept to know replays is bounded, and
//! running into the bound makes nothing acceptable again (the challenge is drawn anew). Everything with a meaning
//! is under a MAC: method, path, query, body, and the headers in [`SIGNED_HEADERS`] and [`PROVED_HEADERS`].
//!
//! No I/O, no clock, no randomness: all of that comes in as arguments. `docs/internal-auth.md` says why it is
//! done this way, and what it does not give.

mod answer;
mod challenge;
mod key;
mod receiver;
mod request;
mod sender;
mod sum;
mod window;

pub use answer::{Answer, Extent, PROVED_HEADERS, Proof, SEAL_BYTES, seal};
pub use challenge::Told;
pub use key::{KeyId, MacKey, SigningKey, derive};
pub use receiver::{Receiver, Refused};
pub use request::{Authentic, Challenge, Request, SIGNED_HEADERS, SessionId, Signature};
pub use sender::Sender;
pub use sum::{Sum, Summing};

/// Of a request: who signed it, for whom, and the MAC.
pub const SIGNATURE: &str = "bazar-signature";
/// Of a refusal: what to sign for.
pub const CHALLENGE: &str = "bazar-challenge";
/// Of an answer: that a member of the store gave it, to this request.
pub const PROOF: &str = "bazar-proof";

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by another program, from what docs/internal-auth.md says: other versions must agree with it.
    #[test]
    fn what_is_on_the_wire_is_what_it_always_was() {
        let key = SigningKey::of(b"0123456789abcdef");
        let headers = [Some(&b"3:0123456789abcdef"[..]), Some(b"0123456789abcdef"), None, None];
        let request = Request { method: "POST", target: "/purchases", headers };
        let (to, session, body) = (Challenge([1; 16]), SessionId([2; 16]), Sum::of(b"{}"));
        let signature = Signature::make(&key, to, (session, 7), &request, body);
        assert_eq!(
            signature.to_string(),
            "v1 key=6d529c24b3ff11f4,to=01010101010101010101010101010101,session=02020202020202020202020202020202,n=7,\
             body=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a,\
             mac=491cad132c9dca43fd873cebb309917c0292cf4ae368a95b89a4af59341ae4be"
        );
        let answer = Answer { status: 200, headers: [headers[0], None] };
        assert_eq!(
            Proof::make(&key, &signature.mac, &answer, Extent::Whole(body)).to_string(),
            "v1 body=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a,\
             mac=039ce630fe5a49fedd76ac5df6b553a56da8f55c59dfe0a077c3dfa91d3f1c4e"
        );
        assert_eq!(
            seal(&key, &signature.mac, body),
            *b"81c260974a2a98f9b3915439e40b96bfe219ce8a7842eec6402246d2fb650649"
        );
    }
}
