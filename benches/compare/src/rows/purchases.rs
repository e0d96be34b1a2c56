//! Durable purchases with many clients: rows 6, 7 and 8.

use super::Ended;
use crate::bench::Bench;
use crate::load::wrk::{self, Work};
use crate::peers::postgres::{Form, Postgres};
use crate::record::{Figure, Plot};
use crate::rounds::{Side, WarmUp, interleave};
use crate::store::{Flags, Store};
use anyhow::{Result, ensure};

/// Enough that PostgreSQL's buyers seldom wait for each other's rows.
pub const BOOKS: u64 = 1_000;

const FEW: u32 = 32;
const MANY: u32 = 256;

const CLIENT_COUNTS: [u32; 5] = [1, 8, 32, 128, 256];

/// frontend → order → master, the replica in sync. Every answer must be a success, and the stock must have fallen by
/// what was answered; what was under way when wrk's time was over may have been sold as well, one for each client.
pub fn of_ours(bench: &Bench, store: &Store, books: u64, clients: u32) -> Result<f64> {
    let before = store.stock(bench, books)?;
    let run =
        wrk::run(bench, store.address, Work::Purchases { books }, clients, bench.options.measurement())?;
    let sold = before - store.stock(bench, books)?;
    let most = run.done + u64::from(clients);
    ensure!(
        (run.done..=most).contains(&sold),
        "{sold} copies were sold, and {} purchases answered",
        run.done
    );
    Ok(run.per_second)
}

pub fn throughput(bench: &Bench) -> Result<Ended> {
    let store = Store::of_books(bench, "purchases", BOOKS, Flags::default())?;
    let postgres = Postgres::start(bench, "postgres", BOOKS)?;
    let ours = |books, clients| of_ours(bench, &store, books, clients);
    let theirs =
        |form, books, clients| postgres.purchases(bench, form, clients, books, bench.options.measurement());
    if bench.wants(6) {
        let [bazar, transaction, statement] = interleave(
            bench,
            "6",
            "/s",
            WarmUp::Yes,
            [
                Side::new("bazar", |_| ours(BOOKS, FEW)),
                Side::new("PostgreSQL, BEGIN … COMMIT", |_| theirs(Form::Transaction, BOOKS, FEW)),
                Side::new("PostgreSQL, one statement", |_| theirs(Form::OneStatement, BOOKS, FEW)),
            ],
        )?;
        bench.figure(Figure::ratio("6a", &bazar, &transaction));
        bench.figure(Figure::ratio("6b", &bazar, &statement));
    }
    if bench.wants(7) || bench.wants(8) {
        let [spread, one, transaction, statement, theirs_one] = interleave(
            bench,
            "7 and 8",
            "/s",
            WarmUp::Yes,
            [
                Side::new("bazar, 1,000 books", |_| ours(BOOKS, MANY)),
                Side::new("bazar, one book", |_| ours(1, MANY)),
                Side::new("PostgreSQL, BEGIN … COMMIT", |_| theirs(Form::Transaction, BOOKS, MANY)),
                Side::new("PostgreSQL, one statement", |_| theirs(Form::OneStatement, BOOKS, MANY)),
                Side::new("PostgreSQL, BEGIN … COMMIT, one book", |_| theirs(Form::Transaction, 1, MANY)),
            ],
        )?;
        bench.figure(Figure::ratio("7a", &spread, &transaction));
        bench.figure(Figure::ratio("7b", &spread, &statement));
        bench.figure(Figure::ratio("8a", &one, &spread));
        bench.figure(Figure::ratio("8b", &one, &theirs_one));
    }
    if !bench.options.quick {
        for clients in CLIENT_COUNTS {
            let at = f64::from(clients);
            let point = |side: &str, rate: f64| bench.point(Plot::PurchasesByClients, side, at, rate, "/s");
            point("bazar", ours(BOOKS, clients)?)?;
            point("bazar, one book", ours(1, clients)?)?;
            point("PostgreSQL, BEGIN … COMMIT", theirs(Form::Transaction, BOOKS, clients)?)?;
            point("PostgreSQL, one statement", theirs(Form::OneStatement, BOOKS, clients)?)?;
        }
    }
    Ok(Ended::Measured)
}
