//! How fast nodes answer, and who is too slow beside its peers. Pure.
//!
//! The median of a node's latest answers, which a few expensive searches do not move, is compared with the median
//! of its peers'. Both bounds must be passed: a factor, so that a purchase, which takes milliseconds, is not
//! measured by the yardstick of a read; and a time, so that nobody is sent away for what no customer notices.
//! What all suffer together (a slow master, a busy machine) moves the peers as well.

use std::time::Duration;

/// Times the peers' median.
const FACTOR: u32 = 3;

/// Above the peers' median. A replica that waits for a version does so for 5 ms.
const MARGIN: Duration = Duration::from_millis(10);

/// The latest answers that are remembered.
const REMEMBERED: usize = 64;

/// Fewer answers say too little.
const ENOUGH: usize = 16;

/// The latest answers of one node.
#[derive(Debug)]
pub struct Pace {
    took: [Duration; REMEMBERED],
    answers: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { took: [Duration::ZERO; REMEMBERED], answers: 0 }
    }
}

impl Pace {
    pub fn answered(&mut self, took: Duration) {
        self.took[self.answers % REMEMBERED] = took;
        self.answers += 1;
    }

    /// The median of the latest answers, which are then forgotten; nothing as long as there are too few.
    pub fn take(&mut self) -> Option<Duration> {
        let took = &mut self.took[..self.answers.min(REMEMBERED)];
        if took.len() < ENOUGH {
            return None;
        }
        self.answers = 0;
        median(took)
    }

    pub fn forget(&mut self) {
        self.answers = 0;
    }
}

/// The place of the slowest node if it is too slow, given what each of those that could be judged takes.
pub fn too_slow(nodes: &[Option<Duration>]) -> Option<usize> {
    let judged = || nodes.iter().enumerate().filter_map(|(place, took)| Some((place, (*took)?)));
    let (slowest, took) = judged().max_by_key(|&(_, took)| took)?;
    let mut peers: Vec<Duration> =
        judged().filter(|&(place, _)| place != slowest).map(|(_, took)| took).collect();
    let peers = median(&mut peers)?;
    (took >= peers * FACTOR && took >= peers + MARGIN).then_some(slowest)
}

/// The lower one of the middle two, where there are two.
fn median(values: &mut [Duration]) -> Option<Duration> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn a_node_is_too_slow_if_it_takes_three_times_as_long_as_its_peers_and_ten_milliseconds_more() {
        assert_eq!(too_slow(&[ms(1), ms(21)]), Some(1));
        assert_eq!(too_slow(&[ms(25), ms(1), ms(2)]), Some(0));
        assert_eq!(too_slow(&[ms(1), ms(6)]), None, "no customer notices 5 ms");
        assert_eq!(too_slow(&[ms(20), ms(45)]), None, "not even three times");
        assert_eq!(too_slow(&[ms(5), ms(15)]), Some(1), "just so");
        assert_eq!(too_slow(&[ms(500), ms(500), ms(500)]), None, "they suffer together");
    }

    #[test]
    fn without_peers_that_were_judged_nobody_is_slow() {
        assert_eq!(too_slow(&[]), None);
        assert_eq!(too_slow(&[ms(500)]), None);
        assert_eq!(too_slow(&[ms(500), None, None]), None);
    }

    #[test]
    fn few_answers_say_nothing_and_a_few_slow_ones_among_many_neither() {
        let mut pace = Pace::default();
        for _ in 1..ENOUGH {
            pace.answered(Duration::from_millis(20));
        }
        assert_eq!(pace.take(), None, "it goes on collecting");
        pace.answered(Duration::from_millis(20));
        assert_eq!(pace.take(), ms(20));
        assert_eq!(pace.take(), None, "they are forgotten");
        for answer in 0..1000 {
            pace.answered(Duration::from_millis(if answer % 5 == 0 { 90 } else { 1 }));
        }
        assert_eq!(pace.take(), ms(1));
    }

    #[test]
    fn only_the_latest_answers_count() {
        let mut pace = Pace::default();
        (0..1000).for_each(|_| pace.answered(Duration::from_millis(1)));
        (0..REMEMBERED).for_each(|_| pace.answered(Duration::from_millis(20)));
        assert_eq!(pace.take(), ms(20));
    }
}
