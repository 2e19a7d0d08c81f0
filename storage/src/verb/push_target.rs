//! Push addresses: what networks say of them, and whose they are.
//!
//! Invariants: only the address that a device holds now leads to it; of several devices of one user and app only the
//! newest enrolment holds an address.

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Device, DeviceId, DeviceStatus, PushKind, PushTarget, PushToken,
};

use super::batch::Batch;
use super::device;
use super::rows::RowResult;
use super::table::Table;
use crate::key::Key;
use crate::record::EmptyRecord;
use crate::store::PushTargetVerdict;

/// Devices that one verdict changes. An address belongs to one installed app, so there are hardly two; the rest
/// would be changed by the next verdict.
const DEVICES_PER_PUSH_TARGET_MAX: usize = 1_000;

/// Applies a network's verdict to the devices that hold this address now.
pub(crate) fn judge_push_target(
    table: &Table<'_>,
    kind: PushKind,
    token: &PushToken,
    verdict: &PushTargetVerdict,
    batch: &mut Batch,
) -> RowResult<Vec<DeviceId>> {
    let mut changed = Vec::new();
    for device in holders(table, kind, token)? {
        let Some(judged) = judge(&device, verdict) else { continue };
        if judged.push.token.is_none() {
            forget(batch, &device);
        }
        audit_status(batch, &device, &judged);
        device::put(batch, &judged);
        changed.push(device.id);
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
        PushTargetVerdict::Dead { .. } => Some(without_address(device)),
        PushTargetVerdict::Suspect { others_succeed } => {
            let push_suspect_count = device.push_suspect_count.saturating_add(1);
            let given_up = *others_succeed && push_suspect_count >= SUSPECT_IN_A_ROW_MAX;
            let status = if given_up { unreachable(device.status) } else { device.status };
            let push_is_dead = given_up || device.push_is_dead;
            Some(Device { push_suspect_count, push_is_dead, status, revision, ..device.clone() })
        }
        PushTargetVerdict::Good if device.push_suspect_count == 0 => None,
        PushTargetVerdict::Good => Some(Device { push_suspect_count: 0, revision, ..device.clone() }),
    }
}

/// The device after its address was lost.
fn without_address(device: &Device) -> Device {
    Device {
        status: unreachable(device.status),
        push: PushTarget::none(device.push.registered_at),
        push_suspect_count: 0,
        push_is_dead: true,
        revision: device.revision.saturating_add(1),
        ..device.clone()
    }
}

/// A dead address must not lift a suspension or stand in for a confirmation.
const fn unreachable(status: DeviceStatus) -> DeviceStatus {
    match status {
        DeviceStatus::Active | DeviceStatus::Unreachable => DeviceStatus::Unreachable,
        DeviceStatus::Unconfirmed => DeviceStatus::Unconfirmed,
        DeviceStatus::Suspended => DeviceStatus::Suspended,
        DeviceStatus::Revoked => DeviceStatus::Revoked,
    }
}

/// Gives `device`, which was `before`, another address; a phone that says it has one is reached again.
pub(crate) fn replace(
    table: &Table<'_>,
    before: &Device,
    device: Device,
    target: &PushTarget,
    batch: &mut Batch,
) -> RowResult<Device> {
    forget(batch, before);
    let status = match device.status {
        DeviceStatus::Unreachable => DeviceStatus::Active,
        DeviceStatus::Active
        | DeviceStatus::Unconfirmed
        | DeviceStatus::Suspended
        | DeviceStatus::Revoked => device.status,
    };
    let renewed =
        Device { status, push: target.clone(), push_suspect_count: 0, push_is_dead: false, ..device };
    let settled = take_over(table, renewed, &[], batch)?;
    if let Some(token) = &settled.push.token {
        let key = Key::push_target(settled.push.kind, token, &settled.id);
        batch.put(key, device::expiry(&settled), &EmptyRecord {});
    }
    Ok(settled)
}

/// Settles who of one user and app keeps an address that several hold: the newest enrolment; the others become
/// unreachable. An app that was removed and installed again keeps its address, and its old enrolment must not get
/// the new one's pushes. Other users and apps may share it. Devices in `gone` hold nothing any more; one that waits
/// for its confirmation has no say yet. Answers with `device` as it is then.
pub(crate) fn take_over(
    table: &Table<'_>,
    device: Device,
    gone: &[DeviceId],
    batch: &mut Batch,
) -> RowResult<Device> {
    let Some(token) = device.push.token.clone() else { return Ok(device) };
    let kind = device.push.kind;
    let mut keeps = true;
    for other in holders(table, kind, &token)? {
        let concerned = other.id != device.id
            && other.user == device.user
            && other.app == device.app
            && other.status != DeviceStatus::Unconfirmed
            && !gone.contains(&other.id);
        if !concerned {
            continue;
        }
        if (other.created_at, other.id) > (device.created_at, device.id) {
            keeps = false;
        } else {
            let lost = without_address(&other);
            forget(batch, &other);
            audit_status(batch, &other, &lost);
            device::put(batch, &lost);
        }
    }
    Ok(if keeps { device } else { Device { revision: device.revision, ..without_address(&device) } })
}

/// Tells of a status that nobody asked for.
fn audit_status(batch: &mut Batch, before: &Device, after: &Device) {
    if before.status != after.status {
        let changed = AuditEvent::new(AuditKind::DeviceChanged, AuditActor::Server);
        batch.audit(changed.user(&after.user).device(after.id).detail(after.status.as_str()));
    }
}

/// The devices that hold an address now.
fn holders(table: &Table<'_>, kind: PushKind, token: &PushToken) -> RowResult<Vec<Device>> {
    let (keys, _) = table.keys(&Key::push_targets(kind, token), None, DEVICES_PER_PUSH_TARGET_MAX)?;
    let mut holders = Vec::with_capacity(keys.len());
    for id in keys.iter().filter_map(Key::trailing_id).map(DeviceId::from_bytes) {
        let still_holds =
            |device: &Device| device.push.kind == kind && device.push.token.as_ref() == Some(token);
        holders.extend(table.device(&id)?.filter(still_holds));
    }
    Ok(holders)
}

/// No way leads from the device's address to it any more.
pub(crate) fn forget(batch: &mut Batch, device: &Device) {
    if let Some(token) = &device.push.token {
        batch.delete(Key::push_target(device.push.kind, token, &device.id));
    }
}
