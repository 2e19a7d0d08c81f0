//! Callers that wait for a change of a transaction. They outlive its actor: a fault or a revival loses nobody.
//!
//! Bounded all together and by transaction. A waiter is woken once and asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tocsin_config::EngineLimits;
use tocsin_model::{ErrorCode, Problem, Transaction, TransactionId};
use tokio::sync::oneshot;

/// Who waits for what.
#[derive(Debug)]
pub struct Waiters {
    all_max: usize,
    per_transaction_max: usize,
    all: Arc<AtomicUsize>,
    by_transaction: DashMap<TransactionId, Vec<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    /// Woken by a revision above this one, or by a final state.
    after: Option<u32>,
    wake: oneshot::Sender<Arc<Transaction>>,
}

/// A place among the waiters, given back when dropped.
#[derive(Debug)]
pub struct Waiting {
    all: Arc<AtomicUsize>,
    woken: oneshot::Receiver<Arc<Transaction>>,
}

impl Waiting {
    /// The transaction after the change; `None` when the engine is going away.
    pub async fn changed(&mut self) -> Option<Arc<Transaction>> {
        (&mut self.woken).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiters {
    /// No waiters, with these bounds.
    pub fn new(limits: &EngineLimits) -> Self {
        Self {
            all_max: limits.waiters_max,
            per_transaction_max: limits.waiters_per_transaction_max,
            all: Arc::new(AtomicUsize::new(0)),
            by_transaction: DashMap::new(),
        }
    }

    /// Waits for a change of `id`: any with a revision above `after`, else only the final state. To be called
    /// before the state is read, so that no change falls between.
    pub fn wait(&self, id: TransactionId, after: Option<u32>) -> Result<Waiting, Problem> {
        if self.all.fetch_add(1, Ordering::Relaxed) >= self.all_max {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return Err(Problem::new(ErrorCode::Busy, "too many calls are waiting; try again shortly"));
        }
        let (wake, woken) = oneshot::channel();
        // From here on dropping `waiting` gives the place back.
        let waiting = Waiting { all: Arc::clone(&self.all), woken };
        let mut waiters = self.by_transaction.entry(id).or_default();
        waiters.retain(|waiter| !waiter.wake.is_closed());
        if waiters.len() >= self.per_transaction_max {
            return Err(Problem::new(
                ErrorCode::RateLimited,
                "too many calls are waiting for this transaction",
            ));
        }
        waiters.push(Waiter { after, wake });
        Ok(waiting)
    }

    /// Wakes those whom this change concerns.
    pub fn publish(&self, transaction: &Arc<Transaction>) {
        let concerned = |waiter: &Waiter| {
            let newer = waiter.after.is_some_and(|after| transaction.revision > after);
            newer || transaction.state.is_final()
        };
        let mut woken = Vec::new();
        self.by_transaction.remove_if_mut(&transaction.id, |_, waiters| {
            waiters.retain(|waiter| !waiter.wake.is_closed());
            woken.extend(waiters.extract_if(.., |waiter| concerned(waiter)));
            waiters.is_empty()
        });
        for waiter in woken {
            // The caller may have gone in this moment.
            let _ = waiter.wake.send(Arc::clone(transaction));
        }
    }

    /// Forgets a transaction's waiters that have gone.
    pub fn tidy(&self, id: &TransactionId) {
        self.by_transaction.remove_if_mut(id, |_, waiters| {
            waiters.retain(|waiter| !waiter.wake.is_closed());
            waiters.is_empty()
        });
    }

    /// Lets every waiter go; each returns with the state of the moment.
    pub fn release_all(&self) {
        self.by_transaction.clear();
    }

    /// Calls that wait, all together.
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}
