//! A cached provider token with one refresher.
//!
//! Everyone reads the same token from a snapshot, without waiting. One task at a time makes a new one: in the
//! background while the present one is still good, else with everybody waiting for it. While making fails
//! the present one stays, and tries are spaced. Where tokens outlive the process, the first one wanted is the last one
//! of before, and a new one is on the disk before anybody uses it. Invariant: at no time do two makings run, and a
//! token is not replaced before its least age, however often the network refuses it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tocsin_model::{DurationMs, Secret, UnixMs};
use tocsin_storage::KeptProviderToken;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::sleep;

use super::shelf::TokenPlace;
use crate::clock::Clock;
use crate::transport::{Backoff, random_unit};

/// Jittered waits between tries to make a token.
const MINT_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Shortest pause of the task that keeps a token fresh.
const FRESHNESS_PAUSE_MIN: DurationMs = DurationMs::from_seconds(1);
/// How often one caller looks again, should the task that makes a token be cut off.
const ROUNDS_MAX: usize = 3;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MintError {
    /// The network refuses our credential, or it cannot sign: an operator must act.
    #[error("credential refused")]
    Refused,
    /// The network cannot be reached or does not work.
    #[error("token endpoint unavailable")]
    Unavailable,
}

/// A new token.
pub(super) struct Minted {
    /// The value of `authorization`; marked sensitive.
    pub(super) authorization: HeaderValue,
    /// From this age on it is to be replaced.
    pub(super) refresh_age: DurationMs,
    /// From this age on it is worthless.
    pub(super) expiry_age: DurationMs,
}

/// Makes tokens.
pub(super) trait Mint: Send + Sync + 'static {
    /// Makes one; ends within a deadline of its own.
    fn mint(&self, now: UnixMs) -> impl Future<Output = Result<Minted, MintError>> + Send;

    /// A token younger than this is not replaced, even when the network refuses it.
    const REPLACED_AGE_MIN: DurationMs;

    /// A hash over what the tokens are made with, where one should outlive the process.
    fn credential(&self) -> Option<[u8; 32]>;
}

/// A token in use.
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    serial: u64,
    minted_at: UnixMs,
    refresh_at: UnixMs,
    expires_at: UnixMs,
}

/// The token of one credential.
pub(super) struct TokenCache<M> {
    inner: Arc<Inner<M>>,
}

struct Inner<M> {
    mint: M,
    clock: Clock,
    current: ArcSwapOption<Token>,
    flight: Arc<Mutex<Flight>>,
    place: Option<TokenPlace>,
    /// Whether the place was looked at.
    has_looked: AtomicBool,
    serials: AtomicU64,
    minted: AtomicU64,
    faults: AtomicU64,
}

/// Held while a token is made.
#[derive(Default)]
struct Flight {
    faults: u32,
    blocked: Option<(UnixMs, MintError)>,
}

impl<M: Mint> TokenCache<M> {
    /// A cache without a token yet; `place` is where one may be from before, and where new ones are kept.
    pub(super) fn new(mint: M, clock: Clock, place: Option<TokenPlace>) -> Self {
        Self {
            inner: Arc::new(Inner {
                mint,
                clock,
                current: ArcSwapOption::empty(),
                flight: Arc::default(),
                place,
                has_looked: AtomicBool::new(false),
                serials: AtomicU64::new(0),
                minted: AtomicU64::new(0),
                faults: AtomicU64::new(0),
            }),
        }
    }

    /// The present token, where there is one that need not be replaced yet.
    pub(super) fn present(&self) -> Option<Arc<Token>> {
        let now = self.inner.clock.now();
        self.inner.current.load_full().filter(|token| now < token.refresh_at)
    }

    /// The present token. Waits only when there is none, or an expired one.
    pub(super) async fn get(&self) -> Result<Arc<Token>, MintError> {
        let now = self.inner.clock.now();
        match self.inner.current.load_full() {
            Some(token) if now < token.refresh_at => Ok(token),
            Some(token) if now < token.expires_at => {
                self.start(token.serial);
                Ok(token)
            }
            stale => self.replaced(stale.map_or(0, |token| token.serial)).await,
        }
    }

    /// A token in place of one that the network refused: the one that has replaced it already, a new one, or
    /// the same one again when it is too young to be replaced (then it is not the token that is wrong).
    pub(super) async fn renew(&self, refused: &Arc<Token>) -> Result<Arc<Token>, MintError> {
        let now = self.inner.clock.now();
        let is_from_the_future = now < refused.minted_at;
        let is_too_young = now.since(refused.minted_at) < M::REPLACED_AGE_MIN && !is_from_the_future;
        match self.inner.current.load_full() {
            Some(token) if token.serial == refused.serial && is_too_young => Ok(token),
            _ => self.replaced(refused.serial).await,
        }
    }

    /// Replaces the token in time, also without traffic. Never ends by itself.
    pub(super) async fn keep_fresh(&self) {
        loop {
            let wait = match self.get().await {
                Ok(token) => token.refresh_at.since(self.inner.clock.now()),
                Err(_) => FRESHNESS_PAUSE_MIN,
            };
            sleep(wait.max(FRESHNESS_PAUSE_MIN).to_std()).await;
        }
    }

    /// Tokens made, and tries that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.inner.minted.load(Ordering::Relaxed), self.inner.faults.load(Ordering::Relaxed))
    }

    /// Waits for a token other than the one with this serial.
    async fn replaced(&self, serial: u64) -> Result<Arc<Token>, MintError> {
        for _ in 0..ROUNDS_MAX {
            self.start(serial);
            let flight = self.inner.flight.lock().await;
            let now = self.inner.clock.now();
            let current = self.inner.current.load_full();
            if let Some(token) = current.filter(|token| token.serial != serial && now < token.expires_at) {
                return Ok(token);
            }
            if let Some((_, error)) = flight.blocked.filter(|(until, _)| now < *until) {
                return Err(error);
            }
        }
        Err(MintError::Unavailable)
    }

    /// Has the token with this serial replaced, unless that is under way, done, or too early after a fault.
    fn start(&self, serial: u64) {
        let Ok(flight) = self.inner.flight.clone().try_lock_owned() else { return };
        let now = self.inner.clock.now();
        let is_done = self.inner.current.load().as_ref().is_some_and(|token| token.serial != serial);
        let is_blocked = flight.blocked.is_some_and(|(until, _)| now < until);
        if !is_done && !is_blocked {
            // A task of its own, so that a push that is given up does not take everybody's token with it. It
            // ends with the mint's own deadline.
            tokio::spawn(Arc::clone(&self.inner).make(flight));
        }
    }
}

impl<M: Mint> Inner<M> {
    async fn make(self: Arc<Self>, mut flight: OwnedMutexGuard<Flight>) {
        let made = match self.kept_before().await {
            Some(token) => Ok(token),
            None => self.minted().await,
        };
        match made {
            Ok(token) => {
                *flight = Flight::default();
                self.current.store(Some(Arc::new(token)));
            }
            Err(error) => {
                self.faults.fetch_add(1, Ordering::Relaxed);
                flight.faults = flight.faults.saturating_add(1);
                let wait = MINT_BACKOFF.delay(flight.faults, random_unit());
                flight.blocked = Some((self.clock.now().plus(wait.into()), error));
            }
        }
    }

    /// The token of before this process, the first time that one is wanted.
    async fn kept_before(&self) -> Option<Token> {
        let place = self.place.as_ref().filter(|_| !self.has_looked.swap(true, Ordering::Relaxed))?;
        let kept = place.take(self.clock.now()).await?;
        let mut authorization = HeaderValue::try_from(kept.authorization.expose()).ok()?;
        authorization.set_sensitive(true);
        let (minted_at, refresh_at, expires_at) = (kept.minted_at, kept.refresh_at, kept.expires_at);
        Some(Token { authorization, serial: self.next_serial(), minted_at, refresh_at, expires_at })
    }

    /// A new one, kept before it is used.
    async fn minted(&self) -> Result<Token, MintError> {
        let minted_at = self.clock.now();
        let minted = self.mint.mint(minted_at).await?;
        self.minted.fetch_add(1, Ordering::Relaxed);
        let token = Token {
            authorization: minted.authorization,
            serial: self.next_serial(),
            minted_at,
            refresh_at: minted_at.plus(minted.refresh_age.min(minted.expiry_age)),
            expires_at: minted_at.plus(minted.expiry_age),
        };
        if let (Some(place), Ok(authorization)) = (&self.place, token.authorization.to_str()) {
            place.put(token.kept(place.credential, authorization)).await;
        }
        Ok(token)
    }

    fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Token {
    fn kept(&self, credential: [u8; 32], authorization: &str) -> KeptProviderToken {
        KeptProviderToken {
            credential,
            authorization: Secret::new(authorization.to_owned()),
            minted_at: self.minted_at,
            refresh_at: self.refresh_at,
            expires_at: self.expires_at,
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
