//! What is done to processes: killed, paused, cut off from all others.
//!
//! Invariant: whatever is done heals by itself within [`LONGEST`]: a process that was killed is started
//! again by its keeper, a pause and a cut end here.

use super::journal::Journal;
use super::links::Cuts;
use super::place::Place;
use super::process::{Order, Process, State};
use crate::shutdown::Shutdown;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Nobody forgets a pause for longer.
pub const LONGEST: Duration = Duration::from_secs(30);

/// Between two looks at what is over.
const ROUND: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `kill -9`.
    Kill,
    /// It hangs, with its connections open.
    Pause,
    /// It runs, and nothing passes between it and the others.
    Cut,
}

pub struct Faults {
    processes: BTreeMap<Place, Process>,
    /// Who is met through links.
    can_be_cut: Vec<Place>,
    cuts: watch::Sender<Cuts>,
    open: Mutex<BTreeMap<(Place, Kind), Open>>,
    journal: Arc<Journal>,
}

/// A fault that goes on.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// In the journal.
    entry: u64,
    /// When a pause or a cut ends.
    until: Instant,
    /// How often the process had been started.
    starts: u32,
}

impl Faults {
    pub fn new(
        processes: BTreeMap<Place, Process>,
        can_be_cut: Vec<Place>,
        cuts: watch::Sender<Cuts>,
        journal: Arc<Journal>,
    ) -> Self {
        Self { processes, can_be_cut, cuts, open: Mutex::default(), journal }
    }

    /// What can be done to `place`.
    pub fn possible(&self, place: Place) -> Vec<Kind> {
        let (ours, linked) = (self.processes.contains_key(&place), self.can_be_cut.contains(&place));
        let possible = [(Kind::Kill, ours), (Kind::Pause, ours), (Kind::Cut, linked)];
        possible.into_iter().filter_map(|(kind, possible)| possible.then_some(kind)).collect()
    }

    pub fn is_cut(&self, place: Place) -> bool {
        self.cuts.borrow().contains(&place)
    }

    /// Does it. The error is a sentence for people.
    pub fn inflict(&self, place: Place, kind: Kind, time: Duration) -> Result<(), String> {
        if !self.possible(place).contains(&kind) {
            return Err(format!("{place} cannot be {} here", kind.done()));
        }
        let time = time.min(LONGEST);
        let status = self.processes.get(&place).map(|process| process.status.borrow().clone());
        let starts = status.as_ref().map_or(0, |status| status.starts);
        let order = match (kind, status.map(|status| status.state)) {
            (Kind::Cut, _) => None,
            (_, Some(State::Down)) => return Err(format!("{place} is down; it starts again by itself")),
            (Kind::Kill, _) => Some(Order::Kill),
            (Kind::Pause, _) => Some(Order::Pause),
        };
        if let Some((order, process)) = order.zip(self.processes.get(&place))
            && !process.order(order)
        {
            return Err(format!("{place} has too much to do already"));
        }
        if kind == Kind::Cut {
            self.cuts.send_modify(|cuts| _ = cuts.insert(place));
        }
        let what = match kind {
            Kind::Kill => format!("{place} killed"),
            _ => format!("{place} {} for {} s", kind.done(), time.as_secs()),
        };
        let open = Open { entry: self.journal.begin(what), until: Instant::now() + time, starts };
        if let Some(before) = self.open.lock().insert((place, kind), open) {
            self.journal.over(before.entry);
        }
        Ok(())
    }

    /// Ends every pause and every cut.
    pub fn heal(&self) {
        for open in self.open.lock().values_mut() {
            open.until = Instant::now();
        }
        self.look();
    }

    /// Ends what is over, until `stop`.
    pub async fn keep(&self, stop: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => self.look(),
                () = stop.cancelled() => return self.heal(),
            }
        }
    }

    fn look(&self) {
        let now = Instant::now();
        self.open.lock().retain(|&(place, kind), open| {
            let goes_on = match kind {
                Kind::Kill => !self.is_back(place, open.starts),
                Kind::Pause | Kind::Cut => now < open.until || !self.end(place, kind),
            };
            if !goes_on {
                self.journal.over(open.entry);
            }
            goes_on
        });
    }

    /// Whether it runs in a life behind the one of that number.
    fn is_back(&self, place: Place, life: u32) -> bool {
        self.processes.get(&place).is_none_or(|process| {
            let status = process.status.borrow();
            status.starts > life && status.state == State::Running
        })
    }

    /// Whether it could be done now.
    fn end(&self, place: Place, kind: Kind) -> bool {
        if kind == Kind::Cut {
            self.cuts.send_modify(|cuts| _ = cuts.remove(&place));
            return true;
        }
        self.processes.get(&place).is_none_or(|process| process.order(Order::Resume))
    }
}

impl Kind {
    /// As it travels.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Pause => "pause",
            Kind::Cut => "cut",
        }
    }

    /// What a button says.
    pub const fn in_words(self) -> &'static str {
        match self {
            Kind::Kill => "Kill",
            Kind::Pause => "Pause",
            Kind::Cut => "Cut off",
        }
    }

    pub const fn done(self) -> &'static str {
        match self {
            Kind::Kill => "killed",
            Kind::Pause => "paused",
            Kind::Cut => "cut off",
        }
    }
}
