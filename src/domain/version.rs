//! Versions: which state of the store an answer shows.
//!
//! A version is `(epoch, seq)`. An epoch is one life of a write master; its number grows by one at every
//! start and its identity is drawn at random then, so that a restored backup or a wiped directory, which
//! may count to the same number again, is never taken for the life before it. `seq` numbers the log's
//! records and goes on across epochs.

use super::Invalid;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One life of a write master. Two epochs are the same only if number *and* identity are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    pub number: u64,
    pub identity: u64,
}

impl Epoch {
    /// The epoch of a data file that no master has ever written to.
    pub const GENESIS: Epoch = Epoch { number: 0, identity: 0 };

    /// Whether `self`'s master, by existing, deposes `other`'s: a higher number, or a second life that
    /// drew the same number (neither of the two may then go on).
    pub fn deposes(self, other: Epoch) -> bool {
        self.number > other.number || (self.number == other.number && self.identity != other.identity)
    }
}

/// A point in the history of the store.
///
/// There is deliberately no `Ord`: versions of different lives do not compare. Within one life, use
/// [`Version::reaches`] or compare `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    pub epoch: Epoch,
    pub seq: u64,
}

impl Version {
    /// Where every fresh data file starts.
    pub const GENESIS: Version = Version { epoch: Epoch::GENESIS, seq: 0 };

    pub const fn new(epoch: Epoch, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// Whether a state of this version shows everything that `minimum` shows, as far as the two can be
    /// compared: the same epoch, and a `seq` at least as high.
    pub fn reaches(self, minimum: Version) -> bool {
        self.epoch == minimum.epoch && self.seq >= minimum.seq
    }

    /// The version of the record that follows in the same epoch.
    pub const fn next(self) -> Version {
        Version { epoch: self.epoch, seq: self.seq + 1 }
    }

    /// What customers see: `<epoch>.<seq>`, without the identity.
    pub fn public(self) -> PublicVersion {
        PublicVersion { epoch: self.epoch.number, seq: self.seq }
    }
}

/// `3:00000000deadbeef`: number and identity, as they travel between roles.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.number, self.identity)
    }
}

/// `3:00000000deadbeef.17`
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl FromStr for Epoch {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("an epoch is written <number>:<identity>");
        let (number, identity) = text.split_once(':').ok_or_else(invalid)?;
        Ok(Epoch {
            number: number.parse().map_err(|_| invalid())?,
            identity: u64::from_str_radix(identity, 16).map_err(|_| invalid())?,
        })
    }
}

impl FromStr for Version {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("a version is written <number>:<identity>.<seq>");
        let (epoch, seq) = text.rsplit_once('.').ok_or_else(invalid)?;
        Ok(Version { epoch: epoch.parse()?, seq: seq.parse().map_err(|_| invalid())? })
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(Epoch);
serde_as_text!(Version);

/// A version as customers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicVersion {
    pub epoch: u64,
    pub seq: u64,
}

/// What a history says of a version that somebody names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// It is a point of this history.
    Yes,
    /// Not yet: it lies behind the end.
    Future,
    /// And it never will be: the epoch that it names is over, or was passed over.
    Never,
}

impl fmt::Display for PublicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// Takes what [`Display`](fmt::Display) writes and nothing else: no sign, no zeros in front.
impl FromStr for PublicVersion {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("a version is written <epoch>.<seq>, two whole numbers");
        let number = |digits: &str| {
            let plain =
                digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
            digits.parse().ok().filter(|_| plain).ok_or_else(invalid)
        };
        let (epoch, seq) = text.split_once('.').ok_or_else(invalid)?;
        Ok(Self { epoch: number(epoch)?, seq: number(seq)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Epoch = Epoch { number: 3, identity: 0xdead_beef };

    #[test]
    fn a_version_survives_the_wire() {
        let version = Version::new(LIFE, 17);
        assert_eq!(version.to_string(), "3:00000000deadbeef.17");
        assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        assert_eq!(version.public().to_string(), "3.17");
        for text in ["", "3.17", "3:zz.1", "3:1", "-1:1.1", "3:1.-1"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_public_version_is_read_as_it_is_written_and_in_no_other_way() {
        let version = PublicVersion { epoch: 3, seq: u64::MAX };
        assert_eq!(version.to_string().parse::<PublicVersion>().unwrap(), version);
        assert_eq!("0.0".parse::<PublicVersion>().unwrap(), Version::GENESIS.public());
        for text in [
            "",
            ".",
            "3",
            "3.",
            ".1",
            "+3.1",
            "3.-1",
            "03.1",
            "3.01",
            " 3.1",
            "3.1.1",
            "3.18446744073709551616",
        ] {
            assert!(text.parse::<PublicVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_of_different_lives_do_not_compare() {
        let twin = Epoch { identity: 1, ..LIFE };
        assert!(Version::new(LIFE, 2).reaches(Version::new(LIFE, 2)));
        assert!(!Version::new(LIFE, 1).reaches(Version::new(LIFE, 2)));
        assert!(!Version::new(twin, 9).reaches(Version::new(LIFE, 2)));
    }

    #[test]
    fn a_twin_of_the_same_number_deposes_as_a_higher_number_does() {
        let twin = Epoch { identity: 1, ..LIFE };
        let later = Epoch { number: 4, identity: 1 };
        assert!(later.deposes(LIFE) && twin.deposes(LIFE) && LIFE.deposes(twin));
        assert!(!LIFE.deposes(LIFE) && !LIFE.deposes(later));
    }
}
