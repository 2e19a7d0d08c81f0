//! What the document of the portal door says, call by call.

mod codes;
mod devices;
mod enrollments;
mod transactions;
mod users;

use serde_json::{Value, json};
use tocsin_model::ErrorCode;

use super::timing::WAIT_S_MAX;
use crate::openapi::{About, Operation, Schemas};

pub(super) use codes::{check_code, hand_out_code};
pub(super) use devices::{change_device, list_devices, remove_device, remove_devices};
pub(super) use enrollments::{cancel_enrollment, confirm_enrollment, open_enrollment, read_enrollment};
pub(super) use transactions::{
    cancel_transaction, list_methods, list_transactions, qr_picture, read_transaction, resend_push,
    start_transaction, transaction_events,
};
pub(super) use users::{erase_user, list_locks, put_profile, read_profile, remove_locks};

const BASIC: &str = "client_secret";
const CERTIFICATE: &str = "client_certificate";

/// What the door says of itself.
pub(crate) fn about() -> About {
    About {
        title: "Tocsin: portal door",
        description: "Transactions, enrolments and devices, for portals and gateways. A reply in the 2xx class says \
                      that the call worked, not that the user approved: only the state `accepted` says that. What a \
                      client may not see does not exist for it (404). Unknown fields and parameters are refused; \
                      clients ignore unknown members of replies. A path answers a method that is not listed with 405 \
                      and its methods in `Allow`. Each error code has a page in `docs/errors`.",
        security_schemes: json!({
            BASIC: {
                "type": "http",
                "scheme": "basic",
                "description": "The client's id and secret. A call with a form may send them as its fields \
                                `client_id` and `client_secret` instead, without an Authorization header.",
            },
            CERTIFICATE: {
                "type": "mutualTLS",
                "description": "Besides the secret, for clients that are bound to a certificate.",
            },
        }),
    }
}

/// A call of a client.
fn call(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary).secured_by(&[BASIC]).secured_by(&[BASIC, CERTIFICATE]).refused_with(&[
        ErrorCode::InvalidRequest,
        ErrorCode::UnknownField,
        ErrorCode::InvalidClient,
        ErrorCode::NotPermitted,
        ErrorCode::AddressNotAllowed,
        ErrorCode::MethodDisabled,
        ErrorCode::StorageUnavailable,
    ])
}

/// `GET /v1/openapi.json`
pub(super) fn document(_: &mut Schemas) -> Operation {
    call("readDocument", "This document").replies(200, "The document.", json!({"type": "object"}))
}

/// A call about one user: the part of the path, and the realm that it may lack.
fn of_user(operation: Operation) -> Operation {
    let user = json!({"type": "string", "minLength": 1});
    operation
        .path(
            "user",
            user,
            "The user's id, percent-encoded; after a last `@` it may name one of the client's realms.",
        )
        .query("realm", json!({"type": "string"}), "The user's realm; without it the client's default.")
        .refused_with(&[ErrorCode::NotFound, ErrorCode::InvalidField])
}

fn wait_s() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": WAIT_S_MAX})
}

/// A call that may be repeated without doing anything twice.
fn keyed(operation: Operation) -> Operation {
    let key = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"});
    let description =
        "The caller's promise that two calls are one: the second gets what the first made, with 200.";
    operation.header("Idempotency-Key", key, description).refused_with(&[ErrorCode::IdempotencyMismatch])
}

/// The fields of a form that say who calls.
fn with_credentials(mut form: Value) -> Value {
    for name in ["client_id", "client_secret"] {
        form["properties"][name] = json!({"type": "string", "description": "In place of HTTP Basic."});
    }
    form
}

/// A user in a body; a form has the text only.
fn user() -> Value {
    json!({
        "description": "The user: an id in the client's default realm, `id@realm`, or both apart.",
        "oneOf": [
            {"type": "string", "minLength": 1, "maxLength": 321},
            {
                "type": "object",
                "required": ["id", "realm"],
                "additionalProperties": false,
                "properties": {"id": {"type": "string", "minLength": 1, "maxLength": 256}, "realm": {"type": "string"}},
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    /// The names that a call's body may have, by the document.
    fn documented(path: &str, method: &str, media_type: &str) -> Vec<String> {
        let document = crate::openapi::document(crate::door::DoorName::Portal);
        let schema = &document["paths"][path][method]["requestBody"]["content"][media_type]["schema"];
        assert_eq!(schema["additionalProperties"], false, "{method} {path}");
        schema["properties"].as_object().expect("properties").keys().cloned().collect()
    }

    #[test]
    fn the_document_names_the_fields_that_the_readers_take() {
        let sorted = |names: &[&str]| {
            let mut names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            names.sort_unstable();
            names
        };
        for (path, method, fields) in [
            ("/v1/transactions", "post", super::super::start::FIELDS),
            ("/v1/enrollments", "post", super::super::enrollments::FIELDS),
            ("/v1/enrollments/{id}/confirm", "post", super::super::enrollments::CONFIRM_FIELDS),
            ("/v1/users/{user}/devices/{device_id}", "patch", super::super::devices::FIELDS),
            ("/v1/users/{user}", "put", super::super::users::FIELDS),
        ] {
            assert_eq!(documented(path, method, "application/json"), sorted(fields), "{method} {path}");
        }
    }
}
