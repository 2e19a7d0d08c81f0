//! What waits to be written; the desk, at which one writer at a time decides, and the pen, with which one at a time writes.
//!
//! Invariants: verbs are taken in the order in which they came; the pen is taken for all that was taken before, and it
//! does not come back from a write that failed: from then on nothing is taken, and nobody waits in vain. Whoever submits
//! wakes a writer only where none is up that would look here before it sleeps, or where so much waits that a second one
//! should decide while the first writes: to be woken costs a thread more than a verb.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::writer::Desk;
use crate::key::Key;
use crate::verb::Verb;
use crate::verb::audit::AuditHead;

/// How often an idle writer shows that it lives.
const TICK: Duration = Duration::from_millis(500);

/// Writers: one that writes, and one that decides what is written next where much waits.
pub(super) const WRITERS: usize = 2;

/// Verbs that are enough for a write, where more wait and the pen is free: the others are decided while these are
/// written. With fewer a write would cost more than it spares.
const VERBS_ENOUGH: usize = 128;

/// Submissions that are taken at a time.
const TAKEN_MAX: usize = 32;

/// Submissions for which a second writer gets up while the first writes.
const AHEAD_MIN: usize = 128;

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
    /// Rings for a writer that has nothing to do.
    work: Condvar,
    /// Rings for the writer at the desk that has decided something and waits for the pen.
    pen_back: Condvar,
    verbs_max: usize,
    /// Turns `true` when a write failed.
    pub(super) stopped: watch::Sender<bool>,
}

struct State {
    waiting: VecDeque<Submission>,
    /// Verbs that came and are not written yet, nor being written.
    verbs: usize,
    /// `None` while somebody decides.
    desk: Option<Desk>,
    /// `None` while somebody writes.
    pen: Option<Pen>,
    is_closing: bool,
    has_failed: bool,
    /// Writers that have nothing to do.
    asleep: usize,
    /// Those of them that were called and are not up yet.
    called: usize,
    /// Whether the writer at the desk sleeps until the pen is back,
    is_pen_awaited: bool,
    /// and whether it would rather take more meanwhile.
    has_room: bool,
    /// When a writer last showed that it lives.
    seen_at: Instant,
}

impl Queue {
    /// An empty one that holds at most so many verbs.
    pub(super) fn new(verbs_max: usize, desk: Desk, pen: Pen) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            verbs: 0,
            desk: Some(desk),
            pen: Some(pen),
            is_closing: false,
            has_failed: false,
            asleep: 0,
            called: 0,
            is_pen_awaited: false,
            has_room: false,
            seen_at: Instant::now(),
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            pen_back: Condvar::new(),
            verbs_max,
            stopped: watch::Sender::new(false),
        }
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
        let can_ride = verb.is_unawaited_mark() && state.has_marks();
        state.verbs += 1;
        state.waiting.push_back(Submission::Verb(verb, Instant::now()));
        self.tell(state, can_ride);
        Ok(())
    }

    /// Asks for rows to be removed, unless the queue is full: the next sweep finds the same.
    pub(super) fn sweep(&self, from: Key, to: Key) {
        let mut state = self.state();
        if state.verbs < self.verbs_max && !state.is_closing && !state.has_failed {
            state.waiting.push_back(Submission::Sweep(from, to));
            self.tell(state, false);
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
        self.state().is_closing = true;
        self.work.notify_all();
    }

    /// Waits for something to decide, takes it, and gives the desk to decide it at; only marks may have been taken, or
    /// nothing where marks that ride are due. `None` when nothing will come any more.
    pub(super) fn sit_down(&self, into: &mut Vec<Submission>) -> Option<Desk> {
        let mut state = self.state();
        loop {
            state.show_life();
            if state.has_failed {
                return None;
            }
            if state.has_work() {
                state.take(into);
                return state.desk.take();
            }
            if state.is_closing && state.desk.is_some() {
                return None;
            }
            let patience = state.patience();
            state.asleep += 1;
            state = self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            state.asleep -= 1;
            state.called = state.called.saturating_sub(1);
        }
    }

    /// Gives the desk back.
    pub(super) fn stand_up(&self, desk: Desk) {
        let mut state = self.state();
        state.desk = Some(desk);
        if state.is_closing {
            self.work.notify_all();
        } else {
            self.tell(state, false);
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
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
            (state.is_pen_awaited, state.has_room) = (true, has_room);
            state = self.pen_back.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.is_pen_awaited = false;
        }
    }

    /// Counts verbs out that are not decided with a group.
    pub(super) fn forget(&self, verbs: usize) {
        let mut state = self.state();
        state.verbs = state.verbs.saturating_sub(verbs);
    }

    /// Gives the pen back behind a write.
    pub(super) fn give_back(&self, pen: Pen) {
        let mut state = self.state();
        state.pen = Some(pen);
        state.show_life();
        let is_awaited = std::mem::take(&mut state.is_pen_awaited);
        // What is in the database now need not be laid over it; freed once the lock is.
        let written = state.desk.as_mut().and_then(Desk::forget_unwritten);
        drop(state);
        if is_awaited {
            self.pen_back.notify_one();
        }
        drop(written);
    }

    /// Stops all: answers with what waits, which is to be refused.
    pub(super) fn fail(&self) -> VecDeque<Submission> {
        self.stopped.send_replace(true);
        let mut state = self.state();
        state.has_failed = true;
        state.verbs = 0;
        let refused = std::mem::take(&mut state.waiting);
        drop(state);
        self.work.notify_all();
        self.pen_back.notify_all();
        refused
    }

    /// Nothing that is done under the lock can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a writer if one is needed: a call costs one of the system, and a turn of a thread.
    fn tell(&self, mut state: MutexGuard<'_, State>, can_ride: bool) {
        if state.is_pen_awaited {
            // Whoever is at the desk need not get up for every single one.
            let has_much = state.has_room && state.waiting.len() >= TAKEN_MAX;
            state.is_pen_awaited = !has_much;
            drop(state);
            if has_much {
                self.pen_back.notify_one();
            }
            return;
        }
        let idle = state.asleep - state.called.min(state.asleep);
        let nobody_is_up = idle == WRITERS;
        let is_needed = nobody_is_up && !can_ride && !state.waiting.is_empty()
            || state.waiting.len() >= AHEAD_MIN && state.desk.is_some();
        let is_called = idle > 0 && is_needed;
        if is_called {
            state.called += 1;
        }
        drop(state);
        if is_called {
            self.work.notify_one();
        }
    }
}

impl State {
    fn take(&mut self, into: &mut Vec<Submission>) {
        let count = self.waiting.len().min(TAKEN_MAX);
        into.extend(self.waiting.drain(..count));
    }

    /// Whether somebody should sit down at the desk now.
    fn has_work(&self) -> bool {
        let Some(desk) = &self.desk else { return false };
        if self.is_closing {
            return !self.waiting.is_empty() || desk.has_marks();
        }
        let can_write = self.pen.is_some();
        let is_due = desk.marks_due_in().is_some_and(|wait| wait.is_zero());
        can_write && (is_due || !self.waiting.is_empty()) || self.waiting.len() >= AHEAD_MIN
    }

    /// How long a writer with nothing to do may sleep. Whoever writes looks here when it is done.
    fn patience(&self) -> Duration {
        let can_write = self.pen.is_some();
        let due = self.desk.as_ref().filter(|_| can_write).and_then(Desk::marks_due_in);
        due.unwrap_or(TICK).min(TICK)
    }

    /// Whether a mark need not call anybody, since others wait that have somebody look at them in time.
    fn has_marks(&self) -> bool {
        self.desk.as_ref().is_some_and(Desk::has_marks)
    }

    /// Nobody does who only waits for another one at the desk or with the pen, so that one that hangs is noticed.
    fn show_life(&mut self) {
        if self.desk.is_some() && self.pen.is_some() {
            self.seen_at = Instant::now();
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
