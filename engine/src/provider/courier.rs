//! One push from its start to its end, the same for every network that is HTTP/2 with a provider token.
//!
//! What differs is behind [`Network`]: how a request looks, what an answer means, how fast we may send. What to
//! do next is [`Progress`]; this file only performs it.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Uri};
use tocsin_config::ProviderLimits;
use tocsin_model::{DeliveryReason, ProviderName, PushToken, UnixMs};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::backoff::TargetHolds;
use super::progress::{ANSWER_TIME_MIN, Again, Progress, Step, Treatment};
use super::shelf::TokenShelf;
use super::token::{Mint, MintError, Token, TokenCache};
use super::{Driver, DriverReport, DriverSnapshot};
use crate::clock::Clock;
use crate::protocol::{Parcel, Push};
use crate::transport::{
    Answer, Connect, ConnectionNumber, Interruption, Outgoing, Pool, PoolLimits, SendError, random_unit,
};

/// A POST of `body`.
pub(super) fn post(uri: Uri, headers: HeaderMap, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Its place in [`Network::REASONS`].
    pub(super) reason: usize,
    /// What it asks for.
    pub(super) treatment: Treatment,
}

/// What tells one network from another.
pub(super) trait Network: Send + Sync + 'static {
    /// How its provider token is made.
    type Mint: Mint;
    /// Every reason it may answer with: the label values of a metric.
    const REASONS: &'static [&'static str];

    /// The request without its provider token, or `None` when there can be none: the target is of another network, or
    /// even the shortest payload is too large.
    fn prepare(&self, push: &Push, now: UnixMs) -> Option<Request<Bytes>>;

    /// What an answer means.
    fn rule(&self, answer: &Answer, now: UnixMs) -> Ruling;

    /// When the next push may go, if that is not after `latest`.
    fn pace(&self, now: Instant, latest: Instant) -> Option<Instant>;

    /// The network wants nothing before this moment.
    fn pause(&self, until: Instant);
}

/// Delivers pushes to one network.
pub(super) struct Courier<N: Network> {
    name: Box<str>,
    network: N,
    pool: Pool,
    tokens: TokenCache<N::Mint>,
    holds: Mutex<TargetHolds>,
    answers: Box<[AtomicU64]>,
    credential_faults: AtomicU64,
    request_timeout: Duration,
    clock: Clock,
}

/// One push under way.
struct Journey<'a> {
    push: &'a Push,
    target: &'a PushToken,
    expires_at: Instant,
    progress: Progress,
    refused_token: Option<Arc<Token>>,
    avoid: Option<ConnectionNumber>,
}

impl<N: Network> Courier<N> {
    pub(super) fn new<C: Connect>(
        name: &ProviderName,
        network: N,
        mint: N::Mint,
        connector: C,
        limits: &ProviderLimits,
        clock: Clock,
        shelf: &TokenShelf,
    ) -> Self {
        let place = shelf.place(name, mint.credential());
        let name = name.as_str();
        let pool_limits = PoolLimits {
            connections_max: limits.connections_max,
            queue_max: limits.queue_max,
            connect_timeout: limits.connect_timeout.to_std(),
            ping_interval: limits.ping_interval.to_std(),
            ping_timeout: limits.ping_timeout.to_std(),
        };
        Self {
            name: name.into(),
            network,
            pool: Pool::new(name, connector, pool_limits, clock.clone()),
            tokens: TokenCache::new(mint, clock.clone(), place),
            holds: Mutex::default(),
            answers: N::REASONS.iter().map(|_| AtomicU64::new(0)).collect(),
            credential_faults: AtomicU64::new(0),
            request_timeout: limits.request_timeout.to_std(),
            clock,
        }
    }

    async fn carry(&self, push: &Push, written: &(dyn Fn() + Send + Sync)) -> DriverReport {
        let progress = Progress::new();
        let Some(target) = &push.target.token else {
            return progress.end(DeliveryReason::RequestRefused, None);
        };
        let is_written = AtomicBool::new(false);
        let written_once = || {
            if !is_written.swap(true, Ordering::Relaxed) {
                written();
            }
        };
        let (expires_at, refused_token, avoid) = (self.clock.instant_of(push.expires_at), None, None);
        let mut journey = Journey { push, target, expires_at, progress, refused_token, avoid };
        // Ends: each repetition takes from a budget of `Progress`.
        loop {
            match self.try_once(&mut journey, &written_once).await {
                Step::Done(report) => return report,
                Step::Again(again) => sleep_until(self.now() + again.wait).await,
            }
        }
    }

    /// The monotonic present.
    fn now(&self) -> Instant {
        self.clock.instant()
    }

    /// The request as it stands now, with its token: the time that is left is part of it.
    fn prepare(&self, push: &Push, token: &Token) -> Option<Request<Bytes>> {
        let mut request = self.network.prepare(push, self.clock.now());
        match &mut request {
            Some(request) => {
                request.headers_mut().insert(AUTHORIZATION, token.authorization.clone());
            }
            None => {
                tracing::error!(provider = %self.name, transaction = %push.transaction_id, "a push cannot be made into a request");
            }
        }
        request
    }

    /// One try: a place in the pace, a token, a stream, an answer.
    async fn try_once(&self, journey: &mut Journey<'_>, written: &(dyn Fn() + Send + Sync)) -> Step {
        let start_by = match self.wait_for_turn(journey).await {
            Ok(start_by) => start_by,
            Err(reason) => return journey.progress.ended(reason, None),
        };
        let deadline = (self.now() + self.request_timeout).min(journey.expires_at);
        let token = match self.token(journey, deadline).await {
            Ok(token) => token,
            Err(MintError::Refused) => {
                let step = journey.progress.ended(DeliveryReason::CredentialRefused, Some(false));
                return self.credential_refused(step);
            }
            Err(MintError::Unavailable) => {
                return journey.progress.ended(DeliveryReason::Unavailable, Some(false));
            }
        };
        let push = journey.push;
        let request = || self.prepare(push, &token);
        let outgoing = Outgoing { request: &request, avoid: journey.avoid, start_by, written };
        let (step, connection) = match self.pool.send(&outgoing, deadline).await {
            Ok(answer) => (self.judge(journey, &answer), Some(answer.connection)),
            Err(error) => {
                let time_left = journey.time_left(self.now());
                (journey.progress.unanswered(error, time_left), connection_of(error))
            }
        };
        self.change(journey, step, token, connection);
        step
    }

    /// Changes what the next try needs changed.
    fn change(
        &self,
        journey: &mut Journey<'_>,
        step: Step,
        token: Arc<Token>,
        connection: Option<ConnectionNumber>,
    ) {
        let Step::Again(Again { renews_token, retires_connection, .. }) = step else { return };
        journey.avoid = connection;
        journey.refused_token = renews_token.then_some(token);
        if let Some(connection) = connection.filter(|_| retires_connection) {
            self.pool.retire(connection);
        }
    }

    /// Waits while the address is held and for the project's pace. Answers with the moment from which the push
    /// is not worth sending.
    async fn wait_for_turn(&self, journey: &Journey<'_>) -> Result<Instant, DeliveryReason> {
        let now = self.now();
        let latest = journey.expires_at.checked_sub(ANSWER_TIME_MIN).filter(|latest| *latest >= now);
        let latest = latest.ok_or(DeliveryReason::Late)?;
        let free_at = self.holds().hold(journey.target, now).unwrap_or(now);
        if free_at > latest {
            return Err(DeliveryReason::Throttled);
        }
        let mut now = now;
        if free_at > now {
            sleep_until(free_at).await;
            now = self.now();
        }
        let turn_at = self.network.pace(now, latest).ok_or(DeliveryReason::Throttled)?;
        if turn_at > now {
            sleep_until(turn_at).await;
        }
        Ok(latest)
    }

    async fn token(&self, journey: &mut Journey<'_>, deadline: Instant) -> Result<Arc<Token>, MintError> {
        let refused = journey.refused_token.take();
        if refused.is_none()
            && let Some(token) = self.tokens.present()
        {
            return Ok(token);
        }
        // Its own box: most pushes find a token, and keep no room for those that wait for one.
        let waited_for = Box::pin(async {
            match refused {
                Some(refused) => self.tokens.renew(&refused).await,
                None => self.tokens.get().await,
            }
        });
        timeout_at(deadline, waited_for).await.unwrap_or(Err(MintError::Unavailable))
    }

    fn judge(&self, journey: &mut Journey<'_>, answer: &Answer) -> Step {
        let Ruling { reason, treatment } = self.network.rule(answer, self.clock.now());
        if let Some(count) = self.answers.get(reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let now = self.now();
        let mut hold = Duration::ZERO;
        match treatment {
            Treatment::TargetThrottled { after } => {
                let until = self.holds().throttled(journey.target, now, after, random_unit());
                hold = until.saturating_duration_since(now);
            }
            Treatment::ProviderThrottled { after } | Treatment::QuickRetry { after: Some(after) } => {
                self.network.pause(now + after);
            }
            _ => (),
        }
        let time_left = journey.time_left(now);
        // Drawing one costs as much as the rest of a judgement, and what was taken waits for nothing.
        let random = if treatment == Treatment::Relayed { 0.0 } else { random_unit() };
        let step = journey.progress.answered(treatment, time_left, hold, random);
        if treatment != Treatment::Relayed {
            let word = N::REASONS.get(reason).copied().unwrap_or_default();
            let (id, status) = (journey.push.transaction_id, answer.status.as_u16());
            tracing::debug!(transaction = %id, status, reason = word, "the network did not take a push");
        }
        match treatment {
            Treatment::CredentialRefused | Treatment::RenewToken { .. } => self.credential_refused(step),
            _ => step,
        }
    }

    /// Counts and tells what an operator must act on.
    fn credential_refused(&self, step: Step) -> Step {
        if matches!(step, Step::Done(_)) {
            let before = self.credential_faults.fetch_add(1, Ordering::Relaxed);
            // Each would flood the log exactly when it is needed: the first of each thousand is told.
            if before.is_multiple_of(1_000) {
                tracing::error!(provider = %self.name, "the network refuses our credential, topic or project");
            }
        }
        step
    }

    fn holds(&self) -> MutexGuard<'_, TargetHolds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N: Network> Driver for Courier<N> {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        match parcel {
            Parcel::Push(push) => Box::pin(self.carry(push, written)),
            Parcel::Code(_) => Box::pin(ready(DriverReport::wrong_parcel())),
        }
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            tokio::select! {
                () = self.pool.keep_open() => (),
                () = self.tokens.keep_fresh() => (),
            }
        })
    }

    fn close(&self) {
        self.pool.close();
    }

    fn snapshot(&self) -> DriverSnapshot {
        let counts = self.answers.iter().map(|count| count.load(Ordering::Relaxed));
        let (tokens_made, token_faults) = self.tokens.counts();
        DriverSnapshot {
            transport: self.pool.stats().snapshot(),
            answers: N::REASONS.iter().copied().zip(counts).collect(),
            tokens_made,
            token_faults,
            credential_faults: self.credential_faults.load(Ordering::Relaxed),
        }
    }
}

impl Journey<'_> {
    fn time_left(&self, now: Instant) -> Duration {
        self.expires_at.saturating_duration_since(now)
    }
}

fn connection_of(error: SendError) -> Option<ConnectionNumber> {
    match error {
        SendError::Unsent(_) => None,
        SendError::Unknown(Interruption::Cut { connection } | Interruption::TimedOut { connection }) => {
            Some(connection)
        }
    }
}
