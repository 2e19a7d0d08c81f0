//! Where pushes go, and by which credential of Google.

use std::fs;

use serde_json::{Value, json};
use tocsin_loadtest::{BUNDLE_ID, Handset, PhoneKind};
use tocsin_mock::{ApnsEnvironment, ApnsOptions, ApnsServer, Topics};

use super::Scene;
use super::operations::{edit, operated, refused, reload, tocsin};
use super::scene::SOON;

fn dump(scene: &Scene) -> String {
    let output = tocsin(scene, &["config"], &[]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Takes out the line of the configuration file that begins so.
fn without_line(scene: &Scene, beginning: &str) {
    let text = fs::read_to_string(scene.installation.config_file()).expect("a configuration");
    let line = text.lines().find(|line| line.starts_with(beginning)).expect(beginning).to_owned();
    edit(scene, &format!("{line}\n"), "");
}

/// Apple has two environments. Nobody who names none is sent to the sandbox, and each has its own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_037_apns_two_envs() {
    let scene = operated().await;
    let identity = scene.world.authority.issue().expect("a certificate");
    let key = scene.world.apns_credential.key(Topics::Only(vec![BUNDLE_ID.to_owned()]));
    let options = ApnsOptions { environment: ApnsEnvironment::Sandbox, ..ApnsOptions::new(identity) };
    let sandbox = ApnsServer::start(options.with_key(key)).await.expect("a sandbox");
    let provider = |endpoint: &str| {
        format!(
            "[apps.desk.ios]\nbundle_id = \"{BUNDLE_ID}\"\nprovider = \"apns-sandbox\"\n\
             [providers.apns-sandbox]\nkind = \"apns\"\nenvironment = \"sandbox\"\nteam_id = \"TEAM000001\"\n\
             key_id = \"KEY0000001\"\nkey_file = \"credentials/apns-key.p8\"\n{endpoint}\
             ca_file = \"credentials/ca.pem\"\n\n[providers.fcm-main]"
        )
    };
    let endpoint = format!("endpoint = \"{}\"\n", sandbox.url());
    edit(&scene, "[providers.fcm-main]", &provider(&endpoint));
    reload(&scene).await;
    let (bank, desk) = (scene.enrol(PhoneKind::Iphone, "alice").await, scene.enrol_app("desk", "bob").await);
    let target = PhoneKind::Iphone.new_target();
    sandbox.devices().register(&target, BUNDLE_ID).expect("room");
    desk.phone.move_push(&PhoneKind::Iphone.push_object(&target)).await.expect("moved");
    for (phone, server) in [(&bank, &scene.world.apns), (&desk, &sandbox)] {
        let id = scene.begin("login", phone.user()).await.to_string();
        let found = |push: &tocsin_mock::PushRecord| push.header("apns-collapse-id") == Some(&id);
        let push = server.pushes().wait_for_push(found, SOON).await.expect("a push");
        assert!(push.is_accepted(), "{push:?}");
    }
    assert_eq!((scene.world.apns.pushes().records().len(), sandbox.pushes().records().len()), (1, 1));

    edit(&scene, &endpoint, "");
    without_line(&scene, &format!("endpoint = \"{}\"", scene.world.apns.url()));
    let dump = dump(&scene);
    for address in ["https://api.push.apple.com\"", "https://api.sandbox.push.apple.com\""] {
        assert_eq!(dump.matches(address).count(), 1, "{address} in\n{dump}");
    }
}

/// A prompt, and the push that closes it again.
async fn pushed(scene: &Scene, phone: &mut Handset) {
    let id = scene.begin("login", phone.user()).await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
    assert_eq!(phone.next_closing(SOON).await.expect("a closing push"), (id, "cancelled".to_owned()));
}

/// Without an address pushes go to Google's own, with one all go there; an empty one is a fault that says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_040_fcm_endpoint() {
    let scene = operated().await;
    for user in ["alice", "bob"] {
        let mut phone = scene.enrol(PhoneKind::Android, user).await;
        pushed(&scene, &mut phone).await;
    }
    assert_eq!(scene.world.fcm.pushes().accepted(), 4);
    assert!(
        dump(&scene).contains(&format!("endpoint = \"{}\" # ", scene.world.fcm.url())),
        "{}",
        dump(&scene)
    );
    let own = format!("endpoint = \"{}\"", scene.world.fcm.url());
    edit(&scene, &own, "endpoint = \"\"");
    let faults = refused(&scene).await;
    for part in ["tocsin.toml:", "providers.fcm-main.endpoint: ", "leave the key out"] {
        assert!(faults.contains(part), "{part}: {faults}");
    }
    assert_eq!(tocsin(&scene, &["check"], &[]).status.code(), Some(78));
    without_line(&scene, "endpoint = \"\"");
    let dump = dump(&scene);
    assert!(dump.contains("endpoint = \"https://fcm.googleapis.com\" # default"), "{dump}");
}

/// One access token serves many pushes; a file that holds no service account is a fault that names the key and the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_041_fcm_key() {
    let scene = operated().await;
    let mut phones = Vec::new();
    for user in ["alice", "bob", "carol"] {
        phones.push(scene.enrol(PhoneKind::Android, user).await);
    }
    for phone in &mut phones {
        pushed(&scene, phone).await;
        pushed(&scene, phone).await;
    }
    assert_eq!((scene.world.fcm.token_endpoint().issued(), scene.world.fcm.pushes().accepted()), (1, 12));

    let text = fs::read_to_string(scene.installation.config_file()).expect("a configuration");
    let line = text.lines().find(|line| line.starts_with("service_account_file")).expect("a file").to_owned();
    let file = line.split('"').nth(1).expect("quoted").to_owned();
    let good: Value = serde_json::from_slice(&fs::read(&file).expect("an account")).expect("JSON");
    let mut without_key = good.clone();
    without_key.as_object_mut().expect("an object").remove("private_key");
    for bad in ["not JSON".to_owned(), "{}".to_owned(), without_key.to_string()] {
        fs::write(&file, &bad).expect("written");
        let faults = refused(&scene).await;
        assert!(faults.contains("fcm-main") && faults.contains("fcm-service-account.json"), "{faults}");
        assert!(!faults.contains("PRIVATE KEY"), "{faults}");
        let check = tocsin(&scene, &["check"], &[]);
        assert_eq!(check.status.code(), Some(78), "{check:?}");
    }
    pushed(&scene, &mut phones[0]).await;
    fs::write(&file, good.to_string()).expect("written");
    reload(&scene).await;
    pushed(&scene, &mut phones[1]).await;
    assert_eq!(json!(scene.world.fcm.pushes().accepted()), 16);
}
