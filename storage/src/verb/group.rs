//! Many verbs, one commit.

use tocsin_model::{AuditEvent, UnixMs};

use super::audit::{self, AuditHead};
use super::overlay::{Changes, Overlay};
use super::rows::Rows;
use super::submission::{Settled, Verb};
use super::table::{Retention, Table};

/// Verbs that are decided one behind the other, each over the rows that the earlier ones will leave.
pub(crate) struct Group<'r> {
    overlay: Overlay<'r>,
    now: UnixMs,
    retention: Retention,
    settled: Vec<Settled>,
    events: Vec<AuditEvent>,
    needs_sync: bool,
    bytes: usize,
}

/// What a group wants stored, and the answers that wait for it.
pub(crate) struct Work {
    /// The rows to change.
    pub(crate) changes: Changes,
    /// The answers, in the order of the verbs.
    pub(crate) settled: Vec<Settled>,
    /// Whether the rows must be on the disk before anybody is answered.
    pub(crate) needs_sync: bool,
    /// The last row of the audit trail once this is stored.
    pub(crate) audit_head: AuditHead,
}

impl<'r> Group<'r> {
    /// An empty group over `base`.
    pub(crate) fn new(base: &'r dyn Rows, now: UnixMs, retention: Retention) -> Self {
        Self {
            overlay: Overlay::new(base),
            now,
            retention,
            settled: Vec::new(),
            events: Vec::new(),
            needs_sync: false,
            bytes: 0,
        }
    }

    /// Decides one more verb.
    pub(crate) fn take(&mut self, verb: Verb) {
        let verb_needs_sync = verb.needs_sync();
        let (mut batch, settled) = verb.decide(&Table::new(&self.overlay, self.now, self.retention));
        self.needs_sync |= verb_needs_sync && !batch.is_empty();
        let events = batch.take_events();
        self.bytes += batch.bytes() + events.len() * audit::ROW_BYTES_GUESSED;
        self.events.extend(events);
        self.overlay.apply(batch);
        self.settled.push(settled);
    }

    /// Bytes of the rows changed so far, each change counted.
    #[cfg(feature = "rocks")]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same without what the verbs told the audit trail.
    #[cfg(feature = "bench-hook")]
    pub(crate) fn without_audit(mut self) -> Self {
        self.events.clear();
        self
    }

    /// The work to do. The audit trail, which ends with `audit_head`, is extended by what the verbs told.
    pub(crate) fn finish(self, audit_head: AuditHead) -> Work {
        let mut changes = self.overlay.into_changes();
        let audit_head = audit::extend(audit_head, self.now, &self.events, &mut changes);
        Work { changes, settled: self.settled, needs_sync: self.needs_sync, audit_head }
    }
}

impl Work {
    /// Bytes of the changed rows with their keys.
    pub(crate) fn bytes(&self) -> usize {
        let row = |(key, value): (&crate::key::Key, &Option<Vec<u8>>)| {
            key.bytes().len() + value.as_ref().map_or(0, Vec::len)
        };
        self.changes.iter().map(row).sum()
    }
}
