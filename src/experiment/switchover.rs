//! A master dies and is started again; later it hands over. Clients go on meanwhile.

use super::outcome::{Outcome, Picture, Series, Table, count, ms};
use super::picture::{self, Tone};
use super::recipes::tell;
use super::store::{Roles, Shelf, Spread};
use super::{DEADLINE, Lab, SLICE, Trouble};
use crate::domain::BookId;
use crate::load::{self, Measured, Slice, Timeline};
use crate::shopper::{Connection, info_path};
use crate::wire::shopper::StockRead;
use std::time::{Duration, Instant};

const SPREAD: Spread = Spread { replicas: 1, orders: 2, frontends: 2, counted: false };
const SHELF: Shelf = Shelf::HOT;

/// Little enough that what is drawn is the switch and not the machine's limit.
const RATE: f64 = 400.0;
const BUY: f64 = 0.25;

/// Many, because a buyer waits for the whole of a switch and holds its connection.
const CONNECTIONS: usize = 128;

/// Quiet before the kill, between the two, and behind the handover.
const BEFORE: Duration = Duration::from_millis(1_000);
const BETWEEN: Duration = Duration::from_millis(2_500);
const BEHIND: Duration = Duration::from_millis(2_500);

/// For the two switches themselves: the longest lease of a master that is gone, and starts on a busy machine.
const SWITCHES: Duration = Duration::from_millis(2_500);

/// What a frontend waits for the outcome of a purchase: a pause that is shorter turns nobody away.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let mut store = Roles::start(lab, SPREAD, SHELF).await?;
    let urls = store.urls.clone();
    let load = load::Config {
        rate: Some(RATE),
        buy: BUY,
        connections: CONNECTIONS,
        duration: BEFORE + BETWEEN + BEHIND + SWITCHES,
        ..lab.load(&urls)
    };
    let since = Instant::now();
    let faults = async {
        tokio::time::sleep(BEFORE).await;
        let killed = since.elapsed();
        store.kill_and_restart_master().await?;
        tokio::time::sleep(BETWEEN).await;
        let handed_over = since.elapsed();
        store.hand_over().await?;
        Ok::<_, Trouble>(Moments { killed, handed_over, over: since.elapsed() })
    };
    let load = async { Ok(load.measure(SLICE, lab.stop.clone()).await?) };
    let (measured, moments) = futures_util::future::try_join(load, faults).await?;
    let sold = sold(&urls[0]).await?;
    let told = measured.first_stale.as_ref().map(|first| tell(first, &urls));
    judge(&measured, &moments, sold, told)
}

struct Moments {
    killed: Duration,
    handed_over: Duration,
    over: Duration,
}

/// Copies that are gone from the shelf.
async fn sold(store: &crate::client::BaseUrl) -> Result<u64, Trouble> {
    let mut connection = Connection::new(store.clone(), DEADLINE);
    let mut sold = 0;
    for id in 1..=SHELF.books {
        let book = BookId::new(id as i64).map_err(|invalid| Trouble::Answer(invalid.to_string()))?;
        let answer = connection.get(&info_path(book)).await?;
        let read: StockRead = serde_json::from_slice(&answer.body)
            .map_err(|_| Trouble::Answer(format!("book {book} was answered with {}", answer.status)))?;
        sold += SHELF.copies.saturating_sub(u64::from(read.number_of_items.get()));
    }
    Ok(sold)
}

fn judge(
    measured: &Measured,
    moments: &Moments,
    sold: u64,
    told: Option<String>,
) -> Result<Outcome, Trouble> {
    let (report, timeline) = (&measured.report, &measured.timeline);
    let mut outcome = Outcome::default();
    let acknowledged = report.orders_acknowledged;
    let complaint = told.or_else(|| report.complaint());
    let kept = complaint.is_none() && report.orders_looked_up > 0;
    outcome.claim(
        kept,
        "nothing is lost and nothing is stale: every acknowledged order is there, no answer is older than it may be",
        complaint.unwrap_or_else(|| {
            format!(
                "{} of {} orders looked up, {} books in answers judged",
                count(report.orders_looked_up),
                count(acknowledged),
                count(report.checked_books)
            )
        }),
    );
    outcome.claim(
        report.outcome_unknown > 0 || sold == acknowledged,
        "nothing is sold twice: as many copies are gone as orders were acknowledged",
        match report.outcome_unknown {
            0 => format!("{} copies, {} orders", count(sold), count(acknowledged)),
            unknown => format!("not judged: {unknown} purchases had no outcome"),
        },
    );
    let pause = timeline.purchases;
    outcome.claim(
        report.outcome_unknown == 0 && report.bought > 0 && pause.length < LONGEST_PAUSE,
        "no buyer is turned away: each purchase has its outcome, though some wait for the switch",
        format!(
            "{} bought, {} without outcome; the longest time without a purchase was {} ms",
            count(report.bought),
            report.outcome_unknown,
            ms(in_ms(pause.length))
        ),
    );
    let flagged: u64 = timeline.slices().iter().map(|slice| slice.flagged).sum();
    outcome.note(format!(
        "Open loop: {RATE} requests/s are due, a quarter of them purchases; each role in a process of its own, two \
         frontends, one replica, leases of one second. {} reads said that they may be stale (Warning: 110) while no \
         master answered; they promise nothing and are not counted as fresh.",
        count(flagged)
    ));
    outcome.note(
        "After a kill the new master waits until no lease of its predecessor can be running before its first commit: \
         that is most of the first pause. A handover need not look for what was lost, but waits for those leases too.",
    );
    let moment = |name: &str, at: Duration| (name.to_owned(), at);
    for (name, at) in [
        moment("kill -9", moments.killed),
        moment("handover", moments.handed_over),
        moment("handover done", moments.over),
    ] {
        outcome.figure(&name, "at", "s", at.as_secs_f64());
    }
    let pauses = Pauses { timeline };
    outcome.tables.push(Table {
        title: "How long nothing came, by tenths of a second".into(),
        columns: ["s", "at", "fresh reads", "purchases"].map(Into::into).to_vec(),
        rows: vec![
            pauses.row("kill -9 and start", moments.killed, moments.handed_over),
            pauses.row("handover", moments.handed_over, Duration::MAX),
        ],
    });
    outcome.figure("fresh reads", "longest pause", "ms", in_ms(timeline.reads.length));
    outcome.figure("purchases", "longest pause", "ms", in_ms(pause.length));
    outcome.figure("purchases", "acknowledged", "", acknowledged as f64);
    outcome.figure("purchases", "without outcome", "", report.outcome_unknown as f64);
    outcome.figure("reads", "said that they may be stale", "", flagged as f64);

    let series = [
        Series {
            name: "fresh reads",
            value: |slice| Some((slice.reads - slice.flagged) as f64),
            tone: Tone::Plain,
        },
        Series {
            name: "reads that say \"may be stale\"",
            value: |slice| Some(slice.flagged as f64),
            tone: Tone::Plain,
        },
        Series { name: "purchases", value: |slice| Some(slice.bought as f64), tone: Tone::Good },
    ];
    let lines = outcome.lines(timeline, ("per tenth of a second", ""), &series);
    let marks = [
        (moments.killed.as_secs_f64(), "kill -9, start".to_owned()),
        (moments.handed_over.as_secs_f64(), "handover".to_owned()),
    ];
    let title = "Answers in each tenth of a second";
    outcome.pictures.push(Picture {
        title: title.into(),
        in_words: format!(
            "Lines over the time: fresh reads, reads that say that they may be stale, purchases. The master is \
             killed after {:.1} s and hands over after {:.1} s; purchases pause for at most {:.1} s and then catch up.",
            moments.killed.as_secs_f64(),
            moments.handed_over.as_secs_f64(),
            pause.length.as_secs_f64()
        ),
        svg: picture::lines(title, ("seconds", "answers"), &lines, &marks)?,
    });
    Ok(outcome)
}

/// What came after each of the moments.
struct Pauses<'a> {
    timeline: &'a Timeline,
}

impl Pauses<'_> {
    fn row(&self, name: &str, from: Duration, to: Duration) -> Vec<String> {
        let fresh = self.longest(from, to, |slice| slice.reads > slice.flagged);
        let bought = self.longest(from, to, |slice| slice.bought > 0);
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        [vec![name.to_owned()], [from, fresh, bought].map(seconds).to_vec()].concat()
    }

    /// The longest run of slices between two moments in which nothing came.
    fn longest(&self, from: Duration, to: Duration, came: impl Fn(&Slice) -> bool) -> Duration {
        let width = self.timeline.width();
        let (from, to) = (from.as_secs_f64() - width.as_secs_f64(), to.as_secs_f64());
        let (mut longest, mut run) = (0, 0);
        for (at, came) in self.timeline.points(|slice| Some(f64::from(u8::from(came(slice))))) {
            run = if came == 0.0 && at > from && at < to { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        width * longest
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
