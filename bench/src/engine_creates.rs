//! Ours: transactions that are created through the engine's handle and withdrawn, each an actor with its deadline.
//!
//! The storage is the one in memory and the code of a transaction is handed out, so that neither a disk nor a network
//! takes part: what is left is the way from a call through the registry to an actor and back.

use std::collections::HashMap;
use std::sync::Arc;

use actix_rt::SystemRunner;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tempfile::TempDir;
use tocsin_config::Config;
use tocsin_engine::clock::Clock;
use tocsin_engine::code::CodeKeys;
use tocsin_engine::device::ServerKeys;
use tocsin_engine::message::Origins;
use tocsin_engine::metrics::Metrics;
use tocsin_engine::transport::Proxies;
use tocsin_engine::{Engine, EngineParts, Handle};
use tocsin_model::{
    ClientId, Content, DeliveryChoice, StartRequest, TransactionId, TypeName, User, UserId, UserIdRule,
};
use tocsin_storage::Store;
use tocsin_storage::memory::{MemoryOptions, MemoryStore};

/// Users whose turn it is, one after the other.
const USERS: u64 = 10_000;

/// Bounds that no bench meets, one thread of actors, and no time in which an ended actor lingers.
const CONFIG: &str = r#"
[engine]
arbiters = 1
signature_threads = 1
linger_ms = 0
transactions_in_flight_max = 2000000
transactions_per_client_max = 2000000
transactions_per_user_max = 10000
[realms.retail]
starts_per_minute_max = 10000000
starts_per_user_per_minute_max = 1000000
[types.code]
method = "sms"
attempts_max = 3
ttl_s = 600
[clients.portal]
secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
rights = ["transactions", "custom_delivery"]
realms = ["retail"]
types = ["*"]
calls_per_minute_max = 10000000
"#;

/// An engine over a storage in memory.
pub struct EngineCreates {
    // Before the system, whose threads it uses.
    engine: Engine,
    system: SystemRunner,
    template: StartRequest,
    made: u64,
    _folder: TempDir,
}

impl EngineCreates {
    /// A fresh engine; its keys go to a folder below `target`.
    pub fn start(target: &str) -> Self {
        let folder = crate::folder_on_disk(target);
        let system = actix_rt::System::new();
        let engine = system.block_on(start(&folder));
        Self { engine, system, template: template(), made: 0, _folder: folder }
    }

    /// Creates so many, `waiting` at a time, each withdrawn as soon as it is there.
    pub fn create_and_cancel(&mut self, creates: u64, waiting: u64) {
        self.each(creates, waiting, async |handle, request| {
            let client = request.client.clone();
            let id = create(&handle, request).await;
            handle.cancel(&client, id).await.expect("it is pending");
        });
    }

    /// Creates so many that stay.
    pub fn create(&mut self, creates: u64, waiting: u64) {
        self.each(creates, waiting, async |handle, request| {
            create(&handle, request).await;
        });
    }

    fn each(&mut self, count: u64, waiting: u64, work: impl AsyncFn(Handle, StartRequest)) {
        let Self { engine, system, template, made, .. } = self;
        let mut next = || {
            *made += 1;
            work(engine.handle(), StartRequest { user: Some(user(*made)), ..template.clone() })
        };
        system.block_on(async {
            let mut flying: FuturesUnordered<_> = (0..waiting.min(count)).map(|_| next()).collect();
            let mut left = count.saturating_sub(waiting);
            while flying.next().await.is_some() {
                if left > 0 {
                    left -= 1;
                    flying.push(next());
                }
            }
        });
    }
}

async fn create(handle: &Handle, request: StartRequest) -> TransactionId {
    handle.start(request).await.expect("the bounds are wide").transaction.id
}

fn user(number: u64) -> User {
    User {
        realm: "retail".parse().expect("a valid name"),
        id: UserId::new(&format!("user-{}", number % USERS), UserIdRule::Exact).expect("a valid id"),
    }
}

fn template() -> StartRequest {
    let (client, type_name): (ClientId, TypeName) =
        ("portal".parse().expect("valid"), "code".parse().expect("valid"));
    StartRequest {
        client,
        type_name,
        user: None,
        content: Content { title: "".into(), message: "".into(), particulars: None },
        phone_number: None,
        email: None,
        device_id: None,
        app: None,
        time_to_live: None,
        delivery: DeliveryChoice::Custom,
        callback_url: None,
        call_context: None,
        is_held: false,
        number_match: None,
        idempotency: None,
    }
}

async fn start(folder: &TempDir) -> Engine {
    let loaded = Config::load_str(CONFIG, folder.path());
    let config = Arc::new(loaded.unwrap_or_else(|faults| panic!("{faults}")).config);
    let clock = Clock::system();
    let (now, proxies) = (clock.clone(), Proxies::uncounted(clock.clone()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(MemoryOptions::new(Arc::new(move || now.now()))));
    let issuer = "http://127.0.0.1:8441".to_owned();
    Engine::start(EngineParts {
        origins: Origins::open(&config, &clock, &proxies).expect("there are none"),
        config,
        store,
        metrics: Arc::new(Metrics::new()),
        server_keys: ServerKeys::load_or_create(folder.path()).expect("a fresh folder takes keys"),
        code_keys: CodeKeys::open(folder.path(), None, clock.now()).expect("a fresh folder takes keys"),
        clock,
        issuer,
        render_view: Arc::new(|_| Vec::new()),
        proxies,
        drivers: HashMap::new(),
    })
    .await
    .expect("an engine starts")
}
