//! One HTTP/2 connection: first SETTINGS, changing limits, PING, GOAWAY.
//!
//! Whoever polls the h2 connection sees the peer's limit and GOAWAY first, so one task does it and tells the
//! pool. Requests do not pass through here: they use a clone of the h2 handle.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong, Reason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::gathered::Gathered;
use super::keepalive::{Health, Keepalive};

/// Largest header list of an answer.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// How long a connection that takes no new streams may still finish the old ones.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How far the pool is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It works.
    Open,
    /// Streams may end, none begins.
    Draining,
    /// Everything ends now.
    Gone,
}

/// What the pool has to know of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The peer allows so many streams now.
    Limit(usize),
    /// The connection takes no new streams.
    Leaving {
        /// Whether the peer said so by GOAWAY.
        by_goaway: bool,
    },
    /// It answered a PING.
    Pong,
    /// It did not.
    PingLost,
}

/// What requests on a connection tell the task that drives it.
#[derive(Debug)]
pub(super) struct Vitals {
    opened: Instant,
    heard_after_ms: AtomicU64,
    has_answered: AtomicBool,
    is_suspect: AtomicBool,
    is_retired: AtomicBool,
    signal: Notify,
}

impl Vitals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            opened: now,
            heard_after_ms: AtomicU64::new(0),
            has_answered: AtomicBool::new(false),
            is_suspect: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            signal: Notify::new(),
        }
    }

    /// The peer was heard. Whether that was its first answer.
    pub(super) fn hear(&self, now: Instant) -> bool {
        let after = now.saturating_duration_since(self.opened).as_millis();
        self.heard_after_ms.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
        !self.has_answered.swap(true, Ordering::Relaxed)
    }

    /// A request had no answer in time: ask now whether the connection lives.
    pub(super) fn suspect(&self) {
        self.is_suspect.store(true, Ordering::Release);
        self.signal.notify_one();
    }

    /// Begin no new stream and end with the last one.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        self.signal.notify_one();
    }

    fn heard(&self) -> Instant {
        self.opened + Duration::from_millis(self.heard_after_ms.load(Ordering::Relaxed))
    }
}

/// A connection whose first SETTINGS have come.
pub(super) struct Live<T> {
    connection: Connection<Gathered<T>, Bytes>,
    pings: PingPong,
    /// The peer's limit as last told.
    pub(super) limit: usize,
}

enum Woken {
    Limit(usize),
    GoneAway,
    Ended,
    Pong,
    Signal,
    Time,
    Phase,
}

/// Speaks the preface and waits for the peer's first SETTINGS. Before them h2 may open no stream at all
/// (`initial_max_send_streams` is 0), so any other limit means that they came.
pub(super) async fn open<T>(stream: T) -> Result<(Live<T>, SendRequest<Bytes>), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = Builder::new();
    builder.initial_max_send_streams(0).enable_push(false).max_header_list_size(HEADER_LIST_BYTES_MAX);
    let (requests, mut connection) = builder.handshake::<_, Bytes>(Gathered(stream)).await?;
    let pings = connection.ping_pong().ok_or(Reason::INTERNAL_ERROR)?;
    let limit = poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(Err(ended.err().unwrap_or_else(|| Reason::NO_ERROR.into())));
        }
        match connection.max_concurrent_send_streams() {
            0 => Poll::Pending,
            limit => Poll::Ready(Ok(limit)),
        }
    })
    .await?;
    Ok((Live { connection, pings, limit }, requests))
}

impl<T> Live<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    /// Drives the connection until it ends. `watched` shows GOAWAY and is let go of when no new stream may
    /// begin, because h2 closes a connection without handles once its streams have ended.
    pub(super) async fn run(
        mut self,
        watched: SendRequest<Bytes>,
        vitals: &Vitals,
        mut keepalive: Keepalive,
        mut phase: watch::Receiver<Phase>,
        now: impl Fn() -> Instant,
        mut tell: impl FnMut(Event),
    ) {
        let mut watched = Some(watched);
        let mut drain_ends: Option<Instant> = None;
        loop {
            let due_at = drain_ends.unwrap_or_else(|| keepalive.due_at(vitals.heard()));
            let mut leave = None;
            match self.wake(&mut watched, vitals, &mut phase, due_at).await {
                Woken::Limit(limit) => {
                    self.limit = limit;
                    tell(Event::Limit(limit));
                }
                Woken::GoneAway => leave = Some(true),
                Woken::Ended => return,
                Woken::Pong => {
                    keepalive.answered();
                    vitals.heard_after_ms.fetch_max(elapsed_ms(vitals.opened, now()), Ordering::Relaxed);
                    tell(Event::Pong);
                }
                Woken::Signal => {
                    if vitals.is_retired.load(Ordering::Acquire) {
                        leave = Some(false);
                    }
                    if vitals.is_suspect.swap(false, Ordering::AcqRel) && keepalive.ask(now()) == Health::Ask
                    {
                        self.ping();
                    }
                }
                Woken::Time if drain_ends.is_some() => return,
                Woken::Time => match keepalive.check(now(), vitals.heard()) {
                    Health::Fine => (),
                    Health::Ask => self.ping(),
                    Health::Dead => {
                        tell(Event::PingLost);
                        return;
                    }
                },
                Woken::Phase if *phase.borrow_and_update() == Phase::Gone => return,
                Woken::Phase => leave = Some(false),
            }
            if let Some(by_goaway) = leave.filter(|_| watched.take().is_some()) {
                drain_ends = Some(now() + DRAIN_MAX);
                tell(Event::Leaving { by_goaway });
            }
        }
    }

    /// Waits for whatever comes first. Dropping the future loses nothing: all state is in `self`.
    async fn wake(
        &mut self,
        watched: &mut Option<SendRequest<Bytes>>,
        vitals: &Vitals,
        phase: &mut watch::Receiver<Phase>,
        due_at: Instant,
    ) -> Woken {
        let Self { connection, pings, limit } = self;
        tokio::select! {
            biased;
            woken = poll_fn(|context| poll_connection(connection, watched, *limit, context)) => woken,
            answer = poll_fn(|context| pings.poll_pong(context)) => match answer {
                Ok(_) => Woken::Pong,
                Err(_) => Woken::Ended,
            },
            () = vitals.signal.notified() => Woken::Signal,
            // The sender lives as long as the pool; without one there is nothing to serve.
            changed = phase.changed() => if changed.is_ok() { Woken::Phase } else { Woken::Ended },
            () = sleep_until(due_at) => Woken::Time,
        }
    }

    fn ping(&mut self) {
        // Refused only while an earlier PING has no answer, which serves as well.
        let _already_asked = self.pings.send_ping(Ping::opaque());
    }
}

fn poll_connection<T>(
    connection: &mut Connection<Gathered<T>, Bytes>,
    watched: &mut Option<SendRequest<Bytes>>,
    known_limit: usize,
    context: &mut Context<'_>,
) -> Poll<Woken>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(context) {
        if let Err(error) = ended {
            tracing::debug!(error = %error, "http/2 connection ended");
        }
        return Poll::Ready(Woken::Ended);
    }
    if let Some(requests) = watched
        && let Poll::Ready(Err(error)) = requests.poll_ready(context)
    {
        tracing::debug!(error = %error, "peer takes no new streams");
        return Poll::Ready(Woken::GoneAway);
    }
    match connection.max_concurrent_send_streams() {
        limit if limit != known_limit => Poll::Ready(Woken::Limit(limit)),
        _ => Poll::Pending,
    }
}

fn elapsed_ms(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_the_first_answer_is_the_first() {
        let now = Instant::now();
        let vitals = Vitals::new(now);
        assert!(vitals.hear(now + SECOND));
        assert!(!vitals.hear(now + 2 * SECOND));
        assert_eq!(vitals.heard(), now + 2 * SECOND);
    }
}
