//! Traces: who is traced, what a trace has in it, and what it costs when the collector is ill.

use super::harness::{
    Client, Cluster, Collector, Mood, Process, Shape, Span, Traces, alone, free_port, in_company, run, tree,
    wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// As a client that has itself traced sends it.
fn traceparent(trace: &str, sampled: bool) -> String {
    format!("00-{trace}-{CLIENT}-0{}", u8::from(sampled))
}

/// Everything is traced, whatever clients say.
fn all(collector: &Collector) -> Traces {
    sampled(collector, "1")
}

fn sampled(collector: &Collector, sampling: &'static str) -> Traces {
    Traces { endpoint: forever(collector.url()), sampling, trusting: false, but: &[] }
}

/// Shapes are copied around.
fn forever(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[track_caller]
fn buy(client: &Client, trace: &str) -> Value {
    let parent = traceparent(trace, true);
    client.post("/order-service/purchase", &[("traceparent", &parent)], &json!({ "book_id": 9 })).ok().json()
}

/// The first request from one role to another is made twice, for the challenge that the second one answers: here
/// by somebody else.
fn acquaint(store: &Client) {
    store.buy(9).ok();
    store.get("/topics").ok();
}

#[track_caller]
fn read(client: &Client, path: &str, trace: &str) {
    let parent = traceparent(trace, true);
    assert_eq!(client.send("GET", path, &[("traceparent", &parent)], None).unwrap().status, 200);
}

fn the<'a>(spans: &'a [Span], service: &str, name: &str) -> &'a Span {
    spans
        .iter()
        .find(|span| span.service == service && span.name == name)
        .unwrap_or_else(|| panic!("{}", tree(spans)))
}

/// Of a purchase in a store of two frontends and two replicas.
const PURCHASE: &str = "
    frontend: POST /order-service/purchase ◀
      frontend: POST /purchases ▶
        order: POST /purchases ◀
          order: POST /purchases ▶
            master: POST /purchases ◀
              master: batch
                master: POST /sync-write ▶
                  replica: POST /sync-write ◀
                    replica: apply
                master: POST /sync-write ▶
                  replica: POST /sync-write ◀
                    replica: apply
                master: commit
                master: decide
                master: fence
                  master: POST /cache/invalidate ▶
                    frontend: POST /cache/invalidate ◀
                  master: POST /cache/invalidate ▶
                    frontend: POST /cache/invalidate ◀
                master: replicate
                master: write";

#[test]
fn a_purchase_is_one_trace_from_the_client_through_every_role_to_each_frontend_and_replica() {
    let _company = in_company();
    let collector = Collector::start();
    let cluster = Cluster::start(Shape { replicas: 2, traces: Some(all(&collector)), ..Shape::default() });
    acquaint(&cluster.client(0));
    let bought = buy(&cluster.client(0), TRACE);
    collector.has_tree(TRACE, PURCHASE);
    let spans = collector.trace(TRACE);
    let root = the(&spans, "bazar-frontend", "POST /order-service/purchase");
    assert_eq!(root.parent, CLIENT);
    let expected = [
        ("http.request.method", "POST"),
        ("http.route", "/order-service/purchase"),
        ("http.response.status_code", "200"),
        ("bazar.role", "frontend"),
    ];
    for (key, value) in expected {
        assert_eq!(root.attributes[key], value);
    }
    let call = the(&spans, "bazar-order", "POST /purchases");
    assert!(call.attributes.contains_key("http.response.status_code"), "{call:?}");
    let batch = the(&spans, "bazar-master", "batch");
    assert_eq!(batch.attributes["bazar.batch.size"], "1");
    assert_eq!(batch.attributes["bazar.version"], bought["version"].as_str().unwrap());
    assert_eq!(the(&spans, "bazar-master", "commit").attributes["db.system.name"], "sqlite");
    assert_eq!(the(&spans, "bazar-master", "fence").attributes["bazar.fence.holders"], "2");
    // Nothing is acknowledged before the fence, the commit and the replicas' word.
    let ends = |name| the(&spans, "bazar-master", name).nanos.1;
    assert!(
        ends("fence") <= ends("commit")
            && ends("commit") <= ends("replicate")
            && ends("replicate") <= ends("batch")
    );
    assert!(spans.iter().all(|span| span.links.is_empty() && !span.failed), "{spans:?}");
    // What opens an order is in no span, nor is the key that repeats it.
    let order = bought["orderId"].as_str().unwrap();
    assert!(!format!("{spans:?}").contains(order), "{spans:?}");
}

#[test]
fn a_read_shows_whether_the_cache_answered_and_why_not() {
    let _company = in_company();
    let collector = Collector::start();
    let shape =
        Shape { replicas: 0, frontends: 1, redis: true, traces: Some(all(&collector)), ..Shape::default() };
    let cluster = Cluster::start(shape);
    let client = cluster.client(0);
    acquaint(&client);
    let ids: Vec<String> = (1..=4).map(|id| format!("{id:032x}")).collect();
    read(&client, "/info/9", &ids[0]);
    collector.has_tree(
        &ids[0],
        "
        frontend: GET /info/{id} ◀
          frontend: GET /books ▶
            master: GET /books ◀
              master: read
          frontend: GETRANGE ▶",
    );
    let spans = collector.trace(&ids[0]);
    let root = the(&spans, "bazar-frontend", "GET /info/{id}");
    assert_eq!(root.attributes["bazar.cache.outcome"], "MISS");
    assert_eq!(root.attributes["bazar.cache.miss"], "absent");
    assert_eq!(root.attributes["bazar.cache.answered_by"], "master");
    let redis = the(&spans, "bazar-frontend", "GETRANGE");
    let expected =
        format!("redis://{}:{}", redis.attributes["server.address"], redis.attributes["server.port"]);
    assert_eq!(
        Some(expected),
        cluster.redis.as_ref().map(|redis| redis.url().trim_end_matches('/').to_owned())
    );
    assert_eq!(redis.attributes["db.system.name"], "redis");
    // By the ordinary way, then by the short one.
    for id in &ids[1..] {
        read(&client, "/info/9", id);
        collector.has_tree(id, "frontend: GET /info/{id} ◀");
        let hit = collector.trace(id).remove(0);
        assert_eq!((hit.attributes["bazar.cache.outcome"].as_str(), hit.parent.as_str()), ("HIT", CLIENT));
        assert_eq!(hit.attributes["bazar.cache.answered_by"], "memory");
        assert_eq!(hit.attributes["http.response.status_code"], "200");
    }
}

#[test]
fn purchases_that_are_committed_together_are_a_trace_of_their_own_with_links_both_ways() {
    let _company = in_company();
    let collector = Collector::start();
    let cluster = Cluster::start(Shape { replicas: 0, traces: Some(all(&collector)), ..Shape::default() });
    cluster.set_stock(9, 1_000_000);
    let mut round = 0u32;
    wait_until("several purchases are committed together", || {
        round += 1;
        std::thread::scope(|scope| {
            for buyer in 1..=12 {
                let client = cluster.client(buyer % 2);
                scope.spawn(move || buy(&client, &format!("{round:016x}{buyer:016x}")));
            }
        });
        let own = |span: &&Span| span.name == "batch" && span.parent.is_empty() && span.links.len() >= 2;
        collector.spans().iter().any(|span| own(&span))
    });
    wait_until("each purchase that has a link from a batch has one back", || {
        let spans = collector.spans();
        let roots: Vec<&Span> =
            spans.iter().filter(|span| span.parent.is_empty() && !span.links.is_empty()).collect();
        let linked_back = |root: &Span, (trace, id): &(String, String)| {
            let from = spans.iter().find(|span| span.id == *id && span.trace == *trace);
            from.is_some_and(|span| span.links.iter().any(|(trace, _)| *trace == root.trace))
        };
        roots.iter().all(|root| root.links.iter().all(|link| linked_back(root, link)))
    });
    let of_buyers = |spans: &[Span]| -> BTreeSet<String> {
        spans.iter().filter(|span| span.parent == CLIENT).map(|span| span.trace.clone()).collect()
    };
    wait_until("every purchase is traced", || of_buyers(&collector.spans()).len() == 12 * round as usize);
    wait_until("each purchase reaches the master, in its own trace or from link to link", || {
        let spans = collector.spans();
        of_buyers(&spans).iter().all(|trace| {
            let traces = followed(&spans, trace);
            spans.iter().any(|span| span.service == "bazar-master" && traces.contains(span.trace.as_str()))
        })
    });
}

/// The trace, and those that one comes to by the links of its spans, and of theirs.
fn followed<'a>(spans: &'a [Span], trace: &'a str) -> BTreeSet<&'a str> {
    let (mut known, mut next) = (BTreeSet::new(), vec![trace]);
    while let Some(trace) = next.pop() {
        if known.insert(trace) {
            let own = spans.iter().filter(|span| span.trace == trace);
            next.extend(own.flat_map(|span| &span.links).map(|(trace, _)| trace.as_str()));
        }
    }
    known
}

#[test]
fn nobody_can_have_a_request_traced_who_is_not_trusted() {
    let _company = in_company();
    let collector = Collector::start();
    let shape =
        Shape { replicas: 0, traces: Some(sampled(&collector, "0")), log: "bazar=debug", ..Shape::default() };
    let mut cluster = Cluster::start(shape);
    buy(&cluster.client(0), TRACE);
    read(&cluster.client(0), "/info/9", TRACE);
    // Its trace is in the logs of all roles all the same.
    let logs = [&cluster.frontends[0], &cluster.orders[0], &cluster.master].map(Process::log);
    for (log, what) in logs.iter().zip(["purchase book:9 x1", "purchase book:9 went with", "sold"]) {
        let line = log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains(&format!(" trace_id={TRACE}")) && !line.contains("span_id="), "{line}");
    }
    for role in cluster.frontends.iter_mut().chain(&mut cluster.orders).chain([&mut cluster.master]) {
        role.stop();
    }
    assert_eq!((collector.requests(), collector.spans()), (0, Vec::new()));
}

#[test]
fn where_clients_are_trusted_their_word_decides() {
    let _company = in_company();
    let collector = Collector::start();
    let traces = Traces { trusting: true, ..sampled(&collector, "0") };
    let cluster = Cluster::start(Shape { replicas: 2, traces: Some(traces), ..Shape::default() });
    let client = cluster.client(1);
    let (asked, other) = (traceparent(TRACE, true), traceparent("ffffffffffffffffffffffffffffffff", false));
    for parent in [Some(other.as_str()), None, Some(asked.as_str())] {
        let headers: Vec<_> = parent.map(|parent| ("traceparent", parent)).into_iter().collect();
        client.post("/order-service/purchase", &headers, &json!({ "book_id": 9 })).ok();
    }
    collector.has_tree(TRACE, PURCHASE);
    assert!(collector.spans().iter().all(|span| span.trace == TRACE));
}

#[test]
fn what_is_no_trace_context_is_ignored_and_what_others_want_to_be_passed_on_is() {
    let _company = in_company();
    let collector = Collector::start();
    let shape = Shape { replicas: 0, frontends: 1, traces: Some(all(&collector)), ..Shape::default() };
    let cluster = Cluster::start(shape);
    let client = cluster.client(0);
    let good = traceparent(TRACE, true);
    let (long, huge) = ("a=b,".repeat(200), "x".repeat(16 << 10));
    let odd = [
        vec![("traceparent", "")],
        vec![("traceparent", "00-xyz-01")],
        vec![("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")],
        vec![("traceparent", &huge)],
        vec![("traceparent", &good), ("traceparent", &good)],
        vec![("tracestate", "vendor=1")],
    ];
    for headers in &odd {
        assert_eq!(client.send("GET", "/topics", headers, None).unwrap().status, 200);
    }
    wait_until("each of them has a trace of its own", || {
        collector.spans().iter().filter(|span| span.parent.is_empty()).count() >= odd.len()
    });
    assert!(collector.trace(TRACE).is_empty());
    let states = [("vendor=1,other=2", "vendor=1,other=2"), ("no list", ""), (long.as_str(), "")];
    for (index, (sent, kept)) in states.iter().enumerate() {
        let trace = format!("{:032x}", index + 1);
        let parent = traceparent(&trace, true);
        client
            .post(
                "/order-service/purchase",
                &[("traceparent", &parent), ("tracestate", sent)],
                &json!({ "book_id": 9 }),
            )
            .ok();
        wait_until("the purchase is traced to its end", || {
            collector.trace(&trace).iter().any(|span| span.name == "replicate")
        });
        for span in collector.trace(&trace) {
            assert_eq!(span.state, *kept, "{sent}: {}", span.name);
        }
    }
}

#[test]
fn a_role_without_a_collector_passes_traces_on() {
    let _company = in_company();
    let collector = Collector::start();
    let traces = Traces { but: &["order"], ..all(&collector) };
    let cluster =
        Cluster::start(Shape { replicas: 0, frontends: 1, traces: Some(traces), ..Shape::default() });
    acquaint(&cluster.client(0));
    buy(&cluster.client(0), TRACE);
    collector.has_tree(
        TRACE,
        "
        frontend: POST /order-service/purchase ◀
          frontend: POST /purchases ▶
            master: POST /purchases ◀
              master: batch
                master: commit
                master: decide
                master: fence
                  master: POST /cache/invalidate ▶
                    frontend: POST /cache/invalidate ◀
                master: replicate
                master: write",
    );
}

#[test]
fn log_lines_of_a_traced_request_carry_its_ids() {
    let _company = in_company();
    let collector = Collector::start();
    for (round, format) in ["text", "json"].into_iter().enumerate() {
        let shape = Shape {
            replicas: 0,
            frontends: 1,
            traces: Some(all(&collector)),
            log: "bazar=debug",
            log_format: format,
            ..Shape::default()
        };
        let cluster = Cluster::start(shape);
        let trace = format!("{:032x}", round + 1);
        buy(&cluster.client(0), &trace);
        wait_until("the frontend's part is there", || {
            collector.trace(&trace).iter().any(|span| span.name == "POST /order-service/purchase")
        });
        let log = cluster.frontends[0].log();
        let line = log.lines().find(|line| line.contains("purchase book:9 x1")).unwrap();
        let (trace_id, span_id) = match format {
            "json" => {
                let line: Value = serde_json::from_str(line).unwrap();
                (line["trace_id"].as_str().unwrap().to_owned(), line["span_id"].as_str().unwrap().to_owned())
            }
            _ => {
                let member =
                    |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap().to_owned();
                (member("trace_id="), member("span_id="))
            }
        };
        let spans = collector.trace(&trace_id);
        assert_eq!(
            (trace_id, span_id),
            (trace, the(&spans, "bazar-frontend", "POST /order-service/purchase").id.clone())
        );
    }
}

#[test]
fn a_clean_stop_loses_no_span() {
    let _company = in_company();
    let collector = Collector::start();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
        "--replicas",
        "2",
        "--frontends",
        "2",
    ];
    let env = [("BAZAR_OTLP_ENDPOINT", collector.url()), ("BAZAR_TRACE_SAMPLING", "1")];
    let mut up = Process::start(dir.path(), "up", &args, &env);
    let client = Client::new(up.url());
    up.in_sync(2);
    // Its order nodes take turns.
    acquaint(&client);
    acquaint(&client);
    buy(&client, TRACE);
    up.stop();
    // In one process it is one service; the tree is that of the roles.
    let expected: String = PURCHASE
        .lines()
        .map(|line| format!("{}\n", line.trim().split_once(": ").map_or("", |(_, name)| name)))
        .collect();
    let mut expected: Vec<&str> = expected.lines().filter(|line| !line.is_empty()).collect();
    let found = tree(&collector.trace(TRACE));
    let mut found: Vec<&str> =
        found.lines().map(|line| line.trim().strip_prefix("bazar: ").unwrap()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    let roles: BTreeSet<String> = collector
        .trace(TRACE)
        .into_iter()
        .filter_map(|mut span| span.attributes.remove("bazar.role"))
        .collect();
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), ["frontend", "master", "order", "replica"]);
}

#[test]
fn a_collector_that_is_ill_costs_spans_which_are_counted_and_nothing_else() {
    let _alone = alone();
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
        "--otlp-endpoint",
        &url,
        "--trace-sampling",
        "1",
    ];
    let mut up = Process::start(dir.path(), "up", &args, &[]);
    let client = Client::new(up.url());
    // More copies than are bought: what is sold out is refused quickly.
    let file = dir.path().join("books.csv");
    std::fs::write(&file, "id,title,topic,stock,price\n500,Of many,x,1000,1\n").unwrap();
    let imported = run(&["import", file.to_str().unwrap(), "--data", data.to_str().unwrap()], &[]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    // Who waits for a collector that hangs waits two seconds.
    let quick = |what: &str| {
        for _ in 0..5 {
            let took = client.buy(500).ok().took;
            assert!(took < Duration::from_millis(1500), "{what}: {took:?}");
        }
    };
    quick("nobody is there");
    // It comes back before its time is over: nothing is lost.
    buy(&client, TRACE);
    let collector = Collector::at(&address);
    wait_until("what was made while it was away is there", || {
        collector.trace(TRACE).iter().any(|span| span.name == "replicate")
    });
    for mood in [Mood::Refuses(429), Mood::Refuses(503)] {
        collector.is(mood);
        let (before, trace) = (collector.requests(), format!("{:032x}", collector.requests() + 1));
        buy(&client, &trace);
        wait_until("it was asked", || collector.requests() > before);
        quick("it refuses for now");
        collector.is(Mood::Takes);
        wait_until("what it refused for now is sent again", || {
            collector.trace(&trace).iter().any(|span| span.name == "replicate")
        });
    }
    assert!(!up.log().contains("traces are lost"), "{}", up.log());
    collector.is(Mood::Refuses(500));
    client.info(9).ok();
    wait_until("that they are not taken is said", || {
        up.log().lines().any(|line| line.contains("traces are lost: ") && line.contains("status code: 500"))
    });
    collector.is(Mood::Hangs);
    let before = collector.requests();
    wait_until("it was asked", || {
        client.info(9).ok();
        collector.requests() > before
    });
    quick("it hangs");
    up.signal(Signal::TERM);
    up.ends_in_time();
    assert!(up.log().contains("spans were left at the end"), "{}", up.log());
}

#[test]
fn more_spans_than_the_collector_takes_are_dropped_and_counted() {
    let _company = in_company();
    let collector = Collector::start();
    collector.is(Mood::Hangs);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
        "--otlp-endpoint",
        collector.url(),
        "--trace-sampling",
        "1",
    ];
    let up = Process::start(dir.path(), "up", &args, &[]);
    let client = Client::new(up.url());
    wait_until("the queue is full", || {
        for _ in 0..1000 {
            client.info(9).ok();
        }
        up.log().contains("traces are lost: there are more than the collector takes")
    });
}

#[test]
fn a_wrong_endpoint_or_ratio_is_a_mistake_of_the_configuration() {
    let _company = in_company();
    let args = [
        "order",
        "--master",
        "http://127.0.0.1:1",
        "--otlp-endpoint",
        "collector:4318",
        "--trace-sampling",
        "1.5",
    ];
    let finished = run(&args, &[("BAZAR_INTERNAL_TOKEN", "secret-of-a-test")]);
    assert_eq!(finished.code, Some(2));
    for sentence in [
        "--otlp-endpoint: \"collector:4318\" is not a URL of the form http://host:port",
        "--trace-sampling: \"1.5\" is not a number between 0 and 1",
    ] {
        assert!(finished.stderr.contains(sentence), "{}", finished.stderr);
    }
}
