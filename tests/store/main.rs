//! The store as its users and operators meet it: real processes on free ports of the loopback, talked to
//! over HTTP, killed, paused and started again.
//!
//! Every wait is bounded and waits for something that can be seen; nothing is tried twice but where the
//! test is about trying twice.

mod admin;
mod balance;
mod command_line;
mod crash;
mod dashboard;
mod demo;
mod desk;
mod disk;
mod doors;
mod edits;
mod examples;
mod experiment;
mod floods;
mod freshness;
mod handover;
mod harness;
mod idempotency;
mod import;
mod input;
mod internal;
mod lease;
mod levels;
mod live;
mod load;
mod metrics;
mod nginx;
mod openapi;
mod overload;
mod query;
mod recipes;
mod redis;
mod replica;
mod revalidation;
mod shopping;
mod smuggling;
mod snapshot;
mod stock;
mod storefront;
mod storefront_browser;
mod tampering;
mod verify;
mod walkthrough;
