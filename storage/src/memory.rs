//! The back end that keeps rows in a map: for tests of the layers above, and for benches without a disk.
//!
//! It decides exactly as every other back end and answers before `submit` returns, so that tests on paused time
//! need no real thread. What it does not do: survive its process, or bound its memory. Its second half are
//! controls for tests: hold writes or reads, fail one, lose an answer, stop.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_model::DurationMs;
use tokio::sync::watch;

use crate::back_end::BackEnd;
use crate::clock::Clock;
use crate::envelope;
use crate::key::Key;
use crate::pseudonym::Pseudonyms;
use crate::store::{CommitReport, NoObserver, Read, StoreObserver};
use crate::verb::audit::AuditHead;
use crate::verb::{Group, Retention, RowResult, Settled, Table, Trail, Verb, audit, overlay};
use crate::{StoreError, StoreErrorKind};

/// What a [`MemoryStore`] needs to know.
#[derive(Clone)]
pub struct MemoryOptions {
    /// Verbs held at once while writes are held; one more is refused as busy.
    pub commit_queue_max: usize,
    /// How long rows are kept after their end.
    pub retention: Retention,
    /// What expiry is judged by.
    pub clock: Clock,
    /// Who hears of commits and refusals.
    pub observer: Arc<dyn StoreObserver>,
}

impl MemoryOptions {
    /// The defaults of the product with this clock: a day of retention, and nobody observes.
    pub fn new(clock: Clock) -> Self {
        let day = DurationMs::from_seconds(24 * 60 * 60);
        Self {
            commit_queue_max: 65_536,
            retention: Retention { transaction: day, enrollment: day, audit: day },
            clock,
            observer: Arc::new(NoObserver),
        }
    }
}

impl fmt::Debug for MemoryOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryOptions")
            .field("commit_queue_max", &self.commit_queue_max)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// A store in memory.
pub struct MemoryStore {
    options: MemoryOptions,
    shelf: Mutex<Shelf>,
    pseudonyms: Pseudonyms,
    stopped: watch::Sender<bool>,
    looks_are_held: watch::Sender<bool>,
}

/// The rows and what tests have asked for.
#[derive(Default)]
struct Shelf {
    rows: BTreeMap<Key, Vec<u8>>,
    held: Option<VecDeque<Verb>>,
    fault: Option<Fault>,
    disk_full: bool,
    looks: usize,
    /// How many more are answered at once; all where nothing stands.
    free_looks: Option<usize>,
    /// The same of those at many rows, which are looks as well.
    free_looks_at_many: Option<usize>,
    looks_held: usize,
    /// How many of those at many rows are answered before some are refused, and how many are refused then.
    looks_at_many_refused: (usize, usize),
    writer_idle: Duration,
    audit_head: AuditHead,
}

/// What happens to the next write that changes an outcome.
#[derive(Clone, Copy)]
enum Fault {
    /// It fails and stores nothing.
    Fails(StoreErrorKind),
    /// It is stored, and the answer says that nobody knows.
    AnswerLost,
}

/// Answers that are given once the lock is free.
type Answers = Vec<(Settled, Result<(), StoreError>)>;

impl MemoryStore {
    /// An empty store.
    pub fn new(options: MemoryOptions) -> Self {
        // Nothing of it outlives its process, so its pseudonyms need not be kept from anybody.
        let pseudonyms = Pseudonyms::new(&[0; 32]);
        let [stopped, looks_are_held] = [watch::Sender::new(false), watch::Sender::new(false)];
        Self { options, shelf: Mutex::default(), pseudonyms, stopped, looks_are_held }
    }

    /// Drops rows whose retention is over, as the other back ends do in the background.
    pub fn sweep(&self) {
        let now = (self.options.clock)();
        self.shelf().rows.retain(|_, row| !envelope::expiry(row).is_some_and(|expiry| expiry.is_over(now)));
    }

    /// For tests: writes wait from now on, so that one can be kept in flight. Reads go on.
    pub fn hold_writes(&self) {
        self.shelf().held.get_or_insert_default();
    }

    /// For tests: commits what was held, in its order and as one group, and writes go on.
    pub fn release_writes(&self) {
        let answers = {
            let mut shelf = self.shelf();
            let held = shelf.held.take().unwrap_or_default();
            self.commit(&mut shelf, held)
        };
        give(answers);
    }

    /// For tests: the next write that is not only a mark fails with this kind and stores nothing.
    /// `Stopped` stops the store, as a failed sync does.
    pub fn fail_next_write(&self, kind: StoreErrorKind) {
        self.shelf().fault = Some(Fault::Fails(kind));
    }

    /// For tests: the next write that is not only a mark is stored, but its answer is `Unknown`.
    pub fn lose_next_answer(&self) {
        self.shelf().fault = Some(Fault::AnswerLost);
    }

    /// For tests: whether the disk counts as nearly full, so that creates are refused.
    pub fn set_disk_full(&self, disk_full: bool) {
        self.shelf().disk_full = disk_full;
    }

    /// For tests: the keys of the rows in which these bytes stand.
    pub fn rows_with(&self, bytes: &[u8]) -> Vec<String> {
        let has = |row: &[u8]| bytes.is_empty() || row.windows(bytes.len()).any(|window| window == bytes);
        let shelf = self.shelf();
        shelf.rows.iter().filter(|(_, row)| has(row)).map(|(key, _)| key.to_string()).collect()
    }

    /// For tests: how often it was read.
    pub fn looks(&self) -> usize {
        self.shelf().looks
    }

    /// For tests: the next `free` reads are answered, and those behind them wait, as if for the disk.
    pub fn hold_looks_behind(&self, free: usize) {
        self.shelf().free_looks = Some(free);
        self.looks_are_held.send_replace(true);
    }

    /// For tests: what is held stays so, and reads go on.
    pub fn hold_no_more_looks(&self) {
        self.shelf().free_looks = None;
    }

    /// For tests: the next `free` reads of many rows are answered, and those behind them wait with what they have read;
    /// other reads go on.
    pub fn hold_looks_at_many_behind(&self, free: usize) {
        self.shelf().free_looks_at_many = Some(free);
        self.looks_are_held.send_replace(true);
    }

    /// For tests: behind the next `free` reads of many rows so many find no room among those that wait.
    pub fn refuse_looks_at_many_behind(&self, free: usize, refused: usize) {
        self.shelf().looks_at_many_refused = (free, refused);
    }

    /// For tests: how many are still to be refused.
    pub fn looks_to_refuse(&self) -> usize {
        self.shelf().looks_at_many_refused.1
    }

    /// For tests: how many reads have read and wait.
    pub fn looks_held(&self) -> usize {
        self.shelf().looks_held
    }

    /// For tests: answers what was held, and reads go on.
    pub fn release_looks(&self) {
        let mut shelf = self.shelf();
        (shelf.free_looks, shelf.free_looks_at_many, shelf.looks_held) = (None, None, 0);
        drop(shelf);
        self.looks_are_held.send_replace(false);
    }

    /// For tests: how long ago the writer last showed that it lives.
    pub fn set_writer_idle(&self, idle: Duration) {
        self.shelf().writer_idle = idle;
    }

    /// For tests: stops the store, as a failed sync does. Held writes are not stored.
    pub fn stop(&self) {
        let held = self.shelf().held.take();
        self.stopped.send_replace(true);
        held.into_iter().flatten().for_each(|verb| verb.refuse(stopped_error()));
    }

    /// A panic of another holder cannot leave half a commit: rows are changed in one loop that does not panic.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until_released<T: Send + 'static>(&self, answer: Result<T, StoreError>) -> Read<'_, T> {
        self.shelf().looks_held += 1;
        let mut held = self.looks_are_held.subscribe();
        Box::pin(async move {
            // The store lives as long as whoever reads it, so its word comes.
            let _ = held.wait_for(|is_held| !is_held).await;
            answer
        })
    }

    fn commit(&self, shelf: &mut Shelf, verbs: VecDeque<Verb>) -> Answers {
        if verbs.is_empty() {
            return Answers::new();
        }
        let trail = Trail { number: shelf.audit_head.number, pseudonyms: &self.pseudonyms };
        let mut group = Group::new(&shelf.rows, (self.options.clock)(), self.options.retention, trail);
        verbs.into_iter().for_each(|verb| group.take(verb));
        let work = group.finish();
        let fault = if work.needs_sync { shelf.fault.take() } else { None };
        let outcome = match fault {
            None => Ok(()),
            Some(Fault::Fails(kind)) => Err(StoreError::new(kind, "a test asked for it")),
            Some(Fault::AnswerLost) => Err(StoreError::new(StoreErrorKind::Unknown, "a test asked for it")),
        };
        if matches!(fault, Some(Fault::Fails(StoreErrorKind::Stopped))) {
            self.stopped.send_replace(true);
        }
        if !matches!(fault, Some(Fault::Fails(_))) {
            let (trail, audit_head) = audit::extend(shelf.audit_head, &work.told);
            let report = CommitReport {
                verbs: work.settled.len(),
                bytes: overlay::bytes_of(&work.changes, &trail),
                audit_rows: work.told.rows(),
                ..CommitReport::default()
            };
            for (key, change) in work.changes {
                match change {
                    Some(row) => drop(shelf.rows.insert(key, row)),
                    None => drop(shelf.rows.remove(&key)),
                }
            }
            shelf.rows.extend(trail);
            shelf.audit_head = audit_head;
            self.options.observer.committed(report);
        }
        work.settled.into_iter().map(|settled| (settled, outcome.clone())).collect()
    }

    fn refusal(&self, shelf: &Shelf, verb: &Verb) -> Option<StoreError> {
        if *self.stopped.borrow() {
            return Some(stopped_error());
        }
        if shelf.disk_full && verb.is_create() {
            return Some(StoreError::new(StoreErrorKind::DiskFull, "a test asked for it"));
        }
        let held = shelf.held.as_ref().map_or(0, VecDeque::len);
        if held >= self.options.commit_queue_max {
            self.options.observer.refused();
            return Some(StoreError::new(StoreErrorKind::Busy, format!("{held} verbs wait")));
        }
        None
    }
}

fn stopped_error() -> StoreError {
    StoreError::new(StoreErrorKind::Stopped, "the store was stopped")
}

/// Whether a read is to wait, which is counted.
fn is_next_held(free: &mut Option<usize>) -> bool {
    let is_held = *free == Some(0);
    *free = free.map(|free| free.saturating_sub(1));
    is_held
}

fn give(answers: Answers) {
    answers.into_iter().for_each(|(settled, outcome)| settled(outcome));
}

impl BackEnd for MemoryStore {
    fn submit(&self, verb: Verb) {
        let mut shelf = self.shelf();
        if let Some(error) = self.refusal(&shelf, &verb) {
            drop(shelf);
            return verb.refuse(error);
        }
        if let Some(held) = &mut shelf.held {
            return held.push_back(verb);
        }
        let answers = self.commit(&mut shelf, VecDeque::from([verb]));
        drop(shelf);
        give(answers);
    }

    fn look<T, Q>(&self, question: Q) -> Read<'_, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        let mut shelf = self.shelf();
        shelf.looks += 1;
        let answer = question(&Table::new(&shelf.rows, (self.options.clock)(), self.options.retention));
        let is_held = is_next_held(&mut shelf.free_looks);
        drop(shelf);
        let answer = answer.map_err(StoreError::from);
        if is_held { self.until_released(answer) } else { Box::pin(std::future::ready(answer)) }
    }

    fn look_at_many<T, Q>(&self, question: Q) -> Read<'_, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        let read = self.look(question);
        let mut shelf = self.shelf();
        let is_held = is_next_held(&mut shelf.free_looks_at_many);
        let (free, refused) = &mut shelf.looks_at_many_refused;
        if *free == 0 && *refused > 0 {
            *refused -= 1;
            let busy = StoreError::new(StoreErrorKind::Busy, "a test asked for it");
            return Box::pin(std::future::ready(Err(busy)));
        }
        *free = free.saturating_sub(1);
        drop(shelf);
        if is_held {
            return Box::pin(async move { self.until_released(read.await).await });
        }
        read
    }

    fn queue_depth(&self) -> usize {
        self.shelf().held.as_ref().map_or(0, VecDeque::len)
    }

    fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    fn writer_idle_for(&self) -> Duration {
        self.shelf().writer_idle
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryStore").field("options", &self.options).finish_non_exhaustive()
    }
}
