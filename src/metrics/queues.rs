//! Queues: what waits for whom.

use super::label::label;

label! {
    /// A queue of a role.
    pub enum QueueName {
        /// Purchases that wait for the request under way to be answered (frontend, order node).
        Purchases = "purchases",
        /// Reads of single books that wait for the one under way (frontend, catalog node).
        Books = "books",
        /// Reads that wait for Redis (frontend).
        RedisReads = "redis_reads",
        /// Entries on their way to Redis (frontend).
        RedisWrites = "redis_writes",
        /// Requests that wait for the writer (master).
        Writer = "writer",
        /// Parts of imports that wait for the writer (master).
        Imports = "imports",
        /// Batches that are committed and not acknowledged (master).
        Acknowledger = "acknowledger",
        /// Pages of records that wait to be applied (replica).
        Apply = "apply",
    }
}
