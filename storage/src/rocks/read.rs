//! Reads: at once from memory, else on threads that may wait for the disk: one for those who read many rows, and others,
//! so that no start waits behind a list.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use tocsin_model::UnixMs;

use super::database::{Database, InMemory};
use crate::clock::Clock;
use crate::store::{Pending, Read};
use crate::verb::rows::RowFault;
use crate::verb::{Retention, RowResult, Table};
use crate::{StoreError, StoreErrorKind};

/// Threads that wait for the disk for those who read few rows.
const READERS: usize = 2;

/// Reads waiting for one thread; one more is answered `busy`.
const READS_WAITING_MAX: usize = 1_024;

type Job = Box<dyn FnOnce(&Database) + Send>;

/// The reading side of the store.
pub(super) struct Readers {
    database: Arc<Database>,
    clock: Clock,
    retention: Retention,
    queues: Vec<SyncSender<Job>>,
    /// To the thread for those who read many rows, behind which nobody else waits.
    lists: Vec<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    turn: AtomicUsize,
}

impl Readers {
    /// Starts the pool. Its threads end when this value is dropped.
    pub(super) fn start(database: &Arc<Database>, clock: Clock, retention: Retention) -> io::Result<Self> {
        let turn = AtomicUsize::new(0);
        let (queues, lists, threads) = (Vec::new(), Vec::new(), Vec::new());
        let database = Arc::clone(database);
        let mut readers = Self { database, clock, retention, queues, lists, threads, turn };
        for number in 0..READERS {
            let queue = readers.start_thread(format!("tocsin-reader-{number}"))?;
            readers.queues.push(queue);
        }
        let lists = readers.start_thread("tocsin-lister".to_owned())?;
        readers.lists.push(lists);
        Ok(readers)
    }

    fn start_thread(&mut self, name: String) -> io::Result<SyncSender<Job>> {
        let (queue, jobs) = sync_channel::<Job>(READS_WAITING_MAX);
        let database = Arc::clone(&self.database);
        let work = move || jobs.iter().for_each(|job| job(&database));
        self.threads.push(thread::Builder::new().name(name).spawn(work)?);
        Ok(queue)
    }

    /// Asks `question` of the rows in memory, and of all rows if those do not suffice.
    pub(super) fn look<T, Q>(&self, question: Q) -> Read<'static, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        let now = (self.clock)();
        match question(&Table::new(&InMemory(&self.database), now, self.retention)) {
            Ok(answer) => Box::pin(std::future::ready(Ok(answer))),
            Err(RowFault::Failed(error)) => Box::pin(std::future::ready(Err(error))),
            Err(RowFault::NotInMemory) => self.look_on_disk(&self.queues, question, now),
        }
    }

    /// Asks `question` of so many rows that not all can be in memory.
    pub(super) fn look_at_many<T, Q>(&self, question: Q) -> Read<'static, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        self.look_on_disk(&self.lists, question, (self.clock)())
    }

    /// Asks `question` of all rows, on a thread of these that may wait for the disk; it begins at once.
    fn look_on_disk<T, Q>(&self, queues: &[SyncSender<Job>], question: Q, now: UnixMs) -> Read<'static, T>
    where
        T: Send + 'static,
        Q: Fn(&Table<'_>) -> RowResult<T> + Send + 'static,
    {
        let (answer, pending) = Pending::channel();
        let retention = self.retention;
        let job = Box::new(move |database: &Database| {
            let found = question(&Table::new(database, now, retention));
            drop(answer.send(found.map_err(StoreError::from)));
        });
        match self.submit(queues, job) {
            Ok(()) => Box::pin(pending),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// In turn, and past a queue that is full.
    fn submit(&self, queues: &[SyncSender<Job>], mut job: Job) -> Result<(), StoreError> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for offset in 0..queues.len() {
            let queue = &queues[first.wrapping_add(offset) % queues.len()];
            match queue.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) => job = refused,
            }
        }
        Err(StoreError::new(StoreErrorKind::Busy, "every reader's queue is full"))
    }
}

/// Waits for the threads, so that nobody holds the database when the store is gone.
impl Drop for Readers {
    fn drop(&mut self) {
        self.queues.clear();
        self.lists.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the store had panicked");
            }
        }
    }
}
