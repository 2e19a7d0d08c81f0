//! Calls about users themselves.

use super::{call, of_user};
use crate::openapi::{Operation, Schemas};
use crate::portal::users::LockList;

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
