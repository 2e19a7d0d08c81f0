//! At the start: gives every open transaction of the storage its actor again, and looks at their phones later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tocsin_model::{Device, DeviceId, TransactionId};
use tokio::sync::oneshot;

use super::Registry;
use crate::engine::EngineStartError;
use crate::handle::gone_for;
use crate::limits::{
    RECOVERY_DEVICES, RECOVERY_IDS, RECOVERY_PAGE, RECOVERY_READS, REVIVAL_BACKOFF, REVIVAL_LOOKS_MAX,
    REVIVAL_WAIT_MAX,
};
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
) -> Result<Recovered, EngineStartError> {
    let (store, mut recovered) = (&surroundings.store, Recovered::default());
    let (mut listing, mut ids) = (Some(store.open_ids(None, RECOVERY_IDS)), Vec::new().into_iter());
    // Read by the storage while earlier ones are revived.
    let (mut reading, mut reviving) = (VecDeque::new(), Vec::new());
    loop {
        while reading.len() < RECOVERY_READS {
            let some: Vec<_> = ids.by_ref().take(RECOVERY_PAGE).collect();
            if !some.is_empty() {
                reading.push_back(store.transactions_with(some));
            } else if let Some(listed) = listing.take() {
                let page = listed.await?;
                listing = page.next.map(|next| store.open_ids(Some(next), RECOVERY_IDS));
                ids = page.ids.into_iter();
            } else {
                break;
            }
        }
        let Some(read) = reading.pop_front() else { break };
        let transactions = read.await?;
        recovered.transactions += transactions.len();
        for transaction in &transactions {
            let recipients = transaction.recipients.iter();
            recovered.asked.0.extend(recipients.map(|recipient| (recipient.device_id, transaction.id)));
        }
        // Arbiters have two pages at most, so that they neither wait for the next nor gather many.
        let before = std::mem::replace(&mut reviving, registry.revive_all(transactions));
        all(before).await?;
    }
    all(reviving).await?;
    Ok(recovered)
}

/// Waits for all of them.
async fn all(reviving: Vec<oneshot::Receiver<()>>) -> Result<(), EngineStartError> {
    for revived in reviving {
        revived.await.map_err(|_| EngineStartError::Recovery)?;
    }
    Ok(())
}

/// A phone may have been removed or suspended in the last moment of the process before: those whom a transaction would
/// still ask are looked at again. Nobody waits for it, since a phone that is gone cannot answer anyway: what asks nobody
/// else only ends sooner by this than by its deadline. A suspension that is lifted before its phone is looked at leaves
/// the phone among those who may answer.
pub(crate) async fn look_at_phones(
    registry: Arc<Registry>,
    surroundings: Arc<Surroundings>,
    Asked(mut asked): Asked,
) {
    // In the order in which devices are stored.
    asked.sort_unstable();
    for some in asked.chunks(RECOVERY_DEVICES) {
        let Some(devices) = read_phones(&surroundings, some).await else { continue };
        for (device_id, transaction_id) in some {
            if let Some(reason) = gone_for(devices.get(device_id)) {
                registry.tell_surely(*transaction_id, News::DeviceGone(*device_id, reason)).await;
            }
        }
    }
}

/// The phones of these; those that call meanwhile go before, so it is tried again, with growing waits.
async fn read_phones(
    surroundings: &Surroundings,
    some: &[(DeviceId, TransactionId)],
) -> Option<BTreeMap<DeviceId, Device>> {
    let ids: Vec<DeviceId> = some.iter().map(|(device_id, _)| *device_id).collect();
    let mut wait = REVIVAL_BACKOFF;
    for _ in 0..REVIVAL_LOOKS_MAX {
        match surroundings.store.devices(ids.clone()).await {
            Ok(devices) => return Some(devices.into_iter().map(|device| (device.id, device)).collect()),
            Err(error) => {
                tracing::warn!(%error, "phones that went before the restart cannot be looked for yet")
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REVIVAL_WAIT_MAX);
    }
    tracing::error!(
        "transactions of phones that went before the restart may wait for them until their deadlines"
    );
    None
}
