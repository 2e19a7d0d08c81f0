//! What waits to be written, and the pen, which one writer has at a time.
//!
//! Invariants: verbs are taken in the order in which they came; the pen is taken for all that was taken before, and it
//! does not come back from a write that failed: from then on nothing is taken, and nobody waits in vain.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::key::Key;
use crate::verb::Verb;
use crate::verb::audit::AuditHead;

/// How often an idle writer shows that it lives.
const TICK: Duration = Duration::from_millis(500);

/// Verbs that are enough for a write, where more wait and the pen is free: the others are decided while these are
/// written. With fewer a write would cost more than it spares.
const VERBS_ENOUGH: usize = 32;

/// Submissions that are taken at a time.
const TAKEN_MAX: usize = 32;

/// What the writers are asked for.
pub(super) enum Submission {
    /// A verb, and when it was submitted.
    Verb(Verb, Instant),
    /// Remove the rows from the first key to before the second; their retention is over.
    Sweep(Key, Key),
}

impl Submission {
    /// Whether it can wait for others.
    pub(super) fn is_unawaited_mark(&self) -> bool {
        matches!(self, Self::Verb(verb, _) if verb.is_unawaited_mark())
    }
}

/// The right to write.
pub(super) struct Pen {
    /// The last row of the audit trail.
    pub(super) audit_head: AuditHead,
}

/// Why a verb is not taken.
pub(super) enum Refused {
    /// So many wait already.
    Full(usize),
    /// Nothing is written any more.
    Ended,
}

/// What whoever asked for something to decide gets.
pub(super) enum Taken {
    /// Something.
    Some,
    /// Nothing came in time.
    Nothing,
    /// Nothing will come any more; whether what is decided may still be written.
    Ended { may_write: bool },
}

/// How whoever has something to write goes on.
pub(super) enum Next {
    /// More was taken.
    Decide,
    /// It may be written.
    Write(Pen),
    /// Nothing is written any more.
    Stop,
}

/// Between those who submit and those who write.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    verbs_max: usize,
    /// Turns `true` when a write failed.
    pub(super) stopped: watch::Sender<bool>,
}

struct State {
    waiting: VecDeque<Submission>,
    /// Verbs that came and are not written yet, nor being written.
    verbs: usize,
    /// `None` while somebody writes.
    pen: Option<Pen>,
    is_closing: bool,
    has_failed: bool,
    /// Whether a writer waits for a change; only the one that decides does.
    is_awaited: bool,
    /// When a writer last showed that it lives.
    seen_at: Instant,
}

impl Queue {
    /// An empty one that holds at most so many verbs.
    pub(super) fn new(verbs_max: usize, pen: Pen) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            verbs: 0,
            pen: Some(pen),
            is_closing: false,
            has_failed: false,
            is_awaited: false,
            seen_at: Instant::now(),
        };
        let (state, changed, stopped) = (Mutex::new(state), Condvar::new(), watch::Sender::new(false));
        Self { state, changed, verbs_max, stopped }
    }

    /// Takes a verb, or gives it back.
    pub(super) fn submit(&self, verb: Verb) -> Result<(), (Verb, Refused)> {
        let mut state = self.state();
        if state.is_closing || state.has_failed {
            return Err((verb, Refused::Ended));
        }
        if state.verbs >= self.verbs_max {
            return Err((verb, Refused::Full(state.verbs)));
        }
        state.verbs += 1;
        state.waiting.push_back(Submission::Verb(verb, Instant::now()));
        self.tell(state);
        Ok(())
    }

    /// Asks for rows to be removed, unless the queue is full: the next sweep finds the same.
    pub(super) fn sweep(&self, from: Key, to: Key) {
        let mut state = self.state();
        if state.verbs < self.verbs_max && !state.is_closing && !state.has_failed {
            state.waiting.push_back(Submission::Sweep(from, to));
            self.tell(state);
        }
    }

    /// Verbs that came and are not written yet, nor being written.
    pub(super) fn verbs(&self) -> usize {
        self.state().verbs
    }

    /// Whether a write failed.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// How long ago a writer last showed that it lives. Whoever only waits for another one's write shows nothing.
    pub(super) fn idle_for(&self) -> Duration {
        self.state().seen_at.elapsed()
    }

    /// Takes nothing more; what waits is still written.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closing = true;
        self.tell(state);
    }

    /// Waits up to `patience` for something to decide.
    pub(super) fn take(&self, patience: Duration, into: &mut Vec<Submission>) -> Taken {
        let until = Instant::now() + patience.min(TICK);
        let mut state = self.state();
        loop {
            state.show_life();
            if state.has_failed {
                return Taken::Ended { may_write: false };
            }
            if !state.waiting.is_empty() {
                state.take(into);
                return Taken::Some;
            }
            if state.is_closing {
                return Taken::Ended { may_write: true };
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            state.is_awaited = true;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.is_awaited = false;
        }
    }

    /// What to do with so many verbs that are decided: waits until they may be written, and takes more meanwhile
    /// while there is room for them.
    pub(super) fn next(&self, decided: usize, has_room: bool, into: &mut Vec<Submission>) -> Next {
        let mut state = self.state();
        loop {
            if state.has_failed {
                return Next::Stop;
            }
            let can_take = has_room && !state.waiting.is_empty();
            if (decided >= VERBS_ENOUGH || !can_take)
                && let Some(pen) = state.pen.take()
            {
                state.verbs = state.verbs.saturating_sub(decided);
                state.seen_at = Instant::now();
                return Next::Write(pen);
            }
            if can_take {
                state.take(into);
                return Next::Decide;
            }
            state.is_awaited = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.is_awaited = false;
        }
    }

    /// Counts verbs out that are not decided with a group.
    pub(super) fn forget(&self, verbs: usize) {
        let mut state = self.state();
        state.verbs = state.verbs.saturating_sub(verbs);
    }

    /// Whether nobody writes.
    pub(super) fn has_pen(&self) -> bool {
        self.state().pen.is_some()
    }

    /// Gives the pen back behind a write.
    pub(super) fn give_back(&self, pen: Pen) {
        let mut state = self.state();
        state.pen = Some(pen);
        state.show_life();
        self.tell(state);
    }

    /// Stops all: answers with what waits, which is to be refused.
    pub(super) fn fail(&self) -> VecDeque<Submission> {
        self.stopped.send_replace(true);
        let mut state = self.state();
        state.has_failed = true;
        state.verbs = 0;
        let refused = std::mem::take(&mut state.waiting);
        self.tell(state);
        refused
    }

    /// Nothing that is done under the lock can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits, if somebody does: it costs a call of the system.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let is_awaited = state.is_awaited;
        drop(state);
        if is_awaited {
            self.changed.notify_one();
        }
    }
}

impl State {
    fn take(&mut self, into: &mut Vec<Submission>) {
        let count = self.waiting.len().min(TAKEN_MAX);
        into.extend(self.waiting.drain(..count));
    }

    fn show_life(&mut self) {
        if self.pen.is_some() {
            self.seen_at = Instant::now();
        }
    }
}
