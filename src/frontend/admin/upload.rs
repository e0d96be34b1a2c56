//! A body on its way to the thread that reads its lines.
//!
//! Invariants: a few pieces wait, and no more is taken from the client meanwhile; a body that breaks off, is too large
//! or too slow is an error to the reader, never an end.

use crate::intake::Lines;
use crate::wire::{ErrorCode, Problem};
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use std::io::{self, Read};
use std::time::Duration;
use tokio::sync::mpsc;

/// The largest body: a million books take some 60 MB, a tenth of that when packed.
const MAX_BODY: u64 = 256 << 20;

/// The most that a packed body may unpack to.
const MAX_UNPACKED: u64 = 1 << 30;

/// Pieces that wait to be read, each some ten kilobytes.
const PIECES: usize = 8;

/// For the next piece of a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a body goes in, and its lines come out.
pub fn new() -> (Pipe, Lines) {
    let (pieces, incoming) = mpsc::channel(PIECES);
    let incoming = Incoming { pieces: incoming, piece: Bytes::new(), ended: false };
    (Pipe(pieces), Lines::new(incoming).at_most(MAX_UNPACKED))
}

enum Piece {
    Bytes(Bytes),
    End,
}

pub struct Pipe(mpsc::Sender<Piece>);

impl Pipe {
    /// Pours all of `body` in. If nobody reads any more that is no error: who reads says why.
    pub async fn pour<E>(self, body: impl Stream<Item = Result<Bytes, E>>) -> Result<(), Problem> {
        self.pour_at_most(MAX_BODY, body).await
    }

    async fn pour_at_most<E>(
        self,
        bytes: u64,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), Problem> {
        let mut body = std::pin::pin!(body);
        let mut left = bytes;
        loop {
            let piece = tokio::time::timeout(PATIENCE, body.next()).await;
            let piece = match piece.map_err(|_| Problem::from(ErrorCode::RequestTimeout))? {
                None => Piece::End,
                Some(Ok(bytes)) => {
                    left = left.checked_sub(bytes.len() as u64).ok_or(ErrorCode::PayloadTooLarge)?;
                    Piece::Bytes(bytes)
                }
                Some(Err(_)) => return Err(Problem::new(ErrorCode::InvalidRequest, "the body broke off")),
            };
            let end = matches!(piece, Piece::End);
            // No deadline of its own: the reader waits for the master, and that has one.
            if self.0.send(piece).await.is_err() || end {
                return Ok(());
            }
        }
    }
}

/// The thread's end.
struct Incoming {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.piece = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off")),
            }
        }
        let read = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    type Pieces = Vec<Result<Bytes, ()>>;

    /// The lines of a body, or that it failed.
    async fn lines(at_most: u64, body: Pieces) -> (Result<(), Problem>, Option<Vec<Vec<u8>>>) {
        let (pipe, mut lines) = new();
        let reading = std::thread::spawn(move || {
            let mut found = Vec::new();
            loop {
                match lines.next_line() {
                    Ok(Some(line)) => found.push(line.bytes.to_vec()),
                    Ok(None) => return Some(found),
                    Err(_) => return None,
                }
            }
        });
        let poured = pipe.pour_at_most(at_most, stream::iter(body)).await;
        (poured, reading.join().unwrap())
    }

    #[actix_web::test]
    async fn a_body_is_read_as_it_was_sent_however_it_was_cut() {
        let body = vec![Ok(Bytes::from_static(b"a\nb")), Ok(Bytes::new()), Ok(Bytes::from_static(b"c\n"))];
        let (poured, read) = lines(6, body).await;
        assert!(poured.is_ok());
        assert_eq!(read.unwrap(), [b"a\n".to_vec(), b"bc\n".to_vec()]);
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_an_error_and_not_an_end() {
        let (poured, read) = lines(6, vec![Ok(Bytes::from_static(b"a\nb")), Err(())]).await;
        assert_eq!(poured.unwrap_err().code, ErrorCode::InvalidRequest);
        assert_eq!(read, None);
    }

    #[actix_web::test]
    async fn more_than_is_allowed_is_refused() {
        let piece = || Ok(Bytes::from_static(b"ab\n"));
        assert!(lines(6, vec![piece(), piece()]).await.0.is_ok());
        let (poured, read) = lines(5, vec![piece(), piece()]).await;
        assert_eq!(poured.unwrap_err().code, ErrorCode::PayloadTooLarge);
        assert_eq!(read, None);
    }
}
