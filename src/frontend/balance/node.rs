//! One node behind a pool: the calls that are made to it, and what they show of it.
//!
//! Invariant: a call counts as under way from its start until it has ended or was dropped, whichever way.

use super::health::{Health, Standing};
use super::pace::Pace;
use super::select::Candidate;
use crate::client::{CallError, Peer};
use crate::metrics::{Fault, PoolCounts};
use crate::wire::ErrorCode;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A node that owes answers and has given none for so long is silent: it is probed at once, not only when its
/// turn comes, and meanwhile the others are asked. Nearly all calls take a tenth of it.
const SUSPICION: Duration = Duration::from_millis(100);

/// How a pool's nodes are talked to, besides by single calls: made for each node when it is first met, and
/// kept as long as it.
pub trait Way: Send + Sync + 'static {
    fn to(peer: &Peer) -> Self;

    /// How much waits to travel together, and how much may.
    fn waiting(&self) -> Option<(usize, usize)> {
        None
    }

    /// Whether a node that ends a call so is ill. One that refuses has answered, unless it refuses whatever it
    /// is asked: such a node has few calls under way and would draw all others to it. To have no room is
    /// no illness: the others would only be filled, too.
    fn is_failure(error: &CallError) -> bool {
        matches!(error.code(), None | Some(ErrorCode::Internal | ErrorCode::Unauthorized))
    }
}

/// By single calls only.
impl Way for () {
    fn to(_peer: &Peer) -> Self {}
}

pub struct Node<W = ()> {
    pub peer: Peer,
    pub way: W,
    /// Which candidate it belongs to.
    pub(super) candidate: usize,
    state: Mutex<State>,
    /// Nobody need wait for it any longer.
    fell_ill: Notify,
    /// Wakes who decides about ejections.
    look: Arc<Notify>,
    /// Whether it answered as the write master last, or is configured as a candidate for it.
    master: AtomicBool,
    counts: Arc<PoolCounts>,
}

struct State {
    health: Health,
    pace: Pace,
    /// Calls that have no answer yet: readers that wait, also those who travel in one request, and requests with
    /// purchases.
    under_way: usize,
    /// While calls are under way: since when it has given no answer.
    owes_since: Instant,
}

impl State {
    /// Whether it has owed answers for suspiciously long.
    fn is_silent(&self, now: Instant) -> bool {
        self.under_way > 0 && now.saturating_duration_since(self.owes_since) >= SUSPICION
    }
}

impl<W: Way> Node<W> {
    pub(super) fn new(
        peer: Peer,
        (candidate, master): (usize, bool),
        health: Health,
        look: Arc<Notify>,
        counts: Arc<PoolCounts>,
    ) -> Self {
        let state = State { health, pace: Pace::default(), under_way: 0, owes_since: Instant::now() };
        Self {
            way: W::to(&peer),
            peer,
            candidate,
            state: Mutex::new(state),
            fell_ill: Notify::new(),
            look,
            master: AtomicBool::new(master),
            counts,
        }
    }

    /// Makes a call to this node, and takes note of how it ends. A call to a node that falls ill meanwhile ends
    /// with it: whether it was carried out is unknown, as after any call without an answer.
    pub async fn call<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let begun = Instant::now();
        let _under_way = self.begin(begun);
        let ended = tokio::select! {
            ended = call => ended,
            // Who was ill before is asked for lack of a better one.
            () = self.ill(), if !self.is_failing() => {
                return Err(self.peer.nonsense("it went out of the balance"));
            }
        };
        match &ended {
            Ok(_) => self.answered_after(Some(begun.elapsed())),
            Err(error) => self.failed(error),
        }
        ended
    }

    /// Takes note of a call that ended with `error`. A node that cannot even be reached is out at once.
    pub fn failed(&self, error: &CallError) {
        if !W::is_failure(error) {
            return self.answered_after(None);
        }
        if matches!(error, CallError::Unreachable { .. }) {
            return self.died(error);
        }
        let mut state = self.state.lock();
        state.health.failed();
        let decide = state.health.fails();
        drop(state);
        if decide {
            self.look.notify_one();
        }
    }

    /// `took`: of an answer that says how fast it is.
    fn answered_after(&self, took: Option<Duration>) {
        let mut state = self.state.lock();
        state.health.answered();
        state.owes_since = Instant::now();
        if let Some(took) = took {
            state.pace.answered(took);
        }
    }

    fn begin(&self, now: Instant) -> UnderWay<'_, W> {
        let mut state = self.state.lock();
        if state.under_way == 0 {
            state.owes_since = now;
        }
        state.under_way += 1;
        UnderWay(self)
    }

    /// It is known not to answer.
    pub(super) fn died(&self, error: &CallError) {
        if self.state.lock().health.died() {
            self.counts.died();
            log::warn!("{} is out of the balance: {error}", self.peer.url());
            self.fell_ill.notify_waiters();
        }
    }

    /// It answered a probe.
    pub(super) fn lives(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.owes_since = now;
        let revived = state.health.lives(now);
        if revived {
            state.pace.forget();
        }
        let back = revived && state.health.standing() == Standing::Well;
        drop(state);
        if back {
            log::info!("{} is back in the balance: it answers again", self.peer.url());
        }
    }

    pub(super) fn eject(&self, fault: Fault, why: &str) {
        let time = self.state.lock().health.eject(fault, Instant::now());
        self.counts.ejected(fault);
        log::warn!("{} is out of the balance for {} s: {why}", self.peer.url(), time.as_secs());
        if fault == Fault::Fails {
            self.fell_ill.notify_waiters();
        }
    }

    pub(super) fn readmit(&self, why: &str) {
        let mut state = self.state.lock();
        state.health.readmit(Instant::now());
        state.pace.forget();
        drop(state);
        log::info!("{} is back in the balance: {why}", self.peer.url());
    }

    /// Until when it is ejected.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.state.lock().health.until()
    }

    /// Whether its calls fail, one after the other.
    pub(super) fn fails(&self) -> bool {
        self.state.lock().health.fails()
    }

    /// Whether a probe could tell more of it than is known.
    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        let state = self.state.lock();
        state.is_silent(now) && state.health.standing() != Standing::Dead
    }

    /// Whether it is in the balance and answers.
    pub(super) fn is_prompt(&self, now: Instant) -> bool {
        let state = self.state.lock();
        !state.is_silent(now) && state.health.standing() == Standing::Well
    }

    /// What its latest answers took, if they are enough to judge a node that is in the balance.
    pub(super) fn take_pace(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        (state.health.standing() == Standing::Well).then(|| state.pace.take()).flatten()
    }

    pub(super) fn candidate(&self, now: Instant) -> Candidate {
        let state = self.state.lock();
        Candidate {
            standing: state.health.standing(),
            silent: state.is_silent(now),
            under_way: state.under_way,
            share: state.health.share(now),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        self.state.lock().health.standing()
    }

    fn is_failing(&self) -> bool {
        self.state.lock().health.is_failing()
    }

    /// Returns when it is out of the balance, unless only because it is slow.
    pub async fn ill(&self) {
        loop {
            let fell_ill = self.fell_ill.notified();
            if self.is_failing() {
                return;
            }
            fell_ill.await;
        }
    }

    /// What it answered as.
    pub fn answered(&self, as_master: bool) {
        self.master.store(as_master, Ordering::Relaxed);
    }

    pub fn is_master(&self) -> bool {
        self.master.load(Ordering::Relaxed)
    }

    /// Whether it is in the balance.
    pub fn is_well(&self) -> bool {
        self.standing() == Standing::Well
    }
}

/// One call that is under way.
struct UnderWay<'a, W: Way>(&'a Node<W>);

impl<W: Way> Drop for UnderWay<'_, W> {
    fn drop(&mut self) {
        self.0.state.lock().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::BaseUrl;
    use crate::member::Member;
    use crate::wire::Problem;

    fn node() -> Node {
        let peer = Peer::new(BaseUrl::parse("http://127.0.0.1:1").unwrap(), &Member::of_nothing());
        Node::new(peer, (0, false), Health::settled(), Arc::default(), Arc::default())
    }

    fn under_way(node: &Node) -> usize {
        node.candidate(Instant::now()).under_way
    }

    fn refused(code: ErrorCode) -> CallError {
        CallError::Refused { peer: "http://127.0.0.1:1".into(), problem: Problem::from(code) }
    }

    #[actix_web::test]
    async fn a_call_is_under_way_until_it_has_ended_or_nobody_waits_for_it() {
        let node = node();
        node.call(async {
            assert_eq!(under_way(&node), 1);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(under_way(&node), 0);
        let failed: Result<(), _> = node.call(async { Err(node.peer.nonsense("nothing")) }).await;
        assert!(failed.is_err());
        assert_eq!(under_way(&node), 0);
        let waits = node.call(std::future::pending::<Result<(), _>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), waits).await.is_err());
        assert_eq!(under_way(&node), 0, "who has gone");
    }

    #[actix_web::test]
    async fn a_call_to_a_node_that_dies_meanwhile_ends_with_it_and_one_to_a_slow_node_does_not() {
        let node = node();
        let slow = async {
            node.eject(Fault::Slow, "it is slow");
            Ok(())
        };
        node.call(slow).await.unwrap();
        node.readmit("its time is over");
        let dies = async {
            node.died(&node.peer.nonsense("no answer to a probe"));
            std::future::pending::<Result<(), _>>().await
        };
        assert!(matches!(node.call(dies).await, Err(CallError::NoAnswer { .. })));
        assert!(!node.is_well());
        node.call(async { Ok(()) }).await.expect("a dead node is asked for lack of a better one");
    }

    #[actix_web::test]
    async fn an_answer_ends_a_run_of_failures_and_so_does_a_refusal_that_is_about_the_request() {
        let node = node();
        for code in [None, Some(ErrorCode::Behind), Some(ErrorCode::Unavailable)] {
            for _ in 0..2 {
                node.failed(&node.peer.nonsense("nothing"));
            }
            match code {
                Some(code) => node.failed(&refused(code)),
                None => node.call(async { Ok(()) }).await.unwrap(),
            }
            assert!(!node.fails());
        }
        for _ in 0..3 {
            assert!(!node.fails());
            node.failed(&refused(ErrorCode::Unauthorized));
        }
        assert!(node.fails(), "it takes nothing from us");
    }

    #[actix_web::test]
    async fn who_owes_answers_and_gives_none_is_suspect_and_who_owes_none_or_gives_one_is_not() {
        let node = node();
        let (now, later) = (Instant::now(), Instant::now() + SUSPICION * 2);
        assert!(!node.is_suspect(later), "it owes nothing");
        let one = node.begin(now);
        let _other = node.begin(now);
        assert!(!node.is_suspect(now) && node.is_suspect(later));
        node.answered_after(None);
        drop(one);
        assert!(!node.is_suspect(Instant::now()), "it has just answered another");
        assert!(node.is_suspect(Instant::now() + SUSPICION));
        node.lives();
        assert!(!node.is_suspect(Instant::now()), "it has just answered a probe");
    }
}
