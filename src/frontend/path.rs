//! What the path of a request names.

use crate::wire::{ErrorCode, Problem};
use actix_web::http::Uri;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What follows the last slash of the path, decoded. From the path as it was sent, because a router that
/// replaces what is no UTF-8 would turn rubbish into a topic.
pub fn last_segment(uri: &Uri) -> Result<String, Problem> {
    let path = uri.path();
    let segment = path.rsplit_once('/').map_or(path, |(_, last)| last);
    percent_decode_str(segment)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Problem::new(ErrorCode::InvalidRequest, "the path is not UTF-8"))
}
