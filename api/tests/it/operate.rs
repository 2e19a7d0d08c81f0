//! A running server and its operators: signals, calls that change the process, and commands from outside.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin_config::{NewToken, Role};
use tocsin_mock::{ApnsCredential, FcmCredential};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::http::{Answer, Call, SOON};
use crate::pki::{Pki, TLS, TlsClient};
use crate::process::{Server, run, text, tocsin};

/// A server's folder, and the token of an operator who may do everything.
struct Installation {
    folder: TempDir,
    token: String,
}

impl Installation {
    fn new() -> Self {
        Self::with_ops("")
    }

    /// With more keys of the ops door.
    fn with_ops(keys: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made =
            NewToken::generate(&"console".parse().expect("a name"), Role::Operate).expect("randomness");
        let text = format!(
            "[portal]\naddress = \"127.0.0.1:0\"\n[device]\naddress = \"127.0.0.1:0\"\n\
             public_url = \"http://127.0.0.1:18441\"\n[ops]\naddress = \"127.0.0.1:0\"\n{keys}\n\
             [storage]\npath = \"data\"\ndisk_free_min_bytes = 0\n[log]\nfilter = \"info\"\n\
             [realms.retail]\n[types.login]\nttl_s = 40\n{}",
            made.block
        );
        fs::write(folder.path().join("tocsin.toml"), text).expect("written");
        Self { folder, token: made.token.expose().clone() }
    }

    /// With TLS and certificates of callers at the portal door, and both push networks, whose files are all good.
    fn with_files() -> Self {
        let installation = Self::new();
        let folder = installation.folder.path();
        Pki::new().write(folder);
        fs::copy(folder.join("tls/ca.pem"), folder.join("network.pem")).expect("copied");
        let key = ApnsCredential::generate("TEAM000001", "KEY0000001").expect("a key");
        fs::write(folder.join("apns.p8"), key.private_key_pem).expect("written");
        let account = FcmCredential::generate("a-project").expect("an account");
        let account = account.service_account_json("https://127.0.0.1:1/token");
        fs::write(folder.join("account.json"), account).expect("written");
        let door =
            format!("[portal]\n{TLS}client_ca_file = \"tls/ca.pem\"\nclient_certificate = \"optional\"\n");
        installation.edit("[portal]\n", &door);
        installation.edit(
            "[realms.retail]\n",
            "[realms.retail]\n[providers.apns-main]\nkind = \"apns\"\nteam_id = \"TEAM000001\"\n\
             key_id = \"KEY0000001\"\nkey_file = \"apns.p8\"\nendpoint = \"https://127.0.0.1:1\"\n\
             ca_file = \"network.pem\"\n[providers.fcm-main]\nkind = \"fcm\"\n\
             service_account_file = \"account.json\"\nendpoint = \"https://127.0.0.1:1\"\n",
        );
        installation
    }

    /// The place of a value in the configuration: `tocsin.toml:LINE:COLUMN: KEY`.
    fn place_of(&self, key: &str, value: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join("tocsin.toml")).expect("a configuration");
        let leaf = key.rsplit('.').next().expect("a name");
        let line_of = |line: &str| line.starts_with(&format!("{leaf} = ")) && line.contains(value);
        let number = text.lines().position(line_of).expect("the key") + 1;
        format!("tocsin.toml:{number}:{}: {key}: ", leaf.len() + 4)
    }

    fn start(&self) -> Server {
        Server::start(self.folder.path())
    }

    fn edit(&self, part: &str, replacement: &str) {
        let path = self.folder.path().join("tocsin.toml");
        let text = fs::read_to_string(&path).expect("a configuration");
        assert!(text.contains(part), "no {part:?} in\n{text}");
        fs::write(path, text.replacen(part, replacement, 1)).expect("written");
    }

    async fn admin(&self, server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let call = Call::new(method, server.ops, path).bearer(&self.token);
        match body {
            Some(body) => call.json(body).send().await,
            None => call.send().await,
        }
    }

    /// What the server says of how long a login lives.
    async fn login_ttl_s(&self, server: &Server) -> Value {
        let config = self.admin(server, "GET", "/v1/admin/config", None).await.expect(200);
        let items = config["items"].as_array().expect("a list");
        items.iter().find(|item| item["key"] == "types.login.ttl_s").expect("the key")["value"].clone()
    }

    /// A command that asks the server at `url`, with the token in the environment.
    fn ask(&self, arguments: &[&str], url: &str) -> Output {
        run(tocsin(&[arguments, &["--url", url]].concat()).env("TOCSIN_OPS_TOKEN", &self.token))
    }
}

async fn until(what: &str, server: &Server, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "never {what}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_counted(server: &Server, line: &str) {
    until(line, server, async || {
        Call::new("GET", server.ops, "/metrics").send().await.text.lines().any(|found| found == line)
    })
    .await;
}

#[test]
fn sighup_takes_a_new_configuration_over_or_leaves_all_as_it_was() {
    actix_rt::System::new().block_on(async {
        let installation = Installation::new();
        let server = installation.start();
        assert_eq!(installation.login_ttl_s(&server).await, 40);
        installation.edit("ttl_s = 40", "ttl_s = 50");
        server.signal(Signal::SIGHUP);
        until_counted(&server, "tocsin_reloads_total{result=\"taken\"} 1").await;
        assert_eq!(installation.login_ttl_s(&server).await, 50);

        installation.edit("ttl_s = 50", "ttl_s = 70\nttl_minutes = 1");
        server.signal(Signal::SIGHUP);
        until_counted(&server, "tocsin_reloads_total{result=\"refused\"} 1").await;
        assert_eq!(installation.login_ttl_s(&server).await, 50);
        assert!(server.log().contains("ttl_minutes"), "{}", server.log());
        // The start, the new configuration, the refusal.
        until_counted(&server, "tocsin_audit_rows_total 3").await;
        let refused = installation.admin(&server, "GET", "/v1/admin/audit?event=config_refused", None).await;
        assert_eq!(refused.expect(200)["items"][0]["actor"], json!({"kind": "console"}));
    });
}

#[test]
fn a_spoiled_file_is_refused_with_its_place_and_nothing_beside_it_is_taken_over() {
    actix_rt::System::new().block_on(async {
        let installation = Installation::with_files();
        let server = installation.start();
        let folder = installation.folder.path();
        let caller = TlsClient::showing(folder, Some("shop"));
        let shown = async || caller.get(server.portal, "/nowhere", "").await.expect("a reply").certificate;
        let first = shown().await;
        installation.edit("ttl_s = 40", "ttl_s = 50");
        for (file, key) in [
            ("tls/door.pem", "portal.certificate_file"),
            ("tls/door.key", "portal.key_file"),
            ("tls/ca.pem", "portal.client_ca_file"),
            ("network.pem", "providers.apns-main.ca_file"),
            ("apns.p8", "providers.apns-main.key_file"),
            ("account.json", "providers.fcm-main.service_account_file"),
        ] {
            let path = folder.join(file);
            let good = fs::read(&path).expect("a file");
            for bad in ["", "spoiled-in-transit", "{\"spoiled-in-transit\": 1}"] {
                fs::write(&path, bad).expect("written");
                let reply = installation.admin(&server, "POST", "/v1/admin/reload", None).await;
                let problem = reply.expect_problem(422, "invalid_field", Some("configuration"));
                let told = problem["detail"].as_str().expect("a detail").to_owned();
                let place = installation.place_of(key, file);
                assert!(told.lines().count() == 2 && told.contains(&place), "{place} {told}");
                assert!(!told.contains("spoiled-in-transit"), "{told}");
                assert_eq!(installation.login_ttl_s(&server).await, 40);
                assert_eq!(shown().await, first);
            }
            fs::write(&path, good).expect("written");
        }
        installation.admin(&server, "POST", "/v1/admin/reload", None).await.expect(200);
        assert_eq!(installation.login_ttl_s(&server).await, 50);
        assert_eq!(shown().await, first);
    });
}

/// Says so much at the device door from this address of the machine, and reads to the end.
async fn say_from(address: [u8; 4], server: &Server, words: &[u8]) -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((address, 0))).expect("an address of this machine");
    let mut stream = socket.connect(server.device).await.expect("connected");
    stream.write_all(words).await.expect("sent");
    let mut said = Vec::new();
    // How the server closes is no matter.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await.expect("an end in time");
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_phones_address_stands_in_no_log() {
    actix_rt::System::new().block_on(async {
        let installation = Installation::new();
        installation.edit("filter = \"info\"", "filter = \"debug\"");
        installation.edit(
            "[device]\n",
            "[device]\ntrusted_proxies = [\"127.0.0.1\"]\nhead_timeout_ms = 300\nheaders_max = 16\n\
             calls_per_address_per_minute_max = 10\n",
        );
        let server = installation.start();
        let path = "/device/v1/device";
        let mut statuses = BTreeSet::new();
        for _ in 0..12 {
            let call = Call::new("GET", server.device, path).header("x-forwarded-for", "203.0.113.77");
            statuses.insert(call.send().await.status);
            let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let said = say_from([127, 0, 0, 77], &server, head.as_bytes()).await;
            statuses.insert(said[9..12].parse().expect("a status"));
        }
        assert_eq!(statuses, BTreeSet::from([401, 429]));
        let body = json!({"activation_code": "wrong", "name": "x"});
        let call = Call::new("POST", server.device, "/device/v1/enrollments").json(&body);
        assert_eq!(call.header("forwarded", "for=203.0.113.78").send().await.status, 422);
        let call = Call::new("GET", server.device, path).header("forwarded", "for=203.0.113.79");
        call.header("x-forwarded-for", "203.0.113.80").send().await.expect_problem(401, "bad_proof", None);
        assert_eq!(say_from([127, 0, 0, 78], &server, b"GET /device/v1/dev").await, "");
        say_from([127, 0, 0, 79], &server, b"\x16\x03\x01 no HTTP\r\n\r\n").await;
        until_counted(
            &server,
            "tocsin_http_connections_refused_total{door=\"device\",reason=\"slow_head\"} 1",
        )
        .await;
        let log = server.log();
        assert!(log.contains("slow_head"), "connections stand in this log: {log}");
        for address in ["203.0.113.", "127.0.0.77", "127.0.0.78", "127.0.0.79"] {
            assert!(!log.contains(address), "{address}: {log}");
        }
    });
}

#[test]
fn the_log_level_changes_what_is_logged() {
    actix_rt::System::new().block_on(async {
        let installation = Installation::new();
        let server = installation.start();
        let set = async |filter: &str| {
            let body = json!({ "filter": filter });
            let reply = installation.admin(&server, "PUT", "/v1/admin/log-level", Some(&body)).await;
            assert_eq!(reply.expect(200), json!({ "filter": filter }));
        };
        let reload = async || {
            installation.admin(&server, "POST", "/v1/admin/reload", None).await.expect(200);
        };
        let backup = async || {
            installation.admin(&server, "POST", "/v1/admin/backup", None).await.expect(201);
        };
        set("error").await;
        backup().await;
        assert!(!server.log().contains("a backup was made"), "{}", server.log());
        set("info").await;
        backup().await;
        until("logged", &server, async || server.log().contains("a backup was made")).await;
        // A reload goes back to the filter of the file.
        set("error").await;
        reload().await;
        let before = server.log().matches("a backup was made").count();
        backup().await;
        until("logged", &server, async || server.log().matches("a backup was made").count() > before).await;
        until_counted(&server, "tocsin_backups_total{result=\"made\"} 3").await;

        for wrong in ["info,=,nonsense=loud", "", "info\n", &"a".repeat(501)] {
            let wrong = json!({ "filter": wrong });
            let reply = installation.admin(&server, "PUT", "/v1/admin/log-level", Some(&wrong)).await;
            reply.expect_problem(422, "invalid_field", Some("filter"));
        }
    });
}

#[test]
fn an_operators_drain_ends_the_process_in_order() {
    actix_rt::System::new().block_on(async {
        let installation = Installation::new();
        let mut server = installation.start();
        let reply = installation.admin(&server, "POST", "/v1/admin/drain", None).await;
        assert_eq!(reply.expect(202), json!({"draining": true}));
        assert_eq!(server.end().code(), Some(0), "{}", server.log());
        assert!(server.log().contains("an operator asked for it"), "{}", server.log());
        let config = installation.folder.path().join("tocsin.toml");
        let config = config.to_str().expect("UTF-8");
        let checked = run(&mut tocsin(&["--config", config, "audit", "verify"]));
        assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    });
}

#[test]
fn commands_ask_a_running_server() {
    let installation = Installation::new();
    let server = installation.start();
    let url = format!("http://{}", server.ops);
    let checked = installation.ask(&["audit", "verify"], &url);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("are what was stored"), "{}", text(&checked.stdout));

    let made = installation.ask(&["backup"], &url);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let told = text(&made.stdout);
    let folder = told.split_once(": ").expect("a folder and its size").0;
    let verified = run(&mut tocsin(&["verify", folder]));
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));

    installation.edit("ttl_s = 40", "ttl_s = 50");
    let reloaded = installation.ask(&["reload"], &url);
    assert_eq!(reloaded.status.code(), Some(0), "{}", text(&reloaded.stderr));
    installation.edit("ttl_s = 50", "ttl_minutes = 1");
    let refused = installation.ask(&["reload"], &url);
    assert_eq!(refused.status.code(), Some(1));
    let faults = text(&refused.stderr);
    assert!(faults.contains("ttl_minutes") && faults.contains("nothing has changed"), "{faults}");
}

#[test]
fn a_command_without_a_token_or_with_a_wrong_one_says_so() {
    let installation = Installation::new();
    let server = installation.start();
    let url = format!("http://{}", server.ops);
    let without = run(&mut tocsin(&["audit", "verify", "--url", &url]));
    assert_eq!(without.status.code(), Some(78));
    assert!(text(&without.stderr).contains("TOCSIN_OPS_TOKEN"), "{}", text(&without.stderr));
    let wrong = run(tocsin(&["audit", "verify", "--url", &url]).env("TOCSIN_OPS_TOKEN", "wrong"));
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("invalid_token"), "{}", text(&wrong.stderr));

    let file = installation.folder.path().join("token");
    fs::write(&file, format!("{}\n", installation.token)).expect("written");
    let file = file.to_str().expect("UTF-8");
    let from_file = run(&mut tocsin(&["audit", "verify", "--url", &url, "--token-file", file]));
    assert_eq!(from_file.status.code(), Some(0), "{}", text(&from_file.stderr));
}

#[test]
fn a_command_for_a_server_that_is_not_there_says_so() {
    let installation = Installation::new();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    for url in [format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{port}")] {
        let output = installation.ask(&["backup"], &url);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("no connection to"), "{}", text(&output.stderr));
    }
    for url in ["127.0.0.1:1", "ftp://127.0.0.1", "http://127.0.0.1/v1"] {
        assert_eq!(installation.ask(&["backup"], url).status.code(), Some(78), "{url}");
    }
    let both = run(&mut tocsin(&["backup", "folder", "--url", "http://127.0.0.1:1"]));
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_command_speaks_tls_and_trusts_only_the_authorities_it_was_given() {
    let installation = Installation::with_ops(TLS);
    Pki::new().write(installation.folder.path());
    let server = installation.start();
    let url = format!("https://localhost:{}", server.ops.port());
    let ca = installation.folder.path().join("tls/ca.pem");
    let ca = ca.to_str().expect("UTF-8");
    let trusting = installation.ask(&["audit", "verify", "--ca-file", ca], &url);
    assert_eq!(trusting.status.code(), Some(0), "{}", text(&trusting.stderr));
    let wary = installation.ask(&["audit", "verify"], &url);
    assert_eq!(wary.status.code(), Some(1), "{}", text(&wary.stderr));
}
