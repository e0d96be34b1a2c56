//! What travels over HTTP: bodies, headers and error codes, each in one place for both ends.
//!
//! Types only: no I/O, no framework. Roles never see each other, they see this.

pub mod admin;
pub mod catalog;
pub mod error;
pub mod frontend;
pub mod headers;
pub mod order;
pub mod public;
pub mod schema;
pub mod shopper;
pub mod splice;
pub mod status;
pub mod trace;

pub use error::{ErrorCode, Problem};
