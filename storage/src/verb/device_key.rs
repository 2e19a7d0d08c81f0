//! Verbs of a device's keys: wrong PINs, new and removed keys, and the order of its changes.
//!
//! Invariants: the count of wrong PINs rises with each and falls only by a right one; a change of keys and what
//! entitles to it are stored in one batch; a device keeps its `device` key and, once it has one, a `pin` key.

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Device, DeviceGuards, DeviceId, DeviceKey, DeviceStatus, KeyUse,
    Transaction, UnixMs,
};

use super::authorization;
use super::batch::Batch;
use super::device;
use super::rows::RowResult;
use super::table::Table;
use crate::store::{ChangeNoted, KeyApproval, KeyChange, KeyDeleted, KeyPut, PinTried};

/// Counts a wrong PIN, and revokes the device by the last one.
pub(crate) fn count_pin_try(
    table: &Table<'_>,
    id: &DeviceId,
    tries_max: u32,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<PinTried> {
    let Some(device) = table.device(id)? else { return Ok(PinTried::Absent) };
    if device.status == DeviceStatus::Revoked {
        return Ok(PinTried::Revoked);
    }
    let used = device.guards.pin_tries_used.saturating_add(1);
    let tried = with_guards(device, |guards| guards.pin_tries_used = used);
    if tries_max > 0 && used >= tries_max {
        batch.audit(by_phone(AuditKind::DeviceRevoked, &tried, "pin_tries"));
        device::put_revoked(table, &tried, AuditActor::Device(*id), now, batch)?;
        return Ok(PinTried::Exhausted);
    }
    batch.audit(by_phone(AuditKind::DeviceChanged, &tried, &format!("pin_tries {used}")));
    device::put(batch, &tried);
    Ok(PinTried::Counted { used })
}

/// Forgets the wrong PINs before a right one; `false` when the device is revoked, so that the right one comes too
/// late.
pub(crate) fn forget_pin_tries(table: &Table<'_>, id: &DeviceId, batch: &mut Batch) -> RowResult<bool> {
    let Some(phone) = table.phone(id)?.filter(|phone| phone.status != DeviceStatus::Revoked) else {
        return Ok(false);
    };
    if phone.guards.pin_tries_used > 0
        && let Some(device) = table.device(id)?
    {
        device::put(batch, &with_guards(device, |guards| guards.pin_tries_used = 0));
    }
    Ok(true)
}

/// Notes the time of a change, if it is above the last one.
pub(crate) fn note_change(
    table: &Table<'_>,
    id: &DeviceId,
    issued_at: UnixMs,
    batch: &mut Batch,
) -> RowResult<ChangeNoted> {
    let device = table.device(id)?.filter(|device| device.status != DeviceStatus::Revoked);
    let Some(device) = device else { return Ok(ChangeNoted::Absent) };
    if device.last_signed_at.is_some_and(|last| issued_at <= last) {
        return Ok(ChangeNoted::NotAbove);
    }
    device::put(batch, &Device { last_signed_at: Some(issued_at), ..device });
    Ok(ChangeNoted::Stored)
}

/// Adds a key, or puts it in the place of the one with the same use.
pub(crate) fn put(table: &Table<'_>, change: &KeyChange, batch: &mut Batch) -> RowResult<KeyPut> {
    let KeyChange { device_id, key, approval, now } = change;
    let Some(device) = table.device(device_id)? else { return Ok(KeyPut::Absent) };
    if device.status == DeviceStatus::Revoked {
        return Ok(KeyPut::Revoked);
    }
    if device.keys.iter().any(|known| known.thumbprint == key.thumbprint) {
        return Ok(KeyPut::AlreadyThere);
    }
    if key.key_use == KeyUse::Device {
        return Ok(KeyPut::NotApproved);
    }
    let Some(mut device) = approved(table, device, approval, *now, batch)? else {
        return Ok(KeyPut::NotApproved);
    };
    let replaced = device.keys.iter().position(|known| known.key_use == key.key_use);
    if let Some(replaced) = replaced {
        let DeviceKey { kid, .. } = device.keys.remove(replaced);
        device::forget_kid(batch, &kid);
    }
    device.keys.push(key.clone());
    device.revision = device.revision.saturating_add(1);
    batch.audit(by_phone(AuditKind::DeviceChanged, &device, &format!("key {}", key.key_use)));
    device::put_kid(batch, &device, &key.kid);
    device::put(batch, &device);
    Ok(KeyPut::Stored)
}

/// The device with the approval used up; `None` when it does not stand.
fn approved(
    table: &Table<'_>,
    device: Device,
    approval: &KeyApproval,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Option<Device>> {
    match (approval, device.key(&KeyUse::Pin)) {
        (KeyApproval::Pin { kid, issued_at }, Some(pin)) if pin.kid == *kid => {
            Ok(Some(with_guards(device, |guards| {
                // An authorization that is sent once more proves no PIN.
                if *issued_at > guards.last_authorization {
                    guards.last_authorization = *issued_at;
                    guards.pin_tries_used = 0;
                }
            })))
        }
        (KeyApproval::Transaction(transaction_id), None) => {
            let is_by_it = |accepted: &Transaction| {
                let by = accepted.answer.as_ref().map(|answer| answer.device_id);
                accepted.user.as_ref() == Some(&device.user) && by == Some(device.id)
            };
            if !authorization::is_given(table, transaction_id, now, is_by_it)? {
                return Ok(None);
            }
            authorization::use_up(table, transaction_id, now, batch);
            Ok(Some(device))
        }
        (KeyApproval::Pin { .. } | KeyApproval::Transaction(_), _) => Ok(None),
    }
}

/// Removes a key; the `device` key and the `pin` key stay.
pub(crate) fn delete(
    table: &Table<'_>,
    id: &DeviceId,
    key_use: &KeyUse,
    batch: &mut Batch,
) -> RowResult<KeyDeleted> {
    let device = table.device(id)?.filter(|device| device.status != DeviceStatus::Revoked);
    let Some(mut device) = device else { return Ok(KeyDeleted::Absent) };
    let stays = matches!(key_use, KeyUse::Device | KeyUse::Pin);
    let found = device.keys.iter().position(|key| key.key_use == *key_use).filter(|_| !stays);
    let Some(found) = found else { return Ok(KeyDeleted::Absent) };
    let DeviceKey { kid, .. } = device.keys.remove(found);
    device.revision = device.revision.saturating_add(1);
    batch.audit(by_phone(AuditKind::DeviceChanged, &device, &format!("no key {key_use}")));
    device::forget_kid(batch, &kid);
    device::put(batch, &device);
    Ok(KeyDeleted::Stored)
}

fn with_guards(mut device: Device, change: impl FnOnce(&mut DeviceGuards)) -> Device {
    change(&mut device.guards);
    device
}

/// What the phone itself brought about.
fn by_phone(kind: AuditKind, device: &Device, detail: &str) -> AuditEvent {
    let by = AuditActor::Device(device.id);
    AuditEvent::new(kind, by).user(&device.user).device(device.id).detail(detail)
}
