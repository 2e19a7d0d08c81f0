//! Every metric of the doors, named in one file. Names are an interface: `docs/metrics.md` lists them.
//!
//! Label values are closed: the door, the template of the route and the class of the status.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::DoorName;

/// The names, as Prometheus sees them.
pub mod names {
    /// Calls answered, by `door`, `route` (its template) and `status` (its class, such as `2xx`).
    pub const HTTP_REQUESTS: &str = "tocsin_http_requests_total";
    /// Time from the head of a call to its reply, in seconds, by `door` and `route`; long polls count their wait.
    pub const HTTP_REQUEST_SECONDS: &str = "tocsin_http_request_seconds";
    /// Calls between their head and their reply, by `door`.
    pub const HTTP_REQUESTS_IN_FLIGHT: &str = "tocsin_http_requests_in_flight";
}

/// The `route` of a call that no route took.
pub(super) const NO_ROUTE: &str = "none";

/// Bounds of the time histogram in seconds: fine where calls are quick, coarse up to the longest wait.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// The metrics of the doors of one process.
#[derive(Debug)]
pub struct DoorMetrics {
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    in_flight: IntGaugeVec,
}

/// How a call ended.
pub(super) struct Observed<'a> {
    pub(super) route: Option<&'a str>,
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// A call that is counted as in flight until this is dropped.
pub(super) struct Counted {
    metrics: Arc<DoorMetrics>,
    door: &'static str,
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
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.request_seconds.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        Ok(metrics)
    }

    /// Counts a call that begins.
    pub(super) fn begin(self: &Arc<Self>, door: DoorName) -> Counted {
        let counted = Counted { metrics: Arc::clone(self), door: door.as_str() };
        counted.metrics.in_flight.with_label_values(&[counted.door]).inc();
        counted
    }
}

impl Counted {
    /// Counts its reply.
    pub(super) fn end(self, observed: &Observed<'_>) {
        let route = observed.route.unwrap_or(NO_ROUTE);
        self.metrics.requests.with_label_values(&[self.door, route, class_of(observed.status)]).inc();
        self.metrics
            .request_seconds
            .with_label_values(&[self.door, route])
            .observe(observed.took.as_secs_f64());
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.in_flight.with_label_values(&[self.door]).dec();
    }
}

const fn class_of(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
