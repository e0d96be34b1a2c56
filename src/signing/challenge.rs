//! What a receiver tells who signed for another challenge, or with a key that it does not have:
//!
//! ```text
//! Bazar-Challenge: v1 challenge=<challenge>,keys=<id>[+<id>]
//! ```
//!
//! It is told to anybody: with it alone nobody can sign anything.

use super::key::KeyId;
use super::request::{Challenge, Signature};
use std::fmt;

const VERSION: &str = "v1 ";

/// Two of members, two of keepers, and as many again for what may come.
const MAX_KEYS: usize = 8;

/// Longer headers are none of ours.
const MAX_HEADER: usize = 256;

/// What to sign for, and with which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub challenge: Challenge,
    pub keys: Vec<KeyId>,
}

impl Told {
    /// From the value of the header.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok().filter(|text| text.len() <= MAX_HEADER)?;
        let (challenge, keys) =
            text.strip_prefix(VERSION)?.strip_prefix("challenge=")?.split_once(",keys=")?;
        let keys = keys.split('+').map(KeyId::parse).collect::<Option<Vec<_>>>()?;
        (keys.len() <= MAX_KEYS).then_some(())?;
        Some(Self { challenge: Challenge::parse(challenge)?, keys })
    }

    /// Whether another signature could be accepted where `refused` was not. Otherwise it was refused for itself:
    /// it has been seen before, or is too late.
    pub fn invites(&self, refused: &Signature, own: impl IntoIterator<Item = KeyId>) -> bool {
        let known = |key: &KeyId| self.keys.contains(key);
        self.challenge != refused.to || !known(&refused.key) && own.into_iter().any(|key| known(&key))
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}challenge={},keys=", self.challenge)?;
        for (index, key) in self.keys.iter().enumerate() {
            write!(f, "{}{key}", if index == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_header_makes_the_parser_fail_and_what_it_reads_it_writes_the_same(header: Vec<u8>, tail in "[0-9a-f+]{0,90}") {
            let of_ours = format!("v1 challenge={},keys={tail}", Challenge([7; 16]));
            for header in [&header[..], of_ours.as_bytes()] {
                if let Some(told) = Told::parse(header) {
                    prop_assert_eq!(told.to_string().into_bytes(), header);
                }
            }
        }
    }

    #[test]
    fn what_is_told_is_read_again_and_nothing_else_is() {
        let told = Told { challenge: Challenge([7; 16]), keys: vec![KeyId([1; 8]), KeyId([2; 8])] };
        let text = told.to_string();
        assert_eq!(Told::parse(text.as_bytes()), Some(told));
        for wrong in
            ["", "v1 challenge=", &text.replace('+', ","), &text[..text.len() - 1], &text.replace("v1", "v2")]
        {
            assert_eq!(Told::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let many = Told { challenge: Challenge([7; 16]), keys: vec![KeyId([1; 8]); MAX_KEYS + 1] };
        assert_eq!(Told::parse(many.to_string().as_bytes()), None);
    }
}
