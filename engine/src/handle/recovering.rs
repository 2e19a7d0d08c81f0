//! While those that were open at the start are given their actors again: whoever needs all that is open of a user.

use tocsin_model::{ErrorCode, Problem, StateWord, User};

use super::Handle;
use crate::transaction::Request;

impl Handle {
    /// Has all that is open of a user revived, so that the books of what is open are whole as to him, and what is overdue
    /// has ended, so that it counts among what he ignored.
    pub(super) async fn awaken(&self, user: &User) -> Result<(), Problem> {
        let dormant = self.0.registry.dormant();
        if !dormant.may_be_any() {
            return Ok(());
        }
        let mut pending = self.recent_of(user, StateWord::parse("pending")).await?;
        pending.retain(|id| dormant.contains(*id));
        for id in pending {
            match self.view(id).await {
                Ok(woken) if self.clock().now() < woken.expires_at => {}
                // The reply tells how it ended, or that it has not: whoever comes next asks again.
                Ok(_) => drop(self.ask(id, Request::Settle).await),
                Err(problem) if problem.code == ErrorCode::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }
}
