//! The internal token: what the roles of one store know and nobody else does.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A shared secret of at least [`InternalToken::MIN_BYTES`] visible ASCII characters.
#[derive(Clone)]
pub struct InternalToken(Arc<str>);

impl InternalToken {
    /// Sixteen random characters are out of reach of guessing over a network.
    pub const MIN_BYTES: usize = 16;

    /// Takes the secret as it stands in a file or a variable, without the white space around it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < Self::MIN_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!(
                "the internal token must have at least {} visible ASCII characters",
                Self::MIN_BYTES
            ));
        }
        Ok(Self(text.into()))
    }

    /// A fresh one of 128 random bits, for a store that lives in one process.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// The value of the `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether an `Authorization` header carries this token, in time that does not depend on how much of
    /// it is right.
    pub fn authorizes(&self, header: &[u8]) -> bool {
        header.strip_prefix(b"Bearer ").is_some_and(|given| bool::from(given.ct_eq(self.0.as_bytes())))
    }

    /// A secret that allows to keep the catalog (import, export), and nothing else. Who has the token can make
    /// it; nothing leads back.
    pub fn keeper(&self) -> Self {
        Self(hex::encode(self.derive("bazar keeper 1")).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key for another purpose, of which nothing leads back to the token (HMAC-SHA256 of `purpose`).
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        // HMAC takes keys of any length: the error cannot occur.
        let Ok(mac) = Hmac::new_from_slice(self.0.as_bytes()) else { return [0; 32] };
        finish(mac, &[purpose.as_bytes()])
    }
}

impl fmt::Debug for InternalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalToken(…)")
    }
}

/// A key for HMAC-SHA256, with the work done that is the same for every message.
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a key up to its block with zeros.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// The MAC of the concatenation of `parts`.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish(self.0.clone(), parts)
    }
}

fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_authorizes() {
        let token = InternalToken::parse(" 0123456789abcdef\n").unwrap();
        assert!(token.authorizes(b"Bearer 0123456789abcdef"));
        for header in
            ["", "Bearer ", "0123456789abcdef", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0"]
        {
            assert!(!token.authorizes(header.as_bytes()), "{header}");
        }
    }

    #[test]
    fn a_key_that_is_made_once_gives_the_same_mac() {
        let key = [7; 32];
        let whole = finish(Hmac::new_from_slice(&key).unwrap(), &[b"ab", b"c"]);
        assert_eq!(MacKey::new(&key).mac(&[b"a", b"bc"]), whole);
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused_and_none_is_ever_printed() {
        assert!(InternalToken::parse("short").is_err());
        assert!(!format!("{:?}", InternalToken::random()).contains(&InternalToken::random().bearer()[7..]));
    }
}
