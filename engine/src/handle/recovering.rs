//! While those that were open at the start are given their actors again: whoever needs all that is open of a user.

use tocsin_model::{ErrorCode, Problem, StateWord, User};

use super::Handle;

impl Handle {
    /// Has all that is open of a user revived, so that the books of what is open are whole as to him.
    pub(super) async fn awaken(&self, user: &User) -> Result<(), Problem> {
        if !self.0.registry.recovery().is_on() {
            return Ok(());
        }
        for id in self.recent_of(user, StateWord::parse("pending")).await? {
            match self.view(id).await {
                Ok(_) => {}
                Err(problem) if problem.code == ErrorCode::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }
}
