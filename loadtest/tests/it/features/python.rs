//! The phone in Python, written from the device protocol's document alone: server keys, PIN, number, confirmation.

use std::time::Duration;

use serde_json::json;
use tocsin_loadtest::PhoneKind;

use super::Scene;
use super::operations::{edit, tocsin};
use super::scene::{CATALOGUE, SOON, SceneOptions};
use crate::python_phone::PythonPhone;

/// The app of the phone in Python, beside that of the iPhone that is pushed to.
const DESK: &str = "[apps.desk]\nconfirm = \"number\"\n[types.secret]\nkeys = [\"pin\"]\nnumber_match = \"choose\"\n\
                    [types.entry]\npurpose = \"login\"\n";

/// Enrolled with a PIN and confirmed, it approves by PIN and number, is told of a wrong PIN, and changes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_in_python_has_a_pin_and_matches_numbers() {
    let scene = Scene::of(&format!("{CATALOGUE}{DESK}")).await;
    let _pushed = scene.enrol_with(PhoneKind::Iphone, "alice", |phone| phone.with_pin("9999")).await;
    let python = PythonPhone::new(scene.folder());
    let issuer = scene.installation.device_url();
    let opened = scene.portal.open_enrollment("alice", "desk").await.expect("an enrolment");
    let code = opened.activation_code.as_deref().expect("a code");
    let enrolled =
        python.run(&["enrol", "--issuer", issuer, "--code", code, "--app", "desk", "--pin", "1234"]);
    assert_eq!(python.run(&["device"])["device_status"], "unconfirmed");
    let number = enrolled["confirmation_number"].as_str().expect("a number for the portal");
    scene.portal.confirm_enrollment(opened.id, number).await.expect("confirmed");
    assert_eq!(python.run(&["device"])["device_status"], "active");

    let id = scene.begin("secret", "alice").await;
    let (name, view) = (id.to_string(), scene.view(id).await);
    let right = view["number"].as_str().expect("a number");
    let challenge = python.run(&["fetch", &name]);
    assert!(challenge["numbers"].as_array().expect("three").contains(&json!(right)), "{challenge}");
    for (arguments, why) in [
        (vec![], "give the number"),
        (vec!["--number", right], "approved by the PIN"),
        (vec!["--number", right, "--pin", "0000"], "403 wrong_pin"),
    ] {
        let said = python.refused(&[&["answer", &name, "accept"], &arguments[..]].concat());
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert_eq!(said.contains("2 tries left"), why.contains("wrong_pin"), "{said}");
    }
    let answered = python.run(&["answer", &name, "accept", "--number", right, "--pin", "1234"]);
    assert_eq!(answered["state"], "accepted");
    assert_eq!(scene.outcome(id).await["answer"]["method"], "pin");

    assert_eq!(python.run(&["change-pin", "5678", "--pin", "1234"])["changed"], "pin");
    let id = scene.begin("secret", "alice").await;
    let (name, view) = (id.to_string(), scene.view(id).await);
    let right = view["number"].as_str().expect("a number");
    let said = python.refused(&["answer", &name, "accept", "--number", right, "--pin", "1234"]);
    assert!(said.contains("403 wrong_pin"), "{said}");
    let answered = python.run(&["answer", &name, "accept", "--number", right, "--pin", "5678"]);
    assert_eq!(answered["state"], "accepted");

    let id = scene.begin("entry", "alice").await;
    let (name, view) = (id.to_string(), scene.view(id).await);
    let typed = view["number"].as_str().expect("a number");
    assert_eq!(python.run(&["answer", &name, "accept", "--number", typed])["state"], "accepted");
}

/// The server's key changes; the phone meets a challenge under a key that it does not hold, and follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_in_python_follows_the_servers_keys() {
    let mut scene = Scene::prepared(SceneOptions::default()).await;
    edit(&scene, "[device]\n", "[device]\nserver_key_overlap_s = 0\n");
    scene.start().await;
    let mut witness = scene.enrol(PhoneKind::Iphone, "bob").await;
    let python = PythonPhone::new(scene.folder());
    let issuer = scene.installation.device_url();
    let opened = scene.portal.open_enrollment("alice", "bank").await.expect("an enrolment");
    let code = opened.activation_code.as_deref().expect("a code");
    python.run(&["enrol", "--issuer", issuer, "--code", code, "--app", "bank"]);
    let before = python.run(&["follow"]);
    assert_eq!(before["kids"].as_array().map(Vec::len), Some(1));

    assert!(tocsin(&scene, &["keys", "rotate"], &[]).status.success());
    let followed = async {
        while witness.phone.server_keys().expect("keys").kids().count() < 2 {
            witness.phone.follow_server_keys().await.expect("a set");
            // A device that asks without a pause is soon told to wait.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(SOON, followed).await.expect("the server follows");
    let handed_out = json!({"type": "login", "user": "alice", "delivery": ["request_message"]});
    let view = scene.portal("POST", "/v1/transactions", Some(&handed_out)).await.expect(201);
    let id = view["id"].as_str().expect("an id");
    assert_eq!(python.run(&["answer", id, "accept"])["state"], "accepted", "signed by the new key");
    let after = python.run(&["follow"]);
    assert_eq!(after["kids"].as_array().map(Vec::len), Some(2));
    assert!(after["kids"].as_array().expect("kids").contains(&before["kids"][0]), "{before} {after}");
}
