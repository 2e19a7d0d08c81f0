//! A new connection: look-up, TCP, TLS, ALPN.
//!
//! Every connection looks the name up anew, so that load spreads as the network wants it; nothing is cached.
//! The caller puts a deadline over the whole.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Endpoint;
use super::tls::{Application, TlsSetupError, client_config};

/// Addresses of one look-up that are tried before the connection counts as failed.
const ADDRESSES_TRIED_MAX: usize = 4;
/// Longest wait for TCP at one address while another is left to try.
const ADDRESS_PATIENCE: Duration = Duration::from_millis(1_500);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("look-up failed: {0}")]
    LookUp(io::Error),
    /// No address took the connection.
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    /// TLS failed; a certificate that does not verify included.
    #[error("tls failed: {0}")]
    Tls(io::Error),
    /// TLS worked, HTTP/2 was not agreed on.
    #[error("the peer or a middlebox does not speak http/2")]
    NoHttp2,
    /// The peer spoke no proper HTTP/2 from the start.
    #[error("http/2 failed: {0}")]
    Http2(#[from] h2::Error),
    /// It took too long.
    #[error("no connection in time")]
    Late,
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
    turn: AtomicUsize,
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
        Ok(Self { endpoint, tls, application, turn: AtomicUsize::new(0) })
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) async fn connect_tcp(
        &self,
        avoid: Option<SocketAddr>,
    ) -> Result<(TcpStream, SocketAddr), ConnectError> {
        let found = lookup_host((self.endpoint.host(), self.endpoint.port()));
        let found: Vec<SocketAddr> = found.await.map_err(ConnectError::LookUp)?.collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let addresses = in_order(found, avoid, turn);
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            match tcp(*address, is_last).await {
                Ok(stream) => return Ok((stream, *address)),
                Err(error) => failure = error,
            }
        }
        Err(ConnectError::Tcp(failure))
    }
}

impl Connect for Connector {
    type Stream = TlsStream<TcpStream>;

    async fn connect(&self, avoid: Option<SocketAddr>) -> Result<(Self::Stream, SocketAddr), ConnectError> {
        let (stream, address) = self.connect_tcp(avoid).await?;
        let name = self.endpoint.server_name().clone();
        let stream = self.tls.connect(name, stream).await.map_err(ConnectError::Tls)?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if self.application == Application::Http2 && agreed != Some(b"h2") {
            return Err(ConnectError::NoHttp2);
        }
        Ok((stream, address))
    }
}

async fn tcp(address: SocketAddr, is_last: bool) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    let stream = if is_last {
        connecting.await?
    } else {
        timeout(ADDRESS_PATIENCE, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The addresses to try: starting at another one each `turn`, the one to avoid last.
fn in_order(mut found: Vec<SocketAddr>, avoid: Option<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    if !found.is_empty() {
        let start = turn % found.len();
        found.rotate_left(start);
    }
    found.sort_by_key(|address| Some(*address) == avoid);
    let kept = found.len().min(ADDRESSES_TRIED_MAX);
    found.truncate(kept);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(last_bytes: &[u8]) -> Vec<SocketAddr> {
        last_bytes.iter().map(|byte| SocketAddr::from(([192, 0, 2, *byte], 443))).collect()
    }

    #[test]
    fn each_connection_starts_at_another_address() {
        assert_eq!(in_order(addresses(&[1, 2, 3]), None, 0), addresses(&[1, 2, 3]));
        assert_eq!(in_order(addresses(&[1, 2, 3]), None, 4), addresses(&[2, 3, 1]));
    }

    #[test]
    fn the_address_that_said_goaway_comes_last_but_stays_when_it_is_the_only_one() {
        let avoid = Some(addresses(&[1])[0]);
        assert_eq!(in_order(addresses(&[1, 2, 3]), avoid, 0), addresses(&[2, 3, 1]));
        assert_eq!(in_order(addresses(&[1]), avoid, 0), addresses(&[1]));
    }

    #[test]
    fn at_most_so_many_addresses_are_tried() {
        assert_eq!(in_order(addresses(&[1, 2, 3, 4, 5, 6]), None, 0).len(), ADDRESSES_TRIED_MAX);
        assert_eq!(in_order(Vec::new(), None, 3), Vec::new());
    }
}
