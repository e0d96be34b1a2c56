//! Choosing a node: pure, given how each of them stands. The turn and the random number come in as arguments.
//!
//! Invariant: who is well comes before who is ejected, and that one before who is dead; among those that stand
//! the same, who is silent comes last. A worse one is chosen only when there is none better, because a node that
//! was thought ill may still answer.

use super::health::Standing;

/// How the next node is chosen among those that are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Each in its turn.
    #[default]
    RoundRobin,
    /// The one with the fewest calls under way; among equals, each in its turn.
    LeastConnections,
    /// Of two that are drawn, the one with fewer calls under way. Nearly as even as the fewest of all, and
    /// frontends that know nothing of one another do not all run to the same node (Mitzenmacher, "The Power
    /// of Two Choices in Randomized Load Balancing", 2001).
    P2c,
}

impl Policy {
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::LeastConnections, Self::P2c];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::P2c => "p2c",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

/// A node that may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub standing: Standing,
    /// It owes answers and has given none for suspiciously long. It may hang, or only be busy with something
    /// that takes long: the others are as good, so nobody need find out.
    pub silent: bool,
    /// Times that it was chosen and has not answered yet.
    pub under_way: usize,
    /// Of how many choices it takes part in one: less than 1 while it starts slowly.
    pub share: f64,
}

impl Candidate {
    /// How good it is: the better, the smaller. Silence is the weakest of signs, gone with the next answer, and does
    /// not make an ejected node the better choice.
    fn rank(&self) -> (Standing, bool) {
        (self.standing, self.silent)
    }
}

/// The place of the node to ask. `turn` grows by one with each choice; `random` is uniform. `None` only when
/// there is no node.
pub fn choose(policy: Policy, nodes: &[Candidate], turn: usize, random: u64) -> Option<usize> {
    let best = nodes.iter().map(Candidate::rank).min()?;
    // At least 0 and less than 1.
    let drawn = f64::from(random as u32) / 2_f64.powi(32);
    let best_ones = || (0..nodes.len()).filter(|&place| nodes[place].rank() == best);
    let mut open: Vec<usize> = best_ones().filter(|&place| nodes[place].share > drawn).collect();
    if open.is_empty() {
        open = best_ones().collect();
    }
    let in_turn = |places: &[usize]| places[turn % places.len()];
    let busy = |place: usize| nodes[place].under_way;
    Some(match policy {
        Policy::RoundRobin => in_turn(&open),
        Policy::LeastConnections => {
            let fewest = open.iter().map(|&place| busy(place)).min()?;
            open.retain(|&place| busy(place) == fewest);
            in_turn(&open)
        }
        Policy::P2c => {
            let (one, other) = two_of(open.len(), random >> 32);
            if busy(open[other]) < busy(open[one]) { open[other] } else { open[one] }
        }
    })
}

/// Two different numbers below `count`, each pair in either order equally likely; the same one twice if there
/// is no other. `count` is not 0.
fn two_of(count: usize, random: u64) -> (usize, usize) {
    if count == 1 {
        return (0, 0);
    }
    let pair = (random % (count * (count - 1)) as u64) as usize;
    let (one, other) = (pair / (count - 1), pair % (count - 1));
    (one, other + usize::from(other >= one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const WELL: Candidate = Candidate { standing: Standing::Well, silent: false, under_way: 0, share: 1.0 };
    const SILENT: Candidate = Candidate { silent: true, ..WELL };
    const EJECTED: Candidate = Candidate { standing: Standing::Ejected, ..WELL };
    const DEAD: Candidate = Candidate { standing: Standing::Dead, ..WELL };

    fn busy(under_way: usize) -> Candidate {
        Candidate { under_way, ..WELL }
    }

    /// Whom the first turns fall to.
    fn turns(policy: Policy, nodes: &[Candidate], count: usize) -> Vec<usize> {
        (0..count).map(|turn| choose(policy, nodes, turn, 0).unwrap()).collect()
    }

    /// How often each of the nodes is chosen, by random numbers spread evenly over all that there are.
    fn frequencies(policy: Policy, nodes: &[Candidate]) -> BTreeMap<usize, usize> {
        let mut chosen = BTreeMap::new();
        for turn in 0..10_000_u64 {
            // The golden ratio's multiples are spread evenly (Weyl).
            let random = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let place = choose(policy, nodes, turn as usize, random).unwrap();
            *chosen.entry(place).or_default() += 1;
        }
        chosen
    }

    #[test]
    fn those_that_are_well_take_turns() {
        assert_eq!(turns(Policy::RoundRobin, &[busy(7), DEAD, busy(0)], 4), [0, 2, 0, 2]);
    }

    #[test]
    fn the_one_with_the_fewest_calls_under_way_is_next_and_equals_take_turns() {
        assert_eq!(turns(Policy::LeastConnections, &[busy(2), busy(1), busy(1), busy(3)], 4), [1, 2, 1, 2]);
    }

    #[test]
    fn of_two_that_are_drawn_the_busier_one_is_not_chosen() {
        let chosen = frequencies(Policy::P2c, &[busy(9), busy(1), busy(1)]);
        assert_eq!(chosen.get(&0), None, "it is never the better of two");
        assert!(chosen[&1].abs_diff(chosen[&2]) < 300, "{chosen:?}");
        let chosen = frequencies(Policy::P2c, &[WELL; 4]);
        assert!(chosen.values().all(|count| count.abs_diff(2_500) < 300), "{chosen:?}");
    }

    #[test]
    fn the_next_best_are_tried_when_none_is_well() {
        for policy in Policy::ALL {
            assert_eq!(choose(policy, &[DEAD, EJECTED, DEAD], 5, 5), Some(1));
            assert!(choose(policy, &[DEAD, DEAD], 1, 5).is_some());
            assert_eq!(choose(policy, &[], 3, 5), None);
        }
        assert_eq!(turns(Policy::RoundRobin, &[DEAD, DEAD], 2), [0, 1]);
    }

    #[test]
    fn who_is_silent_has_no_turn_while_another_is_well_and_goes_before_those_that_are_out() {
        for policy in Policy::ALL {
            // By calls under way alone it would have all.
            assert!(!frequencies(policy, &[busy(3), SILENT, busy(3)]).contains_key(&1), "{policy:?}");
            assert_eq!(choose(policy, &[EJECTED, SILENT, DEAD], 5, 5), Some(1));
        }
        // When all wait for the same thing, they share what comes.
        assert_eq!(turns(Policy::RoundRobin, &[SILENT, EJECTED, SILENT], 4), [0, 2, 0, 2]);
        let silent_and_dead = Candidate { silent: true, ..DEAD };
        assert_eq!(turns(Policy::RoundRobin, &[silent_and_dead, DEAD], 2), [1, 1]);
    }

    #[test]
    fn who_starts_slowly_has_its_share_of_the_choices_under_every_policy() {
        let starting = Candidate { share: 0.2, ..WELL };
        // Busy enough that by calls under way alone the starting node would have all.
        for policy in Policy::ALL {
            let chosen = frequencies(policy, &[busy(4), starting, busy(4)])[&1];
            let most = if policy == Policy::RoundRobin { 2_000 / 3 } else { 2_000 };
            assert!((most / 2..=most + 100).contains(&chosen), "{policy:?}: {chosen}");
        }
        // When all of them start, nobody waits for the draw.
        assert!(choose(Policy::RoundRobin, &[starting; 2], 0, u64::MAX).is_some());
    }

    #[test]
    fn a_policy_is_known_by_its_name_and_by_no_other() {
        for policy in Policy::ALL {
            assert_eq!(Policy::parse(policy.as_str()), Some(policy));
        }
        assert_eq!(Policy::parse("P2C"), None);
    }

    prop_compose! {
        fn candidate()(
            standing in prop_oneof![Just(Standing::Well), Just(Standing::Ejected), Just(Standing::Dead)],
            silent: bool,
            under_way in 0_usize..5,
            share in 0.0..=1.0,
        ) -> Candidate {
            Candidate { standing, silent, under_way, share }
        }
    }

    proptest! {
        #[test]
        fn nobody_is_chosen_while_one_that_stands_better_could_be(
            nodes in proptest::collection::vec(candidate(), 1..8),
            turn: usize,
            random: u64,
        ) {
            for policy in Policy::ALL {
                let chosen = nodes[choose(policy, &nodes, turn, random).unwrap()];
                prop_assert!(nodes.iter().all(|node| node.rank() >= chosen.rank()));
            }
        }

        #[test]
        fn two_are_different_wherever_there_are_two(count in 1_usize..64, random: u64) {
            let (one, other) = two_of(count, random);
            prop_assert!(one < count && other < count && (one != other || count == 1));
        }
    }
}
