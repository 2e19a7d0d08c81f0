//! How a phone approves: with which key, under which number, and how often a wrong PIN may be tried.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Approval, Challenge, PhoneReply};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::{ApnsReason, Fault};
use tocsin_model::{Decision, TransactionId};

use super::Scene;
use super::operations::{edit, operated_of, refused, tocsin};
use super::scene::SOON;

/// Types by the keys that they take, and two apps: one with every kind of key, one with none but the usual.
pub const KEYS: &str = r#"
[realms.retail]
[types.plain]
resend_gap_s = 0
[types.pin]
keys = ["pin"]
[types.finger]
keys = ["biometric", "pin"]
[types.face]
keys = ["custom:face", "pin"]
[types.entry]
purpose = "login"
[types.choose]
number_match = "choose"
[types.slow]
resend_gap_s = 3600
[apps.bank]
biometric = true
custom = ["face"]
pin_attempts_max = 3
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
[apps.desk.ios]
bundle_id = "com.example.bank"
"#;

pub fn view_path(id: TransactionId) -> String {
    format!("/v1/transactions/{id}")
}

impl Scene {
    pub async fn view(&self, id: TransactionId) -> Value {
        self.portal("GET", &view_path(id), None).await.expect(200)
    }

    /// The view once the transaction is final.
    pub async fn outcome(&self, id: TransactionId) -> Value {
        self.portal("GET", &format!("{}?wait_s=20", view_path(id)), None).await.expect(200)
    }

    /// Waits until the network has taken its push.
    pub async fn until_relayed(&self, id: TransactionId) {
        let relayed = async {
            while self.view(id).await["delivery"][0]["status"] != "relayed" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, relayed).await.expect("the push is relayed");
    }

    /// The one phone that the portal sees of a user.
    async fn only_device(&self, user: &str) -> Value {
        let listed = self.portal("GET", &format!("/v1/users/{user}/devices"), None).await.expect(200);
        listed["items"][0].clone()
    }

    /// A phone with every kind of key.
    pub async fn enrol_with_all_keys(&self, user: &str) -> Handset {
        let ready = |phone: tocsin_loadtest::phone::Phone| {
            phone.with_pin("1234").with_key("biometric").with_key("custom:face")
        };
        self.enrol_with(PhoneKind::Iphone, user, ready).await
    }
}

pub async fn fetch(phone: &Handset, id: TransactionId) -> Challenge {
    phone.phone.fetch(&id.to_string()).await.expect("a challenge")
}

pub async fn approve(phone: &Handset, challenge: &Challenge, approval: Approval<'_>) -> PhoneReply {
    phone.phone.answer_by(challenge, Decision::Accept, approval, None).await.expect("a reply")
}

#[track_caller]
pub fn assert_reply(reply: &PhoneReply, status: u16, name: &str, expected: &Value) {
    let told = reply.body.get(name).cloned().unwrap_or(Value::Null);
    assert_eq!((reply.status, &told), (status, expected), "{:?}", reply.body);
}

/// A user without a phone, and one whose phone has not the key: no transaction comes to be; no phone, no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_a_phone_or_with_one_without_the_key_is_refused() {
    let scene = Scene::of(KEYS).await;
    let start = |type_name: &'static str| json!({"type": type_name, "user": "alice"});
    let refused = scene.portal("POST", "/v1/transactions", Some(&start("plain"))).await;
    refused.expect_problem(422, "no_device");
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    scene.portal("POST", "/v1/transactions", Some(&start("pin"))).await.expect_problem(422, "no_device");
    let id = scene.begin("plain", "alice").await;
    let challenge = fetch(&phone, id).await;
    let stranger = phone.phone.impostor();
    let reply =
        stranger.answer_by(&challenge, Decision::Accept, Approval::Device, None).await.expect("a reply");
    assert_reply(&reply, 401, "code", &json!("bad_proof"));
    assert_eq!(scene.view(id).await["state"], "pending");
}

/// A dead address fails the transaction and marks the phone, so that the next start is refused; a network that is
/// busy for a moment is asked again. A start that waits for the network's word tells its refusal itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_045_push_fails() {
    let scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let busy = Fault::Refuse(ApnsReason::ServiceUnavailable.into());
    scene.world.apns.faults().for_next(1, busy).expect("scripted");
    let retried = scene.begin("plain", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("the push is tried again"), retried);
    scene.portal("DELETE", &view_path(retried), None).await.expect(200);

    let target = scene.world.apns.pushes().records()[0].target().to_owned();
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let since_ms = u64::try_from(since_1970.as_millis()).expect("a time");
    scene.world.apns.devices().unregister(&target, since_ms).expect("known");
    let lost = scene.begin("plain", "alice").await;
    let view = scene.outcome(lost).await;
    assert_eq!((&view["state"], &view["reason"]), (&json!("failed"), &json!("provider_rejected")), "{view}");
    assert_eq!(view["delivery"][0]["reason"], "token_dead", "{view}");
    // The verdict on the address is stored apart from the outcome that it brought.
    let marked = async {
        while scene.only_device("alice").await["status"] != "unreachable" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, marked).await.expect("the phone is marked");
    let again = json!({"type": "plain", "user": "alice"});
    scene.portal("POST", "/v1/transactions", Some(&again)).await.expect_problem(422, "no_device");

    let _phone = scene.enrol(PhoneKind::Iphone, "bob").await;
    let refusal = Fault::Refuse(ApnsReason::BadDeviceToken.into());
    scene.world.apns.faults().for_next(1, refusal).expect("scripted");
    let sent = json!({"type": "plain", "user": "bob", "reply": "sent"});
    let told = scene.portal("POST", "/v1/transactions", Some(&sent)).await.expect(201);
    assert_eq!(told["delivery"][0]["status"], "failed", "{told}");
    assert_eq!((&told["state"], &told["reason"]), (&json!("failed"), &json!("provider_rejected")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_063_push_plain() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol(PhoneKind::Android, "alice").await;
    let id = scene.begin("plain", "alice").await;
    let reply = approve(&phone, &fetch(&phone, id).await, Approval::Device).await;
    assert_reply(&reply, 200, "state", &json!("accepted"));
    let view = scene.outcome(id).await;
    assert_eq!((&view["state"], &view["answer"]["method"]), (&json!("accepted"), &json!("device")));
    assert!(view["answer"].get("proof_jws").is_none(), "its answer is its own proof");
}

/// Three wrong PINs, over two transactions and a crash: both fail, the phone is revoked, the next start finds none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_064_push_pin() {
    let mut scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    let (one, other) = (scene.begin("pin", "alice").await, scene.begin("finger", "alice").await);
    let (first, second) = (fetch(&phone, one).await, fetch(&phone, other).await);
    let reply = approve(&phone, &first, Approval::Pin("0000")).await;
    assert_reply(&reply, 403, "code", &json!("wrong_pin"));
    assert_reply(&reply, 403, "attempts_left", &json!(2));
    assert_eq!(scene.view(one).await["attempts"], json!({"used": 1, "max": 3}));

    scene.kill().await;
    scene.start().await;
    let reply = approve(&phone, &second, Approval::Pin("0001")).await;
    assert_reply(&reply, 403, "attempts_left", &json!(1));
    assert_eq!(scene.view(other).await["attempts"]["used"], 1, "those made on this transaction");
    let reply = approve(&phone, &first, Approval::Pin("0002")).await;
    assert_reply(&reply, 403, "attempts_left", &json!(0));
    for id in [one, other] {
        let view = scene.outcome(id).await;
        let told = (&view["state"], &view["reason"]);
        assert_eq!(told, (&json!("failed"), &json!("attempts_exceeded")), "{view}");
    }
    assert_eq!(scene.only_device("alice").await["status"], "revoked");
    let reply = approve(&phone, &first, Approval::Pin("1234")).await;
    assert_reply(&reply, 403, "code", &json!("device_revoked"));
    let next = json!({"type": "pin", "user": "alice"});
    scene.portal("POST", "/v1/transactions", Some(&next)).await.expect_problem(422, "no_device");
}

/// The limits 0, 1 and one below the last: without a limit nothing is told, with one the first is the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_no_pin_and_of_one_pin_is_kept() {
    let unlimited = Scene::of(&KEYS.replace("pin_attempts_max = 3", "pin_attempts_max = 0")).await;
    let phone = unlimited.enrol_with_all_keys("alice").await;
    let id = unlimited.begin("pin", "alice").await;
    let challenge = fetch(&phone, id).await;
    for _ in 0..5 {
        let reply = approve(&phone, &challenge, Approval::Pin("0000")).await;
        assert_reply(&reply, 403, "code", &json!("wrong_pin"));
        assert!(!reply.body.contains_key("attempts_left"), "{:?}", reply.body);
    }
    assert_eq!(unlimited.view(id).await["attempts"], json!({"used": 5}));
    assert_reply(&approve(&phone, &challenge, Approval::Pin("1234")).await, 200, "state", &json!("accepted"));
    assert!(unlimited.log().contains("PINs without end"), "a warning at the start");

    let strict = Scene::of(&KEYS.replace("pin_attempts_max = 3", "pin_attempts_max = 1")).await;
    let phone = strict.enrol_with_all_keys("alice").await;
    let id = strict.begin("pin", "alice").await;
    let reply = approve(&phone, &fetch(&phone, id).await, Approval::Pin("0000")).await;
    assert_reply(&reply, 403, "attempts_left", &json!(0));
    assert_eq!(strict.outcome(id).await["reason"], "attempts_exceeded");
}

/// A right PIN forgets the wrong ones before it, and the winning answer sent once more does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_pin_forgets_the_wrong_ones_before_it() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    let first = fetch(&phone, scene.begin("pin", "alice").await).await;
    for (pin, left) in [("0000", 2), ("0001", 1)] {
        assert_reply(&approve(&phone, &first, Approval::Pin(pin)).await, 403, "attempts_left", &json!(left));
    }
    assert_reply(&approve(&phone, &first, Approval::Pin("1234")).await, 200, "state", &json!("accepted"));
    let second = fetch(&phone, scene.begin("pin", "alice").await).await;
    assert_reply(&approve(&phone, &second, Approval::Pin("0000")).await, 403, "attempts_left", &json!(2));
    let again = approve(&phone, &first, Approval::Pin("1234")).await;
    assert_reply(&again, 200, "state", &json!("accepted"));
    let guessed = approve(&phone, &first, Approval::Pin("0001")).await;
    assert_reply(&guessed, 403, "attempts_left", &json!(1));
    let guessed = approve(&phone, &second, Approval::Pin("0002")).await;
    assert_reply(&guessed, 403, "attempts_left", &json!(0));
}

/// Fingerprint or PIN approves, and the result says which; without the app's flag neither phone nor start is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_065_push_fingerprint() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    for (approval, method) in [(Approval::Pin("1234"), "pin"), (Approval::Key("biometric"), "biometric")] {
        let id = scene.begin("finger", "alice").await;
        let challenge = fetch(&phone, id).await;
        assert_eq!(challenge.methods, ["biometric", "pin"]);
        assert_reply(&approve(&phone, &challenge, approval).await, 200, "state", &json!("accepted"));
        let answer = &scene.outcome(id).await["answer"];
        assert_eq!(answer["method"], method);
        assert!(answer["proof_jws"].as_str().is_some_and(|jws| jws.split('.').count() == 3), "{answer}");
    }
    let off = Scene::of(&KEYS.replace("biometric = true", "biometric = false")).await;
    let code = off.portal("POST", "/v1/enrollments", Some(&json!({"user": "bob", "app": "bank"}))).await;
    let code = code.expect(201)["activation_code"].as_str().expect("a code").to_owned();
    let mut refused = off.phone_of("bob").with_key("biometric");
    let error = refused.enrol(&code).await.expect_err("the app takes no fingerprints");
    assert_eq!(error.code(), Some("invalid_field"), "{error}");
    let _plain = off.enrol(PhoneKind::Iphone, "carol").await;
    let start = json!({"type": "finger", "user": "carol"});
    off.portal("POST", "/v1/transactions", Some(&start)).await.expect_problem(422, "no_device");
}

/// A fingerprint's answer by a key that was never enrolled is no try: it is refused, and the true one still approves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_signature_ends_nothing_and_is_no_try() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    for (type_name, key_use) in [("finger", "biometric"), ("face", "custom:face")] {
        let id = scene.begin(type_name, "alice").await;
        let challenge = fetch(&phone, id).await;
        let forger = phone.phone.forging(key_use);
        // More often than a PIN may be wrong.
        for _ in 0..4 {
            let approval = Approval::Key(key_use);
            let reply =
                forger.answer_by(&challenge, Decision::Accept, approval, None).await.expect("a reply");
            assert_reply(&reply, 401, "code", &json!("bad_signature"));
            assert!(!reply.body.contains_key("attempts_left"), "{:?}", reply.body);
        }
        let view = scene.view(id).await;
        assert_eq!((&view["state"], &view["attempts"]["used"]), (&json!("pending"), &json!(0)), "{view}");
        let reply = approve(&phone, &challenge, Approval::Key(key_use)).await;
        assert_reply(&reply, 200, "state", &json!("accepted"));
    }
    let challenge = fetch(&phone, scene.begin("pin", "alice").await).await;
    let wrong = approve(&phone, &challenge, Approval::Pin("0000")).await;
    assert_reply(&wrong, 403, "attempts_left", &json!(2));
}

/// The app's own way approves; an id that the app does not have is refused when a phone brings it and when the
/// configuration names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_066_push_custom() {
    let scene = operated_of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    for (approval, method) in [(Approval::Key("custom:face"), "custom:face"), (Approval::Pin("1234"), "pin")]
    {
        let id = scene.begin("face", "alice").await;
        let reply = approve(&phone, &fetch(&phone, id).await, approval).await;
        assert_reply(&reply, 200, "state", &json!("accepted"));
        assert_eq!(scene.outcome(id).await["answer"]["method"], method);
    }
    let code = scene.portal("POST", "/v1/enrollments", Some(&json!({"user": "bob", "app": "bank"}))).await;
    let code = code.expect(201)["activation_code"].as_str().expect("a code").to_owned();
    let mut unknown = scene.phone_of("bob").with_key("custom:voice");
    let error = unknown.enrol(&code).await.expect_err("the app has no such way");
    assert_eq!(error.code(), Some("invalid_field"), "{error}");

    edit(&scene, "custom:face", "custom:voice");
    let faults = refused(&scene).await;
    let fault = "types.face.keys: names \"custom:voice\", but no app of this type lists \"voice\" in custom";
    assert!(faults.contains("tocsin.toml:") && faults.contains(fault), "{faults}");
    assert_eq!(tocsin(&scene, &["check"], &[]).status.code(), Some(78));
    let id = scene.begin("face", "alice").await;
    let reply = approve(&phone, &fetch(&phone, id).await, Approval::Key("custom:face")).await;
    assert_reply(&reply, 200, "state", &json!("accepted"));
}

/// The caller chooses by naming a type: the phone's other keys do not do, nothing is counted, and it stays pending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_067_protection_choice() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    for (type_name, right) in
        [("plain", Approval::Device), ("pin", Approval::Pin("1234")), ("finger", Approval::Key("biometric"))]
    {
        let id = scene.begin(type_name, "alice").await;
        let challenge = fetch(&phone, id).await;
        let wrong = if type_name == "plain" { Approval::Pin("0000") } else { Approval::Device };
        let refused = approve(&phone, &challenge, wrong).await;
        assert_reply(&refused, 403, "code", &json!("method_not_allowed"));
        let view = scene.view(id).await;
        assert_eq!((&view["state"], &view["attempts"]["used"]), (&json!("pending"), &json!(0)), "{view}");
        assert_reply(&approve(&phone, &challenge, right).await, 200, "state", &json!("accepted"));
    }
}

/// Two wrong PINs and a right one are three tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_098_used_attempts() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    let id = scene.begin("pin", "alice").await;
    let challenge = fetch(&phone, id).await;
    for pin in ["0000", "9999", "1234"] {
        approve(&phone, &challenge, Approval::Pin(pin)).await;
    }
    let view = scene.outcome(id).await;
    assert_eq!((&view["state"], &view["answer"]["method"]), (&json!("accepted"), &json!("pin")), "{view}");
    assert_eq!(view["attempts"], json!({"used": 3, "max": 3}));
}

/// Refusing is always by the phone alone, also where approving takes a PIN.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_100_deny() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    for (type_name, decision, state) in [
        ("plain", Decision::Decline, "declined"),
        ("pin", Decision::Decline, "declined"),
        ("entry", Decision::Report, "reported"),
    ] {
        let id = scene.begin(type_name, "alice").await;
        let challenge = fetch(&phone, id).await;
        let by_pin = phone.phone.answer_by(&challenge, decision, Approval::Pin("1234"), None).await;
        assert_reply(&by_pin.expect("a reply"), 403, "code", &json!("method_not_allowed"));
        let reply =
            phone.phone.answer_by(&challenge, decision, Approval::Device, None).await.expect("a reply");
        assert_reply(&reply, 200, "state", &json!(state));
        assert_eq!(scene.outcome(id).await["state"], state);
    }
}

/// The right key over the right claims is taken; another key, an old nonce, a changed text are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_102_signed_answer() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    let (old, id) = (scene.begin("plain", "alice").await, scene.begin("plain", "alice").await);
    let (stale, challenge) = (fetch(&phone, old).await, fetch(&phone, id).await);
    let path_id = id.to_string();
    let forged = phone.phone.impostor().answer_by(&challenge, Decision::Accept, Approval::Device, None).await;
    assert_reply(&forged.expect("a reply"), 401, "code", &json!("bad_proof"));
    let good = phone.phone.answer_claims(&challenge, Decision::Accept).expect("claims");
    let mut nonce = good.clone();
    nonce.nonce = stale.nonce.clone();
    let mut text = challenge.clone();
    text.screen.message = "Pay somebody else".to_owned();
    let changed = phone.phone.answer_claims(&text, Decision::Accept).expect("claims");
    for claims in [nonce, changed] {
        let answer = phone.phone.sign_answer(&claims).expect("signed");
        let reply = phone.phone.send_answer(&path_id, &answer).await.expect("a reply");
        assert_reply(&reply, 422, "code", &json!("wrong_challenge"));
    }
    assert_eq!(scene.view(id).await["state"], "pending");
    let without = phone.phone.send_answer_without_proof(&challenge, "biometric").await.expect("a reply");
    assert_reply(&without, 401, "code", &json!("bad_proof"));
    let answer = phone.phone.sign_answer(&good).expect("signed");
    let reply = phone.phone.send_answer(&path_id, &answer).await.expect("a reply");
    assert_reply(&reply, 200, "state", &json!("accepted"));
}

/// The doors take each its own credentials only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_106_command_endpoint() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let id = scene.begin("plain", "alice").await;
    let credentials = scene.installation.credentials();
    let pair = format!("{}:{}", credentials.client_id, credentials.secret);
    let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair));
    let request = |url: &str, path: &str, authorization: String| {
        let request = http::Request::get(format!("{url}{path}")).header("authorization", authorization);
        request.body(bytes::Bytes::new()).expect("a request")
    };
    let path = "/device/v1/transactions";
    let at_device = scene.call(request(scene.installation.device_url(), path, basic)).await;
    at_device.expect_problem(401, "bad_proof");
    let path = view_path(id);
    let proof = phone.phone.sign_proof(&phone.phone.proof_claims("GET", &path, &[]));
    let at_portal = scene.call(request(scene.installation.portal_url(), &path, proof)).await;
    at_portal.expect_problem(401, "invalid_client");
}
