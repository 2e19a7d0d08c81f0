//! The double of a proxy, byte by byte.

use std::net::SocketAddr;

use tocsin_mock::{Fault, ProxyOptions, ProxyRefusal, ProxyServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client::DEADLINE;

/// Sends these bytes and reads until the proxy has nothing more to say, or until `count` bytes.
async fn exchange(stream: &mut TcpStream, bytes: &str, count: usize) -> String {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let reading =
        async { while received.len() < count && stream.read_buf(&mut received).await.unwrap_or(0) > 0 {} };
    tokio::time::timeout(DEADLINE, reading).await.expect("an answer in time");
    String::from_utf8_lossy(&received).into_owned()
}

async fn whole_answer(proxy: &ProxyServer, bytes: &str) -> String {
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    exchange(&mut stream, bytes, usize::MAX).await
}

fn connect(target: &str, more: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n")
}

/// A socket that sends back what it is sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut write) = stream.split();
            let _ended = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    address
}

#[tokio::test]
async fn a_proper_request_gets_a_tunnel_to_a_name_that_only_the_proxy_knows() {
    let options = ProxyOptions::default().finding("echo.invalid", echo().await);
    let proxy = ProxyServer::start(options.demanding("tocsin", "word")).await.unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let credentials = "Proxy-Authorization: Basic dG9jc2luOndvcmQ=\r\n";
    let answer = exchange(&mut stream, &connect("echo.invalid:7", credentials), 1).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(exchange(&mut stream, "through the tunnel", 18).await, "through the tunnel");
    let records = proxy.log().wait_for(1, tocsin_mock::ProxyRecord::is_let_through, DEADLINE).await.unwrap();
    assert_eq!((records[0].target.as_str(), records[0].has_credentials), ("echo.invalid:7", true));
    proxy.stop().await;
    assert_eq!(exchange(&mut stream, "", 1).await, "", "tunnels end with the proxy");
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_asked_for() {
    let options = ProxyOptions::default().demanding("tocsin", "word");
    let proxy = ProxyServer::start(options).await.unwrap();
    for more in ["", "Proxy-Authorization: Basic dG9jc2luOm90aGVy\r\n"] {
        let answer = whole_answer(&proxy, &connect("a.invalid:1", more)).await;
        assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
        assert!(answer.contains("Proxy-Authenticate: Basic "), "{answer}");
    }
    proxy.demand("tocsin", "other");
    let right = connect("127.0.0.1:1", "Proxy-Authorization: Basic dG9jc2luOm90aGVy\r\n");
    assert!(whole_answer(&proxy, &right).await.starts_with("HTTP/1.1 502 "), "nobody listens there");
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_and_recorded() {
    let proxy = ProxyServer::start(ProxyOptions::default()).await.unwrap();
    let early = connect("a.invalid:1", "") + "bytes";
    let long = connect("a.invalid:1", &format!("X-Long: {}\r\n", "x".repeat(9_000)));
    for (request, fault) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "not a CONNECT of HTTP/1.1"),
        (early.as_str(), "bytes before the answer"),
        (long.as_str(), "too long"),
    ] {
        whole_answer(&proxy, request).await;
        let records = proxy.log().records();
        let record = records.last().unwrap();
        assert!(record.fault.is_some_and(|found| found.contains(fault)), "{record:?}");
        assert_eq!(record.answered, Some(400));
    }
}

#[tokio::test]
async fn scripted_answers_come_in_place_of_tunnels() {
    let proxy = ProxyServer::start(ProxyOptions::default()).await.unwrap();
    let request = connect("a.invalid:1", "");
    proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Status(403))).unwrap();
    assert!(whole_answer(&proxy, &request).await.starts_with("HTTP/1.1 403 "));
    proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::AskDigest)).unwrap();
    let answer = whole_answer(&proxy, &request).await;
    assert!(answer.starts_with("HTTP/1.1 407 ") && answer.contains(": Digest "), "{answer}");
    proxy.faults().for_next(1, Fault::CutAfterReading).unwrap();
    assert_eq!(whole_answer(&proxy, &request).await, "");
    proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Reset)).unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let ended = tokio::time::timeout(DEADLINE, stream.read(&mut [0])).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
