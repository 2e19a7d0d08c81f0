//! Values that have one form wherever they stand.

use schemars::{Schema, SchemaGenerator, json_schema};
use tocsin_model::{
    AuditKind, CallbackFault, ContentLimits, DeliveryReason, DeliveryStatus, DeviceStatus,
    EnrollmentStanding, ErrorCode, FailureReason, FallbackReason, LockReason, Method, Platform,
    PushEnvironment, PushKind, StateWord,
};

fn one_of(words: impl IntoIterator<Item = &'static str>) -> Schema {
    let words: Vec<_> = words.into_iter().collect();
    json_schema!({"type": "string", "enum": words})
}

/// An id.
pub(crate) fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "uuid"})
}

/// How the audit trail names a user.
pub(crate) fn pseudonym(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
}

/// A time in RFC 3339.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// A name that the operator gave in the configuration.
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"})
}

/// SHA-256 in hex.
pub(crate) fn hex_sha256(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
}

/// The server's name of a key: 128 bits.
pub(crate) fn kid(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"})
}

/// What a key is for, which also names the method of approving.
pub(crate) fn key_use(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^(device|pin|biometric|custom:[A-Za-z0-9_-]{1,32})$"})
}

/// Several of them.
pub(crate) fn key_uses(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": key_use(generator)})
}

/// Ids, at least none.
pub(crate) fn ids(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": id(generator)})
}

/// A JWS in its compact form (RFC 7515, section 7.1).
pub(crate) fn compact_jws(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"})
}

/// Bytes in base64url without padding.
pub(crate) fn base64url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})
}

/// The server's public keys.
pub(crate) fn server_jwks(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["kty", "crv", "x", "y", "kid", "use", "alg"],
            "properties": {
                "kty": {"const": "EC"},
                "crv": {"const": "P-256"},
                "x": coordinate(generator),
                "y": coordinate(generator),
                "kid": kid(generator),
                "use": {"const": "sig"},
                "alg": {"const": "ES256"},
            },
        },
    })
}

/// A public P-256 key (RFC 7517).
pub(crate) fn jwk(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "A public P-256 key (RFC 7517).",
        "required": ["kty", "crv", "x", "y"],
        "properties": {
            "kty": {"const": "EC"},
            "crv": {"const": "P-256"},
            "x": coordinate(generator),
            "y": coordinate(generator),
        },
    })
}

/// A coordinate: 32 bytes in base64url.
pub(crate) fn coordinate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"})
}

/// Two digits, such as `07`.
pub(crate) fn two_digits(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[0-9]{2}$"})
}

/// The state of a transaction.
pub(crate) fn state(_: &mut SchemaGenerator) -> Schema {
    one_of(StateWord::ALL)
}

/// Why a transaction failed.
pub(crate) fn failure_reason(_: &mut SchemaGenerator) -> Schema {
    one_of(FailureReason::ALL.map(FailureReason::as_str))
}

/// Why a user is locked.
pub(crate) fn lock_reason(_: &mut SchemaGenerator) -> Schema {
    one_of(LockReason::ALL.map(LockReason::as_str))
}

/// By which method a transaction reaches its user.
pub(crate) fn method(_: &mut SchemaGenerator) -> Schema {
    one_of(Method::ALL.map(Method::as_str))
}

/// Why a fallback was taken.
pub(crate) fn fallback_reason(_: &mut SchemaGenerator) -> Schema {
    one_of(FallbackReason::ALL.map(FallbackReason::as_str))
}

/// The platform of a phone.
pub(crate) fn platform(_: &mut SchemaGenerator) -> Schema {
    one_of(Platform::ALL.map(Platform::as_str))
}

/// What a device is.
pub(crate) fn device_status(_: &mut SchemaGenerator) -> Schema {
    one_of(DeviceStatus::ALL.map(DeviceStatus::as_str))
}

/// How a phone is pushed to.
pub(crate) fn push_kind(_: &mut SchemaGenerator) -> Schema {
    one_of(PushKind::ALL.map(PushKind::as_str))
}

/// How far a push came.
pub(crate) fn delivery_status(_: &mut SchemaGenerator) -> Schema {
    one_of(DeliveryStatus::ALL.map(DeliveryStatus::as_str))
}

/// Why a push failed or is unknown.
pub(crate) fn delivery_reason(_: &mut SchemaGenerator) -> Schema {
    one_of(DeliveryReason::ALL.map(DeliveryReason::as_str))
}

/// What an enrolment is.
pub(crate) fn enrollment_state(_: &mut SchemaGenerator) -> Schema {
    one_of(EnrollmentStanding::ALL.map(EnrollmentStanding::as_str))
}

/// What the audit trail tells.
pub(crate) fn audit_event(_: &mut SchemaGenerator) -> Schema {
    one_of(AuditKind::ALL.iter().map(|kind| kind.as_str()))
}

/// Who did it.
pub(crate) fn audit_actor(_: &mut SchemaGenerator) -> Schema {
    one_of(["server", "client", "device", "operator", "console"])
}

/// What a callback is.
pub(crate) fn callback_state(_: &mut SchemaGenerator) -> Schema {
    one_of(["owed", "dead"])
}

/// Why a try to deliver a callback failed.
pub(crate) fn callback_fault(_: &mut SchemaGenerator) -> Schema {
    one_of(CallbackFault::ALL.iter().map(|fault| fault.as_str()))
}

/// A push network.
pub(crate) fn provider_kind(_: &mut SchemaGenerator) -> Schema {
    one_of(["apns", "fcm", "twilio", "http-sms"])
}

/// Which of APNs' two networks.
pub(crate) fn push_environment(_: &mut SchemaGenerator) -> Schema {
    one_of(PushEnvironment::ALL.map(PushEnvironment::as_str))
}

/// An error code.
pub(crate) fn error_code(_: &mut SchemaGenerator) -> Schema {
    one_of(ErrorCode::ALL.iter().map(|code| code.as_str()))
}

/// Exactly what the phone showed and its answer signs; its canonical form (RFC 8785) is hashed.
pub(crate) fn shown(generator: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({"type": "string"});
    json_schema!({
        "type": "object",
        "description": "Exactly what the phone shows and its answer signs: the SHA-256 over the canonical form \
                        (RFC 8785) of this object is the `dh` of the answer.",
        "required": ["type", "user", "app", "title", "message"],
        "properties": {
            "type": name(generator),
            "user": {"type": "object", "required": ["id", "realm"], "properties": {"id": text, "realm": name(generator)}},
            "app": name(generator),
            "title": text,
            "message": text,
            "secure_message": text,
            "details": {
                "type": "array",
                "maxItems": ContentLimits::DETAILS_MAX,
                "items": {
                    "type": "object",
                    "required": ["label", "value"],
                    "properties": {"label": text, "value": text},
                },
            },
            "hidden_details": {"type": "object", "additionalProperties": text},
            "context": text,
        },
    })
}
