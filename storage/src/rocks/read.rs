//! Reads: at once from memory, else on a small pool of threads that may wait for the disk.

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

/// Threads that wait for the disk.
const READERS: usize = 2;

/// Reads waiting for one such thread; one more is answered `busy`.
const READS_WAITING_MAX: usize = 1_024;

type Job = Box<dyn FnOnce(&Database) + Send>;

/// The reading side of the store.
pub(super) struct Readers {
    database: Arc<Database>,
    clock: Clock,
    retention: Retention,
    queues: Vec<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    turn: AtomicUsize,
}

impl Readers {
    /// Starts the pool. Its threads end when this value is dropped.
    pub(super) fn start(database: &Arc<Database>, clock: Clock, retention: Retention) -> io::Result<Self> {
        let turn = AtomicUsize::new(0);
        let (queues, threads) = (Vec::with_capacity(READERS), Vec::with_capacity(READERS));
        let mut readers = Self { database: Arc::clone(database), clock, retention, queues, threads, turn };
        for number in 0..READERS {
            let (queue, jobs) = sync_channel::<Job>(READS_WAITING_MAX);
            let database = Arc::clone(database);
            let work = move || jobs.iter().for_each(|job| job(&database));
            readers.threads.push(thread::Builder::new().name(format!("tocsin-reader-{number}")).spawn(work)?);
            readers.queues.push(queue);
        }
        Ok(readers)
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
            Err(RowFault::NotInMemory) => self.look_on_disk(question, now),
        }
    }

    /// Asks `question` of all rows, on a thread that may wait for the disk; it begins at once.
    pub(super) fn look_on_disk<T, Q>(&self, question: Q, now: UnixMs) -> Read<'static, T>
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
        match self.submit(job) {
            Ok(()) => Box::pin(pending),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// In turn, and past a queue that is full.
    fn submit(&self, mut job: Job) -> Result<(), StoreError> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for offset in 0..self.queues.len() {
            let queue = &self.queues[first.wrapping_add(offset) % self.queues.len()];
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
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the store had panicked");
            }
        }
    }
}
