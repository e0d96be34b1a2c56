//! The way into internal routes: who signed is let in, and the answer is proved.
//!
//! Invariants: nothing of a request is acted on before its signature was admitted (path, headers), or its sum was
//! right (body: a wrong one is an error at its end, so whoever reads a body reads it to its end); a refusal says
//! that nothing was carried out, and what to sign for; every answer to who was let in carries a proof.

use super::ApiError;
use super::traced::Traced;
use crate::domain::Epoch;
use crate::member::{Admitted, Member, NotAdmitted, Right};
use crate::metrics::Stranger;
use crate::signing::{
    self, Answer, Extent, PROVED_HEADERS, Proof, Request, SEAL_BYTES, SIGNED_HEADERS, Signature, SigningKey,
    Sum, Summing, seal,
};
use crate::wire::{ErrorCode, Problem, headers};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, ResponseError, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Between two warnings of requests that were refused; with `RUST_LOG=bazar=debug` each is told.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Lets a request through that a member of the store signed, and takes note of the epoch that it carries; the
/// answer carries ours.
pub async fn require_token(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let_in(request, next, &[Right::Member]).await
}

/// Lets a request through that a member signed, or a keeper.
pub async fn require_keeper(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let_in(request, next, &[Right::Member, Right::Keeper]).await
}

/// Lets everybody through. Who signed has the answer proved, or is told what to sign for.
// So epochs travel with the probes where nothing else does.
pub async fn prove_to_members(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(member) = request.app_data::<web::Data<Member>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    match admit(&member, &mut request) {
        Ok(admitted) => Ok(prove(answer(request, next).await?, &member, &admitted)),
        Err(NotLetIn::Unsigned) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(_) => {
            let mut answer = next.call(request).await?.map_into_boxed_body();
            tell(&member, answer.headers_mut());
            Ok(answer)
        }
    }
}

/// Why somebody stays outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotLetIn {
    Unsigned,
    NotAdmitted(NotAdmitted),
}

impl NotLetIn {
    /// As whom it is counted, unless it may come again at once.
    fn stranger(self) -> Option<Stranger> {
        match self {
            NotLetIn::Unsigned => Some(Stranger::Unsigned),
            NotLetIn::NotAdmitted(NotAdmitted::SignAgain) => None,
            NotLetIn::NotAdmitted(NotAdmitted::OtherKey) => Some(Stranger::OtherKey),
            NotLetIn::NotAdmitted(NotAdmitted::Forged) => Some(Stranger::Forged),
            NotLetIn::NotAdmitted(NotAdmitted::Seen) => Some(Stranger::Replayed),
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            NotLetIn::Unsigned => "this route wants a signature of a member of this store",
            NotLetIn::NotAdmitted(NotAdmitted::SignAgain | NotAdmitted::OtherKey) => {
                "sign for this challenge, with one of these keys"
            }
            NotLetIn::NotAdmitted(NotAdmitted::Forged) => "the signature is not one of this request",
            NotLetIn::NotAdmitted(NotAdmitted::Seen) => "this request came before, or comes too late",
        }
    }
}

async fn let_in(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    rights: &[Right],
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(member) = request.app_data::<web::Data<Member>>().cloned() else {
        return Ok(request.into_response(ApiError::from(ErrorCode::Unauthorized).error_response()));
    };
    match admit(&member, &mut request) {
        Ok(admitted) if rights.contains(&admitted.right) => {
            Ok(prove(answer(request, next).await?, &member, &admitted))
        }
        Ok(admitted) => {
            let refusal = ApiError::from(ErrorCode::Forbidden).error_response();
            Ok(prove(request.into_response(refusal), &member, &admitted))
        }
        Err(why) => {
            if let (Some(calls), Some(stranger)) = (member.calls(), why.stranger()) {
                calls.refused(stranger);
            }
            let problem = Problem::new(ErrorCode::Unauthorized, why.sentence());
            let mut refusal = ApiError(problem).error_response();
            let wanted = HeaderValue::from_static("Bazar-Signature");
            refusal.headers_mut().insert(header::WWW_AUTHENTICATE, wanted);
            tell(&member, refusal.headers_mut());
            Ok(request.into_response(refusal))
        }
    }
}

/// What the routes answer to who was let in, as part of the trace that it has named: a stranger has none.
async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let traced = Traced::admitted(&request);
    let answer = async move { next.call(request).await };
    let answer = match traced {
        Some(traced) => traced.by(answer).await?,
        None => answer.await?,
    };
    Ok(answer.map_into_boxed_body())
}

/// Admits `request` if a member signed it, or a keeper. From then on its body ends in an error if it is not the one
/// that was signed.
fn admit(member: &Member, request: &mut ServiceRequest) -> Result<Admitted, NotLetIn> {
    let admitted = admit_head(member, request);
    if let Err(why @ NotLetIn::NotAdmitted(NotAdmitted::Forged | NotAdmitted::Seen)) = admitted {
        complain(request, why);
    }
    let admitted = admitted?;
    let payload = request.take_payload();
    request.set_payload(checked(payload, admitted.signature.body));
    let carried = request.headers().get(headers::BAZAR_MET).and_then(|value| value.to_str().ok());
    if admitted.right == Right::Member
        && let Some(epoch) = carried.and_then(|text| text.parse::<Epoch>().ok())
    {
        member.meet(epoch);
    }
    Ok(admitted)
}

/// Somebody tries doors, or a link says things twice: the operator is told, and not for each time.
fn complain(request: &ServiceRequest, why: NotLetIn) {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let level = match LAST.get() {
        Some(last) if last.elapsed() < COMPLAIN_EVERY => log::Level::Debug,
        _ => {
            LAST.set(Some(Instant::now()));
            log::Level::Warn
        }
    };
    let peer = request.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    log::log!(level, "{} {} from {peer} was refused: {}", request.method(), request.path(), why.sentence());
}

fn admit_head(member: &Member, request: &ServiceRequest) -> Result<Admitted, NotLetIn> {
    let forged = NotLetIn::NotAdmitted(NotAdmitted::Forged);
    let head = request.headers();
    let given = only(head, signing::SIGNATURE).map_err(|Several| forged)?.ok_or(NotLetIn::Unsigned)?;
    let signature = Signature::parse(given).ok_or(forged)?;
    let mut values = [None; SIGNED_HEADERS.len()];
    for (value, name) in values.iter_mut().zip(SIGNED_HEADERS) {
        *value = only(head, name).map_err(|Several| forged)?;
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let signed = Request { method: request.method().as_str(), target, headers: values };
    member.admit(signature, &signed).map_err(NotLetIn::NotAdmitted)
}

/// A header that means one thing stands once: of two, one reader takes the first and another the last.
struct Several;

fn only<'h>(head: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Several> {
    let mut values = head.get_all(name);
    let first = values.next();
    match values.next() {
        None => Ok(first.map(HeaderValue::as_bytes)),
        Some(_) => Err(Several),
    }
}

/// Says what to sign for.
fn tell(member: &Member, answer: &mut HeaderMap) {
    if let Ok(told) = HeaderValue::from_str(&member.told().to_string()) {
        answer.insert(HeaderName::from_static(signing::CHALLENGE), told);
    }
}

/// The same body, which ends in an error if `sum` is not its sum.
fn checked(payload: Payload, sum: Sum) -> Payload {
    match payload {
        Payload::None if sum == Sum::EMPTY => Payload::None,
        payload => {
            let body = Checked { payload, summing: Some(Summing::default()), sum };
            Payload::Stream { payload: Box::pin(body) }
        }
    }
}

struct Checked {
    payload: Payload,
    /// Nothing when it has ended.
    summing: Option<Summing>,
    sum: Sum,
}

impl Stream for Checked {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.summing.is_none() {
            return Poll::Ready(None);
        }
        let piece = ready!(self.payload.poll_next_unpin(context));
        match piece {
            Some(Ok(piece)) => {
                if let Some(summing) = &mut self.summing {
                    summing.add(&piece);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(error)) => {
                self.summing = None;
                Poll::Ready(Some(Err(error)))
            }
            None => match self.summing.take().map(Summing::sum) {
                Some(sum) if sum == self.sum => Poll::Ready(None),
                _ => {
                    let error = io::Error::other("the body is not the one that was signed");
                    Poll::Ready(Some(Err(PayloadError::Io(error))))
                }
            },
        }
    }
}

/// What every answer to a member gets: our epoch, and the proof.
fn prove(
    mut answer: ServiceResponse<BoxBody>,
    member: &Member,
    admitted: &Admitted,
) -> ServiceResponse<BoxBody> {
    if admitted.right == Right::Member
        && let Ok(met) = HeaderValue::from_str(&member.met().to_string())
    {
        answer.headers_mut().insert(HeaderName::from_static(headers::BAZAR_MET), met);
    }
    let (key, asked) = (&admitted.key, &admitted.signature.mac);
    let (request, answer) = answer.into_parts();
    let (mut answer, body) = answer.into_parts();
    let (extent, body) = match body.size() {
        BodySize::None => (Extent::Whole(Sum::EMPTY), body),
        _ => match body.try_into_bytes() {
            Ok(whole) => (Extent::Whole(Sum::of(&whole)), BoxBody::new(whole)),
            Err(body) if answer.headers().contains_key(headers::BAZAR_SHA256) => (Extent::InHead, body),
            Err(body) => (Extent::AtEnd, Sealed::boxed(body, key, *asked)),
        },
    };
    let mut values = [None; PROVED_HEADERS.len()];
    for (value, name) in values.iter_mut().zip(PROVED_HEADERS) {
        *value = answer.headers().get(name).map(HeaderValue::as_bytes);
    }
    let proved = Answer { status: answer.status().as_u16(), headers: values };
    let proof = Proof::make(key, asked, &proved, extent).to_string();
    if let Ok(proof) = HeaderValue::from_str(&proof) {
        answer.headers_mut().insert(HeaderName::from_static(signing::PROOF), proof);
    }
    ServiceResponse::new(request, answer.set_body(body))
}

/// A body that is still to come, and its seal behind it.
struct Sealed {
    body: BoxBody,
    /// Nothing when the seal was sent.
    summing: Option<Summing>,
    key: Arc<SigningKey>,
    asked: [u8; 32],
}

impl Sealed {
    fn boxed(body: BoxBody, key: &Arc<SigningKey>, asked: [u8; 32]) -> BoxBody {
        BoxBody::new(Self { body, summing: Some(Summing::default()), key: Arc::clone(key), asked })
    }
}

impl MessageBody for Sealed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        match self.body.size() {
            BodySize::Sized(length) => BodySize::Sized(length + SEAL_BYTES as u64),
            other => other,
        }
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.summing.is_none() {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.body).poll_next(context)) {
            Some(Ok(piece)) => {
                if let Some(summing) = &mut self.summing {
                    summing.add(&piece);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            // What breaks off has no seal.
            Some(Err(error)) => {
                self.summing = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                let sum = self.summing.take().map_or(Sum::EMPTY, Summing::sum);
                let seal = seal(&self.key, &self.asked, sum);
                Poll::Ready(Some(Ok(Bytes::copy_from_slice(&seal))))
            }
        }
    }
}
