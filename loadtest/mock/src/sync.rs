//! One way to take a lock.
//!
//! Every lock of this crate guards plain data that is consistent between statements, so a panic of
//! another holder leaves nothing half done and the guard is taken as it is. No guard is kept over an
//! await.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, whether or not an earlier holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
