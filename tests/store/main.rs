//! The store as its users and operators meet it: real processes on free ports of the loopback, talked to
//! over HTTP, killed, paused and started again.
//!
//! Every wait is bounded and waits for something that can be seen; nothing is tried twice but where the
//! test is about trying twice.

mod admin;
mod attacks;
mod backup;
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
mod mixed;
mod nginx;
mod openapi;
mod operations;
mod overload;
mod query;
mod recipes;
mod redis;
mod replica;
mod revalidation;
mod shopping;
mod signing;
mod smuggling;
mod snapshot;
mod stock;
mod storefront;
mod storefront_browser;
mod supply_chain;
mod tampering;
mod traces;
mod verify;
mod walkthrough;
