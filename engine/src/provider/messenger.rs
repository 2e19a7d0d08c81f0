//! One message with a code from its start to its end, the same for every SMS gateway.
//!
//! What differs is behind [`Gateway`]: how a request looks and what an answer means. What to do next is [`Progress`];
//! this file only performs it. A message whose outcome is unknown is not sent again unless the configuration asks for
//! it: the user would read it twice, and it would be paid for twice. Neither number nor text is in any log.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tocsin_config::ProviderLimits;
use tocsin_model::{CodeAddress, DeliveryReason, PhoneNumber, ProviderName, UnixMs};
use tokio::time::{Instant, sleep_until};

use super::progress::{ANSWER_TIME_MIN, Progress, Step, Treatment};
use super::{Driver, DriverReport, DriverSnapshot, GatewayReport, ReportCall, ReportFault};
use crate::clock::Clock;
use crate::protocol::{CodeMessage, Parcel};
use crate::transport::{HttpAnswer, HttpClient, HttpFault, HttpLimits, SendError, random_unit};

/// Most of an answer that is read; what rules look for stands at its beginning.
const ANSWER_BYTES_MAX: usize = 16 * 1_024;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Its word in [`Gateway::REASONS`].
    pub(super) reason: &'static str,
    /// What it asks for.
    pub(super) treatment: Treatment,
}

/// What tells one gateway from another.
pub(super) trait Gateway: Send + Sync + 'static {
    /// Every reason it may answer with: the label values of a metric. The first is that of a message that was taken.
    const REASONS: &'static [&'static str];

    /// The request, or `None` when there can be none. `time_left` is what the message has.
    fn prepare(&self, message: &CodeMessage, to: &PhoneNumber, time_left: Duration)
    -> Option<Request<Bytes>>;

    /// What an answer means.
    fn rule(&self, answer: &HttpAnswer, now: UnixMs) -> Ruling;

    /// What it reports of a message that it took, if it is signed as the gateway signs.
    fn read_report(&self, _: &ReportCall<'_>) -> Result<GatewayReport, ReportFault> {
        Err(ReportFault::NotHere)
    }
}

/// Delivers messages to one gateway.
pub(super) struct Messenger<G: Gateway> {
    name: Box<str>,
    gateway: G,
    client: HttpClient,
    resends_unknown: bool,
    paused_until: Mutex<Option<Instant>>,
    answers: Box<[AtomicU64]>,
    credential_faults: AtomicU64,
    request_timeout: Duration,
    clock: Clock,
}

/// The bounds of a gateway's client.
pub(super) fn http_limits(limits: &ProviderLimits) -> HttpLimits {
    HttpLimits {
        connections_max: limits.connections_max,
        connect_timeout: limits.connect_timeout.to_std(),
        answer_bytes_max: ANSWER_BYTES_MAX,
    }
}

impl<G: Gateway> Messenger<G> {
    pub(super) fn new(
        name: &ProviderName,
        gateway: G,
        client: HttpClient,
        resends_unknown: bool,
        limits: &ProviderLimits,
        clock: Clock,
    ) -> Self {
        Self {
            name: name.as_str().into(),
            gateway,
            client,
            resends_unknown,
            paused_until: Mutex::default(),
            answers: G::REASONS.iter().map(|_| AtomicU64::new(0)).collect(),
            credential_faults: AtomicU64::new(0),
            request_timeout: limits.request_timeout.to_std(),
            clock,
        }
    }

    async fn carry(&self, parcel: &Parcel, written: &(dyn Fn() + Send + Sync)) -> DriverReport {
        let Parcel::Code(message) = parcel else { return DriverReport::wrong_parcel() };
        let CodeAddress::Phone(number) = &message.address else { return DriverReport::wrong_parcel() };
        let is_written = AtomicBool::new(false);
        let written_once = || {
            if !is_written.swap(true, Ordering::Relaxed) {
                written();
            }
        };
        let expires_at = self.clock.instant_of(message.expires_at);
        let mut progress = Progress::of_gateway(self.resends_unknown);
        // Ends: each repetition takes from a budget of `Progress`.
        loop {
            match self.try_once(message, number, expires_at, &mut progress, &written_once).await {
                Step::Done(report) => return report,
                Step::Again(again) => sleep_until(self.clock.instant() + again.wait).await,
            }
        }
    }

    async fn try_once(
        &self,
        message: &CodeMessage,
        number: &PhoneNumber,
        expires_at: Instant,
        progress: &mut Progress,
        written: &(dyn Fn() + Send + Sync),
    ) -> Step {
        if let Err(reason) = self.wait_for_turn(expires_at).await {
            return progress.ended(reason, None);
        }
        let now = self.clock.instant();
        let time_left = expires_at.saturating_duration_since(now);
        let Some(request) = self.gateway.prepare(message, number, time_left) else {
            tracing::error!(provider = %self.name, transaction = %message.transaction_id, "a message cannot be made into a request");
            return progress.ended(DeliveryReason::RequestRefused, None);
        };
        let deadline = expires_at.min(now + self.request_timeout);
        let answered = self.client.send(request, deadline, written).await;
        let time_left = expires_at.saturating_duration_since(self.clock.instant());
        match answered {
            Ok(answer) => self.judge(message, &answer, progress, time_left),
            Err(HttpFault::Unsent(unsent)) => progress.unanswered(SendError::Unsent(unsent), time_left),
            Err(HttpFault::Cut | HttpFault::TimedOut) => progress.unclear(time_left),
        }
    }

    /// Waits while the gateway wants nothing, unless the message would be worthless then.
    async fn wait_for_turn(&self, expires_at: Instant) -> Result<(), DeliveryReason> {
        let now = self.clock.instant();
        let latest = expires_at.checked_sub(ANSWER_TIME_MIN).filter(|latest| *latest >= now);
        let latest = latest.ok_or(DeliveryReason::Late)?;
        let paused_until = *self.paused_until();
        match paused_until {
            Some(until) if until > latest => Err(DeliveryReason::Throttled),
            Some(until) if until > now => {
                sleep_until(until).await;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn judge(
        &self,
        message: &CodeMessage,
        answer: &HttpAnswer,
        progress: &mut Progress,
        time_left: Duration,
    ) -> Step {
        let Ruling { reason, treatment } = self.gateway.rule(answer, self.clock.now());
        let counts = G::REASONS.iter().position(|known| *known == reason).and_then(|at| self.answers.get(at));
        if let Some(count) = counts {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Treatment::ProviderThrottled { after } = treatment {
            let until = self.clock.instant() + after;
            let mut paused_until = self.paused_until();
            *paused_until = paused_until.map_or(Some(until), |earlier| Some(earlier.max(until)));
        }
        if treatment != Treatment::Relayed {
            let (id, status) = (message.transaction_id, answer.status.as_u16());
            tracing::debug!(provider = %self.name, transaction = %id, status, reason, "the gateway did not take a message");
        }
        let step = progress.answered(treatment, time_left, Duration::ZERO, random_unit());
        if treatment == Treatment::CredentialRefused {
            let before = self.credential_faults.fetch_add(1, Ordering::Relaxed);
            // Each would flood the log exactly when it is needed: the first of each thousand is told.
            if before.is_multiple_of(1_000) {
                tracing::error!(provider = %self.name, reason, "the gateway refuses our credential, sender or account");
            }
        }
        step
    }

    fn paused_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<G: Gateway> Driver for Messenger<G> {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        Box::pin(self.carry(parcel, written))
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.client.tend())
    }

    fn close(&self) {
        self.client.close();
    }

    fn read_report(&self, call: &ReportCall<'_>) -> Result<GatewayReport, ReportFault> {
        self.gateway.read_report(call)
    }

    fn snapshot(&self) -> DriverSnapshot {
        let counts = self.answers.iter().map(|count| count.load(Ordering::Relaxed));
        DriverSnapshot {
            transport: self.client.snapshot(),
            answers: G::REASONS.iter().copied().zip(counts).collect(),
            tokens_made: 0,
            token_faults: 0,
            credential_faults: self.credential_faults.load(Ordering::Relaxed),
        }
    }
}
