//! Calls that wait for a phone to follow an enrolment.
//!
//! Bounded all together and by enrolment, by the bounds of the calls that wait for transactions. A waiter is woken
//! once and reads again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tocsin_config::EngineLimits;
use tocsin_model::{EnrollmentId, ErrorCode, Problem};
use tokio::sync::oneshot;

/// Who waits for which enrolment.
#[derive(Debug)]
pub(crate) struct EnrollmentWaiters {
    all_max: usize,
    per_enrollment_max: usize,
    all: Arc<AtomicUsize>,
    by_enrollment: Arc<Book>,
}

/// Who waits for each enrolment; one that nobody waits for is not in it.
type Book = DashMap<EnrollmentId, Vec<oneshot::Sender<()>>>;

/// A place among them, given back when dropped.
#[derive(Debug)]
pub(crate) struct EnrollmentWaiting {
    all: Arc<AtomicUsize>,
    book: Arc<Book>,
    id: EnrollmentId,
    woken: oneshot::Receiver<()>,
}

impl EnrollmentWaiting {
    /// Returns when the enrolment has changed.
    pub(crate) async fn changed(&mut self) {
        // Whoever wakes and whoever forgets mean the same: read again.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for EnrollmentWaiting {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        // However the wait ends, also by a caller that hangs up, it leaves nothing behind.
        self.woken.close();
        self.book.remove_if_mut(&self.id, |_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.is_empty()
        });
    }
}

impl EnrollmentWaiters {
    pub(crate) fn new(limits: &EngineLimits) -> Self {
        Self {
            all_max: limits.waiters_max,
            per_enrollment_max: limits.waiters_per_transaction_max,
            all: Arc::default(),
            by_enrollment: Arc::default(),
        }
    }

    /// Waits for a change of `id`; to be called before the state is read, so that no change falls between.
    pub(crate) fn wait(&self, id: EnrollmentId) -> Result<EnrollmentWaiting, Problem> {
        let (wake, woken) = oneshot::channel();
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        // From here on dropping it gives the place back.
        let (all, book) = (Arc::clone(&self.all), Arc::clone(&self.by_enrollment));
        let waiting = EnrollmentWaiting { all, book, id, woken };
        if before >= self.all_max {
            return Err(Problem::new(ErrorCode::Busy, "too many calls are waiting; try again shortly"));
        }
        let entered = {
            let mut waiters = self.by_enrollment.entry(id).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            let has_room = waiters.len() < self.per_enrollment_max;
            if has_room {
                waiters.push(wake);
            }
            has_room
        };
        if entered {
            return Ok(waiting);
        }
        Err(Problem::new(ErrorCode::RateLimited, "too many calls are waiting for this enrolment"))
    }

    /// Wakes everybody who waits for it.
    pub(crate) fn publish(&self, id: EnrollmentId) {
        if let Some((_, waiters)) = self.by_enrollment.remove(&id) {
            for waiter in waiters {
                let _ = waiter.send(());
            }
        }
    }

    /// Calls that wait, all together.
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(all: usize, one: usize) -> EnrollmentWaiters {
        EnrollmentWaiters::new(&EngineLimits {
            waiters_max: all,
            waiters_per_transaction_max: one,
            ..crate::testing::engine_limits()
        })
    }

    #[tokio::test]
    async fn a_change_wakes_those_who_wait_for_it_and_nobody_else() {
        let waiters = waiters(9, 9);
        let id = EnrollmentId::from_bytes;
        let mut first = waiters.wait(id([1; 16])).expect("room");
        let second = waiters.wait(id([2; 16])).expect("room");
        waiters.publish(id([1; 16]));
        first.changed().await;
        assert!(waiters.by_enrollment.contains_key(&id([2; 16])));
        drop(second);
        assert!(waiters.by_enrollment.is_empty());
    }

    #[tokio::test]
    async fn however_a_wait_ends_it_leaves_nothing_behind() {
        let waiters = waiters(9, 9);
        let id = EnrollmentId::from_bytes([1; 16]);
        drop(waiters.wait(id).expect("room"));
        assert!(waiters.by_enrollment.is_empty(), "a caller that hung up");
        let mut waiting = waiters.wait(id).expect("room");
        let timed_out = tokio::time::timeout(std::time::Duration::ZERO, waiting.changed()).await;
        assert!(timed_out.is_err() && waiters.by_enrollment.len() == 1);
        drop(waiting);
        assert!(waiters.by_enrollment.is_empty() && waiters.count() == 0);
    }

    #[test]
    fn each_bound_refuses_the_one_beyond_it() {
        let id = EnrollmentId::from_bytes([1; 16]);
        for (waiters, code) in [(waiters(1, 9), ErrorCode::Busy), (waiters(9, 1), ErrorCode::RateLimited)] {
            let first = waiters.wait(id).expect("room for one");
            assert_eq!(waiters.wait(id).expect_err("no room for two").code, code);
            drop(first);
            assert!(waiters.wait(id).is_ok());
        }
    }
}
