//! Parts of replies that more than one door shows.

use serde::Serialize;
use tocsin_model::{Counter, DeliveryReason, Transaction, User};

/// A user.
#[derive(Serialize)]
pub(crate) struct UserView<'a> {
    id: &'a str,
    realm: &'a str,
}

impl<'a> UserView<'a> {
    pub(crate) fn of(user: &'a User) -> Self {
        Self { id: user.id.as_str(), realm: user.realm.as_str() }
    }
}

/// How far the push to one phone came.
#[derive(Serialize)]
pub(crate) struct DeliveryView<'a> {
    device_id: String,
    device_name: &'a str,
    platform: &'static str,
    provider: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'a> DeliveryView<'a> {
    /// Those of a transaction; a phone that is not pushed to has none.
    pub(crate) fn all_of(transaction: &'a Transaction) -> Vec<Self> {
        let pushed = transaction.recipients.iter().filter_map(|recipient| {
            recipient.delivery.as_ref().map(|delivery| Self {
                device_id: recipient.device_id.to_string(),
                device_name: &recipient.device_name,
                platform: recipient.platform.as_str(),
                provider: delivery.provider.as_str(),
                status: delivery.status.as_str(),
                reason: delivery.reason.map(DeliveryReason::as_str),
            })
        });
        pushed.collect()
    }
}

/// Tries used and allowed.
#[derive(Serialize)]
pub(crate) struct CounterView {
    used: u32,
    max: u32,
}

impl CounterView {
    pub(crate) const fn of(counter: Counter) -> Self {
        Self { used: counter.used, max: counter.max }
    }
}
