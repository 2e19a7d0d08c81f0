//! Accepts connections on one port, for as long as it is told to.
//!
//! The port outlives a stop of accepting: [`Listener::accept_again`] binds the same one, as a server does
//! that comes back after an outage.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::http2::StreamLimits;
use super::live::{ConnectionReport, Connections, LiveConnection, Traffic};
use super::service::Service;
use super::{http1, http2};
use crate::MockError;
use crate::sync::lock;

/// How long a client may take for its TLS handshake.
const TLS_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How long a stop waits for connections to end.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How a listener serves.
pub(crate) struct ListenerSettings {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) limits: StreamLimits,
}

/// A port with a provider's double behind it.
pub(crate) struct Listener<S: Service> {
    shared: Arc<Shared<S>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    address: SocketAddr,
}

struct Shared<S> {
    service: Arc<S>,
    tls: Arc<ServerConfig>,
    limits: StreamLimits,
    connections: Connections,
    /// Counts stops, so that a handshake begun before one does not become a connection after it.
    stops: AtomicU64,
}

impl<S: Service> Listener<S> {
    /// Binds the port and begins to accept on the caller's runtime.
    pub(crate) async fn start(settings: ListenerSettings, service: Arc<S>) -> Result<Self, MockError> {
        let listener = TcpListener::bind(settings.address).await.map_err(MockError::io("bind the port"))?;
        let address = listener.local_addr().map_err(MockError::io("read the bound address"))?;
        let shared = Arc::new(Shared {
            service,
            tls: settings.tls,
            limits: settings.limits,
            connections: Connections::default(),
            stops: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(Arc::clone(&shared), listener));
        Ok(Self { shared, accepting: Mutex::new(Some(accepting)), address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listening socket; connections live on.
    pub(crate) async fn stop_accepting(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(task) = accepting {
            task.abort();
            let _cancelled = task.await;
        }
    }

    /// Binds the same port again.
    pub(crate) async fn accept_again(&self) -> Result<(), MockError> {
        self.stop_accepting().await;
        let listener = TcpListener::bind(self.address).await.map_err(MockError::io("bind the port again"))?;
        let task = tokio::spawn(accept(Arc::clone(&self.shared), listener));
        *lock(&self.accepting) = Some(task);
        Ok(())
    }

    /// Cuts every connection without a word.
    pub(crate) fn cut_all(&self) {
        self.shared.connections.for_each(|connection| connection.cut());
    }

    /// Sends GOAWAY on every connection; processed streams are still answered.
    pub(crate) fn go_away_all(&self, debug_data: &Bytes) {
        self.shared.connections.for_each(|connection| connection.go_away(debug_data.clone()));
    }

    /// Announces another stream limit on every connection.
    pub(crate) fn announce_stream_limit(&self, limit: u32) {
        self.shared.connections.for_each(|connection| connection.announce_stream_limit(limit));
    }

    /// Stops accepting, cuts every connection and waits until they have ended.
    pub(crate) async fn stop(&self) {
        self.stop_accepting().await;
        self.shared.stops.fetch_add(1, Ordering::AcqRel);
        self.cut_all();
        let _all_ended = tokio::time::timeout(STOP_DEADLINE, self.shared.connections.emptied()).await;
    }

    pub(crate) fn reports(&self) -> Vec<ConnectionReport> {
        self.shared.connections.reports()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.shared.connections.traffic()
    }
}

impl<S: Service> Drop for Listener<S> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.accepting).take() {
            task.abort();
        }
        self.cut_all();
    }
}

async fn accept<S: Service>(shared: Arc<Shared<S>>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((tcp, _peer)) => {
                tokio::spawn(serve(Arc::clone(&shared), tcp));
            }
            Err(error) => {
                tracing::warn!(%error, "mock cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve<S: Service>(shared: Arc<Shared<S>>, tcp: TcpStream) {
    let stops = shared.stops.load(Ordering::Acquire);
    let Some((tls, protocol)) = establish(&shared.tls, tcp).await else {
        return shared.connections.handshake_failed();
    };
    if shared.stops.load(Ordering::Acquire) != stops {
        return shared.connections.handshake_failed();
    }
    let Some(live) = shared.connections.open() else { return };
    serve_protocol(&shared, tls, protocol, Arc::clone(&live)).await;
    shared.connections.close(&live);
}

/// TLS with one of the protocols on offer. A client whose ALPN names none of them fails in the handshake. One without
/// ALPN gets on: clients in the field (aioapns) speak HTTP/2 to Apple by prior knowledge.
async fn establish(config: &Arc<ServerConfig>, tcp: TcpStream) -> Option<(TlsStream<TcpStream>, Protocol)> {
    tcp.set_nodelay(true).ok()?;
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(tcp);
    let tls = tokio::time::timeout(TLS_DEADLINE, handshake).await.ok()?.ok()?;
    let takes_http1 = config.alpn_protocols.iter().any(|protocol| protocol == b"http/1.1");
    let protocol = match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        None if !takes_http1 => Protocol::Http2,
        Some(_) | None => Protocol::Http1,
    };
    Some((tls, protocol))
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    Http2,
}

async fn serve_protocol<S: Service>(
    shared: &Shared<S>,
    tls: TlsStream<TcpStream>,
    protocol: Protocol,
    live: Arc<LiveConnection>,
) {
    let service = Arc::clone(&shared.service);
    let orders = live.orders();
    match protocol {
        Protocol::Http2 => http2::serve(tls, shared.limits, service, live, orders).await,
        Protocol::Http1 => http1::serve(tls, service, live, orders).await,
    }
}
