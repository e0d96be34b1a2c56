//! More buyers than the store can serve: what is accepted is answered in time, the rest at once, memory
//! stays bounded, and when they have gone it is as if they had never been there.

use crate::harness::{Client, Cluster, Process, Shape, alone, median};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BUYERS: usize = 2000;
const TIME: Duration = Duration::from_secs(8);
const BOOK: i64 = 9;

/// What a purchase may take under the overload: the frontend gives up after 10 s.
const BOUND: Duration = Duration::from_secs(10);

/// A frontend holds 1,024 purchases and 2,000 connections; each takes some KiB.
const MEMORY: u64 = 200 << 20;

/// How soon the store is well again.
const RECOVERED: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Seen {
    sold: usize,
    turned_away: usize,
    slowest_sale: Duration,
    slowest_refusal: Duration,
}

#[test]
fn two_thousand_buyers_at_once_are_served_or_turned_away_and_leave_no_trace() {
    let _alone = alone();
    allow_sockets();
    let cluster = Cluster::start(Shape { frontends: 1, orders: 2, log: "warn", ..Shape::default() });
    cluster.set_stock(BOOK, 10_000_000);
    let client = cluster.client(0);
    let before = usual(&client);
    let seen = overload(&cluster.frontends[0]);
    let gone = Instant::now();
    let after = std::iter::repeat_with(|| usual(&client)).find(|&after| {
        assert!(gone.elapsed() < RECOVERED + after * LOOKS, "{after:?} a purchase, {before:?} before");
        after < before * 3
    });
    let after = after.unwrap();
    println!(
        "{} sold (slowest {:?}), {} turned away (slowest {:?}); a purchase took {before:?} before and \
         {after:?} after",
        seen.sold, seen.slowest_sale, seen.turned_away, seen.slowest_refusal
    );
    assert!(seen.sold > BUYERS, "only {} sold", seen.sold);
    assert!(seen.turned_away > 0, "it was no overload");
    assert!(seen.slowest_sale < BOUND, "a sale took {:?}", seen.slowest_sale);
    let roles = cluster.frontends.iter().chain(&cluster.orders).chain(&cluster.replicas);
    for role in roles.chain([&cluster.master]) {
        let peak = role.peak_memory();
        assert!(peak < MEMORY, "{} took {peak} bytes", role.url());
    }
}

/// Purchases of which the median is taken.
const LOOKS: u32 = 9;

/// What a purchase takes.
fn usual(client: &Client) -> Duration {
    median((0..LOOKS).map(|_| client.buy(BOOK).ok().took))
}

/// Raises the limit of open files to what the system allows; the roles inherit it.
fn allow_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

fn overload(frontend: &Process) -> Seen {
    let addr: SocketAddr = frontend.url().trim_start_matches("http://").parse().unwrap();
    let until = Instant::now() + TIME;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let buyers: Vec<_> = (0..BUYERS).map(|_| tokio::spawn(buyer(addr, until))).collect();
        let mut all = Seen::default();
        for buyer in buyers {
            let seen = buyer.await.unwrap();
            all.sold += seen.sold;
            all.turned_away += seen.turned_away;
            all.slowest_sale = all.slowest_sale.max(seen.slowest_sale);
            all.slowest_refusal = all.slowest_refusal.max(seen.slowest_refusal);
        }
        all
    })
}

/// Buys again and again over one connection; whoever is turned away comes back when he was told to.
async fn buyer(addr: SocketAddr, until: Instant) -> Seen {
    let body = format!("{{\"book_id\":{BOOK}}}");
    let request = format!(
        "POST /purchase HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut seen = Seen::default();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    while Instant::now() < until {
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(BOUND * 2, read(&mut stream)).await.expect("no answer");
        let took = begun.elapsed();
        match answer.split(' ').nth(1) {
            Some("200") => {
                seen.sold += 1;
                seen.slowest_sale = seen.slowest_sale.max(took);
            }
            Some("503") => {
                let after = answer.split("retry-after: ").nth(1).and_then(|rest| rest.split('\r').next());
                let after = after.and_then(|seconds| seconds.parse().ok()).expect("no Retry-After");
                assert!(answer.contains("idempotency-key: "), "{answer}");
                seen.turned_away += 1;
                seen.slowest_refusal = seen.slowest_refusal.max(took);
                tokio::time::sleep(Duration::from_secs(after)).await;
            }
            _ => panic!("{answer}"),
        }
    }
    seen
}

/// One answer, head and body.
async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut chunk = [0; 2048];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the connection was closed");
        answer.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        if length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| body.len() >= length) {
            return text;
        }
    }
}
