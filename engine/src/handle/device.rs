//! What phones ask: prove themselves and answer.

use std::sync::Arc;

use tocsin_model::{Device, DeviceId, DeviceStatus, ErrorCode, KeyId, Problem, State, TransactionId, UnixMs};

use super::Handle;
use crate::device::{
    AnswerContext, CheckedProof, ProofError, ProofRequest, SignatureFault, UnverifiedAnswer, UnverifiedProof,
    VerifiedProof, check_may_call, device_refused,
};
use crate::error::store_problem;
use crate::metrics::Stage;
use crate::transaction::{Reply, Request};

/// A phone's request, as far as its proof concerns it.
#[derive(Clone, Copy, Debug)]
pub struct DeviceCall<'a> {
    /// The `Authorization` header, if it is there and readable.
    pub authorization: Option<&'a str>,
    /// The HTTP method in capitals.
    pub method: &'a str,
    /// The path with its query, as on the request line.
    pub path_and_query: &'a str,
    /// The raw body; empty without one.
    pub body: &'a [u8],
}

impl Handle {
    /// The phone that makes this call; refused when it may not list, fetch and answer.
    pub async fn authenticate(&self, call: DeviceCall<'_>) -> Result<Arc<Device>, Problem> {
        let (device, _) = self.proven(call).await?;
        self.check_may_fetch(&device)?;
        Ok(device)
    }

    /// Refuses a phone that may not list, fetch and answer.
    pub(super) fn check_may_fetch(&self, device: &Device) -> Result<(), Problem> {
        check_may_call(device)?;
        self.check_version(device)
    }

    /// The phone that makes this call, in use or not; refused when it was removed.
    pub async fn authenticate_idle(&self, call: DeviceCall<'_>) -> Result<Arc<Device>, Problem> {
        let (device, _) = self.proven(call).await?;
        match device.status {
            DeviceStatus::Revoked => Err(device_refused(device.status)),
            DeviceStatus::Unconfirmed
            | DeviceStatus::Active
            | DeviceStatus::Suspended
            | DeviceStatus::Unreachable => Ok(device),
        }
    }

    /// 426 for a version of the app that is switched off.
    fn check_version(&self, device: &Device) -> Result<(), Problem> {
        let config = self.config();
        let is_enabled = config
            .apps
            .get(&device.app)
            .is_none_or(|app| app.is_version_enabled(device.profile.platform, &device.profile.app_version));
        if is_enabled {
            return Ok(());
        }
        Err(Problem::new(ErrorCode::UpgradeRequired, "update the app, then tell its new version"))
    }

    /// The server keys that this phone is to know, as a JWS in general JSON serialization. An app that is too old to
    /// answer follows them all the same, or its next version would have to enrol anew.
    pub async fn server_keys(&self, call: DeviceCall<'_>) -> Result<String, Problem> {
        let (device, _) = self.proven(call).await?;
        check_may_call(&device)?;
        let (core, now) = (Arc::clone(&self.0), self.clock().now());
        let sign = move || core.server_keys.signed_set(device.server_key.as_deref(), &core.issuer, now);
        self.run_signature(sign).await?.map_err(|error| {
            tracing::error!(%error, "the set of server keys cannot be signed");
            Problem::internal()
        })
    }

    /// Takes a phone's answer (the body of `call`) to the transaction of the path; answers with the state it made.
    pub async fn answer(&self, call: DeviceCall<'_>, id: TransactionId) -> Result<State, Problem> {
        let begun = self.clock().instant();
        let answered = self.answer_counted(call, id).await;
        if answered.is_ok() {
            self.metrics().observe(Stage::Answer, begun.elapsed());
        }
        self.metrics().answered(answered.as_ref().err().map(|problem| problem.code));
        answered
    }

    async fn answer_counted(&self, call: DeviceCall<'_>, id: TransactionId) -> Result<State, Problem> {
        let unverified = UnverifiedAnswer::parse(call.body)?;
        let device = self.owner_of(unverified.kid()).await?.ok_or_else(UnverifiedAnswer::unknown_key)?;
        let proof_jws = match unverified.needs_proof(&device) {
            true => Some(self.proof_of(&device, call).await?.jws),
            false => {
                self.check_own_proof(&device, &unverified).await?;
                None
            }
        };
        check_may_call(&device)?;
        let transaction = self.standing(id).await?;
        let context = AnswerContext {
            transaction: &transaction,
            device: &device,
            app_takes_key: unverified
                .key_use(&device)
                .is_some_and(|key_use| self.config().app_takes(&device.app, key_use)),
            issuer: self.issuer(),
            now: self.clock().now(),
        };
        let checked = match unverified.check(context) {
            Ok(checked) => checked,
            Err(problem) if !transaction.state.is_final() && problem.code == ErrorCode::TransactionFinal => {
                return Err(self.overdue(id).await);
            }
            Err(problem) => return Err(problem),
        };
        let verified = match self.run_signature(move || checked.verify()).await? {
            Ok(verified) => verified,
            Err(SignatureFault::WrongPin) => return Err(self.wrong_pin(&device, Some(id)).await),
            Err(SignatureFault::Refused(problem)) => return Err(problem),
        };
        self.check_version(&device)?;
        if verified.repeats {
            return Ok(transaction.state);
        }
        let wrong_number = verified.wrong_number;
        let answer = Box::new(verified.into_answer(self.clock().now(), proof_jws));
        match self.ask(id, Request::Answer { answer, wrong_number }).await? {
            Reply::Answered(state) => Ok(state),
            Reply::Refused(problem) => Err(problem),
            Reply::View(_) | Reply::SeenBefore(_) | Reply::TriesLeft(_) => Err(Problem::internal()),
        }
    }

    /// The answer of a phone that may not call is looked at as its proof and no further: whoever signed it is told
    /// what his phone is, and nobody else. Any other one is judged in its order, its signature late.
    async fn check_own_proof(&self, device: &Arc<Device>, answer: &UnverifiedAnswer) -> Result<(), Problem> {
        if check_may_call(device).is_ok() {
            return Ok(());
        }
        let (answer, owner) = (answer.clone(), Arc::clone(device));
        let is_signed = self.run_signature(move || answer.is_signed(&owner)).await?;
        if is_signed { Ok(()) } else { Err(UnverifiedAnswer::unknown_key()) }
    }

    /// What a late phone is told: how the transaction really ended. An answer that came in time may still be on
    /// its way to the disk, so the deadline alone does not say.
    pub(super) async fn overdue(&self, id: TransactionId) -> Problem {
        match self.ask(id, Request::Settle).await {
            Ok(Reply::Refused(problem)) | Err(problem) => problem,
            Ok(Reply::View(_) | Reply::SeenBefore(_) | Reply::Answered(_) | Reply::TriesLeft(_)) => {
                Problem::internal()
            }
        }
    }

    /// The proof of an answer that another key than `device` signs must be by the same phone.
    async fn proof_of(&self, device: &Device, call: DeviceCall<'_>) -> Result<VerifiedProof, Problem> {
        let (prover, proof) = self.proven(call).await?;
        if prover.id == device.id { Ok(proof) } else { Err(ProofError::Bad.problem()) }
    }

    /// Checks the proof of a call: claims, signature, clock, replay, in this order.
    pub(super) async fn proven(&self, call: DeviceCall<'_>) -> Result<(Arc<Device>, VerifiedProof), Problem> {
        let (device, claimed) = self.claimed(call).await?;
        let verified = self.run_signature(move || claimed.verify()).await?.map_err(ProofError::problem)?;
        self.judge_proof(device.id, &verified)?;
        Ok((device, verified))
    }

    /// Checks the claims of a call's proof: whose it would be if its signature holds.
    pub(super) async fn claimed(&self, call: DeviceCall<'_>) -> Result<(Arc<Device>, CheckedProof), Problem> {
        let proof = UnverifiedProof::parse(call.authorization).map_err(ProofError::problem)?;
        let kid = *proof.kid().ok_or_else(|| ProofError::Bad.problem())?;
        let device = self.owner_of(&kid).await?.ok_or_else(|| ProofError::Bad.problem())?;
        let checked = proof.check(&device, self.proof_request(call)).map_err(ProofError::problem)?;
        Ok((device, checked))
    }

    pub(super) fn proof_request<'a>(&'a self, call: DeviceCall<'a>) -> ProofRequest<'a> {
        ProofRequest {
            issuer: self.issuer(),
            method: call.method,
            path_and_query: call.path_and_query,
            body: call.body,
        }
    }

    pub(super) fn judge_proof(&self, device: DeviceId, proof: &VerifiedProof) -> Result<(), Problem> {
        let now = self.clock().now();
        self.check_proof_clock(proof, now)?;
        self.0.replay.remember(device, proof.jti, now).map_err(ProofError::problem)
    }

    pub(super) fn check_proof_clock(&self, proof: &VerifiedProof, now: UnixMs) -> Result<(), Problem> {
        let skew = self.config().device_clock_skew;
        proof.check_clock(now, skew).map_err(|error| error.problem().with_server_time(now))
    }

    async fn owner_of(&self, kid: &KeyId) -> Result<Option<Arc<Device>>, Problem> {
        self.store().device_by_kid(*kid).await.map_err(|error| store_problem(&error))
    }

    /// Runs a public-key operation off the actors' threads.
    pub(super) async fn run_signature<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.0.signatures.run(job).await.map_err(|error| {
            self.metrics().signatures_refused.inc();
            error.problem()
        })
    }
}
