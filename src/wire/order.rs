//! Bodies of the order nodes' listener.

/// Body: a [`Purchase`](crate::domain::Purchase); answer: its [`Outcome`](crate::domain::Outcome).
pub const PURCHASE: &str = "/purchase";
