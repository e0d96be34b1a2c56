//! Completing a read's answer: all but its last members are bytes that were made once.

use super::schema;
use bytes::{BufMut, Bytes, BytesMut};
use std::borrow::Cow;
use std::time::Duration;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// The members that [`finish`] adds.
pub struct Served;

impl PartialSchema for Served {
    fn schema() -> RefOr<Schema> {
        let cached = ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Boolean))
            .description(Some("Whether a cache answered"));
        ObjectBuilder::new()
            .description(Some("How the answer came about"))
            .property("cached", cached)
            .property("responseTime", schema::milliseconds())
            .required("cached")
            .required("responseTime")
            .into()
    }
}

impl ToSchema for Served {
    fn name() -> Cow<'static, str> {
        "Served".into()
    }
}

/// Completes the JSON object `open`, which lacks its last members and its closing brace. The only bytes that are made for each answer.
pub fn finish(open: &Bytes, cached: bool, took: Duration) -> Bytes {
    let end: &[u8] = match cached {
        true => b",\"cached\":true,\"responseTime\":",
        false => b",\"cached\":false,\"responseTime\":",
    };
    let mut digits = [0; MILLISECONDS];
    let took = milliseconds(took, &mut digits);
    let mut body = BytesMut::with_capacity(open.len() + end.len() + took.len() + 1);
    body.put_slice(open);
    body.put_slice(end);
    body.put_slice(took);
    body.put_u8(b'}');
    body.freeze()
}

/// Digits of the longest time in milliseconds, with a point and three places behind it.
const MILLISECONDS: usize = 24;

/// A JSON number of milliseconds with microsecond resolution: `0.014`, `12.500`.
fn milliseconds(took: Duration, buffer: &mut [u8; MILLISECONDS]) -> &[u8] {
    let mut left = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let mut at = MILLISECONDS;
    let mut put = |digit: u8| {
        at -= 1;
        buffer[at] = digit;
    };
    for _ in 0..3 {
        put(b'0' + (left % 10) as u8);
        left /= 10;
    }
    put(b'.');
    loop {
        put(b'0' + (left % 10) as u8);
        left /= 10;
        if left == 0 {
            return &buffer[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_open_object_is_completed_with_where_it_came_from_and_how_long_that_took() {
        let open = Bytes::from_static(b"{\"id\":9");
        let body = finish(&open, true, Duration::from_micros(14));
        assert_eq!(body, &b"{\"id\":9,\"cached\":true,\"responseTime\":0.014}"[..]);
        let body = finish(&open, false, Duration::from_micros(12_500));
        assert_eq!(body, &b"{\"id\":9,\"cached\":false,\"responseTime\":12.500}"[..]);
    }

    proptest! {
        #[test]
        fn every_time_is_written_as_the_number_that_it_is(micros: u64) {
            let mut buffer = [0; MILLISECONDS];
            let text = milliseconds(Duration::from_micros(micros), &mut buffer);
            let text = str::from_utf8(text).unwrap();
            prop_assert_eq!(text, format!("{}.{:03}", micros / 1000, micros % 1000));
            prop_assert!(serde_json::from_str::<f64>(text).is_ok());
        }
    }
}
