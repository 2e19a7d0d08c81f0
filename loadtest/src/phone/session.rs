//! The phone itself: enrols, lists, fetches and answers (sections 1, 3, 4, 5 and 8).

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tocsin_model::Decision;

use super::challenge::{Challenge, Expectation};
use super::claims::{AnswerClaims, ProofClaims};
use super::error::{PhoneError, Refusal};
use super::jose;
use super::key::{PhoneKey, ServerKeySet, hash, random_text};
use super::key_set;
use super::keys::FurtherKey;
use super::network::{PhoneNetwork, PhoneReply, PhoneRequest};
use super::pin::PinKeystore;
use super::seal::{Message, Sealed, parse_request_message};

const TRANSACTIONS: &str = "/device/v1/transactions";
const SERVER_KEYS: &str = "/device/v1/server-keys";
const OTP: &str = "/device/v1/otp";
const ENROLLMENTS: &str = "/device/v1/enrollments";

/// What a phone says of itself when it enrols.
#[derive(Clone, Debug)]
pub struct PhoneProfile {
    /// Its name.
    pub name: String,
    /// `ios`, `android` or `other`.
    pub platform: &'static str,
    /// The app, by its name in the server's configuration.
    pub app: String,
    /// The `push` object of the protocol.
    pub push: Value,
}

/// A phone; enrolled once the server has said who it is.
#[derive(Clone, Debug)]
pub struct Phone {
    network: PhoneNetwork,
    profile: PhoneProfile,
    /// Its challenges come sealed to this key.
    encryption_key: Option<PhoneKey>,
    pub(super) issuer: String,
    pub(super) key: PhoneKey,
    pub(super) further: Vec<FurtherKey>,
    pub(super) keystore: PinKeystore,
    enrolled: Option<Enrolled>,
    /// Server's clock minus this machine's, in seconds.
    clock_offset_s: f64,
}

#[derive(Clone, Debug)]
struct Enrolled {
    device_id: String,
    kid: String,
    server_keys: ServerKeySet,
    /// When the last published set that it took was made, in seconds.
    keys_iat_s: f64,
    confirmation_number: Option<String>,
}

impl Phone {
    /// A phone with a fresh key for the server whose issuer is `issuer`.
    pub fn new(network: PhoneNetwork, issuer: &str, profile: PhoneProfile) -> Self {
        let (issuer, key) = (issuer.to_owned(), PhoneKey::generate());
        Self {
            network,
            profile,
            issuer,
            key,
            encryption_key: None,
            further: Vec::new(),
            keystore: PinKeystore::generate(),
            enrolled: None,
            clock_offset_s: 0.0,
        }
    }

    /// The same phone with a fresh key that its challenges are to be sealed to.
    #[must_use]
    pub fn with_encryption_key(self) -> Self {
        Self { encryption_key: Some(PhoneKey::generate()), ..self }
    }

    /// The id that the server gave it.
    pub fn device_id(&self) -> Option<&str> {
        self.enrolled.as_ref().map(|enrolled| enrolled.device_id.as_str())
    }

    /// The number that it shows until its enrolment is confirmed, if it must be.
    pub fn confirmation_number(&self) -> Option<&str> {
        self.enrolled.as_ref()?.confirmation_number.as_deref()
    }

    /// The same phone in every word, with another key: what it signs is forged.
    pub fn impostor(&self) -> Self {
        Self { key: PhoneKey::generate(), ..self.clone() }
    }

    /// Sets its clock `offset_s` seconds away from this machine's.
    pub fn set_clock_offset(&mut self, offset_s: f64) {
        self.clock_offset_s = offset_s;
    }

    /// Registers with the activation code that a portal showed.
    pub async fn enrol(&mut self, activation_code: &str) -> Result<(), PhoneError> {
        let body = self.enrolment_body(activation_code).to_string().into_bytes();
        let mut reply = self.call("POST", ENROLLMENTS, body).await?.expect(201)?;
        if reply.get("issuer").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(PhoneError::BadReply("the issuer is another than the activation code's"));
        }
        let kid = reply.get("kids").and_then(|kids| kids.get("device")).and_then(Value::as_str);
        let kid = kid.ok_or(PhoneError::BadReply("the reply has no kid for the device key"))?.to_owned();
        self.learn_kids(reply.get("kids").unwrap_or(&Value::Null));
        let server_keys = reply.get("server_keys").and_then(ServerKeySet::parse);
        let server_keys = server_keys.ok_or(PhoneError::BadReply("the reply has no usable server_keys"))?;
        let device_id = take_text(&mut reply, "device_id")?;
        let confirmation_number = match reply.get("confirmation_number") {
            None => None,
            Some(_) => Some(take_text(&mut reply, "confirmation_number")?),
        };
        self.enrolled = Some(Enrolled { device_id, kid, server_keys, keys_iat_s: 0.0, confirmation_number });
        Ok(())
    }

    /// The body of its enrolment.
    pub fn enrolment_body(&self, activation_code: &str) -> Value {
        let PhoneProfile { name, platform, app, push } = &self.profile;
        let mut body = json!({"activation_code": activation_code, "name": name, "platform": platform, "app": app,
            "app_version": "1.0", "os_version": "1", "model": "simulated", "locale": "en", "capabilities": [],
            "push": push, "keys": self.enrolment_keys(activation_code)});
        if let Some(key) = &self.encryption_key {
            body["encryption_jwk"] = key.jwk();
        }
        body
    }

    /// What waits for an answer, newest first. A challenge that the phone must refuse fails the whole list.
    pub async fn list(&self) -> Result<Vec<Challenge>, PhoneError> {
        let reply = self.call("GET", TRANSACTIONS, Vec::new()).await?.expect(200)?;
        let items = reply.get("items").and_then(Value::as_array);
        let items = items.ok_or(PhoneError::BadReply("the list has no items"))?;
        items.iter().map(|item| self.read_item(item)).collect()
    }

    /// The challenge of one transaction.
    pub async fn fetch(&self, transaction_id: &str) -> Result<Challenge, PhoneError> {
        let path = format!("{TRANSACTIONS}/{transaction_id}");
        let reply = self.call("GET", &path, Vec::new()).await?.expect(200)?;
        let challenge = self.read_item(&Value::Object(reply))?;
        if challenge.transaction_id == transaction_id {
            Ok(challenge)
        } else {
            Err(PhoneError::BadReply("another transaction than asked for"))
        }
    }

    /// Claims the transaction of a one-time password for its user; answers with the challenge.
    pub async fn claim(&self, otp: &str) -> Result<Challenge, PhoneError> {
        let reply = self.send_claim(otp).await?.expect(200)?;
        self.read_item(&Value::Object(reply))
    }

    /// The same, with whatever the server replies.
    pub async fn send_claim(&self, otp: &str) -> Result<PhoneReply, PhoneError> {
        let body = json!({ "otp": otp }).to_string().into_bytes();
        self.call("POST", OTP, body).await
    }

    fn read_item(&self, item: &Value) -> Result<Challenge, PhoneError> {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let id = text("id").ok_or(PhoneError::BadReply("an item has no id"))?;
        match (item.get("sealed"), text("challenge")) {
            (Some(sealed), None) => {
                let sealed =
                    Sealed::parse(sealed).ok_or(PhoneError::BadReply("a seal without enc and ct"))?;
                self.read_sealed(&sealed, id)
            }
            (None, Some(compact)) => self.read_challenge(compact, Some(id)),
            _ => Err(PhoneError::BadReply("an item has not exactly one form of challenge")),
        }
    }

    /// Opens a sealed challenge and verifies it, or refuses it.
    pub fn read_sealed(&self, sealed: &Sealed, transaction_id: &str) -> Result<Challenge, PhoneError> {
        let opened = self.encryption_key.as_ref().and_then(|key| sealed.open(key, transaction_id));
        self.read_challenge(&opened.ok_or(Refusal::NotOurSeal)?, Some(transaction_id))
    }

    /// Reads a request message as it was scanned, and verifies its challenge, or refuses it.
    pub fn read_request_message(&self, text: &str) -> Result<Challenge, PhoneError> {
        match parse_request_message(text).ok_or(Refusal::NotCompact)? {
            (id, Message::Sealed(sealed)) => self.read_sealed(&sealed, &id),
            (id, Message::Signed(compact)) => self.read_challenge(&compact, Some(&id)),
        }
    }

    /// Verifies a challenge, or refuses it.
    pub fn read_challenge(
        &self,
        compact: &str,
        transaction_id: Option<&str>,
    ) -> Result<Challenge, PhoneError> {
        let Enrolled { device_id, server_keys, .. } = self.enrolled()?;
        let uses = self.uses();
        let expected =
            Expectation { issuer: &self.issuer, device_id, transaction_id, uses: &uses, now_s: self.now_s() };
        Ok(Challenge::verify(compact, server_keys, expected)?)
    }

    /// The server keys that it holds.
    pub fn server_keys(&self) -> Option<&ServerKeySet> {
        self.enrolled.as_ref().map(|enrolled| &enrolled.server_keys)
    }

    /// Asks for the server's keys and takes them, if the set passes.
    pub async fn follow_server_keys(&mut self) -> Result<(), PhoneError> {
        let set = self.call("GET", SERVER_KEYS, Vec::new()).await?.expect(200)?;
        self.take_server_keys(&Value::Object(set))
    }

    /// Takes a published set in place of the keys that it holds, or refuses it and keeps them.
    pub fn take_server_keys(&mut self, set: &Value) -> Result<(), PhoneError> {
        let now_s = self.now_s();
        let Enrolled { server_keys, keys_iat_s, .. } = self.enrolled()?;
        let taken = key_set::verify(set, server_keys, &self.issuer, *keys_iat_s, now_s)?;
        if let Some(enrolled) = &mut self.enrolled {
            (enrolled.server_keys, enrolled.keys_iat_s) = (taken.keys, taken.iat_s);
        }
        Ok(())
    }

    /// Signs and sends the decision; answers with the state that it made.
    pub async fn answer(&self, challenge: &Challenge, decision: Decision) -> Result<String, PhoneError> {
        self.answer_with(challenge, decision, None).await
    }

    /// As [`Phone::answer`], with the number that its user has entered.
    pub async fn answer_with(
        &self,
        challenge: &Challenge,
        decision: Decision,
        number: Option<&str>,
    ) -> Result<String, PhoneError> {
        let number = number.map(str::to_owned);
        let claims = AnswerClaims { number, ..self.answer_claims(challenge, decision)? };
        let answer = self.sign_answer(&claims)?;
        let mut reply = self.send_answer(&challenge.transaction_id, &answer).await?.expect(200)?;
        take_text(&mut reply, "state")
    }

    /// The claims of an answer that covers the screen of `challenge`.
    pub fn answer_claims(
        &self,
        challenge: &Challenge,
        decision: Decision,
    ) -> Result<AnswerClaims, PhoneError> {
        Ok(AnswerClaims {
            iss: self.enrolled()?.device_id.clone(),
            sub: challenge.transaction_id.clone(),
            aud: self.issuer.clone(),
            iat: self.now_s() as u64,
            nonce: challenge.nonce.clone(),
            dh: challenge.screen.digest(),
            decision: decision.as_str().to_owned(),
            number: None,
        })
    }

    /// Signs these claims as an answer.
    pub fn sign_answer(&self, claims: &AnswerClaims) -> Result<String, PhoneError> {
        Ok(jose::sign(&self.key, "tocsin-answer+jwt", Some(&self.enrolled()?.kid), claims))
    }

    /// Sends this text as an answer to the transaction of the path.
    pub async fn send_answer(&self, transaction_id: &str, answer: &str) -> Result<PhoneReply, PhoneError> {
        let path = format!("{TRANSACTIONS}/{transaction_id}/answer");
        let body = json!({ "answer": answer }).to_string().into_bytes();
        self.send(PhoneRequest { method: "POST", path, authorization: None, body }).await
    }

    /// The claims of a proof of this request.
    pub fn proof_claims(&self, method: &str, path: &str, body: &[u8]) -> ProofClaims {
        ProofClaims {
            iss: self.device_id().map(str::to_owned),
            aud: self.issuer.clone(),
            htm: method.to_owned(),
            htu: format!("{}{path}", self.issuer),
            iat: self.now_s(),
            jti: random_text(),
            body_sha256: (!body.is_empty()).then(|| hash(body)),
        }
    }

    /// Signs these claims as the value of an `Authorization` header.
    pub fn sign_proof(&self, claims: &ProofClaims) -> String {
        let kid = self.enrolled.as_ref().map(|enrolled| enrolled.kid.as_str());
        format!("Tocsin {}", jose::sign(&self.key, "tocsin-proof+jwt", kid, claims))
    }

    /// Sends a request with a good proof.
    pub async fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<PhoneReply, PhoneError> {
        let authorization = Some(self.sign_proof(&self.proof_claims(method, path, &body)));
        self.send(PhoneRequest { method, path: path.to_owned(), authorization, body }).await
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: PhoneRequest) -> Result<PhoneReply, PhoneError> {
        self.network.send(&self.issuer, request).await
    }

    fn enrolled(&self) -> Result<&Enrolled, PhoneError> {
        self.enrolled.as_ref().ok_or(PhoneError::NotEnrolled)
    }

    pub(super) fn now_s(&self) -> f64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_1970.as_secs_f64() + self.clock_offset_s
    }
}

fn take_text(reply: &mut Map<String, Value>, name: &'static str) -> Result<String, PhoneError> {
    match reply.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) | None => Err(PhoneError::BadReply(name)),
    }
}
