//! When requests are due.
//!
//! Invariant (open loop): request k is due at start + k / rate, whatever became of those before it, and
//! its latency counts from then. So a store that stalls is charged with all requests that it held up, not
//! only with the one that each connection happened to have sent (Tene's "coordinated omission").

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

/// How long after the end what was due before it may still be sent.
const DRAIN: Duration = Duration::from_secs(5);

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// From when its latency counts.
    pub at: Instant,
    /// Whether it counts at all: the warm-up is over.
    pub measured: bool,
}

/// The schedule that all connections take their requests from.
pub struct Pace {
    start: Instant,
    warm_up: Duration,
    end: Cell<Instant>,
    /// Open loop: requests in a second.
    rate: Option<f64>,
    next: Cell<u64>,
    /// The end was brought forward: nobody need wait for what was due.
    stopped: CancellationToken,
}

impl Pace {
    /// Starts now.
    pub fn new(rate: Option<f64>, warm_up: Duration, duration: Duration) -> Self {
        let start = Instant::now();
        let end = Cell::new(start + warm_up + duration);
        Self { start, warm_up, end, rate, next: Cell::new(0), stopped: CancellationToken::new() }
    }

    pub fn is_open_loop(&self) -> bool {
        self.rate.is_some()
    }

    pub fn start(&self) -> Instant {
        self.start
    }

    /// How long was measured, or is to be.
    pub fn measured(&self) -> Duration {
        self.end.get().saturating_duration_since(self.start + self.warm_up)
    }

    pub fn is_warming_up(&self) -> bool {
        self.start.elapsed() < self.warm_up
    }

    pub fn stop_now(&self) {
        self.end.set(self.end.get().min(Instant::now()));
        self.stopped.cancel();
    }

    /// Waits for the next request to be due; `None` when the time is over.
    pub async fn next(&self, alarm: &Alarm) -> io::Result<Option<Due>> {
        let now = Instant::now();
        let Some(_) = self.rate else {
            return Ok((now < self.end.get()).then(|| self.due(now)));
        };
        let Some(due) = self.take().filter(|_| now < self.end.get() + DRAIN) else { return Ok(None) };
        if due.at > now {
            tokio::select! {
                rang = alarm.until(due.at) => rang?,
                () = self.stopped.cancelled() => {}
            }
        }
        Ok((due.at < self.end.get()).then_some(due))
    }

    /// What was due and has not been sent, now that nobody sends any more.
    pub fn unsent(&self) -> impl Iterator<Item = Due> {
        std::iter::from_fn(|| self.take())
    }

    /// The next place in the schedule of an open loop, if it lies before the end.
    fn take(&self) -> Option<Due> {
        let rate = self.rate?;
        let number = self.next.get();
        let at = self.start + Duration::from_secs_f64(number as f64 / rate);
        (at < self.end.get()).then(|| {
            self.next.set(number + 1);
            self.due(at)
        })
    }

    fn due(&self, at: Instant) -> Due {
        Due { at, measured: at >= self.start + self.warm_up }
    }
}

/// A timer that rings within some 0.1 ms. tokio's own counts in whole milliseconds, which at 20,000
/// requests a second is twenty times the distance of two.
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    #[expect(
        deprecated,
        reason = "an OwnedFd keeps what `register` would have a caller promise in unsafe code"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(AsyncFd::new(timer)?))
    }

    /// Returns at `at`, at once if that is over.
    pub async fn until(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // Both fit: nobody waits for longer than a run, and nanoseconds are below a billion.
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        rustix::time::timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // Eight bytes: how often it rang.
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?)) {
                Ok(rang) => return rang.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_is_due_at_fixed_times_whoever_is_late() {
        let pace = Pace::new(Some(1000.0), Duration::from_millis(5), Duration::from_millis(5));
        let due: Vec<Due> = pace.unsent().collect();
        let after: Vec<u128> = due.iter().map(|due| (due.at - pace.start).as_millis()).collect();
        assert_eq!(after, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(due.iter().filter(|due| due.measured).count(), 5);
    }

    #[actix_web::test]
    async fn nothing_is_due_after_the_end() {
        let alarm = Alarm::new().unwrap();
        for rate in [None, Some(1000.0)] {
            let pace = Pace::new(rate, Duration::ZERO, Duration::from_secs(60));
            assert!(pace.next(&alarm).await.unwrap().is_some());
            pace.stop_now();
            assert!(pace.next(&alarm).await.unwrap().is_none());
            assert!(pace.measured() < Duration::from_secs(60));
        }
    }

    #[actix_web::test]
    async fn a_stop_wakes_who_waits_for_what_is_due_later() {
        let alarm = Alarm::new().unwrap();
        let pace = Pace::new(Some(0.02), Duration::ZERO, Duration::from_secs(600));
        assert!(pace.next(&alarm).await.unwrap().is_some());
        let stop = async { pace.stop_now() };
        let (next, ()) = futures_util::future::join(pace.next(&alarm), stop).await;
        assert!(next.unwrap().is_none());
        assert!(pace.start.elapsed() < Duration::from_secs(10));
    }

    #[actix_web::test]
    async fn an_alarm_does_not_ring_early() {
        let alarm = Alarm::new().unwrap();
        for wait in [3, 1, 2].map(Duration::from_millis) {
            let at = Instant::now() + wait;
            alarm.until(at).await.unwrap();
            assert!(Instant::now() >= at);
        }
    }
}
