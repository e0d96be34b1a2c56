//! Requests between members are theirs alone: what was captured, altered, sent elsewhere or made up is refused, and
//! nobody is believed who cannot prove what he answers.

use crate::harness::{
    Client, Cluster, Finished, NOBODY, Over, Process, Shape, TOKEN, in_company, raw, run, start_nodes,
    wait_until,
};
use bazar::signing::{Answer, Extent, Proof, Signature, SigningKey, Sum};
use bazar::wire::order::PURCHASES;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ADMIN: &str = "the-token-of-the-keeper";
const STRANGER: &str = "secret-of-another-store";
const OLD: &str = "the-old-secret-of-this-store";
const NEW: &str = "the-new-secret-of-this-store";

fn status(answer: &str) -> &str {
    answer.get(..12).unwrap_or(answer)
}

fn restock(copies: u64) -> String {
    json!({ "edits": [{ "restock": { "book_id": 9, "copies": copies } }] }).to_string()
}

/// The stock of book 9 at a catalog node.
fn stock(node: &Client) -> u64 {
    node.get("/books/9").ok().json()["value"]["stock"].as_u64().unwrap()
}

#[test]
fn a_captured_request_is_carried_out_once_however_often_it_comes_and_whenever() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, orders: 0, frontends: 0, ..Shape::default() });
    let url = cluster.master.url().to_owned();
    let master = Client::internal(&url);
    let captured = master.capture("POST", "/edits", &[], Some(&restock(1)));
    assert_eq!(status(&raw(&url, &captured)), "HTTP/1.1 200");
    assert_eq!(stock(&master), 16);
    for _ in 0..3 {
        let answer = raw(&url, &captured);
        assert_eq!(status(&answer), "HTTP/1.1 401", "{answer}");
        assert!(answer.contains("this request came before"), "{answer}");
        assert!(!answer.contains("bazar-proof"), "{answer}");
    }
    // In another order than they were signed in; a second one of each comes late.
    let several: Vec<Vec<u8>> =
        (0..5).map(|_| master.capture("POST", "/edits", &[], Some(&restock(1)))).collect();
    for captured in several.iter().rev().chain(&several) {
        raw(&url, captured);
    }
    assert_eq!(stock(&master), 21);
    // After another life has begun, for one that was never sent before as well.
    let kept_back = master.capture("POST", "/edits", &[], Some(&restock(1)));
    cluster.master.kill();
    cluster.master.restart();
    for old in [&captured, &kept_back] {
        assert_eq!(status(&raw(&url, old)), "HTTP/1.1 401");
    }
    assert_eq!(stock(&master), 21);
}

#[test]
fn a_captured_request_is_worth_nothing_at_another_node() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 2, orders: 2, ..Shape::default() });
    let (one, other) = (cluster.replicas[0].url(), cluster.replicas[1].url());
    let captured = Client::internal(one).capture("GET", "/books/9", &[], None);
    assert_eq!(status(&raw(other, &captured)), "HTTP/1.1 401");
    assert_eq!(status(&raw(one, &captured)), "HTTP/1.1 200");
    let (one, other) = (&cluster.frontends[0].urls()[1], &cluster.frontends[1].urls()[1]);
    let captured = Client::internal(one).capture("GET", "/holder", &[], None);
    assert_eq!(status(&raw(other, &captured)), "HTTP/1.1 401");
    let order = json!({ "purchases": [] }).to_string();
    let here = cluster.orders[0].url();
    let captured = Client::internal(here).capture("POST", PURCHASES, &[], Some(&order));
    for elsewhere in [cluster.orders[1].url(), cluster.master.url(), one, other] {
        assert_eq!(status(&raw(elsewhere, &captured)), "HTTP/1.1 401");
    }
    assert_eq!(status(&raw(here, &captured)), "HTTP/1.1 200");
}

#[test]
fn a_request_that_was_altered_on_its_way_is_refused_and_changes_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, orders: 0, frontends: 0, ..Shape::default() });
    let url = cluster.master.url();
    let master = Client::internal(url);
    let version = cluster.state()["position"].clone();
    let epoch = version.as_str().unwrap().rsplit_once('.').unwrap().0.to_owned();
    let headers = [("bazar-met", epoch.as_str()), ("x-request-id", "of-a-purchase")];
    let capture = || {
        let captured = master.capture("POST", "/edits?as=sent", &headers, Some(&restock(1)));
        String::from_utf8(captured).unwrap()
    };
    let higher = "9:0000000000000009";
    for (part, instead) in [
        ("POST", "GET"),
        ("/edits?as=sent", "/purchases?as=sent"),
        ("/edits?as=sent", "/edits?as=read"),
        ("/edits?as=sent", "/edits"),
        (epoch.as_str(), higher),
        ("bazar-met", "bazar-not"),
        ("of-a-purchase", "of-an-import"),
        ("connection: close", &format!("connection: close\r\nbazar-met: {higher}")),
        ("connection: close", "connection: close\r\ntraceparent: 00-1-2-01"),
        ("n=", "n=9"),
        ("mac=", "mac=0"),
    ] {
        let captured = capture();
        assert!(captured.contains(part), "{part} in {captured}");
        let answer = raw(url, captured.replacen(part, instead, 1).as_bytes());
        assert_eq!(status(&answer), "HTTP/1.1 401", "{part} as {instead}: {answer}");
        // Nothing was spent: the one that it was made from still passes.
        assert_eq!(status(&raw(url, captured.as_bytes())), "HTTP/1.1 200", "{captured}");
    }
    let before = stock(&master);
    // The head is right, and the body is not: other copies, none, more, chunks.
    let body = restock(1);
    let length = format!("content-length: {}", body.len());
    for altered in [
        capture().replace("\"copies\":1", "\"copies\":9"),
        capture().replace(&length, "content-length: 0").replace(&body, ""),
        capture().replace(&length, &format!("content-length: {}", body.len() + 1)) + " ",
        capture().replace(&length, "transfer-encoding: chunked").replace(&body, "2\r\n{}\r\n0\r\n\r\n"),
    ] {
        let answer = raw(url, altered.as_bytes());
        assert_eq!(status(&answer), "HTTP/1.1 400", "{altered}: {answer}");
    }
    assert_eq!(stock(&master), before);
    // None of the epochs that were put in was met: it leads on.
    assert_eq!(cluster.state()["role"], "master");
}

#[test]
fn who_signs_with_a_token_for_something_else_or_of_another_store_is_a_stranger() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { admin: Some(ADMIN), frontends: 1, ..Shape::default() });
    let internal = [
        (cluster.master.url(), "POST", "/edits"),
        (cluster.replicas[0].url(), "POST", "/sync-write"),
        (cluster.orders[0].url(), "POST", PURCHASES),
        (&cluster.frontends[0].urls()[1], "POST", "/cache/invalidate"),
    ];
    for (url, method, path) in internal {
        // A member is let in, and told that this is no body.
        Client::internal(url).send(method, path, &[], Some("{}")).unwrap().problem(400, "invalid_request");
    }
    for stolen in [ADMIN, STRANGER] {
        let bearer = format!("Bearer {stolen}");
        for (url, method, path) in internal {
            Client::signing(url, stolen)
                .send(method, path, &[], Some("{}"))
                .unwrap()
                .problem(401, "unauthorized");
            let headers = [("authorization", bearer.as_str())];
            Client::new(url).send(method, path, &headers, Some("{}")).unwrap().problem(401, "unauthorized");
        }
    }
    // A visitor's cookies and the number of an order are worth nothing either.
    let order = cluster.client(0).buy(9).ok().json()["orderId"].as_str().unwrap().to_owned();
    let headers = [("cookie", order.as_str()), ("authorization", order.as_str())];
    let answer = Client::new(cluster.master.url()).send("GET", "/log", &headers, None).unwrap();
    answer.problem(401, "unauthorized");
    // Nor is the internal token where the keeper's is wanted.
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    cluster.client(0).send("GET", "/admin/api/books", &headers, None).unwrap().problem(401, "unauthorized");
}

/// Somebody at the address of a role who does not know the secret: he says yes to everything, and carries on what he
/// is asked to `behind`, if there is one, to learn from its answers.
struct Impostor {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Impostor {
    /// `answer` is given the head and the body of each request, and makes a body. With `forges`, it carries a proof
    /// by another secret.
    fn start(forges: bool, answer: impl Fn(&str, &str) -> Value + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (counts, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (counts, answer) = (Arc::clone(&counts), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    while let Some((head, body)) = request(&mut stream) {
                        counts.fetch_add(1, Ordering::SeqCst);
                        let told = answer(&head, &body).to_string();
                        let proof = if forges { forge(&head, &told) } else { String::new() };
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{proof}", told.len());
                        if stream.write_all(format!("{head}\r\n{told}").as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The head and the body of the next request.
fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(read @ 1..) => bytes.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

fn forge(head: &str, body: &str) -> String {
    let signature = head.lines().find_map(|line| line.strip_prefix("bazar-signature: "));
    let Some(asked) = signature.and_then(|header| Signature::parse(header.as_bytes())) else {
        return String::new();
    };
    let proved = Answer { status: 200, headers: [None, None] };
    let extent = Extent::Whole(Sum::of(body.as_bytes()));
    format!(
        "bazar-proof: {}\r\n",
        Proof::make(&SigningKey::of(STRANGER.as_bytes()), &asked.mac, &proved, extent)
    )
}

#[test]
fn an_impostor_in_place_of_a_replica_shows_nothing_to_anybody() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 0, ..Shape::default() });
    for forges in [false, true] {
        let shown = Arc::new(Mutex::new(cluster.state()["position"].clone()));
        let asof = Arc::clone(&shown);
        let impostor = Impostor::start(forges, move |head, _| {
            let book = json!({ "id": 9, "bookTitle": "Forged", "bookTopic": "education", "numberOfItems": 1, "bookCost": 1 });
            let value = if head.contains("ids=") { json!([book]) } else { book };
            json!({ "asof": *asof.lock().unwrap(), "master": true, "value": value })
        });
        let (listen, orders) = ("127.0.0.1:0", cluster.orders[0].url());
        let args = ["frontend", "--listen", listen, "--internal-listen", listen, "--order", orders];
        let nodes = ["--master", cluster.master.url(), "--replica", &impostor.url];
        let name = format!("frontend-{forges}");
        let frontend = start_nodes(cluster.dir(), &name, &[&args[..], &nodes].concat());
        let client = Client::new(frontend.url());
        wait_until("the impostor is asked", || {
            for book in [9, 10, 1] {
                let answer = client.info(book);
                assert!(answer.status != 200 || !answer.text().contains("Forged"), "{}", answer.text());
            }
            client.buy(9);
            impostor.asked() > 3
        });
        assert!(client.info(9).ok().text().contains("How to finish Project 3 on time"));
        assert!(!client.search("education").ok().text().contains("Forged"));
    }
}

#[test]
fn an_impostor_in_place_of_the_master_sells_nothing_and_leads_no_replica() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, ..Shape::default() });
    let before = cluster.state()["position"].clone();
    let position = before.clone();
    let impostor = Impostor::start(true, move |head, body| {
        let purchases = serde_json::from_str::<Value>(body).unwrap_or_default()["purchases"].clone();
        let sold = purchases.as_array().into_iter().flatten().map(|_| json!({ "Ok": "sold" }));
        match head {
            head if head.contains("/replicas") => json!({ "in_sync": true, "position": position }),
            _ => json!({ "outcomes": sold.collect::<Vec<_>>(), "records": [] }),
        }
    });
    let order = start_nodes(
        cluster.dir(),
        "order-of-the-impostor",
        &["order", "--listen", "127.0.0.1:0", "--master", &impostor.url],
    );
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
    let nodes = ["--master", cluster.master.url(), "--order", order.url()];
    let frontend = start_nodes(cluster.dir(), "frontend", &[&args[..], &nodes].concat());
    Client::new(frontend.url()).buy(9).problem(503, "unavailable");
    assert!(impostor.asked() > 0);
    let data = cluster.data("replica-9");
    let follower = cluster.start_replica_of(&impostor.url, "replica-9");
    let asked = impostor.asked();
    wait_until("the replica asks for its master", || impostor.asked() > asked + 2);
    let state = Client::new(follower.url()).get("/readyz").json();
    assert_ne!(state["position"], before, "{state}");
    assert!(data.exists());
    assert_eq!(cluster.state()["position"], before);
}

#[test]
fn roles_with_another_secret_take_no_part_in_the_store() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let env = [("BAZAR_INTERNAL_TOKEN", STRANGER), ("RUST_LOG", "info")];
    let (master, order) = (cluster.master.url(), cluster.orders[0].url());
    let args =
        ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--master", master];
    let stranger =
        Process::start(cluster.dir(), "strange-frontend", &[&args[..], &["--order", order]].concat(), &env);
    let client = Client::new(stranger.url());
    client.info(9).problem(503, "unavailable");
    client.buy(9).problem(503, "unavailable");
    let data = cluster.dir().join("strange-data");
    let args = ["catalog", "--replica", "--listen", "127.0.0.1:0", "--master-url", master, "--data"];
    let replica = [&args[..], &[data.to_str().unwrap()]].concat();
    let replica = Process::start(cluster.dir(), "strange-replica", &replica, &env);
    wait_until("it is told why", || replica.log().contains("did not take our signature"));
    assert_eq!(cluster.state()["in_sync"], 1);
    assert_eq!(cluster.state()["leases"], 1);
    assert_eq!(cluster.client(0).info(9).stock(9), 15);
}

#[test]
fn nobody_listens_for_members_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for (args, flag) in [
        (vec!["frontend", "--master", NOBODY, "--order", NOBODY], "--internal-listen 0.0.0.0:3105"),
        (vec!["catalog", "--master", "--data", data], "--listen 0.0.0.0:3000"),
        (vec!["catalog", "--replica", "--master-url", NOBODY, "--data", data], "--listen 0.0.0.0:3000"),
        (vec!["order", "--master", NOBODY, "--listen", "[::]:0"], "--listen [::]:0"),
        (vec!["order", "--master", NOBODY, "--listen", "127.0.0.1:0"], "--listen 127.0.0.1:0"),
    ] {
        let Finished { code, stderr, stdout } = run(&args, &[]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert!(stderr.contains("BAZAR_INTERNAL_TOKEN") && stderr.contains(flag), "{args:?}: {stderr}");
        let Finished { code, stderr, .. } =
            run(&args, &[("BAZAR_INTERNAL_TOKEN", "three of-these of-these")]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("BAZAR_INTERNAL_TOKEN: there can be two"), "{stderr}");
    }
    assert!(!Path::new(data).exists());
}

#[test]
fn an_operator_asks_what_only_members_may_ask() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { orders: 0, frontends: 0, ..Shape::default() });
    let with_token = [("BAZAR_INTERNAL_TOKEN", TOKEN)];
    let url = |path: &str| format!("{}{path}", cluster.master.url());
    let status = run(&["call", "GET", &url("/status")], &with_token);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(serde_json::from_str::<Value>(&status.stdout).is_ok(), "{}", status.stdout);
    let verified = run(&["call", "post", &url("/verify")], &with_token);
    assert!(verified.code == Some(0) && verified.stdout.contains("replicas"), "{}", verified.stdout);
    let file = cluster.dir().join("edit.json");
    fs::write(&file, restock(4)).unwrap();
    let edited = run(&["call", "POST", &url("/edits"), "--data", file.to_str().unwrap()], &with_token);
    assert_eq!(edited.code, Some(0), "{}", edited.stderr);
    let master = Client::internal(cluster.master.url());
    assert_eq!(stock(&master), 19);
    // A stream: the books, and the line that ends them.
    let export = run(&["call", "GET", &url("/export")], &with_token);
    assert_eq!((export.code, export.stdout.lines().count()), (Some(0), 12), "{}", export.stdout);
    assert!(export.stdout.ends_with("}\n"), "{}", export.stdout);
    // What is refused is printed too.
    let unknown = run(&["call", "GET", &url("/books/0")], &with_token);
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stdout.contains("invalid_request") && unknown.stderr.contains("400"),
        "{}",
        unknown.stderr
    );
    let stranger = run(&["call", "GET", &url("/status")], &[("BAZAR_INTERNAL_TOKEN", STRANGER)]);
    assert_eq!((stranger.code, stranger.stdout.as_str()), (Some(1), ""), "{}", stranger.stderr);
    assert!(stranger.stderr.contains("its internal token is another one"), "{}", stranger.stderr);
    for (args, said) in [
        (vec!["call", "PATCH", NOBODY], "METHOD"),
        (vec!["call", "GET", "nowhere"], "URL"),
        (vec!["call", "GET", NOBODY, "--data", "-"], "--data is for POST"),
    ] {
        let wrong = run(&args, &with_token);
        assert!(wrong.code == Some(2) && wrong.stderr.contains(said), "{args:?}: {}", wrong.stderr);
    }
}

/// A role whose token stands in a file of its own.
struct Kept {
    process: Process,
    token: PathBuf,
}

impl Kept {
    fn start(dir: &Path, name: &str, args: &[&str]) -> Self {
        let token = dir.join(format!("{name}-token"));
        fs::write(&token, OLD).unwrap();
        let env = [("BAZAR_INTERNAL_TOKEN_FILE", token.to_str().unwrap()), ("RUST_LOG", "info")];
        Self { process: Process::start(dir, name, args, &env), token }
    }

    /// Writes another file in place of it, and waits until it was read for the `nth` time.
    fn change(&self, text: &str, nth: usize) {
        let new = self.token.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.token).unwrap();
        wait_until("the token is read again", || {
            self.process.log().matches("the internal token has changed").count() == nth
        });
    }
}

#[test]
fn the_secret_is_changed_under_load_without_one_failed_request() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let (dir, any) = (dir.path(), "127.0.0.1:0");
    let data = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let args = ["catalog", "--master", "--listen", any, "--data", &data("m")];
    let master = Kept::start(dir, "master", &args);
    let url = master.process.url();
    let args = ["catalog", "--replica", "--listen", any, "--master-url", url, "--data", &data("r")];
    let replica = Kept::start(dir, "replica", &args);
    let order = Kept::start(dir, "order", &["order", "--listen", any, "--master", url]);
    let args = ["frontend", "--listen", any, "--internal-listen", any, "--master", url];
    let nodes = ["--replica", replica.process.url(), "--order", order.process.url()];
    let frontends =
        ["frontend-1", "frontend-2"].map(|name| Kept::start(dir, name, &[&args[..], &nodes].concat()));
    let shops: Vec<&str> = frontends.iter().map(|frontend| frontend.process.url()).collect();
    let more = json!({ "edits": [{ "update": { "book_id": 9, "stock": 1_000_000 } }] });
    Client::signing(url, OLD).post("/edits", &[], &more).ok();
    let ready = |shop: &&str| Client::new(shop).get("/readyz").text().contains("lease: held");
    wait_until("the frontends have their leases", || shops.iter().all(ready));
    wait_until("the replica is in sync", || Client::new(url).get("/readyz").json()["in_sync"] == 1);

    let (over, bought, read) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let go_on = |count: &AtomicUsize| {
        let before = count.load(Ordering::SeqCst);
        wait_until("the shop goes on", || count.load(Ordering::SeqCst) > before + 20);
    };
    std::thread::scope(|scope| {
        for (number, shop) in shops.iter().chain(&shops).enumerate() {
            let (over, bought, read) = (&over, &bought, &read);
            scope.spawn(move || {
                let client = Client::new(shop);
                while !over.load(Ordering::SeqCst) {
                    if number < 2 {
                        client.buy(9).ok();
                        bought.fetch_add(1, Ordering::SeqCst);
                    } else {
                        let answer = client.info(9).ok();
                        assert!(!answer.says_stale());
                        read.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        let _over = Over(&over);
        let roles = [&replica, &frontends[0], &master, &order, &frontends[1]];
        // Each role by itself, so that all neighbours differ in between.
        for (step, text) in
            [format!("{OLD}\n{NEW}\n"), format!("{NEW}\n{OLD}\n"), NEW.to_owned()].iter().enumerate()
        {
            for role in roles {
                role.change(text, step + 1);
                go_on(&bought);
                go_on(&read);
            }
        }
    });
    Client::signing(url, OLD).get("/status").problem(401, "unauthorized");
    Client::signing(url, NEW).get("/status").ok();
    wait_until("the replica is in sync", || Client::new(url).get("/readyz").json()["in_sync"] == 1);
    let sold = 1_000_000 - stock(&Client::signing(url, NEW));
    assert_eq!(sold, bought.load(Ordering::SeqCst) as u64);
    for role in roles_of(&master, &replica, &order, &frontends) {
        assert!(!role.process.log().contains("is not believed"), "{}", role.process.log());
    }
}

fn roles_of<'a>(
    master: &'a Kept,
    replica: &'a Kept,
    order: &'a Kept,
    frontends: &'a [Kept; 2],
) -> [&'a Kept; 5] {
    [master, replica, order, &frontends[0], &frontends[1]]
}

#[test]
fn a_keeper_of_a_store_in_one_process_goes_on_when_its_secret_is_changed() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let up = Kept::start(dir.path(), "up", &["up", "--listen", "127.0.0.1:0", "--data", data]);
    let export = || run(&["export", "--data", data], &[]);
    assert_eq!(export().code, Some(0));
    for (nth, text) in [format!("{NEW}\n{OLD}"), NEW.to_owned()].iter().enumerate() {
        let before = fs::read_to_string(format!("{data}/ACCESS")).unwrap();
        up.change(text, nth + 1);
        wait_until("what lies there is written anew", || {
            fs::read_to_string(format!("{data}/ACCESS")).unwrap() != before
        });
        let exported = export();
        assert_eq!(exported.code, Some(0), "{}", exported.stderr);
        assert_eq!(exported.stdout.lines().count(), 12);
    }
}
