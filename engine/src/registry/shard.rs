//! From an id to the mailbox of its transaction, reviving it from its record if need be.
//!
//! The only place that makes transaction actors. Each lives on one arbiter, which its id names, and is reached by
//! one address; when it falls, the next call or its supervisor brings it back from its record.

use std::sync::Arc;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use dashmap::mapref::entry::Entry;
use tocsin_model::{ErrorCode, Problem, State, Transaction, TransactionId};
use tokio::sync::oneshot;

use super::{Admission, Dormant, Permit, Turns};
use crate::arbiter;
use crate::by_id::ById;
use crate::error::store_problem;
use crate::limits::{
    ASK_AGAIN_MAX, REVIVAL_BACKOFF, REVIVAL_LOOKS_MAX, REVIVAL_WAIT_MAX, TRANSACTION_MAILBOX_MAX,
};
use crate::protocol::{ProviderEvent, Transactions};
use crate::supervise::{self, ExitStatus};
use crate::surroundings::Surroundings;
use crate::transaction::{
    Ask, Beginning, News, Opening, Reply, Request, Ring, Standing, TransactionActor, judge_ended, unanswered,
};

/// Why a transaction could not be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AskError {
    /// There is none with this id.
    Absent,
    /// It could not answer.
    Failed(Problem),
}

/// The open transactions of this process.
pub(crate) struct Registry {
    arbiters: Vec<ArbiterHandle>,
    actors: ById<Open>,
    admission: Admission,
    turns: Turns,
    dormant: Dormant,
    surroundings: Arc<Surroundings>,
}

/// An open transaction: the way to its actor, and how it stands, which is read without asking.
#[derive(Clone)]
struct Open {
    address: Addr<TransactionActor>,
    standing: Arc<Standing>,
}

/// Where a transaction is.
enum Found {
    Open(Addr<TransactionActor>),
    Ended(Box<Transaction>),
    Absent,
}

impl Registry {
    pub(crate) fn new(
        arbiters: Vec<ArbiterHandle>,
        admission: Admission,
        surroundings: Arc<Surroundings>,
    ) -> Self {
        let (actors, turns, dormant) = (ById::default(), Turns::default(), Dormant::default());
        Self { arbiters, actors, admission, turns, dormant, surroundings }
    }

    /// The books of open transactions.
    pub(crate) const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Who begins something for which user.
    pub(crate) const fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Those that were open when the process began and have had no actor since.
    pub(crate) const fn dormant(&self) -> &Dormant {
        &self.dormant
    }

    /// What was read of this one gives it no actor any more, if it has had none. Whether that is so.
    pub(crate) fn forget_dormant(&self, id: TransactionId) -> bool {
        let was_dormant = self.dormant.take(id);
        if was_dormant {
            self.admission.no_longer_expect_one();
        }
        was_dormant
    }

    /// Starts a new transaction; the reply comes when it is stored.
    pub(crate) fn start(
        self: &Arc<Self>,
        transaction: Transaction,
        permit: Permit,
        opening: Opening,
    ) -> oneshot::Receiver<Reply> {
        let (reply, replied) = oneshot::channel();
        let id = transaction.id;
        // Entered while the map is held, so that neither its end nor a revival can come before.
        let entry = self.actors.entry(id);
        let opening = Opening { starter: Some(reply), ..opening };
        let (open, run) = self.prepare(transaction, permit, Beginning::Start(opening));
        entry.insert(open);
        let number = self.surroundings.arbiter_of(id);
        if arbiter::number() == Some(number) {
            run();
        } else {
            self.arbiters[number].spawn_fn(run);
        }
        replied
    }

    /// Asks a transaction, open or ended. An actor that falls while it has the call is revived and asked again.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        id: TransactionId,
        request: Request,
    ) -> Result<Reply, AskError> {
        for tries in 0..=ASK_AGAIN_MAX {
            let address = match self.find(id).await? {
                Found::Open(address) => address,
                // The actor that had this call fell behind its write: the caller is told what it made.
                Found::Ended(transaction)
                    if tries > 0
                        && matches!(request, Request::Cancel(_))
                        && transaction.state == State::Cancelled =>
                {
                    return Ok(Reply::View(Arc::new(*transaction)));
                }
                Found::Ended(transaction) => {
                    return Ok(judge_ended(*transaction, request, self.surroundings.clock.now()));
                }
                Found::Absent => return Err(AskError::Absent),
            };
            let (reply, replied) = oneshot::channel();
            match address.try_send(Ask { request: request.clone(), reply }) {
                Ok(()) => {}
                Err(actix::dev::SendError::Full(_)) => return Err(AskError::Failed(mailbox_full())),
                Err(actix::dev::SendError::Closed(_)) => continue,
            }
            if let Ok(reply) = replied.await {
                return Ok(reply);
            }
        }
        Err(AskError::Failed(unanswered()))
    }

    /// How a transaction stands that has an actor here and is stored; all that was published of it shows. News that
    /// waits in its mailbox does not.
    pub(crate) fn standing(&self, id: TransactionId) -> Option<Arc<Transaction>> {
        let open = self.actors.get(&id)?;
        if open.address.connected() { open.standing.read() } else { None }
    }

    /// Brings news to a transaction, if it is open here. News is best effort.
    pub(crate) fn tell(&self, id: TransactionId, news: News) {
        if let Some(address) = self.address_of(id) {
            let _ = address.try_send(news);
        }
    }

    /// The same, waiting for room in its mailbox: to one that is open here or lingers.
    pub(crate) async fn tell_here(&self, id: TransactionId, news: News) {
        if let Some(address) = self.address_of(id) {
            let _ = address.send(news).await;
        }
    }

    /// Brings news to a transaction that must hear it, wherever it is; one that is not stored yet hears nothing.
    pub(crate) async fn tell_surely(self: &Arc<Self>, id: TransactionId, news: News) {
        for _ in 0..=ASK_AGAIN_MAX {
            match self.find(id).await {
                // Waits for room in its mailbox; one that falls meanwhile is found again.
                Ok(Found::Open(address)) => {
                    if address.send(news).await.is_ok() {
                        return;
                    }
                }
                Ok(Found::Ended(_) | Found::Absent) => return,
                Err(error) => {
                    tracing::warn!(transaction = %id, ?error, "a transaction did not hear of a phone that has gone");
                    return;
                }
            }
        }
    }

    /// Makes the next handler of an open transaction panic.
    #[cfg(feature = "fault-hook")]
    pub(crate) fn inject_fault(&self, id: TransactionId) -> bool {
        self.address_of(id).is_some_and(|address| address.try_send(crate::protocol::InjectFault).is_ok())
    }

    /// Brings a fallen transaction back from its record. Its create may still be on the way to the disk, so one
    /// that is not there yet is looked for again, with growing waits, until the last of them.
    pub(crate) async fn revive_fallen(self: &Arc<Self>, id: TransactionId) {
        let mut wait = REVIVAL_BACKOFF;
        for _ in 0..REVIVAL_LOOKS_MAX {
            match self.find(id).await {
                Ok(Found::Open(_) | Found::Ended(_)) => return,
                Ok(Found::Absent) | Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(REVIVAL_WAIT_MAX);
        }
        tracing::warn!(transaction = %id, "a fallen transaction was not found in the storage: it was never stored");
    }

    /// Gives a pending record an actor, unless it has one. `None` for one that was dormant when it was read and has had an
    /// actor since: the record may be no longer true.
    fn revive(
        self: &Arc<Self>,
        transaction: Transaction,
        was_dormant: bool,
    ) -> Option<Addr<TransactionActor>> {
        match self.actors.entry(transaction.id) {
            Entry::Occupied(entry) if entry.get().address.connected() => Some(entry.get().address.clone()),
            _ if self.forget_dormant(transaction.id) != was_dormant => None,
            entry => {
                let arbiter = self.arbiter_of(transaction.id);
                let permit = self.admission.readmit(&transaction);
                let (open, run) = self.prepare(transaction, permit, Beginning::Revival);
                let address = entry.insert(open).address.clone();
                // One that has stopped runs nothing; then the process ends.
                let _ = arbiter.spawn_fn(run);
                Some(address)
            }
        }
    }

    /// The same for many that the recovery has read, which each arbiter does for its own; the answers come when all that
    /// is theirs have actors. Those that are dormant no more may have ended, and are left to whoever asks for them.
    pub(crate) fn revive_all(self: &Arc<Self>, transactions: Vec<Transaction>) -> Vec<oneshot::Receiver<()>> {
        let mut shares: Vec<Vec<Transaction>> = self.arbiters.iter().map(|_| Vec::new()).collect();
        for transaction in transactions {
            shares[self.surroundings.arbiter_of(transaction.id)].push(transaction);
        }
        let shares = shares.into_iter().zip(&self.arbiters);
        let revived = shares.map(|(share, arbiter)| {
            let (registry, (done, revived)) = (Arc::clone(self), oneshot::channel());
            arbiter.spawn_fn(move || {
                share.into_iter().for_each(|transaction| registry.revive_dormant(transaction));
                // Who asked may have gone.
                let _ = done.send(());
            });
            revived
        });
        revived.collect()
    }

    /// To be called on its arbiter.
    fn revive_dormant(self: &Arc<Self>, transaction: Transaction) {
        let entry = self.actors.entry(transaction.id);
        // While the entry is held: who sees it end looks for its actor once more behind that.
        if self.forget_dormant(transaction.id) && !transaction.state.is_final() {
            let permit = self.admission.readmit(&transaction);
            let (open, run) = self.prepare(transaction, permit, Beginning::Revival);
            entry.insert(open);
            run();
        }
    }

    async fn find(self: &Arc<Self>, id: TransactionId) -> Result<Found, AskError> {
        loop {
            if let Some(address) = self.address_of(id).filter(Addr::connected) {
                return Ok(Found::Open(address));
            }
            let was_dormant = self.dormant.contains(id);
            let record = self.surroundings.store.transaction(id).await;
            match record.map_err(|error| AskError::Failed(store_problem(&error)))? {
                None => return Ok(Found::Absent),
                Some(transaction) if transaction.state.is_final() => {
                    // It ended behind the back of the recovery, which may have given it an actor meanwhile.
                    self.forget_dormant(id);
                    let address = self.address_of(id).filter(Addr::connected);
                    return Ok(address.map_or_else(|| Found::Ended(Box::new(transaction)), Found::Open));
                }
                Some(transaction) => {
                    if let Some(address) = self.revive(transaction, was_dormant) {
                        return Ok(Found::Open(address));
                    }
                }
            }
        }
    }

    /// Rings the alarms of transactions from now on.
    pub(crate) fn keep_alarms(self: &Arc<Self>) {
        for (number, arbiter) in self.arbiters.iter().enumerate() {
            let registry = Arc::clone(self);
            arbiter.spawn(async move {
                let Surroundings { alarms, clock, .. } = &*registry.surroundings;
                // Past the bound of its mailbox: an alarm must not be lost.
                let ring = |id| registry.address_of(id).into_iter().for_each(|address| address.do_send(Ring));
                alarms[number].keep(clock.clone(), ring).await;
            });
        }
    }

    fn address_of(&self, id: TransactionId) -> Option<Addr<TransactionActor>> {
        self.actors.get(&id).map(|open| open.address.clone())
    }

    fn arbiter_of(&self, id: TransactionId) -> &ArbiterHandle {
        &self.arbiters[self.surroundings.arbiter_of(id)]
    }

    /// The way to a new actor, and what is to be called on its arbiter.
    fn prepare(
        self: &Arc<Self>,
        transaction: Transaction,
        permit: Permit,
        beginning: Beginning,
    ) -> (Open, impl FnOnce() + Send + use<>) {
        let (standing, surroundings) =
            (Arc::new(Standing::unseen(&transaction)), Arc::clone(&self.surroundings));
        let actor =
            TransactionActor::new(transaction, permit, beginning, Arc::clone(&standing), surroundings);
        self.surroundings.moved_in(standing.should_it_fall.0.transaction_id);
        let (sender, receiver) = actix::dev::channel::channel(TRANSACTION_MAILBOX_MAX);
        let address = Addr::new(sender);
        // Kept with each actor for its life: no more than two words.
        let (registry, kept) = (Arc::clone(self), Arc::clone(&standing));
        let run = move || {
            let running = Context::with_receiver(receiver).into_future(actor);
            actix_rt::spawn(supervise::run_once(running, move |exit| registry.exited(&kept, exit)));
        };
        (Open { address, standing }, run)
    }

    fn exited(self: &Arc<Self>, standing: &Standing, exit: ExitStatus) {
        let (fallen, supervisor) = &standing.should_it_fall;
        let id = fallen.transaction_id;
        self.surroundings.moved_out(id);
        // A revival may have put a living address in its place already.
        self.actors.remove_if(&id, |_, open| !open.address.connected());
        if exit == ExitStatus::Fault {
            self.surroundings.metrics.actor_fault("transaction");
            tracing::error!(transaction = %id, "a transaction's actor fell; it comes back from its record");
            let told = self
                .surroundings
                .providers()
                .supervisor(supervisor.as_ref())
                .is_some_and(|provider| provider.faulted.try_send(*fallen).is_ok());
            if !told {
                self.bring_back(id);
            }
        }
    }
}

impl Transactions for Arc<Registry> {
    fn bring_back(&self, id: TransactionId) {
        let registry = Self::clone(self);
        actix_rt::spawn(async move { registry.revive_fallen(id).await });
    }

    fn is_alive(&self, id: TransactionId) -> bool {
        self.actors.get(&id).is_some_and(|open| open.address.connected())
    }

    fn tell_event(&self, id: TransactionId, event: ProviderEvent) {
        if let Some(address) = self.address_of(id) {
            let _ = address.try_send(event);
        }
    }
}

fn mailbox_full() -> Problem {
    Problem::new(ErrorCode::Busy, "too many calls at once for this transaction; nothing was done")
}
