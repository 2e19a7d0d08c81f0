//! The phone's part of an enrolment: registering by an activation code, and what its completion changes for others.
//!
//! Invariants: only success uses a code up; until an enrolment is completed no other phone is touched, so that a
//! stolen code cannot put out the true one.

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditKind, Device, DeviceId, DeviceStatus, DurationMs, Enrollment,
    EnrollmentState, EnrolmentMode, EnrolmentRules, UnixMs,
};

use super::batch::Batch;
use super::enrollment::{DEVICES_OF_APP_MAX, changed, event, live_devices, put};
use super::rows::RowResult;
use super::table::Table;
use super::{device, push_target, user};
use crate::key::Key;
use crate::record::LinkRecord;
use crate::store::{Enrolled, Registered};

/// How long after its success an identical enrolment gets the same answer again.
pub(crate) const RETRY_WINDOW: DurationMs = DurationMs::from_seconds(300);

/// Registers a device by an activation code. The order of the refusals is the interface's: the code, the key,
/// the mode.
pub(crate) fn enrol(
    table: &Table<'_>,
    code_hash: &ActivationCodeHash,
    device: &Device,
    rules: EnrolmentRules,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Enrolled> {
    let Some(enrollment) = table.enrollment_by_code(code_hash)? else { return Ok(Enrolled::BadCode) };
    if user::is_erased_since(table, &enrollment)? {
        return Ok(Enrolled::BadCode);
    }
    match &enrollment.state {
        EnrollmentState::Pending if now < enrollment.expires_at => {
            register(table, enrollment, device, rules, now, batch)
        }
        EnrollmentState::Unconfirmed { device_id, .. } if now < enrollment.expires_at => {
            again(table, device_id, device, now)
        }
        EnrollmentState::Completed { device_id, .. } => again(table, device_id, device, now),
        EnrollmentState::Pending | EnrollmentState::Unconfirmed { .. } | EnrollmentState::Failed => {
            Ok(Enrolled::BadCode)
        }
    }
}

fn register(
    table: &Table<'_>,
    enrollment: Enrollment,
    device: &Device,
    rules: EnrolmentRules,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Enrolled> {
    // No proof could ever name a device without a `device` key; the door refuses it before.
    let Some(device_key) = device.device_key() else { return Ok(Enrolled::BadCode) };
    if table.record::<LinkRecord>(&Key::device_by_thumbprint(&device_key.thumbprint))?.is_some() {
        return Ok(Enrolled::KeyInUse);
    }
    if rules.mode == EnrolmentMode::Single
        && !live_devices(table, &enrollment.user, &enrollment.app, 1)?.is_empty()
    {
        return Ok(Enrolled::DeviceExists);
    }
    let device = Device {
        user: enrollment.user.clone(),
        app: enrollment.app.clone(),
        enrollment_id: enrollment.id,
        server_key: enrollment.server_key.clone(),
        ..device.clone()
    };
    let by = AuditActor::Device(device.id);
    let enrolled = event(AuditKind::DeviceEnrolled, by.clone(), &enrollment).device(device.id);
    let registered = if rules.confirms_number {
        batch.audit(enrolled.detail(DeviceStatus::Unconfirmed.as_str()));
        wait_for_number(table, enrollment, device, batch)
    } else {
        batch.audit(enrolled);
        complete(table, enrollment, device, rules.mode, by, now, batch)?
    };
    Ok(Enrolled::Stored(Box::new(registered)))
}

/// The rows of a device that waits for its number end with its enrolment's time: nobody has to clear them away.
fn wait_for_number(
    table: &Table<'_>,
    enrollment: Enrollment,
    device: Device,
    batch: &mut Batch,
) -> Registered {
    let device = Device {
        status: DeviceStatus::Unconfirmed,
        unconfirmed_until: Some(enrollment.expires_at),
        ..device
    };
    device::put_new(batch, &device);
    let state = EnrollmentState::Unconfirmed { device_id: device.id, tries_used: 0 };
    let enrollment = changed(enrollment, state);
    put(batch, &enrollment, table.retention);
    Registered { enrollment, device, replaced: Vec::new() }
}

/// Completes an enrolment with `device`: what the mode replaces is revoked, and its push address becomes its own.
pub(crate) fn complete(
    table: &Table<'_>,
    enrollment: Enrollment,
    device: Device,
    mode: EnrolmentMode,
    by: AuditActor,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Registered> {
    let mut replaced = Vec::new();
    if mode == EnrolmentMode::Override {
        for id in live_devices(table, &device.user, &device.app, DEVICES_OF_APP_MAX)? {
            if let Some(other) = table.device(&id)?.filter(|other| other.id != device.id) {
                device::revoke_found(table, &other, by.clone(), now, batch)?;
                replaced.push(other);
            }
        }
    }
    let gone: Vec<DeviceId> = replaced.iter().map(|other| other.id).collect();
    let device = push_target::take_over(table, device, &gone, batch)?;
    device::put_new(batch, &device);
    let ended = event(AuditKind::EnrollmentEnded, by, &enrollment).device(device.id);
    batch.audit(ended.detail("completed"));
    let state = EnrollmentState::Completed { device_id: device.id, completed_at: now };
    let enrollment = changed(enrollment, state);
    put(batch, &enrollment, table.retention);
    Ok(Registered { enrollment, device, replaced })
}

/// The same phone asks again, because our first answer was lost.
fn again(table: &Table<'_>, device_id: &DeviceId, device: &Device, now: UnixMs) -> RowResult<Enrolled> {
    let Some(enrolled) = table.device(device_id)? else { return Ok(Enrolled::BadCode) };
    let same_key = match (enrolled.device_key(), device.device_key()) {
        (Some(registered), Some(shown)) => registered.thumbprint == shown.thumbprint,
        (None, _) | (_, None) => false,
    };
    let in_time = now <= enrolled.created_at.plus(RETRY_WINDOW);
    Ok(if same_key && in_time { Enrolled::Again(Box::new(enrolled)) } else { Enrolled::BadCode })
}
