//! Callers that wait for a change of a transaction, once or as long as they listen. They outlive its actor: a fault
//! or a revival loses nobody.
//!
//! Bounded all together, by transaction, and listeners by client. A waiter is woken once and asks
//! again; a listener keeps its place and sees the newest of the changes that it has not taken yet, so that one who
//! reads slowly costs no more than one who reads fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tocsin_config::EngineLimits;
use tocsin_model::{ClientId, Delivery, DeliveryStatus, ErrorCode, Problem, Transaction, TransactionId};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::by_id::ById;

/// What a caller waits for. The outcome ends every wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The final state.
    Outcome,
    /// A revision above this one.
    Change {
        /// What the caller has seen.
        after: u32,
    },
    /// The first word of a provider about a push.
    Sent,
}

impl Until {
    /// Whether `transaction` is what is waited for.
    pub fn has_come(self, transaction: &Transaction) -> bool {
        transaction.state.is_final()
            || match self {
                Self::Outcome => false,
                Self::Change { after } => transaction.revision > after,
                Self::Sent => is_sent(transaction),
            }
    }
}

/// Whether a provider has said something of what the present method sent, or no provider ever will. Where all have
/// refused, the end or the fallback is on its way to the disk and says more.
fn is_sent(transaction: &Transaction) -> bool {
    let is_heard =
        |delivery: &Delivery| !matches!(delivery.status, DeliveryStatus::Queued | DeliveryStatus::Sent);
    let mut deliveries = transaction.present_deliveries().peekable();
    let is_told = deliveries.peek().is_none() || deliveries.any(is_heard);
    is_told && !transaction.has_lost_every_push() && !transaction.needs_fallback()
}

/// Who waits for what.
#[derive(Debug)]
pub struct Waiters {
    all_max: usize,
    per_transaction_max: usize,
    streams_per_client_max: usize,
    all: Arc<AtomicUsize>,
    streams_by_client: Arc<DashMap<ClientId, usize>>,
    by_transaction: Arc<Book>,
}

/// Who waits for each transaction; one that nobody waits for is not in it.
type Book = ById<Vec<Waiter>>;

/// An entry in the book, to be dropped after the receiver, so that it finds its sender gone.
#[derive(Debug)]
struct Entry {
    book: Arc<Book>,
    id: TransactionId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.book.remove_if_mut(&self.id, |_, waiters| {
            waiters.retain(|waiter| !waiter.is_gone());
            waiters.is_empty()
        });
    }
}

/// What a waiter is woken with.
#[derive(Clone, Debug)]
pub struct Woken {
    /// The transaction after the change.
    pub transaction: Arc<Transaction>,
    /// When the change, stored by then, was made known.
    pub published_at: Instant,
}

#[derive(Debug)]
enum Waiter {
    /// Woken once, when what it waits for has come.
    Once { until: Until, wake: oneshot::Sender<Woken> },
    /// Told of every change.
    Stream(watch::Sender<Option<Arc<Transaction>>>),
}

impl Waiter {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool {
        match self {
            Self::Once { wake, .. } => wake.is_closed(),
            Self::Stream(changes) => changes.is_closed(),
        }
    }

    fn is_done_by(&self, transaction: &Transaction) -> bool {
        match self {
            Self::Once { until, .. } => until.has_come(transaction),
            Self::Stream(_) => transaction.state.is_final(),
        }
    }

    /// The caller may have gone in this moment.
    fn tell(self, woken: Woken) {
        match self {
            Self::Once { wake, .. } => drop(wake.send(woken)),
            Self::Stream(changes) => drop(changes.send_replace(Some(woken.transaction))),
        }
    }
}

/// A place among all who wait, given back when dropped.
#[derive(Debug)]
pub struct WaitPlace(Arc<AtomicUsize>);

impl Drop for WaitPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One who waits for a transaction, until dropped.
#[derive(Debug)]
pub struct Waiting {
    woken: oneshot::Receiver<Woken>,
    _entry: Entry,
    _place: WaitPlace,
}

impl Waiting {
    /// The change; `None` when the engine is going away.
    pub async fn changed(&mut self) -> Option<Woken> {
        (&mut self.woken).await.ok()
    }
}

/// One who listens to a transaction, until dropped.
#[derive(Debug)]
pub struct Listening {
    changes: watch::Receiver<Option<Arc<Transaction>>>,
    _entry: Entry,
    _stream: StreamPlace,
    _place: WaitPlace,
}

impl Listening {
    /// The newest state that was not taken yet; `None` after the outcome and when the engine is going away.
    /// Nothing is lost when this future is dropped.
    pub async fn changed(&mut self) -> Option<Arc<Transaction>> {
        self.changes.changed().await.ok()?;
        self.changes.borrow_and_update().clone()
    }
}

/// A place among the streams of a client, given back when dropped.
#[derive(Debug)]
struct StreamPlace {
    streams_by_client: Arc<DashMap<ClientId, usize>>,
    client: ClientId,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.streams_by_client.remove_if_mut(&self.client, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

impl Waiters {
    /// No waiters, with these bounds.
    pub fn new(limits: &EngineLimits) -> Self {
        Self {
            all_max: limits.waiters_max,
            per_transaction_max: limits.waiters_per_transaction_max,
            streams_per_client_max: limits.event_streams_per_client_max,
            all: Arc::new(AtomicUsize::new(0)),
            streams_by_client: Arc::default(),
            by_transaction: Arc::default(),
        }
    }

    /// A place among all who wait, for a call that must know that it can be held before it begins anything.
    pub fn reserve(&self) -> Result<WaitPlace, Problem> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        // From here on dropping `place` gives it back.
        let place = WaitPlace(Arc::clone(&self.all));
        if before < self.all_max {
            return Ok(place);
        }
        Err(Problem::new(ErrorCode::Busy, "too many calls are waiting; try again shortly"))
    }

    /// Waits for a change of `id`. To be called before the state is read, so that no change falls between.
    pub fn wait(&self, place: WaitPlace, id: TransactionId, until: Until) -> Result<Waiting, Problem> {
        let (wake, woken) = oneshot::channel();
        let entry = self.enter(id, Waiter::Once { until, wake })?;
        Ok(Waiting { woken, _entry: entry, _place: place })
    }

    /// Listens to every change of `id`. To be called before the state is read, so that no change falls between.
    pub fn listen(&self, client: &ClientId, id: TransactionId) -> Result<Listening, Problem> {
        let stream = self.stream_place(client)?;
        let place = self.reserve()?;
        let (tell, changes) = watch::channel(None);
        let entry = self.enter(id, Waiter::Stream(tell))?;
        Ok(Listening { changes, _entry: entry, _stream: stream, _place: place })
    }

    fn stream_place(&self, client: &ClientId) -> Result<StreamPlace, Problem> {
        let before = {
            let mut count = self.streams_by_client.entry(client.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let streams_by_client = Arc::clone(&self.streams_by_client);
        let place = StreamPlace { streams_by_client, client: client.clone() };
        if before < self.streams_per_client_max {
            return Ok(place);
        }
        Err(Problem::new(ErrorCode::RateLimited, "too many event streams of this client are open"))
    }

    fn enter(&self, id: TransactionId, waiter: Waiter) -> Result<Entry, Problem> {
        let mut waiters = self.by_transaction.entry(id).or_default();
        waiters.retain(|waiter| !waiter.is_gone());
        if waiters.len() >= self.per_transaction_max {
            let detail = "too many calls are waiting for this transaction";
            return Err(Problem::new(ErrorCode::RateLimited, detail));
        }
        waiters.push(waiter);
        Ok(Entry { book: Arc::clone(&self.by_transaction), id })
    }

    /// Tells those whom this change concerns.
    pub fn publish(&self, transaction: &Arc<Transaction>, published_at: Instant) {
        let mut done = Vec::new();
        self.by_transaction.remove_if_mut(&transaction.id, |_, waiters| {
            waiters.retain(|waiter| !waiter.is_gone());
            done.extend(waiters.extract_if(.., |waiter| waiter.is_done_by(transaction)));
            for waiter in waiters.iter() {
                if let Waiter::Stream(changes) = waiter {
                    changes.send_replace(Some(Arc::clone(transaction)));
                }
            }
            waiters.is_empty()
        });
        let woken = || Woken { transaction: Arc::clone(transaction), published_at };
        done.into_iter().for_each(|waiter| waiter.tell(woken()));
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

#[cfg(test)]
#[path = "waiters_tests.rs"]
mod tests;
