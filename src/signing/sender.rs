//! One sender's side towards one receiver: for which challenge it signs, with which key, and how far it has counted.
//!
//! Invariant: no two signatures of it have the same number.

use super::challenge::Told;
use super::key::{KeyId, SigningKey};
use super::request::{Challenge, Request, SessionId, Signature};
use super::sum::Sum;

#[derive(Debug)]
pub struct Sender {
    session: SessionId,
    n: u64,
    /// Nothing, before the receiver has told it: then the first request is refused, and says.
    to: Challenge,
    /// Which keys the receiver has; empty before it has told.
    known: Vec<KeyId>,
}

impl Sender {
    /// `session` must be drawn at random, anew for each receiver.
    pub fn new(session: SessionId) -> Self {
        Self { session, n: 0, to: Challenge::default(), known: Vec::new() }
    }

    /// Which of `keys` is to sign: the first, unless the receiver has told that it knows a later one only. `keys`
    /// must not be empty.
    pub fn choose<'k>(&self, keys: &'k [std::sync::Arc<SigningKey>]) -> &'k std::sync::Arc<SigningKey> {
        keys.iter().find(|key| self.known.contains(&key.id())).unwrap_or(&keys[0])
    }

    /// For which challenge, and as which request of which session, the next one is to be signed. It may be signed
    /// without this sender in hand: no other gets the number.
    pub fn count(&mut self) -> (Challenge, (SessionId, u64)) {
        self.n += 1;
        (self.to, (self.session, self.n))
    }

    pub fn sign(&mut self, key: &SigningKey, request: &Request<'_>, body: Sum) -> Signature {
        let (to, count) = self.count();
        Signature::make(key, to, count, request, body)
    }

    /// The receiver said what to sign for.
    pub fn learn(&mut self, told: Told) {
        self.to = told.challenge;
        self.known = told.keys;
    }
}
