//! Whether the replicas' rows are the master's.
//!
//! The master walks through all rows and commits a digest of each range: a record like any other, which a
//! replica applies behind the same records, so that both have added up the same state, whatever is sold
//! meanwhile. A replica that finds a difference says so in its log and takes a snapshot.

use super::master::Master;
use crate::domain::Version;
use crate::metrics::Verdict;
use crate::store::Cursor;
use crate::wire::catalog::{ReplicaState, Verification, VerifiedReplica};
use crate::wire::{ErrorCode, Problem};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the next range waits for the replicas to have this one: a walk must not make them fall behind.
const PACE: Duration = Duration::from_secs(1);

/// How long replicas may take to report behind the last range; one that has found a difference takes a
/// snapshot meanwhile.
const REPORTS: Duration = Duration::from_secs(30);

/// Compares every row with those of the replicas that are linked now.
pub async fn verify(master: &Master) -> Result<Verification, Problem> {
    let _one_at_a_time = master.verifying.try_acquire().map_err(|_| ErrorCode::Unavailable)?;
    let verified = walk(master).await;
    master.account.verified(match &verified {
        Ok(Verification { replicas, .. }) if replicas.iter().all(|replica| replica.verified) => {
            Verdict::Equal
        }
        Ok(_) => Verdict::Different,
        Err(_) => Verdict::Failed,
    });
    verified
}

async fn walk(master: &Master) -> Result<Verification, Problem> {
    let linked = master.feed.replicas();
    let (mut ranges, mut rows) = (0, 0);
    let mut walked: Option<(Version, Version)> = None;
    let mut cursor = Some(Cursor::FIRST);
    while let Some(at) = cursor {
        let digested = master.queue.digest(at).await?;
        walked = Some((walked.map_or(digested.version, |(first, _)| first), digested.version));
        ranges += 1;
        rows += digested.rows;
        cursor = digested.next;
        let _ = timeout(PACE, master.feed.delivered(digested.version)).await;
    }
    // There is a first range, whatever the tables hold.
    let (first, last) = walked.ok_or(ErrorCode::Internal)?;
    let deadline = Instant::now() + REPORTS;
    let mut replicas = Vec::with_capacity(linked.len());
    for ReplicaState { node, url, .. } in linked {
        let checked = timeout_at(deadline, master.feed.checked(node, last)).await.ok().flatten();
        let verified = checked.is_some_and(|checked| {
            // It may have begun in an epoch before: of one history, the numbers go on across epochs.
            checked.from.seq <= first.seq && checked.to.reaches(last)
        });
        replicas.push(VerifiedReplica { node, url, verified });
    }
    Ok(Verification { node: master.node, version: last, ranges, rows, replicas })
}
