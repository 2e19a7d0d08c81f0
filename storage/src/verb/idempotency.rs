//! The caller's promise that two calls are one.
//!
//! A client's keys are one set for all its calls. The fingerprint covers the call's path, so that a key that stands
//! for a transaction fits no enrolment, and the other way round.

use tocsin_model::{ClientId, DurationMs, Fingerprint, Idempotency, UnixMs};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::IdempotencyRecord;

/// How long a key is kept after the deadline of what it started, and at least that long what it started.
pub(crate) const KEPT_AFTER_DEADLINE: DurationMs = DurationMs::from_seconds(600);

/// What a key stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing yet.
    Never,
    /// The same request before, which made the thing with this id.
    Before([u8; 16]),
    /// Another request.
    Other,
}

/// Looks a promise up.
pub(crate) fn look(table: &Table<'_>, client: &ClientId, promise: Option<&Idempotency>) -> RowResult<Seen> {
    let Some(promise) = promise else { return Ok(Seen::Never) };
    let stored: Option<IdempotencyRecord> = table.record(&Key::idempotency(client, &promise.key))?;
    Ok(match stored {
        None => Seen::Never,
        Some(stored) if Fingerprint::from_bytes(stored.fingerprint) == promise.fingerprint => {
            Seen::Before(stored.id)
        }
        Some(_) => Seen::Other,
    })
}

/// Keeps a promise until ten minutes after `deadline`.
pub(crate) fn keep(
    batch: &mut Batch,
    client: &ClientId,
    promise: Option<&Idempotency>,
    id: [u8; 16],
    deadline: UnixMs,
) {
    let Some(promise) = promise else { return };
    let record = IdempotencyRecord { id, fingerprint: *promise.fingerprint.as_bytes() };
    let expiry = Expiry::At(deadline.plus(KEPT_AFTER_DEADLINE));
    batch.put(Key::idempotency(client, &promise.key), expiry, &record);
}
