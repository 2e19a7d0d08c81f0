//! The published set of the server's keys: a JWS in general JSON serialization (section 9).

use serde_json::{Map, Value};

use super::error::Refusal;
use super::jose;
use super::key::ServerKeySet;

/// Signatures that are looked at.
const SIGNATURES_MAX: usize = 64;

/// A set that passed.
pub(super) struct TakenSet {
    pub(super) keys: ServerKeySet,
    pub(super) iat_s: f64,
}

/// The set, if a signature verifies under a key that is held, the issuer fits, it is not older than the last one
/// and has not ended.
pub(super) fn verify(
    set: &Value,
    held: &ServerKeySet,
    issuer: &str,
    last_iat_s: f64,
    now_s: f64,
) -> Result<TakenSet, Refusal> {
    let claims = verified_claims(set, held)?;
    let second = |name: &str| claims.get(name).and_then(Value::as_f64).ok_or(Refusal::BadClaim("iat or exp"));
    let (iat_s, exp_s) = (second("iat")?, second("exp")?);
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(Refusal::NotForUs);
    }
    if iat_s < last_iat_s {
        return Err(Refusal::Outdated);
    }
    if exp_s <= now_s {
        return Err(Refusal::Expired);
    }
    let keys = claims.get("keys").and_then(ServerKeySet::parse_published);
    Ok(TakenSet { keys: keys.ok_or(Refusal::BadClaim("keys"))?, iat_s })
}

/// By the first signature of a key that is held; one that does not verify ends it.
fn verified_claims(set: &Value, held: &ServerKeySet) -> Result<Map<String, Value>, Refusal> {
    let payload = set.get("payload").and_then(Value::as_str).ok_or(Refusal::NotCompact)?;
    let signatures = set.get("signatures").and_then(Value::as_array).ok_or(Refusal::NotCompact)?;
    for entry in signatures.iter().take(SIGNATURES_MAX) {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).ok_or(Refusal::NotCompact);
        let compact = format!("{}.{payload}.{}", text("protected")?, text("signature")?);
        match jose::verify(&compact, "tocsin-keys+jwt", held) {
            Err(Refusal::UnknownKey) => {}
            verdict => return verdict,
        }
    }
    Err(Refusal::UnknownKey)
}
