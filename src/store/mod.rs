//! The catalog node's data on disk: SQLite, one writer connection and a read-only pool.
//!
//! Invariant: what is in the tables is exactly what the records of this history, applied in order to a
//! fresh file, put there. The log has the last of them, without a hole. Stock, order, answer and log record of a batch commit in one durable transaction,
//! and every read says which record it was read behind.
//!
//! A [`DataDir`] is locked by one process and names its current file; opening it gives a [`Store`] for
//! any number of readers and the one [`Writer`]. All SQL of the project is in this folder.

mod apply;
mod connection;
mod digest;
mod directory;
mod epochs;
mod error;
mod export;
mod listing;
mod log;
mod private;
mod read;
mod restore;
mod room;
mod rows;
mod schema;
mod snapshot;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub use tests::stored_answers;

pub use digest::Cursor;
pub use directory::{DataDir, InSyncFile, current_file};
pub use epochs::Standing;
pub use error::{OpenError, StoreError};
pub use log::LogPage;
pub use read::{MAX_TOPICS, Snapshot, Store};
pub use restore::{Contents, Restoring};
pub use room::Room;
pub use snapshot::{Incoming, sha256_of};
pub use writer::{Decided, NewEpoch, OldestAnswers, PreparedImport, Started, Writer};
