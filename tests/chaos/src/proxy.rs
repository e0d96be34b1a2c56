//! Links between processes that can be cut, slowed down, half closed, and made to say things twice.
//!
//! Every link is a listener of ours and the address behind it; all of them are carried by one thread.
//! What is held back by a black hole or a dead direction is delivered when the link is healed, as a real
//! network would do it by sending again: late messages are a fault of their own.
//!
//! Invariants: a healthy link changes nothing; a whole request is replayed only after its answer began,
//! so the copy is complete and late.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{sleep, timeout};

/// What a link does to what goes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    #[default]
    Healthy,
    /// Connections are reset, and new ones too.
    Reset,
    /// Nothing arrives, in neither direction, and nobody is told.
    Blackhole,
    /// Requests arrive, answers do not.
    NoAnswers,
    /// Answers to what is under way arrive, requests do not.
    NoRequests,
    /// Each piece is late by this, and by as much again at random; so many bytes a second at most.
    Slow { delay: Duration, bytes_per_second: u32 },
    /// POSTs arrive a second time, up to a second and a half later.
    Duplicate,
}

/// The largest request that is replayed.
const MAX_REPLAY: usize = 1 << 20;

/// For a replay from its connection to its answer.
const REPLAY_DEADLINE: Duration = Duration::from_secs(2);

/// The latest that a replay follows its request.
const LATEST_REPLAY_MS: u64 = 1500;

/// Of POSTs on a duplicating link, this share is replayed.
const REPLAYED: f64 = 0.5;

const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// A link, as the scheduler of faults sees it.
#[derive(Clone)]
pub struct Link {
    pub name: Arc<str>,
    /// Where the near end listens.
    pub addr: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    replays: Arc<AtomicU64>,
}

impl Link {
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Requests that arrived a second time.
    pub fn replays(&self) -> u64 {
        self.replays.load(Ordering::Relaxed)
    }
}

/// The thread that carries all links. They end with this value.
pub struct Proxy {
    requests: tokio::sync::mpsc::UnboundedSender<Open>,
    stop: Arc<Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
    links: Mutex<Vec<Link>>,
}

struct Open {
    name: Arc<str>,
    listen: SocketAddr,
    target: SocketAddr,
    opened: oneshot::Sender<io::Result<Link>>,
}

impl Proxy {
    pub fn start(seed: u64) -> io::Result<Self> {
        // As many as there are links, which are counted.
        let (requests, mut queue) = tokio::sync::mpsc::unbounded_channel::<Open>();
        let stop = Arc::new(Notify::new());
        let stopping = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("links".into()).spawn(move || {
            let rng = Rc::new(RefCell::new(SmallRng::seed_from_u64(seed)));
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                loop {
                    tokio::select! {
                        Some(open) = queue.recv() => {
                            let link = listen(&open, Rc::clone(&rng)).await;
                            let _ = open.opened.send(link);
                        }
                        () = stopping.notified() => return,
                    }
                }
            });
        })?;
        Ok(Self { requests, stop, thread: Some(thread), links: Mutex::default() })
    }

    /// A link to `target` whose near end is at `listen`.
    pub fn link(&self, name: &str, listen: SocketAddr, target: SocketAddr) -> io::Result<Link> {
        let (opened, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread of the links has ended");
        self.requests.send(Open { name: name.into(), listen, target, opened }).map_err(|_| gone())?;
        let link = answer.blocking_recv().map_err(|_| gone())??;
        self.links.lock().map_err(|_| gone())?.push(link.clone());
        Ok(link)
    }

    pub fn links(&self) -> Vec<Link> {
        self.links.lock().map(|links| links.clone()).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen(open: &Open, rng: Rc<RefCell<SmallRng>>) -> io::Result<Link> {
    let listener = TcpListener::bind(open.listen).await?;
    let (mode, modes) = watch::channel(Mode::Healthy);
    let link = Link {
        name: Arc::clone(&open.name),
        addr: listener.local_addr()?,
        mode: Arc::new(mode),
        replays: Arc::default(),
    };
    let (target, replays) = (open.target, Arc::clone(&link.replays));
    tokio::task::spawn_local(async move {
        loop {
            let Ok((near, _)) = listener.accept().await else {
                // Out of file descriptors: some will be free again soon.
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let carrier = Carrier {
                modes: modes.clone(),
                target,
                rng: Rc::clone(&rng),
                replays: Arc::clone(&replays),
                request: RefCell::default(),
                answered: Cell::new(true),
            };
            tokio::task::spawn_local(carrier.run(near));
        }
    });
    Ok(link)
}

/// One connection over a link.
struct Carrier {
    modes: watch::Receiver<Mode>,
    target: SocketAddr,
    rng: Rc<RefCell<SmallRng>>,
    replays: Arc<AtomicU64>,
    /// The request under way, as far as it has come, on a link that duplicates.
    request: RefCell<Vec<u8>>,
    /// Whether the last piece was one of an answer: then the next one of a request begins a new request.
    answered: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

impl Carrier {
    async fn run(self, near: TcpStream) {
        if *self.modes.borrow() == Mode::Reset {
            return reset(&near);
        }
        let Ok(Ok(far)) = timeout(CONNECT_DEADLINE, TcpStream::connect(self.target)).await else {
            return reset(&near);
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (mut near, mut far) = (near, far);
        let over = {
            let (mut near_read, mut near_write) = near.split();
            let (mut far_read, mut far_write) = far.split();
            let mut modes = self.modes.clone();
            tokio::select! {
                () = self.pump(&mut near_read, &mut far_write, Direction::Requests) => Ok(()),
                () = self.pump(&mut far_read, &mut near_write, Direction::Answers) => Ok(()),
                _ = modes.wait_for(|mode| *mode == Mode::Reset) => Err(()),
            }
        };
        if over.is_err() {
            reset(&near);
            reset(&far);
        }
    }

    async fn pump(
        &self,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
        direction: Direction,
    ) {
        let mut modes = self.modes.clone();
        let mut chunk = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            let piece = &chunk[..read];
            let passes = |mode: &Mode| match mode {
                Mode::Blackhole => false,
                Mode::NoAnswers => direction == Direction::Requests,
                Mode::NoRequests => direction == Direction::Answers,
                _ => true,
            };
            let Ok(mode) = modes.wait_for(passes).await.map(|mode| *mode) else { return };
            if let Mode::Slow { delay, bytes_per_second } = mode {
                let jitter = self.rng.borrow_mut().random_range(0.0..=1.0);
                let transfer = read as f64 / f64::from(bytes_per_second);
                sleep(delay.mul_f64(1.0 + jitter) + Duration::from_secs_f64(transfer)).await;
            }
            self.listen_in(mode, direction, piece);
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }

    /// Gathers requests on a link that duplicates, and replays them.
    fn listen_in(&self, mode: Mode, direction: Direction, piece: &[u8]) {
        match direction {
            Direction::Requests => {
                let begins = self.answered.replace(false);
                let mut request = self.request.borrow_mut();
                if begins {
                    request.clear();
                    if mode == Mode::Duplicate && piece.starts_with(b"POST ") {
                        request.extend_from_slice(piece);
                    }
                } else if !request.is_empty() && request.len() < MAX_REPLAY {
                    request.extend_from_slice(piece);
                }
            }
            Direction::Answers => {
                if self.answered.replace(true) {
                    return;
                }
                let request = self.request.take();
                if !request.is_empty()
                    && request.len() < MAX_REPLAY
                    && self.rng.borrow_mut().random_bool(REPLAYED)
                {
                    let delay = self.rng.borrow_mut().random_range(0..LATEST_REPLAY_MS);
                    self.replays.fetch_add(1, Ordering::Relaxed);
                    tokio::task::spawn_local(replay(self.target, request, Duration::from_millis(delay)));
                }
            }
        }
    }
}

/// Sends a captured request once more, on a connection of its own; nobody reads the answer but us.
async fn replay(target: SocketAddr, request: Vec<u8>, delay: Duration) {
    sleep(delay).await;
    let call = async {
        let mut stream = TcpStream::connect(target).await?;
        stream.write_all(&request).await?;
        let mut chunk = [0; 4096];
        stream.read(&mut chunk).await
    };
    let _ = timeout(REPLAY_DEADLINE, call).await;
}

fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::sync::mpsc;

    /// A server that answers every request and tells of it.
    fn server() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (came, comes) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, came) = (stream.unwrap(), came.clone());
                std::thread::spawn(move || {
                    let mut chunk = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut chunk) {
                        let _ = came.send(chunk[..read].to_vec());
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    }
                });
            }
        });
        (addr, comes)
    }

    const PATIENCE: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(100);

    fn linked() -> (Proxy, Link, crate::http::Client, mpsc::Receiver<Vec<u8>>) {
        let (target, comes) = server();
        let proxy = Proxy::start(1).unwrap();
        let link = proxy.link("test", "127.0.0.1:0".parse().unwrap(), target).unwrap();
        let client = crate::http::Client::new(link.addr);
        (proxy, link, client, comes)
    }

    #[test]
    fn a_healthy_link_carries_and_a_cut_one_does_not() {
        let (_proxy, link, mut client, _comes) = linked();
        assert_eq!(client.get("/", PATIENCE).unwrap().status, 200);
        for mode in [Mode::Reset, Mode::Blackhole, Mode::NoAnswers, Mode::NoRequests] {
            link.set(mode);
            assert!(client.get("/", SHORT).is_err(), "{mode:?}");
            link.set(Mode::Healthy);
            assert_eq!(client.get("/", PATIENCE).unwrap().status, 200, "{mode:?}");
        }
    }

    #[test]
    fn a_dead_direction_is_one_direction() {
        let (_proxy, link, mut client, comes) = linked();
        link.set(Mode::NoAnswers);
        assert!(client.get("/heard", SHORT).is_err());
        assert!(comes.recv_timeout(PATIENCE).unwrap().starts_with(b"GET /heard"));
    }

    #[test]
    fn a_post_on_a_duplicating_link_arrives_twice_and_whole() {
        let (_proxy, link, mut client, comes) = linked();
        link.set(Mode::Duplicate);
        let mut posts = 0;
        while link.replays() == 0 {
            client.post("/twice", "", b"{}", PATIENCE).unwrap();
            posts += 1;
        }
        let came: Vec<Vec<u8>> = (0..posts + 1).map(|_| comes.recv_timeout(PATIENCE).unwrap()).collect();
        assert!(came.iter().all(|request| *request == came[0]));
    }
}
