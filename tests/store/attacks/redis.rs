//! Whoever owns Redis can put anything into it, and can answer anything in its place. Either costs speed only.

use crate::harness::{Client, Cluster, Process, RedisServer, Shape, TOKEN, alone, in_company, wait_until};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHOP: Shape = Shape {
    replicas: 0,
    orders: 1,
    frontends: 1,
    redis: true,
    candidates: false,
    faulty_disks: false,
    admin: None,
    frontend_flags: &[],
    traces: None,
    log: "info",
    log_format: "text",
};

/// What a frontend of tests takes at its start is a third of that.
const MODEST: u64 = 300 << 20;

/// The parts of a value, as a frontend lays them down: `mac ‖ length of head ‖ head ‖ body`.
struct Sealed {
    head: Value,
    body: Vec<u8>,
}

impl Sealed {
    fn read(value: &[u8]) -> Self {
        let rest = &value[32..];
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        Self {
            head: serde_json::from_slice(&rest[4..4 + length]).unwrap(),
            body: rest[4 + length..].to_vec(),
        }
    }

    /// With the MAC of a member of the store whose token is `token`.
    fn write(&self, token: &str, name: &str) -> Vec<u8> {
        let mut key = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
        key.update(b"bazar redis entry 1");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.finalize().into_bytes()).unwrap();
        let head = serde_json::to_vec(&self.head).unwrap();
        let length = u32::try_from(head.len()).unwrap().to_le_bytes();
        let rest = [&length[..], &head, &self.body].concat();
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(&rest);
        [mac.finalize().into_bytes().as_slice(), &rest].concat()
    }

    /// Book 9 with this count, at this version.
    fn claiming(&self, asof: impl Into<Value>, stock: i64) -> Self {
        let mut head = self.head.clone();
        head["asof"] = asof.into();
        let mut body: Value = serde_json::from_slice(&closed(&self.body)).unwrap();
        body["numberOfItems"] = json!(stock);
        let mut body = body.to_string();
        body.truncate(body.len() - 1);
        Self { head, body: body.into_bytes() }
    }

    fn asof(&self) -> (String, u64) {
        let (epoch, seq) = self.head["asof"].as_str().unwrap().rsplit_once('.').unwrap();
        (epoch.to_owned(), seq.parse().unwrap())
    }
}

/// A body ends where `cached` and `responseTime` will be.
fn closed(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    if !body.ends_with(b"}") {
        body.push(b'}');
    }
    body
}

/// A cluster whose Redis has `info:9`, and what that is. The frontend that wrote it has forgotten it.
fn with_an_entry() -> (Cluster, Sealed) {
    let mut cluster = Cluster::start(SHOP);
    cluster.client(0).info(9).ok();
    let redis = cluster.redis.as_ref().unwrap();
    redis.has("info:9");
    let entry = Sealed::read(&redis.get("info:9").unwrap());
    cluster.frontends[0].stop();
    cluster.frontends[0].restart();
    cluster.settled();
    (cluster, entry)
}

/// What a frontend that has nothing in memory says of book 9, with `value` in Redis.
fn told(cluster: &mut Cluster, value: &[u8]) -> Value {
    cluster.redis.as_ref().unwrap().set("info:9", value);
    cluster.frontends[0].stop();
    cluster.frontends[0].restart();
    cluster.settled();
    // Nothing may write over it in between.
    cluster.client(0).info(9).ok().json()
}

/// The tests below forge with the right formula: a wrong one would be refused for that alone.
#[test]
fn only_who_has_the_token_can_make_an_entry_that_is_served() {
    let _company = in_company();
    let (mut cluster, entry) = with_an_entry();
    let asof = entry.head["asof"].clone();
    let forged = entry.claiming(asof, 777);
    // As soon as Redis answers in its time.
    wait_until("a member of the store is believed", || {
        told(&mut cluster, &forged.write(TOKEN, "info:9"))["numberOfItems"] == 777
    });
    for (token, name) in [("another-stores-token", "info:9"), (TOKEN, "info:10"), (TOKEN, "search:9")] {
        let doubted = told(&mut cluster, &forged.write(token, name));
        assert_eq!(doubted["numberOfItems"], 15, "of {name} by {token}: {doubted}");
    }
}

#[test]
fn an_entry_with_a_huge_version_in_redis_is_not_served() {
    let _company = in_company();
    let (mut cluster, entry) = with_an_entry();
    let (epoch, seq) = entry.asof();
    let (number, identity) = epoch.split_once(':').unwrap();
    let huge = u64::MAX;
    for asof in [
        format!("{epoch}.{huge}"),
        format!("{epoch}.{}", seq + 1),
        format!("{huge}:{identity}.{huge}"),
        format!("{huge}:ffffffffffffffff.{huge}"),
        format!("{number}:{identity}.99999999999999999999999999"),
        "x".repeat(1000),
    ] {
        // As Redis's owner can: the MAC is that of the entry that was there.
        let genuine = entry.write(TOKEN, "info:9");
        let mut forged = entry.claiming(asof.clone(), 777).write("a-guess-of-the-token", "info:9");
        forged[..32].copy_from_slice(&genuine[..32]);
        assert_eq!(told(&mut cluster, &forged)["numberOfItems"], 15, "{asof}");
    }
    // And with the right seal, of what this store cannot have: another epoch's, or another life's of the same number.
    for asof in [
        format!("{huge}:{identity}.{huge}"),
        format!("{}:{identity}.{huge}", number.parse::<u64>().unwrap() + 1),
        format!("{number}:0123456789abcdef.{huge}"),
    ] {
        let forged = entry.claiming(asof.clone(), 777).write(TOKEN, "info:9");
        assert_eq!(told(&mut cluster, &forged)["numberOfItems"], 15, "{asof}");
    }
}

#[test]
fn an_entry_of_an_earlier_life_of_the_master_in_redis_is_not_served() {
    let _company = in_company();
    let (mut cluster, entry) = with_an_entry();
    let old = entry.write(TOKEN, "info:9");
    cluster.client(0).buy(9).ok();
    cluster.master.kill();
    cluster.master.restart();
    cluster.settled();
    assert_eq!(told(&mut cluster, &old)["numberOfItems"], 14);
}

#[test]
fn an_entry_of_100_mb_in_redis_is_passed_over_and_takes_no_memory() {
    let _company = in_company();
    let (mut cluster, entry) = with_an_entry();
    // Whole and sealed, and far too long.
    let mut huge = entry.claiming(entry.head["asof"].clone(), 777);
    let filler = format!(",\"filler\":\"{}\"", "x".repeat(100 << 20));
    huge.body.extend(filler.as_bytes());
    let huge = huge.write(TOKEN, "info:9");
    for _ in 0..3 {
        assert_eq!(told(&mut cluster, &huge)["numberOfItems"], 15);
    }
    // Under every key at once.
    let redis = cluster.redis.as_ref().unwrap();
    for book in 1..=3 {
        redis.set(&format!("info:{book}"), &huge);
    }
    redis.set("search:education", &huge);
    let client = cluster.client(0);
    for book in 1..=3 {
        client.info(book).ok();
    }
    assert_eq!(client.search("education").ok().stock(9), 15);
    let peak = cluster.frontends[0].peak_memory();
    assert!(peak < MODEST, "{} MiB", peak >> 20);
}

/// What a server says that answers to the name of Redis. A greeting and PING are answered as they should be.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// One string of half a gigabyte.
    EndlessString,
    /// A list of a billion strings.
    EndlessList,
    /// Lists in lists in lists.
    Nested,
    /// A line that never ends.
    EndlessLine,
    /// More strings than anybody has asked for.
    Unasked,
    /// A length that no memory holds.
    ImpossibleLength,
    /// Not the protocol.
    Rubbish,
    /// The right type, of another content, at once.
    Lies,
    /// Nothing.
    Nothing,
}

const ALL: [Says; 9] = [
    Says::EndlessString,
    Says::EndlessList,
    Says::Nested,
    Says::EndlessLine,
    Says::Unasked,
    Says::ImpossibleLength,
    Says::Rubbish,
    Says::Lies,
    Says::Nothing,
];

/// Such a server; how often it was asked for an entry.
fn false_redis(says: Says) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || talk(stream, says, &counted));
        }
    });
    (url, asked)
}

fn talk(mut stream: TcpStream, says: Says, asked: &AtomicUsize) {
    let mut heard = [0; 1 << 16];
    while let Ok(read @ 1..) = stream.read(&mut heard) {
        let text = String::from_utf8_lossy(&heard[..read]).into_owned();
        let commands = text.matches("\r\n$8\r\nGETRANGE\r\n").count();
        let answer: &[u8] = match commands {
            0 if text.contains("PING") => b"+PONG\r\n",
            0 => &b"+OK\r\n".repeat(text.matches('*').count().max(1)),
            _ => {
                asked.fetch_add(commands, Ordering::Relaxed);
                let _ = lie(&mut stream, says, commands);
                continue;
            }
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// Says it until the other end has heard enough.
fn lie(stream: &mut TcpStream, says: Says, commands: usize) -> std::io::Result<()> {
    let mut flood = |first: &[u8], again: &[u8]| -> std::io::Result<()> {
        stream.write_all(first)?;
        let again = again.repeat((1 << 20) / again.len().max(1) + 1);
        // More than this machine has, should nobody stop it.
        for _ in 0..100_000 {
            stream.write_all(&again)?;
        }
        Ok(())
    };
    match says {
        Says::EndlessString => flood(b"$536870000\r\n", b"x"),
        Says::EndlessList => flood(b"*1000000000\r\n", b"$5\r\nhello\r\n"),
        Says::Nested => flood(b"", b"*1\r\n"),
        Says::EndlessLine => flood(b"+", b"x"),
        Says::Unasked => flood(b"", b"$5\r\nhello\r\n"),
        Says::ImpossibleLength => stream.write_all(b"$9223372036854775807\r\nx"),
        Says::Rubbish => stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n\0\xff\xfe"),
        Says::Lies => stream.write_all(&b"$5\r\nhello\r\n".repeat(commands)),
        Says::Nothing => Ok(()),
    }
}

#[test]
fn a_false_redis_can_say_what_it_likes_and_costs_neither_memory_nor_answers() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { redis: false, frontends: 0, ..SHOP });
    let mut stock = 15;
    for says in ALL {
        let (url, asked) = false_redis(says);
        let args =
            ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--redis", &url];
        let args =
            [&args[..], &["--master", cluster.master.url(), "--order", cluster.orders[0].url()]].concat();
        let name = format!("frontend-{says:?}");
        let mut frontend = Process::start(cluster.dir(), &name, &args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
        let client = Client::new(frontend.url());
        wait_until("the frontend holds a lease and takes it for Redis", || {
            let ready = String::from_utf8_lossy(&client.get("/readyz").body).into_owned();
            ready.contains("lease: held") && ready.contains("redis: connected")
        });
        // Until it has had its say often enough, by reads that miss. (Who breaks the connection is asked again a
        // second later; who never ends its first answer does not hear the next question.)
        let mut reads = 0;
        wait_until("the false Redis was asked", || {
            reads += 1;
            client.buy(9).ok();
            stock -= 1;
            if stock == 0 {
                cluster.set_stock(9, 1000);
                stock = 1000;
            }
            let read = client.info(9).ok();
            assert_eq!(read.stock(9), stock, "{says:?}");
            assert!(read.took.as_secs() < 2, "{says:?}: {:?}", read.took);
            let asked = asked.load(Ordering::Relaxed);
            asked >= 3 || asked >= 1 && reads >= 100
        });
        let peak = frontend.peak_memory();
        assert!(peak < MODEST, "{says:?}: {} MiB", peak >> 20);
        frontend.stop();
    }
}

/// Two stores that share a Redis by mistake.
#[test]
fn what_another_store_wrote_into_the_same_redis_is_not_served() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let redis = cluster.redis.as_ref().unwrap();
    let client = cluster.client(0);
    let other = Cluster::start(Shape { redis: false, frontends: 0, ..SHOP });
    let url = redis.url();
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--redis", &url];
    let args = [&args[..], &["--master", other.master.url(), "--order", other.orders[0].url()]].concat();
    let neighbour = Process::start(other.dir(), "neighbour", &args, &[("BAZAR_INTERNAL_TOKEN", TOKEN)]);
    let neighbour = Client::new(neighbour_url(&neighbour));
    other.set_stock(9, 4);
    wait_until("the neighbour has put its own into Redis", || {
        neighbour.info(9).ok();
        put_by(redis).is_some_and(|entry| entry.contains("\"numberOfItems\":4"))
    });
    assert_eq!(client.info(9).stock(9), 15);
    assert_eq!(neighbour.info(9).stock(9), 4);
}

fn neighbour_url(process: &Process) -> &str {
    process.url()
}

/// What lies under the key of book 9.
fn put_by(redis: &RedisServer) -> Option<String> {
    redis.get("info:9").map(|value| String::from_utf8_lossy(&value).into_owned())
}
