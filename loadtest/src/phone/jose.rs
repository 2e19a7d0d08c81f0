//! Compact JWS by the profile of the device protocol, section 2.

use serde_json::{Map, Value, json};

use super::error::Refusal;
use super::json::parse_object;
use super::key::{PhoneKey, ServerKeySet, base64url, from_base64url};

/// Longest compact JWS in bytes.
const JWS_BYTES_MAX: usize = 8_192;
/// Header members that no JWS of the protocol may have.
const FORBIDDEN: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "crit", "b64"];

/// A compact JWS over `claims`.
pub(super) fn sign(key: &PhoneKey, typ: &str, kid: Option<&str>, claims: &impl serde::Serialize) -> String {
    let mut header = json!({"alg": "ES256", "typ": typ});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let payload = serde_json::to_vec(claims).expect("claims of strings and numbers always serialise");
    let input = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(&payload));
    let signature = base64url(&key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// The `kid` in the header of a JWS, if it has a readable one; nothing of it is verified.
pub(super) fn kid_of(compact: &str) -> Option<String> {
    let header = parse_object(&from_base64url(compact.split('.').next()?)?)?;
    header.get("kid").and_then(Value::as_str).map(str::to_owned)
}

/// The claims of a JWS of type `typ` by one of the server's keys.
pub(super) fn verify(compact: &str, typ: &str, keys: &ServerKeySet) -> Result<Map<String, Value>, Refusal> {
    if compact.len() > JWS_BYTES_MAX {
        return Err(Refusal::NotCompact);
    }
    let parts: Vec<&str> = compact.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(Refusal::NotCompact) };
    let bytes = |part| from_base64url(part).ok_or(Refusal::NotCompact);
    let (header_bytes, payload_bytes, signature_bytes) = (bytes(header)?, bytes(payload)?, bytes(signature)?);
    let kid = check_header(&header_bytes, typ)?;
    let message = &compact.as_bytes()[..header.len() + 1 + payload.len()];
    match keys.verifies(&kid, message, &signature_bytes) {
        None => Err(Refusal::UnknownKey),
        Some(false) => Err(Refusal::BadSignature),
        Some(true) => parse_object(&payload_bytes).ok_or(Refusal::NotStrictJson),
    }
}

fn check_header(header: &[u8], typ: &str) -> Result<String, Refusal> {
    let members = parse_object(header).ok_or(Refusal::NotStrictJson)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let in_profile = text("alg") == Some("ES256") && text("typ") == Some(typ);
    if !in_profile || FORBIDDEN.iter().any(|name| members.contains_key(*name)) {
        return Err(Refusal::BadHeader);
    }
    text("kid").map(str::to_owned).ok_or(Refusal::BadHeader)
}
