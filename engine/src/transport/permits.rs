//! Stream permits of one connection, which follow the peer's present limit. Pure.
//!
//! The limit may fall below what is in flight: then nothing is free until enough streams have ended.

/// Most streams that we open on one connection, whatever the peer allows.
pub(super) const STREAMS_PER_CONNECTION_MAX: usize = 1_000;

/// How many streams may be open, and how many are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Permits {
    limit: usize,
    in_flight: usize,
}

impl Permits {
    /// Nothing in flight under the peer's `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.min(STREAMS_PER_CONNECTION_MAX), in_flight: 0 }
    }

    /// Follows the peer's new limit.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(STREAMS_PER_CONNECTION_MAX);
    }

    /// The limit in force.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Streams in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes one permit, if one is free.
    pub(super) fn take(&mut self) -> bool {
        let free = self.in_flight < self.limit;
        if free {
            self.in_flight += 1;
        }
        free
    }

    /// Gives one permit back.
    pub(super) fn give_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(permits: &mut Permits) -> usize {
        std::iter::from_fn(|| permits.take().then_some(())).count()
    }

    #[test]
    fn permits_follow_the_limit_up() {
        let mut permits = Permits::new(1);
        assert_eq!(take_all(&mut permits), 1);
        permits.set_limit(1_000);
        assert_eq!(take_all(&mut permits), 999);
    }

    #[test]
    fn a_limit_below_what_is_in_flight_frees_nothing_until_enough_have_ended() {
        let mut permits = Permits::new(3);
        assert_eq!(take_all(&mut permits), 3);
        permits.set_limit(1);
        permits.give_back();
        permits.give_back();
        assert!(!permits.take());
        permits.give_back();
        assert!(permits.take());
        assert_eq!((permits.limit(), permits.in_flight()), (1, 1));
    }

    #[test]
    fn a_peer_without_a_limit_gets_ours() {
        let mut permits = Permits::new(usize::MAX);
        assert_eq!(take_all(&mut permits), STREAMS_PER_CONNECTION_MAX);
    }

    #[test]
    fn a_limit_of_zero_takes_nothing() {
        assert!(!Permits::new(0).take());
    }
}
