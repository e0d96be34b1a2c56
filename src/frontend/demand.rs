//! What a reader demands of one answer, from the headers of the request.
//!
//! Invariant: a header that is there and not understood is refused, never ignored: who asks for more than
//! usual must not be given less in silence.

use crate::domain::{Invalid, PublicVersion};
use crate::wire::headers;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Linearizable. Without the master it may be stale, and then says so.
    #[default]
    Usual,
    /// Linearizable or nothing.
    Linearizable,
    /// Whatever is nearest; it says so unless it happens to be fresh.
    Stale,
}

/// What one answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    pub level: Level,
    /// The answer must not show an older state than this one.
    pub minimum: Option<PublicVersion>,
}

impl Demand {
    /// From `Bazar-Consistency` and `Bazar-Min-Version`. The error is a sentence for the client.
    pub fn parse(headers: &HeaderMap) -> Result<Self, Invalid> {
        let level = single(headers, headers::BAZAR_CONSISTENCY, level)?.unwrap_or_default();
        let minimum = single(headers, headers::BAZAR_MIN_VERSION, minimum)?;
        Ok(Self { level, minimum })
    }

    /// Whether there is anything to [`parse`](Self::parse).
    pub fn is_made(headers: &HeaderMap) -> bool {
        const NAMES: [HeaderName; 2] = [
            HeaderName::from_static(headers::BAZAR_CONSISTENCY),
            HeaderName::from_static(headers::BAZAR_MIN_VERSION),
        ];
        NAMES.iter().any(|name| headers.contains_key(name))
    }
}

/// The value of a header that may be repeated but must not contradict itself.
fn single<T: PartialEq>(
    headers: &HeaderMap,
    name: &str,
    parse: impl Fn(&HeaderValue) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    let mut values = headers.get_all(name);
    let Some(first) = values.next() else { return Ok(None) };
    let first = parse(first)?;
    for other in values {
        if parse(other)? != first {
            return Err(Invalid(format!("{name} is given twice, with different values")));
        }
    }
    Ok(Some(first))
}

fn level(value: &HeaderValue) -> Result<Level, Invalid> {
    let word = value.as_bytes();
    if word.eq_ignore_ascii_case(b"linearizable") {
        Ok(Level::Linearizable)
    } else if word.eq_ignore_ascii_case(b"stale") {
        Ok(Level::Stale)
    } else {
        Err(Invalid("Bazar-Consistency must be linearizable or stale".into()))
    }
}

fn minimum(value: &HeaderValue) -> Result<PublicVersion, Invalid> {
    let sentence = || Invalid("Bazar-Min-Version must be <epoch>.<seq>, as Bazar-Version gives it".into());
    value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONSISTENCY: &str = headers::BAZAR_CONSISTENCY;
    const MIN_VERSION: &str = headers::BAZAR_MIN_VERSION;

    fn parse(given: &[(&'static str, &[u8])]) -> Result<Demand, Invalid> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        Demand::parse(&headers)
    }

    #[test]
    fn levels_are_read_without_regard_to_case() {
        assert_eq!(parse(&[]).unwrap(), Demand::default());
        for (word, level) in
            [("stale", Level::Stale), ("STALE", Level::Stale), ("Linearizable", Level::Linearizable)]
        {
            let demand = parse(&[(CONSISTENCY, word.as_bytes())]).unwrap();
            assert_eq!(demand, Demand { level, minimum: None });
        }
        for word in ["", "fresh", "stale, stale", "stale ", "\u{17f}tale"] {
            assert!(parse(&[(CONSISTENCY, word.as_bytes())]).is_err(), "{word:?}");
        }
    }

    #[test]
    fn a_header_may_be_repeated_but_not_contradict_itself() {
        let demand = parse(&[(CONSISTENCY, b"stale"), (CONSISTENCY, b"Stale")]).unwrap();
        assert_eq!(demand.level, Level::Stale);
        for name in [CONSISTENCY, MIN_VERSION] {
            let (one, other): (&[u8], &[u8]) =
                if name == CONSISTENCY { (b"stale", b"linearizable") } else { (b"1.2", b"1.3") };
            assert!(parse(&[(name, one), (name, other)]).unwrap_err().0.contains("twice"));
        }
        assert!(parse(&[(MIN_VERSION, b"1.2"), (MIN_VERSION, b"x")]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_headers_hold_it_is_understood_or_refused(
            consistency in proptest::collection::vec(0x20..=0xffu8, 0..40),
            minimum in "[0-9.+\\- ]{0,45}",
        ) {
            // DEL is no character of a header's value.
            let consistency: Vec<u8> = consistency.into_iter().filter(|&b| b != 0x7f).collect();
            let words: [&[u8]; 2] = [b"linearizable", b"stale"];
            let known = words.iter().any(|word| consistency.eq_ignore_ascii_case(word));
            prop_assert_eq!(parse(&[(CONSISTENCY, &consistency)]).is_ok(), known);
            if let Ok(demand) = parse(&[(MIN_VERSION, minimum.as_bytes())]) {
                prop_assert_eq!(demand.minimum.unwrap().to_string(), minimum);
            }
        }

        #[test]
        fn every_version_that_was_given_out_is_understood(epoch: u64, seq: u64) {
            let version = PublicVersion { epoch, seq };
            let demand = parse(&[(MIN_VERSION, version.to_string().as_bytes())]).unwrap();
            prop_assert_eq!(demand.minimum, Some(version));
        }
    }
}
