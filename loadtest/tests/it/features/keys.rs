//! Changes of a phone's keys, and what entitles to them.

use serde_json::{Value, json};
use tocsin_loadtest::PhoneKind;
use tocsin_loadtest::phone::{Approval, Entitlement, PhoneKey};

use super::Scene;
use super::approval::{KEYS, approve, assert_reply, fetch};

/// A new PIN is set by the old one, a wrong one counts, and the replaced one approves nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_is_changed_by_the_pin() {
    let scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol_with_all_keys("alice").await;
    let new = phone.phone.pin_key("5678");
    let nothing = phone.phone.put_key("pin", &new, Entitlement::Nothing).await.expect("a reply");
    assert_reply(&nothing, 403, "code", &json!("authorization_required"));
    let wrong = phone.phone.put_key("pin", &new, Entitlement::Pin("0000")).await.expect("a reply");
    assert_reply(&wrong, 403, "code", &json!("wrong_pin"));
    assert_reply(&wrong, 403, "attempts_left", &json!(2));
    let changed = phone.phone.put_key("pin", &new, Entitlement::Pin("1234")).await.expect("a reply");
    assert_eq!(changed.status, 200, "{:?}", changed.body);
    let challenge = fetch(&phone, scene.begin("pin", "alice").await).await;
    let old = approve(&phone, &challenge, Approval::Pin("1234")).await;
    assert_reply(&old, 403, "attempts_left", &json!(2));
    assert_reply(&approve(&phone, &challenge, Approval::Pin("5678")).await, 200, "state", &json!("accepted"));
    let listed = scene.portal("GET", "/v1/users/alice/devices", None).await.expect(200);
    let uses: Vec<&Value> =
        listed["items"][0]["keys"].as_array().expect("keys").iter().map(|key| &key["use"]).collect();
    assert!(!uses.contains(&&json!("pin")), "the PIN key is never told: {uses:?}");
}

/// A phone without a PIN names a transaction that it accepted: once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_without_a_pin_is_authorized_by_a_transaction() {
    let scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let (pending, id) = (scene.begin("plain", "alice").await, scene.begin("plain", "alice").await);
    assert_reply(
        &approve(&phone, &fetch(&phone, id).await, Approval::Device).await,
        200,
        "state",
        &json!("accepted"),
    );
    let finger = PhoneKey::generate();
    for entitlement in
        [Entitlement::Nothing, Entitlement::Transaction(&pending.to_string()), Entitlement::Transaction("x")]
    {
        let refused = phone.phone.put_key("biometric", &finger, entitlement).await.expect("a reply");
        assert_reply(&refused, 403, "code", &json!("authorization_required"));
    }
    let entitled = id.to_string();
    let put = phone.phone.put_key("biometric", &finger, Entitlement::Transaction(&entitled)).await;
    assert_eq!(put.expect("a reply").status, 200);
    let again =
        phone.phone.put_key("custom:face", &PhoneKey::generate(), Entitlement::Transaction(&entitled)).await;
    assert_reply(&again.expect("a reply"), 403, "code", &json!("authorization_required"));
    let challenge = fetch(&phone, scene.begin("finger", "alice").await).await;
    let reply = approve(&phone, &challenge, Approval::Key("biometric")).await;
    assert_reply(&reply, 200, "state", &json!("accepted"));
}

/// What may be removed, and that a change must be newer than the last one, also after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_removed_in_the_order_of_time() {
    let mut scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol_with_all_keys("alice").await;
    for key_use in ["device", "pin"] {
        let refused = phone.phone.delete_key(key_use).await.expect("a reply");
        assert_reply(&refused, 409, "code", &json!("key_required"));
    }
    let unknown = phone.phone.delete_key("sms").await.expect("a reply");
    assert_reply(&unknown, 404, "code", &json!("not_found"));
    let not_taken =
        phone.phone.put_key("custom:voice", &PhoneKey::generate(), Entitlement::Pin("1234")).await;
    assert_reply(&not_taken.expect("a reply"), 422, "field", &json!("use"));
    assert_eq!(phone.phone.delete_key("biometric").await.expect("a reply").status, 204);
    let gone = phone.phone.delete_key("biometric").await.expect("a reply");
    assert_reply(&gone, 404, "code", &json!("not_found"));
    let earlier = phone.phone.proof_claims("DELETE", "/", &[]).iat - 20.0;
    scene.kill().await;
    scene.start().await;
    let refused = phone.phone.delete_key_at("custom:face", earlier).await.expect("a reply");
    assert_reply(&refused, 401, "code", &json!("clock_skew"));
    assert!(refused.body.contains_key("server_time"), "{:?}", refused.body);
    assert_eq!(phone.phone.delete_key("custom:face").await.expect("a reply").status, 204);
}

/// The phone that lost its last try is out; the transaction waits for the other one, which may still approve it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_wrong_pin_leaves_the_transaction_to_the_other_phone() {
    let catalogue = KEYS.replace("pin_attempts_max = 3", "pin_attempts_max = 1\nmode = \"multiple\"");
    let scene = Scene::of(&catalogue).await;
    let careless = scene.enrol_with_all_keys("alice").await;
    let careful = scene.enrol_with_all_keys("alice").await;
    let id = scene.begin("pin", "alice").await;
    let (of_careless, of_careful) = (fetch(&careless, id).await, fetch(&careful, id).await);
    let reply = approve(&careless, &of_careless, Approval::Pin("0000")).await;
    assert_reply(&reply, 403, "attempts_left", &json!(0));
    let view = scene.view(id).await;
    assert_eq!((&view["state"], &view["attempts"]), (&json!("pending"), &json!({"used": 1, "max": 1})));
    let reply = approve(&careless, &of_careless, Approval::Pin("1234")).await;
    assert_reply(&reply, 403, "code", &json!("device_revoked"));
    let reply = approve(&careful, &of_careful, Approval::Pin("1234")).await;
    assert_reply(&reply, 200, "state", &json!("accepted"));
    let answer = &scene.outcome(id).await["answer"];
    assert_eq!(answer["device_id"], careful.device_id().to_string());
}

/// A PIN that is guessed by changing keys is counted with the others, and its last try revokes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_pins_of_changes_and_answers_are_counted_together() {
    let scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol_with_all_keys("alice").await;
    let id = scene.begin("pin", "alice").await;
    let reply = approve(&phone, &fetch(&phone, id).await, Approval::Pin("0000")).await;
    assert_reply(&reply, 403, "attempts_left", &json!(2));
    let finger = PhoneKey::generate();
    for left in [1, 0] {
        let reply = phone.phone.put_key("biometric", &finger, Entitlement::Pin("0000")).await;
        assert_reply(&reply.expect("a reply"), 403, "attempts_left", &json!(left));
    }
    let view = scene.outcome(id).await;
    let told = (&view["state"], &view["reason"]);
    assert_eq!(told, (&json!("failed"), &json!("attempts_exceeded")), "{view}");
    let reply = phone.phone.put_key("biometric", &finger, Entitlement::Pin("1234")).await;
    assert_reply(&reply.expect("a reply"), 403, "code", &json!("device_revoked"));
}

/// A new key has a new name, and the old one approves nothing; the same key twice, or the `device` key, is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_key_approves_nothing_any_more() {
    let scene = Scene::of(KEYS).await;
    let mut phone = scene.enrol_with_all_keys("alice").await;
    let before = phone.phone.clone();
    let (first, second) = (PhoneKey::generate(), PhoneKey::generate());
    let mut names = Vec::new();
    for key in [&first, &second] {
        let reply = phone.phone.put_key("biometric", key, Entitlement::Pin("1234")).await.expect("a reply");
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        names.push(reply.body["kid"].clone());
    }
    assert_ne!(names[0], names[1]);
    let again = phone.phone.put_key("custom:face", &second, Entitlement::Pin("1234")).await.expect("a reply");
    assert_reply(&again, 422, "field", &json!("jwk"));
    let device = phone.phone.put_key("device", &PhoneKey::generate(), Entitlement::Pin("1234")).await;
    assert_reply(&device.expect("a reply"), 422, "field", &json!("use"));

    let id = scene.begin("finger", "alice").await;
    let challenge = fetch(&phone, id).await;
    let old =
        before.answer_by(&challenge, tocsin_model::Decision::Accept, Approval::Key("biometric"), None).await;
    assert_reply(&old.expect("a reply"), 401, "code", &json!("bad_proof"));
    let view = scene.view(id).await;
    assert_eq!((&view["state"], &view["attempts"]["used"]), (&json!("pending"), &json!(0)), "{view}");
    let reply = approve(&phone, &challenge, Approval::Key("biometric")).await;
    assert_reply(&reply, 200, "state", &json!("accepted"));
}
