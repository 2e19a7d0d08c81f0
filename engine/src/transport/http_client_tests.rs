use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::transport::{Application, Endpoint};

const PATIENCE: Duration = Duration::from_secs(20);
const LIMITS: HttpLimits =
    HttpLimits { connections_max: 2, connect_timeout: Duration::from_secs(5), answer_bytes_max: 1_000 };

/// A client and the listener of its peer, in clear on this machine.
async fn pair(limits: HttpLimits) -> (Arc<HttpClient>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let endpoint = Arc::new(Endpoint::parse_or_loopback(&url).expect("a URL"));
    let connector = Connector::new(endpoint, None, Application::Http1).expect("set up");
    let client = HttpClient::new(connector, limits, Clock::system()).expect("set up");
    (Arc::new(client), listener)
}

fn request() -> Request<Bytes> {
    Request::post("/send?a=b").body(Bytes::from_static(b"hello")).expect("a request")
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn send(
    client: &Arc<HttpClient>,
    deadline: Instant,
) -> tokio::task::JoinHandle<Result<HttpAnswer, HttpFault>> {
    let client = Arc::clone(client);
    tokio::spawn(async move { client.send(request(), deadline, &|| {}).await })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    tokio::time::timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection").0
}

/// Reads one request to its end.
async fn take(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("hello") {
        let mut bytes = [0; 1_024];
        let count = stream.read(&mut bytes).await.expect("readable");
        assert_ne!(count, 0, "cut: {text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
    }
    text
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("written");
}

#[tokio::test]
async fn a_request_names_its_host_and_the_next_one_goes_over_the_same_connection() {
    let (client, listener) = pair(LIMITS).await;
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    let head = take(&mut peer).await.to_ascii_lowercase();
    assert!(head.starts_with("post /send?a=b http/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nhost: {}\r\n", listener.local_addr().expect("an address"))),
        "{head}"
    );
    assert!(head.contains("\r\nuser-agent: tocsin/"), "{head}");
    write(&mut peer, "HTTP/1.1 201 Created\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\nok").await;
    let answer = sending.await.expect("no panic").expect("an answer");
    assert_eq!(
        (answer.status, &answer.body[..], answer.body_is_whole),
        (StatusCode::CREATED, &b"ok"[..], true)
    );
    assert_eq!(answer.headers["retry-after"], "3");
    let sending = send(&client, soon());
    take(&mut peer).await;
    write(&mut peer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(sending.await.expect("no panic").expect("an answer").status, StatusCode::OK);
    let snapshot = client.snapshot();
    assert_eq!((snapshot.connects_ok, snapshot.connections_open, snapshot.streams_in_flight), (1, 1, 0));
}

#[tokio::test]
async fn a_kept_connection_that_the_peer_closed_costs_no_request() {
    let (client, listener) = pair(LIMITS).await;
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    write(&mut peer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    sending.await.expect("no panic").expect("an answer");
    drop(peer);
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    write(&mut peer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    sending.await.expect("no panic").expect("an answer");
    assert_eq!(client.snapshot().connects_ok, 2);
}

#[tokio::test]
async fn a_request_that_was_read_and_not_answered_is_unknown_and_never_repeated() {
    let (client, listener) = pair(LIMITS).await;
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    drop(peer);
    assert_eq!(sending.await.expect("no panic").expect_err("cut"), HttpFault::Cut);
    let sending = send(&client, Instant::now() + Duration::from_millis(200));
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    assert_eq!(sending.await.expect("no panic").expect_err("late"), HttpFault::TimedOut);
    let mut rest = [0; 1];
    assert_eq!(peer.read(&mut rest).await.expect("closed"), 0, "the connection is given up");
    assert_eq!(client.snapshot().connects_ok, 2);
}

#[tokio::test]
async fn without_a_connection_a_request_is_certainly_not_sent() {
    let (client, listener) = pair(LIMITS).await;
    drop(listener);
    let written = AtomicUsize::new(0);
    let count = || {
        written.fetch_add(1, Ordering::Relaxed);
    };
    let fault = client.send(request(), soon(), &count).await.expect_err("nobody listens");
    assert_eq!(fault, HttpFault::Unsent(Unsent::Unavailable));
    assert_eq!((written.into_inner(), client.snapshot().connects_failed), (0, 1));
}

#[tokio::test]
async fn a_request_without_room_before_its_deadline_is_busy_and_not_sent() {
    let (client, listener) = pair(HttpLimits { connections_max: 1, ..LIMITS }).await;
    let first = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    let second = send(&client, Instant::now() + Duration::from_millis(100));
    assert_eq!(second.await.expect("no panic").expect_err("no room"), HttpFault::Unsent(Unsent::Busy));
    write(&mut peer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    first.await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn a_long_body_is_cut_off_and_a_cut_one_keeps_its_status() {
    let (client, listener) = pair(LIMITS).await;
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    write(&mut peer, &format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{}", "x".repeat(5_000))).await;
    let answer = sending.await.expect("no panic").expect("an answer");
    assert_eq!((answer.body.len(), answer.body_is_whole), (1_000, false));
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    write(&mut peer, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut").await;
    drop(peer);
    let answer = sending.await.expect("no panic").expect("an answer");
    assert_eq!((answer.status, &answer.body[..], answer.body_is_whole), (StatusCode::OK, &b"cut"[..], false));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (client, listener) = pair(LIMITS).await;
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    write(&mut peer, "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let answer = sending.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let (client, listener) = pair(LIMITS).await;
    let sending = send(&client, soon());
    let mut peer = accept(&listener).await;
    take(&mut peer).await;
    let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2 * HEAD_BYTES_MAX));
    // The client may hang up before all of it is written.
    let _ = peer.write_all(head.as_bytes()).await;
    assert_eq!(sending.await.expect("no panic").expect_err("too long"), HttpFault::Cut);
}

#[tokio::test]
async fn a_closed_client_sends_nothing_and_stops_tending() {
    let (client, _listener) = pair(LIMITS).await;
    let tending = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.tend().await }
    });
    client.close();
    tokio::time::timeout(PATIENCE, tending).await.expect("it ends").expect("no panic");
    let fault = client.send(request(), soon(), &|| {}).await.expect_err("closed");
    assert_eq!(fault, HttpFault::Unsent(Unsent::Closed));
}
