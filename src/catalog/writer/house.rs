//! When the writer keeps house: what [`housekeeping`](crate::catalog::housekeeping) says is due.

use super::{WriterTask, cause};
use crate::catalog::CatalogError;
use crate::catalog::housekeeping::keep_from;
use crate::clock;
use crate::store::StoreError;

impl WriterTask {
    /// Forgets old answers in a batch of its own unless the shop is busy, where the next batch does, and
    /// trims the log if asked to. Returns whether there is more to trim.
    pub(super) async fn keep_house(&mut self, busy: bool, trim: bool) -> Result<bool, CatalogError> {
        let waiting = !clock::now().until(self.not_before).is_zero();
        if waiting || !self.behind.mastership.leads() {
            return Ok(false);
        }
        match self.try_to_keep_house(busy, trim).await {
            Ok(more) => {
                self.complained = false;
                Ok(more)
            }
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(error)),
            Err(error) => {
                let error = self.failed(error);
                if !std::mem::replace(&mut self.complained, true) {
                    log::warn!("the log and the stored answers cannot be trimmed: {}", cause(&error));
                }
                Ok(false)
            }
        }
    }

    async fn try_to_keep_house(&mut self, busy: bool, trim: bool) -> Result<bool, StoreError> {
        let (now, wall_ms) = (clock::now(), clock::wall_ms());
        if self.forgetting.wants_to_look(now, wall_ms) {
            let oldest = self.store.oldest_answers().await?;
            self.forgetting.looked(now, wall_ms, oldest);
        }
        if let Some(forget) = self.forgetting.due().filter(|_| !busy) {
            let prepared = self.store.prepare(&[], wall_ms, Some(forget)).await?;
            let fenced = self.fence(prepared).await;
            if self.commit(fenced).await? {
                self.forgetting.forgot(false);
            }
        }
        if !trim {
            return Ok(false);
        }
        self.batches = 0;
        let end = self.store.position().await?.seq;
        let pinned = self.behind.pins.lowest(now);
        self.store.trim_log(keep_from(end, self.behind.feed.positions(), pinned)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::account::Account;
    use crate::catalog::housekeeping::{Forgetting, Keep};
    use crate::catalog::writer::Tasks;
    use crate::catalog::{Ack, MasterConfig, master};
    use crate::domain::{BookId, IdempotencyKey, OrderId, Purchase, Quantity, Request};
    use crate::member::Member;
    use crate::metrics::{Counts, RoleName};
    use crate::shutdown::Shutdown;
    use crate::store::{DataDir, NewEpoch, stored_answers};
    use std::sync::Arc;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);
    const KEEP: Keep = Keep { answers: DAY, refusals: DAY };

    fn purchase(n: u128) -> Request {
        Request::Purchase(Purchase {
            order_id: OrderId::draw(0, n),
            key: IdempotencyKey::parse(format!("key-{n}")).unwrap(),
            book_id: BookId::new(1 + i64::try_from(n % 11).unwrap()).unwrap(),
            quantity: Quantity::ONE,
            offer: None,
        })
    }

    /// A master whose file has `old` answers of two days ago.
    async fn master_with_old_answers(data: &std::path::Path, old: u128) -> (Arc<master::Master>, Tasks) {
        let dir = DataDir::lock(data, "test").unwrap();
        let (store, mut writer) = dir.open(1).await.unwrap();
        let epoch = NewEpoch { identity: 1, at_least: 0, lease_term_ms: 0, node: dir.node() };
        writer.start_epoch(epoch).await.unwrap();
        let requests: Vec<Request> = (0..old).map(purchase).collect();
        let then = clock::wall_ms() - 2 * i64::try_from(DAY.as_millis()).unwrap();
        writer.prepare(&requests, then, None).await.unwrap();
        writer.commit().await.unwrap();
        store.close().await;
        writer.checkpoint_and_close().await.unwrap();
        drop(dir);
        let config = MasterConfig {
            ack: Ack::Sync,
            lease: Duration::from_secs(1),
            leases_outlive_process: false,
            force: false,
            keep: KEEP,
        };
        let member = Member::of_nothing();
        let opened = master::open(data, config, &member).await.unwrap();
        let counts = Counts::new(RoleName::Master);
        let account = Arc::new(Account::new(&counts.registry));
        let (master, mut tasks) =
            master::start(opened, config, None, &member, (counts, account)).await.unwrap();
        tasks.writer.forgetting = Forgetting::after_the_first_minute(KEEP, clock::now(), clock::wall_ms());
        (master, tasks)
    }

    #[actix_web::test]
    async fn old_answers_are_forgotten_when_nobody_buys() {
        let dir = tempfile::tempdir().unwrap();
        let (_master, tasks) = master_with_old_answers(dir.path(), 300).await;
        let stop = Shutdown::new();
        let running = actix_web::rt::spawn(tasks.run(stop.clone()));
        let forgotten = async {
            while stored_answers(dir.path()).await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), forgotten).await.unwrap();
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    #[actix_web::test]
    async fn each_batch_of_a_busy_shop_forgets_more_than_it_adds() {
        let dir = tempfile::tempdir().unwrap();
        let (master, tasks) = master_with_old_answers(dir.path(), 511).await;
        let stop = Shutdown::new();
        let running = actix_web::rt::spawn(tasks.run(stop.clone()));
        // The first look is behind the first batch.
        for n in 1_000..1_004 {
            master.queue.submit(vec![purchase(n)], Vec::new()).await.unwrap();
        }
        stop.cancel();
        running.await.unwrap().unwrap();
        // 130 copies of the first 511 were sold, and as many answers of each kind fit one batch.
        assert!(stored_answers(dir.path()).await <= 4 + 512 - 256, "{}", stored_answers(dir.path()).await);
    }
}
