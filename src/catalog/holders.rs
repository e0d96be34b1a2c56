//! Leases and fences over HTTP: the I/O around [`coherence::Holders`](crate::coherence::Holders).

use super::mastership::Mastership;
use crate::abort;
use crate::client::{BaseUrl, Peer};
use crate::clock;
use crate::coherence::holders::NoLease;
use crate::coherence::lease::{Announced, Ask, Fence, Grant};
use crate::coherence::{HolderId, Holders, LeaseId};
use crate::domain::Version;
use crate::member::Member;
use crate::wire::catalog::LeaseRequest;
use crate::wire::frontend::{HOLDER, HolderAnswer, INVALIDATE};
use crate::wire::status::HolderStatus;
use crate::wire::{ErrorCode, Problem};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
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
}

impl Leases {
    pub fn new(
        start: Version,
        term: Duration,
        protocol: u32,
        member: Member,
        mastership: Arc<Mastership>,
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
        }
    }

    /// Grants or renews. A join is granted only after the address has answered with the holder's id.
    pub async fn lease(
        &self,
        request: LeaseRequest,
        address: BaseUrl,
        request_id: &str,
    ) -> Result<Grant, Problem> {
        if request.protocol != self.protocol {
            let sentence = format!("this master speaks coherence protocol {}", self.protocol);
            return Err(Problem::new(ErrorCode::NoLease, sentence));
        }
        if let Ask::Join(_) = request.ask {
            self.probe(&address, request.holder, request_id).await?;
        }
        let mut holders = self.holders.lock();
        // Behind the probe, and with the holders locked: behind a seal nothing is granted any more.
        self.mastership.require()?;
        let now = clock::now();
        let granted = match request.ask {
            Ask::Renew(lease) => holders.renew(now, request.holder, lease),
            Ask::Join(lease) => holders.join(now, request.holder, lease, address.to_string()),
        };
        granted.map_err(|refused: NoLease| Problem::new(ErrorCode::NoLease, refused.to_string()))
    }

    pub fn release(&self, holder: HolderId, lease: LeaseId) {
        self.holders.lock().release(holder, lease);
        self.released.notify_one();
    }

    /// Returns when nobody can serve a state before `version` for `keys` to a request that is still to
    /// come: every holder has acknowledged, or its lease has run out. Takes at most one lease and a
    /// quarter: a holder may renew until it is late for this fence. Gives how many holders there were.
    pub async fn fence(&self, version: Version, keys: Vec<crate::coherence::Key>) -> usize {
        let keys = if keys.len() > MAX_FENCE_KEYS { Announced::All } else { Announced::Keys(keys) };
        let targets = self.holders.lock().fence(clock::now(), version, &keys);
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
            let Some(next) = self.holders.lock().fenced(now) else { return count };
            tokio::select! {
                Some(holder) = announcements.next() => {
                    abort::point(abort::FENCE_SENT);
                    self.holders.lock().acknowledged(holder);
                }
                () = self.released.notified() => {}
                () = tokio::time::sleep(now.until(next)) => {}
            }
        }
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
                let peer = Peer::new(url, &self.member);
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
        let peer = Peer::new(address.clone(), &self.member);
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
