//! The rules of the provider token: who signed it, when, and what one connection may do with it.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;
use tocsin_mock::{ApnsCredential, ApnsEnvironment};

use super::client::{Answer, Client};
use super::rig::{ApnsRig, KEY, Push, TEAM, TOPIC, apns_token, apns_token_of, bank_key, sandbox_key};

const HOUR_S: u64 = 3_600;

fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason));
}

async fn send_token(rig: &ApnsRig, token: &str) -> Answer {
    rig.send(Push::new(token)).await
}

async fn send_on(client: &mut Client, token: &str) -> Answer {
    client.send(Push::new(token).request()).await.unwrap()
}

#[tokio::test]
async fn a_push_without_a_token_misses_it() {
    let rig = ApnsRig::start().await;
    assert_refused(&rig.send(rig.push().without("authorization")).await, 403, "MissingProviderToken");
}

#[tokio::test]
async fn another_scheme_than_bearer_is_no_token() {
    let rig = ApnsRig::start().await;
    let push = rig.push().set("authorization", "Basic YWxhZGRpbg==");
    assert_refused(&rig.send(push).await, 403, "MissingProviderToken");
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let rig = ApnsRig::start().await;
    let push = rig.push().set("authorization", &format!("Bearer {}", rig.token()));
    assert_eq!(rig.send(push).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_token_that_is_no_jwt_is_invalid() {
    let rig = ApnsRig::start().await;
    assert_refused(&send_token(&rig, "a.b").await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_by_another_algorithm_is_invalid() {
    let rig = ApnsRig::start().await;
    let claims = json!({"iss": TEAM, "iat": rig.server.clock().now_s()});
    let token = apns_token_of(&rig.credential, Algorithm::HS256, Some(KEY), &claims);
    assert_refused(&send_token(&rig, &token).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_without_a_key_id_is_invalid() {
    let rig = ApnsRig::start().await;
    let claims = json!({"iss": TEAM, "iat": rig.server.clock().now_s()});
    let token = apns_token_of(&rig.credential, Algorithm::ES256, None, &claims);
    assert_refused(&send_token(&rig, &token).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_of_an_unknown_key_is_invalid() {
    let rig = ApnsRig::start().await;
    let stranger = ApnsCredential::generate(TEAM, "KEY0000099").unwrap();
    let token = apns_token(&stranger, rig.server.clock().now_s());
    assert_refused(&send_token(&rig, &token).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_signed_by_another_key_is_invalid() {
    let rig = ApnsRig::start().await;
    let impostor = ApnsCredential::generate(TEAM, KEY).unwrap();
    let token = apns_token(&impostor, rig.server.clock().now_s());
    assert_refused(&send_token(&rig, &token).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_of_another_team_is_invalid() {
    let rig = ApnsRig::start().await;
    let claims = json!({"iss": "TEAM000099", "iat": rig.server.clock().now_s()});
    let token = apns_token_of(&rig.credential, Algorithm::ES256, Some(KEY), &claims);
    assert_refused(&send_token(&rig, &token).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_without_its_time_is_invalid() {
    let rig = ApnsRig::start().await;
    let token = apns_token_of(&rig.credential, Algorithm::ES256, Some(KEY), &json!({"iss": TEAM}));
    assert_refused(&send_token(&rig, &token).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_of_a_revoked_key_is_invalid() {
    let rig = ApnsRig::start().await;
    rig.server.revoke_key(KEY);
    assert_refused(&rig.send(rig.push()).await, 403, "InvalidProviderToken");
}

#[tokio::test]
async fn a_token_older_than_an_hour_has_expired() {
    let rig = ApnsRig::start().await;
    let token = apns_token(&rig.credential, rig.server.clock().now_s() - HOUR_S - 60);
    assert_refused(&send_token(&rig, &token).await, 403, "ExpiredProviderToken");
}

#[tokio::test]
async fn a_token_more_than_an_hour_ahead_counts_as_expired() {
    let rig = ApnsRig::start().await;
    let token = apns_token(&rig.credential, rig.server.clock().now_s() + HOUR_S + 60);
    assert_refused(&send_token(&rig, &token).await, 403, "ExpiredProviderToken");
}

#[tokio::test]
async fn a_token_just_under_an_hour_old_is_taken() {
    let rig = ApnsRig::start().await;
    let token = apns_token(&rig.credential, rig.server.clock().now_s() - HOUR_S + 60);
    assert_eq!(send_token(&rig, &token).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_connection_whose_token_expired_takes_no_other() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    let token = rig.token();
    assert_eq!(send_on(&mut client, &token).await.status.as_u16(), 200);
    rig.server.clock().advance(Duration::from_secs(HOUR_S + 60));
    assert_refused(&send_on(&mut client, &token).await, 403, "ExpiredProviderToken");
    assert_refused(&send_on(&mut client, &rig.token()).await, 403, "ExpiredProviderToken");
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200, "a new connection takes the new token");
}

#[tokio::test]
async fn a_second_token_within_20_minutes_is_one_too_many() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    let first = rig.token();
    assert_eq!(send_on(&mut client, &first).await.status.as_u16(), 200);
    rig.server.clock().advance(Duration::from_secs(19 * 60));
    assert_refused(&send_on(&mut client, &rig.token()).await, 429, "TooManyProviderTokenUpdates");
    assert_refused(&send_on(&mut client, &first).await, 429, "TooManyProviderTokenUpdates");
    assert_eq!(send_token(&rig, &first).await.status.as_u16(), 200, "another connection takes the old token");
}

#[tokio::test]
async fn a_second_token_after_20_minutes_is_taken() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    assert_eq!(send_on(&mut client, &rig.token()).await.status.as_u16(), 200);
    rig.server.clock().advance(Duration::from_secs(20 * 60));
    assert_eq!(send_on(&mut client, &rig.token()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn another_key_on_the_same_connection_is_unrelated() {
    let rig = ApnsRig::start().await;
    let second = ApnsCredential::generate(TEAM, "KEY0000002").unwrap();
    rig.server.register_key(bank_key(&second));
    let mut client = rig.client().await;
    assert_eq!(send_on(&mut client, &rig.token()).await.status.as_u16(), 200);
    let token = apns_token(&second, rig.server.clock().now_s());
    assert_refused(&send_on(&mut client, &token).await, 403, "UnrelatedKeyIdInToken");
}

#[tokio::test]
async fn another_team_on_the_same_connection_is_forbidden() {
    let rig = ApnsRig::start().await;
    let other = ApnsCredential::generate("TEAM000002", "KEY0000002").unwrap();
    rig.server.register_key(bank_key(&other));
    let mut client = rig.client().await;
    assert_eq!(send_on(&mut client, &rig.token()).await.status.as_u16(), 200);
    let token = apns_token(&other, rig.server.clock().now_s());
    assert_refused(&send_on(&mut client, &token).await, 403, "Forbidden");
}

#[tokio::test]
async fn a_sandbox_key_is_refused_in_production_and_taken_in_the_sandbox() {
    let sandbox_only = ApnsCredential::generate(TEAM, "KEY0000003").unwrap();
    let production = ApnsRig::start().await;
    production.server.register_key(sandbox_key(&sandbox_only));
    let token = apns_token(&sandbox_only, production.server.clock().now_s());
    assert_refused(&send_token(&production, &token).await, 403, "BadEnvironmentKeyIdInToken");

    let sandbox = ApnsRig::start_with(|options| options.environment = ApnsEnvironment::Sandbox).await;
    sandbox.server.register_key(sandbox_key(&sandbox_only));
    let answer = sandbox.send(Push::new(&token).set("apns-topic", TOPIC)).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert!(answer.header("apns-unique-id").is_some());
}
