//! Counts what is owed and what is dead, page by page, so that the figures heal themselves whatever happens.

use tocsin_model::{TransactionId, UnixMs};
use tocsin_storage::{CallbackList, CallbackPage, Store, StoreError};

/// Callbacks counted at a time, so that no thread is kept long.
const PAGE: usize = 500;

/// What a whole walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Callbacks that are owed.
    pub(super) owed: u64,
    /// Callbacks that are dead.
    pub(super) dead: u64,
    /// Since when the oldest is owed.
    pub(super) oldest_owed_at: Option<UnixMs>,
}

/// A walk over both lists.
#[derive(Debug, Default)]
pub(super) struct Census {
    count: Count,
    owed_walked: bool,
    after: Option<TransactionId>,
}

impl Census {
    /// Reads the next page; answers with the count when that was the last one.
    pub(super) async fn advance(mut self, store: &dyn Store) -> Result<Result<Count, Self>, StoreError> {
        let list = if self.owed_walked { CallbackList::Dead } else { CallbackList::Owed };
        let page = store.callbacks(list, self.after, PAGE).await?;
        Ok(if self.take(&page) { Ok(self.count) } else { Err(self) })
    }

    fn take(&mut self, page: &CallbackPage) -> bool {
        let found = u64::try_from(page.callbacks.len()).unwrap_or(u64::MAX);
        if self.owed_walked {
            self.count.dead += found;
        } else {
            self.count.owed += found;
            let oldest = page.callbacks.iter().map(|callback| callback.owed_at).min();
            self.count.oldest_owed_at = self.count.oldest_owed_at.into_iter().chain(oldest).min();
        }
        self.after = page.next;
        let is_over = self.owed_walked && page.next.is_none();
        self.owed_walked |= page.next.is_none();
        is_over
    }
}
