//! Whose turn it is to send credentials to one peer: one after the other until they are proven, then a few at a time. So
//! few are on their way when they are refused all of a sudden.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Most that send proven ones at a time.
const TURNS_MAX: u32 = 4;

/// The turns at one peer.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(TURNS_MAX as usize))
    }

    /// Waits for a turn, which lasts as long as the value; in the order of asking.
    pub(crate) async fn take(&self, is_proven: bool) -> Option<SemaphorePermit<'_>> {
        let count = if is_proven { 1 } else { TURNS_MAX };
        // Nobody closes it.
        self.0.acquire_many(count).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn unproven_credentials_go_one_by_one_and_proven_ones_a_few_at_a_time() {
        let turns = Turns::new();
        let only = turns.take(false).await;
        let mut next = Box::pin(turns.take(true));
        assert!(poll!(&mut next).is_pending());
        drop(only);
        let mut taken = vec![next.await];
        for _ in 1..TURNS_MAX {
            taken.push(turns.take(true).await);
        }
        assert!(poll!(Box::pin(turns.take(true))).is_pending());
        let mut alone = Box::pin(turns.take(false));
        taken.truncate(1);
        assert!(poll!(&mut alone).is_pending());
        taken.clear();
        assert!(matches!(poll!(&mut alone), Poll::Ready(Some(_))));
    }
}
