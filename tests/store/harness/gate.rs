//! A link between two roles that holds back every POST until it is opened: so a test knows that a
//! purchase is under way.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};

pub struct Gate {
    url: String,
    arrived: Receiver<()>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// In front of the role at `url`. Its threads end with their connections.
    pub fn before(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (arrives, arrived) = mpsc::channel();
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let opened = Arc::clone(&open);
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                let Ok(to) = TcpStream::connect(&target) else { return };
                let (mut back_from, mut back_to) = (to.try_clone().unwrap(), from.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back_from, &mut back_to);
                    let _ = back_to.shutdown(Shutdown::Both);
                });
                let (arrives, opened) = (arrives.clone(), Arc::clone(&opened));
                std::thread::spawn(move || {
                    carry(from, to, || {
                        let _ = arrives.send(());
                        let guard = opened.0.lock().unwrap();
                        drop(opened.1.wait_while(guard, |open| !*open).unwrap());
                    })
                });
            }
        });
        Self { url, arrived, open }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for a POST to be held.
    #[track_caller]
    pub fn holds_one(&self) {
        self.arrived.recv_timeout(super::PATIENCE).expect("no request came");
    }

    pub fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, hold: impl Fn()) {
    let mut chunk = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        if chunk.starts_with(b"POST") {
            hold();
        }
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
