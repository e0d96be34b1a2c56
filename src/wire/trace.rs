//! Which trace a request belongs to, as it travels: the W3C Trace Context, in two headers, or in the body
//! where several requests travel together (<https://www.w3.org/TR/trace-context/>).
//!
//! Invariant: what is read here is either well-formed and small, or nothing. It comes from outside.

use serde::{Deserialize, Serialize};

/// `00-<trace id>-<span id>-<flags>`, in lower-case hexadecimal digits.
pub const TRACEPARENT: &str = "traceparent";
/// What other tracing systems want to be passed on.
pub const TRACESTATE: &str = "tracestate";

/// The longest `tracestate` that is passed on; the standard asks for at least 512. A longer one is left out,
/// which it allows.
pub const MAX_STATE: usize = 512;

/// The sampled bit of the flags; the others mean nothing to us, and the standard wants them cleared.
const SAMPLED: u8 = 1;

/// A `traceparent` with its `tracestate`, as they were sent. A purchase that travels with others carries its
/// own in the body; roles that know nothing of it ignore the member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    pub traceparent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tracestate: String,
}

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    pub trace_id: u128,
    pub span_id: u64,
    pub sampled: bool,
}

impl Traceparent {
    /// `None`: it is none, and counts as absent. Versions to come may append members, which are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (known, more) = text.split_at_checked(55)?;
        let mut members = known.split('-');
        let version = hexadecimal(members.next()?, 2)?;
        let trace_id = hexadecimal(members.next()?, 32)?;
        let span_id = u64::try_from(hexadecimal(members.next()?, 16)?).ok()?;
        let flags = u8::try_from(hexadecimal(members.next()?, 2)?).ok()?;
        let ends = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let is_one = members.next().is_none() && ends && trace_id != 0 && span_id != 0;
        is_one.then_some(Self { trace_id, span_id, sampled: flags & SAMPLED != 0 })
    }
}

impl std::fmt::Display for Traceparent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Exactly so many digits, lower-case: `from_str_radix` alone takes signs, capitals and any length.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let are_digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && are_digits).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_standard_says_and_nothing_else_is_one() {
        let read = Traceparent::parse(GOOD).unwrap();
        assert_eq!((read.span_id, read.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(read.to_string(), GOOD);
        // Flags that mean nothing here, and a version to come that has more to say.
        assert!(Traceparent::parse(&GOOD.replace("-01", "-03")).unwrap().sampled);
        assert!(!Traceparent::parse(&GOOD.replace("-01", "-02")).unwrap().sampled);
        assert!(Traceparent::parse(&format!("{}-what-comes", GOOD.replacen("00", "cc", 1))).is_some());
        for wrong in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-00"),
            &format!("{GOOD} "),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "cc", 1).replace("-01", "-01x"),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf9", "+bf9"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &GOOD.replace("00f067aa0ba902b7", "0000000000000000"),
            &GOOD.replace('-', "_"),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-701",
        ] {
            assert_eq!(Traceparent::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_as_a_traceparent_is_one_or_is_not(text: String) {
            let _ = Traceparent::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let written = Traceparent { trace_id, span_id, sampled };
            prop_assert_eq!(Traceparent::parse(&written.to_string()), Some(written));
        }
    }
}
