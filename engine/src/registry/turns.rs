//! One after the other where it matters: the starts for one user, and what must not meet them.
//!
//! A start that looks at what is pending before it adds to it has its user to itself from the look until it is stored,
//! so that two at the same moment cannot both find the place free. Starts that look at nothing share the user, and so do
//! claims; an erasure has him to itself.
//! Invariants: nobody holds two turns; a user whom nobody waits for has no entry.

use std::sync::Arc;

use dashmap::DashMap;
use tocsin_model::{ErrorCode, Problem, User};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::limits::TURNS_OF_A_USER_MAX;

/// The users for whom something is being started; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<DashMap<User, Arc<RwLock<()>>>>);

/// Leave to begin something for a user, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    user: User,
    /// Let go of before the entry is looked at.
    held: Option<Held>,
}

#[derive(Debug)]
enum Held {
    #[expect(dead_code, reason = "it is only kept")]
    Shared(OwnedRwLockReadGuard<()>),
    #[expect(dead_code, reason = "it is only kept")]
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Turns {
    /// Waits until nobody has this user alone.
    pub(crate) async fn share(&self, user: &User) -> Result<Turn, Problem> {
        let mut turn = self.enter(user);
        let lock = self.lock_of(user)?;
        turn.held = Some(Held::Shared(lock.read_owned().await));
        Ok(turn)
    }

    /// Waits until nobody has this user; in the order of coming.
    pub(crate) async fn take_alone(&self, user: &User) -> Result<Turn, Problem> {
        let mut turn = self.enter(user);
        let lock = self.lock_of(user)?;
        turn.held = Some(Held::Alone(lock.write_owned().await));
        Ok(turn)
    }

    /// A turn that holds nothing yet; dropped while it waits, it clears its entry away.
    fn enter(&self, user: &User) -> Turn {
        Turn { turns: self.clone(), user: user.clone(), held: None }
    }

    fn lock_of(&self, user: &User) -> Result<Arc<RwLock<()>>, Problem> {
        let lock = Arc::clone(&self.0.entry(user.clone()).or_default());
        // The entry itself holds one, everybody who has or awaits a turn another.
        if Arc::strong_count(&lock) > TURNS_OF_A_USER_MAX + 1 {
            return Err(Problem::new(ErrorCode::RateLimited, "too many starts for this user at once"));
        }
        Ok(lock)
    }
}

impl Turn {
    /// Whether nothing else is being started for the user.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.held, Some(Held::Alone(_)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        self.turns.0.remove_if(&self.user, |_, lock| Arc::strong_count(lock) == 1);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use tocsin_model::{UserId, UserIdRule};

    use super::*;

    fn user(id: &str) -> User {
        let id = UserId::new(id, UserIdRule::Exact).expect("valid");
        User { realm: "retail".parse().expect("valid"), id }
    }

    #[tokio::test]
    async fn whoever_is_alone_keeps_everybody_out_but_nobody_of_another_user() {
        let (turns, alice) = (Turns::default(), user("alice"));
        let alone = turns.take_alone(&alice).await.expect("a turn");
        let mut second = Box::pin(turns.take_alone(&alice));
        let mut shared = Box::pin(turns.share(&alice));
        assert!(poll!(&mut second).is_pending() && poll!(&mut shared).is_pending());
        drop(turns.take_alone(&user("bob")).await.expect("a turn"));
        drop(alone);
        let Poll::Ready(Ok(second)) = poll!(&mut second) else { panic!("it is next") };
        assert!(poll!(&mut shared).is_pending());
        drop(second);
        assert!(poll!(&mut shared).is_ready());
    }

    #[tokio::test]
    async fn those_who_share_hold_each_other_up_no_more_than_they_must() {
        let (turns, alice) = (Turns::default(), user("alice"));
        let first = turns.share(&alice).await.expect("a turn");
        let second = turns.share(&alice).await.expect("a turn");
        let mut alone = Box::pin(turns.take_alone(&alice));
        assert!(poll!(&mut alone).is_pending());
        drop((first, second));
        assert!(poll!(&mut alone).is_ready());
    }

    #[tokio::test]
    async fn no_entry_outlives_its_turns_not_even_those_that_were_given_up() {
        let (turns, alice) = (Turns::default(), user("alice"));
        let alone = turns.take_alone(&alice).await.expect("a turn");
        let mut given_up = Box::pin(turns.share(&alice));
        assert!(poll!(&mut given_up).is_pending());
        drop(given_up);
        drop(alone);
        assert!(turns.0.is_empty());
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_told_so() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for _ in 0..TURNS_OF_A_USER_MAX {
            held.push(turns.share(&user("alice")).await.expect("room"));
        }
        let refused = turns.share(&user("alice")).await.expect_err("full");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        held.pop();
        assert!(turns.share(&user("alice")).await.is_ok());
    }
}
