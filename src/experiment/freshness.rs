//! Freshness under fire: readers and buyers through all frontends, every answer judged.

use super::outcome::{Outcome, Picture, Series, Table, count, ms, percent};
use super::picture::{self, Tone};
use super::recipes::tell;
use super::store::{Shelf, Up};
use super::{Lab, SLICE, Trouble};

const FRONTENDS: usize = 2;

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let own = match lab.stores.is_empty() {
        true => Some(Up::start(lab, FRONTENDS, None, Shelf::HOT).await?),
        false => None,
    };
    let stores = own.as_ref().map_or(&lab.stores, |own| &own.urls);
    let measured = lab.load(stores).measure(SLICE, lab.stop.clone()).await?;
    let report = &measured.report;
    let mut outcome = Outcome::default();

    let seen = format!("{} of {} answers were stale", count(report.stale_reads), count(report.reads.count));
    let told = measured.first_stale.as_ref().map(|first| tell(first, stores));
    outcome.claim(
        report.stale_reads == 0 && report.reads.count > 0,
        "no answer is older than what was known when it was asked for",
        told.map_or(seen.clone(), |told| format!("{seen}. The first: {told}")),
    );
    let (looked_up, acknowledged) = (report.orders_looked_up, report.orders_acknowledged);
    // Where reads are stale, so is what the look at the end finds left.
    let other = report.complaint().filter(|_| report.stale_reads == 0);
    let seen = format!(
        "{} of {} looked up, {} of them wrong",
        count(looked_up),
        count(acknowledged),
        report.orders_wrong
    );
    outcome.claim(
        looked_up > 0 && report.look_ups_unanswered == 0 && report.orders_wrong == 0 && other.is_none(),
        "every acknowledged order is there at the end, just as it was acknowledged",
        other.map_or(seen.clone(), |other| format!("{seen}. {other}")),
    );
    outcome.tables.push(Table {
        title: "What was asked".into(),
        columns: ["ms", "count", "per second", "p50", "p90", "p99", "max"].map(Into::into).to_vec(),
        rows: [("reads", &report.reads), ("purchases", &report.purchases)]
            .map(|(name, latency)| {
                let times = [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms].map(ms);
                [
                    vec![name.into(), count(latency.count), format!("{:.0}", latency.per_second)],
                    times.to_vec(),
                ]
                .concat()
            })
            .to_vec(),
    });
    for (name, latency) in [("reads", &report.reads), ("purchases", &report.purchases)] {
        outcome.figure(name, "count", "", latency.count as f64);
        outcome.figure(name, "per second", "/s", latency.per_second);
        outcome.figure(name, "p50", "ms", latency.p50_ms);
        outcome.figure(name, "p99", "ms", latency.p99_ms);
    }
    outcome.figure("reads", "stale", "", report.stale_reads as f64);
    outcome.figure("reads", "books judged", "", report.checked_books as f64);
    outcome.figure("reads", "hit ratio", "", report.hit_ratio.unwrap_or_default());
    outcome.note(format!(
        "Closed loop, {} connections over {} frontends, {} purchases; {} books in answers were judged, {} of the \
         reads were hits.",
        report.connections,
        stores.len(),
        format_args!("{:.0} %", 100.0 * report.buy),
        count(report.checked_books),
        percent(report.hits.count, report.reads.count)
    ));
    if report.flagged_stale > 0 {
        let flagged = count(report.flagged_stale);
        outcome.note(format!(
            "{flagged} answers said of themselves that they may be stale, and were not judged."
        ));
    }

    let series = [
        Series { name: "reads", value: |slice| per_second(slice.reads), tone: Tone::Plain },
        Series { name: "purchases", value: |slice| per_second(slice.bought), tone: Tone::Plain },
        Series { name: "stale answers", value: |slice| per_second(slice.stale), tone: Tone::Bad },
    ];
    let lines = outcome.lines(&measured.timeline, ("per second", "/s"), &series);
    let title = "Reads, purchases and stale answers";
    outcome.pictures.push(Picture {
        title: title.into(),
        in_words: format!(
            "Lines over the time: reads and purchases in a second, and {} stale answers.",
            count(report.stale_reads)
        ),
        svg: picture::lines(title, ("seconds", "per second"), &lines, &[])?,
    });
    Ok(outcome)
}

fn per_second(count: u64) -> Option<f64> {
    Some(count as f64 / SLICE.as_secs_f64())
}
