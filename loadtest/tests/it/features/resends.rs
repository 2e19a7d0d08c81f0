//! The push again, when the portal asks for it.

use serde_json::json;
use tocsin_loadtest::PhoneKind;

use super::Scene;
use super::approval::{KEYS, fetch, view_path};
use super::scene::SOON;

/// The push again: the same nonce and collapse id under a new push id, counted across a crash, with its limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_repeated_on_request() {
    let mut scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let id = scene.begin("plain", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    let nonce = fetch(&phone, id).await.nonce;
    let before = scene.view(id).await;
    let path = format!("{}/resend", view_path(id));
    let credentials = scene.installation.credentials();
    let pair = format!("{}:{}", credentials.client_id, credentials.secret);
    let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair));
    let keyed = |path: &str| {
        let request = http::Request::post(format!("{}{path}", scene.installation.portal_url()))
            .header("authorization", &basic)
            .header("idempotency-key", "once");
        request.body(bytes::Bytes::new()).expect("a request")
    };
    let view = scene.call(keyed(&path)).await.expect(200);
    assert_eq!(view["resends"], json!({"used": 1, "max": 2}));
    let repeated = scene.call(keyed(&path)).await.expect(200);
    assert_eq!(repeated["resends"]["used"], 1, "the same call again pushes nothing");
    assert_eq!(phone.next_push(SOON).await.expect("the push again"), id);
    let other = scene.begin("slow", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("the other's push"), other);
    let elsewhere = scene.call(keyed(&format!("{}/resend", view_path(other)))).await;
    elsewhere.expect_problem(422, "idempotency_mismatch");
    scene.portal("DELETE", &view_path(other), None).await.expect(200);
    assert_eq!(view["expires_at"], before["expires_at"], "its life is not extended");
    let records: Vec<_> = scene.world.apns.pushes().records();
    let of_this = |record: &&std::sync::Arc<tocsin_mock::PushRecord>| {
        record.header("apns-collapse-id").is_some_and(|found| found == id.to_string())
    };
    let records: Vec<_> = records.iter().filter(of_this).collect();
    let header = |name: &str| {
        records.iter().map(|record| record.header(name).expect(name).to_owned()).collect::<Vec<_>>()
    };
    let (ids, collapse_ids) = (header("apns-id"), header("apns-collapse-id"));
    assert_eq!(records.len(), 2);
    assert!(ids[0] != ids[1] && collapse_ids[0] == collapse_ids[1], "{ids:?} {collapse_ids:?}");
    assert_eq!(fetch(&phone, id).await.nonce, nonce);

    scene.kill().await;
    scene.start().await;
    scene.portal("POST", &path, None).await.expect(200);
    scene.portal("POST", &path, None).await.expect_problem(403, "resend_limit");
    scene.portal("DELETE", &view_path(id), None).await.expect(200);
    let late = scene.portal("POST", &path, None).await.expect_problem(409, "transaction_final");
    assert_eq!(late["state"], "cancelled");
    let slow = scene.begin("slow", "alice").await;
    let refused = scene.portal("POST", &format!("{}/resend", view_path(slow)), None).await;
    assert!(refused.reply.headers.contains_key("retry-after"));
    refused.expect_problem(429, "rate_limited");
}

/// As often as the type allows and not once more; where nothing was sent by us, nothing can be sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resends_end_at_the_types_limit() {
    const LIMITS: &str = r#"
[realms.retail]
[types.none]
resend_gap_s = 0
resends_max = 0
[types.one]
resend_gap_s = 0
resends_max = 1
[types.five]
resend_gap_s = 0
resends_max = 5
[apps.bank.ios]
bundle_id = "com.example.bank"
"#;
    let scene = Scene::of(LIMITS).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for (type_name, max) in [("none", 0), ("one", 1), ("five", 5)] {
        let id = scene.begin(type_name, "alice").await;
        let path = format!("{}/resend", view_path(id));
        assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
        for used in 1..=max {
            scene.until_relayed(id).await;
            let view = scene.portal("POST", &path, None).await.expect(200);
            assert_eq!(view["resends"], json!({"used": used, "max": max}));
            assert_eq!(phone.next_push(SOON).await.expect("the push again"), id);
        }
        scene.until_relayed(id).await;
        scene.portal("POST", &path, None).await.expect_problem(403, "resend_limit");
        let view = scene.view(id).await;
        assert_eq!((&view["state"], &view["resends"]["used"]), (&json!("pending"), &json!(max)), "{view}");
        scene.portal("DELETE", &view_path(id), None).await.expect(200);
    }
    let records = scene.world.apns.pushes().records();
    let is_prompt = |record: &&std::sync::Arc<tocsin_mock::PushRecord>| {
        record.payload_json().is_some_and(|payload| payload.get("closed").is_none())
    };
    assert_eq!(records.iter().filter(is_prompt).count(), 3 + 6);

    let handed_out = json!({"type": "five", "user": "alice", "delivery": ["request_message"]});
    let view = scene.portal("POST", "/v1/transactions", Some(&handed_out)).await.expect(201);
    let path = format!("/v1/transactions/{}/resend", view["id"].as_str().expect("an id"));
    scene.portal("POST", &path, None).await.expect_problem(422, "invalid_field");
    let unknown = "/v1/transactions/01913f00-1122-8b7f-bfff-ffffffffffff/resend";
    scene.portal("POST", unknown, None).await.expect_problem(404, "not_found");
    let told = scene.portal("POST", &path, Some(&json!({"count": 2}))).await;
    assert_eq!(told.expect_problem(400, "unknown_field")["field"], "count");
}
