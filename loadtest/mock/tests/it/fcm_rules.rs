//! A test per rule of FCM: one wrong thing in an otherwise right send, and Google's answer to it.

use http::{HeaderValue, Method};
use serde_json::{Value, json};
use tocsin_mock::{FcmCredential, PushOutcome};

use super::client::Answer;
use super::rig::{FcmRig, PROJECT, message};

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// FCM's own code among the details.
fn error_code(answer: &Answer) -> Option<String> {
    let details = answer.json()["error"]["details"].clone();
    let own = details.as_array()?.iter().find(|detail| detail["@type"] == FCM_ERROR)?;
    own["errorCode"].as_str().map(str::to_owned)
}

/// The field that a BadRequest detail names.
fn bad_field(answer: &Answer) -> Option<String> {
    let details = answer.json()["error"]["details"].clone();
    let bad = details.as_array()?.iter().find(|detail| detail["@type"] == BAD_REQUEST)?;
    bad["fieldViolations"][0]["field"].as_str().map(str::to_owned)
}

fn assert_error(answer: &Answer, http: u16, status: &str, code: Option<&str>) {
    let error = &answer.json()["error"];
    assert_eq!((answer.status.as_u16(), error["code"].as_u64()), (http, Some(u64::from(http))));
    assert_eq!((error["status"].as_str(), error_code(answer).as_deref()), (Some(status), code));
}

/// Sends a message changed at `pointer` (null takes the value away) and expects INVALID_ARGUMENT that
/// names `field`.
async fn refused(pointer: &str, value: Value, field: &str, by_fcm: bool) {
    let rig = FcmRig::start().await;
    let answer = rig.send(&changed(pointer, value)).await;
    assert_error(&answer, 400, "INVALID_ARGUMENT", by_fcm.then_some("INVALID_ARGUMENT"));
    assert_eq!(bad_field(&answer).as_deref(), Some(field));
}

async fn taken(pointer: &str, value: Value) {
    let rig = FcmRig::start().await;
    let answer = rig.send(&changed(pointer, value)).await;
    assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
    assert!(answer.json()["name"].as_str().unwrap().starts_with("projects/example-bank/messages/"));
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut body = message();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
    body
}

macro_rules! rules {
    (by_json: $($name:ident($pointer:literal, $value:expr) => $field:literal;)*) => {
        $(#[tokio::test] async fn $name() { refused($pointer, $value, $field, false).await; })*
    };
    (by_fcm: $($name:ident($pointer:literal, $value:expr) => $field:literal;)*) => {
        $(#[tokio::test] async fn $name() { refused($pointer, $value, $field, true).await; })*
    };
    (taken: $($name:ident($pointer:literal, $value:expr);)*) => {
        $(#[tokio::test] async fn $name() { taken($pointer, $value).await; })*
    };
}

rules! { taken:
    a_right_message_is_taken("/validate_only", json!(false));
    a_priority_in_lower_case_is_taken("/message/android/priority", json!("high"));
    a_ttl_of_zero_is_taken("/message/android/ttl", json!("0s"));
    a_fractional_ttl_is_taken("/message/android/ttl", json!("90.500000000s"));
    a_ttl_of_28_days_is_taken("/message/android/ttl", json!("2419200s"));
    names_in_camel_case_are_taken("/message/android/directBootOk", json!(true));
    data_of_4096_bytes_is_taken("/message/data", json!({"k": "x".repeat(4_095)}));
    a_message_without_android_is_taken("/message/android", Value::Null);
}

rules! { by_json:
    an_unknown_field_beside_the_message_is_refused("/dry_run", json!(true)) => "";
    an_unknown_field_of_the_message_is_refused("/message/to", json!("x")) => "message";
    an_unknown_field_of_android_is_refused("/message/android/prio", json!("HIGH")) => "message.android";
    data_that_is_not_text_is_refused("/message/data", json!({"t": 1})) => "message.data";
    data_that_is_no_map_is_refused("/message/data", json!("t")) => "message.data";
    android_data_that_is_not_text_is_refused("/message/android/data", json!({"t": {}})) => "message.android.data";
    a_flag_that_is_text_is_refused("/validate_only", json!("true")) => "validate_only";
    a_ttl_that_is_a_number_is_refused("/message/android/ttl", json!(90)) => "message.android.ttl";
    a_ttl_without_its_unit_is_refused("/message/android/ttl", json!("90")) => "message.android.ttl";
    a_negative_ttl_is_refused("/message/android/ttl", json!("-1s")) => "message.android.ttl";
    an_unknown_priority_is_refused("/message/android/priority", json!("URGENT")) => "message.android.priority";
}

rules! { by_fcm:
    a_message_without_a_target_is_refused("/message/token", Value::Null) => "message";
    a_message_with_two_targets_is_refused("/message/topic", json!("news")) => "message";
    a_message_for_a_token_and_an_installation_is_refused("/message/fid", json!("cZ1_fid")) => "message";
    a_send_without_a_message_is_refused("/message", Value::Null) => "message";
    the_key_from_is_reserved("/message/data", json!({"from": "x"})) => "message.data";
    the_key_message_type_is_reserved("/message/data", json!({"message_type": "x"})) => "message.data";
    keys_of_google_are_reserved("/message/data", json!({"google.x": "x"})) => "message.data";
    keys_of_gcm_notifications_are_reserved("/message/data", json!({"gcm.notification.x": "x"})) => "message.data";
    reserved_keys_count_in_android_data_too("/message/android/data", json!({"from": "x"})) => "message.android.data";
    data_of_4097_bytes_is_too_big("/message/data", json!({"k": "x".repeat(4_096)})) => "message.data";
    a_ttl_beyond_28_days_is_refused("/message/android/ttl", json!("2419201s")) => "message.android.ttl";
    a_ttl_just_beyond_28_days_is_refused("/message/android/ttl", json!("2419200.1s")) => "message.android.ttl";
    a_malformed_analytics_label_is_refused("/message/fcm_options", json!({"analytics_label": "a b"})) => "message.fcm_options.analytics_label";
    a_token_that_is_none_is_refused("/message/token", json!("not a token")) => "message.token";
    an_empty_token_is_refused("/message/token", json!("")) => "message.token";
}

#[tokio::test]
async fn an_installation_id_is_a_target() {
    let rig = FcmRig::start().await;
    let answer = rig.send(&json!({"message": {"fid": "cZ1_fid"}})).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(rig.server.pushes().records()[0].target(), "cZ1_fid");
}

#[tokio::test]
async fn data_for_a_topic_has_half_the_room() {
    let rig = FcmRig::start().await;
    let body = json!({"message": {"topic": "news", "data": {"k": "x".repeat(2_048)}}});
    let answer = rig.send(&body).await;
    assert_error(&answer, 400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"));
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let rig = FcmRig::start().await;
    let request = rig.request(&json!({})).map(|_| "{".into());
    let answer = rig.client().await.send(request).await.unwrap();
    assert_error(&answer, 400, "INVALID_ARGUMENT", None);
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let rig = FcmRig::start().await;
    let mut request = rig.request(&message());
    request.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    let answer = rig.client().await.send(request).await.unwrap();
    assert_error(&answer, 400, "INVALID_ARGUMENT", None);
}

#[tokio::test]
async fn another_method_finds_nothing() {
    let rig = FcmRig::start().await;
    let mut request = rig.request(&message());
    *request.method_mut() = Method::PUT;
    assert_error(&rig.client().await.send(request).await.unwrap(), 404, "NOT_FOUND", None);
}

#[tokio::test]
async fn a_dry_run_is_checked_and_reaches_no_phone() {
    let rig = FcmRig::start().await;
    let mut phone = rig.server.pushes().subscribe("dXNlcjE:APA91b-token_1").unwrap();
    let answer = rig.send(&changed("/validate_only", json!(true))).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(rig.server.pushes().records()[0].outcome, PushOutcome::Validated);
    assert!(phone.try_recv().is_err());
}

#[tokio::test]
async fn a_missing_access_token_is_unauthenticated() {
    let rig = FcmRig::start().await;
    let mut request = rig.request(&message());
    request.headers_mut().remove("authorization");
    let answer = rig.client().await.send(request).await.unwrap();
    assert_error(&answer, 401, "UNAUTHENTICATED", None);
    assert!(answer.header("www-authenticate").is_some());
}

#[tokio::test]
async fn an_access_token_that_was_never_issued_is_unauthenticated() {
    let rig = FcmRig::start().await;
    let request = rig.request_to(PROJECT, "ya29.invented", &message());
    assert_error(&rig.client().await.send(request).await.unwrap(), 401, "UNAUTHENTICATED", None);
}

#[tokio::test]
async fn an_expired_access_token_is_unauthenticated() {
    let rig = FcmRig::start().await;
    rig.server.clock().advance(std::time::Duration::from_secs(3_600));
    assert_error(&rig.send(&message()).await, 401, "UNAUTHENTICATED", None);
}

#[tokio::test]
async fn a_revoked_access_token_is_unauthenticated() {
    let rig = FcmRig::start().await;
    rig.server.revoke_access_tokens();
    assert_error(&rig.send(&message()).await, 401, "UNAUTHENTICATED", None);
}

#[tokio::test]
async fn a_project_that_does_not_exist_is_not_found_without_a_code_of_fcm() {
    let rig = FcmRig::start().await;
    let request = rig.request_to("no-such-project", &rig.access_token, &message());
    assert_error(&rig.client().await.send(request).await.unwrap(), 404, "NOT_FOUND", None);
}

#[tokio::test]
async fn a_project_of_others_is_denied() {
    let rig = FcmRig::start().await;
    rig.server.add_account(&FcmCredential::generate("other-bank").unwrap());
    let request = rig.request_to("other-bank", &rig.access_token, &message());
    assert_error(&rig.client().await.send(request).await.unwrap(), 403, "PERMISSION_DENIED", None);
}

#[tokio::test]
async fn an_account_without_the_right_to_send_is_denied() {
    let rig = FcmRig::start().await;
    rig.server.permit_sending(&rig.credential, false);
    assert_error(&rig.send(&message()).await, 403, "PERMISSION_DENIED", None);
}

#[tokio::test]
async fn an_unregistered_token_is_not_found() {
    let rig = FcmRig::start().await;
    rig.server.registrations().unregister("dXNlcjE:APA91b-token_1").unwrap();
    assert_error(&rig.send(&message()).await, 404, "NOT_FOUND", Some("UNREGISTERED"));
}

#[tokio::test]
async fn a_token_of_another_project_does_not_match_the_sender() {
    let rig = FcmRig::start().await;
    rig.server.registrations().give_to_other_project("dXNlcjE:APA91b-token_1").unwrap();
    assert_error(&rig.send(&message()).await, 403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"));
}

#[tokio::test]
async fn a_token_marked_bad_is_an_invalid_argument() {
    let rig = FcmRig::start().await;
    rig.server.registrations().mark_bad("dXNlcjE:APA91b-token_1").unwrap();
    let answer = rig.send(&message()).await;
    assert_error(&answer, 400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"));
    let told = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(told, "The registration token is not a valid FCM registration token");
}
