//! Two writers: where much waits, one decides the next group while the other writes and syncs the last.
//!
//! Invariants: groups are written in the order in which they were decided, one at a time; nobody is answered before his
//! group's write came back, and a group is decided over what the group before it leaves, which may not be written yet;
//! the write-ahead log is synced at most once a group, and only for verbs that need it; after a failed write nothing is
//! acknowledged any more, neither what it held nor what was decided on top of it, and whoever waits or comes later is told
//! that the store has stopped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tocsin_config::Durability;
use tocsin_model::Transaction;

use super::database::Database;
use super::queue::{Next, Pen, Queue, Submission};
use super::riding::Riding;
use crate::clock::Clock;
use crate::key::Key;
use crate::pseudonym::Pseudonyms;
use crate::store::{CommitReport, StoreObserver};
use crate::verb::overlay::{Changes, Overlay, bytes_of};
use crate::verb::rows::Rows;
use crate::verb::{Group, Retention, Settled, Told, Trail, Verb, audit};
use crate::{StoreError, StoreErrorKind};

/// Bytes of changed rows after which a group is closed, though more verbs wait.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The error of everybody who waits when the store stops, or who comes later.
pub(super) fn stopped_error() -> StoreError {
    StoreError::new(StoreErrorKind::Stopped, "nothing is written any more; the process must end")
}

/// What both writers share.
pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) queue: Arc<Queue>,
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) durability: Durability,
    pub(super) observer: Arc<dyn StoreObserver>,
    /// How the audit trail names users.
    pub(super) pseudonyms: Pseudonyms,
    #[cfg(feature = "bench-hook")]
    pub(super) leaves_out_audit: std::sync::atomic::AtomicBool,
}

/// What one who decides leaves to the next.
#[derive(Default)]
pub(super) struct Desk {
    /// Marks that wait for a group.
    riding: Riding,
    /// What was decided last, as long as it may not be written yet.
    unwritten: Option<Arc<Changes>>,
    /// The number of the last row of the audit trail, once all that is decided is written.
    audit_number: u64,
}

impl Desk {
    /// An empty one over an audit trail of so many rows.
    pub(super) fn new(audit_number: u64) -> Self {
        Self { audit_number, ..Self::default() }
    }

    /// One more mark that waits for a group.
    pub(super) fn board(&mut self, marked: Box<Transaction>) {
        self.riding.board(marked);
    }

    /// Whether marks wait for a group.
    pub(super) fn has_marks(&self) -> bool {
        self.riding.wait().is_some()
    }

    /// How long they may still wait; `None` where there are none.
    pub(super) fn marks_due_in(&self) -> Option<Duration> {
        self.riding.wait()
    }

    /// Lets go of what was decided last, which is in the database now.
    pub(super) fn forget_unwritten(&mut self) -> Option<Arc<Changes>> {
        self.unwritten.take()
    }
}

/// A group while it is decided.
struct Turn<'w> {
    group: Group<'w>,
    verbs: usize,
    submitted_first: Option<Instant>,
    sweeps: Vec<(Key, Key)>,
}

/// A group that may be written.
struct Decided {
    changes: Arc<Changes>,
    told: Told,
    settled: Vec<Settled>,
    needs_sync: bool,
    verbs: usize,
    queue_wait: Duration,
    sweeps: Vec<(Key, Key)>,
}

/// Stops the store when a writer's thread ends by a panic, so that nobody waits for it.
struct StopOnPanic<'w>(&'w Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            refuse(self.0.fail());
        }
    }
}

impl Writer {
    /// Works until the store closes or stops.
    pub(super) fn run(&self) {
        let _guard = StopOnPanic(&self.queue);
        let mut taken = Vec::new();
        while let Some(mut desk) = self.queue.sit_down(&mut taken) {
            self.board(&mut taken, &mut desk);
            let marks_can_wait = desk.marks_due_in().is_none_or(|wait| !wait.is_zero());
            if taken.is_empty() && marks_can_wait && !self.queue.is_closing() {
                self.queue.stand_up(desk);
                continue;
            }
            let Some((pen, decided)) = self.decide(&mut desk, &mut taken) else { return };
            self.queue.stand_up(desk);
            self.write(pen, decided);
        }
    }

    /// Decides what was taken and what comes, until it may be written.
    fn decide(&self, desk: &mut Desk, taken: &mut Vec<Submission>) -> Option<(Pen, Decided)> {
        let unwritten = desk.unwritten.clone().map(|changes| Overlay::over(&*self.database, changes));
        let base: &dyn Rows = unwritten.as_ref().map_or(&*self.database, |overlay| overlay);
        let trail = Trail { number: desk.audit_number, pseudonyms: &self.pseudonyms };
        let group = Group::new(base, (self.clock)(), self.retention, trail);
        let mut turn = Turn { group, verbs: 0, submitted_first: None, sweeps: Vec::new() };
        let pen = loop {
            turn.group.go_on_at((self.clock)());
            turn.take_all(taken);
            let has_room = turn.group.bytes() < GROUP_BYTES_MAX && desk.riding.has_room();
            match self.queue.next(turn.verbs, has_room, taken) {
                Next::Decide => self.board(taken, desk),
                Next::Write(pen) => break Some(pen),
                Next::Stop => break None,
            }
        };
        let decided = self.finish(turn, desk);
        let Some(pen) = pen else {
            settle(decided.settled, &Err(stopped_error()));
            return None;
        };
        Some((pen, decided))
    }

    /// Takes out the marks that nobody waits for.
    fn board(&self, taken: &mut Vec<Submission>, desk: &mut Desk) {
        let mut boarded = 0;
        for mark in taken.extract_if(.., |submission| submission.is_unawaited_mark()) {
            if let Submission::Verb(Verb::Mark(marked, _), _) = mark {
                desk.board(marked);
                boarded += 1;
            }
        }
        if boarded > 0 {
            self.queue.forget(boarded);
        }
    }

    /// Marks go behind all others, so that a transaction that has ended among them needs none any more.
    fn finish(&self, mut turn: Turn<'_>, desk: &mut Desk) -> Decided {
        let (boarded, marks) = desk.riding.alight();
        marks.for_each(|marked| turn.group.take(Verb::unawaited_mark(marked)));
        let Turn { group, verbs, submitted_first, sweeps } = turn;
        #[cfg(feature = "bench-hook")]
        let group = match self.leaves_out_audit.load(std::sync::atomic::Ordering::Relaxed) {
            true => group.without_audit(),
            false => group,
        };
        let work = group.finish();
        let changes = Arc::new(work.changes);
        desk.audit_number += work.told.rows();
        desk.unwritten = Some(Arc::clone(&changes));
        let queue_wait = submitted_first.map_or(Duration::ZERO, |submitted| submitted.elapsed());
        let (told, settled, needs_sync, verbs) = (work.told, work.settled, work.needs_sync, verbs + boarded);
        Decided { changes, told, settled, needs_sync, verbs, queue_wait, sweeps }
    }

    fn write(&self, pen: Pen, decided: Decided) {
        let Decided { changes, told, settled, needs_sync, verbs, queue_wait, sweeps } = decided;
        let synced = needs_sync && self.durability == Durability::Sync;
        let (trail, audit_head) = audit::extend(pen.audit_head, &told);
        let began = Instant::now();
        let written = self.database.write(&changes, &trail, synced);
        if let Err(error) = &written {
            tracing::error!(error = %error, "a write failed; the store has stopped");
            let refused = self.queue.fail();
            settle(settled, &Err(stopped_error()));
            return refuse(refused);
        }
        if verbs > 0 {
            let bytes = bytes_of(&changes, &trail);
            let (write, audit_rows) = (began.elapsed(), told.rows());
            self.observer.committed(CommitReport { verbs, bytes, queue_wait, write, synced, audit_rows });
        }
        match sweeps.iter().try_for_each(|(from, to)| self.database.delete_range(from, to)) {
            Ok(()) => self.queue.give_back(Pen { audit_head }),
            Err(error) => {
                tracing::error!(error = %error, "a sweep failed; the store has stopped");
                refuse(self.queue.fail());
            }
        }
        settle(settled, &Ok(()));
    }
}

impl Turn<'_> {
    fn take_all(&mut self, taken: &mut Vec<Submission>) {
        for submission in taken.drain(..) {
            match submission {
                Submission::Verb(verb, submitted_at) => {
                    self.submitted_first.get_or_insert(submitted_at);
                    self.verbs += 1;
                    self.group.take(verb);
                }
                Submission::Sweep(from, to) => self.sweeps.push((from, to)),
            }
        }
    }
}

fn settle(settled: Vec<Settled>, outcome: &Result<(), StoreError>) {
    settled.into_iter().for_each(|settled| settled(outcome.clone()));
}

fn refuse(submissions: VecDeque<Submission>) {
    for submission in submissions {
        if let Submission::Verb(verb, _) = submission {
            verb.refuse(stopped_error());
        }
    }
}
