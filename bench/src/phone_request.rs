//! A request of a phone with its proof, as an enrolment has it: signed by a key that the server does not name yet.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use tocsin_engine::device::{ProofRequest, base64url};
use tocsin_model::PublicKey;

const ISSUER: &str = "http://127.0.0.1:8441";
const METHOD: &str = "POST";
const PATH: &str = "/device/v1/transactions/01913f00-1122-8b7f-bfff-ffffffffffff/answer";

/// A signed request.
#[derive(Debug)]
pub struct PhoneRequest {
    authorization: String,
    signed: String,
    body: Vec<u8>,
    key: PublicKey,
}

impl PhoneRequest {
    /// One by this key.
    pub fn signed_by(pair: &EcdsaKeyPair) -> Self {
        let body = vec![b'y'; 700];
        let header = json!({"alg": "ES256", "typ": "tocsin-proof+jwt"});
        let claims = json!({
            "aud": ISSUER, "htm": METHOD, "htu": format!("{ISSUER}{PATH}"), "iat": 1_800_000_000,
            "jti": "0123456789abcdef0123456789abcdef",
            "body_sha256": base64url(digest(&SHA256, &body).as_ref()),
        });
        let part = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("a good key signs");
        let authorization = format!("Tocsin {signed}.{}", base64url(signature.as_ref()));
        Self { authorization, signed, body, key: public_half(pair) }
    }

    /// Its `Authorization`.
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// What the signature is over.
    pub fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// The key that signed it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The request as the door sees it.
    pub fn request(&self) -> ProofRequest<'_> {
        ProofRequest { issuer: ISSUER, method: METHOD, path_and_query: PATH, body: &self.body }
    }
}

/// SEC 1 gives `04`, then x, then y.
fn public_half(pair: &EcdsaKeyPair) -> PublicKey {
    let point = pair.public_key().as_ref();
    let coordinate = |from: usize| point[from..from + 32].try_into().expect("32 bytes");
    PublicKey { x: coordinate(1), y: coordinate(33) }
}
