//! The pace of a connection: a caller that is slow with the head of a request, slow to read its reply, or quiet for
//! too long is cut off, so that nobody holds a place for nothing.
//!
//! ```text
//!            first byte            head complete             reply ended
//!   quiet ───────────────► head ──────────────────► serving ─────────────► quiet
//!   KEEP_ALIVE             head_time_max            no limit here
//! ```
//!
//! While a call is served, time limits are those of the body and of the call itself. Whenever a reply cannot be
//! written any further, the peer has [`WRITE_TIME_MAX`] to read some of it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection may be quiet between two requests, and before the first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Longest time without progress for a reply that is being written.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing was asked for too long.
    Quiet,
    /// The head of a request did not come in time.
    SlowHead,
    /// The reply was not read.
    SlowReader,
}

/// What a connection is at.
#[derive(Debug)]
pub(super) struct Pace {
    head_time_max: Duration,
    /// HTTP/2 has no time at which a head begins: the library reads frames of all streams.
    has_heads: bool,
    quiet_since: Cell<Instant>,
    head_since: Cell<Option<Instant>>,
    write_stalled_since: Cell<Option<Instant>>,
    calls_open: Cell<usize>,
    calls_answered: Cell<u64>,
}

/// A call that is open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall(Rc<Pace>);

impl Pace {
    pub(super) fn new(head_time_max: Duration, has_heads: bool) -> Rc<Self> {
        Rc::new(Self {
            head_time_max,
            has_heads,
            quiet_since: Cell::new(Instant::now()),
            head_since: Cell::new(None),
            write_stalled_since: Cell::new(None),
            calls_open: Cell::new(0),
            calls_answered: Cell::new(0),
        })
    }

    /// The head of a request is complete.
    pub(super) fn begin(self: &Rc<Self>) -> OpenCall {
        self.head_since.set(None);
        self.calls_open.set(self.calls_open.get() + 1);
        OpenCall(Rc::clone(self))
    }

    /// Whether a call was answered and none is open.
    pub(super) fn has_answered(&self) -> bool {
        self.calls_answered.get() > 0 && self.calls_open.get() == 0
    }

    fn read_some(&self) {
        if self.has_heads && self.calls_open.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    fn wrote(&self, is_stalled: bool) {
        if !is_stalled {
            self.write_stalled_since.set(None);
        } else if self.write_stalled_since.get().is_none() {
            self.write_stalled_since.set(Some(Instant::now()));
        }
    }

    /// When the connection is to be cut, as things stand.
    fn due(&self) -> Option<(Instant, Cut)> {
        let stalled = self.write_stalled_since.get().map(|since| (since + WRITE_TIME_MAX, Cut::SlowReader));
        if self.calls_open.get() > 0 {
            return stalled;
        }
        let waiting = match self.head_since.get() {
            Some(since) => (since + self.head_time_max, Cut::SlowHead),
            None => (self.quiet_since.get() + KEEP_ALIVE, Cut::Quiet),
        };
        stalled.into_iter().chain([waiting]).min_by_key(|(at, _)| *at)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let pace = &self.0;
        pace.calls_open.set(pace.calls_open.get() - 1);
        pace.calls_answered.set(pace.calls_answered.get() + 1);
        pace.quiet_since.set(Instant::now());
    }
}

/// A stream that tells the pace what passes through it.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Rc<Pace>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Rc<Pace>) -> Self {
        Self { stream, pace }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.pace.read_some();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.pace.wrote(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.pace.wrote(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_pending() {
            self.pace.wrote(true);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        if shut.is_pending() {
            self.pace.wrote(true);
        }
        shut
    }
}

/// Looks at the pace of a connection whenever anything happens on it, and when its time is over.
pub(super) struct Watch {
    pace: Rc<Pace>,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    pub(super) fn new(pace: Rc<Pace>) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + pace.head_time_max.min(KEEP_ALIVE)));
        Self { pace, timer }
    }
}

impl Future for Watch {
    type Output = Cut;

    /// To be polled after the connection, in the same task. The timer is only ever moved when it would ring too
    /// late; one that rings too early is wound again.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Cut> {
        loop {
            let Some((at, cut)) = self.pace.due() else {
                return Poll::Pending;
            };
            if at <= Instant::now() {
                return Poll::Ready(cut);
            }
            if self.timer.deadline() > at || self.timer.is_elapsed() {
                self.timer.as_mut().reset(at);
            }
            ready!(self.timer.as_mut().poll(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(5);

    fn due(pace: &Pace) -> (Duration, Cut) {
        let (at, cut) = pace.due().expect("a time");
        (at.saturating_duration_since(Instant::now()), cut)
    }

    #[test]
    fn a_quiet_connection_has_longer_than_one_with_half_a_head() {
        let pace = Pace::new(HEAD, true);
        let (time, cut) = due(&pace);
        assert!(cut == Cut::Quiet && time > HEAD && time <= KEEP_ALIVE, "{time:?}");
        pace.read_some();
        let (time, cut) = due(&pace);
        assert!(cut == Cut::SlowHead && time <= HEAD, "{time:?}");
    }

    #[test]
    fn bytes_that_drip_do_not_lengthen_the_time_of_a_head() {
        let pace = Pace::new(HEAD, true);
        pace.read_some();
        let first = pace.due();
        let begun = Instant::now();
        while Instant::now() == begun {}
        pace.read_some();
        assert_eq!(pace.due(), first);
    }

    #[test]
    fn a_call_may_take_its_time_and_the_next_head_has_its_own() {
        let pace = Pace::new(HEAD, true);
        pace.read_some();
        let (call, other) = (pace.begin(), pace.begin());
        assert_eq!(pace.due(), None);
        drop(call);
        assert_eq!((pace.due(), pace.has_answered()), (None, false), "one is open still");
        drop(other);
        assert!(pace.has_answered());
        assert_eq!(due(&pace).1, Cut::Quiet);
        pace.read_some();
        assert_eq!(due(&pace).1, Cut::SlowHead);
    }

    #[test]
    fn http2_has_no_time_at_which_a_head_begins() {
        let pace = Pace::new(HEAD, false);
        pace.read_some();
        assert_eq!(due(&pace).1, Cut::Quiet);
    }

    #[test]
    fn a_reply_that_is_not_read_is_cut_also_in_the_midst_of_a_call() {
        let pace = Pace::new(HEAD, true);
        let _call = pace.begin();
        pace.wrote(true);
        let first = pace.due();
        assert_eq!(first.map(|(_, cut)| cut), Some(Cut::SlowReader));
        pace.wrote(true);
        assert_eq!(pace.due(), first, "no progress");
        pace.wrote(false);
        assert_eq!(pace.due(), None);
    }

    #[tokio::test]
    async fn the_watch_rings_when_time_is_over_although_it_was_wound_for_later() {
        let head = Duration::from_millis(20);
        let pace = Pace::new(head, true);
        let mut watch =
            Watch { pace: Rc::clone(&pace), timer: Box::pin(sleep_until(Instant::now() + KEEP_ALIVE)) };
        let begun = Instant::now();
        pace.read_some();
        assert_eq!((&mut watch).await, Cut::SlowHead);
        assert!(begun.elapsed() >= head);
    }
}
