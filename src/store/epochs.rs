//! The lives of masters in this history: when each began, who it was, and what that means for versions,
//! leases, and who may be master next.
//!
//! Invariant: the table has one row for each start record that was applied, and one for genesis, whether
//! or not the log still has the record. Numbers rise with `start_seq`.

use super::{Store, StoreError, rows};
use crate::domain::{Body, Epoch, Known, NodeId, PublicVersion, Record, Version};
use sqlx::{Row, SqliteConnection};

/// What a data file says about who may be master of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The version of the last record.
    pub end: Version,
    /// The heir, where the last record is a seal.
    pub end_is_seal_for: Option<NodeId>,
    /// Who the last master was; `None` without a start, or where that start did not say.
    pub last_start_node: Option<NodeId>,
    /// Whether any master ever wrote to this history.
    pub has_start: bool,
    /// The epoch that is known to have deposed the last master of this history.
    pub deposed_by: Option<Epoch>,
}

impl Store {
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        let mut connection = self.pool.acquire().await?;
        standing(&mut connection).await
    }

    /// Whether `version` is in this file's history.
    pub async fn knows(&self, version: PublicVersion) -> Result<Known, StoreError> {
        // One statement, so one snapshot.
        let row = sqlx::query(
            "SELECT l.epoch_number, l.epoch_identity, l.seq, epoch.start_seq,
                    (SELECT min(start_seq) FROM epochs WHERE start_seq > epoch.start_seq)
             FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
             LEFT JOIN epochs AS epoch ON epoch.number = ?",
        )
        .bind(rows::to_column(version.epoch))
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(rows::empty_log)?;
        let end = rows::version(&row, 0)?;
        let seq_at =
            |column| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(column)?.map(i64::cast_unsigned));
        let (start, next_start) = (seq_at(3)?, seq_at(4)?);
        let begun = start.is_some_and(|start| start <= version.seq);
        Ok(match version.epoch.cmp(&end.epoch.number) {
            std::cmp::Ordering::Greater => Known::Future,
            std::cmp::Ordering::Equal if version.seq > end.seq => Known::Future,
            std::cmp::Ordering::Equal if begun => Known::Yes,
            std::cmp::Ordering::Less if begun && next_start.is_some_and(|next| version.seq < next) => {
                Known::Yes
            }
            _ => Known::Never,
        })
    }
}

impl Store {
    /// Whether this history once ended at `version`, whether or not the log still has it.
    pub async fn passed(&self, version: Version) -> Result<bool, StoreError> {
        let Version { epoch, seq } = version;
        let [number, identity, seq] = [epoch.number, epoch.identity, seq].map(rows::to_column);
        let passed = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT 1 FROM epochs WHERE number = ? AND identity = ? AND start_seq <= ?
                     AND ? < coalesce((SELECT min(start_seq) FROM epochs AS later
                                       WHERE later.start_seq > epochs.start_seq),
                                      (SELECT max(seq) + 1 FROM log)))",
        );
        Ok(passed.bind(number).bind(identity).bind(seq).bind(seq).fetch_one(&self.pool).await?)
    }
}

pub(super) async fn standing(connection: &mut SqliteConnection) -> Result<Standing, StoreError> {
    let row = sqlx::query(
        "SELECT l.epoch_number, l.epoch_identity, l.seq, l.record,
                e.number, e.node, d.number, d.identity
         FROM (SELECT epoch_number, epoch_identity, seq, record FROM log ORDER BY seq DESC LIMIT 1) AS l
         LEFT JOIN (SELECT number, node FROM epochs ORDER BY start_seq DESC LIMIT 1) AS e
         LEFT JOIN deposed AS d",
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(rows::empty_log)?;
    let end = rows::version(&row, 0)?;
    let end_is_seal_for = match row.try_get::<Option<&str>, _>(3)?.map(serde_json::from_str).transpose()? {
        Some(Record { body: Body::Seal { heir }, .. }) => Some(heir),
        _ => None,
    };
    let bits = |column| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(column)?.map(i64::cast_unsigned));
    let has_start = bits(4)?.is_some_and(|number| number != Epoch::GENESIS.number);
    let marked = bits(6)?.zip(bits(7)?).map(|(number, identity)| Epoch { number, identity });
    Ok(Standing {
        end,
        end_is_seal_for,
        last_start_node: bits(5)?.map(NodeId),
        has_start,
        // Once the log has that epoch, or a later one, this history is the one that goes on.
        deposed_by: marked.filter(|mark| mark.deposes(end.epoch)),
    })
}

/// Remembers that `by` exists, unless a later epoch is remembered already. Begins a transaction for it, and
/// leaves it open.
pub(super) async fn set_deposed(connection: &mut SqliteConnection, by: Epoch) -> Result<(), StoreError> {
    let marked = sqlx::query("BEGIN IMMEDIATE; SELECT number, identity FROM deposed")
        .fetch_optional(&mut *connection)
        .await?;
    let marked = match marked {
        Some(row) => Some(Epoch {
            number: row.try_get::<i64, _>(0)?.cast_unsigned(),
            identity: row.try_get::<i64, _>(1)?.cast_unsigned(),
        }),
        None => None,
    };
    if marked.is_some_and(|marked| !by.deposes(marked)) {
        return Ok(());
    }
    sqlx::query("INSERT OR REPLACE INTO deposed (only, number, identity) VALUES (1, ?, ?)")
        .bind(rows::to_column(by.number))
        .bind(rows::to_column(by.identity))
        .execute(connection)
        .await?;
    Ok(())
}

/// The longest lease, in milliseconds, that an earlier epoch may still have running, in a history that ends
/// at `end`: the longest term of all starts from that of the last epoch on that has more than its start.
/// That more proves that the waits before it were over. A start alone proves nothing: its master may have
/// died while it waited.
pub(super) async fn longest_open_lease_ms(
    connection: &mut SqliteConnection,
    end: Version,
) -> Result<u64, StoreError> {
    let longest: Option<i64> = sqlx::query_scalar(
        "SELECT max(lease_term_ms) FROM epochs WHERE start_seq >= coalesce((
             SELECT max(start_seq) FROM (
                 SELECT start_seq, lead(start_seq, 1, ? + 1) OVER (ORDER BY start_seq) AS next_start
                 FROM epochs)
             WHERE next_start > start_seq + 1), 0)",
    )
    .bind(rows::to_column(end.seq))
    .fetch_one(connection)
    .await?;
    longest.map(i64::cast_unsigned).ok_or_else(rows::empty_log)
}
