//! How Prometheus finds the roles of `bazar up`, which listen wherever a port is free: a file in the data
//! directory, in the format of its file_sd.
//!
//! Invariant: the file is there, and whole, for as long as the store runs. It holds addresses only, so anybody
//! may read it: what opens them is the metrics token.

use crate::published::PublishedFile;
use serde::Serialize;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Beside the directories of the catalog nodes; `deploy/observability/prometheus-up.yml` looks for it there.
const FILE: &str = "TARGETS.json";

/// What a listener belongs to; the names are those of the services in `compose.yaml` and the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    CatalogMaster,
    CatalogReplica,
    Order,
    Frontend,
}

/// The internal listeners of a store.
#[derive(Debug, Default)]
pub struct Targets(Vec<Group>);

/// As file_sd wants it: addresses that have the same labels.
#[derive(Debug, Serialize)]
struct Group {
    targets: [SocketAddr; 1],
    labels: Labels,
}

#[derive(Debug, Serialize)]
struct Labels {
    service: Service,
}

impl Targets {
    pub fn add(&mut self, service: Service, listener: SocketAddr) {
        self.0.push(Group { targets: [listener], labels: Labels { service } });
    }

    /// Writes the file; it goes away with what is returned.
    pub fn publish(&self, data: &Path) -> io::Result<PublishedFile> {
        let (path, new) = (data.join(FILE), data.join(format!("{FILE}.new")));
        fs::write(&new, serde_json::to_vec_pretty(&self.0)?)?;
        // Prometheus reads it whenever it changes: never a half.
        fs::rename(&new, &path)?;
        Ok(PublishedFile::of(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_what_file_sd_reads_and_goes_with_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let mut targets = Targets::default();
        targets.add(Service::CatalogMaster, SocketAddr::from(([127, 0, 0, 1], 3000)));
        targets.add(Service::Frontend, SocketAddr::from(([127, 0, 0, 1], 3105)));
        let published = targets.publish(dir.path()).unwrap();
        let read: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.path().join(FILE)).unwrap()).unwrap();
        let expected = serde_json::json!([
            { "targets": ["127.0.0.1:3000"], "labels": { "service": "catalog-master" } },
            { "targets": ["127.0.0.1:3105"], "labels": { "service": "frontend" } },
        ]);
        assert_eq!(read, expected);
        drop(published);
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
