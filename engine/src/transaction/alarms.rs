//! When transactions are to look at the time: one table and one sleeper for each arbiter.
//!
//! A timer of its own would cost each pending transaction 144 bytes; here it costs its place in a table. A transaction
//! has one alarm at most and takes the old one out before it sets another; one that fell leaves its alarm behind, which
//! then rings for nobody or too early, and whoever hears it looks whether it is time.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tocsin_model::{TransactionId, UnixMs};
use tokio::sync::Notify;

use crate::clock::Clock;

/// Alarms that ring in one turn of an arbiter; the next ones wait until others had theirs.
const RINGS_AT_ONCE_MAX: usize = 64;

/// The alarms of the transactions of one arbiter.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    set: Mutex<BTreeSet<(UnixMs, TransactionId)>>,
    /// The first of them is another one.
    first_changed: Notify,
}

impl Alarms {
    /// Sets the alarm of a transaction.
    pub(crate) fn set(&self, at: UnixMs, id: TransactionId) {
        let mut set = self.lock();
        set.insert((at, id));
        if set.first() == Some(&(at, id)) {
            self.first_changed.notify_one();
        }
    }

    /// Takes an alarm out that was set for this time.
    pub(crate) fn take_out(&self, at: UnixMs, id: TransactionId) {
        self.lock().remove(&(at, id));
    }

    /// Rings each when its time has come. Never ends.
    pub(crate) async fn keep(&self, clock: Clock, ring: impl Fn(TransactionId)) {
        loop {
            let now = clock.now();
            let (due, next) = self.due(now);
            let is_all = due.len() < RINGS_AT_ONCE_MAX;
            due.into_iter().for_each(&ring);
            match next {
                Some(_) if !is_all => tokio::task::yield_now().await,
                Some(at) => {
                    let sleeping = tokio::time::sleep(at.since(now).to_std());
                    tokio::select! {
                        () = sleeping => {}
                        () = self.first_changed.notified() => {}
                    }
                }
                None => self.first_changed.notified().await,
            }
        }
    }

    /// Those that are to ring, taken out, and when the next one is.
    fn due(&self, now: UnixMs) -> (Vec<TransactionId>, Option<UnixMs>) {
        let mut set = self.lock();
        let mut due = Vec::new();
        while due.len() < RINGS_AT_ONCE_MAX
            && let Some(first) = set.pop_first()
        {
            if first.0 > now {
                set.insert(first);
                break;
            }
            due.push(first.1);
        }
        (due, set.first().map(|(at, _)| *at))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(UnixMs, TransactionId)>> {
        // Nothing that could panic is done while it is held.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tocsin_model::{DurationMs, Partition};
    use tokio::sync::mpsc;

    use super::*;

    fn id(number: u8) -> TransactionId {
        TransactionId::compose(UnixMs::new(1), Partition::default(), [number; 16])
    }

    #[tokio::test]
    async fn alarms_ring_in_their_order_and_not_before_their_time() {
        let (alarms, clock) = (Arc::new(Alarms::default()), Clock::starting_at(UnixMs::new(1_000)));
        let (ring, mut rung) = mpsc::unbounded_channel();
        let (kept, keeper_clock) = (Arc::clone(&alarms), clock.clone());
        let keeper = tokio::spawn(async move {
            kept.keep(keeper_clock, |id| ring.send(id).expect("somebody listens")).await;
        });
        let at = |ms| UnixMs::new(1_000).plus(DurationMs::new(ms));
        alarms.set(at(60), id(3));
        alarms.set(at(30), id(1));
        alarms.set(at(40), id(2));
        alarms.take_out(at(40), id(2));
        assert_eq!(rung.recv().await, Some(id(1)));
        assert!(clock.now() >= at(30));
        assert_eq!(rung.recv().await, Some(id(3)));
        assert!(clock.now() >= at(60));
        keeper.abort();
    }

    #[tokio::test]
    async fn more_alarms_than_ring_in_one_turn_all_ring() {
        let (alarms, clock) = (Alarms::default(), Clock::starting_at(UnixMs::new(1_000)));
        let count = u8::try_from(RINGS_AT_ONCE_MAX * 2 + 1).expect("few");
        (0..count).for_each(|number| alarms.set(UnixMs::new(500), id(number)));
        let (ring, mut rung) = mpsc::unbounded_channel();
        tokio::select! {
            () = alarms.keep(clock, |id| ring.send(id).expect("somebody listens")) => {}
            () = async { for _ in 0..count { rung.recv().await; } } => {}
        }
        assert!(alarms.lock().is_empty());
    }
}
