//! A phone with a real key, which knows the device door by its address only.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use crate::http::{Answer, Call};

/// A key of a phone.
pub struct PhoneKey(SigningKey);

/// An enrolled phone.
pub struct Phone {
    pub key: PhoneKey,
    pub device_id: String,
    pub kid: String,
    pub enrolled: Value,
    address: SocketAddr,
    issuer: String,
}

/// What a proof says.
#[derive(Clone, Debug)]
pub struct Proof {
    pub header: Value,
    pub claims: Value,
}

impl PhoneKey {
    pub fn generate() -> Self {
        let secret: [u8; 32] = random();
        Self(SigningKey::from_slice(&secret).expect("a scalar"))
    }

    pub fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_encoded_point(false);
        let coordinate =
            |bytes: Option<&p256::FieldBytes>| URL_SAFE_NO_PAD.encode(bytes.expect("uncompressed"));
        json!({"kty": "EC", "crv": "P-256", "x": coordinate(point.x()), "y": coordinate(point.y())})
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature: Signature = self.0.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    pub fn authorization(&self, proof: &Proof) -> String {
        format!("Tocsin {}", self.sign(&proof.header, &proof.claims))
    }
}

/// The body of an enrolment with this key.
pub fn enrolment_body(code: &str, key: &PhoneKey) -> Value {
    let token: String = random::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "activation_code": code, "name": "Alice's phone", "platform": "ios", "app": "bank", "app_version": "1.0",
        "os_version": "26.1", "model": "iPhone17,1", "locale": "en", "capabilities": [],
        "push": {"kind": "apns", "value": token, "environment": "production"},
        "keys": [{"use": "device", "jwk": key.jwk()}],
    })
}

/// A proof of a phone that is not enrolled yet.
pub fn fresh_proof(issuer: &str, method: &str, path: &str, body: &[u8]) -> Proof {
    let mut claims = json!({
        "aud": issuer, "htm": method, "htu": format!("{issuer}{path}"), "iat": now_s(),
        "jti": URL_SAFE_NO_PAD.encode(random::<16>()),
    });
    if !body.is_empty() {
        claims["body_sha256"] = json!(sha256(body));
    }
    Proof { header: json!({"alg": "ES256", "typ": "tocsin-proof+jwt"}), claims }
}

/// Sends an enrolment.
pub async fn send_enrolment(address: SocketAddr, issuer: &str, key: &PhoneKey, body: &Value) -> Answer {
    let path = "/device/v1/enrollments";
    let text = body.to_string();
    let authorization = key.authorization(&fresh_proof(issuer, "POST", path, text.as_bytes()));
    let call = Call::new("POST", address, path).header("authorization", &authorization);
    call.text("application/json", text).send().await
}

impl Phone {
    pub async fn enrol(address: SocketAddr, issuer: &str, code: &str) -> Self {
        let key = PhoneKey::generate();
        let enrolled = send_enrolment(address, issuer, &key, &enrolment_body(code, &key)).await.expect(201);
        Self::of(address, issuer, key, enrolled)
    }

    /// The phone that was answered so when it enrolled.
    pub fn of(address: SocketAddr, issuer: &str, key: PhoneKey, enrolled: Value) -> Self {
        Self {
            device_id: enrolled["device_id"].as_str().expect("an id").to_owned(),
            kid: enrolled["kids"]["device"].as_str().expect("a kid").to_owned(),
            issuer: issuer.to_owned(),
            address,
            enrolled,
            key,
        }
    }

    /// The same phone, which finds the device door elsewhere.
    pub fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    pub fn proof(&self, method: &str, path: &str, body: &[u8]) -> Proof {
        let mut proof = fresh_proof(&self.issuer, method, path, body);
        proof.header["kid"] = json!(self.kid);
        proof.claims["iss"] = json!(self.device_id);
        proof
    }

    pub async fn get_with(&self, path: &str, proof: &Proof) -> Answer {
        let authorization = self.key.authorization(proof);
        Call::new("GET", self.address, path).header("authorization", &authorization).send().await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &self.proof("GET", path, b"")).await
    }

    /// The claims of the challenge.
    pub async fn challenge(&self, id: &str) -> Value {
        let fetched = self.get(&format!("/device/v1/transactions/{id}")).await.expect(200);
        claims_of(fetched["challenge"].as_str().expect("a challenge"))
    }

    /// The claims of an answer to a challenge.
    pub fn answer_claims(&self, challenge: &Value, decision: &str) -> Value {
        json!({
            "iss": self.device_id, "sub": challenge["sub"], "aud": self.issuer, "iat": now_s(),
            "nonce": challenge["nonce"], "dh": digest_of_shown(challenge), "decision": decision,
        })
    }

    pub fn sign_answer(&self, claims: &Value) -> String {
        self.key.sign(&json!({"alg": "ES256", "typ": "tocsin-answer+jwt", "kid": self.kid}), claims)
    }

    pub async fn send_answer(&self, id: &str, jws: &str) -> Answer {
        let path = format!("/device/v1/transactions/{id}/answer");
        Call::new("POST", self.address, &path).json(&json!({"answer": jws})).send().await
    }

    /// Fetches, decides and sends.
    pub async fn decide(&self, id: &str, decision: &str) -> Answer {
        let challenge = self.challenge(id).await;
        self.send_answer(id, &self.sign_answer(&self.answer_claims(&challenge, decision))).await
    }
}

/// The payload of a compact JWS.
pub fn claims_of(jws: &str) -> Value {
    let payload = jws.split('.').nth(1).expect("a compact JWS");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// `dh` of what a challenge shows.
pub fn digest_of_shown(challenge: &Value) -> String {
    let names =
        ["type", "user", "app", "title", "message", "secure_message", "details", "hidden_details", "context"];
    let shown: serde_json::Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), challenge.get(name)?.clone()))).collect();
    digest_of(&Value::Object(shown))
}

/// The digest of an object in its canonical form.
pub fn digest_of(value: &Value) -> String {
    sha256(&serde_json_canonicalizer::to_vec(value).expect("canonical"))
}

pub fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    bytes
}
