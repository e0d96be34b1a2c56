//! Records that the master writes on their own, behind the requests that came before them: the seal of a
//! handover, and the digests of a verification.

use super::queue::{Digested, SealReply};
use super::{WriterTask, cause};
use crate::catalog::CatalogError;
use crate::domain::{Body, NodeId};
use crate::store::Cursor;
use crate::wire::{ErrorCode, Problem};

impl WriterTask {
    pub(super) async fn seal(&mut self, heir: NodeId, reply: SealReply) -> Result<(), CatalogError> {
        let mastership = &self.behind.mastership;
        // Who asked delivers the seal. Without him nobody would, and nobody could write any more.
        if reply.is_closed() {
            return Ok(());
        }
        if let Err(not_master) = mastership.require() {
            let _ = reply.send(Err(not_master));
            return Ok(());
        }
        // Before it is written: a reader must not be told anything in the master's name that the heir
        // may have changed by then. And the heir rests on this epoch from now on.
        mastership.seal(heir);
        self.may_draw_again = false;
        match self.store.seal(heir).await {
            Ok(record) => {
                let version = record.version;
                self.behind.publish(record);
                let _ = reply.send(Ok(version));
                Ok(())
            }
            // Whether it is sealed is not known: the next start reads it.
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(self.failed(error))),
            Err(error) => {
                log::error!("the log could not be sealed: {}", cause(&self.failed(error)));
                mastership.unseal();
                let _ = reply.send(Err(ErrorCode::Unavailable.into()));
                Ok(())
            }
        }
    }

    pub(super) async fn digest(&mut self, cursor: Cursor) -> Result<Result<Digested, Problem>, CatalogError> {
        if let Err(not_master) = self.behind.mastership.require() {
            return Ok(Err(not_master));
        }
        self.may_draw_again = false;
        match self.store.digest_range(cursor).await {
            Ok((record, next)) => {
                let version = record.version;
                let rows = match &record.body {
                    Body::Digest(range) => range.rows,
                    Body::Start { .. } | Body::Batch(_) | Body::Seal { .. } => 0,
                };
                self.behind.publish(record);
                Ok(Ok(Digested { version, rows, next }))
            }
            Err(error) if error.ends_writer() => Err(CatalogError::Commit(self.failed(error))),
            Err(error) => {
                log::error!("a digest could not be written: {}", cause(&self.failed(error)));
                Ok(Err(ErrorCode::Unavailable.into()))
            }
        }
    }
}
