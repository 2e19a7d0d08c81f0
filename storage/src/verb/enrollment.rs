//! Verbs of enrolments as portals know them: opening, confirming, cancelling. The phone's part is in `enrol`.

use tocsin_model::{
    AppName, AuditActor, AuditEvent, AuditKind, CONFIRMATION_TRIES_MAX, Device, DeviceId, DeviceStatus,
    Enrollment, EnrollmentId, EnrollmentState, EnrolmentMode, EnrolmentRules, UnixMs, User,
};

use super::batch::Batch;
use super::idempotency::{self, Seen};
use super::rows::RowResult;
use super::table::{Retention, Table};
use super::{authorization, device, enrol};
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{EnrollmentRecord, LinkRecord};
use crate::store::{EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened, NewEnrollment};

/// Devices of one user and app that one verb looks at; a mode decides how many there are, and none allows so many.
pub(crate) const DEVICES_OF_APP_MAX: usize = 1_000;

/// Stores a new enrolment, its code, its promise, and that its authorization is used up.
pub(crate) fn open(table: &Table<'_>, new: &NewEnrollment, batch: &mut Batch) -> RowResult<EnrollmentOpened> {
    let NewEnrollment { enrollment, mode, needs_authorization, idempotency } = new;
    match idempotency::look(table, &enrollment.client, idempotency.as_ref())? {
        Seen::Before(id) => return Ok(EnrollmentOpened::Existing(EnrollmentId::from_bytes(id))),
        Seen::Other => return Ok(EnrollmentOpened::Mismatch),
        Seen::Never => {}
    }
    if table.enrollment(&enrollment.id)?.is_some() {
        return Ok(EnrollmentOpened::Existing(enrollment.id));
    }
    if !is_authorized(table, enrollment, *needs_authorization)? {
        return Ok(EnrollmentOpened::Unauthorized);
    }
    if *mode == EnrolmentMode::Single
        && !live_devices(table, &enrollment.user, &enrollment.app, 1)?.is_empty()
    {
        return Ok(EnrollmentOpened::DeviceExists);
    }
    if let Some(authorized_by) = &enrollment.authorized_by {
        authorization::use_up(table, authorized_by, enrollment.created_at, batch);
    }
    put(batch, enrollment, table.retention);
    batch.audit(event(AuditKind::EnrollmentOpened, by_client(enrollment), enrollment));
    let (id, deadline) = (*enrollment.id.as_bytes(), enrollment.expires_at);
    idempotency::keep(batch, &enrollment.client, idempotency.as_ref(), id, deadline);
    Ok(EnrollmentOpened::New)
}

/// One that is named must stand, also where none is needed: a portal that names one relies on it.
fn is_authorized(table: &Table<'_>, enrollment: &Enrollment, needed: bool) -> RowResult<bool> {
    let Some(authorized_by) = &enrollment.authorized_by else { return Ok(!needed) };
    authorization::is_given(table, authorized_by, enrollment.created_at, |transaction| {
        transaction.user.as_ref() == Some(&enrollment.user) && transaction.client == enrollment.client
    })
}

/// Judges a posted number. A wrong one is counted; the last one ends the enrolment, and its device is gone.
pub(crate) fn confirm(
    table: &Table<'_>,
    id: &EnrollmentId,
    is_right: bool,
    rules: EnrolmentRules,
    now: UnixMs,
    batch: &mut Batch,
) -> RowResult<EnrollmentConfirmed> {
    let Some(enrollment) = table.enrollment(id)? else { return Ok(EnrollmentConfirmed::Absent) };
    let (device_id, tries_used) = match enrollment.state {
        EnrollmentState::Unconfirmed { device_id, tries_used } if now < enrollment.expires_at => {
            (device_id, tries_used)
        }
        EnrollmentState::Pending if now < enrollment.expires_at => {
            return Ok(EnrollmentConfirmed::NoPhoneYet);
        }
        EnrollmentState::Completed { .. } if is_right => {
            return Ok(EnrollmentConfirmed::Before(Box::new(enrollment)));
        }
        EnrollmentState::Unconfirmed { .. }
        | EnrollmentState::Pending
        | EnrollmentState::Completed { .. }
        | EnrollmentState::Failed => return Ok(EnrollmentConfirmed::Final),
    };
    // Whoever takes the device away fails its enrolment in the same batch, so this is only a second lock.
    let Some(device) = table.device(&device_id)?.filter(|found| found.status == DeviceStatus::Unconfirmed)
    else {
        return Ok(EnrollmentConfirmed::Final);
    };
    if !is_right {
        return Ok(count_wrong_number(table, enrollment, &device, tries_used, batch));
    }
    let others = live_devices(table, &enrollment.user, &enrollment.app, DEVICES_OF_APP_MAX)?;
    if rules.mode == EnrolmentMode::Single && others.iter().any(|other| *other != device_id) {
        return Ok(EnrollmentConfirmed::DeviceExists);
    }
    let confirmed = Device { status: device.status_in_use(), unconfirmed_until: None, ..device };
    let confirmed = Device { revision: confirmed.revision.saturating_add(1), ..confirmed };
    let by = by_client(&enrollment);
    batch.audit(
        event(AuditKind::DeviceChanged, by.clone(), &enrollment)
            .device(device_id)
            .detail(confirmed.status.as_str()),
    );
    let registered = enrol::complete(table, enrollment, confirmed, rules.mode, by, now, batch)?;
    Ok(EnrollmentConfirmed::Stored(Box::new(registered)))
}

fn count_wrong_number(
    table: &Table<'_>,
    enrollment: Enrollment,
    device: &Device,
    tries_used: u32,
    batch: &mut Batch,
) -> EnrollmentConfirmed {
    let tries_used = tries_used.saturating_add(1);
    let tried = event(AuditKind::WrongTry, by_client(&enrollment), &enrollment);
    batch.audit(tried.detail(&tries_used.to_string()));
    let left = CONFIRMATION_TRIES_MAX.saturating_sub(tries_used);
    let state = if left == 0 {
        device::remove_unconfirmed(batch, device);
        let ended = event(AuditKind::EnrollmentEnded, by_client(&enrollment), &enrollment);
        batch.audit(ended.detail("failed"));
        EnrollmentState::Failed
    } else {
        EnrollmentState::Unconfirmed { device_id: device.id, tries_used }
    };
    put(batch, &changed(enrollment, state), table.retention);
    EnrollmentConfirmed::Wrong { left }
}

/// Cancels an enrolment that is not completed; a phone that waits for its number is gone with it.
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
            let by = by_client(&enrollment);
            fail(table, enrollment, by, batch);
            Ok(EnrollmentCancelled::Stored)
        }
        EnrollmentState::Unconfirmed { device_id, .. } => {
            if let Some(device) = table.device(&device_id)? {
                device::remove_unconfirmed(batch, &device);
            }
            let by = by_client(&enrollment);
            fail(table, enrollment, by, batch);
            Ok(EnrollmentCancelled::Stored)
        }
    }
}

/// Stores that an enrolment has failed.
pub(crate) fn fail(table: &Table<'_>, enrollment: Enrollment, by: AuditActor, batch: &mut Batch) {
    batch.audit(event(AuditKind::EnrollmentEnded, by, &enrollment).detail("failed"));
    put(batch, &changed(enrollment, EnrollmentState::Failed), table.retention);
}

/// The enrolment in another state.
pub(crate) fn changed(enrollment: Enrollment, state: EnrollmentState) -> Enrollment {
    let revision = enrollment.revision.saturating_add(1);
    // A key of the phone's own moves into its device's row.
    let server_key = enrollment.server_key.filter(|_| state == EnrollmentState::Pending);
    Enrollment { state, revision, server_key, ..enrollment }
}

/// The devices of a user for one app that are not revoked, at most `limit`.
pub(crate) fn live_devices(
    table: &Table<'_>,
    user: &User,
    app: &AppName,
    limit: usize,
) -> RowResult<Vec<DeviceId>> {
    let (keys, _) = table.keys(&Key::live_devices_of_app(user, app), None, limit)?;
    Ok(keys.iter().filter_map(Key::trailing_id).map(DeviceId::from_bytes).collect())
}

/// An event about an enrolment.
pub(crate) fn event(kind: AuditKind, actor: AuditActor, enrollment: &Enrollment) -> AuditEvent {
    AuditEvent::new(kind, actor).user(&enrollment.user).enrollment(enrollment.id)
}

fn by_client(enrollment: &Enrollment) -> AuditActor {
    AuditActor::Client(enrollment.client.clone())
}

/// The enrolment and the way to it by its code, both as long as the enrolment stays readable.
pub(crate) fn put(batch: &mut Batch, enrollment: &Enrollment, retention: Retention) {
    let expiry = Expiry::At(readable_until(enrollment, retention));
    batch.put(Key::enrollment(&enrollment.id), expiry, &EnrollmentRecord::new(enrollment));
    let link = LinkRecord { id: *enrollment.id.as_bytes() };
    batch.put(Key::enrollment_by_code(&enrollment.code_hash), expiry, &link);
}

/// An enrolment outlives its idempotency key, as a transaction does.
fn readable_until(enrollment: &Enrollment, retention: Retention) -> UnixMs {
    let retained_until = match &enrollment.state {
        EnrollmentState::Completed { completed_at, .. } => {
            completed_at.plus(retention.enrollment.max(enrol::RETRY_WINDOW))
        }
        EnrollmentState::Pending | EnrollmentState::Unconfirmed { .. } | EnrollmentState::Failed => {
            enrollment.expires_at.plus(retention.enrollment)
        }
    };
    retained_until.max(enrollment.expires_at.plus(idempotency::KEPT_AFTER_DEADLINE))
}
