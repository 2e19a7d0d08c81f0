//! What waits for a phone's answer, whether a push told it or not.

use serde_json::json;
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::Fault;
use tocsin_model::{Decision, TransactionId};

use super::Scene;
use super::approval::view_path;
use super::scene::SOON;

async fn waiting(phone: &Handset) -> Vec<String> {
    let listed = phone.phone.list().await.expect("a list");
    listed.into_iter().map(|challenge| challenge.transaction_id).collect()
}

/// The push is lost; the phone asks by itself, signed, and approves what it finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_103_device_poll() {
    let scene = Scene::open().await;
    let mut phone = scene.enrol(PhoneKind::Android, "alice").await;
    scene.world.fcm.faults().for_all(Fault::NeverAnswer).expect("scripted");
    let id = scene.begin("login", "alice").await;
    let unsigned = format!("{}/device/v1/transactions", scene.installation.device_url());
    let unsigned = http::Request::get(unsigned).body(bytes::Bytes::new()).expect("a request");
    scene.call(unsigned).await.expect_problem(401, "bad_proof");
    let forged = phone.phone.impostor().list().await.expect_err("another key");
    assert_eq!(forged.code(), Some("bad_proof"));
    let challenge = phone.phone.list().await.expect("a list").remove(0);
    assert_eq!(challenge.transaction_id, id.to_string());
    assert_eq!(phone.phone.answer(&challenge, Decision::Accept).await.expect("a state"), "accepted");
    assert_eq!(scene.outcome(id).await["state"], "accepted");
    let pushed = phone.next_push(std::time::Duration::ZERO).await;
    assert!(pushed.is_err(), "the network kept it: {pushed:?}");
}

/// Newest first; whatever way a request ends, it leaves the list, and the others stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_104_pending_queue() {
    let scene = Scene::open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let stranger = scene.enrol(PhoneKind::Iphone, "bob").await;
    assert!(waiting(&phone).await.is_empty());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(scene.begin("login", "alice").await);
    }
    let brief = json!({"type": "login", "user": "alice", "ttl_s": 2});
    let brief = scene.portal("POST", "/v1/transactions", Some(&brief)).await.expect(201);
    let brief: TransactionId = brief["id"].as_str().expect("an id").parse().expect("an id");
    let ended = scene.outcome(brief).await;
    assert_eq!(ended["state"], "timeout", "{ended}");
    let newest_first: Vec<String> = ids.iter().rev().map(TransactionId::to_string).collect();
    assert_eq!(waiting(&phone).await, newest_first, "what has run out is gone");
    assert!(waiting(&stranger).await.is_empty());

    for (id, decision) in [(ids[0], Decision::Accept), (ids[1], Decision::Decline)] {
        let challenge = phone.phone.fetch(&id.to_string()).await.expect("a challenge");
        phone.phone.answer(&challenge, decision).await.expect("a state");
    }
    assert_eq!(waiting(&phone).await, [ids[2].to_string()]);
    scene.portal("DELETE", &view_path(ids[2]), None).await.expect(200);
    assert!(waiting(&phone).await.is_empty());
}

/// The badge counts what waits for the user: one, two, and one again when the first is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_153_pending_badge() {
    let scene = Scene::open().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let other = scene.enrol(PhoneKind::Iphone, "bob").await;
    scene.begin("login", other.user()).await;
    let mut begun = Vec::new();
    for badge in [1, 2] {
        begun.push(scene.begin("login", "alice").await);
        let push = phone.next_record(SOON).await.expect("a push").payload_json().expect("JSON");
        assert_eq!(push["aps"]["badge"], json!(badge), "{push}");
    }
    for id in begun {
        scene.portal("DELETE", &view_path(id), None).await.expect(200);
    }
    scene.begin("login", "alice").await;
    let push = phone.next_record(SOON).await.expect("a push").payload_json().expect("JSON");
    assert_eq!(push["aps"]["badge"], json!(1), "{push}");
}
