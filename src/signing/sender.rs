//! One sender's side towards one receiver: for which challenge it signs, with which key, and how far it has counted.
//!
//! Invariant: no two signatures of it have the same number.

use super::challenge::Told;
use super::key::{KeyId, SigningKey};
use super::request::{Challenge, Request, SessionId, Signature};
use super::sum::Sum;
use std::sync::Arc;

#[derive(Debug)]
pub struct Sender {
    session: SessionId,
    n: u64,
    /// Nothing, before the receiver has told it: then the first request is refused, and says.
    to: Challenge,
    /// Which keys the receiver has; empty before it has told.
    known: Vec<KeyId>,
    /// Which change of our own keys it was told under.
    under: u64,
}

impl Sender {
    /// `session` must be drawn at random, anew for each receiver.
    pub fn new(session: SessionId) -> Self {
        Self { session, n: 0, to: Challenge::default(), known: Vec::new(), under: 0 }
    }

    /// Which of `keys`, of our change number `change`, is to sign: the first, unless the receiver has told since that
    /// it knows a later one only. (What it told before says nothing of now: it changes its keys when we do.) `keys`
    /// must not be empty.
    pub fn choose<'k>(&self, keys: &'k [Arc<SigningKey>], change: u64) -> &'k Arc<SigningKey> {
        let known = |key: &&Arc<SigningKey>| self.under == change && self.known.contains(&key.id());
        keys.iter().find(known).unwrap_or(&keys[0])
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

    /// The receiver said what to sign for, while our keys are those of change number `change`.
    pub fn learn(&mut self, told: Told, change: u64) {
        self.to = told.challenge;
        self.known = told.keys;
        self.under = change;
    }
}
