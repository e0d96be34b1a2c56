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
