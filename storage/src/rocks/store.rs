//! The store on RocksDB: its parts put together.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rocksdb::Options;
use rocksdb::statistics::Ticker;
use tocsin_config::Storage;
use tokio::sync::watch;

use super::database::Database;
use super::housekeeping::{self, Disk, Housekeeper};
use super::open::{self, Opened};
use super::read::Readers;
use super::writer::{Submission, Writer, WriterState, stopped_error};
use crate::back_end::BackEnd;
use crate::clock::Clock;
use crate::sealing::Sealer;
use crate::store::{Read, StoreObserver};
use crate::verb::{Retention, RowResult, Table, Verb, audit};
use crate::{StoreError, StoreErrorKind};

/// Whether RocksDB counts what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// It does not.
    Off,
    /// It does, at the price of some percent; for proofs and benches.
    On,
}

/// A store on RocksDB. Dropping it commits what is queued and ends its threads; [`RocksStore::close`] also writes
/// its buffers out.
pub struct RocksStore {
    database: Arc<Database>,
    options: Options,
    queue: SyncSender<Submission>,
    queue_depth_max: usize,
    state: Arc<WriterState>,
    readers: Readers,
    disk: Arc<Disk>,
    clock: Clock,
    observer: Arc<dyn StoreObserver>,
    threads: Mutex<Threads>,
}

/// What ends with the store.
struct Threads {
    housekeeper_stop: Option<SyncSender<()>>,
    writer: Option<JoinHandle<()>>,
    housekeeper: Option<JoinHandle<()>>,
}

impl RocksStore {
    /// Opens the database under `storage.path`, or makes one.
    ///
    /// Fails with `Locked` when a process has it, `NewerFormat`, `Corrupt` with what to do, or `Io`.
    pub fn open(
        storage: &Storage,
        clock: Clock,
        observer: Arc<dyn StoreObserver>,
    ) -> Result<Self, StoreError> {
        Self::open_sealed(storage, None, clock, observer)
    }

    /// As [`RocksStore::open`], with rows sealed by `sealer`. Rows that are plain or sealed by an older key are
    /// sealed anew before this returns, which takes a while for a large database, but only once for each key.
    ///
    /// Fails with `MasterKey` when rows are sealed by a key that `sealer` does not have.
    pub fn open_sealed(
        storage: &Storage,
        sealer: Option<Arc<Sealer>>,
        clock: Clock,
        observer: Arc<dyn StoreObserver>,
    ) -> Result<Self, StoreError> {
        Self::start(storage, sealer, clock, observer, Statistics::Off)
    }

    /// As [`RocksStore::open`], with a choice about RocksDB's counters.
    pub fn open_with(
        storage: &Storage,
        clock: Clock,
        observer: Arc<dyn StoreObserver>,
        statistics: Statistics,
    ) -> Result<Self, StoreError> {
        Self::start(storage, None, clock, observer, statistics)
    }

    fn start(
        storage: &Storage,
        sealer: Option<Arc<Sealer>>,
        clock: Clock,
        observer: Arc<dyn StoreObserver>,
        statistics: Statistics,
    ) -> Result<Self, StoreError> {
        let Opened { database, options } = open::open(storage, sealer, &clock, statistics == Statistics::On)?;
        let no_thread =
            |error: io::Error| StoreError::new(StoreErrorKind::Io, format!("cannot start a thread: {error}"));
        let database = Arc::new(database);
        let retention = Retention {
            transaction: storage.transaction_retention,
            enrollment: storage.enrollment_retention,
            audit: storage.audit_retention,
        };
        let table = Table::new(&*database, (clock)(), retention);
        let audit_head = Cell::new(audit::stored_head(&table)?);
        let pseudonyms = open::pseudonyms(&database, &table)?;
        let disk = Arc::new(Disk::new(open::folder_of(&storage.path), storage.disk_free_min_bytes));
        let state = Arc::new(WriterState::new());
        let (queue, submissions) = sync_channel(storage.commit_queue_max);
        let writer = Writer {
            database: Arc::clone(&database),
            queue: submissions,
            state: Arc::clone(&state),
            clock: clock.clone(),
            retention,
            durability: storage.durability,
            observer: Arc::clone(&observer),
            audit_head,
            pseudonyms,
            riding: RefCell::default(),
        };
        let (housekeeper_stop, closing) = sync_channel(0);
        let housekeeper = Housekeeper {
            database: Arc::clone(&database),
            disk: Arc::clone(&disk),
            clock: clock.clone(),
            writer: queue.clone(),
            closing,
        };
        let readers = Readers::start(&database, clock.clone(), retention).map_err(no_thread)?;
        let threads = Threads {
            housekeeper_stop: Some(housekeeper_stop),
            writer: Some(spawn("tocsin-writer", move || writer.run()).map_err(no_thread)?),
            housekeeper: Some(spawn("tocsin-housekeeper", move || housekeeper.run()).map_err(no_thread)?),
        };
        let (threads, queue_depth_max) = (Mutex::new(threads), storage.commit_queue_max);
        Ok(Self { database, options, queue, queue_depth_max, state, readers, disk, clock, observer, threads })
    }

    /// For benches: stores no audit rows from now on.
    #[cfg(feature = "bench-hook")]
    pub fn leave_out_audit_rows(&self) {
        self.state.leave_out_audit();
    }

    /// Commits what is queued, refuses what comes later, ends the writer and writes every buffer out.
    ///
    /// Fails when that last writing fails; the write-ahead log still has everything.
    pub fn close(&self) -> Result<(), StoreError> {
        self.end_threads();
        if self.state.is_stopped() {
            return Err(stopped_error());
        }
        self.database.flush()
    }

    /// The open database.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Drops transactions whose retention is over, as is done every ten minutes anyway; answers with how many it
    /// found. Blocks on the disk.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        housekeeping::sweep(&self.database, (self.clock)(), &self.queue)
    }

    /// How often RocksDB has synced its write-ahead log, by its own count; zero without [`Statistics::On`].
    pub fn wal_syncs(&self) -> u64 {
        self.options.get_ticker_count(Ticker::WalFileSynced)
    }

    /// The lock is held only to take the handles out.
    fn end_threads(&self) {
        let (stop, writer, housekeeper) = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            (threads.housekeeper_stop.take(), threads.writer.take(), threads.housekeeper.take())
        };
        drop(stop);
        if let Some(writer) = writer {
            // Waits for room behind what is queued; an error means that the writer has gone already.
            let _ = self.queue.send(Submission::Close);
            join(writer);
        }
        if let Some(housekeeper) = housekeeper {
            join(housekeeper);
        }
    }

    fn refusal(&self, verb: &Verb) -> Option<StoreError> {
        if self.state.is_stopped() {
            return Some(stopped_error());
        }
        if verb.is_create() && self.disk.is_low() {
            return Some(StoreError::new(
                StoreErrorKind::DiskFull,
                "creates are refused until space is freed",
            ));
        }
        None
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the store had panicked");
    }
}

impl BackEnd for RocksStore {
    fn submit(&self, verb: Verb) {
        if let Some(error) = self.refusal(&verb) {
            return verb.refuse(error);
        }
        self.state.queue_depth.fetch_add(1, Ordering::Relaxed);
        let refused = match self.queue.try_send(Submission::Verb(verb, Instant::now())) {
            Ok(()) => return,
            Err(refused) => refused,
        };
        self.state.queue_depth.fetch_sub(1, Ordering::Relaxed);
        let (submission, error) = match refused {
            TrySendError::Full(submission) => {
                self.observer.refused();
                let text = format!("{} verbs wait", self.queue_depth_max);
                (submission, StoreError::new(StoreErrorKind::Busy, text))
            }
            TrySendError::Disconnected(submission) => (submission, stopped_error()),
        };
        if let Submission::Verb(verb, _) = submission {
            verb.refuse(error);
        }
    }

    fn look<T, Q>(&self, question: Q) -> Read<'_, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        self.readers.look(question)
    }

    fn look_at_many<T, Q>(&self, question: Q) -> Read<'_, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        self.readers.look_on_disk(question, (self.clock)())
    }

    fn queue_depth(&self) -> usize {
        self.state.queue_depth.load(Ordering::Relaxed)
    }

    fn stopped(&self) -> watch::Receiver<bool> {
        self.state.stopped.subscribe()
    }

    fn writer_idle_for(&self) -> Duration {
        self.state.idle_for()
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        self.end_threads();
    }
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RocksStore")
            .field("queue_depth", &self.state.queue_depth)
            .field("queue_depth_max", &self.queue_depth_max)
            .field("stopped", &self.state.is_stopped())
            .finish_non_exhaustive()
    }
}
