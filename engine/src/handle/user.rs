//! Users: what locks them, and what their profiles add to a start.

use tocsin_config::AuthenticationType;
use tocsin_model::{AuditActor, Problem, StartRequest, User, UserLock};

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

    /// The request in the language of the user's profile, where the caller names none.
    pub(super) async fn with_profiled_language(
        &self,
        request: StartRequest,
    ) -> Result<StartRequest, Problem> {
        let is_named = request.call_context.as_ref().is_some_and(|context| context.language.is_some());
        let Some(user) = request.user.as_ref().filter(|_| !is_named) else { return Ok(request) };
        let language = self.profile(user).await?.and_then(|profile| profile.language);
        let mut request = request;
        if language.is_some() {
            request.call_context.get_or_insert_default().language = language;
        }
        Ok(request)
    }

    /// The request with the addresses of the user's profile, where the caller names none and a code may need one. Must be
    /// called in a turn of the user: nobody is sent a code at an address that was erased meanwhile.
    pub(super) async fn with_profiled_addresses(
        &self,
        request: StartRequest,
        kind: &AuthenticationType,
    ) -> Result<StartRequest, Problem> {
        let may_need_one = kind.method.sends_code() || kind.fallback.is_some();
        let Some(user) = request.user.as_ref().filter(|_| may_need_one) else { return Ok(request) };
        let Some(profile) = self.profile(user).await? else { return Ok(request) };
        Ok(StartRequest {
            phone_number: request.phone_number.or(profile.phone_number),
            email: request.email.or(profile.email),
            ..request
        })
    }
}
