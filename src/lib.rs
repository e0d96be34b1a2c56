//! Bazar, a distributed bookstore: reads come from a cache at memory speed and are still never stale.
//!
//! Modules depend downwards only:
//!
//! ```text
//! cli, config, up              what the user typed, checked; the whole store in one process
//! experiment                   what the store claims, measured and judged: on load and shopper, with stores of
//!                              its own as child processes
//! demo                         the whole store in processes of their own, to be broken; leash: what demo and
//!                              experiment start ends with them
//! terminal, load               the store from outside: a customer's commands, the load generator; shopper: what
//!                              these two and experiment speak to it through
//! import, export, generate     a keeper's commands; access: how they find the store of `up`, targets: how
//!                              Prometheus does; published: their files; progress: how far they are
//! handover, verify, call,      an operator's
//! backup, restore
//! frontend · catalog · order   the roles: siblings that talk over HTTP and never import each other
//! dashboard                    the store at work, on one page; metrics: what the roles count for it
//! pages                        the look of every HTML page; intake: many books from outside, into parts
//! server, client, store        listeners, typed calls to peers, SQLite; member: token, epoch, signatures
//! signing                      how messages between members are signed and proved, without I/O
//! token                        the secrets: the internal, the admin, the metrics token; secret_file: files with one
//! recipe                       --unsafe-coherence: what is compared with the protocol
//! telemetry                    log lines, traces
//! shutdown                     from a signal to a clean stop
//! clock                        the clocks: for deadlines of the protocol, for people's eyes
//! wire                         what travels: bodies, headers, error codes
//! coherence                    the protocol's rules, without I/O
//! domain                       books, orders, versions, the ledger
//! abort                        for tests/chaos: named points to end a process at
//! ```

pub mod abort;
pub mod access;
pub mod backup;
pub mod call;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod domain;
pub mod experiment;
pub mod export;
pub mod frontend;
pub mod generate;
pub mod handover;
pub mod import;
pub mod intake;
pub mod leash;
pub mod load;
pub mod member;
pub mod metrics;
pub mod order;
pub mod pages;
pub mod progress;
pub mod published;
pub mod recipe;
pub mod restore;
pub mod secret_file;
pub mod server;
pub mod shopper;
pub mod shutdown;
pub mod signing;
pub mod store;
pub mod targets;
pub mod telemetry;
pub mod terminal;
pub mod token;
pub mod up;
pub mod verify;
pub mod wire;
