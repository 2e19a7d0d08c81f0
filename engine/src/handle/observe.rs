//! Listening to a transaction: each state once, the newest first where several came at once, the outcome last.

use std::sync::Arc;
use std::time::Duration;

use tocsin_model::{ClientId, DurationMs, Problem, Transaction, TransactionId};

use super::Handle;
use crate::registry::Listening;

/// How long after its deadline an outcome may still be on its way; then it is looked for.
const OUTCOME_OVERDUE: DurationMs = DurationMs::from_seconds(5);

/// Somebody who listens to a transaction; its place is given back when this is dropped.
pub struct Observation {
    handle: Handle,
    /// What was last told, or must not be told again; `None` for a caller who has seen nothing.
    seen: Option<u32>,
    /// The state at the beginning, until it is told.
    present: Option<Arc<Transaction>>,
    /// `None` once there is nothing more to hear.
    listening: Option<Listening>,
    transaction: TransactionId,
    overdue_at: tocsin_model::UnixMs,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The transaction as it now stands.
    State(Arc<Transaction>),
    /// Nothing happened for as long as was asked.
    Nothing,
    /// The outcome was told, or the engine is going away.
    End,
}

impl std::fmt::Debug for Observation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Observation").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

impl Handle {
    /// Listens to a transaction. A caller who has `seen` a revision hears only of later ones.
    pub async fn observe(
        &self,
        client: &ClientId,
        id: TransactionId,
        seen: Option<u32>,
    ) -> Result<Observation, Problem> {
        // What the caller cannot see costs nobody a place.
        self.transaction(client, id).await?;
        let listening = self.0.surroundings.waiters.listen(client, id)?;
        let present = self.view(id).await?;
        let is_told = seen.is_some_and(|seen| present.revision <= seen);
        let is_over = is_told && present.state.is_final();
        Ok(Observation {
            handle: self.clone(),
            seen,
            overdue_at: present.expires_at.plus(OUTCOME_OVERDUE),
            present: (!is_told).then_some(present),
            listening: (!is_over && !self.is_draining()).then_some(listening),
            transaction: id,
        })
    }
}

impl Observation {
    /// The next state, waiting for it at most `longest`.
    pub async fn next(&mut self, longest: Duration) -> Heard {
        if let Some(present) = self.present.take() {
            return self.tell(present).await;
        }
        loop {
            let Some(listening) = &mut self.listening else { return Heard::End };
            match tokio::time::timeout(longest, listening.changed()).await {
                Ok(Some(changed)) if self.is_news(&changed) => return self.tell(changed).await,
                Ok(Some(_)) => {}
                Ok(None) => self.listening = None,
                Err(_) if self.handle.clock().now() < self.overdue_at => return Heard::Nothing,
                Err(_) => return self.look_for_outcome().await,
            }
        }
    }

    fn is_news(&self, transaction: &Transaction) -> bool {
        transaction.state.is_final() || self.seen.is_none_or(|seen| transaction.revision > seen)
    }

    async fn tell(&mut self, transaction: Arc<Transaction>) -> Heard {
        self.seen = Some(transaction.revision);
        if transaction.state.is_final() {
            self.listening = None;
        }
        // Without its request message it is still the state.
        let bare = Arc::clone(&transaction);
        Heard::State(self.handle.with_request_message(transaction).await.unwrap_or(bare))
    }

    /// A transaction whose record is gone has nobody who would tell of its end.
    async fn look_for_outcome(&mut self) -> Heard {
        match self.handle.view(self.transaction).await {
            Ok(transaction) if transaction.state.is_final() => self.tell(transaction).await,
            Ok(_) => Heard::Nothing,
            Err(_) => {
                self.listening = None;
                Heard::End
            }
        }
    }
}
