//! One-time passwords of anonymous transactions: found by their hashes, claimed once.
//!
//! The row of a password only leads to its transaction; whether that is claimed stands in the transaction's own record,
//! so that there is one place to compare and set. The row is over at the deadline and nothing has to take it away.

use std::sync::Arc;

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Device, DeviceId, OtpHash, Transaction, TransactionId,
};

use super::batch::Batch;
use super::rows::RowResult;
use super::standing;
use super::table::Table;
use super::transaction::{list, put};
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::LinkRecord;
use crate::store::Claimed;

/// Leads from the password to its transaction until the deadline.
pub(super) fn put_row(batch: &mut Batch, hash: &OtpHash, transaction: &Transaction) {
    let link = LinkRecord { id: *transaction.id.as_bytes() };
    batch.put(Key::transaction_by_otp(hash), Expiry::At(transaction.expires_at), &link);
}

/// The transaction with this password.
pub(crate) fn transaction(table: &Table<'_>, hash: &OtpHash) -> RowResult<Option<TransactionId>> {
    let link = table.record::<LinkRecord>(&Key::transaction_by_otp(hash))?;
    Ok(link.map(|LinkRecord { id }| TransactionId::from_bytes(id)))
}

/// Stores whose it is, if nobody's before. Phone and user are looked at here too, so that none that was removed or locked
/// a moment ago gets what may not be answered.
pub(crate) fn claim(table: &Table<'_>, claimed: &Transaction, batch: &mut Batch) -> RowResult<Claimed> {
    let Some(stored) = table.transaction(&claimed.id)? else { return Ok(Claimed::Absent) };
    let is_open = stored.is_unclaimed() && stored.revision < claimed.revision;
    let Some(device_id) = claimer(claimed).filter(|_| is_open) else {
        return Ok(Claimed::Lost(Box::new(stored)));
    };
    let may_answer =
        |device: &Arc<Device>| device.status.may_answer() && claimed.user.as_ref() == Some(&device.user);
    let Some(device) = table.phone(&device_id)?.filter(may_answer) else { return Ok(Claimed::Barred) };
    if standing::lock(table, &device.user)?.is_some() {
        return Ok(Claimed::Barred);
    }
    put(batch, claimed, table.retention);
    list(batch, claimed, table.retention);
    let event = AuditEvent::new(AuditKind::OtpClaimed, AuditActor::Device(device_id));
    batch.audit(event.transaction(claimed).device(device_id));
    Ok(Claimed::Stored)
}

/// The phone of a record that is claimed and still pending: the only one that is asked.
fn claimer(claimed: &Transaction) -> Option<DeviceId> {
    match claimed.recipients.as_slice() {
        [only] if claimed.user.is_some() && !claimed.state.is_final() => Some(only.device_id),
        _ => None,
    }
}
