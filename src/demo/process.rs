//! One process of the store through all its lives: it is started, watched, and started again when it ends.
//!
//! Invariants: it is down for at least [`REST`] between two lives, so that people can see it; one that ends
//! before it was ready rests twice as long each time, up to [`LONGEST_REST`]; signals are sent only while
//! its end has not been noticed, so never to somebody who got its number.

use super::leash;
use super::place::Place;
use crate::shutdown::Shutdown;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::sync::{mpsc, watch};

/// Between the end of a process and its next start: long enough to be seen on the dashboard and to be felt.
const REST: Duration = Duration::from_millis(2500);

const LONGEST_REST: Duration = Duration::from_secs(20);

/// From its start to its ready line, on a machine that is very busy. A master waits for the leases of its
/// predecessor first.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Orders that wait: nobody presses a button faster.
const ORDERS: usize = 8;

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Starting,
    Running,
    Paused,
    Down,
}

/// A process as it is now.
#[derive(Debug, Clone)]
pub struct Status {
    pub state: State,
    pub pid: Option<u32>,
    /// Where it listens, as its ready line said; none while it is not ready.
    pub addrs: Vec<SocketAddr>,
    /// How often it was started.
    pub starts: u32,
    /// How its last life ended.
    pub ended: Option<ExitStatus>,
}

/// How a process says that it is ready.
#[derive(Debug, Clone)]
pub enum Ready {
    /// As our roles do: by a line that names all addresses.
    Line,
    /// As Redis does, at the address that it was given.
    Redis(SocketAddr),
}

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Plan {
    pub place: Place,
    /// This executable.
    pub ours: PathBuf,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Of a role: its `--listen`. With port 0, a frontend keeps the one that it gets first: people have it in
    /// their browsers. The others are met through links.
    pub listen: Option<SocketAddr>,
    pub env: Vec<(&'static str, String)>,
    pub ready: Ready,
}

/// What can be done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it hangs, with its connections open.
    Pause,
    /// SIGCONT.
    Resume,
}

/// A handle to a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Process {
    pub place: Place,
    pub status: watch::Receiver<Status>,
    orders: mpsc::Sender<Order>,
}

impl Process {
    pub fn new(place: Place) -> (Self, Post) {
        let status = Status { state: State::Down, pid: None, addrs: Vec::new(), starts: 0, ended: None };
        let (status, seen) = watch::channel(status);
        let (give, orders) = mpsc::channel(ORDERS);
        (Self { place, status: seen, orders: give }, Post { status, orders })
    }

    pub fn state(&self) -> State {
        self.status.borrow().state
    }

    /// Gives the order; `false` if too many wait already.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Waits for the end of its first start. The error is how it ended.
    pub async fn first_start(&mut self) -> Result<Vec<SocketAddr>, Option<ExitStatus>> {
        let decided = |status: &Status| status.starts > 0 && status.state != State::Starting;
        let status = self.status.wait_for(decided).await.map_err(|_| None)?;
        match status.state {
            State::Down => Err(status.ended),
            _ => Ok(status.addrs.clone()),
        }
    }
}

/// Who keeps a process.
pub struct Keeper {
    plan: Plan,
    post: Post,
}

/// What a process is to be kept through, before it is known how it is started: others have to know where it
/// will be found first.
pub struct Post {
    status: watch::Sender<Status>,
    orders: mpsc::Receiver<Order>,
}

impl Keeper {
    pub fn new(plan: Plan, post: Post) -> Self {
        Self { plan, post }
    }

    /// Life after life, until `stop`; then it is asked to end, and killed when that takes longer than
    /// `patience`.
    pub async fn run(mut self, stop: Shutdown, patience: Duration) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let was_ready = match self.start() {
                Ok(child) => self.live(child, &stop, patience).await,
                Err(error) => {
                    log::error!("{} cannot be started: {error}", self.plan.place);
                    self.post.status.send_modify(|status| status.state = State::Down);
                    false
                }
            };
            failures = if was_ready { 0 } else { failures + 1 };
            self.rest(&stop, rest_after(failures)).await;
        }
    }

    fn start(&mut self) -> io::Result<Child> {
        let Plan { ours, program, args, listen, env, .. } = &self.plan;
        let mut command = leash::command(ours, program);
        command.args(args);
        if let Some(listen) = listen {
            command.arg("--listen").arg(listen.to_string());
        }
        // What we were told by variables we pass on by flags.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BAZAR_") {
                command.env_remove(name);
            }
        }
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C at the terminal is for us: we stop the others in order.
        command.process_group(0);
        self.post.status.send_modify(|status| {
            status.state = State::Starting;
            status.starts += 1;
        });
        let child = command.spawn()?;
        self.post.status.send_modify(|status| status.pid = child.id());
        Ok(child)
    }

    /// Whether it became ready before it ended.
    async fn live(&mut self, mut child: Child, stop: &Shutdown, patience: Duration) -> bool {
        let place = self.plan.place;
        let mut lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let mut was_ready = false;
        let late = tokio::time::sleep(READY_WITHIN);
        let mut late = std::pin::pin!(late);
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break ended,
                line = next(&mut lines) => {
                    if let Some(addrs) = self.plan.ready.parse(&line).filter(|_| !was_ready) {
                        was_ready = true;
                        self.ready(addrs);
                    }
                }
                Some(order) = self.post.orders.recv() => self.obey(&child, order),
                () = &mut late, if !was_ready && self.post.status.borrow().state == State::Starting => {
                    log::warn!("{place} is not ready within {READY_WITHIN:?}, and is killed");
                    signal(&child, Signal::KILL);
                }
                () = stop.cancelled() => {
                    signal(&child, Signal::CONT);
                    signal(&child, Signal::TERM);
                    break match tokio::time::timeout(patience, child.wait()).await {
                        Ok(ended) => ended,
                        Err(_) => {
                            log::warn!("{place} does not stop within {patience:?}, and is killed");
                            signal(&child, Signal::KILL);
                            child.wait().await
                        }
                    };
                }
            }
        };
        let ended = ended.ok();
        if !stop.is_cancelled() {
            let how = ended.map_or_else(|| "for an unknown reason".into(), |status| status.to_string());
            log::warn!("{place} ended ({how})");
        }
        self.post.status.send_modify(|status| {
            (status.state, status.pid, status.ended) = (State::Down, None, ended);
            status.addrs.clear();
        });
        was_ready
    }

    fn ready(&mut self, addrs: Vec<SocketAddr>) {
        log::info!("{} is ready", self.plan.place);
        if let (Place::Frontend(_), Some(listen), Some(addr)) =
            (self.plan.place, &mut self.plan.listen, addrs.first())
        {
            *listen = *addr;
        }
        self.post.status.send_modify(|status| {
            status.addrs = addrs;
            if status.state == State::Starting {
                status.state = State::Running;
            }
        });
    }

    fn obey(&self, child: &Child, order: Order) {
        match order {
            Order::Kill => signal(child, Signal::KILL),
            Order::Pause => {
                signal(child, Signal::STOP);
                self.post.status.send_modify(|status| status.state = State::Paused);
            }
            Order::Resume => {
                signal(child, Signal::CONT);
                self.post.status.send_modify(|status| {
                    let ready = !status.addrs.is_empty();
                    status.state = if ready { State::Running } else { State::Starting };
                });
            }
        }
    }

    /// Down for a while; orders come to nothing meanwhile.
    async fn rest(&mut self, stop: &Shutdown, time: Duration) {
        let over = tokio::time::sleep(time);
        let mut over = std::pin::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = stop.cancelled() => return,
                Some(_) = self.post.orders.recv() => {}
            }
        }
    }
}

/// How long a process rests that has ended so many times in a row before it was ready.
fn rest_after(failures: u32) -> Duration {
    REST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_REST)
}

/// The next line; never, when there are no more.
async fn next(lines: &mut Option<Lines<BufReader<ChildStdout>>>) -> String {
    if let Some(of_child) = lines {
        match of_child.next_line().await {
            Ok(Some(line)) => return line,
            Ok(None) | Err(_) => *lines = None,
        }
    }
    std::future::pending().await
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // One that has ended just now needs none.
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

impl Ready {
    /// The addresses, if `line` says that it is ready.
    fn parse(&self, line: &str) -> Option<Vec<SocketAddr>> {
        match self {
            Ready::Line => {
                let (_, urls) = line.split_once(" is ready at ")?;
                urls.split(' ').map(|url| url.strip_prefix("http://")?.parse().ok()).collect()
            }
            Ready::Redis(addr) => line.contains("Ready to accept connections").then(|| vec![*addr]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_names_all_addresses_and_no_other_line_does() {
        let parsed = Ready::Line.parse("bazar frontend is ready at http://127.0.0.1:1 http://127.0.0.1:2");
        assert_eq!(parsed, Some(vec!["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]));
        assert_eq!(Ready::Line.parse("bazar frontend is ready at nowhere"), None);
        assert_eq!(Ready::Line.parse("hello"), None);
        let redis = Ready::Redis("127.0.0.1:9".parse().unwrap());
        assert_eq!(
            redis.parse("7:M 1 Jan * Ready to accept connections tcp").map(|addrs| addrs.len()),
            Some(1)
        );
    }

    #[test]
    fn who_keeps_failing_rests_longer_and_not_forever() {
        assert_eq!((rest_after(0), rest_after(1), rest_after(2)), (REST, REST, 2 * REST));
        assert_eq!(rest_after(99), LONGEST_REST);
    }
}
