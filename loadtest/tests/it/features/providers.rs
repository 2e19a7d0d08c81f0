//! Which credential, environment and topic a push goes out with.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Phone, PhoneProfile};
use tocsin_loadtest::{APP, BUNDLE_ID, PhoneKind};
use tocsin_mock::{ApnsEnvironment, ApnsOptions, ApnsServer, PushRecord, Topics};

use super::Scene;
use super::operations::{edit, key_of_next_push, operated, reload, second_key, token_of};
use super::scene::{CATALOGUE, SOON};

/// An app that names no provider goes by the default one, whichever that is at the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_032_default_provider() {
    let scene = operated().await;
    let second = second_key(&scene, "apns-second", "KEY0000002");
    edit(&scene, "[providers.fcm-main]", &format!("{second}\n[providers.fcm-main]"));
    reload(&scene).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000001");
    edit(
        &scene,
        "[providers.apns-main]\nkind = \"apns\"\ndefault = true",
        "[providers.apns-main]\nkind = \"apns\"",
    );
    edit(&scene, "[providers.apns-second]", "[providers.apns-second]\ndefault = true");
    reload(&scene).await;
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000002");
}

/// The key id of a push's token, and its topic.
fn key_and_topic(push: &PushRecord) -> (Value, Option<String>) {
    (token_of(push).0["kid"].clone(), push.header("apns-topic").map(str::to_owned))
}

/// Two versions of one app, by one key: the old one through the sandbox under its own bundle id, the new one through
/// production; a phone that is updated moves from one to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_034_version_binding() {
    const BETA: &str = "com.example.bank.beta";
    let scene = operated().await;
    let topics = Topics::Only(vec![BUNDLE_ID.to_owned(), BETA.to_owned()]);
    let identity = scene.world.authority.issue().expect("a certificate");
    let key = scene.world.apns_credential.key(topics);
    let options = ApnsOptions { environment: ApnsEnvironment::Sandbox, ..ApnsOptions::new(identity) };
    let sandbox = ApnsServer::start(options.with_key(key)).await.expect("a sandbox");
    let provider = format!(
        "[providers.apns-sandbox]\nkind = \"apns\"\nenvironment = \"sandbox\"\nteam_id = \"TEAM000001\"\n\
         key_id = \"KEY0000001\"\nkey_file = \"credentials/apns-key.p8\"\nendpoint = \"{}\"\n\
         ca_file = \"credentials/ca.pem\"\n\n[providers.fcm-main]",
        sandbox.url()
    );
    edit(&scene, "[providers.fcm-main]", &provider);
    let versions = format!(
        "[apps.bank.ios]\nbundle_id = \"{BETA}\"\nprovider = \"apns-sandbox\"\n\
         [apps.bank.ios.versions.v2]\nfrom = \"2.0\"\nbundle_id = \"{BUNDLE_ID}\"\nprovider = \"apns-main\"\n"
    );
    edit(&scene, &format!("[apps.bank.ios]\nbundle_id = \"{BUNDLE_ID}\"\n"), &versions);
    reload(&scene).await;

    let target = PhoneKind::Iphone.new_target();
    sandbox.devices().register(&target, BETA).expect("room");
    scene.world.apns.devices().register(&target, BUNDLE_ID).expect("room");
    let profile = PhoneProfile {
        name: "alice's iPhone".to_owned(),
        platform: "ios",
        app: APP.to_owned(),
        push: PhoneKind::Iphone.push_object(&target),
    };
    let mut phone = Phone::new(scene.phones(), scene.installation.device_url(), profile);
    let opened = scene.portal.open_enrollment("alice", APP).await.expect("an enrolment");
    phone.enrol(opened.activation_code.as_deref().expect("a code")).await.expect("enrolled");

    for (version, server, topic) in
        [(None, &sandbox, BETA), (Some("2.0.1"), &scene.world.apns, BUNDLE_ID), (Some("1.9"), &sandbox, BETA)]
    {
        if let Some(version) = version {
            phone.change_record(&json!({"app_version": version})).await.expect("changed");
        }
        let id = scene.begin("login", "alice").await.to_string();
        let found = |push: &PushRecord| push.header("apns-collapse-id") == Some(&id);
        let push = server.pushes().wait_for_push(found, SOON).await.expect("a push");
        assert!(push.is_accepted(), "{push:?}");
        assert_eq!(key_and_topic(&push), (json!("KEY0000001"), Some(topic.to_owned())), "{version:?}");
    }
    assert_eq!(sandbox.pushes().records().len(), 2);
    assert_eq!(scene.world.apns.pushes().records().len(), 1);
}

/// An app that names no bundle id is one by its own name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_039_bundle_default() {
    let named = format!("[apps.bank.ios]\nbundle_id = \"{BUNDLE_ID}\"\n");
    assert!(CATALOGUE.contains(&named), "{CATALOGUE}");
    let scene = Scene::of(&CATALOGUE.replace(&named, &format!("[apps.\"{BUNDLE_ID}\".ios]\n"))).await;
    let mut phone = scene.enrol_app(BUNDLE_ID, "alice").await;
    scene.begin("login", "alice").await;
    let push = phone.next_record(SOON).await.expect("a push");
    assert_eq!(push.header("apns-topic"), Some(BUNDLE_ID));
}
