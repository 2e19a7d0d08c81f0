//! What a storage call can fail with.

use std::fmt;

/// The closed list of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is too much to do, such as a full commit queue: nothing was written; try again.
    Busy,
    /// Free disk space is below the minimum: creates are refused, outcomes are still stored.
    DiskFull,
    /// A write or sync failed and the store has stopped for good; the process must end.
    Stopped,
    /// The answer was lost: it may or may not be stored; read it back.
    Unknown,
    /// A row cannot be decoded.
    Corrupt,
    /// Another process has the database.
    Locked,
    /// The database was written by a newer version.
    NewerFormat,
    /// Rows are sealed by a master key that is not configured, or is another one.
    MasterKey,
    /// The operating system refused a read or the opening.
    Io,
}

/// A failed storage call: a kind for decisions and an inner text for the log, without secrets.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    inner: String,
}

impl StoreError {
    /// An error of this kind; `inner` is for the log.
    pub fn new(kind: StoreErrorKind, inner: impl Into<String>) -> Self {
        Self { kind, inner: inner.into() }
    }

    /// What kind of failure.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self.kind {
            StoreErrorKind::Busy | StoreErrorKind::DiskFull | StoreErrorKind::Unknown => true,
            StoreErrorKind::Stopped
            | StoreErrorKind::Corrupt
            | StoreErrorKind::Locked
            | StoreErrorKind::NewerFormat
            | StoreErrorKind::MasterKey
            | StoreErrorKind::Io => false,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::Busy => "the storage has too much to do",
            StoreErrorKind::DiskFull => "free disk space is below the minimum",
            StoreErrorKind::Stopped => "the store has stopped after a failed write",
            StoreErrorKind::Unknown => "the outcome of the write is unknown",
            StoreErrorKind::Corrupt => "a stored row cannot be read",
            StoreErrorKind::Locked => "the database is in use by another process",
            StoreErrorKind::NewerFormat => "the database was written by a newer version",
            StoreErrorKind::MasterKey => "the database is sealed by another master key",
            StoreErrorKind::Io => "the operating system refused the access",
        };
        write!(formatter, "{what}: {}", self.inner)
    }
}

impl std::error::Error for StoreError {}
