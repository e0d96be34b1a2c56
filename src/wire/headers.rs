//! Header names. HTTP header names compare without case; these are lower-case because that is what the
//! libraries want for constants.

/// `HIT`, `MISS` or `BYPASS`.
pub const X_CACHE: &str = "x-cache";
/// The value of [`X_CACHE`] on what a cache answered.
pub const HIT: &str = "HIT";
/// `<epoch>.<seq>`: the state that an answer shows.
pub const BAZAR_VERSION: &str = "bazar-version";
/// The client's name for one attempt to buy.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// `true` on an answer that an earlier request with the same key got first.
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";
/// The SHA-256 sum of the snapshot that is the body, in hexadecimal digits.
pub const BAZAR_SHA256: &str = "bazar-sha256";
/// The highest epoch that the sender of an internal request or answer has met.
pub const BAZAR_MET: &str = "bazar-met";
/// Follows one request through all roles and their logs.
pub const X_REQUEST_ID: &str = "x-request-id";
/// The value of `Warning` on an answer that may be stale (RFC 7234, 5.5.1).
pub const WARNING_STALE: &str = "110 bazar \"Response is Stale\"";
/// `linearizable` or `stale`: how fresh the answer to this request must be.
pub const BAZAR_CONSISTENCY: &str = "bazar-consistency";
/// `<epoch>.<seq>`: the answer must not be older than this state.
pub const BAZAR_MIN_VERSION: &str = "bazar-min-version";
/// On every answer of a store that runs one of the well-known recipes: which.
pub const BAZAR_UNSAFE_COHERENCE: &str = "bazar-unsafe-coherence";
