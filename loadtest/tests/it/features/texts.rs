//! The texts of a type: whose they are, in which language, and how long.

use serde_json::{Value, json};
use tocsin_loadtest::phone::Screen;
use tocsin_loadtest::{Handset, PhoneKind};

use super::Scene;
use super::operations::{edit, operated, refused, reload};
use super::scene::{SOON, SceneOptions};

/// Types with texts in two languages, in clear, with tags, and without any of their own.
const CATALOGUE: &str = r#"
[texts]
languages = ["en", "nl"]
[realms.retail]
[realms.dutch]
languages = ["nl"]
[types.login]
default_title = "Log in"
default_message = "Do you want to log in?"
[types.login.texts.nl]
title = "Inloggen"
message = "Wilt u inloggen?"
[types.loud]
push_text = "message"
default_title = "{type} of {user}"
default_message = "{user} ({realm}), or somebody else at {ip_address} with {browser} on {operating_system}, asks to log in"
[types.payment]
message_required = true
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

const CHROME: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_3) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/73.0.3683.86 Safari/537.36";

/// Users without a realm of their own are of the first one.
async fn open() -> Scene {
    let client = "default_realm = \"retail\"\n".to_owned();
    Scene::with(SceneOptions { catalogue: Some(CATALOGUE.to_owned()), client, ..SceneOptions::default() })
        .await
}

async fn start(scene: &Scene, body: Value) -> Value {
    scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201)
}

/// What the phone shows of a transaction that is begun with this body.
async fn screen(scene: &Scene, phone: &Handset, body: Value) -> Screen {
    let started = start(scene, body).await;
    let id = started["id"].as_str().expect("an id").to_owned();
    let screen = phone.phone.fetch(&id).await.expect("a challenge").screen;
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
    screen
}

/// With a message the phone shows it; without, the texts of the type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_074_login_message() {
    let scene = open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let own = json!({"type": "login", "user": "alice", "title": "Sign in", "message": "Is this you? {user}"});
    let shown = screen(&scene, &phone, own).await;
    assert_eq!((&*shown.title, &*shown.message), ("Sign in", "Is this you? {user}"));
    let shown = screen(&scene, &phone, json!({"type": "login", "user": "alice"})).await;
    assert_eq!((&*shown.title, &*shown.message), ("Log in", "Do you want to log in?"));
    let half = json!({"type": "login", "user": "alice", "message": "Only this"});
    let shown = screen(&scene, &phone, half).await;
    assert_eq!((&*shown.title, &*shown.message), ("Log in", "Only this"));
}

/// Title and message of the type are in the push with what their tags stand for, also where that is hostile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_107_text_on_mobile() {
    let scene = open().await;
    let mut phone = scene.enrol(PhoneKind::Android, "alice").await;
    let context = json!({"ip_address": "192.0.2.7", "user_agent": CHROME});
    let started = start(&scene, json!({"type": "loud", "user": "alice", "context": context})).await;
    let record = phone.next_record(SOON).await.expect("a push");
    let data = record.payload_json().expect("JSON")["message"]["data"].clone();
    let message =
        "alice (retail), or somebody else at 192.0.2.7 with Chrome 73.0 on Mac 10.14, asks to log in";
    assert_eq!((data["title"].as_str(), data["message"].as_str()), (Some("loud of alice"), Some(message)));
    assert_eq!(data["t"], started["id"]);
    let shown = phone.phone.fetch(started["id"].as_str().expect("an id")).await.expect("a challenge").screen;
    assert_eq!((&*shown.title, &*shown.message), ("loud of alice", message));

    let odd = "{realm}x";
    let mut odd_phone = scene.enrol(PhoneKind::Android, odd).await;
    start(&scene, json!({"type": "loud", "user": odd})).await;
    let record = odd_phone.next_record(SOON).await.expect("a push");
    let data = record.payload_json().expect("JSON")["message"]["data"].clone();
    assert_eq!(data["title"], "loud of realmx");
    assert_eq!(data["message"], "realmx (retail), or somebody else at  with  on , asks to log in");
}

/// A message may be left out only where the type has one; one of more than 155 characters is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_130_message_required() {
    let scene = open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let post = async |body: Value| scene.portal("POST", "/v1/transactions", Some(&body)).await;
    let problem =
        post(json!({"type": "payment", "user": "alice"})).await.expect_problem(422, "field_required");
    assert_eq!(problem["field"], "message");
    let empty = post(json!({"type": "payment", "user": "alice", "message": ""})).await;
    assert_eq!(empty.expect_problem(422, "invalid_field")["field"], "message");
    for (characters, fits) in [(1, true), (155, true), (156, false)] {
        for type_name in ["payment", "login"] {
            let message = "ä".repeat(characters);
            let body = json!({"type": type_name, "user": "alice", "message": message});
            if fits {
                assert_eq!(screen(&scene, &phone, body).await.message, message);
            } else {
                assert_eq!(post(body).await.expect_problem(422, "invalid_field")["field"], "message");
            }
        }
    }
}

/// Dutch for who asks for it, English for who asks for what there is not, or for nothing; a realm has its own order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_131_default_message_lang() {
    let scene = open().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for (language, title, message) in [
        (Some("nl"), "Inloggen", "Wilt u inloggen?"),
        (Some("NL-be"), "Inloggen", "Wilt u inloggen?"),
        (Some("fr"), "Log in", "Do you want to log in?"),
        (Some("en-GB"), "Log in", "Do you want to log in?"),
        (None, "Log in", "Do you want to log in?"),
    ] {
        let mut body = json!({"type": "login", "user": "alice"});
        if let Some(language) = language {
            body["language"] = json!(language);
        }
        let shown = screen(&scene, &phone, body).await;
        assert_eq!((&*shown.title, &*shown.message), (title, message), "{language:?}");
    }
    let phone = scene.enrol(PhoneKind::Iphone, "bob@dutch").await;
    for (language, title) in [(None, "Inloggen"), (Some("fr"), "Inloggen"), (Some("en"), "Log in")] {
        let mut body = json!({"type": "login", "user": "bob@dutch"});
        if let Some(language) = language {
            body["language"] = json!(language);
        }
        assert_eq!(screen(&scene, &phone, body).await.title, title, "{language:?}");
    }
}

/// A text in a language that is not listed is refused with its place, and the present texts stay; listed, it is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_132_supported_locales() {
    let scene = operated().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let french = "[types.login.texts.fr]\ntitle = \"Connexion\"\n[apps.bank.ios]";
    edit(&scene, "[apps.bank.ios]", french);
    let faults = refused(&scene).await;
    assert!(faults.contains("types.login.texts.fr: fr is not in texts.languages"), "{faults}");
    assert!(faults.contains("tocsin.toml:"), "the place: {faults}");
    let asked = || json!({"type": "login", "user": "alice", "language": "fr"});
    assert_eq!(screen(&scene, &phone, asked()).await.title, "Log in");
    edit(&scene, "[realms.retail]", "[texts]\nlanguages = [\"en\", \"fr\"]\n[realms.retail]");
    reload(&scene).await;
    assert_eq!(screen(&scene, &phone, asked()).await.title, "Connexion");
}

/// A text that names what there is not is refused at the reload, and the running configuration is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_with_an_unknown_tag_is_refused_and_the_present_one_kept() {
    let scene = operated().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    edit(&scene, "default_title = \"Log in\"", "default_title = \"Log in {surname}\"");
    let faults = refused(&scene).await;
    assert!(faults.contains("types.login.default_title: {surname} stands for nothing"), "{faults}");
    let shown = screen(&scene, &phone, json!({"type": "login", "user": "alice"})).await;
    assert_eq!(shown.title, "Log in");
}
