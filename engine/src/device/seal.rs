//! Sealing a challenge so that only its phone can read it: HPKE (RFC 9180) in base mode, single-shot, with
//! DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
//!
//! Every seal is another one, because its ephemeral key is random. One that left is therefore kept in a row beside
//! its transaction, so that push, fetch and request message carry the same bytes, also when the portal asks for the
//! push again and after a restart. The row is the only place: an open transaction holds no copy in memory, whose
//! challenge would take half of what it may cost; the start hands its copy to the first push and lets go of it.

use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{Hpke, HpkePublicKey};
use tocsin_model::{Problem, PublicKey, SealedChallenge, TransactionId};

use super::body::Fields;
use super::jwk::{parse_jwk, thumbprint, uncompressed_point};

/// What the seal is for, so that none made for another use can pass for one.
const INFO: &[u8] = b"tocsin/v1/challenge";

/// Why a challenge could not be sealed; no text of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the challenge could not be sealed to the phone's key")]
pub struct SealError;

/// Seals a compact JWS to the phone's encryption key. A public-key operation, for the signature pool.
pub fn seal_challenge(
    jws: &str,
    transaction: &TransactionId,
    key: &PublicKey,
) -> Result<SealedChallenge, SealError> {
    let recipient = HpkePublicKey(uncompressed_point(key).to_vec());
    let bound_to = transaction.to_string();
    let (encapsulated, ciphertext) = DH_KEM_P256_HKDF_SHA256_AES_256
        .seal(INFO, bound_to.as_bytes(), jws.as_bytes(), &recipient)
        .map_err(|_| SealError)?;
    Ok(SealedChallenge {
        to: thumbprint(key),
        encapsulated: encapsulated.0.try_into().map_err(|_| SealError)?,
        ciphertext: ciphertext.into(),
    })
}

/// Reads `encryption_jwk`, which may be missing. It must be none of the device's signing keys: one key has one use.
pub(crate) fn parse_encryption_jwk<'k>(
    fields: &Fields<'_>,
    signing_keys: impl IntoIterator<Item = &'k PublicKey>,
) -> Result<Option<PublicKey>, Problem> {
    const FIELD: &str = "encryption_jwk";
    if !fields.has(FIELD) {
        return Ok(None);
    }
    let jwk = fields.object(FIELD)?;
    let key = parse_jwk(jwk.members()).map_err(|error| fields.not_allowed(FIELD, error.to_string()))?;
    if signing_keys.into_iter().any(|signing| *signing == key) {
        return Err(fields.not_allowed(FIELD, "a key that signs must not be the one that decrypts"));
    }
    Ok(Some(key))
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
