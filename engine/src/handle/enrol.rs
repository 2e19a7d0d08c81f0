//! The phone's part of an enrolment, and what its completion means to the user's other phones.

use std::net::IpAddr;
use std::sync::Arc;

use tocsin_config::Config;
use tocsin_model::{
    Device, DeviceId, DeviceStatus, Enrollment, EnrollmentStanding, ErrorCode, FailureReason, KeyId,
    Partition, Problem, TransactionId, UnixMs,
};
use tocsin_storage::{Enrolled, Registered};

use super::enrolment::{device_exists, refuse_unless};
use super::{DeviceCall, EnrolledDevice, Handle, random_bytes};
use crate::device::{EnrolmentRequest, ProofError, UnverifiedProof};
use crate::error::store_problem;
use crate::limits::NOTICE_LIFE;
use crate::protocol::{Notify, Push, PushContent};
use crate::transaction::push_by;

impl Handle {
    /// Enrols the phone that makes this call from the address `from`, by the activation code in its body.
    pub async fn enrol(&self, call: DeviceCall<'_>, from: IpAddr) -> Result<EnrolledDevice, Problem> {
        let enrolled = self.enrol_counted(call, from).await;
        self.metrics().enrolled(enrolled.as_ref().err().map(|problem| problem.code));
        enrolled
    }

    async fn enrol_counted(&self, call: DeviceCall<'_>, from: IpAddr) -> Result<EnrolledDevice, Problem> {
        self.refuse_while_draining()?;
        let config = self.config();
        let request = EnrolmentRequest::parse(call.body)?;
        if let Err(problem) = refuse_unless(config.switches.enrollment, "enrolling is switched off") {
            self.note_refused_code(request.code_hash(), problem.code).await;
            return Err(problem);
        }
        self.0.wrong_codes.check(from, config.wrong_codes, self.clock().now())?;
        self.check_enrolling_proof(&request, call).await?;
        let now = self.clock().now();
        match self.register(&config, request, now).await {
            Err(problem) if problem.code == ErrorCode::BadActivationCode => {
                self.0.wrong_codes.count(from, config.wrong_codes, now)?;
                Err(problem)
            }
            registered => registered,
        }
    }

    async fn check_enrolling_proof(
        &self,
        request: &EnrolmentRequest,
        call: DeviceCall<'_>,
    ) -> Result<(), Problem> {
        let proof = UnverifiedProof::parse_enrolling(call.authorization).map_err(ProofError::problem)?;
        let checked = proof
            .check_enrolling(request.device_key(), self.proof_request(call))
            .map_err(ProofError::problem)?;
        let verified = self.run_signature(move || checked.verify()).await?.map_err(ProofError::problem)?;
        self.check_proof_clock(&verified, self.clock().now())?;
        let key_proofs = request.key_proofs(self.issuer());
        self.run_signature(move || key_proofs.verify()).await?
    }

    async fn register(
        &self,
        config: &Arc<Config>,
        request: EnrolmentRequest,
        now: UnixMs,
    ) -> Result<EnrolledDevice, Problem> {
        let code_hash = request.code_hash();
        let found = self.store().enrollment_by_code(code_hash).await;
        let enrollment = found.map_err(|error| store_problem(&error))?.ok_or_else(bad_activation_code)?;
        let app = config.apps.get(&enrollment.app).ok_or_else(bad_activation_code)?;
        let id = DeviceId::from_random(random_bytes()?);
        // Only who has a code that can still be used is told that the app is another.
        let is_usable = enrollment.standing(now) == EnrollmentStanding::Pending;
        let composed = request.check_uses(|key_use| app.takes(key_use)).and_then(|()| {
            request.into_device(&enrollment, id, || random_bytes().map(KeyId::from_bytes), now)
        });
        let device = composed.map_err(|problem| if is_usable { problem } else { bad_activation_code() })?;
        let enrolled = self.store().enrol(code_hash, device, app.enrolment_rules(), now).await;
        match enrolled.map_err(|error| store_problem(&error))? {
            Enrolled::Stored(registered) => {
                self.0.enrollment_waiters.publish(registered.enrollment.id);
                if registered.device.status != DeviceStatus::Unconfirmed {
                    self.completed(config, &registered).await;
                }
                Ok(self.enrolled_device(&enrollment, registered.device))
            }
            Enrolled::Again(earlier) => Ok(self.enrolled_device(&enrollment, *earlier)),
            Enrolled::BadCode => Err(bad_activation_code()),
            Enrolled::KeyInUse => {
                self.note_refused_phone(&enrollment, ErrorCode::KeyInUse).await;
                Err(Problem::new(ErrorCode::KeyInUse, "make a new device key and enrol again"))
            }
            Enrolled::DeviceExists => {
                self.note_refused_phone(&enrollment, ErrorCode::DeviceExists).await;
                Err(device_exists())
            }
        }
    }

    fn enrolled_device(&self, enrollment: &Enrollment, device: Device) -> EnrolledDevice {
        let waits = device.status == DeviceStatus::Unconfirmed;
        EnrolledDevice {
            server_keys: self.0.server_keys.jwks_of(enrollment, Some(&device)),
            confirmation_number: waits.then(|| self.0.codes.confirmation_number(enrollment.id)),
            device,
        }
    }

    /// What others hear of a completed enrolment: transactions of replaced phones, and the phones themselves.
    pub(super) async fn completed(&self, config: &Config, registered: &Registered) {
        let Registered { device, replaced, .. } = registered;
        if !replaced.is_empty() {
            let gone: Vec<_> =
                replaced.iter().map(|other| (other.id, FailureReason::DeviceRevoked)).collect();
            self.let_leave(&device.user, &gone).await;
        }
        replaced.iter().for_each(|other| self.notify_of_addition(config, other));
        match self.store().devices_of(&device.user).await {
            Ok(devices) => devices
                .iter()
                .filter(|other| other.id != device.id && other.app == device.app)
                .for_each(|other| self.notify_of_addition(config, other)),
            Err(error) => tracing::warn!(%error, "the user's other phones were not told of a new one"),
        }
    }

    /// Tells a phone that another one was enrolled for its user. Best effort: nobody waits for it.
    fn notify_of_addition(&self, config: &Config, device: &Device) {
        if !device.can_be_pushed() || !config.switches.sending {
            return;
        }
        let Some((app_id, provider)) = push_by(config, device) else { return };
        let Ok(random) = random_bytes() else { return };
        let now = self.clock().now();
        // It names no transaction; the network still wants something to collapse it by.
        let subject = TransactionId::compose(now, Partition::default(), random);
        let push = Push {
            transaction_id: subject,
            device_id: device.id,
            push_id: self.0.surroundings.push_ids.derive(subject, device.id, 0),
            target: device.push.clone(),
            app_id: Arc::from(app_id),
            expires_at: now.plus(NOTICE_LIFE),
            content: PushContent::DeviceAdded,
            sealed: None,
            suspected: device.push_suspect_count > 0,
            open_requests: 0,
        };
        let table = self.0.surroundings.providers();
        let told = table
            .providers
            .get(provider)
            .is_some_and(|provider| provider.notify.try_send(Notify { push }).is_ok());
        if !told {
            tracing::warn!(device = %device.id, "a phone could not be told that another one was enrolled");
        }
    }
}

fn bad_activation_code() -> Problem {
    Problem::new(ErrorCode::BadActivationCode, "ask for a new activation code")
}
