//! The catalog node's data on disk: SQLite, one writer connection and a read-only pool.
//!
//! Invariant: what is in the tables is exactly what the records of the log, applied in order to a fresh
//! file, put there. Stock, order, answer and log record of a batch commit in one durable transaction,
//! and every read says which record it was read behind.
//!
//! A [`DataDir`] is locked by one process and names its current file; opening it gives a [`Store`] for
//! any number of readers and the one [`Writer`]. All SQL of the project is in this folder.

mod apply;
mod connection;
mod directory;
mod epochs;
mod error;
mod log;
mod read;
mod rows;
mod schema;
mod snapshot;
mod writer;

#[cfg(test)]
mod tests;

pub use directory::{DataDir, InSyncFile, current_file};
pub use epochs::Standing;
pub use error::{OpenError, StoreError};
pub use log::LogPage;
pub use read::{Snapshot, Store};
pub use snapshot::Incoming;
pub use writer::{NewEpoch, Prepared, Started, Writer};
