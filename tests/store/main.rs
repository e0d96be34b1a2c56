//! The store as its users and operators meet it: real processes on free ports of the loopback, talked to
//! over HTTP, killed, paused and started again.
//!
//! Every wait is bounded and waits for something that can be seen; nothing is tried twice but where the
//! test is about trying twice.

mod crash;
mod freshness;
mod harness;
mod idempotency;
mod input;
mod internal;
mod redis;
mod stock;
mod walkthrough;
