//! TLS in both directions, and from where clients may call.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tocsin_loadtest::PhoneKind;

use super::Scene;
use super::scene::{SOON, SceneOptions};

/// Changes the configuration of a scene that is not started yet.
fn reconfigure(scene: &Scene, change: impl FnOnce(&str) -> String) {
    let file = scene.installation.config_file();
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let changed = change(&text);
    assert_ne!(changed, text, "nothing was changed");
    std::fs::write(file, changed).expect("written");
}

/// Everything that the server has logged.
fn whole_log(scene: &Scene) -> String {
    std::fs::read_to_string(scene.installation.log_file()).expect("a log")
}

/// Waits until the metrics have a line that begins so and ends in a number other than 0.
async fn until_counted(scene: &Scene, series: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let metrics = scene.ops("GET", "/metrics", None, None).await;
        let text = String::from_utf8_lossy(&metrics.reply.body).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        if value.is_some_and(|value| value.trim() != "0") {
            return;
        }
        assert!(Instant::now() < deadline, "never {series}\n{}", scene.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Without the private authority of a provider the TLS failure is told, with it pushes arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_049_provider_ca() {
    let mut scene = Scene::prepared(SceneOptions::default()).await;
    let trusted = std::fs::read_to_string(scene.installation.config_file()).expect("a configuration");
    reconfigure(&scene, |text| {
        let is_authority = |line: &&str| line.starts_with("ca_file = ");
        text.lines().filter(|line| !is_authority(line)).map(|line| format!("{line}\n")).collect()
    });
    scene.start().await;
    until_counted(&scene, "tocsin_provider_connects_total{provider=\"apns-main\",result=\"failed\"}").await;
    assert!(whole_log(&scene).contains("invalid peer certificate: UnknownIssuer"), "{}", scene.log());
    assert_eq!(scene.world.apns.pushes().records().len(), 0);
    scene.stop().await;

    reconfigure(&scene, |_| trusted);
    scene.start().await;
    let mut alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let id = scene.begin("login", "alice").await;
    assert_eq!(alice.next_push(SOON).await.expect("a push"), id);
}

/// A client that may call from another address only is refused, and that is logged and counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_071_api_ip_allowlist() {
    let options =
        SceneOptions { client: "networks = [\"127.0.0.2\"]\n".to_owned(), ..SceneOptions::default() };
    let scene = Scene::with(options).await;
    let url = format!("{}/v1/users/alice/devices", scene.installation.portal_url());
    let refused = scene.portal("GET", "/v1/users/alice/devices", None).await;
    refused.expect_problem(403, "address_not_allowed");
    until_counted(
        &scene,
        "tocsin_http_requests_refused_total{door=\"portal\",reason=\"address_not_allowed\"}",
    )
    .await;
    assert!(whole_log(&scene).contains("an address that is not allowed"), "{}", scene.log());
    let credentials = scene.installation.credentials();
    let pair = format!("{}:{}", credentials.client_id, credentials.secret);
    let allowed = curl(&["--interface", "127.0.0.2", "--user", &pair, "--write-out", "%{http_code}", &url]);
    let said = String::from_utf8_lossy(&allowed.stdout).into_owned();
    assert!(said.ends_with("200"), "{said}");
}

/// curl, which knows nothing of us.
fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("curl runs")
}

/// A self-signed certificate for `localhost` with its key, which only we may read.
fn write_self_signed(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    std::fs::write(folder.join("door.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.join("door.key"), made.signing_key.serialize_pem()).expect("written");
    std::fs::set_permissions(folder.join("door.key"), std::fs::Permissions::from_mode(0o600)).expect("ours");
}

/// A self-signed certificate at the device door is a warning; the door speaks TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2, to
/// whoever trusts it; plain HTTP is refused there, and off loopback already by the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_108_device_tls() {
    let mut scene = Scene::prepared(SceneOptions::default()).await;
    write_self_signed(scene.folder());
    reconfigure(&scene, |text| {
        text.replacen("[device]\n", "[device]\ncertificate_file = \"door.pem\"\nkey_file = \"door.key\"\n", 1)
    });
    scene.start().await;
    assert!(whole_log(&scene).contains("is self-signed"), "{}", scene.log());

    let port = scene.installation.device_url().rsplit(':').next().expect("a port").to_owned();
    let url = format!("https://localhost:{port}/device/v1/device");
    let authority = scene.folder().join("door.pem");
    let authority = authority.to_str().expect("a path");
    let told = ["--ipv4", "--cacert", authority, "--write-out", "\n%{http_version} %{http_code}", &url];
    for (options, version) in [
        (&["--http2", "--tlsv1.3"][..], "2 401"),
        (&["--http2", "--tls-max", "1.2"][..], "2 401"),
        (&["--http1.1", "--tlsv1.2"][..], "1.1 401"),
    ] {
        let output = curl(&[options, &told[..]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines.last(),
            Some(&version),
            "{options:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("bad_proof"), "{said}");
    }
    let stranger = curl(&["--ipv4", &url]);
    assert_eq!(stranger.status.code(), Some(60), "a caller who does not trust it is not served");
    let plain = curl(&["--ipv4", &format!("http://localhost:{port}/device/v1/device")]);
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");
    scene.stop().await;

    reconfigure(&scene, |text| {
        text.replacen(
            "certificate_file = \"door.pem\"\nkey_file = \"door.key\"\naddress = \"127.0.0.1:",
            "address = \"0.0.0.0:",
            1,
        )
    });
    let mut check = Command::new(scene.installation.binary());
    // The tests' own variables begin as the server's do, and it refuses those that it does not know.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOCSIN_")) {
        check.env_remove(name);
    }
    check.arg("--config").arg(scene.installation.config_file()).arg("check");
    let check = check.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(78), "{said}");
    assert!(said.contains("device.address: a door off loopback needs TLS"), "{said}");
}
