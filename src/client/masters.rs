//! Finding the write master among its candidates.
//!
//! Invariant: what may have been carried out by one candidate is never sent to another.

use super::{BaseUrl, CallError, Peer};
use crate::member::Member;
use crate::wire::ErrorCode;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The candidates for the write master: whoever answered as master last is asked first.
#[derive(Debug, Clone)]
pub struct Masters(Arc<Candidates>);

/// When a call may go to the next candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Whatever became of it: it changes nothing.
    Always,
    /// When the candidate was not reached, or said that it is no master.
    IfNotCarriedOut,
}

#[derive(Debug)]
struct Candidates {
    peers: Vec<Peer>,
    preferred: AtomicUsize,
}

impl Masters {
    /// `urls` must not be empty; configurations see to that.
    pub fn new(urls: &[BaseUrl], member: &Member) -> Self {
        let peers = urls.iter().map(|url| Peer::new(url.clone(), member)).collect();
        Self(Arc::new(Candidates { peers, preferred: AtomicUsize::new(0) }))
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        self.find(Repeat::Always, async |peer: &Peer| peer.get(path, request_id, deadline).await).await
    }

    /// Posts to the master. Another candidate is tried only where the first did not carry it out: it was
    /// not reached, or said that it is no master. So this never does anything twice.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        request_id: &str,
        deadline: Duration,
    ) -> Result<T, CallError> {
        let call = async |peer: &Peer| peer.post(path, body, request_id, deadline).await;
        self.find(Repeat::IfNotCarriedOut, call).await
    }

    /// The candidate that answered last, for what cannot be asked of several.
    pub fn preferred(&self) -> &Peer {
        &self.0.peers[self.0.preferred.load(Ordering::Relaxed)]
    }

    /// Asks candidate after candidate, the one that answered as master last first.
    pub async fn find<T>(
        &self,
        repeat: Repeat,
        call: impl AsyncFn(&Peer) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let first = self.0.preferred.load(Ordering::Relaxed);
        let count = self.0.peers.len();
        let mut outcome = call(&self.0.peers[first]).await;
        for offset in 1..count {
            let elsewhere = match &outcome {
                Err(CallError::Unreachable { .. }) => true,
                Err(CallError::NoAnswer { .. }) => repeat == Repeat::Always,
                Err(error) => error.code() == Some(ErrorCode::NotMaster),
                Ok(_) => false,
            };
            if !elsewhere {
                break;
            }
            let index = (first + offset) % count;
            outcome = call(&self.0.peers[index]).await;
            // A refusal is an answer too, unless it says that this is no master.
            let answered = match &outcome {
                Ok(_) => true,
                Err(error) => error.code().is_some_and(|code| code != ErrorCode::NotMaster),
            };
            if answered {
                self.0.preferred.store(index, Ordering::Relaxed);
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{DEADLINE, answering};
    use super::*;
    use crate::wire::Problem;

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
    async fn what_may_have_been_carried_out_is_not_posted_to_another_candidate() {
        let (silent, other) = (answering(""), refusing(ErrorCode::UnknownHistory));
        let masters = Masters::new(&[silent, other], &Member::of_nothing());
        let answer: Result<(), _> = masters.post("/purchases", &(), "test", DEADLINE).await;
        assert!(matches!(answer, Err(CallError::NoAnswer { .. })), "{answer:?}");
    }
}
