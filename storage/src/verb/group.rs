//! Many verbs, one commit.

use tocsin_model::{AuditEvent, Pseudonym, UnixMs};

use super::audit::{self, AuditHead};
use super::naming::{self, Known};
use super::overlay::{Changes, Overlay};
use super::rows::Rows;
use super::submission::{Settled, Verb};
use super::table::{Retention, Table};
use crate::pseudonym::Pseudonyms;

/// Verbs that are decided one behind the other, each over the rows that the earlier ones will leave.
pub(crate) struct Group<'r> {
    overlay: Overlay<'r>,
    now: UnixMs,
    retention: Retention,
    trail: Trail<'r>,
    settled: Vec<Settled>,
    events: Vec<(AuditEvent, Option<Pseudonym>)>,
    needs_sync: bool,
    bytes: usize,
}

/// The audit trail that a group extends.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'r> {
    /// Its last row.
    pub(crate) head: AuditHead,
    /// How it names users.
    pub(crate) pseudonyms: &'r Pseudonyms,
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
    pub(crate) fn new(base: &'r dyn Rows, now: UnixMs, retention: Retention, trail: Trail<'r>) -> Self {
        Self {
            overlay: Overlay::new(base),
            now,
            retention,
            trail,
            settled: Vec::new(),
            events: Vec::new(),
            needs_sync: false,
            bytes: 0,
        }
    }

    /// Decides one more verb.
    pub(crate) fn take(&mut self, verb: Verb) {
        let verb_needs_sync = verb.needs_sync();
        let table = Table::new(&self.overlay, self.now, self.retention);
        let (mut batch, settled) = verb.decide(&table);
        self.needs_sync |= verb_needs_sync && !batch.is_empty();
        // Before its rows: an erasure tells of whom it takes the name from.
        let named = |event: AuditEvent| (naming::known(&table, &event), event);
        let events: Vec<_> = batch.take_events().into_iter().map(named).collect();
        self.bytes += batch.bytes() + events.len() * audit::ROW_BYTES_GUESSED;
        self.overlay.apply(batch);
        for (known, event) in events {
            let pseudonym = match known {
                Some(known) => Some(self.keep_named(&event, &known)),
                None => self.introduce(&event),
            };
            self.events.push((event, pseudonym));
        }
        self.settled.push(settled);
    }

    /// The pseudonym of a user whom the trail knows.
    fn keep_named(&mut self, event: &AuditEvent, known: &Known) -> Pseudonym {
        if let Some(user) = event.user.as_ref().filter(|_| known.goes_too_soon) {
            naming::keep(&mut self.overlay, self.now, self.retention, user);
        }
        known.pseudonym
    }

    /// The pseudonym of a user whom the trail does not know.
    fn introduce(&mut self, event: &AuditEvent) -> Option<Pseudonym> {
        let user = event.user.as_ref()?;
        let number = self.trail.head.number + 1 + self.events.len() as u64;
        let fresh = self.trail.pseudonyms.of(user, number);
        match Table::new(&self.overlay, self.now, self.retention).user(user) {
            Ok(row) => {
                let row = row.unwrap_or_default();
                let moment = (self.now, self.retention);
                Some(naming::introduce(&mut self.overlay, moment, row, event.kind, user, fresh))
            }
            Err(_) => {
                tracing::error!(
                    "a user's row cannot be read; one row of the audit trail names him otherwise"
                );
                Some(fresh)
            }
        }
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

    /// The work to do. The audit trail is extended by what the verbs told.
    pub(crate) fn finish(self) -> Work {
        let mut changes = self.overlay.into_changes();
        let audit_head = audit::extend(self.trail.head, self.now, &self.events, &mut changes);
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
