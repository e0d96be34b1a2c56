//! `bazar experiment`: every claim is judged, told and written down; a store that breaks one is told on; and
//! nothing that it started outlives it.

use crate::harness::{Fed, Finished, NOBODY, alone, run, start_nodes, wait_until};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// What each experiment claims, by a word of each claim.
const CLAIMS: [(&str, &[&str]); 7] = [
    (
        "recipes",
        &[
            "no invalidation (none) is caught",
            "TTL only (ttl) is caught",
            "delete, then write (delete-then-write) is caught",
            "write, then delete (write-then-delete) is caught",
            "Bazar's protocol never gives a stale answer",
        ],
    ),
    ("cache", &["a hit is faster than a miss", "a read right after a purchase", "does not double the time"]),
    ("freshness", &["no answer is older", "every acknowledged order is there"]),
    ("oversell", &["exactly as many are sold", "everybody else is told", "no copy is sold twice"]),
    (
        "switchover",
        &["nothing is lost and nothing is stale", "nothing is sold twice", "no buyer is turned away"],
    ),
    ("warming", &["the hit ratio rises", "what a frontend has answered before is a hit"]),
    (
        "balance",
        &[
            "the busiest of 3 catalog nodes",
            "the busiest of 2 order nodes",
            "every answer meanwhile is right",
        ],
    ),
];

/// Runs experiments into `out`, as short as they can be and still see anything.
fn experiment(out: &Path, args: &[&str]) -> Finished {
    let common = ["experiment", "--out", out.to_str().unwrap(), "--seconds", "1"];
    run(&[&common[..], args].concat(), &[])
}

/// Processes that have a directory below `dir` on their command line.
fn processes(dir: &Path) -> usize {
    let below = format!("{}/", dir.display());
    let of = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(of);
    all.filter(|line| String::from_utf8_lossy(line).contains(&below)).count()
}

fn stores(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".store-")).count()
}

/// All claims of these experiments hold, are told, and are in all three files; nothing else is left.
fn all_hold(names: &[&str]) {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let finished = experiment(dir.path(), names);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let (page, csv) = (read("report.html"), read("experiments.csv"));
    let json: Value = serde_json::from_str(&read("experiments.json")).unwrap();
    assert_eq!(json["pass"], true);
    let mut told = finished.stdout.lines().filter(|line| line.starts_with("PASS  ")).count();
    for (place, name) in names.iter().enumerate() {
        let (_, claims) = CLAIMS.iter().find(|(known, _)| known == name).unwrap();
        let written = json["experiments"][place]["claims"].as_array().unwrap();
        assert_eq!(written.len(), claims.len(), "{written:?}");
        for claim in *claims {
            let line = format!("PASS  {name}: ");
            let is_told = |line: &str| line.contains(claim);
            assert!(
                finished.stdout.lines().filter(|told| told.starts_with(&line)).any(is_told),
                "{claim}: {}",
                finished.stdout
            );
            assert!(page.contains(claim) && csv.contains(claim), "{claim}");
            told -= 1;
        }
        assert!(dir.path().join(format!("{name}-1.svg")).exists() || *name == "oversell", "{name}");
    }
    assert_eq!(told, 0, "{}", finished.stdout);
    assert_eq!((processes(dir.path()), stores(dir.path())), (0, 0));
}

#[test]
fn each_recipe_is_caught_and_the_protocol_is_not() {
    all_hold(&["recipes"]);
}

#[test]
fn hits_purchases_and_last_copies_are_what_they_should_be() {
    all_hold(&["cache", "freshness", "oversell"]);
}

#[test]
fn a_switch_of_the_master_loses_nothing() {
    all_hold(&["switchover"]);
}

#[test]
fn a_cache_fills_and_the_work_is_shared() {
    all_hold(&["warming", "balance"]);
}

#[test]
fn a_store_that_is_not_fresh_is_told_on() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--frontends", "2", "--data", data.to_str().unwrap()];
    let up = start_nodes(dir.path(), "up", &[&args[..], &["--unsafe-coherence", "none"]].concat());
    let finished = experiment(&dir.path().join("out"), &["freshness", "--url", &up.urls().join(",")]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let failed = finished.stdout.lines().find(|line| line.starts_with("FAIL  freshness: ")).unwrap();
    assert!(failed.contains("The first: at ") && failed.contains("s frontend "), "{failed}");
    assert!(finished.stderr.contains("1 of 2 claims did not hold"), "{finished:?}");
    let page = fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.contains("1 of 2 claims do not hold"));
}

#[test]
fn a_store_that_runs_is_used_for_what_can_be_done_with_it() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--frontends", "2", "--data", data.to_str().unwrap()];
    let up = start_nodes(dir.path(), "up", &args);
    let out = dir.path().join("out");
    let finished = experiment(&out, &["oversell", "cache", "--json", "--url", &up.urls().join(",")]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let json: Value = serde_json::from_str(&finished.stdout).unwrap();
    let names: Vec<_> = json["experiments"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["cache", "oversell"]);
    assert!(json["notDone"]["recipes"].as_str().unwrap().contains("one store for each recipe"), "{json}");
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let args = ["experiment", "switchover", "--out", out.to_str().unwrap()];
    let running = Fed::start(&args, &[]);
    // Beside the experiment's own there are those of its store.
    wait_until("the store has its roles", || processes(&out) >= 3);
    assert_eq!(running.interrupt(), Some(1));
    assert_eq!((processes(&out), stores(&out)), (0, 0));
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_started() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let args = ["nonsense", "recipes", "balance", "--url", NOBODY, "--seed", "x"];
    let args = [&["experiment", "--out", out.to_str().unwrap(), "--seconds", "0"], &args[..]].concat();
    let finished = run(&args, &[]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let said =
        ["NAME: \"nonsense\"", "recipes cannot be done with --url", "balance cannot", "--seconds", "--seed"];
    for said in said {
        assert!(finished.stderr.contains(&format!("error: {said}")), "{said}: {}", finished.stderr);
    }
    assert!(!out.exists());
    let listed = run(&["experiment", "--list"], &[]);
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), CLAIMS.len()), "{listed:?}");
}

#[test]
fn a_store_that_is_not_there_fails_every_experiment_and_says_why() {
    let dir = TempDir::new().unwrap();
    let finished = experiment(dir.path(), &["--url", NOBODY]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let failed = |line: &&str| line.starts_with("FAIL  ") && line.contains("cannot be reached");
    assert_eq!(finished.stdout.lines().filter(failed).count(), 3, "{}", finished.stdout);
}
