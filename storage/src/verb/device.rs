//! Verbs of devices: removing, changing, and the rows that lead to a device.
//!
//! Invariants: a device that is not revoked has exactly one live row under its user; a `device` key stays
//! registered for ever; only the address that a device holds now leads to it; a change that a phone signed is
//! above the last one.

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Device, DeviceId, DeviceStatus, KeyId, PushTarget, UnixMs,
};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use super::{enrollment, push_target};
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{DeviceRecord, EmptyRecord, LinkRecord};
use crate::store::{DeviceChange, DeviceChanged, Revoked};

/// Stores a device that is new or newly confirmed, with every row that leads to it.
pub(crate) fn put_new(batch: &mut Batch, device: &Device) {
    let link = LinkRecord { id: *device.id.as_bytes() };
    let expiry = expiry(device);
    put(batch, device);
    if let Some(key) = device.device_key() {
        batch.put(Key::device_by_thumbprint(&key.thumbprint), Expiry::Never, &link);
    }
    for key in &device.keys {
        batch.put(Key::device_by_kid(&key.kid), expiry, &link);
    }
    if let Some(token) = &device.push.token {
        batch.put(Key::push_target(device.push.kind, token, &device.id), expiry, &EmptyRecord {});
    }
    batch.put(Key::live_device(&device.user, &device.app, &device.id), expiry, &EmptyRecord {});
}

/// Stores a device that is not revoked.
pub(crate) fn put(batch: &mut Batch, device: &Device) {
    batch.put(Key::device(&device.id), expiry(device), &DeviceRecord::new(device));
}

/// Lets a new key lead to its device.
pub(super) fn put_kid(batch: &mut Batch, device: &Device, kid: &KeyId) {
    batch.put(Key::device_by_kid(kid), expiry(device), &LinkRecord { id: *device.id.as_bytes() });
}

/// A key that was removed leads nowhere.
pub(super) fn forget_kid(batch: &mut Batch, kid: &KeyId) {
    batch.delete(Key::device_by_kid(kid));
}

/// A device that waits for its confirmation goes by itself; every other one stays.
pub(crate) fn expiry(device: &Device) -> Expiry {
    device.unconfirmed_until.map_or(Expiry::Never, Expiry::At)
}

/// Removes a device for good; it stays readable as `revoked` until its retention ends.
pub(crate) fn revoke(
    table: &Table<'_>,
    id: &DeviceId,
    by: AuditActor,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Revoked> {
    let Some(device) = table.device(id)? else { return Ok(Revoked::Absent) };
    if device.status != DeviceStatus::Revoked {
        revoke_found(table, &device, by, now, batch)?;
    }
    Ok(Revoked::Stored)
}

/// Removes a device that is not revoked yet. One that waits for its number takes its enrolment with it.
pub(crate) fn revoke_found(
    table: &Table<'_>,
    device: &Device,
    by: AuditActor,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<()> {
    let revoked = AuditEvent::new(AuditKind::DeviceRevoked, by.clone());
    batch.audit(revoked.user(&device.user).device(device.id));
    put_revoked(table, device, by, now, batch)
}

/// Stores a device as `revoked`, whatever else was changed of it; that it was is the caller's to note in the trail.
pub(super) fn put_revoked(
    table: &Table<'_>,
    device: &Device,
    by: AuditActor,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<()> {
    if device.status == DeviceStatus::Unconfirmed
        && let Some(waiting) = table.enrollment(&device.enrollment_id)?
    {
        enrollment::fail(table, waiting, by, batch);
    }
    let retained = Expiry::At(now.plus(table.retention.enrollment));
    forget_ways(batch, device);
    batch.put(Key::revoked_device(&device.user, now, &device.id), retained, &EmptyRecord {});
    let link = LinkRecord { id: *device.id.as_bytes() };
    for key in &device.keys {
        batch.put(Key::device_by_kid(&key.kid), retained, &link);
    }
    let revoked = Device {
        status: DeviceStatus::Revoked,
        push: PushTarget::none(device.push.registered_at),
        unconfirmed_until: None,
        revision: device.revision.saturating_add(1),
        ..device.clone()
    };
    batch.put(Key::device(&device.id), retained, &DeviceRecord::new(&revoked));
    Ok(())
}

/// Forgets a device that was never confirmed, but for its `device` key, which no other device may have.
pub(crate) fn remove_unconfirmed(batch: &mut Batch, device: &Device) {
    forget_ways(batch, device);
    for key in &device.keys {
        batch.delete(Key::device_by_kid(&key.kid));
    }
    batch.delete(Key::device(&device.id));
}

/// The rows by which a device in use is found and marked.
fn forget_ways(batch: &mut Batch, device: &Device) {
    push_target::forget(batch, device);
    batch.delete(Key::device_used(&device.id));
    batch.delete(Key::live_device(&device.user, &device.app, &device.id));
}

/// Changes a device. Judged in this order: removed, not above the last signed change, not in use.
pub(crate) fn change(
    table: &Table<'_>,
    id: &DeviceId,
    change: &DeviceChange,
    by: AuditActor,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<DeviceChanged> {
    let Some(device) = table.device(id)? else { return Ok(DeviceChanged::Absent) };
    if device.status == DeviceStatus::Revoked {
        return Ok(DeviceChanged::Refused(device.status));
    }
    let signed_at = change.signed_at();
    if signed_at.is_some_and(|at| device.last_signed_at.is_some_and(|last| at <= last)) {
        return Ok(DeviceChanged::Stale);
    }
    let before = device.clone();
    let base = Device {
        revision: device.revision.saturating_add(1),
        last_signed_at: signed_at.or(device.last_signed_at),
        ..device
    };
    let is_waiting = before.status == DeviceStatus::Unconfirmed;
    let is_idle = is_waiting || before.status == DeviceStatus::Suspended;
    let changed = match change {
        DeviceChange::Leave { .. } => {
            let leaving = Device { revision: before.revision, ..base.clone() };
            revoke_found(table, &leaving, by, now, batch)?;
            return Ok(DeviceChanged::Stored(Box::new(Device { status: DeviceStatus::Revoked, ..base })));
        }
        DeviceChange::Manage { suspended: Some(_), .. } if is_waiting => {
            return Ok(DeviceChanged::Refused(before.status));
        }
        DeviceChange::Profile { .. } | DeviceChange::Push { .. } if is_idle => {
            return Ok(DeviceChanged::Refused(before.status));
        }
        DeviceChange::Manage { name, suspended } => managed(base, name.as_deref(), *suspended),
        DeviceChange::Profile { change, .. } => change.clone().apply(base),
        DeviceChange::Push { target, .. } => push_target::replace(table, &before, base, target, batch)?,
    };
    put(batch, &changed);
    let event = AuditEvent::new(AuditKind::DeviceChanged, by).user(&changed.user).device(changed.id);
    batch.audit(event.detail(what_changed(&before, &changed)));
    Ok(DeviceChanged::Stored(Box::new(changed)))
}

/// The new status, or else what was changed.
fn what_changed(before: &Device, after: &Device) -> &'static str {
    if before.status != after.status {
        after.status.as_str()
    } else if before.push != after.push {
        "push"
    } else {
        "profile"
    }
}

fn managed(device: Device, name: Option<&str>, suspended: Option<bool>) -> Device {
    let status = match suspended {
        Some(true) => DeviceStatus::Suspended,
        Some(false) => device.status_in_use(),
        None => device.status,
    };
    let mut device = Device { status, ..device };
    if let Some(name) = name {
        device.profile.name = name.into();
    }
    device
}
