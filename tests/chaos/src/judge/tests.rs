//! Each kind of violation, made by hand, is found; and what is right is not accused.

use super::*;
use crate::history::Cache;
use crate::shown::{Book, Shown};
use crate::truth::tests::{book, record, sale, truth};
use crate::truth::{Version, short};
use serde_json::json;

/// Milliseconds.
fn op(begin: u64, end: u64, frontend: u8, what: What) -> Op {
    Op { begin: begin * 1_000_000, end: end * 1_000_000, process: 1, frontend, what }
}

fn wants() -> Vec<Want> {
    vec![Want::Book(1), Want::Page { topic: "x".into(), after: 0, limit: 2 }, Want::Topics, Want::Book(2)]
}

fn public(seq: u64) -> Public {
    Public { epoch: 1, seq }
}

fn shows(seq: u64, want: u32, shown: &Shown) -> What {
    What::Read { want, version: public(seq), print: shown.print(), cache: Cache::Hit, stale: false }
}

/// A read of book 1 that showed `stock`.
fn read(seq: u64, stock: i64) -> What {
    shows(seq, 0, &Shown::Book(Some(book(1, "x", stock))))
}

fn flagged(what: What) -> What {
    let What::Read { want, version, print, cache, .. } = what else { return what };
    What::Read { want, version, print, cache, stale: true }
}

/// Purchase `n` of one copy of book 1.
fn bought(seq: u64, n: u64, remaining: i64) -> What {
    What::Bought {
        book: 1,
        key: short(&format!("k{n}")),
        order: short(&format!("o{n}")),
        version: public(seq),
        remaining,
        quantity: 1,
        total: 100,
        again: false,
    }
}

fn judged_with(truth: &Truth, ops: &[Op], counts: &[Count], edits: &[Edit]) -> Verdict {
    let (wants, falling, foreign) = (wants(), HashMap::from([(1, 3)]), Truth::default());
    judge(&Case {
        ops,
        counts,
        wants: &wants,
        edits,
        truth,
        falling: &falling,
        foreign: &foreign,
        complete: true,
    })
}

/// Three copies of book 1, two of them sold: versions 11 and 12.
fn two_sales() -> Truth {
    let mut truth = truth(3);
    truth.apply(&sale(11, 1, 1, 2));
    truth.apply(&sale(12, 2, 1, 1));
    truth
}

fn judged(ops: &[Op]) -> Verdict {
    judged_with(&two_sales(), ops, &[], &[])
}

fn kinds(verdict: &Verdict) -> Vec<Kind> {
    verdict.violations.iter().map(|violation| violation.kind).collect()
}

#[test]
fn a_history_that_one_store_can_have_is_not_accused() {
    let verdict = judged(&[
        op(0, 10, 1, bought(11, 1, 2)),
        // While a purchase is under way both states may be seen, in this order.
        op(1, 2, 2, read(10, 3)),
        op(3, 4, 2, read(11, 2)),
        op(11, 20, 1, bought(12, 2, 1)),
        op(12, 13, 2, read(11, 2)),
        op(21, 22, 2, read(12, 1)),
        // An entry of an old version whose content is still so.
        op(21, 22, 2, shows(10, 2, &Shown::Topics(vec![("x".into(), 3)]))),
    ]);
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.judged, 7);
}

#[test]
fn a_stale_read_is_found_and_told_in_words() {
    let verdict = judged(&[op(0, 10, 1, bought(11, 1, 2)), op(15, 16, 2, read(10, 3))]);
    assert_eq!(kinds(&verdict), [Kind::Stale]);
    let words = &verdict.violations[0].words;
    for part in [
        "read /info/1 through frontend 2 (X-Cache: HIT, version 1.10)",
        "5.000 ms before",
        "through frontend 1",
    ] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn a_stale_read_that_says_so_is_excused_but_must_be_of_a_state_that_was() {
    let old = flagged(read(10, 3));
    assert_eq!(judged(&[op(0, 10, 1, bought(11, 1, 2)), op(15, 16, 2, old)]).violations, []);
    let never = flagged(read(10, 99));
    assert_eq!(kinds(&judged(&[op(15, 16, 2, never)])), [Kind::NeverSo]);
}

#[test]
fn a_state_of_another_history_is_excused_where_it_says_that_it_may_be_stale() {
    let (truth, wants, falling) = (two_sales(), wants(), HashMap::new());
    let mut foreign =
        Truth::new(Version { epoch: 9, identity: 9, seq: 0 }, vec![book(1, "x", 77)], Vec::new());
    foreign.apply(&record(9, 1, json!({})));
    let version = Public { epoch: 9, seq: 1 };
    let print = Shown::Book(Some(book(1, "x", 77))).print();
    let found = |stale| {
        let ops = [op(0, 1, 1, What::Read { want: 0, version, print, cache: Cache::Bypass, stale })];
        let case = Case {
            ops: &ops,
            counts: &[],
            wants: &wants,
            edits: &[],
            truth: &truth,
            foreign: &foreign,
            falling: &falling,
            complete: true,
        };
        kinds(&judge(&case))
    };
    assert_eq!(found(true), []);
    assert_eq!(found(false), [Kind::NeverSo]);
}

#[test]
fn a_read_that_goes_back_behind_another_is_found() {
    let verdict =
        judged(&[op(0, 20, 1, bought(11, 1, 2)), op(1, 2, 1, read(11, 2)), op(3, 4, 2, read(10, 3))]);
    assert_eq!(kinds(&verdict), [Kind::Stale]);
}

#[test]
fn reads_of_different_books_in_an_order_that_no_store_has_are_found() {
    let mut truth = truth(3);
    truth.apply(&sale(11, 1, 1, 2));
    truth.apply(&sale(12, 2, 2, 4));
    // Nobody has been told of version 11 yet, but version 12 has been seen.
    let ops = [
        op(0, 20, 1, bought(11, 1, 2)),
        op(1, 2, 1, shows(12, 3, &Shown::Book(Some(book(2, "x", 4))))),
        op(3, 4, 2, read(10, 3)),
    ];
    assert_eq!(kinds(&judged_with(&truth, &ops, &[], &[])), [Kind::Disorder]);
}

#[test]
fn an_answer_that_its_version_does_not_show_is_found() {
    let verdict = judged(&[op(0, 1, 1, read(12, 3))]);
    assert_eq!(kinds(&verdict), [Kind::NeverSo]);
    assert!(verdict.violations[0].words.contains("from 10 to 10 only"), "{}", verdict.violations[0].words);
    assert_eq!(kinds(&judged(&[op(0, 1, 1, read(99, 3))])), [Kind::NeverSo]);
}

#[test]
fn an_effect_that_was_seen_before_it_was_asked_for_is_found() {
    let verdict = judged(&[op(0, 1, 1, read(11, 2)), op(2, 10, 1, bought(11, 1, 2))]);
    assert_eq!(kinds(&verdict), [Kind::FromTheFuture]);
}

#[test]
fn a_lost_order_is_found_in_the_log_and_at_its_look_up() {
    assert_eq!(kinds(&judged(&[op(0, 1, 1, bought(11, 7, 2))])), [Kind::Lost]);
    let missing = What::Order { order: short("o1"), found: None };
    assert_eq!(kinds(&judged(&[op(0, 1, 1, bought(11, 1, 2)), op(2, 3, 2, missing)])), [Kind::Stale]);
    let there = What::Order { order: short("o1"), found: Some((public(11), 1, 1)) };
    assert_eq!(judged(&[op(0, 1, 1, bought(11, 1, 2)), op(2, 3, 2, there)]).violations, []);
}

#[test]
fn a_doubled_order_is_found() {
    let verdict = judged(&[op(0, 1, 1, bought(11, 1, 2)), op(0, 1, 2, bought(11, 1, 2))]);
    assert!(verdict.has(Kind::Doubled));
    let What::Bought { order, version, remaining, quantity, total, .. } = bought(11, 1, 2) else { return };
    let key = short("k2");
    let other_key = What::Bought { book: 1, key, order, version, remaining, quantity, total, again: false };
    assert!(judged(&[op(0, 1, 1, other_key)]).has(Kind::Doubled));
    let refused = What::Refused { book: 1, key: short("k1"), why: Refusal::OutOfStock };
    assert_eq!(kinds(&judged(&[op(0, 1, 1, refused)])), [Kind::Doubled]);
}

#[test]
fn stock_that_appears_from_nowhere_is_found() {
    let mut truth = truth(3);
    truth.apply(&sale(11, 1, 1, 3));
    assert_eq!(kinds(&judged_with(&truth, &[], &[], &[])), [Kind::Oversold]);
    let restock = Edit { number: 1, change: Change::Restock { book_id: 1, copies: 1 } };
    assert_eq!(judged_with(&truth, &[], &[], &[restock]).violations, []);
}

#[test]
fn a_delivery_that_left_no_trace_is_found() {
    let restock = Edit { number: 1, change: Change::Restock { book_id: 2, copies: 4 } };
    let ops = [op(0, 1, 0, What::Edited { edit: 1, version: public(11) })];
    assert!(judged_with(&two_sales(), &ops, &[], &[restock]).has(Kind::Lost));
}

#[test]
fn a_delivery_that_was_sold_in_its_own_batch_is_no_loss() {
    let mut truth = truth(3);
    truth.apply(&sale(11, 1, 1, 3));
    let restock = Edit { number: 1, change: Change::Restock { book_id: 1, copies: 1 } };
    let ops = [op(0, 1, 0, What::Edited { edit: 1, version: public(11) })];
    assert_eq!(judged_with(&truth, &ops, &[], &[restock]).violations, []);
}

#[test]
fn without_the_log_counts_alone_show_oversale_and_staleness() {
    // The log of a store that lies: it agrees with every answer.
    let ops = [
        op(0, 1, 1, bought(11, 1, 2)),
        op(2, 3, 2, bought(12, 2, 1)),
        op(4, 5, 2, read(10, 3)),
        op(4, 5, 2, read(10, 3)),
    ];
    let counts = [Count { book: 1, count: 3, op: 2 }, Count { book: 1, count: 4, op: 3 }];
    let verdict = judged_with(&two_sales(), &ops, &counts, &[]);
    assert_eq!(verdict.violations.iter().filter(|v| v.words.contains("counts alone")).count(), 2);
    assert!(verdict.has(Kind::Oversold));
    let twice = [op(0, 1, 1, bought(11, 1, 2)), op(2, 3, 2, bought(11, 1, 2))];
    assert!(judged(&twice).violations.iter().any(|v| v.words.contains("sold 2 times")));
}

#[test]
fn a_list_that_misses_a_move_and_a_book_that_is_back_from_the_dead_are_found() {
    let mut truth = truth(3);
    let moved = Book { topic: "y".into(), ..book(2, "x", 5) };
    truth.apply(&record(1, 11, json!({"books": [moved]})));
    truth.apply(&record(1, 12, json!({"deleted": [1]})));
    let page = |books: Vec<Book>, next| Shown::Page { books, next };
    let old = shows(10, 1, &page(vec![book(1, "x", 3), book(2, "x", 5)], Some(2)));
    let update = Change::Update { book_id: 2, title: "t2".into(), price: 100, topic: Some("y".into()) };
    let edits =
        [Edit { number: 1, change: update }, Edit { number: 2, change: Change::Delete { book_id: 1 } }];
    let did = |edit, seq| What::Edited { edit, version: public(seq) };
    let begin = [op(0, 1, 0, did(1, 11)), op(2, 3, 0, did(2, 12))];
    let right = [
        op(4, 5, 1, shows(12, 1, &page(vec![book(3, "x", 5)], None))),
        op(4, 5, 1, shows(12, 0, &Shown::Book(None))),
        op(4, 5, 1, shows(12, 2, &Shown::Topics(vec![("x".into(), 1), ("y".into(), 1)]))),
    ];
    assert_eq!(
        judged_with(&truth, &[begin, right[..2].try_into().unwrap()].concat(), &[], &edits).violations,
        []
    );
    assert_eq!(judged_with(&truth, &right, &[], &edits).violations, []);
    for wrong in [
        old,
        read(10, 3),
        shows(11, 0, &Shown::Book(Some(book(1, "x", 3)))),
        shows(10, 2, &Shown::Topics(vec![("x".into(), 3)])),
    ] {
        let ops = [&begin[..], &[op(4, 5, 1, wrong)]].concat();
        assert_eq!(kinds(&judged_with(&truth, &ops, &[], &edits)), [Kind::Stale], "{wrong:?}");
    }
}

#[test]
fn what_the_log_has_not_come_to_yet_is_judged_later() {
    let (truth, wants, falling, foreign) = (truth(3), wants(), HashMap::new(), Truth::default());
    let ops = [op(0, 1, 1, bought(11, 1, 2))];
    let case = Case {
        ops: &ops,
        counts: &[],
        wants: &wants,
        edits: &[],
        truth: &truth,
        falling: &falling,
        foreign: &foreign,
        complete: false,
    };
    let verdict = judge(&case);
    assert_eq!((verdict.found, verdict.judged, verdict.pending), (0, 0, 1));
}
