//! The recipes side by side: one load, five stores that differ in one flag.
//!
//! An open loop, so that all five get the same requests at the same times, whatever they do with them.

use super::outcome::{Curve, Outcome, Picture, Table, count, ms, percent, share};
use super::picture::{self, Bar, Line, Panel, Tone};
use super::store::{Shelf, Up};
use super::{Lab, SLICE, Trouble};
use crate::client::BaseUrl;
use crate::load::{self, Measured, Slice, Stale};
use crate::recipe::Recipe;

/// Requests due in a second: less than a debug build can do on two cores that it shares with the load.
const RATE: f64 = 1_000.0;

/// Enough purchases to catch a race within a second, and still a shop where most people look.
const BUY: f64 = 0.1;

const FRONTENDS: usize = 2;

/// The store's own protocol last: the others are what it is there to replace.
const SIDES: [Option<Recipe>; 5] = [
    Some(Recipe::Nothing),
    Some(Recipe::Ttl),
    Some(Recipe::DeleteThenWrite),
    Some(Recipe::WriteThenDelete),
    None,
];

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let mut sides = Vec::new();
    for recipe in SIDES {
        let store = Up::start(lab, FRONTENDS, recipe, Shelf::HOT).await?;
        let load = load::Config { rate: Some(RATE), buy: BUY, ..lab.load(&store.urls) };
        let measured = load.measure(SLICE, lab.stop.clone()).await?;
        sides.push(Side { recipe, urls: store.urls.clone(), measured });
    }
    judge(&sides)
}

struct Side {
    recipe: Option<Recipe>,
    urls: Vec<BaseUrl>,
    measured: Measured,
}

impl Side {
    fn name(&self) -> &'static str {
        match self.recipe {
            None => "Bazar's protocol",
            Some(Recipe::Nothing) => "no invalidation",
            Some(Recipe::Ttl) => "TTL only",
            Some(Recipe::DeleteThenWrite) => "delete, then write",
            Some(Recipe::WriteThenDelete) => "write, then delete",
        }
    }

    fn stale(&self) -> u64 {
        self.measured.report.stale_reads
    }

    fn reads(&self) -> u64 {
        self.measured.report.reads.count
    }

    fn hit_ratio(&self) -> f64 {
        self.measured.report.hit_ratio.unwrap_or_default()
    }
}

fn judge(sides: &[Side]) -> Result<Outcome, Trouble> {
    let mut outcome = Outcome::default();
    for side in sides {
        let (stale, reads) = (side.stale(), side.reads());
        let seen = format!("{} of {} answers were stale", count(stale), count(reads));
        match side.recipe {
            Some(recipe) => {
                let told = side.measured.first_stale.as_ref().map(|first| tell(first, &side.urls));
                let seen = told.map_or_else(|| seen.clone(), |told| format!("{seen}. The first: {told}"));
                outcome.claim(stale > 0, format!("{} ({recipe}) is caught", side.name()), seen);
            }
            None => {
                let broken = side.measured.report.complaint();
                let holds = stale == 0 && reads > 0 && broken.is_none();
                let seen = broken.map_or(seen.clone(), |broken| format!("{seen}; {broken}"));
                outcome.claim(holds, "Bazar's protocol never gives a stale answer", seen);
            }
        }
        figures(&mut outcome, side);
    }
    outcome.tables.push(table(sides));
    outcome.pictures.push(slide(sides)?);
    outcome.pictures.push(over_time(sides)?);
    outcome.note(format!(
        "Open loop: {RATE} requests/s are due, {} of them purchases of one copy, half of the reads searches; {} hot \
         books, {FRONTENDS} frontends, one replica, no Redis, lists kept for one hour and books for half of one \
         (\"no invalidation\" keeps them for ever). All five get the same requests at the same times.",
        format_args!("{:.0} %", 100.0 * BUY),
        Shelf::HOT.books
    ));
    outcome.note(
        "Only what the load itself can prove counts: a stale answer that no earlier answer contradicts is not in \
         these numbers.",
    );
    Ok(outcome)
}

/// The stale answer in words, its frontend by its number.
pub fn tell(stale: &Stale, urls: &[BaseUrl]) -> String {
    let place = urls.iter().position(|url| url.to_string() == stale.by());
    let frontend = place.map_or_else(|| stale.by().to_owned(), |place| format!("frontend {}", place + 1));
    stale.in_time(&frontend)
}

fn figures(outcome: &mut Outcome, side: &Side) {
    let (name, report) = (side.name(), &side.measured.report);
    outcome.figure(name, "stale answers", "", side.stale() as f64);
    outcome.figure(name, "answers", "", side.reads() as f64);
    outcome.figure(name, "stale share", "", share(side.stale(), side.reads()));
    outcome.figure(name, "hit ratio", "", side.hit_ratio());
    for (kind, latency) in [("read", &report.reads), ("purchase", &report.purchases)] {
        for (at, value) in [("p50", latency.p50_ms), ("p99", latency.p99_ms), ("mean", latency.mean_ms)] {
            outcome.figure(name, &format!("{kind} {at}"), "ms", value);
        }
    }
    outcome.figure(name, "purchases", "", report.bought as f64);
    let measure = "stale answers".into();
    outcome.curves.push(Curve { series: name.into(), measure, unit: "%", points: stale_share(side) });
}

fn table(sides: &[Side]) -> Table {
    let columns = ["", "stale answers", "of all", "hit ratio", "read p50", "p99", "purchase p50", "p99"];
    let rows = sides.iter().map(|side| {
        let report = &side.measured.report;
        vec![
            side.name().into(),
            format!("{} of {}", count(side.stale()), count(side.reads())),
            percent(side.stale(), side.reads()),
            format!("{:.1} %", 100.0 * side.hit_ratio()),
            format!("{} ms", ms(report.reads.p50_ms)),
            format!("{} ms", ms(report.reads.p99_ms)),
            format!("{} ms", ms(report.purchases.p50_ms)),
            format!("{} ms", ms(report.purchases.p99_ms)),
        ]
    });
    Table {
        title: "The same load, five ways to keep a cache".into(),
        columns: columns.map(Into::into).to_vec(),
        rows: rows.collect(),
    }
}

/// For the lecturer: who is stale, and what being right costs.
fn slide(sides: &[Side]) -> Result<Picture, Trouble> {
    let names: Vec<&str> = sides.iter().map(Side::name).collect();
    let bars = |value: &dyn Fn(&Side) -> (f64, String), tone: &dyn Fn(&Side) -> Tone| {
        sides
            .iter()
            .map(|side| {
                let (value, label) = value(side);
                Bar { value, label, tone: tone(side) }
            })
            .collect::<Vec<_>>()
    };
    let plain = |_: &Side| Tone::Plain;
    let verdict = |side: &Side| if side.stale() == 0 { Tone::Good } else { Tone::Bad };
    let stale = |side: &Side| {
        let label = match side.stale() {
            0 => "none".into(),
            some => format!("{} ({})", percent(some, side.reads()), count(some)),
        };
        (share(side.stale(), side.reads()), label)
    };
    let hits = |side: &Side| (side.hit_ratio(), format!("{:.0} %", 100.0 * side.hit_ratio()));
    let reads = |side: &Side| {
        let p50 = side.measured.report.reads.p50_ms;
        (p50, format!("{} ms", ms(p50)))
    };
    let purchases = |side: &Side| {
        let p50 = side.measured.report.purchases.p50_ms;
        (p50, format!("{} ms", ms(p50)))
    };
    let panels = [
        Panel { title: "Stale answers", share: 5, bars: bars(&stale, &verdict) },
        Panel { title: "Cache hits", share: 3, bars: bars(&hits, &plain) },
        Panel { title: "Read, median", share: 3, bars: bars(&reads, &plain) },
        Panel { title: "Purchase, median", share: 3, bars: bars(&purchases, &plain) },
    ];
    let in_words: Vec<String> = sides
        .iter()
        .map(|side| format!("{}: {} stale", side.name(), percent(side.stale(), side.reads())))
        .collect();
    Ok(Picture {
        title: "The same load, five ways to keep a cache".into(),
        in_words: format!("Bars. {}.", in_words.join("; ")),
        svg: picture::panels("The same load, five ways to keep a cache", &names, &panels)?,
    })
}

/// In each slice, in percent.
fn stale_share(side: &Side) -> Vec<(f64, f64)> {
    let share = |slice: &Slice| (slice.reads > 0).then(|| 100.0 * share(slice.stale, slice.reads));
    side.measured.timeline.points(share)
}

fn over_time(sides: &[Side]) -> Result<Picture, Trouble> {
    let line = |side: &Side| Line {
        name: side.name().into(),
        points: stale_share(side),
        tone: if side.recipe.is_none() { Tone::Good } else { Tone::Plain },
    };
    let lines: Vec<Line> = sides.iter().map(line).collect();
    let title = "Stale answers over the time";
    Ok(Picture {
        title: title.into(),
        in_words: "Lines: the share of stale answers in each tenth of a second, for each of the five.".into(),
        svg: picture::lines(title, ("seconds", "% of the answers"), &lines, &[])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Latency, Report, Timeline};

    fn side(recipe: Option<Recipe>, stale_reads: u64, first_violation: Option<&str>) -> Side {
        let reads = Latency { count: 10, ..Latency::default() };
        let first_violation = first_violation.map(Into::into);
        let report = Report { stale_reads, reads, first_violation, ..Report::default() };
        let measured = Measured { report, timeline: Timeline::default(), first_stale: None };
        Side { recipe, urls: Vec::new(), measured }
    }

    fn verdict(side: Side) -> (bool, String) {
        let claim = judge(&[side]).unwrap().claims.remove(0);
        (claim.holds, claim.seen)
    }

    #[test]
    fn a_recipe_that_is_not_caught_fails_and_so_does_a_protocol_that_is() {
        assert!(verdict(side(Some(Recipe::Ttl), 3, None)).0);
        assert!(!verdict(side(Some(Recipe::Ttl), 0, None)).0);
        let (holds, seen) = verdict(side(None, 0, None));
        assert!(holds && seen == "0 of 10 answers were stale", "{seen}");
        assert!(!verdict(side(None, 1, None)).0);
        let (holds, seen) = verdict(side(None, 0, Some("an order is gone")));
        assert!(!holds && seen.contains("an order is gone"), "{seen}");
    }
}
