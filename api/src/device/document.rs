//! What the document of the device door says, call by call.

use serde_json::{Value, json};
use tocsin_engine::device::EnrolmentLimits;
use tocsin_model::ErrorCode;

use super::calls::{AnsweredView, ChallengeList, ChallengeView, DeviceView, EnrolledView};
use super::keys::NewKeyView;
use crate::openapi::{self, About, Operation, Schemas, fixed, one_line};

const PROOF: &str = "proof";

/// What the door says of itself.
pub(crate) fn about() -> About {
    About {
        title: "Tocsin: device door",
        description: "What phones ask. `docs/device-protocol.md` says how keys, proofs, challenges and answers are \
                      made; this document says how they travel. Unknown fields of bodies are ignored, and phones \
                      ignore unknown members of replies. A path answers a method that is not listed with 405 and its \
                      methods in `Allow`. Each error code has a page in `docs/errors`.",
        security_schemes: json!({
            PROOF: {
                "type": "http",
                "scheme": "Tocsin",
                "description": "A compact JWS by the phone's `device` key over method, URL, time and body of the \
                                request. At the enrolment it is by the key of the body.",
            },
        }),
    }
}

/// A call of a phone.
fn call(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary).secured_by(&[PROOF]).refused_with(&[
        ErrorCode::InvalidRequest,
        ErrorCode::BadProof,
        ErrorCode::ClockSkew,
        ErrorCode::MethodDisabled,
        ErrorCode::BodyTooLarge,
        ErrorCode::StorageUnavailable,
    ])
}

/// A call of a phone that is enrolled.
fn own(id: &'static str, summary: &'static str) -> Operation {
    call(id, summary).refused_with(&[ErrorCode::DeviceRevoked])
}

/// A call that only a phone in use may make.
fn active(id: &'static str, summary: &'static str) -> Operation {
    own(id, summary).refused_with(&[ErrorCode::DeviceInactive])
}

/// `GET /device/v1/openapi.json`
pub(super) fn describe(_: &mut Schemas) -> Operation {
    Operation::new("readDocument", "This document")
        .replies(200, "The document.", json!({"type": "object"}))
        .refused_with(&[ErrorCode::InvalidRequest, ErrorCode::UnknownField])
}

/// `POST /hooks/v1/{provider}`
pub(super) fn report(_: &mut Schemas) -> Operation {
    Operation::new("reportMessage", "What became of a message that a gateway took")
        .telling(
            "Called by Twilio, which signs URL and fields (`X-Twilio-Signature`). The URL is the one that the gateway was \
             given with the message. A report may be repeated, and one that concerns nobody any more is taken as well.",
        )
        .path("provider", fixed(openapi::name), "The provider's name in the configuration.")
        .required_query("t", fixed(openapi::id), "The transaction.")
        .required_query("s", fixed(openapi::id), "The sending.")
        .form(json!({
            "type": "object",
            "required": ["MessageStatus"],
            "properties": {
                "MessageStatus": {"type": "string"},
                "ErrorCode": {"type": "string"},
            },
        }))
        .replies_empty(204, "It is taken.")
        .refused_with(&[
            ErrorCode::InvalidRequest,
            ErrorCode::BadSignature,
            ErrorCode::NotFound,
            ErrorCode::BodyTooLarge,
            ErrorCode::UnsupportedMediaType,
        ])
}

/// `POST /device/v1/enrollments`
pub(super) fn enrol(schemas: &mut Schemas) -> Operation {
    call("enrol", "Register this phone by an activation code")
        .telling(
            "Only success uses the code up. An identical retry, with the same code and `device` key, within five \
             minutes gets the same answer.",
        )
        .json(enrolment())
        .replies(201, "The phone is enrolled, or waits for its number.", schemas.of::<EnrolledView<'_>>())
        .refused_with(&[
            ErrorCode::BadActivationCode,
            ErrorCode::KeyInUse,
            ErrorCode::DeviceExists,
            ErrorCode::Draining,
        ])
}

fn enrolment() -> Value {
    let mut profile = profile();
    let fields = &mut profile["properties"];
    fields["activation_code"] = json!({
        "type": "string",
        "maxLength": EnrolmentLimits::ACTIVATION_CODE_BYTES_MAX,
        "description": "As the link or the picture holds it.",
    });
    fields["platform"] = fixed(openapi::platform);
    fields["app"] = fixed(openapi::name);
    fields["model"] = one_line(EnrolmentLimits::MODEL_CHARACTERS_MAX, "The model of the phone.");
    fields["push"] = push();
    fields["keys"] = json!({
        "type": "array",
        "description": "One of them has the use `device`.",
        "minItems": 1,
        "maxItems": EnrolmentLimits::KEYS_MAX,
        "items": {
            "type": "object",
            "required": ["use", "jwk"],
            "properties": {
                "use": fixed(openapi::key_use),
                "jwk": fixed(openapi::jwk),
                "proof": optional(proof_of_key("By the key itself; needed for every key but the `device` key.")),
            },
        },
    });
    profile["required"] = json!([
        "activation_code",
        "name",
        "platform",
        "app",
        "app_version",
        "os_version",
        "model",
        "locale",
        "push",
        "keys",
    ]);
    profile
}

/// What a key signs for itself.
fn proof_of_key(description: &str) -> Value {
    let mut proof = fixed(openapi::compact_jws);
    proof["description"] = description.into();
    proof
}

/// A member that may be left out; at this door null is the same as nothing.
fn optional(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// What a phone says of itself anew; what it leaves out stays.
fn profile_change() -> Value {
    let mut change = profile();
    for (name, member) in change["properties"].as_object_mut().into_iter().flatten() {
        if name != "capabilities" && name != "encryption_jwk" {
            *member = optional(member.take());
        }
    }
    change
}

/// What a phone says of itself.
fn profile() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": one_line(EnrolmentLimits::NAME_CHARACTERS_MAX, "For people to tell their phones apart."),
            "app_version": {"type": "string", "pattern": "^[!-~]{1,32}$"},
            "os_version": one_line(EnrolmentLimits::OS_VERSION_CHARACTERS_MAX, "The version of the system."),
            "locale": {
                "type": "string",
                "maxLength": EnrolmentLimits::LOCALE_CHARACTERS_MAX,
                "pattern": "^[A-Za-z0-9-]+$",
                "description": "A language tag (RFC 5646).",
            },
            "capabilities": optional(json!({
                "type": "array",
                "maxItems": EnrolmentLimits::CAPABILITIES_MAX,
                "items": one_line(EnrolmentLimits::CAPABILITY_CHARACTERS_MAX, "A word."),
            })),
            "encryption_jwk": optional(fixed(openapi::jwk)),
        },
    })
}

/// How a phone is pushed to.
fn push() -> Value {
    let token = json!({"type": "string", "minLength": 1, "maxLength": EnrolmentLimits::PUSH_VALUE_BYTES_MAX});
    json!({
        "type": "object",
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "none"}}},
        "else": {"required": ["value"], "properties": {"value": token}},
        "properties": {
            "kind": fixed(openapi::push_kind),
            "value": {
                "description": "The push token: needed for every kind but `none`, for which it is not looked at.",
            },
            "environment": optional(json!({
                "enum": fixed(openapi::push_environment)["enum"],
                "default": "production",
                "description": "A hint.",
            })),
        },
    })
}

/// `GET /device/v1/transactions`
pub(super) fn list(schemas: &mut Schemas) -> Operation {
    active("listChallenges", "The open challenges of this phone, newest first")
        .replies(200, "All of them.", schemas.of::<ChallengeList<'_>>())
        .refused_with(&[ErrorCode::UpgradeRequired])
}

/// `POST /device/v1/otp`
pub(super) fn claim(schemas: &mut Schemas) -> Operation {
    active("claimOtp", "Claim what a portal shows as a one-time password for this phone's user")
        .telling(
            "It approves nothing: the challenge is answered as any other. A password works for one phone, which is \
             told the same again until the transaction has ended.",
        )
        .json(json!({
            "type": "object",
            "required": ["otp"],
            "properties": {"otp": {"type": "string", "maxLength": 128, "description": "As the picture holds it."}},
        }))
        .replies(200, "The challenge.", schemas.of::<ChallengeView<'_>>())
        .refused_with(&[
            ErrorCode::MethodNotAllowed,
            ErrorCode::UserLocked,
            ErrorCode::NotFound,
            ErrorCode::OtpUsed,
            ErrorCode::TransactionFinal,
            ErrorCode::UpgradeRequired,
        ])
}

/// A call about one transaction.
fn of_transaction(operation: Operation) -> Operation {
    operation.path("id", fixed(openapi::id), "The transaction.").refused_with(&[
        ErrorCode::NotFound,
        ErrorCode::TransactionFinal,
        ErrorCode::UpgradeRequired,
    ])
}

/// `GET /device/v1/transactions/{id}`
pub(super) fn fetch(schemas: &mut Schemas) -> Operation {
    of_transaction(active("fetchChallenge", "One challenge; repeatable until its transaction has ended"))
        .replies(200, "The challenge.", schemas.of::<ChallengeView<'_>>())
}

/// `POST /device/v1/transactions/{id}/answer`
pub(super) fn answer(schemas: &mut Schemas) -> Operation {
    of_transaction(active("answer", "Answer a challenge"))
        .telling("An answer by the `device` key is its own proof; with any other key the request needs one.")
        .secured_by(&[])
        .json(json!({
            "type": "object",
            "required": ["answer"],
            "properties": {"answer": fixed(openapi::compact_jws)},
        }))
        .replies(200, "What the answer made of the transaction.", schemas.of::<AnsweredView>())
        .refused_with(&[
            ErrorCode::BadSignature,
            ErrorCode::MethodNotAllowed,
            ErrorCode::WrongPin,
            ErrorCode::WrongChallenge,
        ])
}

/// `GET /device/v1/server-keys`
pub(super) fn server_keys(_: &mut Schemas) -> Operation {
    let set = json!({
        "type": "object",
        "description": "A JWS in general JSON serialization (RFC 7515, section 7.2.1).",
        "required": ["payload", "signatures"],
        "properties": {
            "payload": fixed(openapi::base64url),
            "signatures": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["protected", "signature"],
                    "properties": {
                        "protected": fixed(openapi::base64url),
                        "signature": fixed(openapi::base64url),
                    },
                },
            },
        },
    });
    active("readServerKeys", "The server keys that this phone is to know, signed by those that it may know")
        .replies_with(200, "The set.", "application/jose+json", set)
}

/// A call about one key.
fn of_key(operation: Operation) -> Operation {
    operation
        .path("use", fixed(openapi::key_use), "What the key is for.")
        .refused_with(&[ErrorCode::NotFound, ErrorCode::Draining])
}

/// `PUT /device/v1/keys/{use}`
pub(super) fn put_key(schemas: &mut Schemas) -> Operation {
    let authorization = proof_of_key("By the present `pin` key; needed by a phone that has one.");
    of_key(active("putKey", "Add or replace a key: a new PIN, a new finger"))
        .json(json!({
            "type": "object",
            "required": ["jwk", "proof"],
            "properties": {
                "jwk": fixed(openapi::jwk),
                "proof": proof_of_key("By the new key itself."),
                "authorization": optional(authorization),
                "authorized_by": optional(json!({
                    "type": "string",
                    "maxLength": 64,
                    "description": "The id of a transaction that this phone accepted in the last ten minutes; used \
                                    once. For a phone that has no `pin` key.",
                })),
            },
        }))
        .replies(200, "The new key's name.", schemas.of::<NewKeyView>())
        .refused_with(&[ErrorCode::BadSignature, ErrorCode::WrongPin, ErrorCode::AuthorizationRequired])
}

/// `DELETE /device/v1/keys/{use}`
pub(super) fn delete_key(_: &mut Schemas) -> Operation {
    of_key(active("deleteKey", "Remove a key, any but `device` and `pin`"))
        .replies_empty(204, "It is gone.")
        .refused_with(&[ErrorCode::KeyRequired])
}

/// `GET /device/v1/device`
pub(super) fn device(schemas: &mut Schemas) -> Operation {
    own("readDevice", "What the server knows of this phone").replies(
        200,
        "The phone.",
        schemas.of::<DeviceView<'_>>(),
    )
}

/// `PATCH /device/v1/device`
pub(super) fn change(schemas: &mut Schemas) -> Operation {
    active("changeDevice", "Tell anew what the phone says of itself; what is left out stays")
        .json(profile_change())
        .replies(200, "The phone.", schemas.of::<DeviceView<'_>>())
        .refused_with(&[ErrorCode::NotFound])
}

/// `PUT /device/v1/push`
pub(super) fn move_push(schemas: &mut Schemas) -> Operation {
    active("changePush", "Tell how the phone is pushed to; one that was unreachable is active again")
        .json(push())
        .replies(200, "The phone.", schemas.of::<DeviceView<'_>>())
        .refused_with(&[ErrorCode::NotFound])
}

/// `DELETE /device/v1/device`
pub(super) fn leave(_: &mut Schemas) -> Operation {
    active("leave", "Remove this phone")
        .replies_empty(204, "It is revoked.")
        .refused_with(&[ErrorCode::NotFound])
}
