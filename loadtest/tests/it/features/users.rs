//! Users: their profiles and their erasure.

use serde_json::{Value, json};
use tocsin_loadtest::phone::Approval;
use tocsin_loadtest::{HttpClient, PhoneKind};
use tocsin_model::Decision;

use super::Scene;
use super::approval::{fetch, view_path};
use super::operations::{TOKEN, operated_of, shown};
use super::scene::{CATALOGUE, SOON};

const ALICE: &str = "/v1/users/alice";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_kept_replaced_and_gone() {
    let mut scene = Scene::open().await;
    scene.portal("GET", ALICE, None).await.expect_problem(404, "not_found");
    let profile = json!({"phone_number": "+15055551234", "email": "alice@example.com", "language": "de-CH"});
    assert_eq!(scene.portal("PUT", ALICE, Some(&profile)).await.expect(200), profile);
    scene.kill().await;
    scene.start().await;
    assert_eq!(scene.portal("GET", ALICE, None).await.expect(200), profile);
    let path = "/v1/users/alice%40retail";
    assert_eq!(scene.portal("GET", path, None).await.expect(200), profile, "the same user");
    let less = json!({"email": "a.b+c@mail.example.co.uk"});
    assert_eq!(scene.portal("PUT", ALICE, Some(&less)).await.expect(200), less);
    assert_eq!(scene.portal("GET", ALICE, None).await.expect(200), less, "what it lacks is removed");
    scene.portal("DELETE", ALICE, None).await.expect(204);
    scene.portal("GET", ALICE, None).await.expect_problem(404, "not_found");
    scene.portal("DELETE", ALICE, None).await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_takes_nothing_that_is_no_address() {
    let scene = Scene::open().await;
    for (field, value) in [
        ("phone_number", "0505"),
        ("phone_number", "15055551234"),
        ("phone_number", "+1 505 555 1234"),
        ("phone_number", "+15055551234\r\nBcc: x"),
        ("email", "alice"),
        ("email", "alice@example.com\r\nBcc: bob@example.com"),
        ("email", "Alice <alice@example.com>"),
        ("language", "not a tag"),
        ("language", "de\n"),
    ] {
        let refused = scene.portal("PUT", ALICE, Some(&json!({ field: value }))).await;
        let problem = refused.expect_problem(422, "invalid_field");
        assert_eq!(problem["field"], field, "{value:?}");
        assert!(!problem.to_string().contains("Bcc"), "{problem}");
    }
    for (body, code) in [
        (json!({"phone": "+15055551234"}), "unknown_field"),
        (json!({"email": 7}), "invalid_request"),
        (json!(["email"]), "invalid_request"),
    ] {
        scene.portal("PUT", ALICE, Some(&body)).await.expect_problem(400, code);
    }
    scene
        .portal("PUT", "/v1/users/alice?realm=moon", Some(&json!({})))
        .await
        .expect_problem(404, "not_found");
    scene.portal("GET", ALICE, None).await.expect_problem(404, "not_found");
}

/// All that is open ends, all that answers is gone, and who waits is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_takes_profile_devices_and_open_transactions() {
    let mut scene = operated_of(CATALOGUE).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    scene.portal("PUT", ALICE, Some(&json!({"language": "de"}))).await.expect(200);
    let accepted = scene.begin("payment", "alice").await;
    let challenge = fetch(&phone, accepted).await;
    phone.phone.answer_by(&challenge, Decision::Accept, Approval::Device, None).await.expect("a reply");
    let (open, other) = (scene.begin("payment", "alice").await, scene.begin("login", "alice").await);
    let challenge = fetch(&phone, open).await;
    let waiting = format!("{}?wait_s=30", view_path(open));
    let (waited, erased) =
        tokio::join!(scene.portal("GET", &waiting, None), scene.portal("DELETE", ALICE, None));
    erased.expect(204);
    let ended = waited.expect(200);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("user_deleted")), "{ended}");
    assert_eq!(scene.view(other).await["reason"], "user_deleted");
    assert_eq!(scene.view(accepted).await["state"], "accepted", "what has ended stays as it ended");
    // The phone is nobody's any more: its answer, its list and its key lead nowhere.
    let late = phone.phone.answer_by(&challenge, Decision::Accept, Approval::Device, None).await;
    assert_eq!(late.expect("a reply").status, 401);
    let devices = scene.portal("GET", "/v1/users/alice/devices", None).await.expect(200);
    assert_eq!(devices["items"], json!([]));
    let start = json!({"type": "payment", "user": "alice"});
    scene.portal("POST", "/v1/transactions", Some(&start)).await.expect_problem(422, "no_device");
    // All of it after a crash, too; and whoever comes back begins anew.
    scene.kill().await;
    scene.start().await;
    assert_eq!(scene.view(open).await["reason"], "user_deleted");
    let _again = scene.enrol(PhoneKind::Iphone, "alice").await;
    scene.begin("payment", "alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_erasure_the_trail_keeps_a_pseudonym_and_is_sound() {
    let scene = operated_of(CATALOGUE).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    scene.begin("login", "alice").await;
    let rows = async |query: &str| {
        let path = format!("/v1/admin/audit?limit=1000{query}");
        shown(&scene, &path).await["items"].as_array().expect("items").clone()
    };
    let before = rows("&user=alice").await;
    let pseudonym = before[0]["pseudonym"].as_str().expect("a pseudonym").to_owned();
    assert!(before.len() >= 4 && before.iter().all(|row| row["user"]["id"] == "alice"), "{before:?}");
    assert!(before.iter().all(|row| row["pseudonym"] == pseudonym));
    scene.portal("DELETE", ALICE, None).await.expect(204);
    assert!(rows("&user=alice").await.is_empty());
    let all = rows("").await;
    assert!(!Value::from(all.clone()).to_string().contains("alice"), "{all:?}");
    let his = rows(&format!("&pseudonym={pseudonym}")).await;
    let events: Vec<&str> = his.iter().map(|row| row["event"].as_str().expect("an event")).collect();
    for event in ["user_erased", "transaction_ended", "device_revoked", "transaction_started"] {
        assert!(events.contains(&event), "{events:?}");
    }
    assert!(his.len() >= before.len() + 3 && his.iter().all(|row| row.get("user").is_none()));
    assert_eq!(shown(&scene, "/v1/admin/audit/verify").await["sound"], true);
    let wrong = scene.ops("GET", "/v1/admin/audit?pseudonym=alice", Some(TOKEN), None).await;
    assert_eq!(wrong.expect_problem(422, "invalid_field")["field"], "pseudonym");
}

/// An activation code that was given out before makes no phone of somebody erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_not_undone_by_an_old_activation_code() {
    let scene = Scene::open().await;
    let opened = scene.portal.open_enrollment("alice", "bank").await.expect("opened");
    scene.portal("DELETE", ALICE, None).await.expect(204);
    let mut phone = scene.phone_of("alice");
    let code = opened.activation_code.expect("a code");
    assert!(phone.enrol(&code).await.is_err());
    let devices = scene.portal("GET", "/v1/users/alice/devices", None).await.expect(200);
    assert_eq!(devices["items"], json!([]));
}

/// Starts and an erasure at the same moment: whatever was begun has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_begins_beside_an_erasure_stays_open() {
    let scene = Scene::open().await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let start = json!({"type": "payment", "user": "alice"});
    let starts = futures_util::future::join_all(
        (0..8).map(|_| scene.portal("POST", "/v1/transactions", Some(&start))),
    );
    let (starts, erased) = tokio::join!(starts, scene.portal("DELETE", ALICE, None));
    erased.expect(204);
    for started in starts {
        assert!(matches!(started.status, 201 | 422), "{}", started.body);
    }
    let pending = scene.portal("GET", "/v1/transactions?user=alice&state=pending", None).await.expect(200);
    assert_eq!(pending["items"], json!([]));
}

/// The server dies at some moment of an erasure: then all of it is done or none, and the same call again does the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_a_crash_cuts_short_is_whole_when_it_is_repeated() {
    let mut scene = Scene::open().await;
    let profile = json!({"email": "alice@example.com"});
    for milliseconds in [0, 2, 5, 12] {
        let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
        scene.portal("PUT", ALICE, Some(&profile)).await.expect(200);
        scene.begin("payment", "alice").await;
        let credentials = scene.installation.credentials();
        let pair = format!("{}:{}", credentials.client_id, credentials.secret);
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
        let erasing = http::Request::delete(format!("{}{ALICE}", scene.installation.portal_url()))
            .header("authorization", format!("Basic {basic}"))
            .body(bytes::Bytes::new())
            .expect("a request");
        let erasing = tokio::spawn(async move { HttpClient::new().call(erasing, SOON).await });
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        scene.kill().await;
        let told = erasing.await.expect("it ran").is_ok_and(|reply| reply.status == 204);
        scene.start().await;
        let items = async |path: &str| {
            let list = scene.portal("GET", path, None).await.expect(200);
            list["items"].as_array().map(Vec::len).expect("items")
        };
        let left = async || {
            let profile = scene.portal("GET", ALICE, None).await.status == 200;
            let pending = items("/v1/transactions?user=alice&state=pending").await;
            (profile, items("/v1/users/alice/devices").await, pending)
        };
        let found = left().await;
        assert!(found == (false, 0, 0) || (!told && found == (true, 1, 1)), "{found:?} {told}");
        scene.portal("DELETE", ALICE, None).await.expect(204);
        assert_eq!(left().await, (false, 0, 0));
    }
}
