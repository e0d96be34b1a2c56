//! The commands of docs/operations.md, run as they stand there.

use crate::harness::{THIS, free_port, in_company, rows};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DOCUMENT: &str = include_str!("../../docs/operations.md");

/// For all procedures together; some wait for leases that may still run.
const PATIENCE: Duration = Duration::from_secs(180);

/// What must be true behind each part of the document, in shell. A part without commands has none.
const CHECKS: &[(&str, &str)] = &[
    ("The store of this page", r#"[ "$(stock)" = 14 ]"#),
    ("How large", "grep -q 'violations  0' said"),
    (
        "Is it well?",
        r#"grep -q 'lease: held' said && grep -q '"role":"master"' said && grep -q fences status.json"#,
    ),
    ("Verify regularly", "grep -q ': equal' said"),
    ("Back up", "grep -q '11 books and 1 order as of' said && [ \"$(stat -c %a shop-1.bazar)\" = 600 ]"),
    ("Try the backup", "grep -q 14 said && [ ! -e drill ] && [ \"$(stock)\" = 14 ]"),
    ("Add and remove a replica", r#"[ "$(stock)" = 13 ] && [ ! -e data-c ]"#),
    ("Add and remove a frontend or an order node", r#"[ "$(stock)" = 12 ]"#),
    ("Update", r#"[ "$(stock)" = 12 ] && [ -s before-update.bazar ]"#),
    ("Hand over", r#"[ "$(stock)" = 11 ] && grep -q 'is sealed at' said"#),
    ("The master is gone for good", r#"[ "$(stock)" = 10 ] && grep -q ': equal' said"#),
    // The backup has one order.
    ("From a backup", r#"[ "$(stock)" = 13 ] && [ -d data-b/set-aside ]"#),
    ("Change the lease", r#"[ "$(stock)" = 12 ]"#),
    ("Move a node to another machine", "bazar catalog verify --master $master | grep -q ': equal'"),
    ("The disk is full", r#"[ "$(stock)" = 12 ]"#),
    ("Redis", r#"[ "$(grep -c 'redis: connected' said)" = 2 ] && grep -qx OK said && [ "$(stock)" = 12 ]"#),
    (
        "Secrets",
        r#"[ "$(stock)" = 11 ] && [ "$(cat token metrics-token admin-token | wc -l)" = 3 ] && [ -s metrics.txt ] &&
           ! keeps "$old" && grep -q orderId orders.json && bazar catalog verify --master $master | grep -q ': equal'"#,
    ),
];

/// Each part of the document with its commands.
fn parts() -> Vec<(&'static str, String)> {
    let parts = DOCUMENT.split("\n## ").skip(1);
    parts
        .map(|part| {
            let title = part.lines().next().unwrap();
            let blocks = part.split("\n```sh\n").skip(1);
            (title, blocks.map(|block| block.split_once("\n```").unwrap().0).collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

/// The whole document as one script, with a check behind each part that has commands.
fn script() -> String {
    let mut script = String::from(
        "set -e\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n\
         stock() { curl -s $shop/info/9 | sed 's/.*\"numberOfItems\":\\([0-9]*\\).*/\\1/'; }\n",
    );
    for (title, commands) in parts() {
        let check = CHECKS.iter().find(|(of, _)| *of == title).map(|(_, check)| *check);
        assert_eq!(
            check.is_some(),
            !commands.is_empty(),
            "{title}: commands without a check, or a check of nothing"
        );
        let Some(check) = check else { continue };
        // In this shell, so that what one part defines and starts is there for the next.
        writeln!(script, "{{\n{commands}\n}} > said 2>&1").unwrap();
        writeln!(script, "if ! {{ {check}; }}; then echo 'not so: {title}'; exit 1; fi").unwrap();
        writeln!(script, "echo 'done: {title}'").unwrap();
    }
    for port in ["3000", "3001", "3002", "3005", "3006", "3007", "3008", "3105", "3108", "6379"] {
        script = script.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", free_port()));
    }
    script
}

#[test]
fn every_procedure_of_the_document_does_what_it_says() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let bin = Path::new(THIS).parent().unwrap().to_str().unwrap();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let said = dir.path().join("test.log");
    let log = std::fs::File::create(&said).unwrap();
    let mut child = Command::new("bash")
        .args(["-c", &script()])
        .current_dir(dir.path())
        .env("PATH", path)
        .env_remove("BAZAR_INTERNAL_TOKEN")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            // The shell ends what it has started.
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&child),
                rustix::process::Signal::TERM,
            )
            .unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut told = String::new();
    std::fs::File::open(&said).unwrap().read_to_string(&mut told).unwrap();
    let part = std::fs::read_to_string(dir.path().join("said")).unwrap_or_default();
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?}\n{told}\n--- the last part\n{part}\n--- log\n{log}"
    );
    // Nothing was lost and nothing doubled on the way.
    let (master, replica) = (rows(&dir.path().join("data-a")), rows(&dir.path().join("moved-b")));
    assert_eq!(master["orders"], replica["orders"]);
    assert_eq!(master["orders"].len(), 4);
}
