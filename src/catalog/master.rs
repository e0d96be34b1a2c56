//! The write master's start, and what its routes work with.

use super::account::Account;
use super::changes::Changes;
use super::copy::Copies;
use super::feed::{Ack, Feed};
use super::handover::Handover;
use super::holders::Leases;
use super::housekeeping::Pins;
use super::mastership::Mastership;
use super::reads::Reads;
use super::writer::{self, Queue};
use super::{CatalogError, MasterConfig, READERS};
use crate::clock;
use crate::coherence::mastership::{Past, may_start, not_before};
use crate::domain::NodeId;
use crate::member::Member;
use crate::metrics::Counts;
use crate::recipe::{Recipe, protocol};
use crate::shutdown::Shutdown;
use crate::store::{DataDir, NewEpoch, Standing, Writer};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What the routes see.
pub struct Master {
    pub node: NodeId,
    pub reads: Reads,
    pub queue: Queue,
    pub leases: Arc<Leases>,
    pub feed: Arc<Feed>,
    pub changes: Arc<Changes>,
    pub mastership: Arc<Mastership>,
    pub handover: Arc<Handover>,
    pub counts: Counts,
    pub account: Arc<Account>,
    pub copies: Copies,
    /// What the log is kept for while snapshots are on their way.
    pub pins: Arc<Pins>,
    /// A verification reads every row.
    pub verifying: Semaphore,
}

/// Data that may start as a master: opened, nothing written yet.
pub struct Opened {
    dir: DataDir,
    store: crate::store::Store,
    writer: Writer,
    permission: crate::coherence::mastership::Permission,
    /// Whether the same node was master before.
    same: bool,
    /// Whether it starts whatever the data says about who is master.
    forced: bool,
}

impl Opened {
    /// Whether nothing proves that this node has all that was acknowledged: an operator said so, now or when
    /// a backup was restored.
    pub fn forced(&self) -> bool {
        self.forced
    }
}

/// By how much more than a start by force one from a backup is ahead, beside the milliseconds since 1970.
const RESTORED_SPREAD: u64 = 1_000;

/// Locks and opens the data, and says whether it may start as a master.
pub async fn open(data: &Path, config: MasterConfig, member: &Member) -> Result<Opened, CatalogError> {
    let dir = DataDir::lock(data, "catalog master")?;
    let (store, mut writer) = dir.open(READERS).await?;
    let Standing { end, end_is_seal_for, last_start_node, has_start, deposed_by } = writer.standing().await?;
    let past = Past {
        epoch: end.epoch,
        last_master: last_start_node,
        sealed_for: end_is_seal_for,
        deposed_by,
        fresh: !has_start,
    };
    let restored = dir.may_go_on();
    let forced = config.force || restored;
    let mut permission = may_start(&past, dir.node(), forced, member.met())?;
    if restored {
        // A version as clients know it has no identity: two lives from one backup should not even share numbers. And
        // the later one should be above the earlier, of which a replica may still come back, and depose it.
        let since_1970 = clock::wall_ms().max(0).unsigned_abs();
        let lead = since_1970.saturating_add(rand::random_range(0..RESTORED_SPREAD));
        permission.above = permission.above.saturating_add(lead);
    }
    let same = past.last_master == Some(dir.node()) && past.sealed_for.is_none();
    Ok(Opened { dir, store, writer, permission, same, forced })
}

/// Begins an epoch. What it counts goes on where another one of the same process ended.
pub async fn start(
    opened: Opened,
    config: MasterConfig,
    recipe: Option<Recipe>,
    member: &Member,
    (counts, account): (Counts, Arc<Account>),
) -> Result<(Arc<Master>, writer::Tasks), CatalogError> {
    let Opened { dir, store, mut writer, permission, same, forced } = opened;
    let node = dir.node();
    let file = dir.in_sync_file();
    let copies = Copies::new(dir.path());
    let recorded = file.load().map_err(CatalogError::InSync)?;
    let former = match config.ack {
        Ack::Sync if same => recorded.clone(),
        // The record of another time, or of one that nobody keeps.
        Ack::Sync | Ack::Async => BTreeSet::new(),
    };
    if former != recorded {
        file.save(&former).map_err(CatalogError::InSync)?;
    }
    let lease = if config.leases_outlive_process { config.lease } else { Duration::ZERO };
    // Whoever starts after this one has to wait for what this one waits for, if it writes nothing.
    let term = lease.max(permission.at_least);
    let epoch = NewEpoch {
        identity: rand::random(),
        at_least: permission.above,
        lease_term_ms: u64::try_from(term.as_millis()).unwrap_or(u64::MAX),
        node,
    };
    account.begin(store.out_of_stock().await?);
    let started = writer.start_epoch(epoch).await?;
    let start = started.record.version;
    member.lead(start.epoch);
    log::info!("epoch {} begins at {start}", start.epoch.number);
    if dir.may_go_on() {
        // Once: what happens to this data from now on is in its log.
        dir.forget_restored()?;
        log::warn!("this store goes on from a backup: what was acknowledged after that one was made is lost");
    }
    if forced {
        log::warn!(
            "started by force: nothing proves that this node had every order that was acknowledged. What \
             was acknowledged without it is lost, and the old master must not run on"
        );
    }
    // For its own term at least: data that was lost knows of no lease, and somebody may hold one all the same.
    let recorded = Duration::from_millis(started.wait_ms).max(lease);
    let not_before = not_before(clock::now(), recorded, permission);
    let wait = clock::now().until(not_before);
    if !wait.is_zero() {
        log::info!("purchases wait {wait:?} for leases that an earlier master may have granted");
    }

    let mastership = Arc::new(Mastership::new(member.clone()));
    let leases = Leases::new(
        start,
        config.lease,
        protocol(recipe),
        member.clone(),
        Arc::clone(&mastership),
        Arc::clone(&account),
    );
    let leases = Arc::new(leases);
    let feed = Arc::new(Feed::new(start, config.ack, member.clone(), file, former, Arc::clone(&account)));
    let changes = Arc::new(Changes::new(start));
    let end = Shutdown::new();
    let pins = Arc::new(Pins::default());
    let behind = writer::Behind {
        leases: Arc::clone(&leases),
        feed: Arc::clone(&feed),
        changes: Arc::clone(&changes),
        mastership: Arc::clone(&mastership),
        pins: Arc::clone(&pins),
        account: Arc::clone(&account),
        recipe,
    };
    let (queue, tasks) = writer::new(dir, writer, behind, not_before, forced, config.keep, end.clone());
    let handover = Handover {
        node,
        member: member.clone(),
        mastership: Arc::clone(&mastership),
        queue: queue.clone(),
        feed: Arc::clone(&feed),
        end,
    };
    let master = Master {
        node,
        reads: Reads::of_master(store, Arc::clone(&mastership), account.writes.faults.clone()),
        queue,
        leases,
        feed,
        changes,
        mastership,
        handover: Arc::new(handover),
        counts,
        account,
        copies,
        pins,
        verifying: Semaphore::new(1),
    };
    Ok((Arc::new(master), tasks))
}
