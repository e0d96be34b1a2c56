//! The serving rule: the only judge of whether a known answer may be given.
//!
//! An entry may be served to a request if and only if
//! 1. its epoch is the lease's,
//! 2. the state that it shows (`asof`) has reached the floor of its own key **and of every book in it**,
//! 3. the lease object whose floors these are was valid at some moment since the request came in.
//!
//! Why 3 suffices: a write that was acknowledged before the request came in was committed before, so
//! this frontend had raised the floor, or its lease had run out on the master's later clock. A write that
//! overlaps the request may be seen or not.

use super::rule::{Rule, kept};
use super::{Key, Lease, Moment, Slot};
use crate::domain::{BookId, Epoch, Version};

/// What an entry must carry to be judged: the version of the state it shows and the slots of what it
/// depends on, its own key first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp {
    asof: Version,
    slots: Box<[Slot]>,
}

/// The judgement on an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Serve,
    /// The entry is of another life of the store.
    OtherEpoch,
    /// Something in it has changed, or is about to: a state of at least this version is needed.
    BelowFloor(Version),
    /// There was no valid lease since the request came in.
    NoLease,
}

impl Stamp {
    pub fn new(asof: Version, own: &Key, books: impl IntoIterator<Item = BookId>) -> Self {
        let slots = std::iter::once(own.slot()).chain(books.into_iter().map(|id| Key::Book(id).slot()));
        Self { asof, slots: slots.collect() }
    }

    pub fn asof(&self) -> Version {
        self.asof
    }

    /// Whether the floor of this slot judges it.
    pub fn depends_on(&self, slot: Slot) -> bool {
        self.slots.contains(&slot)
    }

    /// Bytes on the heap, for the cache's budget.
    pub fn size(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// Judges an entry with this stamp for a request that came in at `came_in`.
    pub fn judge(&self, lease: &Lease, came_in: Moment) -> Verdict {
        if !lease.valid_at(came_in) {
            return Verdict::NoLease;
        }
        if self.asof.epoch != lease.epoch() && kept(Rule::EntryOfTheLeasesEpoch) {
            return Verdict::OtherEpoch;
        }
        let floors = lease.floors();
        let checked = if kept(Rule::ListCheckedByItsBooks) { &self.slots[..] } else { &self.slots[..1] };
        let floor = checked.iter().map(|&slot| floors.floor(slot)).max().unwrap_or(0);
        match self.asof.seq >= floor {
            true => Verdict::Serve,
            false => Verdict::BelowFloor(Version::new(lease.epoch(), floor)),
        }
    }
}

/// Whether a master's own answer, to a request sent at `sent`, may be given to a request that came in at
/// `came_in` even though it is below a floor: a version that is only fenced has been seen by nobody, and
/// what the master had committed when it was asked is the truth of a moment since then.
pub fn fresh_from_master(asof: Epoch, lease: &Lease, sent: Moment, came_in: Moment) -> bool {
    asof == lease.epoch() && (sent >= came_in || !kept(Rule::AskedAfterTheWaiterCame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::lease::{Grant, Session};
    use crate::coherence::{FloorTable, HolderId, LeaseId};
    use crate::domain::Topic;
    use std::sync::Arc;

    const LIFE: Epoch = Epoch { number: 1, identity: 1 };

    fn lease() -> Arc<Lease> {
        let mut session = Session::new(HolderId(1));
        session.ask(Moment(0), LeaseId(1));
        let floors = Some(FloorTable { global: 3, slots: vec![] });
        let grant = Grant { lease: LeaseId(1), epoch: LIFE, term_ms: 1000, floors };
        session.granted(&grant, Moment(0), Moment(1));
        Arc::clone(session.held().unwrap())
    }

    fn book(id: i64) -> BookId {
        BookId::new(id).unwrap()
    }

    fn list(epoch: Epoch, seq: u64) -> Stamp {
        let topic = Key::Topic(Topic::parse("education").unwrap());
        Stamp::new(Version::new(epoch, seq), &topic, [book(9), book(10)])
    }

    #[test]
    fn an_entry_above_all_its_floors_is_served() {
        assert_eq!(list(LIFE, 3).judge(&lease(), Moment(5)), Verdict::Serve);
    }

    #[test]
    fn a_list_is_refused_when_any_book_in_it_or_its_membership_changed() {
        let topic = Key::Topic(Topic::parse("education").unwrap());
        for key in [topic, Key::Book(book(9)), Key::Book(book(10))] {
            let lease = lease();
            lease.floors().raise(key.slot(), 4);
            let needed = Version::new(LIFE, 4);
            assert_eq!(list(LIFE, 3).judge(&lease, Moment(5)), Verdict::BelowFloor(needed));
            assert_eq!(list(LIFE, 4).judge(&lease, Moment(5)), Verdict::Serve);
        }
        let lease = lease();
        lease.floors().raise(Key::Book(book(1)).slot(), 4);
        assert_eq!(list(LIFE, 3).judge(&lease, Moment(5)), Verdict::Serve);
    }

    #[test]
    fn an_entry_of_another_life_is_refused_whatever_its_seq() {
        let twin = Epoch { identity: 2, ..LIFE };
        assert_eq!(list(twin, 99).judge(&lease(), Moment(5)), Verdict::OtherEpoch);
    }

    #[test]
    fn a_lease_that_was_valid_when_the_request_came_in_suffices_and_one_that_was_not_never_does() {
        let end = 970_000_000;
        assert_eq!(list(LIFE, 3).judge(&lease(), Moment(end - 1)), Verdict::Serve);
        assert_eq!(list(LIFE, 3).judge(&lease(), Moment(end)), Verdict::NoLease);
    }

    #[test]
    fn a_masters_answer_is_fresh_only_for_those_who_came_before_it_was_asked() {
        assert!(fresh_from_master(LIFE, &lease(), Moment(7), Moment(7)));
        assert!(!fresh_from_master(LIFE, &lease(), Moment(7), Moment(8)));
        assert!(!fresh_from_master(Epoch { number: 2, identity: 2 }, &lease(), Moment(7), Moment(6)));
    }
}
