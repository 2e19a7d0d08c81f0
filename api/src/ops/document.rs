//! What the document of the ops door says, call by call.

use serde_json::{Value, json};
use tocsin_model::{ErrorCode, StateWord};

use super::audit::{AuditCheck, AuditList};
use super::backup::BackupView;
use super::callbacks::{CallbackItemsView, CallbackView};
use super::configuration::ConfigView;
use super::probe::{HealthView, ReadinessView};
use super::process::{DrainView, FILTER_CHARACTERS_MAX, LogLevelView, ReloadView};
use super::providers::ProviderList;
use super::transactions::TransactionList;
use super::users::PageView;
use super::view::TransactionView;
use crate::openapi::{self, About, Operation, Schemas, fixed};

const TOKEN: &str = "operator_token";

/// What the door says of itself.
pub(crate) fn about() -> About {
    About {
        title: "Tocsin: ops door",
        description: "Probes and metrics for machines, `/v1/admin` for operators. Unknown parameters and fields are \
                      refused; clients ignore unknown members of replies. A path answers a method that is not listed \
                      with 405 and its methods in `Allow`. Each error code has a page in `docs/errors`.",
        security_schemes: json!({
            TOKEN: {
                "type": "http",
                "scheme": "bearer",
                "description": "A token with the role `read`, or `operate` for calls that change something.",
            },
        }),
    }
}

/// A call of an operator.
fn call(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary).secured_by(&[TOKEN]).refused_with(&[
        ErrorCode::InvalidRequest,
        ErrorCode::UnknownField,
        ErrorCode::InvalidToken,
        ErrorCode::AddressNotAllowed,
        ErrorCode::StorageUnavailable,
    ])
}

/// A call that needs the role `operate`.
fn operation(id: &'static str, summary: &'static str) -> Operation {
    call(id, summary).refused_with(&[ErrorCode::NotPermitted])
}

/// `GET /healthz`
pub(super) fn healthz(schemas: &mut Schemas) -> Operation {
    let report = schemas.of::<HealthView>();
    Operation::new("readHealth", "Whether the process lives")
        .replies(200, "It lives.", report.clone())
        .replies(503, "It does not: restart it.", report)
        .with_header(503, "retry-after")
}

/// `GET /readyz`
pub(super) fn readyz(schemas: &mut Schemas) -> Operation {
    let report = schemas.of::<ReadinessView>();
    Operation::new("readReadiness", "Whether new work should be sent here")
        .replies(200, "It should.", report.clone())
        .replies(503, "It should not.", report)
        .with_header(503, "retry-after")
}

/// `GET /metrics`
pub(super) fn metrics(_: &mut Schemas) -> Operation {
    Operation::new("readMetrics", "All metrics, in Prometheus' text format")
        .telling("Open where the door listens on loopback; elsewhere a token is needed.")
        .secured_by(&[])
        .secured_by(&[TOKEN])
        .replies_with(200, "The metrics.", "text/plain", json!({"type": "string"}))
        .refused_with(&[ErrorCode::InvalidToken, ErrorCode::AddressNotAllowed])
}

/// `GET /v1/admin/openapi.json`
pub(super) fn describe(_: &mut Schemas) -> Operation {
    call("readDocument", "This document").replies(200, "The document.", json!({"type": "object"}))
}

/// `GET /v1/admin/config`
pub(super) fn configuration(schemas: &mut Schemas) -> Operation {
    call(
        "readConfiguration",
        "The effective configuration, with the source of each value; secrets are masked",
    )
    .replies(200, "Every key that has a value.", schemas.of::<ConfigView<'_>>())
}

/// `GET /v1/admin/providers`
pub(super) fn providers(schemas: &mut Schemas) -> Operation {
    call("listProviders", "The providers, as they are configured and as they are").replies(
        200,
        "All of them.",
        schemas.of::<ProviderList>(),
    )
}

/// `GET /v1/admin/audit`
pub(super) fn list_audit(schemas: &mut Schemas) -> Operation {
    in_time(of_somebody(call("listAudit", "The audit trail, newest first").in_pages()))
        .query("pseudonym", fixed(openapi::pseudonym), "Only about the user with this pseudonym.")
        .query("transaction", fixed(openapi::id), "Only about this transaction.")
        .query("type", fixed(openapi::name), "Only about transactions of this type.")
        .query("event", fixed(openapi::audit_event), "Only such rows.")
        .replies(200, "A page; one with few rows, or none, may have a cursor.", schemas.of::<AuditList<'_>>())
}

/// `GET /v1/admin/audit/verify`
pub(super) fn verify_audit(schemas: &mut Schemas) -> Operation {
    call("verifyAudit", "Check every row against the chain of hashes").replies(
        200,
        "What was found.",
        schemas.of::<AuditCheck>(),
    )
}

/// `GET /v1/admin/callbacks`
pub(super) fn list_callbacks(schemas: &mut Schemas) -> Operation {
    call("listCallbacks", "Callbacks that are owed or dead, newest transaction first")
        .in_pages()
        .required_query("state", fixed(openapi::callback_state), "Which of the two.")
        .replies(200, "A page.", schemas.of::<CallbackItemsView<'_>>())
        .refused_with(&[ErrorCode::FieldRequired])
}

/// `POST /v1/admin/callbacks/{id}/redeliver`
pub(super) fn redeliver(schemas: &mut Schemas) -> Operation {
    operation("redeliverCallback", "Try a callback at once, under the same `webhook-id`")
        .without_fields()
        .path("id", fixed(openapi::id), "The transaction.")
        .replies(200, "The callback, owed.", schemas.of::<CallbackView<'_>>())
        .refused_with(&[ErrorCode::NotFound])
}

/// `GET /v1/admin/users/{user}`
pub(super) fn user(schemas: &mut Schemas) -> Operation {
    call("readUser", "What there is to know of one user")
        .telling(
            "There is no register of users: one whom nobody enrolled has no devices and no transactions.",
        )
        .path("user", json!({"type": "string", "minLength": 1}), "The user's id, percent-encoded.")
        .query("realm", json!({"type": "string"}), "The realm, where there are several.")
        .replies(200, "Devices and last transactions, newest first.", schemas.of::<PageView<'_>>())
        .refused_with(&[ErrorCode::NotFound, ErrorCode::InvalidField, ErrorCode::FieldRequired])
}

/// `GET /v1/admin/transactions`
pub(super) fn list_transactions(schemas: &mut Schemas) -> Operation {
    in_time(of_somebody(call("listTransactions", "Transactions of all clients, newest first").in_pages()))
        .query("state", json!({"enum": StateWord::ALL}), "Only in this state.")
        .query("client", fixed(openapi::name), "Only of this client.")
        .replies(
            200,
            "A page; one with few items, or none, may have a cursor.",
            schemas.of::<TransactionList<'_>>(),
        )
}

/// `POST /v1/admin/transactions/{id}/cancel`
pub(super) fn cancel_transaction(schemas: &mut Schemas) -> Operation {
    operation("cancelTransaction", "Cancel a transaction, as its client could")
        .without_fields()
        .path("id", fixed(openapi::id), "The transaction.")
        .replies(200, "The transaction, cancelled.", schemas.of::<TransactionView<'_>>())
        .refused_with(&[ErrorCode::NotFound, ErrorCode::TransactionFinal])
}

/// `POST /v1/admin/reload`
pub(super) fn reload(schemas: &mut Schemas) -> Operation {
    operation("reload", "Take the configuration over anew, whole or not at all")
        .without_fields()
        .replies(200, "It is in force.", schemas.of::<ReloadView>())
        .refused_with(&[ErrorCode::InvalidField, ErrorCode::Draining])
}

/// `POST /v1/admin/backup`
pub(super) fn backup(schemas: &mut Schemas) -> Operation {
    operation("backup", "Make a backup; the reply comes when it is whole")
        .without_fields()
        .replies(201, "The backup.", schemas.of::<BackupView>())
        .refused_with(&[ErrorCode::Draining])
}

/// `POST /v1/admin/drain`
pub(super) fn drain(schemas: &mut Schemas) -> Operation {
    operation("drain", "Take no new work, let held calls return, and end the process")
        .without_fields()
        .replies(202, "It has begun.", schemas.of::<DrainView>())
        .refused_with(&[ErrorCode::Draining])
}

/// `PUT /v1/admin/log-level`
pub(super) fn log_level(schemas: &mut Schemas) -> Operation {
    let filter = json!({
        "type": "string",
        "minLength": 1,
        "maxLength": FILTER_CHARACTERS_MAX,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
        "description": "Such as `info,tocsin_engine=debug`.",
    });
    operation("setLogFilter", "Set what is logged, until the next reload or start")
        .json(json!({
            "type": "object",
            "required": ["filter"],
            "additionalProperties": false,
            "properties": {"filter": filter},
        }))
        .replies(200, "It is in force.", schemas.of::<LogLevelView<'_>>())
}

/// A list that may be narrowed to one user.
fn of_somebody(operation: Operation) -> Operation {
    operation
        .query("user", json!({"type": "string", "minLength": 1}), "Only about this user.")
        .query("realm", json!({"type": "string"}), "The realm of that user, where there are several.")
        .refused_with(&[ErrorCode::FieldRequired])
}

/// A list that may be narrowed to a time.
fn in_time(operation: Operation) -> Operation {
    let time = || -> Value { fixed(openapi::time) };
    operation.query("from", time(), "Not before this time.").query("to", time(), "Before this time.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::door::DoorName;

    #[test]
    fn the_document_names_the_parameters_that_the_lists_take() {
        let document = openapi::document(DoorName::Ops);
        for (path, taken) in [
            ("/v1/admin/audit", super::super::audit::PARAMETERS),
            ("/v1/admin/transactions", super::super::transactions::PARAMETERS),
        ] {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().expect("parameters");
            let names: BTreeSet<_> =
                parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
            assert_eq!(names, taken.iter().copied().collect(), "{path}");
        }
    }
}
