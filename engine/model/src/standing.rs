//! How a user stands: what locks him, and the pushes that he ignored or refused.
//!
//! One row of the storage holds it, and each end of a transaction changes it in its own batch. Whoever starts a
//! transaction reads it; the decisions made of it are pure and stand here.

use crate::{DurationMs, UnixMs};

/// For how long a push that was ignored or refused counts.
pub const MISSES_COUNT_FOR: DurationMs = DurationMs::from_seconds(24 * 60 * 60);

/// Ignored or refused pushes that are remembered; no step of the ladder asks for more.
pub const MISSES_KEPT_MAX: usize = 100;

/// Why nothing can be started for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockReason {
    /// Too many pushes in a row were ignored or refused.
    Fatigue,
    /// The user reported a request as fraud.
    Reported,
}

impl LockReason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Fatigue, Self::Reported];

    /// The word of the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatigue => "fatigue",
            Self::Reported => "reported",
        }
    }
}

/// A lock of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserLock {
    /// Why.
    pub reason: LockReason,
    /// Since when.
    pub since: UnixMs,
    /// From this moment on it is over; `None` until somebody removes it.
    pub until: Option<UnixMs>,
}

impl UserLock {
    /// Whether it still locks.
    pub fn holds_at(&self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// How a user stands. One of whom nothing is known has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserStanding {
    /// What locks him; some may be over.
    pub locks: Vec<UserLock>,
    /// When he ignored or refused a push, in a row and in order of time; some may count no more.
    pub misses: Vec<UnixMs>,
    /// The same for pushes that gave way to another before he answered, which whoever starts them does alone.
    pub superseded: Vec<UnixMs>,
}

impl UserStanding {
    /// The locks that hold, in the order in which they came.
    pub fn locks_at(&self, now: UnixMs) -> impl Iterator<Item = &UserLock> {
        self.locks.iter().filter(move |lock| lock.holds_at(now))
    }

    /// The lock that holds longest.
    pub fn lock_at(&self, now: UnixMs) -> Option<UserLock> {
        self.locks_at(now).max_by_key(|lock| lock.until.unwrap_or(UnixMs::new(u64::MAX))).copied()
    }

    /// How many pushes in a row were ignored, refused or superseded within the last 24 hours.
    pub fn misses_at(&self, now: UnixMs) -> u32 {
        count_at(&self.misses, now).saturating_add(count_at(&self.superseded, now))
    }

    /// Whether there is nothing to remember.
    pub fn is_clear(&self) -> bool {
        self.locks.is_empty() && self.misses.is_empty() && self.superseded.is_empty()
    }

    /// Takes down one more push that was ignored or refused. The one that reaches the limit of `block` locks the user;
    /// answers with that lock.
    pub fn miss(&mut self, at: UnixMs, block: Option<BlockRule>) -> Option<UserLock> {
        self.forget_what_is_over(at);
        remember(&mut self.misses, at);
        let block = block.filter(|block| count_at(&self.misses, at) >= block.after)?;
        Some(self.lock(UserLock {
            reason: LockReason::Fatigue,
            since: at,
            until: Some(at.plus(block.length)),
        }))
    }

    /// Takes down one more push that gave way to another. It locks nobody: no answer of the user's is needed for it.
    pub fn supersede(&mut self, at: UnixMs) {
        self.forget_what_is_over(at);
        remember(&mut self.superseded, at);
    }

    /// Adds a lock; one for the same reason that holds longer stands. Answers with the one that stands.
    pub fn lock(&mut self, lock: UserLock) -> UserLock {
        self.forget_what_is_over(lock.since);
        let end = |lock: &UserLock| lock.until.unwrap_or(UnixMs::new(u64::MAX));
        match self.locks.iter_mut().find(|known| known.reason == lock.reason) {
            Some(known) if end(known) >= end(&lock) => *known,
            Some(known) => {
                known.until = lock.until;
                *known
            }
            None => {
                self.locks.push(lock);
                lock
            }
        }
    }

    /// A success ends the row of misses. Locks stay until their time is over or somebody removes them.
    pub fn succeed(&mut self) {
        self.misses.clear();
        self.superseded.clear();
    }

    /// The same without what counts no more.
    #[must_use]
    pub fn without_what_is_over(mut self, now: UnixMs) -> Self {
        self.forget_what_is_over(now);
        self
    }

    fn forget_what_is_over(&mut self, now: UnixMs) {
        self.locks.retain(|lock| lock.holds_at(now));
        self.misses.retain(|missed| still_counts(*missed, now));
        self.superseded.retain(|superseded| still_counts(*superseded, now));
    }

    /// From when on nothing of it counts; `None` while a lock has no end.
    pub fn is_over_at(&self) -> Option<UnixMs> {
        let misses = self.misses.iter().chain(&self.superseded);
        let misses = misses.map(|missed| Some(missed.plus(MISSES_COUNT_FOR)));
        let ends = self.locks.iter().map(|lock| lock.until).chain(misses);
        ends.collect::<Option<Vec<_>>>().map(|ends| ends.into_iter().max().unwrap_or_default())
    }
}

fn still_counts(missed: UnixMs, now: UnixMs) -> bool {
    now < missed.plus(MISSES_COUNT_FOR)
}

fn count_at(misses: &[UnixMs], now: UnixMs) -> u32 {
    let count = misses.iter().filter(|missed| still_counts(**missed, now)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn remember(misses: &mut Vec<UnixMs>, at: UnixMs) {
    misses.push(at);
    if misses.len() > MISSES_KEPT_MAX {
        misses.remove(0);
    }
}

/// When a row of misses locks its user, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRule {
    /// The miss of this number in a row does, and each one after it.
    pub after: u32,
    /// For so long.
    pub length: DurationMs,
}

/// For how long a report locks its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportLock {
    /// Until somebody removes the lock.
    UntilRemoved,
    /// For so long.
    For(DurationMs),
}

/// What the end of a transaction does to its user, as it was configured when the transaction began: a reload or a
/// restart changes it no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whether an ignored or refused push counts, and a success forgets those before.
    pub counts: bool,
    /// What locks.
    pub block: Option<BlockRule>,
    /// What a report does.
    pub report_lock: Option<ReportLock>,
}

impl Guard {
    /// `None` when it does nothing.
    pub fn kept(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: DurationMs = DurationMs::from_seconds(3_600);
    const BLOCK: BlockRule = BlockRule { after: 3, length: HOUR };

    fn at(hours: u64) -> UnixMs {
        UnixMs::new(1_800_000_000_000).plus(DurationMs::from_seconds(hours * 3_600))
    }

    #[test]
    fn misses_count_for_a_day_each_and_a_success_forgets_them() {
        let mut standing = UserStanding::default();
        for hours in [0, 10, 20] {
            assert_eq!(standing.miss(at(hours), None), None);
        }
        assert_eq!(standing.misses_at(at(20)), 3);
        assert_eq!(standing.misses_at(UnixMs::new(at(24).get() - 1)), 3);
        assert_eq!((standing.misses_at(at(24)), standing.misses_at(at(34))), (2, 1));
        assert_eq!(standing.is_over_at(), Some(at(44)));
        standing.succeed();
        assert!(standing.is_clear());
    }

    #[test]
    fn the_miss_that_reaches_the_limit_locks_and_so_does_each_one_after_it() {
        let mut standing = UserStanding::default();
        assert_eq!((standing.miss(at(0), Some(BLOCK)), standing.miss(at(1), Some(BLOCK))), (None, None));
        let lock = standing.miss(at(2), Some(BLOCK)).expect("a lock");
        assert_eq!((lock.reason, lock.since, lock.until), (LockReason::Fatigue, at(2), Some(at(3))));
        assert_eq!((standing.lock_at(at(2)), standing.lock_at(at(3))), (Some(lock), None));
        assert_eq!(standing.miss(at(4), Some(BLOCK)).expect("a lock").until, Some(at(5)));
        assert_eq!(standing.miss(at(30), Some(BLOCK)), None, "three of four are a day old");
    }

    #[test]
    fn superseded_pushes_count_for_the_milder_steps_but_lock_nobody() {
        let mut standing = UserStanding::default();
        for hours in 0..3 {
            standing.supersede(at(hours));
        }
        assert_eq!(standing.misses_at(at(2)), 3);
        assert_eq!((standing.miss(at(3), Some(BLOCK)), standing.miss(at(4), Some(BLOCK))), (None, None));
        assert!(standing.miss(at(5), Some(BLOCK)).is_some(), "three were ignored");
        assert_eq!((standing.misses_at(at(5)), standing.misses_at(at(25))), (6, 4));
        standing.succeed();
        assert_eq!(standing.misses_at(at(5)), 0);
        standing.supersede(at(6));
        assert_eq!(
            (standing.is_clear(), standing.clone().without_what_is_over(at(30)).superseded.len()),
            (false, 0)
        );
    }

    #[test]
    fn no_more_misses_are_kept_than_any_step_asks_for() {
        let mut standing = UserStanding::default();
        for millisecond in 0..=MISSES_KEPT_MAX as u64 {
            standing.miss(at(0).plus(DurationMs::new(millisecond)), None);
            standing.supersede(at(0).plus(DurationMs::new(millisecond)));
        }
        for kept in [&standing.misses, &standing.superseded] {
            assert_eq!((kept.len(), kept[0]), (MISSES_KEPT_MAX, at(0).plus(DurationMs::new(1))));
        }
    }

    #[test]
    fn the_lock_that_holds_longest_stands() {
        let mut standing = UserStanding::default();
        let lock = |until: Option<u64>| UserLock {
            reason: LockReason::Reported,
            since: at(0),
            until: until.map(at),
        };
        assert_eq!(standing.lock(lock(Some(2))).until, Some(at(2)));
        assert_eq!(standing.lock(lock(Some(1))).until, Some(at(2)));
        assert_eq!(standing.lock(lock(None)).until, None);
        assert_eq!(standing.lock(lock(Some(9))).until, None);
        let fatigue = UserLock { reason: LockReason::Fatigue, since: at(0), until: Some(at(5)) };
        standing.lock(fatigue);
        assert_eq!(standing.locks_at(at(1)).count(), 2);
        assert_eq!(standing.lock_at(at(1)).map(|lock| lock.reason), Some(LockReason::Reported));
        assert_eq!((standing.locks_at(at(6)).count(), standing.is_over_at()), (1, None));
    }

    #[test]
    fn a_guard_that_does_nothing_is_not_kept() {
        assert_eq!(Guard::default().kept(), None);
        assert!(Guard { counts: true, ..Guard::default() }.kept().is_some());
    }
}
