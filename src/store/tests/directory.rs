//! Locks, generations and files that must be refused without being touched.

use super::*;
use crate::store::{OpenError, sha256_of};
use std::fs;

fn generations(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("generation-"))
        .collect();
    names.sort();
    names
}

async fn open_error(dir: &Path) -> OpenError {
    DataDir::lock(dir, "test").unwrap().open(1).await.map(|_| ()).unwrap_err()
}

/// The directory of a store that was closed.
async fn closed() -> TempDir {
    let Node { store, writer, data, dir } = Node::fresh().await;
    store.close().await;
    writer.checkpoint_and_close().await.unwrap();
    drop(data);
    dir
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_is_there() {
    let dir = TempDir::new().unwrap();
    let data = DataDir::lock(dir.path(), "catalog master").unwrap();
    let (store, writer) = data.open(1).await.unwrap();
    drop(data);
    let refused = DataDir::lock(dir.path(), "catalog replica").unwrap_err();
    let holder = format!("is in use by catalog master (process {})", std::process::id());
    assert_eq!(refused.to_string(), format!("{} {holder}", dir.path().display()));
    store.close().await;
    writer.checkpoint_and_close().await.unwrap();
    DataDir::lock(dir.path(), "catalog replica").unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_said_to_be_not_writable() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let refused = DataDir::lock(&dir.path().join("file/data"), "test").unwrap_err();
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
}

#[tokio::test]
async fn a_crash_while_the_file_had_a_rollback_journal_is_taken_back() {
    let whole = closed().await;
    let file = current_file(whole.path()).unwrap();
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    // Pages of an open transaction are in the file, and what they were in the journal: as a crash leaves it.
    let interrupted = "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN IMMEDIATE;
        WITH RECURSIVE n(id) AS (SELECT 100 UNION ALL SELECT id + 1 FROM n WHERE id < 5000)
        INSERT INTO books (id, title, topic, stock, price_cents) SELECT id, 'lost', 'lost', 1, 1 FROM n";
    sqlx::raw_sql(interrupted).execute(&mut connection).await.unwrap();
    let crashed = TempDir::new().unwrap();
    let generation = crashed.path().join(file.parent().unwrap().file_name().unwrap());
    fs::create_dir(&generation).unwrap();
    for name in ["bazar.db", "bazar.db-journal"] {
        fs::copy(file.with_file_name(name), generation.join(name)).unwrap();
    }
    fs::copy(whole.path().join("CURRENT"), crashed.path().join("CURRENT")).unwrap();

    let (store, _writer) = DataDir::lock(crashed.path(), "test").unwrap().open(1).await.unwrap();
    let topics = store.topics().await.unwrap().value;
    assert_eq!(topics.iter().map(|topic| topic.books).sum::<u64>(), 11);
    assert!(topics.iter().all(|topic| topic.topic.as_str() != "lost"));
}

#[tokio::test]
async fn other_files_in_the_directory_do_not_matter_and_stay() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    DataDir::lock(dir.path(), "test").unwrap().open(1).await.unwrap();
    assert_eq!(fs::read(dir.path().join("notes.txt")).unwrap(), b"mine");
    assert!(dir.path().join("lost+found").is_dir());
}

#[tokio::test]
async fn a_directory_keeps_the_identity_that_it_was_given_first() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = DataDir::lock(dir.path(), "test").unwrap().node();
    assert_eq!(DataDir::lock(dir.path(), "test").unwrap().node(), node);
    assert_ne!(DataDir::lock(other.path(), "test").unwrap().node(), node);
    assert_eq!(fs::read_to_string(dir.path().join("NODE")).unwrap(), format!("{node}\n"));
}

#[tokio::test]
async fn a_node_file_that_holds_no_identity_is_refused_and_left_as_it_is() {
    let dir = closed().await;
    let long = "0".repeat(1 << 20);
    for wrong in [&b""[..], b"master", b"00000000deadbee", b"\xff\xfe", long.as_bytes()] {
        fs::write(dir.path().join("NODE"), wrong).unwrap();
        let refused = DataDir::lock(dir.path(), "test").unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("16 hexadecimal digits"), "{refused}");
        assert_eq!(fs::read(dir.path().join("NODE")).unwrap(), wrong);
    }
}

#[tokio::test]
async fn an_in_sync_set_is_what_was_saved_last_and_empty_before() {
    let dir = TempDir::new().unwrap();
    let file = DataDir::lock(dir.path(), "test").unwrap().in_sync_file();
    assert!(file.load().unwrap().is_empty());
    for nodes in [vec![NODE, NodeId(7)], vec![NodeId(u64::MAX)], vec![]] {
        let nodes = nodes.into_iter().collect();
        file.save(&nodes).unwrap();
        assert_eq!(file.load().unwrap(), nodes);
    }
    fs::write(dir.path().join("IN_SYNC"), format!("{NODE}\nnobody\n")).unwrap();
    let refused = file.load().unwrap_err().to_string();
    assert!(refused.contains("IN_SYNC") && refused.contains("16 hexadecimal digits"), "{refused}");
}

#[tokio::test]
async fn existing_data_is_kept() {
    let mut node = Node::master().await;
    node.write(&[buy(1, 9), create("Kept", "topic")]).await;
    let before = node.dump().await;
    assert_eq!(node.restart().await.dump().await, before);
}

#[tokio::test]
async fn what_was_committed_survives_a_crash_and_what_was_not_leaves_nothing() {
    let mut node = Node::master().await;
    let committed = node.write(&[buy(1, 9)]).await.version;
    node.writer.prepare(&[buy(2, 9)], NOW_MS, None).await.unwrap();
    // What the disk holds at this moment, the WAL that nobody has checkpointed included.
    let disk = TempDir::new().unwrap();
    let generation = disk.path().join("generation-1");
    fs::create_dir(&generation).unwrap();
    for name in ["CURRENT", "generation-1/bazar.db", "generation-1/bazar.db-wal"] {
        fs::copy(node.dir.path().join(name), disk.path().join(name)).unwrap();
    }
    let (store, _writer) = DataDir::lock(disk.path(), "test").unwrap().open(1).await.unwrap();
    assert_eq!(store.position().await.unwrap(), committed);
    assert!(store.order(OrderId::draw(0, 1)).await.unwrap().value.is_some());
    assert!(store.order(OrderId::draw(0, 2)).await.unwrap().value.is_none());
    assert_eq!(store.book(id(9)).await.unwrap().value.unwrap().stock.get(), 14);
}

#[tokio::test]
async fn a_crash_before_the_first_current_was_written_is_made_good() {
    let dir = closed().await;
    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    assert!(matches!(current_file(dir.path()), Err(OpenError::Empty { .. })));
    DataDir::lock(dir.path(), "test").unwrap().open(1).await.unwrap();
    assert_eq!(current_file(dir.path()).unwrap(), dir.path().join("generation-1/bazar.db"));

    fs::remove_file(dir.path().join("CURRENT")).unwrap();
    fs::create_dir(dir.path().join("generation-2")).unwrap();
    let refused = open_error(dir.path()).await;
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert_eq!(generations(dir.path()), ["generation-1", "generation-2"]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_file_left_as_it_is() {
    let dir = closed().await;
    let file = current_file(dir.path()).unwrap();
    let mut connection = connect(&file).await;
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9000, 'future', '', true, x'00', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let refused = open_error(dir.path()).await;
    assert!(matches!(refused, OpenError::NewerSchema { found: 9000, known: 5, .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_migration_of_another_text_is_refused_and_the_file_left_as_it_is() {
    let dir = closed().await;
    let file = current_file(dir.path()).unwrap();
    let mut connection = connect(&file).await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let refused = open_error(dir.path()).await;
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let dir = closed().await;
    let file = current_file(dir.path()).unwrap();
    for (content, expected) in [
        ("certainly not a database, but long enough to have a header of a hundred bytes ".repeat(9), true),
        (String::new(), false),
    ] {
        fs::write(&file, &content).unwrap();
        let refused = open_error(dir.path()).await;
        assert_eq!(matches!(refused, OpenError::NotADatabase { .. }), expected, "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    fs::remove_file(&file).unwrap();
    let refused = open_error(dir.path()).await;
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn a_current_that_leads_out_of_the_directory_is_refused() {
    let dir = closed().await;
    for text in ["", "../elsewhere", "generation-", "generation-1/../.."] {
        fs::write(dir.path().join("CURRENT"), text).unwrap();
        let refused = open_error(dir.path()).await;
        assert!(matches!(refused, OpenError::Damaged { .. }), "{text}: {refused}");
    }
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let generation = dir.path().join("generation-1");
    fs::create_dir(&generation).unwrap();
    let file = generation.join("bazar.db");
    let mut old = sqlx::migrate!();
    old.migrations = old.migrations.iter().filter(|m| m.version <= 2).cloned().collect::<Vec<_>>().into();
    let create = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&create).await.unwrap();
    old.run_direct(None, &mut connection, false).await.unwrap();
    // Two starts and a batch between them.
    sqlx::raw_sql(
        r#"INSERT INTO log VALUES
             (1, 1, -5, 4000, '{"version":"1:fffffffffffffffb.1","predecessor":"0:0.0","body":{"start":{"lease_term_ms":4000}}}'),
             (2, 1, -5, NULL, '{"version":"1:fffffffffffffffb.2","predecessor":"1:fffffffffffffffb.1","body":{"batch":{}}}'),
             (3, 2, 6, 3000, '{"version":"2:6.3","predecessor":"1:fffffffffffffffb.2","body":{"start":{"lease_term_ms":3000}}}')"#,
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let data = DataDir::lock(dir.path(), "test").unwrap();
    let (store, mut writer) = data.open(1).await.unwrap();
    assert!(store.book(id(11)).await.unwrap().value.is_some());
    let standing = store.standing().await.unwrap();
    assert!(standing.has_start && standing.last_start_node.is_none());
    let started = writer.start_epoch(new_epoch(9, 0, 10)).await.unwrap();
    assert_eq!((started.record.version.epoch.number, started.wait_ms), (3, 4000));
    let mut copy = Node::fresh().await;
    copy.writer.apply(&log_behind(&store, Version::GENESIS).await).await.unwrap();
    assert_eq!(copy.store.standing().await.unwrap(), store.standing().await.unwrap());
}

#[tokio::test]
async fn an_interrupted_snapshot_leaves_the_store_as_it_was() {
    let mut node = Node::master().await;
    node.write(&[buy(1, 9)]).await;
    let before = node.dump().await;
    let incoming = node.data.receive().unwrap();
    fs::write(incoming.path(), "half a snap").unwrap();
    let refused = node.data.receive().unwrap_err();
    assert!(matches!(refused, OpenError::Receiving { .. }), "{refused}");
    drop(incoming);

    // As a crash leaves it: nothing was dropped, nothing cleaned up.
    let leftover = node.dir.path().join("incoming");
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join("bazar.db"), "half a snap").unwrap();
    fs::create_dir(node.dir.path().join("generation-2")).unwrap();
    let node = node.restart().await;
    assert_eq!(node.dump().await, before);
    assert_eq!(generations(node.dir.path()), ["generation-1"]);
    let incoming = node.data.receive().unwrap();
    assert!(!incoming.path().exists());
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_or_foreign_is_not_installed() {
    let node = Node::master().await;
    let before = node.dump().await;
    let good = node.dir.path().join("good.db");
    node.store.export(&good).await.unwrap();
    let bytes = fs::read(&good).unwrap();
    let mut flipped = bytes.clone();
    flipped[4096..8192].fill(0x5a);
    for wrong in [&b""[..], &bytes[..bytes.len() - 4096], &flipped, b"nothing of the kind"] {
        let incoming = node.data.receive().unwrap();
        fs::write(incoming.path(), wrong).unwrap();
        let refused = incoming.install().await;
        assert!(refused.is_err(), "{refused:?}");
    }
    let missing = node.data.receive().unwrap();
    assert!(missing.install().await.is_err());
    let node = node.restart().await;
    assert_eq!(node.dump().await, before);
    assert_eq!(generations(node.dir.path()), ["generation-1"]);
}

#[tokio::test]
async fn a_snapshot_that_is_not_byte_for_byte_what_was_announced_is_not_taken() {
    let node = Node::master().await;
    let before = node.dump().await;
    let good = node.dir.path().join("good.db");
    node.store.export(&good).await.unwrap();
    let announced = sha256_of(good.clone()).await.unwrap();
    let bytes = fs::read(&good).unwrap();
    let cut = [0, 1, 100, 4096, bytes.len() / 2, bytes.len() - 1].map(|end| bytes[..end].to_vec());
    let flipped = [0, 30, 5000, bytes.len() / 2, bytes.len() - 1].map(|at| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    });
    for wrong in cut.into_iter().chain(flipped) {
        let incoming = node.data.receive().unwrap();
        fs::write(incoming.path(), wrong).unwrap();
        let refused = incoming.check(announced).await.unwrap_err();
        assert!(refused.to_string().contains("not what its sender announced"), "{refused}");
    }
    let incoming = node.data.receive().unwrap();
    assert!(matches!(incoming.check(announced).await, Err(OpenError::NotReadable { .. })));
    fs::write(incoming.path(), bytes).unwrap();
    incoming.check(announced).await.unwrap();
    drop(incoming);
    let node = node.restart().await;
    assert_eq!(node.dump().await, before);
    assert_eq!(generations(node.dir.path()), ["generation-1"]);
}

#[tokio::test]
async fn an_installed_snapshot_is_opened_next_and_the_old_store_then_removed() {
    let mut other = Node::master().await;
    other.write(&[buy(1, 9)]).await;
    let node = Node::fresh().await;
    let incoming = node.data.receive().unwrap();
    other.store.export(incoming.path()).await.unwrap();
    let version = incoming.install().await.unwrap();
    assert_eq!(generations(node.dir.path()), ["generation-1", "generation-2"]);
    let node = node.restart().await;
    assert_eq!(node.store.position().await.unwrap(), version);
    assert_eq!(generations(node.dir.path()), ["generation-2"]);
    assert!(!node.dir.path().join("incoming").exists());
}

/// Makes a snapshot of `other` current in `node`, and opens it.
async fn replaced(node: Node, other: &Node) -> Node {
    let incoming = node.data.receive().unwrap();
    other.store.export(incoming.path()).await.unwrap();
    incoming.install().await.unwrap();
    node.restart().await
}

#[tokio::test]
async fn a_store_that_is_to_be_kept_is_set_aside_when_another_takes_its_place() {
    let mut other = Node::master().await;
    other.write(&[buy(1, 9)]).await;
    let mut node = Node::fresh().await;
    let aside = node.dir.path().join("set-aside/bazar.db");
    let mut kept = Vec::new();
    for life in 0..2 {
        node.writer.start_epoch(new_epoch(life, 10, LEASE_MS)).await.unwrap();
        node.write(&[buy(2, 9)]).await;
        kept.push(node.dump().await);
        node.data.keep_current().unwrap();
        // Kept when it is replaced, whenever that is, and whoever opens it until then.
        node = node.restart().await;
        assert_eq!(node.dump().await, kept[kept.len() - 1]);
        node = replaced(node, &other).await;
        assert_eq!(node.dump().await, other.dump().await);
        assert_eq!(generations(node.dir.path()).len(), 1);
        // Of two, the last.
        assert_eq!(dump(&aside).await, kept[kept.len() - 1]);
    }
    assert_ne!(kept[0], kept[1]);

    // Unmarked, the old one goes, and what lies aside stays.
    let node = replaced(node, &other).await;
    assert_eq!(generations(node.dir.path()), ["generation-4"]);
    assert_eq!(dump(&aside).await, kept[1]);
}

#[tokio::test]
async fn there_is_nothing_to_keep_in_a_directory_without_a_store() {
    let dir = TempDir::new().unwrap();
    let data = DataDir::lock(dir.path(), "test").unwrap();
    data.keep_current().unwrap();
    data.open(1).await.unwrap();
    assert!(!dir.path().join("set-aside").exists());
}
