//! Keys beside the `device` key: enrolling them, answering by them, changing them (sections 4, 8 and 10).

use serde_json::{Value, json};
use tocsin_model::Decision;

use super::challenge::Challenge;
use super::error::PhoneError;
use super::jose;
use super::key::{PhoneKey, hash};
use super::network::{PhoneReply, PhoneRequest};
use super::pin::PinKeystore;
use super::session::Phone;

/// A key beside the `device` key.
#[derive(Clone, Debug)]
pub(super) struct FurtherKey {
    pub(super) key_use: String,
    /// Its name, once the server has given it.
    pub(super) kid: Option<String>,
    pub(super) held: Held,
}

/// Where the private half is.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// Here.
    Kept(PhoneKey),
    /// In the PIN; of it only the enrolment's is known, until it is done.
    Derived { enrolling_pin: Option<String> },
}

/// How the user approves.
#[derive(Clone, Copy, Debug)]
pub enum Approval<'a> {
    /// By the phone alone.
    Device,
    /// By this PIN, right or wrong.
    Pin(&'a str),
    /// By the key of this use.
    Key(&'a str),
}

/// What entitles to a change of keys.
#[derive(Clone, Copy, Debug)]
pub enum Entitlement<'a> {
    /// Nothing.
    Nothing,
    /// The present PIN, right or wrong.
    Pin(&'a str),
    /// A transaction that this phone has accepted.
    Transaction(&'a str),
}

impl Phone {
    /// The phone with a PIN, to be enrolled.
    #[must_use]
    pub fn with_pin(mut self, pin: &str) -> Self {
        let held = Held::Derived { enrolling_pin: Some(pin.to_owned()) };
        self.further.push(FurtherKey { key_use: "pin".to_owned(), kid: None, held });
        self
    }

    /// The phone with a key of this use (`biometric`, `custom:<id>`), to be enrolled.
    #[must_use]
    pub fn with_key(mut self, key_use: &str) -> Self {
        let held = Held::Kept(PhoneKey::generate());
        self.further.push(FurtherKey { key_use: key_use.to_owned(), kid: None, held });
        self
    }

    /// The `keys` of its enrolment.
    pub(super) fn enrolment_keys(&self, activation_code: &str) -> Value {
        let mut keys = vec![json!({"use": "device", "jwk": self.key.jwk()})];
        for further in &self.further {
            let key = match &further.held {
                Held::Kept(key) => key.clone(),
                Held::Derived { enrolling_pin } => self.pin_key(enrolling_pin.as_deref().unwrap_or_default()),
            };
            let claims = json!({"aud": self.issuer, "iat": self.now_s(), "use": further.key_use,
                "activation_code_sha256": hash(activation_code.as_bytes()),
                "device_key_sha256": self.key.thumbprint()});
            let proof = jose::sign(&key, "tocsin-enrol+jwt", None, &claims);
            keys.push(json!({"use": further.key_use, "jwk": key.jwk(), "proof": proof}));
        }
        Value::Array(keys)
    }

    /// Learns the names of its keys, and forgets its PIN.
    pub(super) fn learn_kids(&mut self, kids: &Value) {
        for further in &mut self.further {
            further.kid = kids[&further.key_use].as_str().map(str::to_owned);
            if let Held::Derived { enrolling_pin } = &mut further.held {
                *enrolling_pin = None;
            }
        }
    }

    /// Signs and sends the decision; answers with the whole reply.
    pub async fn answer_by(
        &self,
        challenge: &Challenge,
        decision: Decision,
        approval: Approval<'_>,
        number: Option<&str>,
    ) -> Result<PhoneReply, PhoneError> {
        let mut claims = self.answer_claims(challenge, decision)?;
        claims.number = number.map(str::to_owned);
        let (key, kid) = match approval {
            Approval::Device => {
                let answer = self.sign_answer(&claims)?;
                return self.send_answer(&challenge.transaction_id, &answer).await;
            }
            Approval::Pin(pin) => (self.pin_key(pin), self.kid_of("pin")?),
            Approval::Key(key_use) => (self.kept(key_use)?, self.kid_of(key_use)?),
        };
        let answer = jose::sign(&key, "tocsin-answer+jwt", Some(&kid), &claims);
        let path = format!("/device/v1/transactions/{}/answer", challenge.transaction_id);
        self.call("POST", &path, json!({ "answer": answer }).to_string().into_bytes()).await
    }

    /// Signs an answer by the key of this use, to be sent without a proof or with another one.
    pub async fn send_answer_without_proof(
        &self,
        challenge: &Challenge,
        key_use: &str,
    ) -> Result<PhoneReply, PhoneError> {
        let claims = self.answer_claims(challenge, Decision::Accept)?;
        let answer =
            jose::sign(&self.kept(key_use)?, "tocsin-answer+jwt", Some(&self.kid_of(key_use)?), &claims);
        self.send_answer(&challenge.transaction_id, &answer).await
    }

    /// The phone in the hands of somebody who has not its key of this use, and signs by another under that one's name.
    #[must_use]
    pub fn forging(&self, key_use: &str) -> Self {
        let mut forger = self.clone();
        for further in forger.further.iter_mut().filter(|further| further.key_use == key_use) {
            further.held = Held::Kept(PhoneKey::generate());
        }
        forger
    }

    /// Adds or replaces the key of this use by `key`; on success the phone uses it.
    pub async fn put_key(
        &mut self,
        key_use: &str,
        key: &PhoneKey,
        entitlement: Entitlement<'_>,
    ) -> Result<PhoneReply, PhoneError> {
        let id = self.device_id().ok_or(PhoneError::NotEnrolled)?.to_owned();
        let proof = json!({"iss": id, "aud": self.issuer, "iat": self.now_s(), "use": key_use,
            "device_key_sha256": self.key.thumbprint()});
        let proof = jose::sign(key, "tocsin-enrol+jwt", None, &proof);
        let mut body = json!({"jwk": key.jwk(), "proof": proof});
        match entitlement {
            Entitlement::Nothing => {}
            Entitlement::Transaction(id) => body["authorized_by"] = json!(id),
            Entitlement::Pin(pin) => {
                let claims = json!({"iss": id, "aud": self.issuer, "iat": self.now_s(), "use": key_use,
                    "key_sha256": key.thumbprint()});
                let kid = self.kid_of("pin")?;
                let authorization = jose::sign(&self.pin_key(pin), "tocsin-key+jwt", Some(&kid), &claims);
                body["authorization"] = json!(authorization);
            }
        }
        let path = format!("/device/v1/keys/{key_use}");
        let reply = self.call("PUT", &path, body.to_string().into_bytes()).await?;
        if let Some(kid) = reply.body.get("kid").and_then(Value::as_str) {
            self.further.retain(|further| further.key_use != key_use);
            let held = match key_use {
                "pin" => Held::Derived { enrolling_pin: None },
                _ => Held::Kept(key.clone()),
            };
            self.further.push(FurtherKey { key_use: key_use.to_owned(), kid: Some(kid.to_owned()), held });
        }
        Ok(reply)
    }

    /// Removes the key of this use.
    pub async fn delete_key(&self, key_use: &str) -> Result<PhoneReply, PhoneError> {
        self.call("DELETE", &format!("/device/v1/keys/{key_use}"), Vec::new()).await
    }

    /// Sends the removal of a key with a proof of this time, in seconds since 1970.
    pub async fn delete_key_at(&self, key_use: &str, iat: f64) -> Result<PhoneReply, PhoneError> {
        let path = format!("/device/v1/keys/{key_use}");
        let mut claims = self.proof_claims("DELETE", &path, &[]);
        claims.iat = iat;
        let authorization = Some(self.sign_proof(&claims));
        self.send(PhoneRequest { method: "DELETE", path, authorization, body: Vec::new() }).await
    }

    /// The key that a PIN leads to on this phone.
    pub fn pin_key(&self, pin: &str) -> PhoneKey {
        self.keystore.pin_key(pin, &self.key.thumbprint_bytes())
    }

    /// The keystore of another phone, for a PIN that leads elsewhere.
    pub fn set_keystore(&mut self, keystore: PinKeystore) {
        self.keystore = keystore;
    }

    /// What its keys are for.
    pub(super) fn uses(&self) -> Vec<&str> {
        let further = self.further.iter().map(|further| further.key_use.as_str());
        std::iter::once("device").chain(further).collect()
    }

    fn further(&self, key_use: &str) -> Result<&FurtherKey, PhoneError> {
        self.further
            .iter()
            .find(|further| further.key_use == key_use)
            .ok_or(PhoneError::BadReply("the phone has no such key"))
    }

    fn kid_of(&self, key_use: &str) -> Result<String, PhoneError> {
        self.further(key_use)?.kid.clone().ok_or(PhoneError::NotEnrolled)
    }

    fn kept(&self, key_use: &str) -> Result<PhoneKey, PhoneError> {
        match &self.further(key_use)?.held {
            Held::Kept(key) => Ok(key.clone()),
            Held::Derived { .. } => Err(PhoneError::BadReply("the phone does not keep this key")),
        }
    }
}
