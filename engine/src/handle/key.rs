//! Changes of a phone's keys, and wrong PINs.
//!
//! Invariants: a wrong PIN is counted on its phone and on disk before anybody is told; a call that changes something
//! is newer than every one before it, also across a restart.

use std::num::NonZeroU32;
use std::sync::Arc;

use tocsin_model::{Device, DeviceStatus, ErrorCode, FailureReason, KeyId, KeyUse, Problem, TransactionId};
use tocsin_storage::{ChangeNoted, KeyApproval, KeyChange, KeyDeleted, KeyPut, PinTried};

use super::{DeviceCall, Handle, random_bytes};
use crate::device::{KeyChangeRequest, ProofError, SignatureFault, check_may_call};
use crate::error::store_problem;
use crate::transaction::Request;

/// Wrong PINs in a row that revoke a phone whose app is configured no more.
const PIN_TRIES_MAX_UNCONFIGURED: u32 = 3;

impl Handle {
    /// The phone that makes this call, which changes something: its proof must be newer than that of every such
    /// call before, else 401 `clock_skew`. A revoked phone is refused; whether one that is not active may go on
    /// is the caller's to judge.
    pub async fn authenticate_change(&self, call: DeviceCall<'_>) -> Result<Arc<Device>, Problem> {
        let (device, proof) = self.proven(call).await?;
        if device.status == DeviceStatus::Revoked {
            return Err(device_revoked());
        }
        let noted = self.store().note_change(device.id, proof.issued_at).await;
        match noted.map_err(|error| store_problem(&error))? {
            ChangeNoted::Stored => Ok(device),
            ChangeNoted::NotAbove => Err(ProofError::ClockSkew { server_time: self.clock().now() }.problem()),
            ChangeNoted::Absent => Err(device_revoked()),
        }
    }

    /// Adds or replaces a key of the calling phone; answers with its new name.
    pub async fn put_key(&self, call: DeviceCall<'_>, key_use: KeyUse) -> Result<KeyId, Problem> {
        self.refuse_while_draining()?;
        let device = self.authenticate_change(call).await?;
        check_may_call(&device)?;
        let request = KeyChangeRequest::parse(key_use.clone(), call.body)?;
        if key_use == KeyUse::Device || !self.config().app_takes(&device.app, &key_use) {
            let detail = "this app's phones may not add or replace such a key";
            return Err(Problem::new(ErrorCode::InvalidField, detail).with_field("use"));
        }
        let (proof, owner, issuer) = (request.clone(), device.clone(), self.issuer().to_owned());
        self.run_signature(move || proof.check_proof(&owner, &issuer)).await??;
        let approval = self.approve_key(&device, &request).await?;
        let kid = KeyId::from_bytes(random_bytes()?);
        let now = self.clock().now();
        let change = KeyChange { device_id: device.id, key: request.into_key(kid, now), approval, now };
        match self.store().put_key(change).await.map_err(|error| store_problem(&error))? {
            KeyPut::Stored => Ok(kid),
            KeyPut::AlreadyThere => {
                let detail = "the device has this key already; all its keys must differ";
                Err(Problem::new(ErrorCode::InvalidField, detail).with_field("jwk"))
            }
            KeyPut::NotApproved => Err(KeyChangeRequest::authorization_required()),
            KeyPut::Revoked | KeyPut::Absent => Err(device_revoked()),
        }
    }

    /// What entitles to the change: the present PIN where there is one, else an accepted transaction.
    async fn approve_key(&self, device: &Device, request: &KeyChangeRequest) -> Result<KeyApproval, Problem> {
        if device.key(&KeyUse::Pin).is_none() {
            let named = request.authorized_by().ok_or_else(KeyChangeRequest::authorization_required)?;
            return Ok(KeyApproval::Transaction(named));
        }
        let skew = self.config().device_clock_skew;
        let checked = request.check_authorization(device, self.issuer(), self.clock().now(), skew)?;
        match self.run_signature(move || checked.verify()).await? {
            Ok((kid, issued_at)) => Ok(KeyApproval::Pin { kid, issued_at }),
            Err(SignatureFault::WrongPin) => Err(self.wrong_pin(device, None).await),
            Err(SignatureFault::Refused(problem)) => Err(problem),
        }
    }

    /// Removes a key of the calling phone, any but `device` and `pin`.
    pub async fn delete_key(&self, call: DeviceCall<'_>, key_use: KeyUse) -> Result<(), Problem> {
        self.refuse_while_draining()?;
        let device = self.authenticate_change(call).await?;
        check_may_call(&device)?;
        if matches!(key_use, KeyUse::Device | KeyUse::Pin) {
            let detail = "enrol again for a new device key, or when the PIN is forgotten";
            return Err(Problem::new(ErrorCode::KeyRequired, detail));
        }
        match self.store().delete_key(device.id, key_use).await.map_err(|error| store_problem(&error))? {
            KeyDeleted::Stored => Ok(()),
            KeyDeleted::Absent => Err(Problem::not_found()),
        }
    }

    /// Counts a wrong PIN, and says what the phone is told. The last one removes the phone, and ends what nobody
    /// else can answer.
    pub(super) async fn wrong_pin(&self, device: &Device, transaction: Option<TransactionId>) -> Problem {
        let tries_max = match self.config().apps.get(&device.app) {
            Some(app) => app.pin_tries_max.map_or(0, NonZeroU32::get),
            None => PIN_TRIES_MAX_UNCONFIGURED,
        };
        let counted = self.store().count_pin_try(device.id, tries_max, self.clock().now()).await;
        let (used, exhausted) = match counted {
            Ok(PinTried::Counted { used }) => (used, false),
            Ok(PinTried::Exhausted) => (tries_max, true),
            Ok(PinTried::Revoked | PinTried::Absent) => return device_revoked(),
            Err(error) => return store_problem(&error),
        };
        if let Some(id) = transaction {
            // On the transaction it is only shown; one that has ended meanwhile shows it no more.
            let _ = self.ask(id, Request::TryPin { device_id: device.id, exhausted }).await;
        }
        if exhausted {
            tracing::warn!(device = %device.id, "a device is revoked after too many wrong PINs");
            self.let_leave(&device.user, &[(device.id, FailureReason::AttemptsExceeded)]).await;
        }
        let problem = Problem::new(ErrorCode::WrongPin, "this is not the PIN");
        if tries_max == 0 { problem } else { problem.with_attempts_left(tries_max.saturating_sub(used)) }
    }
}

fn device_revoked() -> Problem {
    Problem::new(ErrorCode::DeviceRevoked, "the device was removed; enrol it again")
        .with_device_status(DeviceStatus::Revoked)
}
