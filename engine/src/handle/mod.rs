//! The only door into the engine: what portals, phones and operators can ask of it.
//!
//! Calls are plain futures that may run on any thread. Nothing here knows HTTP; a refused call is a
//! [`Problem`], which names its error code and what the caller is to do.

mod audit;
mod challenge;
mod code;
mod device;
mod eligible;
mod enrol;
mod enrolment;
mod erase;
mod fatigue;
mod key;
mod manage;
mod method;
mod number;
mod observe;
mod ops;
mod otp;
mod recovering;
mod refusal;
mod reload;
mod report;
mod start;
mod texts;
mod transaction;
mod user;

use std::sync::Arc;

use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use tocsin_config::Config;
use tocsin_model::{ErrorCode, Problem};
use tocsin_storage::Store;
use tokio::sync::watch;

pub use challenge::{Challenge, ChallengeForm};
pub use device::DeviceCall;
pub use eligible::UsableType;
pub(crate) use enrolment::DerivedCodes;
pub use enrolment::{EnrolledDevice, EnrollmentRequest, OpenedEnrollment};
pub(crate) use manage::gone_for;
pub use observe::{Heard, Observation};
pub use ops::{CallbackItems, Health, ProviderState, Readiness};
pub use otp::names_an_addressee;
pub(crate) use refusal::NotedRefusals;
pub use start::Started;

use crate::clock::Clock;
use crate::device::{ReplayMemory, ServerKeys, SignaturePool, WrongCodes};
use crate::metrics::Metrics;
use crate::registry::{EnrollmentWaiters, Registry};
use crate::surroundings::Surroundings;

/// The door; clones are cheap and lead to the same engine.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Core>);

/// What the calls work with.
pub(crate) struct Core {
    pub(crate) registry: Arc<Registry>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) issuer: String,
    pub(crate) server_keys: ServerKeys,
    pub(crate) signatures: SignaturePool,
    pub(crate) replay: ReplayMemory,
    pub(crate) codes: DerivedCodes,
    pub(crate) wrong_codes: WrongCodes,
    pub(crate) noted_refusals: NotedRefusals,
    pub(crate) enrollment_waiters: EnrollmentWaiters,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) ticks: crate::health::Ticks,
    /// One of each arbiter.
    pub(crate) diaries: Vec<crate::arbiter::Diary>,
    pub(crate) drivers: ArcSwap<crate::provider::Drivers>,
    pub(crate) starter: crate::engine::Starter,
    /// Held while a configuration is put in place of another.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    pub(crate) callbacks: crate::callback::Callbacks,
}

impl Handle {
    /// The configuration that the engine runs by at this moment. Take it once for each call: a reload puts another
    /// one in its place, and a call that began with one ends with it.
    pub fn config(&self) -> Arc<Config> {
        self.0.surroundings.config()
    }

    /// The threads that transactions live on. Who serves callers there spares the way to another one.
    pub fn threads(&self) -> &[ArbiterHandle] {
        self.0.starter.threads()
    }

    /// The issuer of the device protocol.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The engine's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.surroundings.metrics
    }

    /// The engine's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.surroundings.clock
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.surroundings.store
    }

    /// Whether the engine is shutting down: held calls return early.
    pub fn is_draining(&self) -> bool {
        *self.0.draining.borrow()
    }

    pub(crate) fn refuse_while_draining(&self) -> Result<(), Problem> {
        if self.is_draining() {
            return Err(Problem::new(ErrorCode::Draining, "the server is shutting down; ask another one"));
        }
        Ok(())
    }
}

/// Random bytes from the operating system's generator by way of aws-lc.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        tracing::error!("the random number generator failed");
        Problem::internal()
    })?;
    Ok(bytes)
}
