//! Calls about users themselves.

use serde_json::json;
use tocsin_model::ErrorCode;

use super::{call, of_user, with_credentials};
use crate::openapi::{Operation, Schemas};
use crate::portal::start::LANGUAGE_CHARACTERS_MAX;
use crate::portal::users::{LockList, ProfileView};

/// `PUT /v1/users/{user}`
pub(in crate::portal) fn put_profile(schemas: &mut Schemas) -> Operation {
    let profile = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "phone_number": {"type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$", "description": "Where SMS go to."},
            "email": {"type": "string", "format": "email", "maxLength": 254, "description": "Where e-mails go to."},
            "language": {
                "type": "string",
                "maxLength": LANGUAGE_CHARACTERS_MAX,
                "pattern": "^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$",
                "description": "A language tag (RFC 5646).",
            },
        },
    });
    of_user(call("putUser", "Keep a profile: where codes go to when a start names no address"))
        .telling("It takes the place of the one before: what it lacks is removed.")
        .json(profile.clone())
        .form(with_credentials(profile))
        .replies(200, "The profile.", schemas.of::<ProfileView<'_>>())
}

/// `GET /v1/users/{user}`
pub(in crate::portal) fn read_profile(schemas: &mut Schemas) -> Operation {
    of_user(call("readUser", "The user's profile"))
        .replies(200, "The profile.", schemas.of::<ProfileView<'_>>())
        .refused_with(&[ErrorCode::NotFound])
}

/// `DELETE /v1/users/{user}`
pub(in crate::portal) fn erase_user(_: &mut Schemas) -> Operation {
    of_user(call("eraseUser", "Erase a user: profile, devices, locks and open transactions"))
        .telling(
            "Open transactions end as `failed` with the reason `user_deleted`. Ended ones keep their outcome and lose \
             texts, addresses, the names of phones and the origin of the call. Of the audit trail's rows about the user \
             a pseudonym is left.",
        )
        .replies_empty(204, "Nobody of this name is known.")
}

/// `GET /v1/users/{user}/locks`
pub(in crate::portal) fn list_locks(schemas: &mut Schemas) -> Operation {
    of_user(call("listLocks", "What keeps anything from being started for the user")).replies(
        200,
        "All locks that hold.",
        schemas.of::<LockList>(),
    )
}

/// `DELETE /v1/users/{user}/locks`
pub(in crate::portal) fn remove_locks(_: &mut Schemas) -> Operation {
    of_user(call("removeLocks", "Remove all locks; the row of ignored and refused pushes begins anew"))
        .replies_empty(204, "Nothing locks the user.")
}
