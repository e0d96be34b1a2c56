//! A link between two roles that carries requests late, each by as much, however many there are: what a node
//! far away looks like, or one whose machine is busy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub struct SlowLink {
    url: String,
    delay_ms: Arc<AtomicU64>,
}

impl SlowLink {
    /// In front of the role at `url`. Its threads end with their connections.
    pub fn before(url: &str, delay: Duration) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let link = Self { url, delay_ms: Arc::default() };
        link.delays(delay);
        let delay_ms = Arc::clone(&link.delay_ms);
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                let Ok(to) = TcpStream::connect(&target) else { return };
                let _ = (from.set_nodelay(true), to.set_nodelay(true));
                let (mut back_from, mut back_to) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back_from, &mut back_to);
                    let _ = back_to.shutdown(Shutdown::Both);
                });
                let (sender, chunks) = channel();
                let delay_ms = Arc::clone(&delay_ms);
                std::thread::spawn(move || {
                    let (mut from, mut chunk) = (from, [0; 8192]);
                    while let Ok(read @ 1..) = from.read(&mut chunk) {
                        let delay = Duration::from_millis(delay_ms.load(Ordering::Relaxed));
                        if sender.send((Instant::now() + delay, chunk[..read].to_vec())).is_err() {
                            break;
                        }
                    }
                });
                std::thread::spawn(move || carry(&chunks, to));
            }
        });
        link
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it delays by so much.
    pub fn delays(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }
}

/// Hands on each chunk when it is due.
fn carry(chunks: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, chunk) in chunks {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&chunk).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Sends a byte now and then, until nobody takes it.
pub fn drip(stream: &TcpStream) {
    /// Far less than anybody's patience, so that each byte comes in time.
    const PAUSE: Duration = Duration::from_millis(700);
    let mut stream = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(PAUSE);
        }
    });
}
