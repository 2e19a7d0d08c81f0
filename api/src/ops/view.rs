//! What operators see of transactions: how they fare, never what their users were shown or signed.

use schemars::JsonSchema;
use serde::Serialize;
use tocsin_model::{FailureReason, OperatorName, Transaction};

use crate::door::rfc3339;
use crate::openapi;
use crate::view::{CounterView, DeliveryView, FallbackView, UserView};

/// A transaction; members without a value are left out.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Transaction")]
pub(super) struct TransactionView<'a> {
    #[schemars(schema_with = "openapi::id")]
    id: String,
    #[schemars(schema_with = "openapi::name")]
    client: &'a str,
    /// Nobody yet where an anonymous one waits for the phone that claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserView<'a>>,
    #[schemars(schema_with = "openapi::name")]
    r#type: &'a str,
    #[schemars(schema_with = "openapi::method")]
    method: &'a str,
    #[schemars(schema_with = "openapi::state")]
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::failure_reason")]
    reason: Option<&'a str>,
    #[schemars(schema_with = "openapi::time")]
    created_at: String,
    #[schemars(schema_with = "openapi::time")]
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::time")]
    ended_at: Option<String>,
    delivery: Vec<DeliveryView<'a>>,
    /// The fallback that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<FallbackView>,
    attempts: CounterView,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerView>,
    /// The operator who cancelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::name")]
    cancelled_by: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Answer")]
struct AnswerView {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    /// What the key that signed is for.
    #[schemars(schema_with = "openapi::key_use")]
    method: String,
    #[schemars(schema_with = "openapi::time")]
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
            user: transaction.user.as_ref().map(UserView::of),
            r#type: transaction.type_name.as_str(),
            method: transaction.method.as_str(),
            state: transaction.state.as_str(),
            reason: transaction.state.failure_reason().map(FailureReason::as_str),
            created_at: rfc3339(transaction.created_at),
            expires_at: rfc3339(transaction.expires_at),
            ended_at: transaction.ended_at.map(rfc3339),
            delivery: DeliveryView::all_of(transaction),
            fallback: transaction.fallback().map(FallbackView::of),
            attempts: CounterView::of_tries(transaction.attempts_shown()),
            answer,
            cancelled_by: transaction.cancelled_by().map(OperatorName::as_str),
        }
    }
}
