//! How a phone comes to be enrolled: the link, the call, and what the portal sees of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tocsin_loadtest::phone::Phone;
use tocsin_loadtest::{APP, PhoneKind};

use super::Scene;
use super::operations::{edit, operated, refused, reload};
use super::scene::{CATALOGUE, SOON};

async fn open(scene: &Scene, user: &str, app: &str) -> Value {
    scene.portal("POST", "/v1/enrollments", Some(&json!({"user": user, "app": app}))).await.expect(201)
}

fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}"))
}

fn read_picture(base64: &str) -> String {
    read_png(&STANDARD.decode(base64).expect("base64"))
}

/// The text of a QR picture, read by another implementation than the one that draws it.
pub(super) fn read_png(file: &[u8]) -> String {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    let (width, height) = (info.width as usize, info.height as usize);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
    image.detect_grids().remove(0).decode().expect("readable").1
}

/// The members of the fragment of an activation link, as a phone reads them.
fn link(url: &str) -> [String; 3] {
    let (_, fragment) = url.split_once("/e#").expect("a fragment");
    let member = |name: &str| {
        let found = fragment.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("no {name} in {url}")).replace("%3A", ":").replace("%2F", "/")
    };
    ["c", "i", "k"].map(member)
}

async fn devices(scene: &Scene, user: &str) -> usize {
    scene.portal.devices(user).await.expect("a list").items.len()
}

async fn enrolment(scene: &Scene, opened: &Value, query: &str) -> Value {
    let path = format!("/v1/enrollments/{}{query}", text(opened, "id"));
    scene.portal("GET", &path, None).await.expect(200)
}

/// The picture holds code, address and the hash of the server's keys; before a phone follows, there is nothing to ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_020_enrol_qr_step1() {
    let scene = Scene::open().await;
    let opened = open(&scene, "alice", APP).await;
    let [code, issuer, keys] = link(&read_picture(text(&opened, "qr_png_base64")));
    assert_eq!(
        (code.as_str(), issuer.as_str()),
        (text(&opened, "activation_code"), scene.installation.device_url())
    );
    assert_eq!((keys.len(), text(&opened, "state")), (43, "pending"));
    assert!(text(&opened, "expires_at").ends_with('Z'), "{opened}");
    let start = json!({"type": "login", "user": "alice"});
    scene.portal("POST", "/v1/transactions", Some(&start)).await.expect_problem(422, "no_device");
    assert_eq!(devices(&scene, "alice").await, 0);

    let mut phone = scene.phone_of("alice");
    phone.enrol(&code).await.expect("enrolled by what the picture said");
    assert_eq!(phone.server_keys().expect("keys").set_hash(), keys, "the keys are those of the picture");
}

/// A wrong code, an old one and a used one look the same and leave no phone behind; the right one brings server keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_021_enrol_step2() {
    let scene = Scene::open().await;
    let opened = open(&scene, "alice", APP).await;
    let code = text(&opened, "activation_code");
    let cancelled = open(&scene, "alice", APP).await;
    let path = format!("/v1/enrollments/{}", text(&cancelled, "id"));
    scene.portal("DELETE", &path, None).await.expect(204);
    let mut phone = scene.phone_of("alice");
    let cut = &code[..code.len() - 1];
    for wrong in ["AAAAAAAAAAAAAAAAAAAAAA", text(&cancelled, "activation_code"), cut] {
        let error = phone.enrol(wrong).await.expect_err("a wrong code");
        assert_eq!(error.code(), Some("bad_activation_code"), "{wrong}");
    }
    assert_eq!(devices(&scene, "alice").await, 0);
    phone.enrol(code).await.expect("enrolled");
    assert!(phone.server_keys().expect("keys").kids().count() >= 1);
    let mut other = scene.phone_of("alice");
    let error = other.enrol(code).await.expect_err("a used code");
    assert_eq!(error.code(), Some("bad_activation_code"));
    assert_eq!(devices(&scene, "alice").await, 1);
    assert_eq!(enrolment(&scene, &opened, "").await["state"], "completed");
}

/// The link and its picture say the same; host and scheme are the bank's where it says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_022_enrol_activation_link() {
    let scene = operated().await;
    let opened = open(&scene, "alice", APP).await;
    let url = text(&opened, "activation_url");
    let host = scene.installation.device_url().trim_start_matches("http://");
    assert!(url.starts_with(&format!("https://{host}/e#c=")), "{url}");
    assert_eq!(read_picture(text(&opened, "qr_png_base64")), url);
    assert_eq!(link(url)[0], text(&opened, "activation_code"));

    let app =
        "[apps.bank]\nactivation_host = \"app.example.com\"\nactivation_scheme = \"bank\"\n[apps.bank.ios]";
    edit(&scene, "[apps.bank.ios]", app);
    reload(&scene).await;
    let opened = open(&scene, "alice", APP).await;
    let url = text(&opened, "activation_url");
    assert!(url.starts_with("bank://app.example.com/e#c="), "{url}");
    assert_eq!(read_picture(text(&opened, "qr_png_base64")), url);
    let seen_later = enrolment(&scene, &opened, "").await;
    for secret in ["activation_code", "activation_url", "qr_png_base64"] {
        assert!(seen_later.get(secret).is_none(), "told once: {seen_later}");
    }
}

async fn confirm(scene: &Scene, opened: &Value, number: &str) -> super::scene::Answer {
    let path = format!("/v1/enrollments/{}/confirm", text(opened, "id"));
    scene.portal("POST", &path, Some(&json!({ "number": number }))).await
}

/// The number that an enrolling phone shows.
async fn follow(scene: &Scene, opened: &Value, phone: &Phone) -> String {
    let body = phone.enrolment_body(text(opened, "activation_code")).to_string().into_bytes();
    let reply = phone.call("POST", "/device/v1/enrollments", body).await.expect("a reply");
    assert_eq!(reply.status, 201, "{:?} {}", reply.body, scene.log());
    reply.body["confirmation_number"].as_str().expect("a number").to_owned()
}

/// The portal asks as often as it likes and sees each step; wrong numbers fail it, and its phone is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_023_enrol_poll() {
    let catalogue =
        CATALOGUE.replace("[apps.bank.ios]", "[apps.bank]\nconfirm = \"number\"\n[apps.bank.ios]");
    let scene = Scene::of(&catalogue).await;
    let opened = open(&scene, "alice", APP).await;
    for _ in 0..3 {
        assert_eq!(enrolment(&scene, &opened, "").await["state"], "pending");
    }
    let phone = scene.phone_of("alice");
    let (held, number) =
        tokio::join!(enrolment(&scene, &opened, "?wait_s=20"), follow(&scene, &opened, &phone));
    assert_eq!(held["state"], "unconfirmed", "{held}");
    confirm(&scene, &opened, &number).await.expect(200);
    let done = enrolment(&scene, &opened, "").await;
    assert_eq!((text(&done, "state"), &done["device"]["name"]), ("completed", &json!("alice's phone")));
    assert!(done["device_id"].is_string(), "{done}");

    let opened = open(&scene, "bob", APP).await;
    let number = follow(&scene, &opened, &scene.phone_of("bob")).await;
    let wrong = if number == "123456" { "654321" } else { "123456" };
    for left in [2, 1, 0] {
        let refused = confirm(&scene, &opened, wrong).await.expect_problem(422, "wrong_number");
        assert_eq!(refused["attempts_left"], left);
    }
    assert_eq!(enrolment(&scene, &opened, "").await["state"], "failed");
    confirm(&scene, &opened, &number).await.expect_problem(409, "enrollment_final");
    assert_eq!(devices(&scene, "bob").await, 0);
}

/// How many calls the portal door has answered.
async fn calls_of_portal(scene: &Scene) -> u64 {
    let metrics = scene.ops("GET", "/metrics", None, None).await;
    let text = String::from_utf8(metrics.reply.body.to_vec()).expect("text");
    let of_portal =
        text.lines().filter(|line| line.starts_with("tocsin_http_requests_total{door=\"portal\""));
    of_portal
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count"))
        .sum()
}

/// The phone goes to the device door alone; the portal door knows no such call and hears of nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_024_enrol_device_direct() {
    let scene = Scene::open().await;
    let opened = open(&scene, "alice", APP).await;
    let mut phone = scene.phone_of("alice");
    let body = phone.enrolment_body(text(&opened, "activation_code")).to_string();
    let at_portal = http::Request::post(format!("{}/device/v1/enrollments", scene.installation.portal_url()))
        .header("content-type", "application/json")
        .body(body.into())
        .expect("a request");
    scene.call(at_portal).await.expect_problem(404, "not_found");
    let before = calls_of_portal(&scene).await;
    phone.enrol(text(&opened, "activation_code")).await.expect("enrolled");
    assert_eq!(calls_of_portal(&scene).await, before);
    assert!(before >= 2, "the two calls above are counted: {before}");
    assert_eq!(enrolment(&scene, &opened, "").await["state"], "completed");
}

/// An app must be configured, and a provider that reaches it; until then both the portal and the operator are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_051_firebase_policy() {
    let scene = operated().await;
    let body = json!({"user": "alice", "app": "wallet"});
    let unknown = scene.portal("POST", "/v1/enrollments", Some(&body)).await;
    let unknown = unknown.expect_problem(422, "invalid_field");
    assert_eq!(unknown["field"], "app", "{unknown}");
    let wallet =
        "[apps.wallet.android]\npackage = \"com.example.bank\"\nprovider = \"fcm-wallet\"\n[types.login]";
    edit(&scene, "[types.login]", wallet);
    let faults = refused(&scene).await;
    assert!(faults.contains("apps.wallet.android.provider") && faults.contains("fcm-wallet"), "{faults}");

    edit(&scene, "provider = \"fcm-wallet\"", "provider = \"fcm-main\"");
    reload(&scene).await;
    let opened = open(&scene, "alice", "wallet").await;
    let target = PhoneKind::Android.new_target();
    scene.world.fcm.registrations().register(&target);
    let mut pushes = PhoneKind::Android.pushes(&scene.world).subscribe(&target).expect("room");
    let profile = tocsin_loadtest::phone::PhoneProfile {
        name: "alice's phone".to_owned(),
        platform: "android",
        app: "wallet".to_owned(),
        push: PhoneKind::Android.push_object(&target),
    };
    let mut phone = Phone::new(scene.phones(), scene.installation.device_url(), profile);
    phone.enrol(text(&opened, "activation_code")).await.expect("enrolled");
    let id = scene.begin("login", "alice").await;
    let push = tokio::time::timeout(SOON, pushes.recv()).await.expect("in time").expect("a push");
    assert_eq!(push.payload_json().expect("JSON")["message"]["data"]["t"], json!(id.to_string()));
}
