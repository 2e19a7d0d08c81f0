//! Scripted faults of FCM, over HTTP/2 and HTTP/1.1.

use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tocsin_mock::{Fault, FcmRefusal, Repeat};

use super::client::{DEADLINE, tls};
use super::rig::{FcmRig, message};

/// Each documented refusal with its status and the code that stands for it.
fn documented() -> Vec<(FcmRefusal, u16, &'static str)> {
    let retry_after = Some("7".to_owned());
    vec![
        (FcmRefusal::InvalidToken, 400, "INVALID_ARGUMENT"),
        (FcmRefusal::Unauthenticated, 401, "UNAUTHENTICATED"),
        (FcmRefusal::ThirdPartyAuthError, 401, "THIRD_PARTY_AUTH_ERROR"),
        (FcmRefusal::SenderIdMismatch, 403, "SENDER_ID_MISMATCH"),
        (FcmRefusal::PermissionDenied, 403, "PERMISSION_DENIED"),
        (FcmRefusal::Unregistered, 404, "UNREGISTERED"),
        (FcmRefusal::ProjectNotFound, 404, "NOT_FOUND"),
        (FcmRefusal::QuotaExceeded { retry_after: retry_after.clone() }, 429, "QUOTA_EXCEEDED"),
        (FcmRefusal::Internal, 500, "INTERNAL"),
        (FcmRefusal::Unavailable { retry_after }, 503, "UNAVAILABLE"),
    ]
}

#[tokio::test]
async fn every_documented_refusal_can_be_scripted() {
    let rig = FcmRig::start().await;
    let mut client = rig.client().await;
    for (refusal, status, code) in documented() {
        rig.server.faults().for_next(1, Fault::Refuse(refusal)).unwrap();
        let answer = client.send(rig.request(&message())).await.unwrap();
        let error = &answer.json()["error"];
        let told = error["details"][0]["errorCode"].as_str().or(error["status"].as_str());
        assert_eq!((answer.status.as_u16(), told), (status, Some(code)));
    }
}

#[tokio::test]
async fn a_quota_and_an_outage_say_when_to_retry() {
    let rig = FcmRig::start().await;
    for refusal in [
        FcmRefusal::QuotaExceeded { retry_after: Some("7".to_owned()) },
        FcmRefusal::Unavailable { retry_after: Some("7".to_owned()) },
    ] {
        rig.server.faults().for_next(1, Fault::Refuse(refusal)).unwrap();
        assert_eq!(rig.send(&message()).await.header("retry-after"), Some("7"));
    }
}

#[tokio::test]
async fn a_quota_without_retry_after_leaves_the_header_out() {
    let rig = FcmRig::start().await;
    rig.server.faults().for_next(1, Fault::Refuse(FcmRefusal::QuotaExceeded { retry_after: None })).unwrap();
    assert_eq!(rig.send(&message()).await.header("retry-after"), None);
}

#[tokio::test]
async fn an_answer_without_details_goes_out_byte_for_byte() {
    let rig = FcmRig::start().await;
    let status = StatusCode::BAD_GATEWAY;
    let refusal = FcmRefusal::Undocumented { status, body: String::new() };
    rig.server.faults().for_next(1, Fault::Refuse(refusal)).unwrap();
    let answer = rig.send(&message()).await;
    assert_eq!((answer.status, answer.body.len()), (status, 0));
}

#[tokio::test]
async fn a_fault_for_one_token_leaves_the_others_alone() {
    let rig = FcmRig::start().await;
    let fault = Fault::Refuse(FcmRefusal::Internal);
    rig.server.faults().for_target("other:token", Repeat::Always, fault).unwrap();
    assert_eq!(rig.send(&message()).await.status.as_u16(), 200);
    let mut other = message();
    other["message"]["token"] = "other:token".into();
    assert_eq!(rig.send(&other).await.status.as_u16(), 500);
}

#[tokio::test]
async fn goaway_and_refused_streams_leave_a_send_unprocessed() {
    let rig = FcmRig::start().await;
    let go_away = Fault::GoAway { debug_data: "session_timed_out".to_owned(), processed: false };
    rig.server.faults().for_next(1, go_away).unwrap();
    let error = rig.client().await.send(rig.request(&message())).await.unwrap_err();
    assert!(error.is_go_away(), "{error:?}");
    rig.server.faults().for_next(1, Fault::RefuseStream).unwrap();
    let error = rig.client().await.send(rig.request(&message())).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    assert_eq!((rig.server.pushes().accepted(), rig.server.pushes().unprocessed()), (0, 2));
}

#[tokio::test]
async fn the_stream_limit_is_100_from_the_start() {
    let rig = FcmRig::start().await;
    let client = rig.client().await;
    client.until_limit(100).await;
}

/// Sends one right message over HTTP/1.1.
async fn send_http1(rig: &FcmRig) -> hyper::Result<(StatusCode, serde_json::Value)> {
    let tls = tls(&rig.authority, rig.server.addr(), &[b"http/1.1"]).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    let driver = tokio::spawn(connection);
    let mut request = rig.request(&message()).map(Full::new);
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    *request.uri_mut() = request.uri().path().parse().unwrap();
    let response = tokio::time::timeout(DEADLINE, sender.send_request(request)).await.expect("no answer")?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, serde_json::from_slice(&body).unwrap()))
}

#[tokio::test]
async fn http_1_is_taken_with_the_same_rules() {
    let rig = FcmRig::start().await;
    let (status, body) = send_http1(&rig).await.unwrap();
    assert_eq!(status.as_u16(), 200);
    assert!(body["name"].as_str().unwrap().starts_with("projects/example-bank/messages/"));
    rig.server.registrations().unregister("dXNlcjE:APA91b-token_1").unwrap();
    assert_eq!(send_http1(&rig).await.unwrap().0.as_u16(), 404);
}

#[tokio::test]
async fn a_cut_over_http_1_ends_the_connection() {
    let rig = FcmRig::start().await;
    rig.server.faults().for_next(1, Fault::CutAfterReading).unwrap();
    assert!(send_http1(&rig).await.is_err());
    assert_eq!(rig.server.pushes().unprocessed(), 1);
}
