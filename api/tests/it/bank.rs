//! A whole server in the test's process: three doors over an engine, its storage in memory, its network quiet.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin_api::door::{Addresses, BoundDoors, OpenDoors};
use tocsin_config::Config;
use tocsin_engine::clock::Clock;
use tocsin_engine::code::CodeKeys;
use tocsin_engine::device::ServerKeys;
use tocsin_engine::message::Origins;
use tocsin_engine::metrics::Metrics;
use tocsin_engine::protocol::{DeliveryOutcome, Parcel, Push};
use tocsin_engine::provider::{Driver, DriverReport};
use tocsin_engine::transport::Proxies;
use tocsin_engine::{Engine, EngineParts};
use tocsin_storage::Store;
use tocsin_storage::memory::{MemoryOptions, MemoryStore};

use crate::http::{Answer, Call, SOON};
use crate::phone::Phone;
use crate::pki::Pki;

/// The secret of a client of the tests.
pub fn secret_of(client: &str) -> String {
    format!("correct horse battery staple of {client}")
}

const CONFIG: &str = r#"
[portal]
address = "127.0.0.1:0"
[device]
address = "127.0.0.1:0"
[ops]
address = "127.0.0.1:0"
[ops.tokens.watcher]
sha256 = "HASH-OF-watcher"
[ops.tokens.console]
sha256 = "HASH-OF-console"
role = "operate"
[engine]
arbiters = 1
signature_threads = 1
drain_grace_s = 5
[realms.retail]
user_id_rule = "casefold"
[realms.staff]
[types.login]
default_title = "Log in"
ttl_s = 60
[types.payment]
message_max = 400
[types.vault]
[apps.bank]
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
[apps.desk.ios]
bundle_id = "com.example.desk"
[providers.apns-main]
kind = "apns"
default = true
team_id = "TEAM000001"
key_id = "KEY0000001"
key_file = "key.p8"
[providers.fcm-main]
kind = "fcm"
default = true
service_account_file = "account.json"
[clients.portal]
secret_sha256 = "HASH-OF-portal"
rights = ["transactions", "enrollments", "devices"]
default_realm = "retail"
realms = ["retail"]
apps = ["bank"]
types = ["login", "payment"]
[clients.other]
secret_sha256 = "HASH-OF-other"
rights = ["transactions", "enrollments", "devices"]
default_realm = "retail"
realms = ["*"]
apps = ["*"]
types = ["*"]
[clients.reader]
secret_sha256 = "HASH-OF-reader"
default_realm = "retail"
realms = ["retail"]
"#;

/// The `Authorization` of a client.
pub fn basic_of(client: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{}", secret_of(client))))
}

fn hash_of(client: &str) -> String {
    let hash = digest(&SHA256, secret_of(client).as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A network that takes every push and remembers it.
#[derive(Default)]
pub struct QuietNetwork {
    pushes: Mutex<Vec<Push>>,
    is_silent: AtomicBool,
}

impl QuietNetwork {
    pub fn pushes(&self) -> Vec<Push> {
        self.pushes.lock().expect("not poisoned").clone()
    }

    /// From now on it takes pushes and never answers.
    pub fn be_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }
}

impl Driver for QuietNetwork {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        let Parcel::Push(push) = parcel else {
            return Box::pin(std::future::ready(DriverReport::wrong_parcel()));
        };
        self.pushes.lock().expect("not poisoned").push(Push::clone(push));
        Box::pin(async move {
            written();
            if self.is_silent.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            DriverReport { outcome: DeliveryOutcome::Relayed, verdict: None, healthy: Some(true) }
        })
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn close(&self) {}
}

/// A server under test.
pub struct Bank {
    pub doors: OpenDoors,
    pub engine: Engine,
    pub store: Arc<MemoryStore>,
    pub network: Arc<QuietNetwork>,
    pub issuer: String,
    pub folder: TempDir,
    text: String,
}

/// Runs a test against a fresh server.
pub fn with_bank<F: Future<Output = ()>>(test: impl FnOnce(Bank) -> F) {
    with_configured_bank(str::to_owned, test);
}

/// Runs a test against a fresh server with a changed configuration.
pub fn with_configured_bank<F: Future<Output = ()>>(
    change: impl FnOnce(&str) -> String,
    test: impl FnOnce(Bank) -> F,
) {
    actix_rt::System::new().block_on(async { test(Bank::open(&change(CONFIG)).await).await });
}

impl Bank {
    async fn open(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["key.p8", "account.json"] {
            std::fs::write(folder.path().join(file), "read by the real drivers only").expect("written");
        }
        let text = ["portal", "other", "reader", "watcher", "console"]
            .iter()
            .fold(text.to_owned(), |text, client| {
                text.replace(&format!("HASH-OF-{client}"), &hash_of(client))
            });
        if text.contains("certificate_file") {
            Pki::new().write(folder.path());
        }
        let loaded = Config::load_str(&text, folder.path());
        let config = Arc::new(loaded.unwrap_or_else(|faults| panic!("{faults}")).config);
        let clock = Clock::system();
        let now = clock.clone();
        let store = Arc::new(MemoryStore::new(MemoryOptions::new(Arc::new(move || now.now()))));
        let network = Arc::new(QuietNetwork::default());
        let doors = BoundDoors::bind(&config).expect("free ports");
        let issuer = doors.issuer(&config);
        let driver = || Arc::clone(&network) as Arc<dyn Driver>;
        let names = ["apns-main", "fcm-main"];
        let engine = Engine::start(EngineParts {
            origins: Origins::open(&config, &clock, &Proxies::uncounted(clock.clone())).expect("readable"),
            config,
            store: Arc::clone(&store) as Arc<dyn Store>,
            proxies: Proxies::uncounted(clock.clone()),
            clock,
            metrics: Arc::new(Metrics::new()),
            server_keys: ServerKeys::load_or_create(folder.path()).expect("keys"),
            code_keys: CodeKeys::open(folder.path(), None, tocsin_model::UnixMs::new(0)).expect("code keys"),
            issuer: issuer.clone(),
            render_view: tocsin_api::door::render_view(""),
            drivers: names
                .map(|name| (name.parse().expect("a name"), driver()))
                .into_iter()
                .collect::<HashMap<_, _>>(),
        })
        .await
        .expect("an engine");
        let doors = doors.open(&engine.handle()).expect("open doors");
        Self { doors, engine, store, network, issuer, folder, text }
    }

    /// Takes the configuration with one more table over, as a reload does.
    pub async fn reload_with(&self, table: &str) {
        let text = format!("{}\n{table}", self.text);
        let loaded = Config::load_str(&text, self.folder.path());
        let config = loaded.unwrap_or_else(|faults| panic!("{faults}")).config;
        let handle = self.engine.handle();
        handle.reload(Arc::new(config), handle.drivers().as_ref().clone(), Origins::off(), None).await;
    }

    pub fn addresses(&self) -> Addresses {
        self.doors.addresses()
    }

    /// A call by the client `portal`.
    pub fn portal(&self, method: &str, path: &str) -> Call {
        self.portal_as("portal", method, path)
    }

    /// A call by this client.
    pub fn portal_as(&self, client: &str, method: &str, path: &str) -> Call {
        Call::new(method, self.addresses().portal, path).basic(client, &secret_of(client))
    }

    pub fn device(&self, method: &str, path: &str) -> Call {
        Call::new(method, self.addresses().device, path)
    }

    pub fn ops(&self, path: &str) -> Call {
        Call::new("GET", self.addresses().ops, path)
    }

    /// A call by the operator `watcher`, who may read, or `console`, who may operate.
    pub fn admin(&self, operator: &str, method: &str, path: &str) -> Call {
        Call::new(method, self.addresses().ops, path).bearer(&secret_of(operator))
    }

    pub async fn start(&self, body: &Value) -> Answer {
        self.portal("POST", "/v1/transactions").json(body).send().await
    }

    /// Starts a login of this user; answers with its view.
    pub async fn start_login(&self, user: &str) -> Value {
        self.start(&json!({"type": "login", "user": user})).await.expect(201)
    }

    pub async fn view(&self, id: &str) -> Value {
        self.portal("GET", &format!("/v1/transactions/{id}")).send().await.expect(200)
    }

    /// An activation code for this user.
    pub async fn activation_code(&self, user: &str) -> String {
        let body = json!({"user": user, "app": "bank"});
        let opened = self.portal("POST", "/v1/enrollments").json(&body).send().await.expect(201);
        opened["activation_code"].as_str().expect("a code").to_owned()
    }

    /// Enrols an iPhone for this user.
    pub async fn enrol(&self, user: &str) -> Phone {
        let code = self.activation_code(user).await;
        Phone::enrol(self.addresses().device, &self.issuer, &code).await
    }

    /// Waits until the metrics have this line.
    pub async fn until_metric(&self, line: &str) {
        let deadline = Instant::now() + SOON;
        while !self.ops("/metrics").send().await.text.lines().any(|found| found == line) {
            assert!(Instant::now() < deadline, "never {line}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the network has taken so many pushes.
    pub async fn until_pushed(&self, count: usize) {
        let deadline = Instant::now() + SOON;
        while self.network.pushes().len() < count {
            assert!(Instant::now() < deadline, "never {count} pushes");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.network.pushes().len(), count);
    }

    /// Waits until the view of a transaction is as wanted.
    pub async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let view = self.view(id).await;
            if wanted(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "it never came: {view}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The id in a view.
pub fn id_of(view: &Value) -> String {
    view["id"].as_str().expect("an id").to_owned()
}
