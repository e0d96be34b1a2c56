//! Server-sent events as a page receives them.

use super::{PATIENCE, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// One open page. Its connection ends with it.
pub struct Events {
    stream: TcpStream,
    received: Arc<Mutex<Vec<Event>>>,
    ended: Arc<AtomicBool>,
    head: String,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub data: Value,
}

/// An open page that has read the head of its answer, and nothing of what is told.
pub struct Unread {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    head: String,
}

impl Unread {
    #[track_caller]
    pub fn open(url: &str, path: &str) -> Self {
        let authority = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(authority).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "no answer: {head}");
        }
        // From here on the reader waits for as long as the page is open.
        stream.set_read_timeout(None).unwrap();
        Self { stream, reader, head: head.to_lowercase() }
    }

    /// Reads what was told meanwhile, and what comes.
    pub fn read(self) -> Events {
        let Self { stream, reader, head } = self;
        let (received, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (events, end) = (Arc::clone(&received), Arc::clone(&ended));
        std::thread::spawn(move || {
            receive(reader, &events);
            end.store(true, Ordering::SeqCst);
        });
        Events { stream, received, ended, head }
    }
}

impl Events {
    /// Opens `path` at `url`, and reads what comes.
    #[track_caller]
    pub fn open(url: &str, path: &str) -> Self {
        Unread::open(url, path).read()
    }

    /// The head of the answer, in lower case.
    pub fn head(&self) -> &str {
        &self.head
    }

    pub fn received(&self) -> Vec<Event> {
        self.received.lock().unwrap().clone()
    }

    /// The last event of the book.
    pub fn last(&self, book: i64) -> Option<Event> {
        self.received().into_iter().rfind(|event| event.data["id"] == book)
    }

    /// Waits until the last event of the book shows this count.
    #[track_caller]
    pub fn shows(&self, book: i64, stock: i64) {
        wait_until("an open page shows the stock", || {
            self.last(book).is_some_and(|event| event.data["numberOfItems"] == stock)
        });
    }

    /// Whether the server has ended it.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Lines that begin like one of an event are taken for one: between them stand the lengths of chunks.
fn receive(reader: BufReader<TcpStream>, events: &Mutex<Vec<Event>>) {
    let mut id = String::new();
    for line in reader.lines().map_while(Result::ok) {
        if let Some(version) = line.strip_prefix("id: ") {
            id = version.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data = serde_json::from_str(data).unwrap();
            events.lock().unwrap().push(Event { id: id.clone(), data });
        }
    }
}
