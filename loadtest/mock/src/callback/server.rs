//! The double of a portal as tests and demos hold it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use super::record::CallbackLog;
use super::service::{CallbackRefusal, CallbackService};
use crate::sync::lock;
use crate::wire::{Listener, ListenerSettings, StreamLimits};
use crate::{FaultScript, MockClock, MockError, ServerIdentity};

/// Most callbacks that are kept on record.
const RECORDS_MAX_DEFAULT: usize = 20_000;
/// The stream limit of a connection, should a caller speak HTTP/2.
const STREAM_LIMIT: u32 = 100;
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How a [`CallbackServer`] is set up.
#[derive(Debug)]
pub struct CallbackOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its certificate, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// The webhook secrets that it knows, `whsec_…`.
    pub secrets: Vec<String>,
    /// Most callbacks that are kept on record.
    pub records_max: usize,
    /// The clock that timestamps are judged by.
    pub clock: MockClock,
}

impl CallbackOptions {
    /// A server on a free port of 127.0.0.1 that knows this secret.
    pub fn new(identity: ServerIdentity, secret: &str) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity,
            secrets: vec![secret.to_owned()],
            records_max: RECORDS_MAX_DEFAULT,
            clock: MockClock::new(),
        }
    }
}

/// A portal's side of callbacks.
pub struct CallbackServer {
    service: Arc<CallbackService>,
    listener: Listener<CallbackService>,
}

impl CallbackServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: CallbackOptions) -> Result<Self, MockError> {
        let service = Arc::new(CallbackService {
            secrets: Mutex::new(options.secrets),
            faults: FaultScript::new(),
            log: CallbackLog::new(options.records_max),
            clock: options.clock,
        });
        let limits = StreamLimits { first: STREAM_LIMIT, highest: STREAM_LIMIT };
        let tls = options.identity.tls(&PROTOCOLS)?;
        let settings = ListenerSettings { address: options.address, tls, limits };
        let listener = Listener::start(settings, Arc::clone(&service)).await?;
        Ok(Self { service, listener })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Its base address: `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr())
    }

    /// What came.
    pub fn callbacks(&self) -> &CallbackLog {
        &self.service.log
    }

    /// What shall go wrong, by path and query or for the next ones.
    pub fn faults(&self) -> &FaultScript<CallbackRefusal> {
        &self.service.faults
    }

    /// Knows these secrets from now on, and no others.
    pub fn know(&self, secrets: &[&str]) {
        *lock(&self.service.secrets) = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    }

    /// Closes the listening socket; connections live on.
    pub async fn stop_accepting(&self) {
        self.listener.stop_accepting().await;
    }

    /// Listens on the same port again.
    pub async fn accept_again(&self) -> Result<(), MockError> {
        self.listener.accept_again().await
    }

    /// Stops and waits for its end.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }
}

impl std::fmt::Debug for CallbackServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CallbackServer").field("address", &self.addr()).finish_non_exhaustive()
    }
}
