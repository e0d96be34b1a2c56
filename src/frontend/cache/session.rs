//! Gets, keeps and gives back the lease: the I/O around [`coherence::Session`](crate::coherence::Session).

use crate::client::Masters;
use crate::clock;
use crate::coherence::lease::{Ask, Fence, FenceAnswer, Grant, Granted};
use crate::coherence::{HolderId, Lease, LeaseId, Session};
use crate::domain::Epoch;
use crate::member::Member;
use crate::metrics::{self, Reads, Sheet, families};
use crate::shutdown::Shutdown;
use crate::wire::catalog::{LEASES, LeaseRequest, RELEASE, Reachable, ReleaseRequest};
use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// For the master's answer to a join or a renewal. It probes us meanwhile.
const CALL_DEADLINE: Duration = Duration::from_secs(1);

/// Before another attempt after one that failed.
const RETRY: Duration = Duration::from_millis(50);

/// For giving the lease back at a stop; without it the master waits for its end.
const RELEASE_DEADLINE: Duration = Duration::from_millis(500);

pub struct LeaseKeeper {
    session: Mutex<Session>,
    /// What `session` holds, for readers that must not wait.
    published: ArcSwapOption<Lease>,
    masters: Masters,
    member: Member,
    address: Reachable,
    protocol: u32,
    /// The lease was lost between two renewals.
    lost: Notify,
    leased: watch::Sender<bool>,
    counts: Reads,
    /// It is given back: that is no loss.
    closing: AtomicBool,
}

impl LeaseKeeper {
    /// `protocol`: the version of the coherence protocol to speak.
    pub fn new(masters: Masters, member: Member, address: Reachable, protocol: u32, counts: Reads) -> Self {
        Self {
            session: Mutex::new(Session::new(HolderId(rand::random()))),
            published: ArcSwapOption::empty(),
            masters,
            member,
            address,
            protocol,
            lost: Notify::new(),
            leased: watch::channel(false).0,
            counts,
            closing: AtomicBool::new(false),
        }
    }

    pub fn holder(&self) -> HolderId {
        self.session.lock().holder()
    }

    /// The lease object to judge by; load it once for each judgement.
    pub fn lease(&self) -> Guard<Option<Arc<Lease>>> {
        self.published.load()
    }

    /// Whether a lease is held, as it changes.
    pub fn leased(&self) -> watch::Receiver<bool> {
        self.leased.subscribe()
    }

    /// What a scraper is told.
    pub fn read(&self, sheet: &mut Sheet) {
        let now = clock::now();
        let lease = self.lease();
        let lease = lease.as_ref().filter(|lease| lease.valid_at(now));
        sheet.flag(&families::LEASE_HELD, lease.is_some());
        let left = lease.map(|lease| now.until(lease.deadline())).unwrap_or_default();
        sheet.seconds(&families::LEASE_REMAINING, left);
        sheet.gauge(&families::EPOCH, lease.map_or(0.0, |lease| lease.epoch().number as f64));
    }

    /// Raises the floors that `fence` names. When this returns, no request that comes in later is
    /// answered from below them.
    pub fn fenced(&self, fence: &Fence) -> FenceAnswer {
        let mut session = self.session.lock();
        let answer = session.fenced(fence);
        self.publish(&session);
        answer
    }

    /// An answer of `epoch` has been seen: if that epoch deposes ours, our lease is worth nothing.
    pub fn met(&self, epoch: Epoch) {
        let mut session = self.session.lock();
        if session.held().is_some_and(|held| epoch.deposes(held.epoch())) {
            session.lose();
            self.publish(&session);
            self.lost.notify_one();
        }
    }

    /// Gives the lease up when a message shows a higher epoch, until `stop`.
    pub async fn watch(&self, member: &Member, stop: Shutdown) {
        let mut met = member.watch();
        loop {
            let epoch = *met.borrow_and_update();
            self.met(epoch);
            tokio::select! {
                // The sender lives in the member that the caller holds.
                _ = met.changed() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Joins and renews until `stop`. `new_epoch` is called before a lease of another epoch than the one
    /// before is published.
    pub async fn keep(&self, stop: Shutdown, new_epoch: impl Fn()) {
        let mut epoch = None;
        let mut failing = false;
        loop {
            let pause = match self.ask(&mut epoch, &new_epoch).await {
                Ok(term) => {
                    if std::mem::replace(&mut failing, false) {
                        log::info!("reads come from the cache again");
                    }
                    term / 4
                }
                Err(cause) => {
                    if self.lease().as_ref().is_none_or(|lease| !lease.valid_at(clock::now()))
                        && !std::mem::replace(&mut failing, true)
                    {
                        log::warn!("without a lease, reads go to the master: {cause}");
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.lost.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Nothing is served from the cache any more, and writers need not wait for us.
    pub async fn give_back(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let lease = {
            let mut session = self.session.lock();
            let lease = session.held().map(|lease| (session.holder(), lease.id()));
            session.lose();
            self.publish(&session);
            lease
        };
        if let Some((holder, lease)) = lease {
            let request = ReleaseRequest { holder, lease };
            let released: Result<(), _> =
                self.masters.post(RELEASE, &request, &holder.to_string(), RELEASE_DEADLINE).await;
            if let Err(error) = released {
                log::debug!("the lease was not given back: {error}");
            }
        }
    }

    /// One join or renewal. Returns the term of the lease that is held after it.
    async fn ask(&self, epoch: &mut Option<Epoch>, new_epoch: &impl Fn()) -> Result<Duration, String> {
        let mut asked = metrics::Ask::Join;
        let asking = self.joined_or_renewed(epoch, new_epoch, &mut asked).await;
        self.counts.asked_for_a_lease(
            asked,
            match &asking {
                Ok(_) => metrics::Granted::Granted,
                Err((outcome, _)) => *outcome,
            },
        );
        asking.map_err(|(_, why)| why)
    }

    async fn joined_or_renewed(
        &self,
        epoch: &mut Option<Epoch>,
        new_epoch: &impl Fn(),
        asked: &mut metrics::Ask,
    ) -> Result<Duration, (metrics::Granted, String)> {
        let sent = clock::now();
        let (holder, ask) = {
            let mut session = self.session.lock();
            let ask = session.ask(sent, LeaseId(rand::random()));
            self.publish(&session);
            (session.holder(), ask)
        };
        *asked = match ask {
            Ask::Join(_) => metrics::Ask::Join,
            Ask::Renew(_) => metrics::Ask::Renew,
        };
        let request = LeaseRequest { protocol: self.protocol, holder, ask, address: self.address.clone() };
        let answer: Result<Grant, _> =
            self.masters.post(LEASES, &request, &holder.to_string(), CALL_DEADLINE).await;
        let grant = match answer {
            Ok(grant) => grant,
            Err(error) => {
                if error.code().is_some() && matches!(ask, Ask::Renew(_)) {
                    // The master knows no such lease: what it fences from now on does not reach us.
                    let mut session = self.session.lock();
                    session.lose();
                    self.publish(&session);
                }
                let outcome = match error.code() {
                    Some(_) => metrics::Granted::Refused,
                    None => metrics::Granted::NoAnswer,
                };
                return Err((outcome, error.to_string()));
            }
        };
        if epoch.replace(grant.epoch).is_some_and(|before| before != grant.epoch) {
            new_epoch();
        }
        let mut session = self.session.lock();
        let granted = session.granted(&grant, sent, clock::now());
        if granted == Granted::Useless && matches!(ask, Ask::Renew(_)) {
            session.lose();
        }
        if self.member.met().deposes(grant.epoch) {
            // It was granted before its master heard that it has been replaced.
            session.lose();
            self.publish(&session);
            let why = "the lease is one of a master that was replaced";
            return Err((metrics::Granted::Useless, why.into()));
        }
        self.publish(&session);
        match granted {
            Granted::New => {
                log::debug!("lease {} in epoch {}", grant.lease, grant.epoch.number);
                Ok(Duration::from_millis(grant.term_ms))
            }
            Granted::Renewed => Ok(Duration::from_millis(grant.term_ms)),
            Granted::Useless => Err((metrics::Granted::Useless, "the master's answer came too late".into())),
        }
    }

    /// Called with the session locked, so that readers never see an object that the session has given up
    /// and then another.
    fn publish(&self, session: &Session) {
        self.published.store(session.held().cloned());
        let changed = self.leased.send_if_modified(|leased| {
            std::mem::replace(leased, session.held().is_some()) != session.held().is_some()
        });
        if changed && session.held().is_none() && !self.closing.load(Ordering::Relaxed) {
            self.counts.lost_the_lease();
        }
    }
}
