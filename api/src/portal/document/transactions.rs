//! Calls about transactions.

use serde_json::{Value, json};
use tocsin_model::{ContentLimits, ErrorCode, NumberMatchRule, StateWord};

use super::{call, keyed, of_user, user, wait_s, with_credentials};
use crate::openapi::{Operation, Schemas, fixed, id, one_line, text_lines};
use crate::portal::list::TransactionList;
use crate::portal::methods::MethodList;
use crate::portal::start::{LANGUAGE_CHARACTERS_MAX, SESSION_ID_CHARACTERS_MAX, USER_AGENT_CHARACTERS_MAX};
use crate::portal::view::TransactionView;

/// `POST /v1/transactions`
pub(in crate::portal) fn start_transaction(schemas: &mut Schemas) -> Operation {
    let view = schemas.of::<TransactionView<'_>>();
    let preference = json!({"type": "string"});
    keyed(call("startTransaction", "Start a transaction"))
        .telling(
            "It is on disk before this reply is sent and before its push leaves. What is known at once is decided \
             before anything is stored. A caller that hangs up cancels nothing.",
        )
        .header("Prefer", preference, "`wait=N` (RFC 7240) means `wait_s`; of both the smaller counts.")
        .json(start())
        .form(with_credentials(start_form()))
        .replies(201, "The transaction, pending or just ended.", view.clone())
        .with_header(201, "location")
        .with_header(201, "preference-applied")
        .replies(200, "The transaction: of a key seen before, or ended within `wait_s`.", view)
        .with_header(200, "preference-applied")
        .refused_with(&[
            ErrorCode::NotFound,
            ErrorCode::UnknownType,
            ErrorCode::NoDevice,
            ErrorCode::DeviceRequired,
            ErrorCode::PendingExists,
            ErrorCode::UserLocked,
            ErrorCode::ContentTooLarge,
            ErrorCode::WaitNotPossible,
            ErrorCode::ProviderUnavailable,
            ErrorCode::Draining,
        ])
}

fn start() -> Value {
    let entries = json!({
        "type": "array",
        "maxItems": ContentLimits::DETAILS_MAX,
        "items": {
            "type": "object",
            "required": ["label", "value"],
            "additionalProperties": false,
            "properties": {
                "label": one_line(ContentLimits::LABEL_CHARACTERS_MAX, "Its label."),
                "value": text_lines(ContentLimits::VALUE_CHARACTERS_MAX, "Its value."),
            },
        },
    });
    let mut body = start_form();
    let fields = &mut body["properties"];
    fields["user"] = user();
    fields["details"] = entries;
    fields["hidden_details"] = json!({
        "type": "object",
        "description": "For the app's own checks; the only member that the phone does not show.",
        "maxProperties": ContentLimits::DETAILS_MAX,
        "propertyNames": one_line(ContentLimits::LABEL_CHARACTERS_MAX, "A label."),
        "additionalProperties": text_lines(ContentLimits::VALUE_CHARACTERS_MAX, "A value."),
    });
    fields["delivery"] = json!({
        "type": "array",
        "description": "How the challenge leaves; `push` without it. `custom` stands alone: the code of a type that \
                        sends one is fetched by the client, which delivers it.",
        "minItems": 1,
        "uniqueItems": true,
        "items": {"enum": ["push", "request_message", "custom"]},
    });
    fields["context"] = json!({
        "type": "object",
        "description": "Where the user is calling from; shown where the type says `show_origin`.",
        "additionalProperties": false,
        "properties": {
            "ip_address": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
            "user_agent": one_line(USER_AGENT_CHARACTERS_MAX, "The browser."),
            "session_id": one_line(SESSION_ID_CHARACTERS_MAX, "The portal's session."),
        },
    });
    body
}

/// The fields that a form can have: the flat ones.
fn start_form() -> Value {
    json!({
        "type": "object",
        "required": ["type"],
        "additionalProperties": false,
        "properties": {
            "type": {"type": "string", "description": "The name of a configured authentication type."},
            "user": {"type": "string", "minLength": 1, "description": "The user, as `id` or `id@realm`. Needed, but refused where the type is claimed by a one-time password."},
            "title": one_line(ContentLimits::TITLE_CHARACTERS_MAX, "Else the type's default."),
            "message": text_lines(
                ContentLimits::MESSAGE_CHARACTERS_CEILING,
                "Else the type's default; at most the type's `message_max`. In a message that is sent, each `{code}` \
                 becomes the code; without one it is the code alone.",
            ),
            "secure_message": text_lines(
                ContentLimits::SECURE_MESSAGE_CHARACTERS_MAX,
                "In the challenge only, never in clear in the push.",
            ),
            "device_id": {"type": "string", "description": "Only this phone."},
            "app": {"type": "string", "description": "Only phones with this app."},
            "phone_number": {
                "type": "string",
                "pattern": "^\\+[1-9][0-9]{6,14}$",
                "description": "Where a code goes by SMS, in international form (E.164).",
            },
            "email": {
                "type": "string",
                "format": "email",
                "maxLength": 254,
                "description": "Where a code goes by e-mail.",
            },
            "ttl_s": {"type": "integer", "minimum": 1, "description": "A shorter life than the type's."},
            "callback_url": {
                "type": "string",
                "format": "uri",
                "maxLength": 1024,
                "description": "Where the outcome is posted to; one that the client may name.",
            },
            "language": {
                "type": "string",
                "maxLength": LANGUAGE_CHARACTERS_MAX,
                "pattern": "^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$",
                "description": "A language tag (RFC 5646), for the texts that are left out.",
            },
            "reply": {
                "enum": ["stored", "sent"],
                "default": "stored",
                "description": "When to reply: as soon as it is on disk, or after the first word of a provider.",
            },
            "wait_s": described_wait_s(),
            "number_match": {
                "enum": NumberMatchRule::ALL.map(NumberMatchRule::as_str),
                "description": "A stricter matching than the type's; each word is stricter than the one before.",
            },
        },
    })
}

fn described_wait_s() -> Value {
    let mut field = wait_s();
    field["description"] =
        "Waits for the outcome, so many seconds at most; not where a `number` must be shown first, \
                            which what goes on with this user may require of a type that asks for none."
            .into();
    field
}

/// `GET /v1/transactions`
pub(in crate::portal) fn list_transactions(schemas: &mut Schemas) -> Operation {
    call("listTransactions", "The client's transactions, newest first")
        .in_pages()
        .query("user", json!({"type": "string", "minLength": 1}), "Only of this user.")
        .query("realm", json!({"type": "string"}), "The realm of that user.")
        .query("state", json!({"enum": StateWord::ALL}), "Only in this state.")
        .replies(200, "A page.", schemas.of::<TransactionList<'_>>())
        .refused_with(&[ErrorCode::NotFound, ErrorCode::FieldRequired])
}

/// A call about one transaction.
pub(super) fn of_transaction(name: &'static str, summary: &'static str) -> Operation {
    call(name, summary).path("id", fixed(id), "The transaction.").refused_with(&[ErrorCode::NotFound])
}

/// `GET /v1/transactions/{id}`
pub(in crate::portal) fn read_transaction(schemas: &mut Schemas) -> Operation {
    let after = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    of_transaction("readTransaction", "The state now, or after a wait")
        .query("wait_s", wait_s(), "Waits for the outcome, so many seconds at most.")
        .query("after", after, "With `wait_s`: waits for any change beyond this revision.")
        .replies(200, "The transaction.", schemas.of::<TransactionView<'_>>())
        .refused_with(&[ErrorCode::InvalidField, ErrorCode::FieldRequired])
}

/// `DELETE /v1/transactions/{id}`
pub(in crate::portal) fn cancel_transaction(schemas: &mut Schemas) -> Operation {
    of_transaction("cancelTransaction", "Cancel a transaction")
        .replies(200, "The transaction, cancelled.", schemas.of::<TransactionView<'_>>())
        .refused_with(&[ErrorCode::TransactionFinal])
}

/// `POST /v1/transactions/{id}/resend`
pub(in crate::portal) fn resend_push(schemas: &mut Schemas) -> Operation {
    let nothing = json!({"type": "object", "additionalProperties": false, "properties": {}});
    keyed(of_transaction("resendPush", "Push once more to the same phones, or send the same code again"))
        .telling("The challenge stays the same, and so does its end. The body may be left out.")
        .optional_json(nothing.clone())
        .form(with_credentials(nothing))
        .replies(200, "The transaction.", schemas.of::<TransactionView<'_>>())
        .refused_with(&[
            ErrorCode::InvalidField,
            ErrorCode::ResendLimit,
            ErrorCode::TransactionFinal,
            ErrorCode::UserLocked,
            ErrorCode::MethodDisabled,
            ErrorCode::Draining,
        ])
}

/// `GET /v1/transactions/{id}/events`
pub(in crate::portal) fn transaction_events(_: &mut Schemas) -> Operation {
    of_transaction("transactionEvents", "The present state and each change, as server-sent events")
        .telling(
            "`event: transaction`, with the transaction as `data` on one line and its revision as `id`. Changes may \
             be coalesced; a comment comes every 15 s; the stream ends after the outcome.",
        )
        .header("Last-Event-ID", json!({"type": "string"}), "The revision that was seen last.")
        .replies_with(200, "The stream, which has no JSON form; the data of each event has.", "text/event-stream", json!({}))
}

/// `GET /v1/transactions/{id}/qr.png`
pub(in crate::portal) fn qr_picture(_: &mut Schemas) -> Operation {
    of_transaction("transactionPicture", "The one-time password or the request message as a QR picture")
        .replies_with(200, "The picture.", "image/png", json!({}))
        .refused_with(&[ErrorCode::TransactionFinal, ErrorCode::OtpUsed, ErrorCode::ContentTooLarge])
}

/// `GET /v1/users/{user}/methods`
pub(in crate::portal) fn list_methods(schemas: &mut Schemas) -> Operation {
    of_user(call("listMethods", "Which of the client's types would reach this user now")).replies(
        200,
        "The types.",
        schemas.of::<MethodList<'_>>(),
    )
}
