//! Which request comes next: a mix of reads and purchases, topics and books by a Zipf law.

use super::{Config, shelf::Shelf};
use rand::RngExt;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};

/// What a customer does next; the numbers are places on the [`Shelf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    Search(usize),
    Info(usize),
    Buy(usize),
}

/// How often a book is drawn anew because it is sold out, before it is asked for all the same. So
/// purchases go on while there is anything left, and a store that is empty is still asked.
const DRAWS: usize = 64;

pub struct Draw {
    topics: Zipf<f64>,
    books: Zipf<f64>,
    buy: f64,
    searches: f64,
    rng: SmallRng,
}

impl Draw {
    pub fn new(shelf: &Shelf, config: &Config, rng: SmallRng) -> Self {
        Self {
            topics: ranks(shelf.topics.len(), config.zipf),
            books: ranks(shelf.books.len(), config.zipf),
            buy: config.buy,
            searches: config.searches,
            rng,
        }
    }

    /// `sold_out` tells of a book whether it is known to be.
    pub fn next(&mut self, sold_out: impl Fn(usize) -> bool) -> Next {
        if self.rng.random::<f64>() < self.buy {
            let mut book = place(&self.books, &mut self.rng);
            for _ in 1..DRAWS {
                if !sold_out(book) {
                    break;
                }
                book = place(&self.books, &mut self.rng);
            }
            Next::Buy(book)
        } else if self.rng.random::<f64>() < self.searches {
            Next::Search(place(&self.topics, &mut self.rng))
        } else {
            Next::Info(place(&self.books, &mut self.rng))
        }
    }
}

/// The Zipf law over `count` ranks: rank k is drawn in proportion to 1 / k^s, in constant time
/// (rejection-inversion, Hörmann and Derflinger 1996).
fn ranks(count: usize, s: f64) -> Zipf<f64> {
    // Both are within its domain: at least one rank, an exponent from 0 to 10.
    Zipf::new(count.max(1) as f64, s).unwrap_or_else(|error| unreachable!("{count} ranks, {s}: {error}"))
}

fn place(law: &Zipf<f64>, rng: &mut SmallRng) -> usize {
    // Ranks are whole numbers from 1 on.
    law.sample(rng) as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const DRAWN: usize = 100_000;

    /// How often each of `count` places was drawn.
    fn drawn(count: usize, s: f64) -> Vec<usize> {
        let (law, mut rng) = (ranks(count, s), SmallRng::seed_from_u64(7));
        let mut times = vec![0; count];
        for _ in 0..DRAWN {
            times[place(&law, &mut rng)] += 1;
        }
        times
    }

    #[test]
    fn a_rank_is_drawn_as_often_as_the_law_says() {
        for s in [0.0, 0.5, 1.0, 1.2, 2.0] {
            let weights: Vec<f64> = (1..=10).map(|rank| f64::from(rank).powf(-s)).collect();
            let sum: f64 = weights.iter().sum();
            for (times, weight) in drawn(10, s).into_iter().zip(weights) {
                let expected = DRAWN as f64 * weight / sum;
                // Six standard deviations of a count.
                assert!(
                    (times as f64 - expected).abs() < 6.0 * expected.sqrt(),
                    "s {s}: {times} for {expected}"
                );
            }
        }
    }

    #[test]
    fn the_extremes_of_the_law_are_drawn_too() {
        assert_eq!(drawn(1, 1.0), [DRAWN]);
        assert!(drawn(10_000, 10.0)[0] > DRAWN * 99 / 100);
    }

    fn draw(buy: f64, searches: f64, seed: u64) -> Draw {
        let rng = SmallRng::seed_from_u64(seed);
        Draw { topics: ranks(5, 1.0), books: ranks(5, 1.0), buy, searches, rng }
    }

    #[test]
    fn the_mix_is_the_one_that_was_asked_for_and_follows_from_the_seed() {
        let requests = |seed| {
            let mut draw = draw(0.2, 0.25, seed);
            (0..10_000).map(|_| draw.next(|_| false)).collect::<Vec<_>>()
        };
        let drawn = requests(1);
        let share =
            |kind: fn(&Next) -> bool| drawn.iter().filter(|next| kind(next)).count() as f64 / 10_000.0;
        assert!((share(|next| matches!(next, Next::Buy(_))) - 0.2).abs() < 0.03);
        assert!((share(|next| matches!(next, Next::Search(_))) - 0.2).abs() < 0.03);
        assert_eq!(drawn, requests(1));
        assert_ne!(drawn, requests(2));
    }

    #[test]
    fn what_is_sold_out_is_passed_over_while_there_is_anything_else() {
        let mut buyer = draw(1.0, 0.0, 1);
        for _ in 0..100 {
            assert_eq!(buyer.next(|book| book != 1), Next::Buy(1));
        }
        assert!(matches!(buyer.next(|_| true), Next::Buy(_)));
    }
}
