//! What was acknowledged, and whether a store that was opened again keeps it.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_model::{DeviceId, DeviceStatus, TransactionId};
use tocsin_storage::{CallbackList, Store};

use super::line::{Line, Verdict};

/// The wrong PIN that revokes a device.
pub const PIN_TRIES_MAX: u32 = 3;

/// What was promised about a transaction, beyond that it is there.
#[derive(Debug, Default)]
struct Promise {
    left_max: Option<u32>,
    outcome: Option<String>,
    callback: Delivery,
}

/// What is known of the delivery of a callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delivery {
    #[default]
    NotBegun,
    Unknown,
    Acknowledged,
}

/// Every other transaction of the child calls back.
pub fn owes(id: &TransactionId) -> bool {
    id.as_bytes()[15].is_multiple_of(2)
}

/// Everything that was acknowledged.
#[derive(Debug, Default)]
pub struct Promises {
    transactions: BTreeMap<TransactionId, Promise>,
    /// Wrong PINs in a row, by device.
    pins: BTreeMap<TransactionId, u32>,
}

impl Promises {
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Takes an acknowledgement; other lines promise nothing.
    pub fn note(&mut self, line: Line) {
        let (id, verdict) = match line {
            Line::Acknowledged(id, verdict) => (id, verdict),
            Line::Settling(id) => {
                return self.transactions.entry(id).or_default().callback = Delivery::Unknown;
            }
            Line::Settled(id) => {
                return self.transactions.entry(id).or_default().callback = Delivery::Acknowledged;
            }
            Line::Opening | Line::Opened(_) | Line::Failed(_) | Line::Done(_) => return,
        };
        if let Verdict::PinTried(used) = verdict {
            self.pins.insert(id, used);
            return;
        }
        let promise = self.transactions.entry(id).or_default();
        match verdict {
            Verdict::PinTried(_) => {}
            Verdict::Created => {}
            Verdict::Tried(left) => promise.left_max = Some(left),
            Verdict::Ended(outcome, left) => {
                promise.left_max = Some(left);
                promise.outcome = Some(outcome);
            }
        }
    }

    /// Looks for everything in `store`; `when` stands in the message of a loss.
    pub async fn check(&self, store: &impl Store, when: &str) {
        let open = open_ids(store).await;
        for (id, used) in &self.pins {
            let device = store.device(DeviceId::from_bytes(*id.as_bytes())).await.expect("read");
            let device = device.unwrap_or_else(|| panic!("{when}: the device {id} is lost"));
            assert!(device.guards.pin_tries_used >= *used, "{when}: {id} got a try of its PIN back");
            let exhausted = device.guards.pin_tries_used >= PIN_TRIES_MAX;
            assert_eq!(device.status == DeviceStatus::Revoked, exhausted, "{when}: {id}");
        }
        for (id, promise) in &self.transactions {
            let stored = store.transaction(*id).await.expect("read");
            let stored = stored.unwrap_or_else(|| panic!("{when}: {id} was acknowledged and is lost"));
            if let Some(left_max) = promise.left_max {
                assert!(stored.attempts.left() <= left_max, "{when}: {id} got a try back");
            }
            if let Some(outcome) = &promise.outcome {
                assert_eq!(stored.state.as_str(), outcome, "{when}: {id} has another outcome");
            }
            if promise.outcome.is_some() && owes(id) {
                let owed = store.callback(CallbackList::Owed, *id).await.expect("read").is_some();
                assert!(
                    owed || promise.callback != Delivery::NotBegun,
                    "{when}: the callback of {id} is lost"
                );
                assert!(!owed || promise.callback != Delivery::Acknowledged, "{when}: {id} is owed again");
            }
            assert_eq!(
                open.contains(id),
                !stored.state.is_final(),
                "{when}: {id} stands wrongly among the open"
            );
        }
    }
}

async fn open_ids(store: &impl Store) -> BTreeSet<TransactionId> {
    let mut open = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.open_transactions(after, 1_000).await.expect("read");
        open.extend(page.transactions.iter().map(|transaction| transaction.id));
        after = page.next;
        if after.is_none() {
            return open;
        }
    }
}
