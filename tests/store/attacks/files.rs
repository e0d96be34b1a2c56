//! The author of an import file, which a keeper takes in without having looked at it. Lines that are books get in, the
//! rest is told; the file costs what its size allows, and names no file of ours.

use crate::admin::ADMIN;
use crate::harness::{Answer, Client, Cluster, Finished, Shape, TOKEN, in_company, run};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const HEADER: &str = "id,title,topic,stock,price\n";

/// A book that stands behind what is hostile, and must get in all the same.
const GOOD: &str = "500,A good book,hostile,1,1.00\n";

const SHOP: Shape = Shape {
    replicas: 0,
    orders: 1,
    frontends: 1,
    redis: false,
    candidates: false,
    faulty_disks: false,
    admin: Some(ADMIN),
    frontend_flags: &[],
    traces: None,
    log: "info",
    log_format: "text",
};

/// A book with more copies than anybody buys here.
const POPULAR: i64 = 1;

/// Longer than anybody waits beside an upload, on a busy machine too, and much less than the longest upload takes.
const DISTURBED: Duration = Duration::from_secs(3);

/// What a frontend takes at its start, and room for a part of an import.
const MODEST: u64 = 300 << 20;

/// `bazar import FILE` into `cluster`.
fn import(cluster: &Cluster, file: &Path, more: &[&str]) -> Finished {
    let args = ["import", file.to_str().unwrap(), "--master", cluster.master.url()];
    run(&[&args[..], more].concat(), &[("BAZAR_INTERNAL_TOKEN", TOKEN)])
}

/// The same through the administration.
fn upload(client: &Client, content_type: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", &*bearer), ("content-type", content_type)];
    client.send_bytes("POST", "/admin/api/imports", &headers, Some(body)).unwrap()
}

fn packed(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    pieces.for_each(|piece| packer.write_all(&piece).unwrap());
    packer.finish().unwrap()
}

/// Small files that unpack to a gigabyte: one line, lines that are no books, lines of nothing.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let mebibytes = |piece: &[u8]| {
        let piece = piece.repeat((1 << 20) / piece.len());
        packed(std::iter::once(HEADER.into()).chain((0..1024).map(move |_| piece.clone())))
    };
    vec![
        ("one line", mebibytes(&[b'x'; 1024])),
        ("lines that are no books", mebibytes(b"x\n")),
        ("empty lines", mebibytes(b"\n\n")),
        ("NULs", mebibytes(&[0; 1024])),
    ]
}

#[test]
fn a_zip_bomb_in_an_import_is_known_before_it_fills_a_disk() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    for (name, bomb) in bombs() {
        assert!(bomb.len() < 2 << 20, "{name}: {} bytes are no bomb", bomb.len());
        let file = cluster.dir().join("bomb.csv.gz");
        fs::write(&file, &bomb).unwrap();
        let Finished { code, stderr, .. } = import(&cluster, &file, &[]);
        assert_eq!(code, Some(1), "{name}: {stderr}");
        assert!(stderr.contains("200 times its size"), "{name}: {stderr}");
        let rejected = fs::metadata(cluster.dir().join("bomb.csv.gz.rejected"));
        let rejected = rejected.map_or(0, |rejected| rejected.len());
        assert!(rejected <= 64 << 20, "{name}: {rejected} bytes of rejected lines");
        let _ = fs::remove_file(cluster.dir().join("bomb.csv.gz.rejected"));
    }
    cluster.client(0).info(9).ok();
}

#[test]
fn a_zip_bomb_uploaded_by_a_keeper_takes_no_memory_and_disturbs_nobody() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let keeper = cluster.client(0);
    cluster.set_stock(POPULAR, 1_000_000);
    for (name, bomb) in bombs() {
        let (mut beside, mut slowest) = (0, Duration::ZERO);
        let uploading = std::thread::scope(|scope| {
            let uploading = scope.spawn(|| upload(&keeper, "text/csv", &bomb));
            loop {
                // Each on a connection of its own, so that all threads of the frontend are asked.
                let customer = cluster.client(0);
                let read = customer.info(9).ok();
                assert_eq!(read.stock(9), 15);
                slowest = slowest.max(read.took).max(customer.buy(POPULAR).ok().took);
                if uploading.is_finished() {
                    break;
                }
                beside += 1;
            }
            uploading.join().unwrap()
        });
        assert!(beside > 0, "{name}: the upload was over before anybody was served");
        assert!(slowest < DISTURBED, "{name}: {slowest:?} beside the upload");
        let said = uploading.problem(413, "payload_too_large");
        assert!(said.contains("200 times its size"), "{name}: {said}");
    }
    let peak = cluster.frontends[0].peak_memory();
    assert!(peak < MODEST, "{} MiB", peak >> 20);
}

/// Each with the number of its lines that are no books.
fn hostile() -> Vec<(&'static str, Vec<u8>, u64)> {
    let lines = |lines: &[u8]| [HEADER.as_bytes(), lines, b"\n", GOOD.as_bytes()].concat();
    let field = |field: &str| lines(format!("1,{field},x,1,1").as_bytes());
    vec![
        ("a line of 20 MB", lines(&[b'x'; 20 << 20]), 1),
        ("a line of 20 MB of NULs", lines(&[0; 20 << 20]), 1),
        ("a NUL in a title", field("a\0b"), 1),
        ("a line break by another name", field("a\rb"), 1),
        ("an escape sequence for a terminal", field("\x1b[2J\x1b]0;pwned\x07"), 1),
        ("bytes that are no UTF-8", lines(b"1,\xff\xfe\xfd,x,1,1"), 1),
        ("UTF-8 in too many bytes", lines(b"1,\xc0\xaf\xe0\x80\xaf,x,1,1"), 1),
        ("half a surrogate", lines(b"1,\xed\xa0\x80,x,1,1"), 1),
        ("ten million columns", lines(&b"1,".repeat(10_000_000)), 1),
        ("a thousand columns", lines(&b",".repeat(1000)), 1),
        ("a quote that never ends", lines(b"1,\"never,x,1,1"), 1),
        ("ten thousand quotes", lines(&[b"1,".as_slice(), &b"\"".repeat(10_001), b",x,1,1"].concat()), 1),
        ("a price beyond every number", lines(b"1,t,x,1,99999999999999999999999999999999\n1,t,x,1,1e999\n1,t,x,1,-0.01\n1,t,x,1,NaN\n1,t,x,1,inf"), 5),
        ("a stock beyond every number", lines(b"1,t,x,4294967296,1\n1,t,x,-1,1\n1,t,x,9223372036854775808,1\n1,t,x,1e3,1\n1,t,x,0x10,1"), 5),
        ("an id beyond every number", lines(b"0,t,x,1,1\n-1,t,x,1,1\n9007199254740992,t,x,1,1\n18446744073709551616,t,x,1,1"), 4),
        ("a title of a megabyte", field(&"x".repeat(1 << 20)), 1),
        ("an empty title", field(""), 1),
    ]
}

#[test]
fn a_hostile_import_file_is_read_to_its_end_and_only_its_books_get_in() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    for (name, content, bad) in hostile() {
        let done = upload(&client, "text/csv", &content).ok().json();
        assert_eq!((&done["rejected"], &done["lines"]), (&json!(bad), &json!(bad + 1)), "{name}: {done}");
        // What is told of a line is no line: nothing in it can speak to a terminal or break a page.
        assert!(
            !done.to_string().contains("\\u001b") && !done.to_string().contains("pwned"),
            "{name}: {done}"
        );
    }
    assert_eq!(client.info(500).ok().json()["bookTitle"], "A good book");
    client.info(9).ok();
    let peak = cluster.frontends[0].peak_memory();
    assert!(peak < MODEST, "{} MiB", peak >> 20);
    cluster.stop_and_compare();
}

#[test]
fn a_hostile_import_file_does_no_harm_to_who_imports_it() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    for (number, (name, content, bad)) in hostile().into_iter().enumerate() {
        let file = cluster.dir().join(format!("hostile-{number}.csv"));
        fs::write(&file, &content).unwrap();
        let Finished { code, stderr, .. } = import(&cluster, &file, &["--dry-run"]);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert!(stderr.contains(&format!("{bad} lines are no books")), "{name}: {stderr}");
        assert!(!stderr.contains('\x1b') && !stderr.contains('\x07'), "{name}: {stderr:?}");
        // Of a line that is too long the beginning is kept, and not all of it.
        let Finished { code, stderr, .. } = import(&cluster, &file, &[]);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        let rejected = fs::metadata(cluster.dir().join(format!("hostile-{number}.csv.rejected"))).unwrap();
        assert!(rejected.len() <= 64 << 10, "{name}: {} bytes", rejected.len());
    }
    assert_eq!(cluster.client(0).info(500).ok().json()["bookTitle"], "A good book");
}

#[test]
fn hostile_json_lines_are_refused_one_by_one() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    let good = r#"{"id":500,"title":"A good book","topic":"hostile","stock":1,"price":1}"#;
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(7000), "]".repeat(7000));
    for line in [
        deep.as_str(),
        r#"{"title":"t","topic":"x","stock":1e400,"price":1}"#,
        r#"{"title":"t","topic":"x","stock":1,"price":1e400}"#,
        r#"{"title":"t","topic":"x","stock":1,"price":-1}"#,
        r#"{"title":"t","title":"u","topic":"x","stock":1,"price":1}"#,
        r#"{"title":"\u0000","topic":"x","stock":1,"price":1}"#,
        r#"{"title":"\ud800","topic":"x","stock":1,"price":1}"#,
        r#"{"title":["t"],"topic":{"x":1},"stock":1,"price":1}"#,
        r#"{"__proto__":{"id":1},"title":"t"}"#,
        "{",
        "]",
        "null",
    ] {
        let body = format!("{good}\n{line}\n{good}\n");
        let done = upload(&client, "application/jsonl", body.as_bytes()).ok().json();
        assert_eq!((&done["lines"], &done["rejected"]), (&json!(3), &json!(1)), "{line}: {done}");
    }
    assert_eq!(client.info(500).ok().json()["bookTitle"], "A good book");
}

/// What a file is called, and what it says of itself when it is packed, is nobody's business.
#[test]
fn no_name_that_an_upload_gives_itself_becomes_a_path() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    let before = tree(cluster.dir());
    let target = cluster.dir().join("written-by-an-upload");
    for (number, name) in [
        target.to_str().unwrap(),
        "../../../../../../tmp/written-by-an-upload",
        "..\\x",
        "/dev/stdout",
        "a\0b",
    ]
    .into_iter()
    .enumerate()
    {
        let book = 600 + i64::try_from(number).unwrap();
        let mut packer = flate2::GzBuilder::new();
        if !name.contains('\0') {
            packer = packer.filename(name).comment(name);
        }
        let mut packer = packer.write(Vec::new(), Compression::fast());
        packer.write_all(format!("{HEADER}{book},{name},paths,1,1\n").replace('\0', "?").as_bytes()).unwrap();
        let body = packer.finish().unwrap();
        let disposition = format!("attachment; filename=\"{}\"", name.replace('\0', "%00"));
        let bearer = format!("Bearer {ADMIN}");
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "text/csv"),
            ("content-disposition", &disposition),
        ];
        let done =
            client.send_bytes("POST", "/admin/api/imports", &headers, Some(&body)).unwrap().ok().json();
        assert_eq!(done["created"], 1, "{name:?}: {done}");
        // A path is a fine title.
        assert_eq!(client.info(book).ok().json()["bookTitle"], name.replace('\0', "?"));
    }
    assert_eq!(tree(cluster.dir()), before);
    assert!(!Path::new("/tmp/written-by-an-upload").exists());
}

/// The names of all files below `dir`, without those that SQLite makes and takes away.
fn tree(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => names.extend(tree(&path)),
            false => names.push(path.display().to_string()),
        }
    }
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[test]
fn a_packed_file_that_is_damaged_anywhere_is_an_error_and_not_an_end() {
    let _company = in_company();
    let cluster = Cluster::start(SHOP);
    let client = cluster.client(0);
    let books = |from: usize| {
        let lines = (from..from + 200).map(|n| format!("{},Book {n},damaged,1,1\n", 1000 + n).into_bytes());
        packed(std::iter::once(HEADER.into()).chain(lines))
    };
    let whole = books(0);
    for at in [3, 10, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        // Flags and times of the header say nothing of the content.
        let answer = upload(&client, "text/csv", &damaged);
        assert!(matches!(answer.status, 200 | 400), "byte {at}: {}", answer.text());
        if at >= 10 {
            answer.problem(400, "invalid_request");
        }
        upload(&client, "text/csv", &whole[..at]).problem(400, "invalid_request");
    }
    assert_eq!(upload(&client, "text/csv", &whole).ok().json()["lines"], json!(200));
}
