//! Leases and fences over HTTP: the I/O around [`coherence::Holders`](crate::coherence::Holders).

use super::account::Account;
use super::mastership::Mastership;
use crate::abort;
use crate::client::{BaseUrl, Peer};
use crate::clock;
use crate::coherence::holders::NoLease;
use crate::coherence::lease::{Announced, Ask, Fence, Grant};
use crate::coherence::{HolderId, Holders, LeaseId, Moment};
use crate::domain::Version;
use crate::member::Member;
use crate::metrics::{self, FenceEnd, PeerRole, Refused, Sheet, families};
use crate::wire::catalog::LeaseRequest;
use crate::wire::frontend::{HOLDER, HolderAnswer, INVALIDATE};
use crate::wire::status::HolderStatus;
use crate::wire::{ErrorCode, Problem};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a frontend that asks for a lease may take to answer at its address.
const PROBE_DEADLINE: Duration = Duration::from_millis(500);

/// Between attempts to reach a holder that did not acknowledge.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A fence names at most so many keys (some 20 KB); a batch that touches more announces everything.
pub const MAX_FENCE_KEYS: usize = 1024;

pub struct Leases {
    holders: Mutex<Holders>,
    term: Duration,
    fence_deadline: Duration,
    /// A lease was given back while a fence may be out.
    released: Notify,
    /// The version of the coherence protocol that holders must speak.
    protocol: u32,
    member: Member,
    mastership: Arc<Mastership>,
    account: Arc<Account>,
    /// The fence that is out.
    out: Mutex<Option<Out>>,
}

/// A fence while it is out.
struct Out {
    since: Instant,
    /// Who gave its lease back meanwhile, and so need not acknowledge.
    released: Vec<HolderId>,
}

/// How a fence ended, and how many holders there were.
#[derive(Debug, Clone, Copy)]
pub struct Fenced {
    pub holders: usize,
    pub end: FenceEnd,
}

impl Leases {
    pub fn new(
        start: Version,
        term: Duration,
        protocol: u32,
        member: Member,
        mastership: Arc<Mastership>,
        account: Arc<Account>,
    ) -> Self {
        let holders = Holders::new(start, term);
        let fence_deadline = holders.fence_deadline();
        Self {
            holders: Mutex::new(holders),
            term,
            fence_deadline,
            released: Notify::new(),
            protocol,
            member,
            mastership,
            account,
            out: Mutex::new(None),
        }
    }

    /// Grants or renews. A join is granted only after the address has answered with the holder's id.
    pub async fn lease(
        &self,
        request: LeaseRequest,
        address: BaseUrl,
        request_id: &str,
    ) -> Result<Grant, Problem> {
        let asked = match request.ask {
            Ask::Join(_) => metrics::Ask::Join,
            Ask::Renew(_) => metrics::Ask::Renew,
        };
        match self.decide(request, address, request_id).await {
            Ok(grant) => {
                self.account.writes.lease_granted(asked);
                Ok(grant)
            }
            Err((reason, problem)) => {
                self.account.writes.lease_refused(reason);
                Err(problem)
            }
        }
    }

    async fn decide(
        &self,
        request: LeaseRequest,
        address: BaseUrl,
        request_id: &str,
    ) -> Result<Grant, (Refused, Problem)> {
        if request.protocol != self.protocol {
            let sentence = format!("this master speaks coherence protocol {}", self.protocol);
            return Err((Refused::Protocol, Problem::new(ErrorCode::NoLease, sentence)));
        }
        if let Ask::Join(_) = request.ask {
            let probed = self.probe(&address, request.holder, request_id).await;
            probed.map_err(|problem| (Refused::NotReachable, problem))?;
        }
        let mut holders = self.holders.lock();
        // Behind the probe, and with the holders locked: behind a seal nothing is granted any more.
        self.mastership.require().map_err(|problem| (Refused::NotMaster, problem))?;
        let now = clock::now();
        self.forget(&mut holders, now);
        let granted = match request.ask {
            Ask::Renew(lease) => holders.renew(now, request.holder, lease),
            Ask::Join(lease) => holders.join(now, request.holder, lease, address.to_string()),
        };
        granted.map_err(|refused| {
            let reason = match refused {
                NoLease::Unknown => Refused::Unknown,
                NoLease::BackingOff => Refused::BackingOff,
                NoLease::Full => Refused::Full,
            };
            (reason, Problem::new(ErrorCode::NoLease, refused.to_string()))
        })
    }

    pub fn release(&self, holder: HolderId, lease: LeaseId) {
        let mut holders = self.holders.lock();
        let held = holders.held().count();
        holders.release(holder, lease);
        if holders.held().count() < held {
            self.account.writes.lease_released();
            if let Some(out) = &mut *self.out.lock() {
                out.released.push(holder);
            }
        }
        drop(holders);
        self.released.notify_one();
    }

    /// Drops the leases that have run out, and counts them.
    fn forget(&self, holders: &mut Holders, now: Moment) {
        self.account.writes.leases_lapsed(holders.forget(now));
    }

    /// Returns when nobody can serve a state before `version` for `keys` to a request that is still to
    /// come: every holder has acknowledged, or its lease has run out. Takes at most one lease and a
    /// quarter: a holder may renew until it is late for this fence.
    pub async fn fence(&self, version: Version, keys: Vec<crate::coherence::Key>) -> Fenced {
        let keys = if keys.len() > MAX_FENCE_KEYS { Announced::All } else { Announced::Keys(keys) };
        let since = Instant::now();
        let targets = {
            let (mut holders, now) = (self.holders.lock(), clock::now());
            self.forget(&mut holders, now);
            *self.out.lock() = Some(Out { since, released: Vec::new() });
            holders.fence(now, version, &keys)
        };
        let mut open: BTreeMap<HolderId, String> =
            targets.iter().map(|target| (target.holder, target.address.clone())).collect();
        let count = targets.len();
        let mut announcements: FuturesUnordered<_> = targets
            .into_iter()
            .map(|target| {
                let fence = Fence { holder: target.holder, lease: target.lease, version, keys: keys.clone() };
                self.announce(fence, target.address)
            })
            .collect();
        loop {
            let now = clock::now();
            let next = {
                let mut holders = self.holders.lock();
                self.forget(&mut holders, now);
                holders.fenced(now)
            };
            let Some(next) = next else { return Fenced { holders: count, end: self.end(&open) } };
            tokio::select! {
                Some(holder) = announcements.next() => {
                    abort::point(abort::FENCE_SENT);
                    self.holders.lock().acknowledged(holder);
                    if let Some(address) = open.remove(&holder) {
                        self.account.holders.acknowledged(&address, since.elapsed());
                    }
                }
                () = self.released.notified() => {}
                () = tokio::time::sleep(now.until(next)) => {}
            }
        }
    }

    /// The commit may follow, though these have not acknowledged: they gave their leases back, or those ran out.
    fn end(&self, open: &BTreeMap<HolderId, String>) -> FenceEnd {
        let released = self.out.lock().take().map(|out| out.released).unwrap_or_default();
        let missed = open.iter().filter(|(holder, _)| !released.contains(holder));
        let mut end = FenceEnd::Acknowledged;
        for (_, address) in missed {
            self.account.holders.missed(address);
            end = FenceEnd::Lapsed;
        }
        end
    }

    /// What a scraper is told: who holds a lease, and for how long.
    pub fn read(&self, sheet: &mut Sheet) {
        let now = clock::now();
        let mut holders = self.holders.lock();
        self.forget(&mut holders, now);
        let held: Vec<_> = holders.held().collect();
        let names = self.account.holders.seen(held.iter().map(|(_, url, _)| *url));
        // Those without a name of their own have one series: of whose lease ends first. So have two lives of one
        // address.
        let mut remaining: BTreeMap<&str, Duration> = BTreeMap::new();
        for (name, (_, _, expires)) in names.into_iter().zip(&held) {
            let left = now.until(*expires);
            remaining.entry(name).and_modify(|least| *least = left.min(*least)).or_insert(left);
        }
        for (name, left) in remaining {
            sheet.gauge_of(&families::HOLDER_REMAINING, &[name], left.as_secs_f64());
        }
        sheet.gauge(&families::LEASE_HOLDERS, held.len() as f64);
        sheet.gauge(&families::LEASE_BACK_OFFS, holders.backing_off(now) as f64);
        sheet.seconds(&families::LEASE_TERM, self.term);
        let since = self.out.lock().as_ref().map(|out| out.since);
        sheet.seconds(&families::FENCE_UNDER_WAY, since.map(|since| since.elapsed()).unwrap_or_default());
    }

    /// How long a lease runs.
    pub fn term(&self) -> Duration {
        self.term
    }

    /// Whose leases run now.
    pub fn holders(&self) -> Vec<HolderStatus> {
        let now = clock::now();
        let holders = self.holders.lock();
        let running = holders.held().filter(|(_, _, expires)| now < *expires);
        let status = running.map(|(holder, url, expires)| HolderStatus {
            holder,
            url: url.to_owned(),
            remaining_ms: u64::try_from(now.until(expires).as_millis()).unwrap_or(u64::MAX),
        });
        status.collect()
    }

    /// How many leases run now.
    pub fn count(&self) -> usize {
        let now = clock::now();
        self.holders.lock().held().filter(|(_, _, expires)| now < *expires).count()
    }

    /// Tells one holder, again and again; ends when the holder itself has acknowledged.
    async fn announce(&self, fence: Fence, address: String) -> HolderId {
        let request_id = fence.version.public().to_string();
        loop {
            if let Ok(url) = BaseUrl::parse(&address) {
                let peer = Peer::of(PeerRole::Frontend, url, &self.member);
                let answer: Result<HolderAnswer, _> =
                    peer.post(INVALIDATE, &fence, &request_id, self.fence_deadline).await;
                match answer {
                    Ok(answer) if answer.holder == fence.holder => return fence.holder,
                    Ok(_) => log::debug!("{address} is another frontend now"),
                    Err(error) => log::debug!("fence {}: {error}", fence.version.public()),
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// A name may stand for several processes: only the one that asked may hold the lease.
    async fn probe(&self, address: &BaseUrl, holder: HolderId, request_id: &str) -> Result<(), Problem> {
        let peer = Peer::of(PeerRole::Frontend, address.clone(), &self.member);
        let answer: Result<HolderAnswer, _> = peer.get(HOLDER, request_id, PROBE_DEADLINE).await;
        match answer {
            Ok(answer) if answer.holder == holder => Ok(()),
            Ok(_) => Err(Problem::new(
                ErrorCode::NoLease,
                format!("another frontend answers at {address}; give each its own --advertise"),
            )),
            Err(error) => Err(Problem::new(ErrorCode::NoLease, error.to_string())),
        }
    }
}
