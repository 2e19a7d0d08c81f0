//! Many verbs, one commit.

use tocsin_model::{AuditEvent, Pseudonym, UnixMs};

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
    /// The number of its last row.
    pub(crate) number: u64,
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
    /// What the audit trail is to be extended by, in the same write.
    pub(crate) told: Told,
}

/// What the verbs of a group told the audit trail.
pub(crate) struct Told {
    /// When.
    pub(crate) now: UnixMs,
    /// In the order in which it happened, each with the pseudonym of its user.
    pub(crate) events: Vec<(AuditEvent, Option<Pseudonym>)>,
}

impl Told {
    /// How many rows the trail grows by.
    pub(crate) const fn rows(&self) -> u64 {
        self.events.len() as u64
    }
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

    /// Takes over the time at which the next verbs are decided. A group may wait for a slow disk while it grows.
    #[cfg(feature = "rocks")]
    pub(crate) fn go_on_at(&mut self, now: UnixMs) {
        self.now = self.now.max(now);
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
        self.bytes += batch.bytes() + events.len() * super::audit::ROW_BYTES_GUESSED;
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
        let number = self.trail.number + 1 + self.events.len() as u64;
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

    /// The work to do.
    pub(crate) fn finish(self) -> Work {
        let told = Told { now: self.now, events: self.events };
        Work {
            changes: self.overlay.into_changes(),
            settled: self.settled,
            needs_sync: self.needs_sync,
            told,
        }
    }
}
