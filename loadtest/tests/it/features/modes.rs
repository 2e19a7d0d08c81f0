//! How many phones a user may have with an app, and what an enrolment needs beside its code.

use std::fs;

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Phone, PhoneProfile};
use tocsin_loadtest::{APP, EnrollmentView, Handset, PhoneKind};
use tocsin_model::Decision;

use super::Scene;
use super::operations::{operated_as, operated_of, shown, tocsin};
use super::scene::{Answer, CATALOGUE, SOON, SceneOptions};

/// The standard catalogue, whose app says this too.
fn with_app(keys: &str) -> String {
    CATALOGUE.replace("[apps.bank.ios]", &format!("[apps.bank]\n{keys}\n[apps.bank.ios]"))
}

async fn open(scene: &Scene, user: &str) -> Answer {
    scene.portal("POST", "/v1/enrollments", Some(&json!({"user": user, "app": APP}))).await
}

/// A second phone, not enrolled yet and without a push address.
fn other_phone(scene: &Scene) -> Phone {
    let profile = PhoneProfile {
        name: "another phone".to_owned(),
        platform: "other",
        app: APP.to_owned(),
        push: json!({"kind": "none"}),
    };
    Phone::new(scene.phones(), scene.installation.device_url(), profile)
}

fn code(opened: &EnrollmentView) -> &str {
    opened.activation_code.as_deref().expect("a code")
}

/// The user's devices as status and id, newest first.
async fn statuses(scene: &Scene, user: &str) -> Vec<(String, String)> {
    let listed = scene.portal.devices(user).await.expect("a list");
    listed.items.into_iter().map(|device| (device.status, device.device_id.to_string())).collect()
}

fn entry(status: &str, phone: &Handset) -> (String, String) {
    (status.to_owned(), phone.device_id().to_string())
}

async fn assert_pushed(scene: &Scene, phone: &mut Handset) {
    let id = scene.begin("login", phone.user()).await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
}

/// With several phones and nothing but a code to enrol them, start and check warn of it once; a phone that is added is
/// in the trail, and the older one is told by a push that names no transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_012_warn_takeover() {
    for mode in ["multiple", "override"] {
        let scene = operated_of(&with_app(&format!("mode = \"{mode}\""))).await;
        let log = fs::read_to_string(scene.installation.log_file()).expect("a log");
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("takeover risk")).collect();
        assert_eq!(warned.len(), 1, "{log}");
        assert!(warned[0].contains("WARN") && warned[0].contains("apps.bank.mode"), "{}", warned[0]);
        let checked = String::from_utf8_lossy(&tocsin(&scene, &["check"], &[]).stderr).into_owned();
        assert!(checked.contains("tocsin.toml:") && checked.contains("takeover risk"), "{checked}");

        let mut first = scene.enrol(PhoneKind::Iphone, "alice").await;
        let second = scene.enrol(PhoneKind::Android, "alice").await;
        let notice = first.next_record(SOON).await.expect("a notice").payload_json().expect("JSON");
        assert_eq!(notice["aps"]["alert"]["loc-key"], "TOCSIN_DEVICE_ADDED");
        assert_eq!(notice.get("t"), None, "{notice}");
        let told = shown(&scene, "/v1/admin/audit?event=device_enrolled&user=alice").await;
        let ids: Vec<&Value> =
            told["items"].as_array().expect("a list").iter().map(|row| &row["device_id"]).collect();
        let (first, second) = (first.device_id().to_string(), second.device_id().to_string());
        assert_eq!(ids, [&json!(second), &json!(first)]);
    }
    let careful = Scene::of(&with_app("mode = \"multiple\"\nconfirm = \"number\"")).await;
    let log = fs::read_to_string(careful.installation.log_file()).expect("a log");
    assert!(!log.contains("takeover risk"), "{log}");
}

/// One phone; another is refused when it is asked for and when it comes with an earlier code, until the first is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_013_mode_single() {
    let scene = operated_of(CATALOGUE).await;
    let earlier = scene.portal.open_enrollment("alice", APP).await.expect("an enrolment");
    let mut first = scene.enrol(PhoneKind::Iphone, "alice").await;
    open(&scene, "alice").await.expect_problem(409, "device_exists");
    let mut second = other_phone(&scene);
    let refused = second.enrol(code(&earlier)).await.expect_err("there is one");
    assert_eq!(refused.code(), Some("device_exists"));
    assert_eq!(statuses(&scene, "alice").await, [entry("active", &first)]);
    assert_pushed(&scene, &mut first).await;
    let refusals = shown(&scene, "/v1/admin/audit?event=enrollment_refused&user=alice").await;
    assert_eq!(refusals["items"].as_array().map(Vec::len), Some(2), "{refusals}");

    scene.portal.remove_device("alice", first.device_id()).await.expect("removed");
    second.enrol(code(&earlier)).await.expect("the code was not used up");
    let listed = statuses(&scene, "alice").await;
    let second_id = second.device_id().expect("enrolled").to_owned();
    assert_eq!(listed, [("active".to_owned(), second_id), entry("revoked", &first)]);
}

/// A new phone takes the place of the old one, whose open transaction ends and cannot be answered by it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_014_mode_override() {
    let scene = Scene::of(&with_app("mode = \"override\"")).await;
    let mut first = scene.enrol(PhoneKind::Iphone, "alice").await;
    let begun = scene.begin("login", "alice").await;
    assert_eq!(first.next_push(SOON).await.expect("a push"), begun);
    let challenge = first.phone.fetch(&begun.to_string()).await.expect("a challenge");

    let mut second = scene.enrol(PhoneKind::Android, "alice").await;
    assert_eq!(statuses(&scene, "alice").await, [entry("active", &second), entry("revoked", &first)]);
    let path = format!("/v1/transactions/{begun}?wait_s=15");
    let ended = scene.portal("GET", &path, None).await.expect(200);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("device_revoked")));
    let refused = first.phone.answer(&challenge, Decision::Accept).await.expect_err("it is out");
    assert_eq!(refused.code(), Some("device_revoked"));
    let refused = first.phone.list().await.expect_err("it is out");
    assert_eq!(refused.code(), Some("device_revoked"));
    assert_pushed(&scene, &mut second).await;
    let view = scene.portal("GET", &format!("/v1/transactions/{begun}"), None).await.expect(200);
    assert_eq!(view["state"], "failed");
}

/// Where a number confirms, a code in wrong hands neither puts out the true phone nor gets anything: the new one waits
/// until the portal was told the number that it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_must_be_confirmed_waits_for_its_number() {
    let scene = Scene::of(&with_app("mode = \"override\"\nconfirm = \"number\"")).await;
    let follow = async || {
        let opened = scene.portal.open_enrollment("alice", APP).await.expect("an enrolment");
        let mut phone = other_phone(&scene);
        phone.enrol(code(&opened)).await.expect("taken");
        let number = phone.confirmation_number().expect("a number").to_owned();
        assert!(number.len() == 6 && number.bytes().all(|digit| digit.is_ascii_digit()), "{number}");
        (opened, phone, number)
    };
    let word =
        |status: &str, phone: &Phone| (status.to_owned(), phone.device_id().expect("an id").to_owned());
    let (opened, first, number) = follow().await;
    let confirmed = scene.portal.confirm_enrollment(opened.id, &number).await.expect("the right number");
    assert_eq!(confirmed.state, "completed");

    let (opened, second, number) = follow().await;
    assert_eq!(scene.portal.enrollment(opened.id).await.expect("known").state, "unconfirmed");
    assert_eq!(statuses(&scene, "alice").await, [word("unconfirmed", &second), word("active", &first)]);
    assert!(first.list().await.is_ok());
    assert_eq!(second.list().await.expect_err("unconfirmed").code(), Some("device_inactive"));
    assert_eq!(second.own_record().await.expect("its own record")["device_status"], "unconfirmed");
    let wrong = json!({"number": if number == "000000" { "000001" } else { "000000" }});
    let path = format!("/v1/enrollments/{}/confirm", opened.id);
    let refused = scene.portal("POST", &path, Some(&wrong)).await.expect_problem(422, "wrong_number");
    assert_eq!(refused["attempts_left"], 2);

    scene.portal.confirm_enrollment(opened.id, &number).await.expect("the right number");
    assert_eq!(statuses(&scene, "alice").await, [word("active", &second), word("revoked", &first)]);
    assert!(second.list().await.is_ok());
    assert_eq!(first.list().await.expect_err("replaced").code(), Some("device_revoked"));
    second.leave().await.expect("left");
    assert_eq!(second.list().await.expect_err("left").code(), Some("device_revoked"));
}

/// A transaction of this app's user, decided by the phone.
async fn decided(scene: &Scene, phone: &Handset, decision: Decision) -> String {
    let id = scene.begin("login", phone.user()).await.to_string();
    let challenge = phone.phone.fetch(&id).await.expect("a challenge");
    phone.phone.answer(&challenge, decision).await.expect("a state");
    id
}

/// Where an enrolment needs a strong authentication, a portal that names none, or one that does not vouch, is refused;
/// one that the same user accepted vouches once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_147_strong_precondition() {
    let desk = "[apps.desk.ios]\nbundle_id = \"com.example.bank\"\n";
    let scene = operated_of(&format!("{}{desk}", with_app("requires = \"accepted_transaction\""))).await;
    let alice = scene.enrol_app("desk", "alice").await;
    let bob = scene.enrol_app("desk", "bob").await;
    let open_by = async |transaction: Option<&str>| {
        let mut body = json!({"user": "alice", "app": APP});
        transaction.into_iter().for_each(|id| body["authorized_by"] = json!(id));
        scene.portal("POST", "/v1/enrollments", Some(&body)).await
    };
    let refused = open_by(None).await.expect_problem(403, "authorization_required");
    assert_eq!(refused["field"], "authorized_by");
    let pending = scene.begin("login", "alice").await.to_string();
    let declined = decided(&scene, &alice, Decision::Decline).await;
    let of_bob = decided(&scene, &bob, Decision::Accept).await;
    for id in [&pending, &declined, &of_bob, "01913f00-1122-8b7f-bfff-ffffffffffff"] {
        open_by(Some(id)).await.expect_problem(403, "authorization_required");
    }
    let accepted = decided(&scene, &alice, Decision::Accept).await;
    let opened = open_by(Some(&accepted)).await.expect(201);
    open_by(Some(&accepted)).await.expect_problem(403, "authorization_required");
    let mut phone = other_phone(&scene);
    phone.enrol(opened["activation_code"].as_str().expect("a code")).await.expect("enrolled");
    let refusals = shown(&scene, "/v1/admin/audit?event=enrollment_refused&user=alice").await;
    let refusals = refusals["items"].as_array().expect("a list");
    assert_eq!(refusals.len(), 6);
    assert!(refusals.iter().all(|row| row["detail"] == "authorization_required"), "{refusals:?}");
}

/// The same id in two realms is two people, each with a phone, a time to live and limits of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_150_multi_tenant_domains() {
    let business = "[realms.business]\nttl_s = 120\nstarts_per_user_per_minute_max = 2\n[types.login]";
    let scene = operated_as(SceneOptions {
        catalogue: Some(CATALOGUE.replace("[types.login]", business)),
        client: "default_realm = \"retail\"\n".to_owned(),
        ..SceneOptions::default()
    })
    .await;
    let mut of_retail = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut of_business = scene.enrol(PhoneKind::Android, "alice@business").await;
    for (user, phone, ttl_ms) in
        [("alice", &mut of_retail, 60_000), ("alice@business", &mut of_business, 120_000)]
    {
        let body = json!({"type": "login", "user": user});
        let view = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
        assert_eq!(view["ttl_ms"], ttl_ms);
        assert_eq!(phone.next_push(SOON).await.expect("a push").to_string(), view["id"]);
        assert_eq!(view["delivery"].as_array().map(Vec::len), Some(1), "{view}");
        let id = phone.device_id().to_string();
        assert_eq!(statuses(&scene, user).await, [("active".to_owned(), id)]);
    }
    let by_object = json!({"type": "login", "user": {"id": "alice", "realm": "business"}});
    let refused = scene.portal("POST", "/v1/transactions", Some(&by_object)).await;
    assert!(refused.reply.headers.contains_key("retry-after"), "{:?}", refused.reply);
    refused.expect_problem(429, "rate_limited");
    let listed = async |query: &str| {
        let list = scene.portal("GET", &format!("/v1/transactions?{query}"), None).await.expect(200);
        list["items"].as_array().expect("a list").len()
    };
    assert_eq!((listed("user=alice").await, listed("user=alice@business").await), (1, 1));
    scene.begin("login", "alice").await;
    assert_eq!((listed("user=alice").await, listed("user=alice&realm=business").await), (2, 1));
    let contradicting = scene.portal("GET", "/v1/users/alice@business/devices?realm=retail", None).await;
    contradicting.expect_problem(422, "invalid_field");
}
