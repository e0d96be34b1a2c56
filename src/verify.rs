//! `bazar catalog verify`: asks the write master to compare its replicas' rows with its own, and says what
//! came of it.

use crate::client::{BaseUrl, CallError, Masters};
use crate::member::Member;
use crate::token::InternalToken;
use crate::wire::catalog::{VERIFY, VERIFY_DEADLINE, Verification};

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Candidates for the master; not empty.
    pub masters: Vec<BaseUrl>,
}

/// Why not everything is known to be equal.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{differ} of {linked} replicas could not be verified; their logs say why")]
    Differ { differ: usize, linked: usize },
}

impl Config {
    /// Hands `line` one line for each node.
    pub async fn run(self, token: InternalToken, line: impl Fn(String)) -> Result<(), VerifyError> {
        let masters = Masters::new(&self.masters, &Member::new(token));
        let found: Verification = masters.post(VERIFY, &(), "verify", VERIFY_DEADLINE).await?;
        let Verification { node, version, ranges, rows, replicas } = found;
        let url = masters.preferred().url().clone();
        line(format!("master {node} at {url}: {rows} rows in {ranges} ranges up to {}", version.public()));
        if replicas.is_empty() {
            line("no replica is linked: there is nothing to compare with".into());
        }
        for replica in &replicas {
            let verdict = if replica.verified { "equal" } else { "not verified" };
            line(format!("replica {} at {}: {verdict}", replica.node, replica.url));
        }
        match replicas.iter().filter(|replica| !replica.verified).count() {
            0 => Ok(()),
            differ => Err(VerifyError::Differ { differ, linked: replicas.len() }),
        }
    }
}
