//! What operators see of transactions: how they fare, never what their users were shown or signed.

use serde::Serialize;
use tocsin_model::{FailureReason, OperatorName, Transaction};

use crate::door::rfc3339;
use crate::view::{CounterView, DeliveryView, UserView};

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
    attempts: CounterView,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<&'a str>,
}

#[derive(Serialize)]
struct AnswerView {
    device_id: String,
    method: String,
    decided_at: String,
}

impl<'a> TransactionView<'a> {
    pub(super) fn of(transaction: &'a Transaction) -> Self {
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
            delivery: DeliveryView::all_of(transaction),
            attempts: CounterView::of_tries(transaction.attempts),
            answer,
            cancelled_by: transaction.cancelled_by().map(OperatorName::as_str),
        }
    }
}
