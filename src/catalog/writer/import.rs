//! A part of an import: decided, fenced, committed, and handed to the acknowledger, on its own between two
//! batches of purchases.

use super::acknowledger::Committed;
use super::queue::{ImportReply, PartAnswer};
use super::{WriterTask, cause};
use crate::catalog::CatalogError;
use crate::clock;
use crate::domain::{Import, ImportOutcome, Version};
use crate::metrics::Part;
use crate::store::{PreparedImport, StoreError};
use crate::telemetry::trace::Context;
use crate::wire::ErrorCode;

impl WriterTask {
    pub(super) async fn import(&mut self, import: Import, reply: ImportReply) -> Result<(), CatalogError> {
        let outcome = self.write_import(import).await?;
        self.behind.account.writes.import_part(match &outcome {
            Ok((ImportOutcome::Done(_), _)) => Part::Done,
            Ok((ImportOutcome::Before(_), _)) => Part::Replayed,
            Ok((ImportOutcome::OutOfOrder, _)) | Err(_) => Part::Refused,
        });
        let version = outcome.as_ref().map_or(Version::GENESIS, |&(_, version)| version);
        let context = Context::current();
        let committed = Committed { version, replies: Vec::new(), import: Some((reply, outcome)), context };
        // The acknowledger outlives this task, which holds its only sender.
        let _ = self.committed.send(committed).await;
        Ok(())
    }

    async fn write_import(&mut self, import: Import) -> Result<PartAnswer, CatalogError> {
        if let Err(not_master) = self.behind.mastership.require() {
            return Ok(Err(not_master));
        }
        let (now, wall_ms) = (clock::now(), clock::wall_ms());
        let forget_before_ms = self.forgetting.imports_before(now, wall_ms);
        let PreparedImport { prepared, outcome } =
            match self.store.prepare_import(import, wall_ms, forget_before_ms).await {
                Ok(prepared) => prepared,
                Err(error) if error.ends_writer() => return Err(self.failed(error).into()),
                Err(error) => {
                    log::error!("a part of an import could not be written: {}", cause(&self.failed(error)));
                    return Ok(Err(self.why_not()));
                }
            };
        let version = prepared.version;
        let fenced = self.fence(prepared).await;
        match self.commit(fenced).await {
            Ok(true) => Ok(Ok((outcome, version))),
            Ok(false) => Ok(Err(ErrorCode::NotMaster.into())),
            Err(error @ StoreError::Full(_)) => {
                log::error!("a part of an import could not be committed: {}", cause(&error));
                Ok(Err(self.why_not()))
            }
            Err(error) => Err(CatalogError::Commit(error)),
        }
    }
}
