//! The numbers that stand on disk for the words of closed lists. A number is never given to another word.

use tocsin_model::{
    CallbackFault, Decision, DeliveryReason, DeliveryStatus, DeviceStatus, FailureReason, FallbackReason,
    LockReason, Method, Platform, PushEnvironment, PushKind,
};

use super::Malformed;

/// Writes both directions from one table, so that they cannot differ; the match is exhaustive.
macro_rules! codes {
    ($($word:ident: $to:ident, $from:ident, { $($number:literal = $variant:ident),* $(,)? })*) => {
        $(
            pub(super) const fn $to(word: $word) -> u8 {
                match word { $($word::$variant => $number,)* }
            }

            pub(super) const fn $from(number: u8) -> Result<$word, Malformed> {
                match number {
                    $($number => Ok($word::$variant),)*
                    _ => Err(Malformed(concat!("it holds an unknown number for ", stringify!($word)))),
                }
            }
        )*
    };
}

codes! {
    Method: from_method, to_method, { 0 = Push, 1 = Sms, 2 = Email, 3 = Otp }
    FailureReason: from_failure_reason, to_failure_reason, {
        0 = ProviderRejected, 1 = ProviderUnavailable, 2 = AttemptsExceeded, 3 = WrongNumber,
        4 = DeviceRevoked, 5 = NoDevice, 6 = UserDeleted, 7 = Restored,
    }
    FallbackReason: from_fallback_reason, to_fallback_reason, {
        0 = NoDevice, 1 = MethodDisabled, 2 = FieldRequired, 3 = ProviderUnavailable, 4 = ProviderRejected,
        5 = NoAnswer,
    }
    Platform: from_platform, to_platform, { 0 = Ios, 1 = Android, 2 = Other }
    DeliveryStatus: from_delivery_status, to_delivery_status, {
        0 = Queued, 1 = Sent, 2 = Relayed, 3 = Fetched, 4 = Failed, 5 = Unknown,
    }
    DeliveryReason: from_delivery_reason, to_delivery_reason, {
        0 = TokenDead, 1 = TokenSuspect, 2 = CredentialRefused, 3 = RequestRefused, 4 = Throttled,
        5 = Unavailable, 6 = Busy, 7 = Late, 8 = Cut, 9 = AddressRefused, 10 = Undelivered,
    }
    Decision: from_decision, to_decision, { 0 = Accept, 1 = Decline, 2 = Report }
    DeviceStatus: from_device_status, to_device_status, {
        0 = Unconfirmed, 1 = Active, 2 = Suspended, 3 = Unreachable, 4 = Revoked,
    }
    PushKind: from_push_kind, to_push_kind, { 0 = None, 1 = Apns, 2 = FcmToken, 3 = FcmFid }
    CallbackFault: from_callback_fault, to_callback_fault, {
        0 = Timeout, 1 = LookUp, 2 = AddressRefused, 3 = Connect, 4 = Tls, 5 = Http, 6 = Redirect,
        7 = ClientError, 8 = ServerError, 9 = Configuration, 10 = NotAllowed, 11 = Proxy,
    }
    LockReason: from_lock_reason, to_lock_reason, { 0 = Fatigue, 1 = Reported }
    PushEnvironment: from_push_environment, to_push_environment, { 0 = Production, 1 = Sandbox }
}
