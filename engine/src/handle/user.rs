//! Users: what locks them, and what their profiles add to a start.

use tocsin_config::AuthenticationType;
use tocsin_model::{AuditActor, Problem, StartRequest, User, UserLock, UserProfile};
use tocsin_storage::KnownUser;

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

    /// How a user stands and what his profile says, in one look.
    pub(super) async fn known_user(&self, user: &User) -> Result<KnownUser, Problem> {
        self.store().known_user(user).await.map_err(|error| store_problem(&error))
    }
}

/// Whether the caller says in which language the user is spoken to.
pub(super) fn names_language(request: &StartRequest) -> bool {
    request.call_context.as_ref().is_some_and(|context| context.language.is_some())
}

/// Has the request speak the language of the user's profile, where the caller names none.
pub(super) fn speak_language(request: &mut StartRequest, profile: Option<&UserProfile>) {
    let language = profile.and_then(|profile| profile.language.clone());
    if language.is_some() && !names_language(request) {
        request.call_context.get_or_insert_default().language = language;
    }
}

/// Whether the start takes an address out of this profile: the caller names none, and a code may need one.
pub(super) fn takes_address(
    request: &StartRequest,
    kind: &AuthenticationType,
    profile: Option<&UserProfile>,
) -> bool {
    let may_need_one = kind.method.sends_code() || kind.fallback.is_some();
    may_need_one
        && profile.is_some_and(|profile| {
            request.phone_number.is_none() && profile.phone_number.is_some()
                || request.email.is_none() && profile.email.is_some()
        })
}

/// Adds the addresses of the user's profile where the caller names none, if a code may need one. The profile must be read
/// in a turn of the user: nobody is sent a code at an address that was erased meanwhile.
pub(super) fn add_addresses(
    request: &mut StartRequest,
    kind: &AuthenticationType,
    profile: Option<UserProfile>,
) {
    let Some(profile) = profile.filter(|profile| takes_address(request, kind, Some(profile))) else { return };
    request.phone_number = request.phone_number.take().or(profile.phone_number);
    request.email = request.email.take().or(profile.email);
}
