//! At the start: gives every open transaction of the storage its actor again, and looks at their phones later.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_model::{Device, DeviceId, TransactionId};
use tocsin_storage::StoreError;

use super::Registry;
use crate::handle::gone_for;
use crate::limits::{RECOVERY_DEVICES, RECOVERY_PAGE};
use crate::surroundings::Surroundings;
use crate::transaction::News;

/// What the recovery found.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Open transactions that live again; those past their deadline end at once.
    pub(crate) transactions: usize,
    /// The phones that they ask.
    pub(crate) asked: Asked,
}

/// Phones, each with a transaction that asks it.
#[derive(Debug, Default)]
pub(crate) struct Asked(Vec<(DeviceId, TransactionId)>);

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
        for transaction in &page.transactions {
            let recipients = transaction.recipients.iter();
            recovered.asked.0.extend(recipients.map(|recipient| (recipient.device_id, transaction.id)));
        }
        for revived in registry.revive_all(page.transactions) {
            // An arbiter that has stopped revives nothing; then the process ends.
            let _ = revived.await;
        }
        match next {
            Some(next) => reading = next,
            None => return Ok(recovered),
        }
    }
}

/// A phone may have been removed or suspended in the last moment of the process before: those whom a transaction would
/// still ask are looked at again. Nobody waits for it, since a phone that is gone cannot answer anyway: what asks nobody
/// else only ends sooner by this than by its deadline.
pub(crate) async fn look_at_phones(
    registry: Arc<Registry>,
    surroundings: Arc<Surroundings>,
    Asked(mut asked): Asked,
) {
    // In the order in which devices are stored.
    asked.sort_unstable();
    for some in asked.chunks(RECOVERY_DEVICES) {
        let mut ids: Vec<DeviceId> = some.iter().map(|(device_id, _)| *device_id).collect();
        ids.dedup();
        let devices = match surroundings.store.devices(ids).await {
            Ok(devices) => devices,
            Err(error) => {
                tracing::warn!(%error, "phones that went before the restart are not looked for");
                return;
            }
        };
        let devices: BTreeMap<DeviceId, Device> =
            devices.into_iter().map(|device| (device.id, device)).collect();
        for (device_id, transaction_id) in some {
            if let Some(reason) = gone_for(devices.get(device_id)) {
                registry.tell_surely(*transaction_id, News::DeviceGone(*device_id, reason)).await;
            }
        }
    }
}
