//! The commands that use a running store from outside: [`cli::shopping`](crate::cli::shopping), checked.

use super::{Check, Mistakes};
use crate::cli::shopping::{BuyArgs, ExperimentArgs, InfoArgs, LoadArgs, OrdersArgs, SearchArgs, Store};
use crate::domain::{BookId, Cents, IdempotencyKey, Invalid, OrderId, Quantity, Topic, Words};
use crate::experiment::{self, Experiment};
use crate::load;
use crate::shopper::{NewPurchase, quoted};
use crate::terminal::{self, Errand, Found};
use crate::wire::public::MAX_LIMIT;
use std::time::Duration;

/// As many as a process may have open files on any system.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=1024;

/// A request a minute is a load; a million a second is more than one core sends.
const RATE: std::ops::RangeInclusive<f64> = 1.0 / 60.0..=1_000_000.0;

/// Beyond ten, whatever is not first is never drawn.
const ZIPF: std::ops::RangeInclusive<f64> = 0.0..=10.0;

/// Of one measurement: shorter is noise, and longer belongs to `bazar load`.
const SECONDS: std::ops::RangeInclusive<f64> = 0.1..=60.0;

const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub fn search(args: SearchArgs) -> Result<terminal::Config, Mistakes> {
    let mut check = Check::default();
    let what = match (args.topic, args.query) {
        (Some(topic), None) => {
            let topic = Topic::parse(topic).map(Found::Topic).map_err(|invalid| invalid.0);
            check.or_note(topic.map(Some), None)
        }
        (None, Some(words)) => check.domain("--query", Words::parse(words)).map(Found::Words),
        _ => {
            check.mistake("name either a topic or --query with words");
            None
        }
    };
    let limit = args.limit.and_then(|text| {
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        let wrong = || format!("--limit: \"{text}\" is not a whole number between 1 and {MAX_LIMIT}");
        check.or_note(limit.ok_or_else(wrong).map(Some), None)
    });
    let (all, after) = (args.all, args.after);
    check.errand(args.store, what.map(|what| Errand::Search { what, all, limit, after }))
}

pub fn info(args: InfoArgs) -> Result<terminal::Config, Mistakes> {
    let mut check = Check::default();
    let book = check.domain("ID", BookId::parse(&args.id));
    check.errand(args.store, book.map(Errand::Info))
}

pub fn orders(args: OrdersArgs) -> Result<terminal::Config, Mistakes> {
    let mut check = Check::default();
    let order = check.domain("ID", args.id.parse::<OrderId>());
    check.errand(args.store, order.map(Errand::Order))
}

pub fn buy(args: BuyArgs) -> Result<terminal::Config, Mistakes> {
    let mut check = Check::default();
    let book_id = check.domain("ID", BookId::parse(&args.id));
    let quantity = args.quantity.parse().map_or_else(
        |_| Err(Invalid("quantity must be a whole number between 1 and 100".into())),
        Quantity::new,
    );
    let quantity = check.domain("--quantity", quantity);
    let offer = args.offer.and_then(|text| {
        let dollars = text.parse().map_err(|_| Invalid(format!("\"{text}\" is not a number of dollars")));
        check.domain("--offer", dollars.and_then(Cents::from_dollars))
    });
    let key = match args.key {
        Some(key) => check.domain("--key", IdempotencyKey::parse(key)),
        None => {
            check.domain("--key", IdempotencyKey::parse(format!("bazar-buy-{:032x}", rand::random::<u128>())))
        }
    };
    let purchase = match (book_id, quantity, key) {
        (Some(book_id), Some(quantity), Some(key)) => Some(NewPurchase { book_id, quantity, offer, key }),
        _ => None,
    };
    check.errand(args.store, purchase.map(Errand::Buy))
}

pub fn load(args: LoadArgs) -> Result<load::Config, Mistakes> {
    let mut check = Check::default();
    let config = load::Config {
        stores: check.urls("URL", Some(&args.url)),
        connections: check.within("--connections", &args.connections, CONNECTIONS, "a whole number"),
        rate: args.rate.map(|rate| check.within("--rate", &rate, RATE, "a number")),
        buy: check.within("--buy", &args.buy, 0.0..=1.0, "a number"),
        searches: check.within("--searches", &args.searches, 0.0..=1.0, "a number"),
        zipf: check.within("--zipf", &args.zipf, ZIPF, "a number"),
        duration: check.time("--duration", &args.duration),
        warm_up: check.time_or_none("--warm-up", &args.warm_up),
        allow_restock: args.allow_restock,
        seed: match args.seed {
            Some(seed) => check.within("--seed", &seed, 0..=u64::MAX, "a whole number"),
            None => rand::random(),
        },
        json: args.json,
    };
    for (flag, time) in [("--duration", config.duration), ("--warm-up", config.warm_up)] {
        if time > LONGEST {
            check.mistake(format!("{flag} must be at most 7days"));
        }
    }
    check.all(config)
}

pub fn experiment(args: ExperimentArgs) -> Result<experiment::Config, Mistakes> {
    let mut check = Check::default();
    let stores = args.url.as_deref().map_or_else(Vec::new, |urls| check.urls("--url", Some(urls)));
    let mut named = Vec::new();
    for name in &args.names {
        match Experiment::parse(name) {
            Some(experiment) => named.push(experiment),
            None => {
                let known = Experiment::ALL.map(Experiment::as_str).join(", ");
                check.mistake(format!("NAME: \"{name}\" is none of {known}"));
            }
        }
    }
    if args.url.is_some() {
        for (experiment, why) in named.iter().filter_map(|named| Some((named, named.needs_its_own()?))) {
            check.mistake(format!("{} cannot be done with --url: {why}", experiment.as_str()));
        }
    }
    let wanted = |experiment: &Experiment| match named.is_empty() {
        true => args.url.is_none() || experiment.needs_its_own().is_none(),
        false => named.contains(experiment),
    };
    let experiments = Experiment::ALL.into_iter().filter(wanted).collect();
    let bazar = std::env::current_exe().map_err(|error| format!("this executable cannot be found: {error}"));
    let config = experiment::Config {
        experiments,
        stores,
        out: args.out,
        duration: Duration::from_secs_f64(check.within("--seconds", &args.seconds, SECONDS, "a number")),
        seed: check.within("--seed", &args.seed, 0..=u64::MAX, "a whole number"),
        json: args.json,
        bazar: check.or_note(bazar, Default::default()),
        command: std::env::args()
            .skip(1)
            .fold("bazar".into(), |line, word| format!("{line} {}", quoted(&word))),
    };
    check.all(config)
}

impl Check {
    fn domain<T>(&mut self, name: &str, checked: Result<T, Invalid>) -> Option<T> {
        checked.map_err(|invalid| self.mistake(format!("{name}: {invalid}"))).ok()
    }

    fn within<T>(&mut self, flag: &str, text: &str, range: std::ops::RangeInclusive<T>, what: &str) -> T
    where
        T: std::str::FromStr + PartialOrd + Copy + std::fmt::Display,
    {
        let (least, most) = (*range.start(), *range.end());
        let checked = text.parse().ok().filter(|value| range.contains(value));
        let wrong = || format!("{flag}: \"{text}\" is not {what} between {least} and {most}");
        self.or_note(checked.ok_or_else(wrong), least)
    }

    fn time_or_none(&mut self, flag: &str, text: &str) -> Duration {
        match humantime::parse_duration(text) {
            Ok(time) if time.is_zero() => Duration::ZERO,
            _ => self.time(flag, text),
        }
    }

    fn errand(mut self, store: Store, errand: Option<Errand>) -> Result<terminal::Config, Mistakes> {
        let url = self.url("--url", &store.url);
        match (url, errand) {
            (Some(store_url), Some(errand)) => {
                self.all(terminal::Config { store: store_url, json: store.json, errand })
            }
            _ => Err(Mistakes(self.0)),
        }
    }

    /// The configuration, if nothing was wrong.
    fn all<T>(self, config: T) -> Result<T, Mistakes> {
        if self.0.is_empty() { Ok(config) } else { Err(Mistakes(self.0)) }
    }
}
