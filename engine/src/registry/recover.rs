//! At the start: gives every open transaction of the storage its actor again.

use std::sync::Arc;

use tocsin_storage::StoreError;

use super::Registry;
use crate::limits::RECOVERY_PAGE;
use crate::surroundings::Surroundings;

/// What the recovery found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Open transactions that live again; those past their deadline end at once.
    pub(crate) transactions: usize,
}

/// Revives what was open, in the order of the deadlines.
pub(crate) async fn recover(
    registry: &Arc<Registry>,
    surroundings: &Surroundings,
) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered::default();
    let mut after = None;
    loop {
        let page = surroundings.store.open_transactions(after, RECOVERY_PAGE).await?;
        recovered.transactions += page.transactions.len();
        for transaction in page.transactions {
            registry.revive(transaction);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(recovered),
        }
    }
}
