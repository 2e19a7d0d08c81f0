//! What a phone may ask while it waits, is suspended, is too old or was removed, and what it has of others' pushes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank, with_configured_bank};
use crate::http::{Answer, Call};
use crate::phone::{Phone, PhoneKey, digest_of, enrolment_body, send_enrolment};

fn with_app_keys(keys: &'static str, test: impl AsyncFnOnce(Bank)) {
    let change = |text: &str| text.replace("[apps.bank]\n", &format!("[apps.bank]\n{keys}\n"));
    with_configured_bank(change, |bank| async move { test(bank).await });
}

/// Every call but those that read and remove the phone's own record.
const CALLS: [(&str, &str); 7] = [
    ("GET", "/device/v1/transactions"),
    ("GET", "/device/v1/transactions/01913f00-1122-8b7f-bfff-ffffffffffff"),
    ("GET", "/device/v1/server-keys"),
    ("PUT", "/device/v1/push"),
    ("PATCH", "/device/v1/device"),
    ("PUT", "/device/v1/keys/biometric"),
    ("DELETE", "/device/v1/keys/biometric"),
];

const OWN: &str = "/device/v1/device";

/// The present time, and with each call two milliseconds more.
fn later_and_later() -> f64 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since_1970.as_secs_f64() + f64::from(CALLS.fetch_add(1, Ordering::Relaxed)) * 0.002
}

/// A body that would be taken from a phone in use.
fn body_of(phone: &Phone, path: &str) -> Option<Value> {
    match path {
        "/device/v1/push" => Some(json!({"kind": "none"})),
        OWN => Some(json!({"name": "Mine"})),
        "/device/v1/keys/biometric" => Some(phone.new_key("biometric", &PhoneKey::generate())),
        _ => None,
    }
}

impl Phone {
    /// A call whose proof is above every one before it.
    async fn ask(&self, bank: &Bank, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut proof = self.proof(method, path, text.as_bytes());
        proof.claims["iat"] = json!(later_and_later());
        let call = bank.device(method, path).header("authorization", &self.key.authorization(&proof));
        match body {
            Some(_) => call.text("application/json", text).send().await,
            None => call.send().await,
        }
    }

    /// The body that brings another key.
    fn new_key(&self, key_use: &str, key: &PhoneKey) -> Value {
        let claims = json!({"iss": self.device_id, "aud": self.enrolled["issuer"], "iat": crate::phone::now_s(),
            "use": key_use, "device_key_sha256": digest_of(&self.key.jwk())});
        let header = json!({"alg": "ES256", "typ": "tocsin-enrol+jwt"});
        json!({"jwk": key.jwk(), "proof": key.sign(&header, &claims)})
    }

    /// Holds that every call is refused with this code and status of the device.
    async fn expect_refused(&self, bank: &Bank, code: &str, status: &str) {
        for (method, path) in CALLS {
            let body = body_of(self, path).filter(|_| method != "DELETE");
            let refused = self.ask(bank, method, path, body.as_ref()).await;
            let problem = refused.expect_problem(403, code, None);
            assert_eq!(problem["device_status"], status, "{method} {path}");
        }
    }

    /// Holds that an answer by the phone's own key is refused so, and that a forged one tells nothing.
    async fn expect_answer_refused(&self, id: &str, answer: &str, code: &str, status: &str) {
        let problem = self.send_answer(id, answer).await.expect_problem(403, code, None);
        assert_eq!(problem["device_status"], status);
        let header = json!({"alg": "ES256", "typ": "tocsin-answer+jwt", "kid": self.kid});
        let forged = PhoneKey::generate().sign(&header, &crate::phone::claims_of(answer));
        self.send_answer(id, &forged).await.expect_problem(401, "bad_proof", None);
    }
}

#[test]
fn a_suspended_phone_reads_its_own_record_and_leaves_and_no_more() {
    with_app_keys("biometric = true", async |bank| {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let answer = phone.sign_answer(&phone.answer_claims(&phone.challenge(&id).await, "accept"));
        let path = format!("/v1/users/alice/devices/{}", phone.device_id);
        let suspend = json!({"status": "suspended"});
        bank.portal("PATCH", &path).json(&suspend).send().await.expect(200);
        phone.expect_refused(&bank, "device_inactive", "suspended").await;
        phone.expect_answer_refused(&id, &answer, "device_inactive", "suspended").await;
        assert_eq!(phone.get(OWN).await.expect(200)["device_status"], "suspended");
        phone.ask(&bank, "DELETE", OWN, None).await.expect(204);
    });
}

#[test]
fn a_phone_that_waits_for_its_number_reads_its_own_record_and_leaves_and_no_more() {
    with_app_keys("biometric = true\nconfirm = \"number\"", async |bank| {
        let phone = bank.enrol("alice").await;
        phone.expect_refused(&bank, "device_inactive", "unconfirmed").await;
        let none = bank.start(&json!({"type": "login", "user": "alice"})).await;
        none.expect_problem(422, "no_device", None);
        assert_eq!(phone.get(OWN).await.expect(200)["device_status"], "unconfirmed");
        let listed = bank.portal("GET", "/v1/users/alice/devices").send().await.expect(200);
        assert_eq!(listed["items"][0]["status"], "unconfirmed");
        phone.ask(&bank, "DELETE", OWN, None).await.expect(204);
    });
}

#[test]
fn a_removed_phone_is_told_so_by_every_call() {
    with_app_keys("biometric = true\nmode = \"multiple\"", async |bank| {
        let (phone, _other) = (bank.enrol("alice").await, bank.enrol("alice").await);
        let (open, over) = (id_of(&bank.start_login("alice").await), id_of(&bank.start_login("alice").await));
        let sign =
            async |id: &str| phone.sign_answer(&phone.answer_claims(&phone.challenge(id).await, "accept"));
        let (to_open, to_over) = (sign(&open).await, sign(&over).await);
        bank.portal("DELETE", &format!("/v1/transactions/{over}")).send().await.expect(200);
        let path = format!("/v1/users/alice/devices/{}", phone.device_id);
        bank.portal("DELETE", &path).send().await.expect(204);
        phone.expect_refused(&bank, "device_revoked", "revoked").await;
        for method in ["GET", "DELETE"] {
            let refused = phone.ask(&bank, method, OWN, None).await;
            refused.expect_problem(403, "device_revoked", None);
        }
        phone.expect_answer_refused(&open, &to_open, "device_revoked", "revoked").await;
        phone.expect_answer_refused(&over, &to_over, "device_revoked", "revoked").await;
        assert_eq!(bank.view(&open).await["state"], "pending", "the other phone may answer");
    });
}

#[test]
fn an_old_version_is_refused_where_it_lists_fetches_and_answers_and_nowhere_else() {
    with_app_keys("biometric = true", async |bank| {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let answer = phone.sign_answer(&phone.answer_claims(&phone.challenge(&id).await, "accept"));
        bank.reload_with("[apps.bank.ios.versions.old]\nfrom = \"1.0\"\nenabled = false\n").await;
        for path in ["/device/v1/transactions".to_owned(), format!("/device/v1/transactions/{id}")] {
            phone.get(&path).await.expect_problem(426, "upgrade_required", None);
        }
        phone.send_answer(&id, &answer).await.expect_problem(426, "upgrade_required", None);
        assert_eq!(bank.view(&id).await["state"], "pending", "nothing was taken");
        for path in [OWN, "/device/v1/server-keys"] {
            phone.get(path).await.expect(200);
        }
        phone.ask(&bank, "PUT", "/device/v1/push", Some(&json!({"kind": "none"}))).await.expect(200);
        let key = phone.new_key("biometric", &PhoneKey::generate());
        let unauthorized = phone.ask(&bank, "PUT", "/device/v1/keys/biometric", Some(&key)).await;
        unauthorized.expect_problem(403, "authorization_required", None);
        phone.ask(&bank, "PATCH", OWN, Some(&json!({"name": "Mine"}))).await.expect(200);
        phone.ask(&bank, "DELETE", OWN, None).await.expect(204);
    });
}

/// Enrols a phone of alice that cannot be pushed to.
async fn enrol_silent(bank: &Bank) -> Phone {
    let key = PhoneKey::generate();
    let mut body = enrolment_body(&bank.activation_code("alice").await, &key);
    body["push"] = json!({"kind": "none"});
    let enrolled = send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await.expect(201);
    Phone::of(bank.addresses().device, &bank.issuer, key, enrolled)
}

#[test]
fn a_phone_without_an_address_answers_what_another_one_was_pushed() {
    with_app_keys("mode = \"multiple\"", async |bank| {
        let silent = enrol_silent(&bank).await;
        let alone = bank.start(&json!({"type": "login", "user": "alice"})).await;
        alone.expect_problem(422, "no_device", None);
        let pushed = bank.enrol("alice").await;
        let view = bank.start_login("alice").await;
        let told: Vec<&Value> =
            view["delivery"].as_array().expect("a list").iter().map(|one| &one["device_id"]).collect();
        assert_eq!(told, [&json!(pushed.device_id)]);
        let id = id_of(&view);
        let listed = silent.get("/device/v1/transactions").await.expect(200);
        assert_eq!(listed["items"][0]["id"], id.as_str());
        assert_eq!(silent.decide(&id, "accept").await.expect(200)["state"], "accepted");
        let ended = bank.view(&id).await;
        assert_eq!(ended["answer"]["device_id"], silent.device_id.as_str());
        // The first valid answer wins.
        let late = pushed.get(&format!("/device/v1/transactions/{id}")).await;
        assert_eq!(late.expect_problem(409, "transaction_final", None)["state"], "accepted");
    });
}

#[test]
fn a_phone_that_came_after_the_start_is_not_in_it() {
    with_app_keys("mode = \"multiple\"", async |bank| {
        let first = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let later = bank.enrol("alice").await;
        assert_eq!(later.get("/device/v1/transactions").await.expect(200), json!({"items": []}));
        let fetched = later.get(&format!("/device/v1/transactions/{id}")).await;
        fetched.expect_problem(404, "not_found", None);
        let answer = later.sign_answer(&later.answer_claims(&first.challenge(&id).await, "accept"));
        later.send_answer(&id, &answer).await.expect_problem(404, "not_found", None);
        assert_eq!(bank.view(&id).await["state"], "pending");
    });
}

#[test]
fn a_challenge_is_fetched_as_often_as_one_likes_under_one_nonce_of_its_phone() {
    with_app_keys("mode = \"multiple\"", async |bank| {
        let (one, other) = (bank.enrol("alice").await, bank.enrol("alice").await);
        let id = id_of(&bank.start_login("alice").await);
        let nonces = [one.challenge(&id).await, one.challenge(&id).await].map(|one| one["nonce"].clone());
        assert_eq!(nonces[0], nonces[1]);
        let listed = one.get("/device/v1/transactions").await.expect(200);
        let challenge = listed["items"][0]["challenge"].as_str().expect("a challenge");
        assert_eq!(crate::phone::claims_of(challenge)["nonce"], nonces[0]);
        assert_ne!(other.challenge(&id).await["nonce"], nonces[0]);
        // A nonce of 128 bits.
        assert_eq!(nonces[0].as_str().map(str::len), Some(22));
    });
}

#[test]
fn what_an_app_of_another_version_says_more_is_ignored() {
    with_app_keys("biometric = true", async |bank| {
        let key = PhoneKey::generate();
        let mut body = enrolment_body(&bank.activation_code("alice").await, &key);
        body["later"] = json!({"a": [1]});
        body["push"]["later"] = json!(1);
        body["keys"][0]["later"] = json!("x");
        let address = bank.addresses().device;
        let enrolled = send_enrolment(address, &bank.issuer, &key, &body).await.expect(201);
        let phone = Phone::of(address, &bank.issuer, key, enrolled);
        let id = id_of(&bank.start_login("alice").await);
        let mut claims = phone.answer_claims(&phone.challenge(&id).await, "accept");
        claims["later"] = json!(true);
        let answer = json!({"answer": phone.sign_answer(&claims), "later": 1});
        let path = format!("/device/v1/transactions/{id}/answer");
        Call::new("POST", address, &path).json(&answer).send().await.expect(200);
        let push = json!({"kind": "none", "later": 1});
        phone.ask(&bank, "PUT", "/device/v1/push", Some(&push)).await.expect(200);
        let change = json!({"name": "Mine", "later": 1});
        phone.ask(&bank, "PATCH", OWN, Some(&change)).await.expect(200);
        let mut new_key = phone.new_key("biometric", &PhoneKey::generate());
        new_key["authorized_by"] = json!(id);
        new_key["later"] = json!(1);
        phone.ask(&bank, "PUT", "/device/v1/keys/biometric", Some(&new_key)).await.expect(200);
    });
}

#[test]
fn all_keys_of_a_phone_differ_and_each_gets_a_name_of_its_own() {
    with_app_keys("biometric = true\ncustom = [\"face\"]", async |bank| {
        let phone = bank.enrol("alice").await;
        let mut kids = vec![json!(phone.kid)];
        let finger = PhoneKey::generate();
        let put = async |key_use: &str, key: &PhoneKey, id: &str| {
            let mut body = phone.new_key(key_use, key);
            body["authorized_by"] = json!(id);
            phone.ask(&bank, "PUT", &format!("/device/v1/keys/{key_use}"), Some(&body)).await
        };
        let accepted = async || {
            let id = id_of(&bank.start_login("alice").await);
            phone.decide(&id, "accept").await.expect(200);
            id
        };
        let id = accepted().await;
        put("biometric", &phone.key, &id).await.expect_problem(422, "invalid_field", Some("jwk"));
        kids.push(put("biometric", &finger, &id).await.expect(200)["kid"].clone());
        let id = accepted().await;
        put("custom:face", &finger, &id).await.expect_problem(422, "invalid_field", Some("jwk"));
        kids.push(put("custom:face", &PhoneKey::generate(), &id).await.expect(200)["kid"].clone());
        let id = accepted().await;
        kids.push(put("biometric", &PhoneKey::generate(), &id).await.expect(200)["kid"].clone());
        let names: std::collections::HashSet<String> = kids.iter().map(Value::to_string).collect();
        assert_eq!(names.len(), kids.len(), "{kids:?}");
        assert!(!names.contains(&json!(digest_of(&finger.jwk())).to_string()), "a name is no thumbprint");
    });
}

#[test]
fn an_enrolment_is_judged_in_the_order_of_the_interface() {
    with_app_keys("biometric = true", async |bank| {
        let used = PhoneKey::generate();
        let address = bank.addresses().device;
        let code = bank.activation_code("bob").await;
        send_enrolment(address, &bank.issuer, &used, &enrolment_body(&code, &used)).await.expect(201);

        // Wrong in every way, and put right step by step: the body, the proof, the key's proof, the code, the key.
        let stranger = PhoneKey::generate();
        let finger = PhoneKey::generate();
        let mut body = enrolment_body("wrong", &used);
        body["name"] = json!(7);
        let keys = body["keys"].as_array_mut().expect("keys");
        keys.push(json!({"use": "biometric", "jwk": finger.jwk(), "proof": "x"}));
        let send =
            async |key: &PhoneKey, body: &Value| send_enrolment(address, &bank.issuer, key, body).await;
        send(&stranger, &body).await.expect_problem(400, "invalid_request", Some("name"));
        body["name"] = json!("Alice's phone");
        send(&stranger, &body).await.expect_problem(401, "bad_proof", None);
        send(&used, &body).await.expect_problem(422, "invalid_field", Some("keys[1].proof"));
        let proven = |code: &str| {
            let claims = json!({"aud": bank.issuer, "iat": crate::phone::now_s(), "use": "biometric",
                "activation_code_sha256": crate::phone::sha256(code.as_bytes()),
                "device_key_sha256": digest_of(&used.jwk())});
            finger.sign(&json!({"alg": "ES256", "typ": "tocsin-enrol+jwt"}), &claims)
        };
        body["keys"][1]["proof"] = json!(proven("wrong"));
        send(&used, &body).await.expect_problem(401, "bad_activation_code", None);
        let code = bank.activation_code("alice").await;
        body["activation_code"] = json!(code);
        body["keys"][1]["proof"] = json!(proven(&code));
        send(&used, &body).await.expect_problem(409, "key_in_use", None);
    });
}

#[test]
fn a_phone_that_came_second_is_409_although_its_invitation_was_good() {
    with_bank(|bank| async move {
        let (first, second) = (bank.activation_code("alice").await, bank.activation_code("alice").await);
        let enrol = async |code: &str| {
            let key = PhoneKey::generate();
            send_enrolment(bank.addresses().device, &bank.issuer, &key, &enrolment_body(code, &key)).await
        };
        let device = enrol(&first).await.expect(201)["device_id"].clone();
        enrol(&second).await.expect_problem(409, "device_exists", None);
        let path = format!("/v1/users/alice/devices/{}", device.as_str().expect("an id"));
        bank.portal("DELETE", &path).send().await.expect(204);
        enrol(&second).await.expect(201);
    });
}
