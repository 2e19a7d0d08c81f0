//! What the handlers of one door work with.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tocsin_engine::Handle;
use tocsin_model::{ErrorCode, Problem};
use tokio::sync::watch;
use tracing::Instrument;

use super::{DoorMetrics, DoorName};
use crate::control::Control;

/// What the handlers of one door work with; every thread of it shares one.
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
    pub(super) draining: watch::Receiver<bool>,
    /// Calls between their head and their reply.
    pub(super) in_flight: Arc<AtomicUsize>,
}

/// A call in flight, until it is dropped.
pub(super) struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DoorState {
    pub(super) fn enter(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
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

/// Runs a call to its end although its caller hangs up: what was begun must be known to the engine as a whole.
pub(crate) async fn to_the_end<T: 'static>(
    call: impl Future<Output = Result<T, Problem>> + 'static,
) -> Result<T, Problem> {
    match actix_web::rt::spawn(call.in_current_span()).await {
        Ok(done) => done,
        // It panicked; the panic hook has said where.
        Err(_) => Err(Problem::internal()),
    }
}
