//! The phones of a user: told, renamed, chosen among, moved to another push address, removed.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Phone, PhoneProfile};
use tocsin_loadtest::{APP, BUNDLE_ID, Handset, PhoneKind};

use super::Scene;
use super::scene::{CATALOGUE, SOON};

/// A second app beside the usual one.
const DESK: &str = "[apps.desk.ios]\nbundle_id = \"com.example.bank\"\n";

fn with_mode(mode: &str) -> String {
    CATALOGUE.replace("[apps.bank.ios]", &format!("[apps.bank]\nmode = \"{mode}\"\n[apps.bank.ios]"))
}

fn device_path(user: &str, phone: &Handset) -> String {
    format!("/v1/users/{user}/devices/{}", phone.device_id())
}

fn login(user: &str) -> Value {
    json!({"type": "login", "user": user})
}

async fn listed(scene: &Scene, user: &str) -> Vec<Value> {
    let list = scene.portal("GET", &format!("/v1/users/{user}/devices"), None).await.expect(200);
    list["items"].as_array().expect("a list").clone()
}

/// Whatever the mode, a phone of another app takes nobody's place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_017_apps_independent() {
    for mode in ["single", "override", "multiple"] {
        let scene = Scene::of(&format!("{}{DESK}", with_mode(mode))).await;
        let mut bank = scene.enrol(PhoneKind::Android, "alice").await;
        let mut desk = scene.enrol_app("desk", "alice").await;
        let statuses: Vec<(Value, Value)> = listed(&scene, "alice")
            .await
            .iter()
            .map(|device| (device["app"].clone(), device["status"].clone()))
            .collect();
        assert_eq!(statuses, [(json!("desk"), json!("active")), (json!("bank"), json!("active"))], "{mode}");
        let id = scene.begin("login", "alice").await;
        assert_eq!(bank.next_push(SOON).await.expect("a push"), id);
        assert_eq!(desk.next_push(SOON).await.expect("a push"), id);
        let view = scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
        assert_eq!(view["delivery"].as_array().map(Vec::len), Some(2), "{view}");
        let of_desk = json!({"type": "login", "user": "alice", "app": "desk"});
        let view = scene.portal("POST", "/v1/transactions", Some(&of_desk)).await.expect(201);
        assert_eq!(view["delivery"][0]["device_id"], desk.device_id().to_string());
        assert_eq!(view["delivery"].as_array().map(Vec::len), Some(1), "{view}");
    }
}

/// Removed: its open transaction ends, it calls nothing, nothing can be started, and its place is free again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_018_device_delete() {
    let scene = Scene::open().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let stranger = scene.enrol(PhoneKind::Iphone, "bob").await;
    let id = scene.begin("login", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    let foreign = scene.portal("DELETE", &device_path("alice", &stranger), None).await;
    foreign.expect_problem(404, "not_found");
    scene.portal("DELETE", &device_path("alice", &phone), None).await.expect(204);
    let ended = scene.portal("GET", &format!("/v1/transactions/{id}?wait_s=20"), None).await.expect(200);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("device_revoked")), "{ended}");
    assert_eq!(listed(&scene, "alice").await[0]["status"], "revoked");
    let refused = phone.phone.list().await.expect_err("removed");
    assert_eq!(refused.code(), Some("device_revoked"));
    scene.portal("POST", "/v1/transactions", Some(&login("alice"))).await.expect_problem(422, "no_device");
    let mut next = scene.enrol(PhoneKind::Android, "alice").await;
    let id = scene.begin("login", "alice").await;
    assert_eq!(next.next_push(SOON).await.expect("a push"), id);
    assert_eq!(listed(&scene, "bob").await[0]["status"], "active", "the others stay");
}

/// All that a portal may know of a phone; whoever has none has an empty list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_019_device_list() {
    let scene = Scene::of(super::approval::KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    let device = listed(&scene, "alice").await.remove(0);
    for (name, expected) in [
        ("device_id", json!(phone.device_id().to_string())),
        ("name", json!("alice's iPhone")),
        ("app", json!(APP)),
        ("platform", json!("ios")),
        ("app_version", json!("1.0")),
        ("model", json!("simulated")),
        ("status", json!("active")),
        ("push", json!("apns")),
        ("methods", json!(["device", "pin", "biometric", "custom:face"])),
    ] {
        assert_eq!(device[name], expected, "{name}: {device}");
    }
    let uses: Vec<&Value> = device["keys"].as_array().expect("keys").iter().map(|key| &key["use"]).collect();
    assert_eq!(uses, ["device", "biometric", "custom:face"], "the PIN key is nobody's business");
    assert!(device["keys"].as_array().expect("keys").iter().all(|key| key["jwk"].get("d").is_none()));
    let used_at = |device: &Value| device["last_used_at"].as_str().expect("a time").to_owned();
    assert!(device["created_at"].as_str() <= device["last_used_at"].as_str(), "{device}");

    let id = scene.begin("plain", "alice").await;
    let challenge = super::approval::fetch(&phone, id).await;
    phone.phone.answer(&challenge, tocsin_model::Decision::Accept).await.expect("a state");
    let later = listed(&scene, "alice").await.remove(0);
    assert!(used_at(&later) > used_at(&device), "{later}");
    assert!(listed(&scene, "nobody").await.is_empty());
}

/// The name is read and set as often as one likes, by the portal and by the phone, within its limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_025_device_rename() {
    let scene = Scene::open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let path = device_path("alice", &phone);
    assert_eq!(listed(&scene, "alice").await[0]["name"], "alice's iPhone");
    for name in ["Y", &"z".repeat(64)] {
        let renamed = scene.portal("PATCH", &path, Some(&json!({"name": name}))).await.expect(200);
        assert_eq!(renamed["name"], json!(name));
        assert_eq!(listed(&scene, "alice").await[0]["name"], json!(name));
    }
    for name in ["", &"z".repeat(65), "two\nlines"] {
        let refused = scene.portal("PATCH", &path, Some(&json!({"name": name}))).await;
        assert_eq!(refused.expect_problem(422, "invalid_field")["field"], "name");
    }
    phone.phone.change_record(&json!({"name": "Mine"})).await.expect("the phone may, too");
    assert_eq!(listed(&scene, "alice").await[0]["name"], "Mine");
}

/// The user picks the phone by its name, and the reply names the one that was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_026_device_name_use() {
    let catalogue = with_mode("multiple").replace("[types.login]", "[types.login]\ndevice_choice = \"ask\"");
    let scene = Scene::of(&catalogue).await;
    let one = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut other = scene.enrol(PhoneKind::Android, "alice").await;
    scene.portal("PATCH", &device_path("alice", &other), Some(&json!({"name": "Z"}))).await.expect(200);
    let choice = scene.portal("POST", "/v1/transactions", Some(&login("alice"))).await;
    let choice = choice.expect_problem(422, "device_required");
    let named: Vec<(&Value, &Value)> = choice["devices"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|device| (&device["name"], &device["device_id"]))
        .collect();
    let (one_id, other_id) = (json!(one.device_id().to_string()), json!(other.device_id().to_string()));
    assert!(named.contains(&(&json!("Z"), &other_id)), "{choice}");
    assert!(named.contains(&(&json!("alice's iPhone"), &one_id)) && named.len() == 2, "{choice}");
    let chosen = json!({"type": "login", "user": "alice", "device_id": other_id});
    let view = scene.portal("POST", "/v1/transactions", Some(&chosen)).await.expect(201);
    assert_eq!((&view["delivery"][0]["device_name"], &view["delivery"][1]), (&json!("Z"), &Value::Null));
    assert_eq!(json!(other.next_push(SOON).await.expect("a push").to_string()), view["id"]);
}

/// A phone of this user, not enrolled yet, whose push address is `target`.
fn iphone_at(scene: &Scene, user: &str, target: &str) -> Phone {
    let profile = PhoneProfile {
        name: format!("{user}'s iPhone"),
        platform: "ios",
        app: APP.to_owned(),
        push: PhoneKind::Iphone.push_object(target),
    };
    Phone::new(scene.phones(), scene.installation.device_url(), profile)
}

async fn enrol(scene: &Scene, user: &str, phone: &mut Phone) {
    let opened = scene.portal.open_enrollment(user, APP).await.expect("an enrolment");
    phone.enrol(opened.activation_code.as_deref().expect("a code")).await.expect("enrolled");
}

async fn assert_pushed_to(scene: &Scene, user: &str, target: &str) {
    let id = scene.begin("login", user).await.to_string();
    let pushes = scene.world.apns.pushes();
    let push = pushes.wait_for_push(|push| push.header("apns-collapse-id") == Some(&id), SOON).await;
    assert_eq!(push.expect("a push").target(), target);
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
}

/// A signed new address is pushed to from then on, an unsigned one is not taken. An address belongs to the newest phone
/// of a user and app; another user may have it as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_027_push_token_update() {
    let scene = Scene::of(&with_mode("multiple")).await;
    let [first, second] = [PhoneKind::Iphone.new_target(), PhoneKind::Iphone.new_target()];
    for target in [&first, &second] {
        scene.world.apns.devices().register(target, BUNDLE_ID).expect("room");
    }
    let mut phone = iphone_at(&scene, "alice", &first);
    enrol(&scene, "alice", &mut phone).await;
    assert_pushed_to(&scene, "alice", &first).await;
    let forged = phone.impostor().move_push(&PhoneKind::Iphone.push_object(&second)).await;
    assert_eq!(forged.expect_err("another key").code(), Some("bad_proof"));
    let unsigned = http::Request::put(format!("{}/device/v1/push", scene.installation.device_url()))
        .header("content-type", "application/json")
        .body(PhoneKind::Iphone.push_object(&second).to_string().into())
        .expect("a request");
    scene.call(unsigned).await.expect_problem(401, "bad_proof");
    assert_pushed_to(&scene, "alice", &first).await;
    phone.move_push(&PhoneKind::Iphone.push_object(&second)).await.expect("moved");
    assert_pushed_to(&scene, "alice", &second).await;

    let mut of_bob = iphone_at(&scene, "bob", &second);
    enrol(&scene, "bob", &mut of_bob).await;
    assert_eq!(listed(&scene, "alice").await[0]["status"], "active", "several users of one phone");
    let mut again = iphone_at(&scene, "alice", &second);
    enrol(&scene, "alice", &mut again).await;
    let statuses: Vec<Value> =
        listed(&scene, "alice").await.iter().map(|device| device["status"].clone()).collect();
    assert_eq!(statuses, ["active", "unreachable"], "the newest has it");
    assert_pushed_to(&scene, "bob", &second).await;
    phone.move_push(&PhoneKind::Iphone.push_object(&first)).await.expect("moved");
    assert_eq!(listed(&scene, "alice").await[1]["status"], "active", "a new address brings it back");
}
