//! The APNs double as tests and demos hold it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::service::{ApnsService, FIRST_STREAM_LIMIT};
use super::{ApnsEnvironment, ApnsKey, ApnsRefusal, DeviceRegister, UnknownTokens};
use crate::record::PushLog;
use crate::sync::lock;
use crate::wire::{ConnectionReport, Listener, ListenerSettings, StreamLimits, Traffic};
use crate::{FaultScript, MockClock, MockError, ServerIdentity, Strictness};

/// The stream limit that Apple typically raises to.
const STREAM_LIMIT_DEFAULT: u32 = 1_000;
const RECORDS_MAX_DEFAULT: usize = 20_000;

/// How an [`ApnsServer`] is set up.
#[derive(Debug)]
pub struct ApnsOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The server's certificate, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// Whether it is the production or the sandbox service.
    pub environment: ApnsEnvironment,
    /// The keys whose tokens it takes.
    pub keys: Vec<ApnsKey>,
    /// The stream limit after the first good provider token; it begins at 1.
    pub stream_limit: u32,
    /// Whether it checks what it is sent.
    pub strictness: Strictness,
    /// What becomes of device tokens that nobody registered.
    pub unknown_tokens: UnknownTokens,
    /// Most pushes that are kept on record.
    pub records_max: usize,
    /// The clock that provider tokens are held against.
    pub clock: MockClock,
}

impl ApnsOptions {
    /// A strict production server on a free port of 127.0.0.1 that knows no key yet.
    pub fn new(identity: ServerIdentity) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity,
            environment: ApnsEnvironment::Production,
            keys: Vec::new(),
            stream_limit: STREAM_LIMIT_DEFAULT,
            strictness: Strictness::Strict,
            unknown_tokens: UnknownTokens::Accept,
            records_max: RECORDS_MAX_DEFAULT,
            clock: MockClock::new(),
        }
    }

    /// Adds a key.
    pub fn with_key(mut self, key: ApnsKey) -> Self {
        self.keys.push(key);
        self
    }
}

/// A running double of APNs. It stops when dropped; [`Self::stop`] also waits for its end.
pub struct ApnsServer {
    service: Arc<ApnsService>,
    listener: Listener<ApnsService>,
}

impl ApnsServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: ApnsOptions) -> Result<Self, MockError> {
        let tls = options.identity.tls(&[b"h2"])?;
        let keys = options.keys.into_iter().map(|key| (key.key_id.clone(), key)).collect();
        let service = Arc::new(ApnsService {
            environment: options.environment,
            strictness: options.strictness,
            stream_limit: options.stream_limit,
            keys: Mutex::new(keys),
            devices: DeviceRegister::new(options.unknown_tokens),
            faults: FaultScript::new(),
            pushes: PushLog::new(options.strictness == Strictness::Strict, options.records_max),
            clock: options.clock,
        });
        let limits =
            StreamLimits { first: FIRST_STREAM_LIMIT, highest: options.stream_limit.max(FIRST_STREAM_LIMIT) };
        let settings = ListenerSettings { address: options.address, tls, limits };
        let listener = Listener::start(settings, Arc::clone(&service)).await?;
        Ok(Self { service, listener })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Its base address for a client: `https://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.addr().port())
    }

    /// What came, and who listens.
    pub fn pushes(&self) -> &PushLog {
        &self.service.pushes
    }

    /// What it knows of device tokens.
    pub fn devices(&self) -> &DeviceRegister {
        &self.service.devices
    }

    /// What shall go wrong, by device token or for the next requests.
    pub fn faults(&self) -> &FaultScript<ApnsRefusal> {
        &self.service.faults
    }

    /// The clock that provider tokens are held against.
    pub fn clock(&self) -> &MockClock {
        &self.service.clock
    }

    /// Takes tokens of one more key.
    pub fn register_key(&self, key: ApnsKey) {
        lock(&self.service.keys).insert(key.key_id.clone(), key);
    }

    /// Takes no token of this key any more.
    pub fn revoke_key(&self, key_id: &str) {
        lock(&self.service.keys).remove(key_id);
    }

    /// What the wire has carried.
    pub fn traffic(&self) -> Traffic {
        self.listener.traffic()
    }

    /// One report per connection.
    pub fn connections(&self) -> Vec<ConnectionReport> {
        self.listener.reports()
    }

    /// Sends GOAWAY with `{"reason": reason}` on every connection.
    pub fn go_away_all(&self, reason: &str) {
        self.listener.go_away_all(&json!({"reason": reason}).to_string().into());
    }

    /// Announces another stream limit on every open connection.
    pub fn announce_stream_limit(&self, limit: u32) {
        self.listener.announce_stream_limit(limit);
    }

    /// Cuts every connection without a word.
    pub fn cut_all(&self) {
        self.listener.cut_all();
    }

    /// Closes the listening socket; open connections live on.
    pub async fn stop_accepting(&self) {
        self.listener.stop_accepting().await;
    }

    /// Listens on the same port again.
    pub async fn accept_again(&self) -> Result<(), MockError> {
        self.listener.accept_again().await
    }

    /// An outage: closes the port and every connection, then listens on the same port again.
    pub async fn restart(&self) -> Result<(), MockError> {
        self.listener.stop().await;
        self.listener.accept_again().await
    }

    /// Closes the port and every connection and waits for their end.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }
}

impl std::fmt::Debug for ApnsServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ApnsServer")
            .field("addr", &self.addr())
            .field("environment", &self.service.environment)
            .finish_non_exhaustive()
    }
}
