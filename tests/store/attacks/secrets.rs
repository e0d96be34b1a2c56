//! Whoever reads what a store says of itself: its logs at any level, the list of processes, its answers, its complaints.
//! No secret is in any of them.

use crate::admin::ADMIN;
use crate::harness::{
    Answer, Client, Cluster, Finished, METRICS_TOKEN, Process, RedisServer, Shape, TOKEN, Visitor, alone,
    in_company, run, wait_until,
};
use bazar::token::InternalToken;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const PASSWORD: &str = "the-password-of-redis";

/// What somebody types who has mixed something up: it may be the password of another place.
const WRONG: &str = "typed-into-the-wrong-field";

/// What follows from the token of the store, and lets a keeper import and export.
fn keepers_key() -> String {
    InternalToken::parse(TOKEN).unwrap().keeper().text()
}

/// Every way in and out that a store has, used once; all that it answered.
fn use_everything(cluster: &Cluster, frontend: &Process) -> Vec<Answer> {
    let client = Client::new(frontend.url());
    let bearer = |token: &str| format!("Bearer {token}");
    let mut answers = Vec::new();
    for path in [
        "/",
        "/info/9",
        "/info/9",
        "/info/999",
        "/search/education",
        "/search?q=the",
        "/topics",
        "/books/9",
        "/dashboard",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/nothing",
        "/admin",
        "/admin/books",
        "/holder",
        "/status",
        "/metrics",
        "/search/%ff",
        "/events?books=x",
    ] {
        answers.push(client.get(path));
    }
    let bought = client.buy_with_key(9, "a-key-of-a-customer-1");
    let order = bought.json()["orderId"].as_str().unwrap().to_owned();
    answers.extend([bought, client.order(&order), client.order("x"), client.buy(999)]);
    answers.push(client.send("POST", "/purchase", &[("content-type", "text/plain")], Some("{}")).unwrap());

    // The administration, by API and by its pages; with the token, and with others.
    for token in [ADMIN, WRONG, TOKEN, METRICS_TOKEN, &ADMIN[1..]] {
        let authorization = bearer(token);
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        for path in ["/admin/api/books", "/admin/api/orders", "/admin/api/books/9", "/admin/api/books/x"] {
            answers.push(client.send("GET", path, &headers, None).unwrap());
        }
        let book = json!({"title": "New", "topic": "x", "stock": 1, "price": 1}).to_string();
        answers.push(client.send("POST", "/admin/api/books", &headers, Some(&book)).unwrap());
        answers.push(client.send("POST", "/admin/api/books", &headers, Some("{")).unwrap());
        let lines = [("authorization", &*authorization), ("content-type", "text/csv")];
        let csv = "title,topic,stock,price\na,b,1,1\nx\n";
        answers.push(client.send("POST", "/admin/api/imports", &lines, Some(csv)).unwrap());
    }
    let visitor = Visitor::new(frontend.url());
    for typed in [WRONG, ADMIN] {
        visitor.get("/admin/sign-in");
        let looked = visitor.post("/admin/sign-in", &[("token".to_owned(), typed.to_owned())].into());
        answers.push(looked.answer);
    }
    answers.push(visitor.get("/admin/books").answer);

    // Internal routes, as a member and as others.
    for token in [TOKEN, WRONG, ADMIN, METRICS_TOKEN, &keepers_key()] {
        let authorization = bearer(token);
        let headers = [("authorization", &*authorization), ("content-type", "application/json")];
        for (url, path) in [
            (cluster.master.url(), "/status"),
            (cluster.master.url(), "/log?after=x"),
            (cluster.master.url(), "/books/9"),
            (cluster.master.url(), "/metrics"),
            (cluster.replicas[0].url(), "/status"),
            (cluster.orders[0].url(), "/status"),
            (&frontend.urls()[1], "/status"),
            (&frontend.urls()[1], "/holder"),
            (&frontend.urls()[1], "/metrics"),
        ] {
            answers.push(Client::new(url).send("GET", path, &headers, None).unwrap());
            answers.push(Client::signing(url, token).get(path));
        }
        for client in [Client::new(&frontend.urls()[1]), Client::signing(&frontend.urls()[1], token)] {
            answers.push(client.send("POST", "/cache/invalidate", &headers, Some("{")).unwrap());
        }
        for client in [Client::new(cluster.master.url()), Client::signing(cluster.master.url(), token)] {
            answers.push(client.send("POST", "/edits", &headers, Some("{}")).unwrap());
        }
    }
    answers
}

#[test]
fn no_log_at_any_level_and_no_answer_has_a_secret_in_it() {
    let _alone = alone();
    for format in ["text", "json"] {
        let mut cluster =
            Cluster::start(Shape { frontends: 0, log: "trace", log_format: format, ..Shape::default() });
        let redis = RedisServer::start(cluster.dir());
        redis.ask(&[b"CONFIG", b"SET", b"requirepass", PASSWORD.as_bytes()]);
        let url = redis.url().replace("redis://", &format!("redis://:{PASSWORD}@"));
        let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
        let (master, replica, order) =
            (cluster.master.url(), cluster.replicas[0].url(), cluster.orders[0].url());
        let args = [&args[..], &["--master", master, "--replica", replica, "--order", order]].concat();
        let env = [
            ("BAZAR_INTERNAL_TOKEN", TOKEN),
            ("BAZAR_ADMIN_TOKEN", ADMIN),
            ("BAZAR_METRICS_TOKEN", METRICS_TOKEN),
            ("BAZAR_REDIS", &url),
            ("RUST_LOG", "trace"),
            ("BAZAR_LOG_FORMAT", format),
        ];
        let mut frontend = Process::start(cluster.dir(), "frontend-with-secrets", &args, &env);
        let client = Client::new(frontend.url());
        wait_until("the frontend has its lease, and Redis", || {
            let ready = String::from_utf8_lossy(&client.get("/readyz").body).into_owned();
            ready.contains("lease: held") && ready.contains("redis: connected")
        });
        let answers = use_everything(&cluster, &frontend);
        assert!(answers.iter().any(|answer| answer.status == 200), "nothing was done");
        // A Redis that goes away, and a password that is not right any more.
        redis.ask_as(PASSWORD, &[b"CONFIG", b"SET", b"requirepass", b"another"]);
        redis.ask_as("another", &[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
        wait_until("it is said that Redis is not there", || frontend.log().contains("Redis is not used"));
        // The commands of keepers and operators.
        let file = cluster.dir().join("books.csv");
        fs::write(&file, "title,topic,stock,price\nt,x,1,1\nbad\n").unwrap();
        let mut said = Vec::new();
        let keepers_key = keepers_key();
        let (import, export) =
            (["import", file.to_str().unwrap(), "--master", master], ["export", "--node", master]);
        let verify = ["catalog", "verify", "--master", master];
        for (args, of_a_keeper) in [(&import[..], true), (&export, true), (&verify, false)] {
            for (token, allowed) in [(TOKEN, true), (&keepers_key, of_a_keeper), (WRONG, false)] {
                let env = [("BAZAR_INTERNAL_TOKEN", token), ("RUST_LOG", "trace")];
                let Finished { code, stdout, stderr } = run(args, &env);
                assert_eq!(code == Some(0), allowed, "{args:?} with {token}: {code:?}, {stderr}");
                said.push(stdout + &stderr);
            }
        }
        frontend.stop();
        let secrets = [TOKEN, ADMIN, PASSWORD, WRONG, METRICS_TOKEN, &keepers_key];
        cluster.orders[0].stop();
        let mut logs = vec![
            ("frontend", frontend.log()),
            ("order", cluster.orders[0].log()),
            ("master", cluster.master.log()),
            ("replica", cluster.replicas[0].log()),
        ];
        logs.extend(said.into_iter().map(|said| ("a command", said)));
        assert!(logs[0].1.contains("TRACE"), "this is no trace");
        for (whose, log) in &logs {
            for secret in secrets {
                let line = log.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret} in what {whose} says");
            }
        }
        for answer in &answers {
            for secret in secrets {
                let headers = format!("{:?}", answer.headers);
                assert!(!headers.contains(secret), "{secret} in {headers}");
                assert!(!answer.text().contains(secret), "{secret} in {}", answer.text());
            }
        }
    }
}

#[test]
fn no_mistake_in_a_configuration_is_told_with_the_secret_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "hunter2").unwrap();
    let path = file.to_str().unwrap();
    for (args, env) in [
        (vec!["order", "--master", "http://127.0.0.1:1"], vec![("BAZAR_INTERNAL_TOKEN", "hunter2")]),
        (vec!["order", "--master", "http://127.0.0.1:1", "--internal-token-file", path], vec![]),
        (
            vec!["order", "--master", "http://127.0.0.1:1", "--internal-token-file", path],
            vec![("BAZAR_INTERNAL_TOKEN", "hunter2-hunter2-hunter2")],
        ),
        (vec!["up", "--admin-token-file", path], vec![]),
        (vec!["up"], vec![("BAZAR_ADMIN_TOKEN", "hunter2")]),
        (vec!["up", "--redis", "rediss://:hunter2@127.0.0.1:1"], vec![]),
        (vec!["up", "--redis", "redis://:hunter2@"], vec![]),
        (vec!["up", "--redis", "redis://:hunter2@127.0.0.1:x"], vec![]),
        (vec!["up"], vec![("BAZAR_REDIS", "redis://u:hunter2@host:port/db")]),
    ] {
        let Finished { code, stderr, stdout } = run(&args, &env);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(!(stderr + &stdout).contains("hunter2"), "{args:?} {env:?}");
    }
}

/// What a process was started with can be read by every user of the machine.
#[test]
fn no_secret_is_in_the_arguments_of_a_process() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args =
        ["up", "--demo", "--replicas", "1", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let env = [("BAZAR_ADMIN_TOKEN", ADMIN), ("BAZAR_INTERNAL_TOKEN", TOKEN)];
    let mut up = Process::start(dir.path(), "demo", &args, &env);
    let client = Client::new(up.url());
    let mut seen = 0;
    wait_until("all processes of the demonstration run", || {
        let view = client.get("/demo").ok().json();
        let processes = view["processes"].as_array().unwrap();
        processes.iter().all(|process| process["state"] == "running")
    });
    // The tokens of its own that it draws are in the environment of its children, which only their owner can read.
    let view = client.get("/demo").ok().json();
    for process in view["processes"].as_array().unwrap() {
        let pid = process["pid"].as_u64().unwrap();
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let secrets =
            environment.split('\0').filter(|entry| entry.contains("TOKEN=") || entry.contains("REDIS="));
        for value in secrets.map(|entry| entry.split_once('=').unwrap().1) {
            assert!(value.is_empty() || !arguments.contains(value), "{arguments}");
            seen += 1;
        }
        assert!(!arguments.contains(ADMIN) && !arguments.contains(TOKEN), "{arguments}");
    }
    assert!(seen > 0, "no process has a secret: {view}");
    up.stop();
}

#[test]
fn a_token_file_that_others_can_change_is_refused_and_one_that_they_can_read_is_told() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, TOKEN).unwrap();
    for flag in ["--internal-token-file", "--admin-token-file"] {
        let data = dir.path().join(flag);
        let args =
            ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), flag, file.to_str().unwrap()];
        for mode in [0o602, 0o666, 0o777] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let Finished { code, stderr, .. } = run(&args, &[]);
            assert_eq!(code, Some(2), "{mode:o}: {stderr}");
            assert!(stderr.contains("can change") && stderr.contains(flag), "{mode:o}: {stderr}");
            assert!(!data.exists());
        }
        for (mode, told) in [(0o644, true), (0o640, false), (0o600, false), (0o400, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let mut up = Process::start(dir.path(), &format!("up{flag}-{mode:o}"), &args, &[]);
            let log = up.log();
            assert_eq!(log.contains("can read") && log.contains("chmod 600"), told, "{mode:o}: {log}");
            assert!(!log.contains(TOKEN), "{log}");
            up.stop();
        }
    }
}
