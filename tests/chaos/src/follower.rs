//! Follows the master's log while the store is under fire, so that every answer can be judged by it.
//!
//! It asks each catalog node that may be the master, over no link; what it has read once must stay.

use crate::history::{Clock, Sink};
use crate::http::Client;
use crate::judge::Kind;
use crate::store::{ASK, CATALOGS, TOKEN};
use crate::truth::{Record, Truth};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Between two looks at a log that had nothing new.
const PAUSE: Duration = Duration::from_millis(50);

pub struct Follower {
    pub truth: Mutex<Truth>,
    /// Which catalog node is the master now.
    pub master: AtomicUsize,
    pub addrs: [SocketAddr; CATALOGS],
    pub over: AtomicBool,
    /// What cannot be, with its kind.
    pub findings: Mutex<Vec<(Kind, String)>>,
    pub file: Option<Arc<Sink>>,
    pub clock: Clock,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

impl Follower {
    /// Until `over`.
    pub fn run(&self) {
        let mut client: Option<(usize, Client)> = None;
        while !self.over.load(Ordering::Relaxed) {
            let master = self.master.load(Ordering::Relaxed);
            if client.as_ref().is_none_or(|(of, _)| *of != master) {
                client = Some((master, Client::internal(self.addrs[master], TOKEN)));
            }
            let more = client.as_mut().is_some_and(|(_, client)| self.page(client));
            if !more {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Reads one page; whether there was anything in it.
    fn page(&self, client: &mut Client) -> bool {
        let at = self.truth.lock().map(|truth| truth.at());
        let Ok(at) = at else { return false };
        let Ok(answer) = client.get(&format!("/log?after={at}"), ASK) else { return false };
        if answer.status != 200 {
            if String::from_utf8_lossy(&answer.body).contains("unknown_history") {
                let words = format!("the master does not know version {at}, which its log has shown before");
                self.found(Kind::Lost, words);
                self.over.store(true, Ordering::Relaxed);
            }
            return false;
        }
        let Ok(page) = serde_json::from_slice::<Page>(&answer.body) else {
            self.found(Kind::Log, "a page of the log cannot be read".into());
            return false;
        };
        let now = self.clock.now();
        for raw in &page.records {
            match serde_json::from_str::<Record>(raw.get()) {
                Ok(record) => {
                    if let Ok(mut truth) = self.truth.lock() {
                        truth.apply(&record);
                    }
                }
                Err(error) => self.found(Kind::Log, format!("a record cannot be read: {error}: {raw}")),
            }
            if let Some(file) = &self.file
                && let Err(error) = file.note("\"log\"", "record", raw.get(), now)
            {
                self.found(Kind::End, format!("the history cannot be written: {error}"));
            }
        }
        !page.records.is_empty()
    }

    fn found(&self, kind: Kind, words: String) {
        if let Ok(mut findings) = self.findings.lock()
            && !findings.iter().any(|(_, known)| *known == words)
        {
            findings.push((kind, words));
        }
    }
}
