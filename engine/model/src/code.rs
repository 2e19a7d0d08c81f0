//! One-time codes: what a user reads in a message and types at the portal, and what a transaction knows of one.
//!
//! A code is never stored: it is derived from a code key and the transaction, and a record holds only which key.

use std::fmt;
use std::sync::Arc;

use crate::{CodeAddress, Counter, Delivery, DurationMs, Method, ProviderName, Secret, UnixMs};

/// How many digits a one-time code has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeDigits(u8);

impl CodeDigits {
    /// Fewest; a shorter code is guessed too easily.
    pub const MIN: u8 = 4;
    /// Most; nobody types a longer one.
    pub const MAX: u8 = 10;

    /// So many digits, if that many are allowed.
    pub const fn new(digits: u8) -> Option<Self> {
        if Self::MIN <= digits && digits <= Self::MAX { Some(Self(digits)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The id of a code key; it says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeKeyId([u8; 8]);

impl CodeKeyId {
    /// The id whose bytes are `bytes`.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// A one-time code: decimal digits, zeros in front included. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct OneTimeCode(Secret<String>);

impl OneTimeCode {
    /// Takes digits into keeping.
    pub fn new(digits: String) -> Self {
        Self(Secret::new(digits))
    }

    /// The digits; call it only where they are sent, compared or handed out.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OneTimeCode([redacted])")
    }
}

/// A text with a one-time code in it, as it is sent. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct CodeText(Secret<String>);

impl CodeText {
    /// Takes a text into keeping.
    pub fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text; call it only where it is sent.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for CodeText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CodeText([redacted])")
    }
}

/// What a transaction knows of its code. There is one code in a transaction: whichever way it goes, and however often,
/// it is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeState {
    /// The key that it is derived with.
    pub key: CodeKeyId,
    /// How many digits it has.
    pub digits: CodeDigits,
    /// Where it goes; `None` for a code that the caller delivers.
    pub address: Option<CodeAddress>,
    /// Who may send it, in the order in which they are tried; empty where nobody does.
    pub gateways: Vec<ProviderName>,
    /// Its last sending; `None` exactly where nobody sends it.
    pub delivery: Option<Delivery>,
    /// The subject, for an e-mail.
    pub title: Option<Arc<str>>,
    /// What is sent, with `{code}` where the code belongs.
    pub message: Arc<str>,
    /// The site that the code is bound to.
    pub autofill_domain: Option<Arc<str>>,
    /// Tries of it, the right one included.
    pub attempts: Counter,
    /// Shortest time between two sendings that the portal asks for.
    pub resend_gap: DurationMs,
    /// When the right code came.
    pub verified_at: Option<UnixMs>,
}

impl CodeState {
    /// Whether nobody but the caller delivers it.
    pub const fn is_custom(&self) -> bool {
        self.delivery.is_none()
    }

    /// The gateway to be tried after the present one.
    pub fn next_gateway(&self) -> Option<&ProviderName> {
        let present = &self.delivery.as_ref()?.provider;
        self.gateways.iter().skip_while(|name| *name != present).nth(1)
    }

    /// Whether a wrong try leaves no further one.
    pub const fn is_exhausted(&self) -> bool {
        self.attempts.max > 0 && self.attempts.left() == 0
    }
}

/// Which sending of a transaction's code: each message that leaves is another one, whether a resend, a fallback or the
/// failure of a gateway brought it. It follows from the record, so that a restart knows it again. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sending {
    /// When the fallback was taken that brought its method; zero without one.
    pub fell_back_at: UnixMs,
    /// Resends before it.
    pub resends_used: u32,
    /// The place of its gateway among those that may send it.
    pub gateway: u32,
}

/// Why a transaction was begun, or went on, by its type's fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FallbackReason {
    /// The user had no phone that could be pushed to.
    NoDevice,
    /// The method was switched off.
    MethodDisabled,
    /// The caller and the user's profile said nothing of where the code goes.
    FieldRequired,
    /// No network that serves the method could be reached.
    ProviderUnavailable,
    /// Every network refused.
    ProviderRejected,
    /// The user was silent.
    NoAnswer,
}

impl FallbackReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::NoDevice,
        Self::MethodDisabled,
        Self::FieldRequired,
        Self::ProviderUnavailable,
        Self::ProviderRejected,
        Self::NoAnswer,
    ];

    /// The word of the portal's view and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoDevice => "no_device",
            Self::MethodDisabled => "method_disabled",
            Self::FieldRequired => "field_required",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ProviderRejected => "provider_rejected",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// The last fallback that a transaction took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The method before.
    pub from: Method,
    /// The method since.
    pub to: Method,
    /// Why.
    pub reason: FallbackReason,
    /// When.
    pub at: UnixMs,
}

/// What a transaction goes on with when its present method comes to nothing: all of it is decided at the start, so that
/// neither a reload nor a restart changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackPlan {
    /// The method.
    pub method: Method,
    /// From when on a silent user brings it about; `None` when silence does not.
    pub due_at: Option<UnixMs>,
    /// Its code, ready to be sent.
    pub code: CodeState,
    /// Repetitions that the portal may ask for from then on.
    pub resends_max: u32,
    /// What follows when this comes to nothing, too.
    pub next: Option<Box<FallbackPlan>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeliveryStatus;

    #[test]
    fn a_code_has_four_to_ten_digits() {
        let allowed: Vec<u8> = (0..=u8::MAX).filter_map(CodeDigits::new).map(CodeDigits::get).collect();
        assert_eq!(allowed, [4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn codes_and_texts_are_not_printed() {
        let text = CodeText::new("Your code is 123456".to_owned());
        let code = OneTimeCode::new("123456".to_owned());
        assert_eq!(format!("{text:?} {code:?}"), "CodeText([redacted]) OneTimeCode([redacted])");
        assert_eq!((text.expose(), code.expose()), ("Your code is 123456", "123456"));
    }

    #[test]
    fn gateways_are_tried_in_their_order_and_none_twice() {
        let name = |text: &str| text.parse::<ProviderName>().expect("a name");
        let mut state = CodeState {
            key: CodeKeyId::from_bytes([1; 8]),
            digits: CodeDigits::new(6).expect("allowed"),
            address: None,
            gateways: vec![name("one"), name("two")],
            delivery: None,
            title: None,
            message: "{code}".into(),
            autofill_domain: None,
            attempts: Counter::new(0),
            resend_gap: DurationMs::default(),
            verified_at: None,
        };
        assert!(state.is_custom() && state.next_gateway().is_none() && !state.is_exhausted());
        for (present, next) in [("one", Some("two")), ("two", None), ("gone", None)] {
            state.delivery =
                Some(Delivery { provider: name(present), status: DeliveryStatus::Failed, reason: None });
            assert_eq!(state.next_gateway().map(ProviderName::as_str), next, "{present}");
        }
        state.attempts = Counter { used: 3, max: 3 };
        assert!(state.is_exhausted());
    }
}
