//! Verbs of callbacks. A callback becomes owed with its outcome, in the same batch, and goes only by a 2xx; when its
//! window ends it is moved among the dead.
//!
//! An owed callback has two rows: itself, and its place in the order of its host's next tries. A host is one of a
//! client, so that no client's callbacks stand behind those of another.

use std::ops::RangeInclusive;

use aws_lc_rs::digest;
use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Callback, CallbackFault, CallbackHost, CallbackPhase, CallbackUrl,
    ClientId, TransactionId, UnixMs,
};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{CallbackRecord, EmptyRecord};
use crate::store::{CallbackList, CallbackPage, CallbackSettled, CallbackVerdict, DueCallbacks, Redelivered};

/// Callbacks on one page, whatever the caller asks for.
const PAGE_MAX: usize = 10_000;

/// The host that a client's callbacks to this URL wait with.
pub fn callback_host(client: &ClientId, url: &CallbackUrl) -> CallbackHost {
    let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&hash(client.as_str()).as_ref()[..8]);
    bytes[8..].copy_from_slice(&hash(&url.origin().to_ascii_lowercase()).as_ref()[..8]);
    CallbackHost::from_bytes(bytes)
}

fn host_of(callback: &Callback) -> CallbackHost {
    callback_host(&callback.client, &callback.url)
}

/// Adds what is owed to a batch.
pub(super) fn owe(batch: &mut Batch, callback: &Callback, next_try_at: UnixMs) {
    let id = &callback.transaction_id;
    batch.put(Key::callback_owed(id), Expiry::Never, &CallbackRecord::new(callback));
    batch.put(Key::callback_due(&host_of(callback), next_try_at, id), Expiry::Never, &EmptyRecord {});
}

/// Stores how a try ended, if it is the one that the stored count awaits.
pub(crate) fn settle(
    table: &Table<'_>,
    id: &TransactionId,
    tries_before: u32,
    verdict: CallbackVerdict,
    batch: &mut Batch,
) -> RowResult<CallbackSettled> {
    let Some(stored) = table.callback(CallbackList::Owed, id)? else { return Ok(CallbackSettled::Lost) };
    if stored.tries != tries_before {
        return Ok(CallbackSettled::Lost);
    }
    forget_owed(batch, &stored);
    match verdict {
        CallbackVerdict::Delivered => {}
        CallbackVerdict::TryAgain { at, fault } => {
            let phase = CallbackPhase::Owed { next_try_at: at };
            owe(batch, &failed(stored, fault, phase), at);
        }
        CallbackVerdict::Dead { since, fault } => {
            let dead = failed(stored, fault, CallbackPhase::Dead { since });
            batch.put(Key::callback_dead(id), Expiry::Never, &CallbackRecord::new(&dead));
        }
    }
    Ok(CallbackSettled::Stored)
}

/// Makes a callback due now: a dead one is owed again with a window of its own, an owed one is brought forward.
pub(crate) fn redeliver(
    table: &Table<'_>,
    id: &TransactionId,
    by: AuditActor,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Redelivered> {
    let asked = || AuditEvent { transaction: Some(*id), ..AuditEvent::new(AuditKind::RedeliveryAsked, by) };
    let phase = CallbackPhase::Owed { next_try_at: now };
    if let Some(owed) = table.callback(CallbackList::Owed, id)? {
        forget_owed(batch, &owed);
        let forward = Callback { phase, ..owed };
        owe(batch, &forward, now);
        batch.audit(asked());
        return Ok(Redelivered::Owed(Box::new(forward)));
    }
    let Some(dead) = table.callback(CallbackList::Dead, id)? else { return Ok(Redelivered::Absent) };
    batch.delete(Key::callback_dead(id));
    let again = Callback { phase, owed_at: now, ..dead };
    owe(batch, &again, now);
    batch.audit(asked());
    Ok(Redelivered::Owed(Box::new(again)))
}

fn failed(stored: Callback, fault: CallbackFault, phase: CallbackPhase) -> Callback {
    Callback { tries: stored.tries.saturating_add(1), last_fault: Some(fault), phase, ..stored }
}

fn forget_owed(batch: &mut Batch, stored: &Callback) {
    batch.delete(Key::callback_owed(&stored.transaction_id));
    if let CallbackPhase::Owed { next_try_at } = stored.phase {
        batch.delete(Key::callback_due(&host_of(stored), next_try_at, &stored.transaction_id));
    }
}

/// One page of a list, newest transactions first.
pub(crate) fn page(
    table: &Table<'_>,
    list: CallbackList,
    after: Option<TransactionId>,
    limit: usize,
) -> RowResult<CallbackPage> {
    let after = after.map(|id| Key::callback(list, &id));
    let (keys, may_have_more) =
        table.keys(&Key::callbacks(list), after.as_ref(), limit.clamp(1, PAGE_MAX))?;
    let mut page = CallbackPage::default();
    for id in keys.iter().filter_map(Key::as_callback) {
        page.callbacks.extend(table.callback(list, &id)?);
    }
    if may_have_more {
        page.next = keys.last().and_then(Key::as_callback);
    }
    Ok(page)
}

/// What a host is owed with its next try in `within`, the longest due first, at most `limit`; and when the next is
/// due behind those. Whatever is due before is not looked at: there stand the traces of what was delivered.
pub(crate) fn due(
    table: &Table<'_>,
    host: &CallbackHost,
    within: &RangeInclusive<UnixMs>,
    limit: usize,
) -> RowResult<DueCallbacks> {
    let limit = limit.clamp(1, PAGE_MAX);
    let from = Key::callbacks_due_from(host, *within.start());
    let (keys, _) = table.keys(&Key::callbacks_due(host), Some(&from), limit + 1)?;
    let mut due = DueCallbacks::default();
    for (_, next_try_at, id) in keys.iter().filter_map(Key::as_callback_due) {
        if next_try_at > *within.end() || due.callbacks.len() == limit {
            due.next_try_at = Some(next_try_at);
            break;
        }
        due.callbacks.extend(table.callback(CallbackList::Owed, &id)?);
    }
    Ok(due)
}

/// The hosts behind `after` that are owed something, at most `limit`, each with its first next try.
pub(crate) fn hosts(
    table: &Table<'_>,
    after: Option<CallbackHost>,
    limit: usize,
) -> RowResult<Vec<(CallbackHost, UnixMs)>> {
    let mut found: Vec<(CallbackHost, UnixMs)> = Vec::new();
    let mut behind = after.map(|host| Key::callbacks_due_end(&host));
    while found.len() < limit.min(PAGE_MAX) {
        let (keys, _) = table.keys(&Key::all_callbacks_due(), behind.as_ref(), 1)?;
        let Some((host, next_try_at, _)) = keys.first().and_then(Key::as_callback_due) else { break };
        found.push((host, next_try_at));
        behind = Some(Key::callbacks_due_end(&host));
    }
    Ok(found)
}
