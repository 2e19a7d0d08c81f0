//! Answers that are still believed. The oldest goes when there are too many.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Place;

/// A bounded memory of places.
pub(super) struct Cache {
    life: Duration,
    entries_max: usize,
    places: HashMap<IpAddr, (Place, Instant)>,
    /// Every address of `places` once, the one that came first in front.
    order: VecDeque<IpAddr>,
}

impl Cache {
    pub(super) fn new(life: Duration, entries_max: usize) -> Self {
        Self { life, entries_max, places: HashMap::new(), order: VecDeque::new() }
    }

    /// The place of this address, unless it is too old.
    pub(super) fn get(&self, address: IpAddr, now: Instant) -> Option<Place> {
        let (place, since) = self.places.get(&address)?;
        (now.saturating_duration_since(*since) < self.life).then(|| place.clone())
    }

    pub(super) fn keep(&mut self, address: IpAddr, place: Place, now: Instant) {
        if self.life.is_zero() {
            return;
        }
        if self.places.insert(address, (place, now)).is_some() {
            return;
        }
        self.order.push_back(address);
        if self.order.len() > self.entries_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn city(name: &str) -> Place {
        Place { city: name.to_owned(), ..Place::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_its_life() {
        let (begin, life) = (Instant::now(), Duration::from_secs(60));
        let mut cache = Cache::new(life, 10);
        cache.keep(address(1), city("a"), begin);
        assert_eq!(cache.get(address(1), begin + life - Duration::from_millis(1)), Some(city("a")));
        assert_eq!(cache.get(address(1), begin + life), None);
        cache.keep(address(1), city("b"), begin + life);
        assert_eq!(cache.get(address(1), begin + life), Some(city("b")));
        assert_eq!(cache.get(address(2), begin), None);
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_so_many() {
        let now = Instant::now();
        let mut cache = Cache::new(Duration::from_secs(60), 2);
        for last in 0..=255 {
            cache.keep(address(last), city("a"), now);
            cache.keep(address(last), city("a"), now);
            assert!(cache.places.len() <= 2 && cache.order.len() <= 2);
        }
        assert_eq!(cache.get(address(254), now), Some(city("a")));
        assert_eq!(cache.get(address(253), now), None);
        let mut none = Cache::new(Duration::ZERO, 2);
        none.keep(address(1), city("a"), now);
        assert!(none.places.is_empty());
    }
}
