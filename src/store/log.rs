//! The log as others read it: the records behind a version.
//!
//! Invariant: records are served only behind a version that is in this log with its epoch's number *and*
//! identity, so that nobody continues another history with ours, and without a hole.

use super::{Store, StoreError, rows};
use crate::domain::{Record, Version};
use futures_util::TryStreamExt;
use sqlx::Row;

const LOG_AFTER: &str = "SELECT next.record
     FROM log AS known LEFT JOIN log AS next ON next.seq > known.seq
     WHERE known.seq = ?1 AND known.epoch_number = ?2 AND known.epoch_identity = ?3
     ORDER BY next.seq LIMIT ?4";

/// For the test that it is a seek.
#[cfg(test)]
pub(super) const STATEMENTS: [(&str, &str); 1] = [("log", LOG_AFTER)];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPage {
    /// What follows, in order; empty at the end of the log.
    Records(Vec<Record>),
    /// The version asked about is not in this log, or not any more: the asker needs a snapshot.
    Unknown,
}

impl Store {
    /// The records behind `predecessor`: at most `max_records`, and at most `max_bytes` of JSON unless
    /// the first alone has more.
    pub async fn log_after(
        &self,
        predecessor: Version,
        max_records: u32,
        max_bytes: u64,
    ) -> Result<LogPage, StoreError> {
        let mut found = sqlx::query(LOG_AFTER)
            .bind(rows::to_column(predecessor.seq))
            .bind(rows::to_column(predecessor.epoch.number))
            .bind(rows::to_column(predecessor.epoch.identity))
            .bind(max_records.max(1))
            .fetch(&self.pool);
        let mut known = false;
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(row) = found.try_next().await? {
            known = true;
            let Some(json) = row.try_get::<Option<&str>, _>(0)? else { break };
            bytes += json.len() as u64;
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            let record: Record = serde_json::from_str(json)?;
            let before = records.last().map_or(predecessor, |before: &Record| before.version);
            if record.predecessor != before {
                return Err(StoreError::Corrupt(format!("the log has a hole before {}", record.version)));
            }
            records.push(record);
        }
        Ok(if known { LogPage::Records(records) } else { LogPage::Unknown })
    }
}
