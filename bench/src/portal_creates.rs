//! Ours: a real server over RocksDB with synced commits, which starts transactions for portals and pushes.
//!
//! Users have an iPhone each. The doubles of Apple and Google run in this process in their fast form.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use tempfile::TempDir;
use tocsin_loadtest::phone::PhoneNetwork;
use tocsin_loadtest::{APP, BUNDLE_ID, Handset, Installation, PhoneKind, Portal, Server, ServerOptions};
use tocsin_mock::{Strictness, World, WorldOptions};
use tokio::runtime::{Builder, Runtime};

use crate::WORKERS;

/// Users with a phone each.
const USERS: u64 = 2_000;

/// Enrolments at a time.
const ENROLMENTS: usize = 8;

/// What is shown, of a usual length.
const MESSAGE: &str = "Do you want to log in to your bank with the browser on your computer?";

/// A running server with users, and the doubles that it pushes into.
pub struct PortalCreates {
    server: Option<Server>,
    installation: Installation,
    authorization: String,
    runtime: Runtime,
    _world: Arc<World>,
    _folder: TempDir,
}

impl PortalCreates {
    /// Starts a server with its data below `target`.
    pub fn start(target: &str) -> Self {
        let folder = crate::folder_on_disk(target);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let world = started_world();
        let installation = Installation::prepare(folder.path(), &world, &options()).expect("free ports");
        let server = runtime.block_on(Server::start(&installation));
        let server = server.expect("the release binary is beside this bench, and starts");
        runtime.block_on(enrol_all(&world, &installation));
        let credentials = installation.credentials();
        let pair = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.secret));
        let authorization = format!("Basic {pair}");
        Self { server: Some(server), installation, authorization, runtime, _world: world, _folder: folder }
    }

    /// The server's process.
    pub fn process_id(&self) -> i32 {
        self.server.as_ref().expect("it runs until it is dropped").pid()
    }

    /// Where portals call.
    pub fn address(&self) -> SocketAddr {
        let url = self.installation.portal_url();
        url.trim_start_matches("http://").parse().expect("it is on loopback")
    }

    /// The create with this number: `pushes` says whether a phone is pushed to, or the code of the transaction is
    /// handed out.
    pub fn request(&self, number: u64, pushes: bool) -> Vec<u8> {
        let user = user_of(number % USERS);
        let body = if pushes {
            format!(r#"{{"type":"login","user":"{user}","message":"{MESSAGE}"}}"#)
        } else {
            format!(r#"{{"type":"code","user":"{user}","message":"{MESSAGE}","delivery":["custom"]}}"#)
        };
        let head = format!(
            "POST /v1/transactions HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.authorization,
            body.len()
        );
        (head + &body).into_bytes()
    }
}

impl Drop for PortalCreates {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            // A server that does not drain in time is killed with its handle.
            let _stopped = self.runtime.block_on(server.stop());
        }
    }
}

fn user_of(number: u64) -> String {
    format!("user-{number}")
}

/// The doubles, on a thread of their own that ends with the process.
fn started_world() -> Arc<World> {
    let (started, world) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        runtime.block_on(async move {
            let options = WorldOptions { strictness: Strictness::Fast, ..WorldOptions::default() };
            let world = Arc::new(World::start(options).await.expect("loopback has free ports"));
            started.send(world).expect("the bench waits for it");
            std::future::pending::<()>().await;
        });
    });
    world.recv().expect("it starts")
}

async fn enrol_all(world: &World, installation: &Installation) {
    let portal = Portal::new(installation.portal_url(), installation.credentials()).expect("a portal");
    let (portal, network) = (&portal, &PhoneNetwork::new());
    futures_util::stream::iter(0..USERS)
        .for_each_concurrent(ENROLMENTS, async |number| {
            let user = user_of(number);
            let issuer = installation.device_url();
            let enrolled = Handset::enrol(PhoneKind::Iphone, &user, world, portal, issuer, network).await;
            enrolled.expect("a phone enrols");
        })
        .await;
}

fn options() -> ServerOptions {
    ServerOptions {
        transactions_per_user_max: 10_000,
        log_filter: "warn",
        catalogue: Some(format!(
            "[realms.retail]\nstarts_per_minute_max = 10000000\nstarts_per_user_per_minute_max = 1000000\n\
             [types.login]\ndefault_title = \"Log in\"\nttl_s = 600\npending_push = \"many\"\n\
             [types.code]\nmethod = \"sms\"\nattempts_max = 3\nttl_s = 600\n\
             [apps.{APP}.ios]\nbundle_id = \"{BUNDLE_ID}\"\n"
        )),
        client: format!(
            "rights = [\"transactions\", \"enrollments\", \"custom_delivery\"]\nrealms = [\"retail\"]\n\
             apps = [\"{APP}\"]\ntypes = [\"*\"]\ncalls_per_minute_max = 10000000\n"
        ),
        device_keys: "calls_per_address_per_minute_max = 10000000\n".to_owned(),
        engine_keys: format!(
            "arbiters = {WORKERS}\ntransactions_in_flight_max = 2000000\ntransactions_per_client_max = 2000000\n"
        ),
        provider_keys: "queue_max = 100000\nsupervised_max = 2000000\n".to_owned(),
        ..ServerOptions::default()
    }
}
