//! Whose turn it is to send credentials to one peer: one after the other until they are proven, then a few at a time. So
//! few are on their way when they are refused all of a sudden.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Most that send proven ones at a time.
const TURNS_MAX: usize = 4;

/// The turns at one peer.
#[derive(Debug)]
pub(crate) struct Turns {
    alone: Semaphore,
    few: Semaphore,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { alone: Semaphore::new(1), few: Semaphore::new(TURNS_MAX) }
    }

    /// Waits for a turn, which lasts as long as the value; in the order of asking.
    pub(crate) async fn take(&self, is_proven: impl Fn() -> bool) -> Option<SemaphorePermit<'_>> {
        // Nobody closes them.
        if !is_proven() {
            let alone = self.alone.acquire().await.ok();
            // Whoever was before us may have proven them.
            if !is_proven() {
                return alone;
            }
        }
        self.few.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn unproven_credentials_go_one_by_one_and_proven_ones_a_few_at_a_time() {
        let (turns, is_proven) = (Turns::new(), Cell::new(false));
        let take = || turns.take(|| is_proven.get());
        let only = take().await;
        let mut next = Box::pin(take());
        assert!(poll!(&mut next).is_pending());
        drop(only);
        let next = next.await;
        is_proven.set(true);
        let taken = join_all((0..TURNS_MAX).map(|_| take())).await;
        assert!(poll!(Box::pin(take())).is_pending());
        is_proven.set(false);
        assert!(poll!(Box::pin(take())).is_pending());
        drop((next, taken));
        assert!(poll!(Box::pin(take())).is_ready());
    }

    #[tokio::test]
    async fn who_waited_for_the_proof_goes_with_a_few() {
        let (turns, is_proven) = (Turns::new(), Cell::new(false));
        let take = || turns.take(|| is_proven.get());
        let first = take().await;
        let mut waiting: Vec<_> = (0..=TURNS_MAX).map(|_| Box::pin(take())).collect();
        for waits in &mut waiting {
            assert!(poll!(waits).is_pending());
        }
        is_proven.set(true);
        drop(first);
        let mut taken = Vec::new();
        for waits in waiting.iter_mut().take(TURNS_MAX) {
            taken.push(waits.await);
        }
        assert!(poll!(&mut waiting[TURNS_MAX]).is_pending());
        taken.pop();
        assert!(poll!(&mut waiting[TURNS_MAX]).is_ready());
    }
}
