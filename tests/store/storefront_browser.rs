//! The shop in a real browser: what somebody sees and does, in one window and in two.

use crate::harness::{Browser, Cluster, Look, Process, Shape, alone, in_company, wait_until};
use serde_json::json;

const BOOK: i64 = 9;
const TITLE: &str = "How to finish Project 3 on time";

fn small() -> Cluster {
    Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() })
}

fn address(cluster: &Cluster, path: &str) -> String {
    format!("{}{path}", cluster.frontends[0].url())
}

fn stock(cluster: &Cluster) -> i64 {
    cluster.client(0).info(BOOK).ok().stock(BOOK)
}

#[track_caller]
fn no_complaints(browser: &Browser) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn somebody_browses_searches_and_buys() {
    let _alone = alone();
    let cluster = small();
    for scripts in [true, false] {
        let left = stock(&cluster);
        let browser = Browser::start(Look { scripts, ..Look::default() });
        browser.goto(&address(&cluster, "/"));
        assert_eq!(browser.title(), "Books · Bazar");
        browser.click(".topics a[href='/topics/science']");
        browser.wait_for_text("h1", "Science");
        assert_eq!(browser.count(".book"), 2);

        browser.fill("#words", "proj");
        browser.press_enter("#words");
        browser.wait_for_text("mark", "Project");
        browser.click(".book h3 a");
        browser.wait_for_text("h1", TITLE);
        browser.wait_for_text(".detail .stock", &format!("{left} in stock"));

        browser.fill("#quantity", "2");
        browser.click(".buy button");
        browser.wait_for_text("h1", "Thank you");
        browser.wait_for_text(".total", "$56");
        let receipt = browser.url();
        assert!(receipt.contains("/receipts/"), "{receipt}");
        assert_eq!(stock(&cluster), left - 2);

        // The receipt is a page like any other: it can be loaded again, and found again later.
        browser.reload();
        browser.wait_for_text("h1", "Thank you");
        assert_eq!(stock(&cluster), left - 2);
        browser.click("nav a[href='/my-orders']");
        browser.wait_for_text(".orders", TITLE);
        browser.click(".orders a[href^='/receipts/']");
        browser.wait_for_text("h1", "Thank you");
        assert_eq!(browser.url(), receipt);
        no_complaints(&browser);
    }
}

#[test]
fn a_double_click_and_a_way_back_and_forth_buy_once() {
    let _alone = alone();
    let cluster = small();
    let browser = Browser::start(Look::default());
    browser.goto(&address(&cluster, "/books/9"));
    browser.double_click(".buy button");
    browser.wait_for_text("h1", "Thank you");
    assert_eq!(stock(&cluster), 14);
    // Back is the book as it is now, with a button that can be pressed.
    browser.back();
    browser.wait_for_text("h1", TITLE);
    browser.wait_for_text(".detail .stock", "14 in stock");
    assert_eq!(browser.attribute(".buy button", "disabled"), None);
    // A form that was left half-way is sent again as it was.
    browser.script("history.forward()");
    browser.wait_for_text("h1", "Thank you");
    assert_eq!(stock(&cluster), 14);
    no_complaints(&browser);
}

#[test]
fn stock_goes_down_live_in_another_window_until_it_is_sold_out() {
    let _alone = alone();
    let cluster = small();
    cluster.set_stock(BOOK, 5);
    let browser = Browser::start(Look::default());
    browser.goto(&address(&cluster, "/books/9"));
    browser.wait_for_text(".detail .stock", "5 in stock");
    let watching = browser.open_window();
    browser.goto(&address(&cluster, "/books/9"));
    browser.fill("#quantity", "2");
    browser.click(".buy button");
    browser.wait_for_text("h1", "Thank you");
    browser.look_at(watching.clone());
    browser.wait_for_text(".detail .stock", "Only 3 left");
    cluster.set_stock(BOOK, 0);
    browser.wait_for_text(".detail .stock", "Sold out");
    wait_until("nothing can be bought", || browser.attribute(".buy button", "disabled").is_some());
    cluster.edit(&json!({ "restock": { "book_id": BOOK, "copies": 7 } }));
    browser.wait_for_text(".detail .stock", "7 in stock");
    wait_until("something can be bought again", || browser.attribute(".buy button", "disabled").is_none());
    no_complaints(&browser);
}

#[test]
fn what_is_sold_out_in_another_window_is_said_to_who_was_slower() {
    let _company = in_company();
    let cluster = small();
    cluster.set_stock(BOOK, 1);
    // Without scripts, so that the page does not know before its form is sent.
    let browser = Browser::start(Look { scripts: false, ..Look::default() });
    browser.goto(&address(&cluster, "/books/9"));
    let slower = browser.open_window();
    browser.goto(&address(&cluster, "/books/9"));
    browser.click(".buy button");
    browser.wait_for_text("h1", "Thank you");
    browser.look_at(slower);
    browser.click(".buy button");
    browser.wait_for_text(".notice", "Somebody was faster");
    browser.wait_for_text(".detail .stock", "Sold out");
    assert_eq!(stock(&cluster), 0);
}

#[test]
fn a_price_that_changes_is_shown_live_and_asked_about_before_it_is_charged() {
    let _company = in_company();
    let cluster = small();
    let browser = Browser::start(Look::default());
    browser.goto(&address(&cluster, "/books/9"));
    browser.wait_for_text(".detail .price", "$28");
    cluster.edit(&json!({ "update": { "book_id": BOOK, "price": 3150 } }));
    browser.wait_for_text(".detail .price", "$31.50");
    browser.click(".buy button");
    browser.wait_for_text(".notice", "The price has changed");
    browser.wait_for_text(".notice del", "$28");
    assert_eq!(stock(&cluster), 15);
    browser.wait_for_text(".buy button", "Buy at $31.50");
    browser.click(".buy button");
    browser.wait_for_text(".total", "$31.50");
    assert_eq!(stock(&cluster), 14);
}

/// A shop whose master is dead, and somebody who has tried to buy a copy of book 9.
fn bought_without_an_answer() -> (Cluster, Browser) {
    let mut cluster = small();
    let browser = Browser::start(Look::default());
    browser.goto(&address(&cluster, "/books/9"));
    cluster.master.kill();
    browser.click(".buy button");
    browser.wait_for_text("h1", "We do not know yet whether you bought it");
    (cluster, browser)
}

#[test]
fn a_purchase_without_an_answer_is_repeated_with_one_click() {
    let _company = in_company();
    let (mut cluster, browser) = bought_without_an_answer();
    cluster.master.restart();
    cluster.settled();
    browser.click("main form button");
    browser.wait_for_text("h1", "Thank you");
    assert_eq!(stock(&cluster), 14);
}

/// What the browser loads again here was no page that it asked for, but a form that it sent.
#[test]
fn a_purchase_without_an_answer_is_repeated_by_loading_the_page_again_and_buys_once() {
    let _company = in_company();
    let (mut cluster, browser) = bought_without_an_answer();
    browser.reload();
    browser.wait_for_text("h1", "We do not know yet whether you bought it");
    cluster.master.restart();
    cluster.settled();
    browser.reload();
    browser.wait_for_text("h1", "Thank you");
    assert_eq!(stock(&cluster), 14);
    browser.reload();
    browser.wait_for_text("h1", "Thank you");
    assert_eq!(stock(&cluster), 14);
}

#[test]
fn no_page_is_wider_than_the_narrowest_window_and_each_can_be_used_with_the_keyboard() {
    let _company = in_company();
    let cluster = small();
    let long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";
    cluster.edit(&json!({ "update": { "book_id": BOOK, "title": long } }));
    for (width, dark) in [(320, false), (360, true), (1440, false), (3840, true)] {
        let browser = Browser::start(Look { width, dark, ..Look::default() });
        browser.goto(&address(&cluster, "/books/9"));
        browser.click(".buy button");
        browser.wait_for_text("h1", "Thank you");
        let receipt = browser.url();
        let here = ["/", "/topics/education", "/find?q=d", "/books/9", "/my-orders", "/nowhere"];
        for page in here.map(|path| address(&cluster, path)).into_iter().chain([receipt]) {
            browser.goto(&page);
            assert!(!browser.scrolls_sideways(), "{page} at {width}");
            let small = browser.script(
                "return [...document.querySelectorAll('a, button, input:not([type=hidden])')]
                    .filter((e) => e.checkVisibility() && !e.closest('p, dd, h2, .crumbs, .skip'))
                    .map((e) => [e.outerHTML, e.getBoundingClientRect()])
                    .filter(([, box]) => box.width < 24 || box.height < 20)
                    .map(([html]) => html)",
            );
            assert_eq!(small, json!([]), "targets on {page} at {width}");
        }
    }
}

#[test]
fn an_unsafe_store_says_so_to_who_looks() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args =
        ["up", "--listen", "127.0.0.1:0", "--unsafe-coherence", "none", "--data", data.to_str().unwrap()];
    let up = Process::start(dir.path(), "up", &args, &[]);
    let browser = Browser::start(Look::default());
    browser.goto(up.url());
    browser.wait_for_text(".notice.bad", "This store runs without its protection");
}
