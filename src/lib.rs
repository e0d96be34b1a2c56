//! Bazar, a distributed bookstore: reads come from a cache at memory speed and are still never stale.
//!
//! Modules depend downwards only:
//!
//! ```text
//! cli, up                      what the user typed; the whole store in one process
//! frontend · catalog · order   the roles: siblings that talk over HTTP and never import each other
//! server, client, store        listeners, typed calls to peers, SQLite; member: token and epoch
//! wire                         what travels: bodies, headers, error codes
//! coherence                    the protocol's rules, without I/O
//! domain                       books, orders, versions, the ledger
//! ```

#![forbid(unsafe_code)]

pub mod catalog;
pub mod cli;
pub mod client;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod domain;
pub mod frontend;
pub mod member;
pub mod order;
pub mod server;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod up;
pub mod wire;
