//! The disk form of a transaction's code and of its fallbacks. The code itself has none: it is derived.

use minicbor::{Decode, Encode};
use tocsin_model::{
    CodeAddress, CodeDigits, CodeKeyId, CodeState, Counter, DurationMs, EmailAddress, Fallback, FallbackPlan,
    PhoneNumber, ProviderName, UnixMs,
};

use super::transaction::DeliveryRecord;
use super::{Malformed, code, name};

/// A code on disk.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct CodeRecord<'a> {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: [u8; 8],
    #[n(1)]
    digits: u8,
    #[b(2)]
    phone_number: Option<&'a str>,
    #[b(3)]
    email: Option<&'a str>,
    #[b(4)]
    gateways: Vec<&'a str>,
    #[b(5)]
    delivery: Option<DeliveryRecord<'a>>,
    #[b(6)]
    title: Option<&'a str>,
    #[b(7)]
    message: &'a str,
    #[b(8)]
    autofill_domain: Option<&'a str>,
    #[n(9)]
    attempts_used: u32,
    #[n(10)]
    attempts_max: u32,
    #[n(11)]
    verified_at_ms: Option<u64>,
    #[n(12)]
    resend_gap_ms: u64,
}

/// A fallback that was taken, on disk.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct FallbackRecord {
    #[n(0)]
    from: u8,
    #[n(1)]
    to: u8,
    #[n(2)]
    reason: u8,
    #[n(3)]
    at_ms: u64,
}

/// A fallback that may be taken, on disk. What follows on it is the next one in the list.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct PlanRecord<'a> {
    #[n(0)]
    method: u8,
    #[n(1)]
    due_at_ms: Option<u64>,
    #[b(2)]
    code: CodeRecord<'a>,
    #[n(3)]
    resends_max: u32,
}

impl<'a> CodeRecord<'a> {
    pub(super) fn new(state: &'a CodeState) -> Self {
        let (phone_number, email) = match &state.address {
            Some(CodeAddress::Phone(number)) => (Some(number.expose()), None),
            Some(CodeAddress::Email(address)) => (None, Some(address.expose())),
            None => (None, None),
        };
        Self {
            key: *state.key.as_bytes(),
            digits: state.digits.get(),
            phone_number,
            email,
            gateways: state.gateways.iter().map(ProviderName::as_str).collect(),
            delivery: state.delivery.as_ref().map(DeliveryRecord::new),
            title: state.title.as_deref(),
            message: &state.message,
            autofill_domain: state.autofill_domain.as_deref(),
            attempts_used: state.attempts.used,
            attempts_max: state.attempts.max,
            verified_at_ms: state.verified_at.map(UnixMs::get),
            resend_gap_ms: state.resend_gap.get(),
        }
    }

    pub(super) fn into_model(self) -> Result<CodeState, Malformed> {
        const NO_NUMBER: Malformed = Malformed("it holds a phone number that is none");
        const NO_ADDRESS: Malformed = Malformed("it holds an e-mail address that is none");
        let address = match (self.phone_number, self.email) {
            (Some(number), None) => Some(CodeAddress::Phone(PhoneNumber::parse(number).ok_or(NO_NUMBER)?)),
            (None, Some(email)) => Some(CodeAddress::Email(EmailAddress::parse(email).ok_or(NO_ADDRESS)?)),
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Malformed("it holds two addresses for one code")),
        };
        Ok(CodeState {
            key: CodeKeyId::from_bytes(self.key),
            digits: CodeDigits::new(self.digits)
                .ok_or(Malformed("it holds a code of too few or many digits"))?,
            address,
            gateways: self.gateways.into_iter().map(name).collect::<Result<_, _>>()?,
            delivery: self.delivery.map(DeliveryRecord::into_model).transpose()?,
            title: self.title.map(Into::into),
            message: self.message.into(),
            autofill_domain: self.autofill_domain.map(Into::into),
            attempts: Counter { used: self.attempts_used, max: self.attempts_max },
            verified_at: self.verified_at_ms.map(UnixMs::new),
            resend_gap: DurationMs::new(self.resend_gap_ms),
        })
    }
}

impl FallbackRecord {
    pub(super) const fn new(fallback: Fallback) -> Self {
        Self {
            from: code::from_method(fallback.from),
            to: code::from_method(fallback.to),
            reason: code::from_fallback_reason(fallback.reason),
            at_ms: fallback.at.get(),
        }
    }

    pub(super) const fn at(&self) -> UnixMs {
        UnixMs::new(self.at_ms)
    }

    pub(super) fn into_model(self) -> Result<Fallback, Malformed> {
        Ok(Fallback {
            from: code::to_method(self.from)?,
            to: code::to_method(self.to)?,
            reason: code::to_fallback_reason(self.reason)?,
            at: self.at(),
        })
    }
}

impl<'a> PlanRecord<'a> {
    fn new(plan: &'a FallbackPlan) -> Self {
        let FallbackPlan { method, due_at, code, resends_max, next: _ } = plan;
        Self {
            method: super::code::from_method(*method),
            due_at_ms: due_at.map(UnixMs::get),
            code: CodeRecord::new(code),
            resends_max: *resends_max,
        }
    }
}

/// The fallbacks in the order in which they would be taken.
pub(super) fn plan_records(first: Option<&FallbackPlan>) -> Vec<PlanRecord<'_>> {
    let plans = std::iter::successors(first, |plan| plan.next.as_deref());
    plans.map(PlanRecord::new).collect()
}

/// The same, each holding the next.
pub(super) fn plan_of(records: Vec<PlanRecord<'_>>) -> Result<Option<Box<FallbackPlan>>, Malformed> {
    let mut following = None;
    for record in records.into_iter().rev() {
        following = Some(Box::new(FallbackPlan {
            method: code::to_method(record.method)?,
            due_at: record.due_at_ms.map(UnixMs::new),
            code: record.code.into_model()?,
            resends_max: record.resends_max,
            next: following,
        }));
    }
    Ok(following)
}
