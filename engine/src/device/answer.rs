//! A phone's signed answer: parsing, the order of the checks, and the signature.
//!
//! The order is part of the protocol: who may not know that a transaction exists learns nothing, what is not
//! the user's fault counts nothing, the signature comes late because it costs most, and the number last, because only
//! a good signature makes it the user's. Wrong tries are told apart here and counted elsewhere. An answer is never
//! compared by its bytes: a signature has several valid forms.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tocsin_model::{
    Answer, Decision, Device, DeviceId, DeviceKey, ErrorCode, KeyId, KeyUse, Nonce, Problem, PublicKey,
    Recipient, Secret, State, Transaction, TransactionId, TwoDigits, UnixMs,
};

use super::body::{Fields, parse_body};
use super::challenge::Shown;
use super::claims::Claims;
use super::encoding::decode_array;
use super::jose::{COMPACT_BYTES_MAX, KeyIdRule, TokenType, UnverifiedJws};
use super::proof::ProofError;

/// What an answer is judged against.
#[derive(Clone, Copy, Debug)]
pub struct AnswerContext<'a> {
    /// The transaction of the path.
    pub transaction: &'a Transaction,
    /// The owner of [`UnverifiedAnswer::kid`].
    pub device: &'a Device,
    /// Whether the device's app lets it use the key that signs.
    pub app_takes_key: bool,
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
    number: Option<NumberClaim>,
    repeats: bool,
}

/// The number of an answer, and the one that the portal shows.
#[derive(Clone, Debug)]
struct NumberClaim {
    claimed: Secret<Box<str>>,
    right: TwoDigits,
}

/// Why a signature does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// It is by another PIN than the device's: to be counted on the device before anybody is told.
    WrongPin,
    /// Nothing is to be counted.
    Refused(Problem),
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
    /// Whether it approves with another number than the portal shows.
    pub wrong_number: bool,
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
        self.key_use(device).is_some_and(|key_use| *key_use != KeyUse::Device)
    }

    /// Whether the key that it names signed it: a public-key operation, for the signature pool. It proves the phone
    /// and says nothing of the answer.
    pub fn is_signed(&self, device: &Device) -> bool {
        device.key_by_kid(&self.kid).is_some_and(|key| self.jws.verify(&key.public_key).is_ok())
    }

    /// What the key that it names is for.
    pub fn key_use<'d>(&self, device: &'d Device) -> Option<&'d KeyUse> {
        device.key_by_kid(&self.kid).map(|key| &key.key_use)
    }

    /// Judges everything but the signature, in the order of the protocol.
    pub fn check(self, context: AnswerContext<'_>) -> Result<CheckedAnswer, Problem> {
        let AnswerContext { transaction, device, app_takes_key, issuer, now } = context;
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
        check_key_taken(&key.key_use, decision, transaction, app_takes_key)?;
        let number = number_claim(claims, decision, transaction)?;
        Ok(self.checked(key, device.id, decision, number, false))
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
            Some(winner) => Ok(self.checked(key, winner.device_id, winner.decision, None, true)),
            None => Err(Problem::transaction_final(transaction.state)),
        }
    }

    fn checked(
        self,
        key: DeviceKey,
        device_id: DeviceId,
        decision: Decision,
        number: Option<NumberClaim>,
        repeats: bool,
    ) -> CheckedAnswer {
        CheckedAnswer {
            jws: self.jws,
            key: key.public_key,
            key_use: key.key_use,
            device_id,
            decision,
            number,
            repeats,
        }
    }
}

impl NumberClaim {
    /// Compared in constant time, although a wrong one ends the transaction.
    fn is_right(&self) -> bool {
        verify_slices_are_equal(self.claimed.expose().as_bytes(), &self.right.digits()).is_ok()
    }
}

impl CheckedAnswer {
    /// Whether it claims to be the deciding answer once more.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// Checks the signature: a public-key operation, for the signature pool. 401 `bad_proof` under the `device`
    /// key, whose answer is its own proof; a wrong PIN is to be counted; else 401 `bad_signature`.
    pub fn verify(self) -> Result<VerifiedAnswer, SignatureFault> {
        let Self { jws, key, key_use, device_id, decision, number, repeats } = self;
        match jws.verify(&key) {
            Ok(()) => {
                let wrong_number = number.is_some_and(|number| !number.is_right());
                let jws = jws.as_str().into();
                Ok(VerifiedAnswer { device_id, key_use, decision, wrong_number, repeats, jws })
            }
            Err(_) => Err(wrong_signature(&key_use)),
        }
    }
}

impl VerifiedAnswer {
    /// As the record keeps it.
    pub fn into_answer(self, decided_at: UnixMs, proof_jws: Option<Box<str>>) -> Answer {
        let Self { device_id, key_use, decision, jws, wrong_number: _, repeats: _ } = self;
        Answer { device_id, key_use, decision, decided_at, jws, proof_jws }
    }
}

/// An answer by the `device` key is its own proof; unknown key and wrong signature look the same.
fn not_authenticated() -> Problem {
    ProofError::Bad.problem()
}

fn wrong_signature(key_use: &KeyUse) -> SignatureFault {
    match key_use {
        KeyUse::Device => SignatureFault::Refused(not_authenticated()),
        KeyUse::Pin => SignatureFault::WrongPin,
        KeyUse::Biometric | KeyUse::Custom(_) => {
            let detail = "the answer is not signed by the key that it names";
            SignatureFault::Refused(Problem::new(ErrorCode::BadSignature, detail))
        }
    }
}

/// The number of an approval that is matched; refusing needs none.
fn number_claim(
    claims: &Claims,
    decision: Decision,
    transaction: &Transaction,
) -> Result<Option<NumberClaim>, Problem> {
    let (Some(number), Decision::Accept) = (transaction.number(), decision) else { return Ok(None) };
    let claimed = claims.text("number").ok_or_else(|| {
        Problem::new(ErrorCode::FieldRequired, "the answer needs the number that the portal shows")
            .with_field("number")
    })?;
    Ok(Some(NumberClaim { claimed: Secret::new(claimed.into()), right: number.right }))
}

fn wrong_challenge(detail: &'static str) -> Problem {
    Problem::new(ErrorCode::WrongChallenge, detail).with_field("answer")
}

fn check_addresses(
    claims: &Claims,
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

fn nonce_fits(claims: &Claims, nonce: &Nonce) -> bool {
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

fn check_key_taken(
    key_use: &KeyUse,
    decision: Decision,
    transaction: &Transaction,
    app_takes_key: bool,
) -> Result<(), Problem> {
    if app_takes_key && is_taken(key_use, decision, transaction) {
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
