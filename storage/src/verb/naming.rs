//! Names for the audit trail: each row about a user carries his pseudonym, which is given out with the first.
//!
//! Invariants: a pseudonym is given out in the group of the row that first carries it; the way from it to the name is
//! kept at least as long as any row that carries it, and at most half as long again; an erasure's own rows carry the
//! pseudonym that it takes the name from; what comes late about somebody erased introduces nobody.

use tocsin_model::{AuditEvent, AuditKind, DurationMs, Pseudonym, UnixMs, User};

use super::batch::Batch;
use super::overlay::Overlay;
use super::table::{Retention, Table};
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{NameRecord, UserRecord, UserRow};

/// How the user of an event is named already.
pub(super) struct Known {
    pub(super) pseudonym: Pseudonym,
    /// Whether his name would go before the row that tells of the event.
    pub(super) goes_too_soon: bool,
}

/// How the user of an event is named already. A row that cannot be read is told by whoever needs it; the trail goes on.
pub(super) fn known(table: &Table<'_>, event: &AuditEvent) -> Option<Known> {
    let row = table.user(event.user.as_ref()?).ok().flatten()?;
    Some(Known { pseudonym: row.pseudonym?, goes_too_soon: goes_too_soon(&row, table) })
}

fn goes_too_soon(row: &UserRow, table: &Table<'_>) -> bool {
    row.named_until.is_none_or(|until| until < table.now.plus(table.retention.audit))
}

/// Keeps the name of a user for as long as a row of this moment stays, unless this moment took it from him.
pub(super) fn keep(overlay: &mut Overlay<'_>, now: UnixMs, retention: Retention, user: &User) {
    let table = Table::new(overlay, now, retention);
    let row = table.user(user).ok().flatten().filter(|row| goes_too_soon(row, &table));
    if let Some((row, pseudonym)) = row.and_then(|row| row.pseudonym.map(|pseudonym| (row, pseudonym))) {
        put(overlay, row, user, pseudonym, until(now, retention));
    }
}

/// Half as long again as a row stays: so his rows are written again once in a while only.
fn until(now: UnixMs, retention: Retention) -> UnixMs {
    now.plus(retention.audit).plus(DurationMs::new(retention.audit.get() / 2))
}

fn put(overlay: &mut Overlay<'_>, row: UserRow, user: &User, pseudonym: Pseudonym, until: UnixMs) {
    let mut batch = Batch::default();
    let named = UserRow { pseudonym: Some(pseudonym), named_until: Some(until), ..row };
    batch.put(Key::user(user), named.expiry(), &UserRecord::new(&named));
    batch.put(Key::pseudonym(&pseudonym), Expiry::At(until), &NameRecord::new(user));
    overlay.apply(batch);
}

/// Makes `fresh` the pseudonym of a user, unless he has one or was erased and this tells of nothing new. Answers with
/// the one that his row of the trail carries.
pub(super) fn introduce(
    overlay: &mut Overlay<'_>,
    (now, retention): (UnixMs, Retention),
    row: UserRow,
    kind: AuditKind,
    user: &User,
    fresh: Pseudonym,
) -> Pseudonym {
    if let Some(stands) = row.pseudonym {
        return stands;
    }
    if row.erased_at.is_some() && !begins_something(kind) {
        return fresh;
    }
    put(overlay, row, user, fresh, until(now, retention));
    fresh
}

/// What somebody asks for anew, of whomever that was before.
const fn begins_something(kind: AuditKind) -> bool {
    matches!(kind, AuditKind::TransactionStarted | AuditKind::EnrollmentOpened | AuditKind::UserChanged)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tocsin_model::{UserId, UserIdRule};

    use super::*;
    use crate::{envelope, record};

    const NOW: UnixMs = UnixMs::new(1_800_000_000_000);
    const DAY: DurationMs = DurationMs::from_seconds(86_400);
    const RETENTION: Retention = Retention { transaction: DAY, enrollment: DAY, audit: DAY };

    /// Versions before this one kept names for ever.
    #[test]
    fn a_name_without_an_end_gets_one_with_the_next_row_about_him() {
        let id = UserId::new("alice", UserIdRule::Exact).expect("valid");
        let user = User { realm: "retail".parse().expect("valid"), id };
        let pseudonym = Pseudonym::from_bytes([7; 16]);
        let old = UserRow { pseudonym: Some(pseudonym), ..UserRow::default() };
        assert_eq!(old.expiry(), Expiry::Never);
        let rows = BTreeMap::from([
            (Key::user(&user), record::to_row(Expiry::Never, &UserRecord::new(&old))),
            (Key::pseudonym(&pseudonym), record::to_row(Expiry::Never, &NameRecord::new(&user))),
        ]);
        let event = AuditEvent::new(AuditKind::UserChanged, tocsin_model::AuditActor::Server).user(&user);
        let known = known(&Table::new(&rows, NOW, RETENTION), &event).expect("he is");
        assert_eq!((known.pseudonym, known.goes_too_soon), (pseudonym, true));
        let mut overlay = Overlay::new(&rows);
        keep(&mut overlay, NOW, RETENTION, &user);
        let end = Some(Expiry::At(NOW.plus(DAY).plus(DurationMs::new(DAY.get() / 2))));
        let changes = overlay.into_changes();
        for key in [Key::user(&user), Key::pseudonym(&pseudonym)] {
            assert_eq!(changes[&key].as_deref().map(envelope::expiry), Some(end), "{key}");
        }
    }
}
