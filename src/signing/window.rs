//! Which numbers of one sender were seen: a sliding window, as IPsec has it (RFC 4303, 3.4.3).
//!
//! Invariant: each number is admitted once at most. One that is too far behind the highest is not admitted, seen or
//! not.

/// Numbers behind the highest that are told apart. A sender's requests overtake each other: it counts them when it
/// signs, and each waits for a connection, which may have to send again. 65,536 are outrun only by one that takes
/// over a second while 60,000 a second overtake it; it is then refused, and its sender takes that for no answer.
pub const WIDTH: u64 = 1 << 16;

const WORD: u64 = u64::BITS as u64;

#[derive(Clone)]
pub struct Window {
    highest: u64,
    /// A bit for each of the last [`WIDTH`] numbers, at its place modulo that.
    seen: Box<[u64]>,
}

impl Window {
    /// Nothing was seen.
    pub fn new() -> Self {
        Self { highest: 0, seen: vec![0; (WIDTH / WORD) as usize].into() }
    }

    /// Whether `n` comes for the first time, and not too late; from then on it was seen.
    pub fn admit(&mut self, n: u64) -> bool {
        if n > self.highest {
            if n - self.highest >= WIDTH {
                self.seen.fill(0);
            } else {
                (self.highest + 1..=n).for_each(|between| {
                    let (word, bit) = self.place(between);
                    *word &= !bit;
                });
            }
            self.highest = n;
        } else if self.highest - n >= WIDTH {
            return false;
        }
        let (word, bit) = self.place(n);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    fn place(&mut self, n: u64) -> (&mut u64, u64) {
        let place = n % WIDTH;
        // The width is that of the words.
        (&mut self.seen[(place / WORD) as usize], 1 << (place % WORD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_number_is_admitted_once_and_in_any_order_within_the_window() {
        let mut window = Window::new();
        for n in [1, 3, 2, 5, 0, WIDTH, 6] {
            assert!(window.admit(n), "{n}");
            assert!(!window.admit(n), "{n} again");
        }
        assert!(!window.admit(0), "too far behind {WIDTH}");
        assert!(window.admit(10 * WIDTH) && !window.admit(9 * WIDTH) && window.admit(9 * WIDTH + 1));
        assert!(window.admit(u64::MAX) && !window.admit(u64::MAX) && window.admit(u64::MAX - 1));
    }

    /// Numbers near each other, near the window's width apart, and far away.
    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let near = 0..40_u64;
        let apart = (0..4_u64, 0..6_u64).prop_map(|(widths, more)| widths * WIDTH + more);
        prop::collection::vec(prop_oneof![near, apart, any::<u64>()], 0..200)
    }

    proptest! {
        #[test]
        fn it_admits_what_a_set_of_all_numbers_would_if_it_is_not_too_late(numbers in numbers()) {
            let (mut window, mut seen, mut highest) = (Window::new(), HashSet::new(), 0);
            for n in numbers {
                let late = n < highest && highest - n >= WIDTH;
                let expected = !late && seen.insert(n);
                prop_assert_eq!(window.admit(n), expected, "{} behind {}", n, highest);
                highest = highest.max(n);
            }
        }
    }
}
