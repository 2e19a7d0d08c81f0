//! One try: the way to the portal, TLS, one POST over HTTP/1.1, one status.
//!
//! Nothing of a reply is used but its status; of its body only a little is read, so that the peer sees an orderly end. A
//! connection serves one try.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tocsin_model::CallbackFault;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::way::{Destination, Way};
use crate::transport::{Application, ProxyRoute, TlsSetupError, client_config};

/// Most of a reply's head that is held.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// Most of a reply's body that is read, and how long that may take.
const BODY_BYTES_MAX: usize = 8 * 1_024;
const BODY_PATIENCE: Duration = Duration::from_millis(500);

/// What is posted where.
pub struct Post<'a> {
    /// Where to.
    pub to: Destination<'a>,
    /// The identity of the message, the same for each of its tries.
    pub webhook_id: &'a str,
    /// When this try began, in seconds since 1970.
    pub timestamp_s: u64,
    /// The value of `webhook-signature`.
    pub signatures: &'a str,
    /// The value of `authorization`, where the URL has credentials.
    pub authorization: Option<HeaderValue>,
    /// The body, JSON.
    pub body: Bytes,
}

/// Makes tries.
pub struct Poster {
    tls: TlsConnector,
    way: Way,
}

impl Poster {
    /// Certificates must come from an authority of `ca_file`, or of the platform's where there is none.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, TlsSetupError> {
        Ok(Self { tls: TlsConnector::from(client_config(ca_file, Application::Http1)?), way: Way::new() })
    }

    /// From now on tries go by this route.
    pub fn go_by(&self, route: Option<ProxyRoute>) {
        self.way.go_by(route);
    }

    /// Posts once; the whole has a deadline.
    pub async fn post(&self, post: &Post<'_>, time_limit: Duration) -> Result<(), CallbackFault> {
        timeout(time_limit, self.exchange(post)).await.unwrap_or(Err(CallbackFault::Timeout))
    }

    async fn exchange(&self, post: &Post<'_>) -> Result<(), CallbackFault> {
        let request = request(post).map_err(|_| CallbackFault::Configuration)?;
        let stream = self.way.wire(post.to).await?;
        let status = if post.to.url.is_https() {
            let name = ServerName::try_from(post.to.url.host().to_owned()).map_err(|_| CallbackFault::Tls)?;
            let stream = self.tls.connect(name, stream).await.map_err(|_| CallbackFault::Tls)?;
            send(stream, request).await
        } else {
            send(stream, request).await
        };
        judge(status.map_err(|_| CallbackFault::Http)?)
    }
}

fn request(post: &Post<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
    const AGENT: HeaderValue = HeaderValue::from_static(concat!("tocsin/", env!("CARGO_PKG_VERSION")));
    let mut builder = Request::post(post.to.url.path_and_query())
        .header(HOST, post.to.url.authority())
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(HeaderName::from_static("webhook-id"), post.webhook_id)
        .header(HeaderName::from_static("webhook-timestamp"), post.timestamp_s)
        .header(HeaderName::from_static("webhook-signature"), post.signatures);
    if let Some(authorization) = &post.authorization {
        builder = builder.header(AUTHORIZATION, authorization);
    }
    builder.body(Full::new(post.body.clone()))
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<StatusCode>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let _driven = Driven(tokio::spawn(async move { drop(connection.await) }).abort_handle());
    let response = sender.send_request(request).await?;
    let status = response.status();
    let _ = timeout(BODY_PATIENCE, Limited::new(response.into_body(), BODY_BYTES_MAX).collect()).await;
    Ok(status)
}

/// Ends the task that drives a connection when the try is over or given up.
struct Driven(AbortHandle);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn judge(status: StatusCode) -> Result<(), CallbackFault> {
    if status.is_success() {
        Ok(())
    } else if status.is_redirection() {
        Err(CallbackFault::Redirect)
    } else if status.is_client_error() {
        Err(CallbackFault::ClientError)
    } else {
        Err(CallbackFault::ServerError)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use ipnet::IpNet;
    use tocsin_mock::Authority;
    use tocsin_model::CallbackUrl;

    use super::*;
    use crate::transport::ADDRESSES_TRIED_MAX;

    const PUBLIC: [u8; 4] = [8, 8, 8, 8];
    const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

    /// Posts to a name that has these addresses, where only loopback listens; answers with how that ended and whether
    /// somebody connected.
    async fn post_to(addresses: &[[u8; 4]], networks: &[&str]) -> (Result<(), CallbackFault>, bool) {
        let listener = TcpListener::bind(SocketAddr::from((LOOPBACK, 0))).expect("a port");
        listener.set_nonblocking(true).expect("set");
        let port = listener.local_addr().expect("an address").port();
        let found: Vec<_> = addresses.iter().map(|address| SocketAddr::from((*address, port))).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        Authority::new().expect("keys").write_ca_pem(&ca_file).expect("written");
        let mut poster = Poster::new(Some(&ca_file)).expect("TLS");
        poster.way.look_up = Box::new(move |host, of| {
            assert_eq!((&*host, of), ("portal.example", port));
            let found = found.clone();
            Box::pin(async move { Ok(found) })
        });
        let networks: Vec<IpNet> = networks.iter().map(|text| text.parse().expect("a network")).collect();
        let url = CallbackUrl::parse(&format!("https://portal.example:{port}/")).expect("valid");
        let post = Post {
            to: Destination { url: &url, networks: &networks, is_listed: true },
            webhook_id: "id",
            timestamp_s: 1,
            signatures: "v1,",
            authorization: None,
            body: Bytes::new(),
        };
        let ended = poster.post(&post, Duration::from_millis(300)).await;
        (ended, listener.accept().is_ok())
    }

    #[tokio::test]
    async fn a_name_with_a_private_address_is_refused() {
        assert_eq!(post_to(&[LOOPBACK], &[]).await, (Err(CallbackFault::AddressRefused), false));
        // The same is connected to where the client's networks list it; nobody answers there.
        assert_eq!(post_to(&[LOOPBACK], &["127.0.0.0/8"]).await, (Err(CallbackFault::Timeout), true));
    }

    #[tokio::test]
    async fn a_name_with_public_and_private_addresses_is_refused_whole() {
        for mixed in [[PUBLIC, LOOPBACK], [LOOPBACK, PUBLIC]] {
            assert_eq!(post_to(&mixed, &[]).await, (Err(CallbackFault::AddressRefused), false), "{mixed:?}");
        }
        let behind_the_tried = [[PUBLIC; ADDRESSES_TRIED_MAX].as_slice(), &[LOOPBACK]].concat();
        assert_eq!(post_to(&behind_the_tried, &[]).await.0, Err(CallbackFault::AddressRefused));
    }

    #[tokio::test]
    async fn a_name_without_addresses_cannot_be_called() {
        assert_eq!(post_to(&[], &[]).await, (Err(CallbackFault::LookUp), false));
    }

    #[test]
    fn only_a_2xx_is_a_delivery() {
        let judged = |status: u16| judge(StatusCode::from_u16(status).expect("a status"));
        assert_eq!([judged(200), judged(204), judged(299)], [Ok(()); 3]);
        assert_eq!([judged(300), judged(308)], [Err(CallbackFault::Redirect); 2]);
        assert_eq!([judged(400), judged(410), judged(499)], [Err(CallbackFault::ClientError); 3]);
        assert_eq!([judged(500), judged(599), judged(600)], [Err(CallbackFault::ServerError); 3]);
    }
}
