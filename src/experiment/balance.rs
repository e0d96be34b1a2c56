//! The work is shared evenly: what each node is asked, counted between the roles.

use super::outcome::{Outcome, Picture, Table, count, percent, share};
use super::picture::{self, Bar, Panel, Tone};
use super::store::{Roles, Shelf, Spread};
use super::{Lab, SLICE, Trouble};
use crate::load;

const SPREAD: Spread = Spread { replicas: 2, orders: 2, frontends: 1, counted: true };

/// More books than are read in a run, so that nearly every look is a miss.
const SHELF: Shelf = Shelf { books: 5_000, topics: 50, copies: 1_000 };

/// The busiest node of a kind may be asked so many times its fair share.
const MOST: f64 = 1.2;

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let store = Roles::start(lab, SPREAD, SHELF).await?;
    for (_, relay) in store.catalog_relays.iter().chain(&store.order_relays) {
        relay.reset();
    }
    // All books alike: popular ones would soon be hits.
    let load = load::Config { buy: 0.3, searches: 0.0, zipf: 0.0, ..lab.load(&store.urls) };
    let measured = load.measure(SLICE, lab.stop.clone()).await?;
    let asked = |relays: &[(String, super::relay::Relay)], method: &str, segment: &str| {
        let asked = relays.iter().map(|(name, relay)| (name.clone(), relay.count(method, segment)));
        asked.collect::<Vec<_>>()
    };
    let catalogs = asked(&store.catalog_relays, "GET", "/books");
    let orders = asked(&store.order_relays, "POST", "/purchases");
    let mut outcome = Outcome::default();
    judge(&mut outcome, "catalog nodes", "reads", &catalogs)?;
    judge(&mut outcome, "order nodes", "purchases", &orders)?;
    let report = &measured.report;
    let complaint = report.complaint();
    outcome.claim(
        complaint.is_none(),
        "every answer meanwhile is right",
        complaint.unwrap_or_else(|| {
            let answers = report.reads.count + report.purchases.count;
            format!("{} answers, no violation", count(answers))
        }),
    );
    outcome.note(format!(
        "Round robin over {} catalog nodes (the write master is one of them) and {} order nodes, each role in a \
         process of its own. A request may carry several reads, or several purchases, that came while the one before \
         it was under way: {} reads and {} purchases went into these requests.",
        catalogs.len(),
        orders.len(),
        count(report.reads.count),
        count(report.purchases.count),
    ));
    Ok(outcome)
}

fn judge(outcome: &mut Outcome, nodes: &str, what: &str, asked: &[(String, u64)]) -> Result<(), Trouble> {
    let all: u64 = asked.iter().map(|(_, asked)| asked).sum();
    let fair = share(all, asked.len() as u64);
    let (busiest, most) = asked.iter().max_by_key(|(_, asked)| *asked).cloned().unwrap_or_default();
    let times = most as f64 / fair.max(f64::MIN_POSITIVE);
    outcome.claim(
        all > 0 && times <= MOST,
        format!("the busiest of {} {nodes} gets at most {MOST} times its share of the {what}", asked.len()),
        format!("{busiest} was asked {} of {} times: {times:.2} times its share", count(most), count(all)),
    );
    let mut rows = Vec::new();
    for (name, times) in asked {
        outcome.figure(name, "requests", "", *times as f64);
        rows.push(vec![name.clone(), count(*times), percent(*times, all)]);
    }
    let columns = ["", "requests", "of all"].map(Into::into).to_vec();
    outcome.tables.push(Table { title: format!("Requests to {nodes}"), columns, rows });
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    let bars = asked.iter().map(|(_, times)| {
        let label = format!("{} ({})", count(*times), percent(*times, all));
        Bar { value: *times as f64, label, tone: Tone::Plain }
    });
    let title = format!("Requests to {nodes}");
    let panel = Panel { title: "requests", share: 1, bars: bars.collect() };
    outcome.pictures.push(Picture {
        in_words: format!("Bars of nearly equal length, one for each of {} {nodes}.", asked.len()),
        svg: picture::panels(&title, &names, &[panel])?,
        title,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(asked: &[u64]) -> bool {
        let asked: Vec<_> = asked.iter().map(|&times| ("node".to_owned(), times)).collect();
        let mut outcome = Outcome::default();
        judge(&mut outcome, "nodes", "reads", &asked).unwrap();
        outcome.holds()
    }

    #[test]
    fn a_node_that_does_the_work_of_others_fails() {
        assert!(holds(&[100, 104, 96]));
        assert!(!holds(&[100, 140, 60]));
        assert!(!holds(&[0, 0]) && !holds(&[]));
    }
}
