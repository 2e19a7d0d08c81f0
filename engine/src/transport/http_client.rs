//! Requests over HTTP/1.1 to one peer that is no push network: an SMS gateway, a geolocation service.
//!
//! What it promises to whoever sends something that must not be doubled:
//! * a fault says whether the request was certainly not written, or whether nobody knows;
//! * a request is written once: only one that a kept connection gave back unwritten goes to another connection;
//! * redirects are never followed: a 3xx is an answer like any other;
//! * connections, waiting, the head and the body of an answer are bounded, and each call has its deadline.
//!
//! Nothing travels in clear but to this machine itself ([`Endpoint::parse_or_loopback`]).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::connector::{Connect as _, ConnectError, Connector};
use super::exchange::{Unsent, latest_for_room};
use super::stats::{Number, TransportSnapshot, TransportStats};
use crate::clock::Clock;

/// Most of an answer's head that is held.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
/// How long a connection is kept for the next request. Common servers close quiet connections after five seconds,
/// and a request that meets that moment has an unknown outcome.
const KEPT_FOR: Duration = Duration::from_secs(4);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("tocsin/", env!("CARGO_PKG_VERSION")));

/// The bounds of a client.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Connections at once, each with one request.
    pub connections_max: usize,
    /// Longest wait for a new connection with its TLS.
    pub connect_timeout: Duration,
    /// Most of an answer's body that is read; what is beyond is cut off.
    pub answer_bytes_max: usize,
}

/// What the peer answered.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status; a redirect is not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to its bound.
    pub body: Bytes,
    /// Whether that is the whole body: it was neither cut off here nor by the peer.
    pub body_is_whole: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFault {
    /// The request was certainly not written.
    #[error("not sent: {0}")]
    Unsent(Unsent),
    /// It was written, perhaps in part, and the connection was cut.
    #[error("outcome unknown: cut")]
    Cut,
    /// It was written, and no answer came in time.
    #[error("outcome unknown: no answer in time")]
    TimedOut,
}

/// Sends requests to one peer.
pub struct HttpClient {
    connector: Connector,
    authority: HeaderValue,
    limits: HttpLimits,
    clock: Clock,
    room: Semaphore,
    kept: Mutex<Vec<Kept>>,
    is_closed: AtomicBool,
    closing: Notify,
    stats: Arc<TransportStats>,
}

/// A connection that waits for its next request.
struct Kept {
    line: Line,
    since: Instant,
}

/// A connection and the task that drives it.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    _driven: Driven,
}

/// Ends the task that drives a connection with the connection.
struct Driven(AbortHandle, Arc<TransportStats>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
        self.1.connections_open.decrease();
    }
}

/// Anything that bytes go over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl HttpClient {
    /// A client of the connector's endpoint; connects to nothing yet.
    pub fn new(connector: Connector, limits: HttpLimits, clock: Clock) -> Result<Self, http::Error> {
        let authority = HeaderValue::from_str(connector.endpoint().authority().as_str())?;
        Ok(Self {
            connector,
            authority,
            limits,
            clock,
            room: Semaphore::new(limits.connections_max),
            kept: Mutex::default(),
            is_closed: AtomicBool::new(false),
            closing: Notify::new(),
            stats: Arc::default(),
        })
    }

    /// Sends `request`, whose URI is path and query only, and reads the answer before `deadline`; waits for its turn no
    /// longer than three quarters of that, and is busy then. `written` is called each time the request is handed to a connection.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
        written: &(dyn Fn() + Send + Sync),
    ) -> Result<HttpAnswer, HttpFault> {
        let _room = self.take_room(deadline).await.map_err(HttpFault::Unsent)?;
        let _in_flight = Counted::new(&self.stats.streams_in_flight);
        let mut request = self.complete(request);
        // Ends: each kept connection is taken out, at most `connections_max` of them, and a fresh one is tried once.
        loop {
            let kept = self.take_kept(deadline).await;
            let is_fresh = kept.is_none();
            let mut line = match kept {
                Some(line) => line,
                None => self.open(deadline).await.map_err(HttpFault::Unsent)?,
            };
            written();
            match timeout_at(deadline, line.sender.try_send_request(request)).await {
                Err(_) => return Err(HttpFault::TimedOut),
                Ok(Ok(response)) => return self.read(response, line, deadline).await,
                Ok(Err(mut error)) => match error.take_message() {
                    Some(unwritten) if !is_fresh => request = unwritten,
                    Some(_) => return Err(HttpFault::Unsent(Unsent::Unavailable)),
                    None => return Err(HttpFault::Cut),
                },
            }
        }
    }

    /// Gives connections up that nobody uses any more, until the client is closed.
    pub async fn tend(&self) {
        while !self.is_closed.load(Ordering::Acquire) {
            tokio::select! {
                () = self.closing.notified() => (),
                () = tokio::time::sleep(KEPT_FOR) => self.forget_old(),
            }
        }
    }

    /// Takes no request any more; those on their way end as they would.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.room.close();
        self.closing.notify_one();
        self.kept().clear();
    }

    /// What it has counted: a request in flight stands as a stream.
    pub fn snapshot(&self) -> TransportSnapshot {
        self.stats.snapshot()
    }

    async fn take_room(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Unsent> {
        let _waits = Counted::new(&self.stats.queue_length);
        let latest = latest_for_room(self.clock.instant(), deadline);
        timeout_at(latest, self.room.acquire()).await.map_err(|_| Unsent::Busy)?.map_err(|_| Unsent::Closed)
    }

    fn complete(&self, request: Request<Bytes>) -> Request<Full<Bytes>> {
        let mut request = request.map(Full::new);
        request.headers_mut().insert(HOST, self.authority.clone());
        request.headers_mut().insert(USER_AGENT, AGENT);
        request
    }

    /// A kept connection that is ready for a request.
    async fn take_kept(&self, deadline: Instant) -> Option<Line> {
        self.forget_old();
        // Lets the connections' tasks see what has arrived meanwhile: a peer that hung up costs no request then.
        tokio::task::yield_now().await;
        loop {
            let mut line = self.kept().pop()?.line;
            if matches!(timeout_at(deadline, line.sender.ready()).await, Ok(Ok(()))) {
                return Some(line);
            }
        }
    }

    async fn open(&self, deadline: Instant) -> Result<Line, Unsent> {
        let deadline = deadline.min(self.clock.instant() + self.limits.connect_timeout);
        let opened = timeout_at(deadline, self.connect()).await.unwrap_or(Err(ConnectError::Late));
        match opened {
            Ok(line) => {
                self.stats.connects_ok.increase();
                Ok(line)
            }
            Err(fault) => {
                self.stats.connects_failed.increase();
                tracing::debug!(peer = %self.connector.endpoint().authority(), %fault, "cannot connect");
                Err(Unsent::Unavailable)
            }
        }
    }

    async fn connect(&self) -> Result<Line, ConnectError> {
        let stream: Box<dyn Stream> = if self.connector.endpoint().is_plain() {
            let (stream, address) = self.connector.connect_tcp(None).await?;
            if !address.ip().is_loopback() {
                return Err(ConnectError::Tcp(io::ErrorKind::PermissionDenied.into()));
            }
            Box::new(stream)
        } else {
            Box::new(self.connector.connect(None).await?.0)
        };
        let mut builder = Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let http = |error: hyper::Error| ConnectError::Tcp(io::Error::other(error));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(http)?;
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        self.stats.connections_open.increase();
        Ok(Line { sender, _driven: Driven(driver, Arc::clone(&self.stats)) })
    }

    /// A fault after the head leaves the status known, so it is an answer whose body is not whole.
    async fn read(
        &self,
        response: Response<Incoming>,
        line: Line,
        deadline: Instant,
    ) -> Result<HttpAnswer, HttpFault> {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let body_is_whole = loop {
            match timeout_at(deadline, incoming.frame()).await {
                Ok(None) => break true,
                Ok(Some(Ok(frame))) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let taken = data.len().min(self.limits.answer_bytes_max - body.len());
                    body.extend_from_slice(data.get(..taken).unwrap_or_default());
                    if taken < data.len() {
                        break false;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => break false,
            }
        };
        if body_is_whole && !self.is_closed.load(Ordering::Acquire) {
            self.kept().push(Kept { line, since: self.clock.instant() });
        }
        Ok(HttpAnswer { status: head.status, headers: head.headers, body: body.freeze(), body_is_whole })
    }

    fn forget_old(&self) {
        let now = self.clock.instant();
        self.kept().retain(|kept| now.saturating_duration_since(kept.since) < KEPT_FOR);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that stands in a gauge until this is dropped, also by a caller who gives up.
struct Counted<'a>(&'a Number);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Number) -> Self {
        gauge.increase();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.decrease();
    }
}

#[cfg(test)]
#[path = "http_client_tests.rs"]
mod tests;
