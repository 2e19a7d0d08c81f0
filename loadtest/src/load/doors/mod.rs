//! Kept connections to one door, for one worker thread: raw HTTP/1.1, over TLS or
//! plain, and nothing that threads share.
//!
//! The generator shares its processors with the server, so a call costs it little more than the system's own work: one
//! buffer is written, one buffer for all connections is read into, and what of the reply is needed is taken out there.
//!
//! A call that was not written because its kept connection had ended goes over a fresh one; any other failure is the
//! caller's to judge. More calls than connections wait for one, which is counted: then the generator is the limit.

mod call;
mod reply;
mod wire;

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use http::StatusCode;
use nix::errno::Errno;
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::clock::RunClock;
use super::target::Place;
use wire::Wire;

pub(super) use call::{Authorization, Call};
pub(super) use reply::ReplyReader;

/// How long an idle connection is kept; less than the server keeps it.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1_024;

/// The connections of one worker to one door.
#[derive(Debug)]
pub(super) struct Door {
    place: Place,
    clock: Cell<RunClock>,
    permits: Semaphore,
    /// Of calls that the server holds; less than all, so that others go on.
    held: Semaphore,
    idle: RefCell<Vec<Idle>>,
    /// What is read lies here until it has been taken in: never across an await.
    scratch: RefCell<Box<[u8]>>,
    shortage: Cell<Shortage>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    since: Instant,
}

/// How much of a door one worker may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections.
    pub(super) connections_max: usize,
    /// Calls that the server holds, at once.
    pub(super) held_max: usize,
}

/// What the machine did not give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shortage {
    /// Calls that waited because all allowed connections were in use.
    pub(super) waited: u64,
    /// Calls that the server may hold and that were sent later, because as many as may be were held already.
    pub(super) queued: u64,
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
            queued: self.queued + other.queued,
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
    pub(super) body: Vec<u8>,
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
    door: &'d Door,
    wire: Wire,
    reader: ReplyReader,
    _permits: [SemaphorePermit<'d>; 2],
}

impl OpenReply<'_> {
    /// What comes next of the body; `None` at its end and when the connection is cut.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let piece = self.reader.take();
            if !piece.is_empty() {
                return Some(piece);
            }
            if self.reader.is_done() || !self.door.read_more(&mut self.wire, &mut self.reader).await.ok()? {
                return None;
            }
        }
    }
}

impl Door {
    /// A door without connections yet.
    pub(super) fn new(place: Place, bounds: Bounds) -> Self {
        Self {
            place,
            clock: Cell::new(RunClock::start_now()),
            permits: Semaphore::new(bounds.connections_max.max(1)),
            held: Semaphore::new(bounds.held_max.max(1)),
            idle: RefCell::default(),
            scratch: RefCell::new(vec![0; READ_BYTES].into()),
            shortage: Cell::default(),
        }
    }

    /// A load begins: times count from its clock, and nothing has been wanting yet.
    pub(super) fn begin(&self, clock: RunClock) {
        self.clock.set(clock);
        self.shortage.take();
    }

    /// What the machine did not give so far.
    pub(super) fn shortage(&self) -> Shortage {
        self.shortage.get()
    }

    /// Makes a call and reads the reply whole, all within `deadline`.
    pub(super) async fn call(&self, call: Call<'_>, deadline: Duration) -> Called<Reply> {
        let _permit = self.permit().await;
        let sent = self.clock.get().now();
        let exchanged = tokio::time::timeout(deadline, async {
            let (wire, reader) = self.send(call).await?;
            self.read(wire, reader).await
        });
        Called { sent, result: exchanged.await.unwrap_or(Err(Lost::Late)) }
    }

    /// Makes a call that the server may hold: it waits for its turn among those before it is sent.
    pub(super) async fn call_held(&self, call: Call<'_>, deadline: Duration) -> Called<Reply> {
        let _turn = self.turn().await;
        self.call(call, deadline).await
    }

    /// Makes a call; a reply with 200 stays open, any other is read whole, all within `deadline`.
    pub(super) async fn open(
        &self,
        call: Call<'_>,
        deadline: Duration,
    ) -> Called<Result<OpenReply<'_>, Reply>> {
        let turn = self.turn().await;
        let permit = self.permit().await;
        let sent = self.clock.get().now();
        let opened = tokio::time::timeout(deadline, async {
            let (wire, reader) = self.send(call).await?;
            if reader.head().is_some_and(|head| head.status == StatusCode::OK) {
                return Ok(Ok(OpenReply { door: self, wire, reader, _permits: [turn, permit] }));
            }
            self.read(wire, reader).await.map(Err)
        });
        Called { sent, result: opened.await.unwrap_or(Err(Lost::Late)) }
    }

    async fn turn(&self) -> SemaphorePermit<'_> {
        if let Ok(turn) = self.held.try_acquire() {
            return turn;
        }
        self.count(|shortage| shortage.queued += 1);
        self.held.acquire().await.expect("it is never closed")
    }

    async fn permit(&self) -> SemaphorePermit<'_> {
        if let Ok(permit) = self.permits.try_acquire() {
            return permit;
        }
        self.count(|shortage| shortage.waited += 1);
        self.permits.acquire().await.expect("it is never closed")
    }

    /// Writes the call and reads until the head of the reply is there.
    async fn send(&self, call: Call<'_>) -> Result<(Wire, ReplyReader), Lost> {
        let bytes = call.to_bytes(&self.place.host);
        // Ends when no kept connection is left.
        let mut wire = loop {
            let kept = self.take();
            let is_kept = kept.is_some();
            let mut wire = match kept {
                Some(wire) => wire,
                None => self.connect().await?,
            };
            match wire.write_all(&bytes).await {
                Ok(()) => break wire,
                Err(_) if is_kept => {}
                Err(_) => return Err(Lost::Cut),
            }
        };
        let mut reader = ReplyReader::default();
        while reader.head().is_none() {
            if !self.read_more(&mut wire, &mut reader).await? {
                return Err(Lost::Cut);
            }
        }
        Ok((wire, reader))
    }

    async fn read(&self, mut wire: Wire, mut reader: ReplyReader) -> Result<Reply, Lost> {
        while !reader.is_done() {
            if !self.read_more(&mut wire, &mut reader).await? && !reader.close() {
                return Err(Lost::Cut);
            }
        }
        if reader.may_go_on() {
            self.idle.borrow_mut().push(Idle { wire, since: Instant::now() });
        }
        let head = reader.head().ok_or(Lost::Cut)?;
        Ok(Reply { status: head.status, retry_after: head.retry_after, body: reader.take() })
    }

    /// Takes in what comes next; `false` when the connection has ended.
    async fn read_more(&self, wire: &mut Wire, reader: &mut ReplyReader) -> Result<bool, Lost> {
        wire.read_with(&self.scratch, |bytes| {
            if bytes.is_empty() { Ok(false) } else { reader.feed(bytes).map(|()| true) }
        })
        .await
        .unwrap_or(Err(Lost::Cut))
    }

    fn take(&self) -> Option<Wire> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { wire, since }) = idle.pop() {
            if since.elapsed() > IDLE_TIME_MAX {
                // All below have been idle for longer.
                idle.clear();
            } else if wire.is_quiet() {
                return Some(wire);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Wire, Lost> {
        Wire::connect(&self.place).await.map_err(|error| self.not_connected(&error))
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
