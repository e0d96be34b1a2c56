//! `--unsafe-coherence`: the well-known recipes for keeping a cache, to be compared and taught with. None
//! of them keeps the promise that no read is stale; the store's own protocol does.
//!
//! Invariant: a store that runs a recipe says so wherever it can be met: in every answer's headers, in its
//! log, in `/readyz`; and nobody gets at it from outside this machine. A frontend and a master that do not
//! run the same one speak different protocols, so that a safe frontend never takes a lease from a master
//! that would not fence.

use crate::shutdown::Shutdown;
use crate::wire::catalog::PROTOCOL;
use crate::wire::headers;
use actix_web::http::header::{HeaderName, HeaderValue};
use std::fmt;
use std::time::Duration;

/// Between two warnings in the log.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Far above every version that the protocol proper will have.
const FIRST_PROTOCOL: u32 = 1_000_000;

/// What is done about cached answers when the catalog changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// Nothing: they are served until their time is over.
    Ttl,
    /// They are deleted, then the change is committed.
    DeleteThenWrite,
    /// The change is committed, then they are deleted, then the change is acknowledged.
    WriteThenDelete,
    /// Nothing at all, not even a time: they are served as long as they are kept.
    Nothing,
}

impl Recipe {
    pub const ALL: [Recipe; 4] =
        [Recipe::Ttl, Recipe::DeleteThenWrite, Recipe::WriteThenDelete, Recipe::Nothing];

    pub const fn as_str(self) -> &'static str {
        match self {
            Recipe::Ttl => "ttl",
            Recipe::DeleteThenWrite => "delete-then-write",
            Recipe::WriteThenDelete => "write-then-delete",
            Recipe::Nothing => "none",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.as_str() == text)
    }

    /// Stands on every answer of a store that runs this recipe.
    pub fn header(self) -> (HeaderName, HeaderValue) {
        let name = HeaderName::from_static(headers::BAZAR_UNSAFE_COHERENCE);
        (name, HeaderValue::from_static(self.as_str()))
    }

    /// Warns now and again and again, until `stop`.
    pub async fn warn(self, stop: Shutdown) {
        loop {
            log::warn!("UNSAFE: --unsafe-coherence {self}: answers may be stale without saying so");
            tokio::select! {
                () = tokio::time::sleep(WARN_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// The version of the coherence protocol that is spoken with this recipe, or without any.
pub fn protocol(recipe: Option<Recipe>) -> u32 {
    match recipe {
        None => PROTOCOL,
        Some(recipe) => FIRST_PROTOCOL + recipe as u32,
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_recipe_has_a_name_and_a_protocol_of_its_own() {
        let protocols: BTreeSet<u32> =
            Recipe::ALL.into_iter().map(Some).chain([None]).map(protocol).collect();
        assert_eq!(protocols.len(), Recipe::ALL.len() + 1);
        for recipe in Recipe::ALL {
            assert_eq!(Recipe::parse(recipe.as_str()), Some(recipe));
        }
        assert_eq!(Recipe::parse("TTL"), None);
    }
}
