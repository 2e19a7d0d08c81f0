//! The store on RocksDB: its parts put together.

use std::fmt;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rocksdb::Options;
use rocksdb::statistics::Ticker;
use tocsin_config::Storage;
use tokio::sync::watch;

use super::database::Database;
use super::housekeeping::{self, Disk, Housekeeper};
use super::open::{self, Opened};
use super::queue::{Pen, Queue, Refused, WRITERS};
use super::read::Readers;
use super::writer::{Desk, Writer, stopped_error};
use crate::back_end::BackEnd;
use crate::clock::Clock;
use crate::sealing::Sealer;
use crate::store::{Read, RowsKept, StoreObserver};
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
    queue: Arc<Queue>,
    #[cfg(feature = "bench-hook")]
    writer: Arc<Writer>,
    readers: Readers,
    disk: Arc<Disk>,
    clock: Clock,
    observer: Arc<dyn StoreObserver>,
    threads: Mutex<Threads>,
}

/// What ends with the store.
struct Threads {
    housekeeper_stop: Option<SyncSender<()>>,
    writers: Vec<JoinHandle<()>>,
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
        let audit_head = audit::stored_head(&table)?;
        let pseudonyms = open::pseudonyms(&database, &table)?;
        let disk = Arc::new(Disk::new(open::folder_of(&storage.path), storage.disk_free_min_bytes));
        let queue =
            Arc::new(Queue::new(storage.commit_queue_max, Desk::new(audit_head.number), Pen { audit_head }));
        let writer = Arc::new(Writer {
            database: Arc::clone(&database),
            queue: Arc::clone(&queue),
            clock: clock.clone(),
            retention,
            durability: storage.durability,
            observer: Arc::clone(&observer),
            pseudonyms,
            #[cfg(feature = "bench-hook")]
            leaves_out_audit: false.into(),
        });
        let (housekeeper_stop, closing) = sync_channel(0);
        let housekeeper = Housekeeper {
            database: Arc::clone(&database),
            disk: Arc::clone(&disk),
            clock: clock.clone(),
            queue: Arc::clone(&queue),
            closing,
        };
        let readers = Readers::start(&database, clock.clone(), retention).map_err(no_thread)?;
        let threads = Threads {
            housekeeper_stop: Some(housekeeper_stop),
            writers: (0..WRITERS)
                .map(|number| start_writer(number, &writer))
                .collect::<Result<_, _>>()
                .map_err(no_thread)?,
            housekeeper: Some(spawn("tocsin-housekeeper", move || housekeeper.run()).map_err(no_thread)?),
        };
        Ok(Self {
            database,
            options,
            queue,
            #[cfg(feature = "bench-hook")]
            writer,
            readers,
            disk,
            clock,
            observer,
            threads: Mutex::new(threads),
        })
    }

    /// For benches: stores no audit rows from now on.
    #[cfg(feature = "bench-hook")]
    pub fn leave_out_audit_rows(&self) {
        self.writer.leaves_out_audit.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Commits what is queued, refuses what comes later, ends the writers and writes every buffer out.
    ///
    /// Fails when that last writing fails; the write-ahead log still has everything.
    pub fn close(&self) -> Result<(), StoreError> {
        self.end_threads();
        if self.queue.is_stopped() {
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
        let (stop, writers, housekeeper) = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            let writers = std::mem::take(&mut threads.writers);
            (threads.housekeeper_stop.take(), writers, threads.housekeeper.take())
        };
        drop(stop);
        self.queue.close();
        writers.into_iter().chain(housekeeper).for_each(join);
    }

    fn refusal(&self, verb: &Verb) -> Option<StoreError> {
        if self.queue.is_stopped() {
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

fn start_writer(number: usize, writer: &Arc<Writer>) -> io::Result<JoinHandle<()>> {
    let writer = Arc::clone(writer);
    spawn(&format!("tocsin-writer-{number}"), move || writer.run())
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
        match self.queue.submit(verb) {
            Ok(()) => {}
            Err((verb, Refused::Ended)) => verb.refuse(stopped_error()),
            Err((verb, Refused::Full(waiting))) => {
                self.observer.refused();
                verb.refuse(StoreError::new(StoreErrorKind::Busy, format!("{waiting} verbs wait")));
            }
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
        self.readers.look_at_many(question)
    }

    fn queue_depth(&self) -> usize {
        self.queue.verbs()
    }

    fn rows_kept(&self) -> RowsKept {
        self.database().rows_kept()
    }

    fn stopped(&self) -> watch::Receiver<bool> {
        self.queue.stopped.subscribe()
    }

    fn writer_idle_for(&self) -> Duration {
        self.queue.idle_for()
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
            .field("queue_depth", &self.queue.verbs())
            .field("stopped", &self.queue.is_stopped())
            .finish_non_exhaustive()
    }
}
