//! The log and whole copies: another node ends with the same rows, or is told that it cannot.

use super::*;
use crate::{
    domain::{Body, Epoch},
    store::StoreError,
};

/// A master with a history of every kind of change, in two epochs.
async fn master_with_history() -> Node {
    let mut node = Node::master().await;
    node.write(&[buy(1, 4), buy(2, 4), create("New", "science")]).await;
    node.write(&[restock(4, 7), delete(5), buy(3, 5)]).await;
    node.writer.start_epoch(new_epoch(u64::MAX, 0, 1)).await.unwrap();
    node.write(&[Request::Edit(Edit::Put(new_book("Put", "x").with_id(id(40)))), buy(4, 40)]).await;
    node.write(&[delete(40), delete(12)]).await;
    node
}

#[tokio::test]
async fn a_replica_that_applies_the_log_has_the_same_rows_in_all_tables() {
    let master = master_with_history().await;
    let log = log_behind(&master.store, Version::GENESIS).await;
    assert_eq!(log.len(), 6);
    for at_once in [1, 2, 6] {
        let mut replica = Node::fresh().await;
        for some in log.chunks(at_once) {
            let position = replica.writer.apply(some).await.unwrap();
            assert_eq!(position, some.last().unwrap().version);
        }
        assert_eq!(replica.dump().await, master.dump().await);
    }
}

#[tokio::test]
async fn a_replica_that_becomes_master_goes_on_where_the_log_ends() {
    let master = master_with_history().await;
    let mut replica = Node::fresh().await;
    replica.writer.apply(&log_behind(&master.store, Version::GENESIS).await).await.unwrap();
    replica.writer.start_epoch(new_epoch(5, 0, LEASE_MS)).await.unwrap();
    let again = replica.write(&[buy(1, 4)]).await;
    assert!(matches!(again.outcomes[0], Outcome::Purchase { answer: Ok(_), replayed: true }));
    let (book, _) = edited(&replica.write(&[create("Next", "x")]).await.outcomes[0]);
    assert_eq!(book.unwrap().id, id(41));
}

#[tokio::test]
async fn records_with_a_gap_or_of_another_life_are_refused_and_nothing_is_applied() {
    let master = master_with_history().await;
    let log = log_behind(&master.store, Version::GENESIS).await;
    let mut replica = Node::fresh().await;
    replica.writer.apply(&log[..2]).await.unwrap();
    let before = replica.dump().await;
    let position = log[1].version;

    let mut other_life = log[2].clone();
    other_life.predecessor.epoch.identity ^= 1;
    for wrong in
        [vec![log[3].clone()], vec![log[2].clone(), log[4].clone()], vec![log[1].clone()], vec![other_life]]
    {
        let refused = replica.writer.apply(&wrong).await;
        assert!(matches!(refused, Err(StoreError::NotNext { .. })), "{refused:?}");
        assert_eq!(replica.dump().await, before);
    }
    let Err(StoreError::NotNext { position: said }) = replica.writer.apply(&log[3..]).await else {
        panic!("a gap was accepted");
    };
    assert_eq!(said, position);
    replica.writer.apply(&log[2..]).await.unwrap();
    assert_eq!(replica.dump().await, master.dump().await);
}

#[tokio::test]
async fn a_record_that_contradicts_itself_or_the_rows_is_refused() {
    let mut replica = Node::master().await;
    let before = replica.dump().await;
    let predecessor = replica.writer.position().await.unwrap();
    let batch = |json| Body::Batch(serde_json::from_str(json).unwrap());
    let older = Epoch { number: 1, identity: 9 };
    for (version, body) in [
        (predecessor.next().next(), batch("{}")),
        (Version::new(older, 2), batch("{}")),
        (Version::new(older, 2), Body::Start { lease_term_ms: 0, node: None }),
        (predecessor.next(), batch(r#"{"deleted":[77]}"#)),
        (predecessor.next(), batch(r#"{"stocks":[{"book_id":77,"stock":1}]}"#)),
    ] {
        let record = Record { version, predecessor, body };
        let refused = replica.writer.apply(&[record]).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
        assert_eq!(replica.dump().await, before);
    }
}

#[tokio::test]
async fn the_log_is_served_behind_any_version_of_it_and_no_other() {
    let master = master_with_history().await;
    let log = log_behind(&master.store, Version::GENESIS).await;
    for (n, record) in log.iter().enumerate() {
        assert_eq!(log_behind(&master.store, record.version).await, log[n + 1..]);
    }
    let known = log[2].version;
    let Epoch { number, identity } = known.epoch;
    for unknown in [
        Version::new(Epoch { number, identity: identity ^ 1 }, known.seq),
        Version::new(Epoch { number: number + 1, identity }, known.seq),
        Version::new(known.epoch, known.seq + 1),
        Version::new(known.epoch, 99),
        Version::new(known.epoch, u64::MAX),
    ] {
        let page = master.store.log_after(unknown, 10, u64::MAX).await.unwrap();
        assert_eq!(page, LogPage::Unknown, "{unknown}");
    }
}

#[tokio::test]
async fn a_page_of_the_log_keeps_its_bounds_but_always_moves_on() {
    let master = master_with_history().await;
    let log = log_behind(&master.store, Version::GENESIS).await;
    let size = |records: &[Record]| {
        records.iter().map(|record| serde_json::to_string(record).unwrap().len() as u64).sum::<u64>()
    };
    for (max_records, max_bytes, expected) in [
        (3, u64::MAX, 3),
        (0, u64::MAX, 1),
        (10, 0, 1),
        (10, size(&log[..2]), 2),
        (10, size(&log[..3]) - 1, 2),
        (10, size(&log), 6),
    ] {
        let page = master.store.log_after(Version::GENESIS, max_records, max_bytes).await.unwrap();
        assert_eq!(page, LogPage::Records(log[..expected].to_vec()), "{max_records} {max_bytes}");
    }
}

#[tokio::test]
async fn an_exported_copy_installed_elsewhere_is_the_same_store_and_goes_on() {
    let mut master = master_with_history().await;
    let replica = Node::fresh().await;
    let incoming = replica.data.receive().unwrap();
    let exported = master.store.export(incoming.path()).await.unwrap();
    assert_eq!(exported, master.store.position().await.unwrap());
    assert_eq!(incoming.install().await.unwrap(), exported);
    assert_eq!(replica.store.position().await.unwrap(), Version::GENESIS, "until it is opened anew");

    let mut replica = replica.restart().await;
    assert_eq!(replica.dump().await, master.dump().await);
    master.write(&[buy(9, 1)]).await;
    replica.writer.apply(&log_behind(&master.store, exported).await).await.unwrap();
    assert_eq!(replica.dump().await, master.dump().await);
}

#[tokio::test]
async fn an_export_shows_no_open_batch_and_overwrites_nothing() {
    let mut master = Node::master().await;
    let committed = master.store.position().await.unwrap();
    master.writer.prepare(&[buy(1, 9)], NOW_MS, None).await.unwrap();
    let copy = master.dir.path().join("copy.db");
    assert_eq!(master.store.export(&copy).await.unwrap(), committed);
    let bytes = std::fs::read(&copy).unwrap();
    assert!(master.store.export(&copy).await.is_err());
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);
    master.writer.commit().await.unwrap();
}
