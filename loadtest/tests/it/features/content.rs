//! What is shown, who may read it, and what the signature covers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tocsin_loadtest::phone::{Challenge, PhoneError, Refusal, Sealed};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::PushRecord;
use tocsin_model::Decision;

use super::Scene;
use super::scene::SOON;
use crate::python_phone::{PythonPhone, run_python};

/// Realms, types and apps; the second type puts title and message in clear into the push.
const CATALOGUE: &str = r#"
[realms.retail]
[types.login]
[types.loud]
push_text = "message"
[types.payment]
message_max = 400
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

async fn start(scene: &Scene, body: Value) -> Value {
    scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201)
}

async fn view(scene: &Scene, id: &str) -> Value {
    scene.portal("GET", &format!("/v1/transactions/{id}"), None).await.expect(200)
}

fn id_of(view: &Value) -> &str {
    view["id"].as_str().expect("an id")
}

/// The phone's own members of a push.
fn members(kind: PhoneKind, record: &PushRecord) -> Value {
    let payload = record.payload_json().expect("JSON");
    match kind {
        PhoneKind::Iphone => payload,
        PhoneKind::Android => payload["message"]["data"].clone(),
    }
}

/// The signed challenge of a phone without an encryption key, as it travels.
async fn fetched_text(phone: &Handset, id: &str) -> String {
    let reply = phone.phone.call("GET", &format!("/device/v1/transactions/{id}"), Vec::new()).await;
    reply.expect("a reply").body["challenge"].as_str().expect("a readable challenge").to_owned()
}

/// `compact` with one byte of its payload changed.
fn with_a_flipped_byte(compact: &str) -> String {
    let parts: Vec<&str> = compact.split('.').collect();
    let mut payload = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url");
    let middle = payload.len() / 2;
    payload[middle] ^= 1;
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(payload), parts[2])
}

fn refusal(read: Result<Challenge, PhoneError>) -> Refusal {
    match read {
        Err(PhoneError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// No confidential text stands in clear in any push: not for a phone that opens seals nor for one that does not,
/// and not for a type whose title and message do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_052_content_minimum() {
    let scene = Scene::of(CATALOGUE).await;
    let mut phones = Vec::new();
    for (kind, user) in [(PhoneKind::Iphone, "alice"), (PhoneKind::Android, "bob")] {
        phones.push(scene.enrol(kind, user).await);
    }
    for (kind, user) in [(PhoneKind::Iphone, "carol"), (PhoneKind::Android, "dave")] {
        phones.push(scene.enrol_sealed(kind, user).await);
    }
    let secrets = ["SECRETTEXT", "LABELTEXT", "VALUETEXT", "HIDDENLABEL", "HIDDENVALUE"];
    let in_clear = ["TITLETEXT", "MESSAGETEXT"];
    for phone in &mut phones {
        for type_name in ["payment", "loud"] {
            let body = json!({"type": type_name, "user": phone.user(), "title": "TITLETEXT",
                "message": "MESSAGETEXT", "secure_message": "SECRETTEXT",
                "details": [{"label": "LABELTEXT", "value": "VALUETEXT"}],
                "hidden_details": {"HIDDENLABEL": "HIDDENVALUE"}});
            let started = start(&scene, body).await;
            let record = phone.next_record(SOON).await.expect("a push");
            let sent = String::from_utf8(record.payload().to_vec()).expect("UTF-8");
            assert!(secrets.iter().all(|secret| !sent.contains(secret)), "{sent}");
            assert_eq!(in_clear.iter().all(|text| sent.contains(text)), type_name == "loud", "{sent}");
            assert_eq!(in_clear.iter().any(|text| sent.contains(text)), type_name == "loud", "{sent}");
            // It is the phone that fetches, and so sees them.
            let challenge = phone.phone.fetch(id_of(&started)).await.expect("a challenge");
            assert_eq!(challenge.screen.secure_message.as_deref(), Some("SECRETTEXT"));
            assert_eq!(members(phone.kind(), &record)["t"], started["id"]);
        }
    }
}

/// A request message alone is pushed nowhere and can be approved; asked for with a push, both come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_073_delivery_choice() {
    let scene = Scene::of(CATALOGUE).await;
    let mut phone = scene.enrol_sealed(PhoneKind::Android, "alice").await;
    let alone =
        start(&scene, json!({"type": "login", "user": "alice", "delivery": ["request_message"]})).await;
    assert_eq!(alone["delivery"], json!([]));
    let text = alone["request_message"].as_str().expect("a request message");
    let challenge = phone.phone.read_request_message(text).expect("for this phone");
    assert_eq!(phone.phone.answer(&challenge, Decision::Accept).await.expect("taken"), "accepted");
    assert_eq!(view(&scene, id_of(&alone)).await["state"], "accepted");

    let both = ["push", "request_message"];
    let both = start(&scene, json!({"type": "login", "user": "alice", "delivery": both})).await;
    let pushed = phone.next_record(SOON).await.expect("a push");
    let members = members(PhoneKind::Android, &pushed);
    assert_eq!(members["t"], both["id"], "the first push of all is that of the second transaction");
    let message = format!(
        "tocsin:1?t={}&enc={}&ct={}",
        id_of(&both),
        members["enc"].as_str().expect("a seal"),
        members["ct"].as_str().expect("a seal")
    );
    assert_eq!(both["request_message"], message, "push and request message carry one seal");
    assert_eq!(scene.world.fcm.pushes().records().len(), 1);
}

/// A request message stays valid through the death of the server, and so does the seal that the push carried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_outlives_the_server() {
    let mut scene = Scene::of(CATALOGUE).await;
    let mut phone = scene.enrol_sealed(PhoneKind::Iphone, "alice").await;
    let both = ["push", "request_message"];
    let started = start(&scene, json!({"type": "login", "user": "alice", "delivery": both})).await;
    let pushed = members(PhoneKind::Iphone, &phone.next_record(SOON).await.expect("a push"));
    scene.kill().await;
    scene.start().await;
    let id = id_of(&started);
    assert_eq!(view(&scene, id).await["request_message"], started["request_message"]);
    let fetched = phone.phone.call("GET", &format!("/device/v1/transactions/{id}"), Vec::new()).await;
    let fetched = Value::Object(fetched.expect("a reply").body);
    assert_eq!(fetched["sealed"], json!({"enc": pushed["enc"], "ct": pushed["ct"]}));
    let challenge = phone.phone.fetch(id).await.expect("a challenge");
    assert_eq!(phone.phone.answer(&challenge, Decision::Accept).await.expect("taken"), "accepted");
}

/// An implementation in another language opens what the server sealed, fetched and scanned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_in_python_opens_seals_and_scans_request_messages() {
    let scene = Scene::of(CATALOGUE).await;
    let python = PythonPhone::new(scene.folder());
    let issuer = scene.installation.device_url();
    let opened = scene.portal.open_enrollment("alice", "bank").await.expect("an enrolment");
    let code = opened.activation_code.as_deref().expect("a code");
    python.run(&["enrol", "--issuer", issuer, "--code", code, "--app", "bank"]);
    let body = json!({"type": "payment", "user": "alice", "delivery": ["request_message"],
        "secure_message": "Zürich → Genève"});
    let started = start(&scene, body).await;
    let scanned = python.run(&["scan", started["request_message"].as_str().expect("a text")]);
    assert_eq!(scanned["secure_message"], "Zürich → Genève");
    assert_eq!(python.run(&["fetch", id_of(&started)])["secure_message"], "Zürich → Genève");
    assert_eq!(python.run(&["answer", id_of(&started), "accept"])["state"], "accepted");
}

/// An answer covers exactly one transaction and what was shown of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_082_data_shown() {
    let scene = Scene::of(CATALOGUE).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let pay = |amount: &str| json!({"type": "payment", "user": "alice", "details": [{"label": "Amount", "value": amount}]});
    let (first, second) = (start(&scene, pay("10")).await, start(&scene, pay("9000")).await);
    let (first, second) = (id_of(&first), id_of(&second));
    let shown_second = phone.phone.fetch(second).await.expect("a challenge");
    let mut claims = phone.phone.answer_claims(&shown_second, Decision::Accept).expect("enrolled");
    let answer = phone.phone.sign_answer(&claims).expect("enrolled");
    let refused = phone.phone.send_answer(first, &answer).await.expect("a reply");
    assert_eq!((refused.status, refused.body["code"].as_str()), (422, Some("wrong_challenge")));
    // Nor does it help to say that it was for the first one.
    claims.sub = first.to_owned();
    let answer = phone.phone.sign_answer(&claims).expect("enrolled");
    let refused = phone.phone.send_answer(first, &answer).await.expect("a reply");
    assert_eq!((refused.status, refused.body["code"].as_str()), (422, Some("wrong_challenge")));
    assert_eq!(view(&scene, first).await["state"], "pending");

    let travelling = fetched_text(&phone, first).await;
    assert!(phone.phone.read_challenge(&travelling, Some(first)).is_ok());
    let payload = travelling.split('.').nth(1).expect("three parts");
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("UTF-8");
    let altered = URL_SAFE_NO_PAD.encode(payload.replace("\"10\"", "\"99\""));
    let altered = travelling.replace(travelling.split('.').nth(1).expect("three parts"), &altered);
    assert_ne!(altered, travelling);
    assert_eq!(refusal(phone.phone.read_challenge(&altered, Some(first))), Refusal::BadSignature);
    let shown_first = phone.phone.fetch(first).await.expect("a challenge");
    assert_eq!(phone.phone.answer(&shown_first, Decision::Accept).await.expect("taken"), "accepted");
    assert_eq!(view(&scene, second).await["state"], "pending");
}

/// The challenge is signed by the key of the enrolment: one flipped byte of a captured push, or of what travels, and
/// the phone refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_101_server_signed_challenge() {
    let scene = Scene::of(CATALOGUE).await;
    let mut sealed_phone = scene.enrol_sealed(PhoneKind::Android, "alice").await;
    let started = start(&scene, json!({"type": "login", "user": "alice"})).await;
    let captured = members(PhoneKind::Android, &sealed_phone.next_record(SOON).await.expect("a push"));
    let sealed = Sealed::parse(&captured).expect("a seal in the push");
    let id = id_of(&started);
    assert!(
        sealed_phone.phone.read_sealed(&sealed, id).is_ok(),
        "the phone verifies it under the pinned key"
    );
    for position in [0, sealed.ct.len() / 2, sealed.ct.len() - 1] {
        let mut flipped = sealed.clone();
        flipped.ct[position] ^= 1;
        assert_eq!(refusal(sealed_phone.phone.read_sealed(&flipped, id)), Refusal::NotOurSeal);
    }

    let phone = scene.enrol(PhoneKind::Iphone, "bob").await;
    let started = start(&scene, json!({"type": "login", "user": "bob"})).await;
    let travelling = fetched_text(&phone, id_of(&started)).await;
    assert!(phone.phone.read_challenge(&travelling, Some(id_of(&started))).is_ok());
    let flipped = with_a_flipped_byte(&travelling);
    assert_eq!(refusal(phone.phone.read_challenge(&flipped, Some(id_of(&started)))), Refusal::BadSignature);
}

/// The phone fetches what its push is about, as often as it likes until the end; another phone never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_105_challenge_fetch() {
    let scene = Scene::of(CATALOGUE).await;
    let phone = scene.enrol_sealed(PhoneKind::Iphone, "alice").await;
    let foreign = scene.enrol(PhoneKind::Android, "bob").await;
    let started =
        start(&scene, json!({"type": "payment", "user": "alice", "secure_message": "250.00"})).await;
    let id = id_of(&started);
    let challenge = phone.phone.fetch(id).await.expect("a challenge");
    assert_eq!(challenge.screen.secure_message.as_deref(), Some("250.00"));
    assert_eq!(phone.phone.fetch(id).await.expect("again"), challenge);
    assert_eq!(foreign.phone.fetch(id).await.expect_err("refused").code(), Some("not_found"));
    assert!(foreign.phone.list().await.expect("a list").is_empty());
    phone.phone.answer(&challenge, Decision::Decline).await.expect("taken");
    assert_eq!(phone.phone.fetch(id).await.expect_err("over").code(), Some("transaction_final"));

    // Handed out and not pushed: a push that is too late on a busy machine would end it before its time does.
    let by_hand = json!({"type": "login", "user": "alice", "ttl_s": 1, "delivery": ["request_message"]});
    let short = start(&scene, by_hand).await;
    let wait = format!("/v1/transactions/{}?wait_s=10", id_of(&short));
    assert_eq!(scene.portal("GET", &wait, None).await.expect(200)["state"], "timeout");
    let expired = phone.phone.fetch(id_of(&short)).await.expect_err("over");
    assert_eq!(expired.code(), Some("transaction_final"));
}

/// A whole flow by the phone alone: the portal sends and gets no code of any kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_109_outofband() {
    let scene = Scene::of(CATALOGUE).await;
    let mut phone = scene.enrol_sealed(PhoneKind::Iphone, "alice").await;
    let started = start(&scene, json!({"type": "login", "user": "alice"})).await;
    let id = phone.next_push(SOON).await.expect("a push").to_string();
    let challenge = phone.phone.fetch(&id).await.expect("a challenge");
    phone.phone.answer(&challenge, Decision::Accept).await.expect("taken");
    let ended = view(&scene, &id).await;
    assert_eq!(ended["state"], "accepted");
    for told in [&started, &ended] {
        for name in ["otp", "number", "code", "activation_code", "request_message"] {
            assert_eq!(told.get(name), None, "{told}");
        }
    }
}

/// Data to sign is delivered sealed and signed by the device; the view has the signature, which another library
/// verifies from what was shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_152_transaction_signing() {
    let scene = Scene::of(CATALOGUE).await;
    let mut phone = scene.enrol_sealed(PhoneKind::Iphone, "alice").await;
    let body = json!({"type": "payment", "user": "alice", "title": "Pay", "message": "Release the payment?",
        "secure_message": "Müller & Söhne", "details": [{"label": "Amount", "value": "12.50 €"}],
        "hidden_details": {"reference": "4711"}});
    let started = start(&scene, body).await;
    let pushed = members(PhoneKind::Iphone, &phone.next_record(SOON).await.expect("a push"));
    let sealed = Sealed::parse(&pushed).expect("delivered encrypted");
    let challenge = phone.phone.read_sealed(&sealed, id_of(&started)).expect("for this phone");
    phone.phone.answer(&challenge, Decision::Accept).await.expect("taken");

    let ended = view(&scene, id_of(&started)).await;
    assert_eq!(ended["shown"], serde_json::to_value(&challenge.screen).expect("JSON"));
    let devices = scene.portal("GET", "/v1/users/alice/devices", None).await.expect(200);
    let file = |name: &str, value: &Value| {
        let path = scene.folder().join(name);
        std::fs::write(&path, value.to_string()).expect("written");
        path.display().to_string()
    };
    let check = |view: &Value| {
        let (view, devices) = (file("view.json", view), file("devices.json", &devices));
        run_python(&["check_answer.py", &view, &devices])
    };
    let verified = check(&ended);
    assert_eq!(String::from_utf8_lossy(&verified.stdout).trim(), "accept");
    let mut altered = ended.clone();
    altered["shown"]["details"][0]["value"] = json!("99.50 €");
    assert!(!check(&altered).status.success(), "the signature covers what was shown");
}
