//! Backups: whole, checked, with everything acknowledged before they began; and stores that go on from one.

use crate::harness::{
    Client, Cluster, Damage, Disk, Fed, Finished, Meddler, NOBODY, Over, Process, Shape, TOKEN, alter,
    in_company, rows, run, start_nodes, wait_until,
};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const BOOK: i64 = 9;

const WITH_TOKEN: [(&str, &str); 1] = [("BAZAR_INTERNAL_TOKEN", TOKEN)];

fn backup(nodes: &[&Process], to: &Path, flags: &[&str]) -> Finished {
    let nodes: Vec<&str> = nodes.iter().map(|node| node.url()).collect();
    backup_of(&nodes.join(","), to, flags)
}

fn backup_of(nodes: &str, to: &Path, flags: &[&str]) -> Finished {
    let args = ["backup", "--node", nodes, "--output", to.to_str().unwrap()];
    run(&[&args, flags].concat(), &WITH_TOKEN)
}

fn restore(file: &Path, data: &Path, flags: &[&str]) -> Finished {
    let args = ["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    run(&[&args, flags].concat(), &[])
}

#[track_caller]
fn well(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished.stdout
}

/// Asserts that it failed with a sentence about `why`.
#[track_caller]
fn refused(finished: Finished, why: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{}", finished.stderr);
    assert!(finished.stderr.contains(why), "{}", finished.stderr);
}

/// What lies in a directory, by name.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn master_of(dir: &Path, name: &str, data: &Path) -> Process {
    let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    start_nodes(dir, name, &args)
}

/// More than the head of an answer and the first pages of a backup.
const MIDDLE: usize = 50_000;

/// Some 200 KB of books.
fn fill(cluster: &Cluster) {
    let file = cluster.dir().join("books.csv");
    let books = run(&["generate", "--books", "2000", "--output", file.to_str().unwrap()], &[]);
    assert_eq!(books.code, Some(0), "{}", books.stderr);
    well(run(&["import", file.to_str().unwrap(), "--master", cluster.master.url()], &WITH_TOKEN));
}

#[test]
fn a_backup_under_load_is_whole_and_has_every_order_that_was_acknowledged_before_it() {
    let _company = in_company();
    const STOCK: i64 = 100_000;
    let cluster = Cluster::start(Shape::default());
    cluster.set_stock(BOOK, STOCK);
    let (orders, over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let acknowledged = || orders.lock().unwrap().clone();
    let file = |number: usize| cluster.dir().join(format!("{number}.bazar"));
    let mut before: Vec<BTreeSet<String>> = Vec::new();
    let clients = cluster.clients();
    std::thread::scope(|scope| {
        for client in clients.iter().cycle().take(4) {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let order = client.buy(BOOK).ok().json()["orderId"].as_str().unwrap().to_owned();
                    orders.lock().unwrap().insert(order);
                }
            });
        }
        let _over = Over(&over);
        for node in [&cluster.replicas[0], &cluster.master] {
            let some = acknowledged().len() + 20;
            wait_until("purchases flow", || acknowledged().len() > some);
            before.push(acknowledged());
            let said = well(backup(&[node], &file(before.len()), &[]));
            assert!(said.contains("11 books and ") && said.contains(node.url()), "{said}");
        }
    });
    let quiet = [file(3), file(4)];
    well(backup(&[&cluster.replicas[0]], &quiet[0], &[]));
    well(backup(&[&cluster.master], &quiet[1], &[]));
    let dir = cluster.dir().to_owned();
    for (number, before) in before.iter().enumerate() {
        let data = dir.join(format!("under-load-{number}"));
        well(restore(&file(number + 1), &data, &[]));
        let restored = rows(&data);
        let orders: BTreeSet<String> = restored["orders"].iter().map(|row| order_of(row)).collect();
        assert!(before.is_subset(&orders), "{} of {} orders", orders.len(), before.len());
        let book = restored["books"].iter().map(|row| serde_json::from_str::<Value>(row).unwrap());
        let left = book.into_iter().find(|row| row[0] == BOOK).unwrap()[3].as_i64().unwrap();
        assert_eq!(left, STOCK - i64::try_from(orders.len()).unwrap());
    }
    for (number, file) in quiet.iter().enumerate() {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        well(restore(file, &dir.join(format!("quiet-{number}")), &[]));
    }
    for data in ["master", "replica-1"] {
        assert!(!names(&cluster.data(data)).contains(&"export.db".to_owned()));
    }
    assert!(names(&dir).iter().all(|name| !name.contains("partial")), "{:?}", names(&dir));
    let restored = [rows(&dir.join("quiet-0")), rows(&dir.join("quiet-1"))];
    let store = cluster.stop_and_compare();
    assert!(restored[0] == store && restored[1] == store);
}

/// The number of the order in a row of `orders`.
fn order_of(row: &str) -> String {
    let row: Value = serde_json::from_str(row).unwrap();
    row[0].as_str().unwrap().to_owned()
}

#[test]
fn a_backup_takes_no_files_place_unless_told_and_wants_the_token() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("shop.bazar");
    fs::write(&file, "mine").unwrap();
    refused(backup(&[&cluster.master], &file, &[]), "is there already: --force replaces it");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    well(backup(&[&cluster.master], &file, &["--force"]));
    well(restore(&file, &cluster.dir().join("restored"), &[]));

    // A name that leads somewhere else leads nobody there.
    let elsewhere = cluster.dir().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, cluster.dir().join("other.bazar.partial")).unwrap();
    let other = backup(&[&cluster.master], &cluster.dir().join("other.bazar"), &[]);
    assert!(other.code == Some(1) && !elsewhere.exists(), "{}", other.stderr);

    let args = ["backup", "--node", cluster.master.url(), "--output", "never.bazar"];
    let stranger = run(&args, &[("BAZAR_INTERNAL_TOKEN", "another-token-entirely")]);
    assert_eq!(stranger.code, Some(1), "{}", stranger.stderr);
    Client::new(cluster.master.url()).get("/backup").problem(401, "unauthorized");
    let all = run(&["backup", "--node", "nonsense"], &[]);
    assert_eq!(all.code, Some(2), "{}", all.stderr);
    for mistake in ["--output", "--node", "internal token"] {
        assert!(all.stderr.contains(mistake), "{}", all.stderr);
    }
}

#[test]
fn what_is_no_whole_backup_is_refused_and_leaves_no_directory_behind() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    fill(&cluster);
    let good = cluster.dir().join("good.bazar");
    well(backup(&[&cluster.master], &good, &[]));
    let bytes = fs::read(&good).unwrap();
    let (file, data) = (cluster.dir().join("bad.bazar"), cluster.dir().join("restored"));
    let end = bytes.len();
    for at in [20, 1_000, MIDDLE, end - 100] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        let refused = restore(&file, &data, &["--no-sum"]);
        assert_eq!(refused.code, Some(1), "byte {at}");
        assert!(!data.exists(), "byte {at}: {:?}", names(&data));
    }
    for part in [0, 10, MIDDLE, end - 1] {
        fs::write(&file, &bytes[..part]).unwrap();
        refused(restore(&file, &data, &[]), "does not end with a sum");
        assert!(!data.exists(), "{part} bytes");
    }
    // With a sum that is right, but nothing of ours in it.
    fs::write(&file, b"no database at all").unwrap();
    refused(restore(&file, &data, &["--no-sum"]), "is not a SQLite database");
    refused(restore(&cluster.dir().join("nowhere"), &data, &[]), "cannot be read");
    assert!(!data.exists());

    // A directory that was there stays there, and empty.
    fs::create_dir_all(data.join("lost+found")).unwrap();
    fs::write(&file, &bytes[..MIDDLE]).unwrap();
    refused(restore(&file, &data, &["--no-sum"]), "cannot be restored");
    assert_eq!(names(&data), ["LOCK", "lost+found"]);
    well(restore(&good, &data, &[]));
}

#[test]
fn nothing_is_restored_over_anything() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("shop.bazar");
    well(backup(&[&cluster.master], &file, &[]));
    refused(restore(&file, &cluster.data("master"), &[]), "is not empty");
    let data = cluster.dir().join("restored");
    well(restore(&file, &data, &[]));
    let before = names(&data);
    refused(restore(&file, &data, &[]), "is not empty");
    assert_eq!(names(&data), before);
    let mine = cluster.dir().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("notes.txt"), "mine").unwrap();
    refused(restore(&file, &mine, &[]), "\"notes.txt\" is in it");
    assert_eq!(names(&mine), ["notes.txt"]);
    let missing = run(&["restore", file.to_str().unwrap()], &[]);
    assert_eq!((missing.code, missing.stderr.contains("--data")), (Some(2), true));
}

#[test]
fn the_file_of_a_stopped_node_is_restored_when_asked_for_and_that_of_a_killed_one_never() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    cluster.client(0).buy(BOOK).ok();
    cluster.master.kill();
    let file = bazar::store::current_file(&cluster.data("master")).unwrap();
    let data = cluster.dir().join("restored");
    refused(restore(&file, &data, &["--no-sum"]), "is beside it");
    assert!(!data.exists());
    cluster.master.restart();
    cluster.master.stop();
    refused(restore(&file, &data, &[]), "--no-sum takes it all the same");
    well(restore(&file, &data, &["--no-sum"]));
    assert_eq!(rows(&data), rows(&cluster.data("master")));

    alter(
        &data,
        "UPDATE _sqlx_migrations SET version = 1000 WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    );
    let newer = bazar::store::current_file(&data).unwrap();
    let again = cluster.dir().join("again");
    refused(restore(&newer, &again, &["--no-sum"]), "has schema 1000, but this program knows schemas up to");
    assert!(!again.exists());
}

#[test]
fn a_backup_that_is_killed_stopped_cut_or_altered_leaves_nothing_under_its_name() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    fill(&cluster);
    let plan = [
        Damage::Stall(MIDDLE),
        Damage::Stall(MIDDLE),
        Damage::Cut(0),
        Damage::Cut(MIDDLE),
        Damage::Flip(MIDDLE),
    ];
    let meddler = Meddler::before(cluster.master.url(), plan);
    let dir = cluster.dir().join("backups");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("shop.bazar");
    let args = ["backup", "--node", meddler.url(), "--output", file.to_str().unwrap()];
    let half_way = || {
        let begun = Fed::start(&args, &WITH_TOKEN);
        wait_until("half of it is there", || {
            fs::metadata(dir.join("shop.bazar.partial")).is_ok_and(|partial| partial.len() > 10_000)
        });
        begun
    };
    let begun = half_way();
    // Nobody else may write there meanwhile.
    refused(backup(&[&cluster.master], &file, &[]), "is being written by another backup");
    begun.kill();
    assert_eq!(names(&dir), ["shop.bazar.partial"]);
    fs::remove_file(dir.join("shop.bazar.partial")).unwrap();
    assert_eq!(half_way().interrupt(), Some(1));
    assert!(names(&dir).is_empty());

    // What a killed one has left is taken over, and no more readable for others than any.
    fs::write(dir.join("shop.bazar.partial"), "left").unwrap();
    refused(backup_of(meddler.url(), &file, &[]), "did not answer");
    refused(backup_of(meddler.url(), &file, &[]), "broke off");
    refused(backup_of(meddler.url(), &file, &[]), "is not the one that was proved");
    assert!(names(&dir).is_empty(), "{:?}", names(&dir));
    fs::write(dir.join("shop.bazar.partial"), "left").unwrap();
    well(backup_of(meddler.url(), &file, &[]));
    assert_eq!(names(&dir), ["shop.bazar"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    well(restore(&file, &cluster.dir().join("restored"), &[]));
}

#[test]
fn a_restore_that_was_broken_off_starts_as_nothing_until_it_is_run_again() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("shop.bazar");
    well(backup(&[&cluster.master], &file, &[]));
    // As a kill leaves it before its last step.
    let data = cluster.dir().join("restored");
    well(restore(&file, &data, &["--as-master"]));
    let node = fs::read_to_string(data.join("NODE")).unwrap();
    fs::write(data.join("RESTORING"), "").unwrap();
    for kind in [&["--master"][..], &["--replica", "--master-url", NOBODY]] {
        let args = ["catalog", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let args = [&args, kind].concat();
        refused(run(&args, &WITH_TOKEN), "was broken off");
    }
    well(restore(&file, &data, &[]));
    assert_eq!(names(&data), ["CURRENT", "LOCK", "NODE", "generation-1"]);
    assert_ne!(fs::read_to_string(data.join("NODE")).unwrap(), node);
}

#[test]
fn a_restored_store_goes_on_and_nothing_of_the_life_before_is_shown_or_taken_over() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { redis: true, ..Shape::default() });
    let client = cluster.client(0);
    let kept = client.buy(BOOK).ok().json();
    let file = cluster.dir().join("shop.bazar");
    well(backup(&[&cluster.replicas[0]], &file, &[]));
    // What the backup does not have, is in every cache, and on the replica.
    let lost = client.buy_with_key(BOOK, "lost").ok().json();
    client.buy(BOOK).ok();
    for reader in cluster.clients() {
        wait_until("it is cached", || reader.info(BOOK).ok().cached());
        assert_eq!(reader.info(BOOK).stock(BOOK), 12);
        reader.search("education").ok();
    }
    cluster.in_sync(1);

    cluster.master.kill();
    let old = cluster.dir().join("old-data");
    fs::rename(cluster.data("master"), &old).unwrap();
    let said = well(restore(&file, &cluster.data("master"), &["--as-master"]));
    assert!(said.contains("11 books and 1 order as of 1."), "{said}");
    // The same command as ever: no --force.
    cluster.master.restart();
    assert!(cluster.master.log().contains("goes on from a backup"), "{}", cluster.master.log());
    assert!(!cluster.data("master").join("RESTORED").exists());
    cluster.settled();
    for reader in cluster.clients() {
        let read = reader.info(BOOK).ok();
        assert_eq!((read.stock(BOOK), read.says_stale()), (14, false));
        assert_eq!(reader.search("education").ok().stock(BOOK), 14);
        assert!(read.version().0 > 1_000, "{:?}", read.version());
        reader.order(kept["orderId"].as_str().unwrap()).ok();
        reader.order(lost["orderId"].as_str().unwrap()).problem(404, "order_not_found");
        let least = [("bazar-min-version", lost["version"].as_str().unwrap())];
        let path = format!("/catalog-service/info/{BOOK}");
        reader.send("GET", &path, &least, None).unwrap().problem(412, "version_unavailable");
    }
    assert!(cluster.data("replica-1").join("set-aside").is_dir(), "{}", cluster.replicas[0].log());
    // A key that the store has never heard of buys.
    let again = client.buy_with_key(BOOK, "lost").ok();
    assert_eq!((&again.json()["remaining"], again.header("idempotency-replayed")), (&json!(13), ""));
    for reader in cluster.clients() {
        assert_eq!(reader.info(BOOK).ok().stock(BOOK), 13);
    }

    // The old master, should it come back, finds that its time is over, and follows.
    let mut old_master = master_of(cluster.dir(), "old-master", &old);
    let frontend = {
        let both = format!("{},{}", cluster.master.url(), old_master.url());
        let order = cluster.orders[0].url();
        let args =
            ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--master", &both];
        start_nodes(cluster.dir(), "between", &[&args[..], &["--order", order]].concat())
    };
    let between = Client::new(frontend.url());
    wait_until("the old master gives up", || {
        between.info(BOOK);
        old_master.log().contains("has begun somewhere else")
    });
    assert_eq!(between.info(BOOK).ok().stock(BOOK), 13);
    old_master.kill();
    drop(frontend);
    fs::rename(&old, cluster.data("replica-2")).unwrap();
    let second = cluster.start_replica("replica-2");
    cluster.replicas.push(second);
    cluster.in_sync(2);
    // And no second start is by force.
    cluster.master.stop();
    cluster.master.restart();
    wait_until("it sells again", || client.try_buy(BOOK, "later").is_some_and(|sold| sold.status == 200));
    assert_eq!(client.info(BOOK).ok().stock(BOOK), 12);
    let rows = cluster.stop_and_compare();
    assert_eq!((rows["orders"].len(), rows["epochs"].len()), (3, 4));
}

#[test]
fn a_restored_replica_follows_from_where_the_backup_ends_and_is_no_master() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    cluster.client(0).buy(BOOK).ok();
    let file = cluster.dir().join("shop.bazar");
    well(backup(&[&cluster.master], &file, &[]));
    cluster.client(0).buy(BOOK).ok();
    // Also not if it was restored to be one and started as a replica first.
    for (number, flags) in [(1, &[][..]), (2, &["--as-master"][..])] {
        let data = cluster.data(&format!("replica-{number}"));
        well(restore(&file, &data, flags));
        let mut replica = cluster.start_replica(&format!("replica-{number}"));
        cluster.replicas.push(replica);
        cluster.in_sync(number);
        replica = cluster.replicas.pop().unwrap();
        assert!(!replica.log().contains("snapshot"), "{}", replica.log());
        replica.stop();
        let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let started = run(&args, &WITH_TOKEN);
        assert_eq!(started.code, Some(2), "{}", started.stderr);
        assert!(started.stderr.contains("a replica's data, or a backup's"), "{}", started.stderr);
        replica.restart();
        cluster.replicas.push(replica);
    }
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 2);
}

#[test]
fn of_two_stores_that_go_on_from_one_backup_one_stays() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    let file = cluster.dir().join("shop.bazar");
    well(backup(&[&cluster.master], &file, &[]));
    let data = [cluster.dir().join("first"), cluster.dir().join("second")];
    let nodes = data.each_ref().map(|data| {
        well(restore(&file, data, &["--as-master"]));
        fs::read_to_string(data.join("NODE")).unwrap()
    });
    assert_ne!(nodes[0], nodes[1]);
    let masters = [0, 1].map(|n| master_of(cluster.dir(), &format!("restored-{n}"), &data[n]));
    let both = masters.each_ref().map(|master| master.url()).join(",");
    let args = ["order", "--listen", "127.0.0.1:0", "--master", &both];
    let order = start_nodes(cluster.dir(), "order-between", &args);
    let args = ["frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--master", &both];
    let frontend = start_nodes(
        cluster.dir(),
        "between",
        &[&args[..], &["--replica", &both, "--order", order.url()]].concat(),
    );
    let client = Client::new(frontend.url());
    // Who has drawn too often ends, and who has sold stays as a deposed master.
    let ready = |master: &Process| Client::new(master.url()).send("GET", "/readyz", &[], None);
    let leads = |master: &&Process| ready(master).is_ok_and(|answer| answer.status == 200);
    let mut turn = 0;
    wait_until("one of them has given up", || {
        turn += 1;
        client.try_buy(BOOK, &format!("turn-{turn}"));
        masters.iter().filter(leads).count() == 1
    });
    wait_until("the other one sells", || {
        client.try_buy(BOOK, "after").is_some_and(|sold| sold.status == 200)
    });
}

#[test]
fn a_replica_that_cannot_know_whether_it_has_everything_says_so_unless_that_will_do() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { frontends: 1, ..Shape::default() });
    cluster.client(0).buy(BOOK).ok();
    cluster.in_sync(1);
    cluster.master.kill();
    let file = cluster.dir().join("shop.bazar");
    refused(backup(&[&cluster.replicas[0]], &file, &[]), "cannot ask the master how far it is");
    assert!(!file.exists());
    let said = well(backup(&[&cluster.replicas[0]], &file, &["--stale"]));
    assert!(said.contains(" and 1 order as of "), "{said}");
}

#[test]
fn a_full_disk_ends_a_backup_and_harms_neither_the_store_nor_the_backup_before() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { faulty_disks: true, frontends: 1, ..Shape::default() });
    fill(&cluster);
    let (master, replica) = (&cluster.master, &cluster.replicas[0]);
    let dir = cluster.dir().join("backups");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("shop.bazar");
    well(backup(&[replica], &file, &[]));
    let before = fs::read(&file).unwrap();

    // Where the backup is written.
    let disk = Disk::of(cluster.dir(), "backup");
    disk.fail("write", Errno::NOSPC);
    let env = disk.env();
    let env: Vec<_> =
        WITH_TOKEN.into_iter().chain(env.iter().map(|(name, value)| (*name, value.as_str()))).collect();
    let args = ["backup", "--node", master.url(), "--force", "--output", file.to_str().unwrap()];
    refused(run(&args, &env), "No space left on device");
    assert_eq!((names(&dir), fs::read(&file).unwrap() == before), (vec!["shop.bazar".to_owned()], true));
    let data = cluster.dir().join("restored");
    let args = ["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    refused(run(&args, &env), "No space left on device");
    assert!(!data.exists());

    // Where the node makes its copy: another node is asked.
    cluster.disk("replica-1").fail("write", Errno::NOSPC);
    refused(backup(&[replica], &file, &["--force"]), "unavailable");
    cluster.client(0).buy(BOOK).ok();
    let said = well(backup(&[replica, master], &file, &["--force"]));
    assert!(said.contains(master.url()) && said.contains(" and 1 order as of "), "{said}");
    cluster.disk("replica-1").heal();
    cluster.in_sync(1);
    cluster.client(0).buy(BOOK).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 2);
}

#[test]
fn the_store_of_up_is_backed_up_from_its_replica_and_goes_on_in_another_directory() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("shop.bazar"));
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let mut up =
        Process::start(dir.path(), "up", &["up", "--listen", "127.0.0.1:0", "--data", &path(&data)], &[]);
    let client = Client::new(up.url());
    client.buy(BOOK).ok();
    wait_until("the replica is in sync", || {
        let said = well(run(&["backup", "--data", &path(&data), "--output", &path(&file), "--force"], &[]));
        let access = fs::read_to_string(data.join("ACCESS")).unwrap();
        !said.contains(access.lines().next().unwrap())
    });
    up.stop();
    let new = dir.path().join("new");
    well(restore(&file, &new.join("master"), &["--as-master"]));
    let mut up =
        Process::start(dir.path(), "again", &["up", "--listen", "127.0.0.1:0", "--data", &path(&new)], &[]);
    let client = Client::new(up.url());
    assert_eq!(client.info(BOOK).ok().stock(BOOK), 14);
    assert_eq!(client.buy(BOOK).ok().json()["remaining"], 13);
    up.stop();
}

/// SQLite takes a backup as it is.
#[test]
fn a_backup_can_be_read_with_sqlite() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, frontends: 1, ..Shape::default() });
    cluster.client(0).buy(BOOK).ok();
    let file = cluster.dir().join("shop.bazar");
    well(backup(&[&cluster.master], &file, &[]));
    let script = "import sqlite3, sys
connection = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)
print(*connection.execute('PRAGMA integrity_check').fetchone(), *connection.execute('SELECT count(*) FROM orders').fetchone())";
    let read =
        std::process::Command::new("python3").args(["-c", script, file.to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "ok 1\n", "{read:?}");
    // The last line is for people, too.
    let bytes = fs::read(&file).unwrap();
    let last = String::from_utf8_lossy(&bytes[bytes.len() - 89..]).into_owned();
    assert!(last.starts_with("\nbazar backup 1, sha256 ") && last.ends_with('\n'), "{last:?}");
}
