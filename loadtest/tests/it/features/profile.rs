//! Codes to where a user's profile says.

use std::fs;

use serde_json::{Value, json};
use tocsin_mock::{TwilioOptions, TwilioServer};

use super::Scene;
use super::operations::{edit, operated_of, reload};
use super::scene::Answer;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const AUTH_TOKEN: &str = "token-of-the-account";

const TYPES: &str = r#"
[realms.retail]
[types.code]
method = "sms"
attempts_max = 3
[types.login]
fallback = "code"
[apps.bank.ios]
bundle_id = "com.example.bank"
"#;

async fn texting() -> (Scene, TwilioServer) {
    let scene = operated_of(TYPES).await;
    let authority = &scene.world.authority;
    let options = TwilioOptions::new(authority.issue().expect("issued"), ACCOUNT, AUTH_TOKEN);
    let twilio = TwilioServer::start(options).await.expect("twilio");
    let (ca_file, token_file) = (scene.folder().join("sms-ca.pem"), scene.folder().join("twilio-token"));
    authority.write_ca_pem(&ca_file).expect("written");
    fs::write(&token_file, AUTH_TOKEN).expect("written");
    let tables = format!(
        "[sms]\ncountry_prefixes = [\"+1\"]\n\
         [providers.twilio-main]\nkind = \"twilio\"\ndefault = true\naccount_sid = \"{ACCOUNT}\"\n\
         auth_token_file = {:?}\nfrom = \"+15005550006\"\nendpoint = \"{}\"\nca_file = {:?}\n",
        token_file.display().to_string(),
        twilio.url(),
        ca_file.display().to_string(),
    );
    edit(&scene, "[realms.retail]", &format!("{tables}[realms.retail]"));
    reload(&scene).await;
    (scene, twilio)
}

async fn start(scene: &Scene, type_name: &str, more: Value) -> Answer {
    let mut body = json!({"type": type_name, "user": "alice", "reply": "sent"});
    let members = more.as_object().cloned().unwrap_or_default();
    members.into_iter().for_each(|(name, value)| body[name] = value);
    scene.portal("POST", "/v1/transactions", Some(&body)).await
}

/// The number of the profile is the target where the start names none; a start's own comes first; neither is an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_118_phone_from_profile() {
    let (scene, twilio) = texting().await;
    let refused = start(&scene, "code", json!({})).await.expect_problem(422, "field_required");
    assert_eq!(refused["field"], "phone_number");
    start(&scene, "login", json!({})).await.expect_problem(422, "field_required");
    let profile = json!({"phone_number": "+15055551234"});
    scene.portal("PUT", "/v1/users/alice", Some(&profile)).await.expect(200);
    start(&scene, "code", json!({})).await.expect(201);
    start(&scene, "code", json!({"phone_number": "+15055559876"})).await.expect(201);
    // A fallback takes it, too: this user has no phone that could be pushed to.
    let fallen_back = start(&scene, "login", json!({})).await.expect(201);
    assert_eq!(
        (&fallen_back["method"], &fallen_back["fallback"]["reason"]),
        (&json!("sms"), &json!("no_device"))
    );
    let taken = twilio.messages().taken();
    let to: Vec<&str> = taken.iter().map(|record| record.to()).collect();
    assert_eq!(to, ["+15055551234", "+15055559876", "+15055551234"]);
    // What a profile says no more, or was erased, is nobody's address.
    scene.portal("DELETE", "/v1/users/alice", None).await.expect(204);
    start(&scene, "code", json!({})).await.expect_problem(422, "field_required");
    assert_eq!(twilio.messages().taken().len(), 3);
}
