//! What operators see and change while a server runs: configuration, providers, types, audit trail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tocsin_loadtest::phone::Approval;
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::{ApnsCredential, PushRecord, Topics};
use tocsin_model::TransactionId;

use super::Scene;
use super::approval::{KEYS, approve, fetch, view_path};
use super::scene::{SOON, SceneOptions};

/// The token of the operator `console`.
pub(super) const TOKEN: &str = "the token of an operator in a test, long enough";

/// A server whose operator may do everything.
pub(super) async fn operated() -> Scene {
    operated_as(SceneOptions::default()).await
}

/// As [`operated`], with these realms, types and apps.
pub(super) async fn operated_of(catalogue: &str) -> Scene {
    operated_as(SceneOptions { catalogue: Some(catalogue.to_owned()), ..SceneOptions::default() }).await
}

/// As [`operated`], with all of these options.
pub(super) async fn operated_as(options: SceneOptions) -> Scene {
    let mut scene = prepared(options).await;
    scene.start().await;
    scene
}

/// As [`operated_as`], before its start.
pub(super) async fn prepared(options: SceneOptions) -> Scene {
    let hash = digest(&SHA256, TOKEN.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let more = options.more;
    let more = format!("{more}\n[ops.tokens.console]\nsha256 = \"{hash}\"\nrole = \"operate\"\n");
    Scene::prepared(SceneOptions { more, ..options }).await
}

pub(super) async fn shown(scene: &Scene, path: &str) -> Value {
    scene.ops("GET", path, Some(TOKEN), None).await.expect(200)
}

/// Puts `replacement` in place of `part` in the configuration file.
#[track_caller]
pub(super) fn edit(scene: &Scene, part: &str, replacement: &str) {
    let text = fs::read_to_string(scene.installation.config_file()).expect("a configuration");
    assert!(text.contains(part), "no {part:?} in\n{text}");
    fs::write(scene.installation.config_file(), text.replacen(part, replacement, 1)).expect("written");
}

pub(super) async fn reload(scene: &Scene) {
    let reply = scene.ops("POST", "/v1/admin/reload", Some(TOKEN), None).await.expect(200);
    assert_eq!(reply["reloaded"], true, "{reply}");
}

/// Reloads a configuration that must be refused; answers with the faults.
pub(super) async fn refused(scene: &Scene) -> String {
    let reply = scene.ops("POST", "/v1/admin/reload", Some(TOKEN), None).await;
    let problem = reply.expect_problem(422, "invalid_field");
    problem["detail"].as_str().expect("a detail").to_owned()
}

/// `tocsin` with this command on the scene's configuration.
pub(super) fn tocsin(scene: &Scene, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(scene.installation.binary());
    command.arg("--config").arg(scene.installation.config_file()).args(arguments);
    command.current_dir(scene.folder()).envs(variables.iter().copied());
    command.output().expect("it runs")
}

/// A second key of the same team, which the double of Apple knows; its provider's table.
pub(super) fn second_key(scene: &Scene, provider: &str, key_id: &str) -> String {
    let credential = ApnsCredential::generate("TEAM000001", key_id).expect("a key");
    scene.world.apns.register_key(credential.key(Topics::Only(vec!["com.example.bank".to_owned()])));
    let file = scene.folder().join("credentials").join(format!("{key_id}.p8"));
    fs::write(&file, &credential.private_key_pem).expect("written");
    format!(
        "[providers.{provider}]\nkind = \"apns\"\nteam_id = \"TEAM000001\"\nkey_id = \"{key_id}\"\n\
         key_file = \"credentials/{key_id}.p8\"\nendpoint = \"{}\"\nca_file = \"credentials/ca.pem\"\n",
        scene.world.apns.url()
    )
}

/// The header and the claims of a push's provider token.
pub(super) fn token_of(push: &PushRecord) -> (Value, Value) {
    let token =
        push.header("authorization").and_then(|value| value.strip_prefix("bearer ")).expect("a token");
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    (parts.next().expect("a header"), parts.next().expect("claims"))
}

/// The key that signed the token of the push of a new transaction.
pub(super) async fn key_of_next_push(scene: &Scene, phone: &mut tocsin_loadtest::Handset) -> String {
    let id = scene.begin("login", phone.user()).await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    let push = pushed(scene, id).await;
    token_of(&push).0["kid"].as_str().expect("a key id").to_owned()
}

/// The record of the push of this transaction.
async fn pushed(scene: &Scene, id: TransactionId) -> Arc<PushRecord> {
    let collapse = id.to_string();
    let found = |push: &PushRecord| push.header("apns-collapse-id") == Some(&collapse);
    scene.world.apns.pushes().wait_for_push(found, SOON).await.expect("its record")
}

/// The same key in file and environment: the environment wins, and the dump says where each value is from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_003_central_config() {
    let scene = operated().await;
    edit(&scene, "[types.login]", "[types.login]\nttl_s = 45");
    let variables = [("TOCSIN_TYPES__LOGIN__TTL_S", "30"), ("TOCSIN_PORTAL__HEADERS_MAX", "30")];
    let output = tocsin(&scene, &["config"], &variables);
    let dump = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(dump.contains("ttl_s = 30 # environment TOCSIN_TYPES__LOGIN__TTL_S"), "{dump}");
    assert!(dump.contains("headers_max = 30 # environment TOCSIN_PORTAL__HEADERS_MAX"), "{dump}");
    assert!(dump.contains("secret_sha256 = \"********\""), "{dump}");

    reload(&scene).await;
    let shown = shown(&scene, "/v1/admin/config").await;
    let find = |key: &str| {
        let items = shown["items"].as_array().expect("a list");
        items.iter().find(|item| item["key"] == key).cloned().unwrap_or_else(|| panic!("no {key}"))
    };
    assert_eq!(find("types.login.ttl_s")["value"], 45);
    assert!(
        find("types.login.ttl_s")["source"].as_str().expect("a text").contains("tocsin.toml:"),
        "{shown}"
    );
    assert_eq!(find("types.payment.resends_max")["source"], "default");
    assert_eq!(find("clients.portal.secret_sha256")["value"], "********");
    assert_eq!(find("ops.tokens.console.sha256")["value"], "********");
}

/// Added, edited and deleted without a restart: starts use it, then stop using it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_029_provider_crud() {
    let scene = operated().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000001");

    let added = second_key(&scene, "apns-second", "KEY0000002");
    edit(&scene, "[providers.fcm-main]", &format!("{added}\n[providers.fcm-main]"));
    edit(&scene, "[apps.bank.ios]", "[apps.bank.ios]\nprovider = \"apns-second\"");
    reload(&scene).await;
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000002");

    let edited = second_key(&scene, "apns-second", "KEY0000003");
    edit(&scene, &added, &edited);
    reload(&scene).await;
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000003");

    edit(&scene, &edited, "");
    edit(&scene, "provider = \"apns-second\"\n", "");
    reload(&scene).await;
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000001");
    let providers = shown(&scene, "/v1/admin/providers").await;
    assert_eq!(providers["items"].as_array().map(Vec::len), Some(2), "{providers}");
}

/// Three providers of one network, one of them the default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_030_many_providers() {
    let scene = operated().await;
    let more = [("apns-second", "KEY0000002"), ("apns-third", "KEY0000003")];
    let added: String = more.iter().map(|(name, key)| second_key(&scene, name, key)).collect();
    edit(&scene, "[providers.fcm-main]", &format!("{added}\n[providers.fcm-main]"));
    reload(&scene).await;
    let providers = shown(&scene, "/v1/admin/providers").await;
    let apns: Vec<&Value> =
        providers["items"].as_array().expect("a list").iter().filter(|item| item["kind"] == "apns").collect();
    let names: Vec<&Value> = apns.iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["apns-main", "apns-second", "apns-third"]);
    let defaults: Vec<&Value> =
        apns.iter().filter(|item| item["default"] == true).map(|item| &item["name"]).collect();
    assert_eq!(defaults, ["apns-main"]);
    edit(&scene, "[providers.apns-third]", "[providers.apns-third]\ndefault = true");
    assert!(refused(&scene).await.contains("only one provider of kind \"apns\" may be the default"));
}

/// Two apps, each with its own credential: each push carries that of its own app.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_033_app_registry() {
    let scene = operated().await;
    let second = second_key(&scene, "apns-second", "KEY0000002");
    let desk = "[apps.desk.ios]\nbundle_id = \"com.example.bank\"\nprovider = \"apns-second\"\n";
    edit(&scene, "[providers.fcm-main]", &format!("{second}\n{desk}\n[providers.fcm-main]"));
    reload(&scene).await;
    let mut of_bank = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut of_desk = scene.enrol_app("desk", "bob").await;
    assert_eq!(key_of_next_push(&scene, &mut of_bank).await, "KEY0000001");
    assert_eq!(key_of_next_push(&scene, &mut of_desk).await, "KEY0000002");
}

/// A signed token with the ids of the configuration, fresh, and the same over many pushes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_035_apns_token_auth() {
    let scene = operated().await;
    for user in ["alice", "bob", "carol"] {
        let mut phone = scene.enrol(PhoneKind::Iphone, user).await;
        let id = scene.begin("login", user).await;
        assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    }
    let records = scene.world.apns.pushes().records();
    assert_eq!(records.len(), 3);
    let (header, claims) = token_of(&records[0]);
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("KEY0000001")));
    assert_eq!(claims["iss"], "TEAM000001");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let issued_at = claims["iat"].as_u64().expect("a time");
    assert!(issued_at <= now && now - issued_at < 3_000, "{issued_at} at {now}");
    let first = records[0].header("authorization");
    assert!(records.iter().all(|push| push.header("authorization") == first), "one token for all");
}

/// The tokens that the double of Apple was shown, each once, after a push, a kill and another push.
async fn tokens_around_a_kill(scene: &mut Scene) -> Vec<String> {
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    pushed(scene, scene.begin("login", "alice").await).await;
    scene.kill().await;
    scene.start().await;
    pushed(scene, scene.begin("login", "alice").await).await;
    // A driver that a reload makes anew is another process to Apple, too.
    edit(scene, "[providers.apns-main]", "[providers.apns-main]\nqueue_max = 9000");
    reload(scene).await;
    pushed(scene, scene.begin("login", "alice").await).await;
    let mut tokens = Vec::new();
    for push in scene.world.apns.pushes().records() {
        let token = push.header("authorization").expect("a token").to_owned();
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens
}

/// Apple refuses a second token within twenty minutes: the last one is kept where a master key seals it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_shows_apple_the_same_token_where_a_master_key_seals_it() {
    let more = "[master_keys.first]\nfile = \"master.key\"\n".to_owned();
    let mut sealed = prepared(SceneOptions { more, ..SceneOptions::default() }).await;
    let file = sealed.folder().join("master.key");
    fs::write(&file, "5a".repeat(32)).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own file");
    sealed.start().await;
    assert_eq!(tokens_around_a_kill(&mut sealed).await.len(), 1);
    let mut clear = operated().await;
    assert_eq!(tokens_around_a_kill(&mut clear).await.len(), 3, "nothing in clear is kept");
}

/// What is no P-256 key is refused with its place; the running configuration stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_036_apns_p8_check() {
    let scene = operated().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let file = scene.folder().join("credentials/apns-key.p8");
    let good = fs::read_to_string(&file).expect("a key");
    let account =
        fs::read_to_string(scene.folder().join("credentials/fcm-service-account.json")).expect("JSON");
    let account: Value = serde_json::from_str(&account).expect("JSON");
    let rsa = account["private_key"].as_str().expect("an RSA key");
    for bad in ["garbage", rsa] {
        fs::write(&file, bad).expect("written");
        let faults = refused(&scene).await;
        assert!(faults.contains("apns-main") && faults.contains("apns-key.p8"), "{faults}");
        assert!(!faults.contains("garbage") && !faults.contains("PRIVATE"), "{faults}");
        let check = tocsin(&scene, &["check"], &[]);
        assert_eq!(check.status.code(), Some(78));
        assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000001");
    }
    fs::write(&file, good).expect("written");
    reload(&scene).await;
    let told = shown(&scene, "/v1/admin/audit?event=config_refused").await;
    assert_eq!(told["items"].as_array().map(Vec::len), Some(2), "{told}");
}

/// The types that come and go in [`row_053_type_crud`].
const PASSING: &str = "[types.wire]\nttl_s = 300\nresend_gap_s = 0\nresends_max = 1\npush_text = \"message\"\n\
                       [types.guarded]\nresend_gap_s = 3600\n";

/// Types come, change their names and go; what has begun with one ends with it, by the rules that it began under.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_053_type_crud() {
    let scene = operated().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let start = async |type_name: &str| {
        let body = json!({"type": type_name, "user": "alice"});
        scene.portal("POST", "/v1/transactions", Some(&body)).await
    };
    start("wire").await.expect_problem(422, "unknown_type");
    edit(&scene, "[types.payment]", &format!("{PASSING}[types.payment]"));
    reload(&scene).await;
    let begun = start("wire").await.expect(201);
    assert_eq!(begun["ttl_ms"], 300_000);
    phone.next_push(SOON).await.expect("a push");
    let mut open = Vec::new();
    for type_name in ["wire", "wire", "guarded"] {
        let body = json!({"type": type_name, "user": "alice", "message": "Send 5 to Bob?"});
        let view = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
        let id: TransactionId = view["id"].as_str().expect("an id").parse().expect("an id");
        assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
        scene.until_relayed(id).await;
        open.push(id);
    }

    edit(&scene, "[types.wire]", "[types.transfer]");
    reload(&scene).await;
    start("wire").await.expect_problem(422, "unknown_type");
    start("transfer").await.expect(201);
    phone.next_push(SOON).await.expect("a push");
    ends_as_it_began(&scene, &mut phone, open[0]).await;

    edit(&scene, &PASSING.replace("wire", "transfer"), "");
    reload(&scene).await;
    start("transfer").await.expect_problem(422, "unknown_type");
    ends_as_it_began(&scene, &mut phone, open[1]).await;
    let guarded = scene.portal("POST", &format!("{}/resend", view_path(open[2])), None).await;
    guarded.expect_problem(429, "rate_limited");
    let path = format!("/v1/transactions/{}", begun["id"].as_str().expect("an id"));
    let still = scene.portal("GET", &path, None).await.expect(200);
    assert_eq!((&still["state"], &still["type"]), (&json!("pending"), &json!("wire")));
    let cancelled = scene.portal("DELETE", &path, None).await.expect(200);
    assert_eq!(cancelled["state"], "cancelled");
}

/// The type of `id` is gone: its push is repeated once with its text, and its phone lists, fetches and approves it.
async fn ends_as_it_began(scene: &Scene, phone: &mut Handset, id: TransactionId) {
    let resend = format!("{}/resend", view_path(id));
    let view = scene.portal("POST", &resend, None).await.expect(200);
    assert_eq!(view["resends"], json!({"used": 1, "max": 1}));
    let push = phone.next_record(SOON).await.expect("the push again");
    assert_eq!(push.header("apns-collapse-id"), Some(id.to_string().as_str()));
    let payload = push.payload_json().expect("JSON").to_string();
    assert!(payload.contains("Send 5 to Bob?"), "{payload}");
    scene.portal("POST", &resend, None).await.expect_problem(403, "resend_limit");
    let listed = phone.phone.list().await.expect("a list");
    let id_text = id.to_string();
    assert!(listed.iter().any(|challenge| challenge.transaction_id == id_text), "{listed:?}");
    let challenge = fetch(phone, id).await;
    let reply = approve(phone, &challenge, Approval::Device).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(scene.view(id).await["state"], "accepted");
}

/// Rows of the audit trail, the oldest first.
async fn trail(scene: &Scene, query: &str) -> Vec<Value> {
    let list = shown(scene, &format!("/v1/admin/audit{query}")).await;
    let mut rows = list["items"].as_array().expect("a list").clone();
    rows.reverse();
    rows
}

fn words(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["event"].as_str().expect("a word")).collect()
}

/// Each step leaves its event, to be found by user, type, transaction and time; and the chain holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_149_audit_events() {
    let scene = operated_of(KEYS).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let id = scene.begin("plain", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    let path = format!("/v1/transactions/{id}");
    scene.until_relayed(id).await;
    scene.portal("POST", &format!("{path}/resend"), None).await.expect(200);
    scene.portal("DELETE", &path, None).await.expect(200);
    let device = format!("/v1/users/alice/devices/{}", phone.device_id());
    for change in [json!({"name": "Second"}), json!({"status": "suspended"}), json!({"status": "active"})] {
        scene.portal("PATCH", &device, Some(&change)).await.expect(200);
    }
    scene.portal("DELETE", &device, None).await.expect(204);
    edit(&scene, "[types.pin]", "[types.wire]\n[types.pin]");
    reload(&scene).await;
    scene.ops("POST", "/v1/admin/backup", Some(TOKEN), None).await.expect(201);

    let of_transaction = ["transaction_started", "push_resent", "transaction_ended"];
    let of_alice = [
        ["enrollment_opened", "device_enrolled", "enrollment_ended"],
        of_transaction,
        ["device_changed"; 3],
        ["device_revoked", "config_loaded", "backup_asked"],
    ]
    .concat();
    let all = trail(&scene, "").await;
    assert_eq!(words(&all), [&["config_loaded"], of_alice.as_slice()].concat());
    assert_eq!(words(&trail(&scene, "?user=alice").await), of_alice[..10]);
    for query in [format!("?transaction={id}"), "?type=plain".to_owned()] {
        let rows = trail(&scene, &query).await;
        assert_eq!(words(&rows), of_transaction);
        assert!(rows.iter().all(|row| row["transaction"] == json!(id.to_string())), "{rows:?}");
    }
    assert_eq!(words(&trail(&scene, "?event=device_revoked").await), ["device_revoked"]);
    check_actors_and_details(&scene, &phone.device_id().to_string()).await;

    // From a time on, and before it: the list is split, and nothing is in both or in neither.
    let middle = all[all.len() / 2]["at"].as_str().expect("a time");
    let (from, to) =
        (trail(&scene, &format!("?from={middle}")).await, trail(&scene, &format!("?to={middle}")).await);
    assert!(!from.is_empty() && !to.is_empty(), "{middle}: {all:?}");
    assert!(to.iter().all(|row| row["at"].as_str() < Some(middle)), "{middle}: {to:?}");
    assert!(from.iter().all(|row| row["at"].as_str() >= Some(middle)), "{middle}: {from:?}");
    assert_eq!([to, from].concat(), all);
    let check = shown(&scene, "/v1/admin/audit/verify").await;
    assert_eq!((&check["sound"], &check["last"]), (&json!(true), &json!(all.len())), "{check}");
}

/// Who renamed and suspended the phone, repeated the push, reloaded and asked for a backup, and what came of it.
async fn check_actors_and_details(scene: &Scene, device_id: &str) {
    let changes = trail(scene, "?event=device_changed&user=alice").await;
    let details: Vec<&Value> = changes.iter().map(|row| &row["detail"]).collect();
    assert_eq!(details, ["profile", "suspended", "active"]);
    let by_portal = json!({"kind": "client", "name": scene.installation.credentials().client_id});
    assert!(
        changes.iter().all(|row| row["device_id"] == device_id && row["actor"] == by_portal),
        "{changes:?}"
    );
    let resent = trail(scene, "?event=push_resent").await;
    assert_eq!((&resent[0]["actor"], &resent[0]["detail"]), (&by_portal, &json!("1")), "{resent:?}");
    let by_operator = json!({"kind": "operator", "name": "console"});
    for event in ["config_loaded", "backup_asked"] {
        let rows = trail(scene, &format!("?event={event}")).await;
        assert_eq!(rows.last().map(|row| &row["actor"]), Some(&by_operator), "{rows:?}");
    }
    let loaded = trail(scene, "?event=config_loaded").await;
    assert!(loaded.len() == 2 && loaded[0]["detail"] != loaded[1]["detail"], "{loaded:?}");
}

/// Each wrong PIN, the end that it brought and the phone that it cost are in the trail; no PIN and no number is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_pins_leave_their_events_and_no_secret() {
    let scene = operated_of(KEYS).await;
    let phone = scene.enrol_with_all_keys("alice").await;
    let id = scene.begin("pin", "alice").await;
    let challenge = fetch(&phone, id).await;
    for pin in ["0000", "0001", "0002"] {
        approve(&phone, &challenge, Approval::Pin(pin)).await;
    }
    let told = async |event: &str| {
        let rows = shown(&scene, &format!("/v1/admin/audit?user=alice&event={event}")).await;
        rows["items"].as_array().expect("a list").clone()
    };
    let tries = told("wrong_try").await;
    assert_eq!(tries.len(), 3, "{tries:?}");
    assert!(tries.iter().all(|row| row["transaction"] == json!(id.to_string())), "{tries:?}");
    let ends = told("transaction_ended").await;
    assert_eq!((ends.len(), &ends[0]["detail"]), (1, &json!("failed attempts_exceeded")));
    let revoked = told("device_revoked").await;
    assert_eq!((revoked.len(), &revoked[0]["device_id"]), (1, &json!(phone.device_id().to_string())));
}

/// A push without a provider is refused before it can hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_157_provider_mandatory() {
    let scene = operated().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    edit(
        &scene,
        "[providers.apns-main]\nkind = \"apns\"\ndefault = true",
        "[providers.apns-main]\nkind = \"apns\"",
    );
    let faults = refused(&scene).await;
    assert!(faults.contains("apps.bank.ios.provider") && faults.contains("tocsin.toml:"), "{faults}");
    let check = tocsin(&scene, &["check"], &[]);
    assert_eq!(check.status.code(), Some(78));
    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000001", "the running configuration stays");

    edit(&scene, "[apps.bank.ios]\nbundle_id = \"com.example.bank\"\n", "[apps.bank]\n");
    reload(&scene).await;
    let body = json!({"type": "login", "user": "alice"});
    scene.portal("POST", "/v1/transactions", Some(&body)).await.expect_problem(422, "no_device");
}

/// A new key in the same file: every push that was begun arrives, and the later ones are signed by the new key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_rotates_without_a_dropped_push() {
    let scene = operated().await;
    let users: Vec<String> = (0..8).map(|number| format!("user-{number}")).collect();
    let mut phones = Vec::new();
    for user in &users {
        phones.push(scene.enrol(PhoneKind::Iphone, user).await);
    }
    let second = ApnsCredential::generate("TEAM000001", "KEY0000002").expect("a key");
    scene.world.apns.register_key(second.key(Topics::Only(vec!["com.example.bank".to_owned()])));
    let mut begun = Vec::new();
    for (index, user) in users.iter().enumerate() {
        begun.push(scene.begin("login", user).await);
        if index == 3 {
            fs::write(scene.folder().join("credentials/apns-key.p8"), &second.private_key_pem)
                .expect("written");
            edit(&scene, "key_id = \"KEY0000001\"", "key_id = \"KEY0000002\"");
            reload(&scene).await;
        }
    }
    for (phone, id) in phones.iter_mut().zip(&begun) {
        assert_eq!(phone.next_push(SOON).await.expect("a push"), *id);
    }
    let records = scene.world.apns.pushes().records();
    assert!(records.iter().all(|push| push.is_accepted()), "{records:?}");
    let by_second = |push: &PushRecord| token_of(push).0["kid"] == "KEY0000002";
    assert_eq!(records.iter().filter(|push| by_second(push)).count(), 4);
}

/// Whatever is wrong is told with its place, all of it at once, and nothing of it is taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_is_refused_whole_and_the_running_one_stays() {
    let scene = operated().await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let text = fs::read_to_string(scene.installation.config_file()).expect("a configuration");
    let credentials = scene.folder().join("credentials");
    let ca = fs::read(credentials.join("ca.pem")).expect("a certificate");
    let account = fs::read(credentials.join("fcm-service-account.json")).expect("an account");
    // A good change beside the bad ones, which must not be taken over either.
    edit(&scene, "[types.login]", "[types.wire]\n[types.login]\nttl_s = 0");
    edit(&scene, "[realms.retail]", "[realms.retail]\nuser_id_rule = \"soundex\"");
    edit(&scene, "[clients.portal]", "[clients.shop]\nsecret_sha256 = \"short\"\n[clients.portal]");
    let faults = refused(&scene).await;
    for part in ["types.login.ttl_s", "realms.retail.user_id_rule", "clients.shop.secret_sha256"] {
        assert!(
            faults.lines().any(|line| line.contains("tocsin.toml:") && line.contains(part)),
            "{part}: {faults}"
        );
    }
    fs::write(scene.installation.config_file(), &text).expect("written");
    fs::write(credentials.join("ca.pem"), "no certificate").expect("written");
    fs::write(credentials.join("fcm-service-account.json"), "{}").expect("written");
    let faults = refused(&scene).await;
    for part in ["ca.pem", "fcm-service-account.json", "apns-main", "fcm-main"] {
        assert!(faults.contains(part), "{part}: {faults}");
    }
    fs::write(credentials.join("ca.pem"), ca).expect("written");
    fs::write(credentials.join("fcm-service-account.json"), account).expect("written");
    edit(&scene, "linger_ms", "arbiters = 3\nlinger_ms");
    let faults = refused(&scene).await;
    assert!(faults.contains("engine.arbiters: cannot change while the server runs"), "{faults}");

    assert_eq!(key_of_next_push(&scene, &mut phone).await, "KEY0000001");
    let body = json!({"type": "wire", "user": "alice"});
    scene.portal("POST", "/v1/transactions", Some(&body)).await.expect_problem(422, "unknown_type");
}
