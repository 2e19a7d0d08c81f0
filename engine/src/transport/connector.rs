//! A new connection: look-up and TCP, or a tunnel through a proxy; then TLS and ALPN.
//!
//! Where there is a proxy it looks the name up, not we. The caller puts a deadline over the whole.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dialler::{DialError, Dialler};
use super::proxy::{Proxy, ProxyFault, ProxyRoute};
use super::tls::{Application, TlsSetupError, client_config};
use super::{Endpoint, Wire};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("look-up failed: {0}")]
    LookUp(io::Error),
    /// No address took the connection.
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    /// The proxy did not make a tunnel.
    #[error("proxy: {0}")]
    Proxy(#[from] ProxyFault),
    /// TLS failed; a certificate that does not verify included.
    #[error("tls failed: {0}")]
    Tls(io::Error),
    /// TLS worked, HTTP/2 was not agreed on.
    #[error("the peer does not speak http/2, or a middlebox on the way removed it")]
    NoHttp2,
    /// The peer spoke no proper HTTP/2 from the start.
    #[error("http/2 failed: {0}")]
    Http2(#[from] h2::Error),
    /// It took too long.
    #[error("no connection in time")]
    Late,
}

impl From<DialError> for ConnectError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::LookUp(error) => Self::LookUp(error),
            DialError::Tcp(error) => Self::Tcp(error),
        }
    }
}

/// Something that makes byte streams to one peer.
pub trait Connect: Send + Sync + 'static {
    /// The byte stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes one, if it can to another address than `avoid`.
    fn connect(
        &self,
        avoid: Option<SocketAddr>,
    ) -> impl Future<Output = Result<(Self::Stream, SocketAddr), ConnectError>> + Send;
}

/// Connections over TLS to one endpoint.
pub struct Connector {
    endpoint: Arc<Endpoint>,
    tls: TlsConnector,
    application: Application,
    dialler: Dialler,
    proxy: Option<Arc<Proxy>>,
}

impl Connector {
    /// Connections to `endpoint`, whose certificate must come from an authority of `ca_file`, or of the
    /// platform's where there is none.
    pub fn new(
        endpoint: Arc<Endpoint>,
        ca_file: Option<&Path>,
        application: Application,
    ) -> Result<Self, TlsSetupError> {
        let tls = TlsConnector::from(client_config(ca_file, application)?);
        let dialler = Dialler::new(endpoint.host(), endpoint.port());
        Ok(Self { endpoint, tls, application, dialler, proxy: None })
    }

    /// The same by this route, unless the endpoint is one that is reached without a proxy.
    pub fn by(mut self, route: Option<&ProxyRoute>) -> Self {
        self.proxy = route.and_then(|route| route.proxy_to(self.endpoint.host())).cloned();
        self
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Straight to the endpoint, past any proxy: what is spoken in clear goes no other way.
    pub(super) async fn connect_tcp(
        &self,
        avoid: Option<SocketAddr>,
    ) -> Result<(TcpStream, SocketAddr), ConnectError> {
        Ok(self.dialler.dial(avoid).await?)
    }

    /// The bytes to the endpoint, and the address that they go to: the endpoint's, or the proxy's.
    async fn wire(&self, avoid: Option<SocketAddr>) -> Result<(Wire, SocketAddr), ConnectError> {
        if let Some(proxy) = &self.proxy {
            return Ok(proxy.tunnel(self.endpoint.host(), self.endpoint.port()).await?);
        }
        let (stream, address) = self.connect_tcp(avoid).await?;
        Ok((Wire::Plain(stream), address))
    }
}

impl Connect for Connector {
    type Stream = TlsStream<Wire>;

    async fn connect(&self, avoid: Option<SocketAddr>) -> Result<(Self::Stream, SocketAddr), ConnectError> {
        let (wire, address) = self.wire(avoid).await?;
        let name = self.endpoint.server_name().clone();
        let wants_http2 = self.application == Application::Http2;
        let stream = self.tls.connect(name, wire).await.map_err(|error| {
            if wants_http2 && is_refused_protocol(&error) {
                ConnectError::NoHttp2
            } else {
                ConnectError::Tls(error)
            }
        })?;
        if wants_http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ConnectError::NoHttp2);
        }
        Ok((stream, address))
    }
}

/// Whether the peer ended the handshake because it speaks none of the protocols on offer (RFC 7301, section 3.2).
fn is_refused_protocol(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}
