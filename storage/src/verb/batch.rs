//! The rows that a verb changes.

use minicbor::Encode;
use tocsin_model::AuditEvent;

use crate::envelope::Expiry;
use crate::key::Key;
use crate::record;

/// Puts and deletes of one verb, all or none of which are stored. Rows hold secrets, so it has no debug print.
#[derive(Default)]
pub(crate) struct Batch {
    changes: Vec<(Key, Option<Vec<u8>>)>,
    events: Vec<AuditEvent>,
}

impl Batch {
    /// Stores `record` under `key` until `expiry`.
    pub(crate) fn put<R: Encode<()>>(&mut self, key: Key, expiry: Expiry, record: &R) {
        self.changes.push((key, Some(record::to_row(expiry, record))));
    }

    /// Removes the row under `key`.
    pub(crate) fn delete(&mut self, key: Key) {
        self.changes.push((key, None));
    }

    /// Tells the audit trail of a change in this batch.
    pub(crate) fn audit(&mut self, event: AuditEvent) {
        self.events.push(event);
    }

    /// What the audit trail is told, in the order in which it happened.
    pub(crate) fn take_events(&mut self) -> Vec<AuditEvent> {
        std::mem::take(&mut self.events)
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.events.is_empty()
    }

    /// Bytes of the changed rows with their keys.
    pub(crate) fn bytes(&self) -> usize {
        self.changes.iter().map(|(key, row)| key.bytes().len() + row.as_ref().map_or(0, Vec::len)).sum()
    }

    /// The changes, in the order in which they were made.
    pub(crate) fn into_changes(self) -> Vec<(Key, Option<Vec<u8>>)> {
        self.changes
    }
}
