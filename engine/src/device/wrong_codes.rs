//! How many wrong activation codes an address may send: a window for each, in bounded memory.
//!
//! An IPv6 address counts by its first 64 bits, which one subscriber has. Only wrong codes count, so that a right one
//! is refused only to an address that has guessed too often. When the memory is full, a wrong code of an address that
//! is not in it is refused as if that address had none left: it learns no more than one at its bound.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tocsin_config::WrongCodeLimit;
use tocsin_model::{DurationMs, ErrorCode, Problem, UnixMs};

/// Addresses remembered at once, at about 40 bytes each.
const ADDRESSES_MAX: usize = 100_000;

/// The memory of wrong codes.
#[derive(Debug, Default)]
pub struct WrongCodes {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until: UnixMs,
    used: u32,
}

impl WrongCodes {
    /// 429 `rate_limited` for an address that has sent too many.
    pub fn check(&self, from: IpAddr, limit: WrongCodeLimit, now: UnixMs) -> Result<(), Problem> {
        let windows = self.windows();
        match windows.get(&counted(from)) {
            Some(window) if now < window.until && window.used >= limit.codes_max => {
                Err(too_many(window.until.since(now)))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a wrong one; 429 when the memory is full.
    pub fn count(&self, from: IpAddr, limit: WrongCodeLimit, now: UnixMs) -> Result<(), Problem> {
        let mut windows = self.windows();
        let address = counted(from);
        if windows.len() >= ADDRESSES_MAX && !windows.contains_key(&address) {
            windows.retain(|_, window| now < window.until);
            if windows.len() >= ADDRESSES_MAX {
                return Err(too_many(limit.window));
            }
        }
        let fresh = Window { until: now.plus(limit.window), used: 0 };
        let window = windows.entry(address).or_insert(fresh);
        if now >= window.until {
            *window = fresh;
        }
        window.used = window.used.saturating_add(1);
        Ok(())
    }

    /// Forgets windows that are over. To be called every few seconds.
    pub fn forget_expired(&self, now: UnixMs) {
        self.windows().retain(|_, window| now < window.until);
    }

    /// A panic of another holder cannot leave half a window.
    fn windows(&self) -> MutexGuard<'_, HashMap<IpAddr, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an address counts as.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn too_many(wait: DurationMs) -> Problem {
    Problem::new(ErrorCode::RateLimited, "too many wrong activation codes came from this address")
        .with_retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: WrongCodeLimit = WrongCodeLimit { codes_max: 2, window: DurationMs::from_seconds(60) };
    const NOW: UnixMs = UnixMs::new(1_790_000_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_at_its_bound_waits_for_the_end_of_its_window() {
        let codes = WrongCodes::default();
        let from = address("192.0.2.1");
        for _ in 0..LIMIT.codes_max {
            assert_eq!(codes.check(from, LIMIT, NOW), Ok(()));
            assert_eq!(codes.count(from, LIMIT, NOW), Ok(()));
        }
        let later = NOW.plus(DurationMs::from_seconds(59));
        let refused = codes.check(from, LIMIT, later).expect_err("too many");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(refused.retry_after, Some(DurationMs::from_seconds(1)));
        assert_eq!(codes.check(address("192.0.2.2"), LIMIT, later), Ok(()), "others are not hurt");
        let over = NOW.plus(LIMIT.window);
        assert_eq!(codes.check(from, LIMIT, over), Ok(()));
        assert_eq!(codes.count(from, LIMIT, over), Ok(()));
        assert_eq!(codes.check(from, LIMIT, over), Ok(()), "a new window has begun");
    }

    #[test]
    fn ipv6_counts_by_64_bits_and_mapped_ipv4_as_itself() {
        assert_eq!(counted(address("2001:db8::1")), counted(address("2001:db8::ffff:1")));
        assert_ne!(counted(address("2001:db8::1")), counted(address("2001:db8:0:1::1")));
        assert_eq!(counted(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn a_full_memory_refuses_strangers_until_windows_are_over() {
        let codes = WrongCodes::default();
        for number in 0..ADDRESSES_MAX {
            let from = IpAddr::from(u32::try_from(number).expect("small").to_be_bytes());
            assert_eq!(codes.count(from, LIMIT, NOW), Ok(()));
        }
        let stranger = address("203.0.113.9");
        assert!(codes.count(stranger, LIMIT, NOW).is_err());
        assert_eq!(codes.count(address("0.0.0.1"), LIMIT, NOW), Ok(()), "a known one is counted");
        assert_eq!(codes.count(stranger, LIMIT, NOW.plus(LIMIT.window)), Ok(()));
        codes.forget_expired(NOW.plus(LIMIT.window).plus(LIMIT.window));
        assert!(codes.windows().is_empty());
    }
}
