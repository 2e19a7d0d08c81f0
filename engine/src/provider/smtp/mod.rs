//! E-mail: letters with codes, handed to one mail server over sessions that are kept.
//!
//! The library writes the letter and speaks SMTP; TCP, TLS and what is said before TLS are ours. Nothing is ever said in
//! clear but EHLO and STARTTLS. Blind copies, attachments, delivery reports and DKIM (the server's own business) are
//! deliberately not here.

mod credential;
mod request;
mod response;
mod session;
mod starttls;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tocsin_config::{ProviderLimits, SmtpProvider};
use tocsin_model::{CodeAddress, DeliveryReason, EmailAddress, ProviderName};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::error::{ProviderFault, ProviderSetupError};
use super::progress::{ANSWER_TIME_MIN, Progress, Step, Treatment};
use super::{Driver, DriverReport, DriverSnapshot};
use crate::clock::Clock;
use crate::protocol::{CodeMessage, Parcel};
use crate::transport::{
    Application, Dialler, SendError, Standing, TransportSnapshot, Turns, Unsent, client_config,
    latest_for_room, random_unit,
};
use request::{Letter, Template};
use response::{Fault, LATE, REASONS, Ruling, Stage, TAKEN, Trouble, rule};
use session::{Server, Session};

/// How long a session is kept for the next letter. Servers end quiet ones after five minutes (RFC 5321, 4.5.3.2).
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How often old ones are looked for, and how long taking leave may take.
const TENDED_EVERY: Duration = Duration::from_secs(10);
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);
/// How long a mailbox that is refused for now is left alone, the first time and the second.
const MAILBOX_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

/// A driver for one mail server under one user name.
pub struct SmtpDriver {
    name: Box<str>,
    server: Server,
    template: Template,
    limits: ProviderLimits,
    clock: Clock,
    room: Semaphore,
    kept: Mutex<Vec<Kept>>,
    standing: Mutex<Standing>,
    /// Of those who log in, so that a wrong password is sent once, and one that was changed there a few times.
    turns: Turns,
    closing: Notify,
    counts: Counts,
}

/// A session that waits for its next letter.
struct Kept {
    session: Session,
    since: Instant,
}

#[derive(Default)]
struct Counts {
    answers: Box<[AtomicU64]>,
    credential_faults: AtomicU64,
    sessions_made: AtomicU64,
    sessions_failed: AtomicU64,
    in_flight: AtomicU64,
    waiting: AtomicU64,
}

impl SmtpDriver {
    /// Reads the password and the file of authorities once. Connects to nothing yet.
    pub fn new(
        name: &ProviderName,
        provider: &SmtpProvider,
        limits: &ProviderLimits,
        clock: Clock,
    ) -> Result<Self, ProviderSetupError> {
        Self::set_up(name, provider, limits, clock).map_err(|fault| ProviderSetupError::new(name, fault))
    }

    fn set_up(
        name: &ProviderName,
        provider: &SmtpProvider,
        limits: &ProviderLimits,
        clock: Clock,
    ) -> Result<Self, ProviderFault> {
        let certificate_name = ServerName::try_from(provider.host.clone());
        let server = Server {
            dialler: Dialler::new(&provider.host, provider.port),
            tls: TlsConnector::from(client_config(provider.ca_file.as_deref(), Application::Mail)?),
            name: certificate_name.map_err(|_| ProviderFault::Id {
                key: "host",
                expected: "a host that a certificate can carry",
            })?,
            security: provider.security,
            hello: provider.hello.clone(),
            login: provider.login.as_ref().map(credential::read).transpose()?,
        };
        let template = Template::new(&provider.sender, provider.sender_name.as_deref())
            .ok_or(ProviderFault::Id { key: "sender", expected: "an address that letters can come from" })?;
        Ok(Self {
            name: name.as_str().into(),
            server,
            template,
            room: Semaphore::new(limits.connections_max),
            limits: limits.clone(),
            clock,
            kept: Mutex::default(),
            standing: Mutex::default(),
            turns: Turns::new(),
            closing: Notify::new(),
            counts: Counts {
                answers: REASONS.iter().map(|_| AtomicU64::new(0)).collect(),
                ..Counts::default()
            },
        })
    }

    async fn deliver(&self, parcel: &Parcel, written: &(dyn Fn() + Send + Sync)) -> DriverReport {
        let Parcel::Code(message) = parcel else { return DriverReport::wrong_parcel() };
        let CodeAddress::Email(to) = &message.address else { return DriverReport::wrong_parcel() };
        let expires_at = self.clock.instant_of(message.expires_at);
        let (mut progress, mut pauses) = (Progress::of_gateway(false), MAILBOX_PAUSES.into_iter());
        let mut tell = Some(written);
        // Ends: each repetition takes from a budget of `Progress`.
        loop {
            let step = self.try_once(message, to, expires_at, &mut progress, &mut pauses, &mut tell).await;
            match step {
                Step::Done(report) => return report,
                Step::Again(again) => sleep_until(self.clock.instant() + again.wait).await,
            }
        }
    }

    async fn try_once(
        &self,
        message: &CodeMessage,
        to: &EmailAddress,
        expires_at: Instant,
        progress: &mut Progress,
        pauses: &mut impl Iterator<Item = Duration>,
        tell: &mut Option<&(dyn Fn() + Send + Sync)>,
    ) -> Step {
        let now = self.clock.instant();
        if now + ANSWER_TIME_MIN > expires_at {
            return progress.ended(DeliveryReason::Late, None);
        }
        let Some(letter) = self.template.write(message, to, self.clock.now()) else {
            tracing::error!(provider = %self.name, transaction = %message.transaction_id, "a message cannot be made into a letter");
            return progress.ended(DeliveryReason::RequestRefused, None);
        };
        let deadline = expires_at.min(now + self.limits.request_timeout.to_std());
        let is_written = AtomicBool::new(false);
        let latest = latest_for_room(now, deadline);
        let ended = timeout_at(deadline, self.hand_over(&letter, latest, &is_written)).await;
        let has_written = is_written.load(Ordering::Acquire);
        if has_written && let Some(tell) = tell.take() {
            tell();
        }
        let time_left = expires_at.saturating_duration_since(self.clock.instant());
        match ended {
            Ok(Ok(())) => {
                self.count(TAKEN);
                progress.answered(Treatment::Relayed, time_left, Duration::ZERO, 0.0)
            }
            Ok(Err(Unhanded::Unsent(unsent))) => progress.unanswered(SendError::Unsent(unsent), time_left),
            Ok(Err(Unhanded::Held)) => self.credential_refused(progress),
            Ok(Err(Unhanded::Fault(fault))) => {
                let hold = pauses.next().unwrap_or_default();
                self.judge(message, fault, progress, time_left, hold)
            }
            Err(_elapsed) => {
                self.count(LATE);
                let unsent = SendError::Unsent(Unsent::Unavailable);
                if has_written { progress.unclear(time_left) } else { progress.unanswered(unsent, time_left) }
            }
        }
    }

    /// A session that is cut or given up is dropped here, and its connection closed with it.
    /// Others are waited for until `latest`.
    async fn hand_over(
        &self,
        letter: &Letter,
        latest: Instant,
        is_written: &AtomicBool,
    ) -> Result<(), Unhanded> {
        let _room = self.take_room(latest).await?;
        let _in_flight = Gauge::up(&self.counts.in_flight);
        let mut session = self.session(latest).await?;
        let handed = session.hand_over(letter, is_written).await;
        if handed.as_ref().map_or_else(|fault| fault.leaves_session(), |()| true) {
            self.keep(session);
        }
        handed.map_err(Unhanded::Fault)
    }

    async fn take_room(&self, latest: Instant) -> Result<SemaphorePermit<'_>, Unhanded> {
        let _waiting = Gauge::up(&self.counts.waiting);
        let room =
            timeout_at(latest, self.room.acquire()).await.map_err(|_| Unhanded::Unsent(Unsent::Busy))?;
        room.map_err(|_| Unhanded::Unsent(Unsent::Closed))
    }

    /// A kept session that is fit, or a new one.
    async fn session(&self, latest: Instant) -> Result<Session, Unhanded> {
        loop {
            let kept = self.kept().pop();
            let Some(Kept { mut session, .. }) = kept else { break };
            if session.is_fit().await {
                return Ok(session);
            }
        }
        let opened = self.open(latest).await;
        match &opened {
            Ok(_) => _ = self.counts.sessions_made.fetch_add(1, Ordering::Relaxed),
            Err(Unhanded::Fault(_)) => _ = self.counts.sessions_failed.fetch_add(1, Ordering::Relaxed),
            Err(Unhanded::Unsent(_) | Unhanded::Held) => {}
        }
        opened
    }

    async fn open(&self, latest: Instant) -> Result<Session, Unhanded> {
        let Some(login) = &self.server.login else {
            return self.in_time(Stage::Opening, self.server.open()).await.map_err(Unhanded::Fault);
        };
        self.may_log_in()?;
        let opened = self.in_time(Stage::Opening, self.server.open()).await;
        let mut session = opened.map_err(Unhanded::Fault)?;
        let turn = timeout_at(latest, self.turns.take(|| self.standing().is_proven())).await;
        let _turn = turn.map_err(|_| Unhanded::Unsent(Unsent::Busy))?;
        // Others may have been refused meanwhile.
        self.may_log_in()?;
        match self.in_time(Stage::Login, session.log_in(login)).await {
            Ok(()) => self.standing().taken(self.clock.instant()),
            Err(fault) => {
                if matches!(fault.trouble, Trouble::Reply(500..)) {
                    self.login_refused();
                }
                return Err(Unhanded::Fault(fault));
            }
        }
        Ok(session)
    }

    /// A part of the way to a session that waits for the server alone.
    async fn in_time<T>(
        &self,
        stage: Stage,
        part: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let late = Fault { stage, trouble: Trouble::Unreachable };
        timeout(self.limits.connect_timeout.to_std(), part).await.unwrap_or(Err(late))
    }

    fn may_log_in(&self) -> Result<(), Unhanded> {
        let may = self.standing().may_be_sent(self.clock.instant());
        if may { Ok(()) } else { Err(Unhanded::Held) }
    }

    fn login_refused(&self) {
        if let Some(pause) = self.standing().refused(self.clock.instant(), random_unit()) {
            tracing::error!(provider = %self.name, pause_s = pause.as_secs(), "the mail server refuses our user name and password; it is left in peace so that no account is locked");
        }
    }

    fn keep(&self, session: Session) {
        if !self.room.is_closed() {
            self.kept().push(Kept { session, since: self.clock.instant() });
        }
    }

    fn judge(
        &self,
        message: &CodeMessage,
        fault: Fault,
        progress: &mut Progress,
        time_left: Duration,
        hold: Duration,
    ) -> Step {
        let Ruling { reason, treatment } = rule(fault);
        self.count(reason);
        let (id, stage) = (message.transaction_id, fault.stage);
        tracing::debug!(provider = %self.name, transaction = %id, ?stage, reason, "the mail server did not take a letter");
        match treatment {
            Treatment::CredentialRefused => self.credential_refused(progress),
            _ => progress.answered(treatment, time_left, hold, random_unit()),
        }
    }

    /// Counts and tells what an operator must act on.
    fn credential_refused(&self, progress: &mut Progress) -> Step {
        let before = self.counts.credential_faults.fetch_add(1, Ordering::Relaxed);
        // Each would flood the log exactly when it is needed: the first of each thousand is told.
        if before.is_multiple_of(1_000) {
            tracing::error!(provider = %self.name, "the mail server refuses our login or sender, or has no TLS");
        }
        progress.answered(Treatment::CredentialRefused, Duration::ZERO, Duration::ZERO, 0.0)
    }

    fn count(&self, reason: &str) {
        let counts = REASONS.iter().position(|known| *known == reason);
        if let Some(count) = counts.and_then(|at| self.counts.answers.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends sessions that nobody has used for a while, until the driver is closed.
    async fn tend(&self) {
        while !self.room.is_closed() {
            tokio::select! {
                () = self.closing.notified() => (),
                () = tokio::time::sleep(TENDED_EVERY) => (),
            }
            let now = self.clock.instant();
            let is_old = |kept: &mut Kept| now.saturating_duration_since(kept.since) >= KEPT_FOR;
            let old: Vec<Kept> = self.kept().extract_if(.., is_old).collect();
            for kept in old {
                let _left_or_not = timeout(LEAVE_PATIENCE, kept.session.end()).await;
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a letter was not handed over.
enum Unhanded {
    /// The server certainly did not see it.
    Unsent(Unsent),
    /// It was not asked, because it has refused our login.
    Held,
    /// The dialogue failed.
    Fault(Fault),
}

/// Counts something as long as it lasts.
struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    fn up(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Driver for SmtpDriver {
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        Box::pin(self.deliver(parcel, written))
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.tend())
    }

    fn close(&self) {
        self.room.close();
        self.closing.notify_one();
        self.kept().clear();
    }

    fn snapshot(&self) -> DriverSnapshot {
        let counts = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let transport = TransportSnapshot {
            connections_open: read(&counts.in_flight) + self.kept().len() as u64,
            streams_in_flight: read(&counts.in_flight),
            stream_limit: self.limits.connections_max as u64,
            queue_length: read(&counts.waiting),
            connects_ok: read(&counts.sessions_made),
            connects_failed: read(&counts.sessions_failed),
            ..TransportSnapshot::default()
        };
        DriverSnapshot {
            transport,
            answers: REASONS.iter().copied().zip(counts.answers.iter().map(read)).collect(),
            tokens_made: 0,
            token_faults: 0,
            credential_faults: read(&counts.credential_faults),
        }
    }
}
