//! Kept connections to one door, for one worker thread: raw HTTP/1.1, and nothing that threads share.
//!
//! A call that was not written because its kept connection had ended goes over a fresh one; any other failure is the
//! caller's to judge. More calls than connections wait for one, which is counted: then the generator is the limit.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::clock::RunClock;

/// How long an idle connection is kept; less than the server keeps it.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Largest reply that is read.
const REPLY_BYTES_MAX: usize = 1 << 20;

type Sender = SendRequest<Full<Bytes>>;

/// The connections of one worker to one door.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    host: HeaderValue,
    clock: RunClock,
    permits: Semaphore,
    idle: RefCell<Vec<Idle>>,
    shortage: Cell<Shortage>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// What the machine did not give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shortage {
    /// Calls that waited because all allowed connections were in use.
    pub(super) waited: u64,
    /// Connections that failed because there was no file descriptor left.
    pub(super) no_descriptor: u64,
    /// Connections that failed because there was no port left.
    pub(super) no_port: u64,
}

impl Shortage {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            waited: self.waited + other.waited,
            no_descriptor: self.no_descriptor + other.no_descriptor,
            no_port: self.no_port + other.no_port,
        }
    }
}

/// Why a call got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// No connection.
    NotConnected,
    /// The machine had no file descriptor or port for it.
    NoSocket,
    /// The connection ended before the whole reply had come.
    Cut,
    /// No reply in time.
    Late,
    /// More than anybody would read.
    TooLong,
}

impl Lost {
    /// The word under which it is counted.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::NoSocket => "no_socket",
            Self::Cut => "cut",
            Self::Late => "no_reply",
            Self::TooLong => "reply_too_long",
        }
    }
}

/// A reply, read whole.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Problem<'a> {
    code: &'a str,
}

impl Reply {
    /// The code of its problem document, or a word for none.
    pub(super) fn code(&self) -> &str {
        serde_json::from_slice::<Problem<'_>>(&self.body)
            .map_or("not_a_problem_document", |problem| problem.code)
    }

    /// The pause that a refusal for now asks for; `None` for any other reply and where it names none.
    pub(super) fn asks_to_wait(&self) -> Option<Duration> {
        let is_for_now =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        self.retry_after.filter(|_| is_for_now)
    }
}

/// What came of a call, and when it went out.
#[derive(Debug)]
pub(super) struct Called<T> {
    pub(super) sent: Duration,
    pub(super) result: Result<T, Lost>,
}

/// An open reply: its connection is in use until this is dropped.
#[derive(Debug)]
pub(super) struct OpenReply<'d> {
    pub(super) body: Incoming,
    _permit: SemaphorePermit<'d>,
}

impl Door {
    /// A door without connections yet, of which there may be `connections_max`.
    pub(super) fn new(
        address: SocketAddr,
        host: HeaderValue,
        connections_max: usize,
        clock: RunClock,
    ) -> Self {
        Self {
            address,
            host,
            clock,
            permits: Semaphore::new(connections_max.max(1)),
            idle: RefCell::default(),
            shortage: Cell::default(),
        }
    }

    /// What the machine did not give so far.
    pub(super) fn shortage(&self) -> Shortage {
        self.shortage.get()
    }

    /// Sends a request and reads the reply whole, all within `deadline`.
    pub(super) async fn call(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Called<Reply> {
        let _permit = self.permit().await;
        let sent = self.clock.now();
        let exchanged = tokio::time::timeout(deadline, self.exchange(request)).await;
        Called { sent, result: exchanged.unwrap_or(Err(Lost::Late)) }
    }

    /// Sends a request; a reply with 200 stays open, any other is read whole, all within `deadline`.
    pub(super) async fn open(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Called<Result<OpenReply<'_>, Reply>> {
        let permit = self.permit().await;
        let sent = self.clock.now();
        let opened = tokio::time::timeout(deadline, async {
            // Its connection carries nothing else, so the sender is let go.
            let (response, sender) = self.send(request).await?;
            if response.status() == StatusCode::OK {
                return Ok(Ok(OpenReply { body: response.into_body(), _permit: permit }));
            }
            self.read(response, sender).await.map(Err)
        });
        Called { sent, result: opened.await.unwrap_or(Err(Lost::Late)) }
    }

    async fn permit(&self) -> SemaphorePermit<'_> {
        if let Ok(permit) = self.permits.try_acquire() {
            return permit;
        }
        self.count(|shortage| shortage.waited += 1);
        self.permits.acquire().await.expect("it is never closed")
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, Lost> {
        let (response, sender) = self.send(request).await?;
        self.read(response, sender).await
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Sender), Lost> {
        request.headers_mut().insert(HOST, self.host.clone());
        // Ends when no kept connection is left.
        loop {
            let kept = self.take();
            let is_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            if sender.ready().await.is_err() {
                if is_kept {
                    continue;
                }
                return Err(Lost::Cut);
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_kept => request = unsent,
                    Some(_) | None => return Err(Lost::Cut),
                },
            }
        }
    }

    async fn read(&self, response: Response<Incoming>, sender: Sender) -> Result<Reply, Lost> {
        let (head, body) = response.into_parts();
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = read_whole(body).await?;
        self.idle.borrow_mut().push(Idle { sender, since: Instant::now() });
        Ok(Reply { status: head.status, retry_after: seconds.map(Duration::from_secs), body })
    }

    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() > IDLE_TIME_MAX {
                // All below have been idle for longer.
                idle.clear();
            } else if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, Lost> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| self.not_connected(&error))?;
        stream.set_nodelay(true).map_err(|_| Lost::NotConnected)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| Lost::NotConnected)?;
        // Ends with its sender; what goes wrong on it the call in hand is told.
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    fn not_connected(&self, error: &io::Error) -> Lost {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE) => self.count(|shortage| shortage.no_descriptor += 1),
            Some(Errno::EADDRNOTAVAIL) => self.count(|shortage| shortage.no_port += 1),
            Some(_) | None => return Lost::NotConnected,
        }
        Lost::NoSocket
    }

    fn count(&self, change: impl FnOnce(&mut Shortage)) {
        let mut shortage = self.shortage.get();
        change(&mut shortage);
        self.shortage.set(shortage);
    }
}

/// A reply mostly is one piece and is then not copied.
async fn read_whole(mut body: Incoming) -> Result<Bytes, Lost> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Lost::Cut)?.into_data() else { continue };
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
        if all.len() > REPLY_BYTES_MAX {
            return Err(Lost::TooLong);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
