//! Sparing users: what a push must keep to because of those that wait and of those that were ignored or refused.
//!
//! The looks at what is pending are safe because the start has its user alone until it is stored (`registry/turns.rs`);
//! what is replaced is cancelled in the batch of the create; locks are judged once more there.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use tocsin_config::{AuthenticationType, Config, Ladder, PendingPush};
use tocsin_model::{
    AppName, DeliveryStatus, DurationMs, ErrorCode, Fatigue, Method, NumberMatchRule, Problem, StateWord,
    Transaction, TransactionId, UnixMs, User, UserStanding,
};
use tocsin_storage::TransactionQuery;

use super::Handle;
use crate::error::store_problem;
use crate::metrics::Measure;
use crate::registry::Turn;
use crate::transaction::News;

/// Transactions of a user that are read in one go; there are no more than his starts within the gap and one life.
const PAGE: usize = 200;

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

/// The step that a user who stands like this has reached by the ladder of his realm.
fn step_of(config: &Config, user: &User, standing: &UserStanding, now: UnixMs) -> Step {
    let ladder = config.realms.get(&user.realm).map(|realm| realm.ladder).unwrap_or_default();
    step(&ladder, standing.misses_at(now))
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
        self.unless_locked(standing)
    }

    /// The same of a standing that was read: the lock is judged once more in the batch of a create.
    pub(super) fn unless_locked(&self, standing: UserStanding) -> Result<UserStanding, Problem> {
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
        match step_of(config, user, standing, now) {
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
        let late = self.pushed_of_late(config, user, kind, apps, now).await?;
        self.keep_gap(kind, apps, &late, now)?;
        let is_pending = |made: &Arc<Transaction>| !made.state.is_final() && now < made.expires_at;
        let pending: Vec<Arc<Transaction>> = late.into_iter().filter(is_pending).collect();
        match kind.pending_push {
            PendingPush::Many => {}
            PendingPush::Reject => {
                if pending.iter().any(|made| may_have_arrived(made, apps)) {
                    self.metrics().fatigue(Measure::Rejected);
                    return Err(pending_exists());
                }
            }
            // Its phone may still find one whose push failed, and accept it.
            PendingPush::Supersede => sparing.replaces = replaceable(config, &pending),
        }
        if !sparing.replaces.is_empty() {
            self.metrics().fatigue(Measure::Superseded);
            sparing.number_match = NumberMatchRule::Type;
        }
        Ok(sparing)
    }

    /// Leave to reach the user of a transaction once more: 403 `user_locked`, and 422 `method_disabled` for a push that
    /// the ladder would not let out now. What has ended is left to be told so.
    pub(super) async fn spare_again(&self, present: &Transaction) -> Result<(), Problem> {
        let Some(user) = present.user.as_ref().filter(|_| !present.state.is_final()) else { return Ok(()) };
        let standing = self.standing_unless_locked(user).await?;
        if present.method != Method::Push {
            return Ok(());
        }
        let is_typed = present.number().is_some_and(|number| number.choices.is_none());
        match step_of(&self.config(), user, &standing, self.clock().now()) {
            Step::Ground => Ok(()),
            Step::NumberMatch if is_typed => Ok(()),
            Step::NumberMatch => {
                self.metrics().fatigue(Measure::NumberMatch);
                Err(number_needed())
            }
            Step::OtherMethod => {
                self.metrics().fatigue(Measure::OtherMethod);
                Err(other_method())
            }
        }
    }

    /// The transactions of a user that were pushed to phones with these apps and wait, or were pushed within the gap of the
    /// type: those of this process, and what only the storage knows, since the actor of one may have fallen.
    async fn pushed_of_late(
        &self,
        config: &Config,
        user: &User,
        kind: &AuthenticationType,
        apps: &BTreeSet<AppName>,
        now: UnixMs,
    ) -> Result<Vec<Arc<Transaction>>, Problem> {
        let mut ids: BTreeSet<TransactionId> =
            self.0.registry.admission().open_of(user).into_iter().collect();
        let mut pushed = Vec::new();
        let mut query = TransactionQuery {
            user: Some(user.clone()),
            state: StateWord::parse("pending").filter(|_| kind.push_gap.get() == 0),
            from: Some(now.minus(kind.push_gap).minus(longest_life(config))),
            limit: PAGE,
            ..TransactionQuery::default()
        };
        loop {
            let read = self.store().transactions(query.clone()).await;
            let page = read.map_err(|error| store_problem(&error))?;
            for made in page.transactions {
                if made.state.is_final() {
                    ids.remove(&made.id);
                    pushed.push(Arc::new(made));
                } else {
                    ids.insert(made.id);
                }
            }
            query.before = page.next;
            if query.before.is_none() {
                break;
            }
        }
        for id in ids {
            match self.view(id).await {
                Ok(open) => pushed.push(open),
                Err(problem) if problem.code == ErrorCode::NotFound => {}
                Err(problem) => return Err(problem),
            }
        }
        pushed.retain(|made| is_push_to(made, apps));
        Ok(pushed)
    }

    fn keep_gap(
        &self,
        kind: &AuthenticationType,
        apps: &BTreeSet<AppName>,
        late: &[Arc<Transaction>],
        now: UnixMs,
    ) -> Result<(), Problem> {
        let arrived = late.iter().filter(|made| may_have_arrived(made, apps));
        let last = arrived.map(|made| made.last_prompt_at()).max();
        let Some(last) = last.filter(|_| kind.push_gap.get() > 0) else { return Ok(()) };
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
    step_of(config, user, standing, now) != Step::OtherMethod
}

fn looks_at_pending(kind: &AuthenticationType) -> bool {
    kind.pending_push != PendingPush::Many || kind.push_gap.get() > 0
}

/// What began longer ago has ended, so that it waits for nobody and was not pushed again since.
fn longest_life(config: &Config) -> DurationMs {
    let of_types = config.types.values().filter_map(|kind| kind.time_to_live);
    let of_realms = config.realms.values().map(|realm| realm.time_to_live);
    of_types.chain(of_realms).max().unwrap_or_default()
}

/// Whether it was pushed to a phone with one of these apps. One that has fallen back since can still be answered there.
fn is_push_to(transaction: &Transaction, apps: &BTreeSet<AppName>) -> bool {
    let mut recipients = transaction.recipients.iter();
    recipients.any(|recipient| recipient.delivery.is_some() && apps.contains(&recipient.app))
}

/// Whether a push of it to one of these apps was not refused outright: its user may have been asked.
fn may_have_arrived(transaction: &Transaction, apps: &BTreeSet<AppName>) -> bool {
    let mut recipients = transaction.recipients.iter().filter(|recipient| apps.contains(&recipient.app));
    recipients.any(|recipient| {
        recipient.delivery.as_ref().is_some_and(|delivery| delivery.status != DeliveryStatus::Failed)
    })
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

fn number_needed() -> Problem {
    let detail = "too many pushes in a row were ignored or refused; start anew, with a number that is typed";
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
