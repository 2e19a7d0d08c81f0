//! The view of a transaction, as portals read it. Members without a value are left out.

use schemars::JsonSchema;
use serde::Serialize;
use tocsin_engine::device::Shown;
use tocsin_model::{Answer, AppName, CallContext, FailureReason, Otp, State, Transaction};

use crate::door::rfc3339;
use crate::openapi;
use crate::view::{CounterView, DeliveryView, FallbackView, UserView};

/// A transaction. Members without a value are left out.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Transaction")]
pub(super) struct TransactionView<'a> {
    #[schemars(schema_with = "openapi::id")]
    id: String,
    /// Counts the changes of this view.
    revision: u32,
    #[schemars(schema_with = "openapi::state")]
    state: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::failure_reason")]
    reason: Option<&'static str>,
    #[schemars(schema_with = "openapi::method")]
    method: &'static str,
    #[schemars(schema_with = "openapi::name")]
    r#type: &'a str,
    /// Who is asked; nobody yet where an anonymous one waits for the phone that claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserView<'a>>,
    #[schemars(schema_with = "openapi::time")]
    created_at: String,
    /// The end of its life by the server's clock.
    #[schemars(schema_with = "openapi::time")]
    expires_at: String,
    /// Its whole life.
    ttl_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::time")]
    ended_at: Option<String>,
    /// What was sent, to phones or as a code, and how far each came.
    delivery: Vec<DeliveryView<'a>>,
    /// The fallback that it took; `method` and the limits are the fallback's since.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<FallbackView>,
    /// Tries of a PIN or of the code; the right one is among them.
    attempts: CounterView,
    /// Repetitions that the portal asked for.
    resends: CounterView,
    /// What the phone must send back, and the portal shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::two_digits")]
    number: Option<String>,
    /// What the portal shows, mostly as a picture, for a phone to claim it by; only until one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[A-Z2-7]{32}$"))]
    otp: Option<&'a str>,
    /// The challenge for the caller's own transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::shown")]
    shown: Option<Shown<'a>>,
    /// As the portal said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ContextView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerView<'a>>,
    links: Links,
}

/// What ended it.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Answer")]
struct AnswerView<'a> {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    /// What the key that signed is for.
    #[schemars(schema_with = "openapi::key_use")]
    method: String,
    #[schemars(schema_with = "openapi::time")]
    decided_at: String,
    /// The answer, by that key.
    #[schemars(schema_with = "openapi::compact_jws")]
    jws: &'a str,
    /// The proof of the request by the `device` key, where another key signed the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::compact_jws")]
    proof_jws: Option<&'a str>,
}

/// Where the user is calling from, as the portal said it.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Context")]
struct ContextView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

/// Where to go from here; relative where the door has no public URL.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Links")]
struct Links {
    #[serde(rename = "self")]
    #[schemars(extend("format" = "uri-reference"))]
    this: String,
    #[schemars(extend("format" = "uri-reference"))]
    events: String,
    /// Only while there is something to cancel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri-reference"))]
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
            user: transaction.user.as_ref().map(UserView::of),
            created_at: rfc3339(transaction.created_at),
            expires_at: rfc3339(transaction.expires_at),
            ttl_ms: transaction.time_to_live().get(),
            ended_at: transaction.ended_at.map(rfc3339),
            delivery: DeliveryView::all_of(transaction),
            fallback: transaction.fallback().map(FallbackView::of),
            attempts: CounterView::of_tries(transaction.attempts_shown()),
            resends: CounterView::of(transaction.resends),
            otp: transaction.otp().map(Otp::expose),
            request_message: transaction.request_message.text(),
            number: transaction.number().map(|number| number.right.to_string()),
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
