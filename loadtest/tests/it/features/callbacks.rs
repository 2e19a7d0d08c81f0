//! How portals are told of outcomes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin_loadtest::PhoneKind;
use tocsin_mock::{
    ApnsReason, Authority, CallbackOptions, CallbackRecord, CallbackRefusal, CallbackServer, Fault,
};
use tocsin_model::Decision;

use super::Scene;
use super::scene::{SOON, SceneOptions};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A portal that is called back, with an authority of its own.
struct Receiver {
    server: CallbackServer,
    folder: TempDir,
}

impl Receiver {
    async fn open() -> Self {
        let folder = TempDir::with_prefix("tocsin-callback-").expect("a folder");
        let authority = Authority::new().expect("an authority");
        authority.write_ca_pem(&folder.path().join("ca.pem")).expect("a file");
        let options = CallbackOptions::new(authority.issue().expect("a certificate"), SECRET);
        Self { server: CallbackServer::start(options).await.expect("a server"), folder }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// A scene that calls this one back; `client` are further keys of the client, `entries` its callbacks, each with its
    /// path and further keys.
    async fn scene(&self, client: &str, entries: &[(&str, &str)]) -> Scene {
        let ca_file = Value::from(self.folder.path().join("ca.pem").to_string_lossy());
        let mut more =
            format!("\n[callbacks]\nca_file = {ca_file}\nbackoff_first_ms = 100\nbackoff_longest_ms = 500\n");
        for (number, (path, keys)) in entries.iter().enumerate() {
            let url = self.url(path);
            more += &format!("[clients.portal.callbacks.number-{number}]\nurl = \"{url}\"\n{keys}\n");
        }
        let client =
            format!("webhook_secrets = [\"{SECRET}\"]\ncallback_networks = [\"127.0.0.0/8\"]\n{client}\n");
        Scene::with(SceneOptions { client, more, ..SceneOptions::default() }).await
    }

    async fn taken(
        &self,
        count: usize,
        wanted: impl Fn(&CallbackRecord) -> bool,
    ) -> Vec<Arc<CallbackRecord>> {
        let log = self.server.callbacks();
        let found = log.wait_for(count, |record| record.is_taken() && wanted(record), SOON).await;
        found.unwrap_or_else(|error| panic!("{error}: {:?}", log.records()))
    }
}

fn login(callback_url: &str) -> Value {
    json!({"type": "login", "user": "alice", "callback_url": callback_url})
}

async fn begin(scene: &Scene, callback_url: &str) -> String {
    let view = scene.portal("POST", "/v1/transactions", Some(&login(callback_url))).await.expect(201);
    view["id"].as_str().expect("an id").to_owned()
}

async fn cancel(scene: &Scene, id: &str) {
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
}

/// One body with the id and no outcome; refused at first, tried again across a kill, and taken once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_094_callback_sent() {
    let receiver = Receiver::open().await;
    let mut scene = receiver.scene("", &[("/done", "")]).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let refusal = CallbackRefusal::Status(StatusCode::INTERNAL_SERVER_ERROR);
    receiver.server.faults().for_all(Fault::Refuse(refusal)).expect("room");

    let accepted = begin(&scene, &receiver.url("/done")).await;
    let challenge = phone.phone.fetch(&accepted).await.expect("a challenge");
    phone.phone.answer(&challenge, Decision::Accept).await.expect("taken");
    let log = receiver.server.callbacks();
    log.wait_for(2, |record| record.answered == Some(500), SOON).await.expect("two tries that failed");
    scene.kill().await;
    let before = log.records().len();
    receiver.server.faults().clear();
    scene.start().await;

    let taken = receiver.taken(1, |_| true).await;
    assert_eq!(taken[0].json(), json!({"id": accepted}));
    for record in log.records() {
        assert_eq!(
            (record.fault, record.header("webhook-id")),
            (None, Some(accepted.as_str())),
            "{record:?}"
        );
    }
    assert!(log.records().len() > before);
    let view = scene.portal("GET", &format!("/v1/transactions/{accepted}"), None).await.expect(200);
    assert_eq!(view["state"], "accepted");

    // Other ends are told as well, and the first one is not told again.
    let cancelled = begin(&scene, &receiver.url("/done")).await;
    cancel(&scene, &cancelled).await;
    let taken = receiver.taken(2, |_| true).await;
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert_eq!(taken[1].json(), json!({"id": cancelled}));

    let mut short = login(&receiver.url("/done"));
    short["ttl_s"] = json!(3);
    let late = scene.portal("POST", "/v1/transactions", Some(&short)).await.expect(201);
    let taken = receiver.taken(3, |_| true).await;
    assert_eq!(taken[2].json(), json!({"id": late["id"]}));

    let refusal = Fault::Refuse(ApnsReason::BadDeviceToken.into());
    scene.world.apns.faults().for_next(1, refusal).expect("scripted");
    let lost = begin(&scene, &receiver.url("/done")).await;
    let taken = receiver.taken(4, |_| true).await;
    assert_eq!(taken.len(), 4, "{taken:?}");
    assert_eq!(taken[3].json(), json!({"id": lost}));
    for (id, state) in [(late["id"].as_str().expect("an id"), "timeout"), (lost.as_str(), "failed")] {
        let view = scene.portal("GET", &format!("/v1/transactions/{id}"), None).await.expect(200);
        assert_eq!(view["state"], state, "{view}");
    }
}

/// A listed URL is called; another one is refused and nothing is sent. Without the list every https URL will do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_095_callback_whitelist() {
    let receiver = Receiver::open().await;
    let scene = receiver.scene("", &[("/done", "")]).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let unlisted = login(&receiver.url("/other"));
    let problem = scene.portal("POST", "/v1/transactions", Some(&unlisted)).await;
    assert_eq!(problem.expect_problem(422, "invalid_field")["field"], "callback_url");
    assert_eq!(scene.world.apns.pushes().records().len(), 0);
    let listed = begin(&scene, &receiver.url("/done")).await;
    cancel(&scene, &listed).await;
    let taken = receiver.taken(1, |_| true).await;
    assert_eq!(taken[0].path(), "/done");
    assert_eq!(receiver.server.callbacks().records().len(), 1);

    let scene = receiver.scene("callback_allow_list = false", &[]).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for refused in
        ["http://portal.example/done", "ftp://portal.example/", "https://10.0.0.1/", "https://[::1]/"]
    {
        let reply = scene.portal("POST", "/v1/transactions", Some(&login(refused))).await;
        reply.expect_problem(422, "invalid_field");
    }
    let any = begin(&scene, &receiver.url("/any")).await;
    cancel(&scene, &any).await;
    receiver.taken(1, |record| record.path() == "/any").await;
    let plain = begin(&scene, "http://127.0.0.1:1/done").await;
    cancel(&scene, &plain).await;
}

/// The URL fits byte by byte or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_096_callback_exact() {
    let receiver = Receiver::open().await;
    let scene = receiver.scene("", &[("/done?shop=1", "")]).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let port = receiver.server.addr().port();
    let other_port = if port == u16::MAX { port - 1 } else { port + 1 };
    for other in [
        receiver.url("/done?shop=1/"),
        receiver.url("/done/?shop=1"),
        receiver.url("/done?shop=2"),
        receiver.url("/done"),
        receiver.url("/Done?shop=1"),
        receiver.url("/done?SHOP=1"),
        format!("https://127.0.0.1:{other_port}/done?shop=1"),
        format!("https://localhost:{port}/done?shop=1"),
    ] {
        let reply = scene.portal("POST", "/v1/transactions", Some(&login(&other))).await;
        assert_eq!(reply.expect_problem(422, "invalid_field")["field"], "callback_url", "{other}");
    }
    let exact = begin(&scene, &receiver.url("/done?shop=1")).await;
    cancel(&scene, &exact).await;
    receiver.taken(1, |record| record.path() == "/done?shop=1").await;
}

/// Credentials go to the URL that they are configured for, and to no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_097_callback_basic() {
    let receiver = Receiver::open().await;
    let credentials = "username = \"tocsin\"\npassword = \"s3cret:word\"\nbody = \"state\"";
    let scene = receiver.scene("", &[("/guarded", credentials), ("/open", "")]).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut ids = Vec::new();
    for path in ["/guarded", "/open"] {
        let id = begin(&scene, &receiver.url(path)).await;
        cancel(&scene, &id).await;
        ids.push(id);
    }
    let guarded = receiver.taken(1, |record| record.path() == "/guarded").await;
    let expected = format!("Basic {}", STANDARD.encode("tocsin:s3cret:word"));
    assert_eq!(guarded[0].header("authorization"), Some(expected.as_str()));
    assert_eq!(guarded[0].json(), json!({"id": ids[0], "state": "cancelled"}));
    let open = receiver.taken(1, |record| record.path() == "/open").await;
    assert_eq!(open[0].header("authorization"), None);
    assert_eq!(open[0].json(), json!({"id": ids[1]}));
    assert!(!scene.log().contains("s3cret"));
}
