//! Threads of their own for signatures, so that no actor and no reactor waits for arithmetic.
//!
//! A fixed number of threads takes jobs from one bounded queue; a full queue is answered at once. A job whose
//! caller has gone is skipped; a job that panics fails alone and its thread goes on. Dropping the pool ends the
//! threads once the queue is empty; it does not wait for them.
//!
//! To be woken costs a thread a good part of a signature. So one that sleeps is called only where none is up that would
//! take the job next, or where those that are up have [`JOBS_EACH`] before them, fewer where the queue is short: unless
//! it is shorter than there are threads, all are called before it is full. Jobs must be arithmetic, mostly a tenth of a
//! millisecond each, and wait for nothing but the moment of a lock.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tocsin_model::{ErrorCode, Problem};
use tokio::sync::oneshot;

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignaturePoolError {
    /// The queue is full: nothing was done; try again.
    Busy,
    /// The job panicked: a fault of ours.
    Panicked,
}

impl SignaturePoolError {
    /// As the caller sees it.
    pub fn problem(self) -> Problem {
        match self {
            Self::Busy => Problem::new(ErrorCode::Busy, "too many signatures wait to be checked; try again"),
            Self::Panicked => Problem::internal(),
        }
    }
}

impl fmt::Display for SignaturePoolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Busy => "the signature queue is full",
            Self::Panicked => "a signature job panicked",
        })
    }
}

impl std::error::Error for SignaturePoolError {}

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait for each thread that is up before another one gets up.
const JOBS_EACH: usize = 4;

/// A bounded pool of named threads (`signature-0`, …).
pub struct SignaturePool(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    threads: usize,
    jobs_each: usize,
    queue_depth_max: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Threads that sleep and were not called.
    asleep: usize,
    /// Threads that were called and have not got up yet.
    called: usize,
}

impl SignaturePool {
    /// Starts `threads` threads (at least one) before a queue of `queue_depth_max` jobs.
    pub fn start(threads: usize, queue_depth_max: usize) -> io::Result<Self> {
        let threads = threads.max(1);
        let (queue, work) = (Mutex::default(), Condvar::new());
        let jobs_each = JOBS_EACH.min(queue_depth_max / threads);
        let shared = Arc::new(Shared { queue, work, threads, jobs_each, queue_depth_max });
        let pool = Self(Arc::clone(&shared));
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            // Not joined: a thread ends by itself when the pool is dropped.
            std::thread::Builder::new()
                .name(format!("signature-{number}"))
                .spawn(move || shared.work_off())?;
        }
        Ok(pool)
    }

    /// Runs `job` on a thread of the pool. Dropping the future skips a job that has not begun.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SignaturePoolError> {
        let (sender, receiver) = oneshot::channel();
        let job = move || {
            if !sender.is_closed() {
                // The caller may go while the job runs; then nobody wants the result.
                let _ = sender.send(job());
            }
        };
        self.0.push(Box::new(job))?;
        receiver.await.map_err(|_| SignaturePoolError::Panicked)
    }

    /// Jobs that wait for a thread.
    pub fn queue_depth(&self) -> usize {
        self.0.lock().jobs.len()
    }
}

impl Drop for SignaturePool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
    }
}

impl fmt::Debug for SignaturePool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SignaturePool").field("queue_depth", &self.queue_depth()).finish()
    }
}

impl Shared {
    /// Nothing that can panic happens under the lock, so that a poisoned one holds a sound queue.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), SignaturePoolError> {
        let mut queue = self.lock();
        if queue.jobs.len() >= self.queue_depth_max {
            return Err(SignaturePoolError::Busy);
        }
        queue.jobs.push_back(job);
        let calls = queue.asleep > 0 && queue.jobs.len() > self.jobs_each * (self.threads - queue.asleep);
        if calls {
            queue.asleep -= 1;
            queue.called += 1;
        }
        drop(queue);
        if calls {
            self.work.notify_one();
        }
        Ok(())
    }

    /// The next job, or `None` when the pool was dropped and nothing is left.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        while queue.jobs.is_empty() && !queue.closed {
            queue.asleep += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            // Who got up uncalled takes the place of one that was called, if there is such a one.
            match queue.called.checked_sub(1) {
                Some(called) => queue.called = called,
                None => queue.asleep -= 1,
            }
        }
        queue.jobs.pop_front()
    }

    fn work_off(&self) {
        while let Some(job) = self.next() {
            // A job owns what it changes, or changes it in one step (the memory of proofs), so that nothing half-changed
            // is left behind; its sender is dropped by the panic, which tells the caller.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a signature job panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    /// A pool of which one thread is occupied until the returned sender speaks or is dropped.
    async fn occupied(threads: usize, queue_depth_max: usize) -> (SignaturePool, mpsc::Sender<()>) {
        let pool = SignaturePool::start(threads, queue_depth_max).expect("threads");
        let (release, wait) = mpsc::channel::<()>();
        let (began, has_begun) = oneshot::channel();
        let job = Box::new(move || {
            let _ = began.send(());
            let _ = wait.recv();
        });
        pool.0.push(job).expect("room");
        soon(has_begun).await.expect("begun");
        (pool, release)
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn jobs_run_on_named_threads_of_the_pool() {
        let pool = SignaturePool::start(2, 8).expect("threads");
        let name = pool.run(|| std::thread::current().name().map(str::to_owned)).await.expect("run");
        assert!(name.expect("named").starts_with("signature-"));
    }

    /// A pool of two threads, of which one is held and the other one sleeps.
    async fn half_asleep(queue_depth_max: usize) -> (SignaturePool, mpsc::Sender<()>) {
        let (pool, release) = occupied(2, queue_depth_max).await;
        // It has got up for these, so that nothing wakes it any more when it sleeps again.
        let some = (0..=pool.0.jobs_each).map(|_| pool.run(|| ()));
        assert!(soon(join_all(some)).await.iter().all(Result::is_ok));
        while pool.0.lock().asleep == 0 {
            std::thread::yield_now();
        }
        (pool, release)
    }

    async fn soon<F: Future>(future: F) -> F::Output {
        tokio::time::timeout(std::time::Duration::from_secs(30), future).await.expect("a thread took it")
    }

    #[tokio::test]
    async fn a_second_thread_gets_up_for_much_and_not_for_little() {
        let (pool, release) = half_asleep(64).await;
        let mut few: Vec<_> = (0..JOBS_EACH).map(|_| Box::pin(pool.run(|| ()))).collect();
        assert!(few.iter_mut().all(|job| poll(job.as_mut()).is_pending()));
        let stands = |queue: &Queue| (queue.jobs.len(), queue.asleep, queue.called);
        assert_eq!(stands(&pool.0.lock()), (JOBS_EACH, 1, 0));
        // One more, and the other thread does all of them while the first is held.
        assert_eq!(soon(pool.run(|| ())).await, Ok(()));
        for job in few {
            assert_eq!(soon(job).await, Ok(()));
        }
        drop(release);
    }

    #[tokio::test]
    async fn every_thread_gets_up_before_a_short_queue_is_full() {
        let (pool, release) = half_asleep(2).await;
        let mut first = Box::pin(pool.run(|| 1));
        assert!(poll(first.as_mut()).is_pending());
        assert_eq!(soon(pool.run(|| 2)).await, Ok(2));
        assert_eq!(soon(first).await, Ok(1));
        drop(release);
    }

    #[tokio::test]
    async fn a_full_queue_answers_busy_at_once_and_drains() {
        let (pool, release) = occupied(1, 2).await;
        let mut first = Box::pin(pool.run(|| 1));
        let mut second = Box::pin(pool.run(|| 2));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(pool.queue_depth(), 2);
        assert_eq!(pool.run(|| 3).await, Err(SignaturePoolError::Busy));
        drop(release);
        assert_eq!((first.await, second.await), (Ok(1), Ok(2)));
        assert_eq!(pool.queue_depth(), 0);
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_job_only() {
        let pool = SignaturePool::start(1, 8).expect("threads");
        assert_eq!(
            pool.run(|| panic!("as the test wants")).await,
            Err::<(), _>(SignaturePoolError::Panicked)
        );
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_job_whose_caller_has_gone_is_skipped() {
        let (pool, release) = occupied(1, 8).await;
        let (ran, has_run) = mpsc::channel();
        let mut abandoned = Box::pin(pool.run(move || ran.send(())));
        assert!(poll(abandoned.as_mut()).is_pending());
        drop(abandoned);
        drop(release);
        assert_eq!(pool.run(|| ()).await, Ok(()));
        assert!(has_run.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_dropped_pool_finishes_what_it_took() {
        let (pool, release) = occupied(1, 8).await;
        let (sender, receiver) = oneshot::channel();
        pool.0.push(Box::new(move || assert!(sender.send(5).is_ok()))).expect("room");
        drop(pool);
        drop(release);
        assert_eq!(receiver.await, Ok(5));
    }
}
