//! What a replica does with a record that it is given.
//!
//! Invariant: a replica's rows are those of a prefix of one master's history, and its position names the
//! end of that prefix, identity included.

use super::rule::{Rule, kept};
use crate::domain::Version;

/// The verdict on one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It is the next one.
    Apply,
    /// It is behind the position: applied before, or of a life that the position has left behind.
    Already,
    /// Records between are missing; the log has them.
    Gap,
}

/// Judges a record that names `predecessor` as the one before it. That a missing predecessor is of
/// another history, and not merely ahead, only the master's log can tell.
pub fn follow(position: Version, predecessor: Version, version: Version) -> Follow {
    let behind = version.seq <= position.seq && version.epoch.number <= position.epoch.number;
    let next = match kept(Rule::FollowsByFullPredecessor) {
        true => predecessor == position,
        false => predecessor.seq == position.seq,
    };
    if next {
        Follow::Apply
    } else if version == position || (behind && !version.epoch.deposes(position.epoch)) {
        Follow::Already
    } else {
        Follow::Gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;

    const FIRST: Epoch = Epoch { number: 1, identity: 1 };
    const SECOND: Epoch = Epoch { number: 2, identity: 2 };
    const TWIN: Epoch = Epoch { number: 2, identity: 3 };

    fn v(epoch: Epoch, seq: u64) -> Version {
        Version::new(epoch, seq)
    }

    #[test]
    fn only_the_successor_of_the_position_is_applied() {
        assert_eq!(follow(v(FIRST, 5), v(FIRST, 5), v(FIRST, 6)), Follow::Apply);
        assert_eq!(follow(v(FIRST, 5), v(FIRST, 5), v(SECOND, 6)), Follow::Apply);
        assert_eq!(follow(v(FIRST, 5), v(FIRST, 6), v(FIRST, 7)), Follow::Gap);
    }

    #[test]
    fn what_was_applied_before_is_not_applied_again() {
        assert_eq!(follow(v(FIRST, 5), v(FIRST, 4), v(FIRST, 5)), Follow::Already);
        assert_eq!(follow(v(SECOND, 5), v(FIRST, 3), v(FIRST, 4)), Follow::Already);
    }

    #[test]
    fn a_record_of_a_second_life_with_the_same_numbers_is_never_taken_for_the_first() {
        assert_eq!(follow(v(TWIN, 5), v(SECOND, 4), v(SECOND, 5)), Follow::Gap);
        assert_eq!(follow(v(TWIN, 5), v(SECOND, 5), v(SECOND, 6)), Follow::Gap);
    }
}
