//! SHA-256 sums of bodies.

use sha2::{Digest, Sha256};
use std::fmt;

/// The SHA-256 sum of a body; 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sum(pub [u8; 32]);

/// A sum that is still being made.
#[derive(Clone, Default)]
pub struct Summing(Sha256);

impl Sum {
    /// Of no body, which most requests have.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    pub fn of(body: &[u8]) -> Self {
        if body.is_empty() { Self::EMPTY } else { Self(Sha256::digest(body).into()) }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut sum = [0; 32];
        hex::decode_to_slice(text, &mut sum).ok()?;
        Some(Self(sum))
    }
}

impl Summing {
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn sum(self) -> Sum {
        Sum(self.0.finalize().into())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_pieces_is_that_of_the_whole_and_nothing_has_the_known_one() {
        let mut summing = Summing::default();
        assert_eq!(summing.clone().sum(), Sum::EMPTY);
        summing.add(b"a");
        summing.add(b"bc");
        assert_eq!(summing.sum(), Sum::of(b"abc"));
        assert_eq!(Sum::parse(&Sum::of(b"abc").to_string()), Some(Sum::of(b"abc")));
    }
}
