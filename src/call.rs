//! `bazar call`: asks a role what only members may ask, and prints what it answers. For operators and scripts: no
//! other program can sign.

use crate::client::{BaseUrl, CallError, Peer};
use crate::member::Member;
use crate::token::InternalToken;
use awc::http::Method;
use bytes::Bytes;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

/// For the whole answer: an export or a snapshot goes at the pace of whoever takes it.
const DEADLINE: Duration = Duration::from_secs(600);

/// The largest body that any internal route takes.
const MAX_BODY: u64 = 32 << 20;

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub method: Method,
    pub to: BaseUrl,
    /// Path and query.
    pub target: String,
    pub data: Option<Data>,
}

/// Where the body comes from.
#[derive(Debug, Clone)]
pub enum Data {
    File(PathBuf),
    StandardInput,
}

#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("--data cannot be read: {0}")]
    Data(io::Error),
    #[error("--data is larger than 32 MiB, which no internal route takes")]
    TooLarge,
    /// The answer, which has been printed, says why.
    #[error("status {0}")]
    Status(u16),
}

impl Config {
    /// Writes the answer to `out`, of a refusal too.
    pub async fn run(self, token: InternalToken, mut out: impl Write) -> Result<(), CallFailed> {
        let body = self.data.as_ref().map(Data::read).transpose()?;
        let peer = Peer::new(self.to, &Member::new(token));
        let request = (self.method, self.target.as_str(), body);
        let status = peer.call(request, "call", DEADLINE, async |piece: &[u8]| out.write_all(piece)).await?;
        let _ = out.flush();
        if status.is_success() { Ok(()) } else { Err(CallFailed::Status(status.as_u16())) }
    }
}

impl Data {
    fn read(&self) -> Result<Bytes, CallFailed> {
        let mut body = Vec::new();
        let read = match self {
            Data::File(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut body))
            }
            Data::StandardInput => io::stdin().lock().take(MAX_BODY + 1).read_to_end(&mut body),
        };
        match read.map_err(CallFailed::Data)? as u64 {
            ..=MAX_BODY => Ok(body.into()),
            _ => Err(CallFailed::TooLarge),
        }
    }
}
