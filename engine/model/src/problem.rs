//! What went wrong, in the words of the interface: one closed list of codes, shared by engine and doors.

use std::borrow::Cow;
use std::fmt;

use crate::{AppName, DeviceId, DeviceStatus, DurationMs, LockReason, Platform, State, UnixMs, UserLock};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// A stable error code. Its page is `docs/errors/<code>.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A short text that is the same at every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

error_codes! {
    /// Malformed JSON or a wrong JSON type.
    InvalidRequest = "invalid_request", 400, "The request is malformed";
    /// A field that the call does not have.
    UnknownField = "unknown_field", 400, "The request has an unknown field";
    /// Wrong or missing client credentials.
    InvalidClient = "invalid_client", 401, "The client is not authenticated";
    /// Wrong or missing operator token.
    InvalidToken = "invalid_token", 401, "The operator is not authenticated";
    /// The device's proof does not stand.
    BadProof = "bad_proof", 401, "The device is not authenticated";
    /// The signature of an answer does not stand.
    BadSignature = "bad_signature", 401, "The signature is wrong";
    /// A good signature with a time too far from ours, or not above the last.
    ClockSkew = "clock_skew", 401, "The device's clock is off";
    /// An activation code that is unknown, used, cancelled or expired.
    BadActivationCode = "bad_activation_code", 401, "The activation code is not valid";
    /// A right, realm, app or type that the client does not have.
    NotPermitted = "not_permitted", 403, "The client may not do this";
    /// An address from which the client or operator may not call.
    AddressNotAllowed = "address_not_allowed", 403, "The address is not allowed";
    /// A key or decision that the type does not take.
    MethodNotAllowed = "method_not_allowed", 403, "The type does not take this way of approving";
    /// An answer or authorization that is not by the right PIN.
    WrongPin = "wrong_pin", 403, "The PIN is wrong";
    /// An enrolment or a key that nothing vouches for.
    AuthorizationRequired = "authorization_required", 403, "An authorization is required";
    /// The push was repeated as often as it may be.
    ResendLimit = "resend_limit", 403, "The push may not be repeated again";
    /// A user for whom nothing can be started.
    UserLocked = "user_locked", 403, "The user is locked";
    /// A device that is not active.
    DeviceInactive = "device_inactive", 403, "The device is not active";
    /// A device that was removed.
    DeviceRevoked = "device_revoked", 403, "The device is revoked";
    /// An unknown or foreign id, or an unknown path.
    NotFound = "not_found", 404, "There is no such thing";
    /// A method that the path does not have (RFC 9110, section 15.5.6).
    HttpMethodNotAllowed = "http_method_not_allowed", 405, "The path does not have this method";
    /// A transaction that has ended.
    TransactionFinal = "transaction_final", 409, "The transaction has ended";
    /// An enrolment that has ended.
    EnrollmentFinal = "enrollment_final", 409, "The enrolment has ended";
    /// The user already has a device of this app.
    DeviceExists = "device_exists", 409, "The user already has a device";
    /// A key that is registered already.
    KeyInUse = "key_in_use", 409, "The key is already registered";
    /// A key that a device cannot be without.
    KeyRequired = "key_required", 409, "The device cannot be without this key";
    /// A push that waits for its user already.
    PendingExists = "pending_exists", 409, "A push waits for the user already";
    /// A one-time password that another phone has claimed.
    OtpUsed = "otp_used", 409, "The one-time password was used";
    /// A body that is too large.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// A body of a kind that the door does not read.
    UnsupportedMediaType = "unsupported_media_type", 415, "The media type is not supported";
    /// A value of the right type that is not allowed.
    InvalidField = "invalid_field", 422, "A value is not allowed";
    /// A missing field.
    FieldRequired = "field_required", 422, "A field is missing";
    /// A type that is not configured.
    UnknownType = "unknown_type", 422, "There is no such type";
    /// A method that is switched off.
    MethodDisabled = "method_disabled", 422, "The method is switched off";
    /// No device can take the transaction.
    NoDevice = "no_device", 422, "No device can take the transaction";
    /// The caller must say which device.
    DeviceRequired = "device_required", 422, "The device must be named";
    /// All claims of the challenge together are too large.
    ContentTooLarge = "content_too_large", 422, "The content is too large";
    /// A reply that cannot be held back, because the user must see it first.
    WaitNotPossible = "wait_not_possible", 422, "The reply cannot be held back";
    /// The same idempotency key with another request.
    IdempotencyMismatch = "idempotency_mismatch", 422, "The idempotency key belongs to another request";
    /// An answer that does not fit its challenge.
    WrongChallenge = "wrong_challenge", 422, "The answer does not fit the challenge";
    /// A code that is not that of the transaction.
    WrongCode = "wrong_code", 422, "The code is wrong";
    /// A number that is not the one the phone shows.
    WrongNumber = "wrong_number", 422, "The number is wrong";
    /// A version of the app that is switched off.
    UpgradeRequired = "upgrade_required", 426, "The app must be updated";
    /// The caller's own bound.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// A request whose head is too large (RFC 6585, section 5).
    HeadersTooLarge = "headers_too_large", 431, "The head of the request is too large";
    /// A fault of ours.
    Internal = "internal", 500, "Internal error";
    /// A bound of the engine.
    Busy = "busy", 503, "The server is busy";
    /// No push network can be reached.
    ProviderUnavailable = "provider_unavailable", 503, "No provider is available";
    /// The storage does not take writes.
    StorageUnavailable = "storage_unavailable", 503, "The storage is not available";
    /// The server is shutting down.
    Draining = "draining", 503, "The server is shutting down";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An error as its caller sees it; holds nothing secret and nothing internal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which error.
    pub code: ErrorCode,
    /// What happened and what to do, for the caller.
    pub detail: Cow<'static, str>,
    /// The field that is wrong, as a dotted path into the body.
    pub field: Option<Cow<'static, str>>,
    /// After which time to try again; always set for 429 and 503.
    pub retry_after: Option<DurationMs>,
    /// Tries left.
    pub attempts_left: Option<u32>,
    /// The state of the transaction that the call met.
    pub state: Option<State>,
    /// Our time, for a device whose clock is off.
    pub server_time: Option<UnixMs>,
    /// What the device is, when it may not do this.
    pub device_status: Option<DeviceStatus>,
    /// The devices of which the caller must name one.
    pub devices: Option<Box<[SelectableDevice]>>,
}

/// A device that a caller may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableDevice {
    /// The device.
    pub device_id: DeviceId,
    /// Its name, for the user to choose by.
    pub name: Box<str>,
    /// Its platform.
    pub platform: Platform,
    /// Its app.
    pub app: AppName,
}

impl Problem {
    /// The wait that a 429 or 503 asks for when nothing better is known.
    pub const RETRY_AFTER_DEFAULT: DurationMs = DurationMs::from_seconds(1);

    /// A problem with this code; `detail` says what to do.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = matches!(code.status(), 429 | 503).then_some(Self::RETRY_AFTER_DEFAULT);
        Self {
            code,
            detail: detail.into(),
            field: None,
            retry_after,
            attempts_left: None,
            state: None,
            server_time: None,
            device_status: None,
            devices: None,
        }
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the wait before another try.
    #[must_use]
    pub fn with_retry_after(mut self, wait: DurationMs) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Names the state of the transaction that the call met.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// Names the tries left.
    #[must_use]
    pub fn with_attempts_left(mut self, left: u32) -> Self {
        self.attempts_left = Some(left);
        self
    }

    /// Names our time.
    #[must_use]
    pub fn with_server_time(mut self, now: UnixMs) -> Self {
        self.server_time = Some(now);
        self
    }

    /// Names what the device is.
    #[must_use]
    pub fn with_device_status(mut self, status: DeviceStatus) -> Self {
        self.device_status = Some(status);
        self
    }

    /// `422 device_required` with the devices of which the caller must name one.
    pub fn device_required(devices: Vec<SelectableDevice>) -> Self {
        let detail = "the user has several devices for this; name one of those listed";
        let problem = Self::new(ErrorCode::DeviceRequired, detail).with_field("device_id");
        Self { devices: Some(devices.into()), ..problem }
    }

    /// `422 wait_not_possible`: the user must see what the reply holds before there can be an outcome.
    pub fn wait_not_possible() -> Self {
        let detail = "the user must see the reply first; create without a wait, show it, then long-poll";
        Self::new(ErrorCode::WaitNotPossible, detail).with_field("wait_s")
    }

    /// `404 not_found`, the same for the unknown and for what belongs to somebody else.
    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "nothing with this id exists for this caller")
    }

    /// `409 transaction_final` with the state it ended in.
    pub fn transaction_final(state: State) -> Self {
        Self::new(ErrorCode::TransactionFinal, "the transaction has ended and cannot change any more")
            .with_state(state)
    }

    /// `403 user_locked`, with the time that is left where the lock has an end.
    pub fn user_locked(lock: UserLock, now: UnixMs) -> Self {
        let detail = match lock.reason {
            LockReason::Fatigue => "too many requests in a row were ignored or refused; try again later",
            LockReason::Reported => "the user reported a request as fraud; a help desk must remove the lock",
        };
        let problem = Self::new(ErrorCode::UserLocked, detail);
        Self { retry_after: lock.until.map(|until| until.since(now)), ..problem }
    }

    /// `500 internal`; what happened stands in the log under the request id.
    pub fn internal() -> Self {
        Self::new(
            ErrorCode::Internal,
            "the server could not finish the request; its log tells more under this request id",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_snake_case_and_have_an_error_status() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
            assert!((400..600).contains(&code.status()), "{code}");
        }
    }

    #[test]
    fn busy_answers_say_when_to_come_back() {
        for code in ErrorCode::ALL {
            let problem = Problem::new(*code, "x");
            assert_eq!(problem.retry_after.is_some(), matches!(code.status(), 429 | 503), "{code}");
        }
    }
}
