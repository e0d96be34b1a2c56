//! Clients that take their time, and many that do nothing: each has a bound, and others are served meanwhile.

use crate::harness::{Cluster, Shape, alone, connect_from, drip, in_company, median, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For a head or a body to come, and for the rest of a body that nobody waits for any more, plus what a busy machine
/// takes.
const SLOW: std::ops::Range<Duration> = Duration::from_secs(4)..Duration::from_secs(16);

fn shop() -> Cluster {
    Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() })
}

fn connect(cluster: &Cluster) -> TcpStream {
    let stream = TcpStream::connect(cluster.frontends[0].url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// All that comes until the other end closes, and how long that takes.
fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

#[track_caller]
fn is_timed_out((answer, took): &(String, Duration)) {
    assert!(answer.contains("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(SLOW.contains(took), "{took:?}: {answer}");
}

#[test]
fn a_head_that_comes_byte_by_byte_has_five_seconds() {
    let _company = in_company();
    let cluster = shop();
    let mut stream = connect(&cluster);
    stream.write_all(b"GET /info/9 HTTP/1.1\r\nHost: x\r\nX: ").unwrap();
    drip(&stream);
    is_timed_out(&rest(&mut stream));
    cluster.client(0).info(9).ok();
}

#[test]
fn the_second_head_of_a_connection_has_no_more_time_than_the_first() {
    let _company = in_company();
    let cluster = shop();
    for (first, dripping) in [
        ("GET /info/9 HTTP/1.1\r\nHost: x\r\n\r\n", true),
        ("GET /info/9 HTTP/1.1\r\nHost: x\r\n\r\n", false),
        ("POST /purchase HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", false),
    ] {
        let mut stream = connect(&cluster);
        stream.write_all(first.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 "));
        stream.write_all(b"GET /info/9 HTTP/1.1\r\nX: ").unwrap();
        if dripping {
            drip(&stream);
        }
        is_timed_out(&rest(&mut stream));
    }
}

#[test]
fn a_body_that_comes_byte_by_byte_has_five_seconds() {
    let _company = in_company();
    let cluster = shop();
    for framing in ["Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3e8\r\n"] {
        let mut stream = connect(&cluster);
        let head = "POST /purchase HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        stream.write_all(format!("{head}{framing}").as_bytes()).unwrap();
        drip(&stream);
        is_timed_out(&rest(&mut stream));
    }
    assert_eq!(cluster.client(0).info(9).ok().stock(9), 15);
}

#[test]
fn who_takes_no_answers_is_not_waited_for() {
    let _company = in_company();
    let cluster = shop();
    let frontend = &cluster.frontends[0];
    let addr: SocketAddr = frontend.url().trim_start_matches("http://").parse().unwrap();
    let client = cluster.client(0);
    client.info(9).ok();
    let before = frontend.open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let readers: Vec<TcpStream> = (0..20)
        .map(|_| {
            let stream = runtime.block_on(async {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                // The kernel takes little for him.
                socket.set_recv_buffer_size(4096).unwrap();
                socket.connect(addr).await.unwrap()
            });
            let mut stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            // Some ten megabytes of answers.
            let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
            let _ = stream.write_all(requests.as_bytes());
            stream
        })
        .collect();
    let begun = Instant::now();
    wait_until("they are all there", || frontend.open_files() >= before + readers.len());
    client.info(9).ok();
    wait_until("the most of their time is over", || begun.elapsed() > Duration::from_secs(10));
    client.info(9).ok();
    wait_until("the connections of who does not read are closed", || {
        client.info(9).ok();
        // Connections to other roles come and go.
        frontend.open_files() < before + readers.len() / 2
    });
}

/// From each of so many addresses.
const ADDRESSES: usize = 40;
const EACH: usize = 250;

/// What a process has open besides.
const OTHER_FILES: usize = 500;

/// What a frontend may take for ten thousand connections: some 20 KiB for the buffers of each.
const MEMORY: u64 = 400 << 20;

/// Half of these answers came within a second, and each within five.
#[track_caller]
fn is_prompt(took: impl IntoIterator<Item = Duration>) {
    let took: Vec<Duration> = took.into_iter().collect();
    assert!(took.iter().max() < Some(&Duration::from_secs(5)), "{took:?}");
    assert!(median(took.iter().copied()) < Duration::from_secs(1), "{took:?}");
}

#[test]
fn ten_thousand_idle_connections_leave_room_for_everybody_else() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let _alone = alone();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let needed = (ADDRESSES * EACH + OTHER_FILES) as u64;
    let allowed = maximum.unwrap_or(u64::MAX);
    assert!(
        allowed >= needed,
        "a process may have {allowed} files here: `ulimit -Hn` must be {needed} or more"
    );
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let cluster = Cluster::start(Shape {
        replicas: 0,
        frontends: 1,
        frontend_flags: &["--unlimited-client", "127.0.0.1"],
        ..Shape::default()
    });
    let (frontend, client) = (&cluster.frontends[0], cluster.client(0));
    client.info(9).ok();
    let before = frontend.open_files();
    let request = b"GET /info/9 HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut idle = Vec::new();
    let mut took = Vec::new();
    for address in 0..ADDRESSES {
        for _ in 0..EACH {
            let mut stream = connect_from(&format!("127.0.1.{}", address + 1), frontend.url());
            stream.write_all(request).unwrap();
            idle.push(stream);
        }
        took.push(client.info(9).ok().took);
    }
    is_prompt(took);
    for stream in &mut idle {
        let mut answer = [0; 1024];
        assert!(stream.read(&mut answer).unwrap() > 0 && answer.starts_with(b"HTTP/1.1 200 "));
    }
    assert!(frontend.open_files() >= before + idle.len());
    // None of the addresses gets many more than its own.
    let more: Vec<TcpStream> = (0..20).map(|_| connect_from("127.0.1.1", frontend.url())).collect();
    more.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
    let turned_away = || {
        let is_told = |stream: &&TcpStream| {
            let mut answer = [0; 64];
            stream.peek(&mut answer).is_ok_and(|read| answer[..read].starts_with(b"HTTP/1.1 429 "))
        };
        more.iter().filter(is_told).count()
    };
    let too_many = (EACH + 20).saturating_sub(256);
    wait_until("who is one too many is turned away", || turned_away() == too_many);
    client.buy(9).ok();
    is_prompt((0..20).map(|_| client.info(9).ok().took));
    assert_eq!(turned_away(), too_many);
    let peak = frontend.peak_memory();
    println!("{} idle connections: {} MB at most", idle.len(), peak >> 20);
    assert!(peak < MEMORY, "{peak} bytes");
    drop((idle, more));
    wait_until("they are forgotten when they are gone", || frontend.open_files() <= before + 5);
}
