//! Verbs of devices, and the rows that lead to a device.
//!
//! Invariants: a device that is not revoked has exactly one live row under its user; a `device` key stays
//! registered for ever; only the address that a device holds now leads to it.

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Device, DeviceId, DeviceStatus, PushKind, PushTarget, PushToken,
    UnixMs,
};

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{DeviceRecord, EmptyRecord, LinkRecord};
use crate::store::{PushTargetVerdict, Revoked};

/// Devices that one verdict changes. An address belongs to one installed app, so there are hardly two; the rest
/// would be changed by the next verdict.
const DEVICES_PER_PUSH_TARGET_MAX: usize = 1_000;

/// Stores a device that is new, with every row that leads to it.
pub(crate) fn put_new(batch: &mut Batch, device: &Device) {
    let link = LinkRecord { id: *device.id.as_bytes() };
    put(batch, device, Expiry::Never);
    if let Some(key) = device.device_key() {
        batch.put(Key::device_by_thumbprint(&key.thumbprint), Expiry::Never, &link);
    }
    for key in &device.keys {
        batch.put(Key::device_by_kid(&key.kid), Expiry::Never, &link);
    }
    if let Some(token) = &device.push.token {
        batch.put(Key::push_target(device.push.kind, token, &device.id), Expiry::Never, &EmptyRecord {});
    }
    batch.put(Key::live_device(&device.user, &device.app, &device.id), Expiry::Never, &EmptyRecord {});
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
    if device.status == DeviceStatus::Revoked {
        return Ok(Revoked::Stored);
    }
    batch.audit(AuditEvent::new(AuditKind::DeviceRevoked, by).user(&device.user).device(*id));
    let expiry = Expiry::At(now.plus(table.retention.enrollment));
    forget_push_target(batch, &device);
    batch.delete(Key::device_used(id));
    batch.delete(Key::live_device(&device.user, &device.app, id));
    batch.put(Key::revoked_device(&device.user, now, id), expiry, &EmptyRecord {});
    let link = LinkRecord { id: *id.as_bytes() };
    for key in &device.keys {
        batch.put(Key::device_by_kid(&key.kid), expiry, &link);
    }
    let push = PushTarget::none(device.push.registered_at);
    let revision = device.revision.saturating_add(1);
    put(batch, &Device { status: DeviceStatus::Revoked, push, revision, ..device }, expiry);
    Ok(Revoked::Stored)
}

/// Applies a network's verdict to the devices that hold this address now.
pub(crate) fn judge_push_target(
    table: &Table<'_>,
    kind: PushKind,
    token: &PushToken,
    verdict: &PushTargetVerdict,
    batch: &mut Batch,
) -> RowResult<Vec<DeviceId>> {
    let (keys, _) = table.keys(&Key::push_targets(kind, token), None, DEVICES_PER_PUSH_TARGET_MAX)?;
    let mut changed = Vec::new();
    for id in keys.iter().filter_map(Key::trailing_id).map(DeviceId::from_bytes) {
        let Some(device) = table.device(&id)? else { continue };
        let still_holds = device.push.kind == kind && device.push.token.as_ref() == Some(token);
        if !still_holds {
            continue;
        }
        let Some(judged) = judge(&device, verdict) else { continue };
        if judged.push.token.is_none() {
            forget_push_target(batch, &device);
        }
        if judged.status != device.status {
            let changed = AuditEvent::new(AuditKind::DeviceChanged, AuditActor::Server);
            batch.audit(changed.user(&device.user).device(id).detail(judged.status.as_str()));
        }
        put(batch, &judged, Expiry::Never);
        changed.push(id);
    }
    Ok(changed)
}

/// Suspect refusals in a row after which an address is given up.
const SUSPECT_IN_A_ROW_MAX: u32 = 3;

/// The device after the verdict; `None` when it stays as it is.
fn judge(device: &Device, verdict: &PushTargetVerdict) -> Option<Device> {
    let revision = device.revision.saturating_add(1);
    match verdict {
        // What was registered at or after the network's time of death is another, living address.
        PushTargetVerdict::Dead { since: Some(since) } if *since <= device.push.registered_at => None,
        PushTargetVerdict::Dead { .. } => Some(Device {
            status: without_address(device.status),
            push: PushTarget::none(device.push.registered_at),
            push_suspect_count: 0,
            revision,
            ..device.clone()
        }),
        PushTargetVerdict::Suspect { others_succeed } => {
            let push_suspect_count = device.push_suspect_count.saturating_add(1);
            let given_up = *others_succeed && push_suspect_count >= SUSPECT_IN_A_ROW_MAX;
            let status = if given_up { without_address(device.status) } else { device.status };
            Some(Device { push_suspect_count, status, revision, ..device.clone() })
        }
        PushTargetVerdict::Good if device.push_suspect_count == 0 => None,
        PushTargetVerdict::Good => Some(Device { push_suspect_count: 0, revision, ..device.clone() }),
    }
}

/// A dead address must not lift a suspension or stand in for a confirmation.
const fn without_address(status: DeviceStatus) -> DeviceStatus {
    match status {
        DeviceStatus::Active | DeviceStatus::Unreachable => DeviceStatus::Unreachable,
        DeviceStatus::Unconfirmed => DeviceStatus::Unconfirmed,
        DeviceStatus::Suspended => DeviceStatus::Suspended,
        DeviceStatus::Revoked => DeviceStatus::Revoked,
    }
}

fn forget_push_target(batch: &mut Batch, device: &Device) {
    if let Some(token) = &device.push.token {
        batch.delete(Key::push_target(device.push.kind, token, &device.id));
    }
}

fn put(batch: &mut Batch, device: &Device, expiry: Expiry) {
    batch.put(Key::device(&device.id), expiry, &DeviceRecord::new(device));
}
