//! The binary as an operator meets it: mistakes, exit codes, signals, logs.

use crate::harness::{
    Client, Cluster, Finished, Gate, NOBODY, Over, Process, Shape, TOKEN, alone, in_company, rows, run,
    run_unread, wait_until,
};
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const WITH_TOKEN: [(&str, &str); 1] = [("BAZAR_INTERNAL_TOKEN", TOKEN)];

#[test]
fn every_mistake_of_a_configuration_is_named_at_once() {
    let args = ["frontend", "--listen", "nowhere", "--search-ttl", "soon", "--cache-bytes", "1KiB"];
    let args = [&args[..], &["--balance", "random", "--warm", "fiction,,"]].concat();
    let args =
        [&args[..], &["--rate-limit", "many", "--purchase-rate-limit", "0/s", "--client-connections", "0"]]
            .concat();
    let args = [&args[..], &["--trusted-proxy", "nginx", "--unlimited-client", "10.0.0.0/99"]].concat();
    let args = [&args[..], &["--allowed-host", "http://shop.example", "--cors-origin", "*"]].concat();
    let Finished { code, stderr, stdout } = run(&args, &WITH_TOKEN);
    assert_eq!(code, Some(2), "{stderr}");
    for flag in [
        "--listen",
        "--search-ttl",
        "--cache-bytes",
        "--balance",
        "--warm",
        "--master",
        "--order",
        "--rate-limit",
        "--purchase-rate-limit",
        "--client-connections",
        "--trusted-proxy",
        "--unlimited-client",
        "--allowed-host",
        "--cors-origin",
    ] {
        assert!(
            stderr.lines().any(|line| line.starts_with("error: ") && line.contains(flag)),
            "{flag}: {stderr}"
        );
    }
    assert!(stdout.is_empty(), "{stdout}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for (args, said) in [
        (vec!["order", "--master", NOBODY], "BAZAR_INTERNAL_TOKEN"),
        (vec!["catalog", "--data", data], "--master and --replica"),
        (vec!["catalog", "--master", "--replica", "--data", data], "--master and --replica"),
        (vec!["catalog", "--replica", "--data", data], "--master-url"),
        (vec!["catalog", "--master"], "--data"),
        (
            vec!["catalog", "--master", "--data", data, "--keep-refusals", "30s"],
            "--keep-refusals must be at least",
        ),
        (
            vec!["catalog", "--replica", "--data", data, "--keep-answers", "1h"],
            "--keep-answers is for --master",
        ),
        (vec!["up", "--keep-answers", "1h", "--keep-refusals", "2h"], "at most --keep-answers"),
        (vec!["up", "--no-such-flag"], "--no-such-flag"),
        (vec!["up", "--frontends", "0"], "--frontends"),
        (vec!["sell"], "sell"),
    ] {
        let Finished { code, stderr, .. } = run(&args, &[]);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    let Finished { code, stderr, .. } =
        run(&["order", "--master", NOBODY], &[("BAZAR_INTERNAL_TOKEN", "short")]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("at least 16") && !stderr.contains("short"), "{stderr}");
    assert!(!Path::new(data).exists(), "a wrong command line touched the data");
}

#[test]
fn a_second_node_on_the_same_data_is_refused_by_name() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, orders: 0, ..Shape::default() });
    for (data, holder) in [("master", "catalog master"), ("replica-1", "catalog replica")] {
        let data = cluster.data(data);
        let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let Finished { code, stderr, .. } = run(&args, &WITH_TOKEN);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(holder) && stderr.contains("in use"), "{stderr}");
    }
    cluster.stop_and_compare();
}

#[test]
fn an_address_that_is_taken_is_said_before_any_data_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let nodes = ["--master", NOBODY, "--order", NOBODY];
    let frontend =
        [&["frontend", "--internal-listen", "127.0.0.1:0", "--listen", &addr][..], &nodes].concat();
    let internal =
        [&["frontend", "--listen", "127.0.0.1:0", "--internal-listen", &addr][..], &nodes].concat();
    let order = vec!["order", "--master", NOBODY, "--listen", &addr];
    for args in [frontend, internal, order] {
        let Finished { code, stderr, .. } = run(&args, &WITH_TOKEN);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(&addr), "{stderr}");
    }
    for role in [&["up"][..], &["catalog", "--master"]] {
        let args = [role, &["--listen", &addr, "--data", data.to_str().unwrap()]].concat();
        let Finished { code, stderr, .. } = run(&args, &WITH_TOKEN);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(&addr), "{stderr}");
        assert!(!data.exists());
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = seeded(dir.path());
    for content in [&b"this is no database, however long one looks at it"[..], &[0xff; 8192]] {
        fs::write(&file, content).unwrap();
        let Finished { code, stderr, .. } =
            run(&["up", "--listen", "127.0.0.1:0", "--data", dir.path().to_str().unwrap()], &[]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("is not a SQLite database"), "{stderr}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = seeded(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES (99990101000000, 'of the future', 1, x'00', 0)";
        sqlx::query(AssertSqlSafe(newer.to_owned())).execute(&mut connection).await.unwrap();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let before = fs::read(&file).unwrap();
    let Finished { code, stderr, .. } =
        run(&["up", "--listen", "127.0.0.1:0", "--data", dir.path().to_str().unwrap()], &[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("99990101000000"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_directory_that_cannot_be_written_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "a file").unwrap();
    // Below a file nobody can make a directory, root included.
    for data in [file.clone(), file.join("below")] {
        let Finished { code, stderr, .. } =
            run(&["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()], &[]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("cannot be written") && stderr.contains(file.to_str().unwrap()), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
}

#[test]
fn both_signals_let_a_purchase_that_is_under_way_finish() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { frontends: 0, replicas: 0, ..Shape::default() });
    // Some rounds, because an answer can be lost in the moment before it is written.
    for (signal, left) in [Signal::TERM, Signal::INT].into_iter().cycle().zip((5..15).rev()) {
        let gate = Gate::before(cluster.orders[0].url());
        let mut frontend = cluster.start_frontend_with_orders(&format!("frontend-{left}"), gate.url());
        let client = Client::new(frontend.url());
        std::thread::scope(|scope| {
            let buyer = scope.spawn(|| client.buy(9));
            gate.holds_one();
            frontend.signal(signal);
            gate.open();
            assert_eq!(buyer.join().unwrap().ok().json()["remaining"], left);
        });
        frontend.ends_well();
    }
    // The same of an order node, with the master held.
    let gate = Gate::before(cluster.master.url());
    let args = ["order", "--listen", "127.0.0.1:0", "--master", gate.url()];
    let order = Process::start(cluster.dir(), "order-held", &args, &WITH_TOKEN);
    cluster.orders.push(order);
    let frontend = cluster.start_frontend_with_orders("frontend-4", cluster.orders[1].url());
    let client = Client::new(frontend.url());
    std::thread::scope(|scope| {
        let buyer = scope.spawn(|| client.buy(9));
        gate.holds_one();
        cluster.orders[1].signal(Signal::INT);
        gate.open();
        assert_eq!(buyer.join().unwrap().ok().json()["remaining"], 4);
    });
    cluster.orders[1].ends_well();
    cluster.orders.pop();
    drop(frontend);
    cluster.stop_and_compare();
}

#[test]
fn a_store_in_one_process_stops_well_on_either_signal() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut up = Process::start(dir.path(), "up", &args, &[]);
    for signal in [Signal::INT, Signal::TERM] {
        Client::new(up.url()).buy(9).ok();
        up.signal(signal);
        up.ends_in_time();
        up.restart();
    }
    assert_eq!(Client::new(up.url()).info(9).stock(9), 13);
    up.stop();
}

#[test]
fn a_stop_under_load_cuts_no_purchase_off() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--frontends", "2", "--data", data.to_str().unwrap()];
    let mut up = Process::start(dir.path(), "up", &args, &[]);
    let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (client, answered, over) = (Client::new(&up.urls()[number % 2]), &answered, &over);
            scope.spawn(move || {
                // Until nobody is there any more. Whatever is answered, is answered well; sold out is too.
                for attempt in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let Some(answer) = client.try_buy(1, &format!("buyer-{number}-{attempt}")) else {
                        return;
                    };
                    assert!(matches!(answer.status, 200 | 409), "{}", answer.text());
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _over = Over(&over);
        wait_until("the store is busy", || answered.load(Ordering::SeqCst) > 40);
        // What one has that is not in sync, the other need not have at the end.
        up.in_sync(1);
        up.signal(Signal::TERM);
        up.ends_in_time();
    });
    // An answer for each outcome that was stored: nobody is left in doubt.
    let (master, replica) = (rows(&data.join("master")), rows(&data.join("replica-1")));
    assert_eq!(master["answers"].len(), answered.load(Ordering::SeqCst));
    assert_eq!(master, replica);
}

#[test]
fn a_healthcheck_is_an_exit_code() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    let mut urls = vec![cluster.master.url(), cluster.replicas[0].url(), cluster.orders[0].url()];
    urls.extend(cluster.frontends[0].urls().iter().map(String::as_str));
    for url in urls {
        for path in ["/healthz", "/readyz"] {
            let finished = run(&["healthcheck", &format!("{url}{path}")], &[]);
            assert_eq!(finished.code, Some(0), "{finished:?}");
        }
    }
    // One that hangs is not well either.
    let frontend = cluster.frontends[0].url();
    cluster.replicas[0].pause();
    let hangs = format!("{}/healthz", cluster.replicas[0].url());
    for url in [&format!("{frontend}/nothing"), &format!("{NOBODY}/healthz"), "rubbish", &hangs] {
        let finished = run(&["healthcheck", url], &[]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.starts_with("error: "), "{finished:?}");
    }
}

#[test]
fn completions_are_printed_for_a_shell() {
    let Finished { code, stdout, .. } = run(&["completions", "bash"], &[]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("complete -F") && stdout.contains("--internal-listen"));
}

#[test]
fn whoever_reads_only_the_beginning_gets_no_complaint() {
    for args in [&["completions", "bash"][..], &["openapi"], &["experiment", "--list"], &["man"]] {
        let Finished { code, stderr, .. } = run_unread(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn every_flag_can_come_from_the_environment_and_the_token_from_a_file() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let (data, token) = (dir.path().join("data"), dir.path().join("token"));
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let mut env = vec![("BAZAR_LISTEN", "127.0.0.1:0"), ("BAZAR_DATA", data.to_str().unwrap())];
    env.extend([("BAZAR_FRONTENDS", "3"), ("BAZAR_REPLICAS", "0"), ("BAZAR_LOG_FORMAT", "json")]);
    let mut up = Process::start(dir.path(), "up", &["up"], &env);
    assert_eq!(up.urls().len(), 3);
    assert!(!data.join("replica-1").exists());
    up.stop();
    assert!(up.log().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", up.log());

    let data = dir.path().join("master");
    let mut env = vec![("BAZAR_LISTEN", "127.0.0.1:0"), ("BAZAR_DATA", data.to_str().unwrap())];
    env.extend([("BAZAR_MASTER", "true"), ("BAZAR_INTERNAL_TOKEN_FILE", token.to_str().unwrap())]);
    let mut master = Process::start(dir.path(), "master", &["catalog"], &env);
    Client::internal(master.url()).get("/topics").ok();
    master.stop();
}

#[test]
fn a_request_id_stands_in_the_json_logs_of_every_role_it_came_through() {
    let _company = in_company();
    let shape = Shape { frontends: 1, log: "info,bazar=debug", log_format: "json", ..Shape::default() };
    let cluster = Cluster::start(shape);
    let headers = [("content-type", "application/json"), ("x-request-id", "purchase-0815")];
    let client = cluster.client(0);
    client.send("POST", "/purchase", &headers, Some(r#"{"book_id":9}"#)).unwrap().ok();
    client.send("GET", "/info/9", &[("x-request-id", "reading-4711")], None).unwrap().ok();
    let frontend = lines(&cluster.frontends[0]);
    let of = |lines: &[Value], id: &str| lines.iter().filter(|line| line["request_id"] == id).count();
    assert_eq!((of(&frontend, "purchase-0815"), of(&frontend, "reading-4711")), (1, 1), "{frontend:#?}");
    let master = lines(&cluster.master);
    assert_eq!(of(&master, "purchase-0815"), 1, "{master:#?}");
    lines(&cluster.orders[0]);
    lines(&cluster.replicas[0]);
    // The decision of the cache, and the fence before the commit.
    let messages = |text: &str| frontend.iter().any(|line| line["message"].as_str().unwrap().contains(text));
    assert!(messages("cache MISS info:9") && messages("INVALIDATE"), "{frontend:#?}");
}

/// Every line of a role's log, parsed.
#[track_caller]
fn lines(role: &Process) -> Vec<Value> {
    let log = role.log();
    let lines =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    let lines: Vec<Value> = lines.collect();
    for line in &lines {
        for member in ["time", "level", "target", "message"] {
            assert!(line[member].is_string(), "{line}");
        }
    }
    lines
}

/// A data directory in which `bazar up` has been, reduced to the master's file. Returns that.
fn seeded(dir: &Path) -> std::path::PathBuf {
    let args = ["up", "--listen", "127.0.0.1:0", "--data", dir.to_str().unwrap()];
    let mut up = Process::start(dir, "up", &args, &[]);
    up.stop();
    bazar::store::current_file(&dir.join("master")).unwrap()
}
