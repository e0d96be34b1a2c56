//! Header names. HTTP header names compare without case; these are lower-case because that is what the
//! libraries want for constants.

/// `HIT`, `MISS` or `BYPASS`.
pub const X_CACHE: &str = "x-cache";
/// `<epoch>.<seq>`: the state that an answer shows.
pub const BAZAR_VERSION: &str = "bazar-version";
/// The client's name for one attempt to buy.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// `true` on an answer that an earlier request with the same key got first.
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";
/// The highest epoch that the sender of an internal request or answer has met.
pub const BAZAR_MET: &str = "bazar-met";
/// Follows one request through all roles and their logs.
pub const X_REQUEST_ID: &str = "x-request-id";
/// The value of `Warning` on an answer that may be stale (RFC 7234, 5.5.1).
pub const WARNING_STALE: &str = "110 bazar \"Response is Stale\"";
