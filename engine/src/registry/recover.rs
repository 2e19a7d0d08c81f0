//! Behind a start: gives every open transaction of the storage its actor again, and looks at their phones later.
//!
//! The doors are open meanwhile. Whoever asks for a transaction that has no actor yet revives it, as after a fall; whoever
//! needs all that is open of a user has it revived first (`handle/recovering.rs`). What the recovery has read may be no
//! longer true when it comes to give it an actor: it leaves out whatever had one since, or was seen to have ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tocsin_model::{Device, DeviceId, Transaction, TransactionId};
use tocsin_storage::{Store, StoreError, StoreErrorKind};
use tokio::sync::oneshot;

use super::Registry;
use crate::by_id::ById;
use crate::engine::EngineStartError;
use crate::handle::gone_for;
use crate::limits::{
    RECOVERY_DEVICES, RECOVERY_IDS, RECOVERY_PAGE, RECOVERY_READS, REVIVAL_BACKOFF, REVIVAL_LOOKS_MAX,
    REVIVAL_WAIT_MAX,
};
use crate::surroundings::Surroundings;
use crate::transaction::News;

/// What the recovery has to know of what goes on beside it.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    is_over: AtomicBool,
    /// Those whose actor has gone since it began, or that were seen to have ended.
    moved_on: ById<()>,
}

impl Recovery {
    /// Whether there may be open transactions without an actor.
    pub(crate) fn is_on(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    /// What was read of this one before now is not to be trusted. Whether that may matter to anybody.
    pub(super) fn moves_on(&self, id: TransactionId) -> bool {
        let is_on = self.is_on();
        if is_on {
            self.moved_on.insert(id, ());
        }
        is_on
    }

    /// Whether what was read of this one may be no longer true.
    pub(super) fn has_moved_on(&self, id: TransactionId) -> bool {
        self.moved_on.contains_key(&id)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.moved_on.clear();
        self.moved_on.shrink_to_fit();
    }
}

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

/// All that is open, in the order of the deadlines.
pub(crate) async fn list_open(store: &dyn Store) -> Result<Vec<TransactionId>, StoreError> {
    let (mut ids, mut behind) = (Vec::new(), None);
    loop {
        let page = store.open_ids(behind, RECOVERY_IDS).await?;
        ids.extend(page.ids);
        behind = page.next;
        if behind.is_none() {
            return Ok(ids);
        }
    }
}

/// Revives these, which were open when the process began, in this order.
pub(crate) async fn recover(
    registry: &Arc<Registry>,
    surroundings: &Surroundings,
    open: Vec<TransactionId>,
) -> Result<Recovered, EngineStartError> {
    let (store, mut recovered) = (&surroundings.store, Recovered::default());
    let mut ids = open.into_iter();
    // Read by the storage while earlier ones are revived.
    let (mut reading, mut reviving) = (VecDeque::new(), Page::default());
    loop {
        while reading.len() < RECOVERY_READS {
            let some: Vec<_> = ids.by_ref().take(RECOVERY_PAGE).collect();
            if some.is_empty() {
                break;
            }
            reading.push_back((some.clone(), store.transactions_with(some)));
        }
        let Some((ids, read)) = reading.pop_front() else { break };
        let transactions = match read.await {
            Err(error) if error.kind() == StoreErrorKind::Busy => {
                read_between_callers(&**store, &ids).await?
            }
            read => read?,
        };
        recovered.transactions += transactions.len();
        for transaction in &transactions {
            let recipients = transaction.recipients.iter();
            recovered.asked.0.extend(recipients.map(|recipient| (recipient.device_id, transaction.id)));
        }
        // Arbiters have two pages at most, so that they neither wait for the next nor gather many.
        let page = Page { ids: ids.len(), reviving: registry.revive_all(transactions) };
        std::mem::replace(&mut reviving, page).revived(registry).await?;
    }
    reviving.revived(registry).await?;
    registry.recovery().end();
    Ok(recovered)
}

/// Reads these once callers leave room for it: they go before.
async fn read_between_callers(
    store: &dyn Store,
    ids: &[TransactionId],
) -> Result<Vec<Transaction>, StoreError> {
    loop {
        tokio::time::sleep(REVIVAL_BACKOFF).await;
        match store.transactions_with(ids.to_vec()).await {
            Err(error) if error.kind() == StoreErrorKind::Busy => {}
            read => return read,
        }
    }
}

/// Open transactions that were read in one go.
#[derive(Default)]
struct Page {
    ids: usize,
    /// By each arbiter its own.
    reviving: Vec<oneshot::Receiver<()>>,
}

impl Page {
    async fn revived(self, registry: &Registry) -> Result<(), EngineStartError> {
        for revived in self.reviving {
            revived.await.map_err(|_| EngineStartError::Recovery)?;
        }
        registry.admission().no_longer_expect(self.ids);
        Ok(())
    }
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
