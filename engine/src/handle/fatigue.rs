//! Sparing users: what a push must keep to because of those that wait and of those that were ignored or refused.
//!
//! The looks at what is pending are safe because the start has its user alone until it is stored (`registry/turns.rs`);
//! what is replaced is cancelled in the batch of the create; locks are judged once more there.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use tocsin_config::{AuthenticationType, Config, Ladder, PendingPush};
use tocsin_model::{
    AppName, ErrorCode, Fatigue, Method, NumberMatchRule, Problem, Transaction, TransactionId, UnixMs, User,
    UserStanding,
};
use tocsin_storage::TransactionQuery;

use super::Handle;
use crate::error::store_problem;
use crate::metrics::Measure;
use crate::registry::Turn;
use crate::transaction::News;

/// Last transactions of a user that a gap is measured against.
const GAP_LOOKS_MAX: usize = 20;

/// What a push may do.
#[derive(Debug, Default)]
pub(super) struct Sparing {
    /// The loosest number matching that it may have.
    pub(super) number_match: NumberMatchRule,
    /// The pending ones that it takes the place of, the newest first.
    pub(super) replaces: Vec<TransactionId>,
}

/// The step that a user has reached; the last one, the lock, is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ground,
    NumberMatch,
    OtherMethod,
}

fn step(ladder: &Ladder, misses: u32) -> Step {
    let has_come = |after: Option<NonZeroU32>| after.is_some_and(|after| misses >= after.get());
    if has_come(ladder.other_method_after) {
        Step::OtherMethod
    } else if has_come(ladder.number_match_after) {
        Step::NumberMatch
    } else {
        Step::Ground
    }
}

impl Handle {
    /// Leave to start something of this type for a user: alone where the type looks at what is pending.
    pub(super) async fn turn(&self, user: &User, kind: &AuthenticationType) -> Result<Turn, Problem> {
        let turns = self.0.registry.turns();
        if looks_at_pending(kind) { turns.take_alone(user).await } else { turns.share(user).await }
    }

    /// How a user stands, unless he is locked: 403 `user_locked`.
    pub(super) async fn standing_unless_locked(&self, user: &User) -> Result<UserStanding, Problem> {
        let standing = self.store().standing(user).await.map_err(|error| store_problem(&error))?;
        let now = self.clock().now();
        match standing.lock_at(now) {
            None => Ok(standing),
            Some(lock) => {
                self.metrics().fatigue(Measure::Locked);
                Err(Problem::user_locked(lock, now))
            }
        }
    }

    /// What a push to phones with these apps may do: 409 `pending_exists`, 429 `rate_limited` inside the gap, 422
    /// `method_disabled` where the ladder asks for another method.
    pub(super) async fn spare(
        &self,
        config: &Config,
        user: &User,
        kind: &AuthenticationType,
        standing: &UserStanding,
        apps: &BTreeSet<AppName>,
    ) -> Result<Sparing, Problem> {
        if apps.is_empty() {
            return Ok(Sparing::default());
        }
        let now = self.clock().now();
        let mut sparing = Sparing::default();
        let ladder = config.realms.get(&user.realm).map(|realm| realm.ladder).unwrap_or_default();
        match step(&ladder, standing.misses_at(now)) {
            Step::Ground => {}
            Step::NumberMatch => {
                self.metrics().fatigue(Measure::NumberMatch);
                sparing.number_match = NumberMatchRule::Type;
            }
            Step::OtherMethod => {
                self.metrics().fatigue(Measure::OtherMethod);
                return Err(other_method());
            }
        }
        if !looks_at_pending(kind) {
            return Ok(sparing);
        }
        let pending = self.pending_pushes(user, apps, now).await?;
        self.keep_gap(user, kind, apps, &pending, now).await?;
        match kind.pending_push {
            PendingPush::Many => {}
            PendingPush::Reject if pending.is_empty() => {}
            PendingPush::Reject => {
                self.metrics().fatigue(Measure::Rejected);
                return Err(pending_exists());
            }
            PendingPush::Supersede => sparing.replaces = replaceable(config, &pending),
        }
        if !sparing.replaces.is_empty() {
            self.metrics().fatigue(Measure::Superseded);
            sparing.number_match = NumberMatchRule::Type;
        }
        Ok(sparing)
    }

    /// The pushes of a user that wait at phones with these apps.
    async fn pending_pushes(
        &self,
        user: &User,
        apps: &BTreeSet<AppName>,
        now: UnixMs,
    ) -> Result<Vec<Arc<Transaction>>, Problem> {
        let mut pending = Vec::new();
        for id in self.0.registry.admission().open_of(user) {
            match self.view(id).await {
                Ok(open) if !open.state.is_final() && now < open.expires_at && is_push_to(&open, apps) => {
                    pending.push(open);
                }
                Ok(_) => {}
                Err(problem) if problem.code == ErrorCode::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(pending)
    }

    async fn keep_gap(
        &self,
        user: &User,
        kind: &AuthenticationType,
        apps: &BTreeSet<AppName>,
        pending: &[Arc<Transaction>],
        now: UnixMs,
    ) -> Result<(), Problem> {
        if kind.push_gap.get() == 0 {
            return Ok(());
        }
        let from = Some(now.minus(kind.push_gap));
        let query =
            TransactionQuery { user: Some(user.clone()), from, limit: GAP_LOOKS_MAX, ..Default::default() };
        let lately = self.store().transactions(query).await.map_err(|error| store_problem(&error))?;
        let of_late = lately.transactions.iter().filter(|made| is_push_to(made, apps));
        let last =
            of_late.map(Transaction::last_push_at).chain(pending.iter().map(|made| made.last_push_at()));
        let Some(last) = last.max() else { return Ok(()) };
        let wait = last.plus(kind.push_gap).since(now);
        if wait.get() == 0 {
            return Ok(());
        }
        self.metrics().fatigue(Measure::Gap);
        let detail = "the last push to this user and app left a moment ago";
        Err(Problem::new(ErrorCode::RateLimited, detail).with_retry_after(wait))
    }

    /// Tells those that were replaced that they have ended; whom the word does not reach finds out by the next call
    /// or at the deadline.
    pub(super) async fn tell_replaced(&self, replaced: &[TransactionId]) {
        for id in replaced {
            self.0.registry.tell_surely(*id, News::EndedElsewhere).await;
        }
    }
}

/// What the end of a transaction is to do to its user, and what it takes the place of.
pub(super) fn fatigue(
    config: &Config,
    user: Option<&User>,
    kind: &AuthenticationType,
    sparing: &Sparing,
) -> Option<Box<Fatigue>> {
    let realm = user.and_then(|user| config.realms.get(&user.realm));
    let ladder = realm.map(|realm| realm.ladder).unwrap_or_default();
    Fatigue { guard: ladder.guard(kind.report_lock), replaces: sparing.replaces.clone() }.kept()
}

/// Whether the ladder lets pushes to this user out.
pub(super) fn pushes_go_out(config: &Config, user: &User, standing: &UserStanding, now: UnixMs) -> bool {
    let ladder = config.realms.get(&user.realm).map(|realm| realm.ladder).unwrap_or_default();
    step(&ladder, standing.misses_at(now)) != Step::OtherMethod
}

fn looks_at_pending(kind: &AuthenticationType) -> bool {
    kind.pending_push != PendingPush::Many || kind.push_gap.get() > 0
}

/// Whether it was pushed to a phone with one of these apps.
fn is_push_to(transaction: &Transaction, apps: &BTreeSet<AppName>) -> bool {
    transaction.method == Method::Push
        && transaction
            .recipients
            .iter()
            .any(|recipient| recipient.delivery.is_some() && apps.contains(&recipient.app))
}

/// A login takes no payment's place: who starts the one need not be the user who waits for the other.
fn replaceable(config: &Config, pending: &[Arc<Transaction>]) -> Vec<TransactionId> {
    let gives_way = |pending: &&Arc<Transaction>| {
        let kind = config.types.get(&pending.type_name);
        kind.is_some_and(|kind| kind.pending_push == PendingPush::Supersede)
    };
    let mut ids: Vec<TransactionId> = pending.iter().filter(gives_way).map(|pending| pending.id).collect();
    // Ids begin with the time.
    ids.sort_unstable_by(|left, right| right.cmp(left));
    ids
}

fn pending_exists() -> Problem {
    Problem::new(ErrorCode::PendingExists, "a push to this user and app waits for its answer already")
}

fn other_method() -> Problem {
    let detail = "too many pushes in a row were ignored or refused; use another method";
    Problem::new(ErrorCode::MethodDisabled, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_begins_behind_so_many_misses_and_zero_leaves_it_out() {
        let ladder = |number: u32, other: u32| Ladder {
            number_match_after: NonZeroU32::new(number),
            other_method_after: NonZeroU32::new(other),
            ..Ladder::default()
        };
        for (ladder, steps) in [
            (
                ladder(2, 4),
                [Step::Ground, Step::Ground, Step::NumberMatch, Step::NumberMatch, Step::OtherMethod],
            ),
            (ladder(0, 3), [Step::Ground, Step::Ground, Step::Ground, Step::OtherMethod, Step::OtherMethod]),
            (
                ladder(1, 0),
                [Step::Ground, Step::NumberMatch, Step::NumberMatch, Step::NumberMatch, Step::NumberMatch],
            ),
            (
                ladder(2, 2),
                [Step::Ground, Step::Ground, Step::OtherMethod, Step::OtherMethod, Step::OtherMethod],
            ),
            (ladder(0, 0), [Step::Ground; 5]),
        ] {
            let reached: Vec<Step> = (0..5).map(|misses| step(&ladder, misses)).collect();
            assert_eq!(reached, steps, "{ladder:?}");
        }
    }
}
