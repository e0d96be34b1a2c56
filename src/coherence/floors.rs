//! Floors: for each key the highest version that a fence announced for it.
//!
//! A fixed table, so nothing is evicted and nothing grows: keys share [`Floors::SLOTS`] slots by hash. A
//! collision raises another key's floor, which costs a miss and never a wrong answer.
//!
//! Invariant: a floor never falls. Floors belong to one epoch, whose `seq` they count in.

use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a key's floor lies in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

/// The table itself: shared, raised by fences and read by every request without a lock.
#[derive(Debug)]
pub struct Floors {
    slots: Box<[AtomicU64]>,
    /// For batches that touch more keys than a fence should carry, and the start of the epoch.
    global: AtomicU64,
    /// The highest version of a fence whose floors are all raised.
    announced: AtomicU64,
}

/// A table as it travels: the slots that stand above `global`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FloorTable {
    pub global: u64,
    pub slots: Vec<(Slot, u64)>,
}

impl Floors {
    /// 512 KiB of floors: with a million books and 200 purchases a second, a second's sales cover less
    /// than 0.4 % of it.
    pub const SLOTS: usize = if cfg!(mutants) { 1 << 4 } else { 1 << 16 };

    pub fn new(global: u64) -> Self {
        let slots = (0..Self::SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { slots, global: AtomicU64::new(global), announced: AtomicU64::new(global) }
    }

    /// The lowest `asof` that an answer depending on this slot may have.
    pub fn floor(&self, slot: Slot) -> u64 {
        // Acquire pairs with the raise: who sees a version acknowledged sees its floor.
        let own = self.slots[Self::index(slot)].load(Ordering::Acquire);
        own.max(self.global.load(Ordering::Acquire))
    }

    pub fn raise(&self, slot: Slot, seq: u64) {
        self.slots[Self::index(slot)].fetch_max(seq, Ordering::AcqRel);
    }

    /// All 16 bits count, but in the model's small table, where keys must collide.
    fn index(slot: Slot) -> usize {
        usize::from(slot.0) & (Self::SLOTS - 1)
    }

    pub fn raise_all(&self, seq: u64) {
        self.global.fetch_max(seq, Ordering::AcqRel);
    }

    /// Every floor of the fence for `seq` is raised.
    pub fn complete(&self, seq: u64) {
        self.announced.fetch_max(seq, Ordering::AcqRel);
    }

    /// The highest version announced. An answer that passes the floors *afterwards* shows what a state of
    /// that version shows: whatever changed since it was made has been announced. So load this first.
    pub fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// Merges by maximum, in whatever order tables and fences come.
    pub fn merge(&self, table: &FloorTable) {
        self.raise_all(table.global);
        for &(slot, seq) in &table.slots {
            self.raise(slot, seq);
        }
        // All that this master announced is in its table, so the highest of it is as well.
        self.complete(table.slots.iter().map(|&(_, seq)| seq).fold(table.global, u64::max));
    }

    pub fn table(&self) -> FloorTable {
        let global = self.global.load(Ordering::Acquire);
        let slots = self.slots.iter().enumerate().filter_map(|(index, floor)| {
            let floor = floor.load(Ordering::Acquire);
            // The index of a 65,536-entry table fits a u16.
            (floor > global).then_some((Slot(index as u16), floor))
        });
        FloorTable { global, slots: slots.collect() }
    }
}

/// What the table holds at this moment: floor by floor, so not one moment for all while it is raised.
fn values(floors: &Floors) -> impl Iterator<Item = u64> {
    floors.slots.iter().chain([&floors.global, &floors.announced]).map(|floor| floor.load(Ordering::Acquire))
}

impl Clone for Floors {
    fn clone(&self) -> Self {
        let copy = |floor: &AtomicU64| AtomicU64::new(floor.load(Ordering::Acquire));
        Self {
            slots: self.slots.iter().map(copy).collect(),
            global: copy(&self.global),
            announced: copy(&self.announced),
        }
    }
}

impl PartialEq for Floors {
    fn eq(&self, other: &Self) -> bool {
        values(self).eq(values(other))
    }
}

impl Eq for Floors {}

impl Hash for Floors {
    fn hash<H: Hasher>(&self, state: &mut H) {
        values(self).for_each(|floor| floor.hash(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_never_falls_whatever_the_order() {
        let floors = Floors::new(3);
        floors.raise(Slot(7), 9);
        floors.raise(Slot(7), 5);
        assert_eq!((floors.floor(Slot(7)), floors.floor(Slot(8))), (9, 3));
        floors.raise_all(12);
        floors.raise_all(11);
        assert_eq!((floors.floor(Slot(7)), floors.floor(Slot(8))), (12, 12));
    }

    #[test]
    fn a_table_travels_and_is_merged_by_maximum() {
        let master = Floors::new(3);
        master.raise(Slot(65_535), 9);
        master.raise(Slot(1), 2);
        assert_eq!(master.table(), FloorTable { global: 3, slots: vec![(Slot(65_535), 9)] });
        let frontend = Floors::new(0);
        frontend.raise(Slot(65_535), 10);
        frontend.merge(&master.table());
        assert_eq!((frontend.floor(Slot(65_535)), frontend.floor(Slot(1))), (10, 3));
    }

    #[test]
    fn a_version_counts_as_announced_when_all_its_floors_are_raised() {
        let floors = Floors::new(3);
        floors.raise(Slot(7), 9);
        assert_eq!(floors.announced(), 3);
        floors.complete(9);
        floors.complete(8);
        assert_eq!(floors.announced(), 9);
        let joined = Floors::new(0);
        joined.merge(&floors.table());
        assert_eq!(joined.announced(), 9);
    }
}
