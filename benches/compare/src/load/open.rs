//! Load at a given rate, whatever the server does (open loop), free of coordinated omission: a request has a moment
//! at which it is due, drawn before anything is sent, and its latency counts from there. A server that stalls for a
//! second has answered everything that was due in it late, though no connection was free to send it.
//!
//! One thread, non-blocking sockets, epoll with a time-out in nanoseconds. (An async runtime's timer ticks once in a
//! millisecond, which would be most of what is measured here.)

use crate::http;
use crate::process::check_interrupted;
use crate::stats::Latencies;
use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::event::epoll;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What was due and is not answered this long after the last request was due has failed.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// The longest sleep, so that Ctrl-C is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// The first answers come from connections that nobody has used yet; they are not recorded.
const WARM_UP: Duration = Duration::from_millis(300);

/// A server that is still busy with what was due this part of the time after it has not held the rate; a short stall
/// at the very end is no such thing.
const LONGEST_TAIL: f64 = 0.1;

pub struct Plan {
    pub address: SocketAddr,
    /// Requests per second; the pauses between them are exponential, as those of independent customers are.
    pub rate: f64,
    pub time: Duration,
    /// At most so many requests are under way; further ones wait, and their wait counts.
    pub connections: usize,
    pub seed: u64,
}

pub struct Outcome {
    /// From the moment at which each request was due.
    pub latencies: Latencies,
    /// Requests answered with 200, those of the warm-up included.
    pub done: u64,
    /// How many of them carried `X-Cache: HIT`.
    pub hits: u64,
}

struct Connection {
    stream: TcpStream,
    /// When the request under way was due.
    due: Option<Instant>,
    received: Vec<u8>,
    extent: Option<(usize, usize)>,
}

struct Run<R> {
    epoll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// Moments that have come and whose request is not sent yet.
    waiting: VecDeque<Instant>,
    request: R,
    sent: u64,
    record_from: Instant,
    outcome: Outcome,
}

/// Runs the plan; `request` makes the bytes of request 0, 1, 2, … Anything but 200 is an error, and so is a rate that
/// was not held.
pub fn run(plan: &Plan, request: impl FnMut(u64) -> Vec<u8>) -> Result<Outcome> {
    let mut run = Run::connect(plan, request)?;
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut pause = || Duration::from_secs_f64(-(1.0 - random.random::<f64>()).ln() / plan.rate);
    let begin = Instant::now();
    run.record_from = begin + WARM_UP;
    let end = begin + WARM_UP + plan.time;
    let mut next = begin + pause();
    let mut look = begin;
    loop {
        let mut now = Instant::now();
        while next <= now && next < end {
            run.waiting.push_back(next);
            next += pause();
        }
        run.send_waiting()?;
        if next >= end && run.under_way() == 0 {
            break;
        }
        now = Instant::now();
        ensure!(now < end + DRAIN_WITHIN, "{} requests were not answered in time", run.under_way());
        if now > look {
            check_interrupted()?;
            look = now + LONGEST_SLEEP;
        }
        let sleep = if next < end { next.saturating_duration_since(now) } else { LONGEST_SLEEP };
        run.receive(sleep.min(LONGEST_SLEEP))?;
    }
    let tail = end.elapsed();
    ensure!(tail < plan.time.mul_f64(LONGEST_TAIL), "{:.0}/s were not held: {tail:?} behind", plan.rate);
    Ok(run.outcome)
}

impl<R: FnMut(u64) -> Vec<u8>> Run<R> {
    fn connect(plan: &Plan, request: R) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..plan.connections {
            let stream = TcpStream::connect(plan.address).with_context(|| plan.address.to_string())?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            connections.push(Connection { stream, due: None, received: Vec::new(), extent: None });
        }
        Ok(Self {
            epoll,
            idle: (0..plan.connections).collect(),
            connections,
            waiting: VecDeque::new(),
            request,
            sent: 0,
            record_from: Instant::now(),
            outcome: Outcome { latencies: Latencies::new(), done: 0, hits: 0 },
        })
    }

    fn under_way(&self) -> usize {
        self.waiting.len() + self.connections.len() - self.idle.len()
    }

    fn send_waiting(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            let Some(free) = self.idle.pop() else { break };
            let bytes = (self.request)(self.sent);
            self.sent += 1;
            let connection = &mut self.connections[free];
            connection.due = self.waiting.pop_front();
            // A small request always fits the socket's buffer, which is empty.
            connection.stream.write_all(&bytes).context("sending")?;
        }
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> Result<()> {
        let mut events = Vec::with_capacity(64);
        let patience = rustix::event::Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, spare, Some(&patience)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let number = usize::try_from(event.data.u64())?;
            if self.connections[number].read()? {
                self.answered(number)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, number: usize) -> Result<()> {
        let connection = &mut self.connections[number];
        let now = Instant::now();
        let Some(due) = connection.due.take() else { bail!("an answer to nothing") };
        let (body_at, _) = connection.extent.take().unwrap_or_default();
        let head = &connection.received[..body_at];
        ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&connection.received));
        self.outcome.done += 1;
        self.outcome.hits +=
            u64::from(head.windows(12).any(|bytes| bytes.eq_ignore_ascii_case(b"x-cache: hit")));
        if due >= self.record_from {
            self.outcome.latencies.record(now - due);
        }
        connection.received.clear();
        self.idle.push(number);
        Ok(())
    }
}

impl Connection {
    /// Reads what there is. Whether the answer is complete.
    fn read(&mut self) -> Result<bool> {
        let mut chunk = [0; 8 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            if self.extent.is_none() {
                self.extent = http::extent(&self.received)?;
            }
            match self.extent {
                Some((_, end)) if self.received.len() == end => return Ok(true),
                Some((_, end)) => ensure!(self.received.len() < end, "more than was asked for"),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nx-cache: HIT\r\ncontent-length: 2\r\n\r\n{}";

    /// A server that takes connections one after the other, and stalls once before an answer.
    fn server(stall: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut bytes, mut answered) = ([0; 1024], 0);
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                answered += 1;
                if answered == 400 {
                    std::thread::sleep(stall);
                }
                if stream.write_all(ANSWER).is_err() {
                    break;
                }
            }
        });
        address
    }

    fn latencies(stall: Duration) -> Outcome {
        let address = server(stall);
        let plan = Plan { address, rate: 500.0, time: Duration::from_secs(2), connections: 1, seed: 7 };
        run(&plan, |_| http::get(address, "/")).unwrap()
    }

    #[test]
    fn a_stall_is_felt_by_every_request_that_was_due_in_it() {
        let outcome = latencies(Duration::from_millis(400));
        // Some 200 of 1,000 were due while the server stood still; a closed loop would have counted one.
        assert!(outcome.latencies.quantile_ms(0.85) > 5.0);
        assert!(outcome.latencies.max_ms() >= 400.0);
        assert_eq!(outcome.hits, outcome.done);
    }

    #[test]
    fn a_rate_that_cannot_be_held_is_an_error_and_no_number() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Plan { address, rate: 50.0, time: Duration::from_millis(50), connections: 1, seed: 7 };
        // Nobody answers.
        assert!(run(&plan, |_| http::get(address, "/")).is_err());
    }
}
