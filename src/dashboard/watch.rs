//! Asks the nodes once a second, once for all who look, and not at all while nobody does.
//!
//! Invariants: a node that hangs costs a round no more than [`ASK_DEADLINE`]; who looks gets the latest view and
//! nothing in between, so nothing piles up for one who reads slowly.

use super::nodes::Nodes;
use super::page;
use super::plot::History;
use super::problems::happenings;
use super::view::View;
use super::{Controls, Surroundings};
use crate::client::{BaseUrl, CallError, Peer};
use crate::clock;
use crate::member::Member;
use crate::server::event;
use crate::shutdown::Shutdown;
use crate::wire::status::{STATUS, Status};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, Stream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// Between the first two, which the first figures are made from.
const FIRST_ROUND: Duration = Duration::from_millis(250);

/// For a node to say what it is and has counted: some hundred microseconds of work.
const ASK_DEADLINE: Duration = Duration::from_millis(500);

/// Open streams. Each is a connection and some 40 KB a second.
pub const MAX_VIEWERS: usize = 64;

/// How long nodes are still asked after somebody has loaded the page: its script then comes for the stream, and
/// who has none may load it again.
const LINGER: Duration = Duration::from_secs(10);

/// For the first view, when a page is loaded that nobody else looks at.
const PATIENCE: Duration = Duration::from_secs(3);

/// The dashboard, for all who look at it. Cheap to clone.
#[derive(Clone)]
pub struct Dashboard(Arc<Inner>);

struct Inner {
    surroundings: Arc<dyn Surroundings>,
    member: Member,
    stop: Shutdown,
    viewers: Arc<Semaphore>,
    /// Somebody looks until then at least.
    until: Mutex<Instant>,
    looked: Notify,
    /// `None` while nobody looks.
    frames: watch::Sender<Option<Arc<Frame>>>,
}

/// One view, as it is sent to all.
pub struct Frame {
    pub view: View,
    pub history: History,
    events: Bytes,
}

impl Dashboard {
    pub fn new(surroundings: Arc<dyn Surroundings>, member: &Member, stop: Shutdown) -> Self {
        Self(Arc::new(Inner {
            surroundings,
            member: member.clone(),
            stop,
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
            until: Mutex::new(Instant::now()),
            looked: Notify::new(),
            frames: watch::channel(None).0,
        }))
    }

    /// Asks the nodes while somebody looks, until the stop.
    pub async fn keep(&self) {
        self.0.stop.run_until_cancelled(self.0.watch()).await;
    }

    pub(super) fn stop(&self) -> Shutdown {
        self.0.stop.clone()
    }

    pub(super) fn controls(&self) -> Option<Controls> {
        self.0.surroundings.controls()
    }

    /// What is known now; `None` if that cannot be said in time.
    pub(super) async fn glance(&self) -> Option<Arc<Frame>> {
        *self.0.until.lock() = Instant::now() + LINGER;
        self.0.looked.notify_one();
        let mut frames = self.0.frames.subscribe();
        let seen = tokio::time::timeout(PATIENCE, frames.wait_for(Option::is_some)).await;
        seen.ok()?.ok()?.clone()
    }

    /// Every view from now on. `None`: too many look already.
    pub(super) fn look(&self) -> Option<impl Stream<Item = Bytes> + 'static> {
        let permit = Arc::clone(&self.0.viewers).try_acquire_owned().ok()?;
        self.0.looked.notify_one();
        let mut frames = self.0.frames.subscribe();
        frames.mark_changed();
        Some(stream::unfold((frames, permit), next))
    }
}

type Viewer = (watch::Receiver<Option<Arc<Frame>>>, OwnedSemaphorePermit);

async fn next((mut frames, permit): Viewer) -> Option<(Bytes, Viewer)> {
    loop {
        frames.changed().await.ok()?;
        let events = frames.borrow_and_update().as_ref().map(|frame| frame.events.clone());
        if let Some(events) = events {
            return Some((events, (frames, permit)));
        }
    }
}

impl Inner {
    fn somebody_looks(&self) -> bool {
        self.viewers.available_permits() < MAX_VIEWERS || Instant::now() < *self.until.lock()
    }

    async fn watch(&self) {
        loop {
            while !self.somebody_looks() {
                self.looked.notified().await;
            }
            let mut nodes = Nodes::default();
            self.ask(&mut nodes).await;
            tokio::time::sleep(FIRST_ROUND).await;
            while self.somebody_looks() {
                let begun = Instant::now();
                self.ask(&mut nodes).await;
                self.publish(&nodes);
                tokio::time::sleep_until(begun + ROUND).await;
            }
            self.frames.send_replace(None);
        }
    }

    /// One round: all that are known, and then those whom they name.
    async fn ask(&self, nodes: &mut Nodes) {
        nodes.configure(self.surroundings.nodes(), Instant::now());
        let mut urls = nodes.urls();
        // The second time for those who were not known before.
        for _ in 0..2 {
            let answers = join_all(urls.iter().map(|url| self.ask_one(url))).await;
            let mut named = Vec::new();
            for (url, answer) in urls.iter().zip(answers) {
                let now = Instant::now();
                if let Ok(status) = &answer {
                    named.extend(nodes.named(status, now));
                }
                nodes.asked(url, answer, now);
            }
            urls = named;
        }
        nodes.forget(Instant::now());
    }

    async fn ask_one(&self, url: &BaseUrl) -> Result<Status, CallError> {
        Peer::new(url.clone(), &self.member).get(STATUS, "dashboard", ASK_DEADLINE).await
    }

    fn publish(&self, nodes: &Nodes) {
        let mut view = View::of(nodes, &*self.surroundings, now());
        let (before, mut history) = match &*self.frames.borrow() {
            Some(before) => (Some(Arc::clone(before)), before.history.clone()),
            None => (None, History::default()),
        };
        if let Some(before) = before {
            view.happenings = happenings(&before.view, &view);
        }
        history.push(&view.figures);
        let json = serde_json::to_string(&view).unwrap_or_default();
        let live = page::live(&view, &history).into_string();
        let events = [event("view", &json), event("page", &live)].concat().into();
        self.frames.send_replace(Some(Arc::new(Frame { view, history, events })));
    }
}

fn now() -> String {
    let since_1970 = Duration::from_millis(u64::try_from(clock::wall_ms()).unwrap_or_default());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
}
