//! Rates: how many calls a client, a realm, a user or an address may make in a minute.
//!
//! The rule is that of a leaking bucket (GCRA): a whole minute's calls may come at once, and each is given back in
//! its time. Every map is bounded: names of clients and realms come from the configuration, and of users and
//! addresses only hashes are kept, about [`KEYS_MAX`] of them (threads that come at once may each add one more);
//! whoever comes when the map is full shares one bucket with all others who do. So a flood of addresses costs no
//! memory, and whoever is known already keeps a bucket of its own.
//!
//! Limits are those of the configuration that a call is judged by; one that a reload changes begins anew.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};
use tocsin_config::{Client, Realm};
use tocsin_model::{ClientId, DurationMs, ErrorCode, Problem, RealmName, UserId};

use super::address::counted_as;

/// Most users or addresses of one limit that are told apart; each takes some 40 bytes.
const KEYS_MAX: usize = 1_000_000;

/// How many times one key's calls all those share who are not told apart.
const SHARED_FACTOR: u32 = 100;

type Instant = <DefaultClock as Clock>::Instant;
type One = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;
type Many = RateLimiter<u64, Known, DefaultClock>;

/// Whose limit was reached; the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateOf {
    /// The client's.
    Client,
    /// The realm's.
    Realm,
    /// The user's.
    User,
    /// The address's.
    Address,
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateExceeded {
    pub(crate) of: RateOf,
    pub(crate) retry_after: DurationMs,
}

impl RateExceeded {
    /// 429 `rate_limited`
    pub(crate) fn problem(self) -> Problem {
        let detail = match self.of {
            RateOf::Client => "the client makes more calls than it may in a minute",
            RateOf::Realm => "more is started in this realm than may be in a minute",
            RateOf::User => "more is started for this user than may be in a minute",
            RateOf::Address => "more calls come from this address than may in a minute",
        };
        Problem { retry_after: Some(self.retry_after), ..Problem::new(ErrorCode::RateLimited, detail) }
    }
}

/// All rates of one process.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    clients: DashMap<ClientId, Arc<Limit<One>>>,
    realms: DashMap<RealmName, Arc<Limit<One>>>,
    users: DashMap<RealmName, Arc<Limit<Keyed>>>,
    addresses: DashMap<(), Arc<Limit<Keyed>>>,
    hasher: RandomState,
}

impl Rates {
    /// A call by a client.
    pub(crate) fn client(&self, id: &ClientId, client: &Client) -> Result<(), RateExceeded> {
        one(&self.clients, id, client.calls_per_minute_max, RateOf::Client)
    }

    /// Something that is started in a realm, for this user of it where there is one yet.
    pub(crate) fn start(
        &self,
        name: &RealmName,
        user: Option<&UserId>,
        realm: &Realm,
    ) -> Result<(), RateExceeded> {
        if let Some(user) = user {
            let key = self.hasher.hash_one(user);
            many(&self.users, name, realm.starts_per_user_per_minute_max, key, RateOf::User)?;
        }
        one(&self.realms, name, realm.starts_per_minute_max, RateOf::Realm)
    }

    /// A call from an address.
    pub(crate) fn address(&self, address: IpAddr, per_minute_max: u32) -> Result<(), RateExceeded> {
        let key = self.hasher.hash_one(counted_as(address));
        many(&self.addresses, &(), per_minute_max, key, RateOf::Address)
    }

    /// Forgets users and addresses that have been quiet for so long that nothing is held against them.
    pub(crate) fn forget_the_quiet(&self) {
        self.users.iter().for_each(|limit| limit.limiter.forget_the_quiet());
        self.addresses.iter().for_each(|limit| limit.limiter.forget_the_quiet());
    }
}

/// A limiter with what it allows.
#[derive(Debug)]
struct Limit<L> {
    per_minute_max: u32,
    limiter: L,
}

/// What is held against each of those who are told apart.
#[derive(Clone, Debug, Default)]
struct Known(Arc<DashMap<u64, InMemoryState>>);

impl StateStore for Known {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, decide)
    }
}

impl ShrinkableKeyedStateStore<u64> for Known {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        self.0.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A limiter for many, with the bucket of those who are not told apart.
#[derive(Debug)]
struct Keyed {
    many: Many,
    known: Known,
    keys_max: usize,
    shared: One,
}

impl Keyed {
    fn new(per_minute_max: u32, keys_max: usize) -> Self {
        let known = Known::default();
        let many = Many::new(quota(per_minute_max), known.clone(), DefaultClock::default());
        let shared = One::direct(quota(per_minute_max.saturating_mul(SHARED_FACTOR)));
        Self { many, known, keys_max, shared }
    }

    fn check(&self, key: u64) -> Result<(), NotUntil<Instant>> {
        if self.known.len() >= self.keys_max && !self.known.0.contains_key(&key) {
            return self.shared.check();
        }
        self.many.check_key(&key)
    }

    fn forget_the_quiet(&self) {
        self.many.retain_recent();
        self.many.shrink_to_fit();
    }
}

fn quota(per_minute_max: u32) -> Quota {
    Quota::per_minute(NonZeroU32::new(per_minute_max).unwrap_or(NonZeroU32::MIN))
}

fn exceeded(of: RateOf, until: &NotUntil<Instant>) -> RateExceeded {
    let wait = until.wait_time_from(DefaultClock::default().now());
    RateExceeded { of, retry_after: DurationMs::from(wait).max(DurationMs::new(1)) }
}

fn one<K: Clone + Eq + Hash>(
    limits: &DashMap<K, Arc<Limit<One>>>,
    key: &K,
    per_minute_max: u32,
    of: RateOf,
) -> Result<(), RateExceeded> {
    let limit = limit_of(limits, key, per_minute_max, || One::direct(quota(per_minute_max)));
    limit.limiter.check().map_err(|until| exceeded(of, &until))
}

fn many<K: Clone + Eq + Hash>(
    limits: &DashMap<K, Arc<Limit<Keyed>>>,
    owner: &K,
    per_minute_max: u32,
    key: u64,
    of: RateOf,
) -> Result<(), RateExceeded> {
    let limit = limit_of(limits, owner, per_minute_max, || Keyed::new(per_minute_max, KEYS_MAX));
    limit.limiter.check(key).map_err(|until| exceeded(of, &until))
}

fn limit_of<K: Clone + Eq + Hash, L>(
    limits: &DashMap<K, Arc<Limit<L>>>,
    key: &K,
    per_minute_max: u32,
    make: impl Fn() -> L,
) -> Arc<Limit<L>> {
    let present = limits.get(key).map(|limit| Arc::clone(&limit));
    if let Some(limit) = present.filter(|limit| limit.per_minute_max == per_minute_max) {
        return limit;
    }
    let fresh = || Arc::new(Limit { per_minute_max, limiter: make() });
    let mut entry = limits.entry(key.clone()).or_insert_with(fresh);
    if entry.per_minute_max != per_minute_max {
        *entry = fresh();
    }
    Arc::clone(&entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_call_after_the_last_is_refused_with_its_time() {
        let rates = Rates::default();
        for call in 1..=3 {
            assert_eq!(rates.address(address(1), 3), Ok(()), "call {call}");
        }
        let refused = rates.address(address(1), 3).expect_err("the fourth");
        assert_eq!(refused.of, RateOf::Address);
        assert!((1..=20_000).contains(&refused.retry_after.get()), "{refused:?}");
        assert_eq!(refused.problem().retry_after, Some(refused.retry_after));
        assert_eq!(rates.address(address(2), 3), Ok(()), "another address");
    }

    #[test]
    fn a_changed_limit_begins_anew() {
        let rates = Rates::default();
        assert_eq!(rates.address(address(1), 1), Ok(()));
        assert!(rates.address(address(1), 1).is_err());
        assert_eq!(rates.address(address(1), 2), Ok(()));
    }

    #[test]
    fn who_does_not_fit_shares_one_bucket() {
        let keyed = Keyed::new(1, 2);
        assert!(keyed.check(1).is_ok() && keyed.check(2).is_ok());
        for key in 3..103 {
            assert!(keyed.check(key).is_ok(), "{key} of {SHARED_FACTOR}");
        }
        assert!(keyed.check(103).is_err());
        assert_eq!(keyed.many.len(), 2, "nobody more is kept");
    }

    #[test]
    fn who_is_known_keeps_its_own_bucket_when_the_map_is_full() {
        let keyed = Keyed::new(2, 2);
        assert!(keyed.check(1).is_ok() && keyed.check(2).is_ok());
        while keyed.check(3).is_ok() {}
        assert!(keyed.check(1).is_ok(), "one of its two calls was left");
        assert!(keyed.check(1).is_err() && keyed.check(2).is_ok());
    }

    #[test]
    fn what_is_still_held_against_somebody_is_not_forgotten() {
        let rates = Rates::default();
        assert_eq!(rates.address(address(1), 1), Ok(()));
        rates.forget_the_quiet();
        assert!(rates.address(address(1), 1).is_err());
    }
}
