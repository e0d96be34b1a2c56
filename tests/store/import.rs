//! Loading a catalog: through the master into a running store, killed half-way, with lines that are no books; and
//! writing one.

use crate::harness::{
    Client, Cluster, Fed, Finished, Over, Process, Shape, TOKEN, in_company, run, run_unread, wait_until,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines in a part, as the store's documents say.
const PART: usize = 4096;

const WITH_TOKEN: [(&str, &str); 1] = [("BAZAR_INTERNAL_TOKEN", TOKEN)];

/// Books without ids, each with a title of its own.
fn csv(books: std::ops::Range<usize>) -> String {
    let mut csv = String::new();
    if books.start == 0 {
        csv.push_str("title,topic,stock,price\n");
    }
    for n in books {
        writeln!(csv, "Imported {n},bulk,3,9.50").unwrap();
    }
    csv
}

#[track_caller]
fn import(cluster: &Cluster, args: &[&str]) -> String {
    let args = [&["import", "--master", cluster.master.url()], args].concat();
    let Finished { code, stderr, .. } = run(&args, &WITH_TOKEN);
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

fn count(client: &Client, topic: &str) -> usize {
    let topics = client.get("/topics").ok().json();
    let found = topics["items"].as_array().unwrap().iter().find(|item| item["topic"] == topic).cloned();
    found.map_or(0, |item| usize::try_from(item["books"].as_u64().unwrap()).unwrap())
}

/// All titles of a topic, page by page.
fn titles(client: &Client, topic: &str) -> Vec<String> {
    let mut titles = Vec::new();
    let mut path = format!("/search/{topic}?limit=1000");
    loop {
        let page = client.get(&path).ok().json();
        let items = page["items"].as_array().unwrap();
        titles.extend(items.iter().map(|item| item["bookTitle"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { return titles };
        path = next.to_owned();
    }
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_ended_and_nothing_is_doubled() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let client = cluster.client(0);
    let file = cluster.dir().join("books.csv");
    let books = 2 * PART + 700;
    fs::write(&file, csv(0..books)).unwrap();

    let mut killed = Fed::start(&["import", "-", "--master", cluster.master.url()], &WITH_TOKEN);
    killed.feed(&csv(0..PART + 5));
    wait_until("the first part is in", || count(&client, "bulk") == PART);
    // What is sold meanwhile stays sold.
    let id = client.get("/search/bulk?limit=1").ok().json()["items"][0]["id"].as_i64().unwrap();
    assert_eq!(client.buy(id).ok().json()["remaining"], 2);
    killed.feed(&csv(PART + 5..2 * PART + 9));
    killed.kill();

    let said = import(&cluster, &[file.to_str().unwrap()]);
    assert!(said.contains("lines were imported before, and not again"), "{said}");
    let expected: Vec<String> = (0..books).map(|n| format!("Imported {n}")).collect();
    assert!(titles(&client, "bulk") == expected, "a book is missing, doubled or out of order");
    assert_eq!(client.info(id).stock(id), 2);

    let again = import(&cluster, &[file.to_str().unwrap()]);
    assert!(again.contains("0 books are new, 0 changed"), "{again}");
    assert_eq!(count(&client, "bulk"), books);
    let anew = import(&cluster, &[file.to_str().unwrap(), "--again"]);
    assert!(anew.contains(&format!("{books} books are new")), "{anew}");
    assert_eq!(count(&client, "bulk"), 2 * books);
    cluster.stop_and_compare();
}

#[test]
fn readers_see_whole_parts_and_no_step_back_and_buyers_are_served_meanwhile() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let file = cluster.dir().join("books.csv");
    let books = 5 * PART + 1;
    fs::write(&file, csv(0..books)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (cluster, done) = (&cluster, &done);
        let over = Over(done);
        let readers: Vec<_> = (0..2)
            .map(|frontend| {
                scope.spawn(move || {
                    let client = cluster.client(frontend);
                    let mut last = 0;
                    while !done.load(Ordering::SeqCst) {
                        let seen = count(&client, "bulk");
                        assert!(seen.is_multiple_of(PART) || seen == books, "half a part: {seen}");
                        assert!(seen >= last, "{seen} after {last}");
                        last = seen;
                    }
                })
            })
            .collect();
        let buyer = scope.spawn(move || {
            let client = cluster.client(0);
            let mut bought = 0;
            while !done.load(Ordering::SeqCst) && bought < 15 {
                client.buy(7).ok();
                bought += 1;
            }
            bought
        });
        import(cluster, &[file.to_str().unwrap()]);
        // Acknowledged: whoever reads from now on sees all of it, through every frontend.
        let seen: Vec<usize> = cluster.clients().iter().map(|client| count(client, "bulk")).collect();
        drop(over);
        assert_eq!(seen, [books, books]);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(buyer.join().unwrap() > 0);
    });
    cluster.stop_and_compare();
}

#[test]
fn what_is_cached_shows_an_import_at_once() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let clients = cluster.clients();
    let file = cluster.dir().join("books.jsonl");
    for round in 1..=3 {
        for client in &clients {
            for path in ["/info/9", "/search/education", "/topics", "/search?q=renamed", "/info/5000"] {
                wait_until("the answer is cached", || client.get(path).header("x-cache") == "HIT");
            }
        }
        let book = json!({"id": 9, "title": format!("Renamed {round}"), "topic": "education", "stock": 40 + round, "price": 1.5});
        fs::write(&file, book.to_string()).unwrap();
        let said = import(&cluster, &[file.to_str().unwrap()]);
        assert!(said.contains("1 changed"), "{said}");
        for client in &clients {
            let shown = client.info(9).ok().json();
            assert_eq!(
                (&shown["bookTitle"], &shown["numberOfItems"]),
                (&json!(format!("Renamed {round}")), &json!(40 + round))
            );
            assert_eq!(client.search("education").stock(9), 40 + round);
            let found = client.get(&format!("/search?q=renamed%20{round}")).ok().json();
            assert_eq!(found["items"][0]["id"], 9);
        }
    }
    cluster.stop_and_compare();
}

#[test]
fn lines_that_are_no_books_are_told_kept_and_can_be_mended() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("books.csv");
    let lines = [
        "id,title,topic,stock,price",
        "50,Good,odd,1,1",
        "51,,odd,1,1",
        "52,\"Open,odd,1,1",
        "53,Late,odd,1,1",
        "x,Bad id,odd,1,1",
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let said = import(&cluster, &[file.to_str().unwrap()]);
    for expected in [
        "line 3: a title must not be empty",
        "line 4: a quote is not closed",
        "line 6: a book id must be a whole number",
        "2 lines in ",
        "3 lines are no books",
        "books.csv.rejected",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let rejected = cluster.dir().join("books.csv.rejected");
    let text = fs::read_to_string(&rejected).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), [lines[0], lines[2], lines[3], lines[5]]);
    assert_eq!(titles(&cluster.client(0), "odd"), ["Good", "Late"]);

    let mended = text.replace("51,,", "51,Mended,").replace("\"Open", "Open").replace("x,Bad id", ",New id");
    fs::write(&rejected, mended).unwrap();
    import(&cluster, &[rejected.to_str().unwrap()]);
    assert_eq!(titles(&cluster.client(0), "odd"), ["Good", "Mended", "Open", "Late", "New id"]);
    assert!(!cluster.dir().join("books.csv.rejected.rejected").exists());
}

#[test]
fn a_strict_import_ends_at_the_first_bad_line_and_goes_on_when_it_is_mended() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("books.csv");
    let path = file.to_str().unwrap();
    fs::write(&file, format!("{}Bad,bulk,-1,1\nLast,bulk,1,1\n", csv(0..PART + 10))).unwrap();
    let args = ["import", path, "--strict", "--master", cluster.master.url()];
    let Finished { code, stderr, .. } = run(&args, &WITH_TOKEN);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&format!("line {}: a stock must be a whole number", PART + 12)), "{stderr}");
    assert!(stderr.contains(&format!("Nothing from line {} on", PART + 2)), "{stderr}");
    assert_eq!(count(&cluster.client(0), "bulk"), PART);
    assert!(!cluster.dir().join("books.csv.rejected").exists());
    fs::write(&file, format!("{}Good,bulk,1,1\nLast,bulk,1,1\n", csv(0..PART + 10))).unwrap();
    let said = import(&cluster, &[path, "--strict"]);
    assert!(said.contains("12 books are new"), "{said}");
    assert_eq!(count(&cluster.client(0), "bulk"), PART + 12);
}

#[test]
fn a_dry_run_checks_everything_and_needs_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("books.csv");
    fs::write(&file, format!("{}Bad,bulk,-1,1\n", csv(0..PART + 3))).unwrap();
    let Finished { code, stderr, .. } = run(&["import", file.to_str().unwrap(), "--dry-run"], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    for expected in [
        format!("{} lines are books", PART + 3),
        format!("line {}: a stock", PART + 5),
        "nothing was imported".into(),
    ] {
        assert!(stderr.contains(&expected), "{expected}: {stderr}");
    }
    assert!(!dir.path().join("books.csv.rejected").exists());
}

#[test]
fn a_packed_file_and_standard_input_are_read_like_any_other() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("books.csv.gz");
    let mut packer =
        flate2::write::GzEncoder::new(fs::File::create(&file).unwrap(), flate2::Compression::fast());
    packer.write_all(csv(0..PART + 7).as_bytes()).unwrap();
    packer.finish().unwrap();
    import(&cluster, &[file.to_str().unwrap()]);
    assert_eq!(count(&cluster.client(0), "bulk"), PART + 7);
    let mut fed = Fed::start(&["import", "-", "--master", cluster.master.url()], &WITH_TOKEN);
    fed.feed("{\"title\":\"From a pipe\",\"topic\":\"pipe\",\"stock\":1,\"price\":2}\n");
    assert_eq!(fed.end(), Some(0));
    assert_eq!(titles(&cluster.client(0), "pipe"), ["From a pipe"]);
}

#[test]
fn an_export_can_be_imported_and_changes_nothing() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    cluster.edit(
        &json!({"create": {"title": "Commas, \"quotes\" and é", "topic": "x", "stock": 2, "price": 1999}}),
    );
    for (format, node) in [("csv", cluster.master.url()), ("jsonl", cluster.replicas[0].url())] {
        let file = cluster.dir().join(format!("books.{format}"));
        let path = file.to_str().unwrap();
        let Finished { code, stderr, .. } =
            run(&["export", "--node", node, "--format", format, "--output", path], &WITH_TOKEN);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("12 books as of 1."), "{stderr}");
        let said = import(&cluster, &[path]);
        assert!(said.contains("0 books are new, 0 changed, 12 were there just so"), "{said}");
        assert!(fs::read_to_string(&file).unwrap().contains("19.99"));
    }
}

#[test]
fn generated_books_can_be_imported_into_a_running_up_without_a_word_about_where_it_is() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (data, file) = (data.to_str().unwrap(), dir.path().join("made-up.csv"));
    let path = file.to_str().unwrap();
    assert_eq!(run(&["generate", "--books", "6000", "--seed", "3", "--output", path], &[]).code, Some(0));
    let no_store = run(&["import", path, "--data", data], &[]);
    assert_eq!(no_store.code, Some(2), "{}", no_store.stderr);
    assert!(no_store.stderr.contains("no store runs on"), "{}", no_store.stderr);

    let mut up = Process::start(dir.path(), "up", &["up", "--listen", "127.0.0.1:0", "--data", data], &[]);
    let access = format!("{data}/ACCESS");
    assert_eq!(fs::metadata(&access).unwrap().permissions().mode() & 0o777, 0o600);
    let Finished { code, stderr, .. } = run(&["import", path, "--data", data], &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("6000 books are new"), "{stderr}");
    let client = Client::new(up.url());
    let unread = run_unread(&["export", "--data", data]);
    assert_eq!((unread.code, unread.stderr.as_str()), (Some(0), ""), "its reader has had enough");

    let topics = client.get("/topics").ok().json();
    let books: u64 =
        topics["items"].as_array().unwrap().iter().map(|item| item["books"].as_u64().unwrap()).sum();
    assert_eq!(books, 6011);

    // What lies there lets nobody do anything else.
    let text = fs::read_to_string(&access).unwrap();
    let (master, keeper) = text.trim().split_once('\n').unwrap();
    let (anybody, master) = (Client::new(master), Client::signing(master, keeper));
    for (method, path) in [
        ("POST", "/edits"),
        ("POST", "/purchases"),
        ("POST", "/leases"),
        ("GET", "/log"),
        ("GET", "/books/9"),
    ] {
        let answer = master.send(method, path, &[], (method == "POST").then_some("{}")).unwrap();
        answer.problem(403, "forbidden");
    }
    for (method, path) in [("POST", "/imports"), ("GET", "/export")] {
        let answer = anybody.send(method, path, &[], (method == "POST").then_some("{}")).unwrap();
        answer.problem(401, "unauthorized");
    }
    master.post("/imports", &[], &Value::Null).problem(400, "invalid_request");
    up.stop();
    assert!(!fs::exists(&access).unwrap());
}
