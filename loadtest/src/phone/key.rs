//! The phone's own key and the server's keys that it holds.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::EncodedPoint;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::point::AffineCoordinates as _;
use serde_json::{Value, json};

/// base64url without padding.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes whose only spelling is `text`.
pub(super) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// SHA-256 in base64url.
pub(super) fn hash(bytes: &[u8]) -> String {
    base64url(digest(&SHA256, bytes).as_ref())
}

/// Sixteen random bytes in base64url.
pub(super) fn random_text() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system always has randomness");
    base64url(&bytes)
}

/// A P-256 key pair of the phone.
#[derive(Clone)]
pub struct PhoneKey(SigningKey);

impl PhoneKey {
    /// A new random key.
    pub fn generate() -> Self {
        loop {
            let mut scalar = [0; 32];
            aws_lc_rs::rand::fill(&mut scalar).expect("the operating system always has randomness");
            // All but one in 2^32 values are below the order of the curve and not zero.
            if let Ok(key) = SigningKey::from_slice(&scalar) {
                return Self(key);
            }
        }
    }

    /// The key of a known scalar, for vectors; `None` when it is not one.
    pub fn from_scalar(scalar: &[u8]) -> Option<Self> {
        SigningKey::from_slice(scalar).ok().map(Self)
    }

    /// The public half as a JWK.
    pub fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_encoded_point(false);
        let half = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| base64url(bytes));
        json!({"kty": "EC", "crv": "P-256", "x": half(point.x()), "y": half(point.y())})
    }

    /// The public half as an uncompressed point (SEC 1).
    pub(super) fn point(&self) -> [u8; 65] {
        let mut point = [0; 65];
        point.copy_from_slice(self.0.verifying_key().to_encoded_point(false).as_bytes());
        point
    }

    /// The x coordinate of the point that this key shares with the public key `point`; `None` when that is none.
    pub(super) fn shared_x(&self, point: &[u8]) -> Option<[u8; 32]> {
        let public = p256::PublicKey::from_sec1_bytes(point).ok()?;
        let shared = public.to_projective() * **self.0.as_nonzero_scalar();
        Some(shared.to_affine().x().into())
    }

    /// The RFC 7638 thumbprint in base64url.
    pub fn thumbprint(&self) -> String {
        base64url(&self.thumbprint_bytes())
    }

    /// The RFC 7638 thumbprint.
    pub(super) fn thumbprint_bytes(&self) -> Vec<u8> {
        let jwk = self.jwk();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        digest(&SHA256, canonical.as_bytes()).as_ref().to_vec()
    }

    /// The signature over `message`, `r ‖ s`.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().to_vec()
    }
}

impl fmt::Debug for PhoneKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PhoneKey([redacted])")
    }
}

/// The server's keys as the enrolment or a published set told them: the only ones that the phone trusts.
#[derive(Clone, Debug, Default)]
pub struct ServerKeySet(BTreeMap<String, HeldKey>);

/// A server key, and from which second on it signs challenges no more.
#[derive(Clone, Debug)]
struct HeldKey {
    key: VerifyingKey,
    retired_at_s: Option<f64>,
}

impl ServerKeySet {
    /// Reads `server_keys`; `None` when one of them is not a P-256 JWK with a `kid`, or there is none.
    pub fn parse(jwks: &Value) -> Option<Self> {
        let keys: Option<BTreeMap<_, _>> = jwks.as_array()?.iter().map(parse_server_key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self)
    }

    /// Reads the `keys` of a published set, as [`ServerKeySet::parse`].
    pub(super) fn parse_published(entries: &Value) -> Option<Self> {
        let keys: Option<BTreeMap<_, _>> = entries.as_array()?.iter().map(parse_published_key).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self)
    }

    /// The hash `k` of an activation link over these keys.
    pub fn set_hash(&self) -> String {
        let mut thumbprints: Vec<String> = self.0.values().map(|held| thumbprint(&held.key)).collect();
        thumbprints.sort_unstable();
        hash(thumbprints.join(".").as_bytes())
    }

    /// The names of the keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether the key of this name no longer signs challenges at this second.
    pub(super) fn is_retired(&self, kid: &str, at_s: f64) -> bool {
        self.0.get(kid).and_then(|held| held.retired_at_s).is_some_and(|retired_at_s| retired_at_s <= at_s)
    }

    /// Whether `signature` over `message` is by the key named `kid`; `None` when the phone does not hold it.
    pub(super) fn verifies(&self, kid: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let key = &self.0.get(kid)?.key;
        let signature = Signature::from_slice(signature);
        Some(signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
    }
}

fn parse_server_key(jwk: &Value) -> Option<(String, HeldKey)> {
    let kid = jwk.get("kid").and_then(Value::as_str)?;
    Some((kid.to_owned(), HeldKey { key: parse_jwk(jwk)?, retired_at_s: None }))
}

fn parse_published_key(entry: &Value) -> Option<(String, HeldKey)> {
    let kid = entry.get("kid").and_then(Value::as_str)?;
    let retired_at_s = match entry.get("retired_at") {
        None => None,
        Some(at) => Some(at.as_f64()?),
    };
    Some((kid.to_owned(), HeldKey { key: parse_jwk(entry.get("jwk")?)?, retired_at_s }))
}

/// RFC 7638.
fn thumbprint(key: &VerifyingKey) -> String {
    let point = key.to_encoded_point(false);
    let half = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| base64url(bytes)).unwrap_or_default();
    let (x, y) = (half(point.x()), half(point.y()));
    hash(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes())
}

fn parse_jwk(jwk: &Value) -> Option<VerifyingKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if text("kty") != Some("EC") || text("crv") != Some("P-256") {
        return None;
    }
    let half =
        |name: &str| text(name).and_then(from_base64url).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let point = EncodedPoint::from_affine_coordinates(&half("x")?.into(), &half("y")?.into(), false);
    VerifyingKey::from_encoded_point(&point).ok()
}
