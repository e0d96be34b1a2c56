//! Gathering: what is submitted while a call is under way travels together in the next one.
//!
//! ```text
//!   submit ─┐            ┌─▶ answer
//!   submit ─┼─▶ one call ┼─▶ answer
//!   submit ─┘            └─▶ answer
//! ```
//!
//! There is no timer: the first item leaves as soon as its thread has dealt with what else it has at
//! hand, and the batch grows by itself with the load, because a call takes the longer the more is waiting
//! meanwhile. This is the group commit of databases, for calls.
//!
//! Customers who were answered together come back one after the other, so the first of them leaves alone. While
//! it is under way another call may leave, but not with the second one only: it waits for its share of
//! those who travelled lately, or for an answer, whichever comes first.
//!
//! Invariants: each item goes out at most once, in order of arrival, in a call of at most
//! [`Bounds::batch`] items; at most [`Bounds::calls`] calls of a lane are under way; an item that finds
//! [`Bounds::waiting`] others before it was never sent. A call cares for its own deadline: who waits here
//! waits for it. Who stops waiting takes nothing back: the item goes out all the same.

use crossbeam_utils::CachePadded;
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// Threads that have a lane of their own. More threads share them, which costs a lock that somebody else
/// may hold for a few nanoseconds, and answers that come from another thread.
const LANES: usize = 8;

/// How long an item waits for its share of companions: a call that takes longer is not worth waiting for, and
/// hangs perhaps.
const PATIENCE: Duration = Duration::from_millis(25);

/// What part of [`Lane::lately`] is forgotten with each call: after a rush, a dozen calls leave as if it went on.
const FORGET: usize = 8;

/// How much may be gathered and sent at a time, by each lane.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Items of one call.
    pub batch: usize,
    /// Calls under way. Those beside the first leave when they have their share of the items there lately
    /// were; with one, everything waits for its answer.
    pub calls: usize,
    /// Items that wait for a call.
    pub waiting: usize,
}

/// Why an item has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ungathered {
    /// Too many wait already. It was not sent.
    Full,
    /// The call ended without an answer for it: whether it was carried out is unknown.
    Lost,
}

/// Takes items one by one and sends them in batches.
///
/// Each thread has a lane of its own: its items travel in calls that it makes itself.
pub struct Gatherer<I, O>(Arc<Inner<I, O>>);

/// Makes one call; the answers are in the order of the items.
type Call<I, O> = dyn Fn(Vec<I>) -> LocalBoxFuture<'static, Vec<O>> + Send + Sync;

struct Inner<I, O> {
    call: Box<Call<I, O>>,
    bounds: Bounds,
    lanes: [CachePadded<Mutex<Lane<I, O>>>; LANES],
    /// Items that found no room.
    rejected: AtomicU64,
}

struct Lane<I, O> {
    waiting: VecDeque<(I, oneshot::Sender<O>)>,
    /// Callers that are at work, one call each at a time.
    callers: usize,
    /// Those of them that have not yet looked at what waits.
    starting: usize,
    /// Items in the calls that are under way.
    travelling: usize,
    /// How many items there lately were at once, waiting and travelling; falls with each call.
    lately: usize,
}

impl<I, O> Lane<I, O> {
    /// Whether another call may leave for what has come.
    fn may_call(&self, bounds: Bounds) -> bool {
        // Those that have yet to start will take these.
        let unspoken = self.waiting.len().saturating_sub(self.starting * bounds.batch);
        let share = (self.lately / bounds.calls).clamp(1, bounds.batch);
        unspoken > 0 && (self.callers == 0 || self.callers < bounds.calls && unspoken >= share)
    }
}

impl<I, O> Clone for Gatherer<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: Send + 'static, O: Send + 'static> Gatherer<I, O> {
    /// `call` is given 1 to [`Bounds::batch`] items, on a thread that submitted. It returns an answer for
    /// each, in their order; an item that it returns none for is [`Ungathered::Lost`].
    pub fn new<F>(bounds: Bounds, call: impl Fn(Vec<I>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<O>> + 'static,
    {
        let lane = || {
            CachePadded::new(Mutex::new(Lane {
                waiting: VecDeque::new(),
                callers: 0,
                starting: 0,
                travelling: 0,
                lately: 0,
            }))
        };
        Self(Arc::new(Inner {
            call: Box::new(move |items| Box::pin(call(items))),
            bounds,
            lanes: std::array::from_fn(|_| lane()),
            rejected: AtomicU64::new(0),
        }))
    }

    /// How many items wait in the fullest lane.
    pub fn waiting(&self) -> usize {
        self.0.lanes.iter().map(|lane| lane.lock().waiting.len()).max().unwrap_or_default()
    }

    /// How many may wait in a lane.
    pub fn room(&self) -> usize {
        self.0.bounds.waiting
    }

    /// How many items were turned away.
    pub fn rejected(&self) -> u64 {
        self.0.rejected.load(Ordering::Relaxed)
    }

    /// The answer to `item`. To be called on a thread of actix's runtime.
    pub async fn submit(&self, item: I) -> Result<O, Ungathered> {
        let (reply, mut answer) = oneshot::channel();
        let lane = lane_of_this_thread();
        self.enqueue(lane, item, reply)?;
        let answer = match tokio::time::timeout(PATIENCE, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.hurry(lane);
                answer.await
            }
        };
        answer.map_err(|_| Ungathered::Lost)
    }

    /// Somebody has waited for long: what waits leaves, if another call may.
    fn hurry(&self, index: usize) {
        let mut lane = self.0.lanes[index].lock();
        if !lane.waiting.is_empty() && lane.callers < self.0.bounds.calls {
            self.start(index, &mut lane);
        }
    }

    fn start(&self, index: usize, lane: &mut Lane<I, O>) {
        lane.callers += 1;
        lane.starting += 1;
        let caller = Caller { gatherer: self.clone(), lane: index, at: At::Start, carries: 0 };
        // It runs when this thread has dealt with what is ready now: what arrived together travels
        // together.
        actix_web::rt::spawn(caller.run());
    }

    fn enqueue(&self, index: usize, item: I, reply: oneshot::Sender<O>) -> Result<(), Ungathered> {
        let bounds = self.0.bounds;
        let mut lane = self.0.lanes[index].lock();
        if lane.waiting.len() >= bounds.waiting {
            self.0.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(Ungathered::Full);
        }
        lane.waiting.push_back((item, reply));
        lane.lately = lane.lately.max(lane.waiting.len() + lane.travelling);
        if lane.may_call(bounds) {
            self.start(index, &mut lane);
        }
        Ok(())
    }
}

/// One that makes call after call until nothing waits. Its place is free again when it is dropped, also
/// when the call panicked or the thread ended.
struct Caller<I, O> {
    gatherer: Gatherer<I, O>,
    lane: usize,
    at: At,
    /// Items of its call.
    carries: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Work,
    End,
}

/// The items of one call, and where their answers go.
type Batch<I, O> = (Vec<I>, Vec<oneshot::Sender<O>>);

impl<I, O> Caller<I, O> {
    async fn run(mut self) {
        while let Some((items, replies)) = self.take() {
            let answers = (self.gatherer.0.call)(items).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Who asked may have gone.
                let _ = reply.send(answer);
            }
        }
    }

    /// What waits, as much as one call may carry. With nothing, this caller's place is free in the same
    /// step: who submits next finds either it at work or its place free.
    fn take(&mut self) -> Option<Batch<I, O>> {
        let mut lane = self.gatherer.0.lanes[self.lane].lock();
        if self.at == At::Start {
            lane.starting -= 1;
            self.at = At::Work;
        }
        lane.travelling -= std::mem::take(&mut self.carries);
        let count = lane.waiting.len().min(self.gatherer.0.bounds.batch);
        if count == 0 {
            lane.callers -= 1;
            self.at = At::End;
            return None;
        }
        lane.travelling += count;
        lane.lately -= lane.lately.div_ceil(FORGET);
        self.carries = count;
        Some(lane.waiting.drain(..count).unzip())
    }
}

impl<I, O> Drop for Caller<I, O> {
    fn drop(&mut self) {
        if self.at == At::End {
            return;
        }
        let mut lane = self.gatherer.0.lanes[self.lane].lock();
        lane.callers -= 1;
        lane.travelling -= self.carries;
        lane.starting -= usize::from(self.at == At::Start);
        // Nobody is left to take what waits: it is told so, rather than left to wait for the next
        // submission.
        if lane.callers == 0 {
            lane.waiting.clear();
        }
    }
}

/// Threads take lanes in turn, as they first submit.
fn lane_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
    }
    LANE.with(|lane| *lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    const BOUNDS: Bounds = Bounds { batch: 3, calls: 1, waiting: 4 };

    /// A peer that answers each number with itself and the numbers that it travelled with, when it is let.
    struct Peer {
        gatherer: Gatherer<u32, (u32, Vec<u32>)>,
        gate: Arc<Semaphore>,
        called: Arc<AtomicUsize>,
    }

    impl Peer {
        fn new(bounds: Bounds) -> Self {
            let (gate, called) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
            let gatherer = Gatherer::new(bounds, {
                let (gate, called) = (Arc::clone(&gate), Arc::clone(&called));
                move |items: Vec<u32>| {
                    let gate = Arc::clone(&gate);
                    called.fetch_add(1, Ordering::SeqCst);
                    async move {
                        gate.acquire().await.unwrap().forget();
                        items.iter().map(|&item| (item, items.clone())).collect()
                    }
                }
            });
            Self { gatherer, gate, called }
        }

        /// Submits, and leaves the thread to others until all that can go has gone.
        async fn submit(&self, items: std::ops::Range<u32>) -> Vec<Submitted> {
            let submitted = items.map(|item| {
                let gatherer = self.gatherer.clone();
                actix_web::rt::spawn(async move { gatherer.submit(item).await })
            });
            let submitted = submitted.collect();
            settle().await;
            submitted
        }
    }

    type Submitted = actix_web::rt::task::JoinHandle<Result<(u32, Vec<u32>), Ungathered>>;

    /// Each task that is ready takes its turn, and those that become ready by that.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// With whom each of them travelled.
    async fn companions(submitted: Vec<Submitted>) -> Vec<Result<Vec<u32>, Ungathered>> {
        join_all(submitted).await.into_iter().map(|answer| answer.unwrap().map(|(_, all)| all)).collect()
    }

    #[actix_web::test]
    async fn a_lonely_item_goes_at_once_and_what_comes_meanwhile_goes_together() {
        let peer = Peer::new(BOUNDS);
        let mut submitted = peer.submit(0..1).await;
        assert_eq!(peer.called.load(Ordering::SeqCst), 1);
        for item in 1..4 {
            submitted.extend(peer.submit(item..item + 1).await);
        }
        assert_eq!(peer.called.load(Ordering::SeqCst), 1, "one call at a time");
        peer.gate.add_permits(2);
        let together = Ok(vec![1, 2, 3]);
        assert_eq!(companions(submitted).await, [Ok(vec![0]), together.clone(), together.clone(), together]);
    }

    #[actix_web::test]
    async fn what_arrives_together_goes_together() {
        let peer = Peer::new(Bounds { calls: 2, ..BOUNDS });
        let submitted = peer.submit(0..3).await;
        peer.gate.add_permits(9);
        assert_eq!(companions(submitted).await, [Ok(vec![0, 1, 2]), Ok(vec![0, 1, 2]), Ok(vec![0, 1, 2])]);
        assert_eq!(peer.called.load(Ordering::SeqCst), 1);
    }

    #[actix_web::test]
    async fn who_comes_back_first_goes_alone_and_the_next_ones_in_their_share() {
        let peer = Peer::new(Bounds { batch: 99, calls: 2, waiting: 99 });
        let rush = peer.submit(0..8).await;
        peer.gate.add_permits(1);
        assert_eq!(companions(rush).await.len(), 8);
        let mut back = peer.submit(0..1).await;
        assert_eq!(peer.called.load(Ordering::SeqCst), 2);
        back.extend(peer.submit(1..3).await);
        assert_eq!(peer.called.load(Ordering::SeqCst), 2, "they wait for the others");
        back.extend(peer.submit(3..4).await);
        assert_eq!(peer.called.load(Ordering::SeqCst), 3, "three are the share of six");
        peer.gate.add_permits(2);
        let together = Ok(vec![1, 2, 3]);
        assert_eq!(companions(back).await, [Ok(vec![0]), together.clone(), together.clone(), together]);
    }

    #[actix_web::test]
    async fn who_waits_behind_a_call_that_hangs_leaves_all_the_same() {
        let peer = Peer::new(Bounds { batch: 99, calls: 2, waiting: 99 });
        let _hangs = peer.submit(0..8).await;
        let after = peer.submit(8..9).await;
        assert_eq!(peer.called.load(Ordering::SeqCst), 1);
        // What it does when its patience is over.
        peer.gatherer.hurry(lane_of_this_thread());
        settle().await;
        assert_eq!(peer.called.load(Ordering::SeqCst), 2);
        peer.gate.add_permits(2);
        assert_eq!(companions(after).await, [Ok(vec![8])]);
    }

    #[actix_web::test]
    async fn a_batch_and_the_calls_under_way_are_bounded() {
        let peer = Peer::new(Bounds { batch: 2, calls: 2, waiting: 99 });
        let submitted = peer.submit(0..7).await;
        assert_eq!(peer.called.load(Ordering::SeqCst), 2);
        peer.gate.add_permits(9);
        let batches: Vec<_> =
            companions(submitted).await.into_iter().map(|batch| batch.unwrap().len()).collect();
        assert_eq!(batches, [2, 2, 2, 2, 2, 2, 1]);
    }

    #[actix_web::test]
    async fn who_finds_too_many_before_him_is_told_at_once_and_never_sent() {
        let peer = Peer::new(BOUNDS);
        let mut submitted = peer.submit(0..1).await;
        submitted.extend(peer.submit(1..6).await);
        peer.gate.add_permits(9);
        let answers = companions(submitted).await;
        assert_eq!(answers[5], Err(Ungathered::Full));
        assert_eq!(answers[4], Ok(vec![4]));
        assert_eq!(peer.gatherer.submit(9).await.unwrap().1, [9], "there is room again");
    }

    #[actix_web::test]
    async fn who_hangs_up_takes_nothing_back() {
        let peer = Peer::new(BOUNDS);
        let mut submitted = peer.submit(0..3).await;
        submitted.remove(1).abort();
        settle().await;
        peer.gate.add_permits(1);
        assert_eq!(companions(submitted).await, [Ok(vec![0, 1, 2]), Ok(vec![0, 1, 2])]);
    }

    #[actix_web::test]
    async fn an_item_without_an_answer_is_lost_and_the_next_one_is_not() {
        let gatherer: Gatherer<u32, u32> = Gatherer::new(BOUNDS, async |items: Vec<u32>| match items[0] {
            0 => vec![],
            1 => panic!("as a bug would"),
            item => vec![item],
        });
        assert_eq!(gatherer.submit(0).await, Err(Ungathered::Lost));
        assert_eq!(gatherer.submit(1).await, Err(Ungathered::Lost));
        assert_eq!(gatherer.submit(2).await, Ok(2));
    }
}
