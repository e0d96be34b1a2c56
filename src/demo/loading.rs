//! The load of the demonstration: customers who read and buy through the public address, and check every
//! answer. It runs on a thread of its own, one run at a time, and ends by itself after [`LONGEST`].

use super::journal::Journal;
use crate::client::{BaseUrl, Peer};
use crate::domain::{BookId, Edit, Outcome};
use crate::load::{self, Company, Progress, Supply};
use crate::shutdown::Shutdown;
use crate::wire::catalog::{EDITS, Edits, Outcomes};
use actix_web::rt::System;
use parking_lot::Mutex;
use serde::Serialize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const LONGEST: Duration = Duration::from_secs(600);

/// Requests in a second that can be asked for: what two cores carry beside everything else.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=1000;
pub const RATE: u32 = 100;

/// Percent of the requests that can be purchases.
pub const PURCHASES: std::ops::RangeInclusive<u32> = 0..=50;
pub const PURCHASE_PERCENT: u32 = 5;

/// Purchases that wait for a master hold a connection each; the reads need others.
const CONNECTIONS: usize = 128;

/// Half of the reads are searches, popular books are asked for most.
const SEARCHES: f64 = 0.5;
const ZIPF: f64 = 1.0;

/// A delivery that has no answer by then has an unknown outcome.
const SUPPLY_DEADLINE: Duration = Duration::from_secs(10);

pub struct Loading {
    public: BaseUrl,
    /// Where deliveries go.
    master: Peer,
    /// Ends a run at once, because the store stops.
    closing: Shutdown,
    journal: Arc<Journal>,
    now: Mutex<Now>,
}

/// What is going on, or went on last.
#[derive(Debug, Default)]
struct Now {
    running: Option<Shutdown>,
    rate: u32,
    purchase_percent: u32,
    progress: Option<watch::Receiver<Progress>>,
    /// Why there was no run, or what it found.
    trouble: Option<String>,
}

/// The load as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub running: bool,
    pub rate: u32,
    pub purchase_percent: u32,
    #[serde(flatten)]
    pub progress: Progress,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Loading {
    pub fn new(public: BaseUrl, master: Peer, journal: Arc<Journal>) -> Arc<Self> {
        let now = Mutex::new(Now { rate: RATE, purchase_percent: PURCHASE_PERCENT, ..Now::default() });
        Arc::new(Self { public, master, closing: Shutdown::new(), journal, now })
    }

    /// Starts a run, unless there is one. The error is a sentence for people.
    pub fn start(self: &Arc<Self>, rate: u32, purchase_percent: u32) -> Result<(), String> {
        let mut now = self.now.lock();
        if now.running.is_some() {
            return Err("a load is running already".into());
        }
        let config = load::Config {
            stores: vec![self.public.clone()],
            connections: CONNECTIONS,
            rate: Some(rate.into()),
            buy: f64::from(purchase_percent) / 100.0,
            searches: SEARCHES,
            zipf: ZIPF,
            duration: LONGEST,
            warm_up: Duration::ZERO,
            allow_restock: false,
            seed: rand::random(),
            json: true,
        };
        let (tell, progress) = watch::channel(Progress::default());
        let stop = Shutdown::new();
        let (loading, stopped) = (Arc::clone(self), stop.clone());
        // Its own, so that what the load costs falls on nobody's requests.
        let thread = std::thread::Builder::new().name("load".into());
        let begun = thread.spawn(move || System::new().block_on(loading.run(config, stopped, tell)));
        begun.map_err(|error| format!("there is no thread for it: {error}"))?;
        *now = Now { running: Some(stop), rate, purchase_percent, progress: Some(progress), trouble: None };
        Ok(())
    }

    /// Ends the run; it looks its orders up first.
    pub fn stop(&self) {
        if let Some(running) = &self.now.lock().running {
            running.cancel();
        }
    }

    /// The same without, for good.
    pub fn close(&self) {
        self.closing.cancel();
    }

    pub fn shown(&self) -> Shown {
        let now = self.now.lock();
        Shown {
            running: now.running.is_some(),
            rate: now.rate,
            purchase_percent: now.purchase_percent,
            progress: now
                .progress
                .as_ref()
                .map_or_else(Progress::default, |progress| progress.borrow().clone()),
            trouble: now.trouble.clone(),
        }
    }

    async fn run(&self, config: load::Config, stop: Shutdown, progress: watch::Sender<Progress>) {
        let mut told = progress.subscribe();
        let company = Company { progress, supply: supply(self.master.clone()) };
        let telling = async {
            while told.changed().await.is_ok() {
                self.journal.observe(Some(&told.borrow_and_update()));
            }
            std::future::pending().await
        };
        let outcome = tokio::select! {
            outcome = config.run_in_company(stop, company) => outcome,
            outcome = telling => outcome,
            () = self.closing.cancelled() => return,
        };
        self.journal.observe(None);
        let mut now = self.now.lock();
        now.running = None;
        now.trouble = match outcome {
            Ok(report) => report.complaint(),
            Err(error) => Some(error.to_string()),
        };
    }
}

/// Deliveries by the master's edits.
fn supply(master: Peer) -> Supply {
    Rc::new(move |book_id: BookId, copies| {
        let master = master.clone();
        Box::pin(async move {
            let body = Edits { edits: vec![Edit::Restock { book_id, copies }] };
            match master.post::<Outcomes>(EDITS, &body, "demo-delivery", SUPPLY_DEADLINE).await {
                Ok(done) => matches!(done.outcomes[..], [Outcome::Edit(Ok(_))]),
                Err(error) => {
                    log::info!(
                        "whether {copies} copies of book {book_id} were delivered is not known: {error}"
                    );
                    false
                }
            }
        })
    })
}
