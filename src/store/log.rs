//! The log as others read it: the records behind a version, and how long a starting master must wait.
//!
//! Invariant: records are served only behind a version that is in this log with its epoch's number *and*
//! identity, so that nobody continues another history with ours.

use super::{Snapshot, Store, StoreError, rows};
use crate::domain::{Known, PublicVersion, Record, Version};
use futures_util::TryStreamExt;
use sqlx::{Row, SqliteConnection};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPage {
    /// What follows, in order; empty at the end of the log.
    Records(Vec<Record>),
    /// The version asked about is not in this log: the asker needs a snapshot.
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
        let mut found = sqlx::query(
            "SELECT next.record
             FROM log AS known LEFT JOIN log AS next ON next.seq > known.seq
             WHERE known.seq = ?1 AND known.epoch_number = ?2 AND known.epoch_identity = ?3
             ORDER BY next.seq LIMIT ?4",
        )
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
            records.push(serde_json::from_str(json)?);
        }
        Ok(if known { LogPage::Records(records) } else { LogPage::Unknown })
    }
}

impl Store {
    /// What this history says of `version`. `asof` is its end.
    pub async fn knows(&self, version: PublicVersion) -> Result<Snapshot<Known>, StoreError> {
        let row = sqlx::query(
            "SELECT l.epoch_number, l.epoch_identity, l.seq,
                    (SELECT max(seq) FROM log WHERE lease_term_ms IS NOT NULL AND epoch_number = ?1),
                    (SELECT min(seq) FROM log WHERE lease_term_ms IS NOT NULL AND epoch_number > ?1)
             FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l",
        )
        .bind(rows::to_column(version.epoch))
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(rows::empty_log)?;
        let asof = rows::version(&row, 0)?;
        let start = row.try_get::<Option<i64>, _>(3)?.map(i64::cast_unsigned);
        let next = row.try_get::<Option<i64>, _>(4)?.map(i64::cast_unsigned);
        let value = match (start, next) {
            (Some(start), _) if version.seq < start => Known::Never,
            (Some(_), Some(next)) if version.seq >= next => Known::Never,
            (Some(_), None) if version.seq > asof.seq => Known::Future,
            (Some(_), _) => Known::Yes,
            (None, Some(_)) => Known::Never,
            (None, None) => Known::Future,
        };
        Ok(Snapshot { asof, value })
    }
}

/// The longest lease, in milliseconds, that an earlier epoch may still have running: the longest term of
/// all starts from that of the last batch's epoch on. Its batch proves that the waits before it were
/// over. A start without a batch proves nothing: its master may have died while it waited.
pub(super) async fn longest_open_lease_ms(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let longest: Option<i64> = sqlx::query_scalar(
        "SELECT max(lease_term_ms) FROM log WHERE lease_term_ms IS NOT NULL AND seq >= (
             SELECT max(seq) FROM log WHERE lease_term_ms IS NOT NULL AND seq <=
                 coalesce((SELECT seq FROM log WHERE lease_term_ms IS NULL ORDER BY seq DESC LIMIT 1), 0))",
    )
    .fetch_one(connection)
    .await?;
    longest.map(i64::cast_unsigned).ok_or_else(rows::empty_log)
}
