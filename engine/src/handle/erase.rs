//! Erasing a user: all that is kept of him goes in one batch, and whoever waits for his transactions is told. Then his
//! ended transactions lose what tells of him; a call that fails before that is done is made again.

use std::sync::atomic::Ordering;

use tocsin_model::{AuditActor, DurationMs, Problem, StateWord, TransactionId, User, UserProfile};
use tocsin_storage::{Erasure, TransactionQuery};

use super::Handle;
use super::enrolment::until_known;
use crate::error::store_problem;
use crate::transaction::News;

/// No transaction has an actor for longer: it is open for two hours at most, and its actor lingers for minutes.
const AT_WORK_FOR_AT_MOST: DurationMs = DurationMs::from_seconds(3 * 60 * 60);

/// Transactions read in one go.
const PAGE: usize = 1_000;

impl Handle {
    /// A user's profile; `None` where nobody keeps one.
    pub async fn profile(&self, user: &User) -> Result<Option<UserProfile>, Problem> {
        self.store().profile(user).await.map_err(|error| store_problem(&error))
    }

    /// Keeps a profile in place of the one before.
    pub async fn put_profile(
        &self,
        by: AuditActor,
        user: &User,
        profile: UserProfile,
    ) -> Result<(), Problem> {
        let kept = until_known(|| self.store().put_profile(user.clone(), profile.clone(), by.clone())).await;
        kept.map_err(|error| store_problem(&error))
    }

    /// Erases profile, devices, locks and open transactions of a user, and what his ended ones tell of him; of the
    /// audit trail's rows about him his pseudonym is left. One whom nobody knows is erased as well.
    pub async fn erase_user(&self, by: AuditActor, user: &User) -> Result<(), Problem> {
        // Nothing is being started or claimed for him until it is done, so that all that is open is known.
        let _turn = self.0.registry.turns().take_alone(user).await?;
        let (open, now) = (self.open_of(user).await?, self.clock().now());
        let erasure = Erasure { user: user.clone(), open: open.clone(), by, now };
        let erased = until_known(|| self.store().erase_user(erasure.clone())).await;
        let erased = erased.map_err(|error| store_problem(&error))?;
        self.0.surroundings.devices_gone.fetch_add(1, Ordering::SeqCst);
        for id in open {
            // What the recovery has read of it tells of an erased user.
            self.0.registry.forget_dormant(id);
            self.0.registry.tell_surely(id, News::EndedElsewhere).await;
        }
        for id in erased.enrollments {
            self.0.enrollment_waiters.publish(id);
        }
        self.redact_ended(user).await?;
        // Whoever lingers would show for a moment what is gone from the storage.
        for id in self.recent_of(user, None).await? {
            self.0.registry.tell_here(id, News::EndedElsewhere).await;
        }
        tracing::info!(
            transactions = erased.transactions.len(),
            devices = erased.devices.len(),
            "a user was erased"
        );
        Ok(())
    }

    async fn redact_ended(&self, user: &User) -> Result<(), Problem> {
        let mut behind = None;
        loop {
            let step = until_known(|| self.store().redact_ended(user.clone(), behind)).await;
            behind = step.map_err(|error| store_problem(&error))?;
            if behind.is_none() {
                return Ok(());
            }
        }
    }

    /// What is open of a user in this process, and what only the storage knows: the actor of one may have fallen.
    async fn open_of(&self, user: &User) -> Result<Vec<TransactionId>, Problem> {
        let mut open = self.0.registry.admission().open_of(user);
        open.extend(self.recent_of(user, StateWord::parse("pending")).await?);
        open.sort_unstable();
        open.dedup();
        Ok(open)
    }

    /// What of a user may have an actor, in this state or in any.
    pub(super) async fn recent_of(
        &self,
        user: &User,
        state: Option<StateWord>,
    ) -> Result<Vec<TransactionId>, Problem> {
        let mut recent = Vec::new();
        let mut query = TransactionQuery {
            user: Some(user.clone()),
            state,
            from: Some(self.clock().now().minus(AT_WORK_FOR_AT_MOST)),
            limit: PAGE,
            ..TransactionQuery::default()
        };
        loop {
            let page = self.store().transactions(query.clone()).await;
            let page = page.map_err(|error| store_problem(&error))?;
            recent.extend(page.transactions.iter().map(|found| found.id));
            match page.next {
                Some(next) => query.before = Some(next),
                None => return Ok(recent),
            }
        }
    }
}
