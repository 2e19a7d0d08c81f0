//! The parts of a scenario. They serialise into the parameters of a report, with units in their names.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::load::meter::Stage;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Its short name: that of its file without the ending.
    pub name: String,
    /// Heading of its report.
    pub title: String,
    /// What it shows, in a sentence or two; may be empty.
    pub about: String,
    /// All that is random in the run follows from this.
    pub seed: u64,
    /// The number of the first flow; its phone and its draws follow from it, so that a load may go on where another one
    /// ended.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_flow: u64,
    /// How portals and phones reach the server.
    pub doors: Doors,
    /// When flows arrive, one phase after the other; never empty.
    pub phases: Vec<Phase>,
    /// What a flow is.
    pub flows: Flows,
    /// Who starts flows and waits for them.
    pub portals: Portals,
    /// Who answers.
    pub phones: Phones,
    /// What goes wrong at Apple, Google and the SMS gateway, and when; may overlap.
    pub provider_phases: Vec<ProviderPhase>,
    /// What the run must reach.
    pub thresholds: Thresholds,
}

/// How portals and phones reach the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doors {
    /// Plain HTTP, as behind a proxy that ends TLS.
    #[default]
    Plain,
    /// The doors of portals and phones speak TLS.
    Tls,
}

/// One stretch of time with one law of arrivals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// Its name in the report.
    pub name: String,
    /// How many arrive.
    pub shape: Shape,
    /// How they are spread.
    pub pattern: Pattern,
    /// How long it lasts; above zero.
    #[serde(rename = "duration_s", serialize_with = "as_seconds")]
    pub duration: Duration,
}

/// How many flows arrive in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The same rate throughout.
    Steady {
        /// Flows per second.
        rate_per_s: f64,
    },
    /// A rate that rises or falls evenly.
    Ramp {
        /// Flows per second at the begin.
        from_per_s: f64,
        /// Flows per second at the end.
        to_per_s: f64,
    },
    /// This many in all.
    Burst {
        /// Flows.
        flows: u64,
    },
}

/// How arrivals are spread over a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Independently of each other, as people come.
    Poisson,
    /// As evenly as the rate allows.
    Even,
}

/// What a flow is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flows {
    /// Life of a transaction.
    #[serde(rename = "ttl_s", serialize_with = "as_seconds")]
    pub ttl: Duration,
    /// Flows under way at once; an arrival beyond is dropped by the generator and counted.
    pub in_flight_max: usize,
    /// How long after the last arrival the run waits for flows to end.
    #[serde(rename = "drain_s", serialize_with = "as_seconds")]
    pub drain: Duration,
    /// Share of flows that ask for a code by SMS instead of a push.
    pub sms_share: Share,
    /// A push that is not answered after this time is followed by a code by SMS; `None`: never.
    #[serde(rename = "sms_fallback_after_s", serialize_with = "as_optional_seconds")]
    pub sms_fallback_after: Option<Duration>,
}

/// Who starts flows and waits for them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Portals {
    /// How they learn of the outcome.
    pub mix: PortalMix,
    /// Time that a synchronous call and a long poll ask for.
    #[serde(rename = "wait_s", serialize_with = "as_seconds")]
    pub wait: Duration,
    /// What they do about a refused call.
    pub retries: Retries,
    /// Connections that all portals together may hold; `None`: as many as the machine allows.
    pub connections_max: Option<usize>,
    /// Long polls and event streams that may be open at once; a portal beyond asks when another one has its outcome.
    /// `None`: three of four connections.
    pub held_max: Option<usize>,
}

/// Weights of the ways in which portals learn of outcomes; never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PortalMix {
    /// The call that starts the transaction waits for its end.
    pub sync: u32,
    /// One long poll, open from the start.
    pub long_poll: u32,
    /// Server-sent events.
    pub sse: u32,
    /// The server calls the portal.
    pub callback: u32,
    /// Nobody waits: the portal is content with the start, and the flow ends when its push is at the network.
    pub absent: u32,
}

impl PortalMix {
    /// The sum of the weights.
    pub fn total(self) -> u64 {
        [self.sync, self.long_poll, self.sse, self.callback, self.absent].into_iter().map(u64::from).sum()
    }
}

/// What a portal does about a start that is refused with 429 or 503, or lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Retries {
    /// Further tries; 0: it gives up at once.
    pub tries_max: u32,
    /// Pause before a further try, unless the server names one.
    #[serde(rename = "pause_ms", serialize_with = "as_milliseconds")]
    pub pause: Duration,
    /// It waits as long as `Retry-After` says, where that is longer than the pause.
    pub honours_retry_after: bool,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phones {
    /// Enrolled users, each with one phone.
    pub count: u32,
    /// Time between the push (or the challenge) and the answer.
    pub answer_delay: AnswerDelay,
    /// Share of pushes that are refused.
    pub refuse_share: Share,
    /// Share of pushes that nobody looks at.
    pub ignore_share: Share,
    /// They enrol with an encryption key, take the challenge out of the push and fetch nothing.
    pub hpke: bool,
    /// When they fetch the challenge, where they do.
    pub fetch: Fetch,
}

/// When a phone fetches the challenge of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fetch {
    /// When the push comes: the system wakes the app, and the challenge is there before its user looks.
    AtOnce,
    /// When its user opens the notification, and answers: the system has shown it without waking the app.
    WhenOpened,
}

/// How long people take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AnswerDelay {
    /// Not at all: the phone answers as soon as it can.
    Zero,
    /// As people do: most soon, a few late.
    LogNormal {
        /// Half are quicker.
        #[serde(rename = "median_ms", serialize_with = "as_milliseconds")]
        median: Duration,
        /// Standard deviation of the logarithm of the delay.
        sigma: f64,
    },
}

/// What goes wrong at providers for a while.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProviderPhase {
    /// Whose.
    pub network: ProviderNetwork,
    /// From when on, since the start of the run.
    #[serde(rename = "from_s", serialize_with = "as_seconds")]
    pub from: Duration,
    /// For how long.
    #[serde(rename = "duration_s", serialize_with = "as_seconds")]
    pub duration: Duration,
    /// What happens.
    pub behaviour: ProviderBehaviour,
    /// To which share of the requests.
    pub share: Share,
}

impl ProviderPhase {
    /// Whether it is on at this time since the start.
    pub fn is_on(&self, at: Duration) -> bool {
        at >= self.from && at < self.from + self.duration
    }
}

/// The doubles that misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderNetwork {
    /// Apple and Google.
    Push,
    /// Apple.
    Apns,
    /// Google.
    Fcm,
    /// The SMS gateway.
    Sms,
}

/// What a provider does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderBehaviour {
    /// It fails: 503, or the connection goes.
    Outage,
    /// It takes its time.
    Slow {
        /// Added to each answer.
        #[serde(rename = "delay_ms", serialize_with = "as_milliseconds")]
        delay: Duration,
    },
    /// It answers 429.
    TooMany {
        /// The pause that it asks for.
        #[serde(rename = "retry_after_s", serialize_with = "as_optional_seconds")]
        retry_after: Option<Duration>,
    },
}

impl fmt::Display for ProviderBehaviour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage => formatter.write_str("outage"),
            Self::Slow { delay } => write!(formatter, "slow by {} ms", delay.as_millis()),
            Self::TooMany { .. } => formatter.write_str("too many requests"),
        }
    }
}

/// A part of a whole: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Share(f64);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0.0);
    /// All.
    pub const ALL: Self = Self(1.0);

    /// This part, if it is one.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Between 0 and 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// What a run must reach. What is not named is not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Thresholds {
    /// Flows that may fail or be refused, as a share of the arrivals.
    pub failed_share_max: Option<Share>,
    /// Arrivals that the generator itself may drop.
    pub dropped_max: Option<u64>,
    /// Transactions that were started and of which nobody learnt a final state.
    pub unfinished_max: Option<u64>,
    /// Least number of transactions that must be started.
    pub created_min: Option<u64>,
    /// Starts that got neither 201 nor a refusal with `Retry-After`.
    pub unanswered_max: Option<u64>,
    /// Least number of flows that must end each second, over the time in which flows arrive.
    pub finished_per_s_min: Option<f64>,
    /// The server's own processor time for each finished flow.
    pub server_cpu_us_per_flow_max: Option<f64>,
    /// The server's memory at its highest.
    pub resident_mib_max: Option<u64>,
    /// Latencies.
    pub latencies: Vec<LatencyThreshold>,
}

/// An upper bound of one percentile of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyThreshold {
    /// Of what.
    pub stage: Stage,
    /// Which percentile.
    pub percentile: Quantile,
    /// Counted from when.
    pub from: LatencyFrom,
    /// The bound.
    pub limit: Limit,
}

/// A bound of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// This time.
    #[serde(rename = "max_ms", serialize_with = "as_milliseconds")]
    Time(Duration),
    /// This many times the disk's own fsync p99, measured beside the run.
    #[serde(rename = "max_disk_syncs")]
    DiskSyncs(f64),
}

/// From when a latency counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyFrom {
    /// When it should have begun: a generator or a server that stalls hides nothing.
    Intended,
    /// When it was sent.
    Sent,
}

/// A percentile: above 0, up to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Quantile(f64);

impl Quantile {
    /// This percentile, if it is one.
    pub fn new(percentile: f64) -> Option<Self> {
        (percentile > 0.0 && percentile <= 100.0).then_some(Self(percentile))
    }

    /// In percent.
    pub const fn percent(self) -> f64 {
        self.0
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn as_milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1_000.0)
}

fn as_optional_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}
