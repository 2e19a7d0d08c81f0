//! Verbs of transactions. The first final state that is stored stands; counters never fall.

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, DeviceId, KeptChallenge, KeyUse, State, Transaction, TransactionId,
    UnixMs,
};

use super::batch::Batch;
use super::idempotency::{self, Seen};
use super::rows::RowResult;
use super::table::{Retention, Table};
use super::{callback, device_key, otp, standing};
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{
    EmptyRecord, KeptChallengeRecord, MarksRecord, TransactionHead, TransactionRecord, UsedRecord, owed_by,
};
use crate::store::{Amended, Attempted, Created, Ended, NewTransaction, Resend, Resent};

/// Stores a new transaction. An id that is taken is never overwritten: it counts as the same call again.
pub(crate) fn create(table: &Table<'_>, new: &NewTransaction, batch: &mut Batch) -> RowResult<Created> {
    let NewTransaction { transaction, idempotency, challenges, otp } = new;
    match idempotency::look(table, &transaction.client, idempotency.as_ref())? {
        Seen::Before(id) => return Ok(Created::Existing(TransactionId::from_bytes(id))),
        Seen::Other => return Ok(Created::Mismatch),
        Seen::Never => {}
    }
    if table.transaction_head(&transaction.id)?.is_some() {
        return Ok(Created::Existing(transaction.id));
    }
    if let Some(user) = &transaction.user
        && let Some(lock) = standing::lock(table, user)?
    {
        return Ok(Created::UserLocked(lock));
    }
    replace_earlier(table, transaction, batch)?;
    put(batch, transaction, table.retention);
    batch.audit(AuditEvent::started(transaction));
    if let Some(taken) = AuditEvent::fallback(transaction) {
        batch.audit(taken);
    }
    list(batch, transaction, table.retention);
    batch.put(Key::open(transaction.expires_at, &transaction.id), Expiry::Never, &EmptyRecord {});
    for (device_id, challenge) in challenges {
        put_challenge(batch, transaction.id, device_id, challenge, transaction.expires_at);
    }
    if let Some(hash) = otp {
        otp::put_row(batch, hash, transaction);
    }
    let (id, deadline) = (*transaction.id.as_bytes(), transaction.expires_at);
    idempotency::keep(batch, &transaction.client, idempotency.as_ref(), id, deadline);
    Ok(Created::New)
}

/// Cancels what a new transaction takes the place of, as far as it is still pending.
fn replace_earlier(table: &Table<'_>, new: &Transaction, batch: &mut Batch) -> RowResult<()> {
    let mut replaced = Vec::new();
    for id in new.replaces() {
        let Some(stored) = table.transaction_head(id)?.filter(|stored| !stored.is_final()) else { continue };
        let Some(earlier) = table.transaction(id)?.filter(|earlier| earlier.user == new.user) else {
            continue;
        };
        // Its actor may have told more changes than are stored.
        let revision = earlier.revision_after_a_gap(table.now);
        let ended_at = Some(new.created_at.max(earlier.created_at));
        let ended = Transaction { state: State::Cancelled, revision, ended_at, ..earlier };
        put_final(batch, &stored, &ended, table);
        replaced.push(ended);
    }
    let replaced: Vec<&Transaction> = replaced.iter().collect();
    standing::note_ends(table, new.user.as_ref(), &replaced, true, batch)
}

/// Stores a final state over a pending one. A record that is not final loses, so that nothing leaves the open
/// ones without an outcome.
pub(crate) fn end(table: &Table<'_>, ended: &Transaction, batch: &mut Batch) -> RowResult<Ended> {
    let Some(stored) = table.transaction_head(&ended.id)? else { return Ok(Ended::Absent) };
    if stored.is_final() || !ended.state.is_final() {
        return Ok(match table.transaction(&ended.id)? {
            Some(standing) => Ended::Lost(Box::new(standing)),
            None => Ended::Absent,
        });
    }
    if let Some(device_id) = approved_by_pin(ended)
        && !device_key::forget_pin_tries(table, device_id, batch)?
    {
        return Ok(Ended::DeviceRevoked);
    }
    put_final(batch, &stored, ended, table);
    standing::note_ends(table, ended.user.as_ref(), &[ended], false, batch)?;
    Ok(Ended::Stored)
}

/// The device whose PIN was right.
fn approved_by_pin(ended: &Transaction) -> Option<&DeviceId> {
    ended.answer.as_ref().filter(|answer| answer.key_use == KeyUse::Pin).map(|answer| &answer.device_id)
}

/// Counts a repeated push, if the counter still stands where the caller saw it, and keeps its promise.
pub(crate) fn resend(table: &Table<'_>, resend: &Resend, batch: &mut Batch) -> RowResult<Resent> {
    let Resend { resent, used_before, idempotency } = resend;
    match idempotency::look(table, &resent.client, idempotency.as_ref())? {
        Seen::Before(_) => return Ok(Resent::Existing),
        Seen::Other => return Ok(Resent::Mismatch),
        Seen::Never => {}
    }
    let Some(stored) = table.transaction_head(&resent.id)? else { return Ok(Resent::Absent) };
    let rises = stored.resends_used == *used_before && resent.resends.used > *used_before;
    let fits = rises && !stored.is_final() && !resent.state.is_final();
    if !fits || resent.attempts.used < stored.attempts_used {
        return Ok(match table.transaction(&resent.id)? {
            Some(standing) => Resent::Lost(Box::new(standing)),
            None => Resent::Absent,
        });
    }
    let by = AuditActor::Client(resent.client.clone());
    let event = AuditEvent::new(AuditKind::PushResent, by).transaction(resent);
    batch.audit(event.detail(&resent.resends.used.to_string()));
    put(batch, resent, table.retention);
    let (id, deadline) = (*resent.id.as_bytes(), resent.expires_at);
    idempotency::keep(batch, &resent.client, idempotency.as_ref(), id, deadline);
    Ok(Resent::Stored)
}

/// Stores how far the pushes came, if the record is still pending and all that is stored is older. The marks are
/// of no use once the transaction is final, so they may go when its record could go.
pub(crate) fn mark(table: &Table<'_>, marked: &Transaction, batch: &mut Batch) -> RowResult<()> {
    let Some(stored) = table.transaction_head(&marked.id)? else { return Ok(()) };
    if stored.is_final() || marked.state.is_final() || marked.revision <= stored.revision {
        return Ok(());
    }
    if table.transaction_marks(&marked.id)?.is_some_and(|marks| marked.revision <= marks.revision) {
        return Ok(());
    }
    let expiry = Expiry::At(stored.expires_at().plus(table.retention.transaction));
    batch.put(Key::transaction_marks(&marked.id), expiry, &MarksRecord::new(marked));
    Ok(())
}

/// Stores a wrong try, if the counter still stands where the caller saw it.
pub(crate) fn attempt(
    table: &Table<'_>,
    tried: &Transaction,
    used_before: u32,
    batch: &mut Batch,
) -> RowResult<Attempted> {
    let Some(stored) = table.transaction_head(&tried.id)? else { return Ok(Attempted::Absent) };
    let rises = stored.attempts_used == used_before && tried.attempts.used > used_before;
    if stored.is_final() || !rises {
        return Ok(match table.transaction(&tried.id)? {
            Some(standing) => Attempted::Lost(Box::new(standing)),
            None => Attempted::Absent,
        });
    }
    let count = AuditEvent::new(AuditKind::WrongTry, AuditActor::Client(tried.client.clone()));
    batch.audit(count.transaction(tried).detail(&tried.attempts.used.to_string()));
    if tried.state.is_final() {
        put_final(batch, &stored, tried, table);
        standing::note_ends(table, tried.user.as_ref(), &[tried], false, batch)?;
    } else {
        put(batch, tried, table.retention);
    }
    Ok(Attempted::Stored)
}

/// Keeps a challenge unless one for the same key is kept: the first stands, so that a phone never sees two. A seal
/// to a key that the phone has given up makes room.
pub(crate) fn keep_challenge(
    table: &Table<'_>,
    id: &TransactionId,
    device_id: &DeviceId,
    challenge: KeptChallenge,
    batch: &mut Batch,
) -> RowResult<KeptChallenge> {
    let Some(stored) = table.transaction_head(id)? else { return Ok(challenge) };
    if stored.is_final() {
        return Ok(challenge);
    }
    match table.kept_challenge(id, device_id)? {
        Some(standing) if standing.is_for_the_key_of(&challenge) => Ok(standing),
        Some(_) | None => {
            put_challenge(batch, *id, device_id, &challenge, stored.expires_at());
            Ok(challenge)
        }
    }
}

/// Nobody is shown a challenge after the deadline, so its row is over then: nothing has to take it away.
fn put_challenge(
    batch: &mut Batch,
    id: TransactionId,
    device_id: &DeviceId,
    challenge: &KeptChallenge,
    deadline: UnixMs,
) {
    let key = Key::kept_challenge(&id, device_id);
    batch.put(key, Expiry::At(deadline), &KeptChallengeRecord::new(challenge));
}

/// Stores a changed record of a transaction that stays pending, such as one that a phone has left. It stands only
/// over an older one with the same counters: whoever counted meanwhile is told, not overwritten.
pub(crate) fn amend(table: &Table<'_>, amended: &Transaction, batch: &mut Batch) -> RowResult<Amended> {
    let Some(stored) = table.transaction_head(&amended.id)? else { return Ok(Amended::Absent) };
    let fits = stored.revision < amended.revision
        && stored.attempts_used == amended.attempts.used
        && stored.resends_used == amended.resends.used;
    if stored.is_final() || amended.state.is_final() || !fits {
        return Ok(match table.transaction(&amended.id)? {
            Some(standing) => Amended::Lost(Box::new(standing)),
            None => Amended::Absent,
        });
    }
    if let Some(taken) = AuditEvent::fallback(amended)
        && amended.fallback().map(|fallback| fallback.at) != stored.fallback_at()
    {
        batch.audit(taken);
    }
    put(batch, amended, table.retention);
    Ok(Amended::Stored)
}

/// The final record, out of the open ones, the callback that it owes, and the mark on the device that answered. The
/// mark is written blind,
/// so that an answer costs the writer no look at the device: one that was revoked in the same moment keeps a mark
/// of some forty bytes.
fn put_final(batch: &mut Batch, stored: &TransactionHead, ended: &Transaction, table: &Table<'_>) {
    put(batch, &with_counters_kept(ended, stored), table.retention);
    batch.audit(AuditEvent::ended(ended));
    list(batch, ended, table.retention);
    batch.delete(Key::open(stored.expires_at(), &ended.id));
    if let Some(owed) = owed_by(ended) {
        callback::owe(batch, &owed, owed.owed_at);
    }
    if let Some(answer) = &ended.answer {
        let used = UsedRecord { at_ms: answer.decided_at.get() };
        batch.put(Key::device_used(&answer.device_id), Expiry::Never, &used);
    }
}

/// The same for one that is known to be pending and that another verb ends.
pub(super) fn put_ended(table: &Table<'_>, ended: &Transaction, batch: &mut Batch) -> RowResult<()> {
    if let Some(stored) = table.transaction_head(&ended.id)? {
        put_final(batch, &stored, ended, table);
    }
    Ok(())
}

pub(super) fn put(batch: &mut Batch, transaction: &Transaction, retention: Retention) {
    batch.put(
        Key::transaction(&transaction.id),
        expiry(transaction, retention),
        &TransactionRecord::new(transaction),
    );
}

/// Its place among those of its user, if it has one, kept as long as its record.
pub(super) fn list(batch: &mut Batch, transaction: &Transaction, retention: Retention) {
    let Some(user) = &transaction.user else { return };
    let key = Key::transaction_of_user(user, &transaction.id);
    batch.put(key, expiry(transaction, retention), &EmptyRecord {});
}

/// A pending transaction stays, however long the server was down: its outcome is still owed. A final one outlives
/// its idempotency key, so that a repeated call never finds a promise without what was promised.
fn expiry(transaction: &Transaction, retention: Retention) -> Expiry {
    if transaction.state.is_final() {
        let end: UnixMs = transaction.ended_at.unwrap_or(transaction.expires_at);
        let promised_until = transaction.expires_at.plus(idempotency::KEPT_AFTER_DEADLINE);
        Expiry::At(end.plus(retention.transaction).max(promised_until))
    } else {
        Expiry::Never
    }
}

/// A record made from an older view must not give a used try back.
fn with_counters_kept<'t>(
    transaction: &'t Transaction,
    stored: &TransactionHead,
) -> std::borrow::Cow<'t, Transaction> {
    let falls =
        transaction.attempts.used < stored.attempts_used || transaction.resends.used < stored.resends_used;
    if !falls {
        return std::borrow::Cow::Borrowed(transaction);
    }
    let mut kept = transaction.clone();
    kept.attempts.used = kept.attempts.used.max(stored.attempts_used);
    kept.resends.used = kept.resends.used.max(stored.resends_used);
    std::borrow::Cow::Owned(kept)
}
