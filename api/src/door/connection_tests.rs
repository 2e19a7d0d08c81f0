//! Tests of replies that are taken slowly or not at all, over streams in memory.

use std::fs;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty};
use hyper::StatusCode;
use hyper::client::conn;
use hyper_util::rt::TokioExecutor;
use prometheus::Registry;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tocsin_config::DoorTls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::{Content, typed};
use super::*;

/// Longest time without progress in these tests.
const WRITE_TIME: Duration = Duration::from_millis(1_000);

/// A pause of a slow reader; it makes so many that all together are longer.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSES: usize = 15;

/// What a socket in memory holds unread.
const SOCKET_BYTES: usize = 1_024;

/// Longest that a connection may take to be cut.
const SOON: Duration = Duration::from_secs(30);

/// Rules of a door that stays open as long as the sender is there.
fn rules() -> (ConnectionRules, watch::Sender<Stage>) {
    let (sender, stage) = watch::channel(Stage::Open);
    let rules = ConnectionRules {
        door: DoorName::Portal,
        certificate: None,
        trusted_proxies: Networks::default(),
        connections: Arc::new(Connections::new(10, 10)),
        metrics: Arc::new(DoorMetrics::register(&Registry::new()).expect("a new registry")),
        head_time_max: SOON,
        write_time_max: WRITE_TIME,
        headers_max: 64,
        head_bytes_max: 16_384,
        stage,
    };
    (rules, sender)
}

/// `/whole` has a body of this size, `/silent` says a word and no more, `/talking` says one again and again.
struct Talker {
    size: usize,
}

impl Answers for Talker {
    async fn answer(self: Rc<Self>, request: Request, _: Payload) -> Response {
        let word = || Bytes::from_static(b"a word of some length");
        let content = match request.path() {
            "/whole" => Content::Whole(vec![b'x'; self.size].into()),
            "/silent" => Content::Parts(Box::pin(stream::iter([word()]).chain(stream::pending()))),
            "/talking" => Content::Parts(Box::pin(stream::repeat_with(word).then(|word| async {
                sleep(PAUSE).await;
                word
            }))),
            _ => return typed(StatusCode::NOT_FOUND, "text/plain", Content::Nothing),
        };
        typed(StatusCode::OK, "text/plain", content)
    }
}

type Served = JoinHandle<Option<ConnectionEnd>>;

/// A door at this end of a line.
fn spoken_to(certificate: Option<DoorCertificate>, size: usize, near: DuplexStream) -> Served {
    let door = Rc::new(Talker { size });
    spawn_local(async move {
        let (rules, _stage) = rules();
        let rules = ConnectionRules { certificate: certificate.map(Arc::new), ..rules };
        let entered = rules.connections.enter(None).expect("room");
        speak(&rules, door, near, peer(), &entered).await
    })
}

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_711))
}

/// A connection of HTTP/2 whose client gives each stream a window of so many bytes.
async fn http2_with_window(bytes: u32, size: usize) -> (Served, conn::http2::SendRequest<Empty<Bytes>>) {
    let (near, far) = tokio::io::duplex(65_536);
    let door = Rc::new(Talker { size });
    let served = spawn_local(async move {
        let (rules, _stage) = rules();
        let pace = Pace::new(rules.head_time_max, rules.write_time_max);
        let facts = Rc::new(Facts { peer: peer(), certificate: None, refusal: None });
        http2(&rules, Paced::new(near, Rc::clone(&pace)), Calls { door, facts, pace }).await
    });
    let builder = conn::http2::Builder::new(TokioExecutor::new()).initial_stream_window_size(bytes).clone();
    let (sender, connection) = builder.handshake(TokioIo::new(far)).await.expect("HTTP/2");
    spawn_local(connection);
    (served, sender)
}

async fn get(sender: &mut conn::http2::SendRequest<Empty<Bytes>>, path: &str) -> hyper::Response<Incoming> {
    let request =
        hyper::Request::get(format!("http://localhost{path}")).body(Empty::new()).expect("a request");
    sender.send_request(request).await.expect("a reply")
}

async fn end_of(served: Served) -> Option<ConnectionEnd> {
    timeout(SOON, served).await.expect("an end in time").expect("no panic")
}

async fn in_local_set(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_http2_reply_for_which_no_window_is_opened_is_cut() {
    in_local_set(async {
        let (served, mut sender) = http2_with_window(0, 1_000).await;
        let _reply = get(&mut sender, "/whole").await;
        assert_eq!(end_of(served).await, Some(ConnectionEnd::SlowReader));
    })
    .await;
}

#[tokio::test]
async fn an_http2_reply_that_is_taken_in_part_is_cut_although_other_calls_go_on() {
    in_local_set(async {
        let (served, mut sender) = http2_with_window(100, 1_000).await;
        let _untaken = get(&mut sender, "/whole").await;
        let others = spawn_local(async move {
            loop {
                let request = hyper::Request::get("http://localhost/nowhere").body(Empty::new());
                if sender.send_request(request.expect("a request")).await.is_err() {
                    break;
                }
                sleep(PAUSE).await;
            }
        });
        assert_eq!(end_of(served).await, Some(ConnectionEnd::SlowReader));
        others.await.expect("no panic");
    })
    .await;
}

#[tokio::test]
async fn pieces_of_an_http2_reply_that_are_no_longer_taken_are_cut() {
    in_local_set(async {
        let (served, mut sender) = http2_with_window(100, 0).await;
        let mut reply = get(&mut sender, "/talking").await;
        reply.frame().await.expect("a piece").expect("readable");
        assert_eq!(end_of(served).await, Some(ConnectionEnd::SlowReader));
    })
    .await;
}

#[tokio::test]
async fn an_http2_reply_that_is_taken_slowly_is_not_cut() {
    in_local_set(async {
        let (served, mut sender) = http2_with_window(100, 100 * PAUSES).await;
        let mut reply = get(&mut sender, "/whole").await;
        let mut taken = 0;
        while let Some(frame) = reply.frame().await {
            taken += frame.expect("not cut").into_data().expect("data").len();
            sleep(PAUSE).await;
        }
        assert_eq!(taken, 100 * PAUSES);
        drop((reply, sender));
        assert_eq!(end_of(served).await, None);
    })
    .await;
}

#[tokio::test]
async fn an_http2_reply_with_nothing_to_say_is_not_cut() {
    in_local_set(async {
        let (served, mut sender) = http2_with_window(100, 0).await;
        let mut reply = get(&mut sender, "/silent").await;
        reply.frame().await.expect("a word").expect("readable");
        assert!(timeout(WRITE_TIME * 2, reply.frame()).await.is_err(), "neither a word nor an end");
        assert!(!served.is_finished());
    })
    .await;
}

/// A certificate for a door, and a client that trusts it.
fn tls() -> (DoorCertificate, TlsConnector) {
    let folder = tempfile::tempdir().expect("a folder");
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let files = DoorTls {
        certificate_file: folder.path().join("door.pem"),
        key_file: folder.path().join("door.key"),
        client_certificates: None,
    };
    fs::write(&files.certificate_file, cert.pem()).expect("written");
    fs::write(&files.key_file, signing_key.serialize_pem()).expect("written");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (DoorCertificate::load(&files).expect("usable"), TlsConnector::from(Arc::new(client)))
}

const REQUEST: &[u8] = b"GET /whole HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A door with TLS at this end of a line, whose caller has asked for a body of this size.
async fn asked_by_tls(
    size: usize,
    near: DuplexStream,
    far: DuplexStream,
) -> (Served, TlsStream<DuplexStream>) {
    let (certificate, connector) = tls();
    let served = spoken_to(Some(certificate), size, near);
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = connector.connect(name, far).await.expect("a handshake");
    stream.write_all(REQUEST).await.expect("sent");
    (served, stream)
}

/// Lets `SOCKET_BYTES` pass to the caller in each pause.
async fn slow_line(door: DuplexStream, caller: DuplexStream) {
    let (mut from_door, mut to_door) = tokio::io::split(door);
    let (mut from_caller, mut to_caller) = tokio::io::split(caller);
    spawn_local(async move { tokio::io::copy(&mut from_caller, &mut to_door).await });
    let mut bytes = [0; SOCKET_BYTES];
    while let Ok(count @ 1..) = from_door.read(&mut bytes).await {
        to_caller.write_all(&bytes[..count]).await.expect("taken");
        sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn a_reply_by_tls_that_is_read_slowly_is_not_cut() {
    in_local_set(async {
        let size = SOCKET_BYTES * PAUSES;
        let ((near, door), (caller, far)) =
            (tokio::io::duplex(SOCKET_BYTES), tokio::io::duplex(SOCKET_BYTES));
        spawn_local(slow_line(door, caller));
        let (served, mut stream) = asked_by_tls(size, near, far).await;
        let mut reply = Vec::new();
        timeout(SOON, stream.read_to_end(&mut reply)).await.expect("an end in time").expect("not cut");
        assert!(reply.len() > size, "{} bytes", reply.len());
        drop(stream);
        assert_eq!(end_of(served).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_reply_by_tls_that_is_not_read_is_cut() {
    in_local_set(async {
        let (near, far) = tokio::io::duplex(SOCKET_BYTES);
        let (served, _unread) = asked_by_tls(SOCKET_BYTES * PAUSES, near, far).await;
        assert_eq!(end_of(served).await, Some(ConnectionEnd::SlowReader));
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_is_not_read_is_cut() {
    in_local_set(async {
        let (near, mut far) = tokio::io::duplex(SOCKET_BYTES);
        let served = spoken_to(None, SOCKET_BYTES * PAUSES, near);
        far.write_all(REQUEST).await.expect("sent");
        assert_eq!(end_of(served).await, Some(ConnectionEnd::SlowReader));
    })
    .await;
}
