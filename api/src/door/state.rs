//! What the handlers of one door work with.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tocsin_config::Networks;
use tocsin_engine::Handle;
use tocsin_model::{ErrorCode, Problem};
use tokio::sync::watch;

use super::address::{Origin, origin};
use super::metrics::RefusedFor;
use super::rate::{RateExceeded, Rates};
use super::{DoorMetrics, DoorName, Request};
use crate::control::Control;

/// What the handlers of one door work with; every thread of it has one, which shares what changes.
#[derive(Clone)]
pub(crate) struct DoorState {
    pub(crate) name: DoorName,
    /// Whether the door listens on loopback, where only this machine reaches it.
    pub(crate) is_loopback: bool,
    /// The base of links, without a trailing slash; empty where the door has no public URL.
    pub(crate) public_url: String,
    pub(crate) body_bytes_max: usize,
    pub(crate) handle: Handle,
    /// The process around the engine; `None` where there is none, as in a test.
    pub(crate) control: Option<Control>,
    pub(crate) metrics: Arc<DoorMetrics>,
    pub(crate) rates: Arc<Rates>,
    pub(super) trusted_proxies: Networks,
    pub(super) headers_max: usize,
    pub(super) head_bytes_max: usize,
    /// Longest time for the body of a request.
    pub(super) body_time_max: Duration,
    pub(super) draining: watch::Receiver<bool>,
    /// Calls between their head and their reply.
    pub(super) in_flight: Arc<AtomicUsize>,
}

/// A call in flight, until it is dropped.
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DoorState {
    /// Counts a call in flight.
    pub(crate) fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// From where the call comes.
    fn origin_of(&self, request: &Request) -> Origin {
        origin(request.facts().peer.ip(), &self.trusted_proxies, request.headers())
    }

    /// The address that limits count the call under.
    pub(crate) fn counted_address_of(&self, request: &Request) -> IpAddr {
        self.origin_of(request).counted_under()
    }

    /// Whether the head of the request is within its bounds.
    pub(super) fn fits_head(&self, request: &Request) -> bool {
        let headers = request.headers();
        let path = request.path_and_query().len();
        let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        headers.len() <= self.headers_max && path + fields.sum::<usize>() <= self.head_bytes_max
    }

    /// 403 `address_not_allowed`, counted and logged, unless `who` may call from where the call comes. For the doors
    /// of machines: a phone's address stands in no log.
    pub(crate) fn check_address(
        &self,
        request: &Request,
        networks: &Networks,
        who: &str,
    ) -> Result<(), Problem> {
        if networks.is_empty() {
            return Ok(());
        }
        let origin = self.origin_of(request);
        if origin.is_in(networks) {
            return Ok(());
        }
        self.metrics.refused(self.name, RefusedFor::Address);
        match origin {
            Origin::Known(address) => {
                tracing::warn!(who, %address, "called from an address that is not allowed");
            }
            Origin::Unknown { proxy } => {
                tracing::warn!(who, %proxy, "called through a proxy whose headers do not tell from where");
            }
        }
        let detail = "the credential is not allowed from this address";
        Err(Problem::new(ErrorCode::AddressNotAllowed, detail))
    }

    /// 429 `rate_limited`, counted, where a rate was exceeded.
    pub(crate) fn check_rate(&self, checked: Result<(), RateExceeded>) -> Result<(), Problem> {
        checked.map_err(|exceeded| {
            self.metrics.refused(self.name, RefusedFor::Rate(exceeded.of));
            exceeded.problem()
        })
    }

    /// Whether a shutdown has begun.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns when a shutdown begins, and never without one.
    pub(crate) async fn drain_begun(&self) {
        let mut draining = self.draining.clone();
        if draining.wait_for(|draining| *draining).await.is_err() {
            // Nobody can begin one any more.
            std::future::pending::<()>().await;
        }
    }

    /// 422 `method_disabled` for every call of portals and phones while the service is switched off.
    pub(crate) fn refuse_while_off(&self) -> Result<(), Problem> {
        if self.handle.config().switches.service {
            return Ok(());
        }
        Err(Problem::new(ErrorCode::MethodDisabled, "the service is switched off"))
    }

    /// 503 `draining` for calls that would begin something.
    pub(crate) fn refuse_while_draining(&self) -> Result<(), Problem> {
        if self.is_draining() {
            return Err(Problem::new(ErrorCode::Draining, "the server is shutting down; ask another one"));
        }
        Ok(())
    }
}

/// The certificate that the caller showed, verified by the handshake.
pub(crate) fn certificate_of(request: &Request) -> Option<&CertificateDer<'static>> {
    request.facts().certificate.as_ref()
}
