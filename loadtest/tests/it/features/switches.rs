//! What is switched on and off, and what a phone must bring before it can be reached.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Phone, PhoneProfile};
use tocsin_loadtest::{APP, BUNDLE_ID, EnrollmentView, PhoneKind};
use tocsin_model::Decision;

use super::Scene;
use super::operations::{edit, operated, operated_of, reload, shown, tocsin};
use super::scene::{CATALOGUE, SOON};

fn login() -> Value {
    json!({"type": "login", "user": "alice"})
}

/// A phone without a push address, not enrolled yet.
fn silent_phone(scene: &Scene) -> Phone {
    let profile = PhoneProfile {
        name: "alice's iPhone".to_owned(),
        platform: "ios",
        app: APP.to_owned(),
        push: json!({"kind": "none"}),
    };
    Phone::new(scene.phones(), scene.installation.device_url(), profile)
}

async fn open(scene: &Scene) -> EnrollmentView {
    scene.portal.open_enrollment("alice", APP).await.expect("an enrolment")
}

fn code(opened: &EnrollmentView) -> &str {
    opened.activation_code.as_deref().expect("a code")
}

async fn devices(scene: &Scene) -> usize {
    scene.portal.devices("alice").await.expect("a list").items.len()
}

/// Puts a switch in front of the types, or changes it there.
async fn switch(scene: &Scene, name: &str, is_on: bool) {
    if is_on {
        edit(scene, &format!("{name} = false"), &format!("{name} = true"));
    } else {
        edit(scene, "[types.login]", &format!("[switches]\n{name} = false\n[types.login]"));
    }
    reload(scene).await;
}

/// What `tocsin check` warns of.
fn warnings(scene: &Scene) -> String {
    let checked = tocsin(scene, &["check"], &[]);
    assert!(checked.status.success(), "{checked:?}");
    String::from_utf8_lossy(&checked.stderr).into_owned()
}

/// Off: no call of portals and phones is taken. On again: all types and what was begun are still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_002_system_switch() {
    let scene = operated().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let begun = scene.begin("login", "alice").await;
    phone.next_push(SOON).await.expect("a push");
    let path = format!("/v1/transactions/{begun}");

    switch(&scene, "service", false).await;
    scene.portal("POST", "/v1/transactions", Some(&login())).await.expect_problem(422, "method_disabled");
    scene.portal("GET", &path, None).await.expect_problem(422, "method_disabled");
    let enrolment = json!({"user": "bob", "app": APP});
    let refused = scene.portal("POST", "/v1/enrollments", Some(&enrolment)).await;
    refused.expect_problem(422, "method_disabled");
    let refused = phone.phone.list().await.expect_err("switched off");
    assert_eq!(refused.code(), Some("method_disabled"));
    assert_eq!(scene.world.apns.pushes().records().len(), 1);
    let kept = shown(&scene, "/v1/admin/config").await.to_string();
    assert!(kept.contains("types.payment.message_max") && kept.contains("apps.bank.ios.bundle_id"), "{kept}");
    assert!(warnings(&scene).contains("switches.service"), "{}", warnings(&scene));

    switch(&scene, "service", true).await;
    assert_eq!(scene.portal("GET", &path, None).await.expect(200)["state"], "pending");
    let challenge = phone.phone.fetch(&begun.to_string()).await.expect("a challenge");
    assert_eq!(phone.phone.answer(&challenge, Decision::Accept).await.expect("a state"), "accepted");
    scene.begin("login", "alice").await;
    scene.begin("payment", "alice").await;
}

/// Off: neither a portal nor a phone with a good code enrols, the trail says so, and the check names what lies idle. On
/// again: the code was not used up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_005_enrol_switch() {
    let app = "[apps.bank]\nmode = \"multiple\"\nunique_server_keys = true\nactivation_ttl_s = 240\n";
    let scene = operated_of(&CATALOGUE.replace("[apps.bank.ios]", &format!("{app}[apps.bank.ios]"))).await;
    let (mut phone, opened) = (silent_phone(&scene), open(&scene).await);

    switch(&scene, "enrollment", false).await;
    for _ in 0..3 {
        let refused = phone.enrol(code(&opened)).await.expect_err("switched off");
        assert_eq!(refused.code(), Some("method_disabled"));
    }
    let refused = scene.portal("POST", "/v1/enrollments", Some(&json!({"user": "alice", "app": APP}))).await;
    refused.expect_problem(422, "method_disabled");
    let refused = phone.enrol("0000").await.expect_err("switched off for every code");
    assert_eq!(refused.code(), Some("method_disabled"));
    assert_eq!(devices(&scene).await, 0);
    let told = shown(&scene, "/v1/admin/audit?event=enrollment_refused&user=alice").await;
    let told: Vec<(&Value, &Value, &Value)> = told["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (&row["actor"]["kind"], &row["detail"], &row["enrollment"]))
        .collect();
    let (why, of_phone) = (json!("method_disabled"), json!(opened.id.to_string()));
    let expected = [(&json!("client"), &why, &Value::Null), (&json!("server"), &why, &of_phone)];
    assert_eq!(told, expected, "one row for the portal, one for the phone however often it tries");
    let warned = warnings(&scene);
    for key in ["mode", "unique_server_keys", "activation_ttl_s"] {
        let line = format!("apps.bank.{key}: is inert while switches.enrollment is false");
        assert!(warned.contains(&line), "no {line} in\n{warned}");
    }

    switch(&scene, "enrollment", true).await;
    phone.enrol(code(&opened)).await.expect("the code is still good");
    assert_eq!(devices(&scene).await, 1);
}

/// A push address without keys enrols nothing, and the code stays good; rules of enrolment are idle while it is off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_007_key_before_push() {
    let scene = operated_of(
        &CATALOGUE.replace("[apps.bank.ios]", "[apps.bank]\nmode = \"override\"\n[apps.bank.ios]"),
    )
    .await;
    let (mut phone, opened) = (silent_phone(&scene), open(&scene).await);
    let push = PhoneKind::Iphone.push_object(&PhoneKind::Iphone.new_target());
    let unfit = [
        (None, "field_required"),
        (Some(json!([])), "invalid_field"),
        (Some(json!([{"use": "device"}])), "field_required"),
    ];
    for (keys, why) in unfit {
        let mut body = phone.enrolment_body(code(&opened));
        body["push"] = push.clone();
        match &keys {
            Some(keys) => body["keys"] = keys.clone(),
            None => drop(body.as_object_mut().expect("an object").remove("keys")),
        }
        let body = body.to_string().into_bytes();
        let reply = phone.call("POST", "/device/v1/enrollments", body).await.expect("a reply");
        assert_eq!((reply.status, &reply.body["code"]), (422, &json!(why)), "{keys:?}");
    }
    assert_eq!(devices(&scene).await, 0);
    phone.enrol(code(&opened)).await.expect("the code is still good");

    switch(&scene, "enrollment", false).await;
    assert!(warnings(&scene).contains("apps.bank.mode: is inert"), "{}", warnings(&scene));
}

/// Keys alone cannot be pushed to; with a push address the same phone gets one push, by nothing but its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_008_push_enrol_required() {
    let scene = Scene::open().await;
    let (mut phone, opened) = (silent_phone(&scene), open(&scene).await);
    phone.enrol(code(&opened)).await.expect("enrolled");
    scene.portal("POST", "/v1/transactions", Some(&login())).await.expect_problem(422, "no_device");
    assert!(phone.list().await.expect("a list").is_empty());
    assert!(scene.world.apns.pushes().records().is_empty());

    let target = PhoneKind::Iphone.new_target();
    scene.world.apns.devices().register(&target, BUNDLE_ID).expect("room");
    phone.move_push(&PhoneKind::Iphone.push_object(&target)).await.expect("a new address");
    let id = scene.begin("login", "alice").await.to_string();
    let pushed = scene.world.apns.pushes().wait_for_push(|push| push.target() == target, SOON).await;
    assert_eq!(pushed.expect("a push").payload_json().expect("JSON")["t"], json!(id));
    assert_eq!(scene.world.apns.pushes().records().len(), 1);
    let challenge = phone.fetch(&id).await.expect("a challenge");
    assert_eq!(phone.answer(&challenge, Decision::Accept).await.expect("a state"), "accepted");
}

/// Sending off: no start, but phones are enrolled. Enrolling off: no phone, but starts are pushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_009_two_processes() {
    let scene = operated().await;
    switch(&scene, "sending", false).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    scene.portal("POST", "/v1/transactions", Some(&login())).await.expect_problem(422, "method_disabled");
    assert!(scene.world.apns.pushes().records().is_empty());

    switch(&scene, "sending", true).await;
    edit(&scene, "sending = true", "enrollment = false");
    reload(&scene).await;
    let refused = scene.portal("POST", "/v1/enrollments", Some(&json!({"user": "bob", "app": APP}))).await;
    refused.expect_problem(422, "method_disabled");
    let id = scene.begin("login", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
}
