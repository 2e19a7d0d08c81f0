//! The signed proof of a phone's request (in the manner of RFC 9449, section 4.2): `Authorization: Tocsin <JWS>`.
//!
//! Three steps, each its own type: what was sent ([`UnverifiedProof`]), what fits this request and names a key
//! ([`CheckedProof`]), what that key signed ([`VerifiedProof`]). Whatever does not stand is `bad_proof`, one error
//! for all; the clock is judged last, because only a phone with a good key may learn ours. Replays are the
//! business of [`super::ReplayMemory`], the device's status that of [`check_may_call`].

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tocsin_model::{
    Device, DeviceId, DeviceStatus, DurationMs, ErrorCode, KeyId, KeyUse, Problem, PublicKey, UnixMs,
};

use super::claims::Claims;
use super::encoding::decode_array;
use super::jose::{KeyIdRule, TokenType, UnverifiedJws};
use super::jwk::sha256;

/// Longest `jti` in bytes.
const JTI_BYTES_MAX: usize = 128;

/// The request that a proof must fit.
#[derive(Clone, Copy, Debug)]
pub struct ProofRequest<'a> {
    /// The issuer: the base of every device call.
    pub issuer: &'a str,
    /// The HTTP method in capitals.
    pub method: &'a str,
    /// The path with its query, as on the request line; `htu` is the issuer followed by this.
    pub path_and_query: &'a str,
    /// The raw body; empty without one.
    pub body: &'a [u8],
}

/// Why a proof does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// It is missing, malformed, for another request, by an unknown key, not by its key, or a replay.
    Bad,
    /// It stands, but the phone's clock is too far from ours.
    ClockSkew {
        /// Our time, for the member `server_time` of the problem.
        server_time: UnixMs,
    },
    /// It stands, but this device has sent too many for now.
    TooMany {
        /// When to come back.
        retry_after: DurationMs,
    },
    /// It stands, but the memory of proofs is full.
    Busy,
}

impl ProofError {
    /// As the caller sees it.
    pub fn problem(self) -> Problem {
        match self {
            Self::Bad => {
                Problem::new(ErrorCode::BadProof, "the request needs a valid proof by the device key")
            }
            Self::ClockSkew { server_time } => Problem::new(
                ErrorCode::ClockSkew,
                "repeat the request with the clock offset that server_time shows",
            )
            .with_server_time(server_time),
            Self::TooMany { retry_after } => {
                Problem::new(ErrorCode::RateLimited, "this device sends too many requests")
                    .with_retry_after(retry_after)
            }
            Self::Busy => {
                Problem::new(ErrorCode::Busy, "the memory of proofs is full; repeat the request later")
            }
        }
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.problem(), formatter)
    }
}

impl std::error::Error for ProofError {}

/// What a proof is known by: the first half of the SHA-256 of its `jti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Jti([u8; 16]);

impl Jti {
    /// The digest of `text`; `None` when it is not 1 to 128 visible ASCII characters.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=JTI_BYTES_MAX).contains(&text.len());
        let mut half = [0; 16];
        half.copy_from_slice(&sha256(text.as_bytes())[..16]);
        (visible && fits).then_some(Self(half))
    }
}

/// A proof as it was sent.
#[derive(Clone, Debug)]
pub struct UnverifiedProof {
    jws: UnverifiedJws,
    issued_at: UnixMs,
    jti: Jti,
}

/// A proof that fits its request and names a key; whether that key signed it is not known yet.
#[derive(Clone, Debug)]
pub struct CheckedProof {
    proof: UnverifiedProof,
    key: PublicKey,
}

/// A proof that stands but for clock and replay.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    /// What it is known by, for [`super::ReplayMemory`].
    pub jti: Jti,
    /// Its `iat`.
    pub issued_at: UnixMs,
    /// The compact JWS, for the record of an answer.
    pub jws: Box<str>,
}

impl UnverifiedProof {
    /// Parses the `Authorization` header of an enrolled phone's request; `None` is a missing or unreadable one.
    pub fn parse(authorization: Option<&str>) -> Result<Self, ProofError> {
        Self::parse_by(authorization, KeyIdRule::Required)
    }

    /// Parses the `Authorization` header of an enrolment, whose key has no `kid` yet.
    pub fn parse_enrolling(authorization: Option<&str>) -> Result<Self, ProofError> {
        Self::parse_by(authorization, KeyIdRule::Absent)
    }

    fn parse_by(authorization: Option<&str>, rule: KeyIdRule) -> Result<Self, ProofError> {
        let (scheme, token) =
            authorization.and_then(|header| header.split_once(' ')).ok_or(ProofError::Bad)?;
        // RFC 9110, section 11.1: the name of a scheme has no case.
        if !scheme.eq_ignore_ascii_case("tocsin") {
            return Err(ProofError::Bad);
        }
        let jws = UnverifiedJws::parse(token, TokenType::Proof, rule).map_err(|_| ProofError::Bad)?;
        let issued_at = jws.claims().numeric_date("iat").ok_or(ProofError::Bad)?;
        let jti = jws.claims().text("jti").and_then(Jti::of).ok_or(ProofError::Bad)?;
        Ok(Self { jws, issued_at, jti })
    }

    /// The key that it names, to find its device by; `None` exactly at enrolment.
    pub fn kid(&self) -> Option<&KeyId> {
        self.jws.kid()
    }

    /// Checks the claims for a request by `device`, the owner of [`Self::kid`].
    pub fn check(self, device: &Device, request: ProofRequest<'_>) -> Result<CheckedProof, ProofError> {
        let key = self.kid().and_then(|kid| device.key_by_kid(kid)).ok_or(ProofError::Bad)?;
        let issuer = self.jws.claims().text("iss").and_then(|iss| iss.parse::<DeviceId>().ok());
        if key.key_use != KeyUse::Device || issuer != Some(device.id) {
            return Err(ProofError::Bad);
        }
        self.check_claims(request, key.public_key)
    }

    /// Checks the claims for an enrolment whose `device` key is `key`.
    pub fn check_enrolling(
        self,
        key: &PublicKey,
        request: ProofRequest<'_>,
    ) -> Result<CheckedProof, ProofError> {
        if self.jws.kid().is_some() || self.jws.claims().has("iss") {
            return Err(ProofError::Bad);
        }
        self.check_claims(request, *key)
    }

    fn check_claims(self, request: ProofRequest<'_>, key: PublicKey) -> Result<CheckedProof, ProofError> {
        let claims = self.jws.claims();
        let fits = claims.text("aud") == Some(request.issuer)
            && claims.text("htm") == Some(request.method)
            && claims.text("htu").is_some_and(|url| is_url_of(url, &request))
            && body_fits(claims, request.body);
        if fits { Ok(CheckedProof { proof: self, key }) } else { Err(ProofError::Bad) }
    }
}

/// Compared letter for letter: no case folding, no default port, no other spelling of an escape.
fn is_url_of(url: &str, request: &ProofRequest<'_>) -> bool {
    url.strip_prefix(request.issuer) == Some(request.path_and_query)
}

fn body_fits(claims: &Claims, body: &[u8]) -> bool {
    if body.is_empty() {
        return !claims.has("body_sha256");
    }
    let claimed = claims.text("body_sha256").and_then(decode_array::<32>);
    claimed.is_some_and(|claimed| verify_slices_are_equal(&claimed, &sha256(body)).is_ok())
}

impl CheckedProof {
    /// Checks the signature: a public-key operation, for the signature pool.
    pub fn verify(self) -> Result<VerifiedProof, ProofError> {
        let UnverifiedProof { jws, issued_at, jti } = self.proof;
        jws.verify(&self.key).map_err(|_| ProofError::Bad)?;
        Ok(VerifiedProof { jti, issued_at, jws: jws.as_str().into() })
    }
}

impl VerifiedProof {
    /// Whether its `iat` is at most `skew` away from `now`.
    pub fn check_clock(&self, now: UnixMs, skew: DurationMs) -> Result<(), ProofError> {
        let distance = now.since(self.issued_at).max(self.issued_at.since(now));
        if distance > skew { Err(ProofError::ClockSkew { server_time: now }) } else { Ok(()) }
    }
}

/// Whether a device whose proof stands may list, fetch and answer.
pub fn check_may_call(device: &Device) -> Result<(), Problem> {
    if device.status.may_answer() { Ok(()) } else { Err(device_refused(device.status)) }
}

/// What is told of a device that may not do this.
pub fn device_refused(status: DeviceStatus) -> Problem {
    let refused = match status {
        DeviceStatus::Active
        | DeviceStatus::Unreachable
        | DeviceStatus::Unconfirmed
        | DeviceStatus::Suspended => Problem::new(ErrorCode::DeviceInactive, "the device is not active now"),
        DeviceStatus::Revoked => {
            Problem::new(ErrorCode::DeviceRevoked, "the device was removed; enrol it again")
        }
    };
    refused.with_device_status(status)
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
