//! Rubbish where a record or a small file should be is an error, never a panic.

use super::*;
use crate::domain::{Batch, Body, Epoch, Forget, RangeDigest, Sha256Sum, Table};
use proptest::prelude::*;
use std::fs;

/// One record of each kind, as the log has it.
fn samples() -> Vec<String> {
    let version = Version::new(Epoch { number: 3, identity: IDENTITY }, 7);
    let batch = Batch {
        deleted: vec![id(3)],
        forget: Some(Forget { answers_before_ms: 1, refusals_before_ms: 2, limit: 3 }),
        ..Batch::default()
    };
    let digest = RangeDigest {
        table: Table::Answers,
        after: Some("a".into()),
        last: None,
        rows: 1,
        sha256: Sha256Sum([7; 32]),
    };
    [
        Body::Start { lease_term_ms: 5, node: Some(NODE) },
        Body::Batch(batch),
        Body::Seal { heir: NODE },
        Body::Digest(digest),
    ]
    .map(|body| serde_json::to_string(&Record { version, predecessor: Version::GENESIS, body }).unwrap())
    .into()
}

#[test]
fn a_record_of_each_kind_survives_the_log() {
    for text in samples() {
        let record: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }
    // As a program from before nodes had identities wrote it.
    let old = r#"{"version":"1:5.1","predecessor":"0:0.0","body":{"start":{"lease_term_ms":4000}}}"#;
    let record: Record = serde_json::from_str(old).unwrap();
    assert_eq!(record.body, Body::Start { lease_term_ms: 4000, node: None });
}

proptest! {
    #[test]
    fn a_record_with_a_changed_byte_is_read_or_refused(
        which in 0..4_usize,
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut bytes = samples().swap_remove(which).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(record) = serde_json::from_slice::<Record>(&bytes) {
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }

    #[test]
    fn rubbish_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(serde_json::from_slice::<Record>(&bytes).is_err());
    }

    #[test]
    fn an_identity_or_a_version_is_written_as_it_was_read(text in "[0-9a-f:.+-]{0,40}") {
        if let Ok(node) = text.parse::<NodeId>() {
            prop_assert_eq!(node.to_string(), text.as_str());
        }
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        }
    }

    #[test]
    fn rubbish_in_a_small_file_is_an_error_or_what_it_says(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("CURRENT"), &bytes).unwrap();
        if let Ok(file) = current_file(dir.path()) {
            // Nothing leads out of the directory.
            prop_assert_eq!(file.parent().unwrap().parent().unwrap(), dir.path());
        }
        fs::write(dir.path().join("IN_SYNC"), &bytes).unwrap();
        let data = DataDir::lock(dir.path(), "test").unwrap();
        let _ = data.in_sync_file().load();
        drop(data);
        fs::write(dir.path().join("NODE"), &bytes).unwrap();
        let _ = DataDir::lock(dir.path(), "test");
        prop_assert_eq!(fs::read(dir.path().join("NODE")).unwrap(), bytes);
    }
}
