//! What phones are told of the server's keys: a JWS in general JSON serialization (RFC 7515, section 7.2.1), signed by
//! every key in it, so that a phone that holds any of them can follow.

use serde::Serialize;
use tocsin_model::UnixMs;

use super::{ServerKey, ServerKeyError};
use crate::device::encoding::{base64url, key_id_text};
use crate::device::jose::TokenType;
use crate::device::jwk::Jwk;

/// How long a set counts.
const LIFE_S: u64 = 30 * 24 * 60 * 60;

/// The claims. Times are whole seconds since 1970.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
    exp: u64,
    keys: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    kid: String,
    jwk: Jwk,
    not_before: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<u64>,
}

#[derive(Serialize)]
struct GeneralJws {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize)]
struct Signature {
    protected: String,
    signature: String,
}

/// The set of these keys, signed by each of them.
pub(super) fn signed(keys: &[&ServerKey], issuer: &str, now: UnixMs) -> Result<String, ServerKeyError> {
    let failed = |_| ServerKeyError::Crypto { attempt: "write out the set of keys" };
    let iat = now.get() / 1_000;
    let claims =
        Claims { iss: issuer, iat, exp: iat + LIFE_S, keys: keys.iter().map(|key| Entry::of(key)).collect() };
    let payload = base64url(&serde_json::to_vec(&claims).map_err(failed)?);
    let sign = |key: &&ServerKey| {
        let protected = key.protected(TokenType::Keys);
        key.signature(&protected, &payload).map(|signature| Signature { protected, signature })
    };
    let signatures = keys.iter().map(sign).collect::<Result<_, _>>()?;
    serde_json::to_string(&GeneralJws { payload, signatures }).map_err(failed)
}

impl Entry {
    fn of(key: &ServerKey) -> Self {
        Self {
            kid: key_id_text(&key.kid),
            jwk: Jwk::of(&key.public_key),
            not_before: key.not_before.get() / 1_000,
            retired_at: key.retired_at.map(|at| at.get() / 1_000),
        }
    }
}
