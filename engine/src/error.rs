//! Turns what went wrong inside into what a caller is told.

use tocsin_model::{ErrorCode, Problem};
use tocsin_storage::{StoreError, StoreErrorKind};

use crate::transaction::StoreFailure;

/// What a failed storage call means to a transaction.
pub(crate) fn store_failure(error: &StoreError) -> StoreFailure {
    match error.kind() {
        StoreErrorKind::Busy => StoreFailure::Refused,
        StoreErrorKind::DiskFull | StoreErrorKind::Io | StoreErrorKind::Corrupt => StoreFailure::Unavailable,
        StoreErrorKind::Unknown => StoreFailure::Unknown,
        StoreErrorKind::Stopped
        | StoreErrorKind::Locked
        | StoreErrorKind::NewerFormat
        | StoreErrorKind::MasterKey => StoreFailure::Stopped,
    }
}

/// What the caller of a failed storage call is told.
pub(crate) fn store_problem(error: &StoreError) -> Problem {
    match error.kind() {
        StoreErrorKind::Busy => Problem::new(ErrorCode::Busy, "the storage is busy; nothing was stored"),
        StoreErrorKind::Unknown | StoreErrorKind::Stopped | StoreErrorKind::DiskFull => {
            tracing::error!(%error, "storage call failed");
            Problem::new(ErrorCode::StorageUnavailable, "the storage takes no writes at the moment")
        }
        StoreErrorKind::Corrupt
        | StoreErrorKind::Locked
        | StoreErrorKind::NewerFormat
        | StoreErrorKind::MasterKey
        | StoreErrorKind::Io => {
            tracing::error!(%error, "storage call failed");
            Problem::internal()
        }
    }
}
