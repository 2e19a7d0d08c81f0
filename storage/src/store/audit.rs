//! What is asked of the audit trail, and what a check of it found.

use tocsin_model::{AuditHash, AuditKind, AuditRow, Pseudonym, TransactionId, TypeName, UnixMs, User};

use crate::record::AuditPlaceRecord;

/// What to list of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only rows about this user.
    pub user: Option<User>,
    /// Only rows that name their user by this pseudonym.
    pub pseudonym: Option<Pseudonym>,
    /// Only rows about this transaction.
    pub transaction: Option<TransactionId>,
    /// Only rows about transactions of this type.
    pub type_name: Option<TypeName>,
    /// Only rows of this kind.
    pub kind: Option<AuditKind>,
    /// Only rows that were stored at this moment or later.
    pub from: Option<UnixMs>,
    /// Only rows that were stored before this moment.
    pub to: Option<UnixMs>,
    /// Only rows with a smaller number.
    pub before: Option<u64>,
    /// Most rows.
    pub limit: usize,
}

impl AuditQuery {
    /// Whether the row is asked for, where `known` is the pseudonym of the user who is asked for.
    pub(crate) fn wants(&self, row: &AuditRow, known: Option<Pseudonym>) -> bool {
        let AuditRow { event, pseudonym, .. } = row;
        self.kind.is_none_or(|kind| event.kind == kind)
            && (self.user.is_none()
                || event.user == self.user
                || (pseudonym.is_some() && *pseudonym == known))
            && (self.pseudonym.is_none() || *pseudonym == self.pseudonym)
            && (self.transaction.is_none() || event.transaction == self.transaction)
            && (self.type_name.is_none() || event.type_name == self.type_name)
    }
}

/// Rows of the audit trail, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The rows. There may be fewer than asked for, even none, although more follow: one page looks at so many.
    pub rows: Vec<AuditRow>,
    /// What to ask with as `before` for the rows behind these; `None` at the end.
    pub next: Option<u64>,
}

/// How far a check of the audit trail has come; the default is its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCheckpoint {
    pub(crate) last: Option<AuditPlaceRecord>,
    pub(crate) cut: Option<Box<str>>,
    pub(crate) first: u64,
}

/// What a check of the audit trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditChecked {
    /// So far all is right; ask again with this.
    More(AuditCheckpoint),
    /// All rows are what was stored.
    Sound(AuditSummary),
    /// A row was changed, is missing, or stands where it was not stored.
    Broken(AuditFault),
}

/// A trail in which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSummary {
    /// The number of its first row; rows before it were cut when their retention was over.
    pub first: u64,
    /// The number of its last row; 0 when there was none ever.
    pub last: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The hash of its last row. Noted elsewhere, it shows later that nothing before was changed.
    pub hash: AuditHash,
}

/// The first place where a trail is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// The number of the row.
    pub number: u64,
    /// What is wrong.
    pub what: String,
}

/// What a cut of the audit trail did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCut {
    /// Rows removed.
    pub cut: usize,
    /// Whether there may be more to cut.
    pub more: bool,
}
