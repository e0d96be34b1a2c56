//! Counting the requests that are being answered, so that a stop can wait for them.
//!
//! Invariant: once [`UnderWay::drain`] has found nobody under way, nobody is let in any more.
//!
//! Each thread that serves counts for itself, on a cache line of its own: a count that all share would
//! travel between the cores twice for each request.

use super::FLUSH;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// All that is under way at one listener.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Shared>);

#[derive(Default)]
struct Shared {
    draining: AtomicBool,
    /// Everybody has been answered. A request that came in after that would be dropped at some await,
    /// outside of the runtime that what it holds may need to be given back.
    closed: AtomicBool,
    idle: Notify,
    /// The threads that serve.
    threads: Mutex<Vec<Thread>>,
}

struct Thread {
    requests: Arc<CachePadded<AtomicUsize>>,
    /// Asks it whether it has turned to something else.
    turn: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

/// One thread's part of it. Clones share the count.
#[derive(Clone)]
pub struct Entrance(Rc<Here>);

struct Here {
    requests: Arc<CachePadded<AtomicUsize>>,
    shared: Arc<Shared>,
}

/// Somebody who is counted until this is dropped.
pub struct Entered(Rc<Here>);

impl UnderWay {
    /// Called by each thread that serves: from then on it is counted, and can be asked whether it has
    /// turned to something else.
    pub fn entrance_of_this_thread(&self) -> Entrance {
        let (turn, asked) = oneshot::channel::<oneshot::Sender<()>>();
        actix_web::rt::spawn(async move {
            if let Ok(turned) = asked.await {
                let _ = turned.send(());
            }
        });
        let requests = Arc::<CachePadded<AtomicUsize>>::default();
        self.0.threads.lock().push(Thread { requests: Arc::clone(&requests), turn: Some(turn) });
        Entrance(Rc::new(Here { requests, shared: Arc::clone(&self.0) }))
    }

    /// How many are under way, thread by thread.
    pub fn count(&self) -> usize {
        self.0.threads.lock().iter().map(|thread| thread.requests.load(Ordering::Relaxed)).sum()
    }

    /// Waits until everybody has been answered and lets nobody in after that; at most so long.
    pub async fn drain(&self, at_most: Duration) {
        self.0.draining.store(true, Ordering::SeqCst);
        let idle = async {
            loop {
                let notified = self.0.idle.notified();
                if self.0.nobody_is_in() {
                    // Whoever came in just now is counted, or finds the door closed.
                    if self.0.closed.swap(true, Ordering::SeqCst) {
                        return;
                    }
                    continue;
                }
                notified.await;
            }
        };
        if tokio::time::timeout(at_most, idle).await.is_err() {
            self.0.closed.store(true, Ordering::SeqCst);
            log::warn!("stopped before every request was answered");
            return;
        }
        // A request is not counted any more when its answer is made, a moment before it is written. Who
        // wrote it is done with that when it takes up something else.
        let turns: Vec<_> =
            self.0.threads.lock().iter_mut().filter_map(|thread| thread.turn.take()).collect();
        let all_turned = async {
            for turn in turns {
                let (turned, turns) = oneshot::channel();
                if turn.send(turned).is_ok() {
                    let _ = turns.await;
                }
            }
        };
        if tokio::time::timeout(FLUSH, all_turned).await.is_err() {
            log::warn!("stopped before every answer was surely written");
        }
    }
}

impl Shared {
    /// Count by count, so not at one moment: what that misses comes in behind the look, and then finds the
    /// door closed or is found by the look after it was closed.
    fn nobody_is_in(&self) -> bool {
        self.threads.lock().iter().all(|thread| thread.requests.load(Ordering::SeqCst) == 0)
    }
}

impl Entrance {
    pub fn enter(&self) -> Entered {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        Entered(Rc::clone(&self.0))
    }
}

impl Entered {
    pub fn draining(&self) -> bool {
        self.0.shared.draining.load(Ordering::SeqCst)
    }

    /// Whether it came in after everybody had been answered.
    pub fn too_late(&self) -> bool {
        self.0.shared.closed.load(Ordering::SeqCst)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::SeqCst) == 1 && self.draining() {
            self.0.shared.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DRAIN;
    use super::*;

    #[actix_web::test]
    async fn a_stop_waits_for_who_is_in_and_lets_nobody_in_behind_the_last_one() {
        let under_way = UnderWay::default();
        let (door, other_door) = (under_way.entrance_of_this_thread(), under_way.entrance_of_this_thread());
        let inside = door.enter();
        assert!(!inside.too_late());
        let draining = actix_web::rt::spawn({
            let under_way = under_way.clone();
            async move { under_way.drain(DRAIN).await }
        });
        tokio::task::yield_now().await;
        assert!(!other_door.enter().too_late(), "the doors are open as long as somebody is inside");
        drop(inside);
        draining.await.unwrap();
        assert!(door.enter().too_late() && other_door.enter().too_late());
    }
}
