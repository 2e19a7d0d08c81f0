//! Compact JWS (RFC 7515) under the one profile of the device protocol (RFC 8725): ES256 and nothing else.
//!
//! Parsing and verifying are two steps: a parsed [`UnverifiedJws`] tells which key to look up and lets its claims
//! be compared, at the price of a hash or less; [`UnverifiedJws::verify`] costs a public-key operation. High-s
//! signatures are accepted (RFC 7518 does not forbid them), so a JWS is never an identity: compare claims.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use tocsin_model::{KeyId, PublicKey};

use super::claims::Claims;
use super::encoding::{decode, decode_array, parse_key_id};
use super::jwk::uncompressed_point;

/// Longest compact JWS in bytes.
pub(crate) const COMPACT_BYTES_MAX: usize = 8 * 1024;

/// Header members that bring a key or change what is signed; a JWS with one of them is refused.
const FORBIDDEN_HEADER_MEMBERS: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "crit", "b64"];

/// What a JWS is for, as its `typ` says; compared letter for letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// The proof of a request.
    Proof,
    /// The proof of a further key.
    Enrol,
    /// What entitles to a change of keys.
    Key,
    /// What the server asks a phone.
    Challenge,
    /// What a phone answers.
    Answer,
    /// What the server tells of its keys.
    Keys,
}

impl TokenType {
    /// The `typ` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proof => "tocsin-proof+jwt",
            Self::Enrol => "tocsin-enrol+jwt",
            Self::Key => "tocsin-key+jwt",
            Self::Challenge => "tocsin-challenge+jwt",
            Self::Answer => "tocsin-answer+jwt",
            Self::Keys => "tocsin-keys+jwt",
        }
    }
}

/// Whether the header names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyIdRule {
    /// It must.
    Required,
    /// It must not: the server has not named the key yet.
    Absent,
}

/// Why a text is not a JWS of the profile. For tests and counters; callers are told one error for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoseError {
    /// Longer than 8 KiB.
    TooLarge,
    /// Not three parts joined by dots.
    NotCompact,
    /// A part is not canonical base64url without padding.
    NotBase64Url,
    /// The header is not a JSON object with each name once.
    BadHeader,
    /// The header has a member that brings a key or changes what is signed.
    ForbiddenHeader,
    /// `alg` is not `ES256`.
    WrongAlgorithm,
    /// `typ` is not the one of this use.
    WrongType,
    /// `kid` is missing.
    KeyIdMissing,
    /// There is a `kid` where no key has one yet.
    KeyIdUnexpected,
    /// `kid` is not one of ours.
    BadKeyId,
    /// The payload is not a JSON object with each name once.
    BadPayload,
    /// The signature is not 64 bytes.
    BadSignatureLength,
}

/// A JWS of the profile whose signature nobody has checked yet.
#[derive(Clone)]
pub struct UnverifiedJws {
    compact: Box<str>,
    signing_input_bytes: usize,
    kid: Option<KeyId>,
    payload: Claims,
    signature: [u8; 64],
}

/// The signature is not by this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignatureMismatch;

impl UnverifiedJws {
    /// Parses `compact`, which must be of type `typ`.
    pub fn parse(compact: &str, typ: TokenType, rule: KeyIdRule) -> Result<Self, JoseError> {
        if compact.len() > COMPACT_BYTES_MAX {
            return Err(JoseError::TooLarge);
        }
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(JoseError::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JoseError::NotCompact)?;
        if payload.contains('.') {
            return Err(JoseError::NotCompact);
        }
        let header = decode(header).ok_or(JoseError::NotBase64Url)?;
        let kid = check_header(&header, typ, rule)?;
        let payload = decode(payload).ok_or(JoseError::NotBase64Url)?;
        let payload = Claims::parse(&payload).ok_or(JoseError::BadPayload)?;
        if signature.len() != 86 {
            return Err(JoseError::BadSignatureLength);
        }
        let signature = decode_array(signature).ok_or(JoseError::NotBase64Url)?;
        Ok(Self {
            compact: compact.into(),
            signing_input_bytes: signing_input.len(),
            kid,
            payload,
            signature,
        })
    }

    /// The key that the header names; `Some` exactly under [`KeyIdRule::Required`].
    pub fn kid(&self) -> Option<&KeyId> {
        self.kid.as_ref()
    }

    /// The claims, unverified.
    pub(crate) fn claims(&self) -> &Claims {
        &self.payload
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.compact
    }

    /// Checks the signature: a public-key operation, for the signature pool.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), SignatureMismatch> {
        let signing_input = &self.compact.as_bytes()[..self.signing_input_bytes];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed_point(key))
            .verify(signing_input, &self.signature)
            .map_err(|_| SignatureMismatch)
    }
}

impl fmt::Debug for UnverifiedJws {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UnverifiedJws").field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn check_header(header: &[u8], typ: TokenType, rule: KeyIdRule) -> Result<Option<KeyId>, JoseError> {
    let header = Claims::parse(header).ok_or(JoseError::BadHeader)?;
    if FORBIDDEN_HEADER_MEMBERS.iter().any(|name| header.has(name)) {
        return Err(JoseError::ForbiddenHeader);
    }
    if header.text("alg") != Some("ES256") {
        return Err(JoseError::WrongAlgorithm);
    }
    if header.text("typ") != Some(typ.as_str()) {
        return Err(JoseError::WrongType);
    }
    match (rule, header.has("kid")) {
        (KeyIdRule::Absent, false) => Ok(None),
        (KeyIdRule::Absent, true) => Err(JoseError::KeyIdUnexpected),
        (KeyIdRule::Required, false) => Err(JoseError::KeyIdMissing),
        (KeyIdRule::Required, true) => {
            header.text("kid").and_then(parse_key_id).map(Some).ok_or(JoseError::BadKeyId)
        }
    }
}

#[cfg(test)]
#[path = "jose_tests.rs"]
mod tests;
