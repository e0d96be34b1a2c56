//! Who keeps an answer asks before each use: it is told "not modified" exactly as long as the whole answer
//! would be the same. And the short way of a cached read answers as the ordinary one does.

use crate::harness::{Answer, Client, Cluster, Shape, alone, in_company, raw, wait_until};

const READS: [&str; 3] = ["/catalog-service/info/9", "/search/education?limit=1", "/topics"];

#[test]
fn who_has_the_current_answer_is_told_so_and_who_has_an_older_one_is_given_the_new_one() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    let clients = cluster.clients();
    for path in READS {
        let tag = clients[0].get(path).ok().header("etag").to_owned();
        assert!(tag.starts_with("W/\"") && tag.len() > 30, "{tag}");
        for client in &clients {
            // From a node and from the cache, one tag and a list of them, and whatever there is.
            for has in [tag.as_str(), &format!("\"other\", {tag}"), &tag["W/".len()..], "*"] {
                let answer = get(client, path, has);
                assert_eq!((answer.status, answer.body.len()), (304, 0), "{has}: {}", answer.text());
                assert_eq!(answer.header("etag"), tag);
                assert_eq!(answer.header("cache-control"), "no-cache");
                assert!(!answer.header("bazar-version").is_empty() && !answer.header("x-cache").is_empty());
                assert!(!answer.headers.contains_key("content-length"), "{:?}", answer.headers);
            }
            for has in ["\"other\"", "W/\"\"", "no tag at all"] {
                assert_eq!(get(client, path, has).ok().header("etag"), tag);
            }
        }
    }
    let tag = |client: &Client, book| client.info(book).ok().header("etag").to_owned();
    let (sold, other) = (tag(&clients[0], 9), tag(&clients[0], 10));
    clients[0].buy(9).ok();
    for client in &clients {
        let answer = get(client, READS[0], &sold).ok();
        assert_eq!(answer.stock(9), 14);
        assert_ne!(answer.header("etag"), sold);
        // Nothing happened to this one, whatever the version of the store.
        assert_eq!(get(client, "/info/10", &other).status, 304);
    }
}

#[test]
fn an_answer_that_may_be_stale_has_no_tag_and_confirms_none() {
    let _alone = alone();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    wait_until("the answer is cached", || client.info(9).ok().cached());
    let tag = client.info(9).ok().header("etag").to_owned();
    client.buy(9).ok();
    let headers = [("bazar-consistency", "stale"), ("if-none-match", &tag)];
    let answer = client.send("GET", "/info/9", &headers, None).unwrap().ok();
    assert!(answer.says_stale() && answer.stock(9) == 15);
    assert_eq!((answer.header("etag"), answer.header("cache-control")), ("", "no-store"));
    // Neither is there a tag for what does not exist.
    for _ in 0..3 {
        let answer = get(&client, "/info/999", "*");
        answer.problem(404, "book_not_found");
        assert_eq!((answer.header("etag"), answer.header("cache-control")), ("", "no-store"));
    }
}

#[test]
fn the_short_way_of_a_cached_read_answers_as_the_ordinary_one_does() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let client = cluster.client(0);
    for path in READS {
        wait_until("the answer is cached", || client.get(path).ok().cached());
        // Each thread learns a path by answering it.
        for _ in 0..20 {
            let short = client.get(path).ok();
            // A header that must be looked at: the ordinary way.
            let ordinary = client.send("GET", path, &[("bazar-consistency", "linearizable")], None);
            let ordinary = ordinary.unwrap().ok();
            assert!(short.cached() && ordinary.cached());
            assert_eq!(without_time(&short), without_time(&ordinary));
            let names = |answer: &Answer| {
                let mut names: Vec<_> = answer.headers.iter().filter(|(name, _)| *name != "date").collect();
                names.sort_by_key(|(name, _)| name.as_str().to_owned());
                names.into_iter().map(|(name, value)| format!("{name}: {value:?}")).collect::<Vec<_>>()
            };
            assert_eq!(names(&short), names(&ordinary));
        }
        let head = client.send("HEAD", path, &[], None).unwrap().ok();
        assert!(head.body.is_empty() && head.headers.contains_key("bazar-version"));
        client.send("DELETE", path, &[], None).unwrap().problem(405, "method_not_allowed");
        let refused = client.send("GET", path, &[("bazar-consistency", "fresh")], None).unwrap();
        refused.problem(400, "invalid_request");
        let future = client.send("GET", path, &[("bazar-min-version", "1.99")], None).unwrap();
        future.problem(412, "version_unavailable");
        let ask = |rest: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest}");
            raw(cluster.frontends[0].url(), request.as_bytes())
        };
        for rest in ["\r\n", "content-length: 3\r\n\r\nabc"] {
            let answer = ask(rest);
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        }
        let old = raw(cluster.frontends[0].url(), format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        assert!(old.starts_with("HTTP/1.0 200 OK"), "{old}");
    }
    // What has been learnt does not outlive a purchase.
    for left in (0..15).rev() {
        client.buy(9).ok();
        for _ in 0..4 {
            assert_eq!(client.get(READS[0]).ok().stock(9), left);
            assert_eq!(client.get(READS[1]).ok().stock(9), left);
        }
    }
}

/// The body, but for what is each answer's own.
fn without_time(answer: &Answer) -> serde_json::Value {
    let mut body = answer.json();
    body["responseTime"].take();
    body
}

fn get(client: &Client, path: &str, has: &str) -> Answer {
    client.send("GET", path, &[("if-none-match", has)], None).unwrap()
}
