//! A link to a catalog node that damages the snapshots and backups that it carries.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What becomes of one snapshot, at a byte of the answer, its head included.
#[derive(Clone, Copy)]
pub enum Damage {
    /// The link breaks off.
    Cut(usize),
    /// A bit of this byte is turned over.
    Flip(usize),
    /// The link carries nothing more, until the one who asked has gone.
    Stall(usize),
}

pub struct Meddler {
    url: String,
    plan: Arc<Mutex<VecDeque<Damage>>>,
}

impl Meddler {
    /// In front of the role at `url`: one damage for each snapshot, in order; whole ones after that. Its
    /// threads end with their connections.
    pub fn before(url: &str, plan: impl IntoIterator<Item = Damage>) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let plan = Arc::new(Mutex::new(VecDeque::from_iter(plan)));
        let ahead = Arc::clone(&plan);
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                let Ok(to) = TcpStream::connect(&target) else { return };
                let (answers, asker) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                let asked = Arc::new(AtomicBool::new(false));
                let (seen, ahead) = (Arc::clone(&asked), Arc::clone(&ahead));
                std::thread::spawn(move || carry_answers(answers, asker, &seen, &ahead));
                std::thread::spawn(move || carry_requests(from, to, &asked));
            }
        });
        Self { url, plan }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many snapshots are still to be damaged.
    pub fn left(&self) -> usize {
        self.plan.lock().unwrap().len()
    }
}

fn carry_requests(mut from: TcpStream, mut to: TcpStream, asked: &AtomicBool) {
    let mut chunk = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        if chunk.starts_with(b"GET /snapshot") || chunk.starts_with(b"GET /backup") {
            asked.store(true, Ordering::SeqCst);
        }
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn carry_answers(mut from: TcpStream, mut to: TcpStream, asked: &AtomicBool, plan: &Mutex<VecDeque<Damage>>) {
    let mut chunk = [0; 8192];
    let (mut damage, mut passed) = (None, 0);
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        // A first request is told what to sign for instead.
        if asked.swap(false, Ordering::SeqCst) && chunk.starts_with(b"HTTP/1.1 200") {
            (damage, passed) = (plan.lock().unwrap().pop_front(), 0);
        }
        let here = |at: usize| at.checked_sub(passed).filter(|&at| at < read);
        let mut end = read;
        match damage {
            Some(Damage::Cut(at) | Damage::Stall(at)) => end = here(at).unwrap_or(read),
            Some(Damage::Flip(at)) => {
                if let Some(at) = here(at) {
                    chunk[at] ^= 1;
                }
            }
            None => {}
        }
        passed += read;
        let sent = to.write_all(&chunk[..end]);
        if let (Ok(()), true, Some(Damage::Stall(_))) = (&sent, end < read, damage) {
            // There is no other request on this connection: what comes is its end.
            let _ = to.read(&mut chunk);
        }
        if sent.is_err() || end < read {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
