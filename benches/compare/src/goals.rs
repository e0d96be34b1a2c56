//! The table of the goals, as data. Where a row has several goals, each is a line of its own.

/// What a goal asks of a figure: of the ratio where there is a peer, of the figure itself where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// No goal: it stands beside another one.
    Beside,
}

impl Bound {
    /// `None` where nothing is asked.
    pub fn met(self, figure: f64) -> Option<bool> {
        match self {
            Bound::AtLeast(least) => Some(figure >= least),
            Bound::AtMost(most) => Some(figure <= most),
            Bound::Beside => None,
        }
    }
}

#[derive(Debug)]
pub struct Goal {
    pub row: u8,
    /// Unique: the row's number, with a letter where the row has several goals.
    pub id: &'static str,
    pub ours: &'static str,
    /// What ours is divided by; `None` where the figure itself is judged.
    pub peer: Option<&'static str>,
    pub unit: &'static str,
    pub bound: Bound,
}

const fn goal(
    row: u8,
    id: &'static str,
    ours: &'static str,
    peer: Option<&'static str>,
    unit: &'static str,
    bound: Bound,
) -> Goal {
    Goal { row, id, ours, peer, unit, bound }
}

use Bound::{AtLeast, AtMost, Beside};

const RATE: &str = "/s";
const MS: &str = "ms";
const MB: &str = "MB";
const S: &str = "s";

#[rustfmt::skip]
pub const GOALS: &[Goal] = &[
    goal(1, "1a", "cached search, direct", Some("nginx proxy_cache hit"), RATE, AtLeast(1.0)),
    goal(1, "1b", "cached search, direct", Some("Varnish hit"), RATE, AtLeast(1.4)),
    goal(1, "1c", "cached search, direct", Some("bare actix-web, a constant"), RATE, AtLeast(0.9)),
    goal(2, "2", "cached search while 200 purchases/s invalidate the topic", Some("itself without purchases"), RATE, AtLeast(0.8)),
    goal(3, "3", "hit through Redis only", Some("bare actix-web, a constant"), RATE, AtLeast(0.5)),
    goal(4, "4", "missed info, frontend → catalog, every read a new key", Some("bare actix-web proxying to bare actix-web"), RATE, AtLeast(0.6)),
    goal(5, "5", "cached search through deploy/nginx", Some("the same nginx in front of bare actix-web"), RATE, AtLeast(0.9)),
    goal(6, "6a", "durable purchases, 32 clients, 1,000 books", Some("PostgreSQL, BEGIN … COMMIT"), RATE, AtLeast(3.0)),
    goal(6, "6b", "durable purchases, 32 clients, 1,000 books", Some("PostgreSQL, one statement"), RATE, Beside),
    goal(7, "7a", "durable purchases, 256 clients, 1,000 books", Some("PostgreSQL, BEGIN … COMMIT"), RATE, AtLeast(5.0)),
    goal(7, "7b", "durable purchases, 256 clients, 1,000 books", Some("PostgreSQL, one statement"), RATE, Beside),
    goal(8, "8a", "durable purchases, 256 clients, one book", Some("ours, 1,000 books"), RATE, AtLeast(0.8)),
    goal(8, "8b", "durable purchases, 256 clients, one book", Some("PostgreSQL, BEGIN … COMMIT, one book"), RATE, Beside),
    goal(9, "9a", "purchase, 1 client, p50", Some("PostgreSQL with a synchronous standby, p50"), MS, AtMost(1.5)),
    goal(9, "9b", "the fence's part of a purchase, 1 client, p50", Some("the whole purchase, p50"), MS, AtMost(0.2)),
    goal(10, "10a", "cached search at half the peak rate, p99", None, MS, AtMost(2.0)),
    goal(10, "10b", "cached search at half the peak rate, p99", Some("nginx proxy_cache hit at the same rate, p99"), MS, AtMost(1.0)),
    goal(11, "11a", "cached search, large catalog, p50", Some("11 books"), MS, AtMost(1.3)),
    goal(11, "11b", "missed search, large catalog, p50", Some("11 books"), MS, AtMost(1.3)),
    goal(11, "11c", "missed info, large catalog, p50", Some("11 books"), MS, AtMost(1.3)),
    goal(11, "11d", "purchase, large catalog, p50", Some("11 books"), MS, AtMost(1.3)),
    goal(12, "12", "bazar import, through the master, replica in sync", Some("the sqlite3 shell's .import"), S, AtMost(2.0)),
    goal(13, "13a", "purchase at a quarter of the peak rate, 8 frontends, p50", Some("1 frontend"), MS, AtMost(1.3)),
    goal(13, "13b", "purchase at a quarter of the peak rate, 4 replicas, p50", Some("1 replica"), MS, AtMost(1.6)),
    goal(14, "14a", "bazar up, resident, idle", None, MB, AtMost(60.0)),
    goal(14, "14b", "bazar up, resident, under full load, highest", None, MB, AtMost(150.0)),
    goal(14, "14c", "bazar up, resident, large catalog, read and bought from, highest", None, MB, AtMost(250.0)),
    goal(15, "15a", "start to ready, 11 books", None, S, AtMost(0.3)),
    goal(15, "15b", "start to ready, large catalog", None, S, AtMost(1.0)),
    goal(16, "16a", "a hit, 1 client, mean", Some("the original's claim"), MS, Beside),
    goal(16, "16b", "a miss, 1 client, mean", Some("the original's claim"), MS, Beside),
    goal(16, "16c", "a purchase's invalidation, 1 client, mean", Some("the original's claim"), MS, Beside),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_goal_has_an_id_of_its_own_that_begins_with_its_row() {
        let ids: HashSet<_> = GOALS.iter().map(|goal| goal.id).collect();
        assert_eq!(ids.len(), GOALS.len());
        for goal in GOALS {
            assert_eq!(goal.id.trim_end_matches(char::is_alphabetic), goal.row.to_string());
        }
    }
}
