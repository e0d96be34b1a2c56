//! A connection of a client, watched from below the HTTP that is spoken over it.
//!
//! What is read and answered there is actix's business. What it leaves open is closed here:
//!
//! - a head is short ([`MAX_HEAD`]) and comes within [`HEAD_TIMEOUT`], the second one of a connection too;
//! - who takes no answers ([`STALL`]), or takes them too slowly ([`SLOWEST`]), is not waited for;
//! - what actix refuses without asking anybody, and so without a body, leaves as the envelope that every refusal
//!   of ours has.
//!
//! Invariant: what a client can make a connection hold, in bytes and in time, has a bound, whatever it sends.

use super::{DISCONNECT_TIMEOUT, HEAD_TIMEOUT};
use crate::wire::{ErrorCode, Problem};
use bytes::{Buf, Bytes};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// The head of a request: as much as nginx takes, and far more than any client of ours sends. (Of one that follows
/// a request with a body 128 KiB, which is actix's bound.)
pub const MAX_HEAD: usize = 32 << 10;

/// For a client to take anything of an answer that waits for it.
const STALL: Duration = Duration::from_secs(15);

/// For a client to take all of the answers that wait for it: at 10 KB a second, more than any page has.
const SLOWEST: Duration = Duration::from_secs(60);

/// What ends every head, and every refusal of actix's, which has nothing behind it.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// No head has this byte anywhere, so actix refuses one that does.
const NEVER_IN_A_HEAD: u8 = 0;

/// What a connection and the door above the HTTP know of each other.
#[derive(Default)]
pub struct Link {
    /// Requests that are being answered.
    under_way: Cell<u32>,
    /// Bytes that came while no request was under way: of a head that is not complete yet.
    head: Cell<usize>,
    /// Whether the request line has come.
    line_ended: Cell<bool>,
    /// Whether the last request had a body: then bytes behind its answer may be the rest of that.
    had_body: Cell<bool>,
}

/// A request that is under way on its connection, until this is dropped.
pub struct UnderWayHere(Rc<Link>);

impl Link {
    /// A request has come in whole, as far as its head goes.
    pub fn has_begun(self: &Rc<Self>, has_body: bool) -> UnderWayHere {
        self.head_is_complete(has_body);
        self.under_way.set(self.under_way.get() + 1);
        UnderWayHere(Rc::clone(self))
    }

    /// The same of one that is answered on the spot.
    pub fn head_is_complete(&self, has_body: bool) {
        self.head.set(0);
        self.line_ended.set(false);
        self.had_body.set(has_body);
    }

    /// How many bytes of a head are still taken, unless anything may come.
    fn left(&self) -> Option<usize> {
        let bounded = self.under_way.get() == 0 && !self.had_body.get();
        bounded.then(|| MAX_HEAD.saturating_sub(self.head.get()))
    }

    fn has_read(&self, bytes: &[u8]) {
        if self.under_way.get() == 0 && !bytes.is_empty() {
            self.head.set(self.head.get().saturating_add(bytes.len()));
            if !self.line_ended.get() {
                self.line_ended.set(bytes.contains(&b'\n'));
            }
        }
    }

    fn has_half_a_head(&self) -> bool {
        self.under_way.get() == 0 && self.head.get() > 0
    }
}

impl Drop for UnderWayHere {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

/// The connection. `P` is what it holds as long as it lives.
pub struct Connection<P> {
    stream: Take<TcpStream>,
    link: Rc<Link>,
    _place: P,
    /// Runs while half a head is there.
    patience: Option<Pin<Box<Sleep>>>,
    /// The head is as long as a head may be, and was looked at so.
    full: bool,
    /// Why it is refused, where actix would only say that it does not understand.
    refused: Option<ErrorCode>,
    stalled: Option<Stalled>,
    /// A refusal in our words, on its way.
    words: Option<Bytes>,
}

/// Answers wait for the client.
struct Stalled {
    since: Instant,
    until: Pin<Box<Sleep>>,
}

impl<P> Connection<P> {
    pub fn new(stream: TcpStream, place: P) -> Self {
        Self {
            stream: stream.take(0),
            link: Rc::default(),
            _place: place,
            patience: None,
            full: false,
            refused: None,
            stalled: None,
            words: None,
        }
    }

    pub fn link(&self) -> Rc<Link> {
        Rc::clone(&self.link)
    }

    /// Makes actix refuse what it has of a head.
    fn refuse(&mut self, code: ErrorCode, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.refused = Some(code);
        self.patience = None;
        buffer.put_slice(&[NEVER_IN_A_HEAD]);
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(self.stream.get_mut()).poll_write(context, bytes) {
            Poll::Pending => {
                let now = Instant::now();
                let stalled = self.stalled.get_or_insert_with(|| Stalled {
                    since: now,
                    until: Box::pin(tokio::time::sleep_until(now + STALL)),
                });
                std::task::ready!(stalled.until.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            written => {
                if let Some(stalled) = &mut self.stalled {
                    stalled.until.as_mut().reset((Instant::now() + STALL).min(stalled.since + SLOWEST));
                }
                written
            }
        }
    }
}

impl<P: Unpin> AsyncRead for Connection<P> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(patience) = &mut this.patience
            && this.link.has_half_a_head()
            && patience.as_mut().poll(context).is_ready()
        {
            return match this.refused {
                None => this.refuse(ErrorCode::RequestTimeout, buffer),
                // It was not understood as a refusal: there is nothing more to say.
                Some(_) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            };
        }
        if this.refused.is_some() {
            return Poll::Pending;
        }
        let left = this.link.left().map_or(buffer.remaining(), |left| left.min(buffer.remaining()));
        if left == 0 && buffer.remaining() > 0 {
            // Let it first look at what it has.
            if !std::mem::replace(&mut this.full, true) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let code = match this.link.line_ended.get() {
                true => ErrorCode::HeadersTooLarge,
                false => ErrorCode::UriTooLong,
            };
            return this.refuse(code, buffer);
        }
        this.full = false;
        let before = buffer.filled().len();
        this.stream.set_limit(left as u64);
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.link.has_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<P: Unpin> AsyncWrite for Connection<P> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.words.is_none() {
            match bare_refusal(bytes) {
                None => return this.write(context, bytes),
                // Answers to the requests before it first.
                Some((answers, _)) if answers > 0 => return this.write(context, &bytes[..answers]),
                Some((_, code)) => {
                    let code = this.refused.filter(|_| code == ErrorCode::InvalidRequest).unwrap_or(code);
                    this.words = Some(in_our_words(code));
                }
            }
        }
        while let Some(mut words) = this.words.take() {
            let written = this.write(context, &words);
            if let Poll::Ready(Ok(count)) = &written {
                words.advance(*count);
            }
            this.words = Some(words).filter(|words| !words.is_empty());
            std::task::ready!(written)?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // All that there was to write is written, and all that there was to read was looked at.
        this.stalled = None;
        if !this.link.has_half_a_head() {
            this.patience = None;
        } else if this.patience.is_none() {
            let wait = if this.refused.is_none() { HEAD_TIMEOUT } else { DISCONNECT_TIMEOUT };
            let mut patience = Box::pin(tokio::time::sleep(wait));
            // It is looked at by the next read, for which this wakes the connection.
            let _ = patience.as_mut().poll(context);
            this.patience = Some(patience);
        }
        Pin::new(this.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().stream.get_mut()).poll_shutdown(context)
    }
}

/// Where in `bytes` the refusal begins that actix has put at their end by itself, and which it is. It is the only
/// answer with such a status and no body.
fn bare_refusal(bytes: &[u8]) -> Option<(usize, ErrorCode)> {
    const KNOWN: [(&[u8], ErrorCode); 3] = [
        (b"HTTP/1.1 400 ", ErrorCode::InvalidRequest),
        (b"HTTP/1.1 408 ", ErrorCode::RequestTimeout),
        (b"HTTP/1.1 431 ", ErrorCode::HeadersTooLarge),
    ];
    let head = bytes.strip_suffix(END_OF_HEAD)?;
    let begins = head.windows(END_OF_HEAD.len()).rposition(|window| window == END_OF_HEAD);
    let begins = begins.map_or(0, |end| end + END_OF_HEAD.len());
    let head = &head[begins..];
    // Behind an answer with a body it does not stand on a line of its own.
    let at = KNOWN.iter().find_map(|(start, code)| {
        let at = head.windows(start.len()).rposition(|window| window == *start)?;
        Some((at, *code))
    });
    let (at, code) = at?;
    let empty = head[at..].windows(17).any(|window| window.eq_ignore_ascii_case(b"content-length: 0"));
    empty.then_some((begins + at, code))
}

/// The same refusal as every other refusal looks.
fn in_our_words(code: ErrorCode) -> Bytes {
    in_words(&match code {
        ErrorCode::InvalidRequest => Problem::new(code, "the request is not valid HTTP"),
        ErrorCode::RequestTimeout => Problem::new(code, "the request did not arrive in time"),
        code => code.into(),
    })
}

/// A whole answer, behind which the connection is closed.
pub fn in_words(problem: &Problem) -> Bytes {
    // A Problem is strings and numbers: it always serializes.
    let body = serde_json::to_string(problem).unwrap_or_default();
    let retry = match problem.retry_after {
        Some(_) => format!("retry-after: {}\r\n", super::retry_after(problem).to_str().unwrap_or("1")),
        None => String::new(),
    };
    Bytes::from(format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\n{retry}cache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n{body}",
        problem.code.status(),
        problem.title(),
        Problem::CONTENT_TYPE,
        body.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";

    #[test]
    fn a_refusal_without_a_body_is_found_behind_whatever_was_answered_before() {
        assert_eq!(bare_refusal(BARE.as_bytes()), Some((0, ErrorCode::InvalidRequest)));
        for before in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ] {
            let both = format!("{before}{BARE}");
            let found = bare_refusal(both.as_bytes());
            assert_eq!(found, Some((before.len(), ErrorCode::InvalidRequest)), "{before}");
        }
    }

    #[test]
    fn no_other_answer_is_taken_for_one() {
        for answer in [
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 14\r\n\r\n{\"status\":400}",
            // The head of an answer to HEAD.
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 104\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nHTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\n",
        ] {
            assert_eq!(bare_refusal(answer.as_bytes()), None, "{answer}");
        }
    }

    #[test]
    fn in_our_words_it_is_the_envelope() {
        let words = in_our_words(ErrorCode::HeadersTooLarge);
        let words = std::str::from_utf8(&words).unwrap();
        let (head, body) = words.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        assert_eq!(serde_json::from_str::<Problem>(body).unwrap().code, ErrorCode::HeadersTooLarge);
    }

    #[test]
    fn bytes_are_counted_for_a_head_until_it_is_complete() {
        let link = Rc::new(Link::default());
        link.has_read(b"GET / HT");
        assert_eq!((link.left(), link.line_ended.get()), (Some(MAX_HEAD - 8), false));
        link.has_read(b"TP/1.1\r\n");
        assert!(link.has_half_a_head() && link.line_ended.get());
        let request = link.has_begun(false);
        link.has_read(&[b'x'; 100]);
        assert_eq!((link.left(), link.has_half_a_head()), (None, false));
        drop(request);
        assert_eq!(link.left(), Some(MAX_HEAD));
        // What is left of a body is none of a head, but has its time too.
        drop(link.has_begun(true));
        link.has_read(b"rest");
        assert_eq!((link.left(), link.has_half_a_head()), (None, true));
    }
}
