//! Users: what locks them.

use tocsin_model::{AuditActor, Problem, User, UserLock};

use super::Handle;
use super::enrolment::until_known;
use crate::error::store_problem;

impl Handle {
    /// What locks a user at this moment, in the order in which it came.
    pub async fn locks(&self, user: &User) -> Result<Vec<UserLock>, Problem> {
        let standing = self.store().standing(user).await.map_err(|error| store_problem(&error))?;
        Ok(standing.locks_at(self.clock().now()).copied().collect())
    }

    /// Removes all locks of a user, and forgets the pushes that he ignored or refused, so that the next one does not
    /// lock him again.
    pub async fn unlock(&self, by: AuditActor, user: &User) -> Result<(), Problem> {
        let unlocked = until_known(|| self.store().unlock_user(user.clone(), by.clone())).await;
        unlocked.map(drop).map_err(|error| store_problem(&error))
    }
}
