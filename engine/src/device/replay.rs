//! The memory of proofs: a `jti` counts once per device.
//!
//! A proof is good from `skew` before to `skew` after our clock, so that one seen now can come again for at most
//! twice the skew; so long it is remembered. Only proofs whose signature and clock stand may be shown to this
//! memory: strangers cannot fill it. Both bounds are answered, never evicted: forgetting early would let a replay
//! through. The memory does not outlive the process; a replay after a restart still meets the nonce of an answer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tocsin_model::{DeviceId, DurationMs, UnixMs};

use super::proof::{Jti, ProofError};

/// The bounds of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Proofs of one device remembered at once; one more is answered `rate_limited`.
    pub proofs_per_device_max: usize,
    /// Proofs remembered at once, all together, at about 32 bytes each; one more is answered `busy`.
    pub proofs_max: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { proofs_per_device_max: 512, proofs_max: 2_000_000 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    jti: Jti,
    until: UnixMs,
}

/// The memory of proofs.
#[derive(Debug)]
pub struct ReplayMemory {
    limits: ReplayLimits,
    skew: DurationMs,
    /// Per device in the order of their coming, so that the oldest leave from the front.
    seen: DashMap<DeviceId, VecDeque<Seen>>,
    count: AtomicUsize,
}

impl ReplayMemory {
    /// An empty memory for proofs that are good within `skew`.
    pub fn new(skew: DurationMs, limits: ReplayLimits) -> Self {
        Self { limits, skew, seen: DashMap::new(), count: AtomicUsize::new(0) }
    }

    /// Remembers a proof that stands. Refuses one seen before, and one more than the bounds hold.
    pub fn remember(&self, device: DeviceId, jti: Jti, now: UnixMs) -> Result<(), ProofError> {
        // The entry holds its shard's lock until the end: looking and remembering are one step.
        let mut seen = self.seen.entry(device).or_default();
        self.forget_front(&mut seen, now);
        if seen.iter().any(|earlier| earlier.jti == jti) {
            return Err(ProofError::Bad);
        }
        if seen.len() >= self.limits.proofs_per_device_max {
            let oldest = seen.front().map_or(DurationMs::default(), |oldest| oldest.until.since(now));
            return Err(ProofError::TooMany { retry_after: oldest });
        }
        self.take_place()?;
        seen.push_back(Seen { jti, until: now.plus(self.skew).plus(self.skew) });
        Ok(())
    }

    /// Forgets what cannot come again. To be called every few seconds; locks one shard at a time.
    pub fn forget_expired(&self, now: UnixMs) {
        self.seen.retain(|_, seen| {
            self.forget_front(seen, now);
            !seen.is_empty()
        });
    }

    /// Proofs remembered now.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place is taken before it is used, so that racing devices cannot pass the bound together.
    fn take_place(&self) -> Result<(), ProofError> {
        let below_bound = |count: usize| (count < self.limits.proofs_max).then_some(count + 1);
        let taken = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_bound);
        taken.map(|_| ()).map_err(|_| ProofError::Busy)
    }

    /// A step of our clock can leave a later one behind an earlier one; it then leaves a little later.
    fn forget_front(&self, seen: &mut VecDeque<Seen>, now: UnixMs) {
        while seen.front().is_some_and(|oldest| oldest.until < now) {
            seen.pop_front();
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEW: DurationMs = DurationMs::from_seconds(120);
    const NOW: UnixMs = UnixMs::new(1_790_000_000_000);

    fn memory(proofs_per_device_max: usize, proofs_max: usize) -> ReplayMemory {
        ReplayMemory::new(SKEW, ReplayLimits { proofs_per_device_max, proofs_max })
    }

    fn device(number: u8) -> DeviceId {
        DeviceId::from_random([number; 16])
    }

    fn jti(text: &str) -> Jti {
        Jti::of(text).expect("a jti")
    }

    #[test]
    fn a_proof_counts_once_for_twice_the_skew() {
        let memory = memory(10, 10);
        assert_eq!(memory.remember(device(1), jti("a"), NOW), Ok(()));
        let last_moment = NOW.plus(SKEW).plus(SKEW);
        assert_eq!(memory.remember(device(1), jti("a"), last_moment), Err(ProofError::Bad));
        assert_eq!(memory.remember(device(1), jti("a"), last_moment.plus(DurationMs::new(1))), Ok(()));
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn devices_do_not_share_their_memory() {
        let memory = memory(10, 10);
        assert_eq!(memory.remember(device(1), jti("a"), NOW), Ok(()));
        assert_eq!(memory.remember(device(2), jti("a"), NOW), Ok(()));
    }

    #[test]
    fn a_device_at_its_bound_is_told_when_to_come_back_and_others_are_not_hurt() {
        let memory = memory(2, 10);
        let later = NOW.plus(DurationMs::from_seconds(40));
        assert_eq!(memory.remember(device(1), jti("a"), NOW), Ok(()));
        assert_eq!(memory.remember(device(1), jti("b"), later), Ok(()));
        let refused = memory.remember(device(1), jti("c"), later);
        assert_eq!(refused, Err(ProofError::TooMany { retry_after: DurationMs::from_seconds(200) }));
        assert_eq!(memory.remember(device(2), jti("c"), later), Ok(()));
    }

    #[test]
    fn a_full_memory_refuses_until_something_expired() {
        let memory = memory(10, 2);
        assert_eq!(memory.remember(device(1), jti("a"), NOW), Ok(()));
        assert_eq!(memory.remember(device(2), jti("a"), NOW), Ok(()));
        assert_eq!(memory.remember(device(3), jti("a"), NOW), Err(ProofError::Busy));
        let later = NOW.plus(DurationMs::from_seconds(241));
        memory.forget_expired(later);
        assert!(memory.is_empty());
        assert_eq!(memory.seen.len(), 0);
        assert_eq!(memory.remember(device(3), jti("a"), later), Ok(()));
    }

    #[test]
    fn of_many_at_once_with_one_jti_exactly_one_is_taken() {
        let memory = memory(100, 100);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if memory.remember(device(1), jti("a"), NOW).is_ok() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!((taken.into_inner(), memory.len()), (1, 1));
    }

    #[test]
    fn a_jti_is_short_visible_ascii() {
        assert!(Jti::of(&"a".repeat(128)).is_some());
        for bad in ["", "a b", "é", "a\n", &"a".repeat(129)] {
            assert_eq!(Jti::of(bad), None, "{bad}");
        }
    }
}
