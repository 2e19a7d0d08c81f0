//! The view of a transaction, as portals read it. Members without a value are left out.

use serde::Serialize;
use tocsin_engine::device::Shown;
use tocsin_model::{Answer, AppName, CallContext, FailureReason, State, Transaction};

use crate::door::rfc3339;
use crate::view::{CounterView, DeliveryView, UserView};

/// The view.
#[derive(Serialize)]
pub(super) struct TransactionView<'a> {
    id: String,
    revision: u32,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    method: &'static str,
    r#type: &'a str,
    user: UserView<'a>,
    created_at: String,
    expires_at: String,
    ttl_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    delivery: Vec<DeliveryView<'a>>,
    attempts: CounterView,
    resends: CounterView,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ContextView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerView<'a>>,
    links: Links,
}

#[derive(Serialize)]
struct AnswerView<'a> {
    device_id: String,
    method: String,
    decided_at: String,
    jws: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_jws: Option<&'a str>,
}

/// Where the user is calling from, as the portal said it.
#[derive(Serialize)]
struct ContextView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    events: String,
    /// Only while there is something to cancel.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<String>,
}

impl<'a> TransactionView<'a> {
    /// The view of `transaction`; links begin with `public_url`.
    pub(super) fn of(transaction: &'a Transaction, public_url: &str) -> Self {
        let address = format!("{public_url}/v1/transactions/{}", transaction.id);
        let is_open = transaction.state == State::Pending;
        Self {
            id: transaction.id.to_string(),
            revision: transaction.revision,
            state: transaction.state.as_str(),
            reason: transaction.state.failure_reason().map(FailureReason::as_str),
            method: transaction.method.as_str(),
            r#type: transaction.type_name.as_str(),
            user: UserView::of(&transaction.user),
            created_at: rfc3339(transaction.created_at),
            expires_at: rfc3339(transaction.expires_at),
            ttl_ms: transaction.time_to_live().get(),
            ended_at: transaction.ended_at.map(rfc3339),
            delivery: DeliveryView::all_of(transaction),
            attempts: CounterView::of(transaction.attempts),
            resends: CounterView::of(transaction.resends),
            request_message: transaction.request_message.text(),
            shown: app_shown(transaction).map(|app| Shown::of(transaction, app)),
            language: transaction.call_context.as_deref().and_then(|context| context.language.as_deref()),
            context: transaction.call_context.as_deref().and_then(ContextView::of),
            answer: transaction.answer.as_deref().map(AnswerView::of),
            links: Links {
                events: format!("{address}/events"),
                cancel: is_open.then(|| address.clone()),
                this: address,
            },
        }
    }
}

/// The app is part of what is shown: that of the phone that answered, before that the only one there is.
fn app_shown(transaction: &Transaction) -> Option<&AppName> {
    if let Some(answer) = &transaction.answer {
        return transaction.recipient(&answer.device_id).map(|recipient| &recipient.app);
    }
    let mut apps = transaction.recipients.iter().map(|recipient| &recipient.app);
    let first = apps.next()?;
    apps.all(|app| app == first).then_some(first)
}

impl<'a> ContextView<'a> {
    fn of(context: &'a CallContext) -> Option<Self> {
        let CallContext { language: _, ip_address, user_agent, session_id } = context;
        let is_said = ip_address.is_some() || user_agent.is_some() || session_id.is_some();
        is_said.then_some(Self {
            ip_address: ip_address.as_deref(),
            user_agent: user_agent.as_deref(),
            session_id: session_id.as_deref(),
        })
    }
}

impl<'a> AnswerView<'a> {
    fn of(answer: &'a Answer) -> Self {
        Self {
            device_id: answer.device_id.to_string(),
            method: answer.key_use.to_string(),
            decided_at: rfc3339(answer.decided_at),
            jws: &answer.jws,
            proof_jws: answer.proof_jws.as_deref(),
        }
    }
}
