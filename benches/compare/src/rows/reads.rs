//! Cached reads: rows 1, 2, 3, 5 and 10.

use super::Ended;
use crate::bench::Bench;
use crate::http::{Connection, get};
use crate::load::open::{self, Plan};
use crate::load::wrk::{self, Work};
use crate::peers::bare::Bare;
use crate::peers::nginx::Nginx;
use crate::peers::redis::Redis;
use crate::peers::varnish::Varnish;
use crate::record::{Figure, Kind, Plot};
use crate::rounds::{Side, WarmUp, interleave};
use crate::same_bytes;
use crate::stats::Latencies;
use crate::store::{self, Flags, NO_LOCAL_CACHE, SEARCH, SEARCHED_BOOKS, Store, check_hit};
use anyhow::{Context, Result, anyhow, ensure};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

/// As many as the goals are given for.
const CLIENTS: u32 = 32;

/// For the open loop: enough that at half the peak rate a request seldom waits for a free connection.
const CONNECTIONS: usize = 64;

/// Of row 2.
const PURCHASES_PER_SECOND: f64 = 200.0;

/// Reads a second that count hits beside wrk, which cannot.
const SAMPLED_PER_SECOND: f64 = 200.0;

/// Under way at once in row 2; a purchase takes milliseconds.
const BUYERS: usize = 16;

const BOOKS: u64 = 11;

/// Sequential reads that prove whether a hit came from Redis.
const PROBES: u64 = 10;

const CONNECTION_COUNTS: [u32; 5] = [1, 8, 32, 128, 512];

/// The store and those who send its answer: the caches have it, and their origin is gone, so what they answer is a
/// hit.
struct Readers {
    store: Store,
    bare: Bare,
    nginx: Nginx,
    varnish: Varnish,
}

impl Readers {
    fn start(bench: &Bench) -> Result<Self> {
        let store = Store::stocked(bench, "reads", Flags::default())?;
        let ours = check_hit(store.address, SEARCH)?;
        let origin = Bare::constant(bench, "origin", &ours)?;
        let nginx = Nginx::cache(bench, "nginx-cache", origin.address)?;
        let varnish = Varnish::cache(bench, "varnish", origin.address)?;
        for address in [nginx.address, varnish.address] {
            Connection::open(address)?.get(SEARCH)?;
        }
        origin.stop()?;
        let bare = Bare::constant(bench, "bare", &ours)?;
        for (who, address) in [("bare", bare.address), ("nginx", nginx.address), ("Varnish", varnish.address)]
        {
            same_bytes::check(&ours, &Connection::open(address)?.get(SEARCH)?, who)?;
        }
        Ok(Self { store, bare, nginx, varnish })
    }
}

/// wrk on a search that is a hit before and after. Nothing is sold meanwhile, so it is one in between.
fn hits(bench: &Bench, store: SocketAddr, clients: u32) -> Result<f64> {
    let before = check_hit(store, SEARCH)?;
    let rate = searches(bench, store, clients)?;
    let after = check_hit(store, SEARCH)?;
    same_bytes::check(&before, &after, "the store after the turn")?;
    Ok(rate)
}

fn searches(bench: &Bench, server: SocketAddr, clients: u32) -> Result<f64> {
    Ok(wrk::run(bench, server, Work::Get(SEARCH), clients, bench.options.measurement())?.per_second)
}

/// Rows 1 and 10.
pub fn cached(bench: &Bench) -> Result<Ended> {
    let readers = Readers::start(bench)?;
    let (store, nginx) = (readers.store.address, readers.nginx.address);
    if bench.wants(1) {
        let [ours, nginx, varnish, bare] = interleave(
            bench,
            "1",
            "/s",
            WarmUp::Yes,
            [
                Side::new("bazar", |_| hits(bench, store, CLIENTS)),
                Side::new("nginx proxy_cache", |_| searches(bench, nginx, CLIENTS)),
                Side::new("Varnish", |_| searches(bench, readers.varnish.address, CLIENTS)),
                Side::new("bare actix-web", |_| searches(bench, readers.bare.address, CLIENTS)),
            ],
        )?;
        bench.figure(Figure::ratio("1a", &ours, &nginx));
        bench.figure(Figure::ratio("1b", &ours, &varnish));
        bench.figure(Figure::ratio("1c", &ours, &bare));
        if !bench.options.quick {
            by_connections(bench, &readers)?;
        }
    }
    if bench.wants(10) {
        at_half_the_peak(bench, store, nginx)?;
    }
    Ok(Ended::Measured)
}

fn by_connections(bench: &Bench, readers: &Readers) -> Result<()> {
    let plot = Plot::ReadsByConnections;
    for clients in CONNECTION_COUNTS {
        let at = f64::from(clients);
        bench.point(plot, "bazar", at, hits(bench, readers.store.address, clients)?, "/s")?;
        bench.point(plot, "nginx proxy_cache", at, searches(bench, readers.nginx.address, clients)?, "/s")?;
        bench.point(plot, "Varnish", at, searches(bench, readers.varnish.address, clients)?, "/s")?;
        bench.point(plot, "bare actix-web", at, searches(bench, readers.bare.address, clients)?, "/s")?;
    }
    Ok(())
}

fn at_half_the_peak(bench: &Bench, store: SocketAddr, nginx: SocketAddr) -> Result<()> {
    let rate = hits(bench, store, CLIENTS)? / 2.0;
    let (of_ours, of_nginx) = (RefCell::new(Latencies::new()), RefCell::new(Latencies::new()));
    let p99 = |address: SocketAddr, all: &RefCell<Latencies>, counts_hits: bool, round: u32| -> Result<f64> {
        let time = bench.options.measurement();
        let plan = Plan { address, rate, time, connections: CONNECTIONS, seed: round.into() };
        let request = get(address, SEARCH);
        let outcome = open::run(&plan, |_| request.clone())?;
        // The recorded answer that nginx sends says HIT as well.
        ensure!(!counts_hits || outcome.hits == outcome.done, "{} misses", outcome.done - outcome.hits);
        if round > 0 {
            all.borrow_mut().add(&outcome.latencies);
        }
        Ok(outcome.latencies.quantile_ms(0.99))
    };
    let [ours, theirs] = interleave(
        bench,
        "10",
        "ms",
        WarmUp::Yes,
        [
            Side::new("bazar, p99", |round| p99(store, &of_ours, true, round)),
            Side::new("nginx proxy_cache, p99", |round| p99(nginx, &of_nginx, false, round)),
        ],
    )?;
    let note = format!("{rate:.0}/s, {CONNECTIONS} connections");
    bench.figure(Figure::alone("10a", &ours).noting(&note));
    bench.figure(Figure::ratio("10b", &ours, &theirs).noting(&note));
    bench.distribution(&format!("bazar, {rate:.0}/s"), of_ours.into_inner(), Kind::OpenLoop);
    bench.distribution(&format!("nginx proxy_cache, {rate:.0}/s"), of_nginx.into_inner(), Kind::OpenLoop);
    Ok(())
}

/// Row 2. A sampling client counts hits in both halves, so both carry it.
pub fn under_purchases(bench: &Bench) -> Result<Ended> {
    let store = Store::stocked(bench, "reads-and-purchases", Flags::default())?;
    let address = store.address;
    check_hit(address, SEARCH)?;
    let (hits, sampled) = (Mutex::new(0), Mutex::new(0));
    let turn = |purchases: bool, round: u32| -> Result<f64> {
        // What the half before has left to be read anew is not this half's miss.
        check_hit(address, SEARCH)?;
        let before = store.stock(bench, BOOKS)?;
        let seed = u64::from(round) + 1;
        let time = bench.options.measurement();
        let plan = |rate, connections, seed| Plan { address, rate, time, connections, seed };
        let (sample, buyers) =
            (plan(SAMPLED_PER_SECOND, 4, seed), plan(PURCHASES_PER_SECOND, BUYERS, seed + 1000));
        let (rate, sample, bought) = thread::scope(|scope| {
            let sampler = scope.spawn(|| open::run(&sample, |_| get(address, SEARCH)));
            let buyer = purchases.then(|| {
                let book = |number: u64| SEARCHED_BOOKS[usize::from(number % 2 == 1)];
                scope.spawn(move || open::run(&buyers, |number| store::purchase(address, book(number))))
            });
            let rate = searches(bench, address, CLIENTS);
            let lost = || anyhow!("a client's thread panicked");
            let sample = sampler.join().map_err(|_| lost()).flatten();
            let bought = buyer.map(|buyer| buyer.join().map_err(|_| lost()).flatten()).transpose();
            (rate, sample, bought)
        });
        let (rate, sample, bought) =
            (rate?, sample.context("the sampling client")?, bought.context("the buyers")?);
        let bought = bought.map_or(0, |bought| bought.done);
        let sold = before - store.stock(bench, BOOKS)?;
        ensure!(sold == bought, "{sold} copies were sold and {bought} purchases answered");
        match purchases {
            true if round > 0 => {
                *hits.lock().map_err(|_| anyhow!("poisoned"))? += sample.hits;
                *sampled.lock().map_err(|_| anyhow!("poisoned"))? += sample.done;
            }
            true => {}
            false => ensure!(
                sample.hits + 1 >= sample.done,
                "nothing is sold, and {} of {} reads miss",
                sample.done - sample.hits,
                sample.done
            ),
        }
        Ok(rate)
    };
    let [with, without] = interleave(
        bench,
        "2",
        "/s",
        WarmUp::Yes,
        [
            Side::new("bazar, 200 purchases/s", |round| turn(true, round)),
            Side::new("bazar, no purchases", |round| turn(false, round)),
        ],
    )?;
    let (hits, sampled) = (into_inner(hits)?, into_inner(sampled)?);
    let share = hits as f64 * 100.0 / sampled as f64;
    bench.figure(
        Figure::ratio("2", &with, &without).noting(format!("{share:.1} % hits of {sampled} sampled reads")),
    );
    Ok(Ended::Measured)
}

fn into_inner(counter: Mutex<u64>) -> Result<u64> {
    counter.into_inner().map_err(|_| anyhow!("poisoned"))
}

/// Row 3.
pub fn through_redis(bench: &Bench) -> Result<Ended> {
    let redis = Redis::start(bench, "redis")?;
    let url = redis.url();
    let flags = Flags { flags: &["--redis", &url], env: &[NO_LOCAL_CACHE] };
    let store = Store::stocked(bench, "reads-redis", flags)?;
    let ours = check_hit(store.address, SEARCH)?;
    let before = redis.hits()?;
    let mut connection = Connection::open(store.address)?;
    for _ in 0..PROBES {
        connection.get(SEARCH)?;
    }
    if redis.hits()? < before + PROBES {
        let why = format!("this bazar does not know {}: hits come from its own memory", NO_LOCAL_CACHE.0);
        return Ok(Ended::Missing(&[3], why));
    }
    let bare = Bare::constant(bench, "bare-redis", &ours)?;
    same_bytes::check(&ours, &Connection::open(bare.address)?.get(SEARCH)?, "bare")?;
    let [ours, bare] = interleave(
        bench,
        "3",
        "/s",
        WarmUp::Yes,
        [
            Side::new("bazar, Redis only", |_| hits(bench, store.address, CLIENTS)),
            Side::new("bare actix-web", |_| searches(bench, bare.address, CLIENTS)),
        ],
    )?;
    bench.figure(Figure::ratio("3", &ours, &bare));
    Ok(Ended::Measured)
}

/// Row 5.
pub fn behind_nginx(bench: &Bench) -> Result<Ended> {
    let store = Store::stocked(bench, "reads-nginx", Flags::default())?;
    let ours = check_hit(store.address, SEARCH)?;
    let bare = Bare::constant(bench, "bare-nginx", &ours)?;
    let before_store = Nginx::deployed(bench, "nginx-store", store.address)?;
    let before_bare = Nginx::deployed(bench, "nginx-bare", bare.address)?;
    let answer = check_hit(before_store.address, SEARCH)?;
    let theirs = Connection::open(before_bare.address)?.get(SEARCH)?;
    same_bytes::check_but(&answer, &theirs, "nginx before bare actix-web", &["x-request-id"])?;
    let [ours, bare] = interleave(
        bench,
        "5",
        "/s",
        WarmUp::Yes,
        [
            Side::new("nginx, bazar", |_| searches_of_hits(bench, store.address, before_store.address)),
            Side::new("nginx, bare actix-web", |_| searches(bench, before_bare.address, CLIENTS)),
        ],
    )?;
    bench.figure(Figure::ratio("5", &ours, &bare));
    Ok(Ended::Measured)
}

/// Through `front`, on a search that is a hit at `store` before and after.
fn searches_of_hits(bench: &Bench, store: SocketAddr, front: SocketAddr) -> Result<f64> {
    check_hit(store, SEARCH)?;
    let rate = searches(bench, front, CLIENTS)?;
    check_hit(store, SEARCH)?;
    Ok(rate)
}
