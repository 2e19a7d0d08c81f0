//! Which phones' addresses have to wait, because their network said that they get too many pushes. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tocsin_model::PushToken;
use tokio::time::Instant;

use crate::transport::Backoff;

/// Addresses remembered at once; beyond that the oldest news are dropped.
const TARGETS_HELD_MAX: usize = 10_000;
/// 1, 2, 4 s and so on between pushes to an address that is throttled again and again.
const TARGET_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// How long after its hold an address must have been quiet to start over.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The addresses that have to wait.
#[derive(Debug, Default)]
pub(super) struct TargetHolds {
    held: HashMap<PushToken, Hold>,
}

#[derive(Debug)]
struct Hold {
    faults: u32,
    until: Instant,
}

impl TargetHolds {
    /// Until when this address has to wait, if it has to.
    pub(super) fn hold(&self, target: &PushToken, now: Instant) -> Option<Instant> {
        if self.held.is_empty() {
            return None;
        }
        self.held.get(target).map(|hold| hold.until).filter(|until| *until > now)
    }

    /// The network throttles this address. Answers with the moment from which it may be tried again: the
    /// network's own where it named one, else by a doubling back-off.
    pub(super) fn throttled(
        &mut self,
        target: &PushToken,
        now: Instant,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Instant {
        let faults = self.held.get(target).map_or(0, |hold| hold.faults) + 1;
        let until = now + retry_after.unwrap_or_else(|| TARGET_BACKOFF.delay(faults, random));
        self.make_room(now);
        self.held.insert(target.clone(), Hold { faults, until });
        until
    }

    fn make_room(&mut self, now: Instant) {
        if self.held.len() < TARGETS_HELD_MAX {
            return;
        }
        self.held.retain(|_, hold| now < hold.until + FORGIVEN_AFTER);
        if self.held.len() >= TARGETS_HELD_MAX
            && let Some(soonest) = self.held.iter().min_by_key(|(_, hold)| hold.until)
        {
            let soonest = soonest.0.clone();
            self.held.remove(&soonest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_model::PushKind;

    fn token(number: usize) -> PushToken {
        PushToken::new(PushKind::FcmToken, &format!("t{number}")).expect("valid")
    }

    #[test]
    fn an_address_waits_longer_each_time_and_others_do_not() {
        let (mut holds, now) = (TargetHolds::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(holds.throttled(&token(1), now, None, 0.0), now + second);
        assert_eq!(holds.throttled(&token(1), now, None, 0.0), now + 2 * second);
        assert_eq!(holds.hold(&token(1), now), Some(now + 2 * second));
        assert_eq!(holds.hold(&token(1), now + 2 * second), None);
        assert_eq!(holds.hold(&token(2), now), None);
    }

    #[test]
    fn the_networks_own_time_goes_before_ours() {
        let (mut holds, now) = (TargetHolds::default(), Instant::now());
        let minute = Duration::from_secs(60);
        assert_eq!(holds.throttled(&token(1), now, Some(minute), 0.0), now + minute);
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut holds, now) = (TargetHolds::default(), Instant::now());
        for number in 0..TARGETS_HELD_MAX + 10 {
            holds.throttled(&token(number), now, None, 0.0);
        }
        assert_eq!(holds.held.len(), TARGETS_HELD_MAX);
        let much_later = now + Duration::from_secs(3_600);
        holds.throttled(&token(1), much_later, None, 0.0);
        assert_eq!(holds.held.len(), 1);
    }
}
