//! Keys for HMAC-SHA256 (RFC 2104), and what is derived from a secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// A key for HMAC-SHA256, with the work done that is the same for every message.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

/// Names a key and tells nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

/// What a member signs and proves with.
#[derive(Clone)]
pub struct SigningKey {
    id: KeyId,
    mac: MacKey,
}

/// A key for another purpose, of which nothing leads back to `secret` (HMAC-SHA256 of `purpose`).
pub fn derive(secret: &[u8], purpose: &str) -> [u8; 32] {
    // HMAC takes keys of any length: the error cannot occur.
    let Ok(mac) = Hmac::new_from_slice(secret) else { return [0; 32] };
    MacKey(mac).mac(&[purpose.as_bytes()])
}

impl MacKey {
    /// A shorter one could be guessed.
    const SHORTEST: usize = 16;

    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a key up to its block with zeros.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// The MAC of the concatenation of `parts`.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Whether `given` is the MAC of the concatenation of `parts`, or its first 16 bytes or more;
    /// in time that does not depend on how much of it is right.
    pub fn is_mac(&self, parts: &[&[u8]], given: &[u8]) -> bool {
        let mac = self.mac(parts);
        given.len() >= Self::SHORTEST && mac.get(..given.len()).is_some_and(|mac| mac.ct_eq(given).into())
    }
}

impl SigningKey {
    /// The key of who knows `secret`.
    pub fn of(secret: &[u8]) -> Self {
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            derive(secret, "bazar internal key id 1");
        Self { id: KeyId(id), mac: MacKey::new(&derive(secret, "bazar internal messages 1")) }
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn mac(&self) -> &MacKey {
        &self.mac
    }
}

impl KeyId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 8];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_made_once_gives_the_same_mac() {
        let key = [7; 32];
        let mut whole = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        whole.update(b"abc");
        let whole: [u8; 32] = whole.finalize().into_bytes().into();
        assert_eq!(MacKey::new(&key).mac(&[b"a", b"bc"]), whole);
        assert!(MacKey::new(&key).is_mac(&[b"ab", b"c"], &whole[..16]));
        assert!(!MacKey::new(&key).is_mac(&[b"ab"], &whole));
        assert!(
            !MacKey::new(&key).is_mac(&[b"abc"], &whole[..15]) && !MacKey::new(&key).is_mac(&[b"abc"], b"")
        );
        assert!(!MacKey::new(&key).is_mac(&[b"abc"], &[0; 33]), "longer than a MAC");
    }

    #[test]
    fn a_key_is_named_by_what_tells_nothing_of_it() {
        let (key, other) = (SigningKey::of(b"0123456789abcdef"), SigningKey::of(b"0123456789abcdeg"));
        assert_ne!(key.id(), other.id());
        assert_eq!(KeyId::parse(&key.id().to_string()), Some(key.id()));
        assert_eq!(KeyId::parse("0123"), None);
    }
}
