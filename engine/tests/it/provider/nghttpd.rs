//! Our HTTP/2 against nghttpd, a server that is not ours: every request answered, never a stream too many.

use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;
use tocsin_engine::clock::Clock;
use tocsin_engine::transport::{Application, Connector, Endpoint, Outgoing, Pool, PoolLimits};

const REQUESTS: usize = 500;
const BODY: &[u8] = br#"{"aps":{"alert":{"loc-key":"LOGIN_REQ"}}}"#;
const PATIENCE: Duration = Duration::from_secs(30);
/// A free port may be taken by another process before nghttpd has it.
const STARTS_MAX: usize = 5;

/// A running nghttpd that writes every frame to its log.
struct Nghttpd {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Nghttpd {
    fn start(stream_limit: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_certificate(folder.path());
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let mut process = spawn(folder.path(), port, stream_limit);
            if listens(&mut process, port) {
                return Self { process, port, folder };
            }
        }
        panic!("nghttpd does not start: {}", read(folder.path(), "errors"));
    }

    fn pool(&self, connections_max: usize) -> Arc<Pool> {
        let endpoint = Endpoint::parse(&format!("https://localhost:{}", self.port)).expect("a URL");
        let ca_file = self.folder.path().join("certificate.pem");
        let connector = Connector::new(Arc::new(endpoint), Some(&ca_file), Application::Http2).expect("tls");
        let limits = PoolLimits {
            connections_max,
            queue_max: REQUESTS,
            connect_timeout: PATIENCE,
            ping_interval: PATIENCE,
            ping_timeout: PATIENCE,
        };
        Arc::new(Pool::new("nghttpd", connector, limits, Clock::system()))
    }

    /// Ends the server and reads its log.
    fn stop(mut self) -> Traffic {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        Traffic::of(&read(self.folder.path(), "log"))
    }
}

impl Drop for Nghttpd {
    fn drop(&mut self) {
        // Already ended in a test that went well.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// What the log says of streams.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traffic {
    streams: usize,
    /// Most streams open at once on one connection.
    peak: usize,
}

impl Traffic {
    /// Lines are `[id=1] [  0.1] recv HEADERS frame <…, stream_id=3>`, further down `; Open new stream`, and
    /// at the end of a stream `[id=1] [  0.1] stream_id=3 closed`.
    fn of(log: &str) -> Self {
        let mut traffic = Self::default();
        let mut open: HashMap<&str, HashSet<&str>> = HashMap::new();
        let mut last_headers = None;
        for line in log.lines() {
            let connection = line.strip_prefix("[id=").and_then(|rest| rest.split_once(']'));
            let stream = line.split_once("stream_id=").map(|(_, rest)| rest.trim_end_matches([' ', '>']));
            match (connection, stream) {
                (Some((connection, rest)), Some(stream)) if rest.contains("recv HEADERS frame") => {
                    last_headers = Some((connection, stream));
                }
                (Some((connection, _)), Some(stream)) if stream.ends_with(" closed") => {
                    let stream = stream.trim_end_matches(" closed");
                    open.entry(connection).or_default().remove(stream);
                }
                _ if line.contains("; Open new stream") => {
                    let (connection, stream) = last_headers.take().expect("headers came before");
                    let streams = open.entry(connection).or_default();
                    streams.insert(stream);
                    traffic.streams += 1;
                    traffic.peak = traffic.peak.max(streams.len());
                }
                _ => (),
            }
        }
        traffic
    }
}

#[tokio::test]
async fn every_request_is_answered_one_stream_at_a_time() {
    let traffic = send_all(1, 1).await;
    assert_eq!(traffic, Traffic { streams: REQUESTS, peak: 1 });
}

#[tokio::test]
async fn every_request_is_answered_over_several_connections_of_one_stream() {
    let traffic = send_all(1, 4).await;
    assert_eq!(traffic, Traffic { streams: REQUESTS, peak: 1 });
}

#[tokio::test]
async fn every_request_is_answered_a_hundred_streams_at_a_time() {
    let traffic = send_all(100, 1).await;
    assert_eq!(traffic.streams, REQUESTS);
    assert!((2..=100).contains(&traffic.peak), "{} streams at once", traffic.peak);
}

/// Sends all requests at once.
async fn send_all(stream_limit: usize, connections_max: usize) -> Traffic {
    let server = Nghttpd::start(stream_limit);
    let pool = server.pool(connections_max);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let url = format!("https://localhost:{}/3/device/00", server.port);
    let sending: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (pool, url) = (pool.clone(), url.clone());
            tokio::spawn(async move {
                let request = || Request::post(&*url).body(Bytes::from_static(BODY)).ok();
                let outgoing =
                    Outgoing { request: &request, avoid: None, start_by: deadline, written: &|| () };
                pool.send(&outgoing, deadline).await
            })
        })
        .collect();
    for task in sending {
        let answer = task.await.expect("no panic").expect("answered");
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, BODY));
    }
    let stats = pool.stats().snapshot();
    assert_eq!((stats.resent_unprocessed, stats.goaways, stats.connects_failed), (0, 0, 0));
    server.stop()
}

fn spawn(folder: &Path, port: u16, stream_limit: usize) -> Child {
    let file = |name: &str| std::fs::File::create(folder.join(name)).expect("a file");
    let spawned = Command::new("nghttpd")
        .args(["--verbose", "--echo-upload", "--address=127.0.0.1"])
        .arg(format!("--max-concurrent-streams={stream_limit}"))
        .arg(format!("--htdocs={}", folder.display()))
        .arg(port.to_string())
        .args([folder.join("key.pem"), folder.join("certificate.pem")])
        .stdin(Stdio::null())
        .stdout(file("log"))
        .stderr(file("errors"))
        .spawn();
    spawned.expect("nghttpd must be installed: apt-get install nghttp2-server")
}

/// Whether it takes connections; `false` when it ended instead.
fn listens(process: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if process.try_wait().expect("a child").is_some() {
            return false;
        }
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn write_certificate(folder: &Path) {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).expect("written");
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("nghttpd writes text")
}
