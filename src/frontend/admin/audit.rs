//! The audit: one line for each change by a keeper, once its outcome is known, and for who was not let in. At the
//! target `bazar::audit`, so that it can be collected apart.
//!
//! Invariant: what came from outside stands in the members of the line and, where it is free text, as JSON, so that no
//! title can look like another member. Who hammers at the door cannot fill the disk.

use super::keeper::Decided;
use crate::clock;
use crate::coherence::Moment;
use crate::domain::{Book, Edit, GuardedEdit};
use crate::frontend::gate::{self, Client};
use crate::intake::{IntakeError, Sum};
use crate::metrics::Way;
use crate::server::request_id;
use crate::wire::{ErrorCode, Problem};
use actix_web::HttpRequest;
use log::kv::Value;
use log::{Level, Record};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::time::Duration;

const TARGET: &str = "bazar::audit";

/// So many refused sign-ins are told one by one within [`WINDOW`], the others are counted.
const MAX_REFUSALS: u64 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// How a keeper came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A bearer token.
    Api,
    /// A browser.
    Pages,
}

/// Who asks, as far as it is known: all keepers have one token.
#[derive(Debug, Clone)]
pub struct Actor {
    via: Via,
    /// The other end of the connection.
    from: Option<IpAddr>,
    /// Who the client is: another one, where a proxy that is trusted says so.
    client: Option<IpAddr>,
    pub request_id: String,
}

impl Actor {
    /// As it is counted.
    pub fn way(&self) -> Way {
        match self.via {
            Via::Api => Way::Api,
            Via::Pages => Way::Page,
        }
    }

    pub fn of(request: &HttpRequest, via: Via) -> Self {
        Self {
            via,
            from: request.peer_addr().map(|peer| peer.ip()),
            client: gate::address_of(request),
            request_id: request_id(request),
        }
    }

    /// Whom a lock-out counts as one.
    pub fn client(&self) -> Option<Client> {
        self.client.map(Client::of)
    }

    fn members(&self) -> Vec<(&'static str, Value<'_>)> {
        let via = match self.via {
            Via::Api => "api",
            Via::Pages => "pages",
        };
        let mut members = vec![
            ("who", Value::from("admin")),
            ("via", Value::from(via)),
            ("from", self.from.as_ref().map_or_else(|| Value::from("unknown"), Value::from_display)),
        ];
        if let Some(client) = self.client.as_ref().filter(|_| self.client != self.from) {
            members.push(("client", Value::from_display(client)));
        }
        members.push(("request_id", Value::from(&*self.request_id)));
        members
    }
}

/// An edit, and what became of it.
pub fn change(actor: &Actor, asked: &GuardedEdit, decided: &Result<Decided, Problem>) {
    let what = match &asked.edit {
        Edit::Create(_) => "create",
        Edit::Put(_) => "put",
        Edit::Update { .. } => "update",
        Edit::Restock { .. } => "restock",
        Edit::Withdraw { .. } => "withdraw",
        Edit::Delete { .. } => "delete",
    };
    let edited = decided.as_ref().ok().and_then(|decided| decided.answer.as_ref().ok());
    let after = edited.and_then(|edited| edited.book.as_ref());
    let book = asked.edit.book_id().or(after.map(|book| book.id));
    let text = |book: &Book| serde_json::to_string(book).unwrap_or_default();
    let before = decided.as_ref().ok().and_then(|decided| decided.before.as_ref()).map(text);
    let after = after.map(text);
    let version = edited.map(|edited| edited.version.public().to_string());
    let outcome = match decided {
        Ok(Decided { replayed: true, .. }) => "replayed".to_owned(),
        Ok(Decided { answer: Ok(_), .. }) => "done".into(),
        Ok(Decided { answer: Err(refusal), .. }) => Problem::from(*refusal).code.to_string(),
        Err(problem) if problem.code == ErrorCode::Unavailable => "unknown".into(),
        Err(problem) => problem.code.to_string(),
    };
    let mut members = actor.members();
    members.push(("what", Value::from(what)));
    if let Some(book) = book {
        members.push(("book", Value::from(book.get())));
    }
    for (name, value) in [("before", &before), ("after", &after), ("version", &version)] {
        if let Some(value) = value {
            members.push((name, Value::from(&**value)));
        }
    }
    members.push(("outcome", Value::from(&*outcome)));
    tell(Level::Info, &members, format_args!("{what}: {outcome}"));
}

/// An import, and how far it came.
pub fn import(actor: &Actor, dry_run: bool, taken_in: &Result<Sum, IntakeError>) {
    let (outcome, sum) = match taken_in {
        Ok(sum) => ("done", *sum),
        Err(IntakeError::Call { done, .. } | IntakeError::Stopped { done }) => {
            ("ended early", Sum { lines: *done, ..Sum::default() })
        }
        Err(IntakeError::Strict { from, .. }) => {
            ("a line was refused", Sum { lines: from.saturating_sub(1), ..Sum::default() })
        }
        Err(IntakeError::Input(_)) => ("the input failed", Sum::default()),
    };
    let what = if dry_run { "check of an import" } else { "import" };
    let mut members = actor.members();
    members.push(("what", Value::from(what)));
    let counts = [
        ("lines", sum.lines),
        ("created", sum.created),
        ("changed", sum.changed),
        ("unchanged", sum.unchanged),
        ("before", sum.before),
        ("rejected", sum.bad),
    ];
    members.extend(counts.map(|(name, count)| (name, Value::from(count))));
    members.push(("outcome", Value::from(outcome)));
    tell(Level::Info, &members, format_args!("{what}: {outcome}"));
}

/// Somebody signed in or out.
pub fn session(actor: &Actor, what: &'static str) {
    let mut members = actor.members();
    members.extend([("what", Value::from(what)), ("outcome", Value::from("done"))]);
    tell(Level::Info, &members, format_args!("{what}: done"));
}

/// How many were not let in lately.
#[derive(Default)]
pub struct Refusals(Mutex<Window>);

#[derive(Default)]
struct Window {
    begun: Moment,
    refused: u64,
    /// Of the windows before, not told.
    untold: u64,
}

impl Refusals {
    /// Somebody came with a wrong token, and is locked out for so long.
    pub fn refused(&self, actor: &Actor, locked_out: Option<Duration>) {
        let Some(untold) = self.0.lock().refused(clock::now()) else { return };
        let mut members = actor.members();
        members[0].1 = Value::from("nobody");
        members.extend([("what", Value::from("sign-in")), ("outcome", Value::from("refused"))]);
        if let Some(wait) = locked_out {
            members.push(("locked_out_seconds", Value::from(wait.as_secs())));
        }
        if untold > 0 {
            members.push(("untold", Value::from(untold)));
        }
        tell(Level::Warn, &members, format_args!("sign-in: refused"));
    }
}

impl Window {
    /// Whether this one is to be told, and then how many before it were not.
    fn refused(&mut self, now: Moment) -> Option<u64> {
        if self.begun.after(WINDOW) <= now {
            *self = Self { begun: now, refused: 0, untold: self.untold };
        }
        self.refused += 1;
        match self.refused <= MAX_REFUSALS {
            true => Some(std::mem::take(&mut self.untold)),
            false => {
                self.untold += 1;
                None
            }
        }
    }
}

fn tell(level: Level, members: &[(&'static str, Value<'_>)], sentence: std::fmt::Arguments<'_>) {
    let record = Record::builder().level(level).target(TARGET).args(sentence).key_values(&members).build();
    let logger = log::logger();
    if level <= log::max_level() && logger.enabled(record.metadata()) {
        logger.log(&record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hammers_at_the_door_is_counted_and_not_told_each_time() {
        let mut window = Window::default();
        let at = |seconds: u64| Moment(seconds * 1_000_000_000);
        let told = (0..100).filter(|_| window.refused(at(100)).is_some()).count();
        assert_eq!(told, 20);
        assert_eq!(window.refused(at(110)), Some(80));
        assert_eq!(window.refused(at(110)), Some(0));
    }
}
