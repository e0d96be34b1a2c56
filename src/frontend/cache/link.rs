//! The connection to Redis, which takes in no more than was asked for.
//!
//! Invariant: whatever the other end sends, this process reads at most [`MAX_UNREAD`] bytes beyond the replies to what it
//! asked: a server that answers without end costs its connection, not our memory. (The client library would gather
//! half a gigabyte for one reply.)

use super::redis::{MAX_VALUE, PIPELINE};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult,
};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Every reply has a frame and may be an error; and a greeting is due when a connection begins.
const SMALL_REPLY: usize = 4 << 10;

/// As many bytes as the replies to all requests can have that may be under way at once.
const MAX_UNREAD: usize = PIPELINE.calls * PIPELINE.batch * (MAX_VALUE + SMALL_REPLY);

/// How the one command begins on the wire whose reply may be long.
const LONG_REPLY: &[u8] = b"\r\n$8\r\nGETRANGE\r\n";

/// Where Redis is, and who we are there.
pub struct Address(ConnectionInfo);

impl Address {
    /// `redis://host:port` or `redis+unix:///path`. The error is a sentence that does not repeat the URL, which may
    /// hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let info = url.into_connection_info().map_err(|error| error.to_string())?;
        match info.addr() {
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) => Ok(Self(info)),
            _ => Err("only TCP and Unix sockets are spoken".into()),
        }
    }

    /// A connection that is greeted. What drives it ends with its last clone, or when the other end says too much.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                self.greet(stream).await
            }
            ConnectionAddr::Unix(path) => self.greet(UnixStream::connect(path).await?).await,
            _ => Err(RedisError::from(io::Error::from(io::ErrorKind::Unsupported))),
        }
    }

    async fn greet(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> RedisResult<MultiplexedConnection> {
        let (settings, stream) = (self.0.redis_settings(), Metered::new(stream));
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, AsyncConnectionConfig::default())
                .await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

/// A stream that hands out what was asked for and then fails.
struct Metered<S> {
    stream: S,
    left: usize,
}

impl<S> Metered<S> {
    fn new(stream: S) -> Self {
        Self { stream, left: SMALL_REPLY }
    }

    /// These bytes have left: so much may come back.
    fn asked(&mut self, written: &[u8]) {
        let long = written.windows(LONG_REPLY.len()).filter(|window| *window == LONG_REPLY).count();
        let due = SMALL_REPLY + long * (MAX_VALUE + SMALL_REPLY);
        self.left = self.left.saturating_add(due).min(MAX_UNREAD);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it says more than it was asked for",
            )));
        }
        let room = into.remaining().min(self.left);
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        self.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        // A command whose name is cut in two counts as a small one. That costs the connection, if ever.
        self.asked(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deadpool_redis::redis::Pipeline;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What a metered end reads of a peer that never stops talking, after it has written `asked`.
    async fn read_after(asked: &[u8]) -> usize {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (mut hears, mut talks) = tokio::io::split(theirs);
        tokio::spawn(async move {
            let mut ignored = vec![0; 1 << 16];
            while hears.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
        });
        tokio::spawn(async move { while talks.write_all(&[b'x'; 1 << 16]).await.is_ok() {} });
        let mut metered = Metered::new(ours);
        metered.write_all(asked).await.unwrap();
        let (mut read, mut into) = (0, vec![0; 1 << 16]);
        loop {
            match metered.read(&mut into).await {
                Ok(some) => read += some,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    return read;
                }
            }
        }
    }

    #[actix_web::test]
    async fn a_server_that_talks_without_end_is_heard_for_as_long_as_an_answer_may_be() {
        let get = |count: usize| {
            let mut pipeline = Pipeline::new();
            for _ in 0..count {
                pipeline.cmd("GETRANGE").arg("info:9").arg(0).arg(MAX_VALUE - 1);
            }
            pipeline.get_packed_pipeline()
        };
        assert_eq!(read_after(b"*1\r\n$4\r\nPING\r\n").await, 2 * SMALL_REPLY);
        let one = read_after(&get(1)).await;
        assert!((MAX_VALUE..MAX_VALUE + 4 * SMALL_REPLY).contains(&one), "{one}");
        assert!(read_after(&get(3)).await > 3 * MAX_VALUE);
        assert!(read_after(&get(1000)).await <= MAX_UNREAD);
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_a_word_of_its_password() {
        for url in ["redis://user:hunter2@", "nowhere", "rediss://user:hunter2@host"] {
            let sentence = Address::parse(url).err();
            assert!(sentence.is_some_and(|sentence| !sentence.contains("hunter2")), "{url}");
        }
        assert!(Address::parse("redis+unix:///tmp/redis.sock").is_ok());
    }
}
