//! The names of the processes: in what people see, in the API, in data directories.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// One process of the store. Numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Frontend(usize),
    Redis,
    Order(usize),
    Master,
    Replica(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Frontend(number) => write!(f, "frontend-{number}"),
            Place::Redis => f.write_str("redis"),
            Place::Order(number) => write!(f, "order-{number}"),
            Place::Master => f.write_str("master"),
            Place::Replica(number) => write!(f, "replica-{number}"),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = match text.split_once('-') {
            None if text == "master" => Some(Place::Master),
            None if text == "redis" => Some(Place::Redis),
            Some((kind, number)) => number.parse().ok().and_then(|number| match kind {
                "frontend" => Some(Place::Frontend(number)),
                "order" => Some(Place::Order(number)),
                "replica" => Some(Place::Replica(number)),
                _ => None,
            }),
            None => None,
        };
        // Only what is written as we write it: "replica-01" is nobody.
        place
            .filter(|place| place.to_string() == text)
            .ok_or_else(|| format!("\"{}\" is no process of this store", text.escape_debug()))
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written_and_nothing_else_is() {
        let places = [Place::Frontend(2), Place::Redis, Place::Order(1), Place::Master, Place::Replica(16)];
        for place in places {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "Master", "master-1", "replica", "replica-", "replica-01", "replica-+1", "order-1 "]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
