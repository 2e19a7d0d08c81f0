//! Parts of replies that more than one door shows.

use schemars::JsonSchema;
use serde::Serialize;
use tocsin_model::{Counter, Delivery, DeliveryReason, Fallback, Transaction, User, UserLock};

use crate::door::rfc3339;
use crate::openapi;

/// A user.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "User")]
pub(crate) struct UserView<'a> {
    id: &'a str,
    #[schemars(schema_with = "openapi::name")]
    realm: &'a str,
}

impl<'a> UserView<'a> {
    pub(crate) fn of(user: &'a User) -> Self {
        Self { id: user.id.as_str(), realm: user.realm.as_str() }
    }
}

/// What keeps anything from being started for a user.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Lock")]
pub(crate) struct LockView {
    #[schemars(schema_with = "openapi::lock_reason")]
    reason: &'static str,
    #[schemars(schema_with = "openapi::time")]
    since: String,
    /// Left out where it holds until somebody removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::time")]
    until: Option<String>,
}

impl LockView {
    pub(crate) fn of(lock: &UserLock) -> Self {
        let UserLock { reason, since, until } = *lock;
        Self { reason: reason.as_str(), since: rfc3339(since), until: until.map(rfc3339) }
    }
}

/// How far the push to one phone came, or the message with the code; the latter goes to no device of ours.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Delivery")]
pub(crate) struct DeliveryView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::id")]
    device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::platform")]
    platform: Option<&'static str>,
    #[schemars(schema_with = "openapi::name")]
    provider: &'a str,
    #[schemars(schema_with = "openapi::delivery_status")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::delivery_reason")]
    reason: Option<&'static str>,
}

impl<'a> DeliveryView<'a> {
    /// Those of a transaction; a phone that is not pushed to has none. The code's stands last.
    pub(crate) fn all_of(transaction: &'a Transaction) -> Vec<Self> {
        let pushed = transaction.recipients.iter().filter_map(|recipient| {
            recipient.delivery.as_ref().map(|delivery| Self {
                device_id: Some(recipient.device_id.to_string()),
                // Gone with the rest that told of a user who was erased.
                device_name: Some(&*recipient.device_name).filter(|name| !name.is_empty()),
                platform: Some(recipient.platform.as_str()),
                ..Self::of(delivery)
            })
        });
        let code = transaction.code().and_then(|code| code.delivery.as_ref()).map(Self::of);
        pushed.chain(code).collect()
    }

    fn of(delivery: &'a Delivery) -> Self {
        Self {
            device_id: None,
            device_name: None,
            platform: None,
            provider: delivery.provider.as_str(),
            status: delivery.status.as_str(),
            reason: delivery.reason.map(DeliveryReason::as_str),
        }
    }
}

/// Tries used and allowed.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Counter")]
pub(crate) struct CounterView {
    used: u32,
    /// How many there are; left out where there is no end of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
}

impl CounterView {
    pub(crate) const fn of(counter: Counter) -> Self {
        Self { used: counter.used, max: Some(counter.max) }
    }

    /// Tries of a PIN or a code, of which zero means that there is no end of them.
    pub(crate) fn of_tries(counter: Counter) -> Self {
        Self { used: counter.used, max: Some(counter.max).filter(|max| *max > 0) }
    }
}

/// The fallback that a transaction took.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Fallback")]
pub(crate) struct FallbackView {
    /// The method before.
    #[schemars(schema_with = "openapi::method")]
    from: &'static str,
    /// The method since.
    #[schemars(schema_with = "openapi::method")]
    to: &'static str,
    #[schemars(schema_with = "openapi::fallback_reason")]
    reason: &'static str,
    #[schemars(schema_with = "openapi::time")]
    at: String,
}

impl FallbackView {
    pub(crate) fn of(fallback: Fallback) -> Self {
        Self {
            from: fallback.from.as_str(),
            to: fallback.to.as_str(),
            reason: fallback.reason.as_str(),
            at: rfc3339(fallback.at),
        }
    }
}
