//! The bare library: h2 on one TLS connection, sending what our driver sent, with other ids each time.
//!
//! [`Writes::Plain`] is h2 over TLS as both come. It flushes each body of 256 bytes and more by itself, in a TLS record
//! and a system call of its own. [`Writes::Gathered`] is the same h2 behind a stream that offers no vectored writes, as
//! our driver has it, so that what is left of the difference is our own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::client::SendRequest;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Outside, SeenPush, ThreadTime};

/// The headers whose value is another one in each push.
const IDS: [HeaderName; 2] =
    [HeaderName::from_static("apns-id"), HeaderName::from_static("apns-collapse-id")];

/// How h2's frames reach TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// As h2 and TLS have it between them.
    Plain,
    /// Gathered by h2.
    Gathered,
}

/// h2 on one connection, on the calling thread.
pub struct BarePushes {
    requests: SendRequest<Bytes>,
    template: Template,
    runtime: Runtime,
}

/// What is sent again and again.
struct Template {
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    sent: u64,
}

impl BarePushes {
    /// A connection to this double, for pushes like `seen`.
    pub fn to(outside: &Outside, seen: &SeenPush, writes: Writes) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let requests = runtime.block_on(async {
            let stream = connect(outside).await;
            match writes {
                Writes::Plain => speak(stream).await,
                Writes::Gathered => speak(WithoutVectoredWrites(stream)).await,
            }
        });
        Self { requests, template: Template::new(outside, seen), runtime }
    }

    /// The processor time that `pushes` answered pushes take on this thread, `in_flight` at a time.
    pub fn send(&mut self, pushes: u64, in_flight: u64) -> Duration {
        let Self { requests, template, runtime } = self;
        let mut next = || exchange(requests.clone(), template.next_request(), template.body.clone());
        let began = ThreadTime::used();
        runtime.block_on(async {
            let mut flying: FuturesUnordered<_> = (0..in_flight.min(pushes)).map(|_| next()).collect();
            let mut left = pushes.saturating_sub(in_flight);
            while let Some(status) = flying.next().await {
                assert_eq!(status, StatusCode::OK);
                if left > 0 {
                    left -= 1;
                    flying.push(next());
                }
            }
        });
        ThreadTime::used().saturating_sub(began)
    }
}

impl Template {
    fn new(outside: &Outside, seen: &SeenPush) -> Self {
        let path = format!("https://localhost:{}/3/device/{}", outside.port(), seen.device_token);
        let header = |(name, text): &(HeaderName, String)| {
            let mut value = HeaderValue::from_str(text).expect("it came as a header");
            value.set_sensitive(*name == AUTHORIZATION);
            (name.clone(), value)
        };
        Self {
            uri: path.parse().expect("it came as a path"),
            headers: seen.headers.iter().map(header).collect(),
            body: seen.body.clone(),
            sent: 0,
        }
    }

    fn next_request(&mut self) -> Request<()> {
        self.sent += 1;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.reserve(self.headers.len());
        for (name, value) in &self.headers {
            let value = if IDS.contains(name) { fresh_id(self.sent) } else { value.clone() };
            headers.insert(name.clone(), value);
        }
        request
    }
}

/// An id as long as a real one, not to be indexed, as our driver marks them.
fn fresh_id(number: u64) -> HeaderValue {
    let text = format!("{:08x}-a5a5-85a5-a5a5-{number:012x}", number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
    let mut value = HeaderValue::try_from(text).expect("digits and dashes");
    value.set_sensitive(true);
    value
}

async fn connect(outside: &Outside) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(outside.authority()).expect("the double wrote it");
    roots.add(authority).expect("it is a certificate");
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", outside.port())).await.expect("the double listens");
    stream.set_nodelay(true).expect("a fresh socket takes it");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("it vouches")
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (requests, connection) =
        h2::client::Builder::new().initial_max_send_streams(1).handshake(stream).await.expect("it speaks h2");
    drop(tokio::spawn(connection));
    requests
}

async fn exchange(requests: SendRequest<Bytes>, request: Request<()>, body: Bytes) -> StatusCode {
    let mut requests = requests.ready().await.expect("the double is up");
    let (response, mut stream) = requests.send_request(request, false).expect("a good request");
    stream.send_data(body, true).expect("the stream is open");
    let response = response.await.expect("the double answers");
    let status = response.status();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data.expect("the double ends its answers").len();
        body.flow_control().release_capacity(length).expect("it was received");
    }
    status
}

/// All of the trait but what it offers beside.
struct WithoutVectoredWrites(TlsStream<TcpStream>);

impl AsyncRead for WithoutVectoredWrites {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for WithoutVectoredWrites {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
