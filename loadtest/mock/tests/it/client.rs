//! A small HTTP/2 client over tokio-rustls. It trusts the given authority and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tocsin_mock::Authority;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long anything in a test may take before it has failed.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// One HTTP/2 connection.
pub struct Client {
    pub sender: SendRequest<Bytes>,
    pub driver: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// TLS to `address` that offers `protocols` by ALPN.
pub async fn tls(
    authority: &Authority,
    address: SocketAddr,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(authority, TcpStream::connect(address).await?, protocols).await
}

/// TLS over a connection that is there.
pub async fn handshake(
    authority: &Authority,
    tcp: TcpStream,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.ca_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

impl Client {
    /// Connects as a careful client does: one stream until the first SETTINGS say otherwise.
    pub async fn connect(authority: &Authority, address: SocketAddr) -> Self {
        Self::connect_with(authority, address, 1).await
    }

    /// Connects and assumes `streams` before the first SETTINGS.
    pub async fn connect_with(authority: &Authority, address: SocketAddr, streams: usize) -> Self {
        let tls = tls(authority, address, &[b"h2"]).await.unwrap();
        let (sender, connection) =
            h2::client::Builder::new().initial_max_send_streams(streams).handshake(tls).await.unwrap();
        Self { sender, driver: tokio::spawn(connection) }
    }

    /// Sends a request when a stream is free, and waits for the whole answer.
    pub async fn send(&mut self, request: Request<Bytes>) -> Result<Answer, h2::Error> {
        let response = self.begin(request).await?;
        tokio::time::timeout(DEADLINE, collect(response)).await.expect("no answer in time")
    }

    /// Sends a request when a stream is free.
    pub async fn begin(&mut self, request: Request<Bytes>) -> Result<ResponseFuture, h2::Error> {
        let ready = self.sender.clone().ready();
        let mut sender = tokio::time::timeout(DEADLINE, ready).await.expect("no free stream in time")?;
        begin_now(&mut sender, request)
    }

    /// Waits until the server's stream limit is `limit`.
    pub async fn until_limit(&self, limit: usize) {
        let reached = async {
            while self.sender.current_max_send_streams() != limit {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.expect("the stream limit did not come");
    }
}

/// Sends a request at once, whatever the stream limit.
pub fn begin_now(
    sender: &mut SendRequest<Bytes>,
    request: Request<Bytes>,
) -> Result<ResponseFuture, h2::Error> {
    let (head, body) = request.into_parts();
    let (response, mut stream) = sender.send_request(Request::from_parts(head, ()), body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(body, true)?;
    }
    Ok(response)
}

/// Waits for a whole answer.
pub async fn collect(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: head.status, headers: head.headers, body: body.into() })
}
