//! Devices: listed, changed and removed by portals, and by the phones themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tocsin_model::{AuditActor, Device, DeviceId, DeviceStatus, ErrorCode, FailureReason, Problem, User};
use tocsin_storage::{DeviceChange, DeviceChanged, Revoked};

use super::enrolment::until_known;
use super::{DeviceCall, Handle};
use crate::device::{device_refused, parse_profile_change, parse_push_target};
use crate::error::store_problem;
use crate::transaction::News;

impl Handle {
    /// A user's devices, newest first, removed ones too until their retention ends.
    pub async fn devices(&self, user: &User) -> Result<Vec<Device>, Problem> {
        self.store().devices_of(user).await.map_err(|error| store_problem(&error))
    }

    /// Those that were not removed, newest first; who asks one looks at its status.
    pub(super) async fn phones(&self, user: &User) -> Result<Vec<Arc<Device>>, Problem> {
        self.store().phones_of(user).await.map_err(|error| store_problem(&error))
    }

    /// Changes a device of this user as its portal asks; answers with it. What a suspended one was asked goes on
    /// without it.
    pub async fn manage_device(
        &self,
        by: AuditActor,
        user: &User,
        id: DeviceId,
        name: Option<Box<str>>,
        suspended: Option<bool>,
    ) -> Result<Device, Problem> {
        self.device_of(user, id).await?;
        let change = DeviceChange::Manage { name, suspended };
        let changed = self.store().change_device(id, change, by, self.clock().now()).await;
        let device = self.changed(changed.map_err(|error| store_problem(&error))?)?;
        if suspended == Some(true) {
            self.let_leave(user, &[(id, FailureReason::NoDevice)]).await;
        }
        Ok(device)
    }

    /// Removes a device of this user for good; its open transactions end when no other phone can answer them.
    pub async fn revoke_device(&self, by: AuditActor, user: &User, id: DeviceId) -> Result<(), Problem> {
        self.device_of(user, id).await?;
        let now = self.clock().now();
        let revoked = until_known(|| self.store().revoke_device(id, by.clone(), now)).await;
        match revoked.map_err(|error| store_problem(&error))? {
            Revoked::Absent => return Err(Problem::not_found()),
            Revoked::Stored => {}
        }
        self.let_leave(user, &[(id, FailureReason::DeviceRevoked)]).await;
        Ok(())
    }

    /// Takes a phone's new push address (the body of `call`); answers with the device.
    pub async fn change_push(&self, call: DeviceCall<'_>) -> Result<Device, Problem> {
        let (device, proof) = self.proven(call).await?;
        refuse_revoked(&device)?;
        let target = parse_push_target(call.body, self.clock().now())?;
        self.change_own(&device, DeviceChange::Push { target, signed_at: proof.issued_at }).await
    }

    /// Takes what a phone says of itself (the body of `call`); answers with the device.
    pub async fn change_profile(&self, call: DeviceCall<'_>) -> Result<Device, Problem> {
        let (device, proof) = self.proven(call).await?;
        refuse_revoked(&device)?;
        let change = parse_profile_change(call.body, &device.keys)?;
        self.change_own(&device, DeviceChange::Profile { change, signed_at: proof.issued_at }).await
    }

    /// Removes the phone that makes this call.
    pub async fn leave(&self, call: DeviceCall<'_>) -> Result<(), Problem> {
        let (device, proof) = self.proven(call).await?;
        refuse_revoked(&device)?;
        self.change_own(&device, DeviceChange::Leave { signed_at: proof.issued_at }).await?;
        self.0.enrollment_waiters.publish(device.enrollment_id);
        self.let_leave(&device.user, &[(device.id, FailureReason::DeviceRevoked)]).await;
        Ok(())
    }

    async fn change_own(&self, device: &Device, change: DeviceChange) -> Result<Device, Problem> {
        let by = AuditActor::Device(device.id);
        let changed = self.store().change_device(device.id, change, by, self.clock().now()).await;
        self.changed(changed.map_err(|error| store_problem(&error))?)
    }

    fn changed(&self, changed: DeviceChanged) -> Result<Device, Problem> {
        match changed {
            DeviceChanged::Stored(device) => Ok(*device),
            DeviceChanged::Refused(status) => Err(device_refused(status)),
            DeviceChanged::Stale => {
                let detail = "a change was signed at this time or later already; sign it anew";
                let problem = Problem::new(ErrorCode::ClockSkew, detail);
                Err(problem.with_server_time(self.clock().now()))
            }
            DeviceChanged::Absent => Err(Problem::not_found()),
        }
    }

    async fn device_of(&self, user: &User, id: DeviceId) -> Result<Device, Problem> {
        let found = self.store().device(id).await.map_err(|error| store_problem(&error))?;
        found.filter(|device| device.user == *user).ok_or_else(Problem::not_found)
    }

    /// Tells the open transactions of a user that phones may answer no more. Who starts one at this moment sees the
    /// count and looks at his phones again, so that none is asked in vain; a restart looks at all of them.
    pub(super) async fn let_leave(&self, user: &User, gone: &[(DeviceId, FailureReason)]) {
        self.0.surroundings.devices_gone.fetch_add(1, Ordering::SeqCst);
        // Whoever is not revived by this is told behind the recovery, which looks at all phones.
        drop(self.awaken(user).await);
        for open in self.0.registry.admission().open_of(user) {
            for (id, reason) in gone {
                self.0.registry.tell_surely(open, News::DeviceGone(*id, *reason)).await;
            }
        }
    }

    /// Looks again at the phones of a transaction that has just begun.
    pub(super) async fn look_again(&self, id: tocsin_model::TransactionId, asked: &[DeviceId]) {
        for device_id in asked {
            let news = match self.store().phone(*device_id).await {
                Ok(found) => gone_for(found.as_deref()).map(|reason| News::DeviceGone(*device_id, reason)),
                Err(_) => None,
            };
            if let Some(news) = news {
                self.0.registry.tell_surely(id, news).await;
            }
        }
    }
}

/// Why a device may answer no more; `None` when it may.
pub(crate) fn gone_for(device: Option<&Device>) -> Option<FailureReason> {
    match device.map(|device| device.status) {
        Some(DeviceStatus::Active | DeviceStatus::Unreachable) => None,
        Some(DeviceStatus::Revoked) => Some(FailureReason::DeviceRevoked),
        Some(DeviceStatus::Unconfirmed | DeviceStatus::Suspended) | None => Some(FailureReason::NoDevice),
    }
}

fn refuse_revoked(device: &Device) -> Result<(), Problem> {
    if device.status == DeviceStatus::Revoked { Err(device_refused(device.status)) } else { Ok(()) }
}
