//! Calls about enrolments.

use serde_json::{Value, json};
use tocsin_model::ErrorCode;

use super::{call, keyed, user, wait_s, with_credentials};
use crate::openapi::{Operation, Schemas, fixed, id};
use crate::portal::enrollments::EnrollmentView;

/// `POST /v1/enrollments`
pub(in crate::portal) fn open_enrollment(schemas: &mut Schemas) -> Operation {
    let view = schemas.of::<EnrollmentView<'_>>();
    keyed(call("openEnrollment", "Open an enrolment: one phone may register with its code, once and in time"))
        .json(opening(user()))
        .form(with_credentials(opening(json!({"type": "string", "minLength": 1}))))
        .replies(201, "The enrolment with its code, which is told only here.", view.clone())
        .replies(200, "The enrolment of a key seen before; with its code while it is pending.", view)
        .refused_with(&[
            ErrorCode::NotFound,
            ErrorCode::AuthorizationRequired,
            ErrorCode::DeviceExists,
            ErrorCode::Draining,
        ])
}

fn opening(user: Value) -> Value {
    json!({
        "type": "object",
        "required": ["user", "app"],
        "additionalProperties": false,
        "properties": {
            "user": user,
            "app": {"type": "string", "description": "The app that the phone has."},
            "ttl_s": {"type": "integer", "minimum": 1, "description": "A shorter life than the app's."},
            "authorized_by": {
                "type": "string",
                "format": "uuid",
                "description": "A transaction of the same user, accepted in the last ten minutes; used once.",
            },
        },
    })
}

/// A call about one enrolment.
fn of_enrollment(name: &'static str, summary: &'static str) -> Operation {
    call(name, summary).path("id", fixed(id), "The enrolment.").refused_with(&[ErrorCode::NotFound])
}

/// `GET /v1/enrollments/{id}`
pub(in crate::portal) fn read_enrollment(schemas: &mut Schemas) -> Operation {
    of_enrollment("readEnrollment", "An enrolment now, or after a wait")
        .query("wait_s", wait_s(), "Waits until a phone has followed it, so many seconds at most.")
        .replies(200, "The enrolment.", schemas.of::<EnrollmentView<'_>>())
        .refused_with(&[ErrorCode::InvalidField])
}

/// `DELETE /v1/enrollments/{id}`
pub(in crate::portal) fn cancel_enrollment(_: &mut Schemas) -> Operation {
    of_enrollment("cancelEnrollment", "Cancel an enrolment")
        .replies_empty(204, "It is cancelled.")
        .refused_with(&[ErrorCode::EnrollmentFinal])
}

/// `POST /v1/enrollments/{id}/confirm`
pub(in crate::portal) fn confirm_enrollment(schemas: &mut Schemas) -> Operation {
    let number = json!({
        "type": "object",
        "required": ["number"],
        "additionalProperties": false,
        "properties": {
            "number": {
                "type": "string",
                "pattern": "^[0-9]{6}$",
                "description": "The number that only the enrolling phone shows.",
            },
        },
    });
    of_enrollment("confirmEnrollment", "Confirm an enrolment by the number that its phone shows")
        .json(number.clone())
        .form(with_credentials(number))
        .replies(200, "The enrolment, completed.", schemas.of::<EnrollmentView<'_>>())
        .refused_with(&[ErrorCode::WrongNumber, ErrorCode::EnrollmentFinal, ErrorCode::DeviceExists])
}
