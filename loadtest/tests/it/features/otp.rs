//! Anonymous logins: a one-time password on the portal's screen, claimed by a phone for its user.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{PhoneError, PhoneReply};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_model::{Decision, TransactionId};

use super::Scene;
use super::enrolment::read_png;
use super::operations::{edit, operated_as, refused, tocsin};
use super::scene::SceneOptions;
use crate::python_phone::PythonPhone;

/// Two realms and two apps, of which some types list one.
const CATALOGUE: &str = r#"
[realms.retail]
[realms.staff]
[types.login]
[types.told]
report_lock_s = 3600
[types.qr]
method = "otp"
apps = ["bank"]
realms = ["retail"]
[types.qr-pin]
method = "otp"
keys = ["pin"]
[types.qr-origin]
method = "otp"
show_origin = true
[types.qr-short]
method = "otp"
ttl_s = 2
[apps.bank]
pin_attempts_max = 3
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
[apps.shop.ios]
bundle_id = "com.example.bank"
"#;

/// A pending anonymous transaction.
struct Shown {
    id: TransactionId,
    otp: String,
    view: Value,
}

fn options() -> SceneOptions {
    let client = "default_realm = \"retail\"\n".to_owned();
    SceneOptions { catalogue: Some(CATALOGUE.to_owned()), client, ..SceneOptions::default() }
}

async fn open() -> Scene {
    Scene::with(options()).await
}

async fn show(scene: &Scene, body: Value) -> Shown {
    let view = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
    let text = |name: &str| view[name].as_str().unwrap_or_else(|| panic!("no {name} in {view}")).to_owned();
    Shown { id: text("id").parse().expect("an id"), otp: text("otp"), view }
}

async fn claim(phone: &Handset, otp: &str) -> PhoneReply {
    phone.phone.send_claim(otp).await.expect("a reply")
}

#[track_caller]
fn assert_refused(reply: &PhoneReply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.body["code"].as_str()), (status, Some(code)), "{:?}", reply.body);
}

/// A phone that gives its push address back can still answer what it claims, and nothing once it has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_028_disenrol_push_only() {
    let scene = open().await;
    let alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let none = json!({"kind": "none"}).to_string().into_bytes();
    assert_eq!(alice.phone.call("PUT", "/device/v1/push", none).await.expect("a reply").status, 200);
    let pushed =
        scene.portal("POST", "/v1/transactions", Some(&json!({"type": "login", "user": "alice"}))).await;
    pushed.expect_problem(422, "no_device");
    let shown = show(&scene, json!({"type": "qr"})).await;
    let challenge = alice.phone.claim(&shown.otp).await.expect("its challenge");
    assert_eq!(alice.phone.answer(&challenge, Decision::Accept).await.expect("taken"), "accepted");
    assert_eq!(scene.outcome(shown.id).await["user"], json!({"id": "alice", "realm": "retail"}));

    assert_eq!(
        alice.phone.call("DELETE", "/device/v1/device", Vec::new()).await.expect("a reply").status,
        204
    );
    let pushed =
        scene.portal("POST", "/v1/transactions", Some(&json!({"type": "login", "user": "alice"}))).await;
    pushed.expect_problem(422, "no_device");
    let shown = show(&scene, json!({"type": "qr"})).await;
    assert_refused(&claim(&alice, &shown.otp).await, 403, "device_revoked");
    assert_eq!(scene.view(shown.id).await["user"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_061_fallback_not_for_otp() {
    refused_key("fallback = \"login\"", "fallback").await;
}

/// An OTP type has a method, a life, apps, realms and keys; texts, limits and gateways belong to other methods.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_068_otp_type_fields() {
    for (line, key) in [
        ("default_message = \"Hello\"", "default_message"),
        ("attempts_max = 3", "attempts_max"),
        ("resends_max = 1", "resends_max"),
    ] {
        refused_key(line, key).await;
    }
}

/// A reload and the check refuse an OTP type with this line.
async fn refused_key(line: &str, key: &str) {
    let scene = operated_as(options()).await;
    edit(&scene, "ttl_s = 2\n", &format!("ttl_s = 2\n{line}\n"));
    let fault = format!("types.qr-short.{key}: is not valid for method = \"otp\"");
    let faults = refused(&scene).await;
    assert!(faults.contains("tocsin.toml:") && faults.contains(&fault), "{faults}");
    let checked = tocsin(&scene, &["check"], &[]);
    assert_eq!(checked.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&checked.stderr).contains(&fault), "{checked:?}");
    show(&scene, json!({"type": "qr"})).await;
}

/// A start without a user answers with a password of 160 bits, another one each time; what names somebody is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_125_otp_init_anonymous() {
    let scene = open().await;
    let (first, second) =
        (show(&scene, json!({"type": "qr"})).await, show(&scene, json!({"type": "qr"})).await);
    assert_ne!(first.otp, second.otp);
    assert!(first.otp.len() == 32 && first.otp.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')));
    assert_eq!((&first.view["method"], &first.view["state"]), (&json!("otp"), &json!("pending")));
    assert_eq!((first.view.get("user"), &first.view["delivery"]), (None, &json!([])));
    assert_eq!(scene.view(first.id).await["otp"], first.otp, "whoever reads it may show it");
    for (field, value) in [
        ("user", json!("alice")),
        ("user", json!({"id": "alice", "realm": "retail"})),
        ("app", json!("bank")),
        ("delivery", json!(["push"])),
        ("device_id", json!("01913f4e-0000-7000-8000-000000000000")),
    ] {
        let body = json!({"type": "qr", field: value});
        let refused =
            scene.portal("POST", "/v1/transactions", Some(&body)).await.expect_problem(422, "invalid_field");
        assert_eq!(refused["field"], field);
    }
    let held = json!({"type": "qr", "wait_s": 5});
    scene.portal("POST", "/v1/transactions", Some(&held)).await.expect_problem(422, "wait_not_possible");
    let resent = scene.portal("POST", &format!("/v1/transactions/{}/resend", first.id), None).await;
    resent.expect_problem(422, "invalid_field");
    let nobody = scene.portal("POST", "/v1/transactions", Some(&json!({"type": "login"}))).await;
    assert_eq!(nobody.expect_problem(422, "field_required")["field"], "user");
}

/// The phone's claim ties the portal's session to the phone's user, and approves nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_126_otp_link() {
    let scene = open().await;
    let alice = scene.enrol_sealed(PhoneKind::Android, "alice").await;
    let body = json!({"type": "qr", "title": "Log in", "message": "Log in to the desk?",
        "details": [{"label": "Desk", "value": "7"}]});
    let shown = show(&scene, body).await;
    let challenge = alice.phone.claim(&shown.otp).await.expect("its challenge");
    assert_eq!(challenge.screen.message, "Log in to the desk?");
    let claimed = scene.view(shown.id).await;
    assert_eq!((&claimed["state"], &claimed["user"]["id"]), (&json!("pending"), &json!("alice")));
    assert_eq!(claimed.get("otp"), None, "a password that was used is shown no more");
    assert_eq!(alice.phone.list().await.expect("a list").len(), 1);
    assert_eq!(alice.phone.answer(&challenge, Decision::Accept).await.expect("taken"), "accepted");
    let ended = scene.outcome(shown.id).await;
    assert_eq!((&ended["user"], &ended["shown"]["user"]), (&claimed["user"], &claimed["user"]));
    assert_eq!(ended["answer"]["device_id"], alice.device_id().to_string());
    let listed = scene.portal("GET", "/v1/transactions?user=alice", None).await.expect(200);
    assert_eq!(listed["items"][0]["id"], shown.id.to_string());
}

/// One password, one phone, until the deadline: through a kill of the server, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_127_otp_single_use() {
    let mut scene = open().await;
    let alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let bob = scene.enrol(PhoneKind::Android, "bob").await;
    let (shown, free) =
        (show(&scene, json!({"type": "qr"})).await, show(&scene, json!({"type": "qr"})).await);
    let first = claim(&alice, &shown.otp).await;
    assert_eq!(first.status, 200, "{:?}", first.body);
    scene.kill().await;
    scene.start().await;
    assert_refused(&claim(&bob, &shown.otp).await, 409, "otp_used");
    let again = alice.phone.claim(&shown.otp).await.expect("the same again");
    assert_eq!(again.nonce, alice.phone.fetch(&shown.id.to_string()).await.expect("fetched").nonce);
    assert_eq!(scene.view(free.id).await["otp"], free.otp, "the other one is still free");
    assert_eq!(alice.phone.answer(&again, Decision::Decline).await.expect("taken"), "declined");
    assert_refused(&claim(&alice, &shown.otp).await, 409, "transaction_final");
    assert_refused(&claim(&bob, &shown.otp).await, 409, "otp_used");

    for unknown in ["A".repeat(32), shown.otp.to_lowercase(), String::new()] {
        assert_refused(&claim(&bob, &unknown).await, 404, "not_found");
    }
    scene.portal("DELETE", &format!("/v1/transactions/{}", free.id), None).await.expect(200);
    assert_refused(&claim(&bob, &free.otp).await, 404, "not_found");
    let expired = show(&scene, json!({"type": "qr-short"})).await;
    assert_eq!(scene.outcome(expired.id).await["state"], "timeout");
    assert_refused(&claim(&bob, &expired.otp).await, 404, "not_found");
}

/// Of many phones that claim at once one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_phones_that_claim_at_once_one_gets_it() {
    let scene = open().await;
    let mut phones = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        phones.push(scene.enrol(PhoneKind::Iphone, user).await);
    }
    for _ in 0..5 {
        let shown = show(&scene, json!({"type": "qr"})).await;
        let racing = phones.iter().map(|phone| {
            let (phone, otp) = (phone.phone.clone(), shown.otp.clone());
            tokio::spawn(async move { phone.send_claim(&otp).await.expect("a reply") })
        });
        let racing: Vec<_> = racing.collect();
        let mut winners = Vec::new();
        for (racer, phone) in racing.into_iter().zip(&phones) {
            let reply = racer.await.expect("it ran");
            match reply.status {
                200 => winners.push(phone.user()),
                _ => assert_refused(&reply, 409, "otp_used"),
            }
        }
        let claimer = scene.view(shown.id).await["user"]["id"].clone();
        assert_eq!(winners, [claimer.as_str().expect("somebody")]);
    }
}

/// A phone that was never given a push address claims and answers; one without the type's key leaves it free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_128_otp_needs_keys() {
    let scene = open().await;
    let opened = scene.portal.open_enrollment("alice", "bank").await.expect("an enrolment");
    let mut bare = scene.phone_of("alice");
    bare.enrol(opened.activation_code.as_deref().expect("a code")).await.expect("enrolled");
    let shown = show(&scene, json!({"type": "qr"})).await;
    let challenge = bare.claim(&shown.otp).await.expect("its challenge");
    assert_eq!(bare.answer(&challenge, Decision::Accept).await.expect("taken"), "accepted");

    let by_pin = show(&scene, json!({"type": "qr-pin"})).await;
    let refused = bare.send_claim(&by_pin.otp).await.expect("a reply");
    assert_refused(&refused, 403, "method_not_allowed");
    let bob = scene.enrol_with(PhoneKind::Iphone, "bob", |phone| phone.with_pin("1234")).await;
    let challenge = bob.phone.claim(&by_pin.otp).await.expect("its challenge");
    let wrong = bob.phone.answer(&challenge, Decision::Accept).await;
    assert!(
        matches!(wrong, Err(PhoneError::Problem { status: 403, .. })),
        "not by the device key: {wrong:?}"
    );
    assert_eq!(scene.view(by_pin.id).await["attempts"], json!({"used": 0, "max": 3}));
    let stranger = scene.phone_of("carol");
    assert!(stranger.send_claim(&by_pin.otp).await.is_ok_and(|reply| reply.status == 401), "never enrolled");
}

/// The picture holds the password, until a phone has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_129_otp_qr_render() {
    let scene = open().await;
    let alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let shown = show(&scene, json!({"type": "qr"})).await;
    let path = format!("/v1/transactions/{}/qr.png", shown.id);
    let picture = scene.portal("GET", &path, None).await;
    assert_eq!(picture.status, 200);
    assert_eq!(picture.reply.headers["cache-control"], "no-store");
    let read = read_png(&picture.reply.body);
    assert_eq!(read, shown.otp);
    let challenge = alice.phone.claim(&read).await.expect("what the camera saw");
    scene.portal("GET", &path, None).await.expect_problem(409, "otp_used");
    assert_eq!(alice.phone.answer(&challenge, Decision::Report).await.expect("taken"), "reported");
    scene.portal("GET", &path, None).await.expect_problem(409, "transaction_final");
}

/// Only an app and a realm that the type lists can claim it; all others hear that there is no such password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_of_another_app_or_realm_knows_no_such_password() {
    let scene = open().await;
    let shop = scene.enrol_app("shop", "alice").await;
    let staff = scene.enrol(PhoneKind::Android, "bob@staff").await;
    let shown = show(&scene, json!({"type": "qr"})).await;
    for phone in [&shop, &staff] {
        assert_refused(&claim(phone, &shown.otp).await, 404, "not_found");
    }
    assert_eq!(scene.view(shown.id).await["otp"], shown.otp);
    let any = show(&scene, json!({"type": "qr-origin"})).await;
    assert_eq!(claim(&staff, &any.otp).await.status, 200, "this type lists nobody, so it takes all");
    assert_eq!(scene.view(any.id).await["user"], json!({"id": "bob", "realm": "staff"}));
}

/// The phone shows where the portal's visitor calls from, and its signature covers that and the user it made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_claimer_sees_the_origin_and_signs_it() {
    let scene = open().await;
    let alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let body = json!({"type": "qr-origin", "context": {"ip_address": "203.0.113.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}});
    let shown = show(&scene, body).await;
    let challenge = alice.phone.claim(&shown.otp).await.expect("its challenge");
    let context = challenge.screen.context.clone().expect("an origin");
    assert!(context.contains("Firefox"), "{context}");
    assert_eq!(alice.phone.answer(&challenge, Decision::Accept).await.expect("taken"), "accepted");
    assert_eq!(scene.outcome(shown.id).await["shown"]["context"], context);
}

/// A repeated start with its key is the same transaction, which also a restart does not change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_its_key_again_shows_the_same_password() {
    let mut scene = open().await;
    let again = async |scene: &Scene| {
        let credentials = scene.installation.credentials();
        let pair = format!("{}:{}", credentials.client_id, credentials.secret);
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
        let request = http::Request::post(format!("{}/v1/transactions", scene.installation.portal_url()))
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/json")
            .header("idempotency-key", "screen-7")
            .body(bytes::Bytes::from(json!({"type": "qr"}).to_string()));
        scene.call(request.expect("a request")).await
    };
    let first = again(&scene).await.expect(201);
    scene.kill().await;
    scene.start().await;
    let second = again(&scene).await.expect(200);
    assert_eq!((&second["id"], &second["otp"]), (&first["id"], &first["otp"]));
}

/// An implementation in another language claims and approves, from the protocol's page alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_in_python_claims_and_approves() {
    let scene = open().await;
    let python = PythonPhone::new(scene.folder());
    let opened = scene.portal.open_enrollment("alice", "bank").await.expect("an enrolment");
    let code = opened.activation_code.as_deref().expect("a code");
    python.run(&["enrol", "--issuer", scene.installation.device_url(), "--code", code, "--app", "bank"]);
    let shown = show(&scene, json!({"type": "qr", "message": "Zürich?"})).await;
    let claimed = python.run(&["claim", &shown.otp]);
    assert_eq!(
        (&claimed["id"], &claimed["shown"]["message"]),
        (&json!(shown.id.to_string()), &json!("Zürich?"))
    );
    assert_eq!(claimed["shown"]["user"], json!({"id": "alice", "realm": "retail"}));
    assert_eq!(python.run(&["answer", &shown.id.to_string(), "accept"])["state"], "accepted");
    assert_eq!(scene.outcome(shown.id).await["user"]["id"], "alice");
    assert!(python.refused(&["claim", "nonsense"]).contains("404 not_found"));
}

/// The audit trail names the claimer, and neither it nor log nor metrics hold the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_audited_and_counted_and_its_password_stands_nowhere() {
    let scene = operated_as(options()).await;
    let alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let bob = scene.enrol(PhoneKind::Android, "bob").await;
    let shown = show(&scene, json!({"type": "qr"})).await;
    assert_eq!(claim(&alice, &shown.otp).await.status, 200);
    assert_eq!(claim(&alice, &shown.otp).await.status, 200);
    assert_refused(&claim(&bob, &shown.otp).await, 409, "otp_used");
    let path = format!("/v1/admin/audit?transaction={}", shown.id);
    let trail = super::operations::shown(&scene, &path).await;
    let rows = trail["items"].as_array().expect("rows");
    let [claimed] = rows.iter().filter(|row| row["event"] == "otp_claimed").collect::<Vec<_>>()[..] else {
        panic!("{trail}")
    };
    assert_eq!(
        (&claimed["user"]["id"], &claimed["device_id"]),
        (&json!("alice"), &json!(alice.device_id().to_string()))
    );
    let metrics = scene.ops("GET", "/metrics", None, None).await.reply.body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    for line in [
        "tocsin_otp_claims_total{result=\"claimed\"} 1",
        "tocsin_otp_claims_total{result=\"repeated\"} 1",
        "tocsin_otp_claims_total{result=\"otp_used\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let log = std::fs::read_to_string(scene.installation.log_file()).expect("a log");
    for (place, text) in [("log", &log), ("metrics", &metrics), ("audit", &trail.to_string())] {
        assert!(!text.contains(&shown.otp), "the password stands in the {place}");
    }
}

/// Nothing is claimed for somebody who is locked; the password stays free for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_user_claims_nothing() {
    let scene = open().await;
    let alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let bob = scene.enrol(PhoneKind::Android, "bob").await;
    let shown = show(&scene, json!({"type": "qr"})).await;
    let told = scene.begin("told", "alice").await;
    let challenge = alice.phone.fetch(&told.to_string()).await.expect("its challenge");
    assert_eq!(alice.phone.answer(&challenge, Decision::Report).await.expect("taken"), "reported");
    let refused = claim(&alice, &shown.otp).await;
    assert_refused(&refused, 403, "user_locked");
    assert!(
        refused.body["retry_after_ms"].as_u64().is_some_and(|wait| wait > 3_000_000),
        "{:?}",
        refused.body
    );
    assert_eq!(scene.view(shown.id).await["user"], Value::Null);
    assert_eq!(claim(&bob, &shown.otp).await.status, 200);
    scene.portal("DELETE", "/v1/users/alice/locks", None).await.expect(204);
    let again = show(&scene, json!({"type": "qr"})).await;
    assert_eq!(claim(&alice, &again.otp).await.status, 200);
}
