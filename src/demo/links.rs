//! What the processes talk through: each has an address of ours for every other one, behind which we carry
//! the bytes to wherever that one listens now. So a process that starts again is found again, and one can be
//! cut off.
//!
//! Who is cut off finds what a dead network looks like: connections stay open, nothing passes in either
//! direction, new ones are never answered. When the cut is healed what was held back arrives late, as a
//! network would send it again. A process that is down refuses: its connections are reset.
//!
//! Invariants: a link that is not cut changes nothing; each link carries at most [`MAX_CONNECTIONS`], the
//! kernel's queue holds back the others; at most [`CHUNK`] bytes are held for each direction of one.

use super::place::Place;
use super::process::Status;
use crate::client::BaseUrl;
use crate::server;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Far above what the roles keep open: 64 for each thread and peer.
const MAX_CONNECTIONS: usize = 1024;

/// What is read at once: most messages of the protocol are smaller.
const CHUNK: usize = 16 << 10;

/// On the loopback a connection is there at once, or there is nobody.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// Before another attempt to accept, when that fails: mostly, no more files may be opened.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who is cut off, as it changes.
pub type Cuts = BTreeSet<Place>;

/// Where a link leads.
#[derive(Debug, Clone)]
pub enum Target {
    /// To the address of this number in the ready line of a process.
    Process(watch::Receiver<Status>, usize),
    /// `host:port` of a server that is not ours.
    Fixed(String),
}

/// A link whose near end is bound.
pub struct Link {
    listener: TcpListener,
    addr: SocketAddr,
    route: Route,
}

/// What every connection of a link needs to know.
#[derive(Debug, Clone)]
struct Route {
    /// `None`: from outside of the store, never cut.
    from: Option<Place>,
    to: Place,
    target: Target,
    cuts: watch::Receiver<Cuts>,
}

impl Link {
    /// From `from` to `to`, on a free port of the loopback.
    pub fn bind(
        from: Option<Place>,
        to: Place,
        target: Target,
        cuts: watch::Receiver<Cuts>,
    ) -> io::Result<Self> {
        let (listener, addr) = server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, addr, route: Route { from, to, target, cuts } })
    }

    /// The near end.
    pub fn url(&self) -> BaseUrl {
        BaseUrl::from_addr(self.addr)
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Carries connections until it is dropped.
    pub async fn run(self) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            };
            match accepted {
                Ok((near, _)) => {
                    connections.spawn(self.route.clone().carry(near));
                }
                Err(error) => {
                    let Route { from, to, .. } = self.route;
                    log::warn!("a connection from {from:?} to {to} was not accepted: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

impl Route {
    async fn carry(self, mut near: TcpStream) {
        let mut cuts = self.cuts.clone();
        if cuts.wait_for(|cuts| self.passes(cuts)).await.is_err() {
            return;
        }
        let Some(mut far) = self.connect().await else {
            // Nothing was taken, so nothing is answered for.
            let _ = near.set_zero_linger();
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let broken = {
            let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
            let (to, fro) = (self.pump(near_read, far_write), self.pump(far_read, near_write));
            tokio::try_join!(to, fro).is_err()
        };
        if broken {
            let _ = (near.set_zero_linger(), far.set_zero_linger());
        }
    }

    async fn connect(&self) -> Option<TcpStream> {
        let connect = async {
            match &self.target {
                Target::Process(status, number) => {
                    let addr = status.borrow().addrs.get(*number).copied()?;
                    TcpStream::connect(addr).await.ok()
                }
                Target::Fixed(authority) => TcpStream::connect(authority).await.ok(),
            }
        };
        tokio::time::timeout(CONNECT_DEADLINE, connect).await.ok().flatten()
    }

    /// One direction, to its end. An error ends the other direction too.
    async fn pump(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
    ) -> io::Result<()> {
        let mut cuts = self.cuts.clone();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = from.read(&mut chunk).await?;
            cuts.wait_for(|cuts| self.passes(cuts)).await.map_err(io::Error::other)?;
            if read == 0 {
                return to.shutdown().await;
            }
            to.write_all(&chunk[..read]).await?;
        }
    }

    fn passes(&self, cuts: &Cuts) -> bool {
        !cuts.contains(&self.to) && self.from.is_none_or(|from| !cuts.contains(&from))
    }
}
