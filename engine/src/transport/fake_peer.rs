//! A peer for tests that speaks HTTP/2 frame by frame, exactly as it is told, over a pipe in memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Connect, ConnectError};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PIPE_BYTES: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(600);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a client did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It finished a request on this stream.
    Request(u32),
    /// It reset this stream with this code.
    Reset(u32, u32),
    /// It acknowledged a SETTINGS frame.
    SettingsAck,
    /// It asked whether we live.
    Ping([u8; 8]),
    /// It said GOAWAY.
    GoAway,
    /// It closed the connection.
    Closed,
}

/// The peer's end of one connection.
pub(super) struct FakePeer {
    pipe: DuplexStream,
    open: BTreeSet<u32>,
    /// Most streams that were ever open at once.
    pub(super) peak: usize,
}

impl FakePeer {
    /// Sends the first SETTINGS, with this limit of streams.
    pub(super) async fn greet(&mut self, limit: u32) {
        self.limit(limit).await;
    }

    /// Sends SETTINGS with this limit of streams.
    pub(super) async fn limit(&mut self, limit: u32) {
        let mut payload = vec![0, 3];
        payload.extend(limit.to_be_bytes());
        self.write(SETTINGS, 0, 0, &payload).await;
    }

    /// Answers 200 without a body.
    pub(super) async fn respond(&mut self, stream: u32) {
        self.open.remove(&stream);
        self.write(HEADERS, END_STREAM | END_HEADERS, stream, &[0x88]).await;
    }

    /// Answers 200 and begins a body.
    pub(super) async fn respond_with(&mut self, stream: u32, body: &[u8]) {
        self.write(HEADERS, END_HEADERS, stream, &[0x88]).await;
        for part in body.chunks(16_384) {
            self.write(DATA, 0, stream, part).await;
        }
    }

    pub(super) async fn reset(&mut self, stream: u32, code: u32) {
        self.open.remove(&stream);
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    pub(super) async fn go_away(&mut self, last_stream: u32) {
        let mut payload = last_stream.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        payload.extend(br#"{"reason":"Shutdown"}"#);
        self.open.retain(|stream| *stream <= last_stream);
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    pub(super) async fn pong(&mut self, payload: [u8; 8]) {
        self.write(PING, ACK, 0, &payload).await;
    }

    pub(super) async fn garbage(&mut self) {
        self.pipe.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("the client reads");
    }

    /// The next thing that the client does, acknowledgements and window updates aside.
    pub(super) async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.read()).await.expect("the client does something")
    }

    /// The next request; anything else fails the test.
    pub(super) async fn request(&mut self) -> u32 {
        loop {
            match self.next().await {
                Seen::Request(stream) => return stream,
                Seen::SettingsAck => (),
                other => panic!("not a request but {other:?}"),
            }
        }
    }

    /// Waits for exactly so many requests.
    pub(super) async fn requests(&mut self, count: usize) -> Vec<u32> {
        let mut streams = Vec::new();
        while streams.len() < count {
            streams.push(self.request().await);
        }
        streams
    }

    /// The next PING; anything else fails the test.
    pub(super) async fn ping(&mut self) -> [u8; 8] {
        loop {
            match self.next().await {
                Seen::Ping(payload) => return payload,
                Seen::SettingsAck => (),
                other => panic!("not a PING but {other:?}"),
            }
        }
    }

    /// Whether the client begins no stream and asks nothing for a tenth of a second.
    pub(super) async fn is_quiet(&mut self) -> bool {
        loop {
            match timeout(Duration::from_millis(100), self.read()).await {
                Ok(Seen::SettingsAck) => (),
                Ok(_) => return false,
                Err(_elapsed) => return true,
            }
        }
    }

    /// Waits until the client has closed the connection.
    pub(super) async fn closed(&mut self) {
        while self.next().await != Seen::Closed {}
    }

    async fn read(&mut self) -> Seen {
        loop {
            let mut head = [0_u8; 9];
            // A test that stops waiting here loses nothing: the client writes whole frames at once.
            if self.pipe.read_exact(&mut head).await.is_err() {
                return Seen::Closed;
            }
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if self.pipe.read_exact(&mut payload).await.is_err() {
                return Seen::Closed;
            }
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if let Some(seen) = self.interpret(head[3], head[4], stream, &payload).await {
                return seen;
            }
        }
    }

    async fn interpret(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<Seen> {
        if kind == HEADERS {
            self.open.insert(stream);
            self.peak = self.peak.max(self.open.len());
        }
        match kind {
            HEADERS | DATA => (flags & END_STREAM != 0).then_some(Seen::Request(stream)),
            RST_STREAM => {
                self.open.remove(&stream);
                Some(Seen::Reset(stream, u32::from_be_bytes(payload.try_into().ok()?)))
            }
            SETTINGS if flags & ACK != 0 => Some(Seen::SettingsAck),
            SETTINGS => {
                self.write(SETTINGS, ACK, 0, &[]).await;
                None
            }
            PING if flags & ACK == 0 => Some(Seen::Ping(payload.try_into().ok()?)),
            GOAWAY => Some(Seen::GoAway),
            WINDOW_UPDATE | PING => None,
            other => panic!("a client sends no frame of kind {other} here"),
        }
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The client may be gone already; what follows shows it.
        let _gone = self.pipe.write_all(&frame).await;
    }
}

/// Makes pipes and hands their other ends to the test.
pub(super) struct FakeConnector {
    peers: mpsc::UnboundedSender<DuplexStream>,
    refusals: AtomicUsize,
    connections: AtomicUsize,
}

/// The peers that a pool connected to.
pub(super) struct FakePeers(mpsc::UnboundedReceiver<DuplexStream>);

impl FakePeers {
    /// A connector whose first `refusals` connections fail, and what it connects to.
    pub(super) fn new(refusals: usize) -> (FakeConnector, Self) {
        let (peers, receiver) = mpsc::unbounded_channel();
        let (refusals, connections) = (AtomicUsize::new(refusals), AtomicUsize::new(0));
        (FakeConnector { peers, refusals, connections }, Self(receiver))
    }

    /// The next connection, its preface read.
    pub(super) async fn accept(&mut self) -> FakePeer {
        let accepted = timeout(PATIENCE, self.0.recv()).await.expect("a connection comes");
        let mut pipe = accepted.expect("the pool lives");
        let mut preface = vec![0; PREFACE.len()];
        pipe.read_exact(&mut preface).await.expect("a preface");
        assert_eq!(preface, PREFACE);
        FakePeer { pipe, open: BTreeSet::new(), peak: 0 }
    }

    /// The next connection, greeted with this limit.
    pub(super) async fn accept_with(&mut self, limit: u32) -> FakePeer {
        let mut peer = self.accept().await;
        peer.greet(limit).await;
        peer
    }

    /// Whether no connection comes within this time.
    pub(super) async fn none_within(&mut self, time: Duration) -> bool {
        timeout(time, self.0.recv()).await.is_err()
    }
}

impl Connect for FakeConnector {
    type Stream = DuplexStream;

    async fn connect(&self, _avoid: Option<SocketAddr>) -> Result<(DuplexStream, SocketAddr), ConnectError> {
        let refuses = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuses).is_ok() {
            return Err(ConnectError::Tcp(std::io::ErrorKind::ConnectionRefused.into()));
        }
        let (ours, theirs) = duplex(PIPE_BYTES);
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(number).expect("few connections");
        self.peers.send(theirs).map_err(|_| ConnectError::Late)?;
        Ok((ours, SocketAddr::from(([192, 0, 2, 1], port))))
    }
}
