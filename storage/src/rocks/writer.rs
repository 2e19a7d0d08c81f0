//! The one thread that writes: takes all that is queued, commits it as one group, answers all.
//!
//! Invariants: nobody is answered before the group's write came back; the write-ahead log is synced at most once a
//! group, and only for verbs that need it; after a failed write nothing is acknowledged any more, and whoever waits
//! or comes later is told that the store has stopped.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tocsin_config::Durability;
use tokio::sync::watch;

use super::database::Database;
use super::riding::Riding;
use crate::clock::Clock;
use crate::key::Key;
use crate::pseudonym::Pseudonyms;
use crate::store::{CommitReport, StoreObserver};
use crate::verb::audit::AuditHead;
use crate::verb::{Group, Retention, Trail, Verb};
use crate::{StoreError, StoreErrorKind};

/// How often an idle writer shows that it lives.
const TICK: Duration = Duration::from_millis(500);

/// Bytes of changed rows after which a group is closed, though more verbs wait.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the writer is asked for.
pub(super) enum Submission {
    /// A verb, and when it was submitted.
    Verb(Verb, Instant),
    /// Remove the rows from the first key to before the second; their retention is over.
    Sweep(Key, Key),
    /// Commit what is queued and end.
    Close,
}

/// What the writer shows to others.
pub(super) struct WriterState {
    /// Verbs that are queued and not yet taken.
    pub(super) queue_depth: AtomicUsize,
    /// Whether a write failed.
    pub(super) stopped: watch::Sender<bool>,
    started: Instant,
    seen_after_ms: AtomicU64,
    #[cfg(feature = "bench-hook")]
    leaves_out_audit: std::sync::atomic::AtomicBool,
}

impl WriterState {
    pub(super) fn new() -> Self {
        Self {
            queue_depth: AtomicUsize::new(0),
            stopped: watch::Sender::new(false),
            started: Instant::now(),
            seen_after_ms: AtomicU64::new(0),
            #[cfg(feature = "bench-hook")]
            leaves_out_audit: std::sync::atomic::AtomicBool::new(false),
        }
    }

    #[cfg(feature = "bench-hook")]
    pub(super) fn leave_out_audit(&self) {
        self.leaves_out_audit.store(true, Ordering::Relaxed);
    }

    #[cfg(feature = "bench-hook")]
    fn leaves_out_audit(&self) -> bool {
        self.leaves_out_audit.load(Ordering::Relaxed)
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// How long ago the writer last showed that it lives.
    pub(super) fn idle_for(&self) -> Duration {
        let seen_after = Duration::from_millis(self.seen_after_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(seen_after)
    }

    fn show_life(&self) {
        let after_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen_after_ms.store(after_ms, Ordering::Relaxed);
    }
}

/// The error of everybody who waits when the store stops, or who comes later.
pub(super) fn stopped_error() -> StoreError {
    StoreError::new(StoreErrorKind::Stopped, "nothing is written any more; the process must end")
}

/// The writer's side of the store.
pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) queue: Receiver<Submission>,
    pub(super) state: Arc<WriterState>,
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) durability: Durability,
    pub(super) observer: Arc<dyn StoreObserver>,
    /// The last row of the audit trail.
    pub(super) audit_head: Cell<AuditHead>,
    /// How the audit trail names users.
    pub(super) pseudonyms: Pseudonyms,
    /// Marks that wait for a group.
    pub(super) riding: RefCell<Riding>,
}

/// Whether the writer goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Close,
    Stop,
}

/// One turn: the verbs of a group, and what came between them.
struct Turn<'w> {
    group: Group<'w>,
    riding: &'w RefCell<Riding>,
    verbs: usize,
    queue_wait: Duration,
    sweeps: Vec<(Key, Key)>,
    close: bool,
}

/// Turns the flag when the writer's thread ends by a panic, so that nobody waits for it.
struct StopOnPanic(Arc<WriterState>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stopped.send_replace(true);
        }
    }
}

impl Writer {
    /// Works until it is asked to close or everybody who could submit has gone.
    pub(super) fn run(self) {
        let _guard = StopOnPanic(Arc::clone(&self.state));
        loop {
            self.state.show_life();
            let wait = self.riding.borrow().wait();
            let next = match self.queue.recv_timeout(wait.unwrap_or(TICK).min(TICK)) {
                Ok(first) => self.turn(Some(first)),
                Err(RecvTimeoutError::Timeout) if wait.is_some() => self.turn(None),
                Err(RecvTimeoutError::Timeout) => Next::Go,
                Err(RecvTimeoutError::Disconnected) => Next::Close,
            };
            match next {
                Next::Go => {}
                Next::Close => return self.refuse_the_rest(),
                Next::Stop => return self.refuse_for_good(),
            }
        }
    }

    /// Takes what waits. Where that is only marks that can wait for others, nothing is written yet.
    fn turn(&self, first: Option<Submission>) -> Next {
        let mut turn = Turn {
            group: Group::new(&*self.database, (self.clock)(), self.retention, self.trail()),
            riding: &self.riding,
            verbs: 0,
            queue_wait: Duration::ZERO,
            sweeps: Vec::new(),
            close: false,
        };
        if let Some(first) = first {
            turn.take(first, &self.state);
        }
        while turn.has_room() {
            let Ok(more) = self.queue.try_recv() else { break };
            turn.take(more, &self.state);
        }
        let can_wait = self.riding.borrow().wait().is_some_and(|wait| !wait.is_zero());
        if turn.is_idle() && can_wait {
            return Next::Go;
        }
        turn.take_riding();
        self.commit(turn)
    }

    fn trail(&self) -> Trail<'_> {
        Trail { head: self.audit_head.get(), pseudonyms: &self.pseudonyms }
    }

    fn commit(&self, turn: Turn<'_>) -> Next {
        let Turn { group, riding: _, verbs, queue_wait, sweeps, close } = turn;
        #[cfg(feature = "bench-hook")]
        let group = if self.state.leaves_out_audit() { group.without_audit() } else { group };
        let work = group.finish();
        let synced = work.needs_sync && self.durability == Durability::Sync;
        let began = Instant::now();
        let outcome =
            if work.changes.is_empty() { Ok(()) } else { self.database.write(&work.changes, synced) };
        if let Err(error) = &outcome {
            tracing::error!(error = %error, "a write failed; the store has stopped");
            self.state.stopped.send_replace(true);
            work.settled.into_iter().for_each(|settled| settled(Err(stopped_error())));
            return Next::Stop;
        }
        let audit_rows = work.audit_head.number.saturating_sub(self.audit_head.get().number);
        self.audit_head.set(work.audit_head);
        if verbs > 0 {
            let bytes = work.bytes();
            self.observer.committed(CommitReport {
                verbs,
                bytes,
                queue_wait,
                write: began.elapsed(),
                synced,
                audit_rows,
            });
        }
        work.settled.into_iter().for_each(|settled| settled(Ok(())));
        if self.sweep(&sweeps).is_err() {
            return Next::Stop;
        }
        if close { Next::Close } else { Next::Go }
    }

    fn sweep(&self, ranges: &[(Key, Key)]) -> Result<(), StoreError> {
        ranges.iter().try_for_each(|(from, to)| self.database.delete_range(from, to)).inspect_err(|error| {
            tracing::error!(error = %error, "a sweep failed; the store has stopped");
            self.state.stopped.send_replace(true);
        })
    }

    /// Tells those who came behind the close.
    fn refuse_the_rest(&self) {
        while let Ok(submission) = self.queue.try_recv() {
            self.refuse(submission);
        }
    }

    fn refuse(&self, submission: Submission) {
        if let Submission::Verb(verb, _) = submission {
            self.state.queue_depth.fetch_sub(1, Ordering::Relaxed);
            verb.refuse(stopped_error());
        }
    }

    /// Stays to tell whoever comes, until nobody can come any more.
    fn refuse_for_good(&self) {
        loop {
            self.state.show_life();
            match self.queue.recv_timeout(TICK) {
                Ok(submission @ (Submission::Verb(..) | Submission::Sweep(..))) => self.refuse(submission),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Submission::Close) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

impl Turn<'_> {
    fn take(&mut self, submission: Submission, state: &WriterState) {
        match submission {
            Submission::Verb(verb, submitted_at) => {
                state.queue_depth.fetch_sub(1, Ordering::Relaxed);
                match verb.into_unawaited_mark() {
                    Ok(marked) => self.riding.borrow_mut().board(marked),
                    Err(verb) => {
                        self.queue_wait = self.queue_wait.max(submitted_at.elapsed());
                        self.verbs += 1;
                        self.group.take(verb);
                    }
                }
            }
            Submission::Sweep(from, to) => self.sweeps.push((from, to)),
            Submission::Close => self.close = true,
        }
    }

    /// Whether nothing came but marks that can wait.
    fn is_idle(&self) -> bool {
        self.verbs == 0 && self.sweeps.is_empty() && !self.close
    }

    /// Behind all others, so that a transaction that has ended among them needs no mark any more.
    fn take_riding(&mut self) {
        let (taken, marks) = self.riding.borrow_mut().alight();
        self.verbs += taken;
        marks.for_each(|marked| self.group.take(Verb::unawaited_mark(marked)));
    }

    fn has_room(&self) -> bool {
        !self.close && self.group.bytes() < GROUP_BYTES_MAX && self.riding.borrow().has_room()
    }
}
