//! `bazar handover`: asks the write master to hand over, and says what to do next.

use crate::client::{BaseUrl, CallError, Masters, Peer};
use crate::member::Member;
use crate::token::InternalToken;
use crate::wire::catalog::{HANDOVER, HandedOver, HandoverRequest, NodeState, StateOf};
use std::time::Duration;

/// For asking the heir whom it follows.
const ASK_DEADLINE: Duration = Duration::from_secs(2);

/// The master finishes what is queued, and waits for the heir; it answers before that.
const DEADLINE: Duration = Duration::from_secs(30);

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub heir: BaseUrl,
    /// Candidates for the master; empty: the one that the heir follows.
    pub masters: Vec<BaseUrl>,
}

/// Why there was no handover, or none that is complete.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0} is not a replica: it cannot take over")]
    NoReplica(BaseUrl),
    #[error("{0}")]
    Follows(String),
    #[error(
        "the log is sealed at {} for {heir}, which does not have the seal yet. The master ends when it has; \
         start the heir with --master then", handed_over.version.public()
    )]
    NotDelivered { handed_over: HandedOver, heir: BaseUrl },
}

impl Config {
    /// Returns what to tell the operator.
    pub async fn run(self, token: InternalToken) -> Result<String, HandoverError> {
        let member = Member::new(token);
        let heir = Peer::new(self.heir.clone(), &member);
        let mut candidates = self.masters;
        if candidates.is_empty() {
            let state: NodeState = heir.get("/readyz", "handover", ASK_DEADLINE).await?;
            let StateOf::Replica { follows } = state.of else {
                return Err(HandoverError::NoReplica(self.heir));
            };
            candidates.push(BaseUrl::parse(&follows).map_err(HandoverError::Follows)?);
        }
        let request = HandoverRequest { heir: self.heir.to_string() };
        let handed_over: HandedOver =
            Masters::new(&candidates, &member).post(HANDOVER, &request, "handover", DEADLINE).await?;
        if !handed_over.delivered {
            return Err(HandoverError::NotDelivered { handed_over, heir: self.heir });
        }
        Ok(format!(
            "the log is sealed at {} for {}, and the old master ends: stop the heir and start it on its data \
             with --master",
            handed_over.version.public(),
            self.heir
        ))
    }
}
