//! Why a call has no answer.

use crate::wire::{ErrorCode, Problem};

/// Why a call has no answer. Only [`CallError::Refused`] says that the peer decided anything.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("{peer} answered {}: {}", problem.code, problem.error)]
    Refused { peer: String, problem: Problem },
    /// The request never left: nothing happened at the peer.
    #[error("{peer} cannot be reached: {cause}")]
    Unreachable { peer: String, cause: String },
    /// It may or may not have been carried out.
    #[error("{peer} did not answer: {cause}")]
    NoAnswer { peer: String, cause: String },
    /// The same: whoever answered has not proved to be a member of the store.
    #[error("{peer} is not believed: {cause}")]
    Unproven { peer: String, cause: String },
}

impl CallError {
    /// The code that the peer refused with, if it answered at all.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            CallError::Refused { problem, .. } => Some(problem.code),
            _ => None,
        }
    }
}
