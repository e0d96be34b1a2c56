//! Answers whose head is proved, and what is left to check of their bodies.
//!
//! Invariant: what [`Proven::body`] returns is what a member of the store answered to this very request; what
//! [`Proven::pour`] has handed on is, once that has returned.

use super::{CallError, Chunk, MAX_RESPONSE_BYTES, Peer};
use crate::signing::{
    self, Answer, Extent, PROVED_HEADERS, Proof, SEAL_BYTES, Signature, SigningKey, Sum, Summing, seal,
};
use crate::wire::headers;
use awc::ClientResponse;
use awc::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::sync::Arc;
use subtle::ConstantTimeEq;

pub struct Proven<S> {
    answer: ClientResponse<S>,
    extent: Extent,
    key: Arc<SigningKey>,
    /// The MAC of the request.
    asked: [u8; 32],
}

/// How the body of `answer` is proved, if its head is: by who has `key`, in answer to the request of `signature`.
pub fn proof<S>(answer: &ClientResponse<S>, key: &SigningKey, signature: &Signature) -> Option<Extent> {
    let proof = Proof::parse(answer.headers().get(signing::PROOF)?.as_bytes())?;
    let mut values = [None; PROVED_HEADERS.len()];
    for (value, name) in values.iter_mut().zip(PROVED_HEADERS) {
        let mut given = answer.headers().get_all(name);
        *value = given.next().map(|value| value.as_bytes());
        if given.next().is_some() {
            return None;
        }
    }
    let head = Answer { status: answer.status().as_u16(), headers: values };
    proof.proves(key, &signature.mac, &head).then_some(proof.body)
}

impl<S: Stream<Item = Chunk> + Unpin> Proven<S> {
    /// [`proof`] has said that its body is proved by `extent`.
    pub fn new(
        answer: ClientResponse<S>,
        extent: Extent,
        key: Arc<SigningKey>,
        signature: &Signature,
    ) -> Self {
        Self { answer, extent, key, asked: signature.mac }
    }

    pub fn status(&self) -> StatusCode {
        self.answer.status()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers().get(name)?.to_str().ok()
    }

    /// The whole of it, of at most 8 MiB.
    pub async fn body(mut self, peer: &Peer) -> Result<Bytes, CallError> {
        if let Extent::Whole(sum) = self.extent {
            let body = self.answer.body().limit(MAX_RESPONSE_BYTES).await;
            let body = body.map_err(|error| peer.nonsense(error))?;
            return if Sum::of(&body) == sum { Ok(body) } else { Err(peer.altered()) };
        }
        let mut body = BytesMut::new();
        let within_limit = async |piece: &[u8]| {
            if body.len() + piece.len() > MAX_RESPONSE_BYTES {
                return Err(std::io::Error::other("it is too large"));
            }
            body.extend_from_slice(piece);
            Ok(())
        };
        self.pour(peer, within_limit).await?;
        Ok(body.freeze())
    }

    /// Hands the body on, piece by piece. Returns how many bytes there were.
    pub async fn pour(
        mut self,
        peer: &Peer,
        mut sink: impl AsyncFnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, CallError> {
        let (mut received, mut summing) = (0, Summing::default());
        // The end of what has come, which may be the seal.
        let mut kept = BytesMut::new();
        let keeps = if self.extent == Extent::AtEnd { SEAL_BYTES } else { 0 };
        while let Some(piece) = self.answer.next().await {
            let mut piece = piece.map_err(|error| peer.nonsense(error))?;
            let goes_on = (kept.len() + piece.len()).saturating_sub(keeps);
            let of_kept = goes_on.min(kept.len());
            for part in [kept.split_to(of_kept).freeze(), piece.split_to(goes_on - of_kept)] {
                if !part.is_empty() {
                    received += part.len() as u64;
                    summing.add(&part);
                    sink(&part).await.map_err(|error| peer.nonsense(error))?;
                }
            }
            kept.extend_from_slice(&piece);
        }
        let sum = summing.sum();
        let right = match self.extent {
            Extent::Whole(proved) => sum == proved,
            Extent::InHead => self.header(headers::BAZAR_SHA256).and_then(Sum::parse) == Some(sum),
            Extent::AtEnd => seal(&self.key, &self.asked, sum).ct_eq(&kept).into(),
        };
        if right { Ok(received) } else { Err(peer.altered()) }
    }
}
