//! Behind a start: gives every open transaction of the storage its actor again, and looks at their phones later.
//!
//! The doors are open meanwhile. Whoever asks for a transaction that has no actor yet revives it, as after a fall; whoever
//! needs all that is open of a user has it revived first (`handle/recovering.rs`). What was read of a transaction may be no
//! longer true when it comes to give it an actor, so an actor is made only by whoever takes it off the list of those that
//! have had none: once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Those that were open when the process began and have had no actor since.
#[derive(Debug, Default)]
pub(crate) struct Dormant {
    is_over: AtomicBool,
    ids: ById<()>,
}

impl Dormant {
    /// Whether the recovery goes on.
    pub(crate) fn may_be_any(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    pub(crate) fn contains(&self, id: TransactionId) -> bool {
        self.may_be_any() && self.ids.contains_key(&id)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }

    fn enter(&self, open: &[TransactionId]) {
        for id in open {
            self.ids.insert(*id, ());
        }
    }

    /// Takes it off the list; whether it was there.
    pub(super) fn take(&self, id: TransactionId) -> bool {
        self.may_be_any() && self.ids.remove(&id).is_some()
    }

    /// Nobody is on the list any more.
    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.ids.shrink_to_fit();
    }
}

/// How often the log tells that the storage is too busy for the recovery.
const TOLD_EVERY: Duration = Duration::from_secs(5);

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

/// Lists all that is open, in the order of the deadlines, and counts its places.
pub(crate) async fn list_open(
    registry: &Registry,
    store: &dyn Store,
) -> Result<Vec<TransactionId>, StoreError> {
    let (mut open, mut behind) = (Vec::new(), None);
    loop {
        let page = store.open_ids(behind, RECOVERY_IDS).await?;
        registry.dormant().enter(&page.ids);
        registry.admission().expect(page.ids.len());
        open.extend(page.ids);
        behind = page.next;
        if behind.is_none() {
            return Ok(open);
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
            Err(error) if error.kind() == StoreErrorKind::Busy => read_later(&**store, &ids).await?,
            read => read?,
        };
        recovered.transactions += transactions.len();
        for transaction in &transactions {
            let recipients = transaction.recipients.iter();
            recovered.asked.0.extend(recipients.map(|recipient| (recipient.device_id, transaction.id)));
        }
        // Arbiters have two pages at most, so that they neither wait for the next nor gather many.
        let page = Page { ids, reviving: registry.revive_all(transactions) };
        std::mem::replace(&mut reviving, page).revived(registry).await?;
    }
    reviving.revived(registry).await?;
    registry.dormant().end();
    Ok(recovered)
}

/// Reads these once there is room among the storage's lists.
async fn read_later(store: &dyn Store, ids: &[TransactionId]) -> Result<Vec<Transaction>, StoreError> {
    let mut told_at = None;
    loop {
        if told_at.is_none_or(|at: tokio::time::Instant| at.elapsed() >= TOLD_EVERY) {
            tracing::warn!("the storage is busy; open transactions get their actors later");
            told_at = Some(tokio::time::Instant::now());
        }
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
    ids: Vec<TransactionId>,
    /// By each arbiter its own.
    reviving: Vec<oneshot::Receiver<()>>,
}

impl Page {
    async fn revived(self, registry: &Registry) -> Result<(), EngineStartError> {
        for revived in self.reviving {
            revived.await.map_err(|_| EngineStartError::Recovery)?;
        }
        // Those that have ended are not among what was read, or not revived.
        for id in self.ids {
            registry.forget_dormant(id);
        }
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
