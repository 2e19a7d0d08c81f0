//! Every metric of the doors, named in one file. Names are an interface: `docs/metrics.md` lists them.
//!
//! Label values are closed: the door, the template of the route and the class of the status.

use std::cell::OnceCell;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use tocsin_model::UnixMs;

use super::DoorName;
use super::connections::Overfull;
use super::rate::RateOf;

/// The names, as Prometheus sees them.
pub mod names {
    /// Calls answered, by `door`, `route` (its template) and `status` (its class, such as `2xx`).
    pub const HTTP_REQUESTS: &str = "tocsin_http_requests_total";
    /// Time from the head of a call to its reply, in seconds, by `door` and `route`; long polls count their wait.
    pub const HTTP_REQUEST_SECONDS: &str = "tocsin_http_request_seconds";
    /// Calls between their head and their reply, by `door`.
    pub const HTTP_REQUESTS_IN_FLIGHT: &str = "tocsin_http_requests_in_flight";
    /// Calls that the door itself refused, by `door` and `reason`.
    pub const HTTP_REQUESTS_REFUSED: &str = "tocsin_http_requests_refused_total";
    /// Connections that are open, by `door`.
    pub const HTTP_CONNECTIONS: &str = "tocsin_http_connections";
    /// Connections that were refused or cut, by `door` and `reason`.
    pub const HTTP_CONNECTIONS_REFUSED: &str = "tocsin_http_connections_refused_total";
    /// TLS handshakes that succeeded, by `door` and `kind` (`full` or `resumed`).
    pub const TLS_HANDSHAKES: &str = "tocsin_tls_handshakes_total";
    /// Looks at certificate files that found new ones, by `door` and `result` (`renewed` or `refused`).
    pub const CERTIFICATE_RELOADS: &str = "tocsin_certificate_reloads_total";
    /// The end of the certificate that the door shows, in Unix seconds, by `door`.
    pub const CERTIFICATE_EXPIRY: &str = "tocsin_certificate_expiry_timestamp_seconds";
}

/// The `route` of a call that no route took.
const NO_ROUTE: &str = "none";

/// Why the door itself refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedFor {
    /// The client or operator may not call from this address.
    Address,
    /// The client did not show the certificate that it is bound to.
    Certificate,
    /// The head of the request is too large.
    Head,
    /// A rate was exceeded.
    Rate(RateOf),
    /// The connection was beyond a bound.
    Connections,
}

impl RefusedFor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address_not_allowed",
            Self::Certificate => "certificate",
            Self::Head => "headers_too_large",
            Self::Rate(RateOf::Client) => "client_rate",
            Self::Rate(RateOf::Realm) => "realm_rate",
            Self::Rate(RateOf::User) => "user_rate",
            Self::Rate(RateOf::Address) => "address_rate",
            Self::Connections => "connections",
        }
    }
}

/// Why a connection was refused or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// The door holds as many as it may.
    Full,
    /// The address holds as many as it may.
    AddressFull,
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake did not end in time.
    HandshakeTimeout,
    /// The head of a request did not come in time.
    SlowHead,
    /// A reply was not read.
    SlowReader,
    /// The peer broke the protocol, flooded it or hung up in the midst of it.
    Protocol,
}

impl ConnectionEnd {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::Handshake => "handshake",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::Protocol => "protocol",
        }
    }
}

impl From<Overfull> for ConnectionEnd {
    fn from(overfull: Overfull) -> Self {
        match overfull {
            Overfull::Door => Self::Full,
            Overfull::Address => Self::AddressFull,
        }
    }
}

/// A connection that is counted as open until this is dropped.
pub(super) struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Bounds of the time histogram in seconds: fine where calls are quick, coarse up to the longest wait.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// The metrics of the doors of one process.
#[derive(Debug)]
pub struct DoorMetrics {
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    in_flight: IntGaugeVec,
    refused: IntCounterVec,
    connections: IntGaugeVec,
    connections_refused: IntCounterVec,
    handshakes: IntCounterVec,
    reloads: IntCounterVec,
    certificate_expiry: IntGaugeVec,
}

/// How a call ended.
pub(super) struct Observed {
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// A call that is counted as in flight until this is dropped.
pub(super) struct Counted<'g>(&'g IntGauge);

/// The metrics of one route at one thread of its door. Each is looked up once, when there is first something to say.
pub(super) struct RouteMetrics {
    requests_by_status: IntCounterVec,
    seconds_by_route: HistogramVec,
    door: &'static str,
    route: &'static str,
    requests: [OnceCell<IntCounter>; CLASSES.len()],
    seconds: OnceCell<Histogram>,
}

impl DoorMetrics {
    /// Makes the metrics and adds them to `registry`, once in the life of a registry.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds =
            HistogramOpts::new(names::HTTP_REQUEST_SECONDS, "Time from the head of a call to its reply.")
                .buckets(SECONDS.to_vec());
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new(names::HTTP_REQUESTS, "Calls answered."),
                &["door", "route", "status"],
            )?,
            request_seconds: HistogramVec::new(seconds, &["door", "route"])?,
            in_flight: IntGaugeVec::new(
                Opts::new(names::HTTP_REQUESTS_IN_FLIGHT, "Calls between their head and their reply."),
                &["door"],
            )?,
            refused: counters(names::HTTP_REQUESTS_REFUSED, "Calls that the door itself refused.", "reason")?,
            connections: IntGaugeVec::new(
                Opts::new(names::HTTP_CONNECTIONS, "Connections that are open."),
                &["door"],
            )?,
            connections_refused: counters(
                names::HTTP_CONNECTIONS_REFUSED,
                "Connections that were refused or cut.",
                "reason",
            )?,
            handshakes: counters(names::TLS_HANDSHAKES, "TLS handshakes that succeeded.", "kind")?,
            reloads: counters(names::CERTIFICATE_RELOADS, "New certificate files found.", "result")?,
            certificate_expiry: IntGaugeVec::new(
                Opts::new(names::CERTIFICATE_EXPIRY, "The end of the certificate that the door shows."),
                &["door"],
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.request_seconds.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.connections_refused.clone()))?;
        registry.register(Box::new(metrics.handshakes.clone()))?;
        registry.register(Box::new(metrics.reloads.clone()))?;
        registry.register(Box::new(metrics.certificate_expiry.clone()))?;
        Ok(metrics)
    }

    /// Counts a call that the door itself refused.
    pub(crate) fn refused(&self, door: DoorName, reason: RefusedFor) {
        self.refused.with_label_values(&[door.as_str(), reason.as_str()]).inc();
    }

    pub(super) fn connection_opened(&self, door: DoorName) -> OpenConnection {
        let gauge = self.connections.with_label_values(&[door.as_str()]);
        gauge.inc();
        OpenConnection(gauge)
    }

    pub(super) fn connection_ended(&self, door: DoorName, reason: ConnectionEnd) {
        self.connections_refused.with_label_values(&[door.as_str(), reason.as_str()]).inc();
    }

    pub(super) fn handshake(&self, door: DoorName, is_resumed: bool) {
        let kind = if is_resumed { "resumed" } else { "full" };
        self.handshakes.with_label_values(&[door.as_str(), kind]).inc();
    }

    pub(super) fn certificate_reloaded(&self, door: DoorName, is_renewed: bool) {
        let result = if is_renewed { "renewed" } else { "refused" };
        self.reloads.with_label_values(&[door.as_str(), result]).inc();
    }

    pub(super) fn certificate_ends(&self, door: DoorName, end: UnixMs) {
        let seconds = i64::try_from(end.seconds()).unwrap_or(i64::MAX);
        self.certificate_expiry.with_label_values(&[door.as_str()]).set(seconds);
    }

    /// The calls of a door between their head and their reply.
    pub(super) fn in_flight(&self, door: DoorName) -> IntGauge {
        self.in_flight.with_label_values(&[door.as_str()])
    }

    /// Those of a route, or of all calls that no route takes.
    pub(super) fn of_route(&self, door: DoorName, route: Option<&'static str>) -> RouteMetrics {
        RouteMetrics {
            requests_by_status: self.requests.clone(),
            seconds_by_route: self.request_seconds.clone(),
            door: door.as_str(),
            route: route.unwrap_or(NO_ROUTE),
            requests: Default::default(),
            seconds: OnceCell::new(),
        }
    }
}

fn counters(name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), &["door", label])
}

impl RouteMetrics {
    /// The template of the route.
    pub(super) const fn route(&self) -> &'static str {
        self.route
    }

    /// Counts a reply.
    pub(super) fn answered(&self, observed: &Observed) {
        let class = class_of(observed.status);
        let labels = [self.door, self.route, CLASSES[class]];
        self.requests[class].get_or_init(|| self.requests_by_status.with_label_values(&labels)).inc();
        let seconds = || self.seconds_by_route.with_label_values(&[self.door, self.route]);
        self.seconds.get_or_init(seconds).observe(observed.took.as_secs_f64());
    }
}

impl<'g> Counted<'g> {
    /// Counts a call that begins.
    pub(super) fn begin(in_flight: &'g IntGauge) -> Self {
        in_flight.inc();
        Self(in_flight)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The classes of statuses.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const fn class_of(status: u16) -> usize {
    match status {
        100..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        _ => 4,
    }
}
