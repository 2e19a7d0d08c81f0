//! The disk form of a transaction, and the short view of it that the writer decides on.

use minicbor::{Decode, Encode};
use tocsin_model::{
    Answer, CallContext, CallbackUrl, Content, Counter, Delivery, Detail, DeviceId, Fatigue, KeyUse, Nonce,
    NumberMatch, OperatorName, Particulars, Recipient, RequestMessage, Seldom, State, Transaction,
    TransactionId, TwoDigits, UnixMs, User, UserId,
};

use super::callback::callback_url;
use super::one_time_code::{CodeRecord, FallbackRecord, PlanRecord, plan_of, plan_records};
use super::standing::{GuardRecord, IdRecord};
use super::{Malformed, code, is_unset, key_use, name};

const PENDING: u8 = 0;
const ACCEPTED: u8 = 1;
const DECLINED: u8 = 2;
const REPORTED: u8 = 3;
const TIMEOUT: u8 = 4;
const FAILED: u8 = 5;
const CANCELLED: u8 = 6;

/// A transaction on disk.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct TransactionRecord<'a> {
    #[n(0)]
    revision: u32,
    #[n(1)]
    state: u8,
    #[n(2)]
    failure_reason: Option<u8>,
    #[n(3)]
    attempts_used: u32,
    #[n(4)]
    attempts_max: u32,
    #[n(5)]
    resends_used: u32,
    #[n(6)]
    resends_max: u32,
    #[n(7)]
    created_at_ms: u64,
    #[n(8)]
    expires_at_ms: u64,
    #[n(9)]
    ended_at_ms: Option<u64>,
    #[b(10)]
    client: &'a str,
    /// Realm and id are absent together, while nobody has claimed an anonymous one.
    #[b(11)]
    realm: Option<&'a str>,
    #[b(12)]
    user_id: Option<&'a str>,
    #[b(13)]
    type_name: &'a str,
    #[n(14)]
    method: u8,
    #[b(15)]
    content: ContentRecord<'a>,
    #[n(16)]
    accepted_keys: Vec<String>,
    #[b(17)]
    recipients: Vec<RecipientRecord<'a>>,
    #[b(18)]
    answer: Option<AnswerRecord<'a>>,
    #[cbor(n(19), skip_if = "is_unset")]
    keep_for_polling: bool,
    #[cbor(n(25), skip_if = "is_unset")]
    request_message_asked: bool,
    #[b(28)]
    callback_url: Option<&'a str>,
    #[b(30)]
    call_context: Option<CallContextRecord<'a>>,
    #[b(37)]
    cancelled_by: Option<&'a str>,
    #[n(20)]
    number: Option<u8>,
    #[cbor(n(21), with = "minicbor::bytes")]
    number_choices: Option<[u8; 3]>,
    #[n(22)]
    resent_at_ms: Option<u64>,
    #[n(53)]
    guard: Option<GuardRecord>,
    #[cbor(n(54), skip_if = "Vec::is_empty")]
    replaces: Vec<IdRecord>,
    #[b(40)]
    code: Option<CodeRecord<'a>>,
    #[n(41)]
    fallback: Option<FallbackRecord>,
    #[cbor(b(42), skip_if = "Vec::is_empty", default)]
    plans: Vec<PlanRecord<'a>>,
}

/// The fields that a compare-and-set compares, read without the texts.
#[derive(Debug, PartialEq, Eq, Decode)]
#[cbor(map)]
pub(crate) struct TransactionHead {
    #[n(0)]
    pub(crate) revision: u32,
    #[n(1)]
    state: u8,
    #[n(3)]
    pub(crate) attempts_used: u32,
    #[n(5)]
    pub(crate) resends_used: u32,
    #[n(8)]
    expires_at_ms: u64,
    #[n(41)]
    fallback: Option<FallbackRecord>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct ContentRecord<'a> {
    #[b(0)]
    title: &'a str,
    #[b(1)]
    message: &'a str,
    #[b(2)]
    secure_message: Option<&'a str>,
    #[cbor(b(3), skip_if = "Vec::is_empty")]
    details: Vec<DetailRecord<'a>>,
    #[cbor(b(4), skip_if = "Vec::is_empty")]
    hidden_details: Vec<DetailRecord<'a>>,
    #[b(5)]
    context: Option<&'a str>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct DetailRecord<'a> {
    #[b(0)]
    label: &'a str,
    #[b(1)]
    value: &'a str,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct CallContextRecord<'a> {
    #[b(0)]
    language: Option<&'a str>,
    #[b(1)]
    ip_address: Option<&'a str>,
    #[b(2)]
    user_agent: Option<&'a str>,
    #[b(3)]
    session_id: Option<&'a str>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct RecipientRecord<'a> {
    #[cbor(n(0), with = "minicbor::bytes")]
    device_id: [u8; 16],
    #[b(1)]
    device_name: &'a str,
    #[n(2)]
    platform: u8,
    #[b(3)]
    app: &'a str,
    #[cbor(n(4), with = "minicbor::bytes")]
    nonce: [u8; 16],
    #[b(5)]
    delivery: Option<DeliveryRecord<'a>>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct DeliveryRecord<'a> {
    #[b(0)]
    provider: &'a str,
    #[n(1)]
    status: u8,
    #[n(2)]
    reason: Option<u8>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct AnswerRecord<'a> {
    #[cbor(n(0), with = "minicbor::bytes")]
    device_id: [u8; 16],
    #[n(1)]
    key_use: String,
    #[n(2)]
    decision: u8,
    #[n(3)]
    decided_at_ms: u64,
    #[b(4)]
    jws: &'a str,
    #[b(5)]
    proof_jws: Option<&'a str>,
}

impl<'a> TransactionRecord<'a> {
    pub(crate) fn new(transaction: &'a Transaction) -> Self {
        let (state, failure_reason) = from_state(transaction.state);
        Self {
            revision: transaction.revision,
            state,
            failure_reason,
            attempts_used: transaction.attempts.used,
            attempts_max: transaction.attempts.max,
            resends_used: transaction.resends.used,
            resends_max: transaction.resends.max,
            created_at_ms: transaction.created_at.get(),
            expires_at_ms: transaction.expires_at.get(),
            ended_at_ms: transaction.ended_at.map(UnixMs::get),
            client: transaction.client.as_str(),
            realm: transaction.user.as_ref().map(|user| user.realm.as_str()),
            user_id: transaction.user.as_ref().map(|user| user.id.as_str()),
            type_name: transaction.type_name.as_str(),
            method: code::from_method(transaction.method),
            content: ContentRecord::new(&transaction.content),
            accepted_keys: transaction.accepted_keys.iter().map(KeyUse::to_string).collect(),
            recipients: transaction.recipients.iter().map(RecipientRecord::new).collect(),
            answer: transaction.answer.as_deref().map(AnswerRecord::new),
            keep_for_polling: transaction.keep_for_polling,
            request_message_asked: transaction.request_message.is_asked_for(),
            callback_url: transaction.callback_url.as_ref().map(CallbackUrl::as_str),
            cancelled_by: transaction.cancelled_by().map(OperatorName::as_str),
            call_context: transaction.call_context.as_deref().map(CallContextRecord::new),
            number: transaction.number().map(|number| number.right.get()),
            number_choices: transaction
                .number()
                .and_then(|number| number.choices)
                .map(|choices| choices.map(TwoDigits::get)),
            resent_at_ms: transaction.seldom.as_ref().and_then(|seldom| seldom.resent_at).map(UnixMs::get),
            guard: transaction.guard().map(GuardRecord::new),
            replaces: transaction.replaces().iter().map(IdRecord::new).collect(),
            code: transaction.code().map(CodeRecord::new),
            fallback: transaction.fallback().map(FallbackRecord::new),
            plans: plan_records(transaction.plan()),
        }
    }

    pub(crate) fn into_model(self, id: TransactionId) -> Result<Transaction, Malformed> {
        Ok(Transaction {
            id,
            revision: self.revision,
            client: name(self.client)?,
            user: user(self.realm, self.user_id, self.recipients.is_empty())?,
            type_name: name(self.type_name)?,
            method: code::to_method(self.method)?,
            state: to_state(self.state, self.failure_reason)?,
            created_at: UnixMs::new(self.created_at_ms),
            expires_at: UnixMs::new(self.expires_at_ms),
            ended_at: self.ended_at_ms.map(UnixMs::new),
            content: self.content.into_model(),
            accepted_keys: self.accepted_keys.iter().map(|word| key_use(word)).collect::<Result<_, _>>()?,
            recipients: self
                .recipients
                .into_iter()
                .map(RecipientRecord::into_model)
                .collect::<Result<_, _>>()?,
            attempts: Counter { used: self.attempts_used, max: self.attempts_max },
            resends: Counter { used: self.resends_used, max: self.resends_max },
            answer: self.answer.map(AnswerRecord::into_model).transpose()?.map(Box::new),
            keep_for_polling: self.keep_for_polling,
            request_message: match self.request_message_asked {
                true => RequestMessage::AskedFor,
                false => RequestMessage::NotAsked,
            },
            callback_url: self.callback_url.map(callback_url).transpose()?,
            call_context: self.call_context.map(|context| Box::new(context.into_model())),
            seldom: Seldom {
                number: number(self.number, self.number_choices)?,
                resent_at: self.resent_at_ms.map(UnixMs::new),
                cancelled_by: self.cancelled_by.map(name).transpose()?,
                fatigue: Fatigue {
                    guard: self.guard.map(GuardRecord::into_model),
                    replaces: self.replaces.iter().map(IdRecord::to_model).collect(),
                }
                .kept(),
                code: self.code.map(CodeRecord::into_model).transpose()?.map(Box::new),
                fallback: self.fallback.map(FallbackRecord::into_model).transpose()?,
                plan: plan_of(self.plans)?,
                // Told to nobody but its portal, and derived for that.
                otp: None,
            }
            .kept(),
        })
    }
}

impl TransactionHead {
    /// Whether nothing can change any more. A state that this version does not know counts as final: it must
    /// never be overwritten.
    pub(crate) const fn is_final(&self) -> bool {
        self.state != PENDING
    }

    /// When it took its last fallback.
    pub(crate) fn fallback_at(&self) -> Option<UnixMs> {
        self.fallback.as_ref().map(FallbackRecord::at)
    }

    /// The deadline, under which an open transaction stands.
    pub(crate) const fn expires_at(&self) -> UnixMs {
        UnixMs::new(self.expires_at_ms)
    }
}

/// Nobody's phone is asked before it is known whose it is.
fn user(realm: Option<&str>, id: Option<&str>, asks_nobody: bool) -> Result<Option<User>, Malformed> {
    match (realm, id) {
        (Some(realm), Some(id)) => Ok(Some(User { realm: name(realm)?, id: UserId::from_stored(id) })),
        (None, None) if asks_nobody => Ok(None),
        _ => Err(Malformed("it asks a phone and does not say whose")),
    }
}

fn number(right: Option<u8>, choices: Option<[u8; 3]>) -> Result<Option<NumberMatch>, Malformed> {
    let two_digits =
        |number| TwoDigits::new(number).ok_or(Malformed("it holds a number of more than two digits"));
    let Some(right) = right else { return Ok(None) };
    let choices = match choices {
        Some([first, second, third]) => Some([two_digits(first)?, two_digits(second)?, two_digits(third)?]),
        None => None,
    };
    Ok(Some(NumberMatch { right: two_digits(right)?, choices }))
}

pub(super) const fn from_state(state: State) -> (u8, Option<u8>) {
    match state {
        State::Pending => (PENDING, None),
        State::Accepted => (ACCEPTED, None),
        State::Declined => (DECLINED, None),
        State::Reported => (REPORTED, None),
        State::Timeout => (TIMEOUT, None),
        State::Failed(reason) => (FAILED, Some(code::from_failure_reason(reason))),
        State::Cancelled => (CANCELLED, None),
    }
}

pub(super) fn to_state(state: u8, failure_reason: Option<u8>) -> Result<State, Malformed> {
    match (state, failure_reason) {
        (PENDING, None) => Ok(State::Pending),
        (ACCEPTED, None) => Ok(State::Accepted),
        (DECLINED, None) => Ok(State::Declined),
        (REPORTED, None) => Ok(State::Reported),
        (TIMEOUT, None) => Ok(State::Timeout),
        (FAILED, Some(reason)) => code::to_failure_reason(reason).map(State::Failed),
        (CANCELLED, None) => Ok(State::Cancelled),
        _ => Err(Malformed("it holds an unknown or incomplete state")),
    }
}

impl<'a> ContentRecord<'a> {
    fn new(content: &'a Content) -> Self {
        let particulars = content.particulars();
        Self {
            title: &content.title,
            message: &content.message,
            secure_message: particulars.secure_message.as_deref(),
            details: particulars.details.iter().map(DetailRecord::new).collect(),
            hidden_details: particulars.hidden_details.iter().map(DetailRecord::new).collect(),
            context: particulars.context.as_deref(),
        }
    }

    fn into_model(self) -> Content {
        Content {
            title: self.title.into(),
            message: self.message.into(),
            particulars: Particulars {
                secure_message: self.secure_message.map(Into::into),
                details: self.details.into_iter().map(DetailRecord::into_model).collect(),
                hidden_details: self.hidden_details.into_iter().map(DetailRecord::into_model).collect(),
                context: self.context.map(Into::into),
            }
            .kept(),
        }
    }
}

impl<'a> DetailRecord<'a> {
    fn new(detail: &'a Detail) -> Self {
        Self { label: &detail.label, value: &detail.value }
    }

    fn into_model(self) -> Detail {
        Detail { label: self.label.into(), value: self.value.into() }
    }
}

impl<'a> CallContextRecord<'a> {
    fn new(context: &'a CallContext) -> Self {
        Self {
            language: context.language.as_deref(),
            ip_address: context.ip_address.as_deref(),
            user_agent: context.user_agent.as_deref(),
            session_id: context.session_id.as_deref(),
        }
    }

    fn into_model(self) -> CallContext {
        CallContext {
            language: self.language.map(Into::into),
            ip_address: self.ip_address.map(Into::into),
            user_agent: self.user_agent.map(Into::into),
            session_id: self.session_id.map(Into::into),
        }
    }
}

impl<'a> RecipientRecord<'a> {
    fn new(recipient: &'a Recipient) -> Self {
        Self {
            device_id: *recipient.device_id.as_bytes(),
            device_name: &recipient.device_name,
            platform: code::from_platform(recipient.platform),
            app: recipient.app.as_str(),
            nonce: *recipient.nonce.as_bytes(),
            delivery: recipient.delivery.as_ref().map(DeliveryRecord::new),
        }
    }

    fn into_model(self) -> Result<Recipient, Malformed> {
        Ok(Recipient {
            device_id: DeviceId::from_bytes(self.device_id),
            device_name: self.device_name.into(),
            platform: code::to_platform(self.platform)?,
            app: name(self.app)?,
            nonce: Nonce::from_bytes(self.nonce),
            delivery: self.delivery.map(DeliveryRecord::into_model).transpose()?,
        })
    }
}

impl<'a> DeliveryRecord<'a> {
    pub(super) fn new(delivery: &'a Delivery) -> Self {
        Self {
            provider: delivery.provider.as_str(),
            status: code::from_delivery_status(delivery.status),
            reason: delivery.reason.map(code::from_delivery_reason),
        }
    }

    pub(super) fn into_model(self) -> Result<Delivery, Malformed> {
        Ok(Delivery {
            provider: name(self.provider)?,
            status: code::to_delivery_status(self.status)?,
            reason: self.reason.map(code::to_delivery_reason).transpose()?,
        })
    }
}

impl<'a> AnswerRecord<'a> {
    fn new(answer: &'a Answer) -> Self {
        Self {
            device_id: *answer.device_id.as_bytes(),
            key_use: answer.key_use.to_string(),
            decision: code::from_decision(answer.decision),
            decided_at_ms: answer.decided_at.get(),
            jws: &answer.jws,
            proof_jws: answer.proof_jws.as_deref(),
        }
    }

    fn into_model(self) -> Result<Answer, Malformed> {
        Ok(Answer {
            device_id: DeviceId::from_bytes(self.device_id),
            key_use: key_use(&self.key_use)?,
            decision: code::to_decision(self.decision)?,
            decided_at: UnixMs::new(self.decided_at_ms),
            jws: self.jws.into(),
            proof_jws: self.proof_jws.map(Into::into),
        })
    }
}
