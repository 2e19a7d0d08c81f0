//! Public keys as JWK (RFC 7517; RFC 7518, section 6.2.1) and their thumbprints (RFC 7638): P-256 only.
//!
//! A [`PublicKey`] that came out of here is a point of the curve. Members other than `kty`, `crv`, `x` and `y`
//! are ignored, but a key that carries its private half (`d`) is refused: it is no longer a secret.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use serde::Serialize;
use serde_json::{Map, Value};
use tocsin_model::{PublicKey, Thumbprint};

use super::encoding::{base64url, decode_array};

/// The wire form of a P-256 public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jwk {
    crv: &'static str,
    kty: &'static str,
    x: String,
    y: String,
}

/// Why a JSON value is not a P-256 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwkError {
    /// `kty` is not `EC` or `crv` is not `P-256`.
    NotP256,
    /// `x` or `y` is not 32 bytes in base64url without padding.
    BadCoordinate,
    /// It holds the private half, `d`.
    PrivateKey,
    /// The point is not on the curve.
    NotOnCurve,
}

impl fmt::Display for JwkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotP256 => "the key needs kty EC and crv P-256",
            Self::BadCoordinate => "x and y are 32 bytes each, in base64url without padding",
            Self::PrivateKey => "the private half d must never leave the phone; make a new key",
            Self::NotOnCurve => "the point is not on the curve P-256",
        })
    }
}

impl std::error::Error for JwkError {}

impl Jwk {
    /// The wire form of `key`.
    pub fn of(key: &PublicKey) -> Self {
        Self { crv: "P-256", kty: "EC", x: base64url(&key.x), y: base64url(&key.y) }
    }
}

/// Reads a P-256 public key and makes sure that it is on the curve.
pub(crate) fn parse_jwk(members: &Map<String, Value>) -> Result<PublicKey, JwkError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    if members.contains_key("d") {
        return Err(JwkError::PrivateKey);
    }
    if text("kty") != Some("EC") || text("crv") != Some("P-256") {
        return Err(JwkError::NotP256);
    }
    let coordinate = |name| text(name).and_then(decode_array).ok_or(JwkError::BadCoordinate);
    let key = PublicKey { x: coordinate("x")?, y: coordinate("y")? };
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed_point(&key))
        .map_err(|_| JwkError::NotOnCurve)?;
    Ok(key)
}

/// The RFC 7638 SHA-256 thumbprint: the required members in lexicographic order, without white space.
pub fn thumbprint(key: &PublicKey) -> Thumbprint {
    let Jwk { crv, kty, x, y } = Jwk::of(key);
    let canonical = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#);
    Thumbprint::from_bytes(sha256(canonical.as_bytes()))
}

/// SEC 1, section 2.3.3: `04 ‖ x ‖ y`.
pub(crate) fn uncompressed_point(key: &PublicKey) -> [u8; 65] {
    let mut point = [4; 65];
    point[1..33].copy_from_slice(&key.x);
    point[33..].copy_from_slice(&key.y);
    point
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::TestKey;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<PublicKey, JwkError> {
        parse_jwk(value.as_object().expect("an object"))
    }

    #[test]
    fn a_key_survives_its_wire_form() {
        let key = TestKey::from_label("phone").public_key();
        let wire = serde_json::to_value(Jwk::of(&key)).expect("serialises");
        assert_eq!(parse(wire), Ok(key));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // The key of RFC 7515, appendix A.3; its thumbprint computed apart, by jwcrypto.
        let key = parse(json!({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}))
        .expect("on the curve");
        assert_eq!(base64url(thumbprint(&key).as_bytes()), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }

    #[test]
    fn what_is_not_a_p256_public_key_is_refused() {
        let key = TestKey::from_label("phone").public_key();
        let good = serde_json::to_value(Jwk::of(&key)).expect("serialises");
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            parse(changed)
        };
        let long = base64url(&[1; 33]);
        for (name, value, error) in [
            ("kty", json!("OKP"), JwkError::NotP256),
            ("crv", json!("P-384"), JwkError::NotP256),
            ("crv", json!(1), JwkError::NotP256),
            ("x", json!(long), JwkError::BadCoordinate),
            ("x", json!(null), JwkError::BadCoordinate),
            ("y", json!(format!("{}=", base64url(&key.y))), JwkError::BadCoordinate),
            ("x", json!(base64url(&[0xff; 32])), JwkError::NotOnCurve),
            ("y", json!(base64url(&key.x)), JwkError::NotOnCurve),
            ("d", json!("AAAA"), JwkError::PrivateKey),
        ] {
            assert_eq!(with(name, value.clone()), Err(error), "{name} {value}");
        }
        assert_eq!(with("alg", json!("whatever")), Ok(key));
    }

    proptest! {
        #[test]
        fn arbitrary_points_never_panic(x: [u8; 32], y: [u8; 32]) {
            let wire = serde_json::to_value(Jwk::of(&PublicKey { x, y })).expect("serialises");
            prop_assert_eq!(parse(wire), Err(JwkError::NotOnCurve));
        }
    }
}
