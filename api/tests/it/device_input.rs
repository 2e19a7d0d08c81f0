//! Bad input at the device door: refused with the right word, and nothing counted, stored or ended.

use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank};
use crate::http::Call;
use crate::phone::{PhoneKey, enrolment_body, fresh_proof, now_s, send_enrolment};

/// Holds that a transaction is as it was.
async fn assert_open(bank: &Bank, id: &str) {
    let view = bank.view(id).await;
    assert_eq!(view["state"], "pending");
    assert_eq!(view["attempts"]["used"], 0);
}

#[test]
fn a_wrong_or_used_activation_code_is_401_and_all_look_the_same() {
    with_bank(|bank| async move {
        let used = bank.activation_code("alice").await;
        let address = bank.addresses().device;
        let first = PhoneKey::generate();
        send_enrolment(address, &bank.issuer, &first, &enrolment_body(&used, &first)).await.expect(201);
        for code in [used.as_str(), "wrong", ""] {
            let key = PhoneKey::generate();
            let reply = send_enrolment(address, &bank.issuer, &key, &enrolment_body(code, &key)).await;
            reply.expect_problem(401, "bad_activation_code", None);
        }
    });
}

#[test]
fn an_expired_activation_code_is_401() {
    with_bank(|bank| async move {
        let body = json!({"user": "alice", "app": "bank", "ttl_s": 1});
        let opened = bank.portal("POST", "/v1/enrollments").json(&body).send().await.expect(201);
        let path = format!("/v1/enrollments/{}", id_of(&opened));
        let deadline = std::time::Instant::now() + crate::http::SOON;
        while bank.portal("GET", &path).send().await.expect(200)["state"] != "expired" {
            assert!(std::time::Instant::now() < deadline, "it never expired");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let key = PhoneKey::generate();
        let body = enrolment_body(opened["activation_code"].as_str().expect("a code"), &key);
        let reply = send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await;
        reply.expect_problem(401, "bad_activation_code", None);
    });
}

#[test]
fn an_identical_retry_gets_the_same_device() {
    with_bank(|bank| async move {
        let code = bank.activation_code("alice").await;
        let key = PhoneKey::generate();
        let body = enrolment_body(&code, &key);
        let send = || send_enrolment(bank.addresses().device, &bank.issuer, &key, &body);
        assert_eq!(send().await.expect(201), send().await.expect(201));
    });
}

#[test]
fn a_bad_enrolment_does_not_use_the_code_up() {
    with_bank(|bank| async move {
        let code = bank.activation_code("alice").await;
        let key = PhoneKey::generate();
        let good = enrolment_body(&code, &key);
        let changed = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            body
        };
        for (body, status, problem, field) in [
            (changed("platform", json!("windows")), 422, "invalid_field", Some("platform")),
            (changed("name", json!(7)), 400, "invalid_request", Some("name")),
            (changed("app", json!("desk")), 422, "invalid_field", Some("app")),
            (changed("keys", json!([])), 422, "invalid_field", Some("keys")),
        ] {
            println!("{body}");
            let reply = send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await;
            reply.expect_problem(status, problem, field);
        }
        send_enrolment(bank.addresses().device, &bank.issuer, &key, &good).await.expect(201);
    });
}

#[test]
fn an_enrolment_without_the_proof_of_its_key_is_401() {
    with_bank(|bank| async move {
        let code = bank.activation_code("alice").await;
        let (key, other) = (PhoneKey::generate(), PhoneKey::generate());
        let path = "/device/v1/enrollments";
        let text = enrolment_body(&code, &key).to_string();
        let by_other = other.authorization(&fresh_proof(&bank.issuer, "POST", path, text.as_bytes()));
        let call = || bank.device("POST", path).text("application/json", text.clone());
        call().send().await.expect_problem(401, "bad_proof", None);
        let reply = call().header("authorization", &by_other).send().await;
        reply.expect_problem(401, "bad_proof", None);
        assert_eq!(reply.header("www-authenticate"), Some("Tocsin realm=\"tocsin\""));
    });
}

#[test]
fn a_registered_key_is_409() {
    with_bank(|bank| async move {
        let (first, second) = (bank.activation_code("alice").await, bank.activation_code("bob").await);
        let key = PhoneKey::generate();
        let send = |code: String| {
            let body = enrolment_body(&code, &key);
            let (address, issuer, key) = (bank.addresses().device, &bank.issuer, &key);
            async move { send_enrolment(address, issuer, key, &body).await }
        };
        send(first).await.expect(201);
        send(second).await.expect_problem(409, "key_in_use", None);
    });
}

/// A list, and an open challenge, whose proof is checked where it is signed.
async fn paths_of(bank: &Bank) -> [String; 2] {
    let list = "/device/v1/transactions".to_owned();
    let challenge = format!("{list}/{}", id_of(&bank.start_login("alice").await));
    [list, challenge]
}

#[test]
fn a_call_without_a_good_proof_is_401() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        for path in &paths_of(&bank).await {
            bank.device("GET", path).send().await.expect_problem(401, "bad_proof", None);
            let good = phone.proof("GET", path, b"");
            let spoiled = |spoil: &dyn Fn(&mut crate::phone::Proof)| {
                let mut proof = phone.proof("GET", path, b"");
                spoil(&mut proof);
                proof
            };
            for proof in [
                spoiled(&|proof| proof.claims["htm"] = json!("POST")),
                spoiled(&|proof| proof.claims["htu"] = json!("http://127.0.0.1:1/device/v1/transactions")),
                spoiled(&|proof| proof.claims["aud"] = json!("https://push.example.com")),
                spoiled(&|proof| proof.claims["iss"] = json!("01913f00-1122-4b7f-bfff-ffffffffffff")),
                spoiled(&|proof| proof.header["kid"] = json!("AAAAAAAAAAAAAAAAAAAAAA")),
                spoiled(&|proof| proof.header["typ"] = json!("tocsin-answer+jwt")),
            ] {
                phone.get_with(path, &proof).await.expect_problem(401, "bad_proof", None);
            }
            let forged = PhoneKey::generate().authorization(&phone.proof("GET", path, b""));
            let forged = bank.device("GET", path).header("authorization", &forged).send().await;
            forged.expect_problem(401, "bad_proof", None);
            let other = format!("{path}?x=1");
            phone.get_with(&other, &good).await.expect_problem(401, "bad_proof", None);
            phone.get_with(path, &good).await.expect(200);
            phone.get_with(path, &good).await.expect_problem(401, "bad_proof", None);
        }
    });
}

#[test]
fn a_stale_proof_is_told_the_servers_time() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        for path in &paths_of(&bank).await {
            for shift in [-200_i64, 200] {
                let mut proof = phone.proof("GET", path, b"");
                proof.claims["iat"] = json!(now_s().saturating_add_signed(shift));
                let problem = phone.get_with(path, &proof).await.expect_problem(401, "clock_skew", None);
                let time = problem["server_time"].as_str().expect("our time");
                assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
            }
        }
    });
}

#[test]
fn an_answer_that_does_not_fit_its_challenge_is_422_and_counts_nothing() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let other = id_of(&bank.start_login("alice").await);
        let challenge = phone.challenge(&id).await;
        let spoiled = |name: &str, value: Value| {
            let mut claims = phone.answer_claims(&challenge, "accept");
            claims[name] = value;
            phone.sign_answer(&claims)
        };
        let mut changed = challenge.clone();
        changed["message"] = json!("Something else");
        for jws in [
            phone.sign_answer(&phone.answer_claims(&changed, "accept")),
            spoiled("sub", json!(other)),
            spoiled("aud", json!("https://push.example.com")),
            spoiled("nonce", json!("AAAAAAAAAAAAAAAAAAAAAA")),
            spoiled("decision", json!("maybe")),
        ] {
            phone.send_answer(&id, &jws).await.expect_problem(422, "wrong_challenge", Some("answer"));
        }
        assert_open(&bank, &id).await;
        let for_the_other = phone.sign_answer(&phone.answer_claims(&challenge, "accept"));
        phone.send_answer(&other, &for_the_other).await.expect_problem(
            422,
            "wrong_challenge",
            Some("answer"),
        );
        assert_open(&bank, &other).await;
    });
}

#[test]
fn an_answer_by_a_wrong_key_is_401_and_counts_nothing() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let claims = phone.answer_claims(&phone.challenge(&id).await, "accept");
        let header = json!({"alg": "ES256", "typ": "tocsin-answer+jwt", "kid": phone.kid});
        let forged = PhoneKey::generate().sign(&header, &claims);
        phone.send_answer(&id, &forged).await.expect_problem(401, "bad_proof", None);
        let unknown = json!({"alg": "ES256", "typ": "tocsin-answer+jwt", "kid": "AAAAAAAAAAAAAAAAAAAAAA"});
        let refused = phone.send_answer(&id, &phone.key.sign(&unknown, &claims)).await;
        refused.expect_problem(401, "bad_proof", None);
        assert_open(&bank, &id).await;
    });
}

#[test]
fn another_users_transaction_is_404_for_a_phone() {
    with_bank(|bank| async move {
        let (alice, bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        let id = id_of(&bank.start_login("alice").await);
        bob.get(&format!("/device/v1/transactions/{id}")).await.expect_problem(404, "not_found", None);
        let claims = bob.answer_claims(&alice.challenge(&id).await, "accept");
        let answer = bob.send_answer(&id, &bob.sign_answer(&claims)).await;
        answer.expect_problem(404, "not_found", None);
        assert_open(&bank, &id).await;
    });
}

#[test]
fn a_late_answer_is_409() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let view = bank.start(&json!({"type": "login", "user": "alice", "ttl_s": 1})).await.expect(201);
        let id = id_of(&view);
        let jws = phone.sign_answer(&phone.answer_claims(&phone.challenge(&id).await, "accept"));
        bank.until(&id, |view| view["state"] == "timeout").await;
        let problem = phone.send_answer(&id, &jws).await.expect_problem(409, "transaction_final", None);
        assert_eq!(problem["state"], "timeout");
        let fetch = phone.get(&format!("/device/v1/transactions/{id}")).await;
        fetch.expect_problem(409, "transaction_final", None);
    });
}

#[test]
fn a_malformed_answer_is_refused() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let path = format!("/device/v1/transactions/{id}/answer");
        let send = |body: &str| {
            Call::new("POST", bank.addresses().device, &path).text("application/json", body.to_owned()).send()
        };
        send("{").await.expect_problem(400, "invalid_request", Some("body"));
        send("[]").await.expect_problem(400, "invalid_request", Some("body"));
        send(r#"{"answer":tru}"#).await.expect_problem(400, "invalid_request", Some("answer"));
        send(r#"{"answer":"a","answer":"b"}"#).await.expect_problem(400, "invalid_request", Some("answer"));
        send("{}").await.expect_problem(422, "field_required", Some("answer"));
        send(r#"{"answer":1}"#).await.expect_problem(400, "invalid_request", Some("answer"));
        send(r#"{"answer":"a.b.c"}"#).await.expect(401);
        assert_open(&bank, &id).await;
    });
}
