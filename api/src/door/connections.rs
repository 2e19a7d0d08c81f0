//! How many connections a door holds, in all and from each address.
//!
//! A connection beyond a bound is not left to wait: it is answered once, with 503 or 429, and closed. Those answers
//! are bounded too; beyond them a connection is closed unheard.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tocsin_model::{ErrorCode, Problem};

use super::address::counted_as;

/// Connections beyond the bounds that are answered at once; more are closed.
const REFUSING_MAX: usize = 64;

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overfull {
    /// That of the door.
    Door,
    /// That of the address.
    Address,
}

impl Overfull {
    /// What the caller is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Door => Problem::new(ErrorCode::Busy, "the door holds as many connections as it may"),
            Self::Address => {
                Problem::new(ErrorCode::RateLimited, "this address holds as many connections as it may")
            }
        }
    }
}

/// The connections of one door.
#[derive(Debug)]
pub(super) struct Connections {
    total_max: usize,
    per_address_max: usize,
    total: AtomicUsize,
    refusing: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    connections: Arc<Connections>,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Place(Option<IpAddr>),
    Refusal(Overfull),
}

impl Connections {
    pub(super) fn new(total_max: usize, per_address_max: usize) -> Self {
        Self {
            total_max,
            per_address_max,
            total: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
            by_address: DashMap::new(),
        }
    }

    /// Counts a connection. `address` is left out for a trusted proxy, behind which many callers stand.
    ///
    /// The error says why there is not even room to refuse it.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Entered, Overfull> {
        let address = address.map(counted_as);
        let Err(overfull) = self.take_place(address) else {
            return Ok(Entered { connections: Arc::clone(self), held: Held::Place(address) });
        };
        if take(&self.refusing, REFUSING_MAX) {
            return Ok(Entered { connections: Arc::clone(self), held: Held::Refusal(overfull) });
        }
        Err(overfull)
    }

    /// Whether nobody is connected, not even to be refused.
    pub(super) fn is_empty(&self) -> bool {
        [&self.total, &self.refusing].iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    fn take_place(&self, address: Option<IpAddr>) -> Result<(), Overfull> {
        if !take(&self.total, self.total_max) {
            return Err(Overfull::Door);
        }
        let Some(address) = address else {
            return Ok(());
        };
        let mut count = self.by_address.entry(address).or_insert(0);
        if *count < self.per_address_max {
            *count += 1;
            return Ok(());
        }
        drop(count);
        self.total.fetch_sub(1, Ordering::Relaxed);
        Err(Overfull::Address)
    }
}

/// Takes one of `max`, unless all are taken.
fn take(counter: &AtomicUsize, max: usize) -> bool {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
        .is_ok()
}

impl Entered {
    /// Why the connection is only answered that there is no room.
    pub(super) fn refusal(&self) -> Option<Overfull> {
        match self.held {
            Held::Place(_) => None,
            Held::Refusal(overfull) => Some(overfull),
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        match self.held {
            Held::Refusal(_) => {
                self.connections.refusing.fetch_sub(1, Ordering::Relaxed);
            }
            Held::Place(address) => {
                self.connections.total.fetch_sub(1, Ordering::Relaxed);
                if let Some(address) = address
                    && let dashmap::Entry::Occupied(mut count) = self.connections.by_address.entry(address)
                {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_connection_beyond_a_bound_is_refused_and_one_that_ends_makes_room() {
        let connections = Arc::new(Connections::new(3, 2));
        let first = connections.enter(address(1)).expect("room");
        let _second = connections.enter(address(1)).expect("room");
        assert_eq!(connections.enter(address(1)).expect("answered").refusal(), Some(Overfull::Address));
        let _third = connections.enter(address(2)).expect("room");
        assert_eq!(connections.enter(address(3)).expect("answered").refusal(), Some(Overfull::Door));
        drop(first);
        assert_eq!(connections.enter(address(1)).expect("room").refusal(), None);
    }

    #[test]
    fn a_trusted_proxy_has_the_bound_of_the_door_only() {
        let connections = Arc::new(Connections::new(3, 1));
        let held: Vec<_> = (0..3).map(|_| connections.enter(None).expect("room")).collect();
        assert!(held.iter().all(|entered| entered.refusal().is_none()));
        assert_eq!(connections.enter(None).expect("answered").refusal(), Some(Overfull::Door));
    }

    #[test]
    fn refusals_are_bounded_and_nothing_is_kept_of_those_who_left() {
        let connections = Arc::new(Connections::new(1, 1));
        let place = connections.enter(address(1)).expect("room");
        let refused: Vec<_> =
            (0..REFUSING_MAX).map(|_| connections.enter(address(2)).expect("answered")).collect();
        assert_eq!(connections.enter(address(2)).err(), Some(Overfull::Door));
        drop((place, refused));
        assert!(connections.by_address.is_empty());
        assert_eq!(connections.enter(address(2)).expect("room").refusal(), None);
    }
}
