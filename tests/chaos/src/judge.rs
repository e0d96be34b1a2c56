//! The judge: was what the clients saw possible for one store that everybody looks at directly?
//!
//! Every operation is reduced to the versions at which it can have taken place: a purchase or an edit to
//! the one that it made; a read to those that show what it showed, around the version that it names.
//! Operations are then gone through in the order in which they began, each is given the lowest version
//! that it can have and that is not below that of anything that had ended before it began. Where there is
//! none, the history is not strictly serializable, and taking the lowest is never wrong: it leaves the
//! most room to those that follow. One sort and one pass, so n log n.
//!
//! An answer that says that it may be stale is excused from being fresh, but must show a state that there
//! was, at the version that it names, and not before anybody asked for it.
//!
//! The books that are bought one by one and never restocked are judged a second time, without the log and
//! its versions, in `falling`.

use crate::falling;
use crate::history::{Change, Count, Edit, Nanos, Op, Refusal, WantId, What};
use crate::shown::Want;
use crate::truth::{Public, Truth};
use std::collections::HashMap;

/// Everything that is judged together.
pub struct Case<'a> {
    pub ops: &'a [Op],
    pub counts: &'a [Count],
    pub wants: &'a [Want],
    pub edits: &'a [Edit],
    pub truth: &'a Truth,
    /// The other history whose data a replica found in place of its own, as an operator may put a disk in
    /// the wrong machine. An answer that says that it may be stale is excused for showing it.
    pub foreign: &'a Truth,
    /// Counts of the falling books before the first operation.
    pub falling: &'a HashMap<i64, i64>,
    /// Whether the log is there to its end. If not, what is beyond it is not judged yet.
    pub complete: bool,
}

/// Something that cannot be, in words. `at`: when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub at: Nanos,
    pub kind: Kind,
    pub words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A read that does not show what had been acknowledged, or what another read of the same had shown.
    Stale,
    /// Reads of different things that show them in an order that no store was ever in.
    Disorder,
    /// Something that had its effect before anybody asked for it.
    FromTheFuture,
    /// An answer that no version shows.
    NeverSo,
    /// An acknowledged order or edit that is not there.
    Lost,
    /// One order for two buyers, two orders for one key, one copy sold twice.
    Doubled,
    /// More sold than there was.
    Oversold,
    /// The store's own records do not add up.
    Log,
    /// At the end: files, sums, processes.
    End,
}

/// How many of each were found, and the first ones.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Sorted by time; not all, see [`MAX_KEPT`].
    pub violations: Vec<Violation>,
    pub found: u64,
    /// Operations judged.
    pub judged: u64,
    /// Operations that are beyond the end of the log as it is known yet.
    pub pending: u64,
}

/// So many say enough.
const MAX_KEPT: usize = 1000;

impl Verdict {
    pub fn add(&mut self, at: Nanos, kind: Kind, words: String) {
        self.found += 1;
        if self.violations.len() < MAX_KEPT {
            self.violations.push(Violation { at, kind, words });
        }
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.violations.iter().any(|violation| violation.kind == kind)
    }
}

/// The versions at which an operation can have taken place.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
    /// It made the version `first`.
    made: bool,
    /// It need not be fresh.
    stale: bool,
}

pub fn judge(case: &Case) -> Verdict {
    let mut verdict = Verdict::default();
    for finding in &case.truth.findings {
        verdict.add(0, Kind::Log, finding.clone());
    }
    let spans: Vec<Option<Span>> = case.ops.iter().map(|op| span(case, op, &mut verdict)).collect();
    order(case, &spans, &mut verdict);
    effects(case, &mut verdict);
    falling::check(case, &mut verdict);
    verdict.violations.sort_by_key(|violation| violation.at);
    verdict
}

/// Where `op` belongs by its own words. `None`: it has no place, and that is entered; or it cannot be
/// judged yet.
fn span(case: &Case, op: &Op, verdict: &mut Verdict) -> Option<Span> {
    let truth = case.truth;
    let version = match op.what {
        What::Read { version, .. } | What::Bought { version, .. } | What::Edited { version, .. } => {
            Some(version)
        }
        What::Order { found, .. } => found.map(|(version, ..)| version),
        What::Refused { .. } => None,
    };
    if of_another_history(case, op) {
        verdict.judged += 1;
        return None;
    }
    if let Some(version) = version {
        match truth.epoch_of(version.seq) {
            None if !case.complete => {
                verdict.pending += 1;
                return None;
            }
            Some(epoch) if epoch == version.epoch => {}
            _ => {
                let words = format!("{}: there is no version {version} in the log", told(case, op));
                verdict.add(op.end, Kind::NeverSo, words);
                return None;
            }
        }
    }
    verdict.judged += 1;
    let point = |seq: u64| Span { first: seq, last: seq, made: true, stale: false };
    match op.what {
        What::Read { want, version, print, stale, .. } => {
            let want = &case.wants[want as usize];
            let state = truth.state(want, version.seq);
            let Some((point, last)) = state.filter(|(point, _)| point.print == print) else {
                verdict.add(op.end, Kind::NeverSo, never_so(case, op, want, version, print));
                return None;
            };
            Some(Span { first: point.seq, last, made: false, stale })
        }
        What::Bought { book, key, order, version, remaining, quantity, total, again } => {
            let expected = (version.seq, book, quantity, total);
            let row = truth.orders.get(&order).map(|row| (row.seq, row.book, row.quantity, row.total));
            if row != Some(expected) {
                let words = format!(
                    "{}: the log has {} of it",
                    told(case, op),
                    match row {
                        Some(row) => format!("{row:?} (version, book, quantity, total)"),
                        None => "nothing".into(),
                    }
                );
                verdict.add(op.end, Kind::Lost, words);
                return None;
            }
            let decided = truth.decisions.get(&key).map(|decision| (decision.seq, decision.sold));
            if decided != Some((version.seq, Some((order, remaining)))) {
                let words = format!("{}: the log says {decided:?} of its key", told(case, op));
                verdict.add(op.end, Kind::Doubled, words);
                return None;
            }
            Some(Span {
                made: !again,
                last: if again { u64::MAX } else { version.seq },
                ..point(version.seq)
            })
        }
        What::Refused { key, why, .. } => {
            let Some(decision) = truth.decisions.get(&key) else {
                if case.complete {
                    let words = format!("{}: the log knows nothing of its key", told(case, op));
                    verdict.add(op.end, Kind::Lost, words);
                } else {
                    verdict.judged -= 1;
                    verdict.pending += 1;
                }
                return None;
            };
            if decision.sold.is_some() || why == Refusal::IdempotencyMismatch {
                let words = format!("{}: the log says {decision:?} of its key", told(case, op));
                verdict.add(op.end, Kind::Doubled, words);
                return None;
            }
            Some(point(decision.seq))
        }
        What::Order { order, found } => {
            let row = truth.orders.get(&order);
            match (row, found) {
                (Some(row), Some((version, book, quantity))) => {
                    if (row.seq, row.book, row.quantity) != (version.seq, book, quantity) {
                        let words = format!("{}: the log has {row:?}", told(case, op));
                        verdict.add(op.end, Kind::NeverSo, words);
                        return None;
                    }
                    Some(Span { first: row.seq, last: u64::MAX, made: false, stale: false })
                }
                (Some(row), None) => Some(Span { first: 0, last: row.seq - 1, made: false, stale: false }),
                (None, Some(_)) => {
                    verdict.add(
                        op.end,
                        Kind::NeverSo,
                        format!("{}: the log has no such order", told(case, op)),
                    );
                    None
                }
                (None, None) => None,
            }
        }
        What::Edited { edit, version } => {
            if let Some(words) = unseen(case, edit, version) {
                verdict.add(op.end, Kind::Lost, format!("{}: {words}", told(case, op)));
                return None;
            }
            Some(point(version.seq))
        }
    }
}

/// Whether `op` may be stale, says so, and shows just what the other history had at its version.
fn of_another_history(case: &Case, op: &Op) -> bool {
    let What::Read { want, version, print, stale: true, .. } = op.what else { return false };
    case.truth.epoch_of(version.seq) != Some(version.epoch)
        && case.foreign.epoch_of(version.seq) == Some(version.epoch)
        && case
            .foreign
            .state(&case.wants[want as usize], version.seq)
            .is_some_and(|(point, _)| point.print == print)
}

/// What is wrong with an acknowledged edit: it must have made its book what it says, at its version.
fn unseen(case: &Case, edit: u32, version: Public) -> Option<String> {
    let edit = known(case, edit)?;
    let book = edit.change.book();
    let (point, _) = case.truth.state(&Want::Book(book), version.seq)?;
    let there = point.stock >= 0;
    let right = match edit.change {
        Change::Delete { .. } => !there && point.seq == version.seq,
        Change::Put(_) | Change::Update { .. } => there && point.seq == version.seq,
        // Purchases of the same batch may have taken as much: deliveries are accounted for by their sums.
        Change::Restock { .. } => there,
    };
    (!right).then(|| format!("the log has {} of book {book} since {}", words(point.stock), point.seq))
}

fn words(stock: i64) -> String {
    if stock < 0 { "nothing".into() } else { format!("{stock} copies") }
}

/// The pass over all operations in the order in which they began.
fn order(case: &Case, spans: &[Option<Span>], verdict: &mut Verdict) {
    let ops = case.ops;
    let mut by_begin: Vec<usize> = (0..ops.len()).filter(|&index| spans[index].is_some()).collect();
    let mut by_end = by_begin.clone();
    by_begin.sort_by_key(|&index| ops[index].begin);
    by_end.sort_by_key(|&index| ops[index].end);
    let mut changes: HashMap<u64, Vec<usize>> = HashMap::new();
    for &index in &by_begin {
        if let Some(span) = spans[index].filter(|span| span.made) {
            changes.entry(span.first).or_default().push(index);
        }
    }
    let mut ended = by_end.into_iter().peekable();
    let mut lowest: Vec<u64> = vec![0; ops.len()];
    // The highest version that anything that has ended had to have, and the highest that it showed.
    let (mut bound, mut bound_by) = (0, None);
    let (mut seen, mut seen_by) = (0, None);
    for index in by_begin {
        let Some(span) = spans[index] else { continue };
        while let Some(other) = ended.next_if(|&other| ops[other].end < ops[index].begin) {
            let Some(of_other) = spans[other] else { continue };
            if of_other.first > seen {
                (seen, seen_by) = (of_other.first, Some(other));
            }
            if !of_other.stale && lowest[other] > bound {
                (bound, bound_by) = (lowest[other], Some(other));
            }
        }
        if span.made && seen >= span.first {
            let words = future(case, &ops[index], span, seen_by.map(|other| &ops[other]));
            verdict.add(ops[index].end, Kind::FromTheFuture, words);
        } else if !span.stale && bound > span.last {
            let by = bound_by.map(|other| &ops[other]);
            let changed = changes.get(&(span.last + 1)).and_then(|makers| {
                let earliest = makers
                    .iter()
                    .map(|&maker| &ops[maker])
                    .filter(|maker| concerns(case, maker, &ops[index]));
                earliest.min_by_key(|maker| maker.end).filter(|maker| maker.end < ops[index].begin)
            });
            let same = by.is_some_and(|by| reads_the_same(by, &ops[index]));
            let kind = if changed.is_some() || same { Kind::Stale } else { Kind::Disorder };
            let words = stale(case, &ops[index], span, bound, changed.or(by));
            verdict.add(ops[index].end, kind, words);
        }
        lowest[index] = span.first.max(bound).min(span.last);
    }
}

/// Whether what `maker` changed is part of what `reader` read, as far as can be told: who made the change
/// that a page shows is told by its version alone.
fn concerns(case: &Case, maker: &Op, reader: &Op) -> bool {
    let book = match maker.what {
        What::Bought { book, .. } => Some(book),
        What::Edited { edit, .. } => known(case, edit).map(|edit| edit.change.book()),
        _ => None,
    };
    match reader.what {
        What::Read { want, .. } => match case.wants[want as usize] {
            Want::Book(read) => book == Some(read),
            Want::Page { .. } | Want::Found { .. } | Want::Topics => book.is_some(),
        },
        What::Order { order: looked_up, .. } => {
            matches!(maker.what, What::Bought { order, .. } if order == looked_up)
        }
        _ => false,
    }
}

fn reads_the_same(a: &Op, b: &Op) -> bool {
    match (a.what, b.what) {
        (What::Read { want: a, .. }, What::Read { want: b, .. }) => a == b,
        (What::Order { order: a, .. }, What::Order { order: b, .. }) => a == b,
        _ => false,
    }
}

fn known<'a>(case: &Case<'a>, edit: u32) -> Option<&'a Edit> {
    case.edits.binary_search_by_key(&edit, |known| known.number).ok().map(|index| &case.edits[index])
}

/// Sums and doubles: one effect for each key, and every copy accounted for.
fn effects(case: &Case, verdict: &mut Verdict) {
    let mut buyers: HashMap<u64, &Op> = HashMap::new();
    for op in case.ops {
        if let What::Bought { order, again: false, .. } = op.what
            && let Some(other) = buyers.insert(order, op)
        {
            let words = format!("one order for two: {}; and {}", told(case, other), told(case, op));
            verdict.add(op.end, Kind::Doubled, words);
        }
    }
    let sold = case.truth.decisions.values().filter(|decision| decision.sold.is_some()).count();
    if sold != case.truth.orders.len() {
        let words = format!(
            "{sold} keys were told that they bought, and there are {} orders",
            case.truth.orders.len()
        );
        verdict.add(0, Kind::Doubled, words);
    }
    deliveries(case, verdict);
}

/// Copies that appear must come from an edit: from an acknowledged one at its version, or from one whose
/// outcome is unknown, each once.
fn deliveries(case: &Case, verdict: &mut Verdict) {
    let mut acknowledged: HashMap<u32, u64> = HashMap::new();
    for op in case.ops {
        if let What::Edited { edit, version } = op.what {
            acknowledged.insert(edit, version.seq);
        }
    }
    let mut expected: HashMap<(u64, i64), i64> = HashMap::new();
    let mut possible: HashMap<i64, Vec<i64>> = HashMap::new();
    for edit in case.edits {
        let copies = match &edit.change {
            Change::Put(book) => book.stock,
            Change::Restock { copies, .. } => *copies,
            Change::Update { .. } | Change::Delete { .. } => continue,
        };
        match acknowledged.get(&edit.number) {
            Some(&seq) if seq > case.truth.at().seq => {}
            Some(&seq) => *expected.entry((seq, edit.change.book())).or_default() += copies,
            None => possible.entry(edit.change.book()).or_default().push(copies),
        }
    }
    for delivery in &case.truth.deliveries {
        let due = expected.remove(&(delivery.seq, delivery.book)).unwrap_or(0);
        let beyond = delivery.copies - due;
        if beyond == 0 || take(possible.get_mut(&delivery.book), beyond) {
            continue;
        }
        let words = format!(
            "in version {} book {} has {} copies more than before it and its sales and deliveries explain",
            case.truth.public(delivery.seq),
            delivery.book,
            beyond
        );
        let kind = if beyond < 0 { Kind::Lost } else { Kind::Oversold };
        verdict.add(0, kind, words);
    }
    for ((seq, book), copies) in expected.into_iter().filter(|(_, copies)| *copies != 0) {
        let words =
            format!("{copies} copies of book {book} that version {seq} acknowledged are not in its record");
        verdict.add(0, Kind::Lost, words);
    }
}

/// Takes one or two of `amounts` that make up `sum`: more are never in one batch.
fn take(amounts: Option<&mut Vec<i64>>, sum: i64) -> bool {
    let Some(amounts) = amounts else { return false };
    if let Some(index) = amounts.iter().position(|&amount| amount == sum) {
        amounts.swap_remove(index);
        return true;
    }
    for first in 0..amounts.len() {
        if let Some(second) =
            (first + 1..amounts.len()).find(|&second| amounts[first] + amounts[second] == sum)
        {
            amounts.swap_remove(second);
            amounts.swap_remove(first);
            return true;
        }
    }
    false
}

fn want(case: &Case, id: WantId) -> String {
    case.wants[id as usize].to_string()
}

fn seconds(at: Nanos) -> String {
    format!("{:.6} s", at as f64 / 1e9)
}

/// Who did what and what they were told.
pub fn told(case: &Case, op: &Op) -> String {
    let through = match op.frontend {
        0 => "at the master".into(),
        frontend => format!("through frontend {frontend}"),
    };
    let what = match op.what {
        What::Read { want: id, version, cache, stale, .. } => {
            let flag = if stale { ", Warning: 110" } else { "" };
            let shown = match case.truth.state(&case.wants[id as usize], version.seq) {
                Some((point, _)) if point.stock >= 0 => format!(": {} left", point.stock),
                _ => String::new(),
            };
            format!("read {} {through} (X-Cache: {cache}, version {version}{flag}){shown}", want(case, id))
        }
        What::Bought { book, version, remaining, quantity, .. } => format!(
            "bought {quantity} of book {book} {through} and was told {remaining} remain, version {version}"
        ),
        What::Refused { book, why, .. } => format!("was refused book {book} {through}: {why:?}"),
        What::Order { found: Some((version, book, _)), .. } => {
            format!("looked up an order {through} and found it: book {book}, version {version}")
        }
        What::Order { found: None, .. } => format!("looked up an order {through} and was told there is none"),
        What::Edited { edit, version } => {
            let change = case
                .edits
                .binary_search_by_key(&edit, |known| known.number)
                .ok()
                .map(|index| &case.edits[index]);
            format!(
                "made edit {edit} ({}), version {version}",
                change.map_or_else(String::new, |edit| {
                    serde_json::to_string(&edit.change).unwrap_or_default()
                })
            )
        }
    };
    format!("from {} to {} client {} {what}", seconds(op.begin), seconds(op.end), op.process)
}

fn stale(case: &Case, op: &Op, span: Span, bound: u64, by: Option<&Op>) -> String {
    let so = match (span.first, span.last) {
        (0, last) => format!("That was so until version {last}"),
        (first, last) if first == last => format!("That was so at version {first} only"),
        (first, last) => format!("That was so from version {first} to {last}"),
    };
    let before = match by {
        Some(by) => {
            let later = (op.begin - by.end) as f64 / 1e6;
            format!(", but {later:.3} ms before it began this had ended: {}", told(case, by))
        }
        None => format!(", but version {bound} had been seen before it began"),
    };
    format!("{}. {so}{before}", told(case, op))
}

fn future(case: &Case, op: &Op, span: Span, by: Option<&Op>) -> String {
    let before = by.map_or_else(String::new, |by| told(case, by));
    format!(
        "{}. It made version {}, but before it began, that version or a later one had been seen: {before}",
        told(case, op),
        span.first
    )
}

fn never_so(case: &Case, op: &Op, want: &Want, version: Public, print: u64) -> String {
    let line = case.truth.timeline(want);
    let when: Vec<String> = line
        .iter()
        .enumerate()
        .filter(|(_, point)| point.print == print)
        .map(|(index, point)| match line.get(index + 1) {
            Some(next) => format!("from {} to {}", point.seq, next.seq - 1),
            None => format!("since {}", point.seq),
        })
        .take(3)
        .collect();
    let truth = if when.is_empty() {
        "no version ever showed that".into()
    } else {
        format!("that was so {} only", when.join(", "))
    };
    format!("{}: version {version} does not show that; {truth}", told(case, op))
}

#[cfg(test)]
mod tests;
