//! Every metric of the engine, named in one file. Names are an interface: `docs/metrics.md` lists them.
//!
//! Label values come from closed lists or from the configuration, so that their number is bounded.

use std::time::Duration;

use prometheus::{
    CounterVec, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use tocsin_config::{CountryPrefix, SmsRules};
use tocsin_model::{
    CallbackFault, DurationMs, ErrorCode, FailureReason, Fallback, Method, ProviderName, State, Transaction,
    TypeName,
};
use tocsin_storage::{CommitReport, RowsKept, StoreObserver};

use crate::message::LocationFault;
use crate::protocol::DeliveryOutcome;
use crate::provider::DriverSnapshot;
use crate::sms_gate::SmsBound;
use crate::transport::TunnelEnd;

/// The names, as Prometheus sees them.
pub mod names {
    /// Transactions stored, by `type` and `method`.
    pub const TRANSACTIONS_STARTED: &str = "tocsin_transactions_started_total";
    /// Transactions that reached their final state, by `type`, `method` and `state`.
    pub const TRANSACTIONS_ENDED: &str = "tocsin_transactions_ended_total";
    /// Starts that were refused, by error `code`.
    pub const STARTS_REFUSED: &str = "tocsin_starts_refused_total";
    /// Starts that something kept from wearing their user out, by `measure`: see [`super::Measure`].
    pub const FATIGUE: &str = "tocsin_fatigue_total";
    /// Closing pushes that were left out because there was too much to do.
    pub const CLOSINGS_SHED: &str = "tocsin_closing_pushes_shed_total";
    /// Open transactions.
    pub const TRANSACTIONS_IN_FLIGHT: &str = "tocsin_transactions_in_flight";
    /// Those of them that were open when the process began and have had no actor since.
    pub const TRANSACTIONS_DORMANT: &str = "tocsin_transactions_dormant";
    /// Answers of phones, by `result` (`taken` or an error code).
    pub const ANSWERS: &str = "tocsin_answers_total";
    /// Codes that portals brought, by `method` and `result` (`right` or `wrong`).
    pub const CODE_TRIES: &str = "tocsin_code_tries_total";
    /// Codes that left by SMS, by the `prefix` of their number.
    pub const SMS_SENT: &str = "tocsin_sms_sent_total";
    /// Transactions whose code was sent by SMS and came back right, by the `prefix` of the number.
    pub const SMS_VERIFIED: &str = "tocsin_sms_verified_total";
    /// Codes by SMS that a bound kept from leaving, by `prefix` and `bound` (`number`, `prefix`, `client`).
    pub const SMS_REFUSED: &str = "tocsin_sms_refused_total";
    /// Reports of gateways, by `provider` and `result` (`underway`, `delivered`, `failed`, `refused`).
    pub const GATEWAY_REPORTS: &str = "tocsin_gateway_reports_total";
    /// Fallbacks that transactions took, by `type`, the methods `from` and `to`, and the `reason`.
    pub const FALLBACKS: &str = "tocsin_fallbacks_total";
    /// Claims of one-time passwords, by `result` (`claimed`, `repeated` or an error code).
    pub const OTP_CLAIMS: &str = "tocsin_otp_claims_total";
    /// Phones that enrolled or were refused, by `result` (`enrolled` or an error code).
    pub const ENROLMENTS: &str = "tocsin_enrolments_total";
    /// Whether an activation code alone takes a user of this `app` over (1) or not (0).
    pub const TAKEOVER_RISK: &str = "tocsin_app_takeover_risk";
    /// Calls that wait for a change.
    pub const WAITERS: &str = "tocsin_waiters";
    /// Pushes that ended, by `provider`, `outcome` (`relayed`, `failed`, `unknown`) and `reason`.
    pub const PUSHES: &str = "tocsin_pushes_total";
    /// Pushes in the hands of a provider.
    pub const PUSHES_IN_FLIGHT: &str = "tocsin_provider_pushes_in_flight";
    /// Transactions that a provider supervises.
    pub const SUPERVISED: &str = "tocsin_provider_supervised_transactions";
    /// Whether a provider's breaker is open (1) or not (0).
    pub const BREAKER_OPEN: &str = "tocsin_provider_breaker_open";
    /// HTTP/2 connections of a provider.
    pub const PROVIDER_CONNECTIONS: &str = "tocsin_provider_connections";
    /// HTTP/2 streams in flight of a provider.
    pub const PROVIDER_STREAMS: &str = "tocsin_provider_streams_in_flight";
    /// Streams that the provider's peers allow at the moment, all connections together.
    pub const PROVIDER_STREAMS_MAX: &str = "tocsin_provider_streams_allowed";
    /// Pushes that wait for a stream.
    pub const PROVIDER_QUEUE: &str = "tocsin_provider_queue_depth";
    /// Connections that a provider made or could not make, by `result` (`ok`, `failed`).
    pub const PROVIDER_CONNECTS: &str = "tocsin_provider_connects_total";
    /// Connections of a provider that ended by the peer's GOAWAY or for want of a PING's answer, by `cause`.
    pub const PROVIDER_CONNECTIONS_LOST: &str = "tocsin_provider_connections_lost_total";
    /// Pushes sent again because the peer certainly had not processed them.
    pub const PROVIDER_RESENT: &str = "tocsin_provider_resent_total";
    /// Answers of a provider's network, by its own `reason`.
    pub const PROVIDER_ANSWERS: &str = "tocsin_provider_answers_total";
    /// Provider tokens, by `result` (`made`, `failed`).
    pub const PROVIDER_TOKENS: &str = "tocsin_provider_tokens_total";
    /// Answers that an operator must act on: a refused credential, topic or project.
    pub const PROVIDER_CREDENTIAL_FAULTS: &str = "tocsin_provider_credential_faults_total";
    /// Attempts to get a tunnel from a proxy, by `proxy` (its host and port) and `result` (`made` or why not).
    pub const PROXY_TUNNELS: &str = "tocsin_proxy_tunnels_total";
    /// Callbacks that are owed.
    pub const CALLBACKS_OWED: &str = "tocsin_callbacks_owed";
    /// Callbacks that are tried no more without a delivery.
    pub const CALLBACKS_DEAD: &str = "tocsin_callbacks_dead";
    /// Callbacks that have died since the start of the process.
    pub const CALLBACKS_DIED: &str = "tocsin_callbacks_died_total";
    /// For how long the oldest callback is owed, in seconds.
    pub const CALLBACK_OLDEST: &str = "tocsin_callback_oldest_owed_seconds";
    /// Tries to deliver a callback, by `result` (`delivered` or the class of the fault).
    pub const CALLBACK_TRIES: &str = "tocsin_callback_tries_total";
    /// Tries in flight.
    pub const CALLBACK_TRIES_IN_FLIGHT: &str = "tocsin_callback_tries_in_flight";
    /// Handlers that panicked, by `actor`.
    pub const ACTOR_FAULTS: &str = "tocsin_actor_faults_total";
    /// Verbs in one group commit.
    pub const COMMIT_VERBS: &str = "tocsin_store_commit_verbs";
    /// Time of one group commit with its sync, in seconds.
    pub const COMMIT_SECONDS: &str = "tocsin_store_commit_seconds";
    /// Longest wait of a verb for its commit, in seconds.
    pub const COMMIT_QUEUE_SECONDS: &str = "tocsin_store_queue_seconds";
    /// Verbs waiting for the writer.
    pub const COMMIT_QUEUE: &str = "tocsin_store_queue_depth";
    /// Verbs refused because the queue was full.
    pub const COMMITS_REFUSED: &str = "tocsin_store_refused_total";
    /// How arbiters spend their time, in seconds, by `arbiter` and `state`.
    pub const ARBITER_SECONDS: &str = "tocsin_arbiter_seconds_total";
    /// Bytes of rows kept in memory.
    pub const ROWS_KEPT: &str = "tocsin_store_rows_kept_bytes";
    /// Looks for rows that are kept in memory, by `result`.
    pub const ROW_LOOKS: &str = "tocsin_store_row_looks_total";
    /// Signatures waiting for a thread.
    pub const SIGNATURE_QUEUE: &str = "tocsin_signature_queue_depth";
    /// Signatures refused because the queue was full.
    pub const SIGNATURES_REFUSED: &str = "tocsin_signature_refused_total";
    /// Time of each stage of a transaction, in seconds, by `stage`: see [`super::Stage`].
    pub const STAGE_SECONDS: &str = "tocsin_stage_seconds";
    /// Whether new work is taken (1) or not (0): what `/readyz` says.
    pub const READY: &str = "tocsin_ready";
    /// Rows that the audit trail has grown by.
    pub const AUDIT_ROWS: &str = "tocsin_audit_rows_total";
    /// New configurations, by `result` (`taken`, `refused`).
    pub const RELOADS: &str = "tocsin_reloads_total";
    /// Backups of the running server, by `result` (`made`, `failed`).
    pub const BACKUPS: &str = "tocsin_backups_total";
    /// Questions for the place of an address, by `source` and `result` (`found`, `cached` or the kind of failure).
    pub const LOCATIONS: &str = "tocsin_origin_locations_total";
    /// Origins that did not fit into their challenge.
    pub const ORIGINS_LEFT_OUT: &str = "tocsin_origins_left_out_total";
    /// Steps of the system clock over one second.
    pub const CLOCK_STEPS: &str = "tocsin_clock_steps_total";
}

/// What was done so that a user is not worn out by requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The start took the place of another.
    Superseded,
    /// It was refused because another one was pending.
    Rejected,
    /// It was refused because the last push had just left.
    Gap,
    /// The ladder had its number typed.
    NumberMatch,
    /// The ladder refused a push.
    OtherMethod,
    /// It was refused because its user is locked.
    Locked,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 6] =
        [Self::Superseded, Self::Rejected, Self::Gap, Self::NumberMatch, Self::OtherMethod, Self::Locked];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
            Self::Gap => "gap",
            Self::NumberMatch => "number_match",
            Self::OtherMethod => "other_method",
            Self::Locked => "locked",
        }
    }
}

/// A stage of a transaction, timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the portal's call to the stored transaction.
    Create,
    /// From the storage's queue to the end of the group commit, for the one that waited longest.
    Commit,
    /// From the provider's mailbox to the wire: waiting for a token, a connection, a stream.
    Queue,
    /// From the wire to the push network's answer.
    Provider,
    /// From the phone's call to the stored outcome.
    Answer,
    /// From the stored change to the caller that waited for it.
    WakeUp,
}

impl Stage {
    /// Every stage, in the order of a transaction's life.
    pub const ALL: [Self; 6] =
        [Self::Create, Self::Commit, Self::Queue, Self::Provider, Self::Answer, Self::WakeUp];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Commit => "commit",
            Self::Queue => "queue",
            Self::Provider => "provider",
            Self::Answer => "answer",
            Self::WakeUp => "wake_up",
        }
    }
}

/// The metrics of one engine.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    transactions_started: IntCounterVec,
    transactions_ended: IntCounterVec,
    starts_refused: IntCounterVec,
    fatigue: IntCounterVec,
    closings_shed: IntCounter,
    answers: IntCounterVec,
    code_tries: IntCounterVec,
    sms_sent: IntCounterVec,
    sms_verified: IntCounterVec,
    sms_refused: IntCounterVec,
    gateway_reports: IntCounterVec,
    fallbacks: IntCounterVec,
    otp_claims: IntCounterVec,
    pushes: IntCounterVec,
    actor_faults: IntCounterVec,
    callbacks_owed: IntGauge,
    callbacks_dead: IntGauge,
    callbacks_died: IntCounter,
    callback_oldest: IntGauge,
    callback_tries: IntCounterVec,
    /// Tries to deliver a callback in flight.
    pub callback_tries_in_flight: IntGauge,
    commit_verbs: Histogram,
    commit_seconds: Histogram,
    commit_queue_seconds: Histogram,
    commits_refused: IntCounter,
    /// One for each of [`Stage::ALL`], looked up once.
    stages: [Histogram; Stage::ALL.len()],
    /// Whether new work is taken.
    pub ready: IntGauge,
    /// Open transactions.
    pub transactions_in_flight: IntGauge,
    /// Those of them that were open when the process began and have had no actor since.
    pub transactions_dormant: IntGauge,
    /// Calls that wait for a change.
    pub waiters: IntGauge,
    /// Pushes in the hands of each provider.
    pub pushes_in_flight: IntGaugeVec,
    /// Transactions that each provider supervises.
    pub supervised: IntGaugeVec,
    /// Whether each provider's breaker is open.
    pub breaker_open: IntGaugeVec,
    /// Connections of each provider.
    pub provider_connections: IntGaugeVec,
    /// Streams in flight of each provider.
    pub provider_streams: IntGaugeVec,
    /// Streams allowed by each provider's peers.
    pub provider_streams_max: IntGaugeVec,
    /// Pushes that wait for a stream of each provider.
    pub provider_queue: IntGaugeVec,
    provider_connects: IntCounterVec,
    provider_connections_lost: IntCounterVec,
    provider_resent: IntCounterVec,
    provider_answers: IntCounterVec,
    provider_tokens: IntCounterVec,
    provider_credential_faults: IntCounterVec,
    proxy_tunnels: IntCounterVec,
    /// Verbs waiting for the writer.
    pub commit_queue: IntGauge,
    arbiter_seconds: CounterVec,
    rows_kept: IntGauge,
    row_looks: IntCounterVec,
    /// Signatures waiting for a thread.
    pub signature_queue: IntGauge,
    /// Signatures refused.
    pub signatures_refused: IntCounter,
    /// Steps of the system clock.
    pub clock_steps: IntCounter,
    locations: IntCounterVec,
    /// Origins that did not fit into their challenge.
    pub origins_left_out: IntCounter,
    audit_rows: IntCounter,
    reloads: IntCounterVec,
    backups: IntCounterVec,
    /// [`names::ENROLMENTS`].
    pub enrolments: IntCounterVec,
    /// [`names::TAKEOVER_RISK`].
    pub takeover_risk: IntGaugeVec,
}

/// Registers metrics under names that are constants of this file, so it can only fail by a fault in this file.
struct Registrar(Registry);

impl Registrar {
    fn keep<C: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("metric names and labels are well-formed constants of this file");
        self.0.register(Box::new(metric.clone())).expect("metric names in this file are unique");
        metric
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    fn provider_gauge(&self, name: &str, help: &str) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), &["provider"]))
    }

    fn stages(&self, buckets: prometheus::Result<Vec<f64>>) -> [Histogram; Stage::ALL.len()] {
        let buckets = buckets.expect("bucket bounds are well-formed constants of this file");
        let options = HistogramOpts::new(names::STAGE_SECONDS, "Time of each stage of a transaction.");
        let stages = self.keep(HistogramVec::new(options.buckets(buckets), &["stage"]));
        Stage::ALL.map(|stage| stages.with_label_values(&[stage.as_str()]))
    }

    fn histogram(&self, name: &str, help: &str, buckets: prometheus::Result<Vec<f64>>) -> Histogram {
        let buckets = buckets.expect("bucket bounds are well-formed constants of this file");
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh metrics with a registry of their own.
    pub fn new() -> Self {
        let registrar = Registrar(Registry::new());
        let seconds = || prometheus::exponential_buckets(0.000_1, 2.0, 16);
        Self {
            transactions_started: registrar.counters(
                names::TRANSACTIONS_STARTED,
                "Transactions stored.",
                &["type", "method"],
            ),
            transactions_ended: registrar.counters(
                names::TRANSACTIONS_ENDED,
                "Transactions that reached their final state.",
                &["type", "method", "state"],
            ),
            fatigue: registrar.counters(
                names::FATIGUE,
                "Starts that something kept from wearing their user out.",
                &["measure"],
            ),
            closings_shed: registrar.counter(names::CLOSINGS_SHED, "Closing pushes that were left out."),
            starts_refused: registrar.counters(names::STARTS_REFUSED, "Starts that were refused.", &["code"]),
            answers: registrar.counters(names::ANSWERS, "Answers of phones.", &["result"]),
            code_tries: registrar.counters(
                names::CODE_TRIES,
                "Codes that portals brought.",
                &["method", "result"],
            ),
            sms_sent: registrar.counters(names::SMS_SENT, "Codes that left by SMS.", &["prefix"]),
            sms_verified: registrar.counters(
                names::SMS_VERIFIED,
                "Transactions whose code was sent by SMS and came back right.",
                &["prefix"],
            ),
            sms_refused: registrar.counters(
                names::SMS_REFUSED,
                "Codes by SMS that a bound kept from leaving.",
                &["prefix", "bound"],
            ),
            gateway_reports: registrar.counters(
                names::GATEWAY_REPORTS,
                "Reports of gateways.",
                &["provider", "result"],
            ),
            fallbacks: registrar.counters(
                names::FALLBACKS,
                "Fallbacks that transactions took.",
                &["type", "from", "to", "reason"],
            ),
            otp_claims: registrar.counters(names::OTP_CLAIMS, "Claims of one-time passwords.", &["result"]),
            pushes: registrar.counters(
                names::PUSHES,
                "Pushes that ended.",
                &["provider", "outcome", "reason"],
            ),
            actor_faults: registrar.counters(names::ACTOR_FAULTS, "Handlers that panicked.", &["actor"]),
            callbacks_owed: registrar.gauge(names::CALLBACKS_OWED, "Callbacks that are owed."),
            callbacks_dead: registrar
                .gauge(names::CALLBACKS_DEAD, "Callbacks that are tried no more without a delivery."),
            callbacks_died: registrar
                .counter(names::CALLBACKS_DIED, "Callbacks that have died since the start of the process."),
            callback_oldest: registrar
                .gauge(names::CALLBACK_OLDEST, "For how long the oldest callback is owed."),
            callback_tries: registrar.counters(
                names::CALLBACK_TRIES,
                "Tries to deliver a callback that ended.",
                &["result"],
            ),
            callback_tries_in_flight: registrar
                .gauge(names::CALLBACK_TRIES_IN_FLIGHT, "Tries to deliver a callback in flight."),
            commit_verbs: registrar.histogram(
                names::COMMIT_VERBS,
                "Verbs in one group commit.",
                prometheus::exponential_buckets(1.0, 2.0, 14),
            ),
            commit_seconds: registrar.histogram(
                names::COMMIT_SECONDS,
                "Time of one group commit with its sync.",
                seconds(),
            ),
            commit_queue_seconds: registrar.histogram(
                names::COMMIT_QUEUE_SECONDS,
                "Longest wait of a verb for its commit.",
                seconds(),
            ),
            commits_refused: registrar
                .counter(names::COMMITS_REFUSED, "Verbs refused because the commit queue was full."),
            stages: registrar.stages(seconds()),
            ready: registrar.gauge(names::READY, "Whether new work is taken (1) or not (0)."),
            transactions_in_flight: registrar.gauge(names::TRANSACTIONS_IN_FLIGHT, "Open transactions."),
            transactions_dormant: registrar.gauge(
                names::TRANSACTIONS_DORMANT,
                "Open transactions of the time before the start that have had no actor since.",
            ),
            waiters: registrar.gauge(names::WAITERS, "Calls that wait for a change."),
            pushes_in_flight: registrar
                .provider_gauge(names::PUSHES_IN_FLIGHT, "Pushes in the hands of a provider."),
            supervised: registrar
                .provider_gauge(names::SUPERVISED, "Transactions that a provider supervises."),
            breaker_open: registrar
                .provider_gauge(names::BREAKER_OPEN, "Whether a provider's breaker is open (1) or not (0)."),
            provider_connections: registrar
                .provider_gauge(names::PROVIDER_CONNECTIONS, "HTTP/2 connections of a provider."),
            provider_streams: registrar
                .provider_gauge(names::PROVIDER_STREAMS, "HTTP/2 streams in flight of a provider."),
            provider_streams_max: registrar.provider_gauge(
                names::PROVIDER_STREAMS_MAX,
                "Streams that a provider's peers allow at the moment.",
            ),
            provider_queue: registrar
                .provider_gauge(names::PROVIDER_QUEUE, "Pushes that wait for a stream of a provider."),
            provider_connects: registrar.counters(
                names::PROVIDER_CONNECTS,
                "Connections that a provider made or could not make.",
                &["provider", "result"],
            ),
            provider_connections_lost: registrar.counters(
                names::PROVIDER_CONNECTIONS_LOST,
                "Connections that ended by GOAWAY or for want of a PING's answer.",
                &["provider", "cause"],
            ),
            provider_resent: registrar.counters(
                names::PROVIDER_RESENT,
                "Pushes sent again because the peer certainly had not processed them.",
                &["provider"],
            ),
            provider_answers: registrar.counters(
                names::PROVIDER_ANSWERS,
                "Answers of a provider's network by its own reason.",
                &["provider", "reason"],
            ),
            provider_tokens: registrar.counters(
                names::PROVIDER_TOKENS,
                "Provider tokens made, and tries that failed.",
                &["provider", "result"],
            ),
            proxy_tunnels: registrar.counters(
                names::PROXY_TUNNELS,
                "Attempts to get a tunnel from a proxy.",
                &["proxy", "result"],
            ),
            provider_credential_faults: registrar.counters(
                names::PROVIDER_CREDENTIAL_FAULTS,
                "Answers that an operator must act on: a refused credential, topic or project.",
                &["provider"],
            ),
            commit_queue: registrar.gauge(names::COMMIT_QUEUE, "Verbs waiting for the writer."),
            arbiter_seconds: registrar.keep(CounterVec::new(
                Opts::new(names::ARBITER_SECONDS, "How arbiters spend their time."),
                &["arbiter", "state"],
            )),
            rows_kept: registrar
                .gauge(names::ROWS_KEPT, "What rows of users and phones take that are kept in memory."),
            row_looks: registrar.counters(
                names::ROW_LOOKS,
                "Looks for rows of users and phones, by where they were.",
                &["result"],
            ),
            signature_queue: registrar.gauge(names::SIGNATURE_QUEUE, "Signatures waiting for a thread."),
            signatures_refused: registrar
                .counter(names::SIGNATURES_REFUSED, "Signatures refused because the queue was full."),
            enrolments: registrar.counters(
                names::ENROLMENTS,
                "Phones that enrolled or were refused.",
                &["result"],
            ),
            takeover_risk: registrar.keep(IntGaugeVec::new(
                Opts::new(names::TAKEOVER_RISK, "Whether an activation code alone takes a user over."),
                &["app"],
            )),
            clock_steps: registrar.counter(names::CLOCK_STEPS, "Steps of the system clock over one second."),
            locations: registrar.counters(
                names::LOCATIONS,
                "Questions for the place of an address.",
                &["source", "result"],
            ),
            origins_left_out: registrar
                .counter(names::ORIGINS_LEFT_OUT, "Origins that did not fit into their challenge."),
            audit_rows: registrar.counter(names::AUDIT_ROWS, "Rows that the audit trail has grown by."),
            reloads: registrar.counters(names::RELOADS, "New configurations.", &["result"]),
            backups: registrar.counters(names::BACKUPS, "Backups of the running server.", &["result"]),
            registry: registrar.0,
        }
    }

    /// The registry, for further metrics of the doors.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub fn to_text(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        match encoded {
            Ok(()) => String::from_utf8(text).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "metrics cannot be encoded");
                String::new()
            }
        }
    }

    /// Notes how long a stage took.
    pub fn observe(&self, stage: Stage, took: Duration) {
        self.stages[stage as usize].observe(took.as_secs_f64());
    }

    /// Shows what may be counted as zero before its first event: a counter that begins at one hides that event from
    /// every rate. `types` are the configured ones with their methods.
    pub fn show_zeros<'a>(&self, types: impl Iterator<Item = (&'a TypeName, Method)>) {
        for (type_name, method) in types {
            self.transactions_started.with_label_values(&[type_name.as_str(), method.as_str()]);
            for state in ENDS {
                let labels = [type_name.as_str(), method.as_str(), state.as_str()];
                self.transactions_ended.with_label_values(&labels);
            }
        }
        for method in Method::ALL.into_iter().filter(|method| method.sends_code()) {
            for result in ["right", "wrong"] {
                self.code_tries.with_label_values(&[method.as_str(), result]);
            }
        }
        for code in STARTS_REFUSED_WITH {
            self.starts_refused.with_label_values(&[code.as_str()]);
        }
        for measure in Measure::ALL {
            self.fatigue.with_label_values(&[measure.as_str()]);
        }
        self.answers.with_label_values(&["taken"]);
        for code in ANSWERS_REFUSED_WITH {
            self.answers.with_label_values(&[code.as_str()]);
        }
        for result in [CLAIMED, ErrorCode::NotFound.as_str(), ErrorCode::OtpUsed.as_str()] {
            self.otp_claims.with_label_values(&[result]);
        }
        for result in RELOAD_RESULTS {
            self.reloads.with_label_values(&[result]);
        }
        for result in BACKUP_RESULTS {
            self.backups.with_label_values(&[result]);
        }
        let faults = CallbackFault::ALL.iter().map(|fault| fault.as_str());
        for result in faults.chain(["delivered"]) {
            self.callback_tries.with_label_values(&[result]);
        }
        for actor in ["transaction", "provider", "driver", "callback", "callback_try"] {
            self.actor_faults.with_label_values(&[actor]);
        }
    }

    /// Counts a question for a place.
    pub(crate) fn located(&self, source: &str, result: &str) {
        self.locations.with_label_values(&[source, result]).inc();
    }

    /// Shows every result of this source of places as zero.
    pub(crate) fn show_locations(&self, source: &str) {
        for result in LocationFault::ALL.map(LocationFault::as_str).into_iter().chain(["found", "cached"]) {
            self.locations.with_label_values(&[source, result]);
        }
    }

    /// Counts a stored transaction, and the fallback that it began with.
    pub fn started(&self, transaction: &Transaction) {
        self.transactions_started
            .with_label_values(&[transaction.type_name.as_str(), transaction.method.as_str()])
            .inc();
        self.fell_back(transaction);
    }

    /// Counts the last fallback that a transaction took, if it took one.
    pub fn fell_back(&self, transaction: &Transaction) {
        let Some(Fallback { from, to, reason, at: _ }) = transaction.fallback() else { return };
        let labels = [transaction.type_name.as_str(), from.as_str(), to.as_str(), reason.as_str()];
        self.fallbacks.with_label_values(&labels).inc();
    }

    /// Counts a code that a portal brought.
    pub fn code_tried(&self, method: Method, is_right: bool) {
        let result = if is_right { "right" } else { "wrong" };
        self.code_tries.with_label_values(&[method.as_str(), result]).inc();
    }

    /// Shows the counters of every prefix that codes may go to as zero.
    pub(crate) fn show_prefixes(&self, rules: &SmsRules) {
        for prefix in &rules.country_prefixes {
            self.sms_sent.with_label_values(&[prefix.as_str()]);
            self.sms_verified.with_label_values(&[prefix.as_str()]);
            for bound in SmsBound::ALL {
                self.sms_refused.with_label_values(&[prefix.as_str(), bound.as_str()]);
            }
        }
    }

    /// Counts a code that left by SMS, or may have.
    pub(crate) fn sms_sent(&self, prefix: &CountryPrefix) {
        self.sms_sent.with_label_values(&[prefix.as_str()]).inc();
    }

    /// Counts a transaction whose code was sent by SMS and came back right.
    pub(crate) fn sms_verified(&self, prefix: &CountryPrefix) {
        self.sms_verified.with_label_values(&[prefix.as_str()]).inc();
    }

    /// Counts a code by SMS that a bound kept from leaving.
    pub(crate) fn sms_refused(&self, prefix: &CountryPrefix, bound: SmsBound) {
        self.sms_refused.with_label_values(&[prefix.as_str(), bound.as_str()]).inc();
    }

    /// Counts a report of a gateway.
    pub(crate) fn gateway_reported(&self, provider: &ProviderName, result: &str) {
        self.gateway_reports.with_label_values(&[provider.as_str(), result]).inc();
    }

    /// Counts a final state.
    pub fn ended(&self, transaction: &Transaction) {
        let labels =
            [transaction.type_name.as_str(), transaction.method.as_str(), transaction.state.as_str()];
        self.transactions_ended.with_label_values(&labels).inc();
    }

    /// Something kept a user from being worn out.
    pub fn fatigue(&self, measure: Measure) {
        self.fatigue.with_label_values(&[measure.as_str()]).inc();
    }

    /// Closing pushes were left out.
    pub fn closings_shed(&self, count: usize) {
        self.closings_shed.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts a start that was refused.
    pub fn start_refused(&self, code: ErrorCode) {
        self.starts_refused.with_label_values(&[code.as_str()]).inc();
    }

    /// Counts an answer of a phone: taken, or refused with this code.
    pub fn answered(&self, refused: Option<ErrorCode>) {
        self.answers.with_label_values(&[refused.map_or("taken", ErrorCode::as_str)]).inc();
    }

    /// Counts a claim of a one-time password, or what it was refused with.
    pub fn otp_claimed(&self, claimed: Result<OtpClaim, ErrorCode>) {
        let result = match claimed {
            Ok(OtpClaim::Claimed) => CLAIMED,
            Ok(OtpClaim::Repeated) => "repeated",
            Err(code) => code.as_str(),
        };
        self.otp_claims.with_label_values(&[result]).inc();
    }

    /// Counts a phone that enrolled, or was refused with this code.
    pub fn enrolled(&self, refused: Option<ErrorCode>) {
        self.enrolments.with_label_values(&[refused.map_or("enrolled", ErrorCode::as_str)]).inc();
    }

    /// Counts a push that ended.
    pub fn pushed(&self, provider: &ProviderName, outcome: DeliveryOutcome) {
        let (word, reason) = match outcome {
            DeliveryOutcome::Relayed => ("relayed", ""),
            DeliveryOutcome::Failed(reason) => ("failed", reason.as_str()),
            DeliveryOutcome::Unknown(reason) => ("unknown", reason.as_str()),
        };
        self.pushes.with_label_values(&[provider.as_str(), word, reason]).inc();
    }

    /// Shows what a driver has counted; called at each scrape, so that pushes pay nothing for it.
    pub fn show_driver(&self, provider: &ProviderName, counted: &DriverSnapshot) {
        let name = provider.as_str();
        let transport = &counted.transport;
        for (gauge, value) in [
            (&self.provider_connections, transport.connections_open),
            (&self.provider_streams, transport.streams_in_flight),
            (&self.provider_streams_max, transport.stream_limit),
            (&self.provider_queue, transport.queue_length),
        ] {
            gauge.with_label_values(&[name]).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        raise(&self.provider_connects, &[name, "ok"], transport.connects_ok);
        raise(&self.provider_connects, &[name, "failed"], transport.connects_failed);
        raise(&self.provider_connections_lost, &[name, "goaway"], transport.goaways);
        raise(&self.provider_connections_lost, &[name, "ping"], transport.pings_lost);
        raise(&self.provider_resent, &[name], transport.resent_unprocessed);
        for (reason, count) in &counted.answers {
            raise(&self.provider_answers, &[name, reason], *count);
        }
        raise(&self.provider_tokens, &[name, "made"], counted.tokens_made);
        raise(&self.provider_tokens, &[name, "failed"], counted.token_faults);
        raise(&self.provider_credential_faults, &[name], counted.credential_faults);
    }

    /// Counts an attempt to get a tunnel from `proxy`. Without one the proxy is new, and its counts begin at zero.
    pub fn tunnel_ended(&self, proxy: &str, end: Option<TunnelEnd>) {
        let count = |end: TunnelEnd| self.proxy_tunnels.with_label_values(&[proxy, end.as_str()]);
        match end {
            Some(end) => count(end).inc(),
            None => TunnelEnd::ALL.into_iter().for_each(|end| drop(count(end))),
        }
    }

    /// Shows what the outbox holds.
    pub(crate) fn show_callbacks(&self, owed: u64, dead: u64, oldest: DurationMs) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.callbacks_owed.set(whole(owed));
        self.callbacks_dead.set(whole(dead));
        self.callback_oldest.set(whole(oldest.get() / 1_000));
    }

    /// Counts a try to deliver a callback: delivered, or failed by this fault.
    pub(crate) fn callback_tried(&self, fault: Option<CallbackFault>) {
        let result = fault.map_or("delivered", CallbackFault::as_str);
        self.callback_tries.with_label_values(&[result]).inc();
    }

    /// Counts a callback that is tried no more.
    pub(crate) fn callback_died(&self) {
        self.callbacks_died.inc();
    }

    /// Counts a new configuration, taken over or refused.
    pub fn reloaded(&self, taken: bool) {
        self.reloads.with_label_values(&[RELOAD_RESULTS[usize::from(taken)]]).inc();
    }

    /// Shows how an arbiter has spent its time so far.
    pub(crate) fn show_arbiter(&self, number: usize, worked: Duration, rested: Duration) {
        for (state, total) in [("at_work", worked), ("resting", rested)] {
            let counter = self.arbiter_seconds.with_label_values(&[&*number.to_string(), state]);
            // A counter refuses to go back, as two that scrape at once would have it.
            counter.inc_by((total.as_secs_f64() - counter.get()).max(0.0));
        }
    }

    /// Shows what is kept of rows.
    pub(crate) fn show_rows(&self, kept: &RowsKept) {
        self.rows_kept.set(i64::try_from(kept.bytes).unwrap_or(i64::MAX));
        raise(&self.row_looks, &["kept"], kept.found);
        raise(&self.row_looks, &["read"], kept.read);
    }

    /// Counts a backup, made or failed.
    pub fn backed_up(&self, made: bool) {
        self.backups.with_label_values(&[BACKUP_RESULTS[usize::from(made)]]).inc();
    }

    /// Counts a handler that panicked.
    pub fn actor_fault(&self, actor: &'static str) {
        self.actor_faults.with_label_values(&[actor]).inc();
    }
}

/// How a new configuration fares, and a backup; the good word second.
const RELOAD_RESULTS: [&str; 2] = ["refused", "taken"];
const BACKUP_RESULTS: [&str; 2] = ["failed", "made"];

/// The final states; every failure is one word.
const ENDS: [State; 6] = [
    State::Accepted,
    State::Declined,
    State::Reported,
    State::Timeout,
    State::Failed(FailureReason::ProviderUnavailable),
    State::Cancelled,
];

/// What starts are refused with under load and in trouble.
const STARTS_REFUSED_WITH: [ErrorCode; 6] = [
    ErrorCode::Busy,
    ErrorCode::RateLimited,
    ErrorCode::NoDevice,
    ErrorCode::ProviderUnavailable,
    ErrorCode::StorageUnavailable,
    ErrorCode::Draining,
];

/// The result of a claim that made a transaction somebody's.
const CLAIMED: &str = "claimed";

/// What a phone's claim of a one-time password did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtpClaim {
    /// It made the transaction its user's.
    Claimed,
    /// The same phone had claimed it before.
    Repeated,
}

/// What answers are refused with that operators watch.
const ANSWERS_REFUSED_WITH: [ErrorCode; 5] = [
    ErrorCode::BadProof,
    ErrorCode::BadSignature,
    ErrorCode::WrongChallenge,
    ErrorCode::TransactionFinal,
    ErrorCode::Busy,
];

/// Brings a counter up to a total that is counted elsewhere.
fn raise(counters: &IntCounterVec, labels: &[&str], total: u64) {
    let counter = counters.with_label_values(labels);
    counter.inc_by(total.saturating_sub(counter.get()));
}

impl StoreObserver for Metrics {
    fn committed(&self, report: CommitReport) {
        self.commit_verbs.observe(report.verbs as f64);
        self.commit_seconds.observe(report.write.as_secs_f64());
        self.commit_queue_seconds.observe(report.queue_wait.as_secs_f64());
        self.observe(Stage::Commit, report.queue_wait + report.write);
        self.audit_rows.inc_by(report.audit_rows);
    }

    fn refused(&self) {
        self.commits_refused.inc();
    }
}
