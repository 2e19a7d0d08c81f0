//! The audit trail: told, listed, checked, cut.

use tocsin_model::{AuditEvent, Problem};
use tocsin_storage::{AuditChecked, AuditCheckpoint, AuditFault, AuditPage, AuditQuery, AuditSummary};

use super::Handle;
use crate::error::store_problem;
use crate::limits::AUDIT_CUTS_IN_A_ROW_MAX;

impl Handle {
    /// Adds a row of its own to the audit trail, for what changes nothing in the storage; durable when it returns.
    pub async fn note(&self, event: AuditEvent) -> Result<(), Problem> {
        self.store().note(event).await.map_err(|error| store_problem(&error))
    }

    /// Rows of the audit trail, newest first.
    pub async fn audit(&self, query: AuditQuery) -> Result<AuditPage, Problem> {
        self.store().audit(query).await.map_err(|error| store_problem(&error))
    }

    /// Checks the whole audit trail: the inner result says whether it is what was stored.
    pub async fn check_audit(&self) -> Result<Result<AuditSummary, AuditFault>, Problem> {
        let mut checkpoint = AuditCheckpoint::default();
        loop {
            match self.store().check_audit(checkpoint).await.map_err(|error| store_problem(&error))? {
                AuditChecked::More(next) => checkpoint = next,
                AuditChecked::Sound(summary) => return Ok(Ok(summary)),
                AuditChecked::Broken(fault) => return Ok(Err(fault)),
            }
        }
    }

    /// Cuts the rows of the audit trail whose retention is over.
    pub(crate) async fn cut_audit(&self) {
        let before = self.clock().now().minus(self.config().storage.audit_retention);
        for _ in 0..AUDIT_CUTS_IN_A_ROW_MAX {
            match self.store().cut_audit(before).await {
                Ok(cut) if cut.more => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "the audit trail could not be cut; it is tried again later");
                    return;
                }
            }
        }
    }
}
