//! How users stand: locks, and pushes that were ignored or refused in a row.
//!
//! Invariants: what the end of a transaction does to its user is stored in the batch of that end; nothing new is
//! created for a user who is locked at the moment of the commit; what is over is left out at the next change.

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, DeliveryStatus, FailureReason, Method, ReportLock, State, Transaction,
    User, UserLock, UserStanding,
};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::key::Key;
use crate::record::{UserRecord, UserRow};

/// How an ended transaction ended for its user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Success,
    Missed,
    Superseded,
    Neither,
}

/// What locks a user at this moment.
pub(crate) fn lock(table: &Table<'_>, user: &User) -> RowResult<Option<UserLock>> {
    Ok(table.user(user)?.and_then(|row| row.standing.lock_at(table.now)))
}

/// Removes all locks of a user, and the row of misses that would lock him again. Answers with the locks that held.
pub(crate) fn unlock(
    table: &Table<'_>,
    user: &User,
    by: AuditActor,
    batch: &mut Batch,
) -> RowResult<Vec<UserLock>> {
    let Some(row) = table.user(user)? else { return Ok(Vec::new()) };
    let held: Vec<UserLock> = row.standing.locks_at(table.now).copied().collect();
    if !row.standing.is_clear() {
        put(batch, user, &UserRow { standing: UserStanding::default(), ..row });
    }
    if !held.is_empty() {
        let reasons: Vec<&str> = held.iter().map(|lock| lock.reason.as_str()).collect();
        let unlocked = AuditEvent::new(AuditKind::UserUnlocked, by).user(user);
        batch.audit(unlocked.detail(&reasons.join(" ")));
    }
    Ok(held)
}

/// What the ends of transactions of one user, in this order, do to him. `replaced` ones gave way to another and were
/// answered by nobody.
pub(super) fn note_ends(
    table: &Table<'_>,
    user: Option<&User>,
    ended: &[&Transaction],
    replaced: bool,
    batch: &mut Batch,
) -> RowResult<()> {
    for reported in ended.iter().filter(|ended| ended.state == State::Reported) {
        batch.audit(AuditEvent::new(AuditKind::FraudReported, by_phone(reported)).transaction(reported));
    }
    let Some(user) = user.filter(|_| ended.iter().any(|ended| ended.guard().is_some())) else {
        return Ok(());
    };
    let row = table.user(user)?.unwrap_or_default();
    let mut standing = row.standing.clone();
    for ended in ended {
        for lock in note_end(&mut standing, ended, replaced) {
            let locked = AuditEvent::new(AuditKind::UserLocked, by_phone(ended)).transaction(ended);
            batch.audit(locked.detail(lock.reason.as_str()));
        }
    }
    if standing != row.standing {
        put(batch, user, &UserRow { standing, ..row });
    }
    Ok(())
}

/// Answers with the locks that it makes.
fn note_end(standing: &mut UserStanding, ended: &Transaction, replaced: bool) -> Vec<UserLock> {
    let Some(guard) = ended.guard() else { return Vec::new() };
    let at = ended.ended_at.unwrap_or(ended.expires_at);
    let mut locks = Vec::new();
    match ending(ended, replaced) {
        Ending::Success if guard.counts => standing.succeed(),
        Ending::Missed if guard.counts => locks.extend(standing.miss(at, guard.block)),
        Ending::Superseded if guard.counts => standing.supersede(at),
        Ending::Success | Ending::Missed | Ending::Superseded | Ending::Neither => {}
    }
    if let Some(report_lock) = guard.report_lock.filter(|_| ended.state == State::Reported) {
        let until = match report_lock {
            ReportLock::UntilRemoved => None,
            ReportLock::For(length) => Some(at.plus(length)),
        };
        let reason = tocsin_model::LockReason::Reported;
        locks.push(standing.lock(UserLock { reason, since: at, until }));
    }
    locks
}

/// Only pushes can be ignored or refused; whatever is accepted is a success.
fn ending(ended: &Transaction, replaced: bool) -> Ending {
    if ended.state == State::Accepted {
        return Ending::Success;
    }
    // A push whose fallback was taken was ignored all the same; an anonymous one was pushed to nobody.
    if ended.method == Method::Otp || !may_have_been_seen(ended) {
        return Ending::Neither;
    }
    match ended.state {
        State::Timeout | State::Declined | State::Reported | State::Failed(FailureReason::WrongNumber) => {
            Ending::Missed
        }
        State::Cancelled if replaced => Ending::Superseded,
        State::Pending | State::Accepted | State::Cancelled | State::Failed(_) => Ending::Neither,
    }
}

/// A request of which every push failed was ignored by nobody, unless its phone answered all the same.
fn may_have_been_seen(ended: &Transaction) -> bool {
    let mut deliveries = ended.recipients.iter().filter_map(|recipient| recipient.delivery.as_ref());
    ended.answer.is_some() || deliveries.any(|delivery| delivery.status != DeliveryStatus::Failed)
}

fn by_phone(ended: &Transaction) -> AuditActor {
    ended.answer.as_ref().map_or(AuditActor::Server, |answer| AuditActor::Device(answer.device_id))
}

fn put(batch: &mut Batch, user: &User, row: &UserRow) {
    batch.put(Key::user(user), row.expiry(), &UserRecord::new(row));
}
