//! What makes a process a member of the store: it knows the token, and it carries the highest epoch that
//! it has met with every internal request and answer. It signs what it asks, and admits what is signed.
//!
//! Invariants: whatever a member sends tells of every epoch that it was told of before; whatever it admits was
//! made for it, in this life, by somebody who knows the token, and is admitted once.

use crate::coherence::Met;
use crate::domain::Epoch;
use crate::metrics::Calls;
use crate::signing::{
    Authentic, Challenge, Receiver, Refused, Request, Sender, SessionId, Signature, SigningKey, Sum, Told,
};
use crate::token::InternalToken;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Receivers whose challenge one process keeps; more only come and go as addresses change.
const MAX_RECEIVERS: usize = 512;

/// One process's membership. Clones share what was met.
#[derive(Debug, Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    token: InternalToken,
    met: Mutex<Met>,
    /// The highest epoch met, for those who act on a change.
    highest: watch::Sender<Epoch>,
    /// Where its calls are counted: a command counts none.
    calls: Option<Calls>,
    /// What was signed for us.
    receiver: Mutex<Receiver>,
    /// What we sign for others, by where they listen.
    senders: Mutex<HashMap<Arc<str>, Signer>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("met", &self.met.lock().highest()).finish_non_exhaustive()
    }
}

/// What the bearer of a key may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Everything: it is a member of the store.
    Member,
    /// To keep the catalog: import, export.
    Keeper,
}

/// A request that somebody signed, for us and for the first time.
#[derive(Debug)]
pub struct Admitted {
    pub right: Right,
    /// The key it was signed with, for the proof of its answer.
    pub key: Arc<SigningKey>,
    pub signature: Signature,
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// It was made for another life of ours, or another member.
    SignAgain,
    /// It was made with another token.
    OtherKey,
    /// Who made it does not know the key that it names, or something was altered on its way.
    Forged,
    /// It came before, or too late to know.
    Seen,
}

impl Member {
    pub fn new(token: InternalToken) -> Self {
        Self::with(token, None)
    }

    /// One whose calls to others are counted.
    pub fn counted(token: InternalToken, calls: Calls) -> Self {
        Self::with(token, Some(calls))
    }

    fn with(token: InternalToken, calls: Option<Calls>) -> Self {
        let highest = watch::channel(Epoch::GENESIS).0;
        let receiver = Mutex::new(Receiver::new(Challenge(rand::random())));
        let (met, senders) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { token, met, highest, receiver, senders, calls }))
    }

    /// A member of the store of tests, of which each call gives another one.
    #[cfg(test)]
    pub fn of_nothing() -> Self {
        Self::new(InternalToken::parse("token-of-the-tests").unwrap())
    }

    pub fn token(&self) -> &InternalToken {
        &self.0.token
    }

    pub fn calls(&self) -> Option<&Calls> {
        self.0.calls.as_ref()
    }

    /// The highest epoch met.
    pub fn met(&self) -> Epoch {
        self.0.met.lock().highest()
    }

    /// The same, as it changes.
    pub fn watch(&self) -> watch::Receiver<Epoch> {
        self.0.highest.subscribe()
    }

    /// A message carried `epoch`.
    pub fn meet(&self, epoch: Epoch) {
        self.change(|met| {
            met.meet(epoch);
        });
    }

    /// This process leads `epoch` from now on.
    pub fn lead(&self, epoch: Epoch) {
        self.change(|met| met.lead(epoch));
    }

    /// The epoch that ended the one that this process leads.
    pub fn deposed_by(&self) -> Option<Epoch> {
        self.0.met.lock().deposed_by()
    }

    fn change(&self, change: impl FnOnce(&mut Met)) {
        let mut met = self.0.met.lock();
        let before = *met;
        change(&mut met);
        // Watchers of the highest one also learn of a twin, which changes nothing in that but deposes. With
        // the lock held, so that what they see last is the highest.
        if before != *met {
            self.0.highest.send_replace(met.highest());
        }
    }

    /// Signs what is sent to who listens at `url`: one for all who send there, since each is a session that is
    /// remembered there.
    pub fn signer(&self, url: &Arc<str>) -> Signer {
        let mut senders = self.0.senders.lock();
        if let Some(signer) = senders.get(url) {
            return signer.clone();
        }
        if senders.len() >= MAX_RECEIVERS {
            senders.clear();
        }
        let sender = Sender::new(SessionId(rand::random()));
        let signer = Signer { token: self.0.token.clone(), sender: Arc::new(Mutex::new(sender)) };
        senders.insert(Arc::clone(url), signer.clone());
        signer
    }

    /// Admits a request that carries `signature`.
    pub fn admit(&self, signature: Signature, request: &Request<'_>) -> Result<Admitted, NotAdmitted> {
        let held = self.0.token.held();
        let members = held.members().iter().map(|key| (Right::Member, key));
        let mut keys = members.chain(held.keepers().iter().map(|key| (Right::Keeper, key)));
        let (right, key) = keys.find(|(_, key)| key.id() == signature.key).ok_or(NotAdmitted::OtherKey)?;
        let authentic: Authentic = signature.verify(key, request).ok_or(NotAdmitted::Forged)?;
        let admitted = self.0.receiver.lock().admit(&authentic, || Challenge(rand::random()));
        match admitted {
            Ok(()) => Ok(Admitted { right, key: Arc::clone(key), signature }),
            Err(Refused::OtherChallenge) => Err(NotAdmitted::SignAgain),
            Err(Refused::Seen) => Err(NotAdmitted::Seen),
        }
    }

    /// What anybody is told who wants to sign something for us.
    pub fn told(&self) -> Told {
        let held = self.0.token.held();
        let keys = held.members().iter().chain(held.keepers()).map(|key| key.id()).collect();
        Told { challenge: self.0.receiver.lock().challenge(), keys }
    }
}

/// Signs what one member sends to another. Clones count together.
#[derive(Clone)]
pub struct Signer {
    token: InternalToken,
    sender: Arc<Mutex<Sender>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// The signature of `request`, and the key that it was made with.
    pub fn sign(&self, request: &Request<'_>, body: Sum) -> (Signature, Arc<SigningKey>) {
        let held = self.token.held();
        let (key, (to, count)) = {
            let mut sender = self.sender.lock();
            (Arc::clone(sender.choose(held.members(), held.number())), sender.count())
        };
        (Signature::make(&key, to, count, request, body), key)
    }

    /// The receiver told what to sign for. Whether another signature could be accepted where `refused` was not.
    pub fn learn(&self, told: Told, refused: &Signature) -> bool {
        let held = self.token.held();
        let invited = told.invites(refused, held.members().iter().map(|key| key.id()));
        if invited {
            self.sender.lock().learn(told, held.number());
        }
        invited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request<'static> = Request { method: "GET", target: "/", headers: [None; 4] };

    /// What `to` says to the first request of `from`, and to a second one after it has told what to sign for.
    fn ask(from: &Member, to: &Member) -> Result<Right, NotAdmitted> {
        let signer = from.signer(&"http://to:1".into());
        let (first, _) = signer.sign(&REQUEST, Sum::EMPTY);
        match to.admit(first, &REQUEST) {
            Err(NotAdmitted::SignAgain | NotAdmitted::OtherKey) if signer.learn(to.told(), &first) => {
                let (second, _) = signer.sign(&REQUEST, Sum::EMPTY);
                to.admit(second, &REQUEST).map(|admitted| admitted.right)
            }
            other => other.map(|admitted| admitted.right),
        }
    }

    fn member(token: &str) -> Member {
        Member::new(InternalToken::parse(token).unwrap())
    }

    #[test]
    fn members_of_one_store_admit_each_other_and_nobody_else() {
        let (one, other) = (member("the-old-secret-00"), member("the-old-secret-00"));
        assert_eq!(ask(&one, &other), Ok(Right::Member));
        assert_eq!(ask(&one, &other), Ok(Right::Member), "it is known by now");
        assert_eq!(ask(&one, &member("the-secret-of-another")), Err(NotAdmitted::OtherKey));
        assert_eq!(ask(&Member::new(one.token().keeper()), &other), Ok(Right::Keeper));
        assert_eq!(ask(&one, &Member::new(one.token().keeper())), Err(NotAdmitted::OtherKey));
    }

    #[test]
    fn while_the_token_is_changed_old_both_and_new_admit_who_shares_one_in_any_order() {
        let [old, new] = ["the-old-secret-00", "the-new-secret-00"];
        let (old_first, new_first) = (format!("{old}\n{new}"), format!("{new}\n{old}"));
        for (from, to, admitted) in [
            (old, old_first.as_str(), true),
            (old, &new_first, true),
            (&old_first, old, true),
            (&new_first, old, true),
            (&old_first, new, true),
            (new, &old_first, true),
            (new, old, false),
            (old, new, false),
        ] {
            assert_eq!(ask(&member(from), &member(to)).is_ok(), admitted, "{from} to {to}");
        }
    }
}
