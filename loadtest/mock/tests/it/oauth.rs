//! The rules of the token endpoint: one wrong thing in an otherwise right grant, and Google's answer.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tocsin_mock::{Fault, FcmCredential, OAuthRefusal};

use super::client::{Answer, tls};
use super::rig::{FcmRig, assertion, grant_form, message};

fn assert_refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (status, Some(error)));
}

/// Asks with some claims changed and expects this refusal.
async fn refused(changes: impl FnOnce(&FcmRig) -> Value, status: u16, error: &str) {
    let rig = FcmRig::start().await;
    let form = grant_form(&rig.assertion(changes(&rig)));
    let issued_before = rig.server.token_endpoint().issued();
    assert_refused(&rig.ask_for_token(&form).await, status, error);
    assert_eq!(rig.server.token_endpoint().issued(), issued_before);
    assert_eq!(rig.server.token_endpoint().refused(), 1);
}

async fn granted(changes: impl FnOnce(&FcmRig) -> Value) {
    let rig = FcmRig::start().await;
    let form = grant_form(&rig.assertion(changes(&rig)));
    assert_eq!(rig.ask_for_token(&form).await.status.as_u16(), 200);
}

macro_rules! rules {
    (refused: $($name:ident($changes:expr) => $status:literal $error:literal;)*) => {
        $(#[tokio::test] async fn $name() { refused($changes, $status, $error).await; })*
    };
    (granted: $($name:ident($changes:expr);)*) => {
        $(#[tokio::test] async fn $name() { granted($changes).await; })*
    };
}

fn now_s(rig: &FcmRig) -> u64 {
    rig.server.clock().now_s()
}

rules! { granted:
    the_audience_may_be_the_one_of_google(|_| json!({"aud": "https://oauth2.googleapis.com/token"}));
    the_wide_scope_is_granted(|_| json!({"scope": "https://www.googleapis.com/auth/cloud-platform"}));
    one_good_scope_among_others_is_granted(|_| {
        json!({"scope": "https://www.googleapis.com/auth/x https://www.googleapis.com/auth/firebase.messaging"})
    });
}

rules! { refused:
    another_audience_is_an_invalid_grant(|_| json!({"aud": "https://example.com/token"})) => 400 "invalid_grant";
    a_missing_audience_is_an_invalid_grant(|_| json!({"aud": null})) => 400 "invalid_grant";
    a_life_beyond_an_hour_is_an_invalid_grant(|rig| json!({"exp": now_s(rig) + 3_700})) => 400 "invalid_grant";
    an_expired_assertion_is_an_invalid_grant(|rig| {
        json!({"iat": now_s(rig) - 7_200, "exp": now_s(rig) - 3_600})
    }) => 400 "invalid_grant";
    an_assertion_from_the_future_is_an_invalid_grant(|rig| {
        json!({"iat": now_s(rig) + 600, "exp": now_s(rig) + 1_200})
    }) => 400 "invalid_grant";
    a_missing_time_is_an_invalid_grant(|_| json!({"iat": null})) => 400 "invalid_grant";
    an_unknown_account_is_an_invalid_client(|_| json!({"iss": "nobody@example.com"})) => 401 "invalid_client";
    a_foreign_scope_is_invalid(|_| json!({"scope": "https://www.googleapis.com/auth/drive"})) => 400 "invalid_scope";
    a_missing_scope_is_invalid(|_| json!({"scope": null})) => 400 "invalid_scope";
}

#[tokio::test]
async fn a_grant_says_how_long_it_lives() {
    let rig = FcmRig::start().await;
    rig.server.token_endpoint().set_expires_in(Duration::from_secs(120));
    let answer = rig.ask_for_token(&grant_form(&rig.assertion(json!({})))).await;
    assert_eq!(answer.status.as_u16(), 200);
    let body = answer.json();
    assert_eq!((body["token_type"].as_str(), body["expires_in"].as_u64()), (Some("Bearer"), Some(120)));
    assert_eq!(rig.server.token_endpoint().issued(), 2, "one by the rig and this one");
}

#[tokio::test]
async fn an_access_token_is_good_until_its_life_ends() {
    let mut rig = FcmRig::start().await;
    rig.server.token_endpoint().set_expires_in(Duration::from_secs(120));
    rig.access_token = rig.new_access_token().await;
    rig.server.clock().advance(Duration::from_secs(100));
    assert_eq!(rig.send(&message()).await.status.as_u16(), 200);
    rig.server.clock().advance(Duration::from_secs(30));
    assert_eq!(rig.send(&message()).await.status.as_u16(), 401);
}

#[tokio::test]
async fn an_assertion_signed_by_another_key_is_an_invalid_grant() {
    let rig = FcmRig::start().await;
    let mut impostor = FcmCredential::generate(&rig.credential.project_id).unwrap();
    impostor.private_key_id.clone_from(&rig.credential.private_key_id);
    let forged = assertion(&impostor, now_s(&rig), &rig.server.token_uri(), json!({}));
    assert_refused(&rig.ask_for_token(&grant_form(&forged)).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_revoked_key_is_an_invalid_grant() {
    let rig = FcmRig::start().await;
    let mut old = rig.credential.clone();
    old.private_key_id = "0123456789abcdef".to_owned();
    let outdated = assertion(&old, now_s(&rig), &rig.server.token_uri(), json!({}));
    assert_refused(&rig.ask_for_token(&grant_form(&outdated)).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_deleted_account_is_an_invalid_grant_and_its_tokens_are_worthless() {
    let rig = FcmRig::start().await;
    rig.server.delete_account(&rig.credential);
    let form = grant_form(&rig.assertion(json!({})));
    assert_refused(&rig.ask_for_token(&form).await, 400, "invalid_grant");
    assert_eq!(rig.send(&message()).await.status.as_u16(), 401);
}

#[tokio::test]
async fn an_assertion_that_is_no_jwt_is_an_invalid_grant() {
    let rig = FcmRig::start().await;
    assert_refused(&rig.ask_for_token(&grant_form("a.b.c")).await, 400, "invalid_grant");
}

#[tokio::test]
async fn another_grant_type_is_unsupported() {
    let rig = FcmRig::start().await;
    let answer = rig.ask_for_token("grant_type=client_credentials").await;
    assert_refused(&answer, 400, "unsupported_grant_type");
}

#[tokio::test]
async fn a_form_without_its_fields_is_an_invalid_request() {
    let rig = FcmRig::start().await;
    assert_refused(&rig.ask_for_token("").await, 400, "invalid_request");
}

#[tokio::test]
async fn a_body_that_is_no_form_is_an_invalid_request() {
    let rig = FcmRig::start().await;
    let form = grant_form(&rig.assertion(json!({})));
    let answer = rig.ask_for_token_as(Method::POST, "/token", "application/json", &form).await;
    assert_refused(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn another_path_and_another_method_are_refused() {
    let rig = FcmRig::start().await;
    let form_type = "application/x-www-form-urlencoded";
    let answer = rig.ask_for_token_as(Method::POST, "/tokens", form_type, "").await;
    assert_eq!(answer.status.as_u16(), 404);
    let answer = rig.ask_for_token_as(Method::GET, "/token", form_type, "").await;
    assert_eq!(answer.status.as_u16(), 405);
}

#[tokio::test]
async fn an_outage_of_the_endpoint_can_be_scripted() {
    let rig = FcmRig::start().await;
    let outage = OAuthRefusal::Undocumented { status: StatusCode::SERVICE_UNAVAILABLE, body: String::new() };
    rig.server.token_endpoint().faults().for_next(1, Fault::Refuse(outage)).unwrap();
    let form = grant_form(&rig.assertion(json!({})));
    assert_eq!(rig.ask_for_token(&form).await.status.as_u16(), 503);
    assert_eq!(rig.ask_for_token(&form).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_grant_is_given_over_http_1() {
    let rig = FcmRig::start().await;
    let address = rig.server.token_endpoint().addr();
    let tls = tls(&rig.authority, address, &[b"http/1.1"]).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post("/token")
        .header("host", format!("localhost:{}", address.port()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::<bytes::Bytes>::from(grant_form(&rig.assertion(json!({})))))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(body["access_token"].as_str().unwrap().starts_with("ya29."));
    driver.abort();
}
