//! What a run does in the company of a program: it tells how it goes, looks its orders up while it loads, and
//! has books delivered before they are sold out, so that purchases go on for as long as it lasts.
//!
//! Only the run itself may restock meanwhile: it knows what it has delivered, and nothing of what others have.

use super::orders::{self, Proof};
use super::{Bench, DEADLINE};
use crate::domain::BookId;
use crate::shopper::Connection;
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two tellings.
const TELL: Duration = Duration::from_millis(250);

/// Between two looks at one order, and at the shelf.
const LOOK_UP: Duration = Duration::from_millis(200);
const RESTOCK: Duration = Duration::from_millis(500);

/// With so few copies of a book left, as far as is known, more are delivered.
const FEW: u32 = 5;
const DELIVERY: u32 = 20;

/// How it goes, so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Since the start.
    pub seconds: f64,
    pub reads: u64,
    pub hits: u64,
    pub bought: u64,
    pub sold_out: u64,
    pub errors: u64,
    /// Books in answers.
    pub checked_books: u64,
    /// Answers that said that they may be stale.
    pub flagged_stale: u64,
    pub orders_looked_up: u64,
    /// Copies that were put on the shelf.
    pub delivered: u64,
    pub violations: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_violation: Option<String>,
    /// The longest that one took, since the telling before.
    #[serde(skip)]
    pub slowest_read: Duration,
    #[serde(skip)]
    pub slowest_purchase: Duration,
}

/// Puts so many copies of a book on the shelf; whether that is known to be done. Not sent twice.
pub type Supply = Rc<dyn Fn(BookId, u32) -> LocalBoxFuture<'static, bool>>;

#[derive(Clone)]
pub struct Company {
    pub progress: watch::Sender<Progress>,
    pub supply: Supply,
}

/// Until it is aborted.
pub async fn keep(bench: Rc<Bench>, company: Company) {
    tokio::join!(tell(&bench, &company), look_up(&bench, &company), supply(&bench, &company));
}

async fn tell(bench: &Bench, company: &Company) {
    loop {
        tokio::time::sleep(TELL).await;
        company.progress.send_modify(|progress| progress.renew(bench));
        bench.tally.borrow_mut().lately.clear();
    }
}

async fn look_up(bench: &Bench, company: &Company) {
    let mut store = Connection::new(bench.config.stores[0].clone(), DEADLINE);
    loop {
        tokio::time::sleep(LOOK_UP).await;
        let order = bench.orders.borrow_mut().any();
        if let Some(order) = order
            && orders::look_up_one(bench, &mut store, order).await
        {
            company.progress.send_modify(|progress| progress.orders_looked_up += 1);
        }
    }
}

async fn supply(bench: &Bench, company: &Company) {
    loop {
        tokio::time::sleep(RESTOCK).await;
        let scarce = bench.checker.borrow().scarce(FEW);
        for book in scarce {
            let sent = bench.checker.borrow_mut().delivering(book, DELIVERY);
            if (company.supply)(book, DELIVERY).await {
                bench.checker.borrow_mut().delivered(sent, book);
                company.progress.send_modify(|progress| progress.delivered += u64::from(DELIVERY));
            }
        }
    }
}

impl Progress {
    fn renew(&mut self, bench: &Bench) {
        let (tally, checker) = (bench.tally.borrow(), bench.checker.borrow());
        let judged = checker.judged();
        self.seconds = bench.pace.start().elapsed().as_secs_f64();
        (self.reads, self.hits) = (tally.reads.count(), tally.hits.count());
        (self.bought, self.sold_out, self.errors) = (tally.bought, tally.sold_out, tally.lately.errors);
        (self.checked_books, self.flagged_stale) = (judged.books, judged.flagged);
        (self.violations, self.first_violation) = (judged.violations, checker.first().map(str::to_owned));
        (self.slowest_read, self.slowest_purchase) =
            (tally.lately.slowest_read, tally.lately.slowest_purchase);
    }

    /// After the look-ups.
    pub(super) fn end(&mut self, bench: &Bench, proof: &Proof) {
        self.orders_looked_up += proof.looked_up;
        self.renew(bench);
    }
}
