//! At the start: gives every open transaction of the storage its actor again.

use std::sync::Arc;

use tocsin_model::{DeviceId, Transaction};
use tocsin_storage::StoreError;

use super::Registry;
use crate::handle::gone_for;
use crate::limits::RECOVERY_PAGE;
use crate::surroundings::Surroundings;
use crate::transaction::News;

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
    let read = |after| surroundings.store.open_transactions(after, RECOVERY_PAGE);
    let mut reading = read(None);
    loop {
        let page = reading.await?;
        // Read by the storage while those of this page are revived.
        let next = page.next.map(|next| read(Some(next)));
        recovered.transactions += page.transactions.len();
        for transaction in page.transactions {
            revive(registry, surroundings, transaction).await?;
        }
        match next {
            Some(next) => reading = next,
            None => return Ok(recovered),
        }
    }
}

/// A phone may have been removed or suspended in the last moment of the process before: those whom it would still
/// ask are looked at again.
async fn revive(
    registry: &Arc<Registry>,
    surroundings: &Surroundings,
    transaction: Transaction,
) -> Result<(), StoreError> {
    let asked: Vec<DeviceId> = transaction.recipients.iter().map(|recipient| recipient.device_id).collect();
    let mut gone = Vec::new();
    for device_id in asked {
        let device = surroundings.store.device(device_id).await?;
        gone.extend(gone_for(device.as_ref()).map(|reason| News::DeviceGone(device_id, reason)));
    }
    let address = registry.revive(transaction);
    for news in gone {
        // Its mailbox is empty still, and a recipient that it cannot take in fails when it answers.
        let _ = address.try_send(news);
    }
    Ok(())
}
