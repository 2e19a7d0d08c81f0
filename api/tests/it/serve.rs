//! The whole process: real doors, RocksDB, the strict doubles of APNs and FCM, signals and exit codes.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin_config::NewClient;
use tocsin_mock::{World, WorldOptions};

use crate::http::{Answer, Call, SOON};
use crate::phone::Phone;
use crate::process::{Server, run, text, tocsin};
use crate::raw::Connection;

/// How large a file may become in the test of a failing disk: enough to open a database, soon met by its log.
const FILE_KIB_MAX: u64 = 512;

/// A folder with a configuration for the outside world `world`; the second value is the client's secret.
pub fn configured(world: Option<&World>) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let client = NewClient::generate(&"portal".parse().expect("a name")).expect("randomness");
    let block = client
        .block
        .replace("rights = [\"transactions\"]", "rights = [\"transactions\", \"enrollments\", \"devices\"]")
        .replace("realms = []", "realms = [\"*\"]")
        .replace("apps = []", "apps = [\"*\"]")
        .replace("types = []", "types = [\"*\"]");
    // The issuer must stay the same over a restart, and the port does not.
    let doors =
        ["portal", "ops", "device"].map(|door| format!("[{door}]\naddress = \"127.0.0.1:0\"\n")).concat();
    let no_world = || "[apps.bank]\n".to_owned();
    let providers = world.map_or_else(no_world, |world| providers(world, folder.path()));
    let text = format!(
        "{doors}public_url = \"http://127.0.0.1:18441\"\n[storage]\npath = \"data\"\ndisk_free_min_bytes = 0\n[engine]\ndrain_grace_s = 5\n\
         [realms.retail]\nstarts_per_user_per_minute_max = 1000000\n[types.login]\n{providers}\n{block}"
    );
    fs::write(folder.path().join("tocsin.toml"), text).expect("written");
    (folder, client.secret.expose().clone())
}

fn providers(world: &World, folder: &Path) -> String {
    let files = world.write_credentials(&folder.join("credentials")).expect("credentials");
    let (apns, fcm, ca) = (world.apns.url(), world.fcm.url(), files.ca.display().to_string());
    let (key, account) = (files.apns_key.display(), files.fcm_service_account.display());
    format!(
        "[apps.bank.ios]\nbundle_id = \"com.example.bank\"\n[apps.bank.android]\npackage = \"com.example.bank\"\n\
         [providers.apns-main]\nkind = \"apns\"\ndefault = true\nteam_id = \"TEAM000001\"\nkey_id = \"KEY0000001\"\n\
         key_file = \"{key}\"\nendpoint = \"{apns}\"\nca_file = \"{ca}\"\n\
         [providers.fcm-main]\nkind = \"fcm\"\ndefault = true\nservice_account_file = \"{account}\"\n\
         endpoint = \"{fcm}\"\nca_file = \"{ca}\"\n"
    )
}

/// A portal of a running server.
pub struct Portal<'a> {
    pub server: &'a Server,
    pub secret: &'a str,
}

impl Portal<'_> {
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let call = Call::new(method, self.server.portal, path).basic("portal", self.secret);
        match body {
            Some(body) => call.json(body).send().await,
            None => call.send().await,
        }
    }

    pub async fn enrol(&self, user: &str) -> Phone {
        let opened = self.send("POST", "/v1/enrollments", Some(&json!({"user": user, "app": "bank"}))).await;
        let opened = opened.expect(201);
        let code = opened["activation_code"].as_str().expect("a code");
        Phone::enrol(self.server.device, &self.server.issuer, code).await
    }

    async fn start(&self, user: &str) -> String {
        let view = self.send("POST", "/v1/transactions", Some(&json!({"type": "login", "user": user}))).await;
        view.expect(201)["id"].as_str().expect("an id").to_owned()
    }

    async fn until_relayed(&self, id: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            let view = self.send("GET", &format!("/v1/transactions/{id}"), None).await.expect(200);
            if view["delivery"][0]["status"] == "relayed" {
                return;
            }
            assert!(Instant::now() < deadline, "never relayed: {view}\n{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[test]
fn a_login_is_pushed_answered_and_kept_over_a_restart() {
    actix_rt::System::new().block_on(async {
        let world = World::start(WorldOptions::default()).await.expect("an outside world");
        let (folder, secret) = configured(Some(&world));
        let mut server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let phone = portal.enrol("alice").await;
        let (first, second) = (portal.start("alice").await, portal.start("alice").await);
        portal.until_relayed(&first).await;
        assert_eq!(phone.decide(&first, "accept").await.expect(200), json!({"state": "accepted"}));
        let metrics = Call::new("GET", server.ops, "/metrics").send().await.text;
        for counted in [
            "store_rows_kept_bytes",
            "store_row_looks_total{result=\"kept\"}",
            "store_row_looks_total{result=\"read\"}",
            "arbiter_seconds_total{arbiter=\"0\",state=\"at_work\"}",
        ] {
            let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("tocsin_{counted} ")));
            assert!(value.is_some_and(|value| value != "0"), "{counted}: {metrics}");
        }
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().code(), Some(0), "{}", server.log());

        let server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let path = format!("/v1/transactions/{first}");
        assert_eq!(portal.send("GET", &path, None).await.expect(200)["state"], "accepted");
        let phone = phone.at(server.device);
        assert_eq!(phone.decide(&second, "decline").await.expect(200), json!({"state": "declined"}));
        let log = server.log();
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
        assert!(!log.contains(&secret));
        world.stop().await;
    });
}

#[test]
fn sigint_lets_a_held_call_return_and_ends_with_0() {
    actix_rt::System::new().block_on(async {
        let world = World::start(WorldOptions::default()).await.expect("an outside world");
        let (folder, secret) = configured(Some(&world));
        let mut server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let _phone = portal.enrol("alice").await;
        let id = portal.start("alice").await;
        let path = format!("/v1/transactions/{id}?wait_s=300");
        let poll = Call::new("GET", server.portal, &path).basic("portal", &secret);
        let held = actix_rt::spawn(poll.send());
        let ops = server.ops;
        let waits =
            || async { Call::new("GET", ops, "/metrics").send().await.text.contains("tocsin_waiters 1\n") };
        let deadline = Instant::now() + SOON;
        while !waits().await {
            assert!(Instant::now() < deadline, "nobody waits");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.signal(Signal::SIGINT);
        let reply = held.await.expect("a reply");
        assert_eq!(reply.expect(200)["state"], "pending");
        assert_eq!(server.end().code(), Some(0), "{}", server.log());
        world.stop().await;
    });
}

#[test]
fn a_locked_database_says_that_the_server_runs_and_exits_74() {
    let (folder, _secret) = configured(None);
    let _server = Server::start(folder.path());
    let config = folder.path().join("tocsin.toml");
    let output = run(&mut tocsin(&["--config", config.to_str().expect("UTF-8"), "serve"]));
    assert_eq!(output.status.code(), Some(74));
    let log = text(&output.stderr);
    assert!(log.contains("the server is running; stop it first"), "{log}");
}

#[test]
fn a_corrupt_database_says_what_to_do_and_exits_74() {
    let (folder, _secret) = configured(None);
    let mut server = Server::start(folder.path());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    for entry in walk(&folder.path().join("data")) {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("MANIFEST") || name.ends_with(".sst") {
            fs::write(&entry, "spoiled").expect("written");
        }
    }
    let config = folder.path().join("tocsin.toml");
    let output = run(&mut tocsin(&["--config", config.to_str().expect("UTF-8"), "serve"]));
    assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
    let log = text(&output.stderr);
    assert!(log.contains("restore the last backup"), "{log}");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_door_that_cannot_be_bound_exits_78_and_is_named() {
    let (folder, _secret) = configured(None);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let config = folder.path().join("tocsin.toml");
    let mut command = tocsin(&["--config", config.to_str().expect("UTF-8"), "serve"]);
    let output = run(command.env("TOCSIN_OPS__ADDRESS", &address));
    assert_eq!(output.status.code(), Some(78));
    let log = text(&output.stderr);
    assert!(log.contains("ops") && log.contains(&address), "{log}");
    assert!(!folder.path().join("data").exists(), "nothing is made before the doors are bound");
}

#[test]
fn another_issuer_exits_78() {
    let (folder, _secret) = configured(None);
    let mut server = Server::start(folder.path());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    let config = folder.path().join("tocsin.toml");
    let mut command = tocsin(&["--config", config.to_str().expect("UTF-8"), "serve"]);
    let output = run(command.env("TOCSIN_DEVICE__PUBLIC_URL", "http://127.0.0.1:18442"));
    assert_eq!(output.status.code(), Some(78), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("http://127.0.0.1:18441"), "{}", text(&output.stderr));
}

#[test]
fn a_lost_key_file_ends_the_start_with_74_and_no_new_key_takes_its_place() {
    let (folder, _secret) = configured(None);
    let mut server = Server::start(folder.path());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    let (config, keys) = (folder.path().join("tocsin.toml"), folder.path().join("data/server-keys.json"));
    let kept = fs::read(&keys).expect("the keys");
    fs::remove_file(&keys).expect("lost");
    for command in [&["serve"][..], &["keys", "list"]] {
        let arguments = [&["--config", config.to_str().expect("UTF-8")], command].concat();
        let output = run(&mut tocsin(&arguments));
        assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("restore it from the backup"), "{}", text(&output.stderr));
        assert!(!keys.exists(), "{command:?}");
    }
    fs::write(&keys, kept).expect("restored");
    fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    Server::start(folder.path());
}

/// Waits until the ops door's page holds `part`.
async fn until_ops(server: &Server, path: &str, part: &str) {
    let deadline = Instant::now() + SOON;
    while !Call::new("GET", server.ops, path).send().await.text.contains(part) {
        assert!(Instant::now() < deadline, "{path} never held {part:?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    actix_rt::System::new().block_on(async {
        let (folder, _secret) = configured(None);
        let mut server = Server::start(folder.path());
        // A call whose body never comes keeps the drain waiting.
        let mut connection = Connection::open(server.device).await;
        let head = "POST /device/v1/enrollments HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
        connection.send(head.as_bytes()).await;
        until_ops(&server, "/metrics", "tocsin_http_requests_in_flight{door=\"device\"} 1\n").await;
        server.signal(Signal::SIGTERM);
        until_ops(&server, "/readyz", "\"draining\":true").await;
        let begun = Instant::now();
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().code(), Some(1), "{}", server.log());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_failed_write_ends_the_process_with_74_and_nothing_is_acknowledged_after_it() {
    actix_rt::System::new().block_on(async {
        let (folder, secret) = configured(None);
        let mut server = Server::start_with_files_up_to(folder.path(), FILE_KIB_MAX);
        let portal = Portal { server: &server, secret: &secret };
        let mut acknowledged = Vec::new();
        let refused = loop {
            let body = json!({"user": "u".repeat(250), "app": "bank"});
            let reply = portal.send("POST", "/v1/enrollments", Some(&body)).await;
            if reply.status != 201 {
                break reply;
            }
            acknowledged.push(reply.body()["id"].as_str().expect("an id").to_owned());
            assert!(acknowledged.len() < 20_000, "the limit was never met");
        };
        refused.expect_problem(503, "storage_unavailable", None);
        assert_eq!(server.end().code(), Some(74), "{}", server.log());

        let server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        for id in acknowledged.iter().rev().take(20) {
            let path = format!("/v1/enrollments/{id}");
            assert_eq!(portal.send("GET", &path, None).await.expect(200)["state"], "pending");
        }
    });
}

/// The database of a server with a master key, stopped; the folder, its key file and the client's secret.
async fn sealed_folder(world: &World) -> (TempDir, String) {
    let (folder, secret) = configured(Some(world));
    let path = folder.path().join("tocsin.toml");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, format!("{text}[master_keys.main]\nfile = \"master.key\"\n")).expect("written");
    write_master_key(folder.path(), '1');
    let mut server = Server::start(folder.path());
    let portal = Portal { server: &server, secret: &secret };
    drop(portal.enrol("alice-the-customer").await);
    portal.start("alice-the-customer").await;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("1111111111111111"), "{}", server.log());
    (folder, secret)
}

pub fn write_master_key(folder: &Path, digit: char) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("master.key");
    fs::write(&path, digit.to_string().repeat(64)).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
}

/// What a start that fails says, and its exit code.
fn refused_start(folder: &Path) -> (Option<i32>, String) {
    let path = folder.join("tocsin.toml");
    let output = run(&mut tocsin(&["--config", path.to_str().expect("UTF-8"), "serve"]));
    (output.status.code(), text(&output.stderr))
}

#[test]
fn under_a_master_key_no_file_of_the_database_names_a_user_and_the_start_needs_the_key() {
    actix_rt::System::new().block_on(async {
        let world = World::start(WorldOptions::default()).await.expect("an outside world");
        let (folder, secret) = sealed_folder(&world).await;
        for entry in fs::read_dir(folder.path().join("data/db")).expect("a folder") {
            let bytes = fs::read(entry.expect("an entry").path()).expect("read");
            let is_there = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
            assert!(!is_there(b"alice-the-customer") && !is_there(b"Please confirm"));
        }
        write_master_key(folder.path(), '2');
        let (code, told) = refused_start(folder.path());
        assert_eq!(code, Some(78), "{told}");
        assert!(told.contains("rows are sealed by the master key"), "{told}");
        let path = folder.path().join("tocsin.toml");
        let with_key = fs::read_to_string(&path).expect("read");
        let without = with_key.split("[master_keys").next().expect("a part").to_owned();
        fs::write(&path, without).expect("written");
        let (code, told) = refused_start(folder.path());
        assert_eq!(code, Some(78), "{told}");
        assert!(told.contains("none is configured"), "{told}");
        fs::write(&path, with_key).expect("written");
        write_master_key(folder.path(), '1');
        let server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let devices = portal.send("GET", "/v1/users/alice-the-customer/devices", None).await.expect(200);
        assert_eq!(devices["items"].as_array().map(Vec::len), Some(1), "{devices}");
    });
}

/// The token of the operator of these tests.
const OPERATOR: &str = "a token that is long enough for a test";

/// As [`configured`], with an operator who may do everything.
fn operated(world: Option<&World>) -> (TempDir, String) {
    let (folder, secret) = configured(world);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, OPERATOR.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.path().join("tocsin.toml");
    let text = fs::read_to_string(&path).expect("a configuration");
    let operator = format!("[ops.tokens.console]\nsha256 = \"{hash}\"\nrole = \"operate\"\n");
    fs::write(&path, format!("{text}\n{operator}")).expect("written");
    (folder, secret)
}

/// Runs `tocsin` on the configuration of `folder`; answers with its exit code and what it said.
pub fn command(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let config = folder.join("tocsin.toml");
    let mut all = vec!["--config", config.to_str().expect("UTF-8")];
    all.extend(arguments);
    let output = run(&mut tocsin(&all));
    (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

#[test]
fn a_restored_backup_ends_what_was_open_and_waits_for_a_word_about_its_phones() {
    actix_rt::System::new().block_on(async {
        let world = World::start(WorldOptions::default()).await.expect("an outside world");
        let (folder, secret) = operated(Some(&world));
        let mut server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let _phone = portal.enrol("alice").await;
        let stolen = portal.enrol("bob").await;
        let open = portal.start("alice").await;
        let enrolment = portal
            .send("POST", "/v1/enrollments", Some(&json!({"user": "carol", "app": "bank"})))
            .await
            .expect(201);
        let backup =
            Call::new("POST", server.ops, "/v1/admin/backup").bearer(OPERATOR).send().await.expect(201);
        let backup = backup["folder"].as_str().expect("a folder").to_owned();
        // After the backup the stolen phone is removed.
        let devices = portal.send("GET", "/v1/users/bob/devices", None).await.expect(200);
        let stolen_id = devices["items"][0]["device_id"].as_str().expect("an id").to_owned();
        portal.send("DELETE", &format!("/v1/users/bob/devices/{stolen_id}"), None).await;
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().code(), Some(0), "{}", server.log());

        let (code, said) = command(folder.path(), &["restore", &backup]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("move the old data away first"), "{said}");
        let old = folder.path().join("old");
        fs::rename(folder.path().join("data"), &old).expect("moved away");
        let backup = backup.replace("/data/", "/old/");
        assert_eq!(command(folder.path(), &["verify", &backup]).0, Some(0));
        let (code, said) = command(folder.path(), &["restore", &backup]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("1 transactions, 1 enrolments. 2 phones are live"), "{said}");
        let (code, said) = command(folder.path(), &["serve"]);
        assert_eq!(code, Some(74), "{said}");
        assert!(said.contains("restore --confirm"), "{said}");
        let list = fs::read_to_string(folder.path().join("data/restored.json")).expect("a list");
        assert!(list.contains(&stolen_id), "{list}");

        let revoke = folder.path().join("revoke.txt");
        fs::write(&revoke, format!("{stolen_id}\n")).expect("written");
        let revoke = revoke.to_str().expect("UTF-8");
        let (code, said) = command(folder.path(), &["restore", "--confirm", "--revoke", revoke]);
        assert_eq!((code, said.contains("1 phones were removed, 1 are live")), (Some(0), true), "{said}");
        let (code, said) = command(folder.path(), &["audit", "verify"]);
        assert_eq!(code, Some(0), "{said}");

        let server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let view = portal.send("GET", &format!("/v1/transactions/{open}"), None).await.expect(200);
        assert_eq!((&view["state"], &view["reason"]), (&json!("failed"), &json!("restored")));
        let path = format!("/v1/enrollments/{}", enrolment["id"].as_str().expect("an id"));
        assert_eq!(portal.send("GET", &path, None).await.expect(200)["state"], "failed");
        let refused = stolen.at(server.device).get("/device/v1/transactions").await;
        refused.expect_problem(403, "device_revoked", None);
        let devices = portal.send("GET", "/v1/users/bob/devices", None).await.expect(200);
        assert_eq!(devices["items"][0]["status"], "revoked");
        world.stop().await;
    });
}

#[test]
fn a_backup_that_is_not_what_was_made_is_refused() {
    let (folder, _secret) = operated(None);
    let mut server = Server::start(folder.path());
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    let backup = folder.path().join("backup");
    let name = backup.to_str().expect("UTF-8");
    assert_eq!(command(folder.path(), &["backup", name]).0, Some(0));
    assert_eq!(command(folder.path(), &["backup", name]).0, Some(1), "nothing is written over");
    assert_eq!(command(folder.path(), &["verify", name]).0, Some(0));
    let keys = backup.join("server-keys.json");
    let good = fs::read(&keys).expect("keys");
    fs::write(&keys, "{}").expect("written");
    fs::write(backup.join("more"), "x").expect("written");
    fs::rename(folder.path().join("data"), folder.path().join("old")).expect("moved away");
    for arguments in [["verify", name], ["restore", name]] {
        let (code, said) = command(folder.path(), &arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("server-keys.json: was changed") && said.contains("more: is not in the manifest"),
            "{said}"
        );
    }
    assert!(!folder.path().join("data/db").exists(), "nothing of it was restored");
    fs::remove_file(&keys).expect("removed");
    fs::remove_file(backup.join("more")).expect("removed");
    assert!(command(folder.path(), &["verify", name]).1.contains("server-keys.json: is missing"));
    fs::write(&keys, good).expect("written");
    assert_eq!(command(folder.path(), &["verify", name]).0, Some(0));
}

/// What `tocsin keys` prints, with these words behind it.
fn keys(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let path = folder.join("tocsin.toml");
    let mut arguments = vec!["--config", path.to_str().expect("UTF-8"), "keys"];
    arguments.extend(words);
    let output = run(&mut tocsin(&arguments));
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// The kids that signed what `GET /device/v1/server-keys` answers, and its claims.
async fn published(phone: &Phone) -> (Vec<String>, Value) {
    let set = phone.get("/device/v1/server-keys").await.expect(200);
    let decode = |part: &Value| crate::phone::claims_of(&format!("x.{}.x", part.as_str().expect("a text")));
    let signatures = set["signatures"].as_array().expect("a list");
    let kid = |signature: &Value| decode(&signature["protected"])["kid"].as_str().expect("a kid").to_owned();
    (signatures.iter().map(kid).collect(), decode(&set["payload"]))
}

#[test]
fn keys_are_rotated_by_a_command_beside_a_running_server() {
    actix_rt::System::new().block_on(async {
        let (folder, secret) = configured(None);
        let server = Server::start(folder.path());
        let portal = Portal { server: &server, secret: &secret };
        let phone = portal.enrol("alice").await;
        let first = phone.enrolled["server_keys"][0]["kid"].as_str().expect("a kid").to_owned();
        let (signed_by, claims) = published(&phone).await;
        assert_eq!(
            (signed_by.as_slice(), &claims["iss"]),
            ([first.clone()].as_slice(), &json!(server.issuer))
        );
        let (code, listed) = keys(folder.path(), &["rotate"]);
        assert_eq!((code, listed.lines().count()), (Some(0), 2), "{listed}");
        let deadline = Instant::now() + SOON;
        while published(&phone).await.0.len() < 2 {
            assert!(Instant::now() < deadline, "the server does not follow\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (code, refused) = keys(folder.path(), &["rotate"]);
        assert_eq!(code, Some(1), "{refused}");
        assert!(refused.contains("a rotation is under way"), "{refused}");
        assert_eq!(keys(folder.path(), &["rotate", "--compromised", &first]).0, Some(0));
        let (code, listed) = keys(folder.path(), &["list"]);
        assert!(code == Some(0) && !listed.contains(&first) && listed.contains("signs"), "{listed}");
        while published(&phone).await.0.contains(&first) {
            assert!(Instant::now() < deadline + SOON, "the server does not follow\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_reload_whose_file_hangs_keeps_neither_callers_nor_the_end_waiting() {
    actix_rt::System::new().block_on(async {
        let (folder, secret) = configured(None);
        let mut server = Server::start(folder.path());
        let file = folder.path().join("tocsin.toml");
        fs::remove_file(&file).expect("removed");
        // Who reads it waits for what is never written.
        assert!(run(Command::new("mkfifo").arg(&file)).status.success());
        let (opened, reads) = std::sync::mpsc::channel();
        std::thread::spawn(move || opened.send(fs::OpenOptions::new().write(true).open(&file)));
        server.signal(Signal::SIGHUP);
        let _held = reads.recv_timeout(SOON).expect("the reload reads it").expect("a pipe");
        let portal = Portal { server: &server, secret: &secret };
        assert_eq!(portal.send("GET", "/v1/transactions", None).await.status, 200);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().code(), Some(0), "{}", server.log());
    });
}
