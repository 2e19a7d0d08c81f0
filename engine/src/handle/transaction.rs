//! Reading, awaiting and cancelling a transaction. Only the client that started it sees it; an
//! operator may cancel it.

use std::sync::Arc;

use tocsin_model::{ClientId, DurationMs, Idempotency, OperatorName, Problem, Transaction, TransactionId};
use tocsin_storage::{Created, TransactionPage, TransactionQuery};

use super::Handle;
use super::start::idempotency_mismatch;
use crate::error::store_problem;
use crate::metrics::Stage;
use crate::registry::{AskError, Until, WaitPlace};
use crate::transaction::{Reply, Request};

impl Handle {
    /// The transaction as it stands. Without side effect.
    pub async fn transaction(
        &self,
        client: &ClientId,
        id: TransactionId,
    ) -> Result<Arc<Transaction>, Problem> {
        let transaction = self.view(id).await?;
        let transaction =
            if transaction.client == *client { transaction } else { return Err(Problem::not_found()) };
        self.with_request_message(transaction).await
    }

    /// Waits until what is waited for has come; returns at the latest after `longest`, and early when the engine
    /// shuts down, with the transaction as it then stands.
    pub async fn wait(
        &self,
        client: &ClientId,
        id: TransactionId,
        until: Until,
        longest: DurationMs,
    ) -> Result<Arc<Transaction>, Problem> {
        let waited = self.wait_for_change(client, id, until, longest).await?;
        self.with_request_message(waited).await
    }

    async fn wait_for_change(
        &self,
        client: &ClientId,
        id: TransactionId,
        until: Until,
        longest: DurationMs,
    ) -> Result<Arc<Transaction>, Problem> {
        let present = self.own(client, id).await?;
        if until.has_come(&present) || longest.get() == 0 || self.is_draining() {
            return Ok(present);
        }
        let place = self.reserve_wait()?;
        self.hold_bare(place, id, until, longest).await
    }

    /// A place among those who wait, for a call that begins something and must know before that it can be held.
    pub fn reserve_wait(&self) -> Result<WaitPlace, Problem> {
        self.0.surroundings.waiters.reserve()
    }

    /// As [`Handle::wait`], in a place that was reserved, on a transaction that the caller is known to see.
    pub async fn hold(
        &self,
        place: WaitPlace,
        id: TransactionId,
        until: Until,
        longest: DurationMs,
    ) -> Result<Arc<Transaction>, Problem> {
        let held = self.hold_bare(place, id, until, longest).await?;
        self.with_request_message(held).await
    }

    async fn hold_bare(
        &self,
        place: WaitPlace,
        id: TransactionId,
        until: Until,
        longest: DurationMs,
    ) -> Result<Arc<Transaction>, Problem> {
        // Entered first and read afterwards, so that no change falls between.
        let mut waiting = self.0.surroundings.waiters.wait(place, id, until)?;
        let present = self.standing(id).await?;
        if until.has_come(&present) || self.is_draining() {
            return Ok(present);
        }
        match tokio::time::timeout(longest.to_std(), waiting.changed()).await {
            Ok(Some(woken)) => {
                self.metrics().observe(Stage::WakeUp, woken.published_at.elapsed());
                Ok(woken.transaction)
            }
            Ok(None) | Err(_) => self.view(id).await,
        }
    }

    /// One page of transactions, newest first. What is pending in the storage is asked how it stands now.
    pub async fn transactions(&self, query: TransactionQuery) -> Result<TransactionPage, Problem> {
        let read = self.store().transactions(query.clone()).await;
        let mut page = read.map_err(|error| store_problem(&error))?;
        for listed in &mut page.transactions {
            if !listed.state.is_final()
                && let Ok(present) = self.view(listed.id).await
                && let Ok(present) = self.with_request_message(present).await
            {
                *listed = Transaction::clone(&present);
            }
        }
        page.transactions.retain(|listed| query.takes(listed));
        Ok(page)
    }

    /// Withdraws a transaction; answers with its final view.
    pub async fn cancel(&self, client: &ClientId, id: TransactionId) -> Result<Arc<Transaction>, Problem> {
        self.own(client, id).await?;
        self.cancel_for(id, None).await
    }

    /// Withdraws a transaction of any client for this operator, whom the audit trail names; answers with its final
    /// view.
    pub async fn cancel_as(
        &self,
        operator: OperatorName,
        id: TransactionId,
    ) -> Result<Arc<Transaction>, Problem> {
        self.cancel_for(id, Some(operator)).await
    }

    async fn cancel_for(
        &self,
        id: TransactionId,
        by: Option<OperatorName>,
    ) -> Result<Arc<Transaction>, Problem> {
        match self.ask(id, Request::Cancel(by)).await? {
            Reply::View(transaction) => Ok(transaction),
            Reply::Refused(problem) => Err(problem),
            Reply::SeenBefore(_) | Reply::Answered(_) | Reply::TriesLeft(_) => Err(Problem::internal()),
        }
    }

    /// Pushes once more, under a new push id and the same collapse id, or sends the same code again; answers with the
    /// view. A call that repeats an earlier one pushes nothing.
    pub async fn resend(
        &self,
        client: &ClientId,
        id: TransactionId,
        idempotency: Option<Idempotency>,
    ) -> Result<Arc<Transaction>, Problem> {
        self.refuse_while_draining()?;
        let present = self.transaction(client, id).await?;
        if self.resent_before(client, idempotency.as_ref()).await? {
            return Ok(present);
        }
        self.spare_again(&present).await?;
        let request = Request::Resend { idempotency: idempotency.clone().map(Box::new) };
        match self.ask(id, request).await? {
            Reply::View(transaction) => Ok(transaction),
            // The same call a moment earlier may have been stored while this one was judged.
            Reply::Refused(_) if self.resent_before(client, idempotency.as_ref()).await? => {
                self.view(id).await
            }
            Reply::Refused(problem) => Err(problem),
            Reply::SeenBefore(_) | Reply::Answered(_) | Reply::TriesLeft(_) => Err(Problem::internal()),
        }
    }

    async fn resent_before(
        &self,
        client: &ClientId,
        idempotency: Option<&Idempotency>,
    ) -> Result<bool, Problem> {
        let Some(idempotency) = idempotency else { return Ok(false) };
        let seen = self.store().by_idempotency_key(client, idempotency).await;
        match seen.map_err(|error| store_problem(&error))? {
            None | Some(Created::New | Created::UserLocked(_)) => Ok(false),
            Some(Created::Existing(_)) => Ok(true),
            Some(Created::Mismatch) => Err(idempotency_mismatch()),
        }
    }

    /// Counts a wrong try of the user; answers with the tries left.
    pub async fn try_wrong(&self, client: &ClientId, id: TransactionId) -> Result<u32, Problem> {
        self.own(client, id).await?;
        match self.ask(id, Request::TryWrong).await? {
            Reply::TriesLeft(left) => Ok(left),
            Reply::Refused(problem) => Err(problem),
            Reply::View(_) | Reply::SeenBefore(_) | Reply::Answered(_) => Err(Problem::internal()),
        }
    }

    /// The open transactions of a user, oldest first; one of them may not be stored yet.
    pub fn open_transactions_of(&self, user: &tocsin_model::User) -> Vec<TransactionId> {
        self.0.registry.admission().open_of(user)
    }

    /// The transaction without the text of its request message, if it is this client's.
    pub(super) async fn own(
        &self,
        client: &ClientId,
        id: TransactionId,
    ) -> Result<Arc<Transaction>, Problem> {
        let transaction = self.standing(id).await?;
        if transaction.client == *client { Ok(transaction) } else { Err(Problem::not_found()) }
    }

    /// How the transaction stands, read without asking its actor where that is possible: all that was published
    /// shows, and what waits in its mailbox does not.
    pub(super) async fn standing(&self, id: TransactionId) -> Result<Arc<Transaction>, Problem> {
        match self.0.registry.standing(id) {
            Some(standing) => Ok(standing),
            None => self.view(id).await,
        }
    }

    pub(super) async fn view(&self, id: TransactionId) -> Result<Arc<Transaction>, Problem> {
        match self.ask(id, Request::View).await? {
            Reply::View(transaction) => Ok(transaction),
            Reply::Refused(problem) => Err(problem),
            Reply::SeenBefore(_) | Reply::Answered(_) | Reply::TriesLeft(_) => Err(Problem::internal()),
        }
    }

    pub(super) async fn ask(&self, id: TransactionId, request: Request) -> Result<Reply, Problem> {
        self.0.registry.ask(id, request).await.map_err(|error| match error {
            AskError::Absent => Problem::not_found(),
            AskError::Failed(problem) => problem,
        })
    }

    /// Makes the transaction's actor panic, to show that a fault loses nothing; `false` when it has none.
    #[cfg(feature = "fault-hook")]
    pub fn inject_transaction_fault(&self, id: TransactionId) -> bool {
        self.0.registry.inject_fault(id)
    }

    /// Keeps every signature thread busy and their queue full until the answer is dropped.
    #[cfg(feature = "fault-hook")]
    pub async fn occupy_signature_threads(&self) -> std::sync::mpsc::Sender<()> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (held, begun) = (Arc::new(std::sync::Mutex::new(held)), Arc::new(AtomicUsize::new(0)));
        let (threads, queue) =
            (self.config().engine.signature_threads, self.config().engine.signature_queue_max);
        while begun.load(Ordering::Relaxed) < threads || self.0.signatures.queue_depth() < queue {
            let (core, held, counted) = (Arc::clone(&self.0), Arc::clone(&held), Arc::clone(&begun));
            let job = move || {
                counted.fetch_add(1, Ordering::Relaxed);
                drop(held.lock().map(|held| held.recv()));
            };
            // One that is told busy is done with: a thread was called and takes one of the others.
            tokio::task::spawn_local(async move { core.signatures.run(job).await });
            tokio::task::yield_now().await;
        }
        hold
    }

    /// Makes the callback actor panic, to show that a fault loses nothing.
    #[cfg(feature = "fault-hook")]
    pub fn inject_callback_fault(&self) -> bool {
        self.0.callbacks.fault.try_send(crate::protocol::InjectFault).is_ok()
    }

    /// Makes a provider's actor panic, to show that a fault loses nothing; `false` when there is none.
    #[cfg(feature = "fault-hook")]
    pub fn inject_provider_fault(&self, name: &tocsin_model::ProviderName) -> bool {
        let table = self.0.surroundings.providers();
        let provider = table.providers.get(name);
        provider.is_some_and(|provider| provider.fault.try_send(crate::protocol::InjectFault).is_ok())
    }
}
