//! Locks, generations and files that must be refused without being touched.

use super::*;
use crate::store::OpenError;
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
async fn other_files_in_the_directory_do_not_matter_and_stay() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    DataDir::lock(dir.path(), "test").unwrap().open(1).await.unwrap();
    assert_eq!(fs::read(dir.path().join("notes.txt")).unwrap(), b"mine");
    assert!(dir.path().join("lost+found").is_dir());
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
    node.writer.prepare(&[buy(2, 9)], NOW_MS).await.unwrap();
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
    assert!(matches!(refused, OpenError::NewerSchema { found: 9000, known: 2, .. }), "{refused}");
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
    let dir = closed().await;
    let file = current_file(dir.path()).unwrap();
    let mut connection = connect(&file).await;
    sqlx::raw_sql("DELETE FROM books; DELETE FROM _sqlx_migrations WHERE version = 2")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let (store, _writer) = DataDir::lock(dir.path(), "test").unwrap().open(1).await.unwrap();
    assert!(store.book(id(11)).await.unwrap().value.is_some());
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
