//! What a new key of a phone signs for itself, and what the present PIN key signs for a change of keys.
//!
//! A phone proves that it holds the private half of each key that it brings: at enrolment and at a change by a
//! `tocsin-enrol+jwt`. A change is authorized by a `tocsin-key+jwt` under the PIN. Whether a wrong PIN counts, and
//! what is stored, is judged elsewhere.

use tocsin_model::{
    Device, DeviceKey, DurationMs, ErrorCode, KeyId, KeyUse, Problem, PublicKey, Thumbprint, TransactionId,
    UnixMs,
};

use super::answer::SignatureFault;
use super::body::{Fields, parse_body};
use super::encoding::base64url;
use super::jose::{COMPACT_BYTES_MAX, KeyIdRule, TokenType, UnverifiedJws};
use super::jwk::{parse_jwk, thumbprint};

/// Longest id of a transaction that is looked at, in bytes.
const ID_BYTES_MAX: usize = 64;

/// A claim and what it must say.
type Expected<'a> = (&'static str, &'a str);

/// Whether `compact` is a proof of `key` by itself over these claims. Costs a public-key operation.
pub(crate) fn proves_itself(compact: &str, key: &PublicKey, expected: &[Expected<'_>]) -> bool {
    let Ok(jws) = UnverifiedJws::parse(compact, TokenType::Enrol, KeyIdRule::Absent) else { return false };
    covers(&jws, expected) && jws.claims().numeric_date("iat").is_some() && jws.verify(key).is_ok()
}

fn covers(jws: &UnverifiedJws, expected: &[Expected<'_>]) -> bool {
    expected.iter().all(|(name, value)| jws.claims().text(name) == Some(value))
}

/// A change of keys as it was sent.
#[derive(Clone, Debug)]
pub struct KeyChangeRequest {
    key_use: KeyUse,
    public_key: PublicKey,
    thumbprint: Thumbprint,
    proof: String,
    authorization: Option<String>,
    authorized_by: Option<TransactionId>,
}

impl KeyChangeRequest {
    /// Parses the body `{"jwk","proof","authorization"?,"authorized_by"?}`: 400 or 422.
    pub fn parse(key_use: KeyUse, body: &[u8]) -> Result<Self, Problem> {
        let members = parse_body(body)?;
        let fields = Fields::of(&members);
        let public_key = parse_jwk(fields.object("jwk")?.members())
            .map_err(|error| fields.not_allowed("jwk", error.to_string()))?;
        let proof = fields.raw_text("proof", COMPACT_BYTES_MAX)?.to_owned();
        let optional = |name, bytes_max| match fields.has(name) {
            true => fields.raw_text(name, bytes_max).map(Some),
            false => Ok(None),
        };
        let authorization = optional("authorization", COMPACT_BYTES_MAX)?.map(str::to_owned);
        // What cannot be an id is an unknown one, which authorizes nothing.
        let authorized_by = optional("authorized_by", ID_BYTES_MAX)?.and_then(|id| id.parse().ok());
        let thumbprint = thumbprint(&public_key);
        Ok(Self { key_use, public_key, thumbprint, proof, authorization, authorized_by })
    }

    /// The transaction that is said to authorize it.
    pub fn authorized_by(&self) -> Option<TransactionId> {
        self.authorized_by
    }

    /// Checks the new key's proof: a public-key operation, for the signature pool. 422 `invalid_field`.
    pub fn check_proof(&self, device: &Device, issuer: &str) -> Result<(), Problem> {
        let device_key = device.device_key().ok_or_else(Problem::internal)?;
        let (id, key_use) = (device.id.to_string(), self.key_use.to_string());
        let device_key_sha256 = base64url(device_key.thumbprint.as_bytes());
        let expected = [
            ("iss", id.as_str()),
            ("aud", issuer),
            ("use", &key_use),
            ("device_key_sha256", &device_key_sha256),
        ];
        if proves_itself(&self.proof, &self.public_key, &expected) {
            return Ok(());
        }
        let detail = "this must be a tocsin-enrol+jwt by the new key itself";
        Err(Problem::new(ErrorCode::InvalidField, detail).with_field("proof"))
    }

    /// The authorization by the PIN, judged up to its signature: 403 `authorization_required` without one, 401
    /// `bad_signature` when it is not by the present PIN key's name, 422 when it is for something else, 401
    /// `clock_skew` when it is too old; nothing is counted.
    pub fn check_authorization(
        &self,
        device: &Device,
        issuer: &str,
        now: UnixMs,
        skew: DurationMs,
    ) -> Result<CheckedAuthorization, Problem> {
        let compact = self.authorization.as_deref().ok_or_else(Self::authorization_required)?;
        let jws =
            UnverifiedJws::parse(compact, TokenType::Key, KeyIdRule::Required).map_err(|_| not_by_pin())?;
        let pin =
            device.key(&KeyUse::Pin).filter(|pin| jws.kid() == Some(&pin.kid)).ok_or_else(not_by_pin)?;
        let (id, key_use) = (device.id.to_string(), self.key_use.to_string());
        let key_sha256 = base64url(self.thumbprint.as_bytes());
        let expected =
            [("iss", id.as_str()), ("aud", issuer), ("use", &key_use), ("key_sha256", &key_sha256)];
        let issued_at =
            jws.claims().numeric_date("iat").filter(|_| covers(&jws, &expected)).ok_or_else(|| {
                let detail = "this authorizes something else";
                Problem::new(ErrorCode::InvalidField, detail).with_field("authorization")
            })?;
        if now.since(issued_at).max(issued_at.since(now)) > skew {
            let detail = "the authorization is too old, or from a phone whose clock is off";
            return Err(Problem::new(ErrorCode::ClockSkew, detail).with_server_time(now));
        }
        Ok(CheckedAuthorization { key: pin.public_key, kid: pin.kid, jws, issued_at })
    }

    /// What a phone is told whose change nothing entitles to.
    pub fn authorization_required() -> Problem {
        let detail = "sign an authorization with the PIN, or without one name a transaction that this phone approved \
                      in the last ten minutes and that authorized nothing else";
        Problem::new(ErrorCode::AuthorizationRequired, detail)
    }

    /// The key to store.
    pub fn into_key(self, kid: KeyId, now: UnixMs) -> DeviceKey {
        let Self { key_use, public_key, thumbprint, .. } = self;
        DeviceKey { key_use, kid, public_key, thumbprint, registered_at: now }
    }
}

/// An authorization whose claims fit; whether the PIN was right is not known yet.
#[derive(Clone, Debug)]
pub struct CheckedAuthorization {
    jws: UnverifiedJws,
    key: PublicKey,
    kid: KeyId,
    issued_at: UnixMs,
}

impl CheckedAuthorization {
    /// Checks the signature: a public-key operation, for the signature pool. Answers with the PIN key's name and the
    /// time of the authorization.
    pub fn verify(self) -> Result<(KeyId, UnixMs), SignatureFault> {
        self.jws.verify(&self.key).map_err(|_| SignatureFault::WrongPin)?;
        Ok((self.kid, self.issued_at))
    }
}

fn not_by_pin() -> Problem {
    Problem::new(ErrorCode::BadSignature, "the authorization is not a tocsin-key+jwt by the present PIN key")
}

#[cfg(test)]
#[path = "key_proof_tests.rs"]
mod tests;
