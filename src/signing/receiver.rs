//! A receiver's side: its challenge, and which requests of which session it has seen.
//!
//! Invariant: a signature is admitted once, in whatever order, and however many senders there are: when the table of
//! sessions is full it is emptied, and with it everything that was signed before loses its challenge.

use super::key::KeyId;
use super::request::{Authentic, Challenge, SessionId};
use super::window::Window;
use std::collections::HashMap;

/// Senders that are remembered, each with a window of 8 KiB: 8 MiB at most. A store has some dozen members, and each
/// command that an operator runs is one more.
const MAX_SESSIONS: usize = 1024;

pub struct Receiver {
    challenge: Challenge,
    /// Each under the key that it is signed with. A session's name can be read on the wire: under a single name, who
    /// has a lesser key could count a member's session to its end, and nothing of that member would be admitted again.
    sessions: HashMap<(KeyId, SessionId), Window>,
}

/// Why a signature with a right MAC is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was made for another receiver, or for this one in an earlier life.
    OtherChallenge,
    /// It came before, or so late that this cannot be told any more.
    Seen,
}

impl Receiver {
    /// `challenge` must be drawn at random.
    pub fn new(challenge: Challenge) -> Self {
        Self { challenge, sessions: HashMap::new() }
    }

    pub fn challenge(&self) -> Challenge {
        self.challenge
    }

    /// Admits a signature that is for us and comes for the first time. `fresh`, drawn at random, is the next
    /// challenge if one is needed.
    pub fn admit(&mut self, signed: &Authentic, fresh: impl FnOnce() -> Challenge) -> Result<(), Refused> {
        let signature = signed.signature();
        if signature.to != self.challenge {
            return Err(Refused::OtherChallenge);
        }
        let session = (signature.key, signature.session);
        if !self.sessions.contains_key(&session) && self.sessions.len() >= MAX_SESSIONS {
            self.sessions.clear();
            self.challenge = fresh();
            return Err(Refused::OtherChallenge);
        }
        let window = self.sessions.entry(session).or_insert_with(Window::new);
        if window.admit(signature.n) { Ok(()) } else { Err(Refused::Seen) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::challenge::Told;
    use super::super::key::SigningKey;
    use super::super::request::{Request, Signature};
    use super::super::sender::Sender;
    use super::super::sum::Sum;
    use super::*;
    use std::sync::Arc;

    const REQUEST: Request<'static> = Request { method: "GET", target: "/", headers: [None; 4] };
    const C1: Challenge = Challenge([1; 16]);
    const C2: Challenge = Challenge([2; 16]);

    fn key() -> Arc<SigningKey> {
        Arc::new(SigningKey::of(b"token-of-the-tests"))
    }

    fn sender(number: u16) -> Sender {
        let mut session = [0; 16];
        session[..2].copy_from_slice(&number.to_be_bytes());
        Sender::new(SessionId(session))
    }

    fn authentic(signature: Signature) -> Authentic {
        signature.verify(&key(), &REQUEST).unwrap()
    }

    fn told(receiver: &Receiver) -> Told {
        Told { challenge: receiver.challenge(), keys: vec![key().id()] }
    }

    #[test]
    fn a_sender_learns_the_challenge_from_its_first_refusal_and_is_admitted_once_for_each_request() {
        let (mut receiver, mut sender) = (Receiver::new(C1), sender(1));
        let first = sender.sign(&key(), &REQUEST, Sum::EMPTY);
        assert_eq!(receiver.admit(&authentic(first), || C2), Err(Refused::OtherChallenge));
        assert!(told(&receiver).invites(&first, [key().id()]));
        sender.learn(told(&receiver), 0);
        for _ in 0..3 {
            let signature = sender.sign(&key(), &REQUEST, Sum::EMPTY);
            assert_eq!(receiver.admit(&authentic(signature), || C2), Ok(()));
            assert_eq!(receiver.admit(&authentic(signature), || C2), Err(Refused::Seen));
            assert!(!told(&receiver).invites(&signature, [key().id()]), "it would be another request");
        }
    }

    #[test]
    fn who_has_started_again_admits_nothing_that_was_signed_before() {
        let (mut before, mut sender) = (Receiver::new(C1), sender(1));
        sender.learn(told(&before), 0);
        let signature = sender.sign(&key(), &REQUEST, Sum::EMPTY);
        assert_eq!(before.admit(&authentic(signature), || C2), Ok(()));
        let mut after = Receiver::new(C2);
        assert_eq!(after.admit(&authentic(signature), || C1), Err(Refused::OtherChallenge));
    }

    #[test]
    fn who_has_another_key_cannot_count_somebodys_session_to_its_end() {
        let (mut receiver, mut member) = (Receiver::new(C1), sender(1));
        member.learn(told(&receiver), 0);
        let keeper = SigningKey::of(b"token-of-a-keeper");
        let signed = member.sign(&key(), &REQUEST, Sum::EMPTY);
        let of_keeper = Signature::make(&keeper, C1, (signed.session, u64::MAX), &REQUEST, Sum::EMPTY);
        assert_eq!(receiver.admit(&authentic(signed), || C2), Ok(()));
        let of_keeper = of_keeper.verify(&keeper, &REQUEST).unwrap();
        assert_eq!(receiver.admit(&of_keeper, || C2), Ok(()));
        assert_eq!(receiver.admit(&of_keeper, || C2), Err(Refused::Seen));
        let next = member.sign(&key(), &REQUEST, Sum::EMPTY);
        assert_eq!(receiver.admit(&authentic(next), || C2), Ok(()));
    }

    #[test]
    fn a_full_table_makes_nothing_acceptable_again() {
        let mut receiver = Receiver::new(C1);
        let mut signatures = Vec::new();
        for number in 0..MAX_SESSIONS {
            let mut sender = sender(u16::try_from(number).unwrap());
            sender.learn(told(&receiver), 0);
            signatures.push(sender.sign(&key(), &REQUEST, Sum::EMPTY));
            assert_eq!(receiver.admit(&authentic(signatures[number]), || C2), Ok(()));
        }
        let mut one_more = sender(u16::MAX);
        one_more.learn(told(&receiver), 0);
        let refused = one_more.sign(&key(), &REQUEST, Sum::EMPTY);
        assert_eq!(receiver.admit(&authentic(refused), || C2), Err(Refused::OtherChallenge));
        assert_eq!(receiver.challenge(), C2);
        for signature in signatures {
            assert_eq!(receiver.admit(&authentic(signature), || C1), Err(Refused::OtherChallenge));
        }
        one_more.learn(told(&receiver), 0);
        let again = one_more.sign(&key(), &REQUEST, Sum::EMPTY);
        assert_eq!(receiver.admit(&authentic(again), || C1), Ok(()));
    }

    #[test]
    fn a_sender_with_two_keys_signs_with_the_first_that_the_receiver_has() {
        let (new, old) = (Arc::new(SigningKey::of(b"the-new-secret-00")), key());
        let keys = [Arc::clone(&new), Arc::clone(&old)];
        let mut sender = sender(1);
        assert_eq!(sender.choose(&keys, 0).id(), new.id());
        let refused = sender.sign(&new, &REQUEST, Sum::EMPTY);
        let only_old = Told { challenge: C1, keys: vec![old.id()] };
        assert!(only_old.invites(&refused, [new.id(), old.id()]));
        sender.learn(only_old.clone(), 0);
        assert_eq!(sender.choose(&keys, 0).id(), old.id());
        let signed = sender.sign(&old, &REQUEST, Sum::EMPTY);
        assert!(!only_old.invites(&signed, [new.id(), old.id()]));
        assert_eq!(sender.choose(&keys, 1).id(), new.id(), "what it told was before we changed our keys");
        // It has the new one only, meanwhile.
        sender.learn(Told { challenge: C1, keys: vec![new.id()] }, 0);
        assert_eq!(sender.choose(&keys, 0).id(), new.id());
        assert!(
            !Told { challenge: signed.to, keys: vec![] }.invites(&signed, [new.id(), old.id()]),
            "no key helps"
        );
    }
}
