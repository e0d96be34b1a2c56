//! Secrets: the internal token, which the roles of one store share, and the admin token, which a keeper has.

mod metrics;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

pub use metrics::MetricsTokens;

/// At least [`Secret::MIN_BYTES`] visible ASCII characters, which are never printed.
#[derive(Clone, PartialEq, Eq)]
struct Secret(Arc<str>);

impl Secret {
    /// Sixteen random characters are out of reach of guessing over a network.
    const MIN_BYTES: usize = 16;

    /// Takes the secret as it stands in a file or a variable, without the white space around it.
    fn parse(text: &str, what: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < Self::MIN_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{what} must have at least {} visible ASCII characters", Self::MIN_BYTES));
        }
        Ok(Self(text.into()))
    }

    /// In time that does not depend on how much of what is given is right.
    fn is(&self, given: &[u8]) -> bool {
        given.ct_eq(self.0.as_bytes()).into()
    }

    /// Whether an `Authorization` header carries it.
    fn authorizes(&self, header: &[u8]) -> bool {
        header.strip_prefix(b"Bearer ").is_some_and(|given| self.is(given))
    }

    /// A key for another purpose, of which nothing leads back here (HMAC-SHA256 of `purpose`).
    fn derive(&self, purpose: &str) -> [u8; 32] {
        // HMAC takes keys of any length: the error cannot occur.
        let Ok(mac) = Hmac::new_from_slice(self.0.as_bytes()) else { return [0; 32] };
        finish(mac, &[purpose.as_bytes()])
    }
}

/// What the roles of one store know and nobody else does.
#[derive(Clone)]
pub struct InternalToken(Secret);

impl InternalToken {
    /// Takes the secret as it stands in a file or a variable, without the white space around it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Secret::parse(text, "the internal token").map(Self)
    }

    /// A fresh one of 128 random bits, for a store that lives in one process.
    pub fn random() -> Self {
        Self(Secret(format!("{:032x}", rand::random::<u128>()).into()))
    }

    /// The value of the `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0.0)
    }

    /// Whether an `Authorization` header carries this token, in time that does not depend on how much of
    /// it is right.
    pub fn authorizes(&self, header: &[u8]) -> bool {
        self.0.authorizes(header)
    }

    /// A secret that allows to keep the catalog (import, export), and nothing else. Who has the token can make
    /// it; nothing leads back.
    pub fn keeper(&self) -> Self {
        Self(Secret(hex::encode(self.derive("bazar keeper 1")).into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0.0
    }

    /// A key for another purpose, of which nothing leads back to the token.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        self.0.derive(purpose)
    }
}

impl fmt::Debug for InternalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalToken(…)")
    }
}

/// What lets a keeper change the catalog from outside. It is no internal token, and none leads to it: who has one of
/// the two can do nothing with it where the other is wanted.
///
/// There may be two, so that one can take the other's place while both are in use: the first is the new one.
#[derive(Clone)]
pub struct AdminToken {
    first: Secret,
    second: Option<Secret>,
}

impl AdminToken {
    /// Takes one secret or two, a line each, as they stand in a file or a variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = Secret::parse(lines.next().unwrap_or_default(), "the admin token")?;
        let second = lines.next().map(|line| Secret::parse(line, "the second admin token")).transpose()?;
        match lines.next() {
            Some(_) => Err("there can be two admin tokens at most, a line each".into()),
            None => Ok(Self { first, second }),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// Whether an `Authorization` header carries it, in time that does not depend on how much of it is right.
    pub fn authorizes(&self, header: &[u8]) -> bool {
        self.each().fold(false, |right, secret| right | secret.authorizes(header))
    }

    /// The same for what was typed into a form.
    pub fn is(&self, given: &str) -> bool {
        self.each().fold(false, |right, secret| right | secret.is(given.as_bytes()))
    }

    /// For a process that we start ourselves.
    pub fn to_text(&self) -> String {
        self.each().map(|secret| &*secret.0).collect::<Vec<_>>().join("\n")
    }

    pub fn is_internal(&self, token: &InternalToken) -> bool {
        self.is(token.as_str())
    }

    /// A key for another purpose for each of them, the new one's first; nothing leads back to the tokens.
    pub fn derive(&self, purpose: &str) -> Vec<[u8; 32]> {
        self.each().map(|secret| secret.derive(purpose)).collect()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
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
        assert!(AdminToken::parse("fifteen-letters").is_err());
        let (internal, admin) = (InternalToken::random(), AdminToken::parse("0123456789abcdef").unwrap());
        assert!(!format!("{internal:?}").contains(internal.as_str()));
        assert!(!format!("{admin:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn the_admin_token_is_itself_only() {
        let token = AdminToken::parse(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef") && token.authorizes(b"Bearer 0123456789abcdef"));
        assert!(!token.is("0123456789abcde") && !token.is("") && !token.authorizes(b"0123456789abcdef"));
        assert!(token.is_internal(&InternalToken::parse("0123456789abcdef").unwrap()));
        assert!(!token.is_internal(&InternalToken::random()));
    }

    #[test]
    fn two_admin_tokens_are_right_while_one_takes_the_others_place() {
        let both = AdminToken::parse("the-new-admin-token\n\n the-old-admin-token \n").unwrap();
        assert!(both.is("the-new-admin-token") && both.authorizes(b"Bearer the-old-admin-token"));
        assert!(!both.is("the-new-admin-token\nthe-old-admin-token") && !both.is(""));
        assert!(both.is_internal(&InternalToken::parse("the-old-admin-token").unwrap()));
        assert_eq!(AdminToken::parse(&both.to_text()).unwrap().derive("x"), both.derive("x"));
        assert!(AdminToken::parse("the-new-admin-token\nshort").is_err());
        assert!(
            AdminToken::parse("the-new-admin-token\nthe-old-admin-token\nthe-oldest-admin-token").is_err()
        );
    }
}
