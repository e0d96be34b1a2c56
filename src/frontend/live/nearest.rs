//! Which catalog node the follower follows: a replica, as long as it answers and is not behind; the master only
//! where no replica does.

use super::follower::Store;
use super::read;
use super::shown::Shown;
use crate::client::CallError;
use crate::domain::{BookId, Version};
use crate::frontend::balance::Node;
use crate::frontend::cache::{Cache, Together};
use crate::wire::catalog::{CHANGES, CHANGES_HOLD, Changes};
use std::sync::Arc;
use std::time::Duration;

/// For the answer behind the time that a request is held.
const ATTEMPT: Duration = Duration::from_millis(500);

/// The id that these requests have in the logs: each is for all who look.
const REQUEST_ID: &str = "open-pages";

pub struct Nearest {
    cache: Arc<Cache>,
    /// Who is followed.
    node: Option<Arc<Node<Together>>>,
    /// Who failed, or is behind, since one told of a change.
    avoided: Vec<Arc<Node<Together>>>,
}

impl Nearest {
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, node: None, avoided: Vec::new() }
    }

    fn next(&mut self) -> Option<Arc<Node<Together>>> {
        let followed = self.node.take().filter(|node| node.is_well());
        let next = followed.or_else(|| self.cache.nodes.pick_but_master(&self.avoided));
        if next.is_none() {
            // All of them: from the start.
            self.avoided.clear();
        }
        next
    }

    /// Whether more has been announced here than a node knows that ends at `upto`. It may be about to hear of
    /// it, or be cut off from the master.
    fn is_behind(&self, upto: Version) -> bool {
        let lease = self.cache.leases.lease();
        let announced = lease.as_ref().map(|lease| Version::new(lease.epoch(), lease.floors().announced()));
        announced.is_none_or(|announced| !upto.reaches(announced))
    }
}

impl Store for Nearest {
    async fn changes(&mut self, after: Option<Version>) -> Option<Changes> {
        let node = self.next()?;
        let path = after.map_or_else(|| CHANGES.to_owned(), |after| format!("{CHANGES}?after={after}"));
        log::debug!(request_id = REQUEST_ID; "asking {} what has changed", node.peer.url());
        let asked = node.peer.get(&path, REQUEST_ID, CHANGES_HOLD + ATTEMPT);
        let told: Result<Changes, CallError> = tokio::select! {
            told = asked => told,
            () = node.ill() => return None,
        };
        match told {
            Ok(told) if Some(told.upto) != after => {
                self.avoided.clear();
                self.node = Some(node);
                Some(told)
            }
            Ok(told) => {
                if self.is_behind(told.upto) {
                    self.avoided.push(node);
                } else if !node.is_master() {
                    self.node = Some(node);
                }
                Some(told)
            }
            Err(error) => {
                log::debug!(request_id = REQUEST_ID; "changes at {}: {error}", node.peer.url());
                node.failed(&error);
                self.avoided.push(node);
                None
            }
        }
    }

    async fn read(&self, id: BookId) -> Option<Arc<Shown>> {
        let read = read(&self.cache, id, REQUEST_ID).await;
        read.inspect_err(|problem| log::debug!(request_id = REQUEST_ID; "book {id}: {}", problem.error)).ok()
    }
}
