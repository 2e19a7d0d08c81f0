//! Calls about a user's devices.

use serde_json::json;
use tocsin_engine::device::EnrolmentLimits;
use tocsin_model::ErrorCode;

use super::{call, of_user, with_credentials};
use crate::openapi::{Operation, Schemas, fixed, id, one_line};
use crate::portal::devices::{DeviceList, DeviceView};

/// `GET /v1/users/{user}/devices`
pub(in crate::portal) fn list_devices(schemas: &mut Schemas) -> Operation {
    of_user(call("listDevices", "The user's devices with apps that the client may name")).in_pages().replies(
        200,
        "A page.",
        schemas.of::<DeviceList<'_>>(),
    )
}

/// `DELETE /v1/users/{user}/devices`
pub(in crate::portal) fn remove_devices(_: &mut Schemas) -> Operation {
    of_user(call("removeDevices", "Remove all of them")).replies_empty(204, "They are revoked.")
}

/// A call about one device.
fn of_device(name: &'static str, summary: &'static str) -> Operation {
    of_user(call(name, summary)).path("device_id", fixed(id), "The device.")
}

/// `PATCH /v1/users/{user}/devices/{device_id}`
pub(in crate::portal) fn change_device(schemas: &mut Schemas) -> Operation {
    let change = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "name": one_line(EnrolmentLimits::NAME_CHARACTERS_MAX, "Its name."),
            "status": {"enum": ["active", "suspended"]},
        },
    });
    of_device("changeDevice", "Rename a device, suspend it, or end that")
        .json(change.clone())
        .form(with_credentials(change))
        .replies(200, "The device.", schemas.of::<DeviceView<'_>>())
        .refused_with(&[ErrorCode::DeviceRevoked, ErrorCode::DeviceInactive])
}

/// `DELETE /v1/users/{user}/devices/{device_id}`
pub(in crate::portal) fn remove_device(_: &mut Schemas) -> Operation {
    of_device("removeDevice", "Remove a device: its open transactions end")
        .replies_empty(204, "It is revoked.")
}
