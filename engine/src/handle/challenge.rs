//! Challenges on their way to phones: listed and fetched, sealed at the start, handed out as request messages.
//!
//! A phone with an encryption key gets every challenge sealed, and always the same seal: the one that the start kept.
//! Where there is none for its present key, because the phone changed it, the first fetch seals anew and keeps that.

use std::sync::Arc;

use tocsin_model::{
    Device, DeviceId, ErrorCode, KeptChallenge, Problem, PublicKey, Recipient, RequestMessage,
    SealedChallenge, ServerKeyPair, Transaction, TransactionId, UnixMs,
};

use super::{DeviceCall, Handle};
use crate::device::{
    CheckedProof, ProofError, ServerKeys, challenge_payload, request_message, seal_challenge, thumbprint,
};
use crate::error::store_problem;
use crate::transaction::News;

/// A challenge for one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The transaction.
    pub id: TransactionId,
    /// Until when it can be answered.
    pub expires_at: UnixMs,
    /// The challenge itself.
    pub form: ChallengeForm,
}

/// The form in which a challenge goes to a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChallengeForm {
    /// A compact JWS by the server's key, for a phone without an encryption key.
    Signed(String),
    /// The same, readable by the phone alone.
    Sealed(SealedChallenge),
}

/// What a challenge for a phone depends on, beside the transaction.
pub(super) struct ChallengedPhone {
    device_id: DeviceId,
    encryption_key: Option<PublicKey>,
    server_key: Option<Box<ServerKeyPair>>,
}

impl ChallengedPhone {
    pub(super) fn of(device: &Device) -> Self {
        let (encryption_key, server_key) = (device.encryption_key, device.server_key.clone());
        Self { device_id: device.id, encryption_key, server_key }
    }
}

impl Handle {
    /// The open challenges of this phone, newest first.
    pub async fn challenges(&self, device: &Device) -> Result<Vec<Challenge>, Problem> {
        let mut challenges = Vec::new();
        self.awaken(&device.user).await?;
        let mut open = self.0.registry.admission().open_of(&device.user);
        // Ids begin with the time.
        open.sort_unstable_by(|left, right| right.cmp(left));
        for id in open {
            match self.challenge(device, id).await {
                Ok(challenge) => challenges.push(challenge),
                // It ended meanwhile, is not stored yet, or is not for this phone.
                Err(problem) if matches!(problem.code, ErrorCode::NotFound | ErrorCode::TransactionFinal) => {
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(challenges)
    }

    /// The challenge of one transaction for the phone that makes this call; `id` is told to be wrong once it is known who
    /// asks.
    pub async fn fetch(
        &self,
        call: DeviceCall<'_>,
        id: Result<TransactionId, Problem>,
    ) -> Result<Challenge, Problem> {
        let (device, proof) = self.claimed(call).await?;
        if let Some(ready) = id.as_ref().ok().and_then(|id| self.ready_to_sign(&device, *id)) {
            return self.fetch_ready(&device, proof, ready).await;
        }
        let verified = self.run_signature(move || proof.verify()).await?.map_err(ProofError::problem)?;
        self.judge_proof(device.id, &verified)?;
        self.check_may_fetch(&device)?;
        self.challenge(&device, id?).await
    }

    /// A challenge that only needs its signature, if this is one: then it is signed where the proof is checked, right
    /// behind it, and nobody waits for a second turn.
    fn ready_to_sign(&self, device: &Device, id: TransactionId) -> Option<ReadyToSign> {
        let now = self.clock().now();
        let transaction = self.0.registry.standing(id)?;
        let is_open = !transaction.state.is_final() && now < transaction.expires_at;
        if !is_open || device.encryption_key.is_some() || self.check_may_fetch(device).is_err() {
            return None;
        }
        let recipient = transaction.recipient(&device.id)?;
        let unsigned =
            Unsigned::new(&transaction, recipient, self.issuer(), device.server_key.as_deref(), now);
        Some(ReadyToSign {
            unsigned,
            expires_at: transaction.expires_at,
            is_pushed: recipient.delivery.is_some(),
            id,
        })
    }

    async fn fetch_ready(
        &self,
        device: &Device,
        proof: CheckedProof,
        ready: ReadyToSign,
    ) -> Result<Challenge, Problem> {
        let ReadyToSign { id, expires_at, is_pushed, unsigned } = ready;
        let (handle, device_id) = (self.clone(), device.id);
        let signed = self.run_signature(move || {
            let verified = proof.verify().map_err(ProofError::problem)?;
            handle.judge_proof(device_id, &verified)?;
            unsigned.sign(&handle.0.server_keys)
        });
        let form = ChallengeForm::Signed(signed.await??);
        if is_pushed {
            self.0.registry.tell(id, News::Fetched(device.id));
        }
        Ok(Challenge { id, expires_at, form })
    }

    /// The challenge of one transaction for this phone.
    pub(super) async fn challenge(&self, device: &Device, id: TransactionId) -> Result<Challenge, Problem> {
        let transaction = self.standing(id).await?;
        let recipient = transaction.recipient(&device.id).ok_or_else(Problem::not_found)?;
        let now = self.clock().now();
        if transaction.state.is_final() {
            return Err(Problem::transaction_final(transaction.state));
        }
        if now >= transaction.expires_at {
            return Err(self.overdue(id).await);
        }
        let own = device.server_key.as_deref();
        let form = match &device.encryption_key {
            None => ChallengeForm::Signed(self.sign_challenge(&transaction, recipient, own, now).await?),
            Some(key) => {
                ChallengeForm::Sealed(self.one_seal(&transaction, recipient, (key, own), now).await?)
            }
        };
        if recipient.delivery.is_some() {
            self.0.registry.tell(id, News::Fetched(device.id));
        }
        Ok(Challenge { id, expires_at: transaction.expires_at, form })
    }

    /// The challenges of a start that must be kept before they leave: those of phones with an encryption key, and
    /// the one that is handed out as a request message.
    pub(super) async fn challenges_to_keep(
        &self,
        transaction: &Transaction,
        phones: &[ChallengedPhone],
    ) -> Result<Vec<(DeviceId, KeptChallenge)>, Problem> {
        let (now, handed_out) = (transaction.created_at, transaction.request_message.is_asked_for());
        let mut kept = Vec::new();
        for ChallengedPhone { device_id, encryption_key, server_key } in phones {
            let own = server_key.as_deref();
            let recipient = transaction.recipient(device_id).ok_or_else(Problem::internal)?;
            let challenge = match encryption_key {
                Some(key) => KeptChallenge::Sealed(self.seal(transaction, recipient, (key, own), now).await?),
                None if handed_out => {
                    KeptChallenge::Signed(self.sign_challenge(transaction, recipient, own, now).await?.into())
                }
                None => continue,
            };
            kept.push((*device_id, challenge));
        }
        Ok(kept)
    }

    /// A pending transaction with what its portal's screen is to show: the text of the request message that was asked
    /// for, or the one-time password.
    pub(super) async fn with_request_message(
        &self,
        transaction: Arc<Transaction>,
    ) -> Result<Arc<Transaction>, Problem> {
        if transaction.state.is_final() || !transaction.request_message.is_asked_for() {
            return Ok(self.with_otp(transaction));
        }
        let Some(receiver) = transaction.recipients.first() else { return Ok(transaction) };
        let kept = self.store().kept_challenge(transaction.id, receiver.device_id).await;
        let Some(kept) = kept.map_err(|error| store_problem(&error))? else { return Ok(transaction) };
        let text = request_message(&transaction.id, &kept);
        let request_message = RequestMessage::Text(text.into());
        Ok(Arc::new(Transaction { request_message, ..Transaction::clone(&transaction) }))
    }

    /// The seal that is kept for this phone's key; made and kept where there is none.
    async fn one_seal(
        &self,
        transaction: &Transaction,
        recipient: &Recipient,
        (key, own): (&PublicKey, Option<&ServerKeyPair>),
        now: UnixMs,
    ) -> Result<SealedChallenge, Problem> {
        let (id, device_id, to) = (transaction.id, recipient.device_id, thumbprint(key));
        let kept = self.store().kept_challenge(id, device_id).await;
        let kept = kept.map_err(|error| store_problem(&error))?;
        if let Some(sealed) = kept.and_then(|kept| kept.sealed_to(&to)) {
            return Ok(sealed);
        }
        let fresh = KeptChallenge::Sealed(self.seal(transaction, recipient, (key, own), now).await?);
        let stands = self.store().keep_challenge(id, device_id, fresh).await;
        let stands = stands.map_err(|error| store_problem(&error))?;
        stands.sealed_to(&to).ok_or_else(Problem::internal)
    }

    async fn seal(
        &self,
        transaction: &Transaction,
        recipient: &Recipient,
        (key, own): (&PublicKey, Option<&ServerKeyPair>),
        now: UnixMs,
    ) -> Result<SealedChallenge, Problem> {
        let jws = self.sign_challenge(transaction, recipient, own, now).await?;
        let (id, key) = (transaction.id, *key);
        let sealed = self.run_signature(move || seal_challenge(&jws, &id, &key)).await?;
        sealed.map_err(|error| {
            tracing::error!(%error, device = %recipient.device_id, "a challenge cannot be sealed");
            Problem::internal()
        })
    }

    async fn sign_challenge(
        &self,
        transaction: &Transaction,
        recipient: &Recipient,
        own: Option<&ServerKeyPair>,
        now: UnixMs,
    ) -> Result<String, Problem> {
        let unsigned = Unsigned::new(transaction, recipient, self.issuer(), own, now);
        let core = Arc::clone(&self.0);
        self.run_signature(move || unsigned.sign(&core.server_keys)).await?
    }
}

/// What is signed for a phone.
struct Unsigned {
    payload: Vec<u8>,
    own: Option<ServerKeyPair>,
    now: UnixMs,
}

/// An open challenge of which everything but the signature is there.
struct ReadyToSign {
    id: TransactionId,
    expires_at: UnixMs,
    is_pushed: bool,
    unsigned: Unsigned,
}

impl Unsigned {
    fn new(
        transaction: &Transaction,
        recipient: &Recipient,
        issuer: &str,
        own: Option<&ServerKeyPair>,
        now: UnixMs,
    ) -> Self {
        Self { payload: challenge_payload(transaction, recipient, issuer, now), own: own.cloned(), now }
    }

    /// A private-key operation, for the signature pool.
    fn sign(&self, keys: &ServerKeys) -> Result<String, Problem> {
        keys.sign_challenge(self.own.as_ref(), self.now, &self.payload).map_err(|error| {
            tracing::error!(%error, "a challenge cannot be signed");
            Problem::internal()
        })
    }
}
