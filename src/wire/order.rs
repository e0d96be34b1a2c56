//! Bodies of the order nodes' listener.

use super::ErrorCode;
use crate::domain::Outcome;
use serde::{Deserialize, Serialize};

/// Body: the [`Purchases`](super::catalog::Purchases) that a frontend has gathered, at most
/// [`MAX_BATCH`](super::catalog::MAX_BATCH); answer: [`Answers`].
pub const PURCHASES: &str = "/purchases";

/// One for each purchase, in their order. [`ErrorCode::Unavailable`]: the outcome of that one is unknown, and
/// it is safe to repeat with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    pub answers: Vec<Result<Outcome, ErrorCode>>,
}
