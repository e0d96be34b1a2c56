//! Finding the write master among its candidates.
//!
//! Invariant: whatever goes through here is safe to repeat (reads, joins, reports, and purchases, which
//! have their key), so a candidate that gives no answer does not keep anybody from asking the next: it may
//! be an old master that hangs.

use super::{BaseUrl, CallError, Peer};
use crate::member::Member;
use crate::metrics::PeerRole;
use crate::wire::catalog::Stated;
use crate::wire::{ErrorCode, Problem};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The candidates for the write master: whoever answered as master last is asked first.
#[derive(Debug, Clone)]
pub struct Masters(Arc<Candidates>);

#[derive(Debug)]
struct Candidates {
    peers: Vec<Peer>,
    preferred: AtomicUsize,
}

impl Masters {
    /// `urls` must not be empty; configurations see to that.
    pub fn new(urls: &[BaseUrl], member: &Member) -> Self {
        let peers = urls.iter().map(|url| Peer::of(PeerRole::Master, url.clone(), member)).collect();
        Self(Arc::new(Candidates { peers, preferred: AtomicUsize::new(0) }))
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        self.find(async |peer: &Peer| peer.get(path, request_id, deadline).await).await
    }

    /// `deadline` is for each candidate that is asked.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        self.find(async |peer: &Peer| peer.post(path, body, request_id, deadline).await).await
    }

    /// What the master states, and nobody else: a candidate that turns out to be a replica is no master.
    pub async fn stated<T: DeserializeOwned>(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<Stated<T>, CallError> {
        self.find(async |peer: &Peer| {
            let answer: Stated<T> = peer.get(path, request_id, deadline).await?;
            match answer.master {
                true => Ok(answer),
                false => {
                    let problem = Problem::from(ErrorCode::NotMaster);
                    Err(CallError::Refused { peer: peer.url().to_string(), problem })
                }
            }
        })
        .await
    }

    /// The candidate that answered last, for what cannot be asked of several.
    pub fn preferred(&self) -> &Peer {
        &self.0.peers[self.0.preferred.load(Ordering::Relaxed)]
    }

    /// Asks candidate after candidate, the one that answered as master last first, until one answers as
    /// master. A refusal is an answer too, unless it says that this is no master.
    pub async fn find<T>(&self, call: impl AsyncFn(&Peer) -> Result<T, CallError>) -> Result<T, CallError> {
        let first = self.0.preferred.load(Ordering::Relaxed);
        let mut failure: Option<CallError> = None;
        for offset in 0..self.0.peers.len() {
            let index = (first + offset) % self.0.peers.len();
            let error = match call(&self.0.peers[index]).await {
                Err(error) if open(&error) => error,
                answer => {
                    self.0.preferred.store(index, Ordering::Relaxed);
                    return answer;
                }
            };
            // That one is no master says less than that one, which may be, gave no answer.
            if failure.as_ref().is_none_or(|known| weight(&error) > weight(known)) {
                failure = Some(error);
            }
        }
        Err(failure.unwrap_or_else(|| CallError::Unreachable {
            peer: "the write master".into(),
            cause: "it has no candidates".into(),
        }))
    }
}

/// Whether another candidate may know better: this one gave no answer, is no master, or cannot even say
/// whether it is, because its store fails.
fn open(error: &CallError) -> bool {
    matches!(error.code(), None | Some(ErrorCode::NotMaster | ErrorCode::Unavailable))
}

/// How much a failure leaves open.
fn weight(error: &CallError) -> u8 {
    match error {
        CallError::Refused { problem, .. } if problem.code == ErrorCode::NotMaster => 0,
        CallError::Unreachable { .. } => 1,
        CallError::Refused { .. } => 2,
        CallError::NoAnswer { .. } | CallError::Unproven { .. } => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::tests::{DEADLINE, answering};
    use super::*;

    fn refusing(code: ErrorCode) -> BaseUrl {
        let body = serde_json::to_string(&Problem::from(code)).unwrap();
        let head =
            format!("HTTP/1.1 {} -\r\nconnection: close\r\ncontent-length: {}", code.status(), body.len());
        answering(format!("{head}\r\n\r\n{body}").leak())
    }

    #[actix_web::test]
    async fn the_candidate_that_answers_as_master_is_remembered_even_when_it_refuses() {
        let (replica, master) = (refusing(ErrorCode::NotMaster), refusing(ErrorCode::UnknownHistory));
        let masters = Masters::new(&[replica, master.clone()], &Member::of_nothing());
        let answer: Result<(), _> = masters.post("/replicas", &(), "test", DEADLINE).await;
        assert_eq!(answer.unwrap_err().code(), Some(ErrorCode::UnknownHistory));
        assert_eq!(*masters.preferred().url(), master);
    }

    #[actix_web::test]
    async fn a_candidate_that_gives_no_answer_keeps_nobody_from_asking_the_next() {
        let (silent, master) = (answering(""), refusing(ErrorCode::UnknownHistory));
        let masters = Masters::new(&[silent, master], &Member::of_nothing());
        let answer: Result<(), _> = masters.post("/purchases", &(), "test", DEADLINE).await;
        assert_eq!(answer.unwrap_err().code(), Some(ErrorCode::UnknownHistory));
    }

    #[actix_web::test]
    async fn no_answer_weighs_more_than_the_word_of_one_that_is_no_master() {
        let (silent, replica) = (answering(""), refusing(ErrorCode::NotMaster));
        let masters = Masters::new(&[silent, replica], &Member::of_nothing());
        let answer: Result<(), _> = masters.post("/leases", &(), "test", DEADLINE).await;
        assert!(matches!(answer, Err(CallError::NoAnswer { .. })), "{answer:?}");
    }
}
