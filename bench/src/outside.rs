//! Apple's double on a thread of its own, and one push as it looks on the wire.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http::HeaderName;
use http::header::AUTHORIZATION;
use tocsin_config::ApnsProvider;
use tocsin_mock::{CredentialFiles, Strictness, World, WorldOptions};
use tocsin_model::PushEnvironment;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Every header that a push carries.
const HEADERS: [HeaderName; 7] = [
    AUTHORIZATION,
    HeaderName::from_static("apns-topic"),
    HeaderName::from_static("apns-push-type"),
    HeaderName::from_static("apns-priority"),
    HeaderName::from_static("apns-expiration"),
    HeaderName::from_static("apns-id"),
    HeaderName::from_static("apns-collapse-id"),
];

/// A running double; it stops when dropped.
pub struct Outside {
    world: Arc<World>,
    files: CredentialFiles,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What one push was made of.
#[derive(Clone, Debug)]
pub struct SeenPush {
    /// The device token.
    pub device_token: String,
    /// Its headers.
    pub headers: Vec<(HeaderName, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Outside {
    /// Starts a double that checks everything (`Strict`) or only answers (`Fast`); its credentials go to `folder`.
    pub fn start(folder: &Path, strictness: Strictness) -> Self {
        let (started, world) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
            runtime.block_on(async move {
                let options = WorldOptions { strictness, ..WorldOptions::default() };
                let world = Arc::new(World::start(options).await.expect("loopback has free ports"));
                started.send(Arc::clone(&world)).expect("the bench waits for it");
                // Ends also when the bench has gone without a word.
                let _gone = stopped.await;
                world.stop().await;
            });
        });
        let world: Arc<World> = world.recv().expect("it starts");
        let files = world.write_credentials(folder).expect("the folder can be written");
        Self { world, files, stop: Some(stop), thread: Some(thread) }
    }

    /// How a driver is configured for it.
    pub fn provider(&self) -> ApnsProvider {
        let options = WorldOptions::default();
        ApnsProvider {
            environment: PushEnvironment::Production,
            endpoint: self.world.apns.url(),
            ca_file: Some(self.files.ca.clone()),
            team_id: options.team_id,
            key_id: options.key_id,
            key_file: self.files.apns_key.clone(),
        }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.world.apns.addr().port()
    }

    /// The authority that vouches for it, PEM.
    pub fn authority(&self) -> &Path {
        &self.files.ca
    }

    /// The last push that came; only a strict double remembers it.
    pub fn last_push(&self) -> SeenPush {
        let records = self.world.apns.pushes().records();
        let seen = records.last().expect("a push came");
        let header = |name: HeaderName| {
            let value = seen.header(name.as_str()).expect("a push has them all").to_owned();
            (name, value)
        };
        SeenPush {
            device_token: seen.target().to_owned(),
            headers: HEADERS.map(header).to_vec(),
            body: seen.payload().clone(),
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; the bench is over anyway.
            let _panicked = thread.join();
        }
    }
}
