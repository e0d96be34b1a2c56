//! The check that needs neither the log nor versions: books of which single copies are bought and that
//! nobody restocks.
//!
//! The count of such a book is a strictly falling sequence, so each operation has exactly one place in
//! it: a purchase that was told "7 remain" is the step from 8 to 7, a read that showed 7 comes after that
//! step and before the next. The history of a book is linearizable if and only if no operation began
//! after one that comes behind it had ended. One pass in the order of their places finds every such pair.
//! Books do not influence each other: linearizability is local.

use crate::history::{Op, What};
use crate::judge::{Case, Kind, Verdict, told};
use std::collections::HashMap;

/// An operation on one book, and its place.
#[derive(Clone, Copy)]
struct Placed {
    /// Copies sold before it, itself included; then purchases before reads.
    place: (i64, bool),
    op: usize,
    stale: bool,
}

pub fn check(case: &Case, verdict: &mut Verdict) {
    let mut books: HashMap<i64, Vec<Placed>> = HashMap::new();
    let mut enter = |book: i64, place, op, stale| {
        if case.falling.contains_key(&book) {
            books.entry(book).or_default().push(Placed { place, op, stale });
        }
    };
    let initial = |book: i64| case.falling.get(&book).copied().unwrap_or(0);
    for count in case.counts {
        let op = count.op as usize;
        let stale = matches!(case.ops[op].what, What::Read { stale: true, .. });
        enter(count.book, (initial(count.book) - count.count, true), op, stale);
    }
    for (index, op) in case.ops.iter().enumerate() {
        match op.what {
            What::Bought { book, remaining, again: false, .. } => {
                enter(book, (initial(book) - remaining, false), index, false);
            }
            What::Refused { book, why: crate::history::Refusal::OutOfStock, .. } => {
                enter(book, (initial(book), true), index, false);
            }
            _ => {}
        }
    }
    for (book, placed) in books {
        check_book(case, book, initial(book), placed, verdict);
    }
}

fn check_book(case: &Case, book: i64, initial: i64, mut placed: Vec<Placed>, verdict: &mut Verdict) {
    let ops = case.ops;
    placed.retain(|placed| {
        let possible = (i64::from(!placed.place.1)..=initial).contains(&placed.place.0);
        if !possible {
            let op = &ops[placed.op];
            let words = format!("of book {book} there were {initial} copies: {}", told(case, op));
            verdict.add(op.end, Kind::Oversold, words);
        }
        possible
    });
    placed.sort_by_key(|placed| placed.place);
    // The latest begin among what comes before: of everything, and of the purchases alone.
    let (mut latest, mut latest_buy): (Option<usize>, Option<usize>) = (None, None);
    for group in placed.chunk_by(|a, b| a.place == b.place) {
        let bought = !group[0].place.1;
        if bought && group.len() > 1 {
            let all: Vec<String> = group.iter().map(|placed| told(case, &ops[placed.op])).collect();
            let words =
                format!("one copy of book {book} was sold {} times: {}", group.len(), all.join("; and "));
            verdict.add(ops[group[1].op].end, Kind::Doubled, words);
        }
        for placed in group {
            let before = if placed.stale { latest_buy } else { latest };
            if let Some(before) = before.filter(|&before| ops[placed.op].end < ops[before].begin) {
                explain(case, book, &ops[placed.op], &ops[before], verdict);
            }
        }
        let later = |a: Option<usize>, b: usize| match a {
            Some(a) if ops[a].begin >= ops[b].begin => Some(a),
            _ => Some(b),
        };
        for placed in group.iter().filter(|placed| !placed.stale) {
            latest = later(latest, placed.op);
            if bought {
                latest_buy = later(latest_buy, placed.op);
            }
        }
    }
}

/// `later` stands behind `earlier` in the life of the book, but had ended before that one began.
fn explain(case: &Case, book: i64, later: &Op, earlier: &Op, verdict: &mut Verdict) {
    let gap = (earlier.begin - later.end) as f64 / 1e6;
    let (kind, what) = match earlier.what {
        What::Read { .. } => (Kind::Stale, "showed a state of the past"),
        _ => (Kind::FromTheFuture, "took a copy that had been seen to be gone"),
    };
    let words = format!(
        "book {book}, by its counts alone: {} {what}: {gap:.3} ms before it began this had ended: {}",
        told(case, earlier),
        told(case, later)
    );
    verdict.add(earlier.end, kind, words);
}
