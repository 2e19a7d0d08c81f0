//! Enrolments and devices.

use aws_lc_rs::hmac;
use tocsin_model::{
    AppName, AuditActor, ClientId, Device, DeviceId, Enrollment, EnrollmentId, EnrollmentState, ErrorCode,
    Idempotency, KeyId, Problem, ServerKeyPair, UnixMs, User,
};
use tocsin_storage::{Enrolled, EnrollmentCancelled, EnrollmentOpened, NewEnrollment, Revoked};

use super::{DeviceCall, Handle, random_bytes};
use crate::device::{
    ActivationCode, EnrolmentRequest, ProofError, ServerJwk, UnverifiedProof, unique_key_pair,
};
use crate::error::store_problem;
use crate::transaction::News;

/// A validated request to open an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentRequest {
    /// The calling client.
    pub client: ClientId,
    /// For whom.
    pub user: User,
    /// For which app; configured, and permitted to the client.
    pub app: AppName,
    /// A shorter life than the app's.
    pub time_to_live: Option<tocsin_model::DurationMs>,
    /// The caller's promise that two calls are one.
    pub idempotency: Option<Idempotency>,
}

/// An enrolment with its code, which is told to the portal and to nobody else.
#[derive(Clone, Debug)]
pub struct OpenedEnrollment {
    /// As it stands.
    pub enrollment: Enrollment,
    /// The activation code, to be handed to the user.
    pub activation_code: ActivationCode,
    /// Whether an earlier call opened it.
    pub seen_before: bool,
    /// The hash `k` of the server keys that the enrolling phone will be told, for the activation link.
    pub server_key_set_hash: String,
}

/// What a phone is told when it is enrolled.
#[derive(Clone, Debug)]
pub struct EnrolledDevice {
    /// The device.
    pub device: Device,
    /// The server's public keys, which the phone pins.
    pub server_keys: Vec<ServerJwk>,
}

/// The server keys of an enrolment.
struct EnrollmentKeys {
    kids: Vec<KeyId>,
    own: Option<Box<ServerKeyPair>>,
}

/// Derives activation codes from the enrolment's id, so that a repeated call is told the same one although only
/// its hash is stored.
pub(crate) struct DerivedCodes(hmac::Key);

impl DerivedCodes {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn activation_code(&self, id: EnrollmentId) -> ActivationCode {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tocsin/v1/activation-code");
        context.update(id.as_bytes());
        let mut bits = [0; 24];
        bits.copy_from_slice(&context.sign().as_ref()[..24]);
        ActivationCode::from_bits(&bits)
    }
}

impl Handle {
    /// Opens an enrolment: one phone may register with its code, once and in time.
    pub async fn open_enrollment(&self, request: EnrollmentRequest) -> Result<OpenedEnrollment, Problem> {
        self.refuse_while_draining()?;
        let now = self.clock().now();
        let server_keys = self.enrollment_keys(&request.app, now).await?;
        let enrollment = self.compose_enrollment(&request, server_keys, now)?;
        let new = NewEnrollment { enrollment: enrollment.clone(), idempotency: request.idempotency };
        match self.store().open_enrollment(new).await.map_err(|error| store_problem(&error))? {
            EnrollmentOpened::New => Ok(self.opened(enrollment, false)),
            EnrollmentOpened::Existing(id) => {
                let earlier = self.enrollment(&request.client, id).await?;
                Ok(self.opened(earlier, true))
            }
            EnrollmentOpened::Mismatch => Err(super::start::idempotency_mismatch()),
            EnrollmentOpened::DeviceExists => Err(device_exists()),
        }
    }

    /// The keys that challenges will be signed with: of the deployment, or one for this phone alone.
    async fn enrollment_keys(&self, app: &AppName, now: UnixMs) -> Result<EnrollmentKeys, Problem> {
        let is_unique = self.config().apps.get(app).is_some_and(|app| app.unique_server_keys);
        if !is_unique {
            return Ok(EnrollmentKeys { kids: self.0.server_keys.enrolment_kids(now), own: None });
        }
        let own = self.run_signature(unique_key_pair).await?.map_err(|error| {
            tracing::error!(%error, "a server key cannot be made");
            Problem::internal()
        })?;
        Ok(EnrollmentKeys { kids: vec![own.kid], own: Some(Box::new(own)) })
    }

    fn compose_enrollment(
        &self,
        request: &EnrollmentRequest,
        server_keys: EnrollmentKeys,
        now: UnixMs,
    ) -> Result<Enrollment, Problem> {
        let config = self.config();
        let app = config.apps.get(&request.app).ok_or_else(Problem::internal)?;
        let longest = app.activation_time_to_live;
        let time_to_live = match request.time_to_live {
            None => longest,
            Some(shorter) if shorter.get() > 0 && shorter <= longest => shorter,
            Some(_) => {
                let detail = format!("this must be 1 to {} seconds", longest.get() / 1_000);
                return Err(Problem::new(ErrorCode::InvalidField, detail).with_field("ttl_s"));
            }
        };
        let id = EnrollmentId::from_random(random_bytes()?);
        Ok(Enrollment {
            id,
            revision: 1,
            client: request.client.clone(),
            user: request.user.clone(),
            app: request.app.clone(),
            code_hash: self.0.codes.activation_code(id).hash(),
            created_at: now,
            expires_at: now.plus(time_to_live),
            state: EnrollmentState::Pending,
            server_kids: server_keys.kids,
            server_key: server_keys.own,
        })
    }

    fn opened(&self, enrollment: Enrollment, seen_before: bool) -> OpenedEnrollment {
        let activation_code = self.0.codes.activation_code(enrollment.id);
        let server_key_set_hash = self.0.server_keys.key_set_hash_of(&enrollment);
        OpenedEnrollment { enrollment, activation_code, seen_before, server_key_set_hash }
    }

    /// The enrolment as it stands.
    pub async fn enrollment(&self, client: &ClientId, id: EnrollmentId) -> Result<Enrollment, Problem> {
        let found = self.store().enrollment(id).await.map_err(|error| store_problem(&error))?;
        found.filter(|enrollment| enrollment.client == *client).ok_or_else(Problem::not_found)
    }

    /// Cancels an enrolment.
    pub async fn cancel_enrollment(&self, client: &ClientId, id: EnrollmentId) -> Result<(), Problem> {
        self.enrollment(client, id).await?;
        match self.store().cancel_enrollment(id).await.map_err(|error| store_problem(&error))? {
            EnrollmentCancelled::Stored => Ok(()),
            EnrollmentCancelled::Completed => {
                let detail = "a phone was enrolled with it; remove the device instead";
                Err(Problem::new(ErrorCode::EnrollmentFinal, detail))
            }
            EnrollmentCancelled::Absent => Err(Problem::not_found()),
        }
    }

    /// Enrols the phone that makes this call, by the activation code in its body.
    pub async fn enrol(&self, call: DeviceCall<'_>) -> Result<EnrolledDevice, Problem> {
        self.refuse_while_draining()?;
        let request = EnrolmentRequest::parse(call.body)?;
        let proof = UnverifiedProof::parse_enrolling(call.authorization).map_err(ProofError::problem)?;
        let checked = proof
            .check_enrolling(request.device_key(), self.proof_request(call))
            .map_err(ProofError::problem)?;
        let verified = self.run_signature(move || checked.verify()).await?.map_err(ProofError::problem)?;
        let now = self.clock().now();
        self.check_proof_clock(&verified, now)?;
        let code_hash = request.code_hash();
        let found =
            self.store().enrollment_by_code(code_hash).await.map_err(|error| store_problem(&error))?;
        let enrollment = found.ok_or_else(bad_activation_code)?;
        let id = DeviceId::from_random(random_bytes()?);
        // Only who has a code that can still be used is told that the app is another.
        let usable = enrollment.state == EnrollmentState::Pending && now < enrollment.expires_at;
        let device = request
            .into_device(&enrollment, id, KeyId::from_bytes(random_bytes()?), now)
            .map_err(|problem| if usable { problem } else { bad_activation_code() })?;
        let enrolled = self.store().enrol(code_hash, device.clone(), now).await;
        let device = match enrolled.map_err(|error| store_problem(&error))? {
            Enrolled::Stored => device,
            Enrolled::Again(earlier) => *earlier,
            Enrolled::BadCode => return Err(bad_activation_code()),
            Enrolled::KeyInUse => {
                return Err(Problem::new(ErrorCode::KeyInUse, "make a new device key and enrol again"));
            }
            Enrolled::DeviceExists => return Err(device_exists()),
        };
        let server_keys = self.0.server_keys.jwks_of(&enrollment, Some(&device));
        Ok(EnrolledDevice { device, server_keys })
    }

    /// A user's devices, newest first, removed ones too until their retention ends.
    pub async fn devices(&self, user: &User) -> Result<Vec<Device>, Problem> {
        self.store().devices_of(user).await.map_err(|error| store_problem(&error))
    }

    /// Removes a device of this user for good; its open transactions end when no other phone can answer them.
    pub async fn revoke_device(&self, by: AuditActor, user: &User, id: DeviceId) -> Result<(), Problem> {
        let found = self.store().device(id).await.map_err(|error| store_problem(&error))?;
        let device = found.filter(|device| device.user == *user).ok_or_else(Problem::not_found)?;
        let revoked = self.store().revoke_device(device.id, by, self.clock().now()).await;
        match revoked.map_err(|error| store_problem(&error))? {
            Revoked::Absent => return Err(Problem::not_found()),
            Revoked::Stored => {}
        }
        for open in self.0.registry.admission().open_of(user) {
            self.0.registry.tell(open, News::DeviceRevoked(id));
        }
        Ok(())
    }
}

fn bad_activation_code() -> Problem {
    Problem::new(ErrorCode::BadActivationCode, "ask for a new activation code")
}

fn device_exists() -> Problem {
    Problem::new(ErrorCode::DeviceExists, "remove the user's device of this app first")
}
