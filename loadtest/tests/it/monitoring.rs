//! What `config/monitoring` says to Prometheus and Grafana is true of a running server.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;
use tocsin_loadtest::{HttpClient, PhoneKind};
use tocsin_model::Decision;

use super::features::scene::{SOON, Scene, SceneOptions};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/monitoring");

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Runs Debian's promtool beside the files.
fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(FOLDER).output();
    let output = output.expect("promtool is installed by scripts/setup");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The words of a text that are made of what metric names are made of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter))
}

/// Every metric that rules and dashboard name, without the endings of a histogram's series.
fn named_metrics() -> BTreeSet<String> {
    let texts = ["recording.yml", "alerts.yml", "grafana-dashboard.json"].map(text).concat();
    let series = words(&texts).filter(|word| word.starts_with("tocsin_"));
    series.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

/// Every query of the dashboard, for all instances.
fn dashboard_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text("grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("a query").replace("$instance", ".*")).collect()
}

#[test]
fn rules_and_configuration_are_well_formed_and_every_alert_does_what_its_case_says() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "tests.yml"]);
}

#[test]
fn every_alert_has_a_case_in_which_it_fires() {
    let (rules, cases) = (text("alerts.yml"), text("tests.yml"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let cases = cases.split("- alertname: ").skip(1);
        let fires = cases
            .filter(|case| case.starts_with(&format!("{alert}\n")))
            .any(|case| case.contains("exp_labels"));
        assert!(fires, "{alert} fires in no case of tests.yml");
    }
}

async fn metrics(scene: &Scene) -> String {
    let answer = scene.ops("GET", "/metrics", None, None).await;
    String::from_utf8(answer.reply.body.to_vec()).expect("text")
}

/// Waits until the metrics have this line.
async fn until_shown(scene: &Scene, line: &str) {
    let deadline = Instant::now() + SOON;
    while !metrics(scene).await.lines().any(|shown| shown == line) {
        assert!(Instant::now() < deadline, "{line} was never shown");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server through which a login has gone, so that what counts logins has counted one.
/// It has a proxy that nothing goes through and a country that no code goes to, so that their metrics are there.
async fn scene_with_a_login() -> Scene {
    let proxy = "[proxy]\nenabled = true\nhost = \"127.0.0.1\"\n";
    let more = format!("{proxy}[sms]\ncountry_prefixes = [\"+1\"]\n");
    let scene = Scene::with(SceneOptions { more, ..SceneOptions::default() }).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let id = scene.begin("login", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    let waiting = scene.portal.wait(id, 20, None);
    let challenge = phone.phone.fetch(&id.to_string()).await.expect("a challenge");
    let answered = async {
        until_shown(&scene, "tocsin_waiters 1").await;
        phone.phone.answer(&challenge, Decision::Accept).await.expect("an answer")
    };
    let (view, state) = tokio::join!(waiting, answered);
    assert_eq!((view.expect("a view").state.as_str(), state.as_str()), ("accepted", "accepted"));
    scene
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_that_rules_and_dashboard_name_is_there() {
    let scene = scene_with_a_login().await;
    let shown = metrics(&scene).await;
    let known: BTreeSet<&str> =
        shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let named = named_metrics();
    assert!(named.len() > 15, "{named:?}");
    let missing: Vec<&String> = named.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {known:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stage_of_a_login_has_been_timed() {
    let scene = scene_with_a_login().await;
    let shown = metrics(&scene).await;
    for stage in ["create", "commit", "queue", "provider", "answer", "wake_up"] {
        let count = format!("tocsin_stage_seconds_count{{stage=\"{stage}\"}} ");
        let counted = shown.lines().find_map(|line| line.strip_prefix(&count));
        assert!(counted.is_some_and(|counted| counted != "0"), "{stage}: {counted:?}");
    }
}

/// A Prometheus of its own; killed when it is dropped.
struct Prometheus {
    child: Child,
    url: String,
    http: HttpClient,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// With the shipped configuration, except for where the server listens and how often it is asked.
    fn scraping(address: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        for file in ["recording.yml", "alerts.yml"] {
            fs::copy(Path::new(FOLDER).join(file), folder.path().join(file)).expect("copied");
        }
        let shipped = text("prometheus.yml");
        let changed = shipped.replace("127.0.0.1:8442", address).replace("_interval: 15s", "_interval: 1s");
        assert!(changed.contains(address) && changed.contains(": 1s"), "{shipped}");
        fs::write(folder.path().join("prometheus.yml"), changed).expect("written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let listens = free.expect("a port").to_string();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={listens}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed by scripts/setup");
        Self { child, url: format!("http://{listens}"), http: HttpClient::new(), _folder: folder }
    }

    async fn api(&self, path: &str) -> Option<Value> {
        let request = Request::builder().uri(format!("{}/api/v1/{path}", self.url)).body(Bytes::new());
        let reply = self.http.call(request.expect("a request"), SOON).await.ok()?;
        serde_json::from_slice(&reply.body).ok()
    }

    async fn query(&self, expression: &str) -> Option<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.api(&format!("query?query={encoded}")).await
    }

    /// Waits until the query has a first value, and answers with it.
    async fn first_value(&self, expression: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let told = self.query(expression).await;
            let value = told.as_ref().and_then(|told| told["data"]["result"][0]["value"][1].as_str());
            if let Some(value) = value {
                return value.to_owned();
            }
            assert!(Instant::now() < deadline, "{expression}: {told:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_of_debian_scrapes_a_server_and_understands_every_rule_and_query() {
    let scene = scene_with_a_login().await;
    let address = scene.installation.ops_url().trim_start_matches("http://");
    let prometheus = Prometheus::scraping(address);
    assert_eq!(prometheus.first_value("tocsin_ready").await, "1");
    let accepted = "tocsin_transactions_ended_total{type=\"login\",state=\"accepted\"}";
    assert_eq!(prometheus.first_value(accepted).await, "1");
    assert_eq!(
        prometheus.first_value("tocsin:transactions_ended:rate5m{state=\"accepted\"} >= 0").await,
        "0"
    );

    let rules = prometheus.api("rules").await.expect("rules");
    let groups = rules["data"]["groups"].as_array().expect("groups");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")) {
        assert_ne!(rule["health"], "err", "{rule}");
    }
    let queries = dashboard_queries();
    assert!(queries.len() > 15, "{queries:?}");
    for query in queries {
        let told = prometheus.query(&query).await.expect("an answer");
        assert_eq!(told["status"], "success", "{query}: {told}");
    }
}
