//! What stays the same in a run, and what may go wrong in it.

use crate::coherence::Moment;
use crate::domain::{Book, BookId, Edit};
use crate::world::Action;
use crate::world::rows::Want;

/// Each process has a clock of its own: another start, and up to one percent of drift.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub permille: u64,
    pub offset: u64,
}

impl Clock {
    pub fn at(self, now: u64) -> Moment {
        Moment(self.offset + now * self.permille / 1000)
    }

    /// When this clock shows `moment`.
    pub(super) fn when(self, moment: Moment) -> u64 {
        (moment.0.saturating_sub(self.offset) * 1000).div_ceil(self.permille)
    }
}

/// What one customer or keeper does.
#[derive(Debug, Clone)]
pub enum Deed {
    Buy(BookId),
    Edit(Edit),
}

/// What stays the same in a run.
#[derive(Debug, Clone)]
pub struct Setup {
    pub nodes: usize,
    pub fronts: usize,
    /// Where each frontend says it listens; two that share one are behind one name.
    pub addresses: Vec<usize>,
    /// Whether a shared name always stands for the first of them.
    pub name_is_fixed: bool,
    pub clocks: Vec<Clock>,
    pub books: Vec<Book>,
    pub wants: Vec<Want>,
    pub deeds: Vec<Deed>,
    pub redis: bool,
    /// `--lease` of each start, the last one for all that follow.
    pub terms_ms: Vec<u64>,
    /// Whether the replicas follow and are in the set when the run begins, and frontends hold leases.
    pub warm: bool,
    /// What has happened already when the run begins.
    pub prelude: Vec<Prelude>,
    /// Whether a request's arrival and its look into the cache are two steps.
    pub slow_looks: bool,
    pub budget: Left,
}

/// Before a run begins: so that short runs begin at interesting places.
#[derive(Debug, Clone, Copy)]
pub enum Prelude {
    Act(Action),
    /// Everything that is under way arrives and is answered; no time passes.
    Rest,
    /// Every frontend reads everything, and keeps it.
    ReadAll,
}

/// What may still go wrong, or just happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Left {
    pub reads: u16,
    pub asks: u16,
    pub ticks: u16,
    pub reports: u16,
    pub losses: u16,
    pub doubles: u16,
    pub retries: u16,
    /// Retries while an earlier attempt is still under way.
    pub impatience: u16,
    pub master_stops: u16,
    pub replica_stops: u16,
    pub front_stops: u16,
    pub power_cuts: u16,
    pub releases: u16,
    /// Batches that fail when they have been fenced: a statement, or the disk.
    pub refusals: u16,
    pub backups: u16,
    pub wipes: u16,
    pub redis_restores: u16,
    pub handovers: u16,
    pub forces: u16,
}
