//! The documents against OpenAPI 3.1, and the doors of a running server against the documents, by schemathesis: no 5xx,
//! no reply that is not documented.
//! What it does is in `tests/openapi`.

use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tocsin_loadtest::PhoneKind;

use crate::features::scene::{Scene, SceneOptions};
use crate::python_phone::python;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi");
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/openapi");
const PROTOCOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/device-protocol");

/// A type whose transactions end soon, so that a user's bound is not met, and one for those that are cancelled; an app
/// of which a user may have many phones.
const CATALOGUE: &str = r#"
[realms.retail]
starts_per_minute_max = 600000
starts_per_user_per_minute_max = 600000
[types.login]
default_title = "Log in"
[types.brief]
default_title = "Log in"
ttl_s = 1
[apps.bank]
mode = "multiple"
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

/// Operations that need signatures, a code, a number that a phone shows, a callback or a request message to succeed.
const NEED_MORE_THAN_NAMES: &[&str] = &[
    "answer",
    "checkCode",
    "claimOtp",
    "confirmEnrollment",
    "deleteKey",
    "enrol",
    "handOutCode",
    "putKey",
    "redeliverCallback",
    "reportMessage",
    "resendPush",
    "transactionPicture",
];

const TOKEN: &str = "a token of the console, known to this test only";

async fn scene() -> Scene {
    let hash: String =
        digest(&SHA256, TOKEN.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let options = SceneOptions {
        catalogue: Some(CATALOGUE.to_owned()),
        client: "default_realm = \"retail\"\n".to_owned(),
        more: format!("[ops.tokens.console]\nsha256 = \"{hash}\"\nrole = \"operate\"\n"),
    };
    Scene::with(options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doors_answer_as_their_documents_say() {
    let _alone = crate::ALONE.lock().await;
    let scene = scene().await;
    // Somebody to push to; the others who are named there have phones that only ask.
    let _phones =
        (scene.enrol(PhoneKind::Iphone, "alice").await, scene.enrol(PhoneKind::Android, "bob").await);
    let (installation, credentials) = (&scene.installation, scene.installation.credentials());
    let asked = json!({
        "portal": installation.portal_url(), "device": installation.device_url(), "ops": installation.ops_url(),
        "client": format!("{}:{}", credentials.client_id, credentials.secret), "token": TOKEN,
        "documents": DOCUMENTS, "protocol": PROTOCOL,
    });
    let mut command = Command::new(python());
    // -B: no compiled files beside the sources.
    command.current_dir(FOLDER).args(["-B", "check.py", &asked.to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ran");
    let output = output.expect("scripts/setup python has prepared a Python");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", scene.log());
    let never_worked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (door, operations) in never_worked.as_object().expect("doors") {
        let operations = operations.as_array().expect("operations").iter().filter_map(Value::as_str);
        let others: Vec<_> = operations.filter(|name| !NEED_MORE_THAN_NAMES.contains(name)).collect();
        assert!(others.is_empty(), "nothing was seen at the {door} door of {others:?}");
    }
}
