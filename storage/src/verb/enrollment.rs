//! Verbs of enrolments: opening, the phone's registration, cancelling.

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditEvent, AuditKind, Device, DeviceId, DurationMs, Enrollment,
    EnrollmentId, EnrollmentState, UnixMs, User,
};

use super::batch::Batch;
use super::device;
use super::idempotency::{self, Seen};
use super::rows::RowResult;
use super::table::{Retention, Table};
use crate::envelope::Expiry;
use crate::key::{IdempotencySpace, Key};
use crate::record::{EnrollmentRecord, LinkRecord};
use crate::store::{Enrolled, EnrollmentCancelled, EnrollmentOpened, NewEnrollment};

/// How long after its success an identical enrolment gets the same answer again.
const RETRY_WINDOW: DurationMs = DurationMs::from_seconds(300);

/// Stores a new enrolment, its code and its promise.
pub(crate) fn open(table: &Table<'_>, new: &NewEnrollment, batch: &mut Batch) -> RowResult<EnrollmentOpened> {
    let NewEnrollment { enrollment, idempotency } = new;
    let space = IdempotencySpace::Enrollment;
    match idempotency::look(table, space, &enrollment.client, idempotency.as_ref())? {
        Seen::Before(id) => return Ok(EnrollmentOpened::Existing(EnrollmentId::from_bytes(id))),
        Seen::Other => return Ok(EnrollmentOpened::Mismatch),
        Seen::Never => {}
    }
    if table.enrollment(&enrollment.id)?.is_some() {
        return Ok(EnrollmentOpened::Existing(enrollment.id));
    }
    if has_live_device(table, &enrollment.user, enrollment)? {
        return Ok(EnrollmentOpened::DeviceExists);
    }
    put(batch, enrollment, table.retention);
    batch.audit(event(AuditKind::EnrollmentOpened, by_client(enrollment), enrollment));
    let (id, deadline) = (*enrollment.id.as_bytes(), enrollment.expires_at);
    idempotency::keep(batch, space, &enrollment.client, idempotency.as_ref(), id, deadline);
    Ok(EnrollmentOpened::New)
}

/// Registers a device by an activation code. The order of the refusals is the interface's: the code, the key,
/// the mode.
pub(crate) fn enrol(
    table: &Table<'_>,
    code_hash: &ActivationCodeHash,
    device: &Device,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Enrolled> {
    let Some(enrollment) = table.enrollment_by_code(code_hash)? else { return Ok(Enrolled::BadCode) };
    match &enrollment.state {
        EnrollmentState::Pending if now < enrollment.expires_at => {
            register(table, enrollment, device, now, batch)
        }
        EnrollmentState::Completed { device_id, completed_at } if now <= completed_at.plus(RETRY_WINDOW) => {
            again(table, device_id, device)
        }
        EnrollmentState::Pending | EnrollmentState::Completed { .. } | EnrollmentState::Failed => {
            Ok(Enrolled::BadCode)
        }
    }
}

fn register(
    table: &Table<'_>,
    enrollment: Enrollment,
    device: &Device,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<Enrolled> {
    // No proof could ever name a device without a `device` key; the door refuses it before.
    let Some(device_key) = device.device_key() else { return Ok(Enrolled::BadCode) };
    if table.record::<LinkRecord>(&Key::device_by_thumbprint(&device_key.thumbprint))?.is_some() {
        return Ok(Enrolled::KeyInUse);
    }
    if has_live_device(table, &enrollment.user, &enrollment)? {
        return Ok(Enrolled::DeviceExists);
    }
    let device = Device {
        user: enrollment.user.clone(),
        app: enrollment.app.clone(),
        enrollment_id: enrollment.id,
        server_key: enrollment.server_key.clone(),
        ..device.clone()
    };
    device::put_new(batch, &device);
    let by_phone = || AuditActor::Device(device.id);
    batch.audit(event(AuditKind::DeviceEnrolled, by_phone(), &enrollment).device(device.id));
    let ended = event(AuditKind::EnrollmentEnded, by_phone(), &enrollment).device(device.id);
    batch.audit(ended.detail("completed"));
    let state = EnrollmentState::Completed { device_id: device.id, completed_at: now };
    let revision = enrollment.revision.saturating_add(1);
    put(batch, &Enrollment { state, revision, server_key: None, ..enrollment }, table.retention);
    Ok(Enrolled::Stored)
}

/// The same phone asks again, because our first answer was lost.
fn again(table: &Table<'_>, device_id: &DeviceId, device: &Device) -> RowResult<Enrolled> {
    let Some(enrolled) = table.device(device_id)? else { return Ok(Enrolled::BadCode) };
    let same_key = match (enrolled.device_key(), device.device_key()) {
        (Some(registered), Some(shown)) => registered.thumbprint == shown.thumbprint,
        (None, _) | (_, None) => false,
    };
    Ok(if same_key { Enrolled::Again(Box::new(enrolled)) } else { Enrolled::BadCode })
}

/// Cancels an enrolment that no phone has used.
pub(crate) fn cancel(
    table: &Table<'_>,
    id: &EnrollmentId,
    batch: &mut Batch,
) -> RowResult<EnrollmentCancelled> {
    let Some(enrollment) = table.enrollment(id)? else { return Ok(EnrollmentCancelled::Absent) };
    match enrollment.state {
        EnrollmentState::Completed { .. } => Ok(EnrollmentCancelled::Completed),
        EnrollmentState::Failed => Ok(EnrollmentCancelled::Stored),
        EnrollmentState::Pending => {
            let revision = enrollment.revision.saturating_add(1);
            batch.audit(
                event(AuditKind::EnrollmentEnded, by_client(&enrollment), &enrollment).detail("failed"),
            );
            let failed = Enrollment { state: EnrollmentState::Failed, revision, ..enrollment };
            put(batch, &failed, table.retention);
            Ok(EnrollmentCancelled::Stored)
        }
    }
}

/// Mode `single`, the only one yet: one device of an app that is not revoked.
fn has_live_device(table: &Table<'_>, user: &User, enrollment: &Enrollment) -> RowResult<bool> {
    let (keys, _) = table.keys(&Key::live_devices_of_app(user, &enrollment.app), None, 1)?;
    Ok(!keys.is_empty())
}

fn event(kind: AuditKind, actor: AuditActor, enrollment: &Enrollment) -> AuditEvent {
    AuditEvent::new(kind, actor).user(&enrollment.user).enrollment(enrollment.id)
}

fn by_client(enrollment: &Enrollment) -> AuditActor {
    AuditActor::Client(enrollment.client.clone())
}

/// The enrolment and the way to it by its code, both as long as the enrolment stays readable.
fn put(batch: &mut Batch, enrollment: &Enrollment, retention: Retention) {
    let expiry = Expiry::At(readable_until(enrollment, retention));
    batch.put(Key::enrollment(&enrollment.id), expiry, &EnrollmentRecord::new(enrollment));
    let link = LinkRecord { id: *enrollment.id.as_bytes() };
    batch.put(Key::enrollment_by_code(&enrollment.code_hash), expiry, &link);
}

/// An enrolment outlives its idempotency key, as a transaction does.
fn readable_until(enrollment: &Enrollment, retention: Retention) -> UnixMs {
    let retained_until = match &enrollment.state {
        EnrollmentState::Completed { completed_at, .. } => {
            completed_at.plus(retention.enrollment.max(RETRY_WINDOW))
        }
        EnrollmentState::Pending | EnrollmentState::Failed => {
            enrollment.expires_at.plus(retention.enrollment)
        }
    };
    retained_until.max(enrollment.expires_at.plus(idempotency::KEPT_AFTER_DEADLINE))
}
