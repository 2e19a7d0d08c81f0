//! Calls about one-time codes.

use serde_json::{Value, json};
use tocsin_model::ErrorCode;

use super::transactions::of_transaction;
use super::with_credentials;
use crate::openapi::{Operation, Schemas};
use crate::portal::code::{CODE_CHARACTERS_MAX, CodeView};
use crate::portal::view::TransactionView;

/// `POST /v1/transactions/{id}/code`
pub(in crate::portal) fn check_code(schemas: &mut Schemas) -> Operation {
    of_transaction("checkCode", "Bring the code that the user typed")
        .telling(
            "The right one ends the transaction as `accepted`; brought again it is told the same. A wrong one is counted \
             and stored before this reply; the one that reaches the type's limit ends it as `failed`.",
        )
        .json(tried())
        .form(with_credentials(tried()))
        .replies(200, "The transaction, accepted.", schemas.of::<TransactionView<'_>>())
        .refused_with(&[
            ErrorCode::InvalidField,
            ErrorCode::FieldRequired,
            ErrorCode::WrongCode,
            ErrorCode::TransactionFinal,
        ])
}

fn tried() -> Value {
    json!({
        "type": "object",
        "required": ["code"],
        "additionalProperties": false,
        "properties": {
            "code": {
                "type": "string",
                "minLength": 1,
                "maxLength": CODE_CHARACTERS_MAX,
                "description": "As the user typed it; anything but the code is a wrong try.",
            },
        },
    })
}

/// `GET /v1/transactions/{id}/code`
pub(in crate::portal) fn hand_out_code(schemas: &mut Schemas) -> Operation {
    of_transaction("handOutCode", "The code, for delivery by the client itself")
        .telling(
            "Only of a pending transaction that was started with `delivery` `[\"custom\"]`, and with the right \
             `custom_delivery`. That it was handed out is in the audit trail. Whoever has the code can end the \
             transaction: keep it out of logs.",
        )
        .replies(200, "The code.", schemas.of::<CodeView<'_>>())
        .refused_with(&[ErrorCode::InvalidField, ErrorCode::TransactionFinal])
}
