//! What the roles of the first release say to each other, as it was then: this build understands all of it, and
//! says nothing that those would not understand. The rules are in docs/compatibility.md.
//!
//! `messages.json` is added to, and never changed: what stands there has been sent.

use bazar::coherence::lease::{Fence, Grant};
use bazar::domain::{Book, BookPage, GuardedEdit, Import, Order, OrderPage, QueryPage, TopicCount};
use bazar::wire::Problem;
use bazar::wire::catalog::{
    BackupQuery, BooksQuery, Changes, ChangesQuery, Edits, ExportEnd, HandedOver, HandoverRequest,
    LeaseRequest, LogQuery, Minimum, NodeIs, NodeState, OrdersQuery, Outcomes, PROTOCOL, Part, Purchases,
    Records, ReleaseRequest, ReplicaReport, ReplicaStanding, ShelfQuery, SnapshotQuery, Stated, Synced,
    TopicQuery, Verification, VersionStanding, WordsQuery,
};
use bazar::wire::frontend::HolderAnswer;
use bazar::wire::order::Answers;
use bazar::wire::status::Status;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reads what was recorded, and gives what this build writes of it.
type Again = fn(&Value) -> Result<Value, String>;

fn body<T: Serialize + DeserializeOwned>(recorded: &Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(recorded.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(&read).map_err(|error| error.to_string())
}

fn query<T: Serialize + DeserializeOwned>(recorded: &Value) -> Result<Value, String> {
    let text = recorded.as_str().ok_or("a query is text")?;
    let read: T = serde_urlencoded::from_str(text).map_err(|error| error.to_string())?;
    serde_urlencoded::to_string(&read).map(Value::from).map_err(|error| error.to_string())
}

/// Every kind of message, by the first word of what it is recorded under.
const KINDS: &[(&str, Again)] = &[
    ("lease", body::<LeaseRequest>),
    ("grant", body::<Grant>),
    ("release", body::<ReleaseRequest>),
    ("fence", body::<Fence>),
    ("holder", body::<HolderAnswer>),
    ("node", body::<NodeIs>),
    ("purchases", body::<Purchases>),
    ("outcomes", body::<Outcomes>),
    ("answers", body::<Answers>),
    ("edits", body::<Edits>),
    ("guarded edit", body::<GuardedEdit>),
    ("import", body::<Import>),
    ("import: part", body::<Part>),
    ("export: end", body::<ExportEnd>),
    ("replica: report", body::<ReplicaReport>),
    ("replica: first report", body::<ReplicaReport>),
    ("replica: standing", body::<ReplicaStanding>),
    ("records", body::<Records>),
    ("synced", body::<Synced>),
    ("changes", body::<Changes>),
    ("version standing", body::<VersionStanding>),
    ("handover", body::<HandoverRequest>),
    ("handed over", body::<HandedOver>),
    ("verification", body::<Verification>),
    ("state", body::<NodeState>),
    ("book", body::<Stated<Option<Book>>>),
    ("no book", body::<Stated<Option<Book>>>),
    ("books of a topic", body::<Stated<BookPage>>),
    ("books with words", body::<Stated<QueryPage>>),
    ("topics", body::<Stated<Vec<TopicCount>>>),
    ("order", body::<Stated<Option<Order>>>),
    ("orders", body::<Stated<OrderPage>>),
    ("problem", body::<Problem>),
    ("status", body::<Status>),
    ("?books", query::<BooksQuery>),
    ("?min", query::<Minimum>),
    ("?topic", query::<TopicQuery>),
    ("?words", query::<WordsQuery>),
    ("?shelf", query::<ShelfQuery>),
    ("?orders", query::<OrdersQuery>),
    ("?log", query::<LogQuery>),
    ("?changes", query::<ChangesQuery>),
    ("?snapshot", query::<SnapshotQuery>),
    ("?backup", query::<BackupQuery>),
];

fn recorded() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("messages.json")).unwrap()
}

/// The kind that fits `name` best: the longest that it begins with.
fn kind(name: &str) -> Option<&'static (&'static str, Again)> {
    KINDS.iter().filter(|(kind, _)| name.starts_with(kind)).max_by_key(|(kind, _)| kind.len())
}

/// Whether everything of `old` is in `new`, member by member; `new` may say more.
fn says(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            // What is absent and what is null are read the same.
            let said = |(name, value): (&String, &Value)| says(new.get(name).unwrap_or(&Value::Null), value);
            old.iter().all(said)
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| says(new, old))
        }
        (new, old) => new == old,
    }
}

#[test]
fn what_the_first_release_says_is_understood_and_said_in_the_same_words() {
    for (name, old) in recorded() {
        let (_, again) = kind(&name).unwrap_or_else(|| panic!("what is \"{name}\"?"));
        let new = again(&old).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(says(&new, &old), "{name} was\n{old}\nand is\n{new}");
    }
}

#[test]
fn what_a_later_release_adds_to_a_message_is_passed_over() {
    for (name, old) in recorded() {
        let Value::Object(members) = &old else { continue };
        let mut later: Map<String, Value> = members.clone();
        later.insert("from_a_later_release".into(), json!({ "whatever": [1] }));
        let (_, again) = kind(&name).unwrap();
        let new = again(&later.into()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(says(&new, &old), "{name}: {new}");
    }
}

/// A record changes rows: one that is not understood must not be taken for one that changes nothing.
#[test]
fn a_record_of_a_kind_that_is_not_known_is_refused() {
    let mut later = recorded()["records"].clone();
    later["records"][0]["body"] = json!({ "from_a_later_release": {} });
    assert!(body::<Records>(&later).is_err());
}

#[test]
fn every_kind_of_message_is_recorded_and_no_kind_is_forgotten() {
    let recorded = recorded();
    for named in KINDS {
        let found = recorded.keys().any(|name| kind(name).is_some_and(|(kind, _)| *kind == named.0));
        assert!(found, "nothing is recorded for {}", named.0);
    }
    // What stands inside of others, or is for both ends of one thing.
    let inner =
        ["PurchaseCall", "Checked", "Reachable", "Changed", "VerifiedReplica", "StateOf", "ReplicaState"];
    let sources = [
        include_str!("../../src/wire/catalog.rs"),
        include_str!("../../src/wire/frontend.rs"),
        include_str!("../../src/wire/order.rs"),
    ];
    let this = include_str!("main.rs");
    for source in sources {
        for declared in source.split("\npub ").skip(1) {
            let name = ["struct ", "enum "].iter().find_map(|word| declared.strip_prefix(word));
            let Some(name) = name.and_then(|rest| rest.split([' ', '<', '(']).next()) else { continue };
            let known = [format!("::<{name}>"), format!("::<{name}<")];
            let known = known.iter().any(|known| this.contains(known.as_str()));
            assert!(known || inner.contains(&name), "{name} is in no recorded message");
        }
    }
}

/// The first release speaks the first version. Whoever raises it reads docs/compatibility.md first.
#[test]
fn the_protocol_has_the_version_that_is_recorded() {
    assert_eq!(recorded()["lease: join"]["protocol"], PROTOCOL);
}
