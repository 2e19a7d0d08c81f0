//! A test per rule of APNs: one wrong thing in an otherwise right push, and Apple's answer to it.

use http::Method;

use super::rig::{ApnsRig, DEVICE, Push};

/// Sends a right push changed in one thing and expects Apple's status and reason.
async fn refused(change: impl FnOnce(Push) -> Push, status: u16, reason: &str) {
    let rig = ApnsRig::start().await;
    let answer = rig.send(change(rig.push())).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason));
    assert_eq!((rig.server.pushes().accepted(), rig.server.pushes().refused()), (0, 1));
}

/// Sends a right push changed in one thing and expects that it is still right.
async fn taken(change: impl FnOnce(Push) -> Push) {
    let rig = ApnsRig::start().await;
    let answer = rig.send(change(rig.push())).await;
    assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
    assert!(answer.body.is_empty());
}

macro_rules! rules {
    (refused: $($name:ident($change:expr) => $status:literal $reason:literal;)*) => {
        $(#[tokio::test] async fn $name() { refused($change, $status, $reason).await; })*
    };
    (taken: $($name:ident($change:expr);)*) => {
        $(#[tokio::test] async fn $name() { taken($change).await; })*
    };
}

rules! { taken:
    a_right_push_is_taken(|push| push);
    a_background_push_of_priority_5_is_taken(Push::background);
    priority_1_is_taken(|push| push.set("apns-priority", "1"));
    a_payload_of_4096_bytes_is_taken(|push| push.body(payload_of(4_096)));
    a_collapse_id_of_64_bytes_is_taken(|push| push.set("apns-collapse-id", &"c".repeat(64)));
    an_expiration_of_zero_is_taken(|push| push.set("apns-expiration", "0"));
    a_push_without_optional_headers_is_taken(|push| push.without("apns-priority").without("apns-expiration"));
    a_device_token_in_upper_case_is_taken(|push| push.device(&DEVICE.to_uppercase()));
    a_longer_device_token_is_taken(|push| push.device(&"ab".repeat(200)));
    a_voip_push_to_its_own_topic_is_taken(|push| {
        push.set("apns-push-type", "voip").set("apns-topic", "com.example.bank.voip")
    });
}

rules! { refused:
    another_method_is_not_allowed(|push| push.method(Method::PUT)) => 405 "MethodNotAllowed";
    another_path_is_bad(|push| push.path("/3/devices/00")) => 404 "BadPath";
    a_path_below_a_device_is_bad(|push| push.path("/3/device/00ff/more")) => 404 "BadPath";
    the_broadcast_path_is_bad_here(|push| push.path("/4/broadcasts/apps/com.example.bank")) => 404 "BadPath";
    a_path_without_a_token_misses_it(|push| push.path("/3/device/")) => 400 "MissingDeviceToken";
    a_path_that_ends_at_device_misses_the_token(|push| push.path("/3/device")) => 400 "MissingDeviceToken";
    a_token_that_is_not_hex_is_bad(|push| push.device("zz00")) => 400 "BadDeviceToken";
    a_token_of_half_a_byte_is_bad(|push| push.device("abc")) => 400 "BadDeviceToken";
    an_endless_token_is_bad(|push| push.device(&"a".repeat(402))) => 400 "BadDeviceToken";
    a_doubled_header_is_refused(|push| push.also("apns-topic", "com.example.bank")) => 400 "DuplicateHeaders";
    a_doubled_authorization_is_refused(|push| push.also("authorization", "bearer x")) => 400 "DuplicateHeaders";
    a_missing_topic_is_named(|push| push.without("apns-topic")) => 400 "MissingTopic";
    an_empty_topic_is_missing(|push| push.set("apns-topic", "")) => 400 "MissingTopic";
    a_malformed_topic_is_bad(|push| push.set("apns-topic", "com example")) => 400 "BadTopic";
    a_voip_push_to_the_plain_topic_is_bad(|push| push.set("apns-push-type", "voip")) => 400 "BadTopic";
    a_topic_of_another_team_is_disallowed(|push| push.set("apns-topic", "com.example.other")) => 400 "TopicDisallowed";
    an_unknown_push_type_is_invalid(|push| push.set("apns-push-type", "loud")) => 400 "InvalidPushType";
    a_missing_push_type_is_invalid(|push| push.without("apns-push-type")) => 400 "InvalidPushType";
    an_alert_that_shows_nothing_is_invalid(|push| push.body(r#"{"aps":{"content-available":1}}"#)) => 400 "InvalidPushType";
    a_background_push_that_shows_something_is_invalid(|push| {
        push.background().body(r#"{"aps":{"content-available":1,"alert":"x"}}"#)
    }) => 400 "InvalidPushType";
    an_unknown_priority_is_bad(|push| push.set("apns-priority", "7")) => 400 "BadPriority";
    a_background_push_of_priority_10_is_bad(|push| push.background().set("apns-priority", "10")) => 400 "BadPriority";
    a_background_push_without_priority_is_bad(|push| push.background().without("apns-priority")) => 400 "BadPriority";
    an_expiration_that_is_no_number_is_bad(|push| push.set("apns-expiration", "soon")) => 400 "BadExpirationDate";
    a_fractional_expiration_is_bad(|push| push.set("apns-expiration", "1732233600.5")) => 400 "BadExpirationDate";
    a_negative_expiration_is_bad(|push| push.set("apns-expiration", "-1")) => 400 "BadExpirationDate";
    a_collapse_id_of_65_bytes_is_bad(|push| push.set("apns-collapse-id", &"c".repeat(65))) => 400 "BadCollapseId";
    an_id_that_is_no_uuid_is_bad(|push| push.set("apns-id", "1234")) => 400 "BadMessageId";
    an_id_in_upper_case_is_bad(|push| push.set("apns-id", "123E4567-E89B-82D3-A456-426614174000")) => 400 "BadMessageId";
    an_id_without_hyphens_is_bad(|push| push.set("apns-id", "123e4567e89b82d3a456426614174000")) => 400 "BadMessageId";
    an_empty_payload_is_named(|push| push.body("")) => 400 "PayloadEmpty";
    a_payload_that_is_no_json_is_empty(|push| push.body("{aps")) => 400 "PayloadEmpty";
    a_payload_that_is_a_list_is_empty(|push| push.body("[]")) => 400 "PayloadEmpty";
    a_payload_without_aps_is_empty(|push| push.body(r#"{"t":"1"}"#)) => 400 "PayloadEmpty";
    a_payload_of_4097_bytes_is_too_large(|push| push.body(payload_of(4_097))) => 413 "PayloadTooLarge";
    a_payload_beyond_all_bounds_is_too_large(|push| push.body(payload_of(1_000_000))) => 413 "PayloadTooLarge";
}

fn payload_of(bytes: usize) -> String {
    let frame = r#"{"aps":{"alert":""}}"#.len();
    format!(r#"{{"aps":{{"alert":"{}"}}}}"#, "x".repeat(bytes - frame))
}

#[tokio::test]
async fn the_id_of_a_push_is_echoed() {
    let rig = ApnsRig::start().await;
    let id = "123e4567-e89b-82d3-a456-426614174000";
    let answer = rig.send(rig.push().set("apns-id", id)).await;
    assert_eq!(answer.header("apns-id"), Some(id));
}

#[tokio::test]
async fn the_id_is_echoed_with_a_refusal_too() {
    let rig = ApnsRig::start().await;
    let id = "123e4567-e89b-82d3-a456-426614174000";
    let answer = rig.send(rig.push().set("apns-id", id).without("apns-topic")).await;
    assert_eq!(answer.header("apns-id"), Some(id));
}

#[tokio::test]
async fn a_push_without_an_id_is_given_one() {
    let rig = ApnsRig::start().await;
    let answer = rig.send(rig.push()).await;
    assert_eq!(answer.header("apns-id").unwrap().len(), 36);
    assert!(answer.header("apns-unique-id").is_none(), "only the sandbox names a unique id");
}

#[tokio::test]
async fn a_host_header_in_place_of_the_authority_is_taken() {
    let rig = ApnsRig::start().await;
    let mut request = rig.push().also("host", "api.push.apple.com").request();
    *request.uri_mut() = format!("/3/device/{DEVICE}").parse().unwrap();
    let answer = rig.client().await.send(request).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn a_request_for_no_host_is_no_http() {
    let rig = ApnsRig::start().await;
    let mut request = rig.push().request();
    *request.uri_mut() = format!("/3/device/{DEVICE}").parse().unwrap();
    let error = rig.client().await.send(request).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
}

#[tokio::test]
async fn a_token_of_another_app_is_not_for_the_topic() {
    let rig = ApnsRig::start().await;
    rig.server.devices().register(DEVICE, "com.example.wallet").unwrap();
    let answer = rig.send(rig.push()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "DeviceTokenNotForTopic"));
}

#[tokio::test]
async fn a_token_of_the_other_environment_is_bad() {
    let rig = ApnsRig::start().await;
    rig.server.devices().mark_bad(DEVICE).unwrap();
    let answer = rig.send(rig.push()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "BadDeviceToken"));
}

#[tokio::test]
async fn an_unknown_token_is_bad_where_only_known_ones_are_taken() {
    let rig =
        ApnsRig::start_with(|options| options.unknown_tokens = tocsin_mock::UnknownTokens::Refuse).await;
    let answer = rig.send(rig.push()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "BadDeviceToken"));
    rig.server.devices().register(DEVICE, super::rig::TOPIC).unwrap();
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn an_unregistered_token_is_gone_with_the_time_in_milliseconds() {
    let rig = ApnsRig::start().await;
    rig.server.devices().unregister(DEVICE, 1_732_233_600_123).unwrap();
    let answer = rig.send(rig.push()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (410, "Unregistered"));
    assert_eq!(answer.json()["timestamp"], 1_732_233_600_123_u64);
}

#[tokio::test]
async fn an_expired_token_is_gone_with_the_time_in_milliseconds() {
    let rig = ApnsRig::start().await;
    rig.server.devices().expire(DEVICE, 1_732_233_600_123).unwrap();
    let answer = rig.send(rig.push()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (410, "ExpiredToken"));
    assert_eq!(answer.json()["timestamp"], 1_732_233_600_123_u64);
}

#[tokio::test]
async fn a_token_that_comes_back_is_taken_again() {
    let rig = ApnsRig::start().await;
    rig.server.devices().unregister(DEVICE, 1).unwrap();
    rig.server.devices().register(DEVICE, super::rig::TOPIC).unwrap();
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
}
