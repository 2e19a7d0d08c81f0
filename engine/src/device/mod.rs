//! The device protocol: what phones and the server sign for each other, as pure functions over bytes and `now`.
//!
//! A call of a phone passes these types in order, so that cheap checks come before the signature and nothing
//! unverified can be mistaken for something verified:
//! [`UnverifiedProof`] → [`CheckedProof`] → [`VerifiedProof`] → [`ReplayMemory`], and
//! [`UnverifiedAnswer`] → [`CheckedAnswer`] → [`VerifiedAnswer`].
//! The middle step's `verify` costs a public-key operation and belongs on the [`SignaturePool`].
//!
//! Not here: HTTP, storage and the actors. The protocol itself is told in `docs/device-protocol.md`.

mod answer;
mod body;
mod challenge;
mod claims;
mod encoding;
mod enrolment;
mod jose;
mod jwk;
mod key_proof;
mod otp;
mod proof;
mod replay;
mod request_message;
mod seal;
mod server_keys;
mod signature_pool;
mod wrong_codes;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod vectors;

pub use answer::{AnswerContext, CheckedAnswer, SignatureFault, UnverifiedAnswer, VerifiedAnswer};
pub use body::is_line;
pub use challenge::{Shown, challenge_payload, check_challenge_size, check_size_for_any_claimer};
pub use encoding::{base64url, key_id_text, nonce_text};
pub(crate) use encoding::{decode, decode_array};
pub use enrolment::{ActivationCode, EnrolmentLimits, EnrolmentRequest, KeyProofs};
pub(crate) use enrolment::{parse_profile_change, parse_push_target};
pub use jose::{JoseError, KeyIdRule, TokenType, UnverifiedJws};
pub use jwk::{Jwk, JwkError, thumbprint};
pub use key_proof::{CheckedAuthorization, KeyChangeRequest};
pub use otp::otp_hash;
pub(crate) use otp::parse_otp;
pub use proof::{
    CheckedProof, Jti, ProofError, ProofRequest, UnverifiedProof, VerifiedProof, check_may_call,
    device_refused,
};
pub use replay::{ReplayLimits, ReplayMemory};
pub use request_message::request_message;
pub use seal::{SealError, seal_challenge};
pub use server_keys::{
    KeyLives, KeyRing, RotationRefused, SealFault, ServerJwk, ServerKey, ServerKeyError, ServerKeys, Start,
    key_set_hash, unique_key_pair,
};
pub use signature_pool::{SignaturePool, SignaturePoolError};
pub use wrong_codes::WrongCodes;
