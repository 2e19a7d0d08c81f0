//! Names for the audit trail: each row about a user carries his pseudonym, which is given out with the first.
//!
//! Invariants: a pseudonym is given out in the group of the row that first carries it; an erasure's own rows carry the
//! pseudonym that it takes the name from; what comes late about somebody erased introduces nobody.

use tocsin_model::{AuditEvent, AuditKind, Pseudonym, User};

use super::batch::Batch;
use super::overlay::Overlay;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{NameRecord, UserRecord, UserRow};

/// The pseudonym that the user of an event has already. A row that cannot be read is told by whoever needs it; the
/// trail goes on.
pub(super) fn known(table: &Table<'_>, event: &AuditEvent) -> Option<Pseudonym> {
    let row = event.user.as_ref().map(|user| table.user(user));
    row.and_then(Result::ok).flatten().and_then(|row| row.pseudonym)
}

/// Makes `fresh` the pseudonym of a user, unless he has one or was erased and this tells of nothing new. Answers with
/// the one that his row of the trail carries.
pub(super) fn introduce(
    overlay: &mut Overlay<'_>,
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
    let mut batch = Batch::default();
    let named = UserRow { pseudonym: Some(fresh), ..row };
    batch.put(Key::user(user), Expiry::Never, &UserRecord::new(&named));
    batch.put(Key::pseudonym(&fresh), Expiry::Never, &NameRecord::new(user));
    overlay.apply(batch);
    fresh
}

/// What somebody asks for anew, of whomever that was before.
const fn begins_something(kind: AuditKind) -> bool {
    matches!(kind, AuditKind::TransactionStarted | AuditKind::EnrollmentOpened | AuditKind::UserChanged)
}
