//! What operators see of transactions: how they fare, never what their users were shown or signed.

use serde::Serialize;
use tocsin_model::{Delivery, DeliveryReason, FailureReason, OperatorName, Recipient, Transaction, User};

use crate::door::rfc3339;

/// A transaction; members without a value are left out.
#[derive(Serialize)]
pub(super) struct TransactionView<'a> {
    id: String,
    client: &'a str,
    user: UserView<'a>,
    r#type: &'a str,
    method: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    delivery: Vec<DeliveryView<'a>>,
    attempts: AttemptsView,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<&'a str>,
}

/// A user.
#[derive(Serialize)]
pub(super) struct UserView<'a> {
    id: &'a str,
    realm: &'a str,
}

#[derive(Serialize)]
struct DeliveryView<'a> {
    device_id: String,
    device_name: &'a str,
    platform: &'static str,
    provider: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct AttemptsView {
    used: u32,
    max: u32,
}

#[derive(Serialize)]
struct AnswerView {
    device_id: String,
    method: String,
    decided_at: String,
}

impl<'a> UserView<'a> {
    pub(super) fn of(user: &'a User) -> Self {
        Self { id: user.id.as_str(), realm: user.realm.as_str() }
    }
}

impl<'a> TransactionView<'a> {
    pub(super) fn of(transaction: &'a Transaction) -> Self {
        let deliveries = transaction.recipients.iter().filter_map(|recipient| {
            recipient.delivery.as_ref().map(|delivery| DeliveryView::of(recipient, delivery))
        });
        let answer = transaction.answer.as_ref().map(|answer| AnswerView {
            device_id: answer.device_id.to_string(),
            method: answer.key_use.to_string(),
            decided_at: rfc3339(answer.decided_at),
        });
        Self {
            id: transaction.id.to_string(),
            client: transaction.client.as_str(),
            user: UserView::of(&transaction.user),
            r#type: transaction.type_name.as_str(),
            method: transaction.method.as_str(),
            state: transaction.state.as_str(),
            reason: transaction.state.failure_reason().map(FailureReason::as_str),
            created_at: rfc3339(transaction.created_at),
            expires_at: rfc3339(transaction.expires_at),
            ended_at: transaction.ended_at.map(rfc3339),
            delivery: deliveries.collect(),
            attempts: AttemptsView { used: transaction.attempts.used, max: transaction.attempts.max },
            answer,
            cancelled_by: transaction.cancelled_by.as_ref().map(OperatorName::as_str),
        }
    }
}

impl<'a> DeliveryView<'a> {
    fn of(recipient: &'a Recipient, delivery: &'a Delivery) -> Self {
        Self {
            device_id: recipient.device_id.to_string(),
            device_name: &recipient.device_name,
            platform: recipient.platform.as_str(),
            provider: delivery.provider.as_str(),
            status: delivery.status.as_str(),
            reason: delivery.reason.map(DeliveryReason::as_str),
        }
    }
}
