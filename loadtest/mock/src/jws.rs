//! Compact JWS (RFC 7515) as the two providers read it.
//!
//! Written here on its own, over aws-lc, so that it shares no code with the signer under test. It knows
//! two algorithms and judges no claim.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1_024;

/// The signature algorithms that APNs and Google's token endpoint take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwsAlgorithm {
    /// ECDSA on P-256; the key is an uncompressed point.
    Es256,
    /// RSASSA-PKCS1-v1_5; the key is PKCS#1 DER.
    Rs256,
}

impl JwsAlgorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// A token taken apart but not yet believed.
pub(crate) struct Jws<'a> {
    header: Value,
    claims: Value,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes `token` apart; `None` if it is no compact JWS with JSON objects in its first two parts.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, claims) = signing_input.split_once('.')?;
        Some(Self {
            header: json_object(header)?,
            claims: json_object(claims)?,
            signing_input,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether the header names `algorithm` and nothing the reader would have to understand.
    pub(crate) fn is(&self, algorithm: JwsAlgorithm) -> bool {
        self.header["alg"] == algorithm.name() && self.header.get("crit").is_none()
    }

    /// The key id of the header.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.header["kid"].as_str()
    }

    /// A claim that is a string.
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims[claim].as_str()
    }

    /// A claim that is a whole number of seconds.
    pub(crate) fn seconds(&self, claim: &str) -> Option<u64> {
        self.claims[claim].as_u64()
    }

    /// Whether the signature is one by `public_key`.
    pub(crate) fn verifies(&self, algorithm: JwsAlgorithm, public_key: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm.verification(), public_key)
            .verify(self.signing_input.as_bytes(), &self.signature)
            .is_ok()
    }
}

fn json_object(part: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}
