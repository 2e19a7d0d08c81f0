//! The pace of a connection: a caller that is slow with the head of a request, slow to take its reply, or quiet for
//! too long is cut off, so that nobody holds a place for nothing.
//!
//! ```text
//!            first byte            head complete             reply taken
//!   quiet ───────────────► head ──────────────────► serving ─────────────► quiet
//!   KEEP_ALIVE             head_time_max            no limit here
//! ```
//!
//! While a call is served, time limits are those of the body and of the call itself. Its reply must be taken: whenever
//! bytes can be written no further, be it that the socket is full or that the peer opens no window of HTTP/2 for them,
//! the peer has `write_time_max` to take some. A reply that has nothing to say for the moment waits for nobody.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection may be quiet between two requests, and before the first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Longest time without progress for a reply that is being written.
pub(super) const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing was asked for too long.
    Quiet,
    /// The head of a request did not come in time.
    SlowHead,
    /// A reply was not taken.
    SlowReader,
}

/// What a connection is at.
#[derive(Debug)]
pub(super) struct Pace {
    head_time_max: Duration,
    write_time_max: Duration,
    has_heads: Cell<bool>,
    quiet_since: Cell<Instant>,
    head_since: Cell<Option<Instant>>,
    write_stalled_since: Cell<Option<Instant>>,
    calls_open: Cell<usize>,
    calls_answered: Cell<u64>,
    /// Replies with bytes that wait to be taken: until when some of each must be. No more than calls are open.
    untaken: RefCell<Vec<Rc<Cell<Instant>>>>,
}

/// A call that is open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall(Rc<Pace>);

/// The reply to a call, which is open as long as its body or a piece of it is there.
#[derive(Debug)]
pub(super) struct OpenReply {
    call: OpenCall,
    pieces: Cell<usize>,
    take_by: Rc<Cell<Instant>>,
}

impl Pace {
    pub(super) fn new(head_time_max: Duration, write_time_max: Duration) -> Rc<Self> {
        Rc::new(Self {
            head_time_max,
            write_time_max,
            has_heads: Cell::new(false),
            quiet_since: Cell::new(Instant::now()),
            head_since: Cell::new(None),
            write_stalled_since: Cell::new(None),
            calls_open: Cell::new(0),
            calls_answered: Cell::new(0),
            untaken: RefCell::default(),
        })
    }

    /// From now on, whatever is read while no call is open belongs to a head. Not so in a TLS handshake; and HTTP/2
    /// has no time at which a head begins, since the library reads frames of all streams. A head of which a part came
    /// with the end of the handshake has its time from the next part on.
    pub(super) fn expect_heads(&self) {
        self.has_heads.set(true);
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

    /// Bytes came from the peer.
    pub(super) fn read_some(&self) {
        if self.has_heads.get() && self.calls_open.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// The socket took some of what it was given, or is full.
    pub(super) fn wrote(&self, is_stalled: bool) {
        if !is_stalled {
            self.write_stalled_since.set(None);
        } else if self.write_stalled_since.get().is_none() {
            self.write_stalled_since.set(Some(Instant::now()));
        }
    }

    /// When the connection is to be cut, as things stand.
    fn due(&self) -> Option<(Instant, Cut)> {
        let stalled = self.write_stalled_since.get().map(|since| since + self.write_time_max);
        let untaken = self.untaken.borrow().iter().map(|take_by| take_by.get()).min();
        let slow = stalled.into_iter().chain(untaken).min().map(|at| (at, Cut::SlowReader));
        if self.calls_open.get() > 0 {
            return slow;
        }
        let waiting = match self.head_since.get() {
            Some(since) => (since + self.head_time_max, Cut::SlowHead),
            None => (self.quiet_since.get() + KEEP_ALIVE, Cut::Quiet),
        };
        slow.into_iter().chain([waiting]).min_by_key(|(at, _)| *at)
    }
}

impl OpenCall {
    /// The reply is there.
    pub(super) fn reply(self) -> Rc<OpenReply> {
        // Set once there is something to take.
        let take_by = Rc::new(Cell::new(self.0.quiet_since.get()));
        Rc::new(OpenReply { call: self, pieces: Cell::new(0), take_by })
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

impl OpenReply {
    /// A piece of the reply waits to be taken.
    pub(super) fn offer(&self) {
        self.pieces.set(self.pieces.get() + 1);
        if self.pieces.get() == 1 {
            self.took_some();
            self.call.0.untaken.borrow_mut().push(Rc::clone(&self.take_by));
        }
    }

    /// Some of a piece was taken.
    pub(super) fn took_some(&self) {
        self.take_by.set(Instant::now() + self.call.0.write_time_max);
    }

    /// All of a piece was taken, or nobody wants it any more.
    pub(super) fn is_rid_of(&self) {
        self.pieces.set(self.pieces.get() - 1);
        if self.pieces.get() == 0 {
            self.call.0.untaken.borrow_mut().retain(|take_by| !Rc::ptr_eq(take_by, &self.take_by));
        } else {
            self.took_some();
        }
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
#[path = "pace_tests.rs"]
mod tests;
