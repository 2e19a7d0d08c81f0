//! The double of a proxy as tests and demos hold it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::record::ProxyLog;
use super::tunnel::{self, ProxyRefusal};
use crate::sync::lock;
use crate::{FaultScript, MockError, ServerIdentity};

/// Most requests that are kept on record.
const RECORDS_MAX_DEFAULT: usize = 20_000;
/// Most connections at once.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a client may take for its TLS handshake with the proxy itself.
const TLS_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How a [`ProxyServer`] is set up.
#[derive(Debug)]
pub struct ProxyOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// User name and password that it demands; `None` lets everybody through.
    pub credentials: Option<(String, String)>,
    /// Where these names are, by the host as asked; others are looked up in the system's way.
    pub names: HashMap<String, SocketAddr>,
    /// Its certificate, where it is spoken to over TLS.
    pub identity: Option<ServerIdentity>,
    /// The certificate that it shows inside of each tunnel in place of the target's, as a middlebox that opens TLS
    /// does; it speaks neither HTTP/2 nor anything else there.
    pub inspects_with: Option<ServerIdentity>,
    /// Most requests that are kept on record.
    pub records_max: usize,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            credentials: None,
            names: HashMap::new(),
            identity: None,
            inspects_with: None,
            records_max: RECORDS_MAX_DEFAULT,
        }
    }
}

impl ProxyOptions {
    /// The same for a proxy that demands these.
    pub fn demanding(mut self, username: &str, password: &str) -> Self {
        self.credentials = Some((username.to_owned(), password.to_owned()));
        self
    }

    /// The same for a proxy that finds this name there, whatever port is asked for.
    pub fn finding(mut self, name: &str, address: SocketAddr) -> Self {
        self.names.insert(name.to_owned(), address);
        self
    }
}

/// What all connections of a proxy share.
pub(super) struct Shared {
    pub(super) credentials: Mutex<Option<(String, String)>>,
    pub(super) names: HashMap<String, SocketAddr>,
    pub(super) inspector: Option<TlsAcceptor>,
    pub(super) faults: FaultScript<ProxyRefusal>,
    pub(super) log: ProxyLog,
}

/// A forward proxy.
pub struct ProxyServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl ProxyServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: ProxyOptions) -> Result<Self, MockError> {
        let listener = TcpListener::bind(options.address).await.map_err(MockError::io("bind the port"))?;
        let address = listener.local_addr().map_err(MockError::io("read the bound address"))?;
        let own_tls = options.identity.map(|identity| identity.tls(&[b"http/1.1"])).transpose()?;
        let inspector = options.inspects_with.map(|identity| identity.tls(&[])).transpose()?;
        let shared = Arc::new(Shared {
            credentials: Mutex::new(options.credentials),
            names: options.names,
            inspector: inspector.map(TlsAcceptor::from),
            faults: FaultScript::new(),
            log: ProxyLog::new(options.records_max),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), own_tls));
        Ok(Self { shared, address, accepting: Mutex::new(Some(accepting)) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What was asked of it.
    pub fn log(&self) -> &ProxyLog {
        &self.shared.log
    }

    /// What shall go wrong, by `host:port` or for the next ones.
    pub fn faults(&self) -> &FaultScript<ProxyRefusal> {
        &self.shared.faults
    }

    /// Demands these from now on.
    pub fn demand(&self, username: &str, password: &str) {
        *lock(&self.shared.credentials) = Some((username.to_owned(), password.to_owned()));
    }

    /// Stops, cuts every tunnel, and waits for the end.
    pub async fn stop(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(task) = accepting {
            task.abort();
            let _cancelled = task.await;
        }
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.accepting).take() {
            task.abort();
        }
    }
}

impl std::fmt::Debug for ProxyServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ProxyServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The tunnels are tasks of this one, so that they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>, own_tls: Option<Arc<ServerConfig>>) {
    let mut tunnels = JoinSet::new();
    loop {
        while tunnels.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((tcp, _)) if tunnels.len() < CONNECTIONS_MAX => {
                tunnels.spawn(serve(tcp, Arc::clone(&shared), own_tls.clone()));
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(tcp: TcpStream, shared: Arc<Shared>, own_tls: Option<Arc<ServerConfig>>) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    match own_tls {
        None => tunnel::serve(tcp, &shared).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(tcp);
            if let Ok(Ok(stream)) = tokio::time::timeout(TLS_DEADLINE, handshake).await {
                tunnel::serve(stream, &shared).await;
            }
        }
    }
}
