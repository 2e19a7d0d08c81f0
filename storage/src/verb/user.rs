//! What is kept of users: their profiles, and their erasure.
//!
//! Invariants: an erasure is one batch, and steps behind it take out of what had ended what tells of the user more than
//! his name; afterwards no row but final transactions, ended enrolments (until their retention ends) and what hashes say
//! names him; an activation code that was given out before makes no device any more; what the audit trail told of him
//! keeps his pseudonym, and nothing leads from there to him.

use std::sync::Arc;

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, CodeState, Content, Device, DeviceId, DeviceStatus, Enrollment,
    FailureReason, Recipient, Seldom, State, Transaction, TransactionId, UnixMs, User, UserProfile,
};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use super::{device, enrollment, push_target, transaction};
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{ProfileRecord, UserRecord, UserRow};
use crate::store::{Erased, Erasure};

/// Ended transactions that one step of an erasure looks at, while nobody else is served by the writer.
const TRANSACTIONS_STEP: usize = 200;

/// Devices taken in one go.
const DEVICES_STEP: usize = 1_000;

/// Keeps a profile in place of the one before.
pub(crate) fn put_profile(user: &User, profile: &UserProfile, by: AuditActor, batch: &mut Batch) {
    batch.put(Key::profile(user), Expiry::Never, &ProfileRecord::new(profile));
    let changed = AuditEvent::new(AuditKind::UserChanged, by).user(user);
    batch.audit(changed.detail(&profile.members().join(" ")));
}

/// Whether the user of an enrolment was erased after it was opened.
pub(crate) fn is_erased_since(table: &Table<'_>, enrollment: &Enrollment) -> RowResult<bool> {
    let erased_at = table.user(&enrollment.user)?.and_then(|row| row.erased_at);
    Ok(erased_at.is_some_and(|erased_at| enrollment.created_at <= erased_at))
}

/// Erases a user: profile, devices, locks, open transactions, and the way from his pseudonym to him.
pub(crate) fn erase(table: &Table<'_>, erasure: &Erasure, batch: &mut Batch) -> RowResult<Erased> {
    let Erasure { user, open, by, now } = erasure;
    let mut erased = Erased::default();
    for id in open {
        if let Some(transaction) = ended(table, id, user, *now)? {
            end(table, &transaction, batch)?;
            erased.transactions.push(*id);
        }
    }
    for key in all_keys(table, &Key::live_devices(user))? {
        remove_device(table, key, by, &mut erased, batch)?;
    }
    for key in all_keys(table, &Key::revoked_devices(user))? {
        remove_device(table, key, by, &mut erased, batch)?;
    }
    let row = table.user(user)?;
    let had_profile = table.profile(user)?.is_some();
    if let Some(pseudonym) = row.as_ref().and_then(|row| row.pseudonym) {
        batch.delete(Key::pseudonym(&pseudonym));
    }
    batch.delete(Key::profile(user));
    let tombstone = UserRow { erased_at: Some(*now), ..UserRow::default() };
    batch.put(Key::user(user), tombstone.expiry(), &UserRecord::new(&tombstone));
    let was_known = row.is_some_and(|row| row.erased_at.is_none() || row.pseudonym.is_some());
    if was_known || had_profile || erased != Erased::default() {
        batch.audit(AuditEvent::new(AuditKind::UserErased, by.clone()).user(user));
    }
    Ok(erased)
}

/// The transaction as its user's erasure leaves it; `None` when there is nothing to end.
fn ended(table: &Table<'_>, id: &TransactionId, user: &User, now: UnixMs) -> RowResult<Option<Transaction>> {
    let found = table.transaction(id)?.filter(|found| !found.state.is_final());
    Ok(found.filter(|found| found.user.as_ref() == Some(user)).map(|found| {
        let (revision, created_at) = (found.revision_after_a_gap(table.now), found.created_at);
        let state = State::Failed(FailureReason::UserDeleted);
        redacted(Transaction { state, revision, ended_at: Some(now.max(created_at)), ..found })
    }))
}

fn end(table: &Table<'_>, ended: &Transaction, batch: &mut Batch) -> RowResult<()> {
    forget_challenges(ended, batch);
    transaction::put_ended(table, ended, batch)
}

fn forget_challenges(ended: &Transaction, batch: &mut Batch) {
    for recipient in &ended.recipients {
        batch.delete(Key::kept_challenge(&ended.id, &recipient.device_id));
    }
}

/// Takes out of a user's ended transactions, so many behind `behind`, what tells of him. Answers with where to go on.
pub(crate) fn redact_ended(
    table: &Table<'_>,
    user: &User,
    behind: Option<TransactionId>,
    batch: &mut Batch,
) -> RowResult<Option<TransactionId>> {
    let behind = behind.map(|id| Key::transaction_of_user(user, &id));
    let (keys, may_have_more) =
        table.keys(&Key::transactions_of_user(user), behind.as_ref(), TRANSACTIONS_STEP)?;
    let ids = || keys.iter().filter_map(Key::trailing_id).map(TransactionId::from_bytes);
    for id in ids() {
        let Some(ended) = table.transaction(&id)?.filter(|found| found.state.is_final()) else { continue };
        let redacted = redacted(ended.clone());
        if redacted != ended {
            transaction::put(batch, &redacted, table.retention);
        }
        if table.now < ended.expires_at {
            forget_challenges(&ended, batch);
        }
    }
    Ok(ids().next_back().filter(|_| may_have_more))
}

/// What a portal is still told of an erased user's transaction: how it ended, and by which phone. The signed answer
/// stays; texts, addresses, the names of phones and where the call came from are gone.
fn redacted(ended: Transaction) -> Transaction {
    let without_address = |code: Box<CodeState>| {
        Box::new(CodeState { address: None, title: None, message: Arc::default(), ..*code })
    };
    let seldom = ended.seldom.and_then(|seldom| {
        let code = seldom.code.map(without_address);
        Seldom { code, plan: None, ..*seldom }.kept()
    });
    let nameless = |phone: Recipient| Recipient { device_name: "".into(), ..phone };
    let recipients = ended.recipients.into_iter().map(nameless).collect();
    Transaction { content: Content::default(), call_context: None, recipients, seldom, ..ended }
}

/// Every key that begins with `prefix`; a user has few.
fn all_keys(table: &Table<'_>, prefix: &Key) -> RowResult<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    loop {
        let (more, may_have_more) = table.keys(prefix, keys.last(), DEVICES_STEP)?;
        keys.extend(more);
        if !may_have_more {
            return Ok(keys);
        }
    }
}

/// Removes a device with every row but that of its `device` key, which no other device may have.
fn remove_device(
    table: &Table<'_>,
    listed: Key,
    by: &AuditActor,
    erased: &mut Erased,
    batch: &mut Batch,
) -> RowResult<()> {
    let id = listed.trailing_id().map(DeviceId::from_bytes);
    batch.delete(listed);
    let Some(device) = id.map(|id| table.device(&id)).transpose()?.flatten() else { return Ok(()) };
    if device.status == DeviceStatus::Unconfirmed
        && let Some(waiting) = table.enrollment(&device.enrollment_id)?
    {
        erased.enrollments.push(waiting.id);
        enrollment::fail(table, waiting, by.clone(), batch);
    }
    if device.status != DeviceStatus::Revoked {
        let revoked = AuditEvent::new(AuditKind::DeviceRevoked, by.clone());
        batch.audit(revoked.user(&device.user).device(device.id));
        erased.devices.push(device.id);
    }
    forget(&device, batch);
    Ok(())
}

fn forget(device: &Device, batch: &mut Batch) {
    push_target::forget(batch, device);
    device.keys.iter().for_each(|key| device::forget_kid(batch, &key.kid));
    batch.delete(Key::device_used(&device.id));
    batch.delete(Key::device(&device.id));
}
