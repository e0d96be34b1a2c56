//! A cache fills: the hit ratio from slice to slice of the time, beside what any cache could know.

use super::outcome::{Outcome, Picture, Series, Table, count, percent, share};
use super::picture::{self, Tone};
use super::store::{Shelf, Up};
use super::{Lab, SLICE, Trouble};
use crate::load::{self, Slice, Timeline};

/// With the Zipf law below most reads of the first tenth are first reads, and few of the last.
const SHELF: Shelf = Shelf { books: 1_000, topics: 50, copies: 1_000 };
const RATE: f64 = 1_500.0;
const ZIPF: f64 = 1.0;
const FRONTENDS: usize = 2;

/// Of familiar reads. The rest is for leases that a busy machine let run out: what is read then is not kept.
const LEAST_HITS: f64 = 0.95;

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let store = Up::start(lab, FRONTENDS, None, SHELF).await?;
    let load =
        load::Config { rate: Some(RATE), buy: 0.0, searches: 0.0, zipf: ZIPF, ..lab.load(&store.urls) };
    let measured = load.measure(SLICE, lab.stop.clone()).await?;
    let mut outcome = judge(measured.timeline.whole());
    let picture = draw(&mut outcome, &measured.timeline)?;
    outcome.pictures.push(picture);
    outcome.note(format!(
        "Open loop: {RATE} reads/s of single books through {FRONTENDS} frontends, each with a cache of its own; {} \
         books, popular by a Zipf law with exponent {ZIPF}; nobody buys.",
        count(SHELF.books)
    ));
    Ok(outcome)
}

fn judge(slices: &[Slice]) -> Outcome {
    let mut outcome = Outcome::default();
    let sum = |slices: &[Slice], of: fn(&Slice) -> u64| slices.iter().map(of).sum::<u64>();
    let part = (slices.len() / 10).max(1).min(slices.len());
    let ratio = |slices: &[Slice]| (sum(slices, |slice| slice.hits), sum(slices, |slice| slice.reads));
    let (first, last) = (ratio(&slices[..part]), ratio(&slices[slices.len() - part..]));
    outcome.claim(
        share(last.0, last.1) > share(first.0, first.1),
        "the hit ratio rises while the cache fills",
        format!(
            "{} in the first tenth of the time, {} in the last",
            percent(first.0, first.1),
            percent(last.0, last.1)
        ),
    );
    let (familiar, hits) = (sum(slices, |slice| slice.familiar), sum(slices, |slice| slice.familiar_hits));
    outcome.claim(
        familiar > 0 && share(hits, familiar) >= LEAST_HITS,
        "what a frontend has answered before is a hit",
        format!("{} of {} familiar reads were ({})", count(hits), count(familiar), percent(hits, familiar)),
    );
    let reads = sum(slices, |slice| slice.reads);
    let all = sum(slices, |slice| slice.hits);
    outcome.figure("reads", "count", "", reads as f64);
    outcome.figure("reads", "hit ratio", "", share(all, reads));
    outcome.figure("familiar reads", "hit ratio", "", share(hits, familiar));
    outcome.tables.push(Table {
        title: "Reads".into(),
        columns: ["", "reads", "hits", "hit ratio", "familiar", "of these hits"].map(Into::into).to_vec(),
        rows: vec![vec![
            "all".into(),
            count(reads),
            count(all),
            percent(all, reads),
            count(familiar),
            percent(hits, familiar),
        ]],
    });
    outcome
}

fn draw(outcome: &mut Outcome, timeline: &Timeline) -> Result<Picture, Trouble> {
    let series = [
        Series { name: "hits", value: |slice| of_reads(slice.hits, slice), tone: Tone::Good },
        Series {
            name: "familiar: the best there could be",
            value: |slice| of_reads(slice.familiar, slice),
            tone: Tone::Plain,
        },
    ];
    let lines = outcome.lines(timeline, ("share of the reads", "%"), &series);
    let title = "The hit ratio of a cache that begins empty";
    Ok(Picture {
        title: title.into(),
        in_words:
            "Two rising lines over the time: the share of hits, and the share of reads that the frontend had \
                   answered before, which is the most that it could be."
                .into(),
        svg: picture::lines(title, ("seconds", "% of the reads"), &lines, &[])?,
    })
}

/// In percent.
fn of_reads(some: u64, slice: &Slice) -> Option<f64> {
    (slice.reads > 0).then(|| 100.0 * share(some, slice.reads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(hits: u64, familiar: u64, familiar_hits: u64) -> Slice {
        Slice { reads: 100, hits, familiar, familiar_hits, ..Slice::default() }
    }

    fn verdicts(slices: &[Slice]) -> Vec<bool> {
        judge(slices).claims.iter().map(|claim| claim.holds).collect()
    }

    #[test]
    fn a_cache_that_forgets_or_never_warms_fails() {
        assert_eq!(verdicts(&[slice(10, 10, 10), slice(90, 90, 90)]), [true, true]);
        assert_eq!(verdicts(&[slice(10, 10, 10), slice(60, 90, 60)]), [true, false]);
        assert_eq!(verdicts(&[slice(90, 90, 90), slice(90, 90, 90)]), [false, true]);
        assert_eq!(verdicts(&[]), [false, false]);
    }
}
