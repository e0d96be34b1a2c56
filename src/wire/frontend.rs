//! Bodies of the frontend's internal listener.

use crate::coherence::HolderId;
use serde::{Deserialize, Serialize};

/// Body: a [`Fence`](crate::coherence::lease::Fence).
pub const INVALIDATE: &str = "/cache/invalidate";
/// Which process listens here?
pub const HOLDER: &str = "/holder";

/// Who answered: of [`HOLDER`], and of [`INVALIDATE`] once every floor is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderAnswer {
    pub holder: HolderId,
}
