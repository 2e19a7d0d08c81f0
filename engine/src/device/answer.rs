//! A phone's signed answer: parsing, the order of the checks, and the signature.
//!
//! The order is part of the protocol: who may not know that a transaction exists learns nothing, what is not
//! the user's fault counts nothing, and the signature comes last because it costs most. Number matching, PIN keys
//! and wrong tries are not judged here yet. An answer is never compared by its bytes: a signature has several
//! valid forms.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tocsin_model::{
    Answer, Decision, Device, DeviceId, DeviceKey, ErrorCode, KeyId, KeyUse, Nonce, Problem, PublicKey,
    Recipient, State, Transaction, TransactionId, UnixMs,
};

use super::body::{Fields, parse_body};
use super::challenge::Shown;
use super::encoding::decode_array;
use super::jose::{COMPACT_BYTES_MAX, Claims, KeyIdRule, TokenType, UnverifiedJws};
use super::proof::ProofError;

/// What an answer is judged against.
#[derive(Clone, Copy, Debug)]
pub struct AnswerContext<'a> {
    /// The transaction of the path.
    pub transaction: &'a Transaction,
    /// The owner of [`UnverifiedAnswer::kid`].
    pub device: &'a Device,
    /// The issuer of the device protocol.
    pub issuer: &'a str,
    /// When the answer was taken up.
    pub now: UnixMs,
}

/// An answer as it was sent; only the JOSE profile is known to hold.
#[derive(Clone, Debug)]
pub struct UnverifiedAnswer {
    jws: UnverifiedJws,
    kid: KeyId,
}

/// An answer whose claims fit; whether its key signed it is not known yet.
#[derive(Clone, Debug)]
pub struct CheckedAnswer {
    jws: UnverifiedJws,
    key: PublicKey,
    key_use: KeyUse,
    device_id: DeviceId,
    decision: Decision,
    repeats: bool,
}

/// An answer that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAnswer {
    /// The phone that answered.
    pub device_id: DeviceId,
    /// The key that signed.
    pub key_use: KeyUse,
    /// What it says.
    pub decision: Decision,
    /// Whether it is the answer that decided the transaction, once more: the first reply is given again.
    pub repeats: bool,
    /// The compact JWS.
    pub jws: Box<str>,
}

impl UnverifiedAnswer {
    /// Parses the body `{"answer":"<JWS>"}`: 400 for malformed JSON or more than 8 KiB, 422 without the field,
    /// 401 for what is not a JWS of the profile.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let members = parse_body(body)?;
        let compact = Fields::of(&members).raw_text("answer", COMPACT_BYTES_MAX)?;
        let jws = UnverifiedJws::parse(compact, TokenType::Answer, KeyIdRule::Required)
            .map_err(|_| not_authenticated())?;
        let kid = *jws.kid().ok_or_else(not_authenticated)?;
        Ok(Self { jws, kid })
    }

    /// The key that it names; its owner is the device that answers. An unknown one is [`Self::unknown_key`].
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// What a phone is told whose `kid` nobody has.
    pub fn unknown_key() -> Problem {
        not_authenticated()
    }

    /// Whether the request needs a proof by the `device` key too, because another key signs the answer.
    pub fn needs_proof(&self, device: &Device) -> bool {
        device.key_by_kid(&self.kid).is_some_and(|key| key.key_use != KeyUse::Device)
    }

    /// Judges everything but the signature, in the order of the protocol.
    pub fn check(self, context: AnswerContext<'_>) -> Result<CheckedAnswer, Problem> {
        let AnswerContext { transaction, device, issuer, now } = context;
        let key = device.key_by_kid(&self.kid).ok_or_else(not_authenticated)?.clone();
        let recipient = transaction.recipient(&device.id).ok_or_else(Problem::not_found)?;
        if transaction.state.is_final() {
            return self.check_repetition(transaction, recipient, key);
        }
        if now >= transaction.expires_at {
            return Err(Problem::transaction_final(State::Timeout));
        }
        let claims = self.jws.claims();
        check_addresses(claims, transaction, device, issuer)?;
        let shown = Shown::of(transaction, &recipient.app).digest();
        let covers = nonce_fits(claims, &recipient.nonce) && bytes_fit(claims.text("dh"), &shown);
        if !covers {
            return Err(wrong_challenge("nonce or dh is not that of this challenge"));
        }
        let decision = claims.text("decision").and_then(Decision::parse);
        let decision =
            decision.ok_or_else(|| wrong_challenge("decision must be accept, decline or report"))?;
        check_key_taken(&key.key_use, decision, transaction)?;
        Ok(self.checked(key, device.id, decision, false))
    }

    /// The same answer is the same phone, nonce and decision, in any bytes, under a valid signature.
    fn check_repetition(
        self,
        transaction: &Transaction,
        recipient: &Recipient,
        key: DeviceKey,
    ) -> Result<CheckedAnswer, Problem> {
        let claims = self.jws.claims();
        let decision = claims.text("decision").and_then(Decision::parse);
        let winner = transaction.answer.as_deref();
        let repeats = |winner: &&Answer| {
            winner.device_id == recipient.device_id
                && Some(winner.decision) == decision
                && id_fits(claims.text("iss"), &recipient.device_id)
                && claims.text("sub").and_then(|sub| sub.parse().ok()) == Some(transaction.id)
                && nonce_fits(claims, &recipient.nonce)
                && is_taken(&key.key_use, winner.decision, transaction)
        };
        match winner.filter(repeats) {
            Some(winner) => Ok(self.checked(key, winner.device_id, winner.decision, true)),
            None => Err(Problem::transaction_final(transaction.state)),
        }
    }

    fn checked(
        self,
        key: DeviceKey,
        device_id: DeviceId,
        decision: Decision,
        repeats: bool,
    ) -> CheckedAnswer {
        CheckedAnswer {
            jws: self.jws,
            key: key.public_key,
            key_use: key.key_use,
            device_id,
            decision,
            repeats,
        }
    }
}

impl CheckedAnswer {
    /// Whether it claims to be the deciding answer once more.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// Checks the signature: a public-key operation, for the signature pool. 401 `bad_proof` under the `device`
    /// key, whose answer is its own proof, else 401 `bad_signature`; nothing is counted.
    pub fn verify(self) -> Result<VerifiedAnswer, Problem> {
        let Self { jws, key, key_use, device_id, decision, repeats } = self;
        match jws.verify(&key) {
            Ok(()) => Ok(VerifiedAnswer { device_id, key_use, decision, repeats, jws: jws.as_str().into() }),
            Err(_) => Err(wrong_signature(&key_use)),
        }
    }
}

impl VerifiedAnswer {
    /// As the record keeps it.
    pub fn into_answer(self, decided_at: UnixMs, proof_jws: Option<Box<str>>) -> Answer {
        let Self { device_id, key_use, decision, jws, repeats: _ } = self;
        Answer { device_id, key_use, decision, decided_at, jws, proof_jws }
    }
}

/// An answer by the `device` key is its own proof; unknown key and wrong signature look the same.
fn not_authenticated() -> Problem {
    ProofError::Bad.problem()
}

fn wrong_signature(key_use: &KeyUse) -> Problem {
    match key_use {
        KeyUse::Device => not_authenticated(),
        KeyUse::Pin | KeyUse::Biometric | KeyUse::Custom(_) => {
            Problem::new(ErrorCode::BadSignature, "the answer is not signed by the key that it names")
        }
    }
}

fn wrong_challenge(detail: &'static str) -> Problem {
    Problem::new(ErrorCode::WrongChallenge, detail).with_field("answer")
}

fn check_addresses(
    claims: Claims<'_>,
    transaction: &Transaction,
    device: &Device,
    issuer: &str,
) -> Result<(), Problem> {
    if !id_fits(claims.text("iss"), &device.id) {
        return Err(wrong_challenge("iss is not the device that owns the key"));
    }
    if claims.text("sub").and_then(|sub| sub.parse::<TransactionId>().ok()) != Some(transaction.id) {
        return Err(wrong_challenge("sub is not the transaction of the path"));
    }
    if claims.text("aud") != Some(issuer) {
        return Err(wrong_challenge("aud is not the issuer"));
    }
    if claims.numeric_date("iat").is_none() {
        return Err(wrong_challenge("iat is not a time"));
    }
    Ok(())
}

fn id_fits(claimed: Option<&str>, device_id: &DeviceId) -> bool {
    claimed.and_then(|text| text.parse().ok()) == Some(*device_id)
}

fn nonce_fits(claims: Claims<'_>, nonce: &Nonce) -> bool {
    bytes_fit(claims.text("nonce"), nonce.as_bytes())
}

fn bytes_fit<const LENGTH: usize>(claimed: Option<&str>, expected: &[u8; LENGTH]) -> bool {
    claimed
        .and_then(decode_array::<LENGTH>)
        .is_some_and(|claimed| verify_slices_are_equal(&claimed, expected).is_ok())
}

/// Refusing is always done by the `device` key: it must be possible without PIN or finger.
fn is_taken(key_use: &KeyUse, decision: Decision, transaction: &Transaction) -> bool {
    match decision {
        Decision::Accept => transaction.accepted_keys.contains(key_use),
        Decision::Decline | Decision::Report => *key_use == KeyUse::Device,
    }
}

fn check_key_taken(key_use: &KeyUse, decision: Decision, transaction: &Transaction) -> Result<(), Problem> {
    if is_taken(key_use, decision, transaction) {
        return Ok(());
    }
    let detail = match decision {
        Decision::Accept => "the type does not take answers by this key",
        Decision::Decline | Decision::Report => "decline and report are signed by the device key",
    };
    Err(Problem::new(ErrorCode::MethodNotAllowed, detail))
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
