//! What an accepted transaction lets happen once: the beginning of an enrolment, or another key.
//!
//! Invariants: it counts for [`AUTHORIZES_FOR`] after its end, and once, whatever it is used for; the mark of its
//! use lives at least as long as it could be used again.

use tocsin_model::{AUTHORIZES_FOR, State, Transaction, TransactionId, UnixMs};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::EmptyRecord;

/// Whether the transaction was accepted lately, fits, and has authorised nothing yet.
pub(crate) fn is_given(
    table: &Table<'_>,
    id: &TransactionId,
    now: UnixMs,
    fits: impl FnOnce(&Transaction) -> bool,
) -> RowResult<bool> {
    let Some(transaction) = table.transaction(id)? else { return Ok(false) };
    let accepted_lately = transaction.state == State::Accepted
        && transaction.ended_at.is_some_and(|ended_at| now <= ended_at.plus(AUTHORIZES_FOR));
    if !accepted_lately || !fits(&transaction) {
        return Ok(false);
    }
    Ok(table.record::<EmptyRecord>(&Key::used_authorization(id))?.is_none())
}

/// Uses it up. The mark outlives the record that could be used again, also where our clock is set back meanwhile.
pub(crate) fn use_up(table: &Table<'_>, id: &TransactionId, now: UnixMs, batch: &mut Batch) {
    let kept = table.retention.transaction.max(AUTHORIZES_FOR);
    let expiry = Expiry::At(now.plus(kept).plus(AUTHORIZES_FOR));
    batch.put(Key::used_authorization(id), expiry, &EmptyRecord {});
}
