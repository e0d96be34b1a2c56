//! Who was turned away at the public door, and who wanted to keep the catalog from outside.

use super::families::{ADMIN_ATTEMPTS, RATE_LIMITED};
use super::label::label;
use super::{Registry, Tally};

label! {
    /// How somebody comes with the admin token.
    pub enum Way {
        /// In a header.
        Api = "api",
        /// In the form for signing in.
        Page = "page",
    }
}

label! {
    /// What became of it.
    pub enum Attempt {
        Ok = "ok",
        /// There was no token, or another one.
        Refused = "refused",
        /// Too many were wrong: this one was the last of them, or was not looked at.
        LockedOut = "locked_out",
    }
}

label! {
    /// Of what somebody wanted too much.
    pub enum Limit {
        /// Requests of one client.
        Requests = "requests",
        /// Purchases of one client.
        Purchases = "purchases",
        /// Connections of one client: closed without an answer to any request.
        Connections = "connections",
    }
}

/// Counts for one frontend.
#[derive(Debug, Clone)]
pub struct Doors {
    attempts: Tally<(Way, Attempt)>,
    limited: Tally<Limit>,
}

impl Doors {
    pub fn new(registry: &Registry) -> Self {
        Self { attempts: registry.tally(&ADMIN_ATTEMPTS), limited: registry.tally(&RATE_LIMITED) }
    }

    /// Somebody came with an admin token, or without.
    pub fn tried(&self, way: Way, outcome: Attempt) {
        self.attempts.inc((way, outcome));
    }

    /// Somebody was told to come back later.
    pub fn limited(&self, limit: Limit) {
        self.limited.inc(limit);
    }
}
