//! Another user of the machine, who looks for what was left readable or can be bent elsewhere; and whoever hands out a
//! file that is said to be a copy of the store: a stolen backup that comes back changed, a false master.

use crate::harness::{
    Client, Cluster, Finished, NOBODY, Process, Shape, THIS, TOKEN, alter, in_company, run, wait_until,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const WITH_TOKEN: [(&str, &str); 1] = [("BAZAR_INTERNAL_TOKEN", TOKEN)];

/// All files and directories below `dir`, and it, but for what goes meanwhile.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).into_iter().flatten().map_while(Result::ok) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(tree(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}

/// A node that runs removes files while this looks at them.
#[track_caller]
fn is_for_its_owner_only(data: &Path) {
    let paths = tree(data);
    assert!(paths.iter().any(|path| path.ends_with("bazar.db")), "{paths:?}");
    for path in &paths {
        let Ok(found) = fs::symlink_metadata(path) else { continue };
        let mode = found.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn what_a_node_writes_is_for_its_owner_only_whatever_the_umask() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    cluster.client(0).buy(9).ok();
    // A replica that takes its file from the master: a snapshot is on two disks on its way.
    for name in ["master", "replica-1"] {
        is_for_its_owner_only(&cluster.data(name));
    }
    // The harness's own umask is the usual one; with none at all nothing changes.
    let data = cluster.dir().join("generous-data");
    let args = ["-c", "umask 000; exec \"$0\" \"$@\"", THIS, "up", "--listen", "127.0.0.1:0", "--data"];
    let args = [&args[..], &[data.to_str().unwrap()]].concat();
    let _up = Process::start_program(Path::new("sh"), cluster.dir(), "generous", &args, &[]);
    assert!(data.join("ACCESS").exists(), "the store has published where it is");
    is_for_its_owner_only(&data);
}

#[test]
fn a_data_directory_that_others_can_write_to_is_warned_of() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    for (mode, warning) in [
        (0o777, Some("others than its owner can put files there")),
        (0o770, Some("others than its owner can put files there")),
        (0o755, Some("every user of this machine can look into it")),
        (0o750, None),
        (0o700, None),
    ] {
        let data = dir.path().join(format!("{mode:o}"));
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let master = Process::start(dir.path(), &format!("master-{mode:o}"), &args, &WITH_TOKEN);
        let log = master.log();
        assert_eq!(log.contains("chmod go-rwx"), warning.is_some(), "{mode:o}: {log}");
        assert!(warning.is_none_or(|warning| log.contains(warning)), "{mode:o}: {log}");
    }
}

/// A directory that a store was in, and that no process uses.
fn used() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    Process::start(dir.path(), "first", &args, &WITH_TOKEN).stop();
    (dir, data)
}

#[track_caller]
fn refused(data: &Path) -> String {
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let Finished { code, stderr, .. } = run(&args, &WITH_TOKEN);
    assert_eq!(code, Some(1), "{stderr}");
    stderr
}

#[test]
fn a_symbolic_link_in_a_data_directory_leads_nowhere() {
    let _company = in_company();
    let (dir, data) = used();
    let victim = dir.path().join("victim");
    let precious = "precious\n".repeat(100);
    for name in ["LOCK", "NODE", "CURRENT"] {
        fs::write(&victim, &precious).unwrap();
        let (path, aside) = (data.join(name), dir.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        symlink(&victim, &path).unwrap();
        let said = refused(&data);
        assert!(said.contains(name), "{said}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), precious, "through {name}");
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    // Where a file is about to be made: the link goes, what it leads to stays.
    fs::write(&victim, &precious).unwrap();
    fs::remove_file(data.join("CURRENT")).unwrap();
    symlink(&victim, data.join("CURRENT.new")).unwrap();
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    Process::start(dir.path(), "second", &args, &WITH_TOKEN).stop();
    assert_eq!(fs::read_to_string(&victim).unwrap(), precious);
    // A generation, or the file in it, that is somewhere else.
    let (generation, elsewhere) = (data.join("generation-1"), dir.path().join("elsewhere"));
    fs::rename(&generation, &elsewhere).unwrap();
    symlink(&elsewhere, &generation).unwrap();
    assert!(refused(&data).contains("is a symbolic link"));
    fs::remove_file(&generation).unwrap();
    fs::create_dir(&generation).unwrap();
    symlink(elsewhere.join("bazar.db"), generation.join("bazar.db")).unwrap();
    assert!(refused(&data).contains("is a symbolic link"));
}

#[test]
fn what_is_no_file_in_a_data_directory_holds_nobody_up() {
    let _company = in_company();
    let (dir, data) = used();
    for name in ["NODE", "CURRENT", "LOCK"] {
        let (path, aside) = (data.join(name), dir.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        // Who opens a pipe to read from it waits until somebody writes.
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(refused(&data).contains(name));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(refused(&data).contains(name));
        fs::remove_dir(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    for outside in ["../elsewhere", "/etc", "generation-1/../../elsewhere", "generation-", "generation--1"] {
        let current = fs::read_to_string(data.join("CURRENT")).unwrap();
        fs::write(data.join("CURRENT"), outside).unwrap();
        assert!(refused(&data).contains("does not name a generation"), "{outside}");
        fs::write(data.join("CURRENT"), current).unwrap();
    }
}

#[test]
fn a_database_that_does_more_than_ours_is_not_opened() {
    let _company = in_company();
    for (sql, named) in [
        // Whoever buys book 9 gets it for nothing.
        (
            "CREATE TRIGGER gift AFTER INSERT ON orders BEGIN UPDATE orders SET total_cents = 0; END",
            "trigger gift",
        ),
        ("CREATE VIEW everything AS SELECT * FROM orders", "view everything"),
        ("CREATE TABLE hoard (secret TEXT)", "table hoard"),
        ("DROP TRIGGER topics_of_new_books", "trigger topics_of_new_books"),
        ("DROP INDEX books_by_topic", "index books_by_topic"),
        // A table without its checks.
        (
            "CREATE TABLE other (order_id TEXT NOT NULL PRIMARY KEY, book_id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             PRAGMA foreign_keys = OFF; DROP TABLE orders; ALTER TABLE other RENAME TO orders",
            "table orders",
        ),
        // The list of migrations as a question without end.
        (
            "DROP TABLE _sqlx_migrations;
             CREATE VIEW _sqlx_migrations AS WITH RECURSIVE n(version) AS (SELECT 1 UNION ALL SELECT version FROM n)
             SELECT version, x'00' AS checksum, 1 AS success FROM n",
            "not one of this program",
        ),
    ] {
        let (_dir, data) = used();
        alter(&data, sql);
        let said = refused(&data);
        assert!(said.contains(named), "{sql}: {said}");
        // As a replica's it is no better.
        let args = ["catalog", "--replica", "--listen", "127.0.0.1:0", "--master-url", NOBODY, "--data"];
        let Finished { code, stderr, .. } = run(&[&args[..], &[data.to_str().unwrap()]].concat(), &WITH_TOKEN);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(named), "{sql}: {stderr}");
    }
}

#[test]
fn a_snapshot_with_a_trigger_of_its_own_is_not_taken_in() {
    let _company = in_company();
    let (dir, data) = used();
    // A master that was there before the trigger, and so hands out copies of it.
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let false_master = Process::start(dir.path(), "false-master", &args, &WITH_TOKEN);
    alter(&data, "CREATE TRIGGER gift AFTER INSERT ON orders BEGIN UPDATE orders SET total_cents = 0; END");
    let replica_data = dir.path().join("replica-data");
    let follow = |master: &str, name: &str| {
        let args = ["catalog", "--replica", "--listen", "127.0.0.1:0", "--master-url", master, "--data"];
        let args = [&args[..], &[replica_data.to_str().unwrap()]].concat();
        Process::start(dir.path(), name, &args, &WITH_TOKEN)
    };
    // It has a history of its own, so that it asks for a snapshot.
    let other = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let mut replica = follow(other.master.url(), "replica");
    other.client(0).buy(9).ok();
    let position = |replica: &Process| Client::new(replica.url()).get("/readyz").json()["position"].clone();
    let sold = other.state()["position"].clone();
    wait_until("the replica has the purchase", || position(&replica) == sold);
    replica.stop();
    let replica = follow(false_master.url(), "replica-of-a-false-master");
    wait_until("it was asked to take the snapshot", || {
        replica.log().contains("trigger gift is not as this program makes it")
    });
    assert_eq!(position(&replica), sold);
}
