//! Sealed challenges, request messages and their pictures at the doors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank};
use crate::phone::{Phone, PhoneKey, claims_of, enrolment_body, send_enrolment};

/// The text of a QR picture, read by another implementation than the one that draws it.
fn read_picture(file: &[u8]) -> String {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    let (width, height) = (info.width as usize, info.height as usize);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
    image.detect_grids().remove(0).decode().expect("readable").1
}

async fn start_handed_out(bank: &Bank) -> Value {
    let body = json!({"type": "login", "user": "alice", "delivery": ["request_message"]});
    bank.start(&body).await.expect(201)
}

#[test]
fn a_phone_with_an_encryption_key_is_told_seals_in_place_of_challenges() {
    with_bank(|bank| async move {
        let key = PhoneKey::generate();
        let mut body = enrolment_body(&bank.activation_code("alice").await, &key);
        body["encryption_jwk"] = PhoneKey::generate().jwk();
        let enrolled = send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await.expect(201);
        let phone = Phone::of(bank.addresses().device, &bank.issuer, key, enrolled);
        let id = id_of(&bank.start_login("alice").await);
        let fetched = phone.get(&format!("/device/v1/transactions/{id}")).await.expect(200);
        assert_eq!(fetched.get("challenge"), None);
        let enc =
            URL_SAFE_NO_PAD.decode(fetched["sealed"]["enc"].as_str().expect("a text")).expect("base64url");
        assert_eq!((enc.len(), enc[0]), (65, 4));
        assert!(fetched["sealed"]["ct"].as_str().is_some_and(|ct| !ct.is_empty()));
        let listed = phone.get("/device/v1/transactions").await.expect(200);
        assert_eq!(listed["items"], json!([fetched]), "the same seal at every fetch");
    });
}

#[test]
fn a_signing_key_is_refused_as_the_encryption_key() {
    with_bank(|bank| async move {
        let key = PhoneKey::generate();
        let mut body = enrolment_body(&bank.activation_code("alice").await, &key);
        body["encryption_jwk"] = key.jwk();
        let refused = send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await;
        refused.expect_problem(422, "invalid_field", Some("encryption_jwk"));
    });
}

#[test]
fn delivery_is_a_subset_of_two_words() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        for (value, status, code, field) in [
            (json!([]), 422, "invalid_field", "delivery"),
            (json!(["custom"]), 403, "not_permitted", "delivery"),
            (json!(["push", "push"]), 422, "invalid_field", "delivery"),
            (json!("push"), 400, "invalid_request", "delivery"),
            (json!(["push", 1]), 400, "invalid_request", "delivery[1]"),
        ] {
            let reply = bank.start(&json!({"type": "login", "user": "alice", "delivery": value})).await;
            reply.expect_problem(status, code, Some(field));
        }
        for value in [json!(["push"]), json!(["request_message", "push"]), json!(["request_message"])] {
            let view =
                bank.start(&json!({"type": "login", "user": "alice", "delivery": value})).await.expect(201);
            let words = value.as_array().expect("an array");
            assert_eq!(view["delivery"] == json!([]), !words.contains(&json!("push")), "{view}");
            assert_eq!(
                view.get("request_message").is_some(),
                words.contains(&json!("request_message")),
                "{view}"
            );
        }
    });
}

#[test]
fn a_request_message_is_told_until_the_end_and_its_picture_says_the_same() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let started = start_handed_out(&bank).await;
        let (id, text) = (id_of(&started), started["request_message"].as_str().expect("a text").to_owned());
        assert_eq!(bank.view(&id).await["request_message"], text.as_str());
        let path = format!("/v1/transactions/{id}/qr.png");
        let picture = bank.portal("GET", &path).send().await;
        assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/png")));
        assert_eq!(picture.header("cache-control"), Some("no-store"));
        assert_eq!(read_picture(&picture.bytes), text);
        bank.portal_as("other", "GET", &path).send().await.expect_problem(404, "not_found", None);

        let jws = text.strip_prefix(&format!("tocsin:1?t={id}&c=")).expect("the signed form");
        let answer = phone.sign_answer(&phone.answer_claims(&claims_of(jws), "accept"));
        assert_eq!(phone.send_answer(&id, &answer).await.expect(200)["state"], "accepted");
        assert_eq!(bank.view(&id).await.get("request_message"), None);
        bank.portal("GET", &path).send().await.expect_problem(409, "transaction_final", None);
    });
}

#[test]
fn there_is_no_picture_without_a_request_message_and_none_of_a_text_that_no_code_holds() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let pushed = id_of(&bank.start_login("alice").await);
        let picture = |id: &str| bank.portal("GET", &format!("/v1/transactions/{id}/qr.png")).send();
        picture(&pushed).await.expect_problem(404, "not_found", None);
        let long = json!({"type": "login", "user": "alice", "delivery": ["request_message"],
            "secure_message": "x".repeat(4_000)});
        let started = bank.start(&long).await.expect(201);
        assert!(started["request_message"].as_str().is_some_and(|text| text.len() > 2_953));
        picture(&id_of(&started)).await.expect_problem(422, "content_too_large", None);
        let cancelled = bank.portal("DELETE", &format!("/v1/transactions/{pushed}")).send().await;
        cancelled.expect(200);
        picture(&pushed).await.expect_problem(404, "not_found", None);
    });
}

#[test]
fn the_way_of_delivery_is_part_of_what_an_idempotency_key_promises() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let start = |delivery: Option<Value>| {
            let mut body = json!({"type": "login", "user": "alice"});
            if let Some(delivery) = delivery {
                body["delivery"] = delivery;
            }
            bank.portal("POST", "/v1/transactions").header("idempotency-key", "k").json(&body).send()
        };
        let first = start(None).await.expect(201);
        assert_eq!(start(Some(json!(["push"]))).await.expect(200)["id"], first["id"]);
        let other = start(Some(json!(["push", "request_message"]))).await;
        other.expect_problem(422, "idempotency_mismatch", None);
    });
}

#[test]
fn a_repeated_start_is_told_its_request_message_again() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let body = json!({"type": "login", "user": "alice", "delivery": ["request_message"]});
        let start =
            || bank.portal("POST", "/v1/transactions").header("idempotency-key", "k").json(&body).send();
        let first = start().await.expect(201);
        assert_eq!(start().await.expect(200)["request_message"], first["request_message"]);
    });
}
