//! Enrolments as portals know them: opened, waited for, confirmed, cancelled.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use tocsin_config::{App, Requirement};
use tocsin_model::{
    AppName, CONFIRMATION_TRIES_MAX, ClientId, Device, DurationMs, Enrollment, EnrollmentId,
    EnrollmentStanding, EnrollmentState, ErrorCode, Idempotency, KeyId, Otp, Problem, ServerKeyPair,
    TransactionId, UnixMs, User,
};
use tocsin_storage::{
    EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened, NewEnrollment, Pending, StoreErrorKind,
};

use super::{Handle, random_bytes};
use crate::device::{ActivationCode, ServerJwk, unique_key_pair};
use crate::error::store_problem;
use crate::limits::ASK_AGAIN_MAX;

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
    pub time_to_live: Option<DurationMs>,
    /// The accepted transaction that vouches for it.
    pub authorized_by: Option<TransactionId>,
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
    /// The number that only this phone shows, while its enrolment waits for it.
    pub confirmation_number: Option<String>,
}

/// The server keys of an enrolment.
struct EnrollmentKeys {
    kids: Vec<KeyId>,
    own: Option<Box<ServerKeyPair>>,
}

/// Derives activation codes and one-time passwords from the ids of what they belong to, so that a repeated call is told
/// the same one although only its hash is stored.
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

    pub(super) fn otp(&self, id: TransactionId) -> Otp {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tocsin/v1/otp");
        context.update(id.as_bytes());
        let mut bits = [0; 20];
        bits.copy_from_slice(&context.sign().as_ref()[..20]);
        Otp::from_bits(&bits)
    }
}

/// Six digits. Derived as the code is, so that a repeated call is told the same number.
const CONFIRMATION_NUMBERS: u128 = 1_000_000;

impl DerivedCodes {
    pub(super) fn confirmation_number(&self, id: EnrollmentId) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tocsin/v1/confirmation-number");
        context.update(id.as_bytes());
        let mut bits = [0; 16];
        bits.copy_from_slice(&context.sign().as_ref()[..16]);
        format!("{:06}", u128::from_be_bytes(bits) % CONFIRMATION_NUMBERS)
    }
}

impl Handle {
    /// Opens an enrolment: one phone may register with its code, once and in time.
    pub async fn open_enrollment(&self, request: EnrollmentRequest) -> Result<OpenedEnrollment, Problem> {
        self.open_enrollment_within(request, |_| Ok(())).await
    }

    /// The same within `bounds` of the caller, which only a new enrolment counts against: a repeat begins nothing.
    pub async fn open_enrollment_within(
        &self,
        request: EnrollmentRequest,
        bounds: impl FnOnce(&User) -> Result<(), Problem>,
    ) -> Result<OpenedEnrollment, Problem> {
        self.refuse_while_draining()?;
        if let Some(idempotency) = &request.idempotency {
            let seen = self.store().enrollment_by_idempotency_key(&request.client, idempotency).await;
            if let Some(seen) = seen.map_err(|error| store_problem(&error))? {
                return self.not_opened(&request.client, seen).await;
            }
        }
        bounds(&request.user)?;
        let opened = self.open_new_enrollment(&request).await;
        if let Err(problem) = &opened
            && is_told_in_the_trail(problem.code)
        {
            self.note_refused_opening(&request, problem.code).await;
        }
        opened
    }

    async fn open_new_enrollment(&self, request: &EnrollmentRequest) -> Result<OpenedEnrollment, Problem> {
        let (config, now) = (self.config(), self.clock().now());
        refuse_unless(config.switches.enrollment, "enrolling is switched off")?;
        let app = config.apps.get(&request.app).ok_or_else(unknown_app)?;
        let server_keys = self.enrollment_keys(app, now).await?;
        let enrollment = self.compose_enrollment(request, app, server_keys, now)?;
        let new = NewEnrollment {
            enrollment: enrollment.clone(),
            mode: app.mode,
            needs_authorization: app.requires == Requirement::AcceptedTransaction,
            idempotency: request.idempotency.clone(),
        };
        match self.store().open_enrollment(new).await.map_err(|error| store_problem(&error))? {
            EnrollmentOpened::New => Ok(self.opened(enrollment, false)),
            seen => self.not_opened(&request.client, seen).await,
        }
    }

    /// What is told where the call opened nothing.
    async fn not_opened(
        &self,
        client: &ClientId,
        seen: EnrollmentOpened,
    ) -> Result<OpenedEnrollment, Problem> {
        match seen {
            EnrollmentOpened::Existing(id) => Ok(self.opened(self.enrollment(client, id).await?, true)),
            EnrollmentOpened::Mismatch => Err(super::start::idempotency_mismatch()),
            EnrollmentOpened::DeviceExists => Err(device_exists()),
            EnrollmentOpened::Unauthorized => Err(unauthorized()),
            EnrollmentOpened::New => Err(Problem::internal()),
        }
    }

    /// The keys that challenges will be signed with: of the deployment, or one for this phone alone.
    async fn enrollment_keys(&self, app: &App, now: UnixMs) -> Result<EnrollmentKeys, Problem> {
        if !app.unique_server_keys {
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
        app: &App,
        server_keys: EnrollmentKeys,
        now: UnixMs,
    ) -> Result<Enrollment, Problem> {
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
            authorized_by: request.authorized_by,
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

    /// Waits while no phone has followed the enrolment; returns at the latest after `longest`, at its end, and early
    /// when the engine shuts down, with the enrolment as it then stands.
    pub async fn wait_for_enrollment(
        &self,
        client: &ClientId,
        id: EnrollmentId,
        longest: DurationMs,
    ) -> Result<Enrollment, Problem> {
        let has_come = |enrollment: &Enrollment, now| enrollment.standing(now) != EnrollmentStanding::Pending;
        let present = self.enrollment(client, id).await?;
        if has_come(&present, self.clock().now()) || longest.get() == 0 || self.is_draining() {
            return Ok(present);
        }
        // Entered first and read again afterwards, so that no change falls between.
        let mut waiting = self.0.enrollment_waiters.wait(id)?;
        let present = self.enrollment(client, id).await?;
        let now = self.clock().now();
        if has_come(&present, now) {
            return Ok(present);
        }
        let longest = longest.min(present.expires_at.since(now));
        let mut draining = self.0.draining.clone();
        tokio::select! {
            () = waiting.changed() => {}
            () = tokio::time::sleep(longest.to_std()) => {}
            _ = draining.wait_for(|draining| *draining) => {}
        }
        self.enrollment(client, id).await
    }

    /// Takes the number that the portal was told by whoever holds the enrolling phone.
    pub async fn confirm_enrollment(
        &self,
        client: &ClientId,
        id: EnrollmentId,
        number: &str,
    ) -> Result<Enrollment, Problem> {
        let config = self.config();
        refuse_unless(config.switches.enrollment, "enrolling is switched off")?;
        let enrollment = self.enrollment(client, id).await?;
        // An app that comes back finds the enrolment as it was.
        let app = config.apps.get(&enrollment.app).ok_or_else(app_gone)?;
        let expected = self.0.codes.confirmation_number(id);
        let is_right = verify_slices_are_equal(expected.as_bytes(), number.as_bytes()).is_ok();
        let rules = app.enrolment_rules();
        let confirmed = self.store().confirm_enrollment(id, is_right, rules, self.clock().now()).await;
        let confirmed = confirmed.map_err(|error| store_problem(&error))?;
        self.0.enrollment_waiters.publish(id);
        match confirmed {
            EnrollmentConfirmed::Stored(registered) => {
                self.completed(&config, &registered).await;
                Ok(registered.enrollment)
            }
            EnrollmentConfirmed::Before(enrollment) => Ok(*enrollment),
            EnrollmentConfirmed::Wrong { left } => {
                let detail = "this is not the number that the enrolling phone shows";
                Err(Problem::new(ErrorCode::WrongNumber, detail).with_attempts_left(left))
            }
            EnrollmentConfirmed::NoPhoneYet => {
                let detail = "no phone has followed the enrolment yet; nothing was counted";
                let problem = Problem::new(ErrorCode::WrongNumber, detail);
                Err(problem.with_attempts_left(CONFIRMATION_TRIES_MAX))
            }
            EnrollmentConfirmed::DeviceExists => Err(device_exists()),
            EnrollmentConfirmed::Final => Err(not_confirmable()),
            EnrollmentConfirmed::Absent => Err(Problem::not_found()),
        }
    }

    /// Cancels an enrolment. A repeated call is told the same.
    pub async fn cancel_enrollment(&self, client: &ClientId, id: EnrollmentId) -> Result<(), Problem> {
        self.enrollment(client, id).await?;
        let cancelled = until_known(|| self.store().cancel_enrollment(id)).await;
        self.0.enrollment_waiters.publish(id);
        match cancelled.map_err(|error| store_problem(&error))? {
            EnrollmentCancelled::Stored => Ok(()),
            EnrollmentCancelled::Completed => {
                let detail = "a phone was enrolled with it; remove the device instead";
                Err(Problem::new(ErrorCode::EnrollmentFinal, detail))
            }
            EnrollmentCancelled::Absent => Err(Problem::not_found()),
        }
    }
}

/// Submits a verb that may be repeated until its end is known.
pub(super) async fn until_known<T>(submit: impl Fn() -> Pending<T>) -> Result<T, tocsin_storage::StoreError> {
    let mut answer = submit().await;
    for _ in 0..ASK_AGAIN_MAX {
        match &answer {
            Err(error) if error.kind() == StoreErrorKind::Unknown => answer = submit().await,
            Ok(_) | Err(_) => break,
        }
    }
    answer
}

fn unauthorized() -> Problem {
    let detail =
        "name a transaction that this user has accepted in the last ten minutes and that was not used yet";
    Problem::new(ErrorCode::AuthorizationRequired, detail).with_field("authorized_by")
}

fn not_confirmable() -> Problem {
    Problem::new(ErrorCode::EnrollmentFinal, "the enrolment has ended; open another one")
}

pub(super) fn device_exists() -> Problem {
    Problem::new(ErrorCode::DeviceExists, "remove the user's device of this app first")
}

/// Refusals that say something of the user or the configuration, not of the call.
pub(super) fn is_told_in_the_trail(code: ErrorCode) -> bool {
    let told = [
        ErrorCode::MethodDisabled,
        ErrorCode::DeviceExists,
        ErrorCode::KeyInUse,
        ErrorCode::AuthorizationRequired,
    ];
    told.contains(&code)
}

/// What nobody may begin while it is switched off.
/// The app went by a reload after the door had found it.
fn unknown_app() -> Problem {
    Problem::new(ErrorCode::InvalidField, "no such app is configured").with_field("app")
}

fn app_gone() -> Problem {
    Problem::new(ErrorCode::MethodDisabled, "the app of this enrolment is not configured any more")
}

pub(super) fn refuse_unless(switched_on: bool, what: &'static str) -> Result<(), Problem> {
    if switched_on { Ok(()) } else { Err(Problem::new(ErrorCode::MethodDisabled, what)) }
}
